"""What the tests of `compare` are made of: cheap candidates and made-up comparisons."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from skgroup.comparison import Comparison, compare


def make_data():
    """X (120, 5), and Y (120, 4) of which two tasks are alike."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    Y = (X[:, [0, 0, 1, 2]] + 0.7 * rng.normal(size=(120, 4)) > 0).astype(int)
    return X, Y


def cheap():
    return {
        "near": KNeighborsClassifier(5),
        "tree": DecisionTreeClassifier(max_features=2),
        "dummy": DummyClassifier(strategy="most_frequent"),
    }


def compare_given(X, Y=None, candidates=None, **params):
    """`compare` of what it is given, without baselines that it makes."""
    return compare(X, Y, candidates, **{"baselines": [], **params})


class Counted(ClassifierMixin, BaseEstimator):
    """Predicts `value` for every task and counts its fits; may fail or be interrupted in one."""

    fits = 0

    def __init__(self, value=0, fails=(), interrupted=(), random_state=None, verbose=0):
        self.value = value
        self.fails = fails
        self.interrupted = interrupted
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y):
        Counted.fits += 1
        if Counted.fits in self.fails:
            raise RuntimeError(f"fit {Counted.fits} went wrong")
        if Counted.fits in self.interrupted:
            raise KeyboardInterrupt
        self.shape_ = np.shape(y)[1:]
        return self

    def predict(self, X):
        return np.full((len(X), *self.shape_), self.value)


def crafted(scores, seconds, *, baselines, grouped=("grouped",), n_tasks=1, **params):
    """A comparison of given scores, one list over splits a candidate."""
    kinds = {"MTL": "MTL", "STL": "STL"} | dict.fromkeys(grouped, "grouped")
    values = np.array([*scores.values()], dtype=float)[:, :, None].repeat(n_tasks, axis=2)
    n_splits = values.shape[1]
    return Comparison(
        **{
            "candidates": list(scores),
            "baselines": baselines,
            "kinds": [kinds.get(name, "other") for name in scores],
            "tasks": [f"t{t}" for t in range(n_tasks)],
            "scoring": "F1",
            "seeds": np.arange(n_splits),
            "folds": np.zeros(n_splits, dtype=int),
            "split_ids": np.arange(n_splits),
            "values": values,
            "seconds": np.array(seconds, dtype=float)[:, None].repeat(n_splits, axis=1),
            "nets": np.array(seconds, dtype=float)[:, None].repeat(n_splits, axis=1),
            "test_to_train": 1 / 3,
            **params,
        }
    )


MTL, STL = [0.70, 0.71, 0.69, 0.70, 0.72], [0.80, 0.81, 0.79, 0.80, 0.81]
