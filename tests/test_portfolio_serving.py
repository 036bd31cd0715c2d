"""How a portfolio serves: maps to observed shares, serving weights and thresholds of each task."""

import io
import pickle
import re
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier
from skgroup.ensemble._shares import learn_shares, to_shares
from skgroup.tasks import check_tasks


@pytest.fixture
def data(digits):
    """Four of the digits tasks."""
    X, Y = digits
    return X[:240], Y[:240][:, [10, 12, 13, 14]]


@pytest.fixture
def tiny_net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=3, lr=0.02, batch_size=64)


@pytest.fixture(scope="module")
def imbalanced():
    """Three tasks that are positive for one sample in seven, and noise."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(1600, 4)).astype(np.float32)
    noise = rng.normal(scale=0.7, size=(1600, 3))
    return X, (X[:, [0, 0, 1]] + X[:, [1, 2, 3]] + noise > 1.7).astype(int)


def members(net):
    return [
        ("net", net),
        ("groups", GroupedMTLClassifier(net, n_groups=2)),
        ("forest", RandomForestClassifier(10)),
        ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
    ]


def portfolio(net, **params):
    return PortfolioClassifier(members(net), **{"cv": 2, "random_state": 0, **params})


class Fixed(ClassifierMixin, BaseEstimator):
    """Says its first feature, or the opposite, for the probability of class 1."""

    def __init__(self, feature=0, power=1.0):
        self.feature = feature
        self.power = power

    def fit(self, X, y):
        self.classes_ = np.arange(2)
        return self

    def predict_proba(self, X):
        p = X[:, self.feature] ** self.power
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


# -- maps to observed shares -------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 0.2, 1: 1.0}, {0: 5.0, 1: 1.0}])
def test_what_a_member_balances_is_brought_to_the_observed_shares(imbalanced, class_weight):
    X, Y = imbalanced
    balanced = LogisticRegression(class_weight=class_weight)
    clf = PortfolioClassifier([("linear", balanced)], random_state=0).fit(X[:1000], Y[:1000])
    plain = LogisticRegression()
    for t in range(3):
        proba = clf.predict_proba(X[1000:])[:, t]
        assert proba.mean() == pytest.approx(Y[1000:, t].mean(), abs=0.03)
        expected = plain.fit(X[:1000], Y[:1000, t]).predict_proba(X[1000:])[:, 1]
        np.testing.assert_allclose(proba, expected, atol=0.15)


def test_maps_keep_the_order_of_samples(imbalanced):
    X, Y = imbalanced
    clf = PortfolioClassifier([("linear", LogisticRegression())], random_state=0)
    proba = clf.fit(X[:1000], Y[:1000]).predict_proba(X[1000:])
    assert (clf.share_maps_[..., 0] > 0).all()
    for t in range(3):
        own = clf.members_[0].estimators_[t].predict_proba(X[1000:])[:, 1]
        assert roc_auc_score(Y[1000:, t], proba[:, t]) == pytest.approx(
            roc_auc_score(Y[1000:, t], own)
        )


def test_maps_are_learned_a_task_and_a_class_each():
    rng = np.random.RandomState(0)
    Y = np.column_stack([rng.rand(4000) < 0.1, rng.choice(3, 4000, p=[0.6, 0.3, 0.1])])
    table = check_tasks(Y)
    noise = rng.normal(scale=0.5, size=(4000, 4))
    truth = np.column_stack([Y[:, 0] == 1, *(Y[:, 1] == k for k in range(3))])
    proba = 1 / (1 + np.exp(-(2 * truth - 1 + noise + [3, 0, 0, 0]))).astype(np.float32)
    maps = learn_shares(proba, table)
    assert maps.shape == (4, 2)
    mapped = to_shares(proba, maps, table.layout)
    np.testing.assert_allclose(mapped.mean(axis=0), truth.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(mapped[:, 1:].sum(axis=1), 1, atol=1e-6)
    # Weights count by their ratios, and as repeats do.
    weight = np.where(Y[:, 0] == 1, 3.0, 1.0)
    weighted = learn_shares(proba, table, weight)
    np.testing.assert_allclose(weighted, learn_shares(proba, table, 1000 * weight), atol=1e-3)
    repeated = np.repeat(np.arange(4000), weight.astype(int))
    expected = learn_shares(proba[repeated], table.take(repeated))
    np.testing.assert_allclose(weighted, expected, rtol=0.05)


def test_a_member_that_knows_less_than_nothing_says_nearly_the_share_in_its_order():
    rng = np.random.RandomState(0)
    X = rng.uniform(0.05, 0.95, size=(300, 1))
    y = (rng.rand(300) > X[:, 0]).astype(int)  # the opposite of what is said
    clf = PortfolioClassifier([("wrong", Fixed())], cv=2, random_state=0).fit(X, y)
    proba = clf.predict_proba(X)[:, 1]
    assert clf.share_maps_[0, 0, 0] == 0.1
    np.testing.assert_allclose(proba.mean(), y.mean(), atol=0.01)
    assert np.ptp(proba) < 0.2
    np.testing.assert_array_equal(np.argsort(proba), np.argsort(X[:, 0]))


# -- serving weights ---------------------------------------------------------------------------


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("refit", [True, False])
def test_a_prediction_is_the_weighted_sum_of_mapped_members(data, tiny_net, refit):
    X, Y = data
    X_before, Y_before = X.copy(), Y.copy()
    clf = portfolio(tiny_net, refit=refit).fit(X, Y)
    assert clf.member_names_.tolist() == ["net", "groups", "forest", "linear"]
    assert len(clf.members_) == 4
    assert clf.serving_weights_.shape == (4, 4)
    assert clf.thresholds_.shape == (4,)
    np.testing.assert_allclose(clf.serving_weights_.sum(axis=1), 1)
    assert (clf.serving_weights_ > 0).all()
    expected = np.zeros(Y.shape)
    for m, member in enumerate(clf.members_):
        fits = member if not refit else [member]
        assert len(fits) == (1 if refit else 2)
        own = np.zeros(Y.shape)
        for fitted in fits:
            proba = fitted.predict_proba(X)
            own += np.column_stack([p[:, 1] for p in proba]) if isinstance(proba, list) else proba
        own = np.clip(own / len(fits), 1e-6, 1 - 1e-6)
        slope, intercept = clf.share_maps_[m].T
        mapped = 1 / (1 + np.exp(-(slope * np.log(own / (1 - own)) + intercept)))
        expected += clf.serving_weights_[:, m] * mapped
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-5)
    np.testing.assert_array_equal(
        clf.predict(X), clf.predict_proba(X) > clf.thresholds_.astype(np.float32)
    )
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(Y, Y_before)


def test_each_task_is_served_by_the_member_that_knows_it():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(400, 2))
    Y = (rng.rand(400, 2) < X).astype(int)
    clf = PortfolioClassifier([("first", Fixed(0)), ("second", Fixed(1))], random_state=0)
    clf.fit(X, Y)
    assert (np.diag(clf.serving_weights_) > 0.8).all()


def test_a_shift_of_probabilities_costs_a_member_nothing():
    """Members are compared after their maps: which one balances classes decides nothing."""
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(600, 1))
    y = (rng.rand(600) < X[:, 0]).astype(int)
    odds = X[:, 0] / (1 - X[:, 0])
    shifted = np.column_stack([X[:, 0], 50 * odds / (1 + 50 * odds)])
    clf = PortfolioClassifier([("plain", Fixed(0)), ("shifted", Fixed(1))], random_state=0)
    np.testing.assert_allclose(clf.fit(shifted, y).serving_weights_, 0.5, atol=0.02)


# -- thresholds --------------------------------------------------------------------------------


def test_tuned_thresholds_gain_f1(imbalanced):
    X, Y = imbalanced
    clf = PortfolioClassifier([("linear", LogisticRegression())], random_state=0)
    clf.fit(X[:1000], Y[:1000])
    assert (clf.thresholds_ < 0.45).all()
    proba = clf.predict_proba(X[1000:])
    tuned = f1_score(Y[1000:], clf.predict(X[1000:]), average=None)
    assert (tuned > f1_score(Y[1000:], proba > 0.5, average=None)).all()


def test_few_positives_pull_thresholds_to_their_share():
    """At 0.5, on the scale of shares, a rare class would never be predicted."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(600, 3))
    y = (X[:, 0] + rng.normal(size=600) > 3.2).astype(int)
    assert 3 <= y.sum() <= 12
    clf = PortfolioClassifier([("linear", LogisticRegression())], cv=3, random_state=0).fit(X, y)
    assert y.mean() / 3 < clf.thresholds_[0] < 0.3
    assert clf.predict(X).any()


