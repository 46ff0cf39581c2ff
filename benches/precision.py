"""Rounding errors of vstar and of Hugging Face transformers on the same weights and texts, layer by layer.

usage: python precision.py --vstar target/release/vstar --model DIR|FILE.gguf [--dtype f32|bf16] [--texts N]

Needs torch, transformers, safetensors and numpy (and gguf for a GGUF file) in the Python that runs it. The texts are
this repository's prompts; each is read up to the end of each of its words, and what is compared is the residual stream of the last
token there (tens of texts are needed: single massive tokens magnify any rounding, for either program, by chance). The truth is transformers in float64, its norms and rotary angles included, which it computes in float32
whatever the model's dtype. For each layer it prints

  RMS       the median token's root mean square, and that of the largest token beside it;
  rms       the deviation's root mean square over tokens and coordinates, each token over its own RMS;
  largest   the largest deviation of one coordinate over its token's RMS;

for transformers and for vstar, then both over all layers, and exits with 1 if vstar's is the larger one by more than
`--slack`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

PROMPTS = Path(__file__).resolve().parent.parent / "prompts"
# Longer ones add tokens like those before and time.
CHARACTERS = 160
DTYPES = {"f32": "float32", "bf16": "bfloat16"}


def texts(count):
    """So many of this repository's prompts, evenly spaced."""
    found = []
    for path in sorted(PROMPTS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            prompt = json.loads(line)["prompt"]
            found.append(prompt if isinstance(prompt, str) else prompt[-1]["content"])
    return [found[i * len(found) // count][:CHARACTERS] for i in range(min(count, len(found)))]


def prefixes(count):
    """Each text up to the end of each word but the first, as (before the word, the word)."""
    for text in texts(count):
        ends = [i for i in range(1, len(text)) if text[i].isspace() and not text[i - 1].isspace()] + [len(text)]
        yield from ((text[:a], text[a:b]) for a, b in zip(ends, ends[1:]) if text[a:b].strip())


def load(path, dtype):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = (str(path.parent), dict(gguf_file=path.name)) if path.suffix == ".gguf" else (str(path), {})
    net = AutoModelForCausalLM.from_pretrained(where[0], dtype=getattr(torch, dtype), **where[1]).eval()
    return net, AutoTokenizer.from_pretrained(where[0], **where[1])


def exact(net):
    """Makes a float64 model compute in float64 throughout: transformers' norms and rotary angles stay in float32."""
    import torch

    def norm(module):
        name = type(module).__name__
        weight = module.weight.double() + (1.0 if name.startswith("Gemma") else 0.0)
        eps = module.variance_epsilon if hasattr(module, "variance_epsilon") else module.eps
        return lambda x: weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))

    for module in net.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = norm(module)
    rope, config = net.model.rotary_emb, net.config
    settings = getattr(config, "rope_parameters", None) or {}
    if settings.get("rope_type", "default") != "default" or "rope_theta" not in settings:
        sys.exit(f"only plain rotary positions are known here, not {settings}")
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inverse = settings["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)

    def angles(x, position_ids, *_, **__):
        a = position_ids[:, :, None].double() * inverse
        a = torch.cat((a, a), dim=-1)
        return a.cos().to(x.dtype), a.sin().to(x.dtype)

    rope.forward = angles
    return net


def theirs(net, rows):
    """[rows, layers, hidden] in float64: the stream after the last token, without and after each block."""
    import numpy as np
    import torch

    # Rows that are beginnings of another row are computed with it.
    beginnings = {tuple(ids[:t]) for ids in rows for t in range(1, len(ids))}
    longest = {tuple(ids) for ids in rows} - beginnings
    last, found = [], {}
    hook = net.model.norm.register_forward_pre_hook(lambda _, args: last.append(args[0]))
    with torch.inference_mode():
        for ids in sorted(longest):
            last.clear()
            out = net.model(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)
            # transformers' last entry is after the final norm; what leaves the last block went into that norm.
            stream = torch.stack([*out.hidden_states[:-1], last[0]])[:, 0].double().numpy()
            for t in range(len(ids)):
                found[ids[: t + 1]] = stream[:, t]
    hook.remove()
    return np.stack([found[tuple(ids)] for ids in rows])


def ours(args, items, folder):
    from safetensors.numpy import load_file

    out = folder / "vstar"
    command = [str(args.vstar.resolve()), "capture", "--model", str(args.model), "--data", str(items), "--pool", "last"]
    command += ["--template", "none", "--dtype", args.dtype, "--out", str(out), *args.vstar_arg]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode != 0:
        sys.exit(f"vstar failed:\n{done.stdout}\n{done.stderr}")
    return load_file(out / "observations.safetensors")["resid"].astype("float64")


def deviations(got, truth):
    """Per layer: RMS over tokens and coordinates, and the largest, each token over its own RMS."""
    import numpy as np

    own = np.sqrt((truth**2).mean(axis=2, keepdims=True))
    off = (got - truth) / own
    return np.sqrt((off**2).mean(axis=(0, 2))), np.abs(off).max(axis=(0, 2))


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vstar", type=Path, required=True, help="the vstar binary")
    parser.add_argument("--model", type=Path, required=True, help="a folder in Hugging Face layout, or a GGUF file")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of both programs")
    parser.add_argument("--texts", type=int, default=60, help="how many texts")
    parser.add_argument("--slack", type=float, default=1.05, help="what vstar's deviation over transformers' may be")
    parser.add_argument("--vstar-arg", action="append", default=[], help="one more argument for vstar, repeatable")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    return parser.parse_args()


def main():
    args = arguments()
    import numpy as np
    import torch
    import transformers

    net, tokenizer = load(args.model, "float64")
    pairs = list(prefixes(args.texts))
    rows = [tokenizer(a + b)["input_ids"] for a, b in pairs]
    truth = theirs(exact(net), rows)
    del net
    net, _ = load(args.model, DTYPES[args.dtype])
    a = theirs(net, rows)
    del net
    with tempfile.TemporaryDirectory(prefix="vstar-precision-") as name:
        items = Path(name) / "items.jsonl"
        lines = [json.dumps(dict(id=f"r{i}", prompt=a, responses=[dict(text=b)])) for i, (a, b) in enumerate(pairs)]
        items.write_text("\n".join(lines) + "\n")
        b = ours(args, items, Path(name))
    if a.shape != b.shape:
        sys.exit(f"not the same rows: {a.shape} and {b.shape}")
    own = np.sqrt((truth**2).mean(axis=2))
    (a_rms, a_max), (b_rms, b_max) = deviations(a, truth), deviations(b, truth)
    print(f"{args.model.name}, {args.dtype}, {len(rows)} tokens; {processor()}, torch {torch.__version__}, "
          f"transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    print("| layer | RMS: median token | largest token | rms: transformers | vstar | largest: transformers | vstar |")
    print("|---|---|---|---|---|---|---|")
    for i in range(truth.shape[1]):
        print(f"| {i} | {np.median(own[:, i]):.3g} | {own[:, i].max():.3g} | {a_rms[i]:.1e} | {b_rms[i]:.1e} "
              f"| {a_max[i]:.1e} | {b_max[i]:.1e} |")
    total = [float(np.sqrt((v**2).mean())) for v in (a_rms, b_rms)] + [float(a_max.max()), float(b_max.max())]
    worse = [int((b > args.slack * a).sum()) for a, b in ((a_rms[1:], b_rms[1:]), (a_max[1:], b_max[1:]))]
    print(f"over all layers: rms {total[0]:.2e} and {total[1]:.2e} (vstar over transformers "
          f"{total[1] / max(total[0], 1e-300):.2f}), largest {total[2]:.1e} and {total[3]:.1e}; "
          f"layers where vstar is worse: {worse[0]} by rms, {worse[1]} by the largest, of {truth.shape[1] - 1}")
    if args.json:
        figures = dict(transformers_rms=a_rms, vstar_rms=b_rms, transformers_largest=a_max, vstar_largest=b_max)
        args.json.write_text(json.dumps({k: v.tolist() for k, v in figures.items()}, indent=2) + "\n")
    if total[1] > args.slack * total[0]:
        sys.exit("vstar is further from float64 than transformers")


if __name__ == "__main__":
    main()
