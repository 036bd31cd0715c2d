"""After a fit that failed, an estimator is as it was before."""

import inspect
import pkgutil
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

import skgroup
from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioClassifier,
    PortfolioEstimator,
    PortfolioRegressor,
    TaskGrouper,
)
from skgroup.cluster import FuzzyKMeans, PointKMeans
from skgroup.comparison._of_rows import OfRows
from skgroup.ensemble import AllTasks, SingleTasks
from skgroup.ensemble.table_learner import TableLearner
from skgroup.nn import MLP
from skgroup.populations import (
    Coefficients,
    CrossLosses,
    Gradients,
    PooledTasksClassifier,
    PooledTasksRegressor,
)
from skgroup.populations.baselines import (
    OneEachClassifier,
    OneEachRegressor,
    OneForAllClassifier,
    OneForAllRegressor,
    RandomGroupsClassifier,
    RandomGroupsRegressor,
)
from skgroup.relations import (
    GradientCosineAffinity,
    GradTAG,
    InterTaskAffinity,
    LabelCorrelationAffinity,
)
from skgroup.selection import (
    ETAP,
    ExhaustiveGrouping,
    GradTAGGrouping,
    GroupGains,
    GroupSelector,
    GroupStability,
    HigherOrderApproximation,
    HOAGrouping,
    MTGNet,
    MTGNetGrouping,
    TAGGrouping,
)
from skgroup.training.task_view import TaskClassifierView, TaskRegressorView

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 4)).astype(np.float32)
Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 0])
R = np.abs(rng.normal(size=(6, 4)))
MASKS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
GAINS = np.where(MASKS, 0.1, np.nan)


def net():
    return MultiTaskNet.stg_mtl(max_epochs=1, random_state=0)


