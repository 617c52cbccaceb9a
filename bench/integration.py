"""Times the whole set of integration metrics beside scib-metrics, on simulated cells, in turn.

    python bench/integration.py --ours target/release/examples/integration [--cells 20000] [--repeats 3]

Both compute isolated labels, k-means and Leiden NMI/ARI, silhouettes of labels and batches, iLISI, cLISI, kBET, graph connectivity and the
PCR comparison; ours adds BRAS, CiLISI, purities and isolated F1. scib-metrics looks for neighbours with pynndescent (approximate, its
default), ours exactly. Its functions are compiled by a run on other cells before anything is timed.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np

N_LABELS, N_BATCHES, N_FEATURES = 20, 5, 50


def cells(n, seed):
    """Two embeddings with labels of unequal size and a batch shift, stronger before integration than after it."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(N_LABELS, n, p=np.linspace(1, 4, N_LABELS) / np.linspace(1, 4, N_LABELS).sum()).astype(np.uint32)
    batches = rng.integers(0, N_BATCHES, n).astype(np.uint32)
    batches[labels < 2] = labels[labels < 2]  # two labels isolated in one batch each
    centre, shift = rng.normal(0, 1.2, (N_LABELS, N_FEATURES)), rng.normal(0, 1, (N_BATCHES, N_FEATURES))
    noise = rng.normal(0, 1, (n, N_FEATURES))
    make = lambda s: (centre[labels] + s * shift[batches] + noise).astype(np.float32)
    return make(1.0), make(0.2), labels, batches


def ours(program, before, after, labels, batches):
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        for array in (before, after, labels, batches):
            file.write(np.ascontiguousarray(array).tobytes())
        file.flush()
        command = [program, file.name, str(len(labels)), str(before.shape[1])]
        seconds, scores = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return float(seconds), json.loads(scores)


def theirs(before, after, labels, batches):
    import scib_metrics as sm
    from scib_metrics.nearest_neighbors import pynndescent

    start = time.perf_counter()
    wide = pynndescent(after, n_neighbors=90, random_state=0)
    scores = {
        "silhouette_label": sm.silhouette_label(after, labels),
        "silhouette_batch": sm.silhouette_batch(after, labels, batches),
        "isolated_labels": sm.isolated_labels(after, labels, batches),
        "pcr_comparison": sm.pcr_comparison(before, after, batches, categorical=True),
        "ilisi_knn": sm.ilisi_knn(wide, batches),
        "clisi_knn": sm.clisi_knn(wide, labels),
        "kbet_per_label": sm.kbet_per_label(wide.subset_neighbors(50), batches, labels),
        "graph_connectivity": sm.graph_connectivity(wide.subset_neighbors(15), labels),
    }
    scores |= {f"{k}_kmeans": v for k, v in sm.nmi_ari_cluster_labels_kmeans(after, labels).items()}
    scores |= {f"{k}_leiden": v for k, v in sm.nmi_ari_cluster_labels_leiden(wide.subset_neighbors(15), labels, n_jobs=-1).items()}
    return time.perf_counter() - start, {k: float(v) for k, v in scores.items()}


def measure(program, n, repeats):
    """One row for the table, and both sides' scores."""
    theirs(*cells(2000, 7))
    data = cells(n, 0)
    mine, peers = [], []
    for _ in range(repeats):
        seconds, a = ours(program, *data)
        mine.append(seconds)
        seconds, b = theirs(*data)
        peers.append(seconds)
    x, y = statistics.median(mine), statistics.median(peers)
    return (f"{n} cells, {N_FEATURES} features, {N_LABELS} labels, {N_BATCHES} batches", x, y, "s", y / x), a, b


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    (what, x, y, unit, ratio), a, b = measure(args.ours, args.cells, args.repeats)
    print(f"{what}: ours {x:.1f}, scib-metrics {y:.1f} {unit}, ratio {ratio:.2f}")
    for name, value in b.items():
        print(f"  {name}: ours {a.get(name)}, scib-metrics {value:.4f}")
