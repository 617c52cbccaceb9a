"""Writes the AnnData files of this folder: one sub-folder per anndata version, and what they hold as JSON.

Run once per version, each in its own virtual environment (Python 3.11):

    pip install anndata==0.7.8  "numpy<1.24" "pandas<2" "scipy<1.11" "h5py<3.10"
    pip install anndata==0.8.0  "numpy<1.24" "pandas<2" "scipy<1.11" "h5py<3.10"
    pip install anndata==0.9.2  "numpy<2" "pandas<2.1" "scipy<1.12"
    pip install anndata==0.10.9 "numpy<2" "pandas<2.3"
    pip install anndata==0.11.4 "pandas<3"
    pip install anndata==0.12.19 "pandas<3"
    python make.py
"""

import json
import pathlib
from importlib.metadata import version

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

HERE = pathlib.Path(__file__).parent
VERSION = version("anndata")
SERIES = tuple(int(n) for n in VERSION.split(".")[:2])
CELLS, GENES = 9, 5


def plain(value):
    """JSON without NaN."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def main():
    out = HERE / VERSION
    out.mkdir(exist_ok=True)
    cell, gene = np.mgrid[:CELLS, :GENES]
    x = np.where((cell + 2 * gene) % 3 == 0, cell * 10 + gene + 1, 0)
    i = np.arange(CELLS)
    obs = {
        "float": np.where(i == 2, np.nan, i / 4),
        "int": i.astype(np.int32) - 3,
        "bool": i % 2 == 0,
        "text": np.array([f"é{k}" for k in i], dtype=object),
        "category": pd.Categorical([None if k == 4 else "zyx"[k % 3] for k in i], categories=["z", "unused", "y", "x"]),
        "ordered": pd.Categorical(["lo" if k < 4 else "hi" for k in i], categories=["lo", "hi"], ordered=True),
        "numbered": pd.Categorical([k % 2 + 5 for k in i]),
    }
    if SERIES >= (0, 8):
        obs["null_int"] = pd.array([None if k % 4 == 3 else int(k) for k in i], dtype="Int64")
        obs["null_bool"] = pd.array([None if k % 4 == 3 else bool(k % 2) for k in i], dtype="boolean")
    if SERIES >= (0, 11):
        anndata.settings.allow_write_nullable_strings = True
        obs["null_text"] = pd.array([None if k % 4 == 3 else f"t{k}" for k in i], dtype="string")
    frame = pd.DataFrame(obs, index=[f"c{k}" for k in i])
    var = pd.DataFrame({"symbol": [f"G{k}" for k in range(GENES)]}, index=[f"ENSG{k}" for k in range(GENES)])
    full = anndata.AnnData(sp.csr_matrix(x.astype(np.int64)), obs=frame, var=var)
    full.var.index.name = "ensembl"
    a = full[:, :4].copy()
    a.obs = frame.copy()  # subsetting drops unused categories
    a.raw = full
    a.X = a.X.astype(np.float32)
    a.layers["csc"] = sp.csc_matrix(a.X.astype(np.float64) / 3)
    a.layers["dense"] = a.X.toarray().astype(np.int16)
    a.obsm["X_pca"] = np.stack([i, -i / 2], axis=1)
    a.obsp["graph"] = sp.csr_matrix(np.eye(CELLS))
    a.uns["text"] = "hello"
    a.uns["nested"] = {"n": 3, "list": np.arange(3), "names": np.array(["a", "b"], dtype=object)}
    # anndata turns text columns with repeated or missing values into categories unless told otherwise.
    keep_text = {"convert_strings_to_categoricals": False} if SERIES >= (0, 11) else {}
    a.write_h5ad(out / "sparse_gzip.h5ad", compression="gzip", **keep_text)

    d = anndata.AnnData(x.astype(np.float64) / 7, obs=frame[["float"]], var=var)
    d.write_h5ad(out / "dense_lzf.h5ad", compression="lzf")

    expected = {
        "obs_names": list(frame.index),
        "obs": {name: plain(frame[name].tolist()) for name in frame},
        "categories": {"category": ["z", "unused", "y", "x"], "ordered": ["lo", "hi"], "numbered": ["5", "6"]},
        "var_names": list(var.index),
        "symbol": list(var["symbol"]),
        "X": x[:, :4].tolist(),
        "raw_dtype": str(a.raw.X.dtype),
        "raw": x.tolist(),
        "csc": (x[:, :4] / 3).tolist(),
        "obsm": a.obsm["X_pca"].tolist(),
        "uns": {"text": "hello", "nested": {"n": 3, "list": [0, 1, 2], "names": ["a", "b"]}},
        "dense_lzf": (x / 7).tolist(),
    }
    (out / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")


main()
