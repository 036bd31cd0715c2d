"""Portfolios of regression tasks: how members are weighed, fitted and refused."""

import io
import pickle
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier, is_regressor
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import MultiTaskLasso, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.multioutput import RegressorChain
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import get_tags

from skgroup import (
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    MultiTaskNet,
    PortfolioRegressor,
)
from skgroup.ensemble._serving import _PRIOR_SAMPLES, learn_number_weights
from skgroup.metrics import multitask_r2_score
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


def members(net):
    return [
        ("net", net),
        ("groups", GroupedMTLRegressor(net, n_groups=2)),
        ("forest", RandomForestRegressor(10)),
        ("linear", make_pipeline(StandardScaler(), Ridge())),
    ]


def portfolio(net, **params):
    return PortfolioRegressor(members(net), **{"cv": 2, "random_state": 0, **params})


class Says(RegressorMixin, BaseEstimator):
    """Says a feature, times something."""

    def __init__(self, feature=0, factor=1.0):
        self.feature = feature
        self.factor = factor

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return self.factor * X[:, self.feature]


class Spy(RegressorMixin, BaseEstimator):
    """Keeps what it is fitted on, and says the mean."""

    fits = ()  # a list, in a test

    def __init__(self, n_outputs="one"):
        self.n_outputs = n_outputs

    def fit(self, X, y, sample_weight=None):
        Spy.fits.append((np.asarray(X), y, sample_weight))
        self.mean_ = y.mean(axis=0)
        return self

    def predict(self, X):
        return np.broadcast_to(self.mean_, (len(X), *np.shape(self.mean_)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.n_outputs == "many"
        return tags


@pytest.fixture
def fits(monkeypatch):
    monkeypatch.setattr(Spy, "fits", [])
    return Spy.fits


# -- weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_samples", [5, 60, 5000])
def test_weights_minimise_what_is_written_of_them(n_samples, weighted):
    rng = np.random.RandomState(n_samples)
    Y = rng.normal(size=(n_samples, 4))
    Y[rng.rand(*Y.shape) < 0.2] = np.nan
    shared = rng.normal(size=(4, 1, n_samples))  # what members have in common
    scale = np.array([1e-3, 1.0, 0.1, 30.0])[:, None, None]
    errors = scale * (shared + rng.uniform(0.01, 2, (4, 5, 1)) * rng.normal(size=(4, 5, n_samples)))
    prior = np.full((4, 5), 0.2)
    prior[1] = [0.5, 0, 0.5, 0, 0]
    weight = rng.randint(1, 4, n_samples).astype(float) if weighted else None
    found = learn_number_weights(errors.astype(np.float32), prior, check_tasks(Y), weight)
    for t in range(4):
        there = prior[t] > 0
        seen = ~np.isnan(Y[:, t])
        s = np.ones(n_samples) if weight is None else weight
        s = s[seen] / s[seen].mean()
        e, a = errors[t][there][:, seen], prior[t, there]
        variance = (s * e**2).mean(axis=1).min()

        def objective(w, e=e, a=a, s=s, variance=variance):
            pull = _PRIOR_SAMPLES * (a * np.log(np.maximum(w, 1e-12))).sum()
            return (s * (w @ e) ** 2).sum() / (2 * variance) - pull

        def slope(w, e=e, a=a, s=s, variance=variance):
            return e @ (s * (w @ e)) / variance - _PRIOR_SAMPLES * a / np.maximum(w, 1e-12)

        assert found[t].sum() == pytest.approx(1)
        assert (found[t, ~there] == 0).all()
        mine = found[t, there]
        rule = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}
        for start in (a, (a + mine) / 2, mine):  # from far away, SLSQP may stop early
            best = minimize(
                objective,
                start,
                jac=slope,
                method="SLSQP",
                bounds=[(1e-9, 1)] * len(a),
                constraints=rule,
                options={"ftol": 1e-12, "maxiter": 1000},
            )
            assert objective(mine) <= objective(best.x / best.x.sum()) + 1e-4
        np.testing.assert_allclose(mine, best.x, atol=1e-3)


def test_weights_of_samples_count_as_repeats_do_and_by_their_ratios():
    rng = np.random.RandomState(0)
    errors = rng.normal(size=(2, 3, 200)).astype(np.float32)
    table = check_tasks(rng.normal(size=(200, 2)))
    weight = np.where(np.arange(200) < 100, 0.0, 2.0)
    prior = np.full((2, 3), 1 / 3)
    found = learn_number_weights(errors, prior, table, weight)
    half = np.arange(100, 200)
    expected = learn_number_weights(errors[:, :, half], prior, table.take(half))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_member_that_is_far_off_hides_no_difference_between_others():
    errors = np.random.RandomState(0).normal(size=(1, 3, 300)) * [[[1.0], [0.1], [1e4]]]
    table = check_tasks(np.arange(300) / 7)
    ((near, nearest, far),) = learn_number_weights(errors, np.full((1, 3), 1 / 3), table)
    assert nearest > 0.95
    assert far * 1e4 < 0.1
    two = learn_number_weights(errors[:, :2], np.full((1, 2), 0.5), table)
    assert near == pytest.approx(two[0, 0], abs=0.01)


def test_members_without_errors_share_alike_and_unknown_tasks_are_named():
    X = np.random.RandomState(0).normal(size=(40, 2)).astype(np.float32)
    Y = pd.DataFrame({"known": X[:, 0], "rare": np.where(np.arange(40) < 20, X[:, 1], np.nan)})
    both = [("a", Says(0)), ("b", Says(0)), ("c", Says(1))]
    reg = PortfolioRegressor(both[:2], cv=2, random_state=0).fit(X, Y["known"])
    np.testing.assert_array_equal(reg.serving_weights_, [[0.5, 0.5]])
    halves = [(np.arange(20), np.arange(20, 40))]
    with pytest.warns(UserWarning, match=r"the held-out samples hold no number of them: rare\.$"):
        reg = PortfolioRegressor(both, cv=halves).fit(X, Y)
    np.testing.assert_allclose(reg.serving_weights_[1], 1 / 3)
    assert reg.serving_weights_[0, 2] < 0.1


def test_each_task_is_served_by_the_member_that_knows_it(data):
    X, Y = data
    ridge, trees = Ridge(), GradientBoostingRegressor(n_estimators=50, random_state=0)
    reg = PortfolioRegressor([("linear", ridge), ("trees", trees)], random_state=0).fit(X, Y)
    assert reg.serving_weights_[0, 0] > 0.7
    assert reg.serving_weights_[1, 1] > 0.9
    assert reg.serving_weights_[2].min() > 0.2
    train, test = (X[:110], Y[:110, 2]), (X[110:], Y[110:, 2])
    best = max(clone(member).fit(*train).score(*test) for member in (ridge, trees))
    scores = [reg.set_params(random_state=seed).fit(*train).score(*test) for seed in range(5)]
    assert np.mean(scores) > best


def test_weights_are_convex_though_half_of_a_prediction_were_better(data):
    X, _ = data
    reg = PortfolioRegressor([("twice", Says(factor=2.0)), ("more", Says(factor=3.0))], cv=2)
    reg.fit(X, X[:, 0])
    np.testing.assert_allclose(reg.serving_weights_, [[1, 0]], atol=0.02)


def test_units_do_not_matter(data):
    X, Y = data
    given = [("linear", Ridge()), ("near", KNeighborsRegressor())]
    reg = PortfolioRegressor(given, random_state=0)
    plain, scaled = clone(reg).fit(X, Y), clone(reg).fit(X, 1e4 * Y - 7)
    np.testing.assert_allclose(scaled.serving_weights_, plain.serving_weights_, atol=1e-3)
    np.testing.assert_allclose(scaled.predict(X), 1e4 * plain.predict(X) - 7, rtol=1e-3)


# -- serving -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("refit", [True, False])
def test_a_prediction_is_the_weighted_sum_of_members(data, tiny_net, refit):
    X, Y = data
    X_before, Y_before = X.copy(), Y.copy()
    reg = portfolio(tiny_net, refit=refit).fit(X, Y)
    assert reg.member_names_.tolist() == ["net", "groups", "forest", "linear"]
    assert reg.serving_weights_.shape == (3, 4)
    np.testing.assert_allclose(reg.serving_weights_.sum(axis=1), 1)
    assert (reg.serving_weights_ > 0).all()
    expected = np.zeros(Y.shape)
    for m, member in enumerate(reg.members_):
        fits = [member] if refit else member
        assert len(fits) == (1 if refit else 2)
        expected += reg.serving_weights_[:, m] * np.mean([f.predict(X) for f in fits], axis=0)
    np.testing.assert_allclose(reg.predict(X), expected, rtol=1e-5)
    assert reg.score(X, Y) == pytest.approx(multitask_r2_score(Y, reg.predict(X)))
    np.testing.assert_allclose(reg.target_scaling_.location, Y.mean(axis=0))
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(Y, Y_before)


def test_a_regressor_has_no_classes_and_no_thresholds(data):
    X, Y = data
    reg = PortfolioRegressor([("linear", Ridge())], cv=2)
    assert is_regressor(reg)
    assert not is_classifier(reg)
    for name in ("threshold", "threshold_scoring", "pos_label", "task_types"):
        assert name not in reg.get_params()
        with pytest.raises(TypeError, match=name):
            PortfolioRegressor(**{name: 0.5})
    for fitted in (reg, reg.fit(X, Y)):
        for name in ("predict_proba", "classes_"):
            assert not hasattr(fitted, name)
    assert np.isnan(reg.thresholds_).all()
    assert reg.task_types_ == ("regression",) * 3


@pytest.mark.parametrize("container", ["1-D", "frame", "ints", "bools", "series"])
def test_forms_of_y(data, tiny_net, container):
    X, Y = data
    y = {
        "1-D": Y[:, 0],
        "frame": pd.DataFrame(Y, columns=list("abc")),
        "ints": np.round(10 * Y[:, [0]]).astype(int),
        "bools": Y[:, :1] > 0,
        "series": pd.Series(Y[:, 0], name="a"),
    }[container]
    reg = portfolio(tiny_net)
    if container != "frame":
        reg.set_params(groups="drop")
    predicted = reg.fit(X, y).predict(X)
    assert predicted.shape == np.shape(y)
    assert predicted.dtype == np.float64
    assert reg.score(X, y) > 0.5
    assert reg.members_[0].task_types_ == ("regression",) * reg.n_tasks_
    if container == "frame":
        assert reg.task_names_in_.tolist() == list("abc")
        assert reg.members_[1].task_names_in_.tolist() == list("abc")
        assert reg.score(X, y[["b", "c", "a"]]) == reg.score(X, y)


def test_a_task_with_one_number_is_served_by_it(data, tiny_net):
    X, Y = data
    Y = np.column_stack([Y[:, 0], np.full(160, 7.5), Y[:, 1]])
    Y[:5, 1] = np.nan
    reg = portfolio(tiny_net)
    with pytest.warns(
        UserWarning, match=r"single observed class or number.*task 1: 7\.5"
    ) as caught:
        reg.fit(X, Y)
    assert len(caught) == 1
    assert (reg.predict(X)[:, 1] == 7.5).all()
    assert (reg.serving_weights_[1] == 0).all()
    np.testing.assert_allclose(reg.serving_weights_[[0, 2]].sum(axis=1), 1)
    alone = portfolio(tiny_net).fit(X, Y[:, [0, 2]])
    np.testing.assert_allclose(reg.predict(X)[:, [0, 2]], alone.predict(X), rtol=1e-4)


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_one_seed_one_result_that_survives_storing(data, tiny_net):
    X, Y = data
    reg = portfolio(tiny_net).fit(X, Y)
    expected = reg.predict(X)
    np.testing.assert_array_equal(clone(reg).fit(X, Y).predict(X), expected)
    with joblib.parallel_config("threading"):
        parallel = clone(reg).set_params(n_jobs=2).fit(X, Y)
    np.testing.assert_array_equal(parallel.predict(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reg)).predict(X), expected)
    file = io.BytesIO()
    joblib.dump(reg, file)
    file.seek(0)
    np.testing.assert_array_equal(joblib.load(file).predict(X), expected)
    assert not np.allclose(clone(reg).set_params(random_state=1).fit(X, Y).predict(X), expected)


