"""Makes golden.json with networkx, numpy, scipy and pandas (../requirements.txt, Python 3.11): ontology and scGraph.

    python make.py
"""

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr, spearmanr, trim_mean


def random_ontology(rng, n):
    parents = [[]]
    for t in range(1, n):
        k = 1 + int(rng.random() < 0.25 and t > 1)
        parents.append(sorted(rng.choice(t, min(k, t), replace=False).tolist()))
    return parents


def lca(graph, t, p):
    """Of the common ancestors without a common descendant-ancestor, the one nearest to both, then the smallest."""
    up = lambda v: nx.single_source_shortest_path_length(graph, v)
    a, b = up(t), up(p)
    common = set(a) & set(b)
    lowest = [c for c in common if not any(c != o and nx.has_path(graph, o, c) for o in common)]
    best = min(lowest, key=lambda c: (a[c] + b[c], f"CL:{c:03}"))
    return a[best], b[best]


def rwr(parents):
    n = len(parents)
    w = np.zeros((n, n))
    for t, ps in enumerate(parents):
        for p in ps:
            w[t, p] = w[p, t] = 1
    w /= w.sum(0)
    q = np.eye(n)
    for _ in range(50):
        new = 0.3 * w @ q + 0.7 * np.eye(n)
        change = np.linalg.norm(new - q)
        q = new
        if change < 1e-4:
            break
    m = np.log(q + 1 / n**2) - np.log(1 / n**2)
    u, s, _ = np.linalg.svd(m)
    k = min(256, n)
    return u[:, :k] * np.sqrt(s[:k])


def label_distances(x, labels, trim):
    names = np.unique(labels)
    centres = np.array([trim_mean(x[labels == l], trim) for l in names])
    d = cdist(centres, centres)
    return pd.DataFrame(d / d.max(0), names, names)


def compare(got, want, weighted=False, spearman=False):
    scores = []
    for c in got.columns:
        rows = [r for r in got.index if r != c and not np.isnan(want.loc[r, c])]
        x, y = got.loc[rows, c].to_numpy(), want.loc[rows, c].to_numpy()
        if weighted:
            w = (1 / y) / (1 / y).sum()
            dx, dy = x - (w * x).sum(), y - (w * y).sum()
            scores.append((w * dx * dy).sum() / np.sqrt((w * dx * dx).sum() * (w * dy * dy).sum()))
        else:
            scores.append(spearmanr(x, y)[0] if spearman else pearsonr(x, y)[0])
    return float(np.mean(scores))


def main():
    rng = np.random.default_rng(5)
    parents = random_ontology(rng, 80)
    graph = nx.DiGraph([(t, p) for t, ps in enumerate(parents) for p in ps])
    pairs = rng.integers(0, 80, (60, 2))
    steps = [[int(t), int(p), *lca(graph, int(t), int(p))] for t, p in pairs]
    wrong = [s for s in steps if s[0] != s[1]]
    terms = np.sort(rng.choice(80, 9, replace=False))
    labels = rng.integers(0, 9, 400)
    batches = rng.integers(0, 3, 400)
    batches[labels == 8] = 0  # never beside others in the remaining batches
    centres = 3 * rng.normal(size=(9, 3))
    x = np.round(centres[labels] + rng.normal(size=(400, 3)), 3).astype(np.float32)
    space = np.round(x + rng.normal(size=(400, 3)), 3).astype(np.float32)
    xd, sd = x.astype(float), space.astype(float)

    places = rwr(parents)[terms]
    onto = cdist(places, places)
    onto = pd.DataFrame(onto / onto.max(0), np.arange(9), np.arange(9))
    spaces = [label_distances(sd[batches == b], labels[batches == b], 0.05) for b in range(3)]
    consensus = pd.concat(spaces).groupby(level=0).mean()
    consensus = consensus[consensus.index]
    consensus = consensus / consensus.max(0)
    got = label_distances(xd, labels, 0.05)
    out = {
        "parents": parents,
        "steps": steps,
        "lcad": float(np.mean([s[2] for s in wrong])),
        "lcad_symmetric": float(np.mean([s[2] + s[3] for s in wrong])),
        "lcad_all_cells": float(np.sum([s[2] + s[3] for s in wrong]) / len(steps)),
        "terms": terms.tolist(),
        "x": x.tolist(),
        "space": space.tolist(),
        "labels": labels.tolist(),
        "batches": batches.tolist(),
        "ontology_distances": onto.to_numpy().tolist(),
        "onto_rwr": compare(label_distances(xd, labels, 0.2), onto),
        "scgraph_rank": compare(got, consensus, spearman=True),
        "scgraph_corr": compare(got, consensus),
        "scgraph_weighted": compare(got, consensus, weighted=True),
    }
    (Path(__file__).parent / "golden.json").write_text(json.dumps(out) + "\n")


main()
