"""Runs ``vstar`` and reads what it writes: estimates as records or a data frame, directions and observations as arrays.

>>> import vstar
>>> vstar.run(model="embedded:hearth-xs", limit=40, out="runs/a")    # doctest: +SKIP
>>> run = vstar.load("runs/a")                                       # doctest: +SKIP
>>> run.estimate("alignment", value="helpful", constitution="helpful")["estimate"]  # doctest: +SKIP

Activations captured elsewhere (transformers, nnsight, TransformerLens) are written by :func:`write_observations` and
fitted by :func:`fit`. The formats are those of ``docs/formats.md``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

__all__ = ["Run", "VstarError", "fit", "load", "program", "run", "write_observations"]


class VstarError(RuntimeError):
    """The program refused, with its message: what, where, expected, found, what to do."""


def program() -> str:
    """Path of the ``vstar`` program: ``$VSTAR``, the one installed beside this package, or the first on the path.

    :raises VstarError: if there is none.
    """
    candidates = [os.environ.get("VSTAR"), shutil.which("vstar", path=sysconfig.get_path("scripts")), shutil.which("vstar")]
    for candidate in candidates:
        if candidate:
            return candidate
    raise VstarError("no `vstar` program: install the package, or set $VSTAR to its path")


def _arguments(flags: Mapping[str, Any]) -> list[str]:
    out: list[str] = []
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            out.append(flag)
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                out += [flag, f"{key}={entry}"]
        elif isinstance(value, (list, tuple)):
            out += [flag, *map(str, value)]
        else:
            out += [flag, str(value)]
    return out


def _call(command: Sequence[str]) -> str:
    done = subprocess.run([program(), *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise VstarError(done.stderr.strip() or f"vstar ended with status {done.returncode}")
    return done.stdout


def run(experiment: str | os.PathLike[str] | None = None, *, out: str | os.PathLike[str], **flags: Any) -> "Run":
    """Captures, judges and fits a model, and returns what was found.

    Flags are those of ``vstar run``: ``model="…"``, ``limit=60``, ``constitution=["honest.toml"]``, ``skip_bad=True``;
    a dictionary repeats the flag (``set={"judge.mode": "implicit"}``).

    :raises VstarError: what the program refuses.
    """
    _call(["run", "--quiet", *([os.fspath(experiment)] if experiment else []), "--out", os.fspath(out), *_arguments(flags)])
    return load(out)


def fit(observations: str | os.PathLike[str], *, out: str | os.PathLike[str], **flags: Any) -> "Run":
    """Fits observations, and returns what was found; flags are those of ``vstar fit``.

    :raises VstarError: what the program refuses.
    """
    command = ["fit", "--quiet", "--observations", os.fspath(observations), "--out", os.fspath(out)]
    _call([*command, *_arguments(flags)])
    return load(out)


def load(folder: str | os.PathLike[str]) -> "Run":
    """What a finished run or fit has written into its folder.

    :raises FileNotFoundError: if the folder holds no ``report.json``.
    """
    return Run(Path(folder))


class Run:
    """A finished run or fit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with open(folder / "report.json", encoding="utf-8") as file:
            #: ``report.json``, as it is.
            self.report: dict[str, Any] = json.load(file)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every estimate, a dictionary each."""
        return self.report["estimates"]

    @property
    def estimates(self) -> Any:
        """Every estimate as a pandas data frame, a row each.

        :raises ImportError: without pandas; :attr:`records` needs none.
        """
        import pandas

        return pandas.DataFrame.from_records(self.records)

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """What training would do, by value and constitution."""
        return self.report["verdicts"]

    def estimate(
        self, quantity: str, *, value: str | None = None, constitution: str | None = None, control: str = "none"
    ) -> dict[str, Any]:
        """The estimate of a quantity, of a value and a constitution where it has them.

        :raises KeyError: if there is none.
        """
        wanted = (quantity, value, constitution, control, None)
        for e in self.records:
            if (e["quantity"], e.get("value"), e.get("constitution"), e["control"], e.get("judge")) == wanted:
                return e
        raise KeyError(f"no estimate of {quantity!r} with value={value!r}, constitution={constitution!r}, control={control!r}")

    @property
    def directions(self) -> dict[str, np.ndarray]:
        """``v_star.VALUE``, ``v_c.CONSTITUTION`` and ``w``: arrays ``[layers, width]``; zeros where nothing could be fitted."""
        with safe_open(self.folder / "directions.safetensors", framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}

    @property
    def layers(self) -> list[int]:
        """The layers of :attr:`directions`, in their order."""
        with safe_open(self.folder / "directions.safetensors", framework="numpy") as file:
            return json.loads((file.metadata() or {})["layers"])

    def observations(self) -> Any:
        """The observations of a run, opened and not read: ``.keys()``, ``.get_tensor(name)``, ``.get_slice("resid")``."""
        return safe_open(self.folder / "observations.safetensors", framework="numpy")


def write_observations(
    path: str | os.PathLike[str],
    resid: np.ndarray,
    *,
    layers: Iterable[int] | None = None,
    prompt: Sequence[int] | None = None,
    values: Mapping[str, Sequence[float]] | None = None,
    judgments: Mapping[str, tuple[Sequence[Sequence[int]], Sequence[float], Sequence[float] | None]] | None = None,
    scores: Mapping[str, Sequence[float]] | None = None,
    logprob: Sequence[float] | None = None,
    ntok: Sequence[int] | None = None,
    model: str = "",
    placebos: Iterable[str] = (),
) -> None:
    """Writes observations that ``vstar fit`` reads.

    :param resid: ``[rows, layers, width]``, or ``[rows, width]`` of one layer: the residual stream, pooled over the response.
    :param layers: numbers of the layers; by default counted from 0.
    :param prompt: a number a row, equal for the responses to one prompt.
    :param values: labels by the value's name, a number a row; NaN where there is none.
    :param judgments: by constitution ``(pairs, ab, ba)``: pairs of rows ``[n, 2]``, log-odds for the first of each pair named
        first, and named second (or ``None``).
    :param scores: a score of each row by constitution, instead of judgments.
    :param logprob: log P of the response given the prompt, in nats.
    :param ntok: tokens of the response, to control for length.
    :param placebos: constitutions that name no value.
    :raises ValueError: for arrays of other lengths.
    """
    resid = np.asarray(resid, dtype=np.float32)
    if resid.ndim == 2:
        resid = resid[:, None, :]
    if resid.ndim != 3:
        raise ValueError(f"resid has {resid.ndim} dimensions, expected [rows, layers, width]")
    rows = resid.shape[0]
    tensors: dict[str, np.ndarray] = {"resid": np.ascontiguousarray(resid)}

    def put(name: str, column: Any, dtype: Any, length: int = rows) -> None:
        array = np.ascontiguousarray(np.asarray(column, dtype=dtype))
        if array.shape[0] != length:
            raise ValueError(f"{name} has {array.shape[0]} entries, expected {length}")
        tensors[name] = array

    if prompt is not None:
        put("prompt", prompt, np.int32)
    if logprob is not None:
        put("logprob", logprob, np.float32)
    if ntok is not None:
        put("ntok", ntok, np.int32)
    for name, column in (values or {}).items():
        put(f"value.{name}", column, np.float32)
    for name, column in (scores or {}).items():
        put(f"score.{name}", column, np.float32)
    for name, (pairs, ab, ba) in (judgments or {}).items():
        put(f"judge.{name}.pair", np.asarray(pairs, dtype=np.int32).reshape(-1, 2), np.int32, len(ab))
        put(f"judge.{name}.ab", ab, np.float32, len(ab))
        if ba is not None:
            put(f"judge.{name}.ba", ba, np.float32, len(ab))
    numbers = list(range(resid.shape[1])) if layers is None else [int(layer) for layer in layers]
    if len(numbers) != resid.shape[1]:
        raise ValueError(f"{len(numbers)} layers are named, resid has {resid.shape[1]}")
    metadata = {"format": "vstar-observations/1", "layers": json.dumps(numbers), "model": model}
    families = {name: "placebo" for name in placebos}
    if families:
        metadata["families"] = json.dumps(families)
    save_file(tensors, os.fspath(path), metadata=metadata)
