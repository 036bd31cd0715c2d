"""Populations: one model for all, one each, or one a group, found by held-out loss."""

import datetime
import decimal
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import sparse, stats
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgroup import FuzzyKMeans, MultiTaskNet, TaskGrouper
from skgroup.populations import (
    Coefficients,
    CrossLosses,
    PooledTasksClassifier,
    PooledTasksRegressor,
)
from skgroup.populations._alternation import alternate
from skgroup.populations._linear import linear_models
from skgroup.populations._models import Models
from skgroup.populations._path import Path, Way
from skgroup.populations._rows import Populations
from skgroup.populations._splits import within_folds
from skgroup.populations._verdict import write_verdict
from skgroup.populations.baselines import OneEachRegressor, OneForAllRegressor
from skgroup.relations import InterTaskAffinity
from skgroup.selection import GroupStability, HOAGrouping

STORES = np.array(["aa", "bb", "cc", "dd", "ee", "ff"])


def make_rows(n=60, kinds=(0, 0, 0, 1, 1, 1), seed=0, noise=0.5):
    """Six stores with n rows each; in those of kind 1, the first feature counts the other way."""
    rng = np.random.default_rng(seed)
    store = np.repeat(np.arange(len(kinds)), n)
    X = rng.normal(size=(len(store), 3))
    sign = np.where(np.array(kinds)[store] == 0, 1.0, -1.0)
    number = sign * X[:, 0] + X[:, 1] / 2 + noise * rng.normal(size=len(store))
    frame = pd.DataFrame(X, columns=["price", "size", "age"])
    frame.insert(1, "store", STORES[store])
    order = rng.permutation(len(store))
    return frame.iloc[order].reset_index(drop=True), number[order]


@pytest.fixture(scope="module")
def classified():
    X, number = make_rows()
    y = np.where(number > 0, "yes", "no")
    return X, y, PooledTasksClassifier(task="store", random_state=0).fit(X, y)


# -- what is found ---------------------------------------------------------------------------------


def test_planted_groups_are_found_and_serve_better_than_one_for_all(classified):
    X, _, clf = classified
    assert clf.n_groups_ == 2
    assert clf.tasks_.tolist() == STORES.tolist()
    assert len(set(clf.labels_[:3])) == len(set(clf.labels_[3:])) == 1
    assert clf.membership_.shape == (6, 2)
    new, number = make_rows(seed=1)
    y = np.where(number > 0, "yes", "no")
    assert clf.predict_proba(new).shape == (len(new), 2)
    assert clf.predict_proba(new).sum(axis=1) == pytest.approx(1)
    assert clf.score(new, y) > 0.8
    alone = clf.model_for_all_.predict(new.drop(columns="store"))
    assert np.mean(alone == y) < 0.7
    assert clf.verdict_.startswith("2 groups: aa, bb, cc | dd, ee, ff")
    assert X.columns.tolist() == ["price", "store", "size", "age"]  # untouched


def test_the_path_holds_one_for_all_and_one_each_and_says_what_was_chosen(classified):
    path = classified[2].path_
    assert path.n_groups.unique().tolist() == [1, 2, 3, 6]
    assert path[path.n_groups == 6].shrinkage.tolist() == [0.0]
    assert path.chosen.sum() == path.best.sum() == 1
    assert path.n_groups[path.chosen].tolist() == [2]
    assert path.difference[path.best].tolist() == [0.0]
    assert (path.loss >= path.loss[path.best].item()).all()
    # Held-out losses are of the size of those of new rows.
    clf, (new, number) = classified[2], make_rows(n=300, seed=2)
    loss = log_loss(np.where(number > 0, "yes", "no"), clf.predict_proba(new))
    assert path.loss[path.chosen].item() == pytest.approx(loss, abs=0.08)


def test_groups_have_sizes_and_stability(classified):
    groups = classified[2].groups_
    assert groups.index.tolist() == STORES.tolist()
    assert groups["rows"].tolist() == [60] * 6
    assert (groups["stable"] == 1).all()
    assert groups["group"].tolist() == classified[2].labels_.tolist()


def test_where_populations_do_not_differ_one_serves_all():
    X, number = make_rows(kinds=(0,) * 6, seed=3)
    reg = PooledTasksRegressor(task="store", random_state=0).fit(X, number)
    assert reg.n_groups_ == 1
    assert reg.verdict_.startswith("one for all")


def test_where_all_differ_each_has_its_own():
    rng = np.random.default_rng(0)
    store = np.repeat(np.arange(6), 80)
    X = rng.normal(size=(480, 6))
    number = 3 * X[np.arange(480), store] + 0.2 * rng.normal(size=480)
    reg = PooledTasksRegressor(task=6, random_state=0).fit(np.column_stack([X, store]), number)
    assert reg.n_groups_ == 6
    assert reg.verdict_.startswith("one each")
    assert reg.score(np.column_stack([X, store]), number) > 0.95


def test_few_rows_lean_on_the_group():
    X, number = make_rows(seed=4)
    rest = X.store.isin(["aa", "dd"]).to_numpy()
    few = ~rest | (np.arange(len(X)) % 20 == 0)
    reg = PooledTasksRegressor(task="store", random_state=0, n_groups=2).fit(X[few], number[few])
    assert reg.score(X[~few], number[~few]) > 0.5


def test_populations_of_one_class_or_one_row_are_served():
    X, number = make_rows(seed=5)
    y = (number > 0).astype(int)
    keep = (X.store != "aa") | (y == 1)  # one class
    keep &= (X.store != "dd") | (np.arange(len(X)) == np.flatnonzero(X.store == "dd")[0])
    clf = PooledTasksClassifier(task="store", random_state=0).fit(X[keep], y[keep])
    proba = clf.predict_proba(X)
    assert np.isfinite(proba).all()
    assert proba[X.store == "aa", 1].mean() > 0.5


# -- models ----------------------------------------------------------------------------------------


def in_order(n_classes, weights=False, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.integers(5, size=150))
    X = rng.normal(size=(150, 3)) * [1, 10, 0.1] + [0, 5, 2]
    X[codes == 2, 2] = 1  # a constant feature
    y = X[:, 0] * np.where(codes < 2, 1, -1) + X[:, 1] / 10 + rng.normal(size=150)
    y = (y > np.median(y)).astype(int) if n_classes else y
    if n_classes:
        y[codes == 4] = 1  # a population of one class
    weight = rng.integers(1, 4, size=150).astype(float) if weights else None
    return Populations(X, y, codes, np.arange(5), n_classes, weight)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression(C=0.5, tol=1e-8, max_iter=5000)),
        LogisticRegression(tol=1e-8, max_iter=5000),
        make_pipeline(StandardScaler(), Ridge(2.0)),
        Ridge(),
    ],
)
def test_models_fitted_at_once_are_those_of_scikit_learn(estimator, weights):
    rows = in_order(2 if "Logistic" in repr(estimator) else 0, weights)
    at_once, each = linear_models(estimator, rows), Models(estimator, rows)
    splits = within_folds(rows, 3, 0)
    groups = np.array([[0, 0, 1, 1, 0], [2, 1, 0, 1, 2], [0, 0, 0, 0, 1]])
    expected = each.cross_losses(groups, 3, splits)
    assert at_once.cross_losses(groups, 3, splits) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert at_once.own_outputs(splits[0]) == pytest.approx(each.own_outputs(splits[0]), abs=1e-4)
    soft = np.random.default_rng(0).dirichlet(np.ones(2), size=5)
    for membership in (soft, np.eye(3)[groups[1]]):
        expected = each.outputs(membership, splits[1])
        assert at_once.outputs(membership, splits[1]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("kind", [PooledTasksClassifier, PooledTasksRegressor])
def test_intercepts_of_populations_are_fitted_at_once_too(kind, weights):
    rows = in_order(2 if kind is PooledTasksClassifier else 0, weights)
    X = np.insert(rows.X, 1, 3 * rows.codes, axis=1)
    estimator = kind(task=1, task_as_feature=True)._default(X, 1)
    exact = {"C": 0.5, "tol": 1e-10} if rows.n_classes else {"alpha": 2.0}
    estimator[-1].set_params(**exact)
    rows = rows.with_features(X, 1)
    at_once, each = linear_models(estimator, rows), Models(estimator, rows)
    lacks_one = np.flatnonzero(rows.codes != 3), np.flatnonzero(rows.codes > 2)
    splits = [*within_folds(rows, 3, 0), lacks_one]
    groups = np.array([[0, 0, 1, 1, 0], [2, 1, 0, 1, 2], [0, 0, 0, 0, 1]])
    expected = each.cross_losses(groups, 3, splits)
    assert at_once.cross_losses(groups, 3, splits) == pytest.approx(expected, rel=1e-6, abs=1e-5)
    soft = np.random.default_rng(0).dirichlet(np.ones(2), size=5)
    for split in (splits[0], lacks_one):
        assert at_once.own_outputs(split) == pytest.approx(each.own_outputs(split), abs=1e-6)
        for membership in (soft, np.eye(3)[groups[1]]):
            expected = each.outputs(membership, split)
            assert at_once.outputs(membership, split) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weights", [False, True])
def test_ridge_coefficients_are_shrunk_towards_those_of_the_group(weights):
    """A literal loop: min |y - f_group - z d|^2 + shrinkage (|slopes|^2 + intercept^2 / 3)."""
    X, number = make_rows(n=30)
    weight = np.random.default_rng(0).integers(1, 4, size=len(X)).astype(float)
    weight = weight if weights else np.ones(len(X))
    ways = {"task": "store", "n_groups": 2, "shrinkage": 7.0, "random_state": 0}
    for grouper in (None, FuzzyKMeans(2)):
        reg = PooledTasksRegressor(grouper=grouper, **ways).fit(X, number, weight)
        features = X.drop(columns="store").to_numpy()
        z = np.column_stack([StandardScaler().fit_transform(features), np.ones(len(X))])
        each = np.column_stack([m.predict(X.drop(columns="store")) for m in reg.models_])
        expected = np.empty(len(X))
        for t, store in enumerate(reg.tasks_):
            here = (X.store == store).to_numpy()
            of_group = each[here] @ reg.membership_[t]
            w = weight[here, None] * z[here]
            d = np.linalg.solve(
                w.T @ z[here] + np.diag([7.0, 7.0, 7.0, 7 / 3]), w.T @ (number[here] - of_group)
            )
            expected[here] = of_group + z[here] @ d
        np.testing.assert_allclose(reg.predict(X), expected)
        assert np.abs(expected - (each @ reg.membership_.T)[:, 0]).max() > 0.01


@pytest.mark.parametrize("weights", [False, True])
def test_logistic_groups_are_moved_to_the_level_of_a_population_before_they_are_mixed(weights):
    """A literal loop: min of log losses of logit(p_group) + a, plus price a^2 / 2."""
    X, number = make_rows(n=30, kinds=(0, 0, 0, 0, 0, 0))
    y = (number + (np.searchsorted(STORES, X.store) - 2.5) / 4 > 0).astype(int)
    weight = np.random.default_rng(0).integers(1, 4, size=len(X)).astype(float)
    weight = weight if weights else np.ones(len(X))
    exact = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=5000))
    clf = PooledTasksClassifier(exact, task="store", n_groups=1, shrinkage=9.0, random_state=0)
    clf.fit(X, y, weight)
    features = X.drop(columns="store")
    odds = logit(clf.model_for_all_.predict_proba(features)[:, 1])
    share = np.average(y, weights=weight)
    price = 9 / 3 * share * (1 - share)  # three features
    expected = np.empty(len(X))
    for store in STORES:
        here = (X.store == store).to_numpy()
        own = clone(clf.model_for_all_).fit(
            features[here], y[here], logisticregression__sample_weight=weight[here]
        )

        def loss(a, here=here):
            signs = np.where(y[here] == 1, -1, 1)
            return (
                weight[here] * np.logaddexp(0, signs * (odds[here] + a))
            ).sum() + price * a**2 / 2

        moved = expit(odds[here] + minimize_scalar(loss, (-3, 3)).x)
        share_of_own = 30 / (30 + 9)
        expected[here] = (1 - share_of_own) * moved + share_of_own * own.predict_proba(
            features[here]
        )[:, 1]
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1], expected, atol=1e-6)


