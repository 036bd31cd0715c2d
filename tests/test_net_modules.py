"""`MultiTaskNet`: modules of the user's, devices, and the contract of estimators."""

import copy
import pickle
import re
from contextlib import suppress

import joblib
import numpy as np
import pytest
import torch
from netting import (
    Linear,
    TrainingSteps,
    hide,
    refuses,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.dataset import ValidSplit
from torch import nn

from skgroup import MultiTaskNet
from skgroup._random import draw_seeds, local_seed

# -- modules --------------------------------------------------------------------------------------


class Heads(nn.Module):
    """One tensor a task; those of binary tasks flat if `flat`."""

    def __init__(self, n_features, task_outputs, flat=False):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(n_features, k) for k in task_outputs)
        self.flat = flat

    def forward(self, x):
        outputs = [head(x) for head in self.heads]
        return [o[:, 0] if self.flat and o.shape[1] == 1 else o for o in outputs]


@pytest.mark.parametrize("flat", [False, True])
def test_list_of_outputs_equals_one_tensor(mixed, flat):
    X, Y = mixed

    class Joined(Heads):
        def forward(self, x):
            return torch.cat([head(x) for head in self.heads], dim=1)

    params = {"max_epochs": 2, "random_state": 0}
    listed = MultiTaskNet.stg_mtl(Heads, module__flat=flat, **params).fit(X, Y)
    joined = MultiTaskNet.stg_mtl(Joined, **params).fit(X, Y)
    for p, q in zip(listed.predict_proba(X), joined.predict_proba(X), strict=True):
        np.testing.assert_array_equal(p, q)


class Misfit(nn.Module):
    """Returns what it is told to, whatever the tasks are."""

    trained = 0

    def __init__(self, output):
        super().__init__()
        self.layer = nn.Linear(64, 1)
        self.output = output

    def forward(self, x):
        type(self).trained += self.training
        return self.output(self.layer(x))


_LOGITS = (
    "The module Misfit must return logits of shape (batch, n_outputs) = (2, 10) for the 4 tasks "
    "to learn, or (batch, n_members, n_outputs). Got shape {}."
)


_LISTS = (
    "The module Misfit must return a list of tensors a task, of shape (batch, 1) or (batch,) for a "
    "binary task and (batch, k) for k classes: [(2, 1), (2, 3), (2, 1), (2, 5)]; or of as many "
    "members for each task, (batch, n_members, k). Got {}."
)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda z: z.expand(-1, 9), _LOGITS.format((2, 9))),
        (lambda z: z[:, 0], _LOGITS.format((2,))),
        (lambda z: z.expand(2, 10)[:1], _LOGITS.format((1, 10))),
        (lambda z: z[..., None].expand(-1, 10, 1), _LOGITS.format((2, 10, 1))),
        (lambda z: [z, z], _LISTS.format([(2, 1), (2, 1)])),
        (
            lambda z: (z, z.expand(-1, 3), z, z.expand(-1, 4)),
            _LISTS.format([(2, 1), (2, 3), (2, 1), (2, 4)]),
        ),
        (
            lambda z: [z[..., None], z.expand(-1, 3), z[:, 0], z.expand(-1, 5)],
            _LISTS.format([(2, 1, 1), (2, 3), (2,), (2, 5)]),
        ),
        (
            lambda z: [z[:1], z.expand(-1, 3), z, z.expand(-1, 5)],
            _LISTS.format([(1, 1), (2, 3), (2, 1), (2, 5)]),
        ),
        (
            lambda z: {"a": z},
            "The module Misfit must return a tensor of logits, or a list of tensors a task. Got "
            "dict.",
        ),
        (
            lambda z: None,
            "The module Misfit must return a tensor of logits, or a list of tensors a task. Got "
            "NoneType.",
        ),
    ],
)
def test_module_that_does_not_fit_the_tasks_is_refused_before_training(mixed, output, message):
    steps = TrainingSteps()
    Misfit.trained = 0
    net = MultiTaskNet.stg_mtl(Misfit, module__output=output, callbacks=[steps])
    with refuses(ValueError, message):
        net.fit(*mixed)
    assert Misfit.trained == steps.n_steps_ == 0


