"""Makes golden.json with scib-metrics, scikit-learn, umap-learn and igraph (../requirements.txt, Python 3.11).

    python make.py

Neighbour lists are exact and computed here in double precision, so that the references see the same neighbours.
JAX runs in double precision.
"""

import json
from pathlib import Path

import igraph
import jax
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import (
    adjusted_rand_score,
    fowlkes_mallows_score,
    normalized_mutual_info_score,
    silhouette_samples,
    silhouette_score,
)

jax.config.update("jax_enable_x64", True)

import scib_metrics  # noqa: E402
from scib_metrics.nearest_neighbors import NeighborsResults  # noqa: E402
from scib_metrics.utils import principal_component_regression  # noqa: E402


def neighbours(x, k):
    """The k nearest others and the cell itself, in front, as the reference wants them."""
    d = cdist(x, x)
    np.fill_diagonal(d, -1.0)
    order = np.argsort(d, axis=1, kind="stable")[:, : k + 1]
    distances = np.take_along_axis(d, order, axis=1)
    distances[:, 0] = 0.0
    return NeighborsResults(indices=order, distances=distances)


def diffusion_coordinates(graph, n_comps):
    """Diffusion map of scib-metrics with exact eigenvectors; the stationary vector has weight 1."""
    a = graph.toarray()
    q = a.sum(0)
    k = a / np.outer(q, q)
    z = np.sqrt(k.sum(0))
    values, vectors = np.linalg.eigh(k / np.outer(z, z))
    order = np.argsort(-np.abs(values))[:n_comps]
    values, vectors = values[order], vectors[:, order]
    weights = [1.0 if v >= 1 - 1e-7 else v / (1 - v) for v in values]
    return vectors * weights


def kbet_per_label(x, labels, batches):
    """scib-metrics' steps, with exact neighbours and the number of components chosen for every label anew."""
    graph = neighbours(x, 49).knn_graph_connectivities.tocsr()
    scores = {}
    for label in np.unique(labels):
        mask = labels == label
        sub, b = graph[mask][:, mask], batches[mask]
        if mask.sum() < 10 or len(np.unique(b)) == 1:
            continue
        k0 = int(min(70, max(10, np.floor(pd.Series(b).value_counts().mean() / 4))))
        n, parts = sp.csgraph.connected_components(sub)
        if n > 1:
            sizes = np.bincount(parts)
            keep = np.flatnonzero(sizes[parts] >= 3 * k0)
            if len(keep) / len(parts) < 0.75:
                scores[int(label)] = 0.0
                continue
            sub, b = sub[keep][:, keep], b[keep]
        coordinates = diffusion_coordinates(sub, min(100, sub.shape[0] - 1))
        rate, _, _ = scib_metrics.kbet(neighbours(coordinates, k0), b)
        scores[int(label)] = float(rate)
    return scores


def isolated(x, labels, batches):
    """scib's silhouette of each isolated label against the rest, mean over all cells."""
    n = {l: len(np.unique(batches[labels == l])) for l in np.unique(labels)}
    least = min(n.values())
    chosen = [l for l in n if n[l] == least]
    return float(np.mean([(silhouette_score(x, labels == l) + 1) / 2 for l in chosen]))


def main():
    rng = np.random.default_rng(7)
    n, d = 240, 5
    labels = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    batches = rng.integers(0, 3, n)
    batches[labels == 3] = rng.integers(0, 2, (labels == 3).sum())
    centres = rng.normal(size=(4, d)) * 2.5
    x = centres[labels] + rng.normal(size=(n, d))
    x[:, 0] += 0.8 * batches
    before = x.copy()
    before[:, 1] += 3.0 * batches
    x, before = np.round(x, 3).astype(np.float32), np.round(before, 3).astype(np.float32)
    xd, bd = x.astype(float), before.astype(float)

    wide, mid, near = neighbours(xd, 89), neighbours(xd, 49), neighbours(xd, 14)
    graph = near.knn_graph_connectivities.tocoo()
    upper = graph.row < graph.col
    g = igraph.Graph(n=n, edges=list(zip(graph.row[upper].tolist(), graph.col[upper].tolist())))
    weights = graph.data[upper].tolist()
    quality = {}
    for resolution in [0.4, 1.0, 2.0]:
        igraph.set_random_number_generator(__import__("random").Random(0))
        runs = [
            g.community_leiden("modularity", weights=weights, resolution=resolution, n_iterations=-1) for _ in range(10)
        ]
        quality[str(resolution)] = max(g.modularity(r.membership, weights=weights, resolution=resolution) for r in runs)

    partitions = []
    for ka, kb, m in [(3, 4, 50), (1, 3, 20), (5, 5, 5), (10, 2, 200)]:
        a, b = rng.integers(0, ka, m), rng.integers(0, kb, m)
        partitions.append(
            {
                "a": a.tolist(),
                "b": b.tolist(),
                "ari": adjusted_rand_score(a, b),
                "nmi": normalized_mutual_info_score(a, b),
                "fmi": fowlkes_mallows_score(a, b),
            }
        )
    out = {
        "x": x.tolist(),
        "before": before.tolist(),
        "labels": labels.tolist(),
        "batches": batches.tolist(),
        "partitions": partitions,
        "silhouette_samples": silhouette_samples(xd, labels).tolist(),
        "silhouette_label": float(scib_metrics.silhouette_label(xd, labels)),
        "silhouette_batch": float(scib_metrics.silhouette_batch(xd, labels, batches)),
        "bras": float(scib_metrics.bras(xd, labels, batches)),
        "isolated_labels": isolated(xd, labels, batches),
        "lisi_batch": np.asarray(scib_metrics.lisi_knn(wide, batches)).tolist(),
        "ilisi_knn": float(scib_metrics.ilisi_knn(wide, batches)),
        "clisi_knn": float(scib_metrics.clisi_knn(wide, labels)),
        "graph_connectivity": float(scib_metrics.graph_connectivity(near, labels)),
        "kbet_acceptance": float(scib_metrics.kbet(mid, batches)[0]),
        "kbet_per_label": kbet_per_label(xd, labels, batches),
        "pcr": float(principal_component_regression(xd, batches, categorical=True)),
        "pcr_3": float(principal_component_regression(xd, batches, categorical=True, n_components=3)),
        "pcr_comparison": float(scib_metrics.pcr_comparison(bd, xd, batches, categorical=True)),
        "kmeans_inertia": {str(k): float(KMeans(k, n_init=50, random_state=0).fit(xd).inertia_) for k in [2, 4, 8]},
        "leiden_quality": quality,
    }
    (Path(__file__).parent / "golden.json").write_text(json.dumps(out) + "\n")


main()
