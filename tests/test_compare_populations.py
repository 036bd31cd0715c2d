"""Populations as the tasks of `compare`: one model for all, one each, or one a group."""

import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from skgroup import FuzzyKMeans, GroupedMTLClassifier, compare
from skgroup.comparison import forecast
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor
from skgroup.populations.baselines import RandomGroupsRegressor

ALL, FEATURE, EACH = "one for all", "one for all, with the population", "one each"
RANDOM, BOOSTING = "random groups", "boosting, with the population"
MADE = [ALL, FEATURE, EACH, "shrunk", RANDOM, BOOSTING]


RIDGE = make_pipeline(FunctionTransformer(lambda X: X.drop(columns="store")), Ridge())


def make_rows(n=16, n_stores=8, signs=2, seed=0, noise=0.5, d=5):
    """Stores with n rows each; of two kinds, whose features count the other way, or of one."""
    rng = np.random.default_rng(seed)
    store = np.repeat(np.arange(n_stores), n)
    X = rng.normal(size=(len(store), d))
    sign = np.where(store % signs == 0, 1.0, -1.0)
    number = sign * X.sum(axis=1) + noise * rng.normal(size=len(store))
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(d)])
    frame.insert(1, "store", [f"s{s}" for s in store])
    order = rng.permutation(len(store))
    return frame.iloc[order].reset_index(drop=True), number[order]


def grouped_regressor(**params):
    given = {"task": "store", "n_groups": [2, 8], "cv": 2} | params
    return PooledTasksRegressor(**given)


def grouped_classifier(**params):
    given = {"task": "store", "n_groups": 2, "shrinkage": np.inf, "cv": 2} | params
    return PooledTasksClassifier(**given)


@pytest.fixture(scope="module")
def planted():
    X, number = make_rows(d=8, n=20, noise=1.5)
    return X, number, compare(X, number, grouped_regressor(cv=3), seeds=6)


# -- what is said ----------------------------------------------------------------------------------


def test_planted_groups_beat_every_baseline(planted):
    comparison = planted[2]
    assert comparison.candidates == [*MADE, "grouped"]
    assert comparison.baselines == MADE
    assert comparison.kinds == ["other"] * 6 + ["grouped"]
    assert comparison.tasks == [f"s{i}" for i in range(8)]
    assert comparison.scoring == "negative MSE"
    assert all(comparison.paired("grouped", baseline).low > 0 for baseline in MADE)
    assert comparison.advised == "grouped"
    assert comparison.verdict.startswith("Grouping helps here: use “grouped”")


def test_scores_are_of_the_test_rows_of_each_population(planted):
    X, number, comparison = planted
    numbers = np.arange(len(X))
    split = [(numbers[numbers % 3 > 0], numbers[numbers % 3 == 0])]
    found = compare(X, number, {"grouped": grouped_regressor(), "ridge": RIDGE}, cv=split, seeds=1)
    (train, test), predicted = split[0], {}
    predicted["ridge"] = clone(RIDGE).fit(X.iloc[train], number[train]).predict(X.iloc[test])
    last = PooledTasksRegressor(make_pipeline(StandardScaler(), Ridge()), task="store")
    last.set_params(n_groups=8, shrinkage=0)
    predicted[EACH] = last.fit(X.iloc[train], number[train]).predict(X.iloc[test])
    alone = make_pipeline(StandardScaler(), Ridge())
    without = X.drop(columns="store")
    predicted[ALL] = alone.fit(without.iloc[train], number[train]).predict(without.iloc[test])
    for name, answers in predicted.items():
        of_stores = [
            -mean_squared_error(number[test][here], answers[here])
            for here in (X["store"].iloc[test].to_numpy() == s for s in found.tasks)
        ]
        assert found.values[found.candidates.index(name), 0] == pytest.approx(of_stores)
        assert found.overall[found.candidates.index(name), 0] == pytest.approx(np.mean(of_stores))
    assert "ridge" in found.baselines
    assert comparison.values.shape == (7, 6, 8)


@pytest.mark.parametrize("of_classes", [False, True])
def test_populations_of_one_row_or_one_label_are_compared_with_the_others(of_classes):
    X, y = make_rows(n_stores=4)
    y[X["store"] == "s1"] = 3.0  # a closed store
    X, y = pd.concat([X, X[:1].assign(store="one row")]), np.append(y, 0.5)
    if of_classes:
        y = y > 0
    given = (grouped_classifier if of_classes else grouped_regressor)(n_groups=[1, 2])
    for cv in (0.25, 3):
        found = compare(X, y, given, cv=cv, seeds=1)
        assert found.tasks == ["one row", "s0", "s1", "s2", "s3"]
        known = np.isfinite(found.values).all(axis=(0, 1))
        assert known.tolist() == [False, True, True, True, True]  # the one row is trained on
        assert found.values[found.candidates.index(EACH), :, 2] == pytest.approx(0, abs=0.05)


