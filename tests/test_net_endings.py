"""How training of a MultiTaskNet ends: early, interrupted, refused or half-way by an error."""

import copy
import os
import signal

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, Checkpoint, LoadInitState

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 0]).astype(int)


def net(**params):
    defaults = {"module__hidden_units": (4,), "max_epochs": 4, "batch_size": 16, "random_state": 0}
    return MultiTaskNet(**{**defaults, **params})


def ctrl_c(net):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10**6):  # a signal is handled between two instructions
        pass


def stop(net):
    raise KeyboardInterrupt


class At(Callback):
    """Does something in the second epoch, at a hook."""

    def __init__(self, hook, what):
        self.hook, self.what, self.n_ends, self.done = hook, what, 0, False
        if hook != "on_train_end":
            setattr(self, hook, self._act)

    def _act(self, net, **kwargs):
        if self.hook == "on_train_begin" or len(net.history_) == 2:
            self._act_once(net)

    def _act_once(self, net):
        if not self.done:
            self.done = True
            self.what(net)

    def on_train_end(self, net, **kwargs):
        self.n_ends += 1
        if self.hook == "on_train_end":
            self._act_once(net)

    def on_batch_begin(self, net, **kwargs):
        pass

    def on_batch_end(self, net, **kwargs):
        pass

    def on_grad_computed(self, net, **kwargs):
        pass


class StopsAtOnce(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


HOOKS = [
    "on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_grad_computed",
    "on_epoch_end", "on_train_end",
]  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_a_callback_that_raises_an_interruption_ends_training_normally(hook, method):
    at = At(hook, stop)
    fitted = net(callbacks=[at])
    assert getattr(fitted, method)(X, Y) is fitted
    assert at.n_ends == 1
    assert len(fitted.history) == {"on_train_begin": 0, "on_train_end": 4}.get(hook, 2)
    assert fitted.predict(X).shape == Y.shape


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_an_interruption_is_raised_and_the_net_keeps_what_it_learned(hook, method):
    before = net(max_epochs=1, lr=1e-9).fit(X, Y).predict_proba(X)
    fitted = net(callbacks=[At(hook, ctrl_c)])
    with pytest.raises(KeyboardInterrupt):
        getattr(fitted, method)(X, Y)
    learned = fitted.predict_proba(X)
    if hook != "on_train_begin":
        assert np.abs(learned - before).max() > 1e-4
        assert np.isfinite(fitted.history[0, "train_loss"])
    fitted.set_params(callbacks=None).partial_fit(X, Y)
    assert np.isfinite(fitted.history[-1, "train_loss"])
    assert len(fitted.fit(X, Y).history) == 4


def test_nets_whose_printing_stops_them_are_no_stack():
    """Each ends for itself, as skorch's callbacks ask for."""
    estimator = net(callbacks__print_log=StopsAtOnce())
    specialists = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    fitted = GroupedMTLClassifier(estimator, np.array(specialists)).fit(X, Y)
    assert [len(one.history) for one in fitted.candidates_] == [1, 1]


class Breaks(MLP):
    """Raises in its training step of a number."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features=n_features, n_outputs=n_outputs, hidden_units=(4,))
        self.steps_left = None

    def forward(self, x):
        if torch.is_grad_enabled() and self.training and self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left == 0:
                raise RuntimeError("broken")
        return super().forward(x)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "warm_start"])
def test_a_net_is_after_an_error_in_training_as_it_was_before(method):
    fitted = MultiTaskNet(Breaks, max_epochs=2, batch_size=16, lr=0.1, random_state=0).fit(X, Y)
    expected, history = fitted.predict_proba(X), copy.deepcopy(list(fitted.history))
    fitted.set_params(lr=0.1, warm_start=method == "warm_start")
    if method == "fit":
        fitted.set_params(lr=1e30)
    else:
        fitted.module_.steps_left = 6
    with pytest.raises((RuntimeError, ValueError), match=r"broken|not finite"):
        (fitted.partial_fit if method == "partial_fit" else fitted.fit)(
            X * (1e20 if method == "fit" else 1), Y
        )
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert list(fitted.history) == history


@pytest.mark.parametrize(
    ("method", "X_bad", "Y_bad"),
    [
        ("fit", X[:, :3], Y * 1.5),
        ("fit", X[:, :3], Y[:50]),
        ("partial_fit", X, Y[:, :2]),
        ("partial_fit", X[:, :3], Y),
    ],
)
def test_a_refused_fit_leaves_the_net_as_it_was(method, X_bad, Y_bad):
    fitted = net().fit(X, Y)
    expected, before = fitted.predict_proba(X), vars(fitted).copy()
    with pytest.raises(ValueError, match=r"Y|y|X"):
        getattr(fitted, method)(X_bad, Y_bad)
    assert vars(fitted).keys() == before.keys()
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)


def test_a_net_whose_only_fit_is_refused_is_not_fitted():
    refused = net()
    before = set(vars(refused))
    with pytest.raises(ValueError, match="module"):
        refused.set_params(module__n_outputs=7).fit(X, Y)
    assert not refused.__sklearn_is_fitted__()
    assert set(vars(refused)) - {"module__n_outputs"} == before - {"module__n_outputs"}


def test_training_that_goes_on_from_a_checkpoint_does_not_repeat_the_order(tmp_path):
    class Order(Callback):
        def on_train_begin(self, net, **kwargs):
            self.seen = []

        def on_batch_end(self, net, batch=None, training=False, **kwargs):
            if training:
                self.seen += batch[1]["index"].tolist()

    first, second = Order(), Order()
    checkpoint = Checkpoint(dirname=str(tmp_path), monitor=None)
    net(max_epochs=1, callbacks=[checkpoint, first]).fit(X, Y)
    loaded = net(max_epochs=1, callbacks=[LoadInitState(checkpoint), second]).fit(X, Y)
    assert len(loaded.history) == 2
    assert sorted(first.seen) == sorted(second.seen)
    assert first.seen != second.seen
