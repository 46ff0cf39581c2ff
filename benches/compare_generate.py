"""Times `vstar sample` and HF transformers' `generate` side by side on one GGUF file: tokens a second, and peak memory.

usage: python benches/compare_generate.py --vstar target/release/vstar --model FILE.gguf [--prompts 8] [--n 8] [--new 64]

Both sample with temperature 1 from the whole distribution, in f32, on all cores, each side in a process of its own that
loads the model; the time of loading is measured by a run that samples one token, and taken off. Runs alternate. Replies
differ in length, so that what is compared is sampled tokens a second. transformers samples all replies as one batch with
padding on the left, its own fastest way.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPTS = [
    "What is the capital of France?",
    "Write two sentences about the sea in winter.",
    "How do I boil an egg?",
    "Explain what a hash table is to a child.",
    "My neighbour plays loud music at night. What should I say to him?",
    "Name three uses for a brick.",
    "Is it ever right to lie to a friend?",
    "Plan a cheap dinner for four.",
]

THEIRS = """
import json, sys, torch, transformers
transformers.utils.logging.disable_progress_bar()
model, prompts, n, new = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
import os
folder, file = os.path.split(os.path.abspath(model))
tok = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file, padding_side="left")
m = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
tok.pad_token = tok.pad_token or tok.eos_token
texts = [tok.apply_chat_template([{"role": "user", "content": p}], add_generation_prompt=True, tokenize=False) for p in prompts]
batch = tok(texts, return_tensors="pt", padding=True, add_special_tokens=False)
torch.manual_seed(0)
with torch.no_grad():
    out = m.generate(**batch, do_sample=True, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=new, num_return_sequences=n)
fresh = out[:, batch["input_ids"].shape[1]:]
ends = {i for i in [m.generation_config.eos_token_id] if isinstance(i, int)} | set(m.generation_config.eos_token_id if isinstance(m.generation_config.eos_token_id, list) else [])
count = 0
for row in fresh.tolist():
    for t in row:
        if t in ends or t == tok.pad_token_id:
            break
        count += 1
print(json.dumps({"tokens": count}))
"""


def timed(command: list[str]) -> tuple[float, float, str]:
    """Seconds, peak MiB, standard output."""
    before = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(command[:4])}")
    return time.perf_counter() - before, usage.ru_maxrss / 1024, out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--vstar", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--n", type=int, default=8)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    prompts = PROMPTS[: args.prompts]
    processor = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "p.jsonl"
        data.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts))

        def ours(n: int, new: int, out: str) -> tuple[float, float, int]:
            command = [args.vstar, "sample", "--model", args.model, "--data", str(data), "-n", str(n)]
            command += ["--max-new-tokens", str(new), "--out", f"{folder}/{out}", "--json", "--quiet"]
            seconds, memory, text = timed(command)
            return seconds, memory, json.loads(text)["sampled"]["tokens"]

        def theirs(n: int, new: int) -> tuple[float, float, int]:
            command = [sys.executable, "-c", THEIRS, args.model, json.dumps(prompts), str(n), str(new)]
            seconds, memory, text = timed(command)
            return seconds, memory, json.loads(text)["tokens"]

        rates: dict[str, list[float]] = {"vstar": [], "transformers": []}
        peaks: dict[str, float] = {}
        for i in range(args.rounds):
            for name, run in (
                ("vstar", lambda n, new, i=i: ours(n, new, f"{i}-{n}-{new}.jsonl")),
                ("transformers", theirs),
            ):
                load = run(1, 1)[0]
                seconds, memory, tokens = run(args.n, args.new)
                rates[name].append(tokens / max(seconds - load, 1e-9))
                peaks[name] = max(peaks.get(name, 0.0), memory)
                print(f"{name}: {tokens} tokens, {seconds:.2f} s, of it {load:.2f} s before the first", flush=True)
    ratio = statistics.median(a / b for a, b in zip(rates["vstar"], rates["transformers"]))
    print(f"{processor}, {os.cpu_count()} cores; {len(prompts)} prompts × {args.n} replies of up to {args.new} tokens")
    for name, all_rates in rates.items():
        print(f"{name}: {statistics.median(all_rates):.0f} tokens/s (median of {args.rounds}), {peaks[name]:.0f} MiB at most")
    print(f"vstar / transformers: {ratio:.2f}")


if __name__ == "__main__":
    main()