def test_splitters_are_shown_the_labels_of_the_rows():
    X, number = make_rows(n_stores=2)
    y = np.where(number > np.quantile(number, 0.75), "yes", "no")
    given, cv = grouped_classifier(n_groups=1), StratifiedKFold(2, shuffle=True)
    assert compare(X, y, given, cv=cv, seeds=1).values.shape[1] == 2
    with pytest.raises(ValueError, match=r"'cv' parameter of compare cannot split.*continuous"):
        compare(X, number, grouped_regressor(), cv=cv, seeds=1)
    with pytest.raises(ValueError, match="the only ones with a label, or of a class, of some task"):
        compare(X, number, grouped_regressor(), groups=X["store"], seeds=1)


def test_nothing_is_said_of_nets_nor_of_tasks(planted):
    comparison = planted[2]
    assert comparison.lacking == []
    for text in (repr(comparison), comparison.to_markdown(), comparison._repr_html_()):
        assert "nets" not in text
        assert "8 populations" in text
        assert "s7" in text or text == repr(comparison)
    assert "nets" not in comparison.table.head
    assert "“grouped” has chosen, of 8 populations: 2 in 6 of 6 fits" in repr(comparison)
    assert [m.shape for m in comparison.memberships["grouped"]] == [(8, 2)] * 6
    assert list(comparison.memberships) == ["grouped"]  # random groups are not looked for
    assert "Each population" in comparison.to_markdown()
    assert comparison.frame.loc[("grouped", "s0"), "n_splits"] == 6


def test_where_populations_do_not_differ_the_verdict_says_so():
    X, number = make_rows(signs=1, n_stores=6)
    grouped = grouped_regressor(n_groups=[1, 2, 6], shrinkage=np.inf)
    comparison = compare(X, number, grouped, seeds=4)
    assert comparison.verdict.startswith("Grouping does not")
    assert comparison.advised in comparison.baselines
    same = [comparison.candidates.index(name) for name in (ALL, RANDOM, "grouped")]
    chosen = [m.shape[1] == 1 for m in comparison.memberships["grouped"]]
    assert any(chosen)  # then random groups are that model, too
    assert np.ptp(comparison.values[same][:, chosen], axis=0) == pytest.approx(0)


def test_random_groups_have_the_sizes_and_shrinkage_of_those_that_are_found():
    X, number = make_rows(n_stores=7)
    params = {"task": "store", "n_groups": [2], "cv": 2, "random_state": 3}
    found = PooledTasksRegressor(**params).fit(X, number)
    drawn = RandomGroupsRegressor(**params).fit(X, number)
    assert sorted(drawn.membership_.sum(axis=0)) == sorted(found.membership_.sum(axis=0)) == [3, 4]
    assert drawn.shrinkage_ == found.shrinkage_
    assert (drawn.labels_ != found.labels_).any()
    assert drawn.score(X, number) < found.score(X, number)


def test_classes_are_scored_by_log_loss_or_what_is_asked():
    X, number = make_rows(n_stores=4)
    y = np.where(number > 0, "yes", "no")
    both = {"loss": "neg_log_loss", "AUC": "roc_auc", "accuracy": "accuracy"}
    comparison = compare(X, y, grouped_classifier(), seeds=1, scoring=both)
    assert comparison.scoring == "negative log loss"
    assert comparison.by_scoring("AUC").summary("grouped")["mean"] > 0.9
    assert comparison.by_scoring("accuracy").best_baseline in comparison.baselines


def test_a_score_is_nan_where_the_rows_of_a_population_lack_a_class():
    X, number = make_rows(n_stores=4)
    y = (number > 0).astype(int)
    y[X["store"] == "s2"] = 1
    y[np.flatnonzero(X["store"] == "s2")[0]] = 0  # which every training part holds
    comparison = compare(X, y, grouped_classifier(), scoring=["roc_auc", "neg_log_loss"], seeds=1)
    of_stores = np.isnan(comparison.values).all(axis=(0, 1))
    assert of_stores.tolist() == [False, False, True, False]
    assert np.isfinite(comparison.overall).all()
    assert "ROC AUC is not defined in some split, and left out there, for s2." in repr(comparison)
    losses = comparison.by_scoring("neg_log_loss")
    assert np.isfinite(losses.values).all()  # which one class alone has, too


def test_several_classes_some_of_which_a_population_lacks():
    X, number = make_rows(n_stores=4, n=24)
    y = np.digitize(number, [-1, 1])
    y[(X["store"] == "s1") & (y == 2)] = 0
    candidates = {"grouped": grouped_classifier(grouper=FuzzyKMeans()), "prior": DummyClassifier()}
    comparison = compare(X, y, candidates, seeds=1, baselines="prior")
    assert comparison.candidates == ["grouped", "prior"]
    assert np.isfinite(comparison.values).all()
    assert comparison.summary("grouped")["difference"] > 0
    assert not comparison.errors