def test_thresholds_may_be_tuned_for_another_scorer(imbalanced):
    X, Y = imbalanced
    clf = PortfolioClassifier([("linear", LogisticRegression())], random_state=0)
    f1 = clone(clf).fit(X[:1000], Y[:1000])
    clf.set_params(threshold_scoring="accuracy").fit(X[:1000], Y[:1000])
    assert (clf.thresholds_ > f1.thresholds_).all()
    np.testing.assert_array_equal(clf.predict_proba(X), f1.predict_proba(X))
    assert accuracy_score(Y[1000:, 0], clf.predict(X[1000:])[:, 0]) >= accuracy_score(
        Y[1000:, 0], f1.predict(X[1000:])[:, 0]
    )


def test_a_given_threshold_is_that_of_all_binary_tasks(data):
    X, Y = data
    Y = np.column_stack([Y[:, :2], np.arange(240) % 3])
    clf = PortfolioClassifier([("forest", RandomForestClassifier(10))], threshold=0.3, cv=2)
    clf.fit(X, Y)
    np.testing.assert_array_equal(clf.thresholds_, [0.3, 0.3, np.nan])
    proba = clf.predict_proba(X)
    np.testing.assert_array_equal(clf.predict(X)[:, 0], proba[0][:, 1] > np.float32(0.3))
    np.testing.assert_array_equal(clf.predict(X)[:, 2], proba[2].argmax(axis=1))


