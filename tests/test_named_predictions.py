"""Predictions with names: of tasks, classes and samples, where a user asks for them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioEstimator,
    compare,
)
from skgroup.metrics import get_scorer


def small_net(**params):
    small = {"module__n_members": 2, "module__hidden_units": (8,), "module__dropout": 0.0}
    return MultiTaskNet(**{"max_epochs": 2, "random_state": 0, **small, **params})


@pytest.fixture(scope="module")
def data():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    Y = pd.DataFrame(
        {
            "sick": (X["a"] > 0).astype(int),
            "blood": np.where(X["b"] > 0.4, "A", np.where(X["b"] < -0.4, "B", "O")),
            "weight": 10 * X["c"] + 70.5,
        }
    )
    names = [f"patient {i}" for i in range(60)]
    return X.set_axis(names), Y.set_axis(names)


MAKE = {
    "net": lambda: small_net(),
    "grouped": lambda: GroupedMTLEstimator(small_net(), {"all": ["sick", "blood", "weight"]}),
    "portfolio": lambda: PortfolioEstimator(
        [
            ("net", small_net().set_output(predict="pandas")),
            ("forest", RandomForestClassifier(9, random_state=0)),
            ("ridge", Ridge()),
        ],
        cv=2,
        random_state=0,
    ),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_predictions_have_the_names_of_tasks_classes_and_samples(data, make):
    X, Y = data
    est = make().fit(X, Y)
    labels, proba = est.predict(X), est.predict_proba(X)
    assert isinstance(labels, np.ndarray)
    assert isinstance(proba["blood"], np.ndarray)

    assert est.set_output(predict="pandas") is est
    frame, frames = est.predict(X), est.predict_proba(X)
    assert frame.columns.tolist() == ["sick", "blood", "weight"]
    assert frame.index.equals(X.index)
    assert frame["sick"].dtype == Y["sick"].dtype
    assert frame["weight"].dtype == np.float64
    assert frame.to_numpy().tolist() == labels.tolist()
    assert list(frames) == ["sick", "blood"]
    assert frames["blood"].columns.tolist() == ["A", "B", "O"]
    assert frames["sick"].columns.tolist() == [0, 1]
    for name, of_task in frames.items():
        assert of_task.index.equals(X.index)
        np.testing.assert_array_equal(of_task, proba[name])
    assert est.set_output().predict(X).equals(frame)
    assert isinstance(est.set_output(predict="default").predict(X), np.ndarray)


def test_probabilities_of_binary_tasks_are_one_frame(data):
    X, Y = data
    binary = pd.DataFrame({"sick": Y["sick"], "heavy": Y["weight"] > 70})
    clf = GroupedMTLClassifier(small_net(), n_groups=1).fit(X, binary)
    proba = clf.predict_proba(X)
    frame = clf.set_output(predict="pandas").predict_proba(X)
    assert frame.columns.tolist() == ["sick", "heavy"]
    np.testing.assert_array_equal(frame, proba)
    assert clf.predict(X)["heavy"].dtype == bool
    # Several classes: a dict as where some tasks are regression tasks.
    frames = small_net().set_output(predict="pandas").fit(X, Y[["sick", "blood"]]).predict_proba(X)
    assert {k: f.shape for k, f in frames.items()} == {"sick": (60, 2), "blood": (60, 3)}


def test_a_single_target_is_a_series(data):
    X, Y = data
    net = small_net().set_output(predict="pandas").fit(X, Y["blood"])
    assert net.predict(X).name == "blood"
    assert net.predict_proba(X).columns.tolist() == ["A", "B", "O"]
    reg = GroupedMTLRegressor(small_net(), n_groups=1).set_output(predict="pandas")
    assert reg.fit(X, Y[["weight"]]).predict(X).columns.tolist() == ["weight"]


def test_without_names_columns_are_positions(data):
    X, Y = (table.to_numpy() for table in data)
    net = small_net().set_output(predict="pandas").fit(X, Y)
    assert net.predict(X).columns.tolist() == [0, 1, 2]
    assert net.predict(X).index.tolist() == list(range(60))
    assert list(net.predict_proba(X)) == [0, 1]


def test_a_task_of_a_single_class_is_named_too(data):
    X, Y = data
    with pytest.warns(UserWarning, match="single observed class"):
        net = small_net().set_output(predict="pandas").fit(X, Y.assign(never=0, word="only"))
    assert set(net.predict(X)["word"]) == {"only"}
    frames = net.predict_proba(X)
    assert frames["never"].columns.tolist() == [0, 1]
    assert frames["word"].columns.tolist() == ["only"]


def test_clones_pickles_and_new_fits_keep_what_is_set(data):
    X, Y = data
    clf = GroupedMTLEstimator(small_net(), n_groups=1).set_output(predict="pandas")
    for est in (clf, clone(clf), pickle.loads(pickle.dumps(clf)), small_net().set_output(
        predict="pandas")):  # fmt: skip
        assert isinstance(clone(est).fit(X, Y).fit(X, Y).predict(X), pd.DataFrame)
    fitted = pickle.loads(pickle.dumps(clf.fit(X, Y)))
    assert fitted.predict(X).equals(clf.predict(X))
    assert clf.with_serving("uniform").predict(X).index.equals(X.index)


def test_nothing_else_changes(data):
    X, Y = data
    Y = pd.DataFrame({"sick": Y["sick"], "heavy": (Y["weight"] > 70).astype(int)})
    plain = small_net().fit(X, Y)
    named = clone(plain).set_output(predict="pandas").fit(X, Y)
    assert named.score(X, Y) == plain.score(X, Y)
    assert named.task("sick").predict(X).tolist() == plain.predict(X)[:, 0].tolist()
    for scoring in (None, "f1_macro", get_scorer("f1"), get_scorer("roc_auc")):
        of_plain, of_named = (
            cross_val_score(net, X, Y, scoring=scoring, cv=KFold(2)) for net in (plain, named)
        )
        assert of_plain.tolist() == of_named.tolist()
    predicted = cross_val_predict(named, X, Y, cv=KFold(2), method="predict_proba")
    assert predicted.shape == (60, 2)
    result = compare(X, Y, {"plain": plain, "named": named}, baselines=["plain"], cv=KFold(2))
    mean = result.frame["mean"]
    np.testing.assert_array_equal(mean.loc["named"], mean.loc["plain"])


def test_scores_of_several_kinds_take_named_predictions(data):
    X, Y = data
    plain = small_net().fit(X, Y)
    named = clone(plain).set_output(predict="pandas").fit(X, Y)
    for name in ("f1", "roc_auc", "neg_log_loss", "r2"):
        assert get_scorer(name)(named, X, Y) == get_scorer(name)(plain, X, Y)


def test_members_of_a_portfolio_may_name_what_they_predict(data):
    X, Y = data
    members = [("net", small_net(pos_label=1)), ("ridge", Ridge())]
    plain = PortfolioEstimator(members, cv=2, random_state=0).fit(X, Y)
    members = [("net", clone(members[0][1]).set_output(predict="pandas")), ("ridge", Ridge())]
    named = PortfolioEstimator(members, cv=2, random_state=0).fit(X, Y)
    assert named.predict(X).tolist() == plain.predict(X).tolist()


def test_the_last_step_of_a_pipeline_names_too(data):
    X, Y = data
    pipe = make_pipeline(StandardScaler(), small_net().set_output(predict="pandas"))
    frame = pipe.set_output(transform="pandas").fit(X, Y).predict(X)
    assert frame.index.equals(X.index)


def test_other_containers_are_refused():
    with pytest.raises(ValueError, match=r"'pandas', 'default' or None\. Got 'polars'"):
        small_net().set_output(predict="polars")
