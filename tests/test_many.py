"""Nets trained together are the nets trained alone."""

import re

import numpy as np
import pytest
import torch
from netting import Noisy
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping
from torch import nn
from torch.utils.data import DataLoader

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.nn import MLP, SmallCNN
from skgroup.training.data import TaskDataset
from skgroup.training.engine import fit_many, predict_many
from skgroup.training.stack import Stack, prediction_stack, stack_pays


class Branches(nn.Module):
    """A module whose forward is no sequence, and returns a tensor a task."""

    def __init__(self, n_features, task_outputs):
        super().__init__()
        self.left, self.right = nn.Linear(n_features, 8), nn.Linear(n_features, 8)
        self.heads = nn.ModuleList(nn.Linear(8, k) for k in task_outputs)

    def forward(self, x):
        h = self.left(x).tanh() * self.right(x).sigmoid()
        return [head(h) for head in self.heads]


class Normed(nn.Module):
    """Statistics of the batch, and parameters that belong to no linear layer."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        # A bias before normalisation has no gradient but rounding, which Adam blows up.
        self.layers = nn.Sequential(
            nn.Linear(n_features, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU(), nn.LayerNorm(12)
        )
        self.heads = nn.Linear(12, n_outputs)

    def forward(self, x):
        return self.heads(self.layers(x))


class Flat(nn.Module):
    """Mixes the samples of a batch in a way that only vmap gets right."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features, n_outputs)

    def forward(self, x):
        return self.linear(x - x.mean(dim=0))


def specialists(net, X, Y, sample_weight=None):
    data = net._check_data(X, Y, sample_weight)
    weights = np.random.RandomState(0).dirichlet(np.ones(4), size=data.table.n_tasks).T
    return [clone(net).set_params(task_weight=w) for w in weights], [data] * 4


def train(net, X, Y, strategy, sample_weight=None):
    nets, data = specialists(net, X, Y, sample_weight)
    return fit_many(nets, data, [3, 1, 4, 1], strategy=strategy)[0]


def assert_same(nets, others, X, atol=1e-5):
    for net, other in zip(nets, others, strict=True):
        of_other = other.module_.state_dict()
        for name, value in net.module_.state_dict().items():
            torch.testing.assert_close(value, of_other[name], atol=10 * atol, rtol=1e-3)
        np.testing.assert_allclose(net._flat_proba(X), other._flat_proba(X), atol=atol)
        losses = [h[:, "train_loss"] for h in (net.history, other.history)]
        np.testing.assert_allclose(*losses, rtol=1e-4)
        assert len(net.history[-1, "batches"]) == len(other.history[-1, "batches"])


@pytest.mark.parametrize("module", [MLP, Branches, Normed, Flat])
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_a_stack_learns_what_a_loop_learns(digits, module):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(module, max_epochs=2, lr=0.005, batch_size=100)
    assert_same(train(net, X, Y, "stacked"), train(net, X, Y, "sequential"), X)


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9, "lr": 0.1},
        {"optimizer": torch.optim.AdamW, "optimizer__weight_decay": 0.1},
        {"batch_size": -1},
        {"iterator_train__shuffle": False, "iterator_train__drop_last": True},
        {"class_weight": None, "module__hidden_units": ()},
    ],
)
def test_a_stack_respects_the_options_of_the_net(digits, params):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(max_epochs=2, lr=0.005, batch_size=64).set_params(**params)
    assert_same(train(net, X, Y, "stacked"), train(net, X, Y, "sequential"), X)


def test_a_stack_of_several_kinds_of_tasks_with_missing_labels_and_weights(digits):
    X, Y = digits
    mixed = np.column_stack([Y[:, 0], Y[:, :10].argmax(axis=1), Y[:, 12]]).astype(float)
    mixed[np.random.RandomState(0).rand(*mixed.shape) < 0.4] = np.nan
    weight = np.random.RandomState(1).rand(len(X))
    net = MultiTaskNet.stg_mtl(max_epochs=2, lr=0.005)
    nets = [train(net, X, mixed, s, weight) for s in ("stacked", "sequential")]
    assert_same(*nets, X)


