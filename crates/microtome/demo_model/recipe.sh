#!/usr/bin/env bash
# Makes the bundled model again: recipe.sh OUT. What came out, with every number of the recipe, is in pretrain.json; the curve is in curve.csv.
# The cells are of the tissue that `demo` simulates (seed 0) but cells from number 10,000 on, of donors that the demo does not show (9 to 32).
# The slice needs Python with anndata 0.12; the run was interrupted once, at step 199, and resumed.
set -euo pipefail
cd "$1"
microtome simulate --cells 30000 --donors 32 --seed 0 --out tissue.h5ad
python3 - <<'PY'
import anndata

cells = anndata.read_h5ad("tissue.h5ad")
donor = cells.obs["donor_id"].astype(str).str.rsplit("_", n=1).str[-1].astype(int)
keep = (donor > 8).to_numpy()
keep[:10000] = False
cells[keep].copy().write_h5ad("cells.h5ad", compression="gzip")
PY
microtome pretrain cells.h5ad --layers 6 --width 64 --heads 4 --feed-forward 128 --max-tokens 128 --unit donor_id --held-out 0.1 \
  --validation-cells 64 --steps 450 --batch-tokens 2048 --part-tokens 1024 --lr 3e-3 --warm-up 0.1 --validate-every 90 --keep-every 90 \
  --seed 0 --out model
