"""Grad-TAG: linearised nets, fits of many groups at once, and the gains that follow."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from affinities import Normed, Towers, Unbatchable, literal_losses, shared_of
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from torch import nn

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP, LinearHeads, SmallCNN, TabM
from skgroup.relations import GradTAG
from skgroup.relations._linearised import linearise
from skgroup.relations._subset_fits import SubsetFits
from skgroup.selection import GradTAGGrouping, GroupSelector
from skgroup.training.engine import build_net, check_data, train_net

SEEDS = list(range(10, 17))


def trained(module, X, Y, weight=None, **params):
    params = {"max_epochs": 3, "batch_size": 32, "lr": 0.02} | params
    net = MultiTaskNet.stg_mtl(module, **params)
    data = check_data(net, X, Y, weight)
    build_net(net, data, 0)
    train_net(net, data)
    return net, net.dataset_of(data)


def projection(shared):
    """P, a column a seed, normal numbers of variance 1 / dim, parameter after parameter."""
    columns = []
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(seed)
        drawn = [torch.randn(p.shape, generator=generator).flatten() for p in shared.values()]
        columns.append(torch.cat(drawn) / len(SEEDS) ** 0.5)
    return torch.stack(columns, dim=1)


MODULES = {
    "mlp": (MLP, {"module__hidden_units": (8,)}),
    "dropout, batch norm": (Normed, {}),
    "cannot be batched": (Unbatchable, {}),
    "a list of outputs": (Towers, {}),
    "members": (TabM, {"module__n_members": 3, "module__hidden_units": (8,)}),
}


@pytest.mark.parametrize("case", MODULES)
def test_projected_gradients_equal_a_literal_loop(partly_measured, case):
    X, Y = partly_measured
    module, params = MODULES[case]
    net, dataset = trained(module, X, Y, **params)
    tasks = linearise(net, dataset, SEEDS)
    evaluated = net.module_.eval()
    shared = shared_of(evaluated) if case != "members" else None
    if shared is None:
        of_heads = {id(p) for p in evaluated.heads.parameters()}
        shared = {k: p for k, p in evaluated.named_parameters() if id(p) not in of_heads}
    P = projection(shared)
    output = evaluated(net._inputs_of(dataset.X[:3]))
    output = torch.cat(output, dim=-1) if isinstance(output, list) else output
    output = output.flatten(0, -2)
    torch.testing.assert_close(tasks.logits[: len(output)], output)
    for row, column in [(0, 0), (1, 3), (2, output.shape[1] - 1)]:
        gradient = torch.autograd.grad(output[row, column], shared.values(), retain_graph=True)
        expected = torch.cat([g.flatten() for g in gradient]) @ P
        found = tasks.gradients[column, row]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_projected_gradients_of_convolutions_are_those_of_autograd(digits):
    X = np.repeat(digits[0][:12].reshape(-1, 1, 8, 8), 3, axis=1).astype(np.float32)
    net, dataset = trained(SmallCNN, X, digits[1][:12, :3] > 0, max_epochs=1, class_weight=None)
    tasks = linearise(net, dataset, SEEDS, max_memory=2**20)
    heads = {id(p) for p in net.module_.heads.parameters()}
    shared = {k: p for k, p in net.module_.named_parameters() if id(p) not in heads}
    logit = net.module_.eval()(dataset.X[:2])[1, 2]
    gradient = torch.autograd.grad(logit, shared.values())
    expected = torch.cat([g.flatten() for g in gradient]) @ projection(shared)
    torch.testing.assert_close(tasks.gradients[2, 1], expected, rtol=1e-3, atol=1e-5)


def numbers_of(tasks):
    return {
        "z": tasks.logits.double().numpy(),
        "J": tasks.gradients.double().numpy(),
        "codes": tasks.codes.numpy(),
        "values": None if tasks.values is None else tasks.values.double().numpy(),
        "share": tasks.share.double().numpy(),
    }


def literal_loss(layout, of, t, w, rows=None):
    """The loss of one task after a move, sample by sample."""
    columns = range(layout.starts[t], layout.starts[t] + layout.task_outputs[t])
    total = 0.0
    for n in range(len(of["z"])):
        z = np.array([of["z"][n, o] + of["J"][o, n] @ w for o in columns])
        if of["share"][n, t] == 0:
            continue
        kind, code = layout.task_types[t], of["codes"][n, t]
        if kind == "regression":
            loss = (z[0] - of["values"][n, t]) ** 2
        elif kind == "binary":
            loss = np.logaddexp(0, -z[0] if code else z[0])
        else:
            loss = np.logaddexp.reduce(z) - z[code]
        total += of["share"][n, t] * loss
    return total


@pytest.mark.parametrize("max_memory", [2**28, 1])
def test_losses_of_groups_equal_a_literal_transcription(partly_measured, max_memory):
    X, Y = partly_measured
    X, Y, weight = X[:60], Y[:60], np.random.default_rng(0).random(60)
    net, dataset = trained(MLP, X, Y, weight, module__hidden_units=(8,))
    train = linearise(net, dataset, SEEDS)
    held_out, alpha = linearise(net, dataset, SEEDS, max_memory=2 * 10**3), 0.05
    assert len(held_out.logits) < 60
    task_weight = np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    masks = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [0, 1, 1, 0, 0]], bool)
    fits = SubsetFits(train, held_out, alpha, torch.tensor(task_weight).float(), max_memory)
    losses = fits.losses(torch.from_numpy(masks)).numpy()
    of_train, of_held_out, layout = numbers_of(train), numbers_of(held_out), train.layout
    for mask, found in zip(masks, losses, strict=True):
        members = np.flatnonzero(mask)

        def objective(w, members=members):
            total = sum(task_weight[t] * literal_loss(layout, of_train, t, w) for t in members)
            return total / task_weight[members].sum() + alpha / 2 * w @ w

        w = minimize(objective, np.zeros(len(SEEDS)), options={"gtol": 1e-6}).x
        expected = [literal_loss(layout, of_held_out, t, w) if mask[t] else 0 for t in range(5)]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_second_derivatives_of_groups_that_fit_together_fit_into_the_memory(
    partly_measured, monkeypatch
):
    X, Y = partly_measured
    net, dataset = trained(MLP, X[:60], Y[:60], module__hidden_units=(8,))
    tasks = linearise(net, dataset, range(60))
    masks = torch.from_numpy(np.random.default_rng(0).random((31, 5)) < 0.5)
    masks = masks[masks.any(1)]
    sizes = []

    class Noted(SubsetFits):
        def _moves(self, masks, slots):
            sizes.append(len(masks))
            return super()._moves(masks, slots)

    room = 3 * 4 * 60**2 * 5  # of five groups
    few = Noted(tasks, tasks, 0.05, torch.ones(5), room).losses(masks)
    assert max(sizes) == 5
    many = Noted(tasks, tasks, 0.05, torch.ones(5), 2**28).losses(masks)
    assert sizes[-1] == len(masks)
    torch.testing.assert_close(few, many, rtol=1e-4, atol=1e-6)


def test_the_loss_without_a_move_is_that_of_the_net(partly_measured):
    X, Y = partly_measured
    weight = np.random.default_rng(1).random(len(X))
    net, dataset = trained(TabM, X, Y, weight, module__n_members=3, module__hidden_units=(8,))
    tasks = linearise(net, dataset, SEEDS)
    class_weight = [torch.as_tensor(row) for row in net.loss_weights_["class_weight"]]
    expected = literal_losses(
        net, net.module_.eval(), net._inputs_of(dataset.X), dataset.target, class_weight
    )
    found = tasks.losses(tasks.logits)
    np.testing.assert_allclose(found, [loss.item() for loss in expected], rtol=1e-5)


@pytest.fixture(scope="module")
def planted():
    """Two groups of three tasks, each of a feature of its own, few samples and much noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8)).astype(np.float32)
    hidden = X[:, [0, 0, 0, 1, 1, 1]] + 0.7 * rng.normal(size=(400, 6))
    return X, (hidden > 0).astype(int)


