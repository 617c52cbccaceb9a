"""Times a BERT of published size on the lengths of real cells: the program's `embed` beside Hugging Face's BertModel.

    python bench/lengths.py --bin target/release/microtome --vocab DIR --data cells.h5ad... [--precision f32|bf16x3|bf16]

Both run the same untrained checkpoint (Geneformer V2, 12 blocks, width 768) on the same tokens with the same number of threads, in turn.
Timed is the forward pass alone, on our side as `embed` reports it. PyTorch gets what serves it best: inference mode, fused attention,
cells sorted by length, no mask where a batch has one length, and the fastest of several batch sizes, chosen before anything is timed.
Both sides' mean-pooled last block must agree, so that the same work is timed.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np

BATCHES = (1, 2, 4, 8, 16)
SITE = "blocks.11.resid_post"


def make_checkpoint(program, vocab, preset, folder):
    out = os.path.join(folder, preset)
    subprocess.run([program, "init", "--family", "geneformer", "--preset", preset, "--like", vocab, "--seed", "0", "--out", out], check=True, capture_output=True)
    return out


def tokens_of(program, data, checkpoint, n_cells, folder):
    from safetensors.numpy import load_file

    out = os.path.join(folder, "tokens.safetensors")
    subprocess.run([program, "-q", "tokenize", data, "--model", checkpoint, "--max-cells", str(n_cells), "--out", out], check=True, capture_output=True)
    t = load_file(out)
    os.remove(out)
    ends = t["tokens.offsets"]
    return [t["tokens.ids"][a:b] for a, b in zip(ends[:-1], ends[1:])]


def ours(program, data, checkpoint, n_cells, threads, precision, folder):
    """Seconds of the forward pass, and the pooled last block [cell, d]."""
    import h5py

    out = os.path.join(folder, "ours.h5ad")
    command = [program, "-q", "embed", data, "--model", checkpoint, "--max-cells", str(n_cells), "--sites", SITE]
    command += ["--threads", str(threads), "--overwrite", "--json", "--precision", precision, "--out", out]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    with h5py.File(out) as f:
        pooled = f["obsm"][f"X_geneformer.{SITE}"][:]
    return report["cells"]["forward_seconds"], pooled


class Torch:
    """The same checkpoint in transformers."""

    def __init__(self, checkpoint, threads, bf16):
        import torch
        import transformers

        torch.set_num_threads(threads)
        self.torch = torch
        dtype = torch.bfloat16 if bf16 else torch.float32
        self.model = transformers.BertModel.from_pretrained(checkpoint, add_pooling_layer=False, attn_implementation="sdpa", dtype=dtype).eval()

    def run(self, cells, batch):
        """Seconds, and the mean of the last block over each cell's gene tokens (not <cls> and <eos>), in input order."""
        torch, order = self.torch, sorted(range(len(cells)), key=lambda c: -len(cells[c]))
        pooled = np.zeros((len(cells), self.model.config.hidden_size), np.float32)
        start = time.perf_counter()
        with torch.inference_mode():
            for at in range(0, len(order), batch):
                chosen = order[at : at + batch]
                longest = len(cells[chosen[0]])
                ids = torch.zeros((len(chosen), longest), dtype=torch.long)
                for row, c in enumerate(chosen):
                    ids[row, : len(cells[c])] = torch.from_numpy(cells[c])
                same = len(cells[chosen[-1]]) == longest
                lengths = torch.tensor([len(cells[c]) for c in chosen])
                mask = None if same else torch.arange(longest)[None] < lengths[:, None]
                hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
                for row, c in enumerate(chosen):
                    pooled[c] = hidden[row, 1 : len(cells[c]) - 1].float().mean(0).numpy()
        return time.perf_counter() - start, pooled

    def best_batch(self, cells):
        """Fastest batch size on every eighth cell by length."""
        some = [cells[c] for c in sorted(range(len(cells)), key=lambda c: len(cells[c]))][::8]
        self.run(some[:1], 1)
        return min(BATCHES, key=lambda b: self.run(some, b)[0])


def measure(program, data, vocab, n_cells, threads, repeats, precision):
    """Rows for the table: what, ours, peer, unit, ratio. PyTorch has no bf16x3 and runs f32 there."""
    bf16 = precision == "bf16"
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = make_checkpoint(program, vocab, "v2-104m", folder)
        cells = tokens_of(program, data, checkpoint, n_cells, folder)
        peer = Torch(checkpoint, threads, bf16)
        batch = peer.best_batch(cells)
        mine, theirs = [], []
        for _ in range(repeats):
            seconds, a = ours(program, data, checkpoint, n_cells, threads, precision, folder)
            mine.append(seconds)
            seconds, b = peer.run(cells, batch)
            theirs.append(seconds)
        error = float(np.abs(a - b).max())
        if error > (0.1 if bf16 else 1e-4):
            raise SystemExit(f"the two sides did not do the same work: largest difference {error}")
        lengths = [len(c) for c in cells]
        a, b = statistics.median(mine), statistics.median(theirs)
        name = f"{os.path.basename(data)}, {len(cells)} cells of {min(lengths)} to {max(lengths)} tokens (mean {np.mean(lengths):.0f})"
        return [(f"{name}, {precision}; PyTorch in batches of {batch}", len(cells) / a, len(cells) / b, "cells/s", b / a)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--vocab", required=True, help="folder with Geneformer's V2 dictionaries")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="f32")
    args = parser.parse_args()
    for data in args.data:
        for what, a, b, unit, ratio in measure(args.bin, data, args.vocab, args.cells, args.threads, args.repeats, args.precision):
            print(f"{what}: ours {a:.2f}, PyTorch {b:.2f} {unit}, ratio {ratio:.2f}", flush=True)
