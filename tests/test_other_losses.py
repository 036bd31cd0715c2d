"""Another loss of labels is a subclass with one method; training, stacks and validation follow."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.utils.data import Subset

from skgroup import MultiTaskNet
from skgroup.training.engine import fit_many
from skgroup.training.loss import MultiTaskLoss


class FocalLoss(MultiTaskLoss):
    """Lin et al. 2017, equation 4: (1 - p)^γ · (-log p) of the true label."""

    def __init__(self, *args, gamma=2.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.gamma = gamma

    def of_labels(self, logits, codes, weight, layout, values):
        log_p = layout.true_log_probability(logits, codes)
        return -(weight * (1 - log_p.exp()) ** self.gamma * log_p).sum((-2, -1))


class Learnable(FocalLoss):
    """Its γ is learned, so that a net's optimizer changes it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gamma = torch.nn.Parameter(torch.tensor(2.0))


@pytest.fixture
def mixed(digits):
    X, Y = digits
    table = np.column_stack([Y[:, 0], Y[:, :10].argmax(axis=1), Y[:, 12]]).astype(float)
    table[np.random.RandomState(0).rand(*table.shape) < 0.2] = np.nan
    return X, table


def focal(codes, proba, gamma, balanced):
    """The mean over observed samples, summed over tasks, written down plainly."""
    total = 0.0
    for t, of_task in enumerate(proba):
        seen = codes[:, t] >= 0
        true = codes[seen, t]
        p = of_task[seen, true]
        weight = np.ones(len(true)) if balanced is None else balanced[t][true]
        total += np.mean(-weight * (1 - p) ** gamma * np.log(p))
    return total


@pytest.mark.parametrize("criterion", [FocalLoss, Learnable])
def test_a_stack_learns_another_loss_as_a_loop_does(mixed, criterion):
    X, Y = mixed
    net = MultiTaskNet.stg_mtl(criterion=criterion, max_epochs=2, lr=0.005, random_state=0)
    data = [net._check_data(X, Y, None)] * 2
    both = []
    for strategy in ("stacked" if criterion is FocalLoss else "auto", "sequential"):
        nets = [clone(net), clone(net)]
        fit_many(nets, data, [0, 1], strategy=strategy)
        both.append([n.predict_proba(X) for n in nets])
    for one, other in zip(*both, strict=True):
        for p, q in zip(one, other, strict=True):
            np.testing.assert_allclose(p, q, atol=1e-5)


def halves(dataset):
    """The first two thirds to train on, the last third to validate on."""
    at = 2 * len(dataset) // 3
    return Subset(dataset, range(at)), Subset(dataset, range(at, len(dataset)))


@pytest.mark.parametrize("balanced", [None, "balanced"])
def test_training_and_validation_report_the_equation(mixed, balanced):
    X, Y = mixed
    options = {"criterion": FocalLoss, "criterion__gamma": 1.5, "class_weight": balanced}
    net = MultiTaskNet.stg_mtl(
        lr=1e-12, max_epochs=1, batch_size=-1, train_split=halves, random_state=0, **options
    ).fit(X, Y)
    codes = np.where(np.isnan(Y), -1, Y).astype(int)
    at = 2 * len(X) // 3
    weight = None if balanced is None else net.criterion_.weight.numpy()
    for rows, key in ((slice(at), "train_loss"), (slice(at, None), "valid_loss")):
        expected = focal(codes[rows], net.predict_proba(X[rows]), 1.5, weight)
        assert net.history[-1][key] == pytest.approx(expected, rel=1e-4), key