def small(**params):
    net = MultiTaskNet.stg_mtl(module__hidden_units=(16,), max_epochs=10, lr=0.01)
    return GradTAG(net, **{"projection_dim": 30, "random_state": 0} | params)


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_gains_are_shares_of_the_loss_alone_and_affinities_their_means(planted):
    X, Y = planted
    grad_tag = small(cv=2, subset_size=3, n_subsets=7).fit(X, Y)
    masks = np.vstack([np.eye(6, dtype=bool), np.ones((1, 6), dtype=bool), grad_tag.subsets_])
    gains = grad_tag.predict(masks)
    np.testing.assert_array_equal(np.isnan(gains), ~masks)
    np.testing.assert_allclose(gains[:6][masks[:6]], 0, atol=1e-5)
    alone = grad_tag.losses_alone_
    parts = [fits.losses(torch.from_numpy(masks)).numpy() for fits in grad_tag.fits_]
    expected = np.mean([1 - parts[m] / alone[:, m] for m in range(2)], axis=0)
    np.testing.assert_allclose(gains[masks], expected[masks], atol=1e-6)
    assert grad_tag.subsets_.sum(axis=1).tolist() == [3] * 7
    assert len(np.unique(grad_tag.subsets_, axis=0)) == 7
    of_subsets = grad_tag.predict(grad_tag.subsets_)
    for i in range(6):
        for j in range(6):
            both = grad_tag.subsets_[:, i] & grad_tag.subsets_[:, j]
            expected = 0.0 if i == j else of_subsets[both, j].mean() if both.any() else None
            if expected is None:
                expected = grad_tag.predict([np.isin(range(6), (i, j))])[0, j]
            assert grad_tag.affinity_[i, j] == pytest.approx(expected, abs=1e-4)
    again = small(cv=2, subset_size=3, n_subsets=7).fit(X, Y)
    np.testing.assert_array_equal(again.affinity_, grad_tag.affinity_)
    copied = pickle.loads(pickle.dumps(grad_tag))
    np.testing.assert_array_equal(copied.predict(masks), gains)


