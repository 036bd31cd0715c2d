"""Grouped fits that go on after a kill: at random moments, in processes and searches."""

import os
import random
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
import torch
from joblib import parallel_config
from killing import assert_same_bits, fitted, forks, killed_after, killed_at
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skgroup import (
    FuzzyKMeans,
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    TaskGrouper,
)
from skgroup.store import CheckpointFolder

rng = np.random.default_rng(0)
X = rng.normal(size=(96, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.2, X[:, 1] > 0, X[:, 1] > X[:, 2]])
NET = MultiTaskNet.stg_mtl(module__hidden_units=(6,), max_epochs=6, batch_size=24)


def kept_in(path):
    return CheckpointFolder(path / "kept", every=0)


def grouped(path=None, **params):
    params = {"n_groups": 2, "random_state": 0, **params}
    return GroupedMTLClassifier(NET, checkpoint=path and kept_in(path), **params)


def assert_ended(path, expected, resumed):
    assert_same_bits(fitted(expected), fitted(resumed))
    assert os.listdir(path / "kept") == []


@forks
@pytest.mark.parametrize("strategy", ["stacked", "sequential"])
def test_ten_kills_at_random_moments_leave_the_bits_of_a_fit_that_was_never_killed(
    tmp_path, strategy
):
    expected = grouped(strategy=strategy).fit(X, Y)
    clf = grouped(tmp_path, strategy=strategy)
    began = time.monotonic()
    clf.fit(X, Y)
    assert_ended(tmp_path, expected, clf)
    moments, seconds, n_kills = random.Random(0), time.monotonic() - began, 0
    while n_kills < 10:
        resumed = clone(clf)
        # Each is resumed, and killed, until it is seen to end; later and later, as the process that
        # is forked may be slow to come to its first saving.
        while killed_after(lambda: clone(clf).fit(X, Y), moments.uniform(0, seconds)):
            n_kills += 1
            seconds *= 1.25
        for n_saves in (3, 4):
            n_kills += killed_at(lambda: clone(clf).fit(X, Y), n_saves, before=n_saves == 4)
        assert_ended(tmp_path, expected, resumed.fit(X, Y))


@forks
@pytest.mark.parametrize(
    ("kind", "labels", "params"),
    [
        (GroupedMTLClassifier, Y, {"specialist_init": "relation", "specialist_epochs": 2}),
        (GroupedMTLEstimator, np.column_stack([X[:, 0] > 0, X[:, 1], X[:, 2] > 0]), {}),
        (GroupedMTLRegressor, X[:, :3] + X[:, 1:], {"n_jobs": 2, "strategy": "sequential"}),
    ],
)
def test_every_kind_goes_on_from_wherever_it_is(tmp_path, kind, labels, params):
    clf = kind(NET, n_groups=2, random_state=0, **params)
    expected = clone(clf).fit(X, labels)
    clf.checkpoint = kept_in(tmp_path)
    for n_saves in (1, 9):
        # In processes, which save too, a killed one may have been the last.
        assert killed_at(lambda: clone(clf).fit(X, labels), n_saves) or clf.n_jobs
    assert_ended(tmp_path, expected, clf.fit(X, labels))


@forks
@pytest.mark.parametrize("name", ["stl", "mtl_ensemble"])
def test_baselines_go_on_too(tmp_path, name):
    def make(**params):
        args = (2, NET) if name == "mtl_ensemble" else (NET,)
        return getattr(GroupedMTLClassifier, name)(*args, random_state=0, **params)

    expected = make().fit(X, Y)
    assert killed_at(lambda: make(checkpoint=kept_in(tmp_path)).fit(X, Y), 7)
    assert_ended(tmp_path, expected, make(checkpoint=kept_in(tmp_path)).fit(X, Y))


@forks
@pytest.mark.parametrize(
    "params",
    [
        {"source": "mtl", "output": "isometric"},
        {"source": "stl"},
        {"source": "stl", "strategy": "stacked", "output": "isometric"},
    ],
)
def test_data_maps_go_on_in_the_middle_of_an_epoch(tmp_path, params):
    def make(**checkpoint):
        return TaskGrouper(NET, snapshot_epochs=3, random_state=0, **params, **checkpoint)

    expected = make().fit(X, Y)
    for n_saves in (3, 8):
        assert killed_at(lambda: make(checkpoint=kept_in(tmp_path)).fit(X, Y), n_saves)
    assert_ended(tmp_path, expected, make(checkpoint=kept_in(tmp_path)).fit(X, Y))


class Counted(KMeans):
    """Notes its fits in a file."""

    def __init__(self, n_clusters=2, *, random_state=None, log=None):
        super().__init__(n_clusters, random_state=random_state)
        self.log = log

    def fit(self, X, y=None, sample_weight=None):
        with open(self.log, "a") as file:
            file.write("fit\n")
        return super().fit(X, y)


@forks
def test_a_grouper_of_any_estimators_is_fitted_once_and_its_nets_go_on_before(tmp_path):
    grouper = make_pipeline(TaskGrouper(NET), Counted(log=str(tmp_path / "log")))
    clf = GroupedMTLClassifier(NET, grouper, checkpoint=kept_in(tmp_path))  # without a seed
    assert killed_at(lambda: clone(clf).fit(X, Y), 10)
    (folder,) = (tmp_path / "kept").iterdir()
    assert any("grouper" in path.name and path.is_dir() for path in folder.iterdir())
    assert killed_at(lambda: clone(clf).fit(X, Y), 30)
    assert not any("grouper" in path.name and path.is_dir() for path in folder.iterdir())
    (kept,) = folder.glob("grouper*")
    before = kept.stat().st_mtime_ns
    assert killed_at(lambda: clone(clf).fit(X, Y), 3)
    assert kept.stat().st_mtime_ns == before
    clf.fit(X, Y)
    # Each run tries it on made-up rows before anything trains.
    assert (tmp_path / "log").read_text() == "fit\n" * (4 + 1)
    assert clf.grouper_[0].checkpoint is None
    assert os.listdir(tmp_path / "kept") == []