@pytest.mark.parametrize("shrinkage", [0, 7.0, np.inf])
@pytest.mark.parametrize("as_feature", [False, True])
@pytest.mark.parametrize("kind", ["ridge", "logistic", "forest"])
def test_the_path_tells_what_cross_validation_does(kind, as_feature, shrinkage):
    X, number = make_rows(n=20)
    y, scoring = number, "neg_mean_squared_error"
    estimator = RandomForestRegressor(5, random_state=0) if kind == "forest" else None
    if kind == "logistic":
        y, scoring = number > 0, "neg_log_loss"
        estimator = PooledTasksClassifier(task=0, task_as_feature=as_feature)._default(X, 1)
        estimator.set_params(logisticregression__tol=1e-10)
    X["store"] = np.searchsorted(STORES, X.store)
    splits = list(KFold(3, shuffle=True, random_state=1).split(X))
    pooled = PooledTasksClassifier if kind == "logistic" else PooledTasksRegressor
    ways = {"n_groups": [1], "shrinkage": shrinkage, "task_as_feature": as_feature}
    model = pooled(estimator, task="store", **ways, cv=splits).fit(X, y)
    scores = cross_val_score(clone(model).set_params(cv=2), X, y, cv=splits, scoring=scoring)
    assert model.path_.loss.item() == pytest.approx(-scores.mean(), rel=1e-5)


def test_only_the_encoded_population_is_taken_for_intercepts():
    rows = in_order(0)
    X = np.insert(rows.X, 1, rows.codes, axis=1)
    estimator = PooledTasksRegressor(task=1, task_as_feature=True)._default(X, 1)
    assert linear_models(estimator, rows.with_features(X, 1)) is not None
    assert linear_models(estimator, rows.with_features(X, 0)) is None
    assert linear_models(estimator, rows) is None


def test_a_search_takes_some_rows_of_a_large_population_for_all():
    rng = np.random.default_rng(0)
    sizes = np.array([9000, *[60] * 9])
    codes, kind = np.repeat(np.arange(10), sizes), np.arange(10) % 2
    X = rng.normal(size=(len(codes), 2)) * [1, 5]
    number = 2 * X[:, 0] * np.where(kind[codes], 1, -1) - 2
    y = (number + rng.logistic(size=len(codes)) / 2 > 0).astype(int)  # one class is rare
    rows = Populations(X, y, codes, np.arange(10), 2, rng.uniform(0.5, 1.5, len(codes)))
    estimator = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000))
    some, every = linear_models(estimator, rows), linear_models(estimator, rows)
    every._most_rows = None
    splits = within_folds(rows, 3, 0)
    assert len(some._of_rows(splits[0][0], some._most_rows).Z) < 4500
    expected = every.cross_losses(kind[None], 2, splits)
    assert some.cross_losses(kind[None], 2, splits) == pytest.approx(expected, rel=0.03)
    # What judges, and what serves, has all rows.
    expected = Models(estimator, rows).outputs(np.eye(2)[kind], splits[0])
    assert some.outputs(np.eye(2)[kind], splits[0]) == pytest.approx(expected, abs=1e-5)
    found, _ = alternate(some, 2, splits, np.random.default_rng(0))
    assert (found == kind).all() or (found == 1 - kind).all()


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_groups_are_found_by_models_fitted_at_once_as_by_models_one_by_one(kind):
    rows = in_order(2 if kind == "logistic" else 0)
    estimator = LogisticRegression(max_iter=1000) if rows.n_classes else Ridge()
    splits = within_folds(rows, 3, 0)
    lowest = []
    for models in (linear_models(estimator, rows), Models(estimator, rows)):
        models.n_restarts = 6
        found, of_groups = alternate(models, 2, splits, np.random.default_rng(0))
        losses = Models(estimator, rows).cross_losses(found[None], 2, splits)[0]
        np.testing.assert_allclose(of_groups, losses, rtol=1e-3)
        lowest.append(losses[np.arange(5), found].sum())
    assert lowest[0] == pytest.approx(lowest[1], rel=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pooled", [PooledTasksClassifier, PooledTasksRegressor])
def test_populations_belong_to_groups_by_how_probable_these_are(pooled, weighted):
    X, number = make_rows(n=9, noise=1.5)
    of_classes = pooled is PooledTasksClassifier
    y = 1 * (number > 0) if of_classes else number
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(y)) if weighted else None
    # Of a kind whose weights sum to whatever they do.
    plan = pooled(task="store", random_state=0)._plan(
        X, y, None if weight is None else 1e-3 * weight
    )
    rows, seed = plan.rows, 5
    splits = within_folds(rows, 3, seed)
    groups, _ = alternate(plan.models(rows), 2, splits, np.random.default_rng(seed))
    losses, errors, w = np.zeros((6, 2)), 0.0, rows.weight / rows.weight.mean()
    for train, test in splits:
        for g in range(2):
            here = train[groups[rows.codes[train]] == g]
            last = LogisticRegression(max_iter=1000, tol=1e-8) if of_classes else Ridge()
            model = make_pipeline(StandardScaler(), last)
            model.fit(
                rows.X.iloc[here],
                rows.y[here],
                **{f"{model.steps[-1][0]}__sample_weight": rows.weight[here]},
            )
            held = rows.X.iloc[test]
            if of_classes:
                loss = -np.log(model.predict_proba(held)[np.arange(len(test)), rows.y[test]])
            else:
                loss = (model.predict(held) - rows.y[test]) ** 2
                errors += (w[test] * loss)[groups[rows.codes[test]] == g].sum() / len(rows.y)
            losses[:, g] += np.bincount(rows.codes[test], w[test] * loss)
    # Bayes' rule: how probable a group is, times the probability of the rows' labels by its model.
    likelihood = np.exp(-losses if of_classes else -losses / (2 * errors))
    joint = np.bincount(groups) / 6 * likelihood
    expected = joint / joint.sum(axis=1, keepdims=True)
    assert np.sort(expected, axis=1)[:, 0].max() > 0.02
    expected[expected < 0.01] = 0
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(plan.find(rows, [2], seed)[2], expected, atol=1e-4)


def test_more_rows_make_memberships_surer_and_what_takes_no_weights_has_sure_ones():
    unsure = []
    for n in (6, 25, 100):
        X, number = make_rows(n=n, noise=4)
        reg = PooledTasksRegressor(task="store", n_groups=2, random_state=0).fit(X, number)
        np.testing.assert_allclose(reg.membership_.sum(axis=1), 1)
        unsure.append(1 - reg.membership_.max(axis=1).mean())
    assert unsure[0] > unsure[1] > unsure[2]
    assert unsure[2] < 0.01
    reg.set_params(estimator=KNeighborsRegressor()).fit(*make_rows(n=10, noise=4))
    assert set(reg.membership_.ravel()) == {0.0, 1.0}


def test_of_many_groups_none_need_be_probable(monkeypatch):
    X = np.column_stack([np.zeros(420), np.repeat(np.arange(210), 2)])
    plan = PooledTasksRegressor(task=1, n_groups=105)._plan(X, np.tile([0.0, 1.0], 210))
    alike = np.arange(210) % 105, np.ones((210, 105))  # no rows tell 105 groups apart
    monkeypatch.setattr("skgroup.populations._plan.alternate", lambda *args: alike)
    np.testing.assert_allclose(plan.find(plan.rows, [105], 0)[105], 1 / 105)


def test_populations_without_rows_make_no_group_more_probable(monkeypatch):
    X = np.column_stack([np.zeros(12), np.repeat(np.arange(6), 2)])
    plan = PooledTasksRegressor(task=1, n_groups=2)._plan(X, np.tile([0.0, 1.0], 6))
    found = np.array([0, 1, 1, 0, 0, 0]), np.ones((6, 2))
    monkeypatch.setattr("skgroup.populations._plan.alternate", lambda *args: found)
    some = plan.rows.take(np.arange(6))  # of the first three populations
    np.testing.assert_allclose(plan.find(some, [2], 0)[2], np.tile([1 / 3, 2 / 3], (6, 1)))