def test_search_and_cross_validation(data):
    X, Y = data
    reg = PortfolioRegressor([("tree", DecisionTreeRegressor()), ("linear", Ridge())], cv=2)
    grid = {"tree": ["drop", DecisionTreeRegressor(max_depth=2)], "linear__alpha": [0.1, 1e4]}
    search = GridSearchCV(reg.set_params(random_state=0), grid, cv=2, error_score="raise").fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.score(X, Y) == search.best_estimator_.score(X, Y)
    assert cross_val_score(reg, X, Y, cv=KFold(2), scoring="r2").mean() > 0.2


# -- what members are given --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (RandomForestRegressor(5), "many"),
        (KNeighborsRegressor(), "many"),
        (MultiTaskLasso(0.01), "many"),
        (RegressorChain(Ridge()), "many"),
        (make_pipeline(StandardScaler(), Ridge()), "many"),
        (GradientBoostingRegressor(n_estimators=5), "one"),
        (GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2), "one"),
    ],
    ids=lambda part: type(part).__name__ if hasattr(part, "fit") else None,
)
@pytest.mark.parametrize("missing", [False, True])
def test_regressors_of_sklearn_learn_all_tasks_or_one_each(data, member, kind, missing):
    X, Y = data
    Y = Y.copy()
    if missing:
        Y[::7, 1] = np.nan
    reg = PortfolioRegressor([("member", member)], cv=2, random_state=0).fit(X, Y)
    (fitted,) = reg.members_
    if kind == "many" and not missing:
        assert type(fitted) is type(member)
    else:
        assert len(fitted.estimators_) == 3
        assert all(type(one) is type(member) for one in fitted.estimators_)
    assert reg.predict(X).shape == (160, 3)
    assert reg.score(X, Y) > 0.2