@forks
def test_the_folder_of_the_net_serves_where_there_is_no_other(tmp_path):
    net = clone(NET).set_params(checkpoint=kept_in(tmp_path), random_state=0)
    for estimator in (TaskGrouper(net), GroupedMTLClassifier(net, n_groups=2)):
        expected = clone(estimator).set_params(estimator__checkpoint=None).fit(X, Y)
        assert killed_at(lambda made=estimator: clone(made).fit(X, Y), 4)
        assert len(os.listdir(tmp_path / "kept")) == 1
        resumed = estimator.fit(X, Y)
        assert os.listdir(tmp_path / "kept") == []
        if isinstance(resumed, TaskGrouper):
            assert np.array_equal(expected.data_map_, resumed.data_map_)
        else:
            assert np.array_equal(expected.predict_proba(X), resumed.predict_proba(X))


@forks
def test_a_search_in_processes_goes_on(tmp_path):
    def search(**checkpoint):
        grid = {"n_groups": [1, 2]}
        return GridSearchCV(grouped(**checkpoint), grid, cv=2, n_jobs=2, scoring=_score)

    clf = search().set_params(estimator__checkpoint=kept_in(tmp_path))
    with parallel_config("multiprocessing"):
        expected = search().fit(X, Y)
        assert killed_at(lambda: clone(clf).fit(X, Y), 5)
        assert os.listdir(tmp_path / "kept")
        resumed = clf.fit(X, Y)
    assert os.listdir(tmp_path / "kept") == []
    assert np.array_equal(
        expected.cv_results_["mean_test_score"], resumed.cv_results_["mean_test_score"]
    )
    assert np.array_equal(expected.predict_proba(X), resumed.predict_proba(X))


def _score(clf, X, y):
    return float(clf.predict_proba(X).sum())


@forks
def test_two_fits_in_one_folder_at_once(tmp_path):
    expected = grouped().fit(X, Y)
    clf = grouped(tmp_path)
    read, written = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            same = clone(clf).fit(X, Y).predict_proba(X).tobytes()
            os.write(written, b"yes" if same == expected.predict_proba(X).tobytes() else b"no")
        finally:
            os._exit(0)
    clf.fit(X, Y)
    os.waitpid(child, 0)
    os.close(written)
    assert os.read(read, 9) == b"yes"
    os.close(read)
    assert_ended(tmp_path, expected, clf)


_SCRIPT = """
import sys, joblib, torch
torch.set_num_threads(int(sys.argv[2]))
clf, X, Y = joblib.load(sys.argv[1])
clf.fit(X, Y)
"""


def test_another_process_goes_on(tmp_path):
    """With imports of its own, from a killed process that was no fork either."""
    clf = grouped(tmp_path, random_state=1)
    joblib.dump((clf, X, Y), tmp_path / "fit")
    n_threads = str(torch.get_num_threads())
    running = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(tmp_path / "fit"), n_threads])
    while not list((tmp_path / "kept").glob("*/*training*")):
        time.sleep(0.001)
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert len(os.listdir(tmp_path / "kept")) == 1
    assert_ended(tmp_path, grouped(random_state=1).fit(X, Y), clf.fit(X, Y))


@pytest.mark.parametrize("kind", [TaskGrouper, GroupedMTLClassifier, GroupedMTLRegressor])
def test_refused_values(tmp_path, kind):
    (tmp_path / "file").write_text("")
    for checkpoint, error in [(5, ValueError), (tmp_path / "file", OSError)]:
        refused = kind(NET, checkpoint=checkpoint)
        with pytest.raises(error, match=f"'checkpoint' parameter of {kind.__name__} must be"):
            refused.fit(X, X if kind is GroupedMTLRegressor else Y)
        assert fitted(refused) == {}


def test_it_is_a_parameter_like_others(tmp_path):
    folder = CheckpointFolder(tmp_path, every=5)
    grouper = make_pipeline(TaskGrouper(NET), FuzzyKMeans(2))
    clf = clone(GroupedMTLClassifier(NET, grouper, checkpoint=folder))
    clf.set_params(grouper__taskgrouper__checkpoint=str(tmp_path))
    assert clf.get_params()["checkpoint"] == clf.fit(X, Y).checkpoint == folder
    assert clf.grouper_[0].checkpoint == str(tmp_path)
    assert os.listdir(tmp_path) == []


@forks
def test_a_fit_goes_on_whether_it_shows_bars_or_not(tmp_path, monkeypatch):
    expected = grouped(strategy="sequential").fit(X, Y)
    clf = grouped(tmp_path, strategy="sequential")
    killed_at(lambda: clf.set_params(verbose=1).fit(X, Y), 12)
    trained = []
    step = MultiTaskNet.train_step
    monkeypatch.setattr(
        MultiTaskNet, "train_step", lambda *a, **k: trained.append(0) or step(*a, **k)
    )
    assert_ended(tmp_path, expected, clf.set_params(verbose=0).fit(X, Y))
    all_steps = 3 * 6 * 4
    assert 0 < len(trained) <= all_steps - 8
