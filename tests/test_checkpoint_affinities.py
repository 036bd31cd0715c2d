"""Affinities that go on after a kill."""

import os
import shutil

import numpy as np
import pytest
from affinities import Normed
from killing import assert_same_bits, fitted, forks, killed_after, killed_at
from sklearn.base import clone
from skorch.callbacks import Callback

from skgroup import MultiTaskNet
from skgroup.relations import GradientCosineAffinity, GradTAG, InterTaskAffinity, _linearised
from skgroup.store import CheckpointFolder

pytestmark = forks
rng = np.random.default_rng(0)
X = rng.normal(size=(80, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0]).astype(float)
Y[rng.random(Y.shape) < 0.1] = np.nan
# 5 batches an epoch; batch statistics and dropout.
NET = MultiTaskNet(Normed, batch_size=16, max_epochs=3)
TABM = MultiTaskNet(module__hidden_units=(8,), batch_size=16, max_epochs=3)


class Steps(Callback):
    """Counts the training steps of a process."""

    n = 0

    def on_batch_end(self, net, training=False, **kwargs):
        Steps.n += training


def steps_of(fit):
    Steps.n = 0
    fit()
    return Steps.n


def kept_in(path, every=0):
    return CheckpointFolder(path / "kept", every=every)


LOOKED_AT = [
    InterTaskAffinity(NET, every=2, masks="pairs", momentum=0.9),
    InterTaskAffinity(TABM, every=1, method="gradient"),
    GradientCosineAffinity(NET, every=2, masks=[[1, 1, 0]], weights_only=True),
]


@pytest.mark.parametrize("affinity", LOOKED_AT, ids=lambda a: type(a).__name__)
def test_wherever_it_is_killed_it_ends_with_the_same_bits(tmp_path, affinity):
    affinity = clone(affinity).set_params(random_state=0, estimator__callbacks=[Steps()])
    expected = clone(affinity)
    n_steps = steps_of(lambda: expected.fit(X, Y))
    affinity.set_params(checkpoint=kept_in(tmp_path))
    # Saves: when the first epoch begins, and after each step.
    for n_saves in (1, 4, 2, 3, 5):
        assert killed_at(lambda: clone(affinity).fit(X, Y), n_saves, before=n_saves == 3)
    assert steps_of(lambda: affinity.fit(X, Y)) <= n_steps - 6
    assert_same_bits(fitted(expected), fitted(affinity))
    assert os.listdir(tmp_path / "kept") == []


def test_gradients_that_are_measured_are_kept_and_nets_that_are_trained(tmp_path, monkeypatch):
    batches = []
    derivatives = _linearised._derivatives

    def counted(*args):
        batches.append(args)
        return derivatives(*args)

    monkeypatch.setattr(_linearised, "_derivatives", counted)
    net = clone(NET).set_params(callbacks=[Steps()])
    grad_tag = GradTAG(net, projection_dim=4, n_subsets=3, cv=2, random_state=0)
    expected = clone(grad_tag)
    expected.fit(X, Y)
    n_batches = len(batches)
    grad_tag.set_params(checkpoint=kept_in(tmp_path))
    for n_saves in (20, 9, 4):
        assert killed_at(lambda: clone(grad_tag).fit(X, Y), n_saves)
    batches.clear()
    assert steps_of(lambda: grad_tag.fit(X, Y)) == 0
    assert 1 < len(batches) < n_batches  # the first is a trial
    assert_same_bits(fitted(expected), fitted(grad_tag))
    assert os.listdir(tmp_path / "kept") == []


def test_the_seed_that_was_drawn_is_kept(tmp_path):
    affinity = InterTaskAffinity(NET, checkpoint=kept_in(tmp_path))
    assert killed_at(lambda: clone(affinity).fit(X, Y), 4)
    shutil.copytree(tmp_path / "kept", tmp_path / "copy")
    first = clone(affinity).fit(X, Y)
    affinity.set_params(checkpoint=CheckpointFolder(tmp_path / "copy"))
    assert_same_bits(fitted(first), fitted(clone(affinity).fit(X, Y)))
    assert (affinity.fit(X, Y).affinity_ != first.affinity_).any()


def test_at_random_moments(tmp_path):
    affinity = InterTaskAffinity(NET, every=1, random_state=0)
    expected = clone(affinity).fit(X, Y)
    affinity.set_params(checkpoint=kept_in(tmp_path))
    for seconds in np.random.default_rng().uniform(0, 0.3, size=4):
        killed_after(lambda: clone(affinity).fit(X, Y), seconds)
    assert_same_bits(fitted(expected), fitted(affinity.fit(X, Y)))
