"""Tables of gains: what may be added to them, what they keep in a file, and parts of them."""

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from skorch.callbacks import LRScheduler
from torch import nn
from torch.utils.data import Dataset

from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP
from skgroup.selection import (
    ExhaustiveGrouping,
    GroupGains,
    GroupSelector,
    HigherOrderApproximation,
    HOAGrouping,
    MTGNet,
    MTGNetGrouping,
    describe_cost,
)
from skgroup.selection.gains import _group_gains
from skgroup.store import key_of
from skgroup.training.engine import fit_many
from skgroup.training.loss import MultiTaskLoss

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0]).astype(int)


def net(**params):
    return MultiTaskNet.stg_mtl(**{"module__hidden_units": (4,), "max_epochs": 2, **params})


def table(estimator, **params):
    return GroupGains(estimator, masks=[[1, 1, 0]], warm_start=True, random_state=0, **params)


@pytest.fixture
def interrupted_later(monkeypatch):
    """Ctrl-C in the second call that trains nets."""
    calls = []

    def fit(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit_many(*args, **kwargs)

    monkeypatch.setattr(_group_gains, "fit_many", fit)


# -- what is the same, and what is not ---------------------------------------------------------


class Samples(Dataset):
    def __init__(self, changed=None):
        self.X = X.copy()
        if changed is not None:
            self.X[changed] += 1

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return torch.from_numpy(self.X[i]), 0


def module(offset):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = MLP(n_features=4, n_outputs=3)
    with torch.no_grad():
        next(made.parameters()).add_(offset)
    return made


def local_module(gain):
    class Scaled(MLP):
        def forward(self, X):
            return super().forward(X) * gain

    return Scaled


def local_criterion(factor):
    class Loss(MultiTaskLoss):
        def forward(self, *args):
            return super().forward(*args) * factor

    return Loss


def local_optimizer(factor):
    class Slow(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                group["lr"] *= factor
            return super().step(closure)

    return Slow


@pytest.mark.parametrize(
    ("first", "second"),
    [
        [{"callbacks": [LRScheduler("StepLR", step_size=1, gamma=g)]} for g in (0.5, 0.1)],
        [{"module": local_module(gain)} for gain in (1, 2)],
        [{"criterion": local_criterion(factor)} for factor in (1, 2)],
        [{"optimizer": local_optimizer(factor)} for factor in (1, 0.5)],
        [{"optimizer__weight_decay": decay} for decay in (0.0, 0.1)],
        [{"module__hidden_units": units} for units in ((4,), (8,))],
    ],
    ids=["callbacks", "module", "criterion", "optimizer", "optimizer__", "module__"],
)
def test_warm_start_tells_estimators_apart_by_what_they_do(first, second):
    gains = table(net(**first)).fit(X, Y)
    gains.set_params(estimator=net(**first)).fit(X, Y)
    assert gains.n_trained_ == 0
    with pytest.raises(ValueError, match="the 'estimator' parameter differs"):
        gains.set_params(estimator=net(**second)).fit(X, Y)


def test_weights_and_settings_of_modules_count():
    assert key_of(module(0)) == key_of(module(0)) != key_of(module(1))
    assert key_of(nn.Dropout(0.1)) != key_of(nn.Dropout(0.2))


def test_classes_of_all_kinds_have_a_key():
    @dataclass
    class Settings:
        lr: float = 0.1

    class Slots(ABC):
        __slots__ = ("a",)

        @functools.cached_property
        def b(self):
            return super()

        @abstractmethod
        def c(self): ...

    class Module(MLP):
        kind = Slots

    assert len({key_of(kind) for kind in (Settings, Slots, Module)}) == 3
    assert key_of(Settings(0.1)) == key_of(Settings(0.1)) != key_of(Settings(0.2))


def test_warm_start_looks_at_every_sample_of_a_dataset():
    gains = table(net()).fit(Samples(), Y)
    gains.fit(Samples(), Y)
    assert gains.n_trained_ == 0
    with pytest.raises(ValueError, match="the data differs"):
        gains.fit(Samples(changed=30), Y)


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scoring", "other"), [("loss", "f1"), ("f1", "roc_auc")])
def test_a_table_of_another_scoring_is_refused(scoring, other, tmp_path):
    table(net(), scoring=scoring).fit(X, Y).save(tmp_path / "gains")
    with pytest.raises(ValueError, match="'scoring' parameter of GroupGains must be what"):
        GroupGains.load(tmp_path / "gains", scoring=other)
    loaded = GroupGains.load(tmp_path / "gains", net(), scoring=scoring)
    loaded.set_params(warm_start=True, random_state=0, masks=[[1, 1, 0]]).fit(X, Y)
    assert loaded.n_trained_ == 0


# -- interruptions -----------------------------------------------------------------------------


def test_an_interrupted_table_is_marked_also_in_a_file(interrupted_later, tmp_path):
    gains = GroupGains(net(), random_state=0, warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        gains.fit(X, Y)
    assert gains.interrupted_
    gains.save(tmp_path / "gains")
    assert GroupGains.load(tmp_path / "gains").interrupted_
    assert not gains.fit(X, Y).interrupted_


@pytest.mark.parametrize("grouping", [HOAGrouping, ExhaustiveGrouping, MTGNetGrouping])
def test_no_grouping_goes_on_from_an_interrupted_table(grouping, interrupted_later):
    found = grouping(net(), 2, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        found.fit(X, Y)
    assert not hasattr(found, "groups_")
    assert not hasattr(found, "gains_")


def test_a_classifier_raises_the_interruption_of_its_grouping(interrupted_later):
    classifier = GroupedMTLClassifier(net(), HOAGrouping(net(), 2), random_state=0)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(X, Y)
    assert not hasattr(classifier, "specialists_")


def test_an_interruption_before_anything_new_is_raised(monkeypatch, interrupted_later):
    gains = GroupGains(net(), random_state=0)
    with pytest.raises(KeyboardInterrupt):
        gains.fit(X, Y)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_group_gains, "fit_many", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gains.fit(X, Y)
    assert gains.interrupted_


# -- refused before training -------------------------------------------------------------------


def test_what_predictors_and_selectors_cannot_use_is_named():
    masks = np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)
    gains = np.where(masks, 0.1, np.nan)
    predictor = HigherOrderApproximation().fit(masks, gains)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        predictor.score(masks, gains, sample_weight=[-1, 1, 1])
    with pytest.raises(ValueError, match="masks is refused"):
        predictor.fit([["a", "b"]], gains[:1])
    with pytest.raises(ValueError, match=r"has diverged.*'lr' than 1e"):
        MTGNet(lr=1e30, random_state=0).fit(masks, gains)
    with pytest.raises(ValueError, match="R must hold numbers whose sums over tasks are finite"):
        GroupSelector().fit(np.where(masks, 1e308, np.nan), masks=masks)
    with pytest.raises(ValueError, match="R must hold numbers whose sums over tasks are finite"):
        GroupSelector().fit(np.array([[0, 1e308], [-1e308, 0]]))


R = np.array([[0.0, 0.5], [0.3, 0.0]])


@pytest.mark.parametrize(
    ("given", "kwargs", "match"),
    [
        (R + 1j, {}, "R must be an affinity matrix"),
        (R.astype("M8[s]"), {}, "R must be an affinity matrix"),
        (np.ma.masked_array(R, R > 0.4), {}, "R must have no masked entry"),
        (R, {"task_names": "ab"}, "task_names must be a list of names"),
        (R, {"task_names": 3}, "task_names must be a list of names"),
        (R, {"task_names": ["a", "a"]}, "task_names must have another name for each task"),
        (R, {"masks": [[1], [1, 0]]}, "masks is refused"),
    ],
)
def test_tables_that_are_none_are_refused_by_name(given, kwargs, match):
    with pytest.raises(ValueError, match=match):
        GroupSelector().fit(given, **kwargs)


@pytest.mark.parametrize(
    ("groupings", "error", "match"),
    [
        ([HOAGrouping()], TypeError, "groupings must be a dict"),
        ({"a": MTGNetGrouping(groups_per_task=-3)}, ValueError, "'groups_per_task' parameter"),
        ({"a": HOAGrouping(cv=1.5)}, ValueError, "'cv' parameter"),
        ({"a": HOAGrouping(net(max_epochs="2"))}, ValueError, "'max_epochs' parameter"),
    ],
)
def test_costs_of_groupings_with_bad_parameters_are_refused(groupings, error, match):
    with pytest.raises(error, match=match):
        describe_cost(groupings, 4)


# -- weights of samples ------------------------------------------------------------------------


class Relation(BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        self.weighted_ = sample_weight is not None
        self.labels_ = np.array([0, 0, 1])
        return self


class Unweighted(BaseEstimator):
    def fit(self, X, y):
        self.labels_ = np.array([0, 0, 1])
        return self


def test_a_relation_of_the_users_gets_weights_or_it_is_said():
    weight = np.ones(len(X))
    fitted = GroupedMTLClassifier(net(), Relation()).fit(X, Y, sample_weight=weight)
    assert fitted.grouper_.weighted_
    with pytest.warns(UserWarning, match="Unweighted takes no sample_weight"):
        GroupedMTLClassifier(net(), Unweighted()).fit(X, Y, sample_weight=weight)
