"""What training will use is tried before any step: criteria, splits, batches and callbacks."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import BatchScoring, EarlyStopping, EpochScoring, Freezer, LRScheduler
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import Subset, TensorDataset

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP, MMoE

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0]).astype(int)


@pytest.fixture
def no_training():
    handle = register_optimizer_step_pre_hook(lambda *args: pytest.fail("training began"))
    yield
    handle.remove()


def net(**params):
    return MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=3, random_state=0, **params)


class Nan(MLP):
    def forward(self, x):
        return super().forward(x) * torch.nan


class NoLoss(torch.nn.Module):
    def forward(self, logits, target):
        return "none"


class Constant(torch.nn.Module):
    def forward(self, logits, target):
        return torch.zeros(())


def narrow():
    return predefined_split(TensorDataset(torch.zeros(9, 3), torch.from_numpy(Y[:9])))


def scored(scoring, **params):
    return {"callbacks": [EpochScoring(scoring, name="own", on_train=True, **params)]}


def scheduled(policy, **params):
    return {"callbacks": [LRScheduler(policy, **params)]}


REFUSED = [
    ({"module": Nan}, "module Nan must give finite logits"),
    ({"criterion": NoLoss}, "'criterion' parameter .* returns a str"),
    ({"criterion": Constant}, "'criterion' parameter .* no gradient"),
    ({"criterion": torch.nn.BCELoss}, "'criterion' parameter .* raises"),
    ({"optimizer": lambda *args, **kwargs: 3}, "'optimizer' parameter"),
    ({"optimizer__foo": 3}, "'optimizer' parameter"),
    ({"optimizer__param_groups": 3}, "must be a list of pairs"),
    ({"optimizer__param_groups": ["heads*"]}, "must be a list of pairs"),
    ({"optimizer__param_groups": [("foo*", {"lr": 1})]}, "'foo\\*', which matches none of"),
    ({"optimizer__param_groups": [("heads*", {"foo": 1})]}, "options of Adam. Got 'foo'"),
    ({"predict_nonlinearity": lambda z: z[:, :1]}, "'predict_nonlinearity' parameter must return"),
    ({"predict_nonlinearity": lambda: 1}, "'predict_nonlinearity' parameter must take"),
    ({"train_split": ValidSplit}, "'train_split' parameter"),
    ({"train_split": lambda d: (d, d, d)}, "'train_split' parameter"),
    ({"train_split": lambda d: (3, d)}, "'train_split' parameter"),
    ({"train_split": narrow()}, "'train_split' parameter .* samples of shape|features"),
    ({"iterator_valid__drop_last": True}, "'iterator_valid__drop_last' parameter must be False"),
    ({"iterator_train__batch_size": None}, "'iterator_train__batch_size' parameter"),
    ({"iterator_train__sampler": 3}, "'iterator_train__sampler' parameter"),
    ({"iterator_train__generator": 3}, "'iterator_train__generator' parameter"),
    ({"device": "meta"}, "'device' parameter"),
    ({"compile__mode": "default"}, "'compile' parameter"),
    ({"callbacks__foo": 3}, "'callbacks__foo' parameter must name a callback"),
    ({"callbacks__foo__bar": 3}, "'callbacks__foo__bar' parameter must name a callback"),
    ({"callbacks__print_log": 3}, "'callbacks__print_log' parameter must be a Callback"),
    ({"callbacks": [EarlyStopping(None)]}, "'monitor' parameter of the callback EarlyStopping"),
    ({"callbacks": [EarlyStopping("train_loss", patience="a")]}, "'patience' parameter"),
    ({"callbacks": [EarlyStopping("f1"), EpochScoring("f1", name="f1", on_train=True)]}, "monitor"),
    ({"callbacks": [BatchScoring("foo", on_train=True)]}, "callback BatchScoring must have"),
    ({"callbacks": [Freezer("foo*")]}, "callback Freezer must name parameters"),
    (scored("foo"), "must have a 'scoring'"),
    (scored(lambda net, X, y: None), "which returns None"),
    (scored(lambda net, X, y: "x"), "which returns 'x'"),
    (scored(lambda net, X, y: 1 / 0), "raises ZeroDivisionError"),
    (scheduled("foo"), "'callbacks' parameter cannot be built"),
    (scheduled(LambdaLR), "cannot build its schedule LambdaLR"),
    (scheduled(LambdaLR, lr_lambda=lambda e: [1.0, 0.5][e]), "fails at step 2: IndexError"),
    (scheduled(LambdaLR, lr_lambda=lambda e: 1.0, step_every="foo"), "'step_every' parameter"),
]


@pytest.mark.usefixtures("no_training", "assert_global_random_state_untouched")
@pytest.mark.parametrize(("params", "message"), REFUSED)
def test_what_would_fail_in_training_is_refused_by_name_before_it(params, message):
    refused = net(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        refused.fit(X, Y)
    assert not refused.__sklearn_is_fitted__()


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("value", [1e38, 1e25])
def test_one_value_that_is_beyond_float32_in_products_is_refused(value):
    far = X.copy()
    far[30, 2] = value
    with pytest.raises(ValueError, match="X may need scaling"):
        net().fit(far, Y)


@pytest.mark.parametrize(
    "params",
    [
        scored("f1_macro"),
        scored(lambda net, X, y: net.history[-1, "train_loss"]),
        scheduled(LambdaLR, lr_lambda=lambda e: [1.0, 0.5, 0.2, 0.1][e]),
        {"callbacks": [Freezer("heads*")]},
        {"callbacks": [EpochScoring("f1_macro", name="f1", on_train=True), EarlyStopping("f1")]},
        {"train_split": ValidSplit(4), "callbacks": [EarlyStopping(patience=9)]},
    ],
)
def test_what_trains_is_not_refused(params):
    assert len(net(**params).fit(X, Y).history) == 3


def test_arguments_of_forward_are_those_of_the_trial_too():
    class Scaled(MLP):
        def forward(self, x, scale):
            return super().forward(x) * scale

    fitted = MultiTaskNet.stg_mtl(Scaled, max_epochs=1).partial_fit(X, Y, scale=2.0)
    assert len(fitted.history) == 1


# -- going on ----------------------------------------------------------------------------------


def further(net, X, Y):
    return net.partial_fit(X, Y)


def warm(net, X, Y):
    return net.set_params(warm_start=True).fit(X, Y)


@pytest.mark.parametrize("go_on", [further, warm])
@pytest.mark.parametrize(
    "change",
    [
        {"module__hidden_units": (8,)},
        {"module__dropout": 0.5},
        {"module": MMoE},
        {"module": MLP(2, 4)},
        {"compile": True},
        {"optimizer": torch.optim.SGD},
        {"optimizer__foo": 3},
        {"optimizer__param_groups": [("heads*", {"lr": 0.1})]},
    ],
)
def test_what_would_build_another_module_or_optimizer_is_refused_in_going_on(change, go_on):
    fitted = net().fit(X, Y)
    module, before = fitted.module_, fitted.predict_proba(X)
    (name,) = change
    fitted.set_params(**change)
    with pytest.raises(ValueError, match=f"The '{name}' parameter must be what .* built with"):
        go_on(fitted, X, Y)
    assert fitted.module_ is module
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


@pytest.mark.parametrize("go_on", [further, warm])
@pytest.mark.parametrize("name", ["lr", "optimizer__lr", "optimizer__weight_decay"])
def test_new_options_of_the_optimizer_hold_from_then_on(name, go_on):
    fitted = net().fit(X, Y)
    setattr(fitted, name, 0.25)
    go_on(fitted, X, Y)
    assert fitted.optimizer_.param_groups[0][name.removeprefix("optimizer__")] == 0.25
    assert len(fitted.history) == 6


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
@pytest.mark.parametrize("module", [MLP, MLP(2, 4, hidden_units=(4,))])
def test_copies_go_on_with_what_is_the_same(module, twin):
    params = {"optimizer__param_groups": [("heads*", {"lr": 0.1})]}
    fitted = MultiTaskNet.stg_mtl(module, max_epochs=1, **params).fit(X, Y)
    assert len(twin(fitted).partial_fit(X, Y).history) == 2


def test_options_of_the_optimizer_that_are_set_after_fit_are_those_of_the_next_one():
    fitted = net().fit(X, Y).set_params(optimizer__weight_decay=0.25)
    assert fitted.get_params()["optimizer__weight_decay"] == 0.25
    assert fitted.fit(X, Y).optimizer_.param_groups[0]["weight_decay"] == 0.25


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    "classes", [3, "ab", {0, 1}, {"a": [0, 1]}, [0, 1], [[0, 1], 3], [[], [0, 1]]]
)
def test_classes_that_are_not_labels_of_each_task_are_refused(classes):
    with pytest.raises(ValueError, match="The 'classes' of partial_fit must be a list of arrays"):
        net().partial_fit(X, Y, classes=classes)


def test_classes_may_be_given_again_but_not_new_ones():
    fitted = net().partial_fit(X, Y, classes=[[0, 1]] * 2).partial_fit(X, Y, classes=[[0, 1]] * 2)
    with pytest.raises(ValueError, match="must be those of the first call"):
        fitted.partial_fit(X, Y, classes=[[0, 1, 2]] * 2)


# -- copies and devices ------------------------------------------------------------------------


class Keeps(torch.nn.Linear):
    """Keeps the output of its last pass."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        self.parts = [None]

    def forward(self, x):
        self.output = self.parts[0] = super().forward(x)
        return self.output