def test_given_size_that_does_not_fit_the_tasks_is_refused(digits, small_net):
    message = (
        "The module MLP must return logits of shape (batch, n_outputs) = (2, 15) for the 15 tasks "
        "to learn, or (batch, n_members, n_outputs). Got shape (2, 3)."
    )
    with refuses(ValueError, message):
        small_net.set_params(module__n_outputs=3).fit(*digits)


class Normed(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features)
        self.layer = nn.Linear(n_features, n_outputs)
        self.n_batches = 0

    def forward(self, x):
        self.n_batches += self.training
        return self.layer(self.norm(x))


def test_trying_the_module_leaves_no_trace_in_it(digits):
    net = MultiTaskNet.stg_mtl(Normed, max_epochs=1, batch_size=-1).fit(*digits)
    assert net.module_.norm.num_batches_tracked == 1


@pytest.mark.parametrize(("n_samples", "batch_size"), [(33, 32), (33, 16), (32, 1)])
def test_last_batch_of_one_is_refused_before_training_where_the_module_cannot_take_it(
    digits, n_samples, batch_size
):
    X, Y = digits[0][:n_samples], np.arange(2 * n_samples).reshape(-1, 2) // 3 % 2
    net = MultiTaskNet.stg_mtl(Normed, max_epochs=1, batch_size=batch_size)
    message = (
        "The module Normed cannot train on a batch of one sample, which "
        f"batch_size={batch_size} leaves of {n_samples} samples: "
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        net.fit(X, Y)
    assert not hasattr(net, "module_")
    if batch_size > 1:
        net.set_params(iterator_train__drop_last=True).fit(X, Y)
        assert net.module_.norm.num_batches_tracked == n_samples // batch_size
        net.set_params(iterator_train__drop_last=False, train_split=ValidSplit(3)).fit(X, Y)


def test_last_batch_of_one_changes_nothing_where_the_module_can_take_it(digits):
    class PerSample(nn.Module):
        def __init__(self, n_outputs):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)
            self.layer = nn.Linear(64, n_outputs)

        def forward(self, x):
            return self.layer(self.drop(self.norm(x.reshape(-1, 8, 8)).flatten(1)))

    X, Y = (part[:33] for part in digits)
    net = MultiTaskNet.stg_mtl(PerSample, max_epochs=2, batch_size=32, random_state=0).fit(X, Y)
    assert net.module_.norm.num_batches_tracked == 4
    plain = clone(net)
    plain._try_last_batch = lambda dataset: None
    np.testing.assert_array_equal(plain.fit(X, Y).predict_proba(X), net.predict_proba(X))


@pytest.mark.parametrize("base", [nn.Module, Linear])
def test_module_that_names_nothing_is_given_all_sizes(digits, base):
    given = {}

    class Anything(base):
        def __init__(self, **kwargs):
            given.update(kwargs)
            named = {} if base is nn.Module else {"input_shape": kwargs["input_shape"]}
            super().__init__(**named)
            if base is nn.Module:
                self.layer = nn.Linear(kwargs["n_features"], kwargs["n_outputs"])

        def forward(self, x):
            return self.layer(x)

    MultiTaskNet.stg_mtl(Anything, max_epochs=1).fit(digits[0], digits[1][:, :3])
    named = {"input_shape": (64,)}
    everything = named | {"n_features": 64, "n_outputs": 3, "task_outputs": (1, 1, 1)}
    assert given == (everything if base is nn.Module else named)


# -- devices --------------------------------------------------------------------------------------


def test_device_auto_is_cuda_where_there_is_one(digits, small_net):
    X, Y = digits
    net = small_net.set_params(random_state=0).fit(X, Y)
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert {p.device.type for p in net.module_.parameters()} == {expected}
    assert net.criterion_.weight.device.type == expected
    assert net.get_params()["device"] == clone(net).device == "auto"
    on_cpu = clone(net).set_params(device="cpu").fit(X, Y)
    assert {p.device.type for p in on_cpu.module_.parameters()} == {"cpu"}
    np.testing.assert_allclose(on_cpu.predict_proba(X), net.predict_proba(X), atol=1e-3)


