import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from joblib import parallel_config
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, StratifiedKFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import Callback
from torch import nn

import skgroup
from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper, compare
from skgroup.comparison import Comparison
from skgroup.exceptions import FileFormatError, TrainingInterruptedWarning
from skgroup.nn import MLP
from skgroup.store import key_of

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def data():
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


@pytest.fixture(autouse=True)
def _no_fits():
    Counted.fits = 0


def brute_force(X, Y, splits, candidates, metric):
    """Scores (n_candidates, n_splits, n_tasks), by one loop after another."""
    values = np.zeros((len(candidates), len(splits), Y.shape[1]))
    for i, make in enumerate(candidates):
        for s, (seed, train, test) in enumerate(splits):
            predicted = make(seed).fit(X[train], Y[train]).predict(X[test])
            for t in range(Y.shape[1]):
                values[i, s, t] = metric(Y[test][:, t], predicted[:, t])
    return values


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("interval", ["corrected", "seeds"])
@pytest.mark.parametrize("cv", [0.25, 3])
def test_the_frame_equals_a_recomputation(data, cv, interval):
    X, Y = data
    before = X.copy(), Y.copy()
    seeds = [3, 5, 8]
    found = compare(X, Y, cheap(), cv=cv, seeds=seeds, interval=interval)

    splits = []
    for seed in seeds:
        folds = KFold(3, shuffle=True, random_state=seed)
        share = ShuffleSplit(1, test_size=0.25, random_state=seed)
        for train, test in (folds if cv == 3 else share).split(X):
            splits.append((seed, train, test))
    makes = [
        lambda seed: KNeighborsClassifier(5),
        lambda seed: DecisionTreeClassifier(
            max_features=2, random_state=np.random.RandomState(seed).randint(2**31 - 1)
        ),
        lambda seed: DummyClassifier(strategy="most_frequent"),
    ]
    values = brute_force(X, Y, splits, makes, lambda a, b: f1_score(a, b, zero_division=0))
    np.testing.assert_allclose(found.values, values, rtol=1e-12)

    frame = found.frame
    overall = [[np.mean(values[i, s]) for s in range(len(splits))] for i in range(3)]
    best = max(range(3), key=lambda i: np.mean(overall[i]))
    assert found.best_baseline == list(cheap())[best]
    ratio = 0.5 if cv == 3 else 1 / 3
    for i, name in enumerate(cheap()):
        for t, task in [(None, "mean over tasks")] + [(t, f"task {t}") for t in range(4)]:
            ours = overall[i] if t is None else values[i, :, t]
            theirs = overall[best] if t is None else values[best, :, t]
            d = [a - b for a, b in zip(ours, theirs, strict=True)]
            row = frame.loc[(name, task)]
            assert row["mean"] == pytest.approx(np.mean(ours))
            assert row["sd"] == pytest.approx(
                np.sqrt(sum((np.array(ours) - np.mean(ours)) ** 2) / (len(ours) - 1))
            )
            assert row["difference"] == pytest.approx(np.mean(d))
            assert row["n_splits"] == len(splits)
            if interval == "seeds":
                d = [np.mean([d[s] for s in range(len(d)) if splits[s][0] == z]) for z in seeds]
                variance = np.var(d, ddof=1) / len(d)
            else:
                variance = np.var(d, ddof=1) * (1 / len(d) + ratio)
            width = stats.t(len(d) - 1).ppf(0.975) * np.sqrt(variance)
            assert row["low"] == pytest.approx(np.mean(d) - width)
            assert row["high"] == pytest.approx(np.mean(d) + width)
            assert row["nets"] == 0
            assert row["seconds"] == np.median(found.seconds[i])
            assert row["time_ratio"] == row["seconds"] / np.median(found.seconds[0])

    tidy = found.scores
    assert list(tidy.columns) == ["candidate", "seed", "fold", "task", "score"]
    assert len(tidy) == values.size
    line = tidy[(tidy.candidate == "tree") & (tidy.seed == 5) & (tidy.fold == 0)]
    s = next(s for s, split in enumerate(splits) if split[0] == 5)
    np.testing.assert_allclose(line.sort_values("task")["score"], values[1, s])
    assert found.fits.groupby("candidate").size().tolist() == [len(splits)] * 3
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])


def test_the_order_of_candidates_and_processes_change_nothing(data, small_net):
    X, Y = data
    candidates = {**cheap(), "net": small_net}
    found = compare(X, Y, candidates, seeds=2)
    with parallel_config("threading"):  # processes take long to start
        moved = compare(X, Y, dict(reversed(candidates.items())), seeds=2, n_jobs=2)
    np.testing.assert_array_equal(found.values, moved.values[::-1])
    columns = ["mean", "sd", "difference", "low", "high"]
    pd.testing.assert_frame_equal(
        found.frame[columns].sort_index(), moved.frame[columns].sort_index()
    )
    fewer = compare(X, Y, {"net": small_net, "tree": cheap()["tree"]}, seeds=[1])
    np.testing.assert_array_equal(fewer.values[0, 0], found.values[3, 1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).values, found.values)


def test_a_seed_sets_every_random_state_and_the_splitter(data):
    X, Y = data
    net = MultiTaskNet(random_state=7)
    grouper = make_pipeline(TaskGrouper(net, random_state=7), FuzzyKMeans(2, random_state=7))
    clf = make_pipeline(StandardScaler(), GroupedMTLClassifier(net, grouper, random_state=7))
    seeded = skgroup.comparison._candidates.seeded(clf, 1)
    states = [v for k, v in seeded.get_params().items() if k.endswith("random_state")]
    assert len(states) == len(set(states)) == 5
    again = skgroup.comparison._candidates.seeded(clf, 1).get_params()
    assert [v for k, v in again.items() if k.endswith("random_state")] == states
    assert clf[-1].random_state == 7

    splitter = ShuffleSplit(2, test_size=0.3)
    found = compare(X, Y, cheap(), cv=splitter, seeds=2)
    by_hand = [s for z in range(2) for s in ShuffleSplit(2, test_size=0.3, random_state=z).split(X)]
    same = compare(X, Y, cheap(), cv=by_hand, seeds=[0])
    np.testing.assert_array_equal(found.values[0], same.values[0])
    assert splitter.random_state is None