def test_models_that_predict_no_number_are_the_worst():
    class Nan:
        n_restarts, rows = (
            2,
            Populations(np.zeros((4, 1)), np.zeros(4), np.arange(4), np.arange(4), 0),
        )

        def settle(self, groups, n_groups, splits):
            return np.array([[0, 0, 1, 1], [0, 1, 0, 1]])

        def cross_losses(self, groups, n_groups, splits):
            wrong = np.array([[0, 1], [0, 1], [1, np.nan], [1, np.nan]], dtype=float)
            right = np.array([[0, 1], [1, 0], [0, 1], [np.nan, 0]], dtype=float)
            return np.array([right if g[1] else wrong for g in groups])

    groups, losses = alternate(Nan(), 2, [], np.random.default_rng(0))
    assert groups.tolist() == [0, 1, 0, 1]
    assert losses.tolist() == [[0, 1], [1, 0], [0, 1], [np.inf, 0]]


@pytest.mark.parametrize("asked", [None, True])
@pytest.mark.parametrize("searched", [False, True])
def test_pipelines_that_have_not_asked_for_weights_keep_sure_groups(searched, asked):
    X, number = make_rows(n=8, kinds=(0, 0, 1, 1), noise=4)
    ways = {"task": "store", "n_groups": 2, "shrinkage": np.inf, "random_state": 0}
    ways["cv"] = ShuffleSplit(1)
    with config_context(enable_metadata_routing=True):
        ridge, scaler = Ridge(alpha=2), StandardScaler()
        if asked:
            ridge.set_fit_request(sample_weight=True)
            scaler.set_fit_request(sample_weight=False)
        estimator = make_pipeline(scaler, ridge)
        if searched:
            scorer = get_scorer("neg_mean_squared_error").set_score_request(sample_weight=False)
            estimator = GridSearchCV(estimator, {"ridge__alpha": [1]}, cv=2, scoring=scorer)
        reg = PooledTasksRegressor(estimator, **ways).fit(X, number)
        assert np.isfinite(reg.predict(X)).all()
    assert ((reg.membership_ > 0) & (reg.membership_ < 1)).any() == bool(asked)


def test_memberships_are_refused_where_weights_would_not_arrive():
    X, number = make_rows(n=8)
    with config_context(enable_metadata_routing=True):
        silent = make_pipeline(StandardScaler(), Ridge())
        grouper = FuzzyKMeans(random_state=0)
        reg = PooledTasksRegressor(silent, task="store", grouper=grouper, n_groups=2, cv=2)
        with pytest.raises(ValueError, match=r"'estimator' .* routed, its parts must have asked"):
            reg.fit(X, number)


def test_groups_of_one_class_alone_are_searched_too():
    codes = np.repeat(np.arange(4), 3)
    y = (codes % 2).astype(int)
    rows = Populations(np.zeros((12, 2)), y, codes, np.arange(4), 2)
    models = linear_models(LogisticRegression(), rows)
    found, _ = alternate(models, 2, within_folds(rows, 3, 0), np.random.default_rng(0))
    assert found[0] == found[2] != found[1] == found[3]


def test_a_split_without_a_class_and_a_population_warns_of_nothing():
    X, y = np.random.default_rng(0).normal(size=(14, 2)), np.zeros(14, dtype=int)
    X[:, 1] = np.repeat([0, 1, 2, 3], [1, 1, 6, 6])
    y[5] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = PooledTasksClassifier(task=1, cv=2, random_state=1).fit(X, y)
    assert np.isfinite(clf.path_.loss).all()


@pytest.mark.parametrize("as_feature", [False, True])
def test_numbers_far_from_0_are_grouped_as_others_are(as_feature):
    X, number = make_rows(n=30)
    reg = PooledTasksRegressor(
        task="store", task_as_feature=as_feature, n_groups=[1, 2, 6], random_state=0
    )
    near, far = clone(reg).fit(X, number), clone(reg).fit(X, number + 1e9)
    assert far.labels_.tolist() == near.labels_.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(far.path_.loss, near.path_.loss, rtol=1e-4)
    np.testing.assert_allclose(far.predict(X) - 1e9, near.predict(X), atol=1e-4)


def test_three_populations_are_looked_at_in_two_groups_too():
    X, number = make_rows(kinds=(0, 1, 0))
    reg = PooledTasksRegressor(task="store", random_state=0).fit(X, number)
    assert sorted(set(reg.path_.n_groups)) == [1, 2, 3]
    assert reg.labels_.tolist() == [0, 1, 0]


@pytest.mark.filterwarnings("ignore:.*ill-conditioned")  # of scikit-learn
@pytest.mark.parametrize(
    ("estimator", "scale", "shrinkage"),
    [
        (Ridge(), 1e9, 5.0),
        (make_pipeline(StandardScaler(), Ridge(1e-17)), 1, 5.0),
        (LogisticRegression(C=1e17), 1, 5.0),
        (Ridge(), 1, 1e-30),
    ],
)
def test_next_to_no_penalty_is_solved_too(estimator, scale, shrinkage):
    X, number = make_rows(n=20)
    X = X.assign(price=scale * X.price, size=scale * X.price, age=scale * X.age)
    kept = (X.store != "aa") | (np.cumsum(X.store == "aa") == 1)  # a single row
    made, y = PooledTasksRegressor, number
    if isinstance(estimator, LogisticRegression):
        made, y = PooledTasksClassifier, number > 0
    each = made(estimator, task="store", n_groups=[1, 6], shrinkage=shrinkage, cv=2, random_state=0)
    path = each.fit(X[kept], y[kept]).path_
    assert np.isfinite(path.loss).all()


def test_other_settings_are_left_to_the_estimator():
    rows = in_order(2)
    for estimator in (
        LogisticRegression(class_weight="balanced"),
        LogisticRegression(solver="liblinear"),
        LogisticRegression(fit_intercept=False),
        make_pipeline(StandardScaler(with_mean=False), LogisticRegression()),
        HistGradientBoostingClassifier(),
    ):
        assert linear_models(estimator, rows) is None
    assert linear_models(Ridge(), rows) is None  # of numbers alone


def test_held_out_rows_are_not_seen():
    rows = in_order(0)
    seen = []

    class Spy(Ridge):
        def fit(self, X, y, sample_weight=None):
            seen.append({tuple(x) for x in X})
            return super().fit(X, y, sample_weight)

    train, test = within_folds(rows, 3, 0)[0]
    Models(Spy(), rows).cross_losses(np.array([[0, 0, 1, 1, 1]]), 2, [(train, test)])
    held = {tuple(x) for x in rows.X[test]}
    assert seen
    assert not any(part & held for part in seen)


@pytest.mark.parametrize("n_classes", [0, 2])
def test_folds_are_drawn_within_populations_and_classes(n_classes):
    rows = in_order(n_classes)
    splits = within_folds(rows, 3, 0)
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(150))
    for train, test in splits:
        assert not set(train) & set(test)
        for t in range(5):
            part = rows.y[test][rows.codes[test] == t]
            assert abs(len(part) - rows.sizes[t] / 3) < 1
            if n_classes:
                assert abs(part.sum() - rows.y[rows.codes == t].sum() / 3) <= 1


def test_folds_of_the_choice_do_not_keep_the_shares_of_classes():
    """A population's own level would be judged by the very share that it was learned from."""
    X = np.column_stack([np.zeros(200), np.repeat(np.arange(10), 20)])
    y = np.tile([0, 0, 0, 1], 50)
    plan = PooledTasksClassifier(task=1, random_state=0)._plan(X, y)
    n_ones = np.array([plan.rows.take(test).sums(plan.rows.y[test]) for _, test in plan.splits])
    assert n_ones.sum(axis=0).tolist() == [5] * 10
    # Of 20 rows 5, of 4 that are held out none to 4: the variance is that of drawing them.
    assert n_ones.var() == pytest.approx(4 * 0.25 * 0.75 * 16 / 19, rel=0.5)


def test_differences_are_of_populations():
    losses = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
    path = Path([Way(1, np.inf), Way(3, 0.0)], losses, np.full(3, 10.0), np.full(3, 10))
    d = path.difference(0, 1)
    each = (losses[0] - losses[1]) / 10
    assert d.mean == pytest.approx(each.mean())
    assert d.error == pytest.approx(each.std(ddof=1) / np.sqrt(3))
    assert path.best == 1
    assert path.simplest == (0 if d.mean <= d.error else 1)


@pytest.mark.parametrize(
    ("cv", "held_to_train"),
    [
        (5, 1 / 0.8),
        (2, 1 / 0.5),
        (KFold(4, shuffle=True, random_state=0), 1 / 0.75),
        (ShuffleSplit(1, test_size=0.25, random_state=0), 0.25 / 0.75),
        (ShuffleSplit(40, test_size=0.25, random_state=0), 1 / 0.75),  # rows count once
    ],
)
def test_intervals_allow_for_folds_that_learn_from_the_same_rows(cv, held_to_train):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(400, 2)), np.repeat(np.arange(10), 40)])
    reg = PooledTasksRegressor(task=2, n_groups=[1, 10], cv=cv).fit(X, rng.normal(size=400))
    path = reg.path_[~reg.path_.best]
    # Nadeau and Bengio (2003), equation (5): n_test / n_train beside 1 / n, here n times as much.
    width = stats.t.ppf(0.975, 9) * path.error * np.sqrt(1 + held_to_train)
    np.testing.assert_allclose(path.high - path.difference, width)
    np.testing.assert_allclose(path.difference - path.low, width)


def test_populations_that_are_never_held_out_count_for_nothing():
    losses, weights = np.random.default_rng(0).uniform(1, 2, size=(3, 6)), np.full(6, 10.0)
    ways = [Way(1, np.inf), Way(2, np.inf), Way(6, 0.0)]
    losses[0] += 1.5
    known = Path(ways, losses, weights, np.full(6, 10))
    more = Path(ways, np.pad(losses, ((0, 0), (0, 9))), np.pad(weights, (0, 9)), np.full(15, 10))
    assert more.simplest == known.simplest == 1
    assert more.difference(0, 2).high == pytest.approx(known.difference(0, 2).high, rel=1e-9)


def test_one_large_population_does_not_hide_what_the_others_need():
    ways = [Way(1, np.inf), Way(2, np.inf)]
    weights = np.array([1000.0, *[10.0] * 9])
    losses = np.array([[1000.0, *[20.0] * 9], [1000.0, *[10.0] * 9]])  # which does not care
    path = Path(ways, losses, weights, weights.astype(int))
    assert path.difference(0, 1).mean <= path.difference(0, 1).error
    assert path.simplest == 1
    equal = Path(ways, losses / weights, np.ones(10), np.ones(10, int))
    assert equal.simplest == 1


