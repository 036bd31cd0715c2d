"""Regression tasks at the edges: weights, further training, odd containers, scores of mixes."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochScoring

from skgroup import FuzzyKMeans, GroupedMTLEstimator, GroupedMTLRegressor, MultiTaskNet, TaskGrouper
from skgroup.metrics import multitask_r2_score


@pytest.fixture
def table():
    """X, and a task of numbers beside one of classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3)).astype(np.float32)
    return X, np.column_stack([X[:, 0].astype(float) + 0.1, X[:, 1] > 0])


def small_net(**params):
    params = {"max_epochs": 3, "random_state": 0, "device": "cpu"} | params
    return MultiTaskNet(**params)


# -- what the kinds are told by ----------------------------------------------------------------


@pytest.mark.parametrize("of_type", [list, tuple, np.array, pd.Series])
def test_task_types_may_be_any_sequence(table, of_type):
    X, Y = table
    net = small_net(task_types=of_type(["regression", "multiclass"])).fit(X, Y)
    assert net.task_types_ == ("regression", "multiclass")


def test_a_series_of_task_types_is_matched_by_the_names_of_the_tasks(table):
    X, Y = table
    Y = pd.DataFrame(np.c_[np.full(40, 2.5), Y], columns=["constant", "number", "label"])
    types = pd.Series({"label": "multiclass", "constant": "regression", "number": "regression"})
    with pytest.warns(UserWarning, match="single observed class or number"):
        est = GroupedMTLEstimator(small_net(task_types=types), n_groups=1).fit(X, Y)
    assert est.task_types_ == ("regression", "regression", "multiclass")
    types = types.rename({"label": "other"})
    with pytest.raises(ValueError, match=r"The index of 'task_types'.*Missing: label"):
        small_net(task_types=types).fit(X, Y)


def test_nets_of_a_grouper_must_agree_about_the_kinds(table):
    X, Y = table
    for types, message in (
        ("binary", "task 0 of Y is a regression task, but a binary one by 'binary'"),
        ({5: "regression"}, "names 5, which is no task"),
    ):
        relation = TaskGrouper(small_net(task_types=types))
        est = GroupedMTLEstimator(small_net(), make_pipeline(relation, FuzzyKMeans(2)))
        with pytest.raises(ValueError, match=message):
            est.fit(X, Y)


def test_class_weights_of_a_table_of_numbers_alone_are_refused(table):
    X, Y = table
    with pytest.raises(ValueError, match=r"'class_weight' .* task 0 of Y, .* is a regression task"):
        small_net(class_weight={0: 1, 1: 3}).fit(X, Y[:, :1])


def test_an_int_that_no_float_can_hold_is_refused_by_name(table):
    X, _ = table
    y = np.array([10**400 + i for i in range(len(X))], dtype=object)
    with pytest.raises(ValueError, match=r"task 0 of Y is a regression task, .* infinity"):
        small_net(task_types="regression").fit(X, y)


def test_a_constant_number_alone_is_refused_as_a_number(table):
    X, _ = table
    with pytest.raises(ValueError, match=r"class\) or number in it, .* two different numbers"):
        GroupedMTLRegressor(small_net(), n_groups=1).fit(X, np.full(len(X), 2.5))


# -- weights of samples ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1e30, -1e300])
def test_a_sample_without_weight_may_hold_any_number(table, number):
    X, Y = table
    weight, other = np.ones(len(X)), Y.copy()
    weight[:3], other[:3, 0] = 0, number
    net = small_net().fit(X, Y, sample_weight=weight)
    of_other = small_net().fit(X, other, sample_weight=weight)
    np.testing.assert_array_equal(net.predict(X), of_other.predict(X))


def test_samples_with_weight_must_hold_two_numbers(table):
    X, Y = table
    weight = np.ones(len(X))
    weight[:3], Y[3:, 0] = 0, 1e-6
    with pytest.raises(ValueError, match=r"weight is above 0.*There are none of task 0"):
        small_net().fit(X, Y, sample_weight=weight)


# -- further training --------------------------------------------------------------------------


