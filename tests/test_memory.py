"""What predictions hold at a time, and what fits leave behind."""

import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.nn import SmallCNN
from skgroup.relations import GradientCosineAffinity, InterTaskAffinity
from skgroup.training import engine
from skgroup.training.data import TaskDataset
from skgroup.training.engine import _pieces


@pytest.fixture
def small_pieces(monkeypatch):
    """Notes the numbers in each piece of predictions, of all nets in it."""
    monkeypatch.setattr(engine, "_PIECE", 2_000)
    sizes, original = [], engine._pieces

    def noted(batches):
        for rows, parts in original(batches):
            sizes.append(sum(part.size for part in parts))
            yield rows, parts

    monkeypatch.setattr(engine, "_pieces", noted)
    return sizes


@pytest.mark.parametrize("hidden_units", [(8,), (4000,)])  # as a stack, and one after another
@pytest.mark.parametrize("n_nets", [2, 12])
def test_predictions_are_mixed_some_rows_at_a_time(digits, small_pieces, hidden_units, n_nets):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(module__hidden_units=hidden_units, max_epochs=1, batch_size=50)
    clf = GroupedMTLClassifier.mtl_ensemble(n_nets, net, random_state=0).fit(X[:50], Y[:50])
    found = clf.predict_proba(X)
    expected = np.mean([net.predict_proba(X) for net in clf.specialists_], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    a_batch = n_nets * 50 * 15
    assert len(small_pieces) > 3
    assert max(small_pieces) < 2_000 + a_batch
    assert sum(small_pieces) == n_nets * Y.size


def test_pieces_of_nets_of_several_shapes_are_their_predictions(digits, small_net, small_pieces):
    X, Y = digits
    net = small_net.set_params(batch_size=20)
    groups = np.eye(4)[np.repeat(np.arange(4), [3, 5, 3, 4])]
    clf = GroupedMTLClassifier(net, groups, random_state=0).fit(X, Y)
    dataset = TaskDataset(torch.from_numpy(X).float())
    for net, proba in zip(
        clf.specialists_, engine.predict_many(clf.specialists_, dataset), strict=True
    ):
        np.testing.assert_allclose(proba, net._flat_proba(X), atol=1e-6)


@pytest.mark.parametrize("affinity", [InterTaskAffinity, GradientCosineAffinity])
def test_an_affinity_leaves_no_activations_behind(affinity):
    rng = np.random.default_rng(0)
    X, Y = rng.random((12, 3, 8, 8), dtype=np.float32), rng.integers(0, 2, (12, 3))
    net = MultiTaskNet.stg_mtl(SmallCNN, max_epochs=1, batch_size=12)

    def n_tensors_of_batches():
        gc.collect()
        return sum(
            issubclass(type(thing), torch.Tensor) and 12 in thing.shape[:2]
            for thing in gc.get_objects()
        )

    before = n_tensors_of_batches()
    for _ in range(3):
        affinity(net, every=1).fit(X, Y)
    assert n_tensors_of_batches() == before


def test_a_classifier_keeps_nothing_of_single_samples(small_net):
    rng = np.random.default_rng(0)

    def size(n_samples, **params):
        X = rng.normal(size=(n_samples, 5)).astype(np.float32)
        Y = (X + rng.normal(size=X.shape) > 0).astype(int)
        net = clone(small_net).set_params(batch_size=-1)
        return len(pickle.dumps(GroupedMTLClassifier(net, random_state=0, **params).fit(X, Y)))

    assert abs(size(2_000, n_groups=2) - size(200, n_groups=2)) < 2_000


def test_a_given_grouper_keeps_its_maps_and_finds_the_same_groups(digits, small_net):
    X, Y = digits
    default = GroupedMTLClassifier(small_net, n_groups=3, random_state=0).fit(X, Y)
    given = make_pipeline(TaskGrouper(small_net), FuzzyKMeans(3))
    kept = GroupedMTLClassifier(small_net, given, random_state=0).fit(X, Y)
    assert not hasattr(default.grouper_[0], "data_map_")
    assert kept.grouper_[0].data_map_.shape == (15, 4, 600, 2)
    # Isometric rows are equal to rounding only, by which groups may come in another order.
    found, expected = (
        clf.membership_[:, np.lexsort(clf.membership_.round(3))] for clf in (default, kept)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_pieces_hold_no_batch(monkeypatch):
    monkeypatch.setattr("skgroup.training.engine._PIECE", 8)
    alive = []

    def batches():
        for n_rows in (1, 2, 3, 5, 1):
            assert sum(batch() is not None for batch in alive) <= 1  # the latest
            proba = torch.arange(float(n_rows))[:, None]
            alive.append(weakref.ref(proba))
            yield [proba]
            del proba

    pieces = list(_pieces(batches()))
    assert [(rows.start, rows.stop) for rows, _ in pieces] == [(0, 6), (6, 12)]
    found = np.concatenate([part[:, 0] for _, (part,) in pieces])
    np.testing.assert_array_equal(found, [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 4, 0])
