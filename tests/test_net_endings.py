"""How training of a MultiTaskNet ends: early, interrupted, refused or half-way by an error."""

import copy
import os
import signal

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LoadInitState, LRScheduler
from skorch.dataset import ValidSplit
from skorch.helper import SliceDataset, predefined_split
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 0]).astype(int)


def net(**params):
    defaults = {"module__hidden_units": (4,), "max_epochs": 4, "batch_size": 16, "random_state": 0}
    return MultiTaskNet.stg_mtl(**{**defaults, **params})


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
    assert [len(one.history) for one in fitted.specialists_] == [1, 1]


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
    fitted = MultiTaskNet.stg_mtl(Breaks, max_epochs=2, batch_size=16, lr=0.1, random_state=0).fit(
        X, Y
    )
    expected, history = fitted.predict_proba(X), copy.deepcopy(list(fitted.history))
    fitted.set_params(lr=0.1, warm_start=method == "warm_start")
    if method == "fit":
        fitted.set_params(lr=1e30)
    else:
        fitted.module_.steps_left = 6
    with pytest.raises((RuntimeError, ValueError), match=r"broken|not finite"):
        (fitted.partial_fit if method == "partial_fit" else fitted.fit)(
            X * (1e15 if method == "fit" else 1), Y
        )
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert list(fitted.history) == history


