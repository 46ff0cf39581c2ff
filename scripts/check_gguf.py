#!/usr/bin/env python3
"""Residual streams and log-probabilities of GGUF files: `vstar capture` against Hugging Face transformers.

    pip install torch transformers gguf safetensors
    scripts/check_gguf.py VSTAR FILE.gguf …

For each file, `vstar capture --dtype f32` reads the last token of each text below at every layer, and the
log-probability of each response. transformers loads the same file (`from_pretrained(…, gguf_file=…)`) in float64, and
in float32 for what float32 costs. Printed for each file: the largest deviation from float64 of a token at a layer,
over the root mean square of that token's stream, and the largest deviation of a response's log-probability per token,
for both. Exit 1 if vstar deviates by more than 5e-4, and by more than four times as much as transformers in float32.

Above 1.2 billion parameters float64 takes more than 10 GB: there the reference is transformers in float32.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

# Without digits: transformers gives GPT-2's rule to every byte-level file, where digits are split otherwise.
TEXTS = [
    ("The capital of France is", " Paris, a city on the river Seine."),
    ("Water boils when", " it is hot enough, and steam rises from the pan."),
    ("def add(a, b):\n", "    return a + b\n\n\nprint(add)\n"),
    ("Der Hund läuft über die", " Straße und bellt, weil er sich freut."),
    ("Once upon a time", ", in a village by the sea, there lived an old clockmaker who talked to his clocks."),
    ("今日は", "とても良い天気ですね。"),
    ("User: Is it right to lie?\nAssistant:", " It depends; most people think that honesty matters."),
    ("She opened the door", " slowly. Nobody was there."),
    ("fn main() {", ' println!("hello"); }'),
    ("Les enfants jouent dans le", " jardin pendant que leur mère prépare le repas du soir."),
]
MOST_IN_DOUBLE = 1_200_000_000


def vstar(program, file, folder):
    items = folder / "items.jsonl"
    rows = [{"id": f"t{i}", "prompt": p, "responses": [{"text": r}]} for i, (p, r) in enumerate(TEXTS)]
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [program, "capture", "--model", file, "--data", items, "--template", "none", "--pool", "last"]
    done = subprocess.run([*command, "--out", folder / "out"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return load_file(folder / "out" / "observations.safetensors")


@torch.inference_mode()
def transformers(file, dtype, rows):
    """Streams [rows, layers, width] of the last tokens, and log-probabilities of the responses."""
    net = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    net = net.to(dtype).eval()
    last = []
    net.model.norm.register_forward_pre_hook(lambda _, args: last.append(args[0]))
    streams, logprobs = [], []
    for ids, start in rows:
        last.clear()
        tokens = torch.tensor([ids])
        out = net(input_ids=tokens, output_hidden_states=True, use_cache=False)
        layers = [*out.hidden_states[:-1], last[0]]
        streams.append(torch.stack([layer[0, -1] for layer in layers]).double().numpy())
        first = max(start, 1)
        picked = torch.log_softmax(out.logits[0, first - 1 : -1].double(), -1).gather(1, tokens[0, first:, None])
        logprobs.append(picked.sum().item())
    return np.stack(streams), np.array(logprobs)


def deviation(streams, logprobs, reference, tokens):
    exact, exact_logprobs = reference
    rms = np.sqrt((exact**2).mean(axis=2, keepdims=True))
    away = np.abs(streams - exact) / rms
    layer = int(away.max(axis=(0, 2)).argmax())
    return away.max(), layer, (np.abs(logprobs - exact_logprobs) / tokens).max()


def check(program, file):
    with tempfile.TemporaryDirectory() as folder:
        ours = vstar(program, file, Path(folder))
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    rows, counts = [], []
    for prompt, response in TEXTS:
        text = tokenizer(prompt + response, return_offsets_mapping=True)
        start = next(i for i, (a, b) in enumerate(text["offset_mapping"]) if b > len(prompt))
        rows.append((text["input_ids"], start))
        counts.append(len(text["input_ids"]) - start)
    if ours["ntok"].tolist() != counts:
        sys.exit(f"{file}: vstar reads {ours['ntok'].tolist()} tokens in the responses, transformers {counts}")
    parameters = sum(int(t.n_elements) for t in GGUFReader(file).tensors)
    double = parameters <= MOST_IN_DOUBLE
    reference = transformers(file, torch.float64 if double else torch.float32, rows)
    tokens = np.array(counts)
    worst, layer, logprob = deviation(ours["resid"].astype(np.float64), ours["logprob"], reference, tokens)
    line = f"{file.name:42} {parameters / 1e6:7.1f} M  vstar {worst:.1e} (layer {layer}), log P {logprob:.1e}"
    bound = 5e-4
    if double:
        single, at, single_logprob = deviation(*transformers(file, torch.float32, rows), reference, tokens)
        line += f"   transformers f32 {single:.1e} (layer {at}), log P {single_logprob:.1e}"
        bound = max(bound, 4 * single)
    else:
        line += "   against transformers f32"
    print(line, flush=True)
    return worst <= bound


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program = Path(sys.argv[1]).resolve()
    good = [check(program, Path(file).resolve()) for file in sys.argv[2:]]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
