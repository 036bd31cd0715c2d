"""`compare` with regression tasks, and with tasks of several kinds."""

import warnings

import numpy as np
import pandas as pd
import pytest
from comparing import Counted, compare_given, crafted
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import make_scorer, max_error, mean_absolute_error, r2_score
from sklearn.model_selection import StratifiedKFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

import skgroup.comparison
from skgroup import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioEstimator,
    compare,
)
from skgroup._estimators import parts_of
from skgroup.cluster import FuzzyKMeans
from skgroup.comparison._candidates import Candidates
from skgroup.ensemble import SingleTasks
from skgroup.inspection import LearningCurvesDisplay
from skgroup.metrics import (
    MultiTaskShuffleSplit,
    multitask_f1_score,
    multitask_normalized_entropy,
    multitask_r2_score,
)
from skgroup.metrics.splits import held_out_splits
from skgroup.relations import TaskGrouper
from skgroup.tasks import check_tasks

pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture
def data():
    """X (120, 5), and Y (120, 3) of numbers of very different units."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    return X, (X[:, [0, 0, 1]] + 0.5 * rng.normal(size=(120, 3))) * [1, 1000, 0.01] + [0, 5, 0]


@pytest.fixture
def mixed():
    """X, and a table with a binary, a multiclass and two regression tasks, some labels missing."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(150, 5))
    Y = pd.DataFrame(
        {
            "churn": (X[:, 0] + 0.5 * rng.normal(size=150) > 0).astype(int),
            "spend": 100 * X[:, 0] + 30 * rng.normal(size=150),
            "plan": np.array(["a", "b", "c"])[np.digitize(X[:, 1], [-0.5, 0.5])],
            "hours": X[:, 1] + 0.3 * rng.normal(size=150),
        }
    )
    Y.loc[::7, "spend"] = np.nan
    Y.loc[1::9, "plan"] = None
    return X, Y


@pytest.fixture
def net():
    return MultiTaskNet.stg_mtl(
        module__hidden_units=(16,), max_epochs=8, lr=0.01, batch_size=32, random_state=0
    )


class Mean(BaseEstimator):
    """Predicts the mean of each task, and counts its fits."""

    fits = 0

    def fit(self, X, y):
        Mean.fits += 1
        self.mean_ = np.mean(y, axis=0)
        return self

    def predict(self, X):
        return np.tile(self.mean_, (len(X), 1))


# -- regression tables -------------------------------------------------------------------------


def test_a_regression_table_is_scored_by_r2(data):
    X, Y = data
    candidates = {"ridge": Ridge(), "tree": DecisionTreeRegressor(max_depth=3, random_state=0)}
    found = compare_given(X, Y, candidates, seeds=2)
    for s in range(2):
        train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=s).split(X, Y))
        predicted = Ridge().fit(X[train], Y[train]).predict(X[test])
        expected = r2_score(Y[test], predicted, multioutput="raw_values")
        np.testing.assert_allclose(found.values[0, s], expected)
    np.testing.assert_allclose(found.overall, found.values.mean(axis=2))
    assert found.scoring == "R²"
    assert set(found.frame["scoring"]) == {"R²"}
    head = "candidate  score ± sd     to the best baseline (95 %)  nets  seconds  time ratio"
    lines = repr(found).split("\n")
    assert lines[0] == "Test R², mean over 3 tasks, of 2 seeds, 1 split each"
    assert lines[2].split() == head.split()
    assert "<b>" in found._repr_html_()


def test_baselines_of_regression_tasks_are_made_like_the_candidate(data, net):
    X, Y = data
    found = compare(X, Y, GroupedMTLRegressor(net, n_groups=2), seeds=1)
    assert found.candidates == ["MTL", "STL", "MTL ensemble, 3 nets", "forest", "grouped"]
    assert found.kinds == ["MTL", "STL", "MTL", "other", "grouped"]
    assert np.isfinite(found.values).all()
    by_hand = {
        "MTL": GroupedMTLRegressor.mtl(net),
        "STL": GroupedMTLRegressor.stl(net),
        "MTL ensemble, 3 nets": GroupedMTLRegressor.mtl_ensemble(3, net),
        "forest": ExtraTreesRegressor(10, max_features=1 / 3),
    }
    again = compare(X, Y, {**by_hand, "grouped": GroupedMTLRegressor(net, n_groups=2)}, seeds=1)
    np.testing.assert_allclose(again.values, found.values)
    assert again.baselines == found.baselines


