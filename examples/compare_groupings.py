"""Every way to find groups, side by side on the same tasks.

Run it::

    python examples/compare_groupings.py                      # scikit-learn's digits, 15 tasks
    python examples/compare_groupings.py --yeast yeast.npz    # 14 functions of yeast genes

Claim: how the groups were found matters little beside the spread over seeds; but for groups by
the correlation of the labels, which are better on the digits and cost nothing. The file holds
x_train, y_train, x_test, y_test. Of the groups that each way finds, specialists are trained and
tested. Nets are all that were trained, those that find the groups included; "MTL ensemble" trains
as many nets as a grouping with `TaskGrouper` does.
"""

import argparse
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.cluster import PointKMeans
from skgroup.datasets import load_digit_tasks
from skgroup.relations import (
    GradientCosineAffinity,
    InterTaskAffinity,
    LabelCorrelationAffinity,
)
from skgroup.selection import (
    ExhaustiveGrouping,
    GroupSelector,
    HOAGrouping,
    MTGNetGrouping,
    TAGGrouping,
    describe_cost,
)


def groupings(net, n_groups):
    return {
        "data maps, soft k-means": make_pipeline(TaskGrouper(net), FuzzyKMeans(n_groups)),
        "data maps, by points": make_pipeline(TaskGrouper(net), PointKMeans(n_groups)),
        "TAG": TAGGrouping(net, n_groups),
        "TAG's affinity, soft k-means": make_pipeline(
            InterTaskAffinity(net), FuzzyKMeans(n_groups)
        ),
        "gradient cosine, selected": make_pipeline(
            GradientCosineAffinity(net), GroupSelector(n_groups)
        ),
        "label correlation, selected": make_pipeline(
            LabelCorrelationAffinity(), GroupSelector(n_groups)
        ),
        "HOA": HOAGrouping(net, n_groups),
        "MTG-Net": MTGNetGrouping(net, n_groups),
    }


def load(path, seed):
    """X_train, X_test, Y_train, Y_test, names of the tasks."""
    if path is None:
        tasks = load_digit_tasks(random_state=seed)
        names = list(tasks.task_names)
        return *train_test_split(tasks.data, tasks.target, test_size=0.3, random_state=seed), names
    file = np.load(path)
    X = np.concatenate([file["x_train"], file["x_test"]])
    Y = np.concatenate([file["y_train"], file["y_test"]]).astype(int)
    X_train, X_test, *Y = train_test_split(X, Y, test_size=0.3, random_state=seed)
    scaler = StandardScaler().fit(X_train)
    names = [str(t) for t in range(Y[0].shape[1])]
    return scaler.transform(X_train), scaler.transform(X_test), *Y, names


def groups_of(clf, names):
    """The tasks that each group serves best."""
    best = clf.serving_weights_.argmax(axis=1)
    return " · ".join(
        ", ".join(names[t] for t in np.flatnonzero(best == j)) for j in np.unique(best)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--yeast", help="an .npz file; the digits if not given")
    parser.add_argument("--n-groups", type=int, default=3)
    parser.add_argument("--n-seeds", type=int, default=3)
    parser.add_argument("--max-epochs", type=int, default=50)
    parser.add_argument("--plot", type=Path, default=Path("compare_groupings.png"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=args.max_epochs)
    f1, seconds, nets, found = {}, {}, {}, {}
    for seed in range(args.n_seeds):
        X_train, X_test, Y_train, Y_test, names = load(args.yeast, seed)
        n_tasks = Y_train.shape[1]
        if seed == 0:
            print("Nets to find the groups:")
            ways = {**groupings(net, args.n_groups), "all groups": ExhaustiveGrouping(net)}
            for row in describe_cost(ways, n_tasks):
                print(f"  {row['name']}: {row['nets']} nets, {row['epochs']} epochs")
            print()
        make = GroupedMTLClassifier
        candidates = {
            "MTL": make.mtl(net, random_state=seed),
            "STL": make.stl(net, random_state=seed),
            "MTL ensemble": make.mtl_ensemble(args.n_groups + 1, net, random_state=seed),
        } | {
            name: make(net, grouper, random_state=seed)
            for name, grouper in groupings(net, args.n_groups).items()
        }
        for name, clf in candidates.items():
            start = time.perf_counter()
            clf.fit(X_train, Y_train)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            f1.setdefault(name, []).append(clf.score(X_test, Y_test))
            nets[name] = clf.count_nets(n_tasks)["total"]
            if seed == 0 and name in groupings(net, args.n_groups):
                found[name] = groups_of(clf, names)

    print(f"{n_tasks} tasks, {args.n_groups} groups, {args.n_seeds} seeds\n")
    print("| | test F1 (spread) | nets trained | time / MTL |\n|---|---|---|---|")
    for name, scores in f1.items():
        ratio = np.median(np.divide(seconds[name], seconds["MTL"]))
        spread = f" ± {np.std(scores, ddof=1):.3f}" if len(scores) > 1 else ""
        print(f"| {name} | {np.mean(scores):.3f}{spread} | {nets[name]} | {ratio:.1f} |")
    print("\nGroups of the first seed, each task where it counts most:")
    for name, text in found.items():
        print(f"  {name}: {text}")

    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for row, (name, scores) in enumerate(f1.items()):
        color = "tab:blue" if name in found else "gray"
        ax.plot(scores, [row] * len(scores), ".", color=color)
        ax.plot(np.mean(scores), row, "|", color="black", markersize=14)
    ax.set(yticks=range(len(f1)), yticklabels=f1, xlabel="test F1: seeds (dots) and their mean")
    ax.invert_yaxis()
    figure.savefig(args.plot)
    print(f"\nThe scores are drawn in {args.plot}: baselines in grey.")


if __name__ == "__main__":
    main()