def test_the_verdict_compares_with_the_best_of_each_kind():
    ways = [Way(1, np.inf), Way(1, 10.0), Way(2, np.inf), Way(3, np.inf), Way(4, 0.0)]
    base = np.array([[4.0, 4.2, 4.1, 4.4], [3.0, 3.4, 3.1, 3.3], [2.0, 2.1, 2.2, 2.0]])
    losses = np.vstack([base, base[2] - [0.1, 0.3, -0.1, 0], base[0] - 0.5])
    path, names = Path(ways, losses, np.ones(4), np.ones(4, int)), np.array(list("abcd"))
    said = write_verdict(path, 2, np.eye(2)[[0, 0, 1, 1]], names, "log loss")
    d = [path.difference(2, i) for i in (1, 4, 0, 3)]
    assert said == (
        "2 groups: a, b | c, d. Held-out log loss 2.075, "
        f"{d[0].mean:+.3g} to one for all with shrinkage 10 (95 % interval {d[0].low:+.3g} to "
        f"{d[0].high:+.3g}), {d[1].mean:+.3g} to one each ({d[1].low:+.3g} to {d[1].high:+.3g}), "
        f"{d[2].mean:+.3g} to one for all ({d[2].low:+.3g} to {d[2].high:+.3g}), "
        f"{d[3].mean:+.3g} to 3 groups ({d[3].low:+.3g} to {d[3].high:+.3g}, the lowest)."
    )
    assert "to 3 groups (95 %" in write_verdict(path, 1, np.ones((4, 1)), names, "error")
    alone = Path([Way(2, 0.0)], losses[:1], np.ones(4), np.ones(4, int))
    said = write_verdict(alone, 0, np.eye(2)[[0, 0, 1, 1]], names, "squared error")
    assert said == "one each. Held-out squared error 4.175."
    # Models of all groups serve, whether anybody is most probably of them or not.
    said = write_verdict(path, 3, np.repeat([[0.7, 0.3]], 4, axis=0), names, "log loss")
    assert said.startswith(
        "2 groups, of 3 that were looked for, 1 of them no population's most probable: a, b, c, d. "
    )


def test_stability_is_what_chance_does_not_explain():
    labels = np.repeat(np.arange(5), 8)
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(labels) for _ in range(400)]
    path = Path([], np.empty((0, 40)), np.ones(40), np.ones(40, int), {5: drawn, 1: [labels * 0]})
    assert np.abs(path.stability(labels, 5)).max() < 0.03  # where groups mean nothing
    path.groups[5] = [(labels + 1) % 5] * 3  # the same, by other numbers
    assert path.stability(labels, 5) == pytest.approx(1)
    assert path.stability(labels * 0, 1) == pytest.approx(1)
    moved = labels.copy()
    moved[0] = 1
    path.groups[5] = [labels, moved]
    stable = path.stability(labels, 5)
    assert stable[0] == stable.min()
    assert (stable[16:] > 0.95).all()


def test_what_the_estimator_cannot_be_fitted_to_is_served_by_the_model_for_all():
    X, number = make_rows(n=20)
    X.loc[X.store == "cc", "age"] = np.nan

    class Strict(Ridge):
        def fit(self, X, y, sample_weight=None):
            if X["age"].isna().all():
                raise ValueError("no age at all")
            return super().fit(X.fillna(0), y, sample_weight)

        def predict(self, X):
            return super().predict(X.fillna(0))

    reg = PooledTasksRegressor(Strict(), task="store", n_groups=6, cv=2, random_state=0)
    with pytest.warns(FitFailedWarning, match="to population 'cc', .* ValueError: no age at all"):
        reg.fit(X, number)
    of_all = reg.model_for_all_.predict(X.drop(columns="store"))
    here = (X.store == "cc").to_numpy()
    np.testing.assert_array_equal(reg.predict(X)[here], of_all[here])
    assert np.abs(reg.predict(X)[~here] - of_all[~here]).max() > 0.1
    with pytest.raises(ValueError, match="no age at all"):
        reg.fit(X.assign(age=np.nan), number)


def test_the_verdict_shows_no_errors_of_rounding():
    losses = np.array([[30.0, 40, 50], [30 * (1 + 1e-15), 40, 50 * (1 - 1e-15)]])
    path = Path([Way(1, np.inf), Way(2, np.inf)], losses, np.full(3, 10.0), np.full(3, 10))
    verdict = write_verdict(path, 0, np.ones((3, 1)), np.arange(3), "loss")
    assert verdict == "one for all. Held-out loss 4, +0 to 2 groups (95 % interval +0 to +0)."


def test_groups_that_a_clusterer_does_not_fill():
    class One(AgglomerativeClustering):
        def fit(self, X, y=None):
            self.labels_ = np.zeros(len(X), int)
            return self

    X, number = make_rows(n=10)
    reg = PooledTasksRegressor(task="store", grouper=One(), n_groups=3, shrinkage=np.inf, cv=2)
    reg.fit(X, number)
    assert reg.n_groups_ == 1
    assert reg.verdict_.startswith("one for all, of which no 3 groups could be made.")
    np.testing.assert_allclose(reg.predict(X), reg.model_for_all_.predict(X.drop(columns="store")))


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5),
        MultiTaskNet(max_epochs=3, batch_size=64, lr=0.02),
    ],
)
def test_any_classifier_serves(estimator):
    X, number = make_rows(n=30)
    n_groups = [1, 6] if isinstance(estimator, MultiTaskNet) else [1, 2]
    clf = PooledTasksClassifier(
        estimator, task="store", n_groups=n_groups, shrinkage=np.inf, cv=2, random_state=0
    )
    y = np.where(number > 0, "yes", "no")
    clf.fit(X.assign(age=X.age.astype("float32")), y)
    assert clf.predict_proba(X).shape == (180, 2)
    assert clf.score(X, y) > 0.55


def test_several_classes_and_forests():
    X, number = make_rows(n=30)
    y = np.digitize(number, [-0.7, 0.7])
    clf = PooledTasksClassifier(task="store", n_groups=[1, 2], cv=2, random_state=0).fit(X, y)
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.predict_proba(X).shape == (180, 3)
    forest = RandomForestRegressor(5, max_depth=4)
    reg = PooledTasksRegressor(
        forest, task="store", n_groups=2, shrinkage=30, cv=2, random_state=0
    ).fit(X, number)
    assert reg.score(X, number) > 0.5


# -- groupers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grouper",
    [
        FuzzyKMeans(2),
        make_pipeline(Coefficients(), FuzzyKMeans(2)),
        make_pipeline(CrossLosses(), AgglomerativeClustering(2)),
    ],
)
def test_groupers_of_rows_find_the_groups(grouper):
    X, number = make_rows()
    reg = PooledTasksRegressor(task="store", grouper=grouper, random_state=0).fit(X, number)
    assert reg.n_groups_ == 2
    assert reg.verdict_.startswith("2 groups: aa, bb, cc | dd, ee, ff")
    assert reg.membership_.sum(axis=1) == pytest.approx(1)
    assert reg.score(X, number) > 0.6
    assert not hasattr(grouper, "labels_")


def test_relations_of_populations_alone():
    X, number = make_rows()
    codes = np.searchsorted(STORES, X.store)
    table = Coefficients(Ridge(), task="store").fit_transform(X, number)
    own = [Ridge().fit(X.drop(columns="store")[codes == t], number[codes == t]) for t in range(6)]
    expected = np.array([[*model.coef_, model.intercept_] for model in own])
    np.testing.assert_allclose(table, expected - expected.mean(axis=0))
    losses = CrossLosses(task="store", random_state=0).fit(X, number > 0)
    assert losses.tasks_.tolist() == STORES.tolist()
    same = np.equal.outer(codes_of_kind := np.arange(6) < 3, codes_of_kind)
    assert losses.relation_[same].max() < losses.relation_[~same].min()
    with pytest.raises(ValueError, match="'task' parameter of CrossLosses"):
        CrossLosses().fit(X, number)


def test_soft_memberships_mix_predictions():
    X, number = make_rows()
    reg = PooledTasksRegressor(
        task="store", grouper=FuzzyKMeans(2, fuzziness=3.0), n_groups=2, shrinkage=np.inf
    ).fit(X, number)
    m = reg.membership_
    assert ((m > 0.01) & (m < 0.99)).any()
    features = X.drop(columns="store")
    each = np.stack([model.predict(features) for model in reg.models_], axis=1)
    expected = (m[np.searchsorted(STORES, X.store)] * each).sum(axis=1)
    np.testing.assert_allclose(reg.predict(X), expected)


# -- as an estimator -------------------------------------------------------------------------------


