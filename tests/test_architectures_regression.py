"""Every architecture of `skgroup.nn` on numbers, alone and beside classes; stacks of such nets."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skgroup import GroupedMTLEstimator, MultiTaskNet, TaskGrouper
from skgroup.nn import (
    MLP,
    PLE,
    AdaTT,
    AdaTTSp,
    CrossStitch,
    MMoE,
    MultiLevelMMoE,
    ResNet18,
    SharedBottom,
    SmallCNN,
    TabM,
)
from skgroup.training.engine import fit_many

NARROW = {"module__expert_hidden_units": (12, 8), "module__tower_hidden_units": (6,)}
ARCHITECTURES = {
    MLP: {"module__hidden_units": (16,)},
    TabM: {"module__hidden_units": (16,), "module__n_members": 2, "module__dropout": 0.0},
    SharedBottom: {"module__hidden_units": (16,)},
    **dict.fromkeys([MMoE, MultiLevelMMoE, CrossStitch, PLE, AdaTT, AdaTTSp], NARROW),
}
each_architecture = pytest.mark.parametrize("module", ARCHITECTURES, ids=lambda m: m.__name__)
each_kind = pytest.mark.parametrize("numbers", [[1, 3], [0, 1, 2, 3]], ids=["mixed", "numbers"])
TYPES = np.array(["binary", "binary", "multiclass", "binary"])


@pytest.fixture(scope="module")
def data():
    """X (200, 5) and the four numbers that tasks are, or are made of."""
    X = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    return X, np.column_stack([X[:, 0] - X[:, 1], X[:, 1], X[:, 2] + X[:, 0], X[:, 3]])


def table_of(y, numbers):
    """Numbers in units of their own; what is none of `numbers` cut into two or three classes."""
    Y = y * [1e-3, 50.0, 1.0, 1e5] + [0.0, 1e3, 0.0, -1e6]
    for t in set(range(4)) - set(numbers):
        Y[:, t] = np.digitize(y[:, t], [-0.5, 0.5] if TYPES[t] == "multiclass" else [0])
    return Y


def net_of(module, **params):
    params = {"max_epochs": 40, "lr": 0.02, "batch_size": 64, "random_state": 0, **params}
    return MultiTaskNet.stg_mtl(module, **ARCHITECTURES[module], **params)


@each_kind
@each_architecture
def test_every_architecture_learns_numbers(data, module, numbers):
    X, y = data
    Y = table_of(y, numbers)
    net = net_of(module).fit(X, Y)
    expected = TYPES.copy()
    expected[numbers] = "regression"
    assert net.task_types_ == tuple(expected)
    predicted = net.predict(X)
    error = predicted[:, numbers].astype(float) - Y[:, numbers]
    assert (error.std(axis=0) < 0.5 * Y[:, numbers].std(axis=0)).all()
    assert net.score(X, Y) > 0.7


@each_kind
@pytest.mark.parametrize("module", [SmallCNN, ResNet18], ids=lambda m: m.__name__)
def test_heads_on_images_learn_numbers(module, numbers):
    rng = np.random.default_rng(0)
    bright = rng.normal(size=(32, 4))
    X = np.repeat(np.repeat(bright.reshape(32, 1, 2, 2), 6, axis=2), 6, axis=3)
    X = (X + rng.normal(size=X.shape) / 4).astype(np.float32)
    Y = table_of(bright, numbers)
    net = MultiTaskNet.stg_mtl(module, max_epochs=5, batch_size=16, random_state=0, lr=2e-3)
    net.fit(X, Y)
    predicted = net.predict(X)
    assert np.isfinite(predicted.astype(float)).all()
    losses = net.history_[:, "train_loss"]
    assert losses[-1] < 0.8 * losses[0]


@each_kind
@pytest.mark.parametrize(
    ("module", "loss"),
    [*((m, "squared_error") for m in ARCHITECTURES), (MLP, "absolute_error"), (MLP, "huber")],
    ids=lambda of: getattr(of, "__name__", of),
)
def test_a_stack_learns_what_a_loop_learns_of_numbers(data, module, numbers, loss):
    X, y = data
    Y = table_of(y, numbers)
    Y[np.random.default_rng(1).random(Y.shape) < 0.2] = np.nan
    net = net_of(module, optimizer=torch.optim.SGD, lr=0.1, max_epochs=3)
    net.set_params(criterion__regression_loss=loss)
    checked = net._check_data(X, Y, None)
    weights = np.random.default_rng(0).dirichlet(np.ones(4), size=3)
    found = []
    for strategy in ("stacked", "sequential"):
        nets = [clone(net).set_params(task_weight=w) for w in weights]
        fit_many(nets, [checked] * 3, [3, 1, 3], strategy=strategy)
        found.append(nets)
    for ours, theirs in zip(*found, strict=True):
        of_other = theirs.module_.state_dict()
        for key, value in ours.module_.state_dict().items():
            torch.testing.assert_close(value, of_other[key], atol=1e-5, rtol=1e-3)
        np.testing.assert_allclose(ours._flat_proba(X), theirs._flat_proba(X), atol=1e-5)


def test_single_task_nets_of_numbers_stack_and_nets_of_several_kinds_say_why_not(data):
    X, y = data
    net = net_of(MLP, optimizer=torch.optim.SGD, lr=0.1, max_epochs=3)
    grouper = TaskGrouper(net, source="stl", strategy="stacked", random_state=0)
    stacked = grouper.fit(X, table_of(y, [0, 1, 2, 3]))
    alone = clone(grouper).set_params(strategy="sequential").fit(X, table_of(y, [0, 1, 2, 3]))
    np.testing.assert_allclose(stacked.data_map_, alone.data_map_, atol=1e-5)
    with pytest.raises(ValueError, match="kinds of tasks, differ between the nets"):
        grouper.fit(X, table_of(y, [1, 3]))
    left_to_it = clone(grouper).set_params(strategy="auto").fit(X, table_of(y, [1, 3]))
    assert left_to_it.data_map_.shape == (4, 3, 200, 2)


@pytest.mark.parametrize("module", [MMoE, AdaTT, TabM], ids=lambda m: m.__name__)
def test_specialists_and_single_task_nets_of_numbers(data, module):
    X, y = data
    Y = table_of(y, [1, 3])
    net = net_of(module)
    membership = np.array([[1, 0], [1, 0], [0, 1], [0.5, 0.5]])
    grouped = GroupedMTLEstimator(net, membership, random_state=0).fit(X, Y)
    alone = GroupedMTLEstimator.stl(net, random_state=0).fit(X, Y)
    assert grouped.score(X, Y) > 0.7
    assert alone.score(X, Y) > 0.7
    assert [s.task_types_ for s in alone.specialists_] == [(t,) for t in grouped.task_types_]
