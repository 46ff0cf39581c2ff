#!/usr/bin/env python3
"""Compares the figures of two builds of vstar.

    python3 scripts/same_figures.py OLD NEW [--regimes NAME...] [--words]

Both binaries fit tests/fixtures/known/A_tall, run the quick start, and draw and fit one data set of every regime of
`vstar simulate` (or of the named ones). Every number of the two `report.json` must agree to 1e-9 relative (1e-12 absolute);
everything else but `provenance` must be equal. The order of estimates is free: they are compared by what they are of. With `--words` the pages (`report.md`) must be equal too. Prints each
difference with its path and exits with 1 if there is one. Needs Python 3.9 and nothing else.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KNOWN = ROOT / "tests/fixtures/known/A_tall.observations.safetensors"
RELATIVE, ABSOLUTE = 1e-9, 1e-12


def call(binary, *arguments, cwd):
    done = subprocess.run([binary, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{binary} {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def differences(old, new, path=""):
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            at = f"{path}.{key}"
            if key not in old or key not in new:
                yield f"{at}: only in the {'new' if key in new else 'old'} one"
            elif not (path == "" and key == "provenance"):
                yield from differences(old[key], new[key], at)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path}: {len(old)} entries, now {len(new)}"
        for i, (a, b) in enumerate(zip(old, new)):
            yield from differences(a, b, f"{path}[{i}]")
    elif isinstance(old, float) or isinstance(new, float):
        numbers = all(isinstance(x, (int, float)) for x in (old, new))
        if not numbers or not math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            yield f"{path}: {old!r}, now {new!r}"
    elif old != new:
        yield f"{path}: {old!r}, now {new!r}"


KEY = ("quantity", "value", "value2", "constitution", "constitution2", "judge", "control", "layer", "k", "lambda_sd")


def by_key(report):
    """The report with its estimates as an object; those of one key are numbered."""
    named, times = {}, {}
    for estimate in report["estimates"]:
        key = " ".join(f"{k}={estimate[k]}" for k in KEY if estimate.get(k) is not None)
        times[key] = times.get(key, 0) + 1
        named[f"{key} #{times[key]}"] = estimate
    return {**report, "estimates": named}


def reports(binary, folder, regimes):
    """Folders of finished reports by name."""
    folder.mkdir()
    call(binary, "fit", "--quiet", "--observations", KNOWN, "--out", "known", cwd=folder)
    call(binary, "run", "--quiet", "--out", "quick", cwd=folder)
    for regime in regimes:
        call(binary, "simulate", regime, "--out", f"data-{regime}", cwd=folder)
        (data,) = (folder / f"data-{regime}").glob("*observations*.safetensors")
        call(binary, "fit", "--quiet", "--observations", data, "--out", regime, cwd=folder)
    return {name: folder / name for name in ["known", "quick", *regimes]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--regimes", nargs="*")
    parser.add_argument("--words", action="store_true", help="compare report.md too")
    given = parser.parse_args()
    old, new = given.old.resolve(), given.new.resolve()
    listed = [line.split()[0] for line in call(old, "simulate", cwd=ROOT).splitlines() if line.strip()]
    regimes = listed if given.regimes is None else given.regimes
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        before, after = reports(old, folder / "old", regimes), reports(new, folder / "new", regimes)
        for name in before:
            read = [json.loads((side[name] / "report.json").read_text()) for side in (before, after)]
            found = list(differences(*map(by_key, read)))
            if given.words:
                pages = [(side[name] / "report.md").read_text().split("\n## Provenance")[0] for side in (before, after)]
                found += ["report.md"] if pages[0] != pages[1] else []
            print(f"{name}: {len(read[0]['estimates'])} estimates, {len(found)} differences")
            for line in found[:20]:
                print(f"  {line}")
            wrong += len(found)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
