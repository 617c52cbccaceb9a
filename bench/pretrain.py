"""Pretraining beside an equivalent loop in PyTorch: the same network, the same cells, the same tokens per step.

    cargo build --release -p microtome-cli
    python bench/pretrain.py --cells cells.h5ad [--preset tiny] [--steps 12] [--repeats 3]

Ours is timed from the wall clock of runs of N and of 2 N steps, so that reading and starting up cancel. PyTorch runs in this process with
fused attention, on the cells' own lengths (padded to the longest of a part, with a key mask), AdamW and gradient clipping; its loop is
not charged for reading, tokenising or masking. Both take turns. Ratios above 1 mean that ours is faster.
"""

import argparse
import json
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def read_safetensors(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        data = f.read()
    types = {"I64": np.int64, "F32": np.float32}
    return {
        name: np.frombuffer(data[slice(*t["data_offsets"])], types[t["dtype"]]).reshape(t["shape"])
        for name, t in header.items()
        if name != "__metadata__"
    }


class Block(nn.Module):
    def __init__(self, d, heads, f):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, f), nn.Linear(f, d)

    def forward(self, x, mask):
        b, n, d = x.shape
        q, k, v = (t.view(b, n, self.heads, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(z.transpose(1, 2).reshape(b, n, d)))
        return self.norm2(x + self.down(F.relu(self.up(x))))


class Bert(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c["hidden_size"]
        self.words = nn.Embedding(c["vocab_size"], d)
        self.positions = nn.Embedding(c["max_position_embeddings"], d)
        self.norm = nn.LayerNorm(d)
        self.blocks = nn.ModuleList(
            Block(d, c["num_attention_heads"], c["intermediate_size"]) for _ in range(c["num_hidden_layers"])
        )
        self.dense, self.head_norm = nn.Linear(d, d), nn.LayerNorm(d)
        self.bias = nn.Parameter(torch.zeros(c["vocab_size"]))
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, keep, rows):
        mask = None if keep.all() else keep[:, None, None, :]
        x = self.norm(self.words(ids) + self.positions(torch.arange(ids.shape[1])))
        for block in self.blocks:
            x = block(x, mask)
        return F.linear(self.head_norm(F.relu(self.dense(x.flatten(0, 1)[rows]))), self.words.weight, self.bias)


def batches(cells, order, batch_tokens, part_tokens):
    """Steps of parts of whole cells, cut as ours are."""
    at = 0
    while True:
        parts, part, held, total = [], [], 0, 0
        while total < batch_tokens:
            cell = cells[order[at % len(order)]]
            at += 1
            if part and held + len(cell) > part_tokens:
                parts.append(part)
                part, held = [], 0
            part.append(cell)
            held += len(cell)
            total += len(cell)
        parts.append(part)
        yield parts, total


def masked(part, rng):
    longest = max(map(len, part))
    ids, keep = np.zeros((len(part), longest), np.int64), np.zeros((len(part), longest), bool)
    rows, targets = [], []
    for i, cell in enumerate(part):
        ids[i, : len(cell)], keep[i, : len(cell)] = cell, True
        hidden = rng.choice(len(cell), max(1, round(0.15 * len(cell))), replace=False)
        rows.append(i * longest + hidden)
        targets.append(cell[hidden])
        ids[i, hidden] = 1
    return tuple(map(torch.from_numpy, (ids, keep, np.concatenate(rows), np.concatenate(targets))))


def torch_rate(config, cells, args):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = Bert(config)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)
    stream = batches(cells, rng.permutation(len(cells)), args.batch_tokens, args.part_tokens)
    tokens = seconds = 0
    for step in range(args.steps + 2):
        parts, total = next(stream)
        parts = [masked(p, rng) for p in parts]
        n = sum(len(p[3]) for p in parts)
        begun = time.perf_counter()
        for ids, keep, rows, targets in parts:
            (F.cross_entropy(net(ids, keep, rows), targets, reduction="sum") / n).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if step >= 2:  # the first ones warm up
            tokens, seconds = tokens + total, seconds + time.perf_counter() - begun
    return tokens / seconds


def ours(args, out, steps):
    command = [args.program, "pretrain", args.cells, "--preset", args.preset, "--steps", str(steps), "--held-out", "0"]
    command += ["--batch-tokens", str(args.batch_tokens), "--part-tokens", str(args.part_tokens)]
    command += ["--keep-every", "1000000", "--threads", str(args.threads), "--out", out, "--overwrite", "--quiet", "--json"]
    begun = time.perf_counter()
    card = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return card["tokens"], time.perf_counter() - begun


def our_rate(args, out):
    (few, short), (many, long) = ours(args, out, args.steps), ours(args, out, 2 * args.steps)
    return (many - few) / (long - short)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(HERE, "..", "target", "release", "microtome"))
    parser.add_argument("--cells", required=True, help=".h5ad file")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--part-tokens", type=int, default=2_048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        out, tokens = os.path.join(folder, "model"), os.path.join(folder, "tokens.safetensors")
        ours(args, out, 1)
        config = json.loads(pathlib.Path(out, "config.json").read_text())
        subprocess.run([args.program, "tokenize", args.cells, "--model", out, "--out", tokens, "--quiet"], check=True, capture_output=True)
        found = read_safetensors(tokens)
        cells = [c for c in np.split(found["tokens.ids"], found["tokens.offsets"][1:-1]) if len(c) > 1]
        pairs = [(our_rate(args, out), torch_rate(config, cells, args)) for _ in range(args.repeats)]
    a, b = (statistics.median(rates) for rates in zip(*pairs))
    ratios = sorted(x / y for x, y in pairs)
    print(f"load {os.getloadavg()[0]:.1f}; {args.threads} threads; {np.mean([len(c) for c in cells]):.0f} tokens per cell")
    print("| what | ours | peer | unit | ratio |\n|---|---|---|---|---|")
    print(f"| pretraining {args.preset} (PyTorch {torch.__version__}) | {a:.0f} | {b:.0f} | tokens/s | {a / b:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) |")


if __name__ == "__main__":
    main()
