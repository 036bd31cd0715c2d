import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgroup.cluster import FuzzyKMeans
from skgroup.cluster.gram import (
    centered_gram,
    embed_gram,
    find_rows,
    lexicographic_rank,
    squared_distances,
)

ALGORITHMS = ["kmeans", "fuzzy"]
FUZZINESS = [1.05, 1.5, 2.0, 3.5]
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


@pytest.fixture(scope="module")
def iris():
    return load_iris().data


@pytest.fixture(scope="module")
def wide():
    """A handwritten digit a row, more pixels than rows."""
    return load_digits().data[:40] + 100.0


def memberships_by_loops(X, centers, fuzziness):
    """The formula of Sherif et al. (2024), term by term."""
    membership = np.empty((len(X), len(centers)))
    for i, x in enumerate(X):
        for j, c in enumerate(centers):
            power = 2 / (fuzziness - 1)
            ratios = [(np.linalg.norm(x - c) / np.linalg.norm(x - other)) for other in centers]
            membership[i, j] = 1 / sum(ratio**power for ratio in ratios)
    return membership


def c_means_by_loops(X, centers, fuzziness, n_iter):
    """Bezdek's alternation, term by term."""
    for _ in range(n_iter):
        u = memberships_by_loops(X, centers, fuzziness)
        centers = np.array(
            [
                sum(u[i, j] ** fuzziness * X[i] for i in range(len(X)))
                / sum(u[i, j] ** fuzziness for i in range(len(X)))
                for j in range(len(centers))
            ]
        )
    return centers


def bezdek_objective(X, centers, fuzziness, weights=1.0):
    u = memberships_by_loops(X, centers, fuzziness)
    return (weights * (u**fuzziness * cdist(X, centers) ** 2).sum(axis=1)).sum()


def draw_rows(X, n_clusters, random_state):
    return X[random_state.permutation(len(X))[:n_clusters]]


@parametrize_with_checks([FuzzyKMeans(algorithm=algorithm) for algorithm in ALGORITHMS])
def test_sklearn_checks(estimator, check):
    check(estimator)


@algorithms
@pytest.mark.parametrize("fuzziness", FUZZINESS)
@pytest.mark.parametrize("data", ["iris", "wide"])
def test_memberships_follow_the_formula(data, algorithm, fuzziness, request):
    X = request.getfixturevalue(data)
    fitted = FuzzyKMeans(
        4, fuzziness=fuzziness, algorithm=algorithm, n_init=2, tol=1e-2, random_state=0
    ).fit(X)
    expected = memberships_by_loops(X, fitted.cluster_centers_, fuzziness)
    on_center = np.isnan(expected).any(axis=1)
    assert_allclose(fitted.membership_[~on_center], expected[~on_center], atol=1e-9)
    assert_allclose(fitted.membership_.sum(axis=1), 1)
    assert_array_equal(fitted.labels_, fitted.membership_.argmax(axis=1))
    assert_array_equal(fitted.labels_, fitted.predict(X))
    assert_allclose(fitted.transform(X), fitted.membership_, atol=1e-9)
    assert fitted.membership_.shape == (len(X), 4)
    assert fitted.cluster_centers_.shape == (4, X.shape[1])


@pytest.mark.parametrize("data", ["iris", "wide"])
@pytest.mark.parametrize("max_iter", [1, 3, 300])
def test_kmeans_centers_are_those_of_sklearn(data, max_iter, request):
    X = request.getfixturevalue(data)
    init = X[[0, 5, 20, 30]] + 0.0123  # off the grid, so no distances tie
    ours = FuzzyKMeans(4, init=init, max_iter=max_iter).fit(X)
    theirs = KMeans(4, init=init, n_init=1, max_iter=max_iter).fit(X)
    assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, atol=1e-9)
    assert_array_equal(ours.labels_, theirs.labels_)
    assert_allclose(ours.inertia_, theirs.inertia_)
    assert ours.n_iter_ == theirs.n_iter_


