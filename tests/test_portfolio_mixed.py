"""Portfolios of tasks of several kinds: who learns what, and how each is served."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from skorch.callbacks import Callback

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioClassifier,
    PortfolioEstimator,
    PortfolioRegressor,
)


@pytest.fixture(scope="module")
def data():
    """Yes or no, a price, a colour of three, and a count that could be a class."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(180, 4)).astype(np.float32)
    Y = pd.DataFrame(
        {
            "sold": np.where(X[:, 0] > 0.3, 1.0, 0.0),
            "price": 1000 + 100 * X[:, 1] + 5 * rng.normal(size=180),
            "colour": np.digitize(X[:, 2], [-0.5, 0.5]).astype(float),
            "rooms": np.round(X[:, 0] + X[:, 3]).clip(-2, 2) + 3,
        }
    )
    Y.iloc[::9, 1] = np.nan
    Y.iloc[5::11, 2] = np.nan
    return X, Y


TYPES = {"rooms": "regression"}


@pytest.fixture
def tiny_net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=3, lr=0.02, batch_size=64)


def every_member(net):
    return [
        ("net", net),
        ("groups", GroupedMTLEstimator(net, n_groups=2)),
        ("of_classes", GroupedMTLClassifier(net, n_groups=2)),
        ("of_numbers", GroupedMTLRegressor(net, n_groups=2)),
        ("forest", RandomForestClassifier(100)),
        ("trees", RandomForestRegressor(100)),
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
        ("ridge", make_pipeline(StandardScaler(), Ridge())),
    ]


def portfolio(net, **params):
    given = {"task_types": TYPES, "cv": 2, "random_state": 0, **params}
    return PortfolioEstimator(every_member(net), **given)


CLASSES, NUMBERS, ALL = [0, 2], [1, 3], [0, 1, 2, 3]


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("refit", [True, False])
def test_a_member_learns_the_tasks_of_its_sort(data, tiny_net, refit):
    X, Y = data
    est = portfolio(tiny_net, refit=refit).fit(X, Y)
    assert est.task_types_ == ("binary", "regression", "multiclass", "regression")
    expected = [ALL, ALL, CLASSES, NUMBERS, CLASSES, NUMBERS, CLASSES, NUMBERS]
    assert [tasks.tolist() for tasks in est.member_tasks_] == expected
    learns = np.array([np.isin(ALL, tasks) for tasks in expected]).T
    np.testing.assert_array_equal(est.serving_weights_ > 0, learns)
    np.testing.assert_allclose(est.serving_weights_.sum(axis=1), 1)
    np.testing.assert_array_equal(np.isnan(est.thresholds_), [False, True, True, True])
    assert est.share_maps_.shape == (8, 6, 2)
    assert (est.share_maps_[:, [1, 5]] == [1, 0]).all()
    assert (est.share_maps_[3] == [1, 0]).all()
    assert (est.share_maps_[0, 0] != [1, 0]).any()
    # A net that learns all tasks is of no other kind in a fold.
    for net in [est.members_[0]] if refit else est.members_[0]:
        assert net.task_types_ == est.task_types_
        assert net.task_names_in_.tolist() == list(Y.columns)


