"""Regression tasks at the edges: weights, further training, odd containers, scores of mixes."""

import re

import numpy as np
import pytest

from skgroup import MultiTaskNet
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
