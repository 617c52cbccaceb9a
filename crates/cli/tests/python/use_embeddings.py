"""What `microtome embed` writes is used as a scanpy user would: neighbours and UMAP on every obsm entry.

Usage: python use_embeddings.py EMBEDDED.h5ad SOURCE.h5ad
"""

import sys

import anndata
import numpy as np
import scanpy as sc

embedded, source = anndata.read_h5ad(sys.argv[1]), anndata.read_h5ad(sys.argv[2], backed="r")
keys = [k for k in embedded.obsm if k.startswith("X_")]
assert keys, "no embeddings in obsm"
assert "X_geneformer.cell_embedding" in keys, keys
assert set(embedded.obs_names) <= set(source.obs_names), "cells were renamed"
for column in source.obs.columns:
    assert column in embedded.obs, f"obs column {column} was lost"
    same = embedded.obs[column].astype(str).to_numpy() == source.obs.loc[embedded.obs_names, column].astype(str).to_numpy()
    assert same.all(), f"obs column {column} changed"
card = embedded.uns["microtome"]
assert card["precision"] == "f32" and len(card["command"]) > 0, card
for key in keys:
    values = embedded.obsm[key]
    assert values.shape[0] == embedded.n_obs and np.isfinite(values).all(), key
    assert np.asarray(values).std(axis=0).max() > 0, f"{key} is the same for every cell"
key = keys[-1]
sc.pp.neighbors(embedded, use_rep=key, n_neighbors=15)
sc.tl.umap(embedded)
assert embedded.obsm["X_umap"].shape == (embedded.n_obs, 2)
print(f"{embedded.n_obs} cells, {len(keys)} embeddings: neighbours and UMAP computed on {key}")