def test_scores_other_than_f1(data):
    X, Y = data
    candidates = {"near": KNeighborsClassifier(5), "trees": MultiOutputClassifier(cheap()["tree"])}
    train, test = next(ShuffleSplit(1, test_size=0.25, random_state=0).split(X))
    near = KNeighborsClassifier(5).fit(X[train], Y[train])
    expected = {
        "roc_auc": [
            roc_auc_score(Y[test, t], near.predict_proba(X[test])[t][:, 1]) for t in range(4)
        ],
        "accuracy": (near.predict(X[test]) == Y[test]).mean(axis=0),
        "average_precision": None,
        make_scorer(accuracy_score): (near.predict(X[test]) == Y[test]).mean(axis=0),
    }
    for scoring, values in expected.items():
        found = compare(X, Y, candidates, seeds=1, scoring=scoring)
        assert np.isfinite(found.values).all()
        if values is not None:
            np.testing.assert_allclose(found.values[0, 0], values)

    def brier_skill(estimator, X, y):
        return -np.mean((estimator.predict_proba(X)[:, 1] - y) ** 2)

    found = compare(X, Y, candidates, seeds=1, scoring=brier_skill)
    p = np.column_stack([p[:, 1] for p in near.predict_proba(X[test])])
    np.testing.assert_allclose(found.values[0, 0], -np.mean((p - Y[test]) ** 2, axis=0))
    assert found.scoring == "brier_skill"


def test_missing_labels_strings_and_several_classes(data, small_net):
    X, Y = data
    three = np.array(["a", "b", "c"])[np.digitize(X[:, 3], [-0.4, 0.4])]
    table = pd.DataFrame({"x": Y[:, 0].astype(float), "y": three, "z": Y[:, 2].astype(bool)})
    table.loc[::3, "x"] = np.nan
    table.loc[1::5, "y"] = None
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    with pytest.warns(FitFailedWarning, match="'near' failed in fold 0 of seed 0"):
        found = compare(X, table, {"mtl": small_net, "g": clf, "near": cheap()["near"]}, seeds=1)
    assert found.tasks == ["x", "y", "z"]
    assert np.isfinite(found.values[:2]).all()
    train, test = next(ShuffleSplit(1, test_size=0.25, random_state=0).split(X))
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=1)
    net = small_net.set_params(random_state=int(seeds[0])).fit(X[train], table.iloc[train])
    predicted = net.predict(X[test])
    seen = table["x"].iloc[test].notna().to_numpy()
    x = table["x"].to_numpy()[test][seen].astype(int)
    assert found.values[0, 0, 0] == pytest.approx(f1_score(x, predicted[seen, 0].astype(int)))
    seen = table["y"].iloc[test].notna().to_numpy()
    y = table["y"].to_numpy()[test][seen].astype(str)
    expected = f1_score(y, predicted[seen, 1].astype(str), average="macro")
    assert found.values[0, 0, 1] == pytest.approx(expected)
    assert found.best_baseline == "mtl"

    auc = compare(X, table, {"mtl": small_net, "g": clf}, seeds=1, scoring="roc_auc")
    expected = roc_auc_score(y, net.predict_proba(X[test])[1][seen], multi_class="ovr")
    assert auc.values[0, 0, 1] == pytest.approx(expected)


def test_a_task_without_test_labels_is_left_out_of_the_mean(data):
    X, Y = data
    Y = Y.astype(float)
    Y[60:, 0] = np.nan
    halves = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))]
    # The second half of task 0 has no labels, which training on it moves two samples for.
    constant = {"one": Counted(1), "zero": Counted(0)}
    found = compare(X, Y, constant, cv=halves, seeds=1)
    assert np.isnan(found.values[:, 0, 0]).all()
    assert np.isfinite(found.values[:, 1]).all()
    np.testing.assert_allclose(found.overall[:, 0], found.values[:, 0, 1:].mean(axis=1))
    assert found.frame.loc[("one", "task 0"), "n_splits"] == 1


def test_one_task_and_a_dataset(data, small_net):
    X, Y = data
    for y in (Y[:, 0], Y[:, :1], pd.Series(Y[:, 0], name="only")):
        for scoring in ("f1_macro", "roc_auc", "accuracy"):
            candidates = {"net": small_net, "near": KNeighborsClassifier()}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scikit-learn on columns of a single task
                found = compare(X, y, candidates, seeds=1, scoring=scoring)
            assert found.values.shape == (2, 1, 1)
            assert np.isfinite(found.values).all()
    inputs = torch.utils.data.TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(Y))
    of_dataset = compare(inputs, candidates={"net": small_net}, seeds=1)
    of_both = compare(inputs, Y, {"net": small_net}, seeds=1)
    np.testing.assert_array_equal(of_dataset.values, of_both.values)
    assert of_both.values.min() > 0.2  # labels stay with their samples


# -- baselines ---------------------------------------------------------------------------------