@pytest.mark.parametrize("fuzziness", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("data", ["iris", "wide"])
def test_fuzzy_result_is_a_stationary_point_of_bezdeks_objective(data, fuzziness, request):
    X = request.getfixturevalue(data)
    fitted = FuzzyKMeans(3, fuzziness=fuzziness, algorithm="fuzzy", random_state=0).fit(X)
    centers = fitted.cluster_centers_
    best = bezdek_objective(X, centers, fuzziness)
    assert_allclose(fitted.inertia_, best)
    assert_allclose(c_means_by_loops(X, centers, fuzziness, 1), centers, rtol=1e-6)
    random = np.random.RandomState(0)
    for _ in range(10):
        step = 1e-3 * random.normal(size=centers.shape)
        assert bezdek_objective(X, centers + step, fuzziness) >= best * (1 - 1e-12)


@pytest.mark.parametrize("data", ["iris", "wide"])
def test_fuzzy_equals_a_literal_fuzzy_c_means(data, request):
    X = request.getfixturevalue(data)[:40]
    init = X[[0, 10, 20]] + 0.1
    with pytest.warns(ConvergenceWarning, match="not converged after max_iter=7 iterations"):
        fitted = FuzzyKMeans(3, algorithm="fuzzy", init=init, max_iter=7).fit(X)
    assert_allclose(fitted.cluster_centers_, c_means_by_loops(X, init, 2.0, 7), rtol=1e-8)


@algorithms
@pytest.mark.parametrize("fuzziness", FUZZINESS)
def test_wide_rows_give_what_narrow_ones_give(algorithm, fuzziness):
    """A rotation into more dimensions than rows changes no distance."""
    random = np.random.RandomState(0)
    narrow = random.normal(size=(30, 5))
    rotation = np.linalg.qr(random.normal(size=(200, 5)))[0].T
    init = random.normal(size=(3, 5))
    kwargs = {"fuzziness": fuzziness, "algorithm": algorithm, "max_iter": 1000}
    one = FuzzyKMeans(3, init=init, **kwargs).fit(narrow)
    other = FuzzyKMeans(3, init=init @ rotation, **kwargs).fit(narrow @ rotation)
    assert_allclose(one.membership_, other.membership_, atol=1e-9)
    assert_allclose(one.cluster_centers_ @ rotation, other.cluster_centers_, atol=1e-9)
    assert_allclose(one.inertia_, other.inertia_)


@algorithms
def test_embedding_gives_what_the_rows_give(algorithm, wide):
    points = embed_gram(centered_gram(wide))
    rows = [0, 5, 20, 30]
    raw, embedded = (
        FuzzyKMeans(4, algorithm=algorithm, init=R[rows], max_iter=1000).fit(R)
        for R in (wide, points)
    )
    assert_allclose(raw.membership_, embedded.membership_, atol=1e-6)


def test_float32_keeps_its_type_and_the_precision_of_memberships(wide):
    double = FuzzyKMeans(4, random_state=0).fit(wide)
    single = FuzzyKMeans(4, random_state=0).fit(wide.astype(np.float32))
    assert single.cluster_centers_.dtype == np.float32
    assert single.membership_.dtype == np.float64
    assert_allclose(single.membership_, double.membership_, atol=1e-6)
    assert_allclose(single.transform(wide), double.membership_, atol=1e-6)


@pytest.mark.parametrize("fuzziness", [1.05, 2.0])
@pytest.mark.parametrize("values", ["tight", "binary", "constant"])
def test_float32_is_as_precise_for_tight_far_and_structured_rows(values, fuzziness):
    """Roundings that all go the same way add up in float32."""
    random = np.random.RandomState(0)
    X = random.rand(5, 20000)[np.arange(40) % 5]
    noise = random.rand(*X.shape)
    if values == "tight":
        X = 100 + X + 1e-3 * noise
    elif values == "binary":
        X = noise < random.rand(40, 1)
    else:
        X = random.rand(40, 1) + 0 * X
    X = X.astype(np.float32)
    single, double = (
        FuzzyKMeans(5, fuzziness=fuzziness, init=R[:5]).fit(R) for R in (X, X.astype(float))
    )
    with np.errstate(all="ignore"):
        expected = memberships_by_loops(X.astype(float), double.cluster_centers_, fuzziness)
    on_center = np.isnan(expected).any(axis=1)
    assert_allclose(double.membership_[~on_center], expected[~on_center], atol=1e-6)
    assert_allclose(single.membership_, double.membership_, atol=1e-6)


@algorithms
def test_centers_of_very_wide_rows_wait_until_asked_for(algorithm, wide, monkeypatch):
    for scale in (1.0, 1e150):
        eager = FuzzyKMeans(3, algorithm=algorithm, random_state=0).fit(wide * scale)
        monkeypatch.setattr("skgroup.cluster._fuzzy_kmeans._EAGER", 10)
        lazy = clone(eager).fit(wide * scale)
        again = clone(eager).fit(wide[:, :50]).fit(wide * scale)
        monkeypatch.undo()
        assert "cluster_centers_" not in vars(lazy)
        assert_allclose(lazy.membership_, eager.membership_, atol=1e-12)
        copied = pickle.loads(pickle.dumps(lazy))
        assert not any("mixture" in name for name in vars(copied))
        for fitted in (copied, lazy, again):
            assert_allclose(fitted.cluster_centers_, eager.cluster_centers_)
            assert_allclose(fitted.predict(wide * scale), eager.labels_)
    assert not hasattr(FuzzyKMeans(), "cluster_centers_")


def test_first_centers_that_are_rows_and_others_mix(wide):
    init = wide[[0, 5, 20]] + [[0], [0.25], [0]]
    assert find_rows(wide, init) == [0, None, 20]
    ours, theirs = FuzzyKMeans(3, init=init).fit(wide), KMeans(3, init=init, n_init=1).fit(wide)
    assert_allclose(ours.cluster_centers_, theirs.cluster_centers_)


@algorithms
@pytest.mark.parametrize("data", ["iris", "wide"])
def test_permuting_rows_permutes_memberships(data, algorithm, request):
    X = request.getfixturevalue(data)
    order = np.random.RandomState(1).permutation(len(X))
    grouper = FuzzyKMeans(3, algorithm=algorithm, random_state=0)
    assert_allclose(
        clone(grouper).fit(X[order]).membership_, grouper.fit(X).membership_[order], atol=1e-8
    )


@algorithms
@pytest.mark.parametrize("data", ["iris", "wide"])
def test_weights_equal_repetition(data, algorithm, request):
    X = request.getfixturevalue(data)
    weights = np.random.RandomState(0).randint(0, 4, size=len(X))
    grouper = FuzzyKMeans(3, algorithm=algorithm, random_state=0)
    weighted = clone(grouper).fit(X, sample_weight=weights)
    repeated = grouper.fit(np.repeat(X, weights, axis=0))
    assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-6)
    assert_allclose(weighted.membership_, repeated.transform(X), atol=1e-6)
    assert_allclose(weighted.inertia_, repeated.inertia_)


