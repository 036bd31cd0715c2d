"""Candidates of `compare` as users write them: scikit-learn's own, on any table, with baselines."""

import numpy as np
import pandas as pd
import pytest
from comparing import Counted, compare_given, make_data
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skgroup import GroupedMTLClassifier, PortfolioClassifier, compare
from skgroup.comparison._candidates import Candidates
from skgroup.ensemble.table_learner import TableLearner, says_its_targets
from skgroup.metrics import MultiTaskShuffleSplit
from skgroup.tasks import check_tasks

SINGLE = "ignore:These tasks of Y have a single observed class"
ALONE = "One estimator a task, on the samples that have a label of it: "


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture
def table():
    """X, and tasks of all kinds, some of strings, labels missing, one of a single class."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(150, 5))
    Y = pd.DataFrame(
        {
            "churn": np.where(X[:, 0] > 0, "yes", "no"),
            "spend": 100 * X[:, 0] + 30 * rng.normal(size=150),
            "plan": np.array(["a", "b", "c"])[np.digitize(X[:, 1], [-0.5, 0.5])],
            "alive": np.ones(150, dtype=int),
        }
    )
    Y.loc[::7, "spend"] = np.nan
    Y.loc[1::9, "plan"] = None
    return X, Y


def named(candidates, X, Y, baselines=None):
    return Candidates.of(candidates, baselines, X, Y, check_tasks(Y))


# -- baselines ---------------------------------------------------------------------------------


def test_baselines_stand_beside_a_users_own_candidates(data, small_net):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    found = compare(X, Y, {"grouped": clf, "rf": RandomForestClassifier(5)}, seeds=1)
    assert found.candidates == ["MTL", "STL", "MTL ensemble, 3 nets", "grouped", "rf"]
    assert found.baselines == ["MTL", "STL", "MTL ensemble, 3 nets", "rf"]
    assert np.isfinite(found.values).all()
    assert found.lacking == []


@pytest.mark.usefixtures("few_trees")
def test_candidates_that_group_nothing_are_measured_by_the_baselines(data):
    compared = named({"lr": LogisticRegression(), "svc": LinearSVC()}, *data)
    assert list(compared.estimators) == ["MTL", "STL", "forest", "lr", "svc"]
    assert compared.baselines == ["MTL", "STL", "forest"]
    assert named({"lr": LogisticRegression()}, data[0], data[1][:, 0]).baselines == [
        "MTL",
        "forest",
    ]


def test_baselines_are_chosen_by_name_or_not_made(data, small_net):
    own = {"lr": LogisticRegression(), "nb": GaussianNB()}
    assert list(named(own, *data, "lr").estimators) == ["lr", "nb"]
    none = named(own, *data, [])
    assert list(none.estimators) == none.baselines == ["lr", "nb"]
    assert named(own, *data, ["STL"]).baselines == ["STL"]
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    assert named({"g": clf, **own}, *data, []).baselines == ["lr", "nb"]
    with pytest.raises(ValueError, match="'baselines' parameter of compare must not be empty"):
        named({"g": clf}, *data, [])
    assert list(named({"net": small_net, **own}, *data).estimators) == ["net", "lr", "nb"]


@pytest.mark.filterwarnings(SINGLE)
def test_the_forest_is_of_the_kinds_of_the_table_and_gets_what_the_nets_get(data, table, small_net):
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    forest = named({"g": make_pipeline(StandardScaler(), clf)}, *data).estimators["forest"]
    assert isinstance(forest[0], StandardScaler)
    assert isinstance(forest[-1].classes, RandomForestClassifier)
    assert forest[-1].regression is None
    forest = named({"nb": {"classes": GaussianNB(), "regression": Ridge()}}, *table)
    forest = forest.estimators["forest"]
    assert isinstance(forest.classes, RandomForestClassifier)
    assert isinstance(forest.regression, ExtraTreesRegressor)


def test_what_baselines_cannot_be_made_is_said(data, small_net):
    X, Y = data
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    images = np.zeros((len(X), 3, 8, 8), dtype=np.float32)
    compared = named({"g": clf}, images, Y)
    assert "forest" not in compared.estimators
    assert compared.said == ["No forest is made a baseline, as X does not hold vectors of numbers."]
    # A search groups, but what it would be without groups is not known.
    compared = named({"s": GridSearchCV(clf, {}), "lr": LogisticRegression()}, *data)
    assert compared.baselines == ["forest", "lr"]
    assert compared.said[0] == "No baseline of nets is made of “s”, a meta-estimator."

    words = pd.DataFrame({"word": np.array(["u", "v", "w"])[np.arange(len(X)) % 3], "x": X[:, 0]})
    compared = named({"nb": GaussianNB()}, words, Y)
    assert compared.baselines == ["nb"]
    assert compared.said[0] == "No baseline of nets is made that learns this X as it is."
    encoded = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    compared = named({"lr": make_pipeline(encoded, LogisticRegression())}, words, Y)
    assert compared.baselines == ["MTL", "STL", "forest"]
    assert all(len(compared.estimators[name]) == 2 for name in compared.baselines)


# -- any table ---------------------------------------------------------------------------------


def test_missing_labels_leave_an_estimator_a_task_and_the_table_says_so(data):
    X, Y = data[0], data[1].astype(float)
    Y[::3, 0] = np.nan
    candidates = {"tree": DecisionTreeClassifier(random_state=0), "nb": GaussianNB()}
    found = compare_given(X, Y, candidates, seeds=1)
    train, test = next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=0).split(X, Y))
    for t in range(4):
        seen, known = train[Y[train, t] == Y[train, t]], test[Y[test, t] == Y[test, t]]
        predicted = GaussianNB().fit(X[seen], Y[seen, t]).predict(X[known])
        assert found.values[1, 0, t] == pytest.approx(f1_score(Y[known, t], predicted))
    assert ALONE + "“tree”, “nb”." in str(found)
    whole = compare_given(X, data[1], candidates, seeds=1)
    assert ALONE + "“nb”." in str(whole)  # the tree learns all tasks at once
    assert whole.remarks == [ALONE + "“nb”."]


@pytest.mark.filterwarnings(SINGLE)
def test_tables_of_all_kinds_are_learned_by_a_classifier_and_a_regressor(table):
    X, Y = table
    pair = {"classes": LogisticRegression(), "regression": Ridge()}
    scoring = {"classes": "accuracy"}
    with pytest.warns(UserWarning, match="single observed class") as caught:
        found = compare_given(X, Y, {"linear": pair}, seeds=1, scoring=scoring)
    assert len(caught) == 1
    assert found.task_kinds == ["classes", "regression", "classes", "classes"]
    assert (found.values[0, 0] > 0.7).all()
    with pytest.raises(ValueError, match="by a dict of a classifier for 'classes' and a regressor"):
        compare_given(X, Y, {"lr": LogisticRegression()})
    classifier = LogisticRegression()
    for wrong, got in (
        ({"classes": classifier}, "'regression' it must have a regressor. Got None"),
        ({"regression": Ridge(), "classes": Ridge()}, "'classes' it must have a classifier. Got R"),
        ({"regression": classifier, "classes": classifier}, "must have a regressor. Got Logistic"),
    ):
        with pytest.raises(ValueError, match=f"Candidate 'lr' of compare cannot be.*{got}"):
            compare_given(X, Y, {"lr": wrong}, scoring=scoring)
    with pytest.raises(ValueError, match="dicts of a classifier for 'classes' and a regressor"):
        compare_given(X, Y, {"lr": {"binary": LogisticRegression()}})


@pytest.mark.filterwarnings(SINGLE)
def test_labels_come_back_as_they_were(table):
    X, Y = table
    learner = TableLearner(LogisticRegression(), Ridge()).fit(X, Y)
    predicted = pd.DataFrame(learner.predict(X), columns=Y.columns)
    assert set(predicted["churn"]) == {"yes", "no"}
    assert (predicted["alive"] == 1).all()
    by_hand = LogisticRegression().fit(X, Y["churn"] == "yes")
    assert ((predicted["churn"] == "yes") == by_hand.predict(X)).all()
    proba = learner.predict_proba(X)
    assert list(proba) == ["churn", "plan", "alive"]
    np.testing.assert_allclose(proba["churn"], by_hand.predict_proba(X), atol=1e-6)
    seen = Y["spend"].notna()
    by_hand = Ridge().fit(X[seen], Y["spend"][seen])
    np.testing.assert_allclose(predicted["spend"].astype(float), by_hand.predict(X))
    # That the first class is the positive one changes nothing that is predicted.
    flipped = Y["churn"].astype(pd.CategoricalDtype(["yes", "no"], ordered=True)).to_frame()
    learner = TableLearner(LogisticRegression()).fit(X, flipped)
    assert (learner.predict(X)[:, 0] == predicted["churn"]).all()
    yes = list(learner.classes_[0]).index("yes")
    p = learner.predict_proba(X)[:, 0]
    np.testing.assert_allclose(p if yes else 1 - p, proba["churn"][:, 1], atol=1e-5)


def test_sparse_inputs_and_missing_features_go_to_those_that_take_them(data):
    X, Y = data
    holes = np.where(X > 1.5, np.nan, X)
    found = compare_given(holes, Y, {"rf": RandomForestClassifier(5)}, seeds=1)
    assert np.isfinite(found.values).all()
    found = compare_given(sparse.csr_matrix(X), Y, {"svc": LinearSVC()}, seeds=1)
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize(
    ("X", "candidate", "scoring", "message"),
    [
        ("holes", LogisticRegression(), None, "takes X without missing values"),
        ("sparse", GaussianNB(), None, "GaussianNB takes dense X"),
        ("images", GaussianNB(), None, r"samples that are vectors. Got X of shape \(90, 5, 1\)"),
        ("a feature", LogisticRegression(), None, r"that are vectors. Got X of shape \(90,\)"),
        ("plain", LinearSVC(), "roc_auc", "no predict_proba, which the score ROC AUC needs"),
        ("plain", LogisticRegression(C=-1.0), None, "The 'C' parameter of LogisticRegression"),
        ("plain", make_pipeline(StandardScaler(), SVC(kernel="no")), None, "The 'kernel' param"),
        ("plain", GridSearchCV(SVC(C=-1.0), {}), None, "The 'C' parameter of SVC"),
        ("plain", RandomForestClassifier("many"), None, "The 'n_estimators' parameter"),
    ],
)
def test_candidates_that_cannot_learn_or_be_scored_are_refused_before_any_fit(
    data, X, candidate, scoring, message
):
    plain, Y = data
    X = {
        "plain": plain,
        "holes": np.where(plain > 1.5, np.nan, plain),
        "sparse": sparse.csr_matrix(plain),
        "images": plain[:, :, None],
        "a feature": plain[:, 0],
    }[X]
    first = Counted() if scoring is None else GaussianNB()
    Counted.fits = 0
    with pytest.raises(ValueError, match=f"Candidate 'a' of compare cannot be fitted.*{message}"):
        compare_given(X, Y, {"first": first, "a": candidate}, scoring=scoring)
    assert Counted.fits == 0


def test_estimators_that_say_nothing_of_their_targets_are_given_the_table(data):
    class Says(Counted):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.target_tags.multi_output = False
            return tags

    class Own(ClassifierMixin, BaseEstimator):
        pass

    assert not says_its_targets(Counted())
    assert not says_its_targets(Own())
    assert says_its_targets(Says())
    assert says_its_targets(make_pipeline(StandardScaler(), SVC()))
    assert not says_its_targets(GroupedMTLClassifier())
    Counted.fits = 0
    compare_given(*data, {"whole": Counted()}, seeds=1)
    assert Counted.fits == 1
    compare_given(*data, {"alone": Says()}, seeds=1)
    assert Counted.fits == 1 + 4


# -- thresholds --------------------------------------------------------------------------------


def test_tuned_thresholds_are_those_of_a_portfolio_of_the_candidate_alone(data, small_net):
    X, Y = data
    own = {"net": small_net, "nb": GaussianNB()}
    found = compare_given(X, Y, own, seeds=1, threshold="tuned")
    assert "tuned for every candidate alike, for F1 on held-out predictions." in found.remarks[-1]
    by_hand = {name: PortfolioClassifier([("candidate", e)], cv=3) for name, e in own.items()}
    np.testing.assert_array_equal(compare_given(X, Y, by_hand, seeds=1).values, found.values)
    assert found.kinds == ["MTL", "other"]
    plain = compare_given(X, Y, own, seeds=1)
    assert (plain.values != found.values).any()


def test_who_alone_does_not_weigh_rare_classes_is_named_where_decisions_are_scored(data, small_net):
    own = {"net": small_net, "nb": GaussianNB()}
    words = "Rare classes are weighed up (class_weight) by all but “nb”, which moves decisions: "
    words += "threshold='tuned' tunes all alike."
    assert words in compare_given(*data, own, seeds=1).remarks
    assert words not in compare_given(*data, own, seeds=1, scoring="roc_auc").remarks
    assert words not in compare_given(*data, own, seeds=1, threshold="tuned").remarks
    own["nb"] = LogisticRegression(class_weight="balanced")
    assert not any("hreshold" in remark for remark in compare_given(*data, own, seeds=1).remarks)


def test_a_portfolio_that_alone_tunes_its_thresholds_is_named(data):
    portfolio = PortfolioClassifier([("nb", GaussianNB())], cv=2)
    own = {"nb": GaussianNB(), "portfolio": portfolio}
    words = "Thresholds of their own have “portfolio” alone: threshold='tuned' tunes all alike."
    assert words in compare_given(*data, own, seeds=1).remarks
    assert words not in compare_given(*data, own, seeds=1, scoring="roc_auc").remarks
    found = compare_given(*data, own, seeds=1, threshold="tuned")
    assert words not in found.remarks


@pytest.mark.parametrize(
    ("params", "candidate", "message"),
    [
        ({"threshold": 0.3}, GaussianNB(), r"'threshold' parameter of compare must be one of \("),
        ({"threshold": "tuned", "scoring": "roc_auc"}, GaussianNB(), "none of Y is scored by its"),
        ({"threshold": "tuned"}, LinearSVC(), "'a' of compare cannot be fitted.*with predict_prob"),
    ],
)
def test_thresholds_that_cannot_be_tuned_are_refused_before_any_fit(
    data, params, candidate, message
):
    Counted.fits = 0
    with pytest.raises(ValueError, match=message):
        compare_given(*data, {"a": candidate, "b": Counted()}, **params)
    assert Counted.fits == 0