def test_a_second_number_of_a_constant_task_is_refused_in_further_training(table):
    X, Y = table
    constant = np.c_[np.full(len(X), 2.5), Y]
    with pytest.warns(UserWarning, match="task 0: 2.5"):
        net = small_net().fit(X, constant)
    net.partial_fit(X, constant)
    with pytest.raises(ValueError, match="task 0 of Y holds a second number"):
        net.partial_fit(X, np.c_[Y[:, 0], Y])


def test_the_classes_of_a_first_partial_fit_say_what_is_a_number(table):
    X, Y = table
    whole = np.c_[np.round(3 * Y[:, 0]), Y[:, 1]]
    net = small_net().partial_fit(X, whole, classes=[None, [0, 1]])
    assert net.task_types_ == ("regression", "binary")
    assert net.partial_fit(X, Y).score(X, Y) > 0
    with pytest.raises(ValueError, match=r"task 0 of Y holds .*, which is no class label"):
        small_net().partial_fit(X, Y, classes=[[0, 1], [0, 1]])
    with pytest.raises(ValueError, match="must be None of task 0, which is a regression task"):
        small_net(task_types={0: "regression"}).partial_fit(X, Y, classes=[[0, 1], [0, 1]])


@pytest.mark.parametrize("number", [2.5, np.nan])
def test_mean_and_deviation_are_those_of_the_first_samples_that_tell(table, number):
    X, Y = table
    first, Y = Y.copy(), Y * [1e-3, 1]
    first[:, 0] = number
    net = small_net().partial_fit(X, first, classes=[None, [0, 1]])
    net.partial_fit(X, Y).partial_fit(X, Y * [2, 1])
    scaling = net.target_scaling_
    np.testing.assert_allclose(
        [scaling.location[0], scaling.scale[0]], [Y[:, 0].mean(), Y[:, 0].std()]
    )
    assert np.abs(net.predict(X)[:, 0]).max() < 0.1


def test_numbers_of_another_size_are_refused_in_further_training(table):
    X, Y = table
    other = Y * [1e12, 1]
    net = small_net().fit(X, Y)
    before = net.predict(X)
    message = "task 0 of Y is a regression task, .* like those of the earlier fit"
    with pytest.raises(ValueError, match=message):
        net.partial_fit(X, other)
    with pytest.raises(ValueError, match=message):
        net.set_params(warm_start=True).fit(X, other)
    np.testing.assert_array_equal(net.predict(X), before)


# -- scores ------------------------------------------------------------------------------------


def test_the_score_of_a_mix_names_tasks_as_y_does(table):
    X, Y = table
    Y = Y.astype(object)
    Y[:, 1] = np.where(Y[:, 1], "yes", "no")
    with pytest.raises(ValueError, match=re.escape("which class of task 1 is the positive one")):
        small_net().fit(X, Y).score(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_the_score_of_a_mix_is_the_mean_over_the_tasks_that_have_one(table):
    X, Y = table
    Y = np.c_[Y, X[:, 2] > 0, X[:, 2] < 0]
    net = small_net().fit(X, Y)
    known = np.c_[Y[:, :2], np.full((len(X), 2), np.nan)]
    alone = [net.score(X, np.where(np.arange(4) == t, Y, np.nan)) for t in (0, 1)]
    np.testing.assert_allclose(net.score(X, known), np.mean(alone))
    np.testing.assert_allclose(net.score(X, known * [1, np.nan, 1, 1]), alone[0])


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_r2_knows_no_units(unit):
    true, predicted = np.array([0.5, 1.5, 2.0, 4.0]), np.array([1.0, 1.0, 2.5, 3.0])
    expected = multitask_r2_score(true, predicted)
    np.testing.assert_allclose(multitask_r2_score(true * unit, predicted * unit), expected)


def test_scorers_of_scikit_learn_score_a_net_that_has_met_numbers_alone(table):
    X, Y = table
    y = Y[:, 0]
    scores = EpochScoring("r2", name="r2", on_train=True, lower_is_better=False)
    net = small_net(callbacks=[scores]).fit(X, y)
    assert net.history[-1, "r2"] == pytest.approx(net.score(X, y), abs=0.5)
    assert get_scorer("r2")(net, X, y) == pytest.approx(net.score(X, y))
    errors = cross_val_score(small_net(), X, y, scoring="neg_mean_squared_error", cv=2)
    assert np.isfinite(errors).all()
    assert is_classifier(clone(net))