def test_each_task_is_served_as_in_a_portfolio_of_its_sort(data):
    X, Y = data
    sorts = [("logistic", LogisticRegression()), ("forest", RandomForestClassifier(5))]
    numbers = [("ridge", Ridge()), ("trees", RandomForestRegressor(5))]
    for _, member in sorts + numbers:
        if "random_state" in member.get_params():
            member.set_params(random_state=0)
    halves = KFold(2)
    est = PortfolioEstimator(sorts + numbers, task_types=TYPES, cv=halves).fit(X, Y)
    clf = PortfolioClassifier(sorts, cv=halves).fit(X, Y.iloc[:, CLASSES])
    reg = PortfolioRegressor(numbers, cv=halves).fit(X, Y.iloc[:, NUMBERS])
    np.testing.assert_allclose(est.serving_weights_[CLASSES, :2], clf.serving_weights_, atol=1e-4)
    np.testing.assert_allclose(est.serving_weights_[NUMBERS, 2:], reg.serving_weights_, atol=1e-4)
    np.testing.assert_allclose(est.thresholds_, [clf.thresholds_[0], *[np.nan] * 3], rtol=1e-3)
    np.testing.assert_allclose(est.predict(X)[:, NUMBERS], reg.predict(X), rtol=1e-5)
    np.testing.assert_array_equal(est.predict(X)[:, CLASSES], clf.predict(X))
    proba = est.predict_proba(X)
    assert list(proba) == ["sold", "colour"]
    for found, expected in zip(proba.values(), clf.predict_proba(X), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    mean = (2 * clf.score(X, Y.iloc[:, CLASSES]) + 2 * reg.score(X, Y.iloc[:, NUMBERS])) / 4
    assert est.score(X, Y) == pytest.approx(mean)


def test_labels_come_back_as_they_were(data, tiny_net):
    X, Y = data
    Y = Y.astype(object).assign(colour=np.array(["blue", "red", "white"])[np.arange(180) % 3])
    Y["sold"] = np.where(Y["sold"] == 1, "yes", "no")
    before = Y.copy()
    net = tiny_net.set_params(pos_label={"sold": "no"})
    est = PortfolioEstimator([("net", net), ("ridge", Ridge())], task_types=TYPES, cv=2).fit(X, Y)
    pd.testing.assert_frame_equal(Y, before)
    predicted = est.predict(X)
    assert predicted.dtype == object
    assert set(predicted[:, 0]) <= {"yes", "no"}
    assert all(isinstance(number, float) for number in predicted[:, 1])
    assert [None if c is None else list(c) for c in est.classes_] == [
        ["no", "yes"],
        None,
        ["blue", "red", "white"],
        None,
    ]
    assert est.predict_proba(X)["colour"].shape == (180, 3)
    assert 0 < est.thresholds_[0] < 1


def test_kinds_are_those_of_the_whole_table(tiny_net):
    """A number that is not whole may stand in one fold only."""
    X = np.random.RandomState(0).normal(size=(60, 2)).astype(np.float32)
    Y = np.column_stack([X[:, 0] > 0, np.round(2 * X[:, 1])])
    Y[59, 1] = 0.5
    given = [("net", tiny_net), ("groups", GroupedMTLEstimator(n_groups=1))]
    given[1][1].set_params(estimator=clone(tiny_net))
    halves = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    est = PortfolioEstimator(given, cv=halves, refit=False).fit(X, Y)
    for of_member in est.members_:
        assert [fitted.task_types_ for fitted in of_member] == [("binary", "regression")] * 2
    unfitted = PortfolioEstimator([("groups", GroupedMTLEstimator(n_groups=1))], cv=halves)
    (member,) = unfitted._plan(X, Y, None, None).members
    assert member.estimator.estimator.task_types == ["binary", "regression"]


def test_an_estimator_of_one_sort_is_told_of_its_tasks_alone(data, tiny_net):
    """Names, memberships and missing labels are those of the whole table."""
    X, Y = data
    Y = Y.assign(same=3.5)
    groups = pd.DataFrame([[1.0, 0.0], [0.0, 1.0]], index=["colour", "sold"])
    given = [
        ("of_classes", GroupedMTLClassifier(tiny_net, groups)),
        ("searched", GridSearchCV(tiny_net, {"lr": [0.01]}, cv=KFold(2), scoring=lambda *_: 0.0)),
        ("inner", PortfolioEstimator([("ridge", Ridge()), ("net", tiny_net)], cv=2)),
    ]
    est = PortfolioEstimator(given, task_types=TYPES, cv=2, random_state=0)
    with pytest.warns(UserWarning, match=r"single observed class or number") as caught:
        est.fit(X, Y)
    assert len(caught) == 1
    of_classes, searched, inner = est.members_
    assert of_classes.task_names_in_.tolist() == ["sold", "colour"]
    np.testing.assert_array_equal(of_classes.membership_, [[0, 1], [1, 0]])
    assert searched.best_estimator_.task_types_ == est.task_types_ == inner.task_types_
    assert (est.predict(X)[:, 4] == 3.5).all()
    assert (est.serving_weights_[4] == 0).all()


def test_one_seed_one_result_that_survives_storing(data, tiny_net):
    X, Y = data
    est = portfolio(tiny_net).fit(X, Y)
    again, stored = clone(est).fit(X, Y), pickle.loads(pickle.dumps(est))
    for other in (again, stored):
        np.testing.assert_array_equal(other.predict(X), est.predict(X))
        np.testing.assert_array_equal(other.serving_weights_, est.serving_weights_)
    shuffled = Y[["rooms", "sold", "price", "colour"]]
    assert est.score(X, shuffled) == est.score(X, Y)


def test_sample_weights_reach_members_of_both_sorts(data, tiny_net):
    X, Y = data
    weight = np.where(Y["sold"] == 1, 5.0, 1.0)
    given = [("net", tiny_net), ("logistic", LogisticRegression()), ("ridge", Ridge())]
    est = PortfolioEstimator(given, task_types=TYPES, cv=2, random_state=0)
    plain = clone(est).fit(X, Y)
    weighted = est.fit(X, Y, sample_weight=weight, groups=np.arange(180) // 2)
    before, after = (fitted.predict_proba(X)["sold"][:, 1].mean() for fitted in (plain, weighted))
    assert after > before + 0.02
    assert plain.target_scaling_.location[3] != weighted.target_scaling_.location[3]


def test_default_members_are_those_of_both_sorts(monkeypatch, data):
    monkeypatch.setattr("skgroup.ensemble._default_members._N_TREES", 5)
    X, Y = data
    names = [
        ("extra_trees_classifier", CLASSES),
        ("random_forest_classifier", CLASSES),
        ("boosting_classifier", CLASSES),
        ("extra_trees_regressor", NUMBERS),
        ("boosting_regressor", NUMBERS),
        ("ridge_regressor", NUMBERS),
    ]
    est = PortfolioEstimator(cv=0.3, task_types=TYPES, random_state=0)
    plan = est._plan(X, Y, None, None)
    found = [(m.name, np.flatnonzero(m.learns).tolist()) for m in plan.members]
    assert found == [("net", ALL), *names]
    assert est.count_nets(4) == 2
    of_numbers = est.set_params(task_types="auto")._plan(X, Y[["price"]], None, None)
    assert [m.name for m in of_numbers.members][1:3] == ["extra_trees", "boosting"]
    assert not is_classifier(est)
    assert not is_regressor(est)
    assert get_tags(est).input_tags.allow_nan
    images = est._named_members(np.zeros((6, 1, 4, 4)))
    assert [type(m) for m in images.values()] == [MultiTaskNet, GroupedMTLEstimator]


# -- what is refused ---------------------------------------------------------------------------


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        pytest.fail("training began before the members were checked")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "must be a non-empty list of (name, estimator) pairs"),
        (
            [("a", StandardScaler())],
            "Member 'a' of PortfolioEstimator must be a classifier or a regressor",
        ),
        ([("a", Perceptron())], "must be a classifier with predict_proba"),
        (
            [("a", Ridge()), ("b", RandomForestRegressor())],
            "must have a member that learns each task. task 0 ('sold') of Y is a binary task, and "
            "none learns it: give a classifier, or a net. Got 'a', 'b'.",
        ),
        (
            [("a", LogisticRegression())],
            "task 1 ('price') of Y is a regression task, and none learns it: give a regressor",
        ),
        (
            [("a", MultiTaskNet(task_types={"rooms": "multiclass"}))],
            "Member 'a' of PortfolioEstimator must learn task 3 ('rooms') as what it is for all "
            "members, a regression task. Its 'task_types' says 'multiclass'",
        ),
        (
            [("a", MultiTaskNet(class_weight={"price": {0: 1.0}}))],
            "Member 'a' of PortfolioEstimator cannot be fitted: The 'class_weight' parameter must "
            "name tasks with classes",
        ),
        ([("a", MultiTaskNet(pos_label={"price": 1}))], "task 1 ('price') is a regression task"),
    ],
)
def test_wrong_members_are_refused_before_any_trains(data, members, message):
    if members and "each task" not in message and "none learns" not in message:
        members = [("first", MultiTaskNet(callbacks=[NoTraining()])), *members]
    with pytest.raises(ValueError, match=re.escape(message)):
        PortfolioEstimator(members, task_types=TYPES).fit(*data)


