"""Checks the Python package against the program: planted activations are written, fitted and read back.

usage: VSTAR=target/release/vstar PYTHONPATH=python python3 scripts/check_python.py
Needs numpy and safetensors.
"""

import tempfile
from pathlib import Path

import numpy as np
import vstar

rng = np.random.default_rng(0)
prompts, responses, width = 300, 4, 24
rows = prompts * responses
h = rng.normal(size=(rows, 2, width))
s = h[:, 1, 0] + np.sqrt(0.5) * rng.normal(size=rows)  # rho2 = 2/3 at the second layer, 0 at the first
reward = h[:, 1, 0] + h[:, 1, 1]  # cosine .71
pairs = np.array([[row, row + 1] for row in range(rows) if row % responses < responses - 1])
margin = reward[pairs[:, 0]] - reward[pairs[:, 1]]
noise = [rng.normal(size=len(pairs)) * 0.01 for _ in range(4)]

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "mine.safetensors"
    placebos = {f"placebo-{i}": (pairs, n, -n) for i, n in enumerate(noise)}
    vstar.write_observations(
        path,
        h,
        layers=[3, 7],
        prompt=np.arange(rows) // responses,
        values={"kind": s},
        judgments={"be kind": (pairs, margin + 0.2, -margin + 0.2), **placebos},
        model="planted",
        placebos=placebos,
    )
    run = vstar.fit(path, out=Path(folder) / "out", layer=7)
    rho2 = run.estimate("rho2", value="kind")
    cos = run.estimate("alignment", value="kind", constitution="be kind")
    assert rho2["lo"] - 0.05 < 2 / 3 < rho2["hi"] + 0.05, rho2
    assert cos["lo"] - 0.05 < np.sqrt(0.5) < cos["hi"] + 0.05, cos
    assert run.layers == [3, 7] and run.directions["v_star.kind"].shape == (2, width), run.layers
    v = run.directions["v_star.kind"][1]
    assert v[0] / np.linalg.norm(v) > 0.95, v
    verdict = [v for v in run.verdicts if v["constitution"] == "be kind"]
    assert [v["verdict"] for v in verdict] == ["improves"], verdict
    try:
        vstar.fit(path, out=Path(folder) / "out", layer=5)
        raise SystemExit("a layer that is not there was accepted")
    except vstar.VstarError as refused:
        assert "5" in str(refused), refused
    try:
        vstar.write_observations(path, h, values={"kind": s[:-1]})
        raise SystemExit("a short column was accepted")
    except ValueError as refused:
        assert "value.kind" in str(refused), refused
    ran = vstar.run(model="embedded:hearth-xs", limit=40, out=Path(folder) / "run")
    with ran.observations() as file:
        assert file.get_slice("resid").get_shape()[0] == len(file.get_tensor("prompt"))
    try:
        print(f"{len(ran.estimates)} estimates as a data frame")
    except ImportError:
        print(f"{len(ran.records)} estimates as records; pandas is not there")
print("the Python package reads and writes what the program does")
