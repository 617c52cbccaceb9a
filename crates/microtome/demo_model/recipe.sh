#!/usr/bin/env bash
# Makes the bundled model again: recipe.sh OUT. What came out, with every number of the recipe, is in pretrain.json; the curve is in curve.csv.
# The cells are of the tissue that `demo` simulates (seed 0, preset deep) but cells from number 10,000 on, of donors that the demo does not show
# (9 to 32), and part of them have a regulator knocked down, which no cell of the demo has.
set -euo pipefail
cd "$1"
microtome simulate --preset deep --cells 30000 --skip 10000 --donors 32 --knock-downs 60 --pairs 0 --seed 0 --out tissue.h5ad
shown=()
for donor in 1 2 3 4 5 6 7 8; do shown+=(--leave-out "donor_id=donor_$donor"); done
microtome pretrain tissue.h5ad "${shown[@]}" --layers 6 --width 64 --heads 4 --feed-forward 128 --max-tokens 128 --unit donor_id --held-out 0.1 \
  --validation-cells 128 --steps 3000 --batch-tokens 1024 --part-tokens 512 --lr 2e-3 --warm-up 0.05 --validate-every 250 --keep-every 250 \
  --seed 0 --out model
