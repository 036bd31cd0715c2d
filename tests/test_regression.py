"""Regression tasks, alone and beside tasks with classes: nets and groups of them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import f1_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit
from torch.utils.data import Dataset

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    TaskGrouper,
)
from skgroup.nn import MLP
from skgroup.tasks import TargetScaling, check_tasks

ESTIMATORS = (MultiTaskNet, GroupedMTLEstimator)


def small(**params):
    options = {"module__hidden_units": (16,), "max_epochs": 25, "lr": 0.02, "random_state": 0}
    return MultiTaskNet(MLP, **{**options, "batch_size": 32, **params})


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 4)).astype(np.float32)
    Y = pd.DataFrame(
        {
            "bought": (X[:, 0] > 0).astype(int),
            "price": 1000 + 50 * X[:, 1] + 20 * X[:, 2],
            "colour": np.array(["blue", "green", "red"])[np.digitize(X[:, 3], [-0.5, 0.5])],
            "weight": 1e-6 * (X[:, 0] - X[:, 1]),
        }
    )
    Y.loc[rng.random(240) < 0.3, "price"] = np.nan
    Y.loc[rng.random(240) < 0.2, "bought"] = np.nan
    return X, Y


def make(kind, **params):
    return small(**params) if kind is MultiTaskNet else kind(small(**params), n_groups=2)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_mixed_table_is_learned_each_task_in_its_own_type(kind, table):
    X, Y = table
    fitted = make(kind).fit(X, Y)
    assert fitted.task_types_ == ("binary", "regression", "multiclass", "regression")
    predicted = fitted.predict(X)
    assert predicted.shape == Y.shape
    assert predicted.dtype == object
    assert set(predicted[:, 2]) <= {"blue", "green", "red"}
    assert set(predicted[:, 0]) <= {0, 1}
    for t in (1, 3):
        known = Y.iloc[:, t].notna()
        assert r2_score(Y.iloc[:, t][known], predicted[known, t].astype(float)) > 0.9
    proba = fitted.predict_proba(X)
    assert list(proba) == ["bought", "colour"]
    assert proba["bought"].shape == (240, 2)
    assert proba["colour"].shape == (240, 3)
    assert fitted.classes_[1] is None
    assert fitted.classes_[2].tolist() == ["blue", "green", "red"]
    assert not is_regressor(fitted)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_score_of_a_mixed_table_is_the_mean_of_f1_and_r2(kind, table):
    X, Y = table
    Y = Y[["bought", "price", "weight"]]
    fitted = make(kind).fit(X, Y)
    predicted = fitted.predict(X)
    assert predicted.dtype == np.float64
    known = Y.notna().to_numpy()
    expected = [f1_score(Y["bought"][known[:, 0]], predicted[known[:, 0], 0])]
    expected += [r2_score(Y.iloc[:, t][known[:, t]], predicted[known[:, t], t]) for t in (1, 2)]
    assert fitted.score(X, Y) == pytest.approx(np.mean(expected))
    assert fitted.score(X, Y[["weight", "bought", "price"]]) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_units_do_not_matter(scale, table):
    X, _ = table
    y = X[:, 0] - X[:, 1]
    net = small(task_types="regression")
    expected = clone(net).fit(X, y).predict(X)
    found = clone(net).fit(X, (y + 5) * scale).predict(X)
    np.testing.assert_allclose(found / scale - 5, expected, atol=0.01)


def test_targets_are_standardised_on_observed_rows_and_weights():
    values = np.array([[1.0, np.nan], [3.0, 1e200], [np.nan, 3e200], [7.0, 5e200]])
    weight = np.array([1.0, 2.0, 5.0, 1.0])
    found = TargetScaling.of(values, 2, weight)
    repeated = np.repeat(values, weight.astype(int), axis=0)
    np.testing.assert_allclose(found.location, np.nanmean(repeated, axis=0))
    np.testing.assert_allclose(found.scale, np.nanstd(repeated / [1, 1e200], axis=0) * [1, 1e200])
    np.testing.assert_allclose(
        found.numbers(found.standardised(values))[~np.isnan(values)],
        values[~np.isnan(values)],
        rtol=1e-6,
    )


@pytest.mark.parametrize("kind", [MultiTaskNet, GroupedMTLRegressor])
def test_missing_numbers_count_nowhere(kind, table):
    X, _ = table
    rng = np.random.default_rng(1)
    Y = np.column_stack([X[:, 0] + 3, X[:, 1] - X[:, 2]])
    hidden = rng.random(Y.shape) < 0.4
    fitted = [
        make(kind, task_types="regression").fit(X, np.where(hidden, np.nan, Y + extra * hidden))
        for extra in (0, 1e6)
    ]
    predicted = [one.predict(X) for one in fitted]
    np.testing.assert_array_equal(*predicted)
    assert r2_score(Y, predicted[0]) > 0.9
    # Numbers that nobody knows are no part of a score.
    partly = np.where(hidden, np.nan, Y)
    known = [r2_score(Y[~h, t], predicted[0][~h, t]) for t, h in enumerate(hidden.T)]
    assert fitted[0].score(X, partly) == pytest.approx(np.mean(known))


@pytest.mark.parametrize(
    ("loss", "literal"),
    [
        ("squared_error", lambda r: r**2),
        ("absolute_error", abs),
        ("huber", lambda r: np.where(abs(r) <= 1, r**2 / 2, abs(r) - 0.5)),
    ],
)
def test_the_loss_is_the_weighted_mean_of_standardised_errors(loss, literal, table):
    X, Y = table
    Y = Y[["price", "weight"]]
    net = small(
        criterion__regression_loss=loss,
        task_weight=[2.0, 0.5],
        batch_size=-1,
        lr=1e-12,
        max_epochs=1,
        input_scaling=None,
        optimizer__weight_decay=0.0,
    ).fit(X, Y)
    error = (net.predict(X) - Y.to_numpy()) / net.target_scaling_.scale
    of_tasks = [np.mean(literal(e[~np.isnan(e)])) for e in error.T]
    expected = 2 * of_tasks[0] + 0.5 * of_tasks[1]
    assert net.history[-1, "train_loss"] == pytest.approx(expected, rel=1e-4)


def test_a_constant_number_is_served_and_said(table):
    X, Y = table
    Y = Y.assign(fixed=3.5)
    with pytest.warns(UserWarning, match=r"single observed class or number.*'fixed'\): 3\.5"):
        fitted = GroupedMTLEstimator(small(), n_groups=2).fit(X, Y.drop(columns="colour"))
    assert (fitted.predict(X)[:, -1] == 3.5).all()
    assert (fitted.membership_[-1] == 0).all()
    assert fitted.task_types_[-1] == "regression"


def test_task_types_decide_what_floats_do_not_say(table):
    X, _ = table
    Y = pd.DataFrame({"count": np.arange(240) % 7, "flag": np.arange(240) % 2})
    assert small().fit(X, Y).task_types_ == ("multiclass", "binary")
    assert small(task_types={"count": "regression"}).fit(X, Y).task_types_ == (
        "regression",
        "binary",
    )
    assert small(task_types="regression").fit(X, Y).task_types_ == ("regression", "regression")
    net = small(task_types=["auto", "multiclass"]).fit(X, Y)
    assert [p.shape[1] for p in net.predict_proba(X)] == [7, 2]
    assert GroupedMTLRegressor(small()).fit(X, Y).predict(X).dtype == np.float64


@pytest.mark.parametrize(
    ("task_types", "message"),
    [
        ("numbers", "'task_types' parameter must be 'auto' or one of.*'numbers'"),
        ({"size": "regression"}, "names 'size', which is no task"),
        (["regression"], "Got 1 for 4 tasks"),
        (3, "'task_types' parameter must be.*Got 3"),
        ({"colour": "regression"}, r"task 2 \('colour'\).*regression.*must hold numbers"),
        ({"colour": "binary"}, r"task 2 \('colour'\) is binary, but it has 3 classes"),
        ({"price": "binary"}, r"task 1 \('price'\) of Y holds .*, which is no class label"),
    ],
)
def test_wrong_task_types_are_refused(task_types, message, table):
    X, Y = table
    with pytest.raises(ValueError, match=message):
        small(task_types=task_types).fit(X, Y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"class_weight": {"price": {1: 2}}}, r"class_weight.*'price'\) is a regression task"),
        ({"pos_label": {"price": 1}}, r"pos_label.*'price'\) is a regression task"),
        ({"criterion__regression_loss": "mse"}, "regression_loss.*'mse'"),
    ],
)
def test_what_speaks_of_classes_is_refused_for_numbers(params, message, table):
    X, Y = table
    with pytest.raises(ValueError, match=message):
        small(**params).fit(X, Y)


def test_infinite_numbers_are_refused_by_name(table):
    X, Y = table
    Y = Y.copy()
    Y.loc[3, "price"] = np.inf
    with pytest.raises(ValueError, match=r"'price'\).*regression task.*infinity"):
        small().fit(X, Y)


def test_scorers_of_scikit_learn_score_numbers(table):
    X, _ = table
    y = X[:, 0] - X[:, 1]
    assert cross_val_score(small(), X, y, scoring="r2", cv=2).min() > 0.8
    assert is_regressor(small().fit(X, y))
    assert is_classifier(small())


def test_many_whole_numbers_are_said_to_look_like_a_regression_target():
    _, y = load_diabetes(return_X_y=True)
    with pytest.warns(UserWarning, match="214 classes for 442 labels.*'task_types'"):
        check_tasks(y)
    prices = [f"{value:,.2f}" for value in np.arange(60) * 1000 / 7]
    with pytest.warns(UserWarning, match="60 classes for 60 labels.*written as strings"):
        check_tasks(prices)
    check_tasks(np.arange(1000) % 100)  # as many labels a class as a data set of images has
    check_tasks(y, task_types="regression")


def test_there_are_no_probabilities_of_numbers(table):
    X, Y = table
    net = small().fit(X, Y[["price", "weight"]])
    assert not hasattr(net, "predict_proba")
    assert not hasattr(net, "classes_")
    with pytest.raises(AttributeError, match=r"task 0 \('price'\).*regression task"):
        net.predict_proba(X)


def test_classifiers_and_regressors_refuse_each_others_tasks(table):
    X, Y = table
    with pytest.raises(ValueError, match=r"'price'\).*GroupedMTLRegressor.*GroupedMTLEstimator"):
        GroupedMTLClassifier(small()).fit(X, Y)
    with pytest.raises(ValueError, match=r"'colour'\).*must hold numbers"):
        GroupedMTLRegressor(small()).fit(X, Y)
    with pytest.raises(ValueError, match=r"'bought'\).*binary.*GroupedMTLEstimator"):
        GroupedMTLRegressor(small(task_types={"bought": "binary"})).fit(X, Y[["bought", "price"]])


def test_tags_follow_the_kinds():
    assert is_classifier(small())
    assert not is_regressor(small())
    assert is_regressor(small(task_types="regression"))
    mix = small(task_types=["regression", "binary"])
    assert not is_regressor(mix)
    assert not is_classifier(mix)
    assert is_regressor(GroupedMTLRegressor())
    assert is_classifier(GroupedMTLClassifier())
    assert not is_regressor(GroupedMTLEstimator())
    assert not is_classifier(GroupedMTLEstimator())


@pytest.mark.parametrize("strategy", ["stacked", "sequential"])
def test_specialists_of_numbers_train_alike_in_a_stack(strategy, table):
    X, Y = table
    Y = Y[["price", "weight"]].assign(third=X[:, 2])
    membership = [[1, 0], [0.5, 0.5], [0, 1]]
    fitted = GroupedMTLRegressor(small(), grouper=membership, strategy=strategy).fit(X, Y)
    other = GroupedMTLRegressor(small(), grouper=membership, strategy="sequential").fit(X, Y)
    scale = fitted.target_scaling_.scale
    np.testing.assert_allclose(fitted.predict(X) / scale, other.predict(X) / scale, atol=1e-3)


@pytest.mark.parametrize("make_baseline", ["mtl", "stl", "mtl_ensemble"])
def test_baselines_of_mixed_tables(make_baseline, table):
    X, Y = table
    given = (2,) if make_baseline == "mtl_ensemble" else ()
    fitted = getattr(GroupedMTLEstimator, make_baseline)(*given, small()).fit(X, Y)
    assert fitted.score(X, Y) > 0.8


def test_the_ensemble_is_the_weighted_mean_of_the_specialists(table):
    X, Y = table
    Y = Y[["price", "weight"]]
    membership = np.array([[0.7, 0.3], [0.2, 0.8]])
    reg = GroupedMTLRegressor(small(), grouper=membership).fit(X, Y)
    of_nets = np.stack([net.predict(X) for net in reg.specialists_], axis=2)
    np.testing.assert_allclose(
        reg.predict(X), (of_nets * membership).sum(axis=2), rtol=1e-5, atol=1e-9
    )


def test_further_training_keeps_the_units(table):
    X, Y = table
    y = Y["weight"].to_numpy()
    net = small(max_epochs=30, task_types="regression").fit(X, y)
    location = net.target_scaling_.location.copy()
    predicted = net.predict(X)
    net.set_params(max_epochs=1).partial_fit(X[:50], y[:50] + 1e-7)
    np.testing.assert_array_equal(net.target_scaling_.location, location)
    assert np.abs(net.predict(X) - predicted).max() < 1e-6


def test_a_first_part_of_the_samples_may_say_little(table):
    X, Y = table
    Y = Y[["bought", "weight"]]
    same = Y.head(8).assign(bought=1, weight=2.5)
    net = small(task_types={"weight": "regression"}, max_epochs=1)
    net.partial_fit(X[:8], same, classes=[[0, 1], None])
    assert net.constant_codes_.tolist() == [-1, -1]
    net.partial_fit(X, Y)
    assert net.task_types_ == ("binary", "regression")


def test_stacks_of_several_kinds_are_refused_before_anything_trains(table):
    X, Y = table
    stl = GroupedMTLEstimator.stl(small(), strategy="stacked")
    with pytest.raises(ValueError, match="the kinds of tasks, differ between the nets"):
        stl.fit(X, Y[["bought", "weight"]])


def test_data_maps_of_numbers_are_confidences(table):
    X, Y = table
    maps = TaskGrouper(small(), random_state=0).fit(X, Y).data_map_
    assert np.isfinite(maps).all()
    assert (maps[..., 0] > 0).all()
    assert (maps[..., 0] <= 1).all()
    last, first = maps[1, -1, :, 0], maps[1, 0, :, 0]
    assert last.mean() > first.mean()


class _Pairs(Dataset):
    def __init__(self, X, Y):
        self.X, self.Y = X, Y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.Y[i]


def test_numbers_of_a_dataset_and_of_one_dimension(table):
    X, Y = table
    numbers = Y[["price", "weight"]].to_numpy()
    from_dataset = small().fit(_Pairs(X, numbers))
    assert from_dataset.score(X, numbers) > 0.9
    single = GroupedMTLRegressor(small()).fit(X, numbers[:, 1])
    assert single.predict(X).shape == (240,)


def test_validation_and_scoring_callbacks_see_numbers(table):
    X, Y = table
    scores = EpochScoring("r2", lower_is_better=False, name="valid_r2")
    net = small(
        task_types="regression", train_split=ValidSplit(0.25), callbacks=[scores], max_epochs=15
    ).fit(X, Y["weight"].to_numpy())
    assert net.history[-1, "valid_r2"] > 0.8
    assert net.history[-1, "valid_loss"] < 0.3


def test_fitted_estimators_pickle_clone_and_search(table):
    X, Y = table
    Y = Y[["weight"]].assign(sum=X.sum(axis=1))
    reg = GroupedMTLRegressor(small(), n_groups=2, random_state=0).fit(X, Y)
    again = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(reg.predict(X), again.predict(X))
    np.testing.assert_array_equal(clone(reg).fit(X, Y).predict(X), reg.predict(X))
    search = GridSearchCV(reg, {"n_groups": [1, 2]}, cv=2).fit(X, Y)
    assert search.best_score_ > 0.5
    assert cross_val_predict(reg, X, Y, cv=2).shape == Y.shape


def test_a_linear_table_is_learned_as_well_as_by_a_linear_model(table):
    X, _ = table
    rng = np.random.default_rng(0)
    Y = X @ rng.normal(size=(4, 5)) + 0.3 * rng.normal(size=(240, 5))
    train, test = slice(0, 160), slice(160, None)
    reg = GroupedMTLRegressor(small(max_epochs=40)).fit(X[train], Y[train])
    best = LinearRegression().fit(X[train], Y[train]).score(X[test], Y[test])
    assert reg.score(X[test], Y[test]) > best - 0.05


def test_codes_and_values_of_a_table_of_tasks():
    Y = pd.DataFrame({"a": [1.5, 2.0, None], "b": ["x", None, "y"]})
    table = check_tasks(Y)
    assert table.codes.tolist() == [[0, 0], [0, -1], [-1, 1]]
    np.testing.assert_array_equal(table.values, [[1.5, np.nan], [2.0, np.nan], [np.nan, np.nan]])
    assert table.select(np.array([1])).values is None
    assert table.take(np.array([1])).values[0, 0] == 2.0
