"""A task of a fitted estimator, in the hands of scikit-learn's tools."""

import pickle

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
    accuracy_score,
    r2_score,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    KFold,
    TunedThresholdClassifierCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skgroup import (
    GroupedMTLEstimator,
    MultiTaskNet,
    PortfolioClassifier,
    PortfolioEstimator,
    task_view,
)

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("closed_figures")
BINARY, MULTI, NUMBER = "churn", "plan", "spend"


def small_net(**params):
    small = {"module__n_members": 2, "module__hidden_units": (16,), "module__dropout": 0.0}
    return MultiTaskNet(**{"max_epochs": 15, "lr": 0.02, "random_state": 0, **small, **params})


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(160, 3)), columns=["age", "calls", "noise"])
    churn = np.where(X["age"] > 0.3, "yes", "no").astype(object)
    plan = np.where(X["calls"] > 0.4, "big", np.where(X["calls"] < -0.4, "none", "small"))
    spend = 100 * X["age"] + rng.normal(size=160)
    return X, pd.DataFrame({BINARY: churn, MULTI: plan, NUMBER: spend}, index=X.index)


@pytest.fixture(scope="module")
def fitted(data):
    groups = {"a": [BINARY, NUMBER], "b": [MULTI]}
    return GroupedMTLEstimator(small_net(), groups, pos_label="yes", random_state=0).fit(*data)


@pytest.fixture(scope="module")
def churn(fitted):
    return fitted.task(BINARY)


@pytest.fixture(params=["net", "grouped", "portfolio"], scope="module")
def any_fitted(request, data, fitted):
    if request.param == "grouped":
        return fitted
    if request.param == "net":
        return small_net().fit(*data)
    members = [
        ("net", small_net(pos_label={BINARY: "yes"})),
        ("forest", RandomForestClassifier(9)),
        ("ridge", Ridge()),
    ]
    return PortfolioEstimator(members, cv=2, threshold=0.3, random_state=0).fit(*data)


def test_a_view_predicts_its_task_as_the_estimator_of_all_does(data, any_fitted):
    X, Y = data
    predicted, proba = any_fitted.predict(X), any_fitted.predict_proba(X)
    for t, name in enumerate(Y):
        view = any_fitted.task(name)
        assert view.predict(X).shape == (160,)
        assert view.predict(X).tolist() == predicted[:, t].tolist()
        if name == NUMBER:
            assert is_regressor(view)
            assert not hasattr(view, "predict_proba")
            assert view.predict(X).dtype == np.float64
            continue
        assert is_classifier(view)
        assert view.classes_.tolist() == sorted(set(Y[name]))
        assert set(view.predict(X)) <= set(view.classes_)
        np.testing.assert_allclose(view.predict_proba(X), proba[name], rtol=1e-6)


def test_a_view_knows_columns_scores_and_that_it_is_fitted(data, fitted):
    X, Y = data
    for name, metric in ((BINARY, accuracy_score), (MULTI, accuracy_score), (NUMBER, r2_score)):
        view = fitted.task(name)
        check_is_fitted(view)
        assert view.n_features_in_ == 3
        assert view.feature_names_in_.tolist() == ["age", "calls", "noise"]
        weight = np.arange(160)
        expected = metric(Y[name], view.predict(X), sample_weight=weight)
        assert view.score(X, Y[name], sample_weight=weight) == pytest.approx(expected)
        assert view.score(X, Y[name]) > 0.8
        again = pickle.loads(pickle.dumps(view))
        assert again.predict(X).tolist() == view.predict(X).tolist()


def test_missing_labels_do_not_count_in_the_score(data, fitted):
    X, Y = data
    for name in Y:
        y = Y[name].astype(object).where(np.arange(160) < 100, None)
        view = fitted.task(name)
        assert view.score(X, y) == view.score(X[:100], Y[name][:100])
    with pytest.raises(ValueError, match=r"y must hold the labels of one task\. Got 3"):
        fitted.task(BINARY).score(X, Y)


