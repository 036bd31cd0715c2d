"""Tasks with missing labels: keep every sample, and say nothing where nothing is known.

    python examples/missing_labels.py --tox21 tox21.npz

The file holds x (fingerprints of molecules), y (12 assays; NaN where a molecule was not tested) and
tasks (their names).

Claim: to train on all molecules, with the labels that each has, is better than to keep only the
molecules that have all, and better than to take a missing label for "not toxic".
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.metrics import multitask_roc_auc_score

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--tox21", type=Path, required=True)
parser.add_argument("--n-seeds", type=int, default=5)
parser.add_argument("--max-epochs", type=int, default=15)
parser.add_argument("--plot", type=Path, default=Path("missing_labels.png"))
args = parser.parse_args()

file = np.load(args.tox21)
X, Y = file["x"], pd.DataFrame(file["y"], columns=file["tasks"])
print(
    f"{Y.isna().to_numpy().mean():.0%} of the labels are missing, in {Y.isna().any(axis=1).sum():,}"
    f" of {len(Y):,} molecules."
)
net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=args.max_epochs)


def spread(values):
    return f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""


scores = {"all labels there are": [], "complete molecules only": [], 'missing is "not toxic"': []}
for seed in range(args.n_seeds):
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.3, random_state=seed)
    complete = Y_train.notna().all(axis=1).to_numpy()
    parts = [
        (X_train, Y_train),
        (X_train[complete], Y_train[complete]),
        (X_train, Y_train.fillna(0)),
    ]
    for found, (X_part, Y_part) in zip(scores.values(), parts, strict=True):
        clf = GroupedMTLClassifier(net, n_groups=3, random_state=seed).fit(X_part, Y_part)
        found.append(multitask_roc_auc_score(Y_test, clf.predict_proba(X_test), average=None))

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for k, (name, values) in enumerate(scores.items()):
    means = np.mean(values, axis=1)
    less = means - np.mean(scores["all labels there are"], axis=1)
    print(
        f"{name:24} test AUC {means.mean():.3f}{spread(means)}, paired difference "
        f"{less.mean():+.3f}{spread(less)}"
    )
    place = np.arange(Y.shape[1]) + 0.25 * (k - 1)
    ax.errorbar(place, np.mean(values, axis=0), np.std(values, axis=0), fmt="os^"[k], label=name)
ax.set_xticks(range(Y.shape[1]), labels=Y.columns, rotation=60, ha="right")
ax.set_ylabel(f"test AUC (mean of {args.n_seeds} seeds)")
ax.legend(frameon=False)
figure.savefig(args.plot)
print(f"The scores of each assay are drawn in {args.plot}.")
