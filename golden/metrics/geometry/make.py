"""Makes golden.json with scipy and numpy (../requirements.txt, Python 3.11): distances, roughness, populations.

    python make.py

Roughness follows the text of Aldeghi et al. 2022 on scipy's complete linkage.
"""

import json
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from scipy.stats import pearsonr, wasserstein_distance


def scaled(v):
    return (v - v.min()) / (v.max() - v.min())


def rogi(x, y, metric):
    y = scaled(y)
    largest = 2.0 if metric == "cosine" else np.sqrt(((x.max(0) - x.min(0)) ** 2).sum())
    tree = linkage(pdist(x, metric) / largest, "complete")
    points, last = [(0.0, len(y), 2 * y.std())], -1.0
    for t in tree[:, 2]:
        if t - 0.01 < last:
            continue
        last = t
        clusters = fcluster(tree, t, "distance")
        sizes = np.bincount(clusters)[1:]
        means = np.bincount(clusters, weights=y)[1:] / sizes
        points.append((t, len(sizes), 2 * np.sqrt(np.average((means - y.mean()) ** 2, weights=sizes))))
    points.append((1.0, 1, 0.0))
    t, n, s = (np.array(v, float) for v in zip(*points))
    return s[0] - np.trapezoid(s, t), s[0] - np.trapezoid(s, 1 - np.log(n) / np.log(len(y)))


def main():
    rng = np.random.default_rng(11)
    a = np.round(rng.normal(size=(120, 4)), 3).astype(np.float32)
    b = np.round(a[:, :2] + 0.5 * rng.normal(size=(120, 2)), 3).astype(np.float32)
    ad, bd = a.astype(float), b.astype(float)
    y = np.round(ad[:, 0] + 0.3 * rng.normal(size=120), 3)
    x2 = np.round(rng.normal(size=(50, 4)) + 0.7, 3).astype(np.float32)
    xx, yy, xy = cdist(ad, ad), cdist(x2.astype(float), x2.astype(float)), cdist(ad, x2.astype(float))
    n, m = 120, 50

    def energy(f, unbiased):
        p = n * (n - 1) if unbiased else n * n
        q = m * (m - 1) if unbiased else m * m
        return 2 * f(xy).mean() - f(xx).sum() / p - f(yy).sum() / q

    def square(v):
        return v * v

    def kernel(gamma):
        def k(d):
            return np.exp(-gamma * d * d)

        return k(xx).mean() + k(yy).mean() - 2 * k(xy).mean()

    out = {
        "a": a.tolist(),
        "b": b.tolist(),
        "y": y.tolist(),
        "other": x2.tolist(),
        "distance_emd": wasserstein_distance(scaled(pdist(ad)), scaled(pdist(bd))),
        "distance_pearson": pearsonr(pdist(ad), pdist(bd))[0],
        "rogi_euclidean": rogi(ad, y, "euclidean"),
        "rogi_cosine": rogi(ad, y, "cosine"),
        "energy_plain_unbiased": energy(lambda v: v, True),
        "energy_plain_biased": energy(lambda v: v, False),
        "energy_squared_unbiased": energy(square, True),
        "energy_squared_biased": energy(square, False),
        "mmd_linear": float(((ad.mean(0) - x2.astype(float).mean(0)) ** 2).sum()),
        "mmd_rbf": kernel(0.25),
    }
    (Path(__file__).parent / "golden.json").write_text(json.dumps(out) + "\n")


main()