def test_baselines_are_made_like_the_candidate(data, small_net):
    X, Y = data
    clf = GroupedMTLClassifier(
        small_net, n_groups=2, threshold="tuned", cv=2, refit=False, n_mtl_nets=1
    )
    found = compare(X, Y, {"mine": make_pipeline(StandardScaler(), clf)}, seeds=1)
    # (2 specialists + 1 net) a fold and the net of the data maps, where one net would be 2.
    assert found.candidates == ["MTL", "STL", "MTL ensemble, 3 nets", "mine"]
    assert found.baselines == found.candidates[:3]
    assert found.grouped == ["mine"]
    assert found.nets[:, 0].tolist() == [2, 8, 6, 7]
    tuned = {"threshold": "tuned", "cv": 2, "refit": False}
    by_hand = {
        "mtl": make_pipeline(StandardScaler(), GroupedMTLClassifier.mtl(small_net, **tuned)),
        "stl": make_pipeline(StandardScaler(), GroupedMTLClassifier.stl(small_net, **tuned)),
        "e": make_pipeline(
            StandardScaler(), GroupedMTLClassifier.mtl_ensemble(3, small_net, **tuned)
        ),
        "mine": make_pipeline(StandardScaler(), clf),
    }
    same = compare(X, Y, by_hand, seeds=1)
    np.testing.assert_array_equal(same.values, found.values)
    assert same.baselines == ["mtl", "stl", "e"]


def test_an_estimator_alone_is_compared_with_baselines(data, small_net):
    X, Y = data
    of_net = compare(X, Y, small_net, seeds=1)
    of_clf = compare(X, Y, GroupedMTLClassifier(small_net), seeds=1)
    assert of_net.candidates == ["MTL", "STL", "MTL ensemble, 4 nets", "grouped"]
    np.testing.assert_array_equal(of_net.values, of_clf.values)
    kmeans = make_pipeline(TaskGrouper(small_net), KMeans(2, n_init=1))
    found = compare(X, Y, GroupedMTLClassifier(small_net, kmeans), seeds=1)
    assert found.candidates[2:] == ["MTL ensemble, 3 nets", "grouped"]


def test_what_groups_no_tasks_is_a_baseline(data, small_net):
    def groups(clf, n_tasks=4):
        return skgroup.comparison._kinds.kind_of(clf, n_tasks) == "grouped"

    ways = GroupedMTLClassifier
    for plain in [
        small_net,
        ways.mtl(),
        ways.stl(),
        ways.mtl_ensemble(3),
        ways(n_groups=1),
        ways(grouper=np.eye(4)[[1, 0, 3, 2]]),
        ways(grouper=np.ones((4, 2)) / 2),
        make_pipeline(StandardScaler(), ways.stl()),
        GridSearchCV(ways.mtl(), {}),
        DummyClassifier(),
    ]:
        assert not groups(plain)
    for grouped in [
        ways(),
        ways(n_groups=2),
        ways.portfolio(),
        ways(grouper=[[1, 0], [1, 0], [0, 1], [0, 1]]),
        make_pipeline(StandardScaler(), ways()),
        GridSearchCV(ways(), {}),
    ]:
        assert groups(grouped)

    X, Y = data
    candidates = {"near": cheap()["near"], "dummy": cheap()["dummy"]}
    found = compare(X, Y, candidates, seeds=2, baselines="dummy")
    assert found.best_baseline == "dummy"
    assert found.baselines == ["dummy"]


def test_nets_are_counted_after_fit_where_the_grouper_finds_the_groups(data, small_net):
    X, Y = data

    class Halves(BaseEstimator):
        def fit(self, X, y=None):
            self.labels_ = np.array([0, 0, 1, 1])
            return self

    grouper = make_pipeline(TaskGrouper(small_net), Halves())
    clf = GroupedMTLClassifier(small_net, grouper, n_mtl_nets=2)
    found = compare(X, Y, {"grouped": clf}, seeds=1)
    assert found.candidates == ["MTL", "STL", "grouped"]
    assert found.nets[-1, 0] == 1 + 2 + 2 - 1  # the net of the data maps serves too


# -- the verdict -------------------------------------------------------------------------------


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


def test_the_verdict_is_for_grouping_where_the_interval_is_above_zero():
    better = [0.90, 0.90, 0.90, 0.89, 0.91]
    found = crafted(
        {"MTL": MTL, "STL": STL, "grouped": better}, [1, 9, 4], baselines=["MTL", "STL"]
    )
    p = found.paired("grouped", "STL")
    assert p.low > 0
    assert found.verdict == (
        f"Grouping helps here: use “grouped” (4 nets, 4 s a fit), {p.difference:.3f} above the "
        f"best baseline, “STL” (95 % interval of the difference {p.low:+.3f} to {p.high:+.3f})."
    )
    # Of two that help alike, the cheaper.
    both = {
        "STL": STL,
        "grouped": better,
        "small": [s - 0.001 * (i % 2) for i, s in enumerate(better)],
    }
    found = crafted(both, [9, 4, 2], baselines=["STL"], grouped=("grouped", "small"))
    assert found.verdict.startswith("Grouping helps here: use “small” (2 nets")
    assert (
        "; the cheapest of those within a standard error of “grouped”; of 2 cand" in found.verdict
    )


def test_the_verdict_names_the_cheapest_of_the_best_where_grouping_does_not_help():
    worse = [0.75, 0.76, 0.74, 0.75, 0.77]
    found = crafted({"MTL": MTL, "STL": STL, "grouped": worse}, [1, 9, 4], baselines=["MTL", "STL"])
    assert found.verdict.startswith(
        "Grouping does not help here (“grouped” is 0.048 below the best baseline, “STL”"
    )
    assert found.verdict.endswith(
        "use “STL” (9 nets, 9 s a fit), the highest score, and nothing clearly cheaper is within a "
        "standard error of it."
    )
    # Better by its mean alone: the interval reaches 0, and something cheaper is as good.
    unsure = [0.95, 0.70, 0.90, 0.72, 0.93]
    scores = {"MTL": MTL, "STL": STL, "small": [s - 0.002 * (i % 2) for i, s in enumerate(STL)]}
    found = crafted({**scores, "grouped": unsure}, [1, 9, 3, 12], baselines=["MTL", "STL", "small"])
    assert found.paired("grouped", "STL").low < 0 < found.paired("grouped", "STL").difference
    assert found.verdict.startswith("Grouping does not clearly help here (“grouped” is 0.0")
    # MTL cannot be told from it either, but is not within a standard error.
    p = found.paired("MTL", "grouped")
    assert p.high > 0 > p.difference + p.error
    assert found.verdict.endswith(
        "use “small” (3 nets, 3 s a fit), the cheapest of those within a standard error of the "
        "best, “grouped”."
    )
    # A little cheaper is not worth any score.
    found = crafted(
        {**scores, "grouped": unsure}, [10, 11, 10, 12], baselines=["MTL", "STL", "small"]
    )
    assert "use “grouped” (12 nets" in found.verdict


