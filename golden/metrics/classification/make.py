"""Makes golden.json with scikit-learn (../requirements.txt, Python 3.11).

    python make.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    roc_auc_score,
)


def main():
    rng = np.random.default_rng(3)
    cases = []
    for n, classes in [(200, 4), (60, 8), (30, 2)]:
        truth = rng.integers(0, classes, n)
        truth[:classes] = np.arange(classes)
        scores = rng.normal(size=(n, classes))
        scores[np.arange(n), truth] += 1.0
        scores = np.round(scores, 1).astype(np.float32)  # with ties
        predicted = scores.argmax(1)
        # One class is predicted that is not in the truth.
        predicted[-1] = classes
        one_hot = np.eye(classes)[truth]
        cases.append(
            {
                "truth": truth.tolist(),
                "predicted": predicted.tolist(),
                "scores": scores.tolist(),
                "f1_macro_union": f1_score(truth, predicted, average="macro", zero_division=0),
                "f1_macro_true": f1_score(
                    truth, predicted, average="macro", labels=np.arange(classes), zero_division=0
                ),
                "f1_weighted": f1_score(truth, predicted, average="weighted", zero_division=0),
                "balanced_accuracy": float(
                    np.mean([(predicted[truth == c] == c).mean() for c in range(classes)])
                ),
                "accuracy": accuracy_score(truth, predicted),
                "auroc": float(np.mean([roc_auc_score(one_hot[:, c], scores[:, c]) for c in range(classes)])),
                "auprc": float(
                    np.mean([average_precision_score(one_hot[:, c], scores[:, c]) for c in range(classes)])
                ),
            }
        )
        assert abs(cases[-1]["balanced_accuracy"] - balanced_accuracy_score(truth, predicted)) < 1e-12
    (Path(__file__).parent / "golden.json").write_text(json.dumps(cases) + "\n")


main()
