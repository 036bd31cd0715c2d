"""The torch modules."""

import re

import pytest
import torch
from torch import nn

from skgroup.nn import MLP, Dropout, LinearHeads, SmallCNN


def _n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_small_cnn_has_the_published_number_of_parameters():
    assert _n_parameters(SmallCNN(n_outputs=100)) == 472_612


def test_small_cnn_equals_the_published_description():
    torch.manual_seed(0)
    net = SmallCNN(n_outputs=7).eval()
    described = nn.Sequential(
        nn.Conv2d(3, 32, 5),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 128),
        nn.ReLU(),
        nn.Linear(128, 7),
    ).eval()
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), described.parameters(), strict=True):
            theirs.copy_(mine)
        x = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(net(x), described(x))


def test_small_cnn_drops_units_before_both_linear_layers_in_training_only():
    net = SmallCNN(n_outputs=4, dropout=1.0)
    x = torch.randn(3, 3, 32, 32)
    expected = net.heads.bias.expand(3, 4)  # all that the heads are given is zero
    torch.testing.assert_close(net.train()(x), expected)
    assert not torch.allclose(net.eval()(x), expected)
    layers = list(net.trunk)
    dropouts = [i for i, layer in enumerate(layers) if isinstance(layer, Dropout)]
    assert len(dropouts) == 2
    assert isinstance(layers[dropouts[0] + 1], nn.Linear)
    assert dropouts[1] == len(layers) - 1
    assert SmallCNN(n_outputs=4).trunk[dropouts[0]].p == 0.2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (2, 9, 15), (4, 33, 12)])
def test_small_cnn_takes_images_of_any_size_from_8(shape):
    assert SmallCNN(n_outputs=5, input_shape=shape)(torch.zeros(2, *shape)).shape == (2, 5)


@pytest.mark.parametrize("shape", [(64,), (8, 8), (3, 7, 8), (3, 8, 7), (1, 3, 8, 8)])
def test_small_cnn_refuses_what_is_no_image(shape):
    message = (
        "SmallCNN needs images: input_shape must be (channels, height, width) with height and "
        f"width >= 8. Got {shape}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SmallCNN(n_outputs=2, input_shape=shape)


def test_mlp_equals_its_description():
    torch.manual_seed(0)
    net = MLP(n_outputs=3, n_features=5, hidden_units=(4, 2), activation=nn.Tanh)
    x = torch.randn(6, 5)
    (w1, b1, w2, b2, w3, b3) = net.parameters()
    expected = torch.tanh(torch.tanh(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(net(x), expected)


def test_mlp_defaults_and_size():
    assert _n_parameters(MLP(n_outputs=15, n_features=64)) == 65 * 128 + 129 * 64 + 65 * 15


def test_mlp_without_hidden_units_is_linear():
    net = MLP(n_outputs=3, n_features=5, hidden_units=())
    x = torch.randn(4, 5)
    torch.testing.assert_close(net(x), x @ net.heads.weight.T + net.heads.bias)


def test_mlp_flattens_samples_of_any_shape():
    torch.manual_seed(0)
    net = MLP(n_outputs=2, input_shape=(3, 4, 4))
    x = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(net(x), net(x.flatten(1)))


def test_mlp_drops_units_in_training_only():
    net = MLP(n_outputs=2, n_features=3, dropout=1.0)
    x = torch.randn(5, 3)
    torch.testing.assert_close(net.train()(x), net.heads.bias.expand(5, 2))
    assert not torch.allclose(net.eval()(x), net.heads.bias.expand(5, 2))
    assert not any(isinstance(part, nn.Dropout) for part in MLP(2, 3).modules())


def test_mlp_needs_a_size():
    with pytest.raises(ValueError, match=r"^MLP needs n_features or input_shape\. Got neither\.$"):
        MLP(n_outputs=2)


@pytest.mark.parametrize("units", [(4, 0), 0, "64", 2.5])
def test_mlp_refuses_widths_below_one(units):
    message = f"hidden_units must be ints >= 1. Got {units!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MLP(n_outputs=2, n_features=3, hidden_units=units)


def test_mlp_takes_an_int_for_one_layer():
    assert MLP(n_outputs=2, n_features=3, hidden_units=64).trunk[1].out_features == 64


@pytest.mark.parametrize("bias", [True, False])
def test_heads_give_the_weights_of_some_tasks(bias):
    heads, of_two = LinearHeads(4, 5, bias=bias), LinearHeads(4, 3, bias=bias)
    outputs = torch.tensor([3, 0, 1])  # of a binary task and of one of two logits
    of_two.load_state_dict(heads.weights_of_tasks(torch.tensor([2, 0]), outputs))
    x = torch.randn(2, 4)
    torch.testing.assert_close(of_two(x), heads(x)[:, outputs])
    assert all(p.is_leaf and p.requires_grad for p in of_two.parameters())