def test_what_no_task_can_use_is_refused(data):
    X, Y = data
    net = ("net", MultiTaskNet(callbacks=[NoTraining()]))
    with pytest.raises(ValueError, match=r"Member 'a' .* learns regression tasks.*none to learn"):
        PortfolioEstimator([net, ("a", Ridge())]).fit(X, Y[["sold", "colour"]])
    message = (
        r"'threshold' parameter .* task 0 \('price'\) of Y, as all others, is a regression task"
    )
    with pytest.raises(ValueError, match=message):
        PortfolioEstimator([net], threshold=0.3).fit(X, Y[["price"]])
    with pytest.raises(ValueError, match="The 'task_types' parameter must be"):
        PortfolioEstimator([net], task_types="number").fit(X, Y)


def test_a_classifier_names_the_portfolios_of_regression_tasks(data):
    X, Y = data
    clf = PortfolioClassifier([("net", MultiTaskNet(callbacks=[NoTraining()]))])
    message = r"task 1 \('price'\) .* regression task.*PortfolioRegressor .*PortfolioEstimator "
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    for member in (Ridge(), GroupedMTLRegressor(), MultiTaskNet(task_types="regression")):
        with pytest.raises(ValueError, match="'a' of PortfolioClassifier must be a classifier"):
            PortfolioClassifier([("a", member)]).fit(X, Y[["sold"]])


class Fails(Ridge):
    def fit(self, X, y, sample_weight=None):
        raise RuntimeError("no room")


def test_the_error_of_the_only_member_of_a_task_is_raised(data, tiny_net):
    X, Y = data
    given = [("logistic", LogisticRegression()), ("bad", Fails())]
    est = PortfolioEstimator(given, task_types=TYPES, cv=2)
    with pytest.raises(RuntimeError, match="no room"):
        est.fit(X, Y)
    est.set_params(members=[*given, ("net", tiny_net)])
    with pytest.warns(FitFailedWarning, match="PortfolioEstimator failed.*'bad': RuntimeError"):
        est.fit(X, Y)
    assert est.member_names_.tolist() == ["logistic", "net"]
    np.testing.assert_array_equal(est.serving_weights_[NUMBERS], [[0, 1], [0, 1]])
