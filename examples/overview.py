"""The method in one picture: data maps, groups, specialists.

    python examples/overview.py

Draws what the README opens with: scikit-learn's digits as 15 tasks, three data maps of one net, the
groups that all the maps lead to, and the test F1 of each task by the specialists of the groups and
by the baselines (means of five seeds).
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks
from skgroup.inspection import DataMapDisplay, MembershipDisplay
from skgroup.metrics import multitask_f1_score

SHOWN = ["digit 0", "upside-down", "random"]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--n-seeds", type=int, default=5)
parser.add_argument("--max-epochs", type=int, default=50)
parser.add_argument("--plot", type=Path, default=Path("overview.png"))
args = parser.parse_args()

net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=args.max_epochs)
scores = {"1 net": [], "4 nets": [], "1 net + 3 specialists": [], "15 single-task nets": []}
for seed in range(args.n_seeds):
    tasks = load_digit_tasks(as_frame=True, random_state=seed)
    X_train, X_test, Y_train, Y_test = train_test_split(
        tasks.data, tasks.target, test_size=0.3, random_state=seed
    )
    grouping = make_pipeline(TaskGrouper(net, snapshot_epochs="all"), FuzzyKMeans(3))
    ways = [
        GroupedMTLClassifier.mtl(net, random_state=seed),
        GroupedMTLClassifier.mtl_ensemble(4, net, random_state=seed),
        GroupedMTLClassifier(net, grouping, random_state=seed),
        GroupedMTLClassifier.stl(net, random_state=seed),
    ]
    for of_way, way in zip(scores.values(), ways, strict=True):
        predicted = way.fit(X_train, Y_train).predict(X_test)
        of_way.append(multitask_f1_score(Y_test, predicted, average=None))
    if seed == 0:
        first = ways[2]

figure = plt.figure(figsize=(13, 5.6), layout="constrained")
maps, groups, bars = figure.subfigures(1, 3, width_ratios=[1.15, 0.8, 1])
maps.suptitle(
    "1  One net learns all tasks. The data map of\na task says how it learned each sample."
)
groups.suptitle("2  Tasks with maps alike\nbelong together, by degrees.")
bars.suptitle("3  A specialist for each group;\neach task is predicted by its groups.")

axes = maps.subplots(3, 1, sharex=True, sharey=True)
DataMapDisplay.from_estimator(first.grouper_[0], SHOWN, ax=axes)
for ax in axes:
    ax.label_outer()
    ax.set_xlim(0, 0.25)  # nothing lies further right here, nor where "ambiguous" stands
    for text in list(ax.texts):
        text.remove()
MembershipDisplay.from_estimator(first, ax=groups.subplots())
ax = bars.subplots()
means = {name: np.mean(values, axis=0) for name, values in scores.items()}
order = np.argsort(means["1 net + 3 specialists"] - means["1 net"])
rows = np.arange(len(order))
for k, (name, marker) in enumerate(zip(scores, "os^D", strict=True)):
    spread = np.std(scores[name], axis=0, ddof=1)[order]
    place = rows + 0.2 * (k - 1.5)
    ax.errorbar(means[name][order], place, xerr=spread, fmt=marker, ms=4, lw=1, label=name)
ax.set_yticks(rows, labels=np.array(tasks.task_names)[order])
ax.set_xlabel(f"test F1, mean and spread of {args.n_seeds} seeds")
ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, 1.15), ncols=2)
figure.savefig(args.plot, dpi=100)
print(f"The picture is in {args.plot}.")
for name, values in scores.items():
    means = np.mean(values, axis=1)
    print(f"{name}: mean test F1 {means.mean():.3f} ± {means.std(ddof=1):.3f}")
