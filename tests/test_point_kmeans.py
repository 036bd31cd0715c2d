"""The point-based variant of STG-MTL, against a literal transcription."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline

from skgroup import GroupedMTLClassifier, MultiTaskNet, TaskGrouper
from skgroup.cluster import PointKMeans


@pytest.fixture
def maps():
    """Rows of 40 points; tasks 0 to 2 easy, 3 and 4 hard, task 5 half and half."""
    random = np.random.default_rng(0)
    level = np.array([[0.9] * 40, [0.9] * 40, [0.9] * 40, [0.2] * 40, [0.2] * 40, [0.9, 0.2] * 20])
    points = np.stack([level, np.full_like(level, 0.1)], axis=2)
    points += 0.02 * random.normal(size=points.shape)
    return points.reshape(6, -1)


def test_membership_is_the_share_of_a_task_in_each_cluster(maps):
    model = PointKMeans(2, random_state=0).fit(maps)
    reference = KMeans(2, n_init=10, random_state=1).fit(maps.reshape(-1, 2))
    order = np.argsort(reference.cluster_centers_[:, 0])
    expected = np.zeros((6, 2))
    for task, row in enumerate(maps):
        for start in range(0, len(row), 2):
            distances = [
                ((row[start : start + 2] - reference.cluster_centers_[j]) ** 2).sum() for j in order
            ]
            expected[task, int(np.argmin(distances))] += 1 / 40
    np.testing.assert_allclose(model.membership_, expected, atol=1e-12)
    np.testing.assert_allclose(model.cluster_centers_, reference.cluster_centers_[order])
    np.testing.assert_allclose(model.membership_[5], [0.5, 0.5])
    np.testing.assert_array_equal(model.labels_[:5], [1, 1, 1, 0, 0])
    np.testing.assert_allclose(model.transform(maps), model.membership_)


def test_permuting_tasks_permutes_memberships(maps):
    order = np.array([3, 5, 0, 2, 1, 4])
    model = PointKMeans(3, random_state=0)
    np.testing.assert_array_equal(
        clone(model).fit(maps[order]).membership_, model.fit(maps).membership_[order]
    )


def test_samples_that_no_task_trained_on_do_not_count(maps):
    padded = np.hstack([maps, np.zeros((6, 20))])
    np.testing.assert_allclose(
        PointKMeans(2, random_state=0).fit(padded).membership_,
        PointKMeans(2, random_state=0).fit(maps).membership_,
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"point_size": 3}, "The 'point_size' parameter of PointKMeans, 3, must divide"),
        ({"n_clusters": 1000}, "must be at most the number of points, 240. Got 1000"),
        ({"n_clusters": 0}, "The 'n_clusters' parameter of PointKMeans"),
    ],
)
def test_bad_input_is_told(maps, params, message):
    with pytest.raises(ValueError, match=message):
        PointKMeans(**params).fit(maps)


def test_it_groups_the_tasks_of_a_classifier():
    random = np.random.default_rng(0)
    X = random.normal(size=(120, 4)).astype(np.float32)
    Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.2, random.integers(0, 2, 120)])
    net = MultiTaskNet.stg_mtl(max_epochs=8, lr=0.01)
    clf = GroupedMTLClassifier(
        net, make_pipeline(TaskGrouper(net), PointKMeans(2)), random_state=0
    ).fit(X, Y)
    maps = clf.grouper_[0].data_map_
    points = maps.reshape(3, -1, 2)
    nearest = ((points[:, :, None] - clf.grouper_[1].cluster_centers_) ** 2).sum(3).argmin(2)
    expected = np.stack([(nearest == j).mean(axis=1) for j in range(2)], axis=1)
    np.testing.assert_allclose(clf.membership_, expected, atol=1e-9)


def test_rows_without_points_are_told_apart():
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 4)).astype(np.float32)
    Y = np.column_stack([X > 0, X[:, 0] > 0.2])  # five tasks: an even number of columns
    net = MultiTaskNet.stg_mtl(module__hidden_units=(4,), max_epochs=2)
    rows = TaskGrouper(net, output="isometric", random_state=0).fit_transform(X, Y)
    with pytest.warns(UserWarning, match="'isometric'.* hold no points: use output='raw'"):
        PointKMeans(2).fit(rows[:, : 2 * (rows.shape[1] // 2)])


@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 1e300), (np.float32, 1e30)])
def test_squares_that_overflow_are_refused(dtype, size):
    rows = np.abs(np.random.default_rng(0).normal(size=(6, 4)))
    fitted = PointKMeans(2, random_state=0).fit(rows)
    for method in (fitted.transform, fitted.fit):
        with pytest.raises(ValueError, match="X must hold numbers whose squares can be summed"):
            method((rows * size).astype(dtype))