# -- the estimator contract -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_proba", "forward", "score"])
def test_use_before_fit_is_refused(digits, method):
    message = (
        "This MultiTaskNet instance is not fitted yet. Call 'fit' with appropriate arguments "
        "before using this estimator."
    )
    arguments = digits if method == "score" else digits[:1]
    with refuses(NotFittedError, message):
        getattr(MultiTaskNet.stg_mtl(), method)(*arguments)


def test_classes_and_initialize_before_fit():
    assert not hasattr(MultiTaskNet.stg_mtl(), "classes_")
    net = MultiTaskNet.stg_mtl().initialize()  # which does not know what to build
    assert not hasattr(net, "module_")
    with pytest.raises(NotFittedError):
        net.predict(np.ones((2, 3)))


def test_clone_has_the_parameters_and_not_the_weights(digits):
    weight = np.linspace(1, 2, 15)
    net = MultiTaskNet.stg_mtl(
        module__hidden_units=(3,),
        task_weight=weight,
        class_weight={1: 2},
        random_state=5,
        optimizer__weight_decay=0.1,
        max_epochs=1,
    )
    twin = clone(net.fit(*digits))
    assert not hasattr(twin, "module_")
    params = twin.get_params()
    assert params["module__hidden_units"] == (3,)
    assert params["optimizer__weight_decay"] == 0.1
    np.testing.assert_array_equal(params["task_weight"], weight)
    assert params["class_weight"] == {1: 2}
    assert params["random_state"] == 5
    X = digits[0]
    np.testing.assert_array_equal(twin.fit(*digits).predict_proba(X), net.predict_proba(X))


def test_set_params_takes_effect_in_the_next_fit(digits, small_net):
    X, Y = digits
    net = small_net.set_params(random_state=0).fit(X, Y)
    net.set_params(module__hidden_units=(3,), max_epochs=2, optimizer=torch.optim.SGD, lr=0.5)
    net.fit(X, Y)
    assert net.module_.heads.in_features == 3
    assert len(net.history_) == 2
    assert isinstance(net.optimizer_, torch.optim.SGD)
    assert net.optimizer_.param_groups[0]["lr"] == 0.5
    fresh = clone(net).fit(X, Y)
    np.testing.assert_array_equal(fresh.predict_proba(X), net.predict_proba(X))


@pytest.mark.parametrize("dump", ["pickle", "joblib", "deepcopy"])
def test_fitted_net_survives_a_round_trip(mixed, small_net, tmp_path, dump):
    X, Y = mixed
    net = small_net.set_params(random_state=0, train_split=ValidSplit(5)).fit(X, Y)
    if dump == "pickle":
        twin = pickle.loads(pickle.dumps(net))
    elif dump == "joblib":
        joblib.dump(net, tmp_path / "net.joblib")
        twin = joblib.load(tmp_path / "net.joblib")
    else:
        twin = copy.deepcopy(net)
    assert twin.device == "auto"
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))
    for p, q in zip(twin.predict_proba(X), net.predict_proba(X), strict=True):
        np.testing.assert_array_equal(p, q)
    assert len(twin.partial_fit(X, Y).history_) == 8
    np.testing.assert_array_equal(twin.fit(X, Y).predict(X), net.predict(X))