def test_one_seed_one_result_and_nothing_else_is_touched():
    X, number = make_rows(n=30)
    before, state = X.copy(), np.random.get_state()[1].copy()
    one = PooledTasksRegressor(task="store", random_state=3).fit(X, number)
    with parallel_config("threading"):
        two = PooledTasksRegressor(task="store", random_state=3, n_jobs=2).fit(X, number)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    pd.testing.assert_frame_equal(one.path_, two.path_)
    pd.testing.assert_frame_equal(X, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    loaded = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(loaded.predict(X), one.predict(X))


def test_columns_are_matched_by_name_and_positions_serve_arrays():
    X, number = make_rows(n=30)
    reg = PooledTasksRegressor(task="store", random_state=0).fit(X, number)
    turned = X[["age", "size", "price", "store"]]
    np.testing.assert_array_equal(reg.predict(turned), reg.predict(X))
    codes = X.assign(store=np.searchsorted(STORES, X.store)).to_numpy()
    of_array = PooledTasksRegressor(task=1, random_state=0).fit(codes, number)
    np.testing.assert_allclose(of_array.predict(codes), reg.predict(X))
    with pytest.raises(ValueError, match="lacks 'age'"):
        reg.predict(X.drop(columns="age"))
    with pytest.raises(ValueError, match="is expecting 4 features"):
        of_array.predict(codes[:, :3])


def test_weights_are_repeats():
    X, number = make_rows(n=20)
    weight = np.random.default_rng(0).integers(1, 3, size=len(X))
    ways = {"task": "store", "n_groups": 1, "shrinkage": 10}
    one = PooledTasksRegressor(Ridge(), **ways, random_state=0).fit(X, number, weight)
    rows = np.repeat(np.arange(len(X)), weight)
    two = PooledTasksRegressor(Ridge(), **ways, random_state=0).fit(X.iloc[rows], number[rows])
    np.testing.assert_allclose(one.model_for_all_.coef_, two.model_for_all_.coef_)
    ways |= {"random_state": 0, "cv": 2}
    scaled = PooledTasksRegressor(**ways).fit(X, number, weight)
    with config_context(enable_metadata_routing=True):
        routed = PooledTasksRegressor(**ways).fit(X, number, weight)
    np.testing.assert_array_equal(scaled.predict(X), routed.predict(X))


def test_rows_without_weight_are_not_there():
    X, number = make_rows(n=20)
    there = (X.store != "aa").to_numpy() & (np.arange(len(X)) % 7 > 0)
    ways = {"task": "store", "n_groups": 2, "shrinkage": 10, "cv": 2, "random_state": 0}
    one = PooledTasksRegressor(**ways).fit(X, number, there.astype(float))
    two = PooledTasksRegressor(**ways).fit(X[there], number[there], np.ones(there.sum()))
    assert one.tasks_.tolist() == STORES[1:].tolist()
    np.testing.assert_allclose(one.predict(X), two.predict(X))


def test_splitters_are_shown_the_rows_as_they_were_given():
    X, number = make_rows(n=20)
    splits = list(KFold(3, shuffle=True, random_state=1).split(X))
    ways = {"task": "store", "n_groups": [1], "shrinkage": np.inf, "random_state": 0}
    reg = PooledTasksRegressor(Ridge(), **ways, cv=splits).fit(X, number)
    features = X.drop(columns="store")
    scores = cross_val_score(Ridge(), features, number, cv=splits, scoring="neg_mean_squared_error")
    assert reg.path_.loss.item() == pytest.approx(-scores.mean())
    state = np.random.get_state()[1].copy()
    once, again = (
        PooledTasksRegressor(Ridge(), **ways, cv=ShuffleSplit(2)).fit(X, number) for _ in range(2)
    )
    assert once.path_.loss.item() == again.path_.loss.item()
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([], "must hold out some samples. Got no split"),
        (KFold, "must be a number of folds, a splitter or an iterable of pairs. Got <class"),
        ([3], "cannot split these samples. Got .3.: cannot unpack"),
        ([([0, 1], [5, 600])], "must give pairs .* index 600 is out of bounds"),
        ([([0, 1], [2.5])], "must give pairs of training and held-out samples"),
        ([([0, 1], [])], "must leave samples on both sides"),
        ([(np.arange(9), np.arange(5, 20))], "must not hold out samples that it trains on"),
        (KFold(500), "cannot split these samples"),
        ([(range(1, 120), [0])], r"must hold out rows of at least two .* rows of '\w\w' alone"),
        (
            GroupKFold(3),
            "must .* Got GroupKFold.* by which 120 of 120 .* without a row",
        ),
        (LeaveOneGroupOut(), "must hold out rows within populations"),
    ],
)
def test_splits_that_are_refused(cv, message, monkeypatch):
    X, number = make_rows(n=20)
    monkeypatch.setattr(Models, "fit", None)
    reg = PooledTasksRegressor(Ridge(), task="store", cv=cv)
    with pytest.raises(ValueError, match=f"The 'cv' parameter of PooledTasksRegressor {message}"):
        reg.fit(X, number)


def test_groupers_draw_nothing_from_the_global_state():
    X, number = make_rows(n=10)
    state = np.random.get_state()[1].copy()
    grouper = make_pipeline(PCA(2, svd_solver="randomized"), FuzzyKMeans(2))
    ways = {"task": "store", "n_groups": 2, "shrinkage": np.inf, "cv": 2, "random_state": 0}
    PooledTasksRegressor(**ways, grouper=grouper).fit(X, number)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_sparse_rows_and_lists_of_rows():
    X, number = make_rows(n=10)
    codes = X.assign(store=np.searchsorted(STORES, X.store)).to_numpy()
    ways = {"task": 1, "n_groups": 2, "shrinkage": np.inf, "cv": 2, "random_state": 0}
    dense = PooledTasksRegressor(Ridge(), **ways).fit(codes, number)
    for make in (sparse.csr_matrix, sparse.coo_array):
        of_sparse = PooledTasksRegressor(Ridge(), **ways).fit(make(codes), number)
        np.testing.assert_allclose(of_sparse.predict(make(codes)), dense.predict(codes))
        assert (
            PooledTasksRegressor(**ways).fit(make(codes), number).score(make(codes), number) > 0.5
        )
    with pytest.raises(ValueError, match=r"'task_as_feature' parameter .* where X is sparse"):
        PooledTasksRegressor(**ways, task_as_feature=True).fit(sparse.csr_matrix(codes), number)
    rows = X.to_numpy().tolist()  # strings beside numbers
    within = PooledTasksRegressor(**{**ways, "n_groups": 1}, task_as_feature=True).fit(rows, number)
    assert within.predict(rows).shape == (60,)
    names = pd.DataFrame(codes, columns=[10, 11, 12, 13])  # numbers that are no positions
    of_names = clone(within).set_params(task=11).fit(names, number)
    np.testing.assert_allclose(of_names.predict(names), within.predict(rows))


def test_sparse_rows_are_predicted_by_what_dense_ones_have_taught():
    X, number = make_rows(n=20)
    table = np.column_stack([np.searchsorted(STORES, X.store), X[["price", "age"]]])
    reg = PooledTasksRegressor(Ridge(), task=0, n_groups=2, shrinkage=5.0, random_state=0)
    reg.fit(table, number)
    np.testing.assert_allclose(reg.predict(sparse.csr_array(table)), reg.predict(table))


def test_numbers_are_the_populations_that_strings_of_them_are():
    X, number = make_rows(n=10)
    codes = np.searchsorted(STORES, X.store)
    ways = {"n_groups": 2, "shrinkage": np.inf, "cv": 2, "random_state": 0, "unseen": "error"}
    reg = PooledTasksRegressor(task="store", **ways).fit(X.assign(store=codes), number)
    expected = reg.predict(X.assign(store=codes))
    np.testing.assert_array_equal(reg.predict(X.assign(store=codes.astype(str))), expected)
    reg.assign(X[:9].assign(store="new"), number[:9]).assign(X[:9].assign(store=77), number[:9])
    mixed = X.assign(store=["new", *codes[1:-1].tolist(), "77"])
    np.testing.assert_array_equal(reg.predict(mixed)[1:-1], expected[1:-1])


def test_the_population_can_be_a_feature():
    rng = np.random.default_rng(0)
    X, _ = make_rows(n=30)
    number = 5.0 * np.searchsorted(STORES, X.store) + rng.normal(size=len(X))
    plain = {"task": "store", "n_groups": 1, "shrinkage": np.inf, "random_state": 0}
    without = PooledTasksRegressor(**plain).fit(X, number)
    within = PooledTasksRegressor(**plain, task_as_feature=True).fit(X, number)
    assert without.score(X, number) < 0.2
    assert within.score(X, number) > 0.9
    assert np.isfinite(within.predict(X.assign(store="new"))).all()


def test_searches_and_cross_validation():
    X, number = make_rows(n=30)
    reg = PooledTasksRegressor(Ridge(), task="store", random_state=0)
    scores = cross_val_score(reg, X, number, cv=3)
    assert scores.mean() > 0.5
    search = GridSearchCV(reg, {"estimator__alpha": [0.1, 1e5], "n_groups": [2]}, cv=2)
    assert search.fit(X, number).best_params_["estimator__alpha"] == 0.1


# -- unseen populations ----------------------------------------------------------------------------


def test_unseen_populations_are_served_by_all_or_refused_or_assigned(classified):
    X, _, clf = classified
    new = X[:40].assign(store="zz")
    expected = clf.model_for_all_.predict_proba(new.drop(columns="store"))
    np.testing.assert_allclose(clf.predict_proba(new), expected)
    strict = clone(clf).set_params(unseen="error").fit(X, classified[1])
    with pytest.raises(ValueError, match=r"has not seen: zz\. 'unseen' of PooledTasksClassifier"):
        strict.predict(new)
    y = np.where(-new.price + new["size"] / 2 > 0, "yes", "no")  # of the second kind
    strict.assign(new, y)
    group = strict.labels_[3]
    assert strict.assigned_ == {"zz": group}
    expected = strict.models_[group].predict_proba(new.drop(columns="store"))
    assert np.mean(strict.predict(new) == y) > 0.75
    if np.isinf(strict.shrinkage_):
        np.testing.assert_allclose(strict.predict_proba(new), expected)
    with pytest.raises(ValueError, match="which fit has seen"):
        strict.assign(X[:5], classified[1][:5])
    with pytest.raises(ValueError, match="must hold the classes"):
        strict.assign(new, np.full(40, "maybe"))
    with pytest.raises(ValueError, match=r"as many rows\. Got 40 and 39"):
        strict.assign(new, y[1:])


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        ({"task": "shop"}, {}, "its columns are 'price', 'store', 'size', 'age'. Got 'shop'"),
        ({"task": 9}, {}, "The 'task' parameter of PooledTasksClassifier must be a column of X"),
        (
            {"task": "store"},
            {"store": "one"},
            "at least two populations. Got one, 'one' in 60",
        ),
        ({"task": "store", "n_groups": 7}, {}, "from 1 to the number of populations, 6. Got 7"),
        ({"task": "store", "n_groups": [0, 2]}, {}, "from 1 to the number of populations"),
        ({"task": "store", "n_groups": 1.5}, {}, "'n_groups' parameter"),
        ({"task": "store", "shrinkage": -1}, {}, "'shrinkage' parameter"),
        ({"task": "store", "cv": 1}, {}, "The 'cv' parameter of PooledTasksClassifier"),
        ({"task": "store", "unseen": "drop"}, {}, "'unseen' parameter"),
        ({"task": "store", "estimator": Ridge()}, {}, "must have 'predict_proba'"),
        ({"task": "store", "grouper": CrossLosses()}, {}, "must be a clusterer of rows"),
    ],
)
def test_what_is_refused_before_any_model_is_fitted(params, change, message, monkeypatch):
    X, number = make_rows(n=10)
    monkeypatch.setattr(Models, "fit", None)
    clf = PooledTasksClassifier(**{"random_state": 0, **params})
    with pytest.raises(ValueError, match=message):
        clf.fit(X.assign(**change), number > 0)
    assert not hasattr(clf, "tasks_")