@algorithms
@pytest.mark.parametrize("fuzziness", [np.nextafter(1, 2), 1.0001, 1e6, 1e300])
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("data", ["iris", "wide"])
def test_extreme_fuzziness_and_scale(data, scale, fuzziness, algorithm, request):
    X = request.getfixturevalue(data)[:40]
    init = X[[0, 10, 20]] + 0.0123
    kwargs = {"fuzziness": fuzziness, "algorithm": algorithm}
    plain = FuzzyKMeans(3, init=init, **kwargs).fit(X)
    scaled = FuzzyKMeans(3, init=init * scale, **kwargs).fit(X * scale)
    assert np.isfinite(scaled.membership_).all()
    assert_allclose(scaled.membership_, plain.membership_, atol=1e-6)
    assert_allclose(scaled.transform(X * scale), plain.membership_, atol=1e-6)
    assert_allclose(scaled.membership_.sum(axis=1), 1)
    hard = fuzziness < 2
    assert_allclose(scaled.membership_.max(axis=1), 1 if hard else 1 / 3, atol=1e-4)


@pytest.mark.parametrize("fuzziness", [1.0001, 2.0, 1e6])
@pytest.mark.parametrize("n_columns", [2, 500])
def test_rows_on_centers_share_their_membership(n_columns, fuzziness):
    far = np.eye(6, n_columns)
    X = np.r_[far, far[:1], [far[0] + 1e-9]] * 3.1 + 7.7
    fitted = FuzzyKMeans(3, fuzziness=fuzziness, init=X[[1, 3, 4]], max_iter=1).fit(X)
    fitted.cluster_centers_ = X[[0, 0, 1]]
    expected = [[0.5, 0.5, 0], [0, 0, 1], [0.5, 0.5, 0]]
    assert_array_equal(fitted.transform(X[[0, 1, 6]]), expected)
    close = fitted.transform(X[[7]])[0]
    assert close[2] > 0 or fuzziness < 2, "a row near a centre is not on it"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_columns", [1, 3000])
