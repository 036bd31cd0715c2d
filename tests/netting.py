"""Nets, modules and assertions that the tests of `MultiTaskNet` share."""

import re

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from skgroup import MultiTaskNet
from skgroup.nn import MLP


class Noisy(MLP):
    """A module that asks torch's generator in training."""

    def forward(self, x):
        return super().forward(F.dropout(x, 0.1, self.training))


def new_full_batch_net(n_outputs=15):
    torch.manual_seed(0)
    return MultiTaskNet.stg_mtl(
        MLP(n_features=64, n_outputs=n_outputs, hidden_units=(8,)),
        optimizer=torch.optim.SGD,
        lr=0.1,
        max_epochs=3,
        batch_size=-1,
    )


def hide(Y, share, seed=0):
    hidden = np.random.default_rng(seed).random(Y.shape) < share
    return np.where(hidden, np.nan, Y)


def parameters_of(net):
    return {name: p.detach().clone() for name, p in net.module_.named_parameters()}


def assert_same_parameters(net, other, **tolerance):
    first, second = parameters_of(net), parameters_of(other)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], **tolerance)


def refuses(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


class TrainingSteps(Callback):
    """Counts training steps."""

    def __init__(self):
        self.n_steps_ = 0

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.n_steps_ += training


class Linear(nn.Module):
    """Asks for the shape of a sample alone; its outputs are those of three binary tasks."""

    def __init__(self, input_shape):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(input_shape)), 3)
        self.input_shape = input_shape

    def forward(self, x):
        return self.layer(x.flatten(1))


def literal_loss(logits, codes, outputs, task_weight=None, class_weight=None, sample_weight=None):
    """Σ_t w_t · mean over the observed samples of BCE-with-logits or cross-entropy."""
    total, start = torch.zeros((), dtype=logits.dtype), 0
    for t, n_logits in enumerate(outputs):
        seen = codes[:, t] >= 0
        z, y = logits[seen, start : start + n_logits], codes[seen, t].long()
        start += n_logits
        if not seen.any():
            continue
        of_classes = [1.0] * max(n_logits, 2) if class_weight is None else class_weight[t]
        of_classes = torch.as_tensor(of_classes, dtype=logits.dtype)[: max(n_logits, 2)]
        if n_logits == 1:
            loss = F.binary_cross_entropy_with_logits(
                z[:, 0],
                y.to(logits.dtype),
                weight=torch.where(y == 0, of_classes[0], 1.0),
                pos_weight=of_classes[1],
                reduction="none",
            )
        else:
            loss = F.cross_entropy(z, y, weight=of_classes, reduction="none")
        s = torch.ones(len(y)) if sample_weight is None else sample_weight[seen]
        mean = (s * loss).sum() / s.sum()
        total = total + (1.0 if task_weight is None else task_weight[t]) * mean
    return total


class Pairs(Dataset):
    """Samples one by one, with their labels or without."""

    def __init__(self, X, Y=None):
        self.X, self.Y = X, Y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] if self.Y is None else (self.X[i], self.Y[i])