def test_memberships_are_refused_to_what_takes_no_weights(monkeypatch):
    X, number = make_rows(n=10)
    reg = PooledTasksRegressor(KNeighborsRegressor(2), task="store", random_state=0, cv=2)
    with monkeypatch.context() as patched:
        patched.setattr(Models, "fit", None)
        with pytest.raises(ValueError, match=r"'sample_weight' where 'grouper' gives memberships"):
            reg.set_params(grouper=FuzzyKMeans(2)).fit(X, number)
    hard = reg.set_params(grouper=AgglomerativeClustering(2), n_groups=2, shrinkage=np.inf)
    assert hard.fit(X, number).n_groups_ == 2


@pytest.mark.parametrize("wrong", [{"estimator": LogisticRegression}, {"grouper": KMeans}])
def test_a_class_is_no_estimator_yet(wrong):
    X, number = make_rows(n=10)
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter .* Got <class"):
        PooledTasksClassifier(task="store", **wrong).fit(X, number > 0)
    with pytest.raises(ValueError, match=r"must be a regressor\. .* PooledTasksClassifier"):
        PooledTasksRegressor(LogisticRegression(), task="store").fit(X, number)


def test_nets_of_classes_and_groupers_of_tables_are_refused_with_what_to_take_instead(monkeypatch):
    X, number = make_rows(n=10)
    monkeypatch.setattr(Models, "fit", None)
    for net in (MultiTaskNet(), make_pipeline(StandardScaler(), MultiTaskNet())):
        with pytest.raises(ValueError, match=r"learned by MultiTaskNet\(task_types='regression'\)"):
            PooledTasksRegressor(net, task="store").fit(X, number)
    for grouper in (
        TaskGrouper(),
        make_pipeline(InterTaskAffinity(), KMeans()),
        HOAGrouping(2),
        GroupStability(),
    ):
        with pytest.raises(ValueError, match=r"begins with CrossLosses.*, which needs labels"):
            PooledTasksRegressor(task="store", grouper=grouper).fit(X, number)


