"""Hugging Face transformers and vstar on the same weights and the same job, side by side.

usage: python compare_transformers.py --vstar target/release/vstar [--shape SHAPE] [--job JOB] [--dtype f32|bf16]
                                       [--device cuda]

Needs torch, transformers, safetensors and tokenizers in the Python that runs it. It writes a model of the named shape
with random weights and a word-level tokenizer, items and constitutions into a temporary folder, runs both programs
alternately as whole processes, and prints the processor, for each pair wall time, peak resident memory and their ratios,
and the operations of both, so that speed per operation can be told from what is not computed twice; then it checks that both wrote the same pooled residuals and log-probabilities, and exits with 1 if they did not.

Jobs: `constitutions` (K constitutions x P prompts x R responses, in which vstar shares prefixes) and `capture`
(rows that share nothing). transformers computes each sequence whole, in batches, with `output_hidden_states`, pools in
place, and forms logits at the response's positions only: what a careful user would write. Its time is also given
without the interpreter's start and imports.

With `--device cuda` (a vstar built with `--features cuda`) both compute on the GPU. transformers pools and scores a
whole batch there before anything is copied back. Loading then takes most of the time of both processes, so the time of
the computation alone is given too: of transformers as it measures it, of vstar as the time of the job less that of the
same command on one item without constitutions. The peak of the card's memory is read from nvidia-smi.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

SHAPES = {
    "small": dict(
        model_type="llama",
        vocab_size=2048,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
    ),
    "smollm2-135m": dict(
        model_type="llama",
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_theta=100000.0,
    ),
    "qwen2.5-0.5b": dict(
        model_type="qwen2",
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        rope_theta=1000000.0,
    ),
    "llama-3.2-1b": dict(
        model_type="llama",
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
    ),
    "qwen2.5-7b": dict(
        model_type="qwen2",
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        rope_theta=1000000.0,
        tie_word_embeddings=False,
    ),
}
DTYPES = {"f32": "float32", "bf16": "bfloat16"}
# Largest deviation over a layer's RMS, and of a response's log-probability over its number of tokens.
TOLERANCE = {"f32": (1e-3, 1e-3), "bf16": (0.2, 0.1)}


# What is written once


def write_model(folder, shape, dtype, seed, device):
    """Random weights: norms about 1, matrices scaled so that every block changes the stream; drawn on the device."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {"tie_word_embeddings": True, **SHAPES[shape], "bos_token_id": None, "eos_token_id": None}
    folder.mkdir()
    config = AutoConfig.for_model(**settings)
    with torch.device("meta"):
        net = AutoModelForCausalLM.from_config(config)
    torch.manual_seed(seed)
    tensors = {}
    for name, p in net.named_parameters():
        t = torch.randn(p.shape, device=device)
        if p.ndim == 1:
            t = 0.1 * t + (0.0 if name.endswith("bias") else 1.0)
        else:
            t *= 0.05 if "embed" in name else p.shape[1] ** -0.5
        tensors[name] = t.to(getattr(torch, DTYPES[dtype])).cpu()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    text = {**settings, "architectures": [type(net).__name__], "torch_dtype": DTYPES[dtype]}
    (folder / "config.json").write_text(json.dumps(text, indent=2))
    write_tokenizer(folder, settings["vocab_size"])