def test_unfitted_net_survives_a_round_trip(digits, small_net):
    X, Y = digits
    small_net.set_params(random_state=0)
    twin = pickle.loads(pickle.dumps(small_net))
    np.testing.assert_array_equal(
        twin.fit(X, Y).predict_proba(X), small_net.fit(X, Y).predict_proba(X)
    )


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_global_random_state_is_untouched(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(
        module__dropout=0.5, max_epochs=2, train_split=ValidSplit(0.2), random_state=0
    )
    net.fit(X, Y).partial_fit(X, Y)
    net.predict_proba(X)
    net.score(X, Y)
    net.set_params(random_state=None).fit(X, Y)
    with pytest.raises(ValueError, match="single class"):
        net.fit(X, np.zeros((600, 2)))


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_fits_in_threads_equal_fits_in_turn(digits):
    X, Y = digits
    nets = [
        MultiTaskNet.stg_mtl(module__dropout=0.5, max_epochs=5, random_state=s) for s in range(4)
    ]
    expected = [clone(net).fit(X, Y).predict_proba(X) for net in nets]
    n_threads = torch.get_num_threads()
    with joblib.parallel_config(backend="threading", n_jobs=4):
        fitted = joblib.Parallel()(joblib.delayed(net.fit)(X, Y) for net in nets)
    assert torch.get_num_threads() == n_threads
    for net, p in zip(fitted, expected, strict=True):
        np.testing.assert_array_equal(net.predict_proba(X), p)


def test_same_seed_same_net_bitwise(digits):
    X, Y = digits
    net = MultiTaskNet.stg_mtl(module__dropout=0.3, max_epochs=3, train_split=ValidSplit(0.2))
    runs = []
    for seed in (7, 7, 8):
        np.random.seed(len(runs))
        torch.manual_seed(len(runs))
        runs.append(clone(net).set_params(random_state=seed).fit(X, Y).predict_proba(X))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_no_seed_and_random_states_give_new_nets(digits, small_net):
    X, Y = digits
    np.random.seed(0)
    first = small_net.fit(X, Y).predict_proba(X)
    np.random.seed(0)
    assert not np.allclose(first, small_net.fit(X, Y).predict_proba(X))
    state = np.random.RandomState(0)
    runs = [small_net.set_params(random_state=state).fit(X, Y).predict_proba(X) for _ in range(2)]
    assert not np.allclose(*runs)
    again = small_net.set_params(random_state=np.random.RandomState(0)).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), runs[0])


def test_local_seed_puts_the_state_back_after_an_error():
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(1)
    np.random.seed(1)
    inside = []
    for _ in range(2):
        with suppress(ZeroDivisionError), local_seed(5):
            inside.append((torch.rand(2), np.random.rand(2)))
            raise ZeroDivisionError
    torch.testing.assert_close(inside[0][0], inside[1][0], rtol=0, atol=0)
    np.testing.assert_array_equal(inside[0][1], inside[1][1])
    torch.testing.assert_close(torch.rand(3), expected[0], rtol=0, atol=0)
    np.testing.assert_array_equal(np.random.rand(3), expected[1])


def test_seeds_follow_the_random_state():
    assert draw_seeds(3, 5) == draw_seeds(3, 5)
    assert draw_seeds(3, 5) == draw_seeds(np.random.RandomState(3), 5)
    assert len(set(draw_seeds(3, 50))) == 50
    assert draw_seeds(None, 2) != draw_seeds(None, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_inputs_are_not_changed(digits, small_net, dtype):
    X, Y = (16 * digits[0]).astype(dtype), hide(digits[1], 0.2)
    weight = np.random.default_rng(0).random(600)
    task_weight = np.linspace(1, 2, 15)
    given = X, Y, weight, task_weight
    before = [a.copy() for a in given]
    net = small_net.set_params(task_weight=task_weight).fit(X, Y, sample_weight=weight)
    net.partial_fit(X, Y)
    net.predict(X)
    net.score(X, Y, sample_weight=weight)
    for now, then in zip(given, before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert net.task_weight is task_weight


@pytest.mark.parametrize("seed", range(2))
def test_permuting_binary_tasks_permutes_predictions(digits, small_net, zero_heads, seed):
    small_net.set_params(module=zero_heads)
    X, Y = digits[0], hide(digits[1], 0.1)
    order = np.random.default_rng(seed).permutation(15)
    weight = np.linspace(0.5, 2, 15)
    net = small_net.set_params(task_weight=weight, random_state=0).fit(X, Y)
    permuted = clone(net).set_params(task_weight=weight[order]).fit(X, Y[:, order])
    np.testing.assert_allclose(permuted.predict_proba(X), net.predict_proba(X)[:, order], atol=1e-5)


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [1, 3, 0, 2]], ids=str)
def test_permuting_mixed_tasks_permutes_predictions(mixed, small_net, zero_heads, order):
    small_net.set_params(module=zero_heads)
    X, Y = mixed
    net = small_net.set_params(random_state=0).fit(X, Y)
    permuted = clone(net).fit(X, Y[:, order])
    for t, p in zip(order, permuted.predict_proba(X), strict=True):
        np.testing.assert_allclose(p, net.predict_proba(X)[t], atol=1e-5)
