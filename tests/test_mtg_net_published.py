"""MTG-Net as its authors have it: their network, how they train it, which epochs they average."""

import copy
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skgroup import MultiTaskNet
from skgroup.selection import MTGNetGrouping
from skgroup.selection.gains import MTGNet, all_groups


@pytest.fixture
def table():
    masks = all_groups(4)
    gains = 0.1 * np.random.RandomState(0).normal(size=masks.shape)
    return masks, np.where(masks, gains, np.nan)


class Layer(nn.Module):
    """An encoder layer of the published network with one head, absent tasks and all."""

    def __init__(self, dim):
        super().__init__()
        self.query, self.key, self.value, self.mix = (nn.Linear(dim, dim) for _ in range(4))
        self.widen, self.narrow = (nn.Conv1d(dim, dim, 1) for _ in range(2))
        self.mix_norm, self.narrow_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, h, present):
        logits = torch.bmm(self.query(h), self.key(h).transpose(1, 2)) * h.shape[2] ** -0.5
        both = present[:, :, None] & present[:, None, :]
        share = torch.softmax(logits.masked_fill(~both, -1e7) / 0.2, dim=2)
        h = self.mix_norm(h + self.mix(torch.bmm(share, self.value(h))))
        wide = torch.relu(self.widen(h.transpose(1, 2)))
        return self.narrow_norm(h + self.narrow(wide).transpose(1, 2))


class Published(nn.Module):
    """The published network: a gain a task from the tasks of a group."""

    def __init__(self, n_tasks, dim, n_layers):
        super().__init__()
        self.embedding = nn.Embedding(n_tasks, dim)
        self.layers = nn.ModuleList(Layer(dim) for _ in range(n_layers))
        self.head = nn.Linear(dim, 1)

    def forward(self, present):
        h = self.embedding(torch.arange(present.shape[1]).expand(present.shape))
        for layer in self.layers:
            h = layer(h, present)
        return self.head(h)[:, :, 0]


def transcribed(fitted, k=0):
    """The published network with the weights of net `k` of a fitted stack."""
    weights = {name: p[k] for name, p in fitted.module_.state_dict().items()}
    n_tasks, dim = weights["embedding"].shape
    net = Published(n_tasks, dim, fitted.n_layers)
    copied = {"embedding.weight": weights.pop("embedding")}
    for name, p in weights.items():
        name = name.replace("blocks", "layers")
        kind = "bias" if name.endswith("_bias") else "weight"
        name = f"{name.removesuffix('_bias')}.{kind}"
        copied[name] = p.T.reshape(net.state_dict()[name].shape)
    net.load_state_dict(copied)  # all of them, and no other
    return net


def predict(nets, masks, order):
    gains = np.full(masks.shape, np.nan)
    present = torch.from_numpy(masks[:, order])
    with torch.no_grad():
        gains[:, order] = torch.stack([net(present) for net in nets]).mean(dim=0)
    return np.where(masks, gains, np.nan)