@pytest.mark.parametrize("strategy", ["sequential", "stacked"])
def test_modules_that_keep_their_last_output_can_be_copied(strategy):
    fitted = MultiTaskNet.stg_mtl(Keeps, max_epochs=1, random_state=0).fit(X, Y)
    assert MultiTaskNet.stg_mtl(fitted.module_, max_epochs=1).fit(X, Y).history
    grouped = GroupedMTLClassifier.stl(MultiTaskNet.stg_mtl(Keeps, max_epochs=1), strategy=strategy)
    for one in (fitted, grouped.fit(X, Y)):
        np.testing.assert_array_equal(copy.deepcopy(one).predict_proba(X), one.predict_proba(X))


def test_no_device_leaves_the_module_where_it_is():
    fitted = net(device=None).fit(X, Y)
    twin = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(twin.predict_proba(X), net().fit(X, Y).predict_proba(X))


# -- inputs ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_sparse_tensors_are_refused_by_their_layout(layout):
    refused = torch.from_numpy(X).to_sparse(layout=layout)
    fitted = net().fit(X, Y)
    for call in (lambda: net().fit(refused, Y), lambda: fitted.predict(refused)):
        with pytest.raises(TypeError, match=r"X must be a dense tensor, .*: call to_dense"):
            call()


@pytest.mark.parametrize("values", ["text", pd.Categorical(["x"] * 40)])
def test_a_column_of_X_that_holds_no_numbers_is_named(values):
    table = pd.DataFrame(X, columns=list("abcd"))
    fitted = net().fit(table, Y)
    table["c"] = values
    for call in (lambda: net().fit(table, Y), lambda: fitted.predict(table)):
        with pytest.raises(ValueError, match=r"X must hold numbers\. Column 'c' does not"):
            call()


# -- side effects ------------------------------------------------------------------------------


def test_tasks_that_a_split_leaves_without_labels_are_said_once():
    table = Y.astype(float)
    table[:32, 1] = np.nan
    split = predefined_split(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)))

    def first(dataset):
        return Subset(dataset, range(30)), split(dataset)[1]

    with pytest.warns(UserWarning, match="leaves no labels to train on of task 1") as said:
        net(train_split=first).fit(X, table)
    assert len(said) == 1


def test_the_trial_leaves_training_the_random_numbers_that_it_had(monkeypatch):
    params = {"module__dropout": 0.5, "train_split": ValidSplit(0.25)}
    tried = net(**params, **scored("f1_macro")).fit(X, Y)
    monkeypatch.setattr(MultiTaskNet, "_rehearse", lambda *args: None)
    untried = net(**params, **scored("f1_macro")).fit(X, Y)
    np.testing.assert_array_equal(tried.predict_proba(X), untried.predict_proba(X))