def test_steps_of_a_grouper_transform_or_pass_on(monkeypatch):
    X, number = make_rows(n=10)
    reg = PooledTasksRegressor(task="store", n_groups=2, cv=2, random_state=0)
    plain = make_pipeline(CrossLosses(), KMeans(n_init=1))
    labels = reg.set_params(grouper=plain).fit(X, number).labels_
    for off in ("passthrough", None):
        steps = make_pipeline(CrossLosses(), off, KMeans(n_init=1), off)
        np.testing.assert_array_equal(reg.set_params(grouper=steps).fit(X, number).labels_, labels)
    monkeypatch.setattr(Models, "fit", None)
    for steps, message in [
        ((CrossLosses(), AgglomerativeClustering(), KMeans()), "that transform.* Agglomerative"),
        (("passthrough",), "must be a clusterer of rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            reg.set_params(grouper=make_pipeline(*steps)).fit(X, number)


def test_the_default_says_which_feature_it_cannot_take(monkeypatch):
    X, number = make_rows(n=10)
    fitted = PooledTasksRegressor(task="store", random_state=0, cv=2).fit(X, number)
    monkeypatch.setattr(Models, "fit", None)
    reg = PooledTasksRegressor(task="store")
    for feature, values, said in [
        ("age", np.where(np.arange(60) == 7, np.nan, X.age), "nan: .* an imputer"),
        ("age", np.where(np.arange(60) == 7, np.inf, X.age), "inf: .* a finite number"),
        ("size", ["small", "large"] * 30, "'small': .* a finite number"),
        ("size", pd.to_datetime(["2026-01-01"] * 60), "datetime"),
    ]:
        bad = X.assign(**{feature: values})
        for call in (lambda bad=bad: reg.fit(bad, number), lambda bad=bad: fitted.predict(bad)):
            with pytest.raises(ValueError, match=f"'estimator' .* Feature '{feature}' .*{said}"):
                call()
    rows = np.column_stack([np.repeat([0, 1], 30), X.age, X["size"]])
    rows[7, 2] = np.nan
    for table in (rows, sparse.csr_array(rows)):
        with pytest.raises(ValueError, match=r"Feature 1 of X holds nan"):
            PooledTasksRegressor(task=0).fit(table, number)


def test_populations_that_are_written_otherwise_are_told_of(classified):
    X, y, clf = classified
    new = X[:40]
    for written, said in [
        (new.store + " ", "has not seen: 'aa ' .and 5 more like it., .* has seen 'aa'"),
        (new.store.str.upper(), "'AA'"),
        (
            new.store.map("no. {}".format),
            "40 of 40 rows; it has seen 'aa', 'bb', .*shuffle",
        ),
    ]:
        with pytest.warns(UserWarning, match=said):
            clf.predict(new.assign(store=written))
    numbered = X.assign(store=np.searchsorted(STORES, X.store))
    reg = PooledTasksRegressor(task="store", n_groups=1, cv=2).fit(numbered, y == "yes")
    with pytest.warns(UserWarning, match=r"'0\.0' .and 5 more like it.* has seen 0\."):
        reg.predict(numbered.assign(store=numbered.store.astype(float).astype(str)))
    clf.predict(new.assign(store=np.where(new.store == "aa", "new one", new.store)))  # says nothing
    clf.predict(new.assign(store="new one"))


def test_fewer_groups_than_were_asked_for_are_told_of(classified):
    X, y, _ = classified
    clf = PooledTasksClassifier(task="store", n_groups=5, cv=2, random_state=0).fit(X, y)
    assert clf.n_groups_ < 5
    assert clf.verdict_.startswith(f"{clf.n_groups_} groups, of 5 that were looked for: ")


def test_what_is_set_after_fit_counts_for_the_next_one(classified):
    X, y, clf = classified
    expected = clf.predict_proba(X)
    later = clone(clf).fit(X, y).set_params(task_as_feature=True)
    np.testing.assert_array_equal(later.predict_proba(X), expected)
    with pytest.raises(NotFittedError):
        clone(clf).predict(X)


@pytest.mark.parametrize(
    ("make_id", "said"),
    [
        (lambda i: datetime.date(2026, 1, 1 + i), r"datetime.date\(2026, 1, \d\), of type date"),
        (lambda i: decimal.Decimal(i), r"Decimal\('\d'\), of type Decimal"),
        (lambda i: (i, 1), r"\(\d, 1\), of type tuple"),
    ],
)
def test_populations_are_strings_or_whole_numbers(make_id, said):
    X, number = make_rows(n=10)
    ids = pd.Series([make_id(i) for i in np.searchsorted(STORES, X.store).tolist()], dtype=object)
    reg = PooledTasksRegressor(task="store", n_groups=[1, 2], cv=2, random_state=0)
    with pytest.raises(ValueError, match=rf"'store' of X .* whole number\. Got {said}.*astype"):
        reg.fit(X.assign(store=ids), number)
    reg.fit(X.assign(store=ids.astype(str)), number)


@pytest.mark.parametrize("column", [0, 1])
def test_masked_entries_and_labels_are_refused(column):
    X, number = make_rows(n=10)
    table = np.ma.array(np.column_stack([np.searchsorted(STORES, X.store), X.age]), mask=False)
    reg = PooledTasksRegressor(task=0, n_groups=1, cv=2, random_state=0)
    clf = PooledTasksClassifier(task=0, n_groups=1, cv=2, random_state=0)
    labels = np.ma.array(number > 0, mask=np.arange(60) == 7)
    reg.fit(table, number)
    clf.fit(table, number > 0)
    with pytest.raises(ValueError, match=r"no missing label\. It is missing in 1 of 60"):
        reg.fit(table, np.ma.array(number, mask=labels.mask))
    with pytest.raises(ValueError, match=r"no missing label\. It is missing in 1 of 60"):
        clf.fit(table, labels)
    new = table + np.array([10, 0])
    with pytest.raises(ValueError, match="no masked label"):
        clf.assign(new, labels)
    table[7, column] = np.ma.masked
    for call in (lambda: reg.fit(table, number), lambda: reg.predict(table)):
        with pytest.raises(ValueError, match="X must have no masked entry"):
            call()


def test_numbers_of_populations_that_a_float_rounds_are_refused():
    X, number = make_rows(n=10)
    store = 2**24 + np.searchsorted(STORES, X.store)  # neighbours that float32 does not tell apart
    table = np.column_stack([X.age, store])
    reg = PooledTasksRegressor(task=1, n_groups=1, cv=2).fit(table, number)
    assert len(reg.tasks_) == 6
    with pytest.raises(ValueError, match=r"whole number, as float32 below 16777216\. Got"):
        reg.fit(table.astype(np.float32), number)


def test_dates_are_no_numbers():
    X, _ = make_rows(n=10)
    with pytest.raises(ValueError, match=r"must hold numbers\. Got 2026-\S+, of type datetime64"):
        PooledTasksRegressor(task="store").fit(X, pd.to_datetime(["2026-01-01"] * 60))


def test_columns_of_the_same_name_are_refused():
    X, number = make_rows(n=10)
    X.columns = ["price", "store", "price", "age"]
    with pytest.raises(ValueError, match=r"columns of different names\. Got 'price' twice"):
        PooledTasksRegressor(HistGradientBoostingRegressor(), task="store").fit(X, number)


@pytest.mark.parametrize("estimator", [LogisticRegression(C=0), LogisticRegression(C="1")])
def test_parameters_of_the_estimator_are_checked_before_any_fit(estimator, monkeypatch):
    monkeypatch.setattr(Models, "fit", None)
    X, number = make_rows(n=10)
    with pytest.raises(ValueError, match="The 'C' parameter of LogisticRegression must be"):
        PooledTasksClassifier(estimator, task="store").fit(X, number > 0)


def test_an_estimator_that_predicts_no_numbers_is_named():
    class Lost(Ridge):
        def predict(self, X):
            return np.full(len(X), np.nan)

    X, number = make_rows(n=10)
    with pytest.raises(ValueError, match=r"must predict finite .* population 'aa'"):
        PooledTasksRegressor(Lost(), task="store", cv=2).fit(X, number)


def test_folds_of_single_rows_leave_rows_to_train_on():
    rows = Populations(np.zeros((2, 1)), np.array([0, 1]), np.arange(2), np.arange(2), 2)
    for seed in range(10):
        assert all(len(train) and len(test) for train, test in within_folds(rows, 2, seed))


def test_baselines_have_a_path_of_nothing_that_was_held_out():
    X, number = make_rows(n=10)
    one = OneForAllRegressor(task="store").fit(X, number)
    assert one.path_[["n_groups", "chosen"]].to_numpy().tolist() == [[1, True]]
    assert one.verdict_ == "one for all. Nothing was held out."


def test_a_single_number_is_told_of_and_learned():
    X, _ = make_rows(n=10)
    with pytest.warns(UserWarning, match="The y of PooledTasksRegressor is 3 in all rows"):
        reg = PooledTasksRegressor(task="store", n_groups=2, cv=2).fit(X, np.full(60, 3.0))
    np.testing.assert_allclose(reg.predict(X), 3)


def test_labels_that_are_refused():
    X, number = make_rows(n=10)
    clf = PooledTasksClassifier(task="store")
    with pytest.raises(ValueError, match="learned by GroupedMTLClassifier"):
        clf.fit(X, np.column_stack([number > 0, number > 1]))
    with pytest.raises(ValueError, match=r"shape \(60, 1\): y\.ravel\(\) is meant"):
        clf.fit(X, (number > 0)[:, None])
    with pytest.raises(ValueError, match=r"shape \(60, 1\): y\['sales'\] is meant"):
        PooledTasksRegressor(task="store").fit(X, pd.DataFrame({"sales": number}))
    with pytest.raises(ValueError, match=r"must hold classes\. .* by PooledTasksRegressor"):
        clf.fit(X, number)
    with pytest.raises(ValueError, match="at least two classes"):
        clf.fit(X, np.ones(60, int))
    with pytest.raises(ValueError, match="learned by GroupedMTLRegressor"):
        PooledTasksRegressor(task="store").fit(X, np.column_stack([number, number]))
    with pytest.raises(ValueError, match="no missing label"):
        PooledTasksRegressor(task="store").fit(X, np.where(np.arange(60) == 3, np.nan, number))
    with pytest.raises(ValueError, match=r"as many rows\. Got 60 and 59"):
        PooledTasksRegressor(task="store").fit(X, number[1:])


def test_missing_populations_lost_names_and_row_identifiers():
    X, number = make_rows(n=10)
    reg = PooledTasksRegressor(task="store", n_groups=1, shrinkage=np.inf, cv=2)
    hole = X.assign(store=X.store.where(np.arange(60) != 7))
    with pytest.raises(ValueError, match=r"'store' of X .* missing in 1 of 60.* row 7"):
        reg.fit(hole, number)
    for ids in (
        X.store.astype("string"),
        pd.to_datetime("2026-01-01") + pd.to_timedelta(X["age"], unit="D"),
    ):
        hole = X.assign(store=pd.Series(ids, index=X.index).where(np.arange(60) != 7))
        with pytest.raises(ValueError, match=r"missing in 1 of 60.* row 7"):
            reg.fit(hole, number)
    with pytest.raises(ValueError, match=r"'store' of X .* a string or a whole number\. Got 0\.5"):
        reg.fit(X.assign(store=np.arange(60) / 2), number)
    with pytest.raises(ValueError, match="0 sample"):
        reg.fit(X[:0], number[:0])
    labels = pd.Series(np.where(number > 0, "yes", "no")).astype("string")
    with pytest.raises(ValueError, match=r"no missing label\. It is missing in 1 of 60"):
        PooledTasksClassifier(task="store").fit(X, labels.where(np.arange(60) != 7))
    numbers = X.assign(store=np.searchsorted(STORES, X.store))
    with pytest.raises(ValueError, match="belongs into 'estimator'"):
        make_pipeline(StandardScaler(), reg).fit(numbers, number)
    with pytest.warns(UserWarning, match="is it an identifier of rows"):
        reg.fit(X.assign(store=np.arange(60)), number)


def test_a_refused_fit_leaves_the_earlier_one():
    X, number = make_rows(n=10)
    reg = PooledTasksRegressor(task="store", n_groups=1, cv=2, random_state=0).fit(X, number)
    before = reg.predict(X)
    with pytest.raises(ValueError, match="holds nan"):
        reg.fit(X.assign(age=X.age.where(X.age < 1)), number)
    np.testing.assert_array_equal(reg.predict(X), before)


def test_frames_of_polars():
    polars = pytest.importorskip("polars")
    X, number = make_rows(n=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = polars.DataFrame({name: X[name].to_numpy() for name in X})
        of_polars = PooledTasksRegressor(task="store", random_state=0).fit(frame, number)
    of_pandas = PooledTasksRegressor(task="store", random_state=0).fit(X, number)
    np.testing.assert_allclose(of_polars.predict(frame), of_pandas.predict(X))
    with pytest.raises(ValueError, match=r"y\['sales'\] is meant"):
        of_polars.fit(frame, polars.DataFrame({"sales": number}))


def test_assigned_populations_are_served_by_how_probable_each_group_is(classified):
    X, _, clf = classified
    number = make_rows()[1]
    reg = PooledTasksRegressor(task="store", n_groups=3, shrinkage=np.inf, random_state=0)
    reg.fit(X, number)
    new = X[:3].assign(store=["one", "one", "other"])
    features = new.drop(columns="store")
    y = np.array(["yes", "no", "no"])
    clf = clone(clf).set_params(n_groups=3, shrinkage=np.inf).fit(X, classified[1]).assign(new, y)
    reg.assign(new, number[:3])
    (error,) = reg.path_.loss[reg.path_.chosen]
    for model, likelihood in (
        (clf, [m.predict_proba(features)[range(3), 1 * (y == "yes")] for m in clf.models_]),
        (reg, [stats.norm.pdf(number[:3], m.predict(features), error**0.5) for m in reg.models_]),
    ):
        prior = model.membership_.mean(axis=0)
        for name, here in (("one", [0, 1]), ("other", [2])):
            joint = prior * np.prod(np.array(likelihood)[:, here], axis=1)
            found = model.assigned_membership_[name]
            np.testing.assert_allclose(found, joint / joint.sum(), rtol=1e-6)
            assert model.assigned_[name] == joint.argmax()
    each = np.stack([m.predict(features[2:]) for m in reg.models_], axis=1)
    mixed = each @ reg.assigned_membership_["other"]
    np.testing.assert_allclose(reg.predict(new[2:]), mixed)
    once = {**reg.assigned_membership_}
    reg.assign(new[2:], number[2:3])
    assert all((reg.assigned_membership_[name] == once[name]).all() for name in once)


def standardised(features, like):
    """With ones, by the mean and standard deviation of others."""
    z = StandardScaler().fit(like.to_numpy()).transform(features.to_numpy())
    return np.column_stack([z, np.ones(len(z))])


def test_numbers_of_a_population_that_comes_later_deviate_as_those_of_others_do():
    X, number = make_rows(n=12, noise=1)
    reg = PooledTasksRegressor(task="store", n_groups=2, shrinkage=6.0, random_state=0)
    reg.fit(X, number)
    new = X[:7].assign(store="new")
    y = -new.price.to_numpy() + 3 + np.random.default_rng(0).normal(size=7)  # of a level of its own
    reg.assign(new, y)
    features = new.drop(columns="store")
    z = standardised(features, X.drop(columns="store"))
    price = np.diag([6.0, 6.0, 6.0, 6.0 / 3])
    (error,) = reg.path_.loss[reg.path_.chosen]
    # How probable the labels are, whatever the population's own coefficients may be.
    left = [y - model.predict(features) for model in reg.models_]
    noise = error * (np.eye(7) + z @ np.linalg.inv(price) @ z.T)
    likelihood = [stats.multivariate_normal.logpdf(r, cov=noise) for r in left]
    joint = reg.membership_.mean(axis=0) * np.exp(likelihood)
    expected = joint / joint.sum()
    assert expected.min() > 1e-3
    np.testing.assert_allclose(reg.assigned_membership_["new"], expected, rtol=1e-6)
    # And what they are likely to be.
    mixed = sum(m * model.predict(features) for m, model in zip(expected, reg.models_, strict=True))
    own = np.linalg.solve(z.T @ z + price, z.T @ (y - mixed))
    np.testing.assert_allclose(reg.predict(new), mixed + z @ own, rtol=1e-6)
    stored = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(stored.predict(new), reg.predict(new))


def test_a_population_of_classes_that_comes_later_has_a_level_of_its_own():
    X, number = make_rows(n=12, noise=1)
    clf = PooledTasksClassifier(task="store", n_groups=1, shrinkage=6.0, random_state=0)
    clf.fit(X, number > 0)
    new = X[:9].assign(store="new")
    y = np.arange(9) > 1
    before = clf.predict_proba(new)[:, 1]
    clf.assign(new, y)
    assert clf.assigned_ == {"new": 0}
    share = np.mean(number > 0)
    price = 6.0 * share * (1 - share) / 3

    def loss(level):
        return log_loss(y, expit(logit(before) + level), normalize=False) + price / 2 * level**2

    level = minimize_scalar(loss, bounds=(-9, 9), method="bounded", options={"xatol": 1e-9}).x
    assert level > 0.5
    expected = expit(logit(before) + level)
    np.testing.assert_allclose(clf.predict_proba(new)[:, 1], expected, atol=1e-5)


def test_a_population_is_assigned_once_however_it_is_written():
    X, number = make_rows(n=12)
    X = X.assign(store=np.searchsorted(STORES, X.store))
    reg = PooledTasksRegressor(task="store", n_groups=2, random_state=0).fit(X, number)
    for store in (200, "200", 200):
        rows = X[X.store == (5 if store == "200" else 0)]
        reg.assign(rows.assign(store=store), number[rows.index])
        alone = clone(reg).fit(X, number).assign(rows.assign(store=200), number[rows.index])
        assert [*map(str, reg.assigned_)] == ["200"]
        np.testing.assert_array_equal(
            reg.predict(X.assign(store=200)), alone.predict(X.assign(store="200"))
        )


def test_rows_do_not_take_a_population_out_of_a_group_that_is_given():
    X, number = make_rows()
    groups = {"north": [*STORES[:3], "new"], "south": [*STORES[3:]]}
    reg = PooledTasksRegressor(task="store", grouper=groups, n_groups=2, random_state=0)
    reg.fit(X, number)
    given = {**reg.assigned_membership_}
    south = X[X.store == STORES[3]].assign(store="new")
    reg.assign(south, number[south.index])
    np.testing.assert_array_equal(reg.assigned_membership_["new"], given["new"])


def test_numbers_that_are_learned_without_an_error_are_assigned_too():
    X = np.column_stack([np.tile([0.0, 1.0, 2.0], 40), np.repeat(np.arange(12), 10)])
    reg = PooledTasksRegressor(LinearRegression(), task=1, n_groups=2, random_state=0)
    reg.fit(X, np.where(X[:, 1] < 6, X[:, 0], -X[:, 0]))
    for y, expected in (([1.0, 2.0], 1.0), ([-0.9, -2.1], -1.0), ([0.1, 0.1], 1.0)):
        reg.assign(np.array([[1.0, 77], [2.0, 77]]), y)
        assert reg.predict([[1.0, 77]]) == pytest.approx(expected)
    reg.assign(np.array([[1.0, 78]]), [1e9])
    assert reg.assigned_membership_[78].max() == 1
    with pytest.raises(ValueError, match=r"rows that assign .* finite loss\. Got .* population 79"):
        reg.assign(np.array([[1.0, 78], [1.0, 79]]), [1.0, 1e200])
    assert list(reg.assigned_) == [77, 78]


@pytest.mark.parametrize("baseline", [OneForAllRegressor, OneEachRegressor])
def test_baselines_that_hold_nothing_out_are_assigned_too(baseline):
    X, number = make_rows(n=10)
    new = X[:5].assign(store="new")
    reg = baseline(task="store").fit(X, number).assign(new, number[:5])
    losses = [((m.predict(new.drop(columns="store")) - number[:5]) ** 2).sum() for m in reg.models_]
    assert reg.assigned_membership_["new"].tolist() == [loss == min(losses) for loss in losses]


# -- groups that are given ---------------------------------------------------------------------


def given_in_other_forms(groups):
    """The same groups as a list, and as a Series."""
    pairs = [(one, group) for group, members in groups.items() for one in members]
    return list(groups.values()), pd.Series([g for _, g in pairs], index=[one for one, _ in pairs])


def test_given_groups_are_compared_with_one_for_all_and_one_each():
    X, number = make_rows()
    right = {"north": [*STORES[3:], "new"], "south": [*STORES[:3]], "none of it": ["far"]}
    reg = PooledTasksRegressor(task="store", grouper=right, random_state=0).fit(X, number)
    assert sorted(set(reg.path_.n_groups)) == [1, 2, 6]
    assert reg.n_groups_ == 2
    assert reg.verdict_.startswith("2 groups: south: aa, bb, cc | north: dd, ee, ff. Held-out")
    assert reg.group_names_.tolist() == ["south", "north"]
    assert np.isnan(reg.groups_.stable).all()  # nothing was looked for
    found = dict(zip(reg.tasks_.tolist(), reg.labels_.tolist(), strict=True))
    assert [found[store] for store in STORES] == [found[STORES[0]]] * 3 + [found[STORES[3]]] * 3
    assert found[STORES[0]] != found[STORES[3]]
    # A store of a region that is known is served by the region's model, others by that of all.
    assert reg.assigned_ == {"new": found[STORES[3]]}
    features = X.drop(columns="store")
    of_region = reg.models_[found[STORES[3]]].predict(features)
    np.testing.assert_allclose(reg.predict(X.assign(store="new")), of_region)
    np.testing.assert_allclose(
        reg.predict(X.assign(store="far")), reg.model_for_all_.predict(features)
    )
    for given in given_in_other_forms(right):
        again = clone(reg).set_params(grouper=given).fit(X, number)
        named = "2 groups: aa, bb, cc | dd, ee, ff. Held-out"
        assert again.verdict_.startswith(
            named if isinstance(given, list) else "2 groups: south: aa"
        )
        assert again.assigned_ == reg.assigned_
        np.testing.assert_array_equal(again.predict(X), reg.predict(X))
    alternating = clone(reg).set_params(grouper=None).fit(X, number)
    np.testing.assert_array_equal(alternating.predict(X), reg.predict(X))  # which finds them


def test_given_groups_that_help_nobody_are_not_taken():
    X, number = make_rows(n=200)
    wrong = [[*STORES[[0, 1, 3, 4]], "new"], [*STORES[[2, 5]]]]
    reg = PooledTasksRegressor(task="store", grouper=wrong, random_state=0).fit(X, number)
    assert reg.n_groups_ == 6
    assert reg.verdict_.startswith("one each")
    # What is new in a region is served as its others are, in the mean.
    of_region = np.where(np.isin(reg.tasks_, wrong[0]), 0.25, 0)
    np.testing.assert_allclose(reg.assigned_membership_["new"], of_region)
    each = np.stack([model.predict(X.drop(columns="store")) for model in reg.models_], axis=1)
    np.testing.assert_allclose(reg.predict(X.assign(store="new")), each @ of_region)
    strict = clone(reg).set_params(n_groups=1, unseen="error").fit(X, number)
    assert np.isfinite(strict.predict(X.assign(store="new"))).all()
    with pytest.raises(ValueError, match="has not seen: newer"):
        strict.predict(X.assign(store="newer"))
    two = clone(reg).set_params(n_groups=2).fit(X, number)
    assert two.n_groups_ == 2
    assert list(two.assigned_) == ["new"]


def test_given_groups_are_whatever_holds_several_and_each_population_is_one_however_written():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(80, 1)), np.repeat(np.arange(4), 20)])
    y = np.where(X[:, 1] < 2, 1, -1) * X[:, 0]
    reg = PooledTasksRegressor(task=1, n_groups=2, cv=2, random_state=0)
    south = pd.DataFrame({"region": ["a", "a", "b", "b"]}, index=range(4)).groupby("region").groups
    for given in (
        south,
        [range(2), {2, 3}],
        [pd.Series([0, 1]), np.array([2, 3])],
        [[0, 1.0], [2, 3]],
    ):
        reg.set_params(grouper=given).fit(X, y)
        assert reg.labels_.tolist() == [0, 0, 1, 1]
    reg.set_params(grouper={"a": [0, 1], "b": [2, 3, "0"]})
    with pytest.raises(ValueError, match=r"must name each population in one group\. Got '0'"):
        reg.fit(X, y)
    reg.set_params(grouper=[[0, 1], [2, 3, "8"]]).fit(X, y)
    assert reg.assigned_ == {"8": 1}
    assert reg.assign([[1.0, 8], [2.0, 8]], [1.0, 2.0]).assigned_ == {"8": 1}  # as is given


