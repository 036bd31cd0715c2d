"""Several numbers of clusters side by side."""

import pickle
import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import (
    DBSCAN,
    AgglomerativeClustering,
    FeatureAgglomeration,
    KMeans,
    SpectralClustering,
)
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.cluster import Clusterings, PointKMeans


@pytest.fixture
def rows():
    """Eight tasks in four pairs, with noise."""
    rng = np.random.RandomState(0)
    return np.repeat(3 * rng.normal(size=(4, 5)), 2, axis=0) + rng.normal(size=(8, 5))


@pytest.mark.usefixtures("assert_global_random_state_untouched")
@pytest.mark.parametrize("params", [{}, {"fuzziness": 1.3}, {"algorithm": "fuzzy", "n_init": 2}])
def test_memberships_are_those_of_each_clustering(rows, params):
    base = FuzzyKMeans(**params, random_state=0)
    given = rows.copy()
    fitted = Clusterings(base, n_clusters=[3, 2, 5]).fit(given)
    expected = [clone(base).set_params(n_clusters=k).fit(rows).membership_ for k in (3, 2, 5)]
    np.testing.assert_allclose(fitted.membership_, np.hstack(expected), rtol=1e-12)
    np.testing.assert_allclose(fitted.serving_weights_, fitted.membership_ / 3)
    np.testing.assert_allclose(fitted.serving_weights_.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.clustering_of_group_, [0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    assert [c.n_clusters for c in fitted.clusterers_] == [3, 2, 5]
    np.testing.assert_array_equal(given, rows)
    assert base.n_clusters == 3  # what is given is only cloned
    assert not hasattr(base, "membership_")


def test_by_default_two_to_four_fuzzy_clusters(rows):
    fitted = Clusterings().fit(rows)
    assert fitted.membership_.shape == (8, 9)
    assert [type(c) for c in fitted.clusterers_] == [FuzzyKMeans] * 3
    np.testing.assert_allclose(fitted.membership_.sum(axis=1), 3)


@pytest.mark.parametrize("numbers", [(2, 4), np.array([2, 4]), range(2, 5, 2)])
def test_any_sequence_holds_the_numbers(rows, numbers):
    fitted = Clusterings(FuzzyKMeans(random_state=0), numbers).fit(rows)
    expected = Clusterings(FuzzyKMeans(random_state=0), [2, 4]).fit(rows)
    np.testing.assert_array_equal(fitted.membership_, expected.membership_)


@pytest.mark.parametrize(
    "base", [KMeans(n_init=2, random_state=0), AgglomerativeClustering(linkage="average")]
)
def test_hard_clusterers_of_sklearn(rows, base):
    fitted = Clusterings(base, n_clusters=[2, 3]).fit(rows)
    blocks = np.split(fitted.membership_, [2], axis=1)
    for k, block, clusterer in zip((2, 3), blocks, fitted.clusterers_, strict=True):
        labels = clone(base).set_params(n_clusters=k).fit(rows).labels_
        np.testing.assert_array_equal(clusterer.labels_, labels)
        np.testing.assert_array_equal(block, np.eye(k)[labels])
    np.testing.assert_allclose(fitted.serving_weights_, fitted.membership_ / 2)


class Unscaled(BaseEstimator):
    """A clusterer whose memberships do not sum to 1."""

    def __init__(self, n_clusters=2):
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        self.membership_ = np.ones((len(X), self.n_clusters))
        self.membership_[0, 0] = 3
        return self


def test_each_clustering_counts_the_same(rows):
    fitted = Clusterings(Unscaled(), n_clusters=[1, 3]).fit(rows)
    np.testing.assert_allclose(fitted.membership_[0], [1, 0.6, 0.2, 0.2])
    np.testing.assert_allclose(fitted.membership_[1], [1, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(fitted.serving_weights_, fitted.membership_ / 2)


def test_transform_gives_memberships_of_new_rows(rows):
    fitted = Clusterings(FuzzyKMeans(random_state=0), n_clusters=[2, 3]).fit(rows)
    new = rows[:3] + 0.5
    expected = [FuzzyKMeans(k, random_state=0).fit(rows).transform(new) for k in (2, 3)]
    np.testing.assert_allclose(fitted.transform(new), np.hstack(expected))
    np.testing.assert_allclose(fitted.transform(rows), fitted.membership_, atol=1e-9)
    np.testing.assert_array_equal(clone(fitted).fit_transform(rows), fitted.membership_)


def test_transform_gives_memberships_where_clusters_are_hard(rows):
    fitted = Clusterings(KMeans(n_init=2, random_state=0), n_clusters=[2, 3]).fit(rows)
    np.testing.assert_array_equal(fitted.transform(rows), fitted.membership_)


def test_clone_pickle_and_refit(rows):
    clusterings = Clusterings(FuzzyKMeans(random_state=0), n_clusters=[2, 3])
    fitted = clone(clusterings).fit(rows)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.membership_, fitted.membership_)
    np.testing.assert_array_equal(loaded.transform(rows + 1), fitted.transform(rows + 1))
    assert not hasattr(clone(fitted), "membership_")
    fitted.set_params(n_clusters=[4], clusterer__fuzziness=1.5).fit(rows[1:])
    expected = FuzzyKMeans(4, fuzziness=1.5, random_state=0).fit(rows[1:])
    np.testing.assert_allclose(fitted.membership_, expected.membership_)
    np.testing.assert_array_equal(fitted.clustering_of_group_, [0, 0, 0, 0])


def test_lists_and_frames_and_the_number_of_features(rows):
    pd = pytest.importorskip("pandas")
    clusterings = Clusterings(FuzzyKMeans(random_state=0), n_clusters=[2, 3])
    expected = clone(clusterings).fit(rows).membership_
    np.testing.assert_array_equal(clone(clusterings).fit(rows.tolist()).membership_, expected)
    frame = pd.DataFrame(rows, columns=list("abcde"))
    np.testing.assert_array_equal(clusterings.fit(frame).membership_, expected)
    assert clusterings.n_features_in_ == 5


# -- bad input ---------------------------------------------------------------------------------

RULE = "The 'n_clusters' parameter of Clusterings must be "


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_clusters": []}, RULE + "a sequence of different ints >= 1. Got [] instead."),
        ({"n_clusters": [2, 2]}, RULE + "a sequence of different ints >= 1. Got [2, 2] instead."),
        ({"n_clusters": [0, 2]}, RULE + "a sequence of different ints >= 1. Got [0, 2] instead."),
        ({"n_clusters": [2, 2.5]}, RULE + "a sequence of different ints >= 1. Got [2, 2.5]"),
        ({"n_clusters": 3}, RULE + "an array-like. Got 3 instead."),
        ({"n_clusters": "several"}, RULE + "an array-like. Got 'several' instead."),
        ({"n_clusters": [2, 9]}, "n_samples=8 should be >= n_clusters=9"),
        ({"clusterer": "kmeans"}, "The 'clusterer' parameter of Clusterings must be"),
        ({"clusterer": DBSCAN()}, "must have a parameter n_clusters. Got DBSCAN() instead."),
        ({"clusterer": FuzzyKMeans(fuzziness=1.0)}, "The 'fuzziness' parameter of FuzzyKMeans"),
    ],
)
def test_bad_parameters_are_refused(rows, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Clusterings(**params).fit(rows)


def test_bad_rows_are_refused(rows):
    with pytest.raises(NotFittedError):
        Clusterings().transform(rows)
    fitted = Clusterings(n_clusters=[2]).fit(rows)
    with pytest.raises(ValueError, match="X has 4 features, but"):
        fitted.transform(rows[:, 1:])
    rows[2, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.fit(rows)
    assert fitted.membership_.shape == (len(rows), 2)  # of the fit before


@pytest.mark.parametrize("clusterer", [AgglomerativeClustering(), SpectralClustering()])
def test_no_transform_where_the_clusterer_knows_no_other_rows(rows, clusterer):
    clusterings = Clusterings(clusterer, n_clusters=[2])
    assert not hasattr(clusterings, "transform")
    membership = clusterings.fit_transform(rows)
    np.testing.assert_array_equal(membership, clusterings.membership_)
    assert not hasattr(clusterings, "transform")
    for other in (KMeans(), FuzzyKMeans(), PointKMeans(point_size=1)):
        assert hasattr(clone(clusterings).set_params(clusterer=other), "transform")


def test_labels_of_anything_but_rows_are_refused(rows):
    with pytest.raises(ValueError, match="must give each of the 8 rows a label"):
        Clusterings(FeatureAgglomeration(), n_clusters=[2]).fit(rows[:, :3])


# -- as a grouper ------------------------------------------------------------------------------


@pytest.fixture
def data(digits):
    """Six of the digits tasks."""
    X, Y = digits
    return X[:200], Y[:200][:, [0, 3, 10, 12, 13, 14]]


def test_soft_groups_of_several_numbers_serve_side_by_side(data, small_net):
    X, Y = data
    maps = TaskGrouper(small_net, output="isometric")
    grouper = make_pipeline(maps, Clusterings(FuzzyKMeans(), [2, 3]))
    clf = GroupedMTLClassifier(small_net, grouper, random_state=0).fit(X, Y)
    assert clf.membership_.shape == (6, 5)
    fitted = clf.grouper_[-1]
    np.testing.assert_array_equal(clf.membership_, fitted.membership_)
    np.testing.assert_allclose(clf.serving_weights_, fitted.serving_weights_)
    expected = np.zeros((200, 6))
    for j, (specialist, tasks) in enumerate(
        zip(clf.specialists_, clf.specialist_tasks_, strict=True)
    ):
        np.testing.assert_array_equal(tasks, np.flatnonzero(clf.membership_[:, j]))
        np.testing.assert_allclose(specialist.task_weight, clf.membership_[tasks, j])
        expected[:, tasks] += clf.membership_[tasks, j] / 2 * specialist.predict_proba(X)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)


def test_hard_groups_of_several_numbers(data, small_net):
    X, Y = data
    grouper = make_pipeline(
        TaskGrouper(small_net), Clusterings(KMeans(n_init=2), n_clusters=[2, 3])
    )
    clf = GroupedMTLClassifier(small_net, grouper, random_state=0).fit(X, Y)
    labels = [c.labels_ for c in clf.grouper_[-1].clusterers_]
    expected = np.hstack([np.eye(k)[of_k] for k, of_k in zip((2, 3), labels, strict=True)])
    np.testing.assert_array_equal(clf.membership_, expected)
    for j, tasks in enumerate(clf.specialist_tasks_):
        np.testing.assert_array_equal(tasks, np.flatnonzero(expected[:, j]))
    weights = clf.serving_weights_
    np.testing.assert_array_equal(weights > 0, expected > 0)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights, expected / 2)


def test_parameters_are_set_by_name(data, small_net):
    grouper = make_pipeline(TaskGrouper(small_net), Clusterings(FuzzyKMeans()))
    clf = GroupedMTLClassifier(small_net, grouper, random_state=0)
    clf.set_params(
        grouper__clusterings__n_clusters=[4, 5], grouper__clusterings__clusterer__fuzziness=1.2
    )
    clf.fit(*data)
    assert clf.membership_.shape == (6, 9)
    assert {c.fuzziness for c in clf.grouper_[-1].clusterers_} == {1.2}


class NoTraining(Callback):
    def on_train_begin(self, net, **kwargs):
        pytest.fail("training began before the input was checked")


@pytest.mark.parametrize(
    ("clusterings", "message"),
    [
        (
            Clusterings(n_clusters=[2, 7]),
            "The 'n_clusters' parameter of Clusterings must be at most the number of tasks, 6. "
            "Got 7 instead.",
        ),
        (Clusterings(n_clusters=[2, 2]), RULE + "a sequence of different ints >= 1."),
        (Clusterings(n_clusters=3), RULE + "an array-like. Got 3 instead."),
        (
            Clusterings(FuzzyKMeans(fuzziness=0.5)),
            "The 'fuzziness' parameter of FuzzyKMeans must be",
        ),
    ],
)
def test_bad_numbers_are_refused_before_training(data, clusterings, message):
    net = MultiTaskNet(callbacks=[NoTraining()])
    clf = GroupedMTLClassifier(net, make_pipeline(TaskGrouper(net), clusterings))
    with pytest.raises(ValueError, match=re.escape(message)):
        clf.fit(*data)


def test_grouping_pipeline_returns_named_memberships(data, small_net):
    pd = pytest.importorskip("pandas")
    X, Y = data
    grouping = make_pipeline(
        TaskGrouper(small_net, random_state=0),
        Clusterings(FuzzyKMeans(random_state=0), n_clusters=[2, 3]),
    )
    expected = grouping.fit_transform(X, Y)
    assert expected.shape == (6, 5)
    Y = pd.DataFrame(Y, columns=["zero", "three", "low", "odd", "upside-down", "random"])
    membership = clone(grouping).set_output(transform="pandas").fit_transform(X, Y)
    assert list(membership.index) == list(Y.columns)
    assert len(set(membership.columns)) == 5
    np.testing.assert_allclose(membership, expected)