def test_singleton_cluster_is_its_row(n_columns, dtype):
    random = np.random.RandomState(0)
    X = random.normal(size=(30, n_columns)) + 5
    X[[7, 9, 21]] = X[7] - 1000
    X = X.astype(dtype)
    for algorithm in ALGORITHMS:
        fitted = FuzzyKMeans(2, fuzziness=1.1, algorithm=algorithm, random_state=0).fit(X)
        assert_array_equal(fitted.membership_[7], fitted.membership_[9])
        assert_array_equal(fitted.membership_[7], fitted.membership_[21])
    fitted = FuzzyKMeans(2, fuzziness=1e6, random_state=0).fit(X)
    assert_array_equal(np.sort(fitted.membership_[7]), [0, 1])
    assert_array_equal(fitted.transform(X)[[7, 9]], fitted.membership_[[7, 9]])


@algorithms
@pytest.mark.parametrize("n_columns", [2, 50])
def test_identical_rows_belong_to_all_clusters_alike(n_columns, algorithm):
    X = np.full((5, n_columns), 0.1)
    with pytest.warns(ConvergenceWarning, match=r"Number of distinct clusters \(1\)"):
        fitted = FuzzyKMeans(3, algorithm=algorithm, random_state=0).fit(X)
    assert_allclose(fitted.membership_, 1 / 3)
    assert_allclose(fitted.cluster_centers_, 0.1)
    assert fitted.inertia_ == 0


@algorithms
@pytest.mark.parametrize("init", ["k-means++", "random", "array", "callable"])
def test_deterministic_and_changes_nothing_outside(algorithm, init, wide):
    init = {"array": wide[:3].tolist(), "callable": draw_rows}.get(init, init)
    grouper = FuzzyKMeans(3, algorithm=algorithm, init=init, random_state=3)
    before, state = wide.copy(), np.random.get_state()[1].copy()
    one, two = grouper.fit_transform(wide, np.zeros(2)), clone(grouper).fit_transform(wide)
    three = clone(grouper).set_params(random_state=np.random.RandomState(3)).fit_transform(wide)
    clone(grouper).set_params(random_state=None).fit(wide)
    assert_array_equal(one, two)
    assert_array_equal(one, three)
    assert_array_equal(one, pickle.loads(pickle.dumps(clone(grouper).fit(wide))).membership_)
    assert_array_equal(before, wide)
    assert_array_equal(state, np.random.get_state()[1])