def test_an_unknown_positive_class_is_predicted_where_it_is_more_likely(data):
    X, Y = data
    y = np.array(["even", "odd"])[Y[:, 1]]
    clf = PortfolioClassifier([("forest", RandomForestClassifier(10))], cv=2, random_state=0)
    with pytest.warns(UserWarning, match=r"their threshold is 0\.5; .*: task 0\.$"):
        clf.fit(X, y)
    assert clf.thresholds_.tolist() == [0.5]
    proba = clf.predict_proba(X)
    assert proba.shape == (240, 2)
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])


# -- tasks of every kind -----------------------------------------------------------------------


def test_labels_of_several_kinds_with_missing_ones(data, tiny_net):
    X, Y = data
    frame = pd.DataFrame(
        {
            "size": Y[:, 0],
            "rest": np.array(["none", "one", "two"])[np.arange(240) % 3],
            "odd": Y[:, 1] == 1,
        }
    ).astype(object)
    frame.iloc[::7, 0] = None
    frame.iloc[3::11, 1] = np.nan
    before = frame.copy()
    clf = portfolio(tiny_net.set_params(max_epochs=10)).fit(X, frame)
    pd.testing.assert_frame_equal(frame, before)
    assert [list(c) for c in clf.classes_] == [[0, 1], ["none", "one", "two"], [False, True]]
    assert np.isnan(clf.thresholds_).tolist() == [False, True, False]
    proba = clf.predict_proba(X)
    assert [p.shape for p in proba] == [(240, 2), (240, 3), (240, 2)]
    for p in proba:
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert clf.score(X, frame) > 0.7


def test_tasks_of_a_single_class_are_served_by_it(data, tiny_net):
    X, Y = data
    frame = pd.DataFrame({"a": Y[:, 0], "zero": 0, "b": Y[:, 1], "one": 1, "same": "same"})
    frame.loc[:5, "same"] = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf = portfolio(tiny_net).fit(X, frame)
    assert [re.findall("single observed class", str(w.message)) for w in caught] == [
        ["single observed class"]
    ]
    assert (clf.serving_weights_[[1, 3, 4]] == 0).all()
    np.testing.assert_allclose(clf.serving_weights_[[0, 2]].sum(axis=1), 1)
    proba, predicted = clf.predict_proba(X), clf.predict(X)
    assert proba.shape == predicted.shape == (240, 5)
    assert (proba[:, [1, 4]] == 0).all()
    assert (proba[:, 3] == 1).all()
    assert predicted[0, [1, 3, 4]].tolist() == [0, 1, "same"]
    alone = portfolio(tiny_net).fit(X, frame[["a", "b"]])
    np.testing.assert_allclose(proba[:, [0, 2]], alone.predict_proba(X), atol=1e-5)
    with pytest.raises(ValueError, match="single class"):
        portfolio(tiny_net).fit(X, frame[["zero", "one"]])


def test_rare_classes_stay_in_every_training_part(data, tiny_net):
    X, Y = data
    rare = np.arange(240) % 2
    rare[7] = 99
    Y = np.column_stack([Y[:, :2], rare])
    clf = portfolio(tiny_net).fit(X, Y)
    assert clf.classes_[2].tolist() == [0, 1, 99]
    assert clf.predict_proba(X)[2].shape == (240, 3)


class Indexed(torch.utils.data.Dataset):
    """Inputs and labels one by one."""

    def __init__(self, X, Y):
        self.X, self.Y = X, Y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.Y[i]