def test_a_net_alone_stands_for_its_grouping(data, mixed, net):
    for X, Y in (data, mixed):
        found = compare(X, Y, net, seeds=1)
        assert found.candidates[-1] == "grouped"
        assert found.values.shape == (5, 1, Y.shape[1])
        assert np.isfinite(found.values).all()


def test_what_is_not_compared_with_names_the_estimator_to_use(data, mixed, net):
    X, Y = data
    found = compare(X, Y, {"g": GroupedMTLRegressor(net, n_groups=2), "m": net}, seeds=1)
    assert found.kinds == ["grouped", "MTL"]
    assert found.lacking[0] == "single-task nets (GroupedMTLRegressor.stl)"
    X, Y = mixed
    found = compare(X, Y, {"g": GroupedMTLEstimator(net, n_groups=2), "m": net}, seeds=1)
    assert found.lacking[0] == "single-task nets (GroupedMTLEstimator.stl)"


def test_scores_of_missing_numbers_do_not_count(data, net):
    X, Y = data
    Y = np.where(np.random.default_rng(0).random(Y.shape) < 0.3, np.nan, Y)
    found = compare(X, Y, {"net": net, "ridge": Ridge()}, seeds=1)
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, Y))
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    fitted = net.set_params(random_state=seed, task_types="regression").fit(X[train], Y[train])
    expected = multitask_r2_score(Y[test], fitted.predict(X[test]), average=None)
    np.testing.assert_allclose(found.values[0, 0], expected)
    for t in range(Y.shape[1]):  # a ridge a task
        seen = train[~np.isnan(Y[train, t])]
        predicted = Ridge().fit(X[seen], Y[seen, t]).predict(X[test])
        known = ~np.isnan(Y[test, t])
        expected = r2_score(Y[test, t][known], predicted[known])
        assert found.values[1, 0, t] == pytest.approx(expected)


def test_errors_are_in_the_units_of_the_tasks_and_negative(data):
    X, Y = data
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, Y))
    predicted = Ridge().fit(X[train], Y[train]).predict(X[test])
    largest = make_scorer(max_error, greater_is_better=False)
    for scoring, expected in {
        "neg_mean_squared_error": -((Y[test] - predicted) ** 2).mean(axis=0),
        "neg_mean_absolute_error": -abs(Y[test] - predicted).mean(axis=0),
        largest: -abs(Y[test] - predicted).max(axis=0),
        lambda e, X, y: -np.median(abs(e.predict(X) - y)): -np.median(
            abs(Y[test] - predicted), axis=0
        ),
    }.items():
        found = compare_given(X, Y, {"ridge": Ridge()}, seeds=1, scoring=scoring)
        np.testing.assert_allclose(found.values[0, 0], expected)
        same = compare_given(X, Y, {"ridge": Ridge()}, seeds=1, scoring={"regression": scoring})
        np.testing.assert_allclose(same.values, found.values)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_errors_in_small_and_large_units_are_written_with_their_digits(data, unit):
    X, Y = data
    candidates = {"ridge": Ridge(), "mean": Mean(), "tree": DecisionTreeRegressor(random_state=0)}
    found = compare(
        X, Y[:, :1] * unit, candidates, baselines="mean", scoring="neg_mean_absolute_error"
    )
    shown = repr(found).replace("±", "").split()
    means, differences = (found.frame[c].xs("task 0", level="task") for c in ("mean", "difference"))
    assert f"{means['ridge']:.3g}" in shown
    assert f"{differences['ridge']:+.3g}" in shown
    assert f"{differences['ridge']:.3g} above" in found.verdict
    assert f"{means['tree']:.3g}" in found._repr_html_()