def test_the_advice_keeps_to_one_standard_error():
    """Scores that differ by exactly known means and standard errors."""
    noise = np.array([-2, -1, 0, 1, 2]) * 0.01
    error = np.sqrt((1 / 5 + 1 / 3) * noise.var(ddof=1))
    for distance, advised in [(0.9 * error, "cheap"), (1.1 * error, "dear")]:
        scores = {"dear": 0.8 + 0 * noise, "cheap": 0.8 - distance + noise}
        found = crafted(scores, [5, 4], baselines=["dear", "cheap"], grouped=())
        assert found.paired("cheap", "dear").error == pytest.approx(error)
        assert f"use “{advised}”" in found.verdict
    found = crafted({"dear": STL, "cheap": STL}, [5, 4.1], baselines=["dear", "cheap"], grouped=())
    assert "use “dear”" in found.verdict  # which saves less than a fifth of the time


def test_nothing_is_advised_that_another_clearly_beats():
    noise = np.array([3, -3, 4, -4, 0]) * 0.03
    stl = 0.8 + 0.001 * np.array([1, -1, 0, 1, -1])
    scores = {"MTL": stl - 0.04, "STL": stl, "grouped": 0.81 + noise}
    found = crafted(scores, [1, 15, 20], baselines=["MTL", "STL"])
    p = found.paired("MTL", "grouped")
    assert p.difference + p.error > 0 > found.paired("MTL", "STL").high
    assert "use “STL” (15 nets, 15 s a fit), the cheapest of those within" in found.verdict


def test_what_a_grouping_should_be_measured_by_and_is_not_is_said():
    better = [s + 0.1 for s in MTL]
    scores = {"MTL": MTL, "nets": MTL, "grouped": better}
    kinds = ["MTL", "MTL", "grouped"]
    found = crafted(scores, [1, 4, 4], baselines=["MTL", "nets"], kinds=kinds, n_tasks=2)
    assert found.verdict.endswith(
        "; not compared with single-task nets (GroupedMTLClassifier.stl)."
    )
    assert "\nNot compared with single-task nets (GroupedMTLClassifier.stl)." in repr(found)
    # Nor is what costs less an ensemble of as many nets; what is no baseline counts too.
    kinds = ["MTL", "STL", "grouped"]
    found = crafted(scores, [1, 3, 4], baselines=["MTL"], kinds=kinds, n_tasks=2)
    assert [what.split(" (")[0] for what in found.lacking] == [
        "an ensemble of as many multi-task nets"
    ]
    kinds = ["MTL", "MTL", "grouped"]
    found = crafted(scores, [1, 3, 4], baselines=["MTL", "nets"], kinds=kinds, n_tasks=2)
    assert len(found.lacking) == 2

    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    net = MultiTaskNet(max_epochs=1)
    grouped = {"grouped": GroupedMTLClassifier(net, n_groups=2)}
    single = {
        "STL": GroupedMTLClassifier.stl(net),
        "search": GridSearchCV(GroupedMTLClassifier.stl(net), {"threshold": [0.5]}, cv=2),
        "identity": GroupedMTLClassifier(net, np.eye(3)),
        "sklearn": MultiOutputClassifier(net),
        "searched": GridSearchCV(MultiOutputClassifier(net), {"estimator__lr": [0.1]}, cv=2),
    }
    ensembles = {
        "3 nets": GroupedMTLClassifier.mtl_ensemble(3, net),
        "1 + 2": GroupedMTLClassifier.mtl(net, n_mtl_nets=2),
        "searched": GridSearchCV(GroupedMTLClassifier.mtl_ensemble(3, net), {"threshold": [0.5]}),
    }
    neither = {"MTL": net, "trees": DecisionTreeClassifier(), "2": GroupedMTLClassifier.mtl(net)}

    def lacking(own):
        found = compare(X, X > 0, neither | own, baselines="MTL", seeds=1)
        return [what.split(" (")[0] for what in found.lacking]

    words = ["single-task nets", "an ensemble of as many multi-task nets"]
    assert lacking(grouped) == words
    assert lacking({}) == []
    for name, estimator in single.items():
        assert lacking(grouped | {name: estimator}) == words[1:]
        assert lacking(grouped | {name: estimator, "3": ensembles["3 nets"]}) == []
    for name, estimator in ensembles.items():
        assert lacking(grouped | {name: estimator}) == words[:1]
    one = GroupedMTLClassifier(net, make_pipeline(TaskGrouper(net), FuzzyKMeans(1)))
    assert compare(X, X[:, 0] > 0, one, seeds=1).lacking == []


def test_baselines_that_are_made_can_be_named(data, small_net):
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    found = compare(*data, clf, baselines=["STL", "MTL"], seeds=1)
    assert found.candidates == ["MTL", "STL", "MTL ensemble, 3 nets", "grouped"]
    assert found.baselines == ["MTL", "STL"]
    assert found.lacking == []
    with pytest.raises(ValueError, match=r"Got 'trees'; the candidates are \['MTL', 'STL'"):
        compare(*data, clf, baselines="trees")


def test_a_class_is_no_candidate(data):
    with pytest.raises(ValueError, match="Got the class GroupedMTLClassifier; a call makes"):
        compare(*data, GroupedMTLClassifier)