def write_tokenizer(folder, size):
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocab = {"<unk>": 0, **{f"w{i}": i for i in range(1, size)}}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = dict(tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_job(folder, args):
    """Items and constitutions of exact lengths in tokens."""
    rng = random.Random(args.seed)
    size = SHAPES[args.shape]["vocab_size"]
    long, prompt, response = args.tokens

    def words(n):
        return " ".join(f"w{rng.randrange(1, size)}" for _ in range(n))

    if args.job == "capture":
        prompts, responses, constitutions = args.rows, 1, 0
    else:
        prompts, responses, constitutions = args.prompts, args.responses, args.constitutions
    with open(folder / "items.jsonl", "w") as file:
        for i in range(prompts):
            answers = [{"text": " " + words(response)} for _ in range(responses)]
            file.write(json.dumps({"id": f"p{i}", "prompt": words(prompt), "responses": answers}) + "\n")
    paths = []
    for i in range(constitutions):
        path = folder / f"c{i}.toml"
        path.write_text(f'name = "c{i}"\nfamily = "neutral"\ntext = "{words(long)}"\n')
        paths.append(str(path))
    total = max(constitutions, 1) * prompts * responses * (prompt + response + (long if constitutions else 0))
    return str(folder / "items.jsonl"), paths, total


# The transformers side, run as a process of its own


def texts(job):
    """(text, first character of the response), in the order of the rows."""
    items = [json.loads(line) for line in Path(job["items"]).read_text().splitlines()]
    heads = [tomllib.loads(Path(p).read_text())["text"] + "\n\n" for p in job["constitutions"]] or [""]
    for head in heads:
        for item in items:
            for response in item["responses"]:
                before = head + item["prompt"]
                yield before + response["text"], len(before)


def encode(tokenizer, job):
    rows = []
    for text, start in texts(job):
        out = tokenizer(text, return_offsets_mapping=True)
        inside = [i for i, (a, b) in enumerate(out["offset_mapping"]) if b > start and a < len(text)]
        rows.append((out["input_ids"], inside[0], inside[-1] + 1))
    return rows


def worker(path):
    began = time.perf_counter()
    job = json.loads(Path(path).read_text())
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    imported = time.perf_counter()
    torch.set_num_threads(job["threads"])
    net = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
    net = net.to(job["device"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    loaded = time.perf_counter()
    rows = encode(tokenizer, job)
    last = []
    net.model.norm.register_forward_pre_hook(lambda _, args: last.append(args[0]))
    # On a GPU every copy back waits for the device: one a batch instead of one a row.
    batch_of = one_batch if job["device"] == "cpu" else one_batch_on_gpu
    layers, width = net.config.num_hidden_layers + 1, net.config.hidden_size
    resid = np.zeros((len(rows), layers, width), np.float32)
    logprob = np.zeros(len(rows))
    ntok = np.array([end - start for _, start, end in rows], np.int32)
    # Rows of like length together, so that little is padding.
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    with torch.inference_mode():
        for at in range(0, len(order), job["batch"]):
            batch_of(net, [(i, rows[i]) for i in order[at : at + job["batch"]]], job["device"], last, resid, logprob)
    np.savez(job["out"], resid=resid, logprob=logprob, ntok=ntok)
    done = time.perf_counter()
    parts = {"import": imported - began, "load": loaded - imported, "compute": done - loaded}
    if torch.cuda.is_available() and job["device"] != "cpu":
        parts["allocated_mib"] = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps(parts))


def forward(net, chunk, device, last):
    """Tokens of a batch, the residual stream at every layer, and what the final norm gives."""
    import torch

    longest = max(len(ids) for _, (ids, _, _) in chunk)
    tokens = torch.zeros(len(chunk), longest, dtype=torch.long)
    mask = torch.zeros(len(chunk), longest, dtype=torch.long)
    for row, (_, (ids, _, _)) in enumerate(chunk):
        tokens[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
    padded = bool((mask == 0).any())
    tokens = tokens.to(device)
    last.clear()
    out = net.model(
        input_ids=tokens,
        attention_mask=mask.to(device) if padded else None,
        output_hidden_states=True,
        use_cache=False,
    )
    # transformers' last entry is after the final norm; what leaves the last block went into that norm.
    return tokens, [*out.hidden_states[:-1], last[0]], out.last_hidden_state


def one_batch(net, chunk, device, last, resid, logprob):
    import torch

    tokens, stream, final = forward(net, chunk, device, last)
    for row, (index, (_, start, end)) in enumerate(chunk):
        pooled = torch.stack([layer[row, start:end].float().mean(0) for layer in stream])
        resid[index] = pooled.cpu().numpy()
        first = max(start, 1)
        logits = net.lm_head(final[row, first - 1 : end - 1]).float()
        picked = torch.log_softmax(logits, -1).gather(1, tokens[row, first:end, None])
        logprob[index] = picked.double().sum().item()


def one_batch_on_gpu(net, chunk, device, last, resid, logprob):
    import torch

    tokens, stream, final = forward(net, chunk, device, last)
    weights = torch.zeros(len(chunk), 1, tokens.shape[1])
    places, owners = [], []
    for row, (_, (_, start, end)) in enumerate(chunk):
        weights[row, 0, start:end] = 1 / (end - start)
        first = max(start, 1)
        places += [row * tokens.shape[1] + t for t in range(first - 1, end - 1)]
        owners += [row] * (end - first)
    weights = weights.to(device)
    pooled = torch.stack([torch.bmm(weights, layer.float())[:, 0] for layer in stream], 1)
    places, owners = torch.tensor(places, device=device), torch.tensor(owners, device=device)
    total = torch.zeros(len(chunk), dtype=torch.float64, device=device)
    flat, ids = final.flatten(0, 1), tokens.flatten()
    for part, owner in zip(places.split(1024), owners.split(1024)):
        logits = net.lm_head(flat[part]).float()
        picked = torch.log_softmax(logits, -1).gather(1, ids[part + 1, None])[:, 0]
        total.index_add_(0, owner, picked.double())
    indices = [index for index, _ in chunk]
    resid[indices] = pooled.cpu().numpy()
    logprob[indices] = total.cpu().numpy()


# Counting


def operations(job, shape, computed):
    """Floating-point operations of both programs, output head included, two a multiplication: transformers computes each
    row whole, vstar `computed` tokens. Attention counts the keys that a token may see."""
    from transformers import AutoTokenizer

    c = SHAPES[shape]
    heads, hidden, inner = c["num_attention_heads"], c["hidden_size"], c["intermediate_size"]
    kv = c["num_key_value_heads"] * (hidden // heads)
    token = 2 * c["num_hidden_layers"] * (2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * inner)
    key = 4 * c["num_hidden_layers"] * hidden
    head = 2 * hidden * c["vocab_size"]
    rows = encode(AutoTokenizer.from_pretrained(job["model"]), job)
    whole = sum(len(ids) * token + len(ids) * (len(ids) + 1) // 2 * key + (b - max(a, 1)) * head for ids, a, b in rows)
    # A prefix that rows share is one node; what stands after a node is asked of its logits.
    ids_of, depths, asked = {}, 0, set()
    for ids, start, end in rows:
        node = 0
        for depth, token_id in enumerate(ids):
            if max(start, 1) <= depth < end:
                asked.add(node)
            step = (node, token_id)
            if step not in ids_of:
                ids_of[step] = len(ids_of) + 1
                depths += depth + 1
            node = ids_of[step]
    # Chunks compute some shared prefixes again.
    again = computed / len(ids_of)
    return float(whole), float(computed * token + again * depths * key + len(asked) * head)


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    said = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    flags = set(said.get("flags", "").split())
    wide = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    model = " ".join(said.get(k, "") for k in ("cpu family", "model"))
    return f"{said.get('model name', 'unknown processor')} (family and model {model}; {', '.join(wide) or 'no AVX2'})"


def card():
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True).stdout.strip() or "unknown GPU"
    except OSError:
        return "unknown GPU"


# Running and comparing


class CardMemory:
    """Peak of the first card's memory in use while it runs, in MiB above what was in use before; None without a card."""

    def __enter__(self):
        self.out, self.child = tempfile.TemporaryFile("w+"), None
        try:
            query = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "50"]
            self.child = subprocess.Popen(query, stdout=self.out, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
        except OSError:
            pass
        return self

    def __exit__(self, *_):
        if self.child:
            self.child.terminate()
            self.child.wait()
        self.out.seek(0)
        used = [int(line) for line in self.out.read().split("\n") if line.strip().isdigit()]
        self.mib = max(used) - used[0] if used else None
        self.out.close()


def run_on(device, command, threads):
    """As `run`, with the peak of the card's memory in MiB."""
    if device == "cpu":
        return *run(command, threads), None
    with CardMemory() as memory:
        out = run(command, threads)
    return *out, memory.mib


def run(command, threads):
    """Wall seconds, peak resident MiB, standard output."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            sys.exit(f"{command[0]} failed with {child.returncode}:\n{out.read()}\n{err.read()}")
        return wall, usage.ru_maxrss / 1024, out.read()


def compare(theirs, ours):
    """Largest deviations: residual over a layer's RMS, log-probability over the number of tokens."""
    import numpy as np
    from safetensors.numpy import load_file

    a, b = np.load(theirs), load_file(ours)
    if a["resid"].shape != b["resid"].shape or not np.array_equal(a["ntok"], b["ntok"]):
        sys.exit(f"not the same rows: {a['resid'].shape} and {b['resid'].shape}, or other token counts")
    rms = np.sqrt((a["resid"].astype(np.float64) ** 2).mean(axis=(0, 2)))
    worst = np.abs(a["resid"] - b["resid"]).max(axis=(0, 2)) / rms
    logprob = (np.abs(a["logprob"] - b["logprob"]) / a["ntok"]).max()
    return float(worst.max()), int(worst.argmax()), float(logprob)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vstar", type=Path, help="the vstar binary")
    parser.add_argument("--shape", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--job", choices=["constitutions", "capture"], default="constitutions")
    parser.add_argument("--constitutions", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--responses", type=int, default=4)
    parser.add_argument("--rows", type=int, default=64, help="rows of the job `capture`")
    parser.add_argument(
        "--tokens",
        type=lambda s: tuple(int(n) for n in s.split(",")),
        default=(150, 40, 50),
        help="tokens of a constitution, a prompt and a response (default 150,40,50)",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of the weights on disk and of both programs")
    parser.add_argument("--batch", type=int, default=16, help="rows in a batch of transformers")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vstar-arg", action="append", default=[], help="one more argument for vstar, repeatable")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if len(args.tokens) != 3 or min(args.tokens) < 1:
        parser.error("--tokens takes three numbers")
    if not args.worker and (args.vstar is None or not args.vstar.is_file()):
        parser.error("--vstar must be the binary")
    return args


def main():
    args = arguments()
    if args.worker:
        return worker(args.worker)
    if args.make:
        return write_model(args.make, args.shape, args.dtype, args.seed, args.device)
    with tempfile.TemporaryDirectory(prefix="vstar-bench-") as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory starts from what its parent holds when it is started, so
        # this process must stay small until both programs have run.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--make", str(folder / "model")], check=True)
        items, constitutions, total = write_job(folder, args)
        job = dict(
            model=str(folder / "model"),
            items=items,
            constitutions=constitutions,
            dtype=DTYPES[args.dtype],
            device=args.device,
            batch=args.batch,
            threads=args.threads,
            out=str(folder / "transformers.npz"),
        )
        (folder / "job.json").write_text(json.dumps(job))
        theirs = [sys.executable, __file__, "--worker", str(folder / "job.json")]
        print(f"{processor()}, {args.threads} threads")
        if args.device != "cpu":
            print(card())
        print(f"{args.shape}, {args.job}, {args.dtype}, {args.device}: {total} tokens in all", flush=True)
        ours = [str(args.vstar.resolve()), "capture", "--model", job["model"], "--data", items]
        settings = ["--template", "none", "--dtype", args.dtype, "--device", args.device, *args.vstar_arg]
        start = None
        if args.device != "cpu":
            # Twice: the first run brings the weights into the page cache, for both programs.
            one = [*ours, "--limit", "1", *settings]
            start = min(run([*one, "--out", str(folder / f"start-{i}")], args.threads)[0] for i in range(2))
        ours += [a for path in constitutions for a in ("--constitution", path)]
        pairs = []
        for i in range(args.pairs):
            a_wall, a_rss, out, a_card = run_on(args.device, theirs, args.threads)
            parts = json.loads(out.splitlines()[-1])
            result = folder / f"vstar-{i}"
            b_wall, b_rss, out, b_card = run_on(args.device, [*ours, *settings, "--out", str(result)], args.threads)
            computed = int(re.search(r"(\d+) computed", out)[1])
            pair = dict(
                transformers_s=a_wall,
                transformers_parts=parts,
                vstar_s=b_wall,
                transformers_mib=a_rss,
                vstar_mib=b_rss,
                ratio=a_wall / b_wall,
                ratio_without_imports=(parts["load"] + parts["compute"]) / b_wall,
                memory_ratio=a_rss / b_rss,
            )
            pairs.append(pair)
            print(
                f"pair {i + 1}: transformers {a_wall:8.2f} s (imports {parts['import']:.2f}) {a_rss:7.0f} MiB   "
                f"vstar {b_wall:8.2f} s {b_rss:7.0f} MiB   ratio {pair['ratio']:.2f} "
                f"(without imports {pair['ratio_without_imports']:.2f}), memory {pair['memory_ratio']:.2f}",
                flush=True,
            )
            if start is not None:
                on_card(pair, parts["compute"], b_wall, start, (a_card, b_card), total)
        resid, layer, logprob = compare(job["out"], result / "observations.safetensors")
        summary(args, pairs, total, operations(job, args.shape, computed), resid, layer, logprob)


def on_card(pair, theirs, wall, start, memory, total):
    """Adds and prints the computation alone, and the peaks of the card's memory."""
    ours = max(wall - start, 1e-3)
    pair.update(transformers_compute_s=theirs, vstar_compute_s=ours, vstar_start_s=start, compute_ratio=theirs / ours)
    pair.update(transformers_card_mib=memory[0], vstar_card_mib=memory[1])
    print(
        f"        computing alone: transformers {theirs:.2f} s ({total / theirs:.0f} tokens/s), vstar {ours:.2f} s "
        f"({total / ours:.0f} tokens/s), ratio {pair['compute_ratio']:.2f}; vstar's start {start:.2f} s; "
        f"card's memory at the peak: transformers {memory[0]} MiB, vstar {memory[1]} MiB",
        flush=True,
    )


def summary(args, pairs, total, work, resid, layer, logprob):
    import torch
    import transformers

    def middle(key):
        values = sorted(p[key] for p in pairs)
        return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"

    print(f"time ratio {middle('ratio')}, without imports {middle('ratio_without_imports')}; "
          f"memory ratio {middle('memory_ratio')}: median (least to most) of {len(pairs)} pairs")
    if args.device != "cpu":
        print(f"ratio of the computation alone {middle('compute_ratio')}")
    fewer, ratio = work[0] / work[1], statistics.median(p["ratio"] for p in pairs)
    bare = statistics.median(p["ratio_without_imports"] for p in pairs)
    print(f"operations: transformers {work[0] / 1e12:.2f} TFLOP, vstar {work[1] / 1e12:.2f}, {fewer:.2f} times less; "
          f"speed per operation {ratio / fewer:.2f} of transformers', {bare / fewer:.2f} without its imports")
    print(f"largest deviation: residual {resid:.1e} of the layer's RMS (layer {layer}), "
          f"log P {logprob:.1e} a token")
    good = resid <= TOLERANCE[args.dtype][0] and logprob <= TOLERANCE[args.dtype][1]
    if args.json:
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k != "worker"}
        figures = dict(settings=settings, tokens=total, pairs=pairs, deviation=resid, logprob_deviation=logprob)
        if args.device != "cpu":
            figures["card"] = card()
        figures.update(processor=processor(), operations=dict(transformers=work[0], vstar=work[1]))
        figures["versions"] = dict(torch=torch.__version__, transformers=transformers.__version__)
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    if not good:
        sys.exit(f"the two do not agree within {TOLERANCE[args.dtype]}")


if __name__ == "__main__":
    main()