def test_related_tasks_gain_more_together(planted):
    grad_tag = small().fit(*planted)
    same = np.kron(np.eye(2), np.ones((3, 3))).astype(bool) & ~np.eye(6, dtype=bool)
    other = ~np.kron(np.eye(2), np.ones((3, 3))).astype(bool)
    assert grad_tag.affinity_[same].mean() > grad_tag.affinity_[other].mean() + 0.02
    groups = GroupSelector(2, overlap=False, min_size=2).fit(grad_tag).groups_
    assert sorted(group.tolist() for group in groups) == [[0, 1, 2], [3, 4, 5]]


def test_it_is_a_relation_for_groupers(planted):
    X, Y = planted
    frame = pd.DataFrame(Y, columns=list("abcdef"))
    grouper = make_pipeline(small(), GroupSelector(2))
    clf = GroupedMTLClassifier(small().estimator, grouper).fit(X, frame)
    assert clf.membership_.shape == (6, 2)
    grad_tag = clf.grouper_[0]
    moved = pd.DataFrame([[0, 0, 0, 1, 1, 0]], columns=list("fedcba"))
    np.testing.assert_array_equal(grad_tag.predict(moved), grad_tag.predict([[0, 1, 1, 0, 0, 0]]))
    assert grad_tag.get_feature_names_out()[0] == "affinity_a"
    assert grad_tag.count_nets(6) == 1


def test_tasks_of_a_single_class_and_missing_labels(planted):
    X, Y = planted
    Y = np.column_stack([Y[:, :2], np.ones(400), Y[:, 3:5]]).astype(float)
    Y[np.random.default_rng(0).random(Y.shape) < 0.3] = np.nan
    Y[:, 2] = 1
    with pytest.warns(UserWarning, match="single observed class"):
        grad_tag = small().fit(X, Y)
    without = small().fit(X, np.delete(Y, 2, axis=1))
    masks = np.array([[1, 1, 1, 0, 1], [0, 0, 1, 0, 0], [1, 1, 0, 1, 1]])
    gains = grad_tag.predict(masks)
    assert gains[0, 2] == gains[1, 2] == 0
    assert np.isfinite(gains[masks == 1]).all()
    expected = without.predict(np.delete(masks[[0, 2]], 2, axis=1))
    np.testing.assert_allclose(np.delete(gains[[0, 2]], 2, axis=1), expected, atol=1e-6)
    assert not grad_tag.affinity_[2].any()
    assert not grad_tag.affinity_[:, 2].any()


def test_all_kinds_of_tasks(partly_measured):
    X, Y = partly_measured
    grad_tag = small().fit(X, Y)
    gains = grad_tag.predict(np.ones((1, Y.shape[1])))
    assert np.isfinite(gains).all()
    assert (gains < 1).all()


