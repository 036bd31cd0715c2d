"""What warm starts of the specialists cost in F1 and save in time.

    python -m benchmarks.warm_start                          # scikit-learn's digits
    python -m benchmarks.warm_start --cifar10 cifar10.npz    # CIFAR-10 with the small CNN

Every line is trained in the same process, seed by seed; time is that of `fit`, the base net that
makes the data maps included. "MTL, as long" is one MTL net with as many more epochs as the line
above it took more time. The file holds x_train, y_train, x_test, y_test (images NHWC, uint8).
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks, make_class_tasks
from skgroup.nn import SmallCNN

UNIONS = {"living": [2, 3, 4, 5, 6, 7], "not living": [0, 1, 8, 9], "odd": [1, 3, 5, 7, 9]}


def load(path, n_train, seed):
    if path is None:
        tasks = load_digit_tasks(random_state=seed)
        X, Y = tasks.data, tasks.target
        net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=48)
        return *train_test_split(X, Y, test_size=0.3, random_state=seed), net
    file = np.load(path)
    parts = []
    for name, n in (("train", n_train), ("test", 2000)):
        images = np.moveaxis(file[f"x_{name}"][:n], 3, 1)
        labels = file[f"y_{name}"][:n]
        parts.append(make_class_tasks(images, labels, unions=UNIONS, random_state=seed))
    train, test = parts
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=8)
    return train.images, test.images, train.target, test.target, net


def candidates(net, n_groups, seed):
    epochs = net.max_epochs

    def grouped(init="fresh", share=1, min_membership=0.0):
        grouping = make_pipeline(TaskGrouper(net, output="isometric"), FuzzyKMeans(n_groups))
        return GroupedMTLClassifier(
            net,
            grouping,
            specialist_init=init,
            specialist_epochs=epochs // share,
            min_membership=min_membership,
            random_state=seed,
        )

    return {
        "MTL": GroupedMTLClassifier.mtl(net, random_state=seed),
        f"{n_groups + 1} MTL nets (as many nets)": GroupedMTLClassifier.mtl_ensemble(
            n_groups + 1, net, random_state=seed
        ),
        f"{n_groups} specialists from scratch": grouped(),
        "the same, min_membership=0.2": grouped(min_membership=0.2),
        "from scratch, half the epochs": grouped("fresh", 2),
        "warm, all epochs": grouped("relation"),
        "warm, half the epochs": grouped("relation", 2),
        "warm, a quarter of the epochs": grouped("relation", 4),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", help="an .npz file; the digits if not given")
    parser.add_argument("--n-train", type=int, default=1000, help="training images of CIFAR-10")
    parser.add_argument("--n-groups", type=int, default=3)
    parser.add_argument("--n-seeds", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    f1, seconds = {}, {}
    for seed in range(args.n_seeds):
        X_train, X_test, Y_train, Y_test, net = load(args.cifar10, args.n_train, seed)
        clone(net).set_params(max_epochs=1).fit(X_train, Y_train)  # what is loaded only once

        def measure(name, clf, data=(X_train, X_test, Y_train, Y_test)):
            X_train, X_test, Y_train, Y_test = data
            start = time.perf_counter()
            clf.fit(X_train, Y_train)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            f1.setdefault(name, []).append(clf.score(X_test, Y_test))
            return seconds[name][-1] / seconds["MTL"][-1]

        for name, clf in candidates(net, args.n_groups, seed).items():
            times_mtl = measure(name, clf)
            if name.startswith("warm"):
                longer = GroupedMTLClassifier.mtl(
                    net, specialist_epochs=round(net.max_epochs * times_mtl), random_state=seed
                )
                measure(f"MTL, as long as {name}", longer)
    what = "digits" if args.cifar10 is None else f"{args.n_train} images of CIFAR-10"
    print(f"{what}, {Y_train.shape[1]} tasks, {net.max_epochs} epochs, {args.n_seeds} seeds\n")
    print("| | test F1 (spread) | time, as a multiple of MTL's |\n|---|---|---|")
    for name in f1:
        ratio = np.median(np.divide(seconds[name], seconds["MTL"]))
        print(
            f"| {name} | {np.mean(f1[name]):.3f} ± {np.std(f1[name], ddof=1):.3f} | {ratio:.1f} |"
        )


if __name__ == "__main__":
    main()
