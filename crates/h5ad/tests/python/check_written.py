"""Reads the file of `cargo run --example write_sample -- FILE` with anndata and scanpy and compares every value.

Usage: python check_written.py FILE        (needs anndata >= 0.11 and scanpy)
"""

import json
import sys
import warnings
from importlib.metadata import version

import anndata
import h5py
import numpy as np
import scanpy as sc

CELLS, GENES = 300, 40


def main(path):
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    adata = anndata.read_h5ad(path)
    cell, gene = np.mgrid[:CELLS, :GENES]
    x = np.where((cell * 3 + gene) % 7 == 0, cell + gene + 1, 0).astype(np.float32)

    assert adata.shape == (CELLS, GENES)
    assert adata.X.format == "csr" and adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X.toarray(), x)
    np.testing.assert_array_equal(adata.layers["counts"].toarray(), x)
    adata.X.check_format(full_check=True)
    assert list(adata.obs_names) == [f"cell-{i}" for i in range(CELLS)]
    assert list(adata.var_names) == [f"ENSG{i:05}" for i in range(GENES)]

    obs = adata.obs
    i = np.arange(CELLS)
    there = i % 4 != 3
    assert list(obs.columns) == [
        "score", "n", "n_missing", "flag", "flag_missing", "name", "name_missing", "cell type",
    ]  # fmt: skip
    np.testing.assert_array_equal(obs["score"], np.where(i == 5, np.nan, i / 8))
    assert obs["n"].dtype == np.int64 and (obs["n"] == i - 7).all()
    for column, value in [("n_missing", i), ("flag_missing", i % 2 == 0), ("name_missing", [f"t{k}" for k in i])]:
        assert (obs[column].notna() == there).all(), column
        assert [v for v in obs[column][there]] == [v for v, t in zip(value, there) if t], column
    assert str(obs["n_missing"].dtype) == "Int64" and str(obs["flag_missing"].dtype) == "boolean"
    assert obs["flag"].dtype == bool and (obs["flag"] == (i % 2 == 0)).all()
    assert list(obs["name"]) == [f"β-{k}" for k in i]
    kind = obs["cell type"]
    assert kind.cat.ordered and list(kind.cat.categories) == ["B", "T", "NK"]
    assert (kind.cat.codes == np.where(there, i % 3, -1)).all()

    np.testing.assert_array_equal(
        adata.obsm["X_geneformer.blocks.3.resid_post"], i[:, None] - np.arange(6)[None, :].astype(np.float32) / 2
    )
    np.testing.assert_array_equal(adata.obsm["X_one"], i[:, None].astype(np.float32))

    card = adata.uns["microtome"]
    assert card["version"] == "0.1.0" and card["seed"] == 7 and card["share"] == 0.25 and card["ok"]
    assert card["empty"] == "" and "absent" not in card
    assert list(card["models"]) == ["geneformer", "scgpt"] and list(card["depths"]) == [0.0, 0.5, 1.0]
    assert list(card["sizes"]) == [1, 2, 3] and list(card["flags"]) == [True, False]
    np.testing.assert_array_equal(card["table"], [[1, 2, 3], [4, 5, 6]])
    assert json.loads(card["mixed"]) == [1, "a", {"b": None}] and len(card["none"]) == 0

    backed = anndata.read_h5ad(path, backed="r")
    np.testing.assert_array_equal(backed.X[10:20].toarray(), x[10:20])
    backed.file.close()

    again = sc.read_h5ad(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.normalize_total(again)
        sc.pp.log1p(again)
        sc.pp.pca(again, n_comps=5)
        sc.pp.neighbors(again, use_rep="X_geneformer.blocks.3.resid_post", n_neighbors=5)
    assert again.obsp["connectivities"].shape == (CELLS, CELLS)

    def encodings(name, item):
        assert "encoding-type" in item.attrs and "encoding-version" in item.attrs, name

    with h5py.File(path) as f:
        encodings("/", f)
        f.visititems(encodings)
    print(f"{path}: as expected (anndata {version('anndata')}, scanpy {version('scanpy')}, h5py {version('h5py')})")


if __name__ == "__main__":
    main(sys.argv[1])
