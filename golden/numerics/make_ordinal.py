"""Makes ordinal.json with statsmodels (no penalty) and scipy (with one).

    pip install -r requirements.txt -r requirements_ordinal.txt
    python make_ordinal.py

Reads the cells that make.py wrote. With a penalty the loss is written down from the definition and minimised by scipy.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.preprocessing import StandardScaler
from statsmodels.miscmodels.ordinal_model import OrderedModel

OUT = Path(__file__).parent


def probabilities(along, thresholds):
    below = np.column_stack([expit(t - along) for t in thresholds])
    below = np.column_stack([np.zeros(len(along)), below, np.ones(len(along))])
    return np.diff(below, axis=1)


def penalised(z, levels, n_levels, alpha):
    d = z.shape[1]
    rows = np.arange(len(levels))

    # Thresholds as a first one and logarithms of steps, so that they rise.
    def parts(at):
        return at[:d], at[d] + np.r_[0.0, np.cumsum(np.exp(at[d + 1:]))]

    def loss(at):
        c, t = parts(at)
        return -np.log(probabilities(z @ c, t)[rows, levels]).sum() + alpha / 2 * (c @ c)

    at = np.r_[np.zeros(d), -1.0, np.zeros(n_levels - 2)]
    for _ in range(3):
        at = minimize(loss, at, method="BFGS", options={"gtol": 1e-9, "maxiter": 20000}).x
    c, t = parts(at)
    return loss(at), probabilities(z @ c, t)


def main():
    x = np.load(OUT / "cells.npy").astype(np.float64)
    rng = np.random.default_rng(8)
    cases = []
    for n, d, n_levels, alpha in [(90, 5, 4, 0.0), (90, 5, 4, 3.0), (14, 20, 3, 0.5)]:
        z = StandardScaler().fit_transform(x[:n, :d])
        along = z[:, 0] - 0.5 * z[:, 1] + rng.logistic(size=n)
        levels = np.searchsorted(np.quantile(along, np.arange(1, n_levels) / n_levels), along)
        case = {"n": n, "d": d, "n_levels": n_levels, "alpha": alpha, "levels": levels.tolist()}
        if alpha == 0.0:
            fit = OrderedModel(levels, z, distr="logit").fit(method="bfgs", disp=False, gtol=1e-9, maxiter=5000)
            p = np.asarray(fit.predict(z))
        else:
            case["loss"], p = penalised(z, levels, n_levels, alpha)
        cases.append(case | {"probabilities": p.ravel().tolist()})
    (OUT / "ordinal.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    main()
