"""Makes palantir.json with palantir 1.4.4 on the cells that make.py wrote: pseudotime with three seeds.

    pip install palantir==1.4.4
    python make_palantir.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import palantir
from scipy.stats import spearmanr

warnings.filterwarnings("ignore")
OUT = Path(__file__).parent
x = np.load(OUT / "cells.npy").astype(np.float64)
frame = pd.DataFrame(x, index=[f"c{i}" for i in range(len(x))])
maps = palantir.utils.run_diffusion_maps(frame, n_components=10, knn=30)
space = palantir.utils.determine_multiscale_space(maps)
runs = []
for seed in (20, 21, 22):
    result = palantir.core.run_palantir(space, "c7", num_waypoints=150, knn=30, seed=seed, n_jobs=1)
    runs.append(result.pseudotime.loc[frame.index].to_numpy())
agree = min(spearmanr(runs[0], r).statistic for r in runs[1:])
(OUT / "palantir.json").write_text(json.dumps({
    "eigenvalues": [float(v) for v in maps["EigenValues"]], "components": space.shape[1], "early": 7,
    "pseudotime": np.round(np.mean(runs, 0), 6).tolist(), "agreement_of_seeds": float(agree)}) + "\n")