def test_one_regression_task(data, net):
    X, Y = data
    per_task = MultiOutputRegressor(net.set_params(task_types="regression"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn on columns of a single task
        for y in (Y[:, 0], Y[:, :1], pd.Series(Y[:, 0], name="only")):
            found = compare(X, y, {"net": net, "forest": RandomForestRegressor(5)}, seeds=1)
            assert found.values.shape == (2, 1, 1)
            assert np.isfinite(found.values).all()
    found = compare(X, Y, {"a net a task": per_task}, seeds=1)
    assert found.kinds == ["STL"]
    assert np.isfinite(found.values).all()


# -- kinds -------------------------------------------------------------------------------------


def test_numbers_that_are_whole_in_a_training_part_stay_numbers(net):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    Y = np.column_stack([np.round(2 * X[:, 0]), X[:, 1] > 0, X[:, 2]])
    test = np.arange(60, 90)
    Y[test, 0] += 0.25
    est = GroupedMTLEstimator.mtl(net)
    found = compare(X, Y, {"MTL": est}, cv=[(np.arange(60), test)], seeds=1)
    est.set_params(estimator__task_types=["regression", "binary", "regression"])
    fitted = skgroup.comparison._candidates.seeded(est, 0).fit(X[:60], Y[:60])
    expected = r2_score(Y[test, 0], fitted.predict(X[test])[:, 0])
    assert found.values[0, 0, 0] == pytest.approx(expected)


def test_every_net_of_a_candidate_is_told_the_kinds(mixed):
    grouper = make_pipeline(StandardScaler(), TaskGrouper(source="stl"), FuzzyKMeans(2))
    table = check_tasks(mixed[1])
    candidates = {
        "g": GroupedMTLEstimator(None, grouper),
        "s": make_pipeline(MultiTaskNet()),
        "p": PortfolioEstimator(),
    }
    clones = Candidates.of(candidates, ["s"], *mixed, table).estimators
    assert clones["p"].task_types == table.task_types
    nets = [p for e in clones.values() for p in parts_of(e) if isinstance(p, MultiTaskNet)]
    assert [net.task_types for net in nets] == [table.task_types] * 3
    assert grouper[1].estimator is None


def test_whole_numbers_are_numbers_where_all_candidates_are_regressors(net):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(80, 3)), rng.integers(0, 9, size=(80, 2))
    for candidates in (
        {"ridge": Ridge(), "linear": LinearRegression()},
        {"grouped": GroupedMTLRegressor(net, n_groups=2), "MTL": net},
        {"net": net.set_params(task_types="regression")},
    ):
        found = compare_given(X, Y, candidates, seeds=1)
        assert found.task_kinds == ["regression", "regression"]
        assert np.isfinite(found.values).all()
    net.set_params(task_types={1: "regression"})
    found = compare(X, Y, {"g": GroupedMTLEstimator(net, SingleTasks())}, seeds=1)
    assert found.task_kinds == ["classes", "regression"]


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (
            GroupedMTLClassifier(),
            "is a regression task, but 'a' of compare, a GroupedMTLClassifier",
        ),
        (
            KNeighborsClassifier(),
            "is a regression task, but 'a' of compare, a KNeighborsClassifier",
        ),
        (make_pipeline(StandardScaler(), Counted()), "a Counted, learns tasks with classes"),
    ],
)
def test_classifiers_are_refused_where_a_task_is_a_regression_task(data, mixed, candidate, message):
    Mean.fits = 0
    for (X, Y), label in ((data, "task 0 "), (mixed, "task 1 ('spend') ")):
        with pytest.raises(ValueError, match="^Unknown label type: continuous.*" + message) as e:
            compare_given(X, Y, {"mean": Mean(), "a": candidate})
        assert label in str(e.value)
    assert Mean.fits == 0


@pytest.mark.parametrize("candidate", [Ridge(), GroupedMTLRegressor()])
def test_regressors_are_refused_where_a_task_has_classes(mixed, candidate):
    Mean.fits = 0
    rule = r"task 0 \('churn'\) of Y is a binary task, but 'a' of compare, a .*, learns regression"
    with pytest.raises(ValueError, match=rule):
        compare_given(*mixed, {"mean": Mean(), "a": candidate})
    assert Mean.fits == 0