def test_pandas_output_keeps_the_index(wide):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(wide[:, :6], index=[f"task {i}" for i in range(len(wide))]).add_prefix("c")
    grouping = make_pipeline(StandardScaler(), FuzzyKMeans(2, random_state=0))
    grouping.set_output(transform="pandas")
    for membership in (grouping.fit_transform(frame), grouping.transform(frame)):
        assert list(membership.columns) == ["fuzzykmeans0", "fuzzykmeans1"]
        assert membership.index.equals(frame.index)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fuzziness": 1.0}, r"must be a float in the range \(1.0, inf\). Got 1.0 instead"),
        ({"fuzziness": np.inf}, r"must be a float in the range \(1.0, inf\). Got inf instead"),
        ({"n_clusters": 0}, r"'n_clusters' .* must be an int in the range \[1, inf\). Got 0"),
        ({"n_clusters": 8}, "n_samples=7 should be >= n_clusters=8."),
        ({"algorithm": "soft"}, "'algorithm' parameter of FuzzyKMeans must be a str among"),
        ({"n_init": 0}, r"'n_init' .* must be an int in the range \[1, inf\). Got 0"),
        ({"tol": -1.0}, r"'tol' .* must be a float in the range \[0.0, inf\). Got -1.0"),
        ({"init": "first"}, "'init' parameter of FuzzyKMeans must be"),
        ({"init": np.zeros((3, 4))}, r"\(n_clusters, n_features\)=\(3, 5\). Got \(3, 4\) instead"),
        ({"init": np.zeros((2, 5))}, r"\(n_clusters, n_features\)=\(3, 5\). Got \(2, 5\) instead"),
        ({"init": np.full((3, 5), np.nan)}, "Input init contains NaN"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        FuzzyKMeans(**params).fit(np.arange(35.0).reshape(7, 5) ** 2)


def test_wrong_data_are_named():
    X = np.arange(35.0).reshape(7, 5) ** 2
    for R in (X, X.T, X.astype(np.float32), X.T.astype(np.float32)):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            FuzzyKMeans().fit(np.where(R == 4, np.float32("nan"), R))
        with pytest.raises(ValueError, match="Input X contains infinity"):
            FuzzyKMeans().fit(np.where(R == 4, np.float32("inf"), R))
    with pytest.raises(ValueError, match=r"(?i)sample.weight.* at least one (positive|non-zero)"):
        FuzzyKMeans().fit(X, sample_weight=np.zeros(7))
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        FuzzyKMeans().fit(X, sample_weight=-np.ones(7))
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        FuzzyKMeans().predict(X)
    with pytest.raises(ValueError, match="X has 4 features, but FuzzyKMeans is expecting 5"):
        FuzzyKMeans().fit(X).transform(X[:, :4])


def test_gram_blocks_add_up_and_embedding_keeps_distances(wide, monkeypatch):
    gram = centered_gram(wide)
    assert_allclose(centered_gram(wide[:, :20]) + centered_gram(wide[:, 20:]), gram, atol=1e-8)
    assert_allclose(centered_gram(wide[:30], *wide[30:]), gram, atol=1e-8)
    monkeypatch.setattr("skgroup.cluster.gram._BLOCK", 130)
    assert_allclose(centered_gram(np.asfortranarray(wide)), gram, atol=1e-8)
    points = embed_gram(gram)
    assert points.shape[1] < len(wide)
    assert_allclose(cdist(points, points), cdist(wide, wide), atol=1e-6)
    order = np.random.RandomState(0).permutation(len(wide))
    assert_allclose(embed_gram(centered_gram(wide[order])), points[order], atol=1e-6)


@pytest.mark.parametrize("offset", [0, 1e6])
def test_squared_distances_survive_an_offset(offset, monkeypatch):
    monkeypatch.setattr("skgroup.cluster.gram._BLOCK", 1000)
    random = np.random.RandomState(0)
    X, C = random.normal(size=(1100, 7)) + offset, random.normal(size=(3, 7)) + offset
    X[5] = C[1]
    X[6] = C[1] + 1e-6
    expected = cdist(X, C, "sqeuclidean")
    assert_allclose(squared_distances(X, C), expected, rtol=1e-9)
    assert expected[5, 1] == 0 < expected[6, 1]


def test_rank_is_that_of_sorted_distinct_rows():
    X = np.random.RandomState(0).randint(0, 2, size=(50, 6)) - 0.0
    assert_array_equal(lexicographic_rank(X), np.unique(X, axis=0, return_inverse=True)[1].ravel())


# -- odd input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ([["a"] * 3] * 4, "X is refused: could not convert string to float: 'a'"),
        (np.ones((4, 3)) * 1j, "X is refused: Complex data not supported"),
        (None, "X is refused: Expected 2D array"),
        ({1, 2}, "X is refused: "),
        (np.full((4, 3), "2020-01-01", dtype="M8[s]"), "X must hold numbers. Got dates or times"),
        (pd.DataFrame({"a": pd.to_datetime(["2020-01-01"] * 4)}), "X must hold numbers. Got dates"),
        (np.ma.masked_less(np.eye(4, 3), 0.5), "X must have no masked entry"),
    ],
)
def test_a_refusal_names_X(odd, message):
    fitted = FuzzyKMeans(2).fit(np.arange(12.0).reshape(4, 3))
    for method in (fitted.transform, fitted.predict, fitted.fit):
        with pytest.raises((ValueError, TypeError), match=message):
            method(odd)


@pytest.mark.parametrize("weight", [["a"] * 4, np.ones(4) * 1j, np.ones((4, 1)), {1}])
def test_a_refusal_names_sample_weight(weight):
    with pytest.raises((ValueError, TypeError), match="sample_weight"):
        FuzzyKMeans(2).fit(np.arange(12.0).reshape(4, 3), sample_weight=weight)


@pytest.mark.parametrize("centers", [[["abc"] * 3] * 2, None, {1}, [[1], [1, 2]], np.ones(3)])
def test_a_refusal_names_init(centers):
    with pytest.raises((ValueError, TypeError), match="init"):
        FuzzyKMeans(2, init=lambda X, n_clusters, random_state: centers).fit(np.eye(4, 3))


@pytest.mark.parametrize("algorithm", ["kmeans", "fuzzy"])
@pytest.mark.parametrize("size", [1e308, 1e-320])
def test_only_ratios_of_weights_matter_however_large(algorithm, size):
    R = np.random.default_rng(0).normal(size=(6, 5))
    clusters = FuzzyKMeans(2, init=R[:2], algorithm=algorithm)
    expected = clusters.fit(R).membership_
    actual = clusters.fit(R, sample_weight=np.full(6, size)).membership_
    np.testing.assert_allclose(actual, expected, atol=1e-6)