def test_one_task_has_nothing_to_group():
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    found = compare(X, X[:, 0] > 0, MultiTaskNet(max_epochs=1), seeds=2)
    assert (found.candidates, found.grouped) == (["GroupedMTLClassifier"], [])
    assert found.verdict.startswith("Only baselines were compared")


def test_few_splits_advise_nothing_cheaper():
    scores = {"MTL": [0.70, 0.76], "grouped": [0.9, 0.7], "STL": [0.80, 0.81]}
    found = crafted(scores, [1, 4, 9], baselines=["MTL", "STL"])
    assert found.paired("MTL", "STL").high > 0
    assert found.verdict.endswith(
        "use “STL” (9 nets, 9 s a fit), the highest score; 2 splits are too few to advise anything "
        "cheaper."
    )


def test_a_candidate_that_failed_is_not_advised():
    scores = {"MTL": MTL, "grouped": [0.1, *[np.nan] * 4], "STL": STL}
    found = crafted(scores, [5, 1, 9], baselines=["MTL", "STL"])
    assert "nan" not in found.verdict
    found.errors.update({("grouped", seed, 0): "ValueError" for seed in range(1, 5)})
    assert found.verdict.startswith("Only baselines have finished their fits: use “STL” (9 nets")
    found.errors.update({(name, 0, 0): "ValueError" for name in scores})
    assert found.verdict == "No candidate has finished all its fits, so that nothing is advised."


def test_the_verdict_says_where_grouping_is_only_cheaper_or_nothing_is_known():
    equal = [s + 0.001 * (-1) ** i for i, s in enumerate(STL)]
    found = crafted({"STL": STL, "grouped": equal}, [9, 4], baselines=["STL"])
    assert found.verdict.startswith(
        "Grouping does not clearly score more here, but costs less: use “grouped” (4 nets"
    )
    found = crafted({"MTL": MTL, "STL": STL}, [1, 9], baselines=["MTL", "STL"])
    assert found.verdict.startswith("Only baselines were compared: use “STL” (9 nets")
    failed = {"MTL": MTL, "STL": STL, "grouped": [np.nan] * 5}
    found = crafted(failed, [1, 9, np.nan], baselines=["MTL", "STL"])
    assert found.verdict.startswith("Only baselines have finished their fits: use “STL” (9 nets")
    found = crafted({"STL": STL[:1], "grouped": [0.9]}, [9, 4], baselines=["STL"])
    assert "one split cannot tell" in found.verdict
    found = crafted({"STL": [np.nan] * 2, "grouped": [0.9, 0.8]}, [9, 4], baselines=["STL"])
    assert found.verdict == "No baseline has finished a fit, so that nothing can be said."
    other = crafted({"STL": STL, "other": [s + 0.1 for s in STL]}, [9, 4], baselines=["STL"])
    assert other.verdict.startswith("What is no baseline helps here: use “other”")


def test_the_best_baseline_may_have_failed():
    scores = {"MTL": MTL, "grouped": [0.75, 0.76, 0.74, 0.75, 0.77], "STL": [*STL[:4], np.nan]}
    found = crafted(scores, [5, 7, 1], baselines=["MTL", "STL"])
    found.errors["STL", 4, 0] = "ValueError"
    assert found.paired("grouped", "STL").high < 0
    assert found.verdict.startswith("Grouping does not help here (“grouped” is 0.0")
    assert found.verdict.endswith("(of those whose fits have not failed).")


@pytest.mark.parametrize("n_folds", [1, 4])
def test_a_split_of_several_seeds_counts_once(data, n_folds):
    X, Y = data
    splits = list(KFold(4).split(X))[:n_folds]
    several, once = (compare(X, Y, cheap(), cv=splits, seeds=n) for n in (5, 1))
    ours, theirs = (found.paired("near", "dummy") for found in (several, once))
    for end in ("difference", "low", "high"):
        np.testing.assert_allclose(getattr(ours, end), getattr(theirs, end), rtol=1e-12)
    assert "Splits are the same for several seeds" in repr(several)
    assert "Splits are the same" not in repr(once)
    if n_folds == 1:
        assert "one split cannot tell merit from chance: let 'cv' draw more." in several.verdict


def test_a_split_that_a_baseline_lacks_does_not_choose_the_best():
    hard = {"a": [0.5, 0.9], "b": [np.nan, 0.8], "grouped": [0.4, 0.9]}
    found = crafted(hard, [1, 2, 3], baselines=["a", "b"])
    assert found.best_baseline == "a"  # better where both have a score
    assert found.paired("b", "a").difference == pytest.approx(-0.1)
    assert found.frame.loc[("a", "mean over tasks"), "mean"] == pytest.approx(0.7)


# -- what goes wrong ---------------------------------------------------------------------------


def test_one_failing_candidate_loses_nothing_of_the_others(data):
    X, Y = data
    candidates = {"near": cheap()["near"], "bad": Counted(fails=[2])}
    with pytest.warns(FitFailedWarning, match="'bad' failed in fold 0 of seed 1.*fit 2 went wrong"):
        found = compare(X, Y, candidates, seeds=3)
    assert np.isfinite(found.values[0]).all()
    assert np.isnan(found.values[1, 1]).all()
    assert np.isfinite(found.values[1, [0, 2]]).all()
    assert found.errors == {("bad", 1, 0): "RuntimeError: fit 2 went wrong"}
    assert found.fits["error"].notna().sum() == 1
    assert found.frame.loc[("bad", "mean over tasks"), "n_splits"] == 2
    assert "“bad” failed in 1 of 3 fits, first with RuntimeError" in repr(found)
    Counted.fits = 0
    with pytest.raises(RuntimeError, match="fit 2 went wrong"):
        compare(X, Y, candidates, seeds=3, error_score="raise")


