"""Makes baselines.json and harmony.json with scanpy, scikit-misc, bbknn and three releases of harmonypy.

    pip install -r requirements.txt -r requirements_baselines.txt
    pip install --no-deps --target HARMONY1 harmonypy==0.2.0
    pip install --no-deps --target HARMONY2 harmonypy==2.1.0
    python make_baselines.py HARMONY1 HARMONY2 [PYTHON_WITH_TORCH]

harmonypy 0.2.0 computes with torch, which may live in another environment.

Reads the counts and cells that make.py wrote. Batches are the cell number modulo 3, or 2, so that nothing else is stored.
"""

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import bbknn.matrix
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from skmisc.loess import loess

OUT = Path(__file__).parent


def counts():
    n_genes = json.loads((OUT / "hvg.json").read_text())["n_genes"]
    part = [np.load(OUT / f"counts_{p}.npy") for p in ("values", "indices", "indptr")]
    return sp.csr_matrix((part[0].astype(np.float32), part[1], part[2]), shape=(len(part[2]) - 1, n_genes))


def numbers(v):
    return [None if np.isnan(x) else float(x) for x in v]


def variable_genes(x):
    # scikit-misc refuses to fit a trend through many genes of one and the same tiny mean.
    kept = np.flatnonzero(np.asarray(x.sum(0)).ravel() >= 30)
    out = {"kept": kept.tolist()}
    raw = ad.AnnData(x[:, kept])
    raw.obs["batch"] = pd.Categorical([str(i % 3) for i in range(x.shape[0])])
    log = raw.copy()
    sc.pp.normalize_total(log, target_sum=1e4)
    sc.pp.log1p(log)
    for batched in [False, True]:
        key = "batch" if batched else None
        name = "batched" if batched else "all"
        for flavour in ["seurat", "seurat_v3", "seurat_v3_paper", "pearson_residuals"]:
            for n_top in [20, 60]:
                a = (log if flavour == "seurat" else raw).copy()
                if flavour == "pearson_residuals":
                    sc.experimental.pp.highly_variable_genes(a, n_top_genes=n_top, batch_key=key)
                else:
                    sc.pp.highly_variable_genes(a, n_top_genes=n_top, flavor=flavour, batch_key=key)
                out[f"{flavour}_{name}_{n_top}"] = np.flatnonzero(a.var["highly_variable"]).tolist()
                if not batched and n_top == 20 and flavour in ("seurat_v3", "pearson_residuals"):
                    column = "variances_norm" if flavour == "seurat_v3" else "residual_variances"
                    out[f"{flavour}_variance"] = numbers(a.var[column])
    return out


def smooth():
    rng = np.random.default_rng(6)
    cases = []
    for n, ties in [(40, False), (300, False), (300, True)]:
        x = rng.normal(size=n)
        if ties:
            x = np.round(x, 1)
        y = np.sin(2 * x) + 0.2 * rng.normal(size=n)
        model = loess(x, y, span=0.3, degree=2)
        model.fit()
        cases.append({"x": x.tolist(), "y": y.tolist(), "fitted": model.outputs.fitted_values.tolist()})
    return cases


def balanced(x):
    batches = np.arange(len(x)) % 3
    out = []
    for trim in [None, 5]:
        _, graph, _ = bbknn.matrix.bbknn(x.astype(np.float64), batches, computation="cKDTree", trim=trim)
        upper = sp.triu(graph, 1).tocoo()
        order = np.lexsort((upper.col, upper.row))
        out.append({"trim": trim, "n_edges": int(upper.nnz), "rows": upper.row[order].tolist(),
                    "cols": upper.col[order].tolist(), "weights": np.round(upper.data[order], 6).tolist()})
    return out


def shifted(x):
    """Cells with a batch effect that differs between two halves of the data."""
    batch = np.arange(len(x)) % 2
    out = x.astype(np.float64).copy()
    out[batch == 1, :3] += 2.0
    out[(batch == 1) & (x[:, 0] > 0), 3] += 3.0
    return out.astype(np.float32), batch


HARMONY = """
import sys, json, numpy as np, pandas as pd
path = sys.argv[2]
if path: sys.path.insert(0, path)
import harmonypy
x = np.load(sys.argv[1] + "/x.npy").astype(np.float64)
batch = np.load(sys.argv[1] + "/b.npy")
meta = pd.DataFrame({"b": [str(v) for v in batch]})
runs = []
for seed in (0, 1, 2):
    z = np.asarray(harmonypy.run_harmony(x, meta, "b", random_state=seed, verbose=False).Z_corr)
    runs.append((z if z.shape == x.shape else z.T).tolist())
print("RESULT" + json.dumps(runs))
"""


def harmony(x, harmony1, harmony2, torch):
    import tempfile
    y, batch = shifted(x)
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(folder + "/x.npy", y)
        np.save(folder + "/b.npy", batch)
        for name, path, python in [
            ("v0", "", sys.executable), ("v1", harmony1, torch), ("v2", harmony2, sys.executable),
        ]:
            run = subprocess.run([python, "-c", HARMONY, folder, path], capture_output=True, text=True, check=True)
            line = next(l for l in run.stdout.splitlines() if l.startswith("RESULT"))
            runs = np.array(json.loads(line[6:]))
            mean = runs.mean(0)
            # How far runs of the reference with other seeds lie from each other: what agreement can be asked for.
            spread = float(np.sqrt(((runs - mean) ** 2).mean()))
            out[name] = {"mean": np.round(mean[:, :6], 4).ravel().tolist(), "spread": spread,
                         "moved": float(np.sqrt(((mean - y) ** 2).mean()))}
    return out


if __name__ == "__main__":
    cells = np.load(OUT / "cells.npy")
    golden = variable_genes(counts())
    golden["loess"] = smooth()
    golden["bbknn"] = balanced(cells)
    (OUT / "baselines.json").write_text(json.dumps(golden) + "\n")
    (OUT / "harmony.json").write_text(json.dumps(harmony(cells, *sys.argv[1:3], (sys.argv[3:] or [sys.executable])[0])) + "\n")
