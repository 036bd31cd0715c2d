"""How members are fitted: out of the bag or by folds, what fails, and what it will cost."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from skgroup import MultiTaskNet, PortfolioClassifier
from skgroup.ensemble._shares import learn_shares
from skgroup.ensemble._threshold import expected_f1_thresholds
from skgroup.tasks import check_tasks


@pytest.fixture
def data(digits):
    """Four of the digits tasks."""
    X, Y = digits
    return X[:240], Y[:240][:, [10, 12, 13, 14]]


@pytest.fixture
def tiny_net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=3, lr=0.02, batch_size=64)


class CountingForest(RandomForestClassifier):
    """Keeps how many samples each of its fits has seen."""

    fits = ()  # a list, in a test

    def fit(self, X, y, sample_weight=None):
        CountingForest.fits.append(len(X))
        return super().fit(X, y, sample_weight)


@pytest.fixture
def fits(monkeypatch):
    monkeypatch.setattr(CountingForest, "fits", [])
    return CountingForest.fits


# -- out of the bag ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [False, True])
def test_a_forest_is_trained_once_and_judged_by_the_trees_that_left_a_sample_out(
    data, fits, missing
):
    X, Y = data[0], data[1].astype(float)
    if missing:
        Y[np.random.RandomState(0).rand(*Y.shape) < 0.2] = np.nan
    forest = CountingForest(100, random_state=3)
    clf = PortfolioClassifier([("forest", forest)], cv=4, random_state=0).fit(X, Y)
    observed = ~np.isnan(Y)
    assert fits == (observed.sum(axis=0).tolist() if missing else [240])
    # What the maps were learned of is what scikit-learn says for the same forest.
    proba = np.full(Y.shape, 0.5)
    for t in range(4) if missing else [slice(None)]:
        rows = observed[:, t] if missing else slice(None)
        alone = clone(forest).set_params(oob_score=True).fit(X[rows], Y[rows, t].astype(int))
        proba[rows, t] = np.squeeze(alone.oob_decision_function_[:, 1])
    expected = learn_shares(proba.astype(np.float32), check_tasks(Y))
    np.testing.assert_allclose(clf.share_maps_[0], expected, rtol=1e-5)


def test_out_of_bag_predictions_are_not_those_of_seen_samples(data):
    """A forest knows what it was trained on: so seen, nothing else would have a weight."""
    X, Y = data
    noise = np.random.RandomState(0).normal(size=X.shape)  # nothing can be learned of this
    clf = PortfolioClassifier([("forest", RandomForestClassifier(100))], random_state=0)
    assert (clf.fit(noise, Y).share_maps_[0, :, 0] < 0.8).all()


@pytest.mark.parametrize(
    ("forest", "params"),
    [
        (CountingForest(20), {}),
        (CountingForest(100, bootstrap=False), {}),
        (CountingForest(100, warm_start=True), {}),
        (CountingForest(100, class_weight="balanced"), {}),
        (CountingForest(100, max_samples=0.5), {}),
        (CountingForest(100), {"refit": False}),
        (CountingForest(100), {"cv": KFold(3)}),
        (CountingForest(100), {"cv": 0.3}),
    ],
    ids=str,
)
def test_a_fold_is_held_out_where_no_tree_surely_leaves_each_sample_out(data, fits, forest, params):
    PortfolioClassifier([("forest", forest)], **{"cv": 3, **params}, random_state=0).fit(*data)
    assert min(fits) < 240
    assert len(fits) == {0.3: 2}.get(params.get("cv"), 3 + params.get("refit", True))


def test_a_fold_is_held_out_where_samples_have_weights(data, fits):
    """They may draw a sample for every tree."""
    weight = np.random.RandomState(0).rand(240)
    PortfolioClassifier([("forest", CountingForest(100))], cv=3).fit(*data, sample_weight=weight)
    assert len(fits) == 4


@pytest.mark.filterwarnings("ignore:These tasks of Y have a single observed class")
@pytest.mark.parametrize("shape", ["1-D", "column", "beside a single class"])
def test_one_task_to_learn_may_lack_labels(data, shape):
    X, y = data[0], data[1][:, 0].astype(float)
    y[:20] = np.nan
    Y = {"1-D": y, "column": y[:, None]}.get(shape, np.column_stack([y, np.ones(240)]))
    clf = PortfolioClassifier([("forest", RandomForestClassifier(100))], random_state=0)
    clf.fit(X, Y)
    known = ~np.isnan(y)
    predicted = clf.predict(X).reshape(240, -1)[:, 0]
    assert (predicted[known] == y[known]).mean() > 0.95


def test_groups_are_held_out_together_of_forests_too(data, fits):
    X, Y = data
    forest = CountingForest(100)
    PortfolioClassifier([("forest", forest)], cv=3).fit(X, Y, groups=np.arange(240) // 10)
    assert len(fits) == 4


@pytest.mark.parametrize("asked", [False, True])
def test_what_serves_a_forest_has_the_settings_that_were_given(data, asked):
    forest = ExtraTreesClassifier(100, bootstrap=True, oob_score=asked, random_state=0)
    clf = PortfolioClassifier([("forest", forest)], random_state=0).fit(*data)
    assert clf.members_[0].oob_score is asked
    assert hasattr(clf.members_[0], "oob_decision_function_") is asked
    alone = clone(forest).fit(*data).predict_proba(data[0])
    np.testing.assert_array_equal(clf.members_[0].predict_proba(data[0]), alone)


def test_several_classes_are_judged_out_of_the_bag_where_each_task_is_learned_alone(fits):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 3))
    Y = np.column_stack([X[:, 0] > 0, np.digitize(X[:, 1], [-0.5, 0.5])]).astype(float)
    forest = CountingForest(100, random_state=0)
    PortfolioClassifier([("forest", forest)], cv=3, random_state=0).fit(X, Y)
    assert len(fits) == 4  # as one table: scikit-learn has none for it
    fits.clear()
    Y[0] = np.nan
    clf = PortfolioClassifier([("forest", forest)], cv=3, random_state=0).fit(X, Y)
    assert fits == [199, 199]
    assert clf.score(X, Y) > 0.9


# -- what fails --------------------------------------------------------------------------------


class Unpicklable(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class FailsOddly(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        raise Unpicklable("this", "that")


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_error_that_no_process_can_send_is_named_too(data, n_jobs):
    members = [("linear", LogisticRegression()), ("bad", FailsOddly())]
    clf = PortfolioClassifier(members, cv=2, random_state=0, n_jobs=n_jobs)
    with pytest.warns(FitFailedWarning, match="'bad': .*Unpicklable: this and that"):
        clf.fit(*data)
    assert clf.member_names_.tolist() == ["linear"]


class FailsOn(LogisticRegression):
    """Fails when it is fitted on so many samples, or on that many or fewer to predict."""

    def __init__(self, n_samples=None, predicts=None):
        super().__init__()
        self.n_samples, self.predicts = n_samples, predicts

    def fit(self, X, y, sample_weight=None):
        if len(X) == self.n_samples:
            raise RuntimeError(f"no room for {len(X)}")
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X):
        if len(X) == self.predicts:
            raise RuntimeError(f"no answer for {len(X)}")
        return super().predict_proba(X)


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize(
    "failing", [FailsOn(240), FailsOn(160), FailsOn(predicts=80)], ids=["refit", "fold", "predict"]
)
def test_a_member_that_fails_is_named_and_the_others_go_on(data, tiny_net, failing, n_jobs):
    X, Y = data
    members = [("linear", LogisticRegression()), ("bad", failing), ("net", tiny_net)]
    clf = PortfolioClassifier(members, cv=3, random_state=0, n_jobs=n_jobs)
    with pytest.warns(FitFailedWarning, match=r"failed.*'bad': RuntimeError: no (room|answer) for"):
        clf.fit(X, Y)
    assert clf.member_names_.tolist() == ["linear", "net"]
    assert len(clf.members_) == 2
    assert clf.serving_weights_.shape == (4, 2)
    # As without it, but for the seeds.
    same = clone(clf).set_params(bad="drop", net="drop").fit(X, Y)
    np.testing.assert_array_equal(
        clf.members_[0].estimators_[0].coef_, same.members_[0].estimators_[0].coef_
    )


def test_where_all_members_fail_the_first_error_is_raised_and_the_earlier_fit_stays(data):
    clf = PortfolioClassifier([("linear", LogisticRegression())], cv=3, random_state=0).fit(*data)
    before = clf.predict_proba(data[0])
    clf.set_params(members=[("bad", FailsOn(160)), ("worse", FailsOn(predicts=80))])
    with pytest.raises(RuntimeError, match="no room for 160"):
        clf.fit(*data)
    np.testing.assert_array_equal(clf.predict_proba(data[0]), before)


# -- what it will cost -------------------------------------------------------------------------


def test_a_forecast_has_every_member_and_leaves_no_trace(data, tiny_net, fits):
    members = [("forest", CountingForest(100)), ("net", tiny_net), ("bad", FailsOn(50))]
    clf = PortfolioClassifier(members, random_state=0)
    forecast = clf.forecast(*data)
    assert list(forecast) == ["forest", "net", "bad"]
    assert forecast["forest"] > 0
    assert forecast["net"] > 0
    assert np.isnan(forecast["bad"])
    assert max(fits) < 60  # of 240 samples
    assert not hasattr(clf, "members_")


@pytest.mark.parametrize(
    ("n_trees", "params", "expected"),
    [(20, {"cv": 3}, 4), (20, {"cv": 3, "refit": False}, 3), (100, {"cv": 3}, 1)],
)
def test_a_forecast_counts_the_fits_that_fit_makes(data, monkeypatch, n_trees, params, expected):
    """A second each, whatever the number of samples."""
    monkeypatch.setattr("skgroup.ensemble._plan._seconds", lambda *_: 1.0)
    members = [("forest", RandomForestClassifier(n_trees))]
    X, Y = (np.tile(part, (5, 1)) for part in data)
    assert PortfolioClassifier(members, **params).forecast(X, Y) == {"forest": expected}


def test_a_forecast_draws_nothing_from_the_seeds_of_fit(data):
    members = [("forest", RandomForestClassifier(20))]
    proba = []
    for forecast in (False, True):
        clf = PortfolioClassifier(members, cv=3, random_state=np.random.RandomState(0))
        if forecast:
            clf.forecast(*data)
        proba.append(clf.fit(*data).predict_proba(data[0]))
    np.testing.assert_array_equal(*proba)


def test_a_forecast_refuses_what_fit_refuses(data):
    with pytest.raises(ValueError, match="'cv' parameter"):
        PortfolioClassifier([("linear", LogisticRegression())], cv=1).forecast(*data)


# -- maps and thresholds -----------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_maps_minimise_what_is_written_of_them(weighted):
    rng = np.random.RandomState(0)
    Y = np.column_stack([rng.rand(150) < 0.1, rng.choice(3, 150)]).astype(float)
    Y[rng.rand(*Y.shape) < 0.2] = np.nan
    proba = rng.beta(1, 4, size=(150, 4)).astype(np.float32)
    proba[:, 0] += 0.3 * (Y[:, 0] == 1)
    weight = rng.randint(0, 3, 150).astype(float) if weighted else None
    maps = learn_shares(proba, check_tasks(Y), weight)
    events = np.column_stack([Y[:, 0] == 1, *(Y[:, 1] == k for k in range(3))])
    for output, t in enumerate([0, 1, 1, 1]):
        seen = ~np.isnan(Y[:, t]) & (True if weight is None else weight > 0)
        w = np.ones(150) if weight is None else weight
        w = w[seen] / w[seen].mean()
        x, y = np.log(proba[seen, output] / (1 - proba[seen, output])), events[seen, output]

        def objective(parameters, x=x, y=y, w=w):
            b, a = parameters
            eta = b * x + a
            return (w * (np.logaddexp(0, eta) - y * eta)).sum() + (b - 1) ** 2 / 2

        best = minimize(objective, [1.0, 0.0], bounds=[(0.1, None), (None, None)], tol=1e-12)
        assert objective(maps[output]) <= best.fun + 1e-8


@pytest.mark.parametrize("counts", [(10, 0, 30, 3000), (0, 1, 1, 50), (5, 5, 5, 5), (40, 1, 0, 9)])
@pytest.mark.parametrize("sure", [False, True])
def test_maps_of_two_valued_probabilities_reach_the_least_cost(counts, sure):
    """Of hits, misses, false alarms and the rest, as a rule says them."""
    y = np.repeat([1, 1, 0, 0], counts)
    said = np.repeat([1, 0, 1, 0], counts)
    proba = (said if sure else 0.2 + 0.6 * said).astype(np.float32)[:, None]
    x = np.log(np.clip(proba[:, 0], 1e-6, 1 - 1e-6) / np.clip(1 - proba[:, 0], 1e-6, 1 - 1e-6))

    def objective(parameters):
        eta = parameters[0] * x + parameters[1]
        return (np.logaddexp(0, eta) - y * eta).sum() + (parameters[0] - 1) ** 2 / 2

    (found,) = learn_shares(proba, check_tasks(y))
    bounds = [(0.1, None), (None, None)]
    starts = [(1.0, 0.0), (1.0, -10.0), (0.5, -3.0), tuple(found)]
    best = min(minimize(objective, start, bounds=bounds, tol=1e-12).fun for start in starts)
    assert objective(found) <= best + 1e-4


def test_the_threshold_of_the_best_expected_f1_is_half_of_it():
    """Against every set of samples that may be taken, by brute force over true labels."""
    proba = np.array([0.9, 0.55, 0.3, 0.2, 0.05], dtype=np.float32)
    # Large numbers of each, so that the F1 that is expected is that of expected counts.
    many = np.repeat(proba, 2000)
    truth = np.random.RandomState(0).rand(len(many)) < many
    f1 = {
        threshold: 2 * (truth & (many > threshold)).sum() / (truth.sum() + (many > threshold).sum())
        for threshold in np.linspace(0, 0.95, 96)
    }
    best = max(f1.values())
    (threshold,) = expected_f1_thresholds(many[:, None], np.ones((len(many), 1)))
    assert threshold == pytest.approx(best / 2, abs=0.01)
    assert f1[round(threshold, 2)] == pytest.approx(best, abs=1e-3)


def test_samples_without_a_label_do_not_count_for_expected_thresholds():
    rng = np.random.RandomState(0)
    proba = rng.rand(60, 2).astype(np.float32)
    weight = np.ones((60, 2))
    weight[:30, 1] = 0
    both = expected_f1_thresholds(proba, weight)
    assert both[0] == expected_f1_thresholds(proba[:, :1], weight[:, :1])[0]
    assert both[1] == pytest.approx(expected_f1_thresholds(proba[30:, 1:], weight[30:, 1:])[0])