def test_an_error_where_all_fail(data):
    X, Y = data
    with (
        pytest.warns(FitFailedWarning),
        pytest.raises(ValueError, match=r"All 2 fits of the comparison failed.*y should be a 1d"),
    ):
        compare(X, Y, {"bad": LogisticRegression()}, seeds=2)


def test_an_interruption_keeps_what_is_finished(data):
    candidates = {"near": cheap()["near"], "zero": Counted(interrupted=[3])}
    with pytest.warns(TrainingInterruptedWarning, match="interrupted after 5 of 10 fits"):
        found = compare(*data, candidates, seeds=5)
    assert found.interrupted
    assert "Interrupted after 5 of 10 fits." in repr(found)
    assert "Scores are of the splits that each has finished" in repr(found)
    assert found.verdict.startswith("After 5 of 10 fits: ")
    assert np.isfinite(found.seconds).sum(axis=1).tolist() == [3, 2]
    assert len(found.scores) == 5 * 4
    assert len(found.fits) == 5


class Quick(Counted):
    predicted = threading.Event()

    def fit(self, X, y):  # uncounted, as threads of the interrupted call may go on
        self.shape_ = np.shape(y)[1:]
        return self

    def predict(self, X):
        found = super().predict(X)
        Quick.predicted.set()
        return found


class Interrupted(Counted):
    def fit(self, X, y):
        assert Quick.predicted.wait(60)  # the others have begun
        time.sleep(0.5)
        raise KeyboardInterrupt


def test_an_interruption_among_several_at_a_time(data):
    Quick.predicted.clear()
    candidates = {"quick": Quick(), "stop": Interrupted()}
    with (
        pytest.warns(TrainingInterruptedWarning, match="interrupted after .* of 40 fits"),
        parallel_config("threading"),
    ):
        found = compare(*data, candidates, seeds=20, n_jobs=2)
    assert np.isfinite(found.values[0]).any()
    assert np.isnan(found.values[1]).all()


def test_an_interruption_before_the_first_fit_is_passed_on(data):
    with pytest.raises(KeyboardInterrupt):
        compare(*data, {"zero": Counted(interrupted=[1])})


class Impatient(Callback):
    """Presses Ctrl-C in the second epoch of the second training."""

    trainings = 0

    def on_train_begin(self, net, **kwargs):
        Impatient.trainings += 1

    def on_epoch_begin(self, net, **kwargs):
        if Impatient.trainings == 2 and len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)  # one raised here would end training normally


@pytest.mark.parametrize("searched", [False, True])
def test_a_net_that_was_cut_short_does_not_count(data, small_net, tmp_path, searched):
    Impatient.trainings = 0
    net = small_net.set_params(callbacks=[Impatient()])
    candidate = GridSearchCV(net, {"lr": [0.01]}, cv=2, scoring="f1_macro") if searched else net
    candidates = {"near": cheap()["near"], "net": candidate}
    path = tmp_path / "fits"
    with pytest.warns(TrainingInterruptedWarning, match="comparison was interrupted"):
        found = compare(*data, candidates, seeds=3, results=path)
    assert np.isfinite(found.seconds).sum(axis=1).tolist() == ([1, 0] if searched else [2, 1])
    _, *lines = path.read_text().splitlines()
    assert len(lines) == np.isfinite(found.seconds).sum()


def test_a_second_call_goes_on_where_the_first_stopped(data, tmp_path):
    X, Y = data
    path = tmp_path / "fits.jsonl"
    with pytest.warns(TrainingInterruptedWarning):
        compare(X, Y, {"a": Counted(), "b": Counted(1, interrupted=[6])}, seeds=4, results=path)
    assert Counted.fits == 6
    Counted.fits = 100
    candidates = {"a": Counted(), "b": Counted(1, interrupted=[6])}
    found = compare(X, Y, candidates, seeds=4, results=path)
    assert Counted.fits == 103
    assert not found.interrupted
    fresh = compare(X, Y, {"a": Counted(), "b": Counted(1)}, seeds=4)
    np.testing.assert_array_equal(found.values, fresh.values)
    assert np.isfinite(found.seconds).all()

    def fits(candidates, X=X, Y=Y, **params):
        Counted.fits = 200
        compare(X, Y, candidates, **{"seeds": 4, "results": path, **params})
        return Counted.fits - 200

    assert fits(candidates) == 0
    assert fits({"b": candidates["b"]}) == 0
    assert fits({"other name": Counted(verbose=1)}) == 0  # shows more, learns the same
    assert fits({"a": Counted(random_state=9)}) == 0  # which the seed sets
    assert fits(candidates, seeds=5) == 2
    assert fits({"a": Counted(fails=[1])}) == 4  # another candidate
    assert fits(candidates, X=X + 1e-9) == 8
    changed = Y.copy()
    changed[0, 0] = 1 - changed[0, 0]
    assert fits(candidates, Y=changed) == 8
    assert fits(candidates, scoring="accuracy") == 8
    assert fits(candidates, scoring=lambda e, X, y: np.mean(e.predict(X) == y)) == 8
    assert fits(candidates, scoring=lambda e, X, y: np.mean(e.predict(X) != y)) == 8
    assert fits(candidates, cv=2) == 16


