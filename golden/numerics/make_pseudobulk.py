"""Makes pseudobulk.json with pydeseq2 0.5.4 on simulated negative binomial counts.

    pip install -r requirements.txt pydeseq2==0.5.4
    python make_pseudobulk.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.ds import DeseqStats

warnings.filterwarnings("ignore")
rng = np.random.default_rng(11)
GENES, PER_GROUP, GROUPS = 120, 4, ["a", "b", "c"]
base = np.exp(rng.normal(4, 1.3, GENES))
alpha = (2.0 / base + 0.05) * np.exp(rng.normal(0, 0.5, GENES))
fold = np.exp(np.where(rng.random((3, GENES)) < 0.3, rng.normal(0, 0.8, (3, GENES)), 0.0))
group = np.repeat(np.arange(3), PER_GROUP)
size = np.exp(rng.normal(0, 0.3, len(group)))
mu = size[:, None] * base * fold[group]
counts = rng.negative_binomial(1 / alpha, 1 / (1 + alpha * mu))
counts[:, 7] = 0  # a gene without counts
counts[group == 1, 9] = 0  # and one that is silent in a group
names = [f"s{i}" for i in range(len(group))]
frame = pd.DataFrame(counts, index=names, columns=[f"g{i}" for i in range(GENES)])
meta = pd.DataFrame({"group": [GROUPS[g] for g in group]}, index=names)
dds = DeseqDataSet(counts=frame, metadata=meta, design="~group", refit_cooks=False, quiet=True)
dds.deseq2()
out = {
    "counts": counts.ravel().tolist(), "genes": GENES, "groups": group.tolist(),
    "size_factors": dds.obs["size_factors"].tolist(),
    "prior_variance": float(dds.uns["prior_disp_var"]),
}
number = lambda v: [None if not np.isfinite(x) else float(x) for x in np.asarray(v, dtype=float)]
for name in ["genewise_dispersions", "fitted_dispersions", "dispersions"]:
    out[name] = number(dds.var[name])
for contrast in [("b", "a"), ("c", "b")]:
    stats = DeseqStats(dds, contrast=["group", *contrast], cooks_filter=False, independent_filter=False, quiet=True)
    stats.summary()
    r = stats.results_df
    out["_".join(contrast)] = {k: number(r[k]) for k in ["log2FoldChange", "lfcSE", "stat", "pvalue", "padj"]}
(Path(__file__).parent / "pseudobulk.json").write_text(json.dumps(out) + "\n")