def train(net, masks, gains, patience=5, max_epochs=10_000):
    """As the authors train; the nets after each epoch, and its loss before the step."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.007, weight_decay=0.0005)
    nets, losses, lowest, waited = [], [], np.inf, 0
    while len(losses) < max_epochs:
        optimizer.zero_grad()
        loss = nn.L1Loss()(net(masks)[masks], gains[masks])
        loss.backward()
        optimizer.step()
        nets.append(copy.deepcopy(net))
        losses.append(loss.item())
        waited = 0 if losses[-1] < lowest else waited + 1
        lowest = min(lowest, losses[-1])
        if waited == patience:
            break
    return nets, losses


@pytest.mark.parametrize(("n_layers", "n_nets"), [(2, 1), (1, 3)])
def test_the_published_network_equals_a_literal_transcription(table, n_layers, n_nets):
    masks, gains = table
    net = MTGNet.published(8, n_layers=n_layers, n_nets=n_nets, max_epochs=4, random_state=0)
    net.set_params(n_best_epochs=None).fit(masks[:9], gains[:9])
    nets = [transcribed(net, k) for k in range(n_nets)]
    expected = predict(nets, masks, net.task_order_)
    np.testing.assert_allclose(net.predict(masks), expected, rtol=0, atol=1e-6)


def test_the_published_recipe_equals_a_literal_transcription(table):
    masks, gains = table
    net = MTGNet.published(8, n_nets=4, random_state=0).fit(masks, gains)
    start = clone(net).set_params(n_best_epochs=None, max_epochs=1, lr=1e-12).fit(masks, gains)
    order = net.task_order_
    present = torch.from_numpy(masks[:, order])
    target = torch.from_numpy(gains[:, order]).float()
    best, n_epochs = [], []
    for k in range(4):
        nets, losses = train(transcribed(start, k), present, target)
        seen = net.train_loss_[: len(losses), k]
        np.testing.assert_allclose(seen, losses, rtol=1e-3)
        assert np.isnan(net.train_loss_[len(losses) :, k]).all()
        n_epochs.append(len(losses))
        best += [nets[epoch] for epoch in np.argsort(losses)[:2]]
    assert len(set(n_epochs)) > 1  # each net of a stack stops at its own time
    assert net.train_loss_.shape == (max(n_epochs), 4)
    expected = predict(best, masks, order)
    np.testing.assert_allclose(net.predict(masks), expected, rtol=0, atol=1e-4)
    assert net.scale_ == 1


def test_first_weights_are_drawn_as_torch_draws_them(table):
    net = MTGNet.published(16, n_nets=100, n_best_epochs=None, max_epochs=1, lr=1e-12)
    net.set_params(random_state=0).fit(*table)
    ours = [transcribed(net, k).state_dict() for k in range(100)]
    torch.manual_seed(0)
    theirs = [Published(4, 16, 2).state_dict() for _ in range(100)]
    for name in ours[0]:
        a, b = (np.stack([weights[name] for weights in each]) for each in (ours, theirs))
        assert a.mean() == pytest.approx(b.mean(), abs=0.1), name
        assert a.std() == pytest.approx(b.std(), rel=0.15, abs=1e-6), name


def test_the_best_epochs_are_averaged_and_the_last_is_used_without(table):
    # The plain network too, with dropout: epochs trained are the same, whichever count.
    net = MTGNet(8, n_nets=2, max_epochs=12, random_state=0)
    after = [clone(net).set_params(max_epochs=n).fit(*table) for n in range(1, 13)]
    stacks = np.array([each.module_(torch.from_numpy(table[0])).detach() for each in after])
    loss = after[-1].train_loss_
    best = np.argsort(loss, axis=0)[:3]
    picked = np.stack([stacks[best[:, k], k] for k in range(2)]).mean(axis=(0, 1))
    averaged = clone(net).set_params(n_best_epochs=3).fit(*table)
    np.testing.assert_array_equal(averaged.train_loss_, loss)
    order = averaged.task_order_
    predicted = averaged.predict(table[0][:, np.argsort(order)])[:, order] / averaged.scale_
    np.testing.assert_allclose(predicted[table[0]], picked[table[0]], rtol=0, atol=1e-6)
    last = clone(net).fit(*table).module_(torch.from_numpy(table[0]))
    np.testing.assert_array_equal(last.detach(), stacks[-1])


def test_patience_is_about_epochs_without_a_lower_loss(table):
    net = MTGNet(8, n_nets=3, patience=2, max_epochs=200, random_state=0).fit(*table)
    for loss in net.train_loss_.T:
        loss = loss[~np.isnan(loss)]
        falls = loss < np.minimum.accumulate(np.r_[np.inf, loss[:-1]])
        assert not falls[-2:].any()
        assert (falls[:-2] | falls[1:-1])[1:].all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_best_epochs": 7}, "'n_best_epochs' parameter of MTGNet must be at most patience + 1"),
        ({"max_epochs": 1}, "'n_best_epochs' parameter of MTGNet must be at most max_epochs = 1"),
        ({"network": "authors"}, "The 'network' parameter of MTGNet must be"),
        ({"weight_decay": -1}, "The 'weight_decay' parameter of MTGNet must be"),
        ({"lr": 1e30}, "The training of MTGNet has diverged"),
    ],
)
def test_what_cannot_be_is_refused(table, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MTGNet.published(8, **params).fit(*table)


def test_groups_are_found_by_it():
    X = np.random.RandomState(0).normal(size=(60, 4)).astype(np.float32)
    Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0]).astype(int)
    net = MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=2)
    predictor = MTGNet.published(8, max_epochs=10)
    found = MTGNetGrouping(net, 2, groups_per_task=1, predictor=predictor, random_state=0)
    found.fit(X, Y)
    assert found.predictor_.network == "published"
    known, measured = found.gains_.masks_, found.gains_.gains_
    alone = clone(predictor).set_params(random_state=0).fit(known, measured)
    np.testing.assert_array_equal(alone.predict(known), found.predictor_.predict(known))
