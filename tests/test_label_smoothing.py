"""Label smoothing: torch's, a task at a time; what data maps hold stays the label itself."""

import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.nn import functional as F

from skgroup import MultiTaskNet, TaskGrouper
from skgroup.relations import InterTaskAffinity
from skgroup.selection import GroupGains
from skgroup.training.engine import fit_many

SMOOTHING = 0.2


@pytest.fixture(scope="module")
def table(digits):
    """A binary, two multiclass and a regression task, some labels missing."""
    X, Y = digits[0][:300], digits[1][:300]
    digit = Y[:, :10].argmax(axis=1)
    tasks = np.column_stack([Y[:, 12], digit % 3, digit // 2, X[:, 20] / 7]).astype(float)
    tasks[np.random.default_rng(0).random(tasks.shape) < 0.2] = np.nan
    return X, tasks


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(
        module__hidden_units=(16,),
        criterion__label_smoothing=SMOOTHING,
        class_weight=None,
        lr=0.01,
        random_state=0,
    )


def torchs_loss(net, X, Y):
    """The sum over tasks of torch's mean losses over the observed labels of one batch."""
    logits = torch.cat(list(net.forward_iter(X)))
    start, total = 0, 0.0
    for t, width in enumerate(net.task_outputs_):
        seen = ~np.isnan(Y[:, t])
        part, truth = logits[seen, start : start + width], torch.from_numpy(Y[seen, t])
        start += width
        if net.task_types_[t] == "regression":
            truth = (truth - net.target_scaling_.location[t]) / net.target_scaling_.scale[t]
            total += F.mse_loss(part[:, 0], truth.float())
            continue
        if width == 1:  # its two classes have the logits 0 and z
            part = torch.hstack([torch.zeros_like(part), part])
        total += torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)(part, truth.long())
    return float(total)


def test_the_loss_is_torchs(table, net):
    X, Y = table
    net.set_params(max_epochs=1, batch_size=-1, lr=1e-12).fit(X, Y)
    assert net.history[-1]["train_loss"] == pytest.approx(torchs_loss(net, X, Y), rel=1e-5)


def test_class_weights_are_those_of_the_label(table, net):
    X, Y = table
    binary = Y[:, 0]
    net.set_params(max_epochs=1, batch_size=-1, lr=1e-12, class_weight={1: 7.0}).fit(X, binary)
    seen = ~np.isnan(binary)
    p, truth = net.predict_proba(X)[seen], binary[seen].astype(int)
    rows = np.arange(len(truth))
    smooth = (1 - SMOOTHING) * np.log(p[rows, truth]) + SMOOTHING / 2 * np.log(p).sum(axis=1)
    expected = np.mean(-np.where(truth == 1, 7.0, 1.0) * smooth)
    assert net.history[-1]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_stack_learns_as_a_loop_does(table, net):
    X, Y = table
    data = [net._check_data(X, Y, None)] * 2
    both = []
    for strategy in ("stacked", "sequential"):
        nets = [clone(net).set_params(max_epochs=3) for _ in data]
        fit_many(nets, data, [0, 1], strategy=strategy)
        both.append([net._flat_proba(X) for net in nets])
    np.testing.assert_allclose(*both, atol=1e-6)


def test_balancing_sees_the_smoothed_losses(table, net):
    X, Y = table
    net.set_params(max_epochs=1, batch_size=-1, lr=1e-12, balancing="uncertainty").fit(X, Y)
    assert net.history[-1]["train_loss"] == pytest.approx(torchs_loss(net, X, Y), rel=1e-5)


def test_smoothed_nets_are_less_sure(table, net):
    X, Y = table
    sure = clone(net).set_params(criterion__label_smoothing=0.0, max_epochs=40)
    smooth = clone(net).set_params(max_epochs=40)
    labels = np.where(np.isnan(Y[:, 2]), None, Y[:, 2])
    most = [n.fit(X, labels).predict_proba(X).max(axis=1).mean() for n in (sure, smooth)]
    assert most[0] > most[1] + 0.05


def test_data_maps_hold_the_probability_of_the_label_itself(table, net):
    X, Y = table[0], table[1][:, :2]
    net.set_params(max_epochs=1, batch_size=-1)  # recorded before the first step
    plain = clone(net).set_params(criterion__label_smoothing=0.0)
    maps = [TaskGrouper(n, snapshot_epochs=1, random_state=0).fit(X, Y) for n in (net, plain)]
    np.testing.assert_array_equal(maps[0].data_map_, maps[1].data_map_)


def test_affinities_and_gains_are_of_the_smoothed_loss(table, net):
    X, Y = table
    Y = Y[:, :2]
    for relation in (
        InterTaskAffinity(net.set_params(max_epochs=2), random_state=0),
        GroupGains(net, cv=2, random_state=0),
    ):
        plain = clone(relation).set_params(estimator__criterion__label_smoothing=0.0)
        attribute = "affinity_" if isinstance(relation, InterTaskAffinity) else "gains_"
        one, other = (getattr(r.fit(X, Y), attribute) for r in (relation, plain))
        assert not np.allclose(one, other, equal_nan=True)


@pytest.mark.parametrize("value", [-0.1, 1.0, 2, "some", None, True, np.nan])
def test_smoothing_is_a_share(table, net, value):
    message = f"The 'label_smoothing' parameter must be a number in [0, 1). Got {value!r}."
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        net.set_params(criterion__label_smoothing=value).fit(*table)
    assert len(str(refused.value)) < 500