@pytest.mark.parametrize("written", [int, str, float])
def test_given_groups_name_populations_however_they_are_written(written):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(200, 2)), np.repeat(np.arange(4), 50)])
    y = np.where(X[:, 2] < 2, 1, -1) * X[:, 0] + rng.normal(size=200) / 9
    groups = {"a": [written(2), written(3), written(8)], "b": [written(0), written(1)]}
    if written is float:
        groups = {k: np.array(v) for k, v in groups.items()}
    reg = PooledTasksRegressor(task=2, grouper=groups, random_state=0).fit(X, y)
    assert reg.labels_.tolist() == [0, 0, 1, 1]
    new = np.column_stack([X[:, :2], np.full(200, 8)])
    np.testing.assert_allclose(reg.predict(new), reg.models_[1].predict(X[:, :2]))


class Refused(Ridge):
    """Fails where it is fitted."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ([["Aa", "Bb"]], "must name all populations. Got none for"),
        ({"x": [*STORES], "y": [STORES[0]]}, "must name each population in one group. Got "),
        ({"x": STORES[0]}, "must be a dict of lists of populations, .*, or a Series"),
        ([*STORES], "must be a dict of lists of populations"),
        (np.arange(6), "must be a dict of lists of populations"),
        ({"x": [*STORES, 1], "y": ["1"]}, "must name each population in one group. Got '1'"),
        (pd.DataFrame({"group": [0] * 6}, index=STORES), "must be a dict of lists"),
        (pd.Series([np.nan] * 6, index=STORES), "must have none missing. Got nan for"),
        ({"x": [*STORES, None]}, "must have none missing"),
        ({"x": [*STORES, ["new"]]}, "must be a dict of lists"),
        (pd.Series([STORES[:3], STORES[3:]], index=["x", "y"]), "must be a dict of lists"),
        (dict, "must be a dict of lists"),
    ],
)
def test_given_groups_that_are_refused(given, match):
    reg = PooledTasksRegressor(Refused(), task="store", grouper=given)
    with pytest.raises(ValueError, match=f"'grouper' parameter of PooledTasksRegressor.* {match}"):
        reg.fit(*make_rows())


def test_numbers_that_given_groups_do_not_have_are_refused():
    groups = [[*STORES[:3]], [*STORES[3:]]]
    reg = PooledTasksRegressor(Refused(), task="store", grouper=groups, n_groups=[1, 3])
    match = r"'n_groups' parameter of .* of \[1, 2, 6\] where 'grouper' gives groups"
    with pytest.raises(ValueError, match=match):
        reg.fit(*make_rows())


def test_given_groups_stay_through_clones_searches_and_files():
    X, number = make_rows(n=30)
    groups = {"north": [*STORES[:3]], "south": [*STORES[3:]]}
    reg = PooledTasksRegressor(task="store", grouper=groups, random_state=0)
    search = GridSearchCV(reg, {"n_groups": [1, 2]}, cv=KFold(2, shuffle=True, random_state=0))
    best = search.fit(X, number).best_estimator_
    assert best.n_groups_ == 2
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict(X), best.predict(X))
    assert groups == {"north": [*STORES[:3]], "south": [*STORES[3:]]}
