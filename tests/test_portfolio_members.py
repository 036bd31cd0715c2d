"""Members of a portfolio: named, checked before training, fitted on labels that they can read."""

import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from skorch.callbacks import Callback

from skgroup import GroupedMTLClassifier, MultiTaskNet, PortfolioClassifier


@pytest.fixture
def data(digits):
    """Four of the digits tasks."""
    X, Y = digits
    return X[:240], Y[:240][:, [10, 12, 13, 14]]


@pytest.fixture
def tiny_net():
    return MultiTaskNet.stg_mtl(module__hidden_units=(8,), max_epochs=3, lr=0.02, batch_size=64)


def linear():
    return make_pipeline(StandardScaler(), LogisticRegression())


def forest():
    return RandomForestClassifier(5)


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps what it is fitted on, and says the same for every sample."""

    fits = ()  # a list, in a test

    def __init__(self, n_outputs="one"):
        self.n_outputs = n_outputs

    def fit(self, X, y, sample_weight=None):
        Spy.fits.append((np.asarray(X), y, sample_weight))
        self.classes_ = [np.unique(c) for c in y.T] if y.ndim == 2 else np.unique(y)
        self.n_features_in_ = np.shape(X)[1]
        return self

    def predict_proba(self, X):
        if isinstance(self.classes_, list):
            return [np.full((len(X), len(c)), 1 / len(c)) for c in self.classes_]
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.n_outputs == "many"
        return tags


@pytest.fixture
def fits(monkeypatch):
    monkeypatch.setattr(Spy, "fits", [])
    return Spy.fits


# -- a composition -----------------------------------------------------------------------------


def test_members_and_their_parameters_are_parameters():
    clf = PortfolioClassifier([("forest", forest()), ("linear", linear())], cv=3)
    params = clf.get_params()
    assert params["forest"] is clf.members[0][1]
    assert params["forest__n_estimators"] == 5
    assert params["linear__logisticregression__C"] == 1.0
    assert "forest" not in clf.get_params(deep=False)
    clf.set_params(forest__n_estimators=7, linear=GaussianNB(), cv=2)
    assert clf.members[0][1].n_estimators == 7
    assert isinstance(clf.members[1][1], GaussianNB)
    assert clf.cv == 2
    other = clone(clf)
    assert other.members[0][1] is not clf.members[0][1]
    assert other.get_params()["forest__n_estimators"] == 7
    with pytest.raises(ValueError, match="Invalid parameter 'nobody'"):
        clf.set_params(nobody__C=1)


def test_a_dropped_member_is_left_out(data):
    X, Y = data
    clf = PortfolioClassifier([("forest", forest()), ("linear", linear())], cv=2, random_state=0)
    clf.set_params(forest="drop").fit(X, Y)
    assert clf.member_names_.tolist() == ["linear"]
    assert len(clf.members_) == 1
    np.testing.assert_array_equal(clf.serving_weights_, np.ones((4, 1)))
    alone = PortfolioClassifier([("linear", linear())], cv=2, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), alone.predict_proba(X))


def test_given_members_are_not_changed(data):
    X, Y = data
    members = [("forest", forest()), ("linear", linear())]
    PortfolioClassifier(members, cv=2, random_state=0).fit(X, Y)
    assert members[0][1].random_state is None
    assert not hasattr(members[0][1], "estimators_")


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_default_members_are_few_and_of_different_kinds(monkeypatch, container):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    monkeypatch.setattr("skgroup.ensemble._default_members._N_TREES", 5)
    Y = (X > 0).astype(float)
    is_dense = container is np.asarray
    Y[::5, 0] = np.nan  # holes everywhere work the first time
    X[::7, 1] = np.nan if is_dense else 0.0
    X = container(X)
    clf = PortfolioClassifier(cv=0.3, random_state=0).fit(X, Y)
    expected = ["net", "extra_trees", "random_forest"] + ["boosting"] * is_dense
    assert clf.member_names_.tolist() == expected
    assert clf.score(X, Y) > 0.8
    assert clf.count_nets(3) == 2
    assert get_tags(clf).input_tags.allow_nan


@pytest.mark.parametrize("container", [np.asarray, lambda X: {"x": X}])
def test_default_members_of_what_is_no_table_are_nets(container):
    X = np.zeros((60, 1, 4, 4), dtype=np.float32)
    members = PortfolioClassifier()._named_members(container(X))
    assert [type(member) for member in members.values()] == [MultiTaskNet, GroupedMTLClassifier]


def test_nets_are_counted(tiny_net):
    members = [("net", tiny_net), ("groups", GroupedMTLClassifier(tiny_net, n_groups=2))]
    clf = PortfolioClassifier([*members, ("forest", forest())], cv=3)
    assert clf.count_nets(4) == 4 * (1 + 3)
    assert clf.set_params(refit=False).count_nets(4) == 3 * (1 + 3)


# -- what members are given --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (RandomForestClassifier(5), "many"),
        (KNeighborsClassifier(), "many"),
        (MLPClassifier((4,), max_iter=500, tol=1e-2), "many"),
        (MultiOutputClassifier(GaussianNB()), "many"),
        (ClassifierChain(GaussianNB()), "many"),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), "many"),
        (LogisticRegression(max_iter=2000), "one"),
        (GridSearchCV(GaussianNB(), {"var_smoothing": [1e-2, 1e-1]}, cv=2), "one"),
        (make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()), "one"),
    ],
    ids=lambda part: type(part).__name__ if hasattr(part, "fit") else None,
)
@pytest.mark.parametrize("missing", [False, True])
def test_classifiers_of_sklearn_learn_all_tasks_or_one_each(data, member, kind, missing):
    X, Y = data
    X, Y = X[:, 10:40], Y.astype(float)
    if missing:
        Y[::7, 1] = np.nan
    clf = PortfolioClassifier([("member", member)], cv=2, random_state=0).fit(X, Y)
    (fitted,) = clf.members_
    if kind == "many" and not missing:
        assert type(fitted) is type(member)
    else:
        assert len(fitted.estimators_) == 4
        assert all(type(one) is type(member) for one in fitted.estimators_)
    assert clf.predict_proba(X).shape == (240, 4)
    assert clf.score(X, Y) > 0.5


def test_a_task_is_learned_on_the_samples_that_have_a_label_of_it(fits):
    X = np.arange(40.0)[:, None]
    Y = np.column_stack([np.arange(40) % 2, np.arange(40) // 2 % 2]).astype(float)
    Y[:10, 0] = np.nan
    PortfolioClassifier([("spy", Spy())], cv=2).fit(X, Y, sample_weight=np.arange(40) + 1.0)
    assert len(fits) == 6
    for given, y, weight in fits[-2:]:
        assert y.dtype.kind == "i"
        np.testing.assert_array_equal(weight, given[:, 0] + 1)
    np.testing.assert_array_equal(fits[-2][0][:, 0], np.arange(10, 40))
    np.testing.assert_array_equal(fits[-2][1], Y[10:, 0])
    np.testing.assert_array_equal(fits[-1][1], Y[:, 1])


def test_members_see_encoded_labels_with_the_positive_class_as_one(fits):
    X = np.arange(40.0)[:, None]
    answer = pd.Categorical(
        np.array(["yes", "no"])[np.arange(40) % 2], categories=["no", "yes"], ordered=True
    )
    sick = np.array(["a_sick", "well"])[np.arange(40) // 2 % 2]
    kind = np.array(["x", "y", "z", "z"])[np.arange(40) // 4 % 4]
    Y = pd.DataFrame({"answer": answer, "sick": sick, "kind": kind})
    net = MultiTaskNet.stg_mtl(max_epochs=1, pos_label={"sick": "a_sick"})
    clf = PortfolioClassifier([("spy", Spy("many")), ("net", net)], cv=2).fit(X, Y)
    np.testing.assert_array_equal(fits[-1][1][:, 0], Y["answer"] == "yes")
    np.testing.assert_array_equal(fits[-1][1][:, 1], sick == "a_sick")
    np.testing.assert_array_equal(fits[-1][1][:, 2], [list("xyz").index(k) for k in kind])
    assert [c.tolist() for c in clf.classes_] == [["no", "yes"], ["a_sick", "well"], list("xyz")]
    assert set(clf.predict(X)[:, 1]) <= {"a_sick", "well"}
    assert clf.members_[1].task_names_in_.tolist() == ["answer", "sick", "kind"]


def test_probabilities_are_those_of_the_second_class_whichever_is_positive(data):
    X, Y = data
    said = np.array(["even", "odd"])[Y[:, 1]]
    Y = pd.DataFrame({"size": Y[:, 0], "parity": said})
    probas = []
    for positive in ("even", "odd"):
        net = MultiTaskNet.stg_mtl(max_epochs=30, lr=0.01, pos_label={"parity": positive})
        clf = PortfolioClassifier([("net", net)], cv=2, random_state=0).fit(X, Y)
        proba = clf.predict_proba(X)[:, 1]
        assert ((proba > 0.5) == (said == "odd")).mean() > 0.9
        assert (clf.predict(X)[:, 1] == said).mean() > 0.9
        probas.append(proba)
    assert clf.score(X, Y) > 0.9
    assert np.corrcoef(*probas)[0, 1] > 0.9


def test_nets_read_missing_labels_and_names(data, tiny_net):
    X, Y = data
    Y = pd.DataFrame(Y, columns=list("abcd")).astype(object)
    Y.iloc[::5, 2] = None
    groups = pd.DataFrame([[1, 0], [1, 0], [0, 1], [0, 1]], index=list("badc"), dtype=float)
    members = [
        ("net", tiny_net),
        ("groups", GroupedMTLClassifier(tiny_net, groups)),
        ("searched", GridSearchCV(tiny_net, {"lr": [0.01]}, cv=KFold(2))),
    ]
    clf = PortfolioClassifier(members, cv=2, random_state=0).fit(X, Y)
    net, grouped, searched = clf.members_
    assert net.task_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(grouped.membership_, [[1, 0], [1, 0], [0, 1], [0, 1]])
    assert isinstance(searched.best_estimator_, MultiTaskNet)


def test_names_of_polars_reach_the_members(data, tiny_net):
    pl = pytest.importorskip("polars")
    X, Y = data
    Y = pl.DataFrame(dict(zip("abcd", Y.T, strict=True)))
    clf = PortfolioClassifier([("net", tiny_net)], cv=2).fit(X, Y)
    assert clf.members_[0].task_names_in_.tolist() == list("abcd")
    assert clf.task_names_in_.tolist() == list("abcd")


def test_x_is_given_as_it_is(data):
    """Preprocessing belongs to members: missing values and strings are theirs to read."""
    X, Y = data
    X = X.copy()
    X[::9, 5] = np.nan
    filled = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(64)])
    clf = PortfolioClassifier([("filled", filled)], cv=2, random_state=0).fit(frame, Y)
    assert clf.feature_names_in_.tolist() == frame.columns.tolist()
    assert clf.score(frame, Y) > 0.8
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(frame.rename(columns={"x0": "other"}))


# -- weights, groups and routing ---------------------------------------------------------------


def test_weights_reach_every_member(data, fits, tiny_net):
    X, Y = data
    weight = np.linspace(0.5, 2, 240)
    members = [("spy", Spy("many")), ("scaled", make_pipeline(StandardScaler(), Spy("many")))]
    PortfolioClassifier([*members, ("net", tiny_net)], cv=2).fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(fits[-2][2], weight)
    np.testing.assert_array_equal(fits[-1][2], weight)


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        pytest.fail("training began before the members were checked")


@pytest.mark.parametrize(
    "member",
    [
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        MultiOutputClassifier(KNeighborsClassifier()),
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1]}),
    ],
    ids=lambda member: type(member).__name__,
)
def test_a_member_that_takes_no_weights_is_refused_by_name(data, member):
    X, Y = data
    members = [("net", MultiTaskNet.stg_mtl(callbacks=[NoTraining()])), ("unweighted", member)]
    with pytest.raises(ValueError, match=r"Member 'unweighted' .* must take sample_weight in fit"):
        PortfolioClassifier(members).fit(X, Y, sample_weight=np.ones(240))


@pytest.mark.parametrize("cv", [2, 0.4, GroupKFold(2)])
def test_groups_are_held_out_together(fits, cv):
    X = np.arange(60.0)[:, None]
    Y = np.column_stack([np.arange(60) % 2, np.arange(60) // 2 % 2])
    groups = np.arange(60) // 6
    clf = PortfolioClassifier([("spy", Spy("many"))], cv=cv, refit=False, random_state=0)
    clf.fit(X, Y, groups=groups)
    for trained_on, *_ in fits:
        of_train = groups[trained_on[:, 0].astype(int)]
        assert len(of_train) < 60
        assert all((of_train == g).sum() == 6 for g in of_train)


def test_routing_gives_members_what_they_request(data, fits):
    X, Y = data
    weight = np.linspace(0.5, 2, 240)
    spy = Spy("many")
    with sklearn.config_context(enable_metadata_routing=True):
        members = [("with", spy.set_fit_request(sample_weight=True)), ("nearest", forest())]
        clf = PortfolioClassifier(members, cv=2)
        with pytest.raises(UnsetMetadataPassedError, match="RandomForestClassifier"):
            clf.fit(X, Y, sample_weight=weight)
        assert not fits
        clf.set_params(nearest=forest().set_fit_request(sample_weight=False))
        clf.fit(X, Y, sample_weight=weight, groups=np.arange(240) // 2)
    np.testing.assert_array_equal(fits[-1][2], weight)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "must be a non-empty list of (name, classifier) pairs"),
        ([forest()], "must be a non-empty list of (name, classifier) pairs"),
        ([("a", forest(), 1)], "must be a non-empty list of (name, classifier) pairs"),
        ([("a", "drop")], "pairs of which some are not dropped"),
        ([("a", forest()), ("a", forest())], "Names provided are not unique"),
        ([("cv", forest())], "conflict with constructor arguments"),
        ([("a__b", forest())], "must not contain __"),
        ([("a", RandomForestClassifier)], "Member 'a' of PortfolioClassifier must be a classifier"),
        ([("a", Ridge())], "Member 'a' of PortfolioClassifier must be a classifier"),
        ([("a", StandardScaler())], "Member 'a' of PortfolioClassifier must be a classifier"),
        ([("a", None)], "Member 'a' of PortfolioClassifier must be a classifier"),
        ([("a", Perceptron())], "must be a classifier with predict_proba"),
        (
            [("a", make_pipeline(StandardScaler(), Perceptron()))],
            "must be a classifier with predict_proba",
        ),
        ([("a", RandomForestClassifier(-1))], "Member 'a' of PortfolioClassifier cannot be fitted"),
        (
            [("a", MultiTaskNet.stg_mtl(lr=-1.0))],
            "Member 'a' of PortfolioClassifier cannot be fitted",
        ),
        (
            [("a", GroupedMTLClassifier(n_groups=9))],
            "Member 'a' of PortfolioClassifier cannot be fitted: The 'n_groups' parameter",
        ),
        (
            [("a", MultiTaskNet.stg_mtl(module__wrong=1))],
            "Member 'a' of PortfolioClassifier cannot be",
        ),
    ],
)
def test_wrong_members_are_refused_before_any_trains(data, members, message):
    net = MultiTaskNet.stg_mtl(callbacks=[NoTraining()])
    first = [("first", net)] if members and members != [("a", "drop")] else []
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        PortfolioClassifier(first + members).fit(*data)


def test_a_chain_is_refused_where_a_task_has_more_classes(data):
    X, Y = data
    Y = np.column_stack([Y[:, :2], np.arange(240) % 3])
    clf = PortfolioClassifier([("chain", ClassifierChain(GaussianNB()))])
    with pytest.raises(ValueError, match=r"Member 'chain' .* two classes alone"):
        clf.fit(X, Y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"threshold": 1.0}, "The 'threshold' parameter of PortfolioClassifier must be"),
        ({"threshold": "best"}, "The 'threshold' parameter of PortfolioClassifier must be"),
        ({"threshold_scoring": "f2"}, "The 'threshold_scoring' parameter of PortfolioClassifier"),
        ({"threshold_scoring": "roc_auc"}, "must be a scorer of predicted classes"),
        ({"cv": 1}, "The 'cv' parameter of PortfolioClassifier must be"),
        ({"cv": 1.5}, "The 'cv' parameter of PortfolioClassifier must be"),
        ({"n_jobs": 0}, "The 'n_jobs' parameter of PortfolioClassifier must be"),
        ({"members": {"a": 1}}, "The 'members' parameter of PortfolioClassifier must be"),
    ],
)
def test_bad_parameters_are_refused_before_training(data, params, message):
    members = [("net", MultiTaskNet.stg_mtl(callbacks=[NoTraining()]))]
    with pytest.raises(ValueError, match=re.escape(message)):
        PortfolioClassifier(**{"members": members, **params}).fit(*data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_weight": np.zeros(240)}, "sample_weight"),
        ({"sample_weight": -np.ones(240)}, "sample_weight"),
        ({"groups": np.zeros(3)}, "groups must be of shape (n_samples,) = (240,). Got (3,)."),
    ],
)
def test_wrong_weights_and_groups_are_refused(data, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PortfolioClassifier([("forest", forest())]).fit(*data, **arguments)


def test_lengths_that_differ_are_refused(data):
    X, Y = data
    with pytest.raises(ValueError, match=r"must have the same number of samples\. Got X with 10 "):
        PortfolioClassifier([("forest", forest())]).fit(X[:10], Y)


class Logits(Spy):
    def predict_proba(self, X):
        return super().predict_proba(X) + 5


def test_what_is_no_probability_is_named(data):
    Spy.fits = []
    with pytest.raises(ValueError, match=r"Member 'logits' .* must give probabilities in \[0, 1\]"):
        PortfolioClassifier([("logits", Logits())], cv=2).fit(*data)
