"""Parameters of fits in `compare`."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from comparing import Counted, compare_given, make_data
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, get_scorer, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skgroup import GroupedMTLClassifier, compare
from skgroup.comparison._candidates import seeded
from skgroup.ensemble import PortfolioClassifier
from skgroup.metrics import MultiTaskShuffleSplit

X, Y = make_data()
WEIGHT = np.random.default_rng(1).exponential(size=120) ** 2
TREE = DecisionTreeClassifier(max_depth=2)
SPLITS = [
    next(MultiTaskShuffleSplit(1, test_size=0.25, random_state=z).split(X, Y)) for z in range(2)
]


@pytest.fixture(autouse=True)
def _no_fits():
    Counted.fits = 0


class Given(Counted):
    """Keeps what its fits are given."""

    given = ()

    def fit(self, X, y, sample_weight=None, extra=None, **more):
        Given.given = (*Given.given, {"sample_weight": sample_weight, "extra": extra, **more})
        return super().fit(X, y)


def f1_by_hand(candidate, keyword, weight=WEIGHT):
    """Scores (n_splits, n_tasks) of fits with the weights of their samples."""
    values = []
    for seed, (train, test) in enumerate(SPLITS):
        fitted = seeded(candidate, seed).fit(X[train], Y[train], **{keyword: weight[train]})
        predicted = fitted.predict(X[test])
        values.append([f1_score(Y[test, t], predicted[:, t], zero_division=0) for t in range(4)])
    return values


def test_every_candidate_gets_the_weights_of_its_samples(small_net):
    regression = MultiOutputClassifier(LogisticRegression(C=0.1))
    scaled = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), regression))
    last = "pipeline__multioutputclassifier__sample_weight"
    candidates = {
        "tree": (TREE, "sample_weight"),
        "steps": (scaled, last),
        "search": (GridSearchCV(scaled, {}, cv=2, scoring="accuracy"), last),
        "net": (small_net, "sample_weight"),
        "grouped": (GroupedMTLClassifier(small_net, n_groups=2), "sample_weight"),
    }
    estimators = {name: candidate for name, (candidate, _) in candidates.items()}
    found = compare_given(X, Y, estimators, seeds=2, params={"sample_weight": WEIGHT})
    for i, (candidate, keyword) in enumerate(candidates.values()):
        np.testing.assert_allclose(found.values[i], f1_by_hand(candidate, keyword))
    without = compare_given(X, Y, estimators, seeds=2, params={"sample_weight": None})
    assert (found.values != without.values).any(axis=(1, 2)).all()
    listed = compare_given(X, Y, {"tree": TREE}, seeds=2, params={"sample_weight": WEIGHT.tolist()})
    np.testing.assert_array_equal(listed.values[0], found.values[0])


def test_what_is_not_of_samples_is_handed_on_whole():
    frame = np.arange(240.0).reshape(120, 2)
    params = {"extra": frame, "names": ["a", "b"], "level": 3, "word": "x" * 120}
    compare_given(X, Y, {"a": Given()}, seeds=1, params=params)
    (given,) = Given.given
    np.testing.assert_array_equal(given["extra"], frame[SPLITS[0][0]])
    assert (given["names"], given["level"], given["word"]) == (["a", "b"], 3, "x" * 120)
    assert given["sample_weight"] is None
    Given.given = ()
    steps = make_pipeline(StandardScaler(), Given())
    compare_given(X, Y, {"a": steps}, seeds=1, params={"given__extra": WEIGHT})
    np.testing.assert_array_equal(Given.given[0]["extra"], WEIGHT[SPLITS[0][0]])
    Given.given = ()


def test_the_baselines_that_are_made_get_the_weights_too(small_net):
    clf = GroupedMTLClassifier(small_net, n_groups=2)
    weight = np.where(np.arange(120) < 60, 1.0, 0.0)
    found = compare(X, Y, clf, seeds=1, params={"sample_weight": weight})
    without = compare(X, Y, clf, seeds=1)
    assert not found.errors
    assert (found.values != without.values).any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("candidate", "params", "message"),
    [
        (KNeighborsClassifier(), {"sample_weight": WEIGHT}, "'sample_weight', which candidate 'b'"),
        (
            make_pipeline(StandardScaler(), KNeighborsClassifier()),
            {"sample_weight": WEIGHT},
            "'sample_weight', which candidate 'b' does not take",
        ),
        (
            MultiOutputClassifier(KNeighborsClassifier()),
            {"sample_weight": WEIGHT},
            "'sample_weight', which candidate 'b' does not take",
        ),
        (TREE, {"nonsense": 1}, "Got 'nonsense', which candidate 'b' does not take"),
        (TREE, {"given__extra": 1}, "Got 'given__extra', which candidate 'b' does not take"),
        (TREE, {"sample_weight": WEIGHT[1:]}, r"each of the 120 samples.*Got \(119,\) for a shape"),
        (TREE, {"sample_weight": 2.0}, "hold a weight for each of the 120 samples"),
        (TREE, [("sample_weight", WEIGHT)], "be a dict of names to values, or None"),
        (TREE, {1: WEIGHT}, "be a dict of names to values, or None"),
        (TREE, {"X": X}, "not hold what compare gives a fit. Got 'X'"),
    ],
)
def test_what_a_candidate_cannot_take_is_refused_before_any_training(candidate, params, message):
    with pytest.raises(ValueError, match="The 'params' parameter of compare must.*" + message):
        compare_given(X, Y, {"a": Given(), "b": candidate}, params=params)
    assert Counted.fits == 0


def test_a_weight_a_label_reaches_every_candidate_by_the_names_of_tasks(small_net):
    weight = WEIGHT[:, None] * [1, 2, 0.5, 1] + np.arange(4)
    weight[:30, 1] = 0  # as good as missing
    names = list("abcd")
    turned = pd.DataFrame(weight, columns=names)[names[::-1]]
    tree = DecisionTreeClassifier(min_samples_leaf=5, random_state=0)
    candidates = {"net": small_net, "tree": tree}
    params = {"sample_weight": turned}
    found = compare_given(X, pd.DataFrame(Y, columns=names), candidates, seeds=2, params=params)
    assert not found.errors
    np.testing.assert_allclose(found.values[0], f1_by_hand(small_net, "sample_weight", weight))
    for s, (train, test) in enumerate(SPLITS):
        for t in range(4):
            rows = train[weight[train, t] > 0]
            fitted = seeded(tree, s).fit(X[rows], Y[rows, t], sample_weight=weight[rows, t])
            score = f1_score(Y[test, t], fitted.predict(X[test]))
            assert found.values[1, s, t] == pytest.approx(score)


def test_a_classifier_and_a_regressor_get_the_weights_by_names_of_their_own():
    numbers = np.column_stack([Y[:, :2], X[:, 3] + 0.1])
    pair = {
        "classes": make_pipeline(StandardScaler(), LogisticRegression()),
        "regression": make_pipeline(StandardScaler(), Ridge()),
    }
    found = compare_given(X, numbers, {"pair": pair}, seeds=1, params={"sample_weight": WEIGHT})
    without = compare_given(X, numbers, {"pair": pair}, seeds=1)
    assert (found.values != without.values).any(axis=1)[0][[0, 2]].all()
    pair["regression"] = KNeighborsRegressor()
    with pytest.raises(ValueError, match=r"'pair' does not take: \{'classes': Pipeline"):
        compare_given(X, numbers, {"pair": pair}, params={"sample_weight": WEIGHT})


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-WEIGHT, "Negative values in data passed to `sample_weight`"),
        (WEIGHT * np.nan, "Input sample_weight contains NaN"),
        (0 * WEIGHT, "at least one non-zero number"),
        (["heavy"] * 120, "sample_weight is refused: could not convert"),
    ],
)
def test_what_is_no_weight_is_refused_before_any_training(weight, message):
    with pytest.raises(ValueError, match=f"The 'params' parameter of compare.*{message}"):
        compare_given(X, Y, {"a": Given(), "tree": TREE}, params={"sample_weight": weight})
    assert Counted.fits == 0


def test_other_parameters_are_other_fits_of_a_file(tmp_path):
    def fits(params):
        Counted.fits = 0
        compare_given(X, Y, {"a": Given()}, seeds=2, params=params, results=tmp_path / "fits")
        return Counted.fits

    weighted = {"sample_weight": WEIGHT}
    assert [fits(None), fits({}), fits(weighted), fits(weighted)] == [2, 0, 2, 0]
    assert fits({"sample_weight": WEIGHT + 1e-9}) == fits({"extra": WEIGHT}) == 2


@sklearn.config_context(enable_metadata_routing=True)
def test_metadata_go_where_they_are_requested(tmp_path):
    weighted = DecisionTreeClassifier(max_depth=2).set_fit_request(sample_weight=True)
    params = {"sample_weight": WEIGHT}
    candidates = {"with": weighted, "without": KNeighborsClassifier()}
    found = compare_given(X, Y, candidates, seeds=2, params=params)
    np.testing.assert_allclose(found.values[0], f1_by_hand(TREE, "sample_weight"))
    alone = compare_given(X, Y, {"without": KNeighborsClassifier()}, seeds=2)
    np.testing.assert_array_equal(found.values[1], alone.values[0])
    other = DecisionTreeClassifier(max_depth=2).set_fit_request(sample_weight=False)
    path = tmp_path / "fits"
    both = compare_given(X, Y, {"a": other, "b": weighted}, seeds=2, params=params, results=path)
    plain = compare_given(X, Y, {"a": other}, seeds=2)
    np.testing.assert_array_equal(both.values[0], plain.values[0])
    turned = compare_given(X, Y, {"a": weighted, "b": other}, seeds=2, params=params, results=path)
    assert (turned.values != both.values).any(axis=(1, 2)).all()
    with pytest.raises(ValueError, match=r"'params' .* be routed.*\[sample_weight\] are passed"):
        compare_given(X, Y, {"a": weighted, "b": DecisionTreeClassifier()}, params=params)
    with pytest.raises(TypeError, match=r"'params' .* be routed.*unexpected argument"):
        compare_given(X, Y, {"a": KNeighborsClassifier()}, params={"nonsense": WEIGHT})


@sklearn.config_context(enable_metadata_routing=True)
def test_scorers_get_the_weights_that_they_request():
    tree = DecisionTreeClassifier(max_depth=2).set_fit_request(sample_weight="weight")
    scoring = {
        "weighted": make_scorer(accuracy_score).set_score_request(sample_weight="weight"),
        "plain": get_scorer("accuracy").set_score_request(sample_weight=False),
    }
    found = compare_given(X, Y, {"a": tree}, seeds=2, scoring=scoring, params={"weight": WEIGHT})
    for s, (train, test) in enumerate(SPLITS):
        fitted = seeded(TREE, s).fit(X[train], Y[train], sample_weight=WEIGHT[train])
        right = fitted.predict(X[test]) == Y[test]
        np.testing.assert_allclose(
            found.values[0, s], np.average(right, axis=0, weights=WEIGHT[test])
        )
        np.testing.assert_allclose(found.by_scoring("plain").values[0, s], right.mean(axis=0))


def test_a_portfolio_is_told_the_groups_of_its_own_splits():
    groups = np.repeat(np.arange(8), 15)
    members = [("given", TREE)]
    clf = PortfolioClassifier(members, cv=2)
    seen = compare_given(X, Y, {"p": clf}, seeds=1, groups=groups, params={"groups": groups})
    assert not seen.errors
    without = compare_given(X, Y, {"p": clf}, seeds=1, groups=groups)
    assert (seen.values != without.values).any()