def test_a_line_that_was_cut_off_is_written_again(data, tmp_path):
    path = tmp_path / "fits"
    compare(*data, {"a": Counted()}, seeds=3, results=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    Counted.fits = 0
    compare(*data, {"a": Counted()}, seeds=3, results=path)
    assert Counted.fits == 1
    assert path.read_bytes().startswith(whole[:-20] + b"\n")  # nothing is taken away
    Counted.fits = 0
    compare(*data, {"a": Counted()}, seeds=3, results=path)
    assert Counted.fits == 0

    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\n")
    with pytest.raises(ValueError, match="The 'results' parameter of compare must be the path"):
        compare(*data, {"a": Counted()}, results=notes)
    assert notes.read_text() == "my notes\n"
    with pytest.raises(OSError, match="No such file"):
        compare(*data, {"a": Counted()}, results=tmp_path / "no" / "folder")
    assert Counted.fits == 0


HEADER = b'{"skgroup": "results of compare", "version": 1}\n'
RECORD = b'{"key": "k", "scores": [0.5], "seconds": 1.0, "nets": 1}\n'


@pytest.mark.parametrize(
    "content",
    [
        b'{"lr": 0.1, "notes": "three days of work"}',
        b"do not lose me",
        b"first\nsecond",
        pickle.dumps({"a": 1.5}),
        b"{",
        b"\n",
        b"\0" * 50,
        b"[]\n",
        b'"a"\n',
        RECORD,
        HEADER.replace(b"1", b"2") + RECORD,
        HEADER.replace(b"results", b"gains") + RECORD,
        HEADER + b"rubbish\n" + RECORD,
        HEADER + b"[1]\n",
        HEADER + b'{"key": ["k"], "scores": [0.5], "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": [Infinity], "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": [true], "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": 0.5, "seconds": 1.0, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": [0.5], "seconds": -1, "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": [0.5], "nets": 1}\n',
        HEADER + b'{"key": "k", "scores": [0.5], "seconds": 1.0}\n',
    ],
    ids=repr,
)
def test_results_of_another_kind_or_damaged_are_refused_and_stay(data, tmp_path, content):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    Counted.fits = 0
    with pytest.raises(FileFormatError, match=r"The 'results' parameter of compare.*settings"):
        compare(*data, {"a": Counted()}, seeds=1, results=path)
    assert Counted.fits == 0
    assert path.read_bytes() == content


def test_a_record_with_another_number_of_scores_is_refused(data, tmp_path):
    path = tmp_path / "fits"
    compare(*data, {"a": Counted()}, seeds=1, results=path)
    header, record = path.read_text().splitlines()
    record = json.dumps({**json.loads(record), "scores": [1.0]})
    path.write_text(f"{header}\n{record}\n")
    with pytest.raises(FileFormatError, match=r"must hold 4 scores. Got 1"):
        compare(*data, {"a": Counted()}, seeds=1, results=path)


@pytest.mark.parametrize("results", [3, True, b"fits", ["fits"], "", "a\0b", 1.5, {}])
def test_results_must_be_a_path(data, results):
    Counted.fits = 0
    with pytest.raises((TypeError, ValueError), match="The 'results' parameter of compare must"):
        compare(*data, {"a": Counted()}, seeds=1, results=results)
    assert Counted.fits == 0


@pytest.mark.parametrize("params", [{"n_jobs": n} for n in (0, 1.5, "2", True, [1])])
def test_the_number_of_processes_is_an_int(data, params):
    with pytest.raises(ValueError, match="The 'n_jobs' parameter of compare must be None or"):
        compare(*data, {"a": Counted()}, seeds=1, **params)


@pytest.mark.parametrize("verbose", [-1, "x", 1.5, None])
def test_verbose_is_an_int(data, verbose):
    with pytest.raises(ValueError, match="The 'verbose' parameter of compare must be"):
        compare(*data, {"a": Counted()}, seeds=1, verbose=verbose)


def test_finished_results_are_read_where_nothing_can_be_written(data, tmp_path, monkeypatch):
    path = tmp_path / "fits"
    first = compare(*data, {"a": Counted()}, seeds=1, results=path)
    opened = os.open

    def read_only(name, flags, *args, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
        return opened(name, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    again = compare(*data, {"a": Counted()}, seeds=1, results=path)
    np.testing.assert_array_equal(again.values, first.values)
    Counted.fits = 0
    with pytest.raises(OSError, match=r"fits could not be written \(Read-only file system\)"):
        compare(*data, {"a": Counted()}, seeds=2, results=path)
    assert Counted.fits == 0  # before any training


def test_failed_fits_are_tried_again(data, tmp_path):
    path = tmp_path / "fits"
    candidates = {"near": cheap()["near"], "bad": Counted(fails=[1])}
    with pytest.warns(FitFailedWarning):
        compare(*data, candidates, seeds=1, results=path)
    assert not compare(*data, candidates, seeds=1, results=path).errors
    assert Counted.fits == 2


KEY = """
import numpy as np, torch
from functools import partial
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP
from skgroup.store import key_of
torch.manual_seed(0)
module = torch.nn.Linear(3, 2)
net = MultiTaskNet(module=module, callbacks__print_log=None, module__hidden_units=(3,))
parts = [net, GroupedMTLClassifier(net), torch.arange(3), {"b": {1, "x"}, "a": partial(max, 1)},
         np.array(["a", None, 1.5], dtype=object)]
"""


def test_keys_are_the_same_in_another_process():
    done = subprocess.run(
        [sys.executable, "-c", KEY + "print(*[key_of(part) for part in parts])"],
        capture_output=True,
        text=True,
        check=True,
    )
    here = {}
    state = torch.get_rng_state()
    exec(KEY, here)
    torch.set_rng_state(state)
    assert done.stdout.split() == [key_of(part) for part in here["parts"]]
    with torch.no_grad():
        here["module"].weight[0, 0] += 1
    assert key_of(here["parts"][0]) != done.stdout.split()[0]
    fitted = MultiTaskNet(max_epochs=1).fit([[0.0], [1.0]], [0, 1])
    assert key_of(fitted) == key_of(MultiTaskNet(max_epochs=1))
    assert key_of(MLP) != key_of(nn.Linear)
    with pytest.raises(TypeError):
        key_of(sys.stdout)
    assert key_of(lambda: 1) != key_of(lambda: 2)


# -- what is refused before anything trains ----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "candidate", "message"),
    [
        (1, Counted(), "non-empty strings. Got the name 1"),
        (" ", Counted(), "non-empty strings"),
        ("a", Counted, "a class by a call"),
        ("a", 3, "with fit and predict. Got 3 as 'a'"),
        ("a", FuzzyKMeans(), "A grouper becomes a classifier"),
        ("a", make_pipeline(TaskGrouper(), FuzzyKMeans()), "A grouper becomes a classifier"),
        ("a", LinearRegression(), "Got the regressor"),
        ("a", DecisionTreeClassifier(max_depth=-1), "'a' of compare cannot be fitted.*max_depth"),
        ("a", GroupedMTLClassifier(n_groups=9), "'n_groups' parameter.*must be at most"),
        ("a", GroupedMTLClassifier(grouper=np.ones(4)), "The given membership must be of shape"),
        ("a", make_pipeline(StandardScaler(), MultiTaskNet(lr=-1.0)), "The 'lr' parameter"),
        ("a", MultiTaskNet(nn.Linear, module__in_features=2, module__out_features=3), "'a' of"),
    ],
)
def test_wrong_candidates_are_refused_before_any_training(data, name, candidate, message):
    with pytest.raises(ValueError, match=message):
        compare(*data, {"first": Counted(), name: candidate})
    assert Counted.fits == 0


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({}, "Got an empty one"),
        ({"g": GridSearchCV(GroupedMTLClassifier(), {})}, "must hold a baseline"),
        ({"MTL": GroupedMTLClassifier()}, "'MTL' must be another name"),
    ],
)
def test_where_no_baseline_can_be_made_that_is_said(data, candidates, message):
    with pytest.raises(ValueError, match=message):
        compare(*data, candidates)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"seeds": 0}, "The 'seeds' parameter of compare must be an int >= 1"),
        ({"seeds": [1, 1]}, "different ints"),
        ({"seeds": [0.5]}, "The 'seeds' parameter"),
        ({"seeds": []}, "The 'seeds' parameter"),
        ({"seeds": True}, "The 'seeds' parameter"),
        ({"cv": 1.5}, "The 'cv' parameter of compare must be a share"),
        ({"cv": StratifiedKFold(3)}, "The 'cv' parameter of compare cannot split"),
        ({"scoring": "nonsense"}, "The 'scoring' parameter of compare must be 'f1_macro'"),
        ({"scoring": 3}, "must be a str or a callable. Got 3"),
        ({"scoring": lambda e, X, y: y.no_such}, "must be able to score a task"),
        ({"scoring": log_loss}, "make a scorer of it by sklearn.metrics.make_scorer"),
        ({"interval": "wide"}, "The 'interval' parameter of compare must be one of"),
        ({"error_score": 0}, "The 'error_score' parameter of compare"),
        ({"baselines": ["b"]}, "The 'baselines' parameter of compare must hold names"),
        ({"baselines": []}, "The 'baselines' parameter of compare must hold names"),
        ({"baselines": 5}, "The 'baselines' parameter of compare must be a name"),
        ({"baselines": [["a"]]}, "The 'baselines' parameter of compare must be a name"),
        ({"scoring": "roc_auc"}, "'a' of compare cannot be fitted: it has no predict_proba"),
        ({"scoring": "neg_log_loss"}, "'a' of compare cannot be fitted: it has no predict_proba"),
    ],
)
def test_wrong_parameters_are_refused_before_any_training(data, params, message):
    with pytest.raises(ValueError, match=message):
        compare(*data, {"a": Counted()}, **params)
    assert Counted.fits == 0


