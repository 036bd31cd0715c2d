"""Which parameters of a module all tasks share, as affinities ask it."""

import re

import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from skgroup import MultiTaskNet
from skgroup.relations import (
    GradientCosineAffinity,
    InterTaskAffinity,
)
from skgroup.relations._affinity import TaskProbe

pd = pytest.importorskip("pandas")


class Unnamed(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 4), nn.ReLU(), nn.Linear(4, n_outputs))

    def forward(self, x):
        return self.layers(x)


class Listed(Unnamed):
    @property
    def shared_parameters(self):
        return list(self.layers[0].parameters())


class Foreign(Unnamed):
    shared_parameters = [nn.Parameter(torch.zeros(2))]  # noqa: RUF012


class Nothing(Unnamed):
    def shared_parameters(self):
        return []


class Words(Unnamed):
    shared_parameters = ("layers.0.weight",)


class Frozen(Listed):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layers[0].requires_grad_(False)


@pytest.mark.parametrize("make", [InterTaskAffinity, GradientCosineAffinity])
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Unnamed, "Unnamed has neither."),
        (Foreign, "Got 1 that are not all parameters of Foreign."),
        (Nothing, "Got 0 that are not all parameters of Nothing."),
        (Words, "Got ['layers.0.weight']."),
        (Frozen, "Frozen has no shared parameter that is trained."),
    ],
)
def test_unknown_shared_parameters_are_an_error_before_training(digits, make, module, message):
    X, Y = digits

    class Unreached(Callback):
        def on_train_begin(self, net, **kwargs):
            raise AssertionError("training began")

    rule = f"The module {module.__name__} must name the parameters that all tasks share"
    with pytest.raises(ValueError, match=rule) as error:
        make(MultiTaskNet.stg_mtl(module, callbacks=[Unreached()])).fit(X, Y)
    assert str(error.value).endswith(message)


def test_a_list_of_shared_parameters_and_frozen_ones(partly_labelled):
    X, Y = partly_labelled
    net = MultiTaskNet.stg_mtl(Listed, max_epochs=1, random_state=0)
    data = net._check_data(X, Y, None)
    net._prepare(data, seed=0)
    assert list(TaskProbe(net).shared) == ["module.layers.0.weight", "module.layers.0.bias"]
    net.module_.layers[0].bias.requires_grad_(False)
    assert list(TaskProbe(net).shared) == ["module.layers.0.weight"]


def test_no_hidden_layer_and_no_loss_a_task_are_errors(digits):
    with pytest.raises(ValueError, match="MLP has no shared parameter that is trained"):
        InterTaskAffinity(MultiTaskNet.stg_mtl(module__hidden_units=())).fit(*digits)

    class Total(nn.Module):
        def forward(self, logits, target):
            return F.binary_cross_entropy_with_logits(logits, target["codes"].float())

    with pytest.raises(ValueError, match="'criterion' parameter of the estimator must be Multi"):
        InterTaskAffinity(MultiTaskNet.stg_mtl(criterion=Total)).fit(*digits)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"every": 0}, "The 'every' parameter of InterTaskAffinity must be an int in the range"),
        ({"method": "exact"}, "The 'method' parameter of InterTaskAffinity must be a str among"),
        ({"momentum": 1.0}, "The 'momentum' parameter of InterTaskAffinity must be a float in"),
        ({"max_memory": 0}, "The 'max_memory' parameter of InterTaskAffinity must be an int"),
        ({"scale_by_lr": "yes"}, "The 'scale_by_lr' parameter of InterTaskAffinity must be an"),
        ({"estimator": 1}, "The 'estimator' parameter of InterTaskAffinity must be an instance"),
    ],
)
def test_wrong_parameters_are_named(digits, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        InterTaskAffinity(**params).fit(*digits)