@pytest.mark.parametrize(
    ("method", "X_bad", "Y_bad"),
    [
        ("fit", X[:, :3], Y * 1j),
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


# -- fits that would not train -----------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"batch_size": 100, "iterator_train__drop_last": True},
        {"batch_size": 50, "iterator_train__drop_last": True, "train_split": ValidSplit(5)},
        {"iterator_train__sampler": SubsetRandomSampler([])},
        {"iterator_train": DataLoader, "batch_size": 64, "iterator_train__drop_last": True},
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_an_epoch_without_a_batch_is_refused(params, grouped):
    estimator = net(**params)
    estimator = GroupedMTLClassifier.stl(estimator) if grouped else estimator
    with pytest.raises(ValueError, match="'iterator_train' parameter must give at least one batch"):
        estimator.fit(X, Y)


def test_where_there_is_no_number_of_batches_the_loop_sees_that_there_is_none():
    class NoLength:
        def __init__(self, dataset, batch_size, shuffle=True):
            pass

        def __iter__(self):
            return iter(())

    with pytest.raises(ValueError, match="'iterator_train' parameter must give at least one batch"):
        net(iterator_train=NoLength).fit(X, Y)


def test_dropping_batches_is_no_advice_where_each_is_of_one_sample():
    class Normed(torch.nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(n_features)
            self.layer = torch.nn.Linear(n_features, n_outputs)

        def forward(self, x):
            return self.layer(self.norm(x))

    estimator = MultiTaskNet.stg_mtl(Normed, batch_size=1, max_epochs=1)
    with pytest.raises(ValueError, match=r"Set another batch_size\.$"):
        estimator.set_params(iterator_train__drop_last=True).fit(X, Y)


def lacking(part, task):
    """Labels of which a part of the samples lacks those of a task."""
    labels = Y.astype(float)
    labels[part, task] = np.nan
    return labels


def test_a_validation_part_without_labels_of_a_task_has_no_loss_for_it():
    split = ValidSplit(5)
    labels = lacking(slice(0, 12), 2)
    fitted = net(train_split=split, class_weight=None, batch_size=-1).fit(X, labels)
    with torch.no_grad():
        logits = fitted.module_.eval()(torch.from_numpy(X[:12]))
    of_tasks = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, :2], torch.from_numpy(Y[:12, :2]).float(), reduction="none"
    ).mean(0)
    assert fitted.history[-1, "valid_loss"] == pytest.approx(3 * of_tasks.mean().item(), rel=1e-5)


def test_a_batch_of_the_validation_part_without_labels_is_no_loss_of_0():
    at_once = net(train_split=ValidSplit(2), max_epochs=1, iterator_valid__batch_size=-1)
    in_parts = clone(at_once).set_params(iterator_valid__batch_size=10)
    labels = lacking(slice(0, 10), 1)
    losses = [one.fit(X, labels).history[0, "valid_loss"] for one in (at_once, in_parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_monitored_validation_part_without_labels_of_any_task_is_refused():
    stopping = EarlyStopping(patience=2, load_best=True)
    params = {"train_split": ValidSplit(5), "max_epochs": 1}
    with pytest.raises(ValueError, match="'train_split' parameter must set samples aside that"):
        net(callbacks=[stopping], **params).fit(X, lacking(slice(0, 12), slice(None)))
    fitted = net(**params).fit(X, lacking(slice(0, 12), slice(None)))
    assert np.isnan(fitted.history[0, "valid_loss"])


@pytest.mark.parametrize("size", [1e38, 1e-30, 1e300, 1e-300])
def test_only_ratios_of_sample_weights_matter(size):
    weight = np.linspace(1, 2, len(X))
    expected = net().fit(X, Y, sample_weight=weight).predict_proba(X)
    found = net().fit(X, Y, sample_weight=weight * size).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "class_weight", [{0: 0, 1: 0}, {1: {0: 0, 1: 0}}, {1: 1e39}, {0: {1: 1e300}}]
)
def test_class_weights_that_leave_nothing_to_train_on_are_refused(class_weight):
    with pytest.raises(ValueError, match=r"'class_weight' .* finite number"):
        net(class_weight=class_weight).fit(X, Y)


# -- as in skorch ------------------------------------------------------------------------------


class Sigmoid(torch.nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.linear = torch.nn.Linear(n_features, n_outputs)

    def forward(self, x):
        return torch.sigmoid(self.linear(x))


class OfProbabilities(torch.nn.Module):
    def forward(self, p, target):
        return torch.nn.functional.binary_cross_entropy(p, target["codes"].float())


@pytest.mark.parametrize("grouped", [False, True])
def test_predict_nonlinearity_is_applied_to_outputs(grouped):
    estimator = MultiTaskNet.stg_mtl(
        Sigmoid, criterion=OfProbabilities, max_epochs=2, random_state=0
    )
    results = []
    for nonlinearity in (None, torch.square):
        one = clone(estimator).set_params(predict_nonlinearity=nonlinearity)
        one = GroupedMTLClassifier.mtl(one, random_state=0) if grouped else one
        results.append(one.fit(X, Y).predict_proba(X))
    np.testing.assert_allclose(results[0] ** 2, results[1], rtol=1e-5)
    if not grouped:
        fitted = clone(estimator).set_params(predict_nonlinearity=None).fit(X, Y)
        np.testing.assert_array_equal(fitted.forward(X).numpy(), fitted.predict_proba(X))


def test_a_nonlinearity_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match="'predict_nonlinearity' parameter must return"):
        net(predict_nonlinearity=lambda z: z[:, :1]).fit(X, Y).predict(X)


@pytest.mark.parametrize("make", [GroupedMTLClassifier.stl, GroupedMTLClassifier])
def test_nets_of_some_tasks_take_their_columns_of_a_validation_set(make):
    valid = predefined_split(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)))
    fitted = make(net(train_split=valid, class_weight=None, batch_size=-1), random_state=0)
    fitted.fit(X, Y)
    for one in fitted.specialists_:
        with torch.no_grad():
            logits = one.module_.eval()(torch.from_numpy(X))
        own = Y if one.selected_ is None else Y[:, one.selected_]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(own).float(), reduction="none"
        ).mean(0).sum()  # fmt: skip
        assert one.history[-1, "valid_loss"] == pytest.approx(loss.item(), rel=1e-4)


