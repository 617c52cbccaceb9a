"""Times Napistu-Torch 0.4.0 beside `microtome-anatomy` on the same sizes: comparison of residual streams and routing at one K.

    cargo build --release -p microtome-anatomy --example full_size
    python bench/napistu.py --ours target/release/examples/full_size [--genes 4000] [--blocks 4] [--width 512] [--heads 8]
        [--repeats 3] [--full] [--known-routing 549 --known-streams 719]

The peer holds several n x n matrices (9 GB for routing and 20 GB for streams at 19,264 genes and 4 blocks), so the default is a
size that fits 4 GB. Both sides see random data of the same shape and use the same number of threads. Ours does more in its time:
four values of K at once, self pairs kept out of ranks, ranks not rounded to single precision. Each side runs in a process of its
own, in turn, `--repeats` times; printed are medians of wall seconds, peak memory, the load of the machine, and ratios.

`--full` also times ours at 19,264 genes, 16 blocks and four K, which the peer cannot hold, and prints what the peer would take there by
its own cost, EXTRAPOLATED: routing grows with genes^2, blocks and the number of K (one call each); streams with genes^2 and with
blocks x (blocks - 1), since both vectors of every pair are ranked anew. It starts from the seconds measured in this run, or from those
that `--known-*` give for 19,264 genes and 4 blocks. Requirements: golden/anatomy/napistu/requirements.txt.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time


def peer(part, n, blocks, d, heads, threads):
    # This file has the name of a package that the peer imports.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.abspath(p) != here]
    import logging

    import numpy as np
    import pandas as pd
    import torch
    from napistu_torch.foundation_models.foundation_models import AttentionLayer, FoundationModel, FoundationModelWeights
    from napistu_torch.foundation_models.attention_patterns import LayerwiseAttentionInputs
    from napistu_torch.foundation_models.gene_embeddings import GeneEmbeddings, GeneEmbeddingsSet

    logging.disable(logging.INFO)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    ids = [f"ENSG{i:011d}" for i in range(n)]
    table = pd.DataFrame({"ensembl_gene": ids, "vocab_name": ids})
    base = rng.standard_normal((n, d), dtype=np.float32)

    def embedding(x, layer):
        return GeneEmbeddings(
            embedding=x, ordered_gene_ids=ids, gene_annotations=table, model_name="toy", layer_idx=layer,
            dataset_name="toy", category="all" if layer is not None else None,
        )

    streams = {
        b: embedding(base + np.float32(0.1 * (b + 1)) * rng.standard_normal((n, d), dtype=np.float32), b) for b in range(blocks)
    }
    matrix = lambda: rng.standard_normal((d, d), dtype=np.float32) / np.float32(d**0.5)
    layers = [AttentionLayer(layer_idx=b, W_q=matrix(), W_k=matrix(), W_v=matrix(), W_o=matrix()) for b in range(blocks)]
    static = GeneEmbeddings(embedding=base, ordered_gene_ids=ids, gene_annotations=table, model_name="toy")
    meta = dict(
        model_name="toy", model_variant=None, n_genes=n, n_vocab=n, ordered_vocabulary=ids, embed_dim=d, n_layers=blocks,
        n_heads=heads,
    )
    model = FoundationModel(FoundationModelWeights(static_gene_embeddings=static, attention_layers=layers), table, meta)
    start = time.perf_counter()
    if part == "rsa":
        GeneEmbeddingsSet.from_gene_embeddings(list(streams.values())).compare_embeddings()
    else:
        inputs = LayerwiseAttentionInputs(streams, model)
        inputs.compare_layer_attention_consistency(top_k=10_000, by_absolute_value=False, ignore_self_attention=True)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mebibytes": peak}))


FULL = (19264, 16, 512, 8)
KS = 4


def run_peer(part, a):
    command = [sys.executable, __file__, "--peer", part, "--genes", str(a.genes), "--blocks", str(a.blocks), "--width", str(a.width)]
    command += ["--heads", str(a.heads), "--threads", str(a.threads)]
    out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return out["seconds"], out["mebibytes"]


def run_ours(part, shape, a):
    environment = {"RAYON_NUM_THREADS": str(a.threads), "PATH": "/usr/bin:/bin"}
    command = [a.ours, *map(str, shape), part]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    found = re.search(rf"^{part}: ([0-9.]+) s, peak memory so far (\d+) MiB", text, re.MULTILINE)
    return float(found[1]), float(found[2])


def median(rows):
    return tuple(statistics.median(column) for column in zip(*rows))


def extrapolated(part, seconds, genes, blocks):
    """Seconds of the peer at FULL from its seconds at another size."""
    pairs = (FULL[0] / genes) ** 2
    if part == "rsa":
        return seconds * pairs * FULL[1] * (FULL[1] - 1) / (blocks * (blocks - 1))
    return seconds * pairs * FULL[1] / blocks * KS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours")
    parser.add_argument("--genes", type=int, default=4000)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--known-routing", type=float, help="seconds of the peer's routing at 19,264 genes, 4 blocks and one K")
    parser.add_argument("--known-streams", type=float, help="seconds of the peer's comparison of streams at 19,264 genes and 4 blocks")
    parser.add_argument("--peer", choices=["rsa", "raw"], help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.peer:
        peer(a.peer, a.genes, a.blocks, a.width, a.heads, a.threads)
        return
    if not a.ours:
        parser.error("--ours is needed: the example `full_size`")
    load = lambda: f"load {os.getloadavg()[0]:.1f}"
    print(f"{a.genes} genes, {a.blocks} blocks, width {a.width}, {a.heads} heads, {a.threads} threads, {load()} at the start")
    shape = (a.genes, a.blocks, a.width, a.heads)
    for part, name, known in (("rsa", "comparison of residual streams", a.known_streams), ("raw", "routing", a.known_routing)):
        rows = [(run_peer(part, a), run_ours(part, shape, a)) for _ in range(a.repeats)]
        theirs, ours = median([r[0] for r in rows]), median([r[1] for r in rows])
        print(
            f"{name}: Napistu-Torch {theirs[0]:.1f} s and {theirs[1]:.0f} MiB, ours {ours[0]:.2f} s and {ours[1]:.0f} MiB: "
            f"{theirs[0] / ours[0]:.1f} times as fast (medians of {a.repeats}, {load()})", flush=True,
        )
        if part == "raw":
            print(f"  ours finds {KS} K at once, the peer one: {KS * theirs[0] / ours[0]:.1f} times for {KS} K", flush=True)
        if a.full:
            mine = median([run_ours(part, FULL, a) for _ in range(a.repeats)])
            print(f"  ours at {FULL[0]} genes and {FULL[1]} blocks: {mine[0]:.1f} s and {mine[1]:.0f} MiB ({load()})")
            for what, seconds, n, blocks in (("this run", theirs[0], a.genes, a.blocks), ("19264 genes, 4 blocks", known, FULL[0], 4)):
                if seconds:
                    guess = extrapolated(part, seconds, n, blocks)
                    print(f"  EXTRAPOLATED from {what}: Napistu-Torch {guess:.0f} s, {guess / mine[0]:.0f} times", flush=True)


main()