# -- candidates and baselines ----------------------------------------------------------------------


def test_baselines_have_the_estimator_of_the_candidate_and_its_steps():
    X, number = make_rows(n_stores=4)
    y = number > 0
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    same = FunctionTransformer()
    candidate = make_pipeline(same, grouped_classifier(estimator=estimator))
    comparison = compare(X, y, {"mine": candidate}, seeds=1)
    assert comparison.candidates == [*MADE, "mine"]
    assert not comparison.errors
    bare = compare(X, y, {"mine": grouped_classifier(estimator=estimator)}, seeds=1)
    assert bare.values == pytest.approx(comparison.values)
    numbered = X.assign(store=X["store"].str[1:].astype(int)).to_numpy()
    of_array = compare(numbered, y, grouped_classifier(task=1, estimator=estimator), seeds=1)
    assert of_array.values == pytest.approx(bare.values)


def test_other_candidates_see_the_column_and_are_baselines():
    X, number = make_rows(n_stores=4)
    X["store"] = X["store"].astype("category")
    y = number > 0
    boosting = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5)
    comparison = compare(X, y, {"g": grouped_classifier(), "b": boosting}, seeds=1)
    assert comparison.baselines == [ALL, FEATURE, EACH, "shrunk", RANDOM, "b"]
    assert not comparison.errors
    only = compare(X, y, {"g": grouped_classifier(), "b": boosting}, seeds=1, baselines="b")
    assert only.candidates == ["g", "b"]
    few = compare(X, y, {"g": grouped_classifier()}, seeds=1, baselines=[ALL, EACH])
    assert few.baselines == [ALL, EACH]


def test_the_population_may_be_a_feature_of_the_candidate_or_of_boosting():
    X, number = make_rows(n_stores=4)
    candidate = grouped_regressor(task_as_feature=True, n_groups=1, cv=2, shrinkage=np.inf)
    numbers = np.arange(len(X))
    train, test = numbers[numbers % 3 > 0], numbers[numbers % 3 == 0]
    comparison = compare(X, number, candidate, cv=[(train, test)], seeds=1)
    made = [FEATURE, EACH, "shrunk", BOOSTING]
    assert comparison.candidates == [*made, "PooledTasksRegressor"]
    assert comparison.baselines == made
    assert not comparison.errors
    # As boosting that is given the populations as categories.
    codes = X.assign(store=X["store"].str[1:].astype(int))
    itself = HistGradientBoostingRegressor(categorical_features=["store"])
    answers = itself.fit(codes.iloc[train], number[train]).predict(codes.iloc[test])
    left = (answers - number[test]) ** 2
    of_stores = [-left[X["store"].iloc[test] == store].mean() for store in comparison.tasks]
    assert comparison.values[made.index(BOOSTING), 0] == pytest.approx(of_stores)


def test_a_search_is_a_candidate_too():
    X, number = make_rows(n_stores=4, signs=1)
    search = GridSearchCV(grouped_regressor(cv=2), {"n_groups": [1, 2]}, cv=2)
    comparison = compare(X, number, {"search": search, "ridge": RIDGE}, seeds=1, baselines="ridge")
    assert comparison.kinds == ["grouped", "other"]
    assert comparison.memberships["search"][0].shape[0] == 4


def test_without_numbers_no_boosting_is_made():
    X, number = make_rows(n_stores=4)
    X["kind"] = np.where(X["x0"] > 0, "a", "b")
    dummy = DummyClassifier(strategy="prior")
    comparison = compare(X, number > 0, grouped_classifier(estimator=dummy), seeds=1)
    assert BOOSTING not in comparison.candidates
    assert "No boosting is made a baseline" in repr(comparison)


def test_where_nothing_groups_the_made_are_the_baselines():
    X, number = make_rows(n_stores=4)
    shrunk = {"mine": grouped_regressor(n_groups=1, cv=2)}
    comparison = compare(X, number, shrunk, seeds=2)
    assert comparison.baselines == [ALL, FEATURE, EACH, "shrunk", BOOSTING]
    assert comparison.verdict.startswith("What is no baseline does not")


# -- how it is run ---------------------------------------------------------------------------------


