"""Trains a model on preferences that `vstar export --format trl` wrote, with TRL's DPOTrainer.

usage: python scripts/train_trl.py MODEL PREFERENCES.jsonl --out DIR [--lora RANK] [--beta B] [--epochs N] …

MODEL is a folder in Hugging Face layout or an id on the hub. With `--lora`, DIR is an adapter in PEFT's layout, which
every command of vstar takes as `--adapter DIR`; without it, DIR is a whole model. Then

    vstar verify MODEL DIR --data prompts.jsonl --probe RUN:v_star.NAME --out verify

says what changed, and how far the policies diverge.

beta is DPO's: the optimum of its loss on soft labels is π(y) ∝ π_ref(y) exp(r(y)/beta) with r the judge's log-odds a
reply, so beta = 1/λ of the report's slopes. The loss here takes hard labels: of a margin it keeps the sign.

Needs torch, transformers, trl, peft and datasets. A model of a few million parameters trains on a CPU in minutes.
"""

import argparse
import json
import sys
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("model")
    parser.add_argument("preferences", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lora", type=int, metavar="RANK", help="train a LoRA adapter of this rank")
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rate", type=float, help="learning rate [default: 1e-4 with --lora, else 5e-6]")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--min-margin", type=float, default=0.0, help="leave out pairs below this margin in nats")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def rows(path: Path, least: float) -> list[dict]:
    """Prompt, chosen and rejected of each line, as TRL reads them."""
    kept = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        missing = [key for key in ("prompt", "chosen", "rejected") if key not in row]
        if missing:
            sys.exit(f"{path}:{number}: no {', '.join(missing)}; expected the file of `vstar export --format trl`")
        if row["chosen"] == row["rejected"]:
            sys.exit(f"{path}:{number}: chosen and rejected are the same")
        if row.get("margin", float("inf")) >= least:
            kept.append({key: row[key] for key in ("prompt", "chosen", "rejected")})
    if not kept:
        sys.exit(f"{path}: no pair with a margin of at least {least} nats")
    return kept


def main() -> None:
    args = arguments()
    if args.out.exists():
        sys.exit(f"{args.out} exists: choose another --out")
    data = rows(args.preferences, args.min_margin)

    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        sys.exit(f"{args.model} has no chat template: DPO on messages needs one")
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    peft = None
    if args.lora:
        from peft import LoraConfig

        peft = LoraConfig(r=args.lora, lora_alpha=2 * args.lora, target_modules="all-linear", task_type="CAUSAL_LM")
    config = DPOConfig(
        output_dir=str(args.out) + ".checkpoints",
        beta=args.beta,
        num_train_epochs=args.epochs,
        learning_rate=args.rate or (1e-4 if args.lora else 5e-6),
        per_device_train_batch_size=args.batch,
        seed=args.seed,
        bf16=False,
        fp16=False,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=10,
        save_strategy="no",
        report_to=[],
    )
    trainer = DPOTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(data), processing_class=tokenizer, peft_config=peft
    )
    trainer.train()
    trainer.save_model(str(args.out))
    if not args.lora:
        tokenizer.save_pretrained(args.out)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    log = {
        "model": args.model,
        "preferences": str(args.preferences),
        "pairs": len(data),
        "beta": args.beta,
        "epochs": args.epochs,
        "history": history,
    }
    (args.out / "training.json").write_text(json.dumps(log, indent=1) + "\n")
    last = history[-1] if history else {}
    print(f"{len(data)} pairs, last loss {last.get('loss')}, accuracy {last.get('rewards/accuracies')}; {args.out}")


if __name__ == "__main__":
    main()