def test_candidates_must_agree_about_kinds(mixed, net):
    X, Y = mixed
    numbers = net.set_params(task_types={"churn": "regression"})
    other = MultiTaskNet(task_types={"churn": "binary"})
    with pytest.raises(ValueError, match=r"'churn'\) of Y is a regression task, but a binary one"):
        compare(X, Y, {"a": numbers, "b": other})


# -- tables of several kinds -------------------------------------------------------------------


def test_a_mixed_table_has_a_score_a_kind(mixed, net):
    X, Y = mixed
    candidates = {"grouped": GroupedMTLEstimator(net, n_groups=2, random_state=0), "net": net}
    found = compare(X, Y, candidates, seeds=3)
    assert found.scoring == {"classes": "F1", "regression": "R²"}
    assert found.task_kinds == ["classes", "regression", "classes", "regression"]
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, Y))
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    fitted = net.set_params(random_state=seed).fit(X[train], Y.iloc[train])
    truth, predicted = Y.iloc[test], fitted.predict(X[test])
    of_classes = multitask_f1_score(truth, predicted, average=None)
    of_numbers = multitask_r2_score(truth, predicted, average=None, task_types="auto")
    expected = np.where([True, False, True, False], of_classes, of_numbers)
    np.testing.assert_allclose(found.values[1, 0], expected)

    frame = found.frame
    names = ["mean over tasks, standardised", "mean F1 over tasks", "mean R² over tasks", *Y]
    assert frame.loc["net"].index.tolist() == names
    assert frame.loc["net", "scoring"].tolist()[1:] == ["F1", "R²", "F1", "R²", "F1", "R²"]
    of_kind = found.values[1][:, [0, 2]].mean()
    assert frame.loc[("net", "mean F1 over tasks"), "mean"] == pytest.approx(of_kind)


def test_fits_of_numbers_are_found_again_in_a_file(mixed, net, tmp_path):
    X, Y = mixed
    found, again = (compare(X, Y, {"net": net}, seeds=2, results=tmp_path / "a") for _ in range(2))
    np.testing.assert_array_equal(again.seconds, found.seconds)  # of the fits that were made
    np.testing.assert_array_equal(again.values, found.values)
    Y.loc[2, "spend"] += 1
    other = compare(X, Y, {"net": net}, seeds=2, results=tmp_path / "a")
    assert (other.seconds != found.seconds).all()


def test_differences_over_kinds_are_standardised():
    rng = np.random.default_rng(0)
    values = rng.random((3, 6, 4))
    kinds = ["classes", "regression", "classes", "regression"]
    params = {
        "scoring": {"classes": "F1", "regression": "neg_mean_absolute_error"},
        "task_kinds": kinds,
        "n_tasks": 4,
    }
    seconds = [1, 2, 3]
    given = dict(zip(["MTL", "STL", "grouped"], np.zeros((3, 6)), strict=True))
    found = crafted(given, seconds, baselines=["MTL", "STL"], **params, values=values)
    spread = np.median(values.std(axis=1, ddof=1), axis=0)
    best = found.candidates.index(found.best_baseline)
    literal = ((values[2] - values[best]) / spread).mean()
    assert found.paired("grouped", found.best_baseline).difference == pytest.approx(literal)
    better = int((values[2].mean(axis=0) > values[best].mean(axis=0)).sum())
    assert f"better in {better} of 4 tasks" in found.verdict
    assert "mean standardised difference over tasks" in found.verdict
    assert found.frame.loc["grouped", "better"].iloc[0] == better / 4

    # A candidate that diverges in a split changes no unit.
    diverged = values.copy()
    diverged[1, 0] = -1e3
    again = crafted(given, seconds, baselines=["MTL"], **params, values=diverged)
    literal = ((values[2] - values[0]) / again.spread).mean()
    assert again.paired("grouped", "MTL").difference == pytest.approx(literal)
    assert (again.spread < 1).all()

    # Other units of one kind change nothing that is said over kinds.
    other = values * np.where(np.array(kinds) == "regression", 1e4, 1) - 7
    scaled = crafted(given, seconds, baselines=["MTL", "STL"], **params, values=other)
    np.testing.assert_allclose(scaled.overall, found.overall)
    assert scaled.verdict == found.verdict


