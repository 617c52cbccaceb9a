"""Makes the goldens of crates/numerics with scanpy, umap-learn, scikit-learn and scipy (requirements.txt, Python 3.11).

    python make.py MARROW.h5ad

The cells are a subset of human CD34+ bone marrow (Setty et al. 2019, palantir package data, MIT licence).
Representations are rounded to float32 first and then handed over as float64, so that the references compute in
double precision on exactly the values that the Rust tests read.
"""

import json
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scipy.sparse as sp
import scipy.stats as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

OUT = Path(__file__).parent
K = 15  # neighbours without the cell itself


def save(name, array, dtype):
    np.save(OUT / name, np.ascontiguousarray(np.asarray(array), dtype=dtype))


def write(name, value):
    (OUT / name).write_text(json.dumps(value) + "\n")


def cells_and_counts(path):
    full = sc.read_h5ad(path)
    rng = np.random.default_rng(0)
    cells = np.sort(rng.choice(full.n_obs, 300, replace=False))
    a = full[cells].copy()
    log = a.copy()
    sc.pp.normalize_total(log, target_sum=1e4)
    sc.pp.log1p(log)
    sc.pp.highly_variable_genes(log, n_top_genes=1000)
    sc.pp.pca(log, n_comps=20, mask_var="highly_variable", svd_solver="arpack")
    expressed = np.flatnonzero(np.asarray((a.X > 0).sum(0)).ravel() >= 3)
    # A few genes that no cell expresses and some that few do belong to the test.
    genes = np.sort(np.r_[rng.choice(expressed, 390, replace=False),
                          np.setdiff1d(np.arange(a.n_vars), expressed)[:10]])
    return log.obsm["X_pca"].astype(np.float32), sp.csr_matrix(a.X[:150][:, genes])


def graphs(x):
    save("cells.npy", x, "<f4")
    for metric in ["euclidean", "cosine", "correlation"]:
        found = NearestNeighbors(n_neighbors=K, algorithm="brute", metric=metric).fit(x.astype(np.float64))
        distances, indices = found.kneighbors()  # without arguments: a row is not its own neighbour
        save(f"knn_{metric}_indices.npy", indices, "<i2")
        if metric == "euclidean":
            save(f"knn_{metric}_distances.npy", distances, "<f4")
        else:
            save(f"knn_{metric}_last.npy", distances[:, -1], "<f4")
    for method in ["gauss", "umap"]:
        a = ad.AnnData(np.zeros((len(x), 1)), obsm={"X": x.astype(np.float64)})
        sc.pp.neighbors(a, n_neighbors=K + 1, use_rep="X", method=method)
        upper = sp.triu(a.obsp["connectivities"], 1).tocoo()
        order = np.lexsort((upper.col, upper.row))
        save(f"{method}_edges.npy", np.c_[upper.row, upper.col][order], "<i2")
        save(f"{method}_weights.npy", upper.data[order], "<f4")
        sc.tl.diffmap(a, n_comps=15)
        a.uns["iroot"] = 7
        sc.tl.dpt(a, n_dcs=10)
        save(f"{method}_eigenvalues.npy", a.uns["diffmap_evals"], "<f4")
        save(f"{method}_pseudotime.npy", a.obs["dpt_pseudotime"], "<f4")


