"""The data sets of `benchmarks.evidence` and `benchmarks.number_of_groups`, split by a seed.

A folder holds the files, as far as they are wanted: `yeast.npz` and `cifar10.npz` (x_train,
y_train, x_test, y_test), `tox21.npz` (x, y, tasks; NaN where a label is missing), and the files
of Census-Income (KDD) as UCI has them, `census-income.data` (or .xz). The digits come with
scikit-learn.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skgroup import MultiTaskNet
from skgroup.datasets import load_digit_tasks, make_class_tasks
from skgroup.nn import SmallCNN

UNIONS = {"living": [2, 3, 4, 5, 6, 7], "not living": [0, 1, 8, 9], "odd": [1, 3, 5, 7, 9]}
CENSUS_NUMBERS = [0, 5, 16, 17, 18, 30, 39]
CENSUS_TARGETS = {"education": 4, "marital": 7, "weight": 24, "income": 41}
COLLEGE = ("Bachelors", "Masters", "Doctorate", "Prof school", "Associates", "Some college")


@dataclass
class Problem:
    X_train: Any
    X_test: Any
    Y_train: Any
    Y_test: Any
    net: MultiTaskNet
    what: str
    random_task: int | None = None
    costly: bool = False


def mlp(max_epochs):
    return MultiTaskNet.stg_mtl(module__hidden_units=(64, 64), max_epochs=max_epochs)


def digits(folder, seed):
    tasks = load_digit_tasks(random_state=seed)
    parts = train_test_split(tasks.data, tasks.target, test_size=0.3, random_state=seed)
    random_task = list(tasks.task_names).index("random")
    return Problem(*parts, mlp(50), "digits, 15 tasks, MLP 64-64, 50 epochs", random_task)


def yeast(folder, seed):
    file = np.load(folder / "yeast.npz")
    X = np.concatenate([file["x_train"], file["x_test"]])
    Y = np.concatenate([file["y_train"], file["y_test"]])
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.3, random_state=seed)
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    return Problem(X_train, X_test, Y_train, Y_test, mlp(50), "yeast, 14 tasks, MLP 64-64")


def tox21(folder, seed, n_train=4000):
    file = np.load(folder / "tox21.npz")
    parts = train_test_split(file["x"], file["y"], train_size=n_train, random_state=seed)
    what = f"Tox21 fingerprints, {n_train:,} molecules, 12 tasks, MLP 64-64, 15 epochs"
    return Problem(*parts, mlp(15), what)


def census(folder, seed, n_train=4000, n_test=8000):
    import pandas as pd

    path = next(Path(folder).glob("census-income.data*"))
    rows = pd.read_csv(path, header=None, skipinitialspace=True)
    rows = rows.sample(n_train + n_test, random_state=seed)
    Y = np.column_stack(
        [
            rows[41].str.strip().str.startswith("50000+"),
            rows[7].str.strip() == "Never married",
            rows[4].str.strip().str.startswith(COLLEGE),
        ]
    ).astype(int)
    categories = [c for c in rows if c not in [*CENSUS_NUMBERS, *CENSUS_TARGETS.values()]]
    rows[categories] = rows[categories].astype(str)
    train, test = rows[:n_train], rows[n_train:]
    encoder = make_column_transformer(
        (StandardScaler(), CENSUS_NUMBERS),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
    ).fit(train)
    X_train, X_test = (encoder.transform(part).astype(np.float32) for part in (train, test))
    what = f"Census-Income, {n_train:,} of its rows, 3 tasks, MLP 64-64, 20 epochs"
    return Problem(X_train, X_test, Y[:n_train], Y[n_train:], mlp(20), what)


def cifar10(folder, seed, n_train=250, n_test=500):
    file = np.load(folder / "cifar10.npz")
    drawn = np.random.default_rng(seed)
    parts = []
    for name, n in (("train", n_train), ("test", n_test)):
        chosen = drawn.permutation(len(file[f"y_{name}"]))[:n]
        images = np.moveaxis(file[f"x_{name}"][chosen], 3, 1)
        labels = file[f"y_{name}"][chosen]
        parts.append(make_class_tasks(images, labels, unions=UNIONS, random_state=seed))
    train, test = parts
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=8, batch_size=32)
    what = f"CIFAR-10 G2, {n_train:,} images, 15 tasks, small CNN, 8 epochs"
    random_task = list(train.task_names).index("random")
    return Problem(
        train.images, test.images, train.target, test.target, net, what, random_task, costly=True
    )


PROBLEMS = {
    "digits": digits,
    "yeast": yeast,
    "tox21": tox21,
    "census": census,
    "cifar10": cifar10,
}