class Rounding(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Quantised(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.trunk, self.heads = nn.Linear(n_features, 4), LinearHeads(4, n_outputs)

    def forward(self, x):
        return self.heads(Rounding.apply(self.trunk(x)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"projection_dim": 0}, "The 'projection_dim' parameter of GradTAG must be an int in the"),
        ({"alpha": 0}, "The 'alpha' parameter of GradTAG must be a float in the range (0.0, inf)"),
        ({"subset_size": 7}, "must be at most the number of tasks that are learned, 6. Got 7."),
        ({"cv": 1.5}, "The 'cv' parameter of GradTAG must be"),
        ({"projection_dim": 10**5}, "small enough for the second derivatives of all tasks, 4 * n"),
        ({"estimator__module": Quantised}, "The module Quantised must have a forward-mode deriv"),
    ],
)
def test_what_cannot_be_is_refused_before_training(planted, params, message, monkeypatch):
    monkeypatch.setattr("skgroup.relations._grad_tag.train_net", lambda *_: pytest.fail("trained"))
    grad_tag = small()
    if params.get("estimator__module") is Quantised:
        grad_tag.set_params(estimator=MultiTaskNet(Quantised, max_epochs=1))
        params = {}
    with pytest.raises(ValueError, match=re.escape(message)):
        clone(grad_tag).set_params(**params).fit(*planted)


def test_labels_that_are_all_in_the_training_part_are_refused(planted):
    X, Y = planted
    Y = Y.astype(float)
    Y[200:, 4] = np.nan
    with pytest.raises(ValueError, match=re.escape("holds out no label of task 4. Got [(array")):
        small(cv=[(np.arange(200), np.arange(200, 400))]).fit(X, Y)


def test_masks_are_checked(planted):
    grad_tag = small().fit(*planted)
    with pytest.raises(
        ValueError, match=re.escape("n_tasks=6), one row a group. Got shape (1, 2)")
    ):
        grad_tag.predict([[1, 1]])
    with pytest.raises(ValueError, match="masks must have no empty group"):
        grad_tag.predict(np.zeros((1, 6)))


@pytest.mark.parametrize("listed", [14, 5])
def test_groups_are_chosen_by_the_estimated_gains(planted, listed, monkeypatch):
    monkeypatch.setattr("skgroup.selection._predicted_gains.LISTED", listed)
    options = {"projection_dim": 30, "random_state": 0}
    net, selector = small().estimator, GroupSelector(overlap=False, min_size=2)
    grouping = GradTAGGrouping(net, 2, selector=selector, **options).fit(*planted)
    assert sorted(group.tolist() for group in grouping.groups_) == [[0, 1, 2], [3, 4, 5]]
    gains = grouping.predictor_.predict(grouping.membership_.T)
    assert grouping.objective_ == pytest.approx(np.nanmean(gains), abs=1e-4)
    alone = GradTAG(net, **options).fit(*planted)
    np.testing.assert_array_equal(grouping.affinity_, alone.affinity_)


def test_splits_that_hold_out_no_label_of_a_task_do_not_count_for_it(planted):
    X, Y = planted
    Y = Y.astype(float)
    Y[200:, 0] = np.nan
    first, second = np.arange(200), np.arange(200, 400)
    both = small(cv=[(second, first), (first, second)]).fit(X, Y)
    np.testing.assert_array_equal(np.isnan(both.losses_alone_[0]), [False, True])
    assert np.isfinite(both.losses_alone_[1:]).all()
    one = small(cv=[(second, first)]).fit(X, Y)
    masks = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    gains = one.predict(masks)[:, 0]
    assert np.abs(gains).min() > 1e-3
    np.testing.assert_allclose(both.predict(masks)[:, 0], gains, rtol=1e-4)


def test_samples_are_drawn_with_a_label_of_each_task(planted):
    X, Y = planted
    Y = Y.astype(float)
    Y[:, :3] = np.nan
    Y[[3, 70], [0, 0]] = Y[[7, 90], [1, 1]] = Y[[5, 399], [2, 2]] = 0, 1
    net, dataset = trained(MLP, X, Y, np.arange(400.0), module__hidden_units=(8,), max_epochs=1)
    memory = 4 * len(SEEDS) * 6  # of a sample
    for seed in range(3):
        tasks = linearise(net, dataset, SEEDS, max_memory=20 * memory, sample_seed=seed)
        assert len(tasks.logits) == 20
        assert (tasks.share > 0).any(0).all()
    fewest = linearise(net, dataset, SEEDS, max_memory=1)
    assert (fewest.share > 0).any(0).all()