@pytest.mark.parametrize(
    "form", ["sparse", "tensor", "dataset", "dataset with labels", "frame", "lists"]
)
def test_other_forms_of_data_give_the_same_result(data, tiny_net, form):
    X, Y = data[0].astype(np.float32), data[1]
    clf = PortfolioClassifier(
        [
            ("three", GroupedMTLClassifier(tiny_net, n_groups=3)),
            ("groups", GroupedMTLClassifier(tiny_net, n_groups=2)),
        ],
        cv=2,
        random_state=0,
    )
    given = {
        "sparse": lambda: (sparse.csr_array(X), Y),
        "tensor": lambda: (torch.from_numpy(X), torch.from_numpy(Y)),
        "dataset": lambda: (TensorDataset(torch.from_numpy(X)), Y),
        "dataset with labels": lambda: (Indexed(X, Y), None),
        "frame": lambda: (pd.DataFrame(X), pd.DataFrame(Y)),
        "lists": lambda: (X.tolist(), Y.tolist()),
    }[form]()
    if form.startswith("dataset"):  # samples of a DataLoader come in another order
        clf.set_params(
            **{f"{m}__estimator__iterator_train__shuffle": False for m in ("three", "groups")}
        )
    expected = clone(clf).fit(X, Y)
    clf.fit(*given)
    np.testing.assert_allclose(clf.serving_weights_, expected.serving_weights_, atol=1e-3)
    np.testing.assert_allclose(clf.predict_proba(given[0]), expected.predict_proba(X), atol=1e-3)


# -- one seed, one result ----------------------------------------------------------------------


def assert_same_fit(one, other, X):
    np.testing.assert_array_equal(other.serving_weights_, one.serving_weights_)
    np.testing.assert_array_equal(other.thresholds_, one.thresholds_)
    np.testing.assert_array_equal(other.predict_proba(X), one.predict_proba(X))


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_one_seed_one_result_that_survives_storing(data, tiny_net):
    X, Y = data
    clf = portfolio(tiny_net).fit(X, Y)
    assert_same_fit(clf, clone(clf).fit(X, Y), X)
    with joblib.parallel_config("threading"):
        assert_same_fit(clf, clone(clf).set_params(n_jobs=2).fit(X, Y), X)
    assert_same_fit(clf, pickle.loads(pickle.dumps(clf)), X)
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    assert_same_fit(clf, joblib.load(file), X)
    other = clone(clf).set_params(random_state=1).fit(X, Y)
    assert not np.allclose(other.predict_proba(X), clf.predict_proba(X), atol=1e-3)


def test_a_seed_of_a_member_is_kept(data):
    X, Y = data
    given = [("a", RandomForestClassifier(3, random_state=7)), ("b", RandomForestClassifier(3))]
    clf = PortfolioClassifier(given, cv=2, random_state=0).fit(X, Y)
    assert clf.members_[0].random_state == 7
    assert clf.members_[1].random_state is not None


def test_weights_of_samples_count_by_their_ratios(imbalanced):
    X, Y = imbalanced
    X, Y = X[:400], Y[:400]
    clf = PortfolioClassifier([("bayes", GaussianNB())], random_state=0)
    plain = clone(clf).fit(X, Y)
    constant = clone(clf).fit(X, Y, sample_weight=np.full(400, 3.0))
    np.testing.assert_allclose(constant.predict_proba(X), plain.predict_proba(X), atol=1e-3)
    np.testing.assert_allclose(constant.thresholds_, plain.thresholds_, atol=1e-3)
    weighted = clf.fit(X, Y, sample_weight=np.where(Y[:, 0], 10.0, 1.0))
    assert weighted.predict_proba(X)[:, 0].mean() > plain.predict_proba(X)[:, 0].mean() + 0.1


# -- inside scikit-learn -----------------------------------------------------------------------


def test_search_and_cross_validation(data):
    X, Y = data
    clf = PortfolioClassifier(
        [("forest", RandomForestClassifier(5)), ("linear", LogisticRegression(max_iter=2000))],
        cv=2,
        random_state=0,
    )
    grid = {"forest": ["drop", RandomForestClassifier(3)], "linear__C": [0.1, 1.0]}
    search = GridSearchCV(clf, grid, cv=KFold(2), error_score="raise").fit(X, Y)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.score(X, Y) == search.best_estimator_.score(X, Y)
    proba = cross_val_predict(clf, X, Y, cv=KFold(2), method="predict_proba")
    assert proba.shape == (240, 4)


def test_a_refused_fit_changes_nothing(data):
    X, Y = data
    clf = PortfolioClassifier([("forest", RandomForestClassifier(5))], cv=2, random_state=0)
    before = clf.fit(X, Y).predict_proba(X)
    with pytest.raises(ValueError, match="continuous"):
        clf.fit(X, Y + 0.5)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert clf.members_[0].n_estimators == 5
