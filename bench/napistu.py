"""Times Napistu-Torch 0.4.0 beside `microtome-anatomy` on the same sizes: comparison of residual streams and routing at one K.

    cargo build --release -p microtome-anatomy --example full_size
    python bench/napistu.py --ours target/release/examples/full_size [--genes 4000] [--blocks 4] [--width 512] [--heads 8]

The peer holds several n x n matrices (9 GB for routing and 20 GB for streams at 19,264 genes and 4 blocks), so the default is a
size that fits 4 GB. Both sides see random data of the same shape and use the same number of threads. Ours does more in its time:
four values of K at once, self pairs kept out of ranks, ranks not rounded to single precision. Each side runs in a process of its
own; printed are wall seconds, peak memory and ratios. Requirements: golden/anatomy/napistu/requirements.txt.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import time


def peer(part, n, blocks, d, heads, threads):
    import logging

    import numpy as np
    import pandas as pd
    import torch
    from napistu_torch.foundation_models.attention_patterns import LayerwiseAttentionInputs
    from napistu_torch.foundation_models.foundation_models import AttentionLayer, FoundationModel, FoundationModelWeights
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours")
    parser.add_argument("--genes", type=int, default=4000)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", choices=["rsa", "raw"], help=argparse.SUPPRESS)
    a = parser.parse_args()
    shape = [str(v) for v in (a.genes, a.blocks, a.width, a.heads)]
    if a.peer:
        peer(a.peer, a.genes, a.blocks, a.width, a.heads, a.threads)
        return
    if not a.ours:
        parser.error("--ours is needed: the example `full_size`")
    print(f"{a.genes} genes, {a.blocks} blocks, width {a.width}, {a.heads} heads, {a.threads} threads")
    for part, name in (("rsa", "comparison of residual streams"), ("raw", "routing")):
        command = [sys.executable, __file__, "--peer", part, "--genes", shape[0], "--blocks", shape[1], "--width", shape[2]]
        command += ["--heads", shape[3], "--threads", str(a.threads)]
        theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        environment = {"RAYON_NUM_THREADS": str(a.threads), "PATH": "/usr/bin:/bin"}
        text = subprocess.run([a.ours, *shape, part], check=True, capture_output=True, text=True, env=environment).stdout
        ours = re.search(rf"^{part}: ([0-9.]+) s, peak memory so far (\d+) MiB", text, re.MULTILINE)
        seconds, peak = float(ours[1]), float(ours[2])
        print(
            f"{name}: Napistu-Torch {theirs['seconds']:.1f} s and {theirs['mebibytes']:.0f} MiB, "
            f"ours {seconds:.2f} s and {peak:.0f} MiB: {theirs['seconds'] / seconds:.0f} times as fast"
        )


main()
