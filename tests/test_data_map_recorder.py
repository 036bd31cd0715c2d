"""The recorder of data maps, against a literal transcription of the definition.

What the training steps computed is collected here a second time: by the module itself, which keeps
the logits of every forward pass in train mode, and by a callback that keeps whose they were.
"""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skgroup import MultiTaskNet, TaskGrouper
from skgroup._random import draw_seeds
from skgroup.training.data_map import DataMapRecorder


class Witness(nn.Module):
    """Dropout and batch normalisation make train mode differ from evaluation mode."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.4),
            nn.Linear(16, n_outputs),
        )
        self.passes = []

    def forward(self, x):
        logits = self.layers(x)
        if self.training:
            self.passes.append(logits.detach().double().numpy().copy())
        return logits


class Whose(Callback):
    """Keeps which samples, by position in `X`, stood in each training batch of each epoch."""

    def on_train_begin(self, net, **kwargs):
        self.epochs_ = []

    def on_epoch_begin(self, net, **kwargs):
        self.epochs_.append([])

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.epochs_[-1].append(batch[1]["index"].numpy().copy())


class Snapshots:
    """Copies what the recorder hands out."""

    def __init__(self):
        self.maps = {}

    def __call__(self, epoch, mean, std):
        assert epoch not in self.maps
        self.maps[epoch] = mean.numpy().copy(), std.numpy().copy()


def _record(net, X, Y, snapshot_epochs):
    """Train with a recorder; what it handed out, and the fitted net."""
    snapshots = Snapshots()
    data = net._check_data(X, Y, None)
    net.seed_ = draw_seeds(net.random_state, 1)[0]
    net._prepare(data)
    net._train(data, extra_callbacks=[DataMapRecorder(snapshot_epochs, snapshots)])
    return snapshots.maps, net


def _net(whose, **params):
    defaults = {"max_epochs": 5, "lr": 0.05, "batch_size": 50, "random_state": 0}
    return MultiTaskNet.stg_mtl(Witness, callbacks=[("whose", whose)], **{**defaults, **params})


def _probability(logits, task_codes, n_logits):
    """Of the true label, of one sample and task; Σ_k p_k² where it is missing."""
    if n_logits == 1:
        positive = 1 / (1 + np.exp(-logits[0]))
        p = np.array([1 - positive, positive])
    else:
        p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return p[task_codes] if task_codes >= 0 else (p**2).sum()


def _confidence(prediction, number):
    """Of a regression task, both in standard deviations from the mean; NaN where it is missing."""
    ours, theirs = (1 / (1 + np.exp(-2 * np.pi / np.sqrt(3) * z)) for z in (prediction, number))
    return (1 - abs(ours - theirs)) ** 3


def _history(net, codes, values=None):
    """p[epoch][sample] = probabilities of the tasks, of the samples that the epoch visited."""
    passes, starts = iter(net.module_.passes), np.cumsum([0, *net.task_outputs_])
    history = []
    for batches in dict(net.callbacks_)["whose"].epochs_:
        seen = {}
        for batch in batches:
            for i, z in zip(batch, next(passes), strict=True):
                seen[i] = [
                    _confidence(z[starts[t]], values[i, t])
                    if net.task_types_[t] == "regression"
                    else _probability(z[starts[t] : starts[t + 1]], codes[i, t], k)
                    for t, k in enumerate(net.task_outputs_)
                ]
        # What is left is NaN of regression tasks: the mean of the epoch stands in.
        mean = np.nanmean(list(seen.values()), axis=0)
        history.append({i: np.where(np.isnan(p), mean, p) for i, p in seen.items()})
    assert next(passes, None) is None
    return history


def _literal_maps(history, n_samples, n_tasks, epoch):
    """μ and σ over the epochs 1 to `epoch` that visited a sample; zero if none did."""
    mean, std = np.zeros((2, n_samples, n_tasks))
    for i in range(n_samples):
        p = np.array([seen[i] for seen in history[:epoch] if i in seen])
        if len(p):
            mean[i] = p.sum(axis=0) / len(p)
            std[i] = np.sqrt(((p - mean[i]) ** 2).sum(axis=0) / len(p))
    return mean, std


def assert_literal_maps(maps, net, codes, values=None):
    """Every snapshot equals the transcription of the definition."""
    history = _history(net, codes, values)
    for epoch, (mean, std) in maps.items():
        expected_mean, expected_std = _literal_maps(history, *codes.shape, epoch)
        np.testing.assert_allclose(mean, expected_mean, atol=1e-6)
        np.testing.assert_allclose(std, expected_std, atol=1e-6)


@pytest.fixture(scope="module")
def binary(digits):
    return digits[0][:130], digits[1][:130]


@pytest.fixture(scope="module")
def mixed(digits):
    """A binary task, and tasks of 5 and 3 classes."""
    digit = digits[1][:130, :10].argmax(axis=1)
    return digits[0][:130], np.column_stack([digit > 4, digit // 2, digit % 3]).astype(float)


@pytest.mark.parametrize("snapshot_epochs", [range(1, 6), [2, 5], [3]], ids=str)
def test_maps_of_binary_tasks_equal_the_definition(binary, snapshot_epochs):
    X, Y = binary
    maps, net = _record(_net(Whose()), X, Y, snapshot_epochs)
    assert list(maps) == list(snapshot_epochs)
    assert_literal_maps(maps, net, Y)


def test_maps_of_mixed_tasks_equal_the_definition(mixed):
    X, Y = mixed
    maps, net = _record(_net(Whose()), X, Y, [1, 3, 5])
    assert net.task_outputs_ == (1, 5, 3)
    assert_literal_maps(maps, net, Y.astype(int))


@pytest.mark.parametrize("kind", ["binary", "mixed"])
def test_expected_probability_stands_in_for_missing_labels(kind, request):
    X, Y = request.getfixturevalue(kind)
    hidden = np.random.default_rng(0).random(Y.shape) < 0.3
    maps, net = _record(_net(Whose()), X, np.where(hidden, np.nan, Y), [1, 4, 5])
    assert_literal_maps(maps, net, np.where(hidden, -1, Y).astype(int))


@pytest.mark.parametrize("numbers", [[1, 3], [0, 1, 2, 3]], ids=["mixed", "numbers"])
@pytest.mark.parametrize("hidden", [0.0, 0.3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_maps_of_numbers_equal_the_definition(mixed, numbers, hidden, drop_last):
    rng = np.random.default_rng(0)
    X, Y = mixed
    Y = np.column_stack([Y, X[:, 20]])
    Y[:, numbers] = 1e4 + 50 * (Y[:, numbers] + rng.normal(size=(130, len(numbers))))
    Y[rng.random(Y.shape) < hidden] = np.nan
    net = _net(Whose(), iterator_train__drop_last=drop_last)  # 100 of the 130 an epoch
    maps, net = _record(net, X, Y, [1, 4, 5])
    assert [t for t, kind in enumerate(net.task_types_) if kind == "regression"] == numbers
    standardised = (Y - np.nanmean(Y, axis=0)) / np.nanstd(Y, axis=0)
    assert_literal_maps(maps, net, np.nan_to_num(Y, nan=-1).astype(int), standardised)


def test_maps_are_those_of_train_mode_before_the_update(binary):
    """Dropout and the update do matter here, so the equalities above say something."""
    X, Y = binary
    maps, net = _record(_net(Whose(), max_epochs=1, batch_size=-1), X, Y, [1])
    p = net.predict_proba(X)
    after_in_evaluation_mode = np.where(Y == 1, p, 1 - p)
    assert np.abs(maps[1][0] - after_in_evaluation_mode).max() > 0.1


def test_recording_does_not_change_training(binary):
    X, Y = binary
    recorded = _record(_net(Whose()), X, Y, range(1, 6))[1]
    plain = _net(Whose()).fit(X, Y)
    np.testing.assert_array_equal(recorded.predict_proba(X), plain.predict_proba(X))
    assert len(recorded.module_.passes) == len(plain.module_.passes) == 15  # no further pass


def test_variability_is_zero_after_one_epoch(binary):
    X, Y = binary
    maps, _ = _record(_net(Whose(), max_epochs=1), X, Y, [1])
    mean, std = maps[1]
    np.testing.assert_array_equal(std, 0)
    assert ((mean > 0) & (mean < 1)).all()


def test_variability_of_steady_probabilities_is_zero(binary):
    """The sum of squares does not cancel: a net that hardly learns hardly varies."""
    X, Y = binary
    net = MultiTaskNet.stg_mtl(
        module__hidden_units=(8,), lr=1e-12, max_epochs=20, batch_size=-1, random_state=0
    )
    maps, _ = _record(net, X, Y, [20])
    assert maps[20][1].max() < 1e-6


def test_maps_follow_the_samples_and_not_their_order_in_batches(binary):
    X, Y = binary
    maps, net = _record(_net(Whose(), iterator_train__shuffle=False), X, Y, [5])
    assert_literal_maps(maps, net, Y)
    for batches in dict(net.callbacks_)["whose"].epochs_:
        np.testing.assert_array_equal(np.concatenate(batches), np.arange(130))


def test_early_stop_hands_out_the_last_epoch(binary):
    X, Y = binary
    stop = EarlyStopping("train_loss", patience=1, threshold=10, threshold_mode="abs")
    net = MultiTaskNet.stg_mtl(
        Witness,
        max_epochs=9,
        batch_size=50,
        callbacks=[("stop", stop), ("whose", Whose())],
        random_state=0,
    )
    maps, net = _record(net, X, Y, [1, 9])
    assert list(maps) == [1, len(net.history_)]
    assert 1 < len(net.history_) < 9
    assert_literal_maps(maps, net, Y)


def test_nothing_is_handed_out_twice(binary):
    X, Y = binary
    maps, _ = _record(_net(Whose(), max_epochs=3), X, Y, [3])  # Snapshots asserts the rest
    assert list(maps) == [3]


def test_dropped_last_batches_count_in_the_epochs_that_visited_the_sample(binary):
    X, Y = binary
    net = _net(Whose(), iterator_train__drop_last=True)  # 100 of the 130 an epoch
    maps, net = _record(net, X, Y, range(1, 6))
    history = _history(net, Y)
    visits = np.array([sum(i in seen for seen in history) for i in range(130)])
    assert len(set(visits)) > 2
    assert_literal_maps(maps, net, Y)
    unvisited = np.array([i not in history[0] for i in range(130)])
    assert unvisited.sum() == 30
    np.testing.assert_array_equal(maps[1][0][unvisited], 0)
    np.testing.assert_array_equal(maps[1][1][unvisited], 0)


@pytest.mark.parametrize("missing", [False, True])
def test_samples_kept_for_validation_are_zero(binary, missing):
    X, Y = binary
    hidden = np.random.default_rng(0).random(Y.shape) < 0.3 * missing
    net = _net(Whose(), train_split=ValidSplit(5))
    maps, net = _record(net, X, np.where(hidden, np.nan, Y), [2, 5])
    assert_literal_maps(maps, net, np.where(hidden, -1, Y).astype(int))
    for mean, std in maps.values():
        np.testing.assert_array_equal(mean[:26], 0)
        np.testing.assert_array_equal(std[:26], 0)
        assert (mean[26:] > 0).all()


def test_same_seed_same_maps_bitwise(binary):
    X, Y = binary
    runs = []
    for _ in range(2):
        torch.manual_seed(len(runs))
        runs.append(_record(_net(Whose()), X, Y, [5])[0][5])
    np.testing.assert_array_equal(*runs)


def test_recorder_can_be_used_again(binary):
    X, Y = binary
    snapshots = Snapshots()
    recorder = DataMapRecorder([5], snapshots)
    net = _net(Whose(), callbacks__whose=None)
    runs = []
    for n_samples in (130, 90):
        net.set_params(callbacks=[recorder]).fit(X[:n_samples], Y[:n_samples])
        runs.append(snapshots.maps.pop(5))
    assert [mean.shape for mean, _ in runs] == [(130, 15), (90, 15)]
    fresh, _ = _record(_net(Whose()), X[:90], Y[:90], [5])
    np.testing.assert_array_equal(runs[1], fresh[5])


def test_maps_of_a_net_that_gives_probabilities_hold_its_probabilities():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    Y = np.column_stack([X[:, 0] > 0, rng.integers(3, size=60)]).astype(int)

    class Probabilities(torch.nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.layers = torch.nn.Linear(n_features, n_outputs)

        def forward(self, x):
            z = self.layers(x)
            return torch.cat([torch.sigmoid(z[:, :1]), torch.softmax(z[:, 1:], dim=1)], dim=1)

    class Likelihood(torch.nn.Module):
        def forward(self, p, target):
            codes = target["codes"].long()
            first = torch.where(codes[:, 0] == 1, p[:, 0], 1 - p[:, 0])
            return -(first.log() + p[:, 1:].gather(1, codes[:, 1:])[:, 0].log()).mean()

    net = MultiTaskNet.stg_mtl(
        Probabilities, criterion=Likelihood, predict_nonlinearity=None, max_epochs=1
    )
    net.set_params(batch_size=-1, lr=1e-30, random_state=0)  # the weights stay as they were
    grouper = TaskGrouper(net).fit(X, Y)
    proba = grouper.estimator_.predict_proba(X)
    true = [p[np.arange(60), Y[:, t]] for t, p in enumerate(proba)]
    np.testing.assert_allclose(grouper.data_map_[:, 0, :, 0], true, rtol=1e-4)