def test_data_that_do_not_fit_are_refused(data):
    X, Y = data
    with pytest.raises(ValueError, match=r"same number of samples\. Got X with 119"):
        compare(X[1:], Y, {"a": Counted()})
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        compare(X, X, {"a": Counted()})
    without = MultiOutputClassifier(LinearSVC())
    with pytest.raises(ValueError, match="'svm' of compare cannot be fitted: it has no predict_pr"):
        compare(X, Y, {"svm": without}, scoring="roc_auc")


# -- what is shown -----------------------------------------------------------------------------


def test_texts_are_escaped_and_complete():
    found = crafted(
        {"<MTL>": MTL, "STL": STL, "grouped": [np.nan] * 5},
        [1, 9, np.nan],
        baselines=["<MTL>", "STL"],
        n_tasks=3,
        tasks=["a&b", "<i>", "c"],
        errors={("grouped", i, 0): "ValueError: <b>" for i in range(5)},
    )
    text, html = repr(found), found._repr_html_()
    assert re.search(r"^<MTL> \* +0\.704 ± 0\.011 +-0\.098 \(", text, re.MULTILINE)
    assert re.search(r"^STL \* .* best baseline +9 +9 +9$", text, re.MULTILINE)
    assert re.search(r"^grouped +failed$", text, re.MULTILINE)
    assert "Test F1, mean over 3 tasks, of 5 seeds, 1 split each" in text
    assert found.verdict in text
    for raw in ("<MTL>", "<i>", "a&b", "ValueError: <b>"):
        assert raw not in html
    for escaped in ("&lt;MTL&gt;", "&lt;i&gt;", "a&amp;b", "ValueError: &lt;b&gt;"):
        assert escaped in html
    assert html.count("<tr>") == 1 + 3 + 1 + 3
    assert "<td><b>0.802</b></td>" in html  # the best of a task


def test_without_pandas_there_are_still_words(data, monkeypatch):
    found = compare(*data, cheap(), seeds=2)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "near" in repr(found)
    assert "use “" in found.verdict
    with pytest.raises(ImportError, match="install pandas"):
        _ = found.frame


def test_a_progress_bar_counts_the_fits(data, capsys):
    compare(*data, {"a": Counted()}, seeds=2, verbose=1)
    assert "2/2" in capsys.readouterr().err
    compare(*data, {"a": Counted()}, seeds=2)
    assert capsys.readouterr().err == ""
