"""Compares the token ids of GGUF files with transformers' on the strings of fixtures/token_strings.py.

usage: python check_gguf_tokens.py FILE.gguf ...

Each file is encoded by this program (`cargo run --release --example encode`), by transformers' own reading of the
GGUF file, and by the family's tokenizer: the vocabulary and merges of the file with the steps of the family's
`tokenizer.json`, where transformers' reading of GGUF files leaves some out. Fails if any string differs from the
family's tokenizer. Needs transformers and gguf (fixtures/requirements.txt).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers
from tokenizers import AddedToken, pre_tokenizers
from transformers import AutoTokenizer
from transformers.integrations.gguf import get_gguf_tokenizer
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "fixtures"))

from token_strings import strings  # noqa: E402

transformers.logging.set_verbosity_error()


def ours(path, texts):
    command = ["cargo", "run", "--release", "--quiet", "--example", "encode", "--", str(path.resolve())]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True, cwd=HERE.parent)
    return json.loads(done.stdout)


def family(path, tokenizer):
    """What transformers' reading of the GGUF file leaves out, put back; and what that is."""
    architecture, fields, _ = get_gguf_tokenizer(str(path))
    pre = fields.get("pre_tokenizer_type")
    backend = tokenizer.backend_tokenizer
    if pre == "qwen2":
        backend.normalizer = Qwen2Tokenizer().backend_tokenizer.normalizer
        return "NFC, as Qwen2Tokenizer"
    if pre == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        return "single digits, as SmolLM's tokenizer.json"
    if architecture.startswith("gemma"):
        runs = ["▁" * n for n in range(2, 32)]
        backend.add_tokens([AddedToken(r, normalized=False, special=False) for r in runs])
        return "runs of ▁ in text, as Gemma's tokenizer.json"
    return "nothing"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    texts, wrong = strings(), 0
    for path in map(Path, sys.argv[1:]):
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        got = ours(path, texts)
        plain = [tokenizer(t)["input_ids"] for t in texts]
        added = family(path, tokenizer)
        own = [tokenizer(t)["input_ids"] for t in texts]
        differ = [t for t, a, b in zip(texts, got, own) if a != drop_doubled(tokenizer, b)]
        from_plain = [t for t, a, b in zip(texts, got, plain) if a != drop_doubled(tokenizer, b)]
        print(f"{path.name}: {len(texts)} strings, {sum(map(len, got))} tokens")
        print(f"  other than transformers' reading of the file: {len(from_plain)}")
        print(f"  other than the family's tokenizer ({added} added): {len(differ)}")
        for text in differ[:20]:
            print(f"    {text!r}")
        wrong += len(differ)
    sys.exit(1 if wrong else 0)


def drop_doubled(tokenizer, ids):
    """A beginning-of-sequence token that the text brings is not added a second time."""
    return ids[1:] if ids[:2] == [tokenizer.bos_token_id] * 2 else ids


if __name__ == "__main__":
    main()
