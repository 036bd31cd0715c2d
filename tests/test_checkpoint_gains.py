"""Measured gains that go on after a kill."""

import os
import shutil

import numpy as np
import pytest
from joblib import parallel_config
from killing import assert_same_bits, fitted, forks, killed_after, killed_at
from sklearn.base import clone

from skgroup import MultiTaskNet
from skgroup.selection import GroupGains
from skgroup.selection.gains import _group_gains, _plan
from skgroup.store import CheckpointFolder
from skgroup.training.engine import fit_many

pytestmark = forks
rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0, X[:, 1] > X[:, 2]])
NET = MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=2, batch_size=32)


def kept_in(path, every=0):
    return CheckpointFolder(path / "kept", every=every)


@pytest.fixture
def trained(monkeypatch):
    """How many nets were given to be trained."""
    done = []

    def recorded(nets, *args, **kwargs):
        done.extend(nets)
        return fit_many(nets, *args, **kwargs)

    monkeypatch.setattr(_group_gains, "fit_many", recorded)
    return done


@pytest.mark.parametrize("strategy", ["stacked", "sequential"])
def test_wherever_it_is_killed_it_ends_with_the_same_bits(tmp_path, monkeypatch, trained, strategy):
    monkeypatch.setattr(_plan, "_MOST_NETS", 3)  # several batches of each size
    gains = GroupGains(NET, cv=2, strategy=strategy, random_state=0)
    expected = clone(gains).fit(X, Y)
    gains.set_params(checkpoint=kept_in(tmp_path))
    for n_saves in (1, 9, 5, 12, 30):
        assert killed_at(lambda: clone(gains).fit(X, Y), n_saves, before=n_saves == 5)
    trained.clear()
    gains.fit(X, Y)
    assert 0 < len(trained) < 30
    assert gains.n_trained_ == 30  # in all runs
    assert_same_bits(fitted(expected), fitted(gains))
    assert os.listdir(tmp_path / "kept") == []


def test_at_random_moments_with_processes(tmp_path):
    gains = GroupGains(NET, masks="pairs", random_state=0)
    expected = clone(gains).set_params(strategy="sequential").fit(X, Y)
    gains.set_params(n_jobs=2, checkpoint=kept_in(tmp_path))
    with parallel_config("multiprocessing"):
        for seconds in np.random.default_rng().uniform(0, 0.4, size=3):
            killed_after(lambda: clone(gains).fit(X, Y), seconds)
        killed_at(lambda: clone(gains).fit(X, Y), 3)
        gains.fit(X, Y)
    np.testing.assert_array_equal(gains.gains_, expected.gains_)


def test_the_seed_that_was_drawn_is_kept(tmp_path):
    gains = GroupGains(NET, masks="pairs", checkpoint=kept_in(tmp_path))
    assert killed_at(lambda: clone(gains).fit(X, Y), 4)
    shutil.copytree(tmp_path / "kept", tmp_path / "copy")
    first = clone(gains).fit(X, Y)
    gains.set_params(checkpoint=CheckpointFolder(tmp_path / "copy"))
    assert_same_bits(fitted(first), fitted(clone(gains).fit(X, Y)))
    assert gains.fit(X, Y).seed_ != first.seed_


def test_gains_of_a_file_and_a_checkpoint_go_together(tmp_path, trained):
    gains = GroupGains(NET, masks=[[1, 1, 0, 0]], random_state=0)
    gains.fit(X, Y).save(tmp_path / "gains")
    more = {"masks": "pairs", "warm_start": True, "random_state": 0}
    expected = GroupGains.load(tmp_path / "gains", NET, **more).fit(X, Y)
    more["checkpoint"] = kept_in(tmp_path)
    assert killed_at(lambda: GroupGains.load(tmp_path / "gains", NET, **more).fit(X, Y), 8)
    trained.clear()
    with_its_own = clone(NET).set_params(checkpoint=tmp_path / "another")  # changes nothing
    again = GroupGains.load(tmp_path / "gains", with_its_own, **more).fit(X, Y)
    assert len(trained) <= again.n_trained_ == 5
    assert_same_bits(fitted(expected), fitted(again))
    # What is in the file decides where to begin, so that another file is another fit.
    assert killed_at(lambda: GroupGains.load(tmp_path / "gains", NET, **more).fit(X, Y), 8)
    again.save(tmp_path / "gains")
    trained.clear()
    assert GroupGains.load(tmp_path / "gains", NET, **more).fit(X, Y).n_trained_ == 0
    assert trained == []
    assert len(os.listdir(tmp_path / "kept")) == 1


def test_an_interrupted_fit_that_begins_again_goes_on(tmp_path, monkeypatch, trained):
    gains = GroupGains(NET, masks="pairs", strategy="sequential", random_state=0)
    expected = clone(gains).fit(X, Y)
    gains.set_params(checkpoint=kept_in(tmp_path))
    predict = _group_gains.predict_many

    def interrupted(nets, dataset):
        if len(trained) == 14:
            raise KeyboardInterrupt
        return predict(nets, dataset)

    with monkeypatch.context() as patched:
        patched.setattr(_group_gains, "predict_many", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gains.fit(X, Y)
    assert gains.interrupted_
    assert len(gains.masks_) == 3
    trained.clear()
    gains.fit(X, Y)
    assert len(trained) == 7
    assert_same_bits(fitted(expected), fitted(gains))
