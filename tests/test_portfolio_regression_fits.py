"""Portfolios of regression tasks: out of the bag or by folds, what fails, and what is refused."""

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioRegressor,
)
from skgroup.ensemble._serving import learn_number_weights
from skgroup.tasks import check_tasks


@pytest.fixture(scope="module")
def data():
    """A linear task, one of a product, and one that is both, in units of their own."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(160, 4)).astype(np.float32)
    parts = [X[:, 0], X[:, 1] * X[:, 2], X[:, 0] + X[:, 1] * X[:, 2]]
    noise = rng.normal(scale=0.2, size=(160, 3))
    return X, (np.column_stack(parts) + noise) * [1.0, 1e3, 1e-3] + [0.0, 5e3, 1.0]


@pytest.fixture
def tiny_net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=3, lr=0.02, batch_size=64)


# -- out of the bag, what fails, and what it will cost -----------------------------------------


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("shape", ["table", "1-D"])
def test_forests_are_trained_once_and_judged_by_trees_that_left_a_sample_out(data, missing, shape):
    X, Y = data[0], data[1].copy()
    if missing:
        Y[np.random.RandomState(0).rand(*Y.shape) < 0.2] = np.nan
    Y = Y if shape == "table" else Y[:, 0]
    forests = [
        ("stumps", RandomForestRegressor(100, max_depth=2, random_state=3)),
        ("extra", ExtraTreesRegressor(100, bootstrap=True, random_state=4)),
    ]
    reg = PortfolioRegressor(forests, cv=4, random_state=0).fit(X, Y)
    assert not any(hasattr(m, "oob_prediction_") for m in reg.members_)
    table = check_tasks(Y, task_types="regression")
    errors = np.zeros((table.n_tasks, 2, 160))
    for m, (_, forest) in enumerate(forests):
        for t, y in enumerate(table.values.T):
            rows = ~np.isnan(y)
            if missing or shape == "1-D":
                alone = clone(forest).set_params(oob_score=True).fit(X[rows], y[rows])
                predicted = alone.oob_prediction_
            else:
                whole = clone(forest).set_params(oob_score=True).fit(X, Y)
                predicted = whole.oob_prediction_[:, t]
            errors[t, m, rows] = (predicted - y[rows]) / y[rows].std()
    prior = np.full((table.n_tasks, 2), 0.5)
    expected = learn_number_weights(errors, prior, table)
    np.testing.assert_allclose(reg.serving_weights_, expected, atol=1e-4)


class CountingForest(RandomForestRegressor):
    """Keeps how many samples each of its fits has seen."""

    fits = ()  # a list, in a test

    def fit(self, X, y, sample_weight=None):
        CountingForest.fits.append(len(X))
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize(
    ("forest", "params"),
    [
        (CountingForest(20), {}),
        (CountingForest(100, bootstrap=False), {}),
        (CountingForest(100, max_samples=0.5), {}),
        (CountingForest(100), {"refit": False}),
        (CountingForest(100), {"cv": KFold(3)}),
    ],
    ids=str,
)
def test_a_fold_is_held_out_where_no_tree_surely_leaves_each_sample_out(
    data, monkeypatch, forest, params
):
    monkeypatch.setattr(CountingForest, "fits", [])
    PortfolioRegressor([("forest", forest)], **{"cv": 3, **params}, random_state=0).fit(*data)
    assert len(CountingForest.fits) == 3 + params.get("refit", True)
    assert min(CountingForest.fits) < 160


class FailsOn(Ridge):
    """Fails when it is fitted on so many samples, or says no number for that many."""

    def __init__(self, n_samples=None, says=None):
        super().__init__()
        self.n_samples, self.says = n_samples, says

    def fit(self, X, y, sample_weight=None):
        if len(X) == self.n_samples:
            raise RuntimeError(f"no room for {len(X)}")
        return super().fit(X, y, sample_weight)

    def predict(self, X):
        return super().predict(X) if self.says is None else np.full((len(X), 3), self.says)


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize(
    ("failing", "why"),
    [
        (FailsOn(160), "RuntimeError: no room for 160"),
        (FailsOn(80), "RuntimeError: no room for 80"),
        (FailsOn(says=np.nan), r"ValueError: Member 'bad' .* must give finite numbers\. Got nan"),
        (FailsOn(says=1e300), "must give finite numbers"),
    ],
    ids=["refit", "fold", "nan", "beyond float32"],
)
def test_a_member_that_fails_is_named_and_the_others_go_on(data, tiny_net, failing, why, n_jobs):
    X, Y = data
    given = [("linear", Ridge()), ("bad", failing), ("net", tiny_net)]
    reg = PortfolioRegressor(given, cv=2, random_state=0, n_jobs=n_jobs)
    with pytest.warns(FitFailedWarning, match=f"of PortfolioRegressor failed.*'bad': .*{why}"):
        reg.fit(X, Y)
    assert reg.member_names_.tolist() == ["linear", "net"]
    assert reg.serving_weights_.shape == (3, 2)


def test_where_all_members_fail_the_first_error_is_raised_and_the_earlier_fit_stays(data):
    reg = PortfolioRegressor([("linear", Ridge())], cv=2, random_state=0).fit(*data)
    before = reg.predict(data[0])
    reg.set_params(members=[("bad", FailsOn(80)), ("worse", FailsOn(says=np.inf))])
    with pytest.raises(RuntimeError, match="no room for 80"):
        reg.fit(*data)
    np.testing.assert_array_equal(reg.predict(data[0]), before)


def test_a_forecast_has_every_member_and_leaves_no_trace(data, tiny_net, capsys):
    reg = PortfolioRegressor([("linear", Ridge()), ("net", tiny_net), ("bad", FailsOn(50))])
    forecast = reg.forecast(*data)
    assert list(forecast) == ["linear", "net", "bad"]
    assert forecast["net"] > 0
    assert np.isnan(forecast["bad"])
    assert not hasattr(reg, "members_")
    assert reg.count_nets(3) == 6
    reg.set_params(bad="drop", verbose=1, cv=2).fit(*data)
    assert "members: 100%" in capsys.readouterr().err


# -- what is refused ---------------------------------------------------------------------------


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        pytest.fail("training began before the members were checked")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "must be a non-empty list of (name, regressor) pairs"),
        ([("a", "drop")], "pairs of which some are not dropped"),
        ([("a", LogisticRegression())], "Member 'a' of PortfolioRegressor must be a regressor"),
        ([("a", GroupedMTLClassifier())], "Member 'a' of PortfolioRegressor must be a regressor"),
        (
            [("a", MultiTaskNet(task_types="binary"))],
            "Member 'a' of PortfolioRegressor must be a regressor",
        ),
        ([("a", StandardScaler())], "Member 'a' of PortfolioRegressor must be a regressor"),
        ([("a", Ridge)], "Member 'a' of PortfolioRegressor must be a regressor"),
        ([("a", Ridge(alpha=-1.0))], "Member 'a' of PortfolioRegressor cannot be fitted"),
        (
            [("a", GroupedMTLRegressor(n_groups=9))],
            "Member 'a' of PortfolioRegressor cannot be fitted: The 'n_groups' parameter",
        ),
        (
            [("a", MultiTaskNet(task_types={1: "binary"}))],
            "Member 'a' of PortfolioRegressor must learn task 1 as what it is for all members, a "
            "regression task. Its 'task_types' says 'binary'",
        ),
    ],
)
def test_wrong_members_are_refused_before_any_trains(data, members, message):
    net = MultiTaskNet(callbacks=[NoTraining()])
    first = [("first", net)] if members and members != [("a", "drop")] else []
    with pytest.raises(ValueError, match=re.escape(message)):
        PortfolioRegressor(first + members).fit(*data)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"cv": 1}, "The 'cv' parameter of PortfolioRegressor must be"),
        ({"n_jobs": 0}, "The 'n_jobs' parameter of PortfolioRegressor must be"),
        ({"members": {"a": 1}}, "The 'members' parameter of PortfolioRegressor must be"),
    ],
)
def test_bad_parameters_are_refused_before_training(data, params, message):
    given = [("net", MultiTaskNet(callbacks=[NoTraining()]))]
    with pytest.raises(ValueError, match=re.escape(message)):
        PortfolioRegressor(**{"members": given, **params}).fit(*data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Y: np.where(Y[0] == Y, np.inf, Y), "task 0 of Y is a regression task, which"),
        (lambda Y: np.where(Y > 0, "a", "b"), "task 0 of Y is a regression task, which must hold"),
        (lambda Y: Y[:9], "must have the same number of samples. Got X with 160 and Y with 9."),
        (lambda Y: np.ones_like(Y), "there is nothing to learn"),
    ],
)
def test_wrong_numbers_are_refused_before_training(data, change, message):
    X, Y = data
    reg = PortfolioRegressor([("net", MultiTaskNet(callbacks=[NoTraining()]))])
    with pytest.raises(ValueError, match=re.escape(message)):
        reg.fit(X, change(Y))


def test_weights_that_leave_one_number_of_a_task_are_refused(data):
    X, Y = data
    Y = Y.copy()
    Y[:150, 1] = 5.0
    with pytest.raises(ValueError, match=r"sample_weight is refused.* two numbers.* task 1\.$"):
        PortfolioRegressor([("a", Ridge())]).fit(X, Y, sample_weight=np.arange(160) < 150)
    with pytest.raises(ValueError, match=r"Member 'b' .* must take sample_weight in fit"):
        PortfolioRegressor([("b", KNeighborsRegressor())]).fit(X, Y, sample_weight=np.ones(160))
