"""Real data as tables of tasks."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skgroup.datasets import (
    fetch_celeba_tasks,
    fetch_census_income,
    fetch_cifar10_tasks,
    fetch_cifar100_tasks,
    load_digit_tasks,
    make_class_tasks,
)


@pytest.fixture
def images():
    """Twelve images of 3 classes, no two alike and none symmetric."""
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(12, 3, 8, 8), dtype=np.uint8), np.arange(12) % 3


def test_tasks_are_classes_unions_and_controls(images):
    X, y = images
    tasks = make_class_tasks(
        X, y, class_names=["cat", "dog", "car"], unions={"animal": {0, 1}}, random_state=3
    )
    assert tasks.task_names == ["cat", "dog", "car", "animal", "upside-down", "random"]
    assert tasks.target.shape == (12, 6)
    assert tasks.target.dtype == np.int64
    expected = np.column_stack([y == 0, y == 1, y == 2, y != 2])
    np.testing.assert_array_equal(tasks.target[:, :4], expected)
    assert set(np.unique(tasks.target)) == {0, 1}


def test_images_are_flipped_where_the_task_says_so(images):
    X, y = images
    before = X.copy()
    for original in (X, X[:, 0]):  # NCHW, and images without channels
        tasks = make_class_tasks(original, y)
        flipped = tasks.target[:, tasks.task_names.index("upside-down")].astype(bool)
        assert 0 < flipped.sum() < len(y)
        np.testing.assert_array_equal(tasks.images[~flipped], original[~flipped])
        np.testing.assert_array_equal(tasks.images[flipped], original[flipped][..., ::-1, :])
        assert tasks.images.dtype == np.uint8
    np.testing.assert_array_equal(X, before)


def test_controls_can_be_left_out(images):
    X, y = images
    tasks = make_class_tasks(X, y, upside_down=False, random=False)
    assert tasks.task_names == ["class 0", "class 1", "class 2"]
    np.testing.assert_array_equal(tasks.target, np.eye(3)[y])
    assert tasks.images is X


def test_leaving_out_one_control_does_not_change_the_other(images):
    X, y = images
    both = make_class_tasks(X, y, random_state=5)
    noise = make_class_tasks(X, y, upside_down=False, random_state=5)
    np.testing.assert_array_equal(both.target[:, -1], noise.target[:, -1])


def test_same_random_state_same_tasks(images):
    X, y = images
    first, again, other = (make_class_tasks(X, y, random_state=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.target, again.target)
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.target, other.target)


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_global_random_state_is_untouched():
    load_digit_tasks()


def test_digit_tasks_follow_from_the_digits():
    digits = load_digits()
    tasks = load_digit_tasks()
    assert tasks.task_names == [
        *(f"digit {k}" for k in range(10)),
        "less than 5",
        "5 or more",
        "odd",
        "upside-down",
        "random",
    ]
    y = digits.target
    np.testing.assert_array_equal(tasks.target[:, :10], np.eye(10)[y])
    np.testing.assert_array_equal(tasks.target[:, 10:13].T, [y < 5, y >= 5, y % 2])
    flipped = tasks.target[:, 13].astype(bool)
    assert 0.45 < flipped.mean() < 0.55
    expected = digits.images / 16
    expected[flipped] = expected[flipped, ::-1]
    np.testing.assert_array_equal(tasks.images, expected)
    np.testing.assert_array_equal(tasks.data, expected.reshape(1797, 64))
    assert tasks.data.min() == 0
    assert tasks.data.max() == 1
    assert 0.45 < tasks.target[:, 14].mean() < 0.55
    assert np.abs(np.corrcoef(tasks.target.T)[14, :14]).max() < 0.1


def test_digit_tasks_as_arrays_and_frame():
    tasks = load_digit_tasks(as_frame=True)
    X, Y = load_digit_tasks(return_X_y=True)
    _, frame = load_digit_tasks(return_X_y=True, as_frame=True)
    np.testing.assert_array_equal(tasks.data, X)
    np.testing.assert_array_equal(tasks.target, Y)
    assert frame.columns.tolist() == tasks.task_names
    np.testing.assert_array_equal(frame, Y)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1], {}, "images and labels must be of equal number. Got 3 and 2."),
        (
            [0, 1, 2],
            {"class_names": ["a", "b"]},
            "labels must be ints in the range [0, 2). Got 0 to 2.",
        ),
        ([-1, 0, 1], {}, "labels must be ints in the range [0, 2). Got -1 to 1."),
        (
            [0, 1, 2],
            {"unions": {"big": [2, 3]}},
            "The union 'big' must hold some, not all, of the classes 0 to 2. Got [2, 3].",
        ),
        (
            [0, 1, 2],
            {"unions": {"all": [2, 0, 1]}},
            "The union 'all' must hold some, not all, of the classes 0 to 2. Got [0, 1, 2].",
        ),
        (
            [0, 1, 2],
            {"unions": {"none": []}},
            "The union 'none' must hold some, not all, of the classes 0 to 2. Got [].",
        ),
    ],
)
def test_what_gives_no_tasks_is_said(labels, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_class_tasks(np.zeros((3, 8, 8)), labels, **options)


def test_flat_images_are_refused():
    """Turned upside down, rows would change places with other samples."""
    with pytest.raises(ValueError, match=r"images must be of shape.*Got \(3, 64\)"):
        make_class_tasks(np.zeros((3, 64)), [0, 1, 2])


@pytest.mark.parametrize("fetch", [fetch_cifar10_tasks, fetch_cifar100_tasks, fetch_celeba_tasks])
@pytest.mark.parametrize("n_samples", [0, 2.5, "10", True])
def test_numbers_of_samples_are_refused_before_any_file(fetch, n_samples, tmp_path):
    with pytest.raises((TypeError, ValueError), match="n_samples"):
        fetch(n_samples=n_samples, path=tmp_path / "none")


@pytest.mark.parametrize("name", ["download_if_missing", "return_X_y"])
@pytest.mark.parametrize(
    "fetch", [fetch_cifar10_tasks, fetch_cifar100_tasks, fetch_celeba_tasks, fetch_census_income]
)
def test_switches_of_fetchers_are_true_or_false(fetch, name, tmp_path):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {fetch.__name__} must be"):
        fetch(path=tmp_path / "none", **{name: "no"})