def islands():
    """Three far groups: the graph falls apart."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(n, 3)) + 1000 * i for i, n in enumerate([40, 25, 15])]).astype(np.float32)
    a = ad.AnnData(np.zeros((len(x), 1)), obsm={"X": x.astype(np.float64)})
    sc.pp.neighbors(a, n_neighbors=7, use_rep="X", method="gauss")
    sc.tl.diffmap(a, n_comps=15)
    a.uns["iroot"] = 50
    sc.tl.dpt(a, n_dcs=10)
    t = a.obs["dpt_pseudotime"].to_numpy()
    write("islands.json", {
        "cells": x.ravel().tolist(), "width": 3, "k": 6, "root": 50,
        "eigenvalues": a.uns["diffmap_evals"].tolist(),
        "pseudotime": [None if np.isinf(v) else float(v) for v in t],
    })


def expression(counts):
    save("counts_indptr.npy", counts.indptr, "<i4")
    save("counts_indices.npy", counts.indices, "<i2")
    assert counts.data.max() < 2**15
    save("counts_values.npy", counts.data, "<i2")
    a = ad.AnnData(counts.astype(np.float32))
    sc.pp.normalize_total(a, target_sum=1e4)
    sc.pp.log1p(a)
    save("log_normalised.npy", a.X.data[:2000], "<f4")
    out = {"n_genes": a.n_vars}
    for flavour in ["seurat", "cell_ranger"]:
        b = a[:, np.asarray(a.X.sum(0)).ravel() > 0].copy() if flavour == "cell_ranger" else a.copy()
        kept = np.flatnonzero(np.isin(a.var_names, b.var_names))
        for n_top in [20, 100]:
            sc.pp.highly_variable_genes(b, n_top_genes=n_top, flavor=flavour)
            out[f"{flavour}_{n_top}"] = kept[b.var["highly_variable"]].tolist()
        norm = b.var["dispersions_norm"].to_numpy()
        out[f"{flavour}_kept"] = kept.tolist()
        out[f"{flavour}_normalised"] = [None if np.isnan(v) else float(v) for v in norm]
    write("hvg.json", out)
    wide = ad.AnnData(a.X.astype(np.float64))
    sc.pp.pca(wide, n_comps=10, svd_solver="arpack")
    save("pca_scores.npy", wide.obsm["X_pca"], "<f4")
    save("pca_components.npy", wide.varm["PCs"].T, "<f4")
    save("pca_variance.npy", wide.uns["pca"]["variance"], "<f8")
    save("pca_variance_ratio.npy", wide.uns["pca"]["variance_ratio"], "<f8")


def ranks():
    rng = np.random.default_rng(2)
    cases = []
    for n, ties in [(2, 0), (5, 0), (40, 4), (120, 10), (60, 2)]:
        x = rng.normal(size=n)
        y = 0.5 * x + rng.normal(size=n)
        if ties:
            x, y = np.floor(x * ties / 3), np.floor(y * ties / 3)
        cases.append({"x": x.tolist(), "y": y.tolist(), "ranks": st.rankdata(x).tolist(),
                      "spearman": float(st.spearmanr(x, y).statistic),
                      "tau": float(st.kendalltau(x, y, variant="b").statistic)})
    write("ranks.json", cases)


def ridge(x):
    rng = np.random.default_rng(3)
    cases = []
    for n, d in [(60, 8), (12, 20)]:
        part = x[:n, :d].astype(np.float64)
        y = np.c_[part[:, :2] @ [1.0, -0.5] + rng.normal(size=n), rng.normal(size=n)]
        for weighted in [False, True]:
            w = rng.integers(0, 4, size=n).astype(float) if weighted else np.ones(n)
            scaler = StandardScaler().fit(part, sample_weight=w)
            fits = []
            for alpha in [0.1, 10.0, 1000.0]:
                model = Ridge(alpha=alpha, solver="svd").fit(scaler.transform(part), y, sample_weight=w)
                coefficients = (model.coef_ / scaler.scale_).T
                fits.append({"alpha": alpha, "coefficients": coefficients.ravel().tolist(),
                             "intercept": (model.intercept_ - scaler.mean_ @ coefficients).tolist()})
            cases.append({"n": n, "d": d, "y": y.ravel().tolist(), "weights": w.tolist(), "fits": fits})
    write("ridge.json", cases)


def logistic(x):
    rng = np.random.default_rng(6)
    cases = []
    for n, d in [(60, 8), (12, 20)]:
        part = x[:n, :d].astype(np.float64)
        classes = rng.permutation(np.r_[np.zeros(n // 2), np.ones(n // 3), np.full(n - n // 2 - n // 3, 2)]).astype(int)
        scaled = StandardScaler().fit_transform(part)
        for c, balanced in [(1.0, True), (0.05, False)]:
            weight = "balanced" if balanced else None
            model = LogisticRegression(C=c, class_weight=weight, solver="newton-cg", tol=1e-12, max_iter=10000)
            cases.append({"n": n, "d": d, "c": c, "balanced": balanced, "classes": classes.tolist(),
                          "probabilities": model.fit(scaled, classes).predict_proba(scaled).ravel().tolist()})
    write("logistic.json", cases)


def interval():
    x = np.random.default_rng(4).exponential(size=25)
    found = st.bootstrap((x,), np.mean, n_resamples=399, method="BCa", rng=np.random.default_rng(5))
    plain = st.bootstrap((x,), np.mean, n_resamples=0, method="percentile", bootstrap_result=found)
    write("interval.json", {
        "x": x.tolist(), "replicates": found.bootstrap_distribution.tolist(),
        "bca": list(map(float, found.confidence_interval)),
        "percentile": list(map(float, plain.confidence_interval)),
    })


if __name__ == "__main__":
    x, counts = cells_and_counts(sys.argv[1])
    graphs(x)
    islands()
    expression(counts)
    ranks()
    ridge(x)
    logistic(x)
    interval()
