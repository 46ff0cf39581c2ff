#!/usr/bin/env python3
"""Reads what `vstar export` writes with the programs it is meant for.

    pip install numpy safetensors gguf
    scripts/check_exports.py VSTAR RUN

VSTAR is the program, RUN the folder of a finished run or fit. Every format is written to a temporary
folder, read with numpy, csv, safetensors and gguf, and compared with RUN/directions.safetensors bit by bit.
"""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGMLQuantizationType
from safetensors import safe_open


def read(path):
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def main():
    vstar, run = sys.argv[1], Path(sys.argv[2])
    truth, notes = read(run / "directions.safetensors")
    layers = json.loads(notes["layers"])
    folder = Path(tempfile.mkdtemp())

    def export(form, *more):
        out = folder / f"x.{form}"
        subprocess.run([vstar, "export", run, "--format", form, "--out", out, *more], check=True)
        return out

    arrays = np.load(export("npz"))
    assert sorted(arrays.files) == sorted([*truth, "layers"])
    assert arrays["layers"].tolist() == layers
    for name, array in truth.items():
        assert arrays[name].dtype == np.float32 and np.array_equal(arrays[name], array), name
    print(f"npz: {len(truth)} directions {array.shape}")

    again, _ = read(export("safetensors"))
    assert again.keys() == truth.keys() and all(np.array_equal(again[n], truth[n]) for n in truth)
    print("safetensors: the same")

    with open(export("csv"), newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(a.size for a in truth.values())
    for line in lines:
        value = truth[line["direction"]][layers.index(int(line["layer"])), int(line["index"])]
        assert np.float32(line["value"]) == value, line
    with open(folder / "x.estimates.csv", newline="") as file:
        estimates = list(csv.DictReader(file))
    report = json.loads((run / "report.json").read_text())["estimates"]
    assert [e["quantity"] for e in estimates] == [e["quantity"] for e in report]
    for line, e in zip(estimates, report):
        # Read from JSON and written again: the last bit may differ.
        same = e["estimate"] is not None and np.isclose(float(line["estimate"]), e["estimate"], 1e-15, 0)
        assert same or line["estimate"] == "" and e["estimate"] is None, line
        assert line["warnings"] == "; ".join(e["warnings"])
    print(f"csv: {len(lines)} numbers, {len(estimates)} estimates")

    for name, array in truth.items():
        reader = GGUFReader(export("gguf", "--direction", name))
        text = lambda key: reader.fields[key].contents()
        assert text("general.architecture") == "controlvector"
        assert text("controlvector.model_hint") == notes.get("model_type", "unknown")
        steered = [layer for layer in layers if layer > 0]
        assert text("controlvector.layer_count") == len(steered)
        assert [t.name for t in reader.tensors] == [f"direction.{layer}" for layer in steered]
        for tensor, layer in zip(reader.tensors, steered):
            assert tensor.tensor_type == GGMLQuantizationType.F32
            assert np.array_equal(tensor.data, array[layers.index(layer)]), tensor.name
    print(f"gguf: {len(truth)} control vectors")


main()