TABLES = (X, Y), (X[:, :3], Y.astype(float) + np.inf)
ROWS = (R,), (np.full((7, 2), np.inf),)
PEOPLE = np.column_stack([X[:, :3], np.arange(len(X)) % 3])
POPULATIONS = (PEOPLE, Y[:, 0].astype(int)), (PEOPLE, Y)
GROUPS = (MASKS, GAINS), (np.ones((2, 4)), np.full((2, 4), np.nan))
# An estimator, what it can be fitted on, and what it refuses.
ESTIMATORS = [
    (GroupedMTLClassifier(net(), n_groups=2), *TABLES),
    (GroupedMTLEstimator(net(), n_groups=2), *TABLES),
    (GroupedMTLRegressor(net(), n_groups=2), *TABLES),
    (PortfolioClassifier([("net", net())], cv=2), *TABLES),
    (PortfolioEstimator([("net", net())], cv=2), *TABLES),
    (PortfolioRegressor([("net", net())], cv=2), *TABLES),
    (TaskGrouper(net()), *TABLES),
    (InterTaskAffinity(net()), *TABLES),
    (GradientCosineAffinity(net()), *TABLES),
    (LabelCorrelationAffinity(), *TABLES),
    (GradTAG(net(), projection_dim=5), *TABLES),
    (GroupGains(net()), *TABLES),
    (TAGGrouping(net(), 2), *TABLES),
    (GradTAGGrouping(net(), 2, projection_dim=5), *TABLES),
    (HOAGrouping(net(), 2), *TABLES),
    (ExhaustiveGrouping(net(), 2), *TABLES),
    (MTGNetGrouping(net(), 2, predictor=MTGNet(max_epochs=1)), *TABLES),
    (
        GroupStability(
            make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2)),
            n_repetitions=2,
            n_references=19,
        ),
        *TABLES,
    ),
    (TableLearner(LogisticRegression()), *TABLES),
    (AllTasks(), *TABLES),
    (SingleTasks(), *TABLES),
    (PooledTasksClassifier(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (PooledTasksRegressor(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (OneForAllClassifier(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (OneForAllRegressor(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (OneEachClassifier(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (OneEachRegressor(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (RandomGroupsClassifier(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (RandomGroupsRegressor(task=3, n_groups=[1, 2], cv=2), *POPULATIONS),
    (OfRows(PooledTasksClassifier(task=3, n_groups=[1, 2], cv=2), 3), *POPULATIONS),
    (CrossLosses(task=3), *POPULATIONS),
    (Coefficients(task=3), *POPULATIONS),
    (Gradients(net(), task=3), *POPULATIONS),
    (FuzzyKMeans(2), *ROWS),
    (PointKMeans(2), *ROWS),
    (MTGNet(max_epochs=1), *GROUPS),
    (ETAP(np.eye(3)[::-1]), *GROUPS),
    (HigherOrderApproximation(), *GROUPS),
    (GroupSelector(2), (np.eye(3),), (np.eye(4)[:3],)),
]
NAMES = [type(estimator).__name__ for estimator, _, _ in ESTIMATORS]
each = pytest.mark.parametrize(("estimator", "good", "bad"), ESTIMATORS, ids=NAMES)


def assert_same_state(estimator, before):
    after = vars(estimator)
    assert list(after) == list(before)
    changed = [name for name in before if after[name] is not before[name]]
    assert not changed


REFUSALS = r"infinity|must be"


@each
def test_a_refused_first_fit_leaves_nothing(estimator, good, bad):
    estimator = clone(estimator)
    before = vars(estimator).copy()
    with pytest.raises(ValueError, match=REFUSALS):
        estimator.fit(*bad)
    assert_same_state(estimator, before)


@each
def test_a_refused_second_fit_leaves_the_first(estimator, good, bad):
    estimator = clone(estimator).fit(*good)
    before = vars(estimator).copy()
    with pytest.raises(ValueError, match=REFUSALS):
        estimator.fit(*bad)
    assert_same_state(estimator, before)


@pytest.mark.parametrize(
    ("estimator", "good", "bad"),
    [row for row in ESTIMATORS if not isinstance(row[0], GroupGains)],  # keeps what it measured
)
def test_an_interruption_at_the_very_end_leaves_the_first_fit(estimator, good, bad):
    estimator = clone(estimator).fit(*good)
    before = vars(estimator).copy()
    body = inspect.unwrap(type(estimator).fit).__code__

    def interrupt(frame, event, arg):
        if event == "return" and frame.f_code is body:
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(*good)
    finally:
        sys.setprofile(None)
    assert_same_state(estimator, before)


def test_training_that_diverges_leaves_the_first_fit():
    clf = GroupedMTLClassifier(net(), n_groups=2, random_state=0).fit(X, Y)
    expected = clf.predict_proba(X)
    clf.set_params(estimator__lr=1e30, estimator__max_epochs=3)
    with pytest.raises(ValueError, match="not finite"):
        clf.fit(X * 1e20, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


def test_a_fit_transform_that_fails_leaves_the_first_fit(monkeypatch):
    grouper = TaskGrouper(net()).fit(X, Y)
    before = vars(grouper).copy()

    def refuse(self, X):
        raise KeyboardInterrupt

    monkeypatch.setattr(TaskGrouper, "transform", refuse)
    with pytest.raises(KeyboardInterrupt):
        grouper.fit_transform(X, Y)
    assert_same_state(grouper, before)


def test_the_signature_of_fit_is_what_metadata_routing_sees():
    assert list(inspect.signature(TaskGrouper.fit).parameters) == [
        "self", "X", "y", "sample_weight",
    ]  # fmt: skip
    assert TaskGrouper.fit.__name__ == "fit"
    assert "sample_weight" in get_routing_for_object(TaskGrouper()).fit.requests


def test_every_fit_of_the_package_is_of_this_kind():
    """Nets have a rule of their own, as what it learned outlives an interruption; views of a
    task are never fitted."""
    modules = [
        import_module(info.name)
        for info in pkgutil.walk_packages(skgroup.__path__, "skgroup.")
        if "__main__" not in info.name
    ]
    classes = {
        c
        for module in modules
        for name, c in inspect.getmembers(module, inspect.isclass)
        if c.__module__.startswith("skgroup.")
        and issubclass(c, BaseEstimator)
        and not name.startswith("_")
        and not name.endswith("Mixin")
        and not inspect.isabstract(c)
        and (c is MultiTaskNet or not issubclass(c, MultiTaskNet))
    }
    listed = {type(estimator) for estimator, _, _ in ESTIMATORS} | {MultiTaskNet}
    bases = {
        c for c in classes if any(issubclass(other, c) for other in listed) and c not in listed
    }
    assert classes - bases - {TaskClassifierView, TaskRegressorView} <= listed


# -- interruptions -----------------------------------------------------------------------------


class Interruptible(MLP):
    """Ctrl-C at a step of training, counted from 1."""

    def __init__(self, n_features, n_outputs, interrupt_at=None):
        super().__init__(n_features=n_features, n_outputs=n_outputs, hidden_units=(4,))
        self.interrupt_at, self.step = interrupt_at, 0

    def forward(self, x):
        if torch.is_grad_enabled():
            self.step += 1
            if self.step == self.interrupt_at:
                raise KeyboardInterrupt
        return super().forward(x)


def interruptible():
    return MultiTaskNet.stg_mtl(Interruptible, max_epochs=2, random_state=0)


HALVES = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
INTERRUPTED = {
    "the grouper": GroupedMTLClassifier(interruptible(), n_groups=2),
    "specialists": GroupedMTLClassifier(interruptible(), HALVES),
    "one after another": GroupedMTLClassifier(interruptible(), HALVES, strategy="sequential"),
    "in processes": GroupedMTLClassifier(interruptible(), HALVES, n_jobs=2),
    "portfolio": PortfolioClassifier([("net", interruptible())], cv=2),
    "data maps": TaskGrouper(interruptible()),
    "data maps of single tasks": TaskGrouper(interruptible(), source="stl"),
    "data maps in processes": TaskGrouper(interruptible(), source="stl", n_jobs=2),
    "TAG": InterTaskAffinity(interruptible()),
    "gradients": GradientCosineAffinity(interruptible()),
}


@pytest.mark.parametrize("case", INTERRUPTED)
def test_an_interruption_is_raised_and_leaves_the_first_fit(case):
    estimator = clone(INTERRUPTED[case]).fit(X, Y)
    of = "net" if case == "portfolio" else "estimator"
    estimator.set_params(**{f"{of}__module__interrupt_at": 2})
    before = vars(estimator).copy()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, Y)
    assert_same_state(estimator, before)


def test_an_interrupted_search_is_no_score():
    net = interruptible().set_params(module__interrupt_at=2)
    for estimator in (net, GroupedMTLClassifier(net, n_groups=2)):
        with pytest.raises(KeyboardInterrupt):
            cross_val_score(estimator, X, Y, cv=2)
        with pytest.raises(KeyboardInterrupt):
            GridSearchCV(estimator, {}, cv=2).fit(X, Y)