def test_a_mixed_comparison_is_printed_with_a_column_a_kind():
    rng = np.random.default_rng(0)
    values = rng.random((2, 4, 3))
    values[1] += 1
    values[:, :, 2] = 0.5  # where all is equal there is no spread
    found = crafted(
        {"MTL": np.zeros(4), "grouped": np.zeros(4)},
        [1, 2],
        baselines=["MTL"],
        n_tasks=3,
        values=values,
        scoring={"classes": "F1", "regression": "R²"},
        task_kinds=["classes", "regression", "regression"],
    )
    lines = repr(found).split("\n")
    title = "Test F1, mean over 1 task, and R², mean over 2 tasks, of 4 seeds, 1 split each"
    assert lines[0] == title
    columns = ["candidate", "F1 ± sd (difference)", "R² ± sd (difference)", "tasks better"]
    assert [c.strip() for c in lines[2].split("  ") if c.strip()][:4] == columns
    assert "2 of 3" in lines[4]
    f1 = values[1, :, 0].mean() - values[0, :, 0].mean()
    assert f"({f1:+.3f})" in lines[4]
    assert "Standardised: each task's difference divided by the standard deviation" in repr(found)
    assert "standard deviations above the best baseline" in found.verdict
    html = found._repr_html_()
    assert title in html
    assert "<th>tasks better</th>" in html


def test_one_split_of_a_mixed_table_compares_by_the_spread_of_candidates():
    found = crafted(
        {"MTL": [0.0], "grouped": [0.0]},
        [1, 2],
        baselines=["MTL"],
        n_tasks=2,
        values=np.array([[[0.5, -30.0]], [[0.6, -20.0]]]),
        scoring={"classes": "F1", "regression": "neg_mean_absolute_error"},
        task_kinds=["classes", "regression"],
    )
    np.testing.assert_allclose(found.overall[:, 0], [-np.sqrt(0.5), np.sqrt(0.5)])
    assert found.verdict.startswith("“grouped” has the highest mean standardised score, but one ")
    assert "of its score over candidates" in repr(found)


def test_scores_of_both_kinds_are_given_by_kind(mixed, net):
    X, Y = mixed
    scoring = {"classes": "normalized_entropy", "regression": "neg_mean_absolute_error"}
    found = compare(X, Y, {"net": net}, seeds=1, scoring=scoring)
    assert found.scoring == {
        "classes": "negative normalised entropy",
        "regression": "negative MAE",
    }
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, Y))
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    fitted = net.set_params(random_state=seed).fit(X[train], Y.iloc[train])
    truth = Y.iloc[test]
    of_classes = multitask_normalized_entropy(truth, fitted.predict_proba(X[test]), average=None)
    hours = mean_absolute_error(truth["hours"], fitted.predict(X[test])[:, 3].astype(float))
    np.testing.assert_allclose(found.values[0, 0, [0, 2]], -of_classes[[0, 2]])
    assert found.values[0, 0, 3] == pytest.approx(-hours)
    one = compare(X, Y, {"net": net}, seeds=1, scoring={"classes": "roc_auc"})
    assert one.scoring == {"classes": "ROC AUC", "regression": "R²"}


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ("f1_macro", "as task 0 .'churn'. has classes and task 1 .'spend'. is a regression task"),
        (mean_absolute_error, "must be a dict with a score for 'classes' and one for 'regression'"),
        ({"binary": "f1"}, "must be a dict with a score for 'classes' and one for 'regression'"),
        (
            {"classes": "f1", "numbers": "r2"},
            "several scores.*Got the name 'classes'",
        ),
        (
            {"regression": "f1"},
            "must be a score of regression tasks.*Got 'f1', a score of tasks wi",
        ),
        ({"classes": "r2"}, "must be a score of tasks with classes.*Got 'r2', a score of regress"),
        ({"regression": "accuracy"}, "must be a score of regression tasks.*Got 'accuracy'"),
        ({"regression": "nonsense"}, "must be .*, 'r2', another name of sklearn"),
        ({"regression": mean_absolute_error}, "make a scorer of it"),
        ({"regression": 3}, "must be a str or a callable. Got 3"),
    ],
)
def test_scores_of_another_kind_are_refused_before_any_training(mixed, scoring, message):
    Mean.fits = 0
    with pytest.raises(ValueError, match="The 'scoring' parameter of compare.*" + message):
        compare_given(*mixed, {"a": Mean()}, scoring=scoring)
    assert Mean.fits == 0


