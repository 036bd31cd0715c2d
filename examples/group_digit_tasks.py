"""Which of fifteen image tasks should be learned together, and does grouping them pay?

    python examples/group_digit_tasks.py                     # scikit-learn's digits, no download
    python examples/group_digit_tasks.py --images cifar10.npz
    python examples/group_digit_tasks.py --images path/to/fashion-mnist

The digits become the task set G2 of the STG-MTL paper: ten one-vs-rest tasks, unions of classes,
"upside-down" (half of the images are flipped) and labels drawn at random, which nothing can learn.

`--images` takes an .npz file with x_train, y_train, x_test, y_test and optionally class_names
(images of shape (n, height, width) or (n, height, width, 3)), or a folder with Fashion-MNIST's
four files *-ubyte.gz. Then the nets are small CNNs, and --n-train images are used.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.datasets import load_digit_tasks, make_class_tasks
from skgroup.metrics import multitask_f1_score
from skgroup.nn import SmallCNN

CIFAR_UNIONS = {"living": [2, 3, 4, 5, 6, 7], "not living": [0, 1, 8, 9], "odd": [1, 3, 5, 7, 9]}
FASHION = ["t-shirt", "trouser", "pullover", "dress", "coat"]
FASHION += ["sandal", "shirt", "sneaker", "bag", "boot"]
FASHION_UNIONS = {"tops": [0, 2, 3, 4, 6], "shoes": [5, 7, 9], "odd": [1, 3, 5, 7, 9]}


def read_images(path, n_train, n_test, seed):
    """Training and test images (n, channels, height, width) of type uint8, tasks, their names."""
    if path.is_dir():

        def read(name, header):
            file = next(path.rglob(f"{name}-ubyte.gz"))
            return np.frombuffer(gzip.open(file).read(), np.uint8, offset=header)

        images = [read(f"{part}-images-idx3", 16).reshape(-1, 28, 28) for part in ("train", "t10k")]
        labels = [read(f"{part}-labels-idx1", 8) for part in ("train", "t10k")]
        names, unions = FASHION, FASHION_UNIONS
    else:
        file = np.load(path)
        images, labels = [file["x_train"], file["x_test"]], [file["y_train"], file["y_test"]]
        names, unions = file.get("class_names"), CIFAR_UNIONS
    parts = []
    for part, (x, y, n) in enumerate(zip(images, labels, (n_train, n_test), strict=True)):
        x = x[:n, None] if x.ndim == 3 else np.moveaxis(x[:n], 3, 1)
        parts.append(
            make_class_tasks(
                x, y[:n], class_names=names, unions=unions, random_state=2 * seed + part
            )
        )
    train, test = parts
    return train.images, test.images, train.target, test.target, train.task_names


def load(args, seed):
    """Training and test data, the names of the tasks, and the net for them."""
    if args.images is not None:
        net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=args.max_epochs or 8)
        return *read_images(args.images, args.n_train, 2000, seed), net
    tasks = load_digit_tasks(random_state=seed)
    parts = train_test_split(tasks.data, tasks.target, test_size=0.3, random_state=seed)
    net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=args.max_epochs or 50)
    return *parts, tasks.task_names, net


def run(args, seed):
    """Test F1 of each task by each candidate, the grouped classifier, the names of the tasks."""
    X_train, X_test, Y_train, Y_test, names, net = load(args, seed)
    grouping = make_pipeline(
        TaskGrouper(net, output="isometric", verbose=1), FuzzyKMeans(args.n_groups)
    )
    options = {"estimator": net, "random_state": seed, "verbose": 1}
    candidates = {
        "MTL": GroupedMTLClassifier.mtl(**options),
        "STL": GroupedMTLClassifier.stl(**options),
        f"{args.n_groups} MTL nets": GroupedMTLClassifier.mtl_ensemble(args.n_groups, **options),
        "grouped": GroupedMTLClassifier(grouper=grouping, **options),
    }
    scores = {}
    for name, clf in candidates.items():
        print(f"seed {seed}, {name}: training", flush=True)
        predicted = clf.fit(X_train, Y_train).predict(X_test)
        scores[name] = multitask_f1_score(Y_test, predicted, average=None)
    return scores, candidates["grouped"], names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="an .npz file or Fashion-MNIST's folder")
    parser.add_argument("--n-train", type=int, default=4000, help="training images (--images)")
    parser.add_argument("--n-groups", type=int, default=3)
    parser.add_argument("--max-epochs", type=int, help="default: 50, with --images 8")
    parser.add_argument("--n-seeds", type=int, default=1, help="repeat with so many seeds")
    parser.add_argument("--plot", type=Path, default=Path("membership.png"))
    args = parser.parse_args()

    runs = [run(args, seed) for seed in range(args.n_seeds)]
    _, grouped, names = runs[0]
    print("\nMembership of each task in each group (seed 0)")
    print(f"{'':14}" + "".join(f"{j:>8}" for j in range(args.n_groups)))
    for task, row in zip(names, grouped.membership_, strict=True):
        print(f"{task:14}" + "".join(f"{w:8.2f}" for w in row))

    scores = {name: np.array([r[0][name] for r in runs]) for name in runs[0][0]}
    print(f"\nTest F1 (mean of {args.n_seeds} seeds)")
    print(f"{'':14}" + "".join(f"{name:>12}" for name in scores))
    for t, task in enumerate(names):
        print(f"{task:14}" + "".join(f"{f1[:, t].mean():12.3f}" for f1 in scores.values()))
    means = {name: f1.mean(axis=1) for name, f1 in scores.items()}
    print(f"{'mean':14}" + "".join(f"{m.mean():12.3f}" for m in means.values()))
    if args.n_seeds > 1:
        print(f"{'  its spread':14}" + "".join(f"{m.std(ddof=1):12.3f}" for m in means.values()))

    best, second = sorted(means, key=lambda name: means[name].mean(), reverse=True)[:2]
    print(
        f"\n{best} won with a mean test F1 of {means[best].mean():.3f}, before {second} with "
        f"{means[second].mean():.3f}."
    )
    try:
        from skgroup.inspection import MembershipDisplay

        display = MembershipDisplay.from_estimator(grouped, task_names=names)
    except ImportError as error:
        print(error)
    else:
        display.figure_.savefig(args.plot)
        print(f"The memberships are drawn in {args.plot}.")


if __name__ == "__main__":
    main()