def test_heads_of_different_numbers_are_padded(digits, small_net):
    X, Y = digits
    groups = [np.array([0, 1, 2]), np.array([3]), np.arange(15)]
    data = small_net._check_data(X, Y, None)
    of_nets = [data.select(g) for g in groups]
    nets = [
        fit_many([clone(small_net) for _ in groups], of_nets, [1, 2, 3], strategy=strategy)[0]
        for strategy in ("stacked", "sequential")
    ]
    assert [net.module_.heads.out_features for net in nets[0]] == [3, 1, 15]
    assert_same(*nets, X)


def test_stacked_single_task_nets_have_the_maps_of_a_loop(digits, small_net):
    X, Y = digits
    hidden = Y[:, :6].astype(float)
    hidden[np.random.RandomState(0).rand(*hidden.shape) < 0.2] = np.nan
    grouper = TaskGrouper(small_net, source="stl", snapshot_epochs=2, random_state=0)
    stacked = clone(grouper).set_params(strategy="stacked").fit(X, hidden)
    loop = clone(grouper).set_params(strategy="sequential").fit(X, hidden)
    np.testing.assert_allclose(stacked.data_map_, loop.data_map_, atol=1e-5)
    assert stacked.snapshot_epochs_ == loop.snapshot_epochs_ == [2, 4]
    isometric = clone(grouper).set_params(output="isometric").fit(X, hidden)
    np.testing.assert_array_equal(isometric.data_map_, stacked.data_map_[:, -1:])


def test_auto_stacks_small_nets_and_loops_over_convolutions(digits, small_net):
    X, Y = digits
    nets, data = specialists(small_net, X, Y)
    for net, of_net in zip(nets, data, strict=True):
        net._prepare(of_net, seed=0)
    assert stack_pays(nets, 600)
    assert not stack_pays(nets[:1], 600)
    images = X.reshape(-1, 1, 8, 8)
    nets, data = specialists(MultiTaskNet.stg_mtl(SmallCNN), images, Y)
    for net, of_net in zip(nets, data, strict=True):
        net._prepare(of_net, seed=0)
    assert not stack_pays(nets, 600)


class Frozen(MLP):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_outputs, n_features, hidden_units=(8,))
        self.trunk[1].requires_grad_(False)


