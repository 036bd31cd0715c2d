"""Ready scorers in scikit-learn's cross-validation and searches."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import f1_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import MultiTaskNet, metrics
from skgroup.metrics import get_scorer, get_scorer_names
from skgroup.nn import MLP

FOLDS = KFold(3, shuffle=True, random_state=0)
OF_CLASSES = [
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "f1",
    "neg_brier_score",
    "neg_log_loss",
    "neg_normalized_entropy",
    "roc_auc",
]
OF_NUMBERS = sorted(set(get_scorer_names()) - set(OF_CLASSES))


def net(**params):
    params = {"module__hidden_units": (8,), "max_epochs": 3, "random_state": 0, **params}
    return MultiTaskNet(MLP, **params)


@pytest.fixture(scope="module")
def table():
    """X (120, 4) and tasks of every kind, by name, with missing labels; a binary one of strings."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    Y = pd.DataFrame(
        {
            "churn": np.where(X[:, 0] + 0.3 * rng.normal(size=120) > 0, "yes", "no"),
            "spend": 10 + X[:, 1] + rng.normal(size=120),
            "plan": np.array(["a", "b", "c"])[np.digitize(X[:, 2], [-0.5, 0.5])],
            "late": (X[:, 3] > 0).astype(float),
        }
    )
    return X, Y.mask(rng.random(Y.shape) < 0.2)