def test_a_slice_dataset_serves_as_its_dataset_does():
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    slices = SliceDataset(dataset)
    grouped = GroupedMTLClassifier(net(), n_groups=2, random_state=0)
    whole = clone(grouped).fit(dataset, Y).predict_proba(dataset)
    np.testing.assert_array_equal(grouped.fit(slices, Y).predict_proba(slices), whole)
    expected = net().fit(dataset, Y).predict_proba(dataset)
    np.testing.assert_array_equal(net().fit(slices, Y).predict_proba(slices), expected)
    found = cross_validate(net(), slices, Y, cv=2, error_score="raise")
    assert np.isfinite(found["test_score"]).all()


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_parameters_of_the_module_wait_for_the_next_fit():
    fitted = net().fit(X, Y)
    expected = fitted.predict_proba(X)
    fitted.set_params(module__hidden_units=(9,), lr=0.1)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert fitted.fit(X, Y).module_.heads.in_features == 9


# -- parameters that are refused before training -------------------------------------------------


class Detached(MLP):
    def forward(self, x):
        return super().forward(x).detach()


class Complex(MLP):
    def forward(self, x):
        return super().forward(x) + 0j


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"module": 3}, "'module' parameter"),
        ({"module": object}, "'module' parameter"),
        ({"module": lambda **sizes: 3}, "'module' parameter"),
        ({"module": Detached}, "without gradient"),
        ({"module": Complex}, "real floats"),
        ({"module__dropout": "a"}, "module MLP cannot be built with"),
        ({"module__n_features": 3}, "module MLP, built with"),
        ({"criterion": "bce"}, "'criterion' parameter"),
        ({"optimizer": None}, "'optimizer' parameter"),
        ({"optimizer": 3}, "'optimizer' parameter"),
        ({"train_split": "x"}, "'train_split' parameter"),
        ({"callbacks": 3}, "'callbacks' parameter"),
        ({"callbacks": [3]}, "'callbacks' parameter"),
        ({"callbacks": [EarlyStopping("foo")]}, "monitor='foo'"),
        ({"iterator_train": 3}, "'iterator_train' parameter"),
        ({"iterator_valid": None}, "'iterator_valid' parameter"),
        ({"iterator_train__batch_size": 0}, "'iterator_train__batch_size' parameter"),
        ({"iterator_valid__batch_size": 0}, "'iterator_valid__batch_size' parameter"),
        ({"iterator_train__shuffle": "maybe"}, "'iterator_train__shuffle' parameter"),
        ({"iterator_train__foo": 1}, "'iterator_train' parameter"),
        ({"iterator_valid__foo": 1}, "'iterator_valid' parameter"),
        ({"device": 3.5}, "'device' parameter"),
        ({"device": "nowhere"}, "'device' parameter"),
        ({"verbose": "x"}, "'verbose' parameter"),
        ({"predict_nonlinearity": "foo"}, "'predict_nonlinearity' parameter"),
        ({"dataset": TensorDataset}, "'dataset' parameter"),
        ({"warm_start": "x"}, "'warm_start' parameter"),
        ({"use_caching": 3}, "'use_caching' parameter"),
        ({"max_epoch": 3}, "no parameter 'max_epoch'.* Did you mean 'max_epochs'"),
        ({"max_epochs_": 3}, "no parameter 'max_epochs_'.* Did you mean 'max_epochs'"),
        ({"class_weights": None}, "no parameter 'class_weights'.* Did you mean 'class_weight'"),
        ({"module_hidden_units": (4,)}, "Did you mean 'module__hidden_units'"),
        ({"optimizer_weight_decay": 0.1}, "Did you mean 'optimizer__weight_decay'"),
        ({"modul__hidden_units": (4,)}, "no parameter 'modul__hidden_units'"),
    ],
)
def test_parameters_are_refused_by_name_before_training(params, message):
    refused = net(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        refused.fit(X, Y)
    assert not refused.__sklearn_is_fitted__()


def test_a_warm_start_on_other_inputs_is_refused():
    fitted = net(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="'warm_start' parameter"):
        fitted.fit(X[:, :3], Y)
    assert fitted.predict(X).shape == Y.shape


@pytest.mark.parametrize("bad", [None, {}])
def test_inputs_that_hold_nothing_are_refused_by_name(bad):
    with pytest.raises(ValueError, match="X must hold an array"):
        net().fit(bad, Y)


@pytest.mark.parametrize(
    "steps", [{"total_steps": 3}, {"epochs": 4, "steps_per_epoch": 3, "step_every": "batch"}]
)
def test_a_one_cycle_schedule_that_ends_before_training_is_refused(steps):
    refused = net(callbacks=[LRScheduler(OneCycleLR, max_lr=0.1, **steps)])
    with pytest.raises(ValueError, match="must schedule all steps of training"):
        refused.fit(X, Y)


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step:UserWarning")
def test_a_one_cycle_schedule_of_all_steps_is_trained():
    schedule = LRScheduler(OneCycleLR, max_lr=0.1, epochs=4, steps_per_epoch=4, step_every="batch")
    assert len(net(callbacks=[schedule]).fit(X, Y).history) == 4


@pytest.mark.parametrize("weighted", [False, True])
def test_a_training_part_without_a_label_that_counts_is_refused(weighted):
    labels, weight = Y.astype(float), None
    if weighted:
        weight = np.where(np.arange(60) < 12, 1.0, 0.0)
    else:
        labels[12:] = np.nan
    split = ValidSplit(5, stratified=False)  # the first fifth is for validation
    with pytest.raises(ValueError, match="'train_split' parameter must leave samples with labels"):
        net(train_split=split).fit(X, labels, sample_weight=weight)


def test_all_tasks_without_labels_are_named_at_once():
    labels = np.column_stack([Y, np.full((60, 2), np.nan)])
    with pytest.raises(ValueError, match=r"^task 3, task 4 of Y have no label at all; .* classes"):
        net().fit(X, labels)


@pytest.mark.parametrize("grouped", [False, True])
def test_tasks_whose_labels_all_weigh_nothing_are_refused(grouped):
    table = np.random.default_rng(0).integers(2, size=(40, 2)).astype(float)
    table[20:, 1] = np.nan
    clf = MultiTaskNet.stg_mtl(max_epochs=1)
    if grouped:
        clf = GroupedMTLClassifier(clf, n_groups=2)
    with pytest.raises(ValueError, match=r"sample_weight is refused: .* task 1 have none"):
        clf.fit(np.ones((40, 2)), table, sample_weight=np.arange(40) >= 20)


def test_a_grouped_classifier_refuses_what_is_no_probability():
    estimator = MultiTaskNet.stg_mtl(predict_nonlinearity=None, max_epochs=1, random_state=0)
    calls = []
    handle = register_optimizer_step_pre_hook(lambda *args: calls.append(args))
    Y = np.random.default_rng(0).integers(2, size=(40, 3))
    with pytest.raises(ValueError, match=r"give probabilities in \[0, 1\].*'predict_nonlinearity'"):
        GroupedMTLClassifier(estimator, n_groups=2).fit(np.ones((40, 2)), Y)
    handle.remove()
    assert not calls  # before any training


def test_tasks_that_a_split_leaves_without_training_labels_are_named():
    Y = np.random.default_rng(0).integers(2, size=(40, 2)).astype(float)
    Y[:2, 1], Y[2:, 1] = (0, 1), np.nan
    net = MultiTaskNet.stg_mtl(
        train_split=ValidSplit([(np.arange(2, 40), np.arange(2))]), max_epochs=1
    )
    with pytest.warns(UserWarning, match="no labels to train on of task 1, which"):
        net.fit(np.ones((40, 2)), Y)
    constant = np.column_stack([np.zeros(40), Y])
    with (
        pytest.warns(UserWarning, match="task 0"),  # the one class of it
        pytest.warns(UserWarning, match="no labels to train on of task 2, which"),
    ):
        net.fit(np.ones((40, 2)), constant)
