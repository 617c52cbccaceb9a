#!/usr/bin/env python3
"""Compares simulated cells with real ones and checks what a standard analysis sees in them.

    compare.py SIMULATED_FOLDER [REAL.h5ad ...]

SIMULATED_FOLDER is what `cargo run --release -p microtome-train --example simulate -- FOLDER` wrote. Real data are
reduced to as many genes of highest mean as the simulation has. Made with numpy 2.4.6, scipy 1.17.1, anndata 0.12.19.
"""
import json, sys
from pathlib import Path
import numpy as np
from scipy import sparse, stats
from scipy.io import mmread

BINS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 1000]


def describe(name, X):
    """Depth, genes per cell, and by bin of mean: dispersion, zero share, zero share of a Poisson of the same means."""
    X = sparse.csr_matrix(X, dtype=float)
    n, g = X.shape
    total = np.asarray(X.sum(1)).ravel()
    detected = np.diff(X.indptr)
    size = total / total.mean()
    mean = np.asarray(X.mean(0)).ravel()
    scaled = sparse.diags(1 / size) @ X
    m = np.asarray(scaled.mean(0)).ravel()
    var = np.asarray(scaled.multiply(scaled).mean(0)).ravel() - m**2
    with np.errstate(all="ignore"):
        dispersion = (var - m * np.mean(1 / size)) / m**2
    zero = 1 - np.asarray((X > 0).mean(0)).ravel()
    print(f"\n{name}: {n} cells x {g} genes")
    print(f"  counts per cell: median {np.median(total):.0f}, sd of log {np.log(total).std():.2f}")
    print(f"  genes per cell:  median {np.median(detected):.0f}, sd of log {np.log(detected).std():.2f}")
    print(f"  zeros {1 - X.nnz / (n * g):.3f}; sd of log mean {np.log(mean[mean > 0]).std():.2f}; "
          f"top 10/50/100 genes hold {', '.join(f'{np.sort(mean)[::-1][:k].sum() / mean.sum():.2f}' for k in (10, 50, 100))}")
    print("  mean bin        genes  dispersion (quartiles)   zeros  Poisson zeros")
    for lo, hi in zip(BINS, BINS[1:]):
        k = np.flatnonzero((mean >= lo) & (mean < hi))
        if len(k) < 3:
            continue
        q = np.quantile(dispersion[k], [0.25, 0.5, 0.75])
        poisson = np.mean([np.exp(-m[j] * size).mean() for j in k])
        print(f"  {lo:>5}-{hi:<8} {len(k):6d}  {q[1]:6.3f} ({q[0]:6.3f}..{q[2]:6.3f})  {zero[k].mean():6.3f}  {poisson:6.3f}")


def pca(X, n):
    X = X - X.mean(0)
    u, s, _ = np.linalg.svd(X, full_matrices=False)
    return u[:, :n] * s[:n]


def between(scores, groups):
    """Share of variance of the scores that lies between groups, beyond chance (adjusted)."""
    groups = np.asarray(groups)
    names = np.unique(groups)
    centred = scores - scores.mean(0)
    inside = sum(((scores[groups == g] - scores[groups == g].mean(0)) ** 2).sum() for g in names)
    n, k = len(groups), len(names)
    return 1 - (inside / (n - k)) / ((centred**2).sum() / (n - 1))


def knn_predict(scores, y, k=15):
    d = ((scores[:, None, :] - scores[None]) ** 2).sum(-1)
    np.fill_diagonal(d, np.inf)
    near = np.argsort(d, axis=1, kind="stable")[:, :k]
    return y[near].mean(1), near


def science(folder):
    X = mmread(folder / "matrix.mtx").tocsr().astype(float)
    rows = [line.split("\t") for line in (folder / "obs.tsv").read_text().splitlines()]
    obs = {name: np.array(column) for name, column in zip(rows[0], zip(*rows[1:]))}
    time = obs["pseudotime"].astype(float)
    total = np.asarray(X.sum(1)).ravel()
    L = np.log1p((sparse.diags(1e4 / np.maximum(total, 1)) @ X).toarray())
    rng = np.random.default_rng(0)
    shuffled = rng.permuted(L, axis=0)  # each gene over cells: keeps means, destroys all structure
    random = rng.normal(size=(len(time), 20))
    print("\nWhat PCA of log-normalised counts sees")
    for name, S in (("PCA 20", pca(L, 20)), ("PCA 20 of shuffled genes", pca(shuffled, 20)), ("random 20", random)):
        guess, near = knn_predict(S, time)
        print(f"  {name}")
        print(f"    pseudotime from 15 neighbours, Spearman: all {stats.spearmanr(guess, time)[0]:.3f}")
        for b in np.unique(obs["branch"]):
            k = obs["branch"] == b
            one = pca(L[k], 1)[:, 0] if name == "PCA 20" else S[k, 0]
            print(f"      {b:10s} n {k.sum():4d}  neighbours {stats.spearmanr(guess[k], time[k])[0]:6.3f}"
                  f"   first PC of the branch alone {abs(stats.spearmanr(one, time[k])[0]):.3f}")
        print("    share of PC variance between groups: "
              + ", ".join(f"{c} {between(S, obs[c]):.3f}" for c in ("cell_type", "branch", "phase", "donor_id", "batch")))
        for c in ("branch", "cell_type", "donor_id", "batch", "phase"):
            values, codes = np.unique(obs[c], return_inverse=True)
            votes = np.array([np.bincount(codes[r], minlength=len(values)).argmax() for r in near])
            chance = np.bincount(codes).max() / len(codes)
            print(f"    {c:10s} from 15 neighbours: accuracy {np.mean(votes == codes):.3f} (largest class {chance:.3f})")
    print(f"  total counts alone, Spearman with pseudotime {stats.spearmanr(total, time)[0]:.3f}")
    truth = json.loads((folder / "truth.json").read_text())
    ids = [line.split("\t")[0] for line in (folder / "var.tsv").read_text().splitlines()[1:]]
    at = {g: i for i, g in enumerate(ids)}
    C = np.corrcoef(L.T + 1e-9 * rng.normal(size=L.T.shape))
    signs = {s: [C[at[e["regulator"]], at[e["target"]]] for e in truth["edges"] if e["sign"] == s] for s in (1, -1)}
    back = C[np.triu_indices(len(ids), 1)]
    print(f"  correlation of regulator and target: activated {np.mean(signs[1]):.3f} ({len(signs[1])} edges), "
          f"repressed {np.mean(signs[-1] or [np.nan]):.3f} ({len(signs[-1])} edges), all pairs {back.mean():.3f}")


def main():
    folder = Path(sys.argv[1])
    X = mmread(folder / "matrix.mtx").tocsr()
    describe(folder.name, X)
    if len(sys.argv) > 2:
        import anndata
    for path in sys.argv[2:]:
        R = anndata.read_h5ad(path).X.tocsr()
        top = np.argsort(-np.asarray(R.mean(0)).ravel(), kind="stable")[: X.shape[1]]
        describe(Path(path).name, R[:, top])
    if X.shape[0] <= 5000:
        science(folder)


if __name__ == "__main__":
    main()
