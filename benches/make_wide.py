#!/usr/bin/env python3
"""Observations as wide as a 7B model's, to time `vstar fit`: d = 4096, N = 10,000 contrasts, 8 labels.

    pip install numpy safetensors
    benches/make_wide.py wide.safetensors [d [prompts [constitutions [values]]]]
    /usr/bin/time -v vstar fit --observations wide.safetensors --layer 0 --out wide

Spectrum j^-1, four responses a prompt, every label a random direction plus noise; six judges as scores, one
value, log P, unless other numbers are given. What all further statements of the paper cost beside the core:
`2048 1667 20 3` (N = 5,001 contrasts, 20 constitutions, 3 values), with VSTAR_LOG=vstar=info for the seconds of each.
"""

import argparse
import json

import numpy as np
from safetensors.numpy import save_file

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("path", help="the file to write")
for name, number in {"d": 4096, "prompts": 3334, "judges": 6, "values": 1}.items():
    parser.add_argument(name, nargs="?", type=int, default=number, help=f"default: {number}")
args = parser.parse_args()
path, d, prompts, judges, values = args.path, args.d, args.prompts, args.judges, args.values
rng = np.random.default_rng(1)
n = prompts * 4
scale = (1 / np.sqrt(np.arange(1, d + 1))).astype(np.float32)
rotation = np.linalg.qr(rng.standard_normal((d, d), dtype=np.float32))[0]
h = (rng.standard_normal((n, d), dtype=np.float32) * scale) @ rotation
h += np.repeat(rng.standard_normal((prompts, d), dtype=np.float32), 4, axis=0)


def label(rho2):
    v = rng.standard_normal(d).astype(np.float32)
    score = h @ v
    within = score.reshape(-1, 4) - score.reshape(-1, 4).mean(1, keepdims=True)
    noise = rng.standard_normal(n).astype(np.float32) * within.std() * np.sqrt(1 / rho2 - 1)
    return (score + noise).astype(np.float32)


tensors = {
    "resid": h.reshape(n, 1, d),
    "prompt": np.repeat(np.arange(prompts, dtype=np.int32), 4),
    "ntok": rng.integers(20, 80, n).astype(np.int32),
    "logprob": label(0.8),
}
tensors |= {f"value.S{i}" if i else "value.S": label(0.4) for i in range(values)}
tensors |= {f"score.c{i}": label(0.7) for i in range(judges)}
save_file(tensors, path, {"format": "vstar-observations/1", "layers": json.dumps([0])})