class Adapted(nn.Linear):
    """A linear layer that is more than one: a stack of plain ones would not train it."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.down, self.up = nn.Linear(n_in, 2), nn.Linear(2, n_out)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return super().forward(x) + self.up(self.down(x))


class Adapter(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = Adapted(n_features, n_outputs)

    def forward(self, x):
        return self.layer(x)


class Tied(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first, self.second = (
            nn.Linear(n_features, n_features),
            nn.Linear(n_features, n_features),
        )
        self.second.weight = self.first.weight
        self.heads = nn.Linear(n_features, n_outputs)

    def forward(self, x):
        return self.heads(self.second(self.first(x).relu()).relu())


class FunctionalDropout(MLP):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


class Asserting(MLP):
    def forward(self, x):
        assert x.ndim == 2
        return super().forward(x)


@pytest.mark.parametrize("module", [Frozen, Adapter, Tied, FunctionalDropout, Asserting])
def test_modules_that_a_stack_might_get_wrong_are_trained_right(digits, module):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(module, max_epochs=2, lr=0.005)
    assert_same(train(net, X, Y, "auto"), train(net, X, Y, "sequential"), X)


def test_training_goes_on_from_a_stack_as_from_a_loop(digits, small_net):
    X, Y = digits
    nets = [train(small_net, X, Y, strategy)[0] for strategy in ("stacked", "sequential")]
    stacked, loop = (net.partial_fit(X, Y)._flat_proba(X) for net in nets)
    np.testing.assert_allclose(stacked, loop, atol=1e-4)


class Other(MultiTaskNet):
    pass


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (MultiTaskNet.stg_mtl(Noisy), "the module draws random numbers"),
        (MultiTaskNet.stg_mtl(callbacks=[EarlyStopping("train_loss")]), "the net has callbacks"),
        (MultiTaskNet.stg_mtl(iterator_train=DataLoader), "the net has an iterator of its own"),
        (MultiTaskNet.stg_mtl(optimizer=torch.optim.Adagrad), "the net has a loss or an optimizer"),
        (
            MultiTaskNet.stg_mtl(optimizer__param_groups=[("heads*", {"lr": 0.1})]),
            "the net has several op",
        ),
        (Other(), "the net is of a subclass"),
    ],
)
def test_what_cannot_be_stacked_is_said_or_looped_over(digits, net, reason):
    X, Y = digits
    net.set_params(max_epochs=1)
    message = re.escape(f"These nets cannot be trained as a stack: {reason}")
    with pytest.raises(ValueError, match=message):
        train(net, X, Y, "stacked")
    assert_same(train(net, X, Y, "auto"), train(net, X, Y, "sequential"), X, atol=1e-7)


def test_early_stopping_of_one_net_leaves_the_others(digits, small_net):
    X, Y = digits
    net = small_net.set_params(
        callbacks=[EarlyStopping("train_loss", patience=2, threshold=0.5)], max_epochs=30
    )
    clf = GroupedMTLClassifier(net, np.eye(15)[:, :3] + 0.1, random_state=0).fit(X, Y)
    assert all(2 <= len(s.history_) < 30 for s in clf.specialists_)


@pytest.mark.parametrize("strategy", ["stacked", "sequential", "auto"])
def test_strategy_of_the_classifier_changes_nothing(digits, small_net, strategy):
    X, Y = digits
    clf = GroupedMTLClassifier(small_net, np.eye(15)[:, :3] + 0.1, random_state=0)
    expected = clone(clf).fit(X, Y).predict_proba(X)
    found = clone(clf).set_params(strategy=strategy).fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="The 'strategy' parameter of GroupedMTLClassifier"):
        clone(clf).set_params(strategy="fast").fit(X, Y)


def test_verbose_counts_the_epochs_of_all_nets(digits, small_net, capsys):
    X, Y = digits
    nets, data = specialists(small_net, X, Y)
    fit_many(nets, data, [1, 2, 3, 4], verbose=1, description="four nets")
    assert "four nets: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("n_groups", [2, 15])
def test_stacked_prediction_is_that_of_each_specialist(digits, small_net, n_groups):
    X, Y = digits
    net = small_net.set_params(batch_size=20)  # many batches: worth a stack
    membership = np.eye(15)[:, :n_groups] + (0.1 if n_groups == 2 else 0)
    clf = GroupedMTLClassifier(net, membership, random_state=0).fit(X, Y)
    alone = [specialist._flat_proba(X) for specialist in clf.specialists_]
    dataset = TaskDataset(torch.from_numpy(X).float())
    assert prediction_stack(clf.specialists_, dataset) is not None
    together = predict_many(clf.specialists_, dataset)
    for own, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-6)


@pytest.mark.parametrize("strategy", ["stacked", "sequential"])
def test_mixed_precision_learns_nearly_the_same(digits, small_net, strategy):
    X, Y = digits
    clf = GroupedMTLClassifier(small_net, np.ones((15, 2)), strategy=strategy, random_state=0)
    full = clf.fit(X, Y).predict_proba(X)
    half = clone(clf).set_params(estimator__precision="bfloat16").fit(X, Y)
    assert half.specialists_[0].module_.heads.weight.dtype is torch.float32
    found = half.predict_proba(X)
    assert not np.array_equal(found, full)
    assert np.corrcoef(found.ravel(), full.ravel())[0, 1] > 0.99
    with pytest.raises(ValueError, match="The 'precision' parameter of MultiTaskNet must be"):
        clf.set_params(estimator__precision="float16").fit(X, Y)


class CountThreads(Callback):
    seen = None

    def on_batch_end(self, net, **kwargs):
        CountThreads.seen = torch.get_num_threads()


@pytest.mark.parametrize(("width", "expected"), [(16, 1), (5000, 2)])
def test_small_nets_train_on_one_thread_and_give_the_others_back(digits, width, expected):
    X, Y = digits
    torch.set_num_threads(2)
    try:
        net = MultiTaskNet.stg_mtl(
            module__hidden_units=(width,), max_epochs=1, callbacks=[CountThreads()], batch_size=600
        )
        net.fit(X, Y)
        assert CountThreads.seen == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_unstacked_nets_share_no_state_of_their_optimizers(digits, small_net):
    X, Y = digits
    first, *others = train(small_net, X, Y, "stacked")

    def steps(net):
        return [state["step"].item() for state in net.optimizer_.state_dict()["state"].values()]

    before = [steps(net) for net in others]
    first.partial_fit(X, Y)
    assert [steps(net) for net in others] == before
    assert steps(first)[0] == 2 * before[0][0]


class Scaled(MLP):
    """Two of it that differ in scale agree where all inputs are zero."""

    def __init__(self, n_features, n_outputs, scale=1.0):
        super().__init__(n_outputs, n_features, hidden_units=(8,))
        self.scale = scale

    def forward(self, x):
        return super().forward(x * self.scale)


class Doubling(MultiTaskNet):
    def infer(self, x, **fit_params):
        return 2 * super().infer(x, **fit_params)


@pytest.mark.parametrize(
    "other",
    [
        {"iterator_valid__transform": lambda x: x + 1},
        {"module__scale": 3.0},
        {"precision": "bfloat16"},
        {"batch_size": 10},
        {"predict_nonlinearity": None},
        {"iterator_valid": DataLoader},
        "subclass",
        "mode",
    ],
    ids=lambda other: other if isinstance(other, str) else next(iter(other)),
)
@pytest.mark.parametrize("position", [0, 1])
def test_nets_that_predict_differently_are_no_stack(digits, other, position):
    X, Y = digits
    X = np.vstack([np.zeros_like(X[:10]), X]).astype(np.float32)
    Y = np.vstack([Y[:10], Y])
    net = MultiTaskNet.stg_mtl(Scaled, max_epochs=1, batch_size=20, random_state=0)
    if other == "subclass":
        odd = Doubling(Scaled, max_epochs=1, batch_size=20, random_state=0)
    elif other == "mode":
        odd = clone(net).set_params(module=Wider)
    else:
        odd = clone(net).set_params(**other)
    nets = [clone(net).fit(X, Y) for _ in range(3)]
    nets.insert(position, odd.fit(X, Y))
    dataset = TaskDataset(torch.from_numpy(X))
    assert prediction_stack(nets, dataset) is None
    assert prediction_stack(nets[2:], dataset) is not None
    for net, proba in zip(nets, predict_many(nets, dataset), strict=True):
        np.testing.assert_array_equal(proba, net._flat_proba(dataset))


class Wider(Scaled):
    """As `Scaled`, but for what it does with its inputs."""

    def forward(self, x):
        return super().forward(2 * x)


@pytest.mark.parametrize("what", ["fit", "predict"])
def test_stacks_of_small_nets_use_the_threads_that_each_net_would(digits, monkeypatch, what):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(module__hidden_units=(600,), max_epochs=1, batch_size=20)
    nets, data = specialists(net, X, Y)
    nets, data, seeds = nets * 5, data * 5, list(range(20))
    nets = [clone(net) for net in nets]
    seen = []
    original = Stack.__call__

    def noted(self, x, *, shared):
        seen.append(torch.get_num_threads())
        return original(self, x, shared=shared)

    torch.set_num_threads(2)
    try:
        if what == "fit":
            monkeypatch.setattr(Stack, "__call__", noted)
        fit_many(nets, data, seeds, strategy="stacked")
        monkeypatch.setattr(Stack, "__call__", noted)
        if what == "predict":
            predict_many(nets, TaskDataset(torch.from_numpy(X).float()))
        assert seen[-20:] == [1] * 20  # the first few try the stack
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