def test_members_see_numbers_in_their_units_where_there_are_some(fits):
    X = np.arange(40.0)[:, None]
    Y = np.column_stack([100 + np.arange(40.0), -np.arange(40.0)])
    Y[:10, 0] = np.nan
    PortfolioRegressor([("spy", Spy())], cv=2).fit(X, Y, sample_weight=np.arange(40) + 1.0)
    assert len(fits) == 6
    for t, (given, y, weight) in enumerate(fits[-2:]):
        np.testing.assert_array_equal(weight, given[:, 0] + 1)
        np.testing.assert_array_equal(y, Y[10 * (1 - t) :, t])
    fits.clear()
    PortfolioRegressor([("spy", Spy("many"))], cv=2).fit(X[10:], Y[10:].astype(int).clip(-20))
    np.testing.assert_array_equal(fits[-1][1], Y[10:].clip(-20))


def test_nets_are_told_that_tasks_are_numbers():
    """Whatever a part of the samples looks like."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 2)).astype(np.float32)
    Y = rng.randint(3, size=(60, 2))
    net = MultiTaskNet.stg_mtl(max_epochs=1)
    nets = [
        ("net", net),
        ("piped", make_pipeline(StandardScaler(), net)),
        ("searched", GridSearchCV(net, {"lr": [0.01]}, cv=2)),
        ("groups", GroupedMTLRegressor(net, n_groups=2)),
        ("any", GroupedMTLEstimator(net, n_groups=2)),
        ("inner", PortfolioRegressor([("net", net)], cv=2)),
    ]
    reg = PortfolioRegressor(nets, cv=2, refit=False, random_state=0).fit(X, Y)
    for net, piped, searched, groups, several, inner in zip(*reg.members_, strict=True):
        inner_net = inner.members_[0]
        every = (net, piped[-1], searched.best_estimator_, groups, several, inner_net)
        assert {fitted.task_types_ for fitted in every} == {("regression", "regression")}


def test_routing_gives_members_what_they_request(data, fits):
    X, Y = data
    weight = np.linspace(0.5, 2, 160)
    with sklearn.config_context(enable_metadata_routing=True):
        spy = Spy("many").set_fit_request(sample_weight=True)
        other = Ridge().set_fit_request(sample_weight=False)
        reg = PortfolioRegressor([("with", spy), ("without", other)], cv=2)
        reg.fit(X, Y, sample_weight=weight, groups=np.arange(160) // 2)
    np.testing.assert_array_equal(fits[-1][2], weight)


def test_groups_are_held_out_together(fits):
    X = np.arange(60.0)[:, None]
    groups = np.arange(60) // 6
    reg = PortfolioRegressor([("spy", Spy())], cv=2, refit=False, random_state=0)
    reg.fit(X, X[:, 0] / 3, groups=groups)
    for trained_on, *_ in fits:
        of_train = groups[trained_on[:, 0].astype(int)]
        assert all((of_train == g).sum() == 6 for g in of_train)


@pytest.mark.parametrize("container", ["dense", "sparse"])
def test_default_members_are_few_and_of_different_kinds(monkeypatch, container):
    rng = np.random.RandomState(0)
    monkeypatch.setattr("skgroup.ensemble._default_members._N_TREES", 5)
    monkeypatch.setitem(sys.modules["skgroup.ensemble._default_members"]._OF_NUMBERS, "max_iter", 5)
    X = rng.normal(size=(80, 3)).astype(np.float32)
    Y = X @ rng.normal(size=(3, 3))
    Y[::5, 0] = np.nan  # holes everywhere work the first time
    is_dense = container == "dense"
    X[::7, 1] = np.nan if is_dense else 0.0
    X = X if is_dense else sparse.csr_array(X)
    reg = PortfolioRegressor(cv=0.3, random_state=0).fit(X, Y)
    boosting = ["boosting"] * is_dense
    assert reg.member_names_.tolist() == ["net", "extra_trees", *boosting, "ridge"]
    assert reg.score(X, Y) > 0.6
    assert reg.count_nets(3) == 2
    assert get_tags(reg).input_tags.allow_nan
    images = PortfolioRegressor()._named_members(np.zeros((6, 1, 4, 4)))
    assert [type(m) for m in images.values()] == [MultiTaskNet, GroupedMTLRegressor]
