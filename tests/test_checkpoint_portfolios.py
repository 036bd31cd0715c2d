"""Portfolios that go on after a kill."""

import os
import shutil

import numpy as np
import pytest
from joblib import parallel_config
from killing import assert_same_bits, fitted, forks, killed_after, killed_at
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import MultiTaskNet, PortfolioClassifier, PortfolioEstimator, PortfolioRegressor
from skgroup.metrics import MultiTaskKFold
from skgroup.store import CheckpointFolder

pytestmark = forks
rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0]).astype(float)
Y[rng.random(Y.shape) < 0.1] = np.nan  # so that others than nets learn each task alone
NET = MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=2, batch_size=32)


class Logged(LogisticRegression):
    """Notes its fits in a file, and may fail."""

    def __init__(self, log=None, fails=False):
        self.log = log
        self.fails = fails
        super().__init__()

    def fit(self, X, y, sample_weight=None):
        with open(self.log, "a") as file:
            file.write("fit\n")
        if self.fails:
            raise ValueError("not today")
        return super().fit(X, y, sample_weight)


def n_fits(log):
    return len(log.read_text().splitlines()) if log.exists() else 0


def classifier(log, **params):
    members = [
        ("net", NET),
        ("scaled", make_pipeline(StandardScaler(), NET)),
        ("forest", RandomForestClassifier(3)),
        ("logged", Logged(log)),
    ]
    return PortfolioClassifier(members, **{"cv": 2, "random_state": 0, **params})


def small_one(log, **params):
    dropped = {"scaled": "drop", "forest": "drop"}
    return classifier(log, refit=False, **params).set_params(**dropped)


def kept_in(path):
    return CheckpointFolder(path / "kept", every=0)


@pytest.mark.parametrize("refit", [True, False])
def test_wherever_it_is_killed_it_ends_with_the_same_bits_and_trains_nothing_twice(tmp_path, refit):
    expected = classifier(tmp_path / "whole", refit=refit).fit(X, Y)
    clf = classifier(tmp_path / "log", refit=refit, checkpoint=kept_in(tmp_path))
    for n_saves in (3, 14, 5, 10):  # in a net, while a net is kept, in the middle of tasks, ...
        assert killed_at(lambda: clone(clf).fit(X, Y), n_saves, before=n_saves == 5)
    clf.fit(X, Y)
    assert_same_bits(fitted(expected), fitted(clf))
    assert os.listdir(tmp_path / "kept") == []
    # A kill while a task was kept costs this task alone.
    n_once = n_fits(tmp_path / "whole")
    assert n_once <= n_fits(tmp_path / "log") <= n_once + 1
    assert not refit or clf.members_[0].checkpoint is clf.members_[1][-1].checkpoint is None


@pytest.mark.parametrize("kind", [PortfolioRegressor, PortfolioEstimator])
def test_those_of_numbers_go_on_too(tmp_path, kind):
    table = np.column_stack([X[:, 0] + X[:, 1], X[:, 2] ** 2])
    if kind is PortfolioEstimator:
        table[:, 0] = table[:, 0] > 0
    members = [("net", NET), ("logistic", LogisticRegression()), ("ridge", Ridge())]
    if kind is PortfolioRegressor:
        del members[1]
    est = kind(members, cv=2, random_state=0)
    expected = clone(est).fit(X, table)
    est.set_params(checkpoint=kept_in(tmp_path))
    for n_saves in (2, 9, 3):
        assert killed_at(lambda: clone(est).fit(X, table), n_saves)
    assert_same_bits(fitted(expected), fitted(est.fit(X, table)))


def test_at_random_moments_with_processes(tmp_path):
    with parallel_config("multiprocessing"):
        clf = small_one(tmp_path / "log", n_jobs=2, checkpoint=kept_in(tmp_path))
        expected = small_one(tmp_path / "log").fit(X, Y)
        moments = np.random.default_rng().uniform(0, 0.4, size=3)
        n_killed = sum(killed_after(lambda: clone(clf).fit(X, Y), s) for s in moments)
        n_killed += killed_at(lambda: clone(clf).fit(X, Y), 2)
        assert n_killed, moments
        assert_same_bits(fitted(expected), fitted(clf.fit(X, Y)))


def test_a_member_that_fails_is_not_taken_for_one_that_is_trained(tmp_path):
    clf = classifier(tmp_path / "log")
    clf.set_params(logged__fails=True)
    with pytest.warns(FitFailedWarning, match="'logged': ValueError: not today"):
        expected = clone(clf).fit(X, Y)
    clf.set_params(checkpoint=kept_in(tmp_path))
    n_before = n_fits(tmp_path / "log")
    assert killed_at(lambda: clone(clf).fit(X, Y), 23)  # after it has failed
    assert n_fits(tmp_path / "log") == n_before + 1
    with pytest.warns(FitFailedWarning, match="'logged': ValueError: not today"):
        clf.fit(X, Y)
    assert n_fits(tmp_path / "log") == n_before + 2
    assert_same_bits(fitted(expected), fitted(clf))


def test_the_seed_that_was_drawn_is_kept(tmp_path):
    clf = small_one(tmp_path / "log", random_state=None, checkpoint=kept_in(tmp_path))
    assert killed_at(lambda: clone(clf).fit(X, Y), 3)
    shutil.copytree(tmp_path / "kept", tmp_path / "copy")
    first = clone(clf).fit(X, Y)
    clf.set_params(checkpoint=CheckpointFolder(tmp_path / "copy"))
    assert_same_bits(fitted(first), fitted(clone(clf).fit(X, Y)))
    assert (clf.fit(X, Y).serving_weights_ != first.serving_weights_).any()


def test_searches_among_members_go_on_and_need_no_folder_afterwards(tmp_path):
    search = GridSearchCV(NET, {"lr": [1e-3, 1e-2]}, cv=MultiTaskKFold(2))
    clf = PortfolioClassifier([("search", search)], cv=2, refit=False, random_state=0)
    expected = clone(clf).fit(X, Y)
    clf.set_params(checkpoint=kept_in(tmp_path))
    assert killed_at(lambda: clone(clf).fit(X, Y), 33)
    clf.fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))
    clf.members_[0][0].best_estimator_.fit(X, Y)
    assert os.listdir(tmp_path / "kept") == []