@pytest.fixture(scope="module")
def binary():
    """X (150, 4) and three binary tasks without a missing label, the last of them rare."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(150, 4))
    return X, (X[:, :3] + 0.5 * rng.normal(size=(150, 3)) > [0, 0.5, 1]).astype(int)


def of_metric(name):
    """The metric of a scorer, and its sign."""
    stem = name.removeprefix("neg_")
    there = [n for n in metrics.__all__ if n.removeprefix("multitask_").startswith(stem)]
    return getattr(metrics, there[0]), -1 if stem != name else 1


def test_every_metric_has_a_scorer():
    of_scorers = {of_metric(name)[0] for name in get_scorer_names()}
    assert of_scorers == {
        getattr(metrics, name) for name in metrics.__all__ if name.startswith("multitask_")
    }


def test_all_scorers_score_all_folds_of_a_table_of_every_kind(table):
    X, Y = table
    estimator = net(pos_label={"churn": "yes"})
    scoring = {name: get_scorer(name) for name in get_scorer_names()}
    scores = cross_validate(
        estimator, X, Y, cv=FOLDS, scoring=scoring, return_estimator=True, error_score="raise"
    )
    for fold, (_, test) in enumerate(FOLDS.split(X)):
        fitted, true = scores["estimator"][fold], Y.iloc[test]
        for name in scoring:
            metric, sign = of_metric(name)
            options = {"task_types": fitted.task_types_}
            if name in ("f1", "average_precision"):
                options["pos_label"] = {"churn": "yes"}
            ranks = getattr(scoring[name], "_response_method", "") != "predict"
            answer = fitted.predict_proba(X[test]) if ranks else fitted.predict(X[test])
            expected = sign * metric(true, answer, **options)
            assert scores[f"test_{name}"][fold] == pytest.approx(expected), name


def test_a_search_refits_by_one_of_several_scores(table):
    X, Y = table
    scoring = {"f1": get_scorer("f1", pos_label="yes"), "r2": get_scorer("r2")}
    search = GridSearchCV(net(), {"lr": [1e-6, 0.02]}, scoring=scoring, refit="r2", cv=FOLDS)
    search.fit(X, Y)
    assert search.best_params_ == {"lr": 0.02}
    assert np.isfinite(search.cv_results_["mean_test_f1"]).all()
    # A search is scored as what it has found is.
    scorer = get_scorer("r2")
    assert scorer(search, X, Y) == scorer(search.best_estimator_, X, Y) == search.score(X, Y)


def test_names_decide_which_column_is_which(table):
    X, Y = table
    fitted = net(pos_label="yes").fit(X, Y)
    weight = np.random.default_rng(0).random(Y.shape)
    order = [2, 0, 3, 1]
    for estimator in (fitted, make_pipeline(fitted)):
        for name in get_scorer_names():
            scorer = get_scorer(name)
            moved = scorer(estimator, X, Y.iloc[:, order], sample_weight=weight[:, order])
            assert moved == pytest.approx(scorer(fitted, X, Y, sample_weight=weight))
    moved = fitted.score(X, Y.iloc[:, order], sample_weight=weight[:, order])
    assert moved == pytest.approx(fitted.score(X, Y, sample_weight=weight))
    with pytest.raises(ValueError, match="Missing: late"):
        get_scorer("f1")(fitted, X, Y.drop(columns="late"))


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(20, random_state=0),
        MultiOutputClassifier(LogisticRegression()),
        ClassifierChain(LogisticRegression(), order=[0, 1, 2]),
        OneVsRestClassifier(LogisticRegression()),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        net(),
        make_pipeline(StandardScaler().set_output(transform="pandas"), net()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_of_several_outputs_are_scored_whatever_form_probabilities_have(
    binary, estimator
):
    X, Y = binary
    fitted = clone(estimator).fit(X[:100], Y[:100])
    test, true = X[100:], Y[100:]
    proba, predicted = fitted.predict_proba(test), fitted.predict(test)
    if isinstance(proba, list):
        proba = np.column_stack([p[:, 1] for p in proba])
    proba = np.asarray(proba, dtype=float)
    observed = np.random.default_rng(0).random(true.shape) < 0.8
    expected = {"f1": [], "roc_auc": [], "neg_log_loss": []}
    for t, seen in enumerate(observed.T):
        expected["f1"].append(f1_score(true[seen, t], predicted[seen, t]))
        expected["roc_auc"].append(roc_auc_score(true[seen, t], proba[seen, t]))
        shares = np.column_stack([1 - proba[seen, t], proba[seen, t]])
        expected["neg_log_loss"].append(-log_loss(true[seen, t], shares))
    for name, scores in expected.items():
        found = get_scorer(name)(fitted, test, np.where(observed, true, np.nan))
        assert found == pytest.approx(np.mean(scores), rel=1e-5), name


def test_a_single_task_is_scored_whatever_its_form(table):
    X, Y = table
    there = Y["churn"].notna().to_numpy()
    X, y = X[there], Y["churn"][there].astype(str)
    forest = RandomForestClassifier(10, random_state=0, max_depth=2)
    expected = sklearn.metrics.average_precision_score(
        y, forest.fit(X, y).predict_proba(X)[:, 0], pos_label="no"
    )
    scorer = get_scorer("average_precision", pos_label="no")
    for truth in (y, y.to_numpy(), y.to_numpy(dtype=object), y.to_frame()):
        assert scorer(forest, X, truth) == pytest.approx(expected)
    for truth in (y, y.to_frame()):
        fitted = net(pos_label="no").fit(X, truth)
        assert scorer(fitted, X, truth) == pytest.approx(
            get_scorer("average_precision")(fitted, X, truth)
        )


def test_regressors_of_scikit_learn_are_scored(table):
    X, Y = table
    numbers = Y[["spend"]].fillna(10).assign(double=lambda frame: (2 * frame["spend"]).round())
    for estimator in (Ridge(), RandomForestRegressor(10, random_state=0)):
        fitted = estimator.fit(X, numbers)
        for name in OF_NUMBERS:
            found = get_scorer(name)(fitted, X, numbers)
            assert found == pytest.approx(sklearn.metrics.get_scorer(name)(fitted, X, numbers))
    with pytest.raises(ValueError, match="F1 is a score of tasks with classes"):
        get_scorer("f1")(fitted, X, numbers)


def test_decisions_rank_where_there_are_no_probabilities(binary):
    X, Y = binary
    ridge = RidgeClassifier().fit(X, Y)
    expected = roc_auc_score(Y, ridge.decision_function(X), average="macro")
    assert get_scorer("roc_auc")(ridge, X, Y) == pytest.approx(expected)
    with pytest.raises(AttributeError, match="predict_proba"):
        get_scorer("neg_log_loss")(ridge, X, Y)


def test_scores_of_each_task_are_shown_by_its_name(table):
    X, Y = table
    scorer = get_scorer("f1", pos_label="yes", average=None)
    scores = cross_validate(net(), X, Y, cv=FOLDS, scoring=scorer)
    assert {"test_churn", "test_plan", "test_late"} <= set(scores)
    assert "test_spend" not in scores
    mean = cross_validate(net(), X, Y, cv=FOLDS, scoring=get_scorer("f1", pos_label="yes"))
    of_tasks = [scores[f"test_{name}"] for name in ("churn", "plan", "late")]
    np.testing.assert_allclose(np.mean(of_tasks, axis=0), mean["test_score"])


def test_classes_that_a_test_part_lacks_are_known_from_the_estimator(table):
    X, Y = table
    fitted = net(pos_label="yes").fit(X, Y)
    part = (Y["plan"] == "a").to_numpy() & (Y["churn"] == "no").to_numpy()
    assert np.isfinite(get_scorer("neg_log_loss")(fitted, X[part], Y[part]))
    with pytest.warns(UndefinedMetricWarning, match=r"ROC AUC .* \('churn'\), .* \('plan'\): "):
        auc = get_scorer("roc_auc")(fitted, X[part], Y[part])
    assert auc == pytest.approx(
        get_scorer("roc_auc", average=None)(fitted, X[part], Y[part])["late"]
    )


@pytest.mark.parametrize("estimator", [net(), RandomForestClassifier(10, random_state=0)])
def test_a_class_that_was_not_met_in_training_is_never_predicted(binary, estimator):
    X, Y = binary
    Y = np.column_stack([Y[:, 0], np.repeat([0, 1, 2], 50)])
    fitted = estimator.fit(X[:100], Y[:100])
    scores = get_scorer("neg_brier_score", average=None)(fitted, X[100:], Y[100:])
    assert scores[1] < -1  # the true class has no probability
    assert get_scorer("accuracy", average=None)(fitted, X[100:], Y[100:])[1] == 0


def test_weights_of_samples_or_labels_are_routed(binary):
    X, Y = binary
    weight = np.random.default_rng(0).integers(0, 3, size=150)
    plain, forest = get_scorer("f1"), RandomForestClassifier(10, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = get_scorer("f1").set_score_request(sample_weight="w")
        scoring = {"plain": plain.set_score_request(sample_weight=False), "weighted": weighted}
        for w in (weight, np.column_stack([weight] * 3)):
            scores = cross_validate(
                forest, X, Y, cv=FOLDS, scoring=scoring, params={"w": w}, return_estimator=True
            )
            for fold, (_, test) in enumerate(FOLDS.split(X)):
                predicted = scores["estimator"][fold].predict(X[test])
                expected = f1_score(Y[test], predicted, average="macro", sample_weight=weight[test])
                assert scores["test_weighted"][fold] == pytest.approx(expected)
                expected = f1_score(Y[test], predicted, average="macro")
                assert scores["test_plain"][fold] == pytest.approx(expected)


def test_several_scorers_ask_for_probabilities_once(binary):
    X, Y = binary

    class Counting(LogisticRegression):
        calls = 0

        def predict_proba(self, X):
            Counting.calls += 1
            return super().predict_proba(X)

    scoring = {name: get_scorer(name) for name in ("roc_auc", "neg_log_loss", "neg_brier_score")}
    cross_validate(Counting(), X, Y[:, 0], cv=FOLDS, scoring=scoring)
    assert Counting.calls == 3


def test_scorers_can_be_stored_and_say_how_they_were_made(binary):
    X, Y = binary
    fitted = RandomForestClassifier(5, random_state=0).fit(X, Y)
    scorer = get_scorer("f1", pos_label=0, average=None)
    assert repr(scorer) == "get_scorer('f1', pos_label=0, average=None)"
    assert repr(get_scorer("neg_log_loss")) == "get_scorer('neg_log_loss')"
    for again in (pickle.loads(pickle.dumps(scorer)), clone(scorer, safe=False)):
        assert again(fitted, X, Y) == scorer(fitted, X, Y)
        assert repr(again) == repr(scorer)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: get_scorer("f1_macro"), "'scoring' parameter must be one of .*Got 'f1_macro'"),
        (lambda: get_scorer(["f1"]), r"'scoring' parameter must be one of .*Got \['f1'\]"),
        (lambda: get_scorer("f1", average="micro"), "'average' parameter must be .*Got 'micro'"),
        (lambda: get_scorer("r2", pos_label=1), "'pos_label' parameter must be None for 'r2'"),
    ],
)
def test_what_is_no_scorer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_positive_class_that_no_task_has_is_refused(table):
    X, Y = table
    fitted = net().fit(X, Y)
    with pytest.raises(ValueError, match=r"'pos_label' parameter must be a class of .*'maybe'"):
        get_scorer("f1", pos_label={"churn": "maybe"})(fitted, X, Y)
    with pytest.raises(ValueError, match="F1 must know which class of task 0"):
        get_scorer("f1")(fitted, X, Y)