def test_a_soft_task_is_scored_by_its_more_probable_class(data):
    X, Y = data
    soft = pd.DataFrame({"p": 1 / (1 + np.exp(-3 * X["age"])), BINARY: Y[BINARY]})
    view = small_net(task_types={"p": "soft"}).fit(X, soft).task("p")
    assert view.classes_.tolist() == [0, 1]
    expected = accuracy_score(soft["p"] > 0.5, view.predict(X))
    assert view.score(X, soft["p"].where(soft.index >= 0)) == expected > 0.8


def test_only_what_serves_the_task_predicts(data, fitted, monkeypatch):
    predicting = []
    whole = type(fitted)._flat_proba

    def counted(self, X):
        predicting.append(len(self.specialists_))
        return whole(self, X)

    monkeypatch.setattr(type(fitted), "_flat_proba", counted)
    fitted.task(MULTI).predict(data[0])
    fitted.predict(data[0])
    assert predicting == [1, 2]


def test_tuned_thresholds_hold_in_the_view():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    Y = (X[:, [0, 1]] + rng.normal(size=(200, 2)) > 1.2).astype(int)
    clf = PortfolioClassifier([("linear", LogisticRegression())], cv=3, random_state=0).fit(X, Y)
    assert (clf.thresholds_ < 0.45).all()
    for t in range(2):
        view = clf.task(t)
        assert view.predict(X).tolist() == clf.predict(X)[:, t].tolist()
        assert view.predict(X).sum() > (view.predict_proba(X)[:, 1] > 0.5).sum()


def test_a_task_of_a_single_class_has_a_view(data):
    X, Y = data
    Y = pd.DataFrame({"churn": Y[BINARY], "never": 0, "word": "only", "half": 0.5})
    with pytest.warns(UserWarning, match="single observed class or number"):
        net = small_net(max_epochs=1).fit(X, Y)
    never, word, half = (net.task(name) for name in ("never", "word", "half"))
    assert never.classes_.tolist() == [0, 1]
    assert word.classes_.tolist() == ["only"]
    assert never.predict_proba(X)[0].tolist() == [1, 0]
    assert word.predict_proba(X).shape == (160, 1)
    assert set(word.predict(X)) == {"only"}
    assert is_regressor(half)
    assert set(half.predict(X)) == {0.5}


def test_an_unknown_task_lists_those_that_there_are(data, fitted):
    with pytest.raises(ValueError, match=r"\['churn', 'plan', 'spend'\]. Got 'chum'"):
        fitted.task("chum")
    with pytest.raises(ValueError, match="Got 0"):
        fitted.task(0)
    nameless = small_net(max_epochs=1).fit(data[0].to_numpy(), data[1].to_numpy()[:, :2])
    for wrong in ("churn", 2, -1, True):
        with pytest.raises(ValueError, match="position from 0 to 1, as Y had no names"):
            nameless.task(wrong)
    with pytest.raises(NotFittedError):
        small_net().task(0)
    with pytest.raises(TypeError, match="estimator of tasks of this package"):
        task_view(LogisticRegression().fit(*data[:1], data[1][BINARY]), BINARY)


def test_a_pipeline_and_a_search_have_views_that_see_what_they_see(data, fitted):
    X, Y = data
    pipe = make_pipeline(StandardScaler(), "passthrough", small_net(pos_label={BINARY: "yes"})).fit(
        X, Y
    )
    view = task_view(pipe, BINARY)
    assert view.predict(X).tolist() == pipe.predict(X)[:, 0].tolist()
    assert view.feature_names_in_.tolist() == list(X)
    search = GridSearchCV(pipe, {"multitasknet__lr": [0.02]}, cv=KFold(2)).fit(X, Y)
    view = task_view(search, MULTI)
    assert view.predict(X).tolist() == search.predict(X)[:, 1].tolist()
    view = task_view(FrozenEstimator(fitted), NUMBER)
    assert view.predict(X).tolist() == fitted.task(NUMBER).predict(X).tolist()