def test_results_go_on_and_processes_change_nothing(tmp_path, planted):
    X, number, comparison = planted
    path = tmp_path / "fits"
    few = compare(X, number, grouped_regressor(cv=3), seeds=1, results=path)
    assert few.values == pytest.approx(comparison.values[:, :1])
    lines = path.read_text().count("\n")
    assert str(forecast(X, number, grouped_regressor(cv=3), seeds=1, results=path)).startswith(
        "Nothing"
    )
    with parallel_config(backend="threading"):
        all_of_it = compare(X, number, grouped_regressor(cv=3), seeds=2, results=path, n_jobs=2)
    assert path.read_text().count("\n") == lines + 7
    assert (all_of_it.values == comparison.values[:, :2]).all()
    assert all_of_it.memberships["grouped"][0].shape == (8, 2)
    assert (all_of_it.seconds[:, 0] == few.seconds[:, 0]).all()


def test_a_forecast_counts_fits():
    X, number = make_rows(n_stores=4)
    told = forecast(X, number, grouped_regressor(n_groups=2, cv=2), seeds=3, baselines=[ALL])
    assert sum(told.fits) == 3 * 7
    assert "nets" not in str(told)


def test_inputs_stay_and_a_failed_candidate_counts_as_nan():
    X, number = make_rows(n_stores=4)
    before = X.copy()
    bad = {"g": grouped_regressor(n_groups=2, cv=2), "bad": Ridge()}  # which sees strings
    with pytest.warns(Warning, match="'bad' failed"):
        comparison = compare(X, number, bad, seeds=1, baselines=[ALL])
    assert comparison.errors.keys() == {("bad", 0, 0)}
    pd.testing.assert_frame_equal(X, before)
    with pytest.raises(ValueError, match="could not convert"):
        compare(X, number, bad, seeds=1, error_score="raise")


# -- what is refused -------------------------------------------------------------------------------

X, NUMBER = make_rows(n_stores=4)
X["region"] = np.arange(len(X)) % 3
Y = NUMBER > 0
GROUPED = PooledTasksClassifier(task="store")


@pytest.mark.parametrize(
    ("y", "candidates", "params", "message"),
    [
        (Y, {"a": GROUPED, "table": GroupedMTLClassifier()}, {}, "'table'.* learns a table"),
        (Y, {"a": GROUPED, "two": {"classes": LogisticRegression()}}, {}, "'two'.* learns a table"),
        (Y, {"a": GROUPED, "b": clone(GROUPED).set_params(task="region")}, {}, "one column 'task'"),
        (Y, {"a": GROUPED, "b": PooledTasksRegressor(task="store")}, {}, "'b'.* learns numbers"),
        (Y, {"a": GROUPED, "b": Ridge()}, {}, "'b', a Ridge, which learns numbers"),
        (np.column_stack([Y, Y]), GROUPED, {}, "y of compare must be 1-D"),
        (None, GROUPED, {}, "requires y"),
        (Y, PooledTasksClassifier(task="shop"), {}, "'task' parameter of candidate 'grouped'"),
        (Y[1:], GROUPED, {}, "same number of samples"),
        (Y, clone(GROUPED).set_params(n_groups=5), {}, "'grouped' of compare cannot be fitted"),
        (Y, clone(GROUPED).set_params(cv="x"), {}, "'cv' parameter"),
        (Y, {"a": GROUPED, "svc": LinearSVC()}, {}, "'svc'.* no predict_proba"),
        (Y, GROUPED, {"threshold": "tuned"}, "'threshold' parameter .* must be 'default'"),
        (Y, GROUPED, {"params": {"sample_weight": np.ones(64)}}, "'params' parameter .* be None"),
        (Y, GROUPED, {"scoring": "r2"}, "'scoring' parameter"),
        (Y, GROUPED, {"baselines": "one"}, "'baselines' parameter .* names of candidates"),
        (Y, GROUPED, {"baselines": 3}, "'baselines' parameter"),
        (Y, GROUPED, {"baselines": []}, "must not be empty"),
        (Y, {"shrunk": GROUPED}, {}, "'shrunk' must be another name"),
        (Y, GROUPED, {"seeds": 0}, "'seeds' parameter"),
        (Y, GROUPED, {"cv": 1.5}, "'cv' parameter of compare"),
    ],
)
def test_refused_before_anything_is_fitted(y, candidates, params, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((ValueError, TypeError), match=message):
            compare(X, y, candidates, **params)


def test_one_population_is_refused():
    one = X.assign(store="s0")
    with pytest.raises(ValueError, match="at least two populations"):
        compare(one, Y, GROUPED)


def test_groups_that_are_given_are_a_candidate():
    X, number = make_rows(n=40)
    kinds = {"even": [f"s{i}" for i in range(0, 8, 2)], "odd": [f"s{i}" for i in range(1, 8, 2)]}
    given = grouped_regressor(grouper=kinds, n_groups=2, shrinkage=np.inf, random_state=0)
    found = compare(X, number, {"kinds": given}, seeds=2)
    mean = found.scores.groupby("candidate").score.mean()
    assert mean["kinds"] > max(mean[ALL], mean[RANDOM])
