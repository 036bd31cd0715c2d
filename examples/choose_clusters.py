"""How many groups, and how soft? A grid search, as for any estimator of scikit-learn.

    python examples/choose_clusters.py

Claim: on the digits more groups score more and softer ones less, the number of groups mattering
most. The base net and its data maps are trained once a fold and kept in a cache; the candidates
share them.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.pipeline import Pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--n-folds", type=int, default=5)
parser.add_argument("--max-epochs", type=int, default=30)
parser.add_argument("--plot", type=Path, default=Path("choose_clusters.png"))
args = parser.parse_args()

X, Y = load_digit_tasks(return_X_y=True)
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.3, random_state=0)
net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=args.max_epochs)
clusters, fuzziness = [2, 3, 4, 6], [1.5, 2.0, 3.0]

with TemporaryDirectory() as cache:
    maps = TaskGrouper(net, output="isometric", random_state=0)
    grouping = Pipeline([("maps", maps), ("groups", FuzzyKMeans(random_state=0))], memory=cache)
    search = GridSearchCV(
        GroupedMTLClassifier(net, grouping, random_state=0),
        {"grouper__groups__n_clusters": clusters, "grouper__groups__fuzziness": fuzziness},
        scoring="f1_macro",
        cv=KFold(args.n_folds, shuffle=True, random_state=0),
        verbose=1,
    ).fit(X_train, Y_train)

found = search.cv_results_
shape = (len(fuzziness), len(clusters))
# Candidates come by name of the parameter: fuzziness before n_clusters.
means = found["mean_test_score"].reshape(shape)
spreads = found["std_test_score"].reshape(shape) / np.sqrt(args.n_folds)
print("best of the folds:", search.best_params_)
print(f"test F1 of the best: {search.score(X_test, Y_test):.3f}")

figure, ax = plt.subplots(layout="constrained")
for row, value in enumerate(fuzziness):
    ax.errorbar(clusters, means[row], spreads[row], marker="o", capsize=3, label=f"{value:g}")
ax.set(xlabel="clusters", ylabel="F1 of held-out folds (mean, standard error)", xticks=clusters)
ax.legend(title="fuzziness", frameon=False)
figure.savefig(args.plot)
print(f"The search is drawn in {args.plot}.")