def test_fitting_a_view_or_a_clone_of_it_is_refused_with_the_remedy(data, churn):
    X, y = data[0], data[1][BINARY]
    for view in (churn, clone(churn)):
        with pytest.raises(TypeError, match=r"all tasks; .*FrozenEstimator\(view\)"):
            view.fit(X, y)
    with pytest.raises(NotFittedError):
        check_is_fitted(clone(churn))
    with pytest.raises(ValueError, match="cannot be fitted itself"):  # never a score that lies
        cross_val_score(churn, X, y, cv=2)


def test_a_view_follows_an_estimator_that_is_fitted_again(data):
    X, Y = data
    net = small_net().fit(X, Y)
    view = net.task(BINARY)
    net.fit(X, Y[[MULTI, BINARY]].replace({"yes": "oui"}))
    assert view.classes_.tolist() == ["no", "oui"]


@pytest.mark.parametrize("name", [BINARY, MULTI, NUMBER])
def test_partial_dependence_and_permutation_importance_take_a_view(data, fitted, name):
    X, Y = data
    view = fitted.task(name)
    target = {"target": "big"} if name == MULTI else {}
    strongest = "calls" if name == MULTI else "age"
    display = PartialDependenceDisplay.from_estimator(
        view, X, ["age", ("age", "calls")], grid_resolution=4, **target
    )
    assert display.axes_.size == 2
    effect = partial_dependence(view, X, [strongest], kind="average", grid_resolution=10)
    assert np.ptp(effect.average[0]) > 0.3
    result = permutation_importance(view, X, Y[name], n_repeats=2, random_state=0)
    assert X.columns[result.importances_mean.argmax()] == strongest


def test_displays_of_classifiers_take_a_view(data, fitted, churn):
    X, Y = data
    y = Y[BINARY]
    assert RocCurveDisplay.from_estimator(churn, X, y, pos_label="yes").roc_auc > 0.9
    assert PrecisionRecallDisplay.from_estimator(churn, X, y).average_precision > 0.9
    CalibrationDisplay.from_estimator(churn, X, y, n_bins=3, pos_label="yes")
    matrix = ConfusionMatrixDisplay.from_estimator(fitted.task(MULTI), X, Y[MULTI])
    assert matrix.confusion_matrix.sum() == 160
    assert len(matrix.display_labels) == 3
    PredictionErrorDisplay.from_estimator(fitted.task(NUMBER), X, Y[NUMBER])
    two = small_net(max_epochs=2).fit(X[["age", "calls"]], Y)
    for name in (BINARY, MULTI, NUMBER):
        DecisionBoundaryDisplay.from_estimator(
            two.task(name), X[["age", "calls"]], grid_resolution=5
        )


def test_calibration_thresholds_and_stacks_take_a_view(data, fitted, churn):
    X, Y = data
    y = Y[BINARY]
    for method in ("sigmoid", "isotonic"):
        calibrated = CalibratedClassifierCV(FrozenEstimator(churn), method=method).fit(X, y)
        assert calibrated.predict_proba(X).shape == (160, 2)
        assert calibrated.score(X, y) > 0.8
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted.task(MULTI))).fit(X, Y[MULTI])
    assert calibrated.predict_proba(X).shape == (160, 3)

    fixed = FixedThresholdClassifier(FrozenEstimator(churn), threshold=0.99, pos_label="yes")
    assert (fixed.fit(X, y).predict(X) == "yes").sum() < (churn.predict(X) == "yes").sum()
    tuned = TunedThresholdClassifierCV(churn, cv="prefit", refit=False, scoring="accuracy")
    assert tuned.fit(X, y).best_score_ >= churn.score(X, y) - 1e-9
    tuned = TunedThresholdClassifierCV(FrozenEstimator(churn), scoring="accuracy", cv=2)
    assert set(tuned.fit(X, y).predict(X)) == {"no", "yes"}

    views = [(name, fitted.task(name)) for name in (BINARY, MULTI)]
    stack = StackingClassifier(views, LogisticRegression(), cv="prefit")
    assert stack.fit(X, y).score(X, y) > 0.8