# -- splits ------------------------------------------------------------------------------------


def test_splits_are_stratified_by_classes_alone(mixed):
    rng = np.random.default_rng(0)
    Y = pd.DataFrame({"number": rng.normal(size=60), "label": np.repeat([0, 1, 2], 20)})
    splits = held_out_splits(StratifiedKFold(4), check_tasks(Y), 0)
    assert all((np.bincount(Y["label"].iloc[test]) == 5).all() for _, test in splits)
    with pytest.raises(ValueError, match=r"'cv' parameter of compare cannot split.*continuous"):
        compare_given(Y[["number"]], Y["number"], {"ridge": Ridge()}, cv=StratifiedKFold(3))


def test_training_parts_hold_two_numbers_of_each_regression_task():
    Y = np.column_stack([np.full(20, 1.0), np.arange(20) / 3])
    Y[15:, 0] = 2.5
    Y[5:, 1] = np.nan
    table = check_tasks(Y)
    for order in ([0, 1], [1, 0]):
        ((train, test),) = held_out_splits([(np.arange(5, 15), np.arange(15, 20))], table, 0)
        assert all(len(set(Y[train, t]) - {np.nan}) >= 2 for t in (0,))
        assert len(np.unique(Y[train, 1][~np.isnan(Y[train, 1])])) >= 2
        assert not np.isin(train, test).any()
        ((other, _),) = held_out_splits(
            [(np.arange(5, 15), np.arange(15, 20))], check_tasks(Y[:, order]), 0
        )
        np.testing.assert_array_equal(other, train)


# -- learning curves ---------------------------------------------------------------------------


def test_learning_curves_of_regression_tasks_are_of_r2(data, net):
    pytest.importorskip("matplotlib").use("Agg")
    X, Y = data
    nets = {"MTL": net, "STL": GroupedMTLRegressor.stl(net)}
    curves = LearningCurvesDisplay.from_estimator(nets, X, Y, seeds=2, n_epochs=3)
    assert curves.ax_.get_ylabel() == "test R²"
    last = compare(X, Y, nets, seeds=2).overall
    np.testing.assert_allclose([curves.scores[name][:, -1] for name in nets], last)


def test_learning_curves_of_a_mixed_table_are_of_one_kind(mixed, net):
    pytest.importorskip("matplotlib").use("Agg")
    X, Y = mixed
    by_kind = compare(X, Y, {"net": net}, seeds=1).values[0, 0]
    for scoring, label, tasks in (
        ({"regression": "r2"}, "test R²", [1, 3]),
        ({"classes": "f1"}, "test F1", [0, 2]),
    ):
        curves = LearningCurvesDisplay.from_estimator(
            net, X, Y, seeds=1, n_epochs=3, scoring=scoring
        )
        assert curves.ax_.get_ylabel() == label
        assert curves.scores["MultiTaskNet"][0, -1] == pytest.approx(by_kind[tasks].mean())
    with pytest.raises(ValueError, match="must be of one kind of task, as scores of several have"):
        LearningCurvesDisplay.from_estimator(net, X, Y)


def test_the_verdict_says_that_nothing_was_learned(data):
    X, Y = data
    options = {"module__hidden_units": (4,), "max_epochs": 2, "lr": 3.0, "random_state": 0}
    grouped = GroupedMTLRegressor(MultiTaskNet.stg_mtl(**options), n_groups=2)
    for scale, nothing in ((1e3, True), (1.0, False)):
        options = {} if nothing else {"estimator__lr": 0.01, "estimator__max_epochs": 20}
        grouped.set_params(**options)
        plain = GroupedMTLRegressor.mtl(grouped.estimator)
        found = compare(scale * X, Y, {"MTL": plain, "grouped": grouped}, seeds=2)
        assert ("worse than predicting the mean (R² below 0)" in found.verdict) == nothing
