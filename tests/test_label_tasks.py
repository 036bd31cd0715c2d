"""Tasks from anyone's class labels."""

import re
import sys

import numpy as np
import pytest

from skgroup import MultiTaskNet
from skgroup.datasets import make_class_tasks, make_label_tasks

ANIMALS = ["cat", "car", "dog", "cat", "ship", "dog"]


def columns(tasks):
    return dict(zip(tasks.task_names, tasks.target.T.tolist(), strict=True))


def test_every_kind_of_task_in_its_order():
    tasks = make_label_tasks(
        ANIMALS,
        unions={"animal": ["cat", "dog"]},
        parity=True,
        extra={"late": [False, False, False, True, True, True]},
        complements={"thing": "animal", "early": "late", "no ship": "ship"},
        n_random=2,
    )
    found = columns(tasks)
    noise = [found.pop("random 0"), found.pop("random 1")]
    assert found == {
        "car": [0, 1, 0, 0, 0, 0],
        "cat": [1, 0, 0, 1, 0, 0],
        "dog": [0, 0, 1, 0, 0, 1],
        "ship": [0, 0, 0, 0, 1, 0],
        "animal": [1, 0, 1, 1, 0, 1],
        "odd-numbered": [1, 0, 0, 1, 1, 0],
        "late": [0, 0, 0, 1, 1, 1],
        "thing": [0, 1, 0, 0, 1, 0],
        "early": [1, 1, 1, 0, 0, 0],
        "no ship": [1, 1, 1, 1, 0, 1],
    }
    assert list(found) == tasks.task_names[:-2]
    assert noise[0] != noise[1]
    assert tasks.target.dtype == np.int64
    assert set(np.unique(tasks.target)) == {0, 1}


def test_one_vs_rest_alone():
    tasks = make_label_tasks([7, 3, 7, 5])
    assert tasks.task_names == ["class 3", "class 5", "class 7"]
    np.testing.assert_array_equal(tasks.target, [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_classes_give_order_and_what_does_not_occur():
    tasks = make_label_tasks(
        [20, 10, 20],
        classes=[20, 10, 30],
        class_names=["b", "a", "c"],
        unions={"by label": [10, 30], "by name": {"a", "c"}},
        parity=True,
    )
    assert tasks.task_names == ["b", "a", "c", "by label", "by name", "odd-numbered"]
    np.testing.assert_array_equal(
        tasks.target, [[1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]]
    )


def test_a_label_means_itself_where_it_is_the_name_of_another():
    tasks = make_label_tasks(["a", "b", "c"], class_names=["b", "a", "z"], unions={"first": ["a"]})
    np.testing.assert_array_equal(tasks.target[:, 3], [1, 0, 0])


@pytest.mark.parametrize("kind", ["list", "object", "float", "bool", "numpy strings"])
def test_labels_of_any_type(kind):
    codes = np.array([0, 1, 1, 0])
    labels = {
        "list": codes.tolist(),
        "object": codes.astype(object),
        "float": codes.astype(float),
        "bool": codes == 1,
        "numpy strings": codes.astype(str),
    }[kind]
    np.testing.assert_array_equal(make_label_tasks(labels).target, np.eye(2)[codes])


def test_pandas_in_and_out():
    pd = pytest.importorskip("pandas")
    array = make_label_tasks(ANIMALS, n_random=1)
    for labels in (pd.Series(ANIMALS), pd.Series(ANIMALS, dtype="category")):
        table = make_label_tasks(labels, n_random=1, as_frame=True).target
        assert table.columns.tolist() == array.task_names
        np.testing.assert_array_equal(table, array.target)


def test_names_reach_the_estimators():
    pytest.importorskip("pandas")
    rng = np.random.RandomState(0)
    tasks = make_label_tasks(np.arange(30) % 3, parity=True, as_frame=True)
    net = MultiTaskNet.stg_mtl(module__hidden_units=(2,), max_epochs=1)
    net.fit(rng.normal(size=(30, 4)), tasks.target)
    assert net.task_names_in_.tolist() == ["class 0", "class 1", "class 2", "odd-numbered"]


def test_random_tasks_follow_the_seed_alone():
    labels = np.arange(400) % 4
    first, again = (make_label_tasks(labels, n_random=3).target[:, -3:] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = make_label_tasks(labels, n_random=3, random_state=1).target[:, -3:]
    assert 0.4 < (first == other).mean() < 0.6
    # What other tasks there are, and which classes, changes nothing.
    more = make_label_tasks(labels[::-1] % 2, parity=True, n_random=3).target[:, -3:]
    np.testing.assert_array_equal(first, more)
    assert (abs(first.mean(axis=0) - 0.5) < 0.1).all()
    assert abs(np.corrcoef(np.column_stack([first, labels]).T)[np.triu_indices(4, 1)]).max() < 0.15


@pytest.mark.usefixtures("assert_global_random_state_untouched")
def test_global_random_state_and_inputs_are_untouched():
    labels, late = np.arange(6) % 3, np.array([0, 0, 0, 1, 1, 1])
    make_label_tasks(labels, extra={"late": late}, complements={"early": "late"}, n_random=2)
    np.testing.assert_array_equal(labels, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(late, [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize(("upside_down", "random"), [(True, True), (True, False), (False, True)])
def test_class_tasks_draw_as_ever(upside_down, random):
    """The seeds of published results must keep their meaning."""
    labels, images = np.arange(50) % 5, np.arange(50.0).reshape(50, 1, 1) + np.zeros((50, 2, 1))
    images[:, 1] += 0.5
    flipped, noise = np.random.RandomState(7).randint(2, size=(2, 50))
    tasks = make_class_tasks(
        images,
        labels,
        unions={"low": [0, 1]},
        upside_down=upside_down,
        random=random,
        random_state=7,
    )
    expected = [*np.eye(5, dtype=int)[labels].T, (labels < 2).astype(int)]
    expected += [flipped] * upside_down + [noise] * random
    np.testing.assert_array_equal(tasks.target.T, expected)
    turned = (flipped == 1) & upside_down
    np.testing.assert_array_equal(tasks.images[:, 0, 0] - np.arange(50), np.where(turned, 0.5, 0))
    # A generator goes on where it always did, whatever is left out.
    generator, plain = np.random.RandomState(3), np.random.RandomState(3)
    make_class_tasks(images, labels, upside_down=upside_down, random=random, random_state=generator)
    plain.randint(2, size=(2, 50))
    assert generator.randint(1000) == plain.randint(1000)


LABELS = "labels must be one-dimensional and hold ints, bools or strings, none of them missing. "


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([[0, 1]], {}, LABELS + "Got shape (1, 2) of int64."),
        ([], {}, LABELS + "Got shape (0,) of int64."),
        ([0.5, 1.0], {}, LABELS + "Got shape (2,) of float64."),
        ([0.0, np.nan], {}, LABELS + "Got shape (2,) of float64."),
        (np.array(["a", None], dtype=object), {}, LABELS + "Got shape (2,) of object."),
        (
            [0, 5, 9],
            {"classes": [0, 1]},
            "labels must be among the classes 0 to 1. Got [5, 9].",
        ),
        (
            ["a", "z"],
            {"classes": ["a", "b"]},
            "labels must be among the classes 'a', 'b'. Got ['z'].",
        ),
        ([0], {"classes": [0, 1, 0]}, "classes must differ. Got [0, 1, 0]."),
        (
            [0, 1],
            {"class_names": ["a"]},
            "class_names must be as many as the classes, 2. Got 1.",
        ),
        (
            [0, 1],
            {"class_names": ["a", "a"]},
            "Tasks must have different names. Got 'a' twice.",
        ),
        (
            [0, 1, 2],
            {"unions": {"class 1": [1, 2]}},
            "Tasks must have different names. Got 'class 1' twice.",
        ),
        (
            ["a", "b", "c"],
            {"unions": {"u": ["a", "x", 3]}},
            "The union 'u' must hold some, not all, of the classes 'a', 'b', 'c'. "
            "Got [3, 'a', 'x'].",
        ),
        (
            ["a", "b", "c"],
            {"unions": {"u": ["c", "a", "b"]}},
            "The union 'u' must hold some, not all, of the classes 'a', 'b', 'c'. "
            "Got ['a', 'b', 'c'].",
        ),
        (
            list(range(1, 13)),
            {"unions": {"u": []}},
            "The union 'u' must hold some, not all, of the classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 "
            "and others. Got [].",
        ),
        (
            [0, 1, 0],
            {"extra": {"e": [0, 1]}},
            "The extra task 'e' must be 0 or 1 for each of 3 samples. Got shape (2,), values "
            "[0, 1].",
        ),
        (
            [0, 1, 0],
            {"extra": {"e": [0, 1, 2]}},
            "The extra task 'e' must be 0 or 1 for each of 3 samples. Got shape (3,), values "
            "[0, 1, 2].",
        ),
        (
            [0, 1, 0],
            {"complements": {"c": "class 7"}},
            "The complement 'c' must be that of a task. Got 'class 7', tasks are ['class 0', "
            "'class 1'].",
        ),
        ([0, 1, 0], {"n_random": -1}, "n_random == -1, must be >= 0."),
    ],
)
def test_what_gives_no_tasks_is_said(labels, options, message):
    labels = np.array(labels, dtype=int) if len(labels) == 0 else labels
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_label_tasks(labels, **options)


def test_a_frame_without_pandas_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^as_frame=True needs pandas\. With as_frame=False"):
        make_label_tasks([0, 1], as_frame=True)


def test_parity_is_that_of_int_labels():
    tasks = make_label_tasks([1, 2, 3, 4], parity=True)
    odd = tasks.target[:, tasks.task_names.index("odd-numbered")]
    np.testing.assert_array_equal(odd, [1, 0, 1, 0])
    words = make_label_tasks(["a", "b", "c"], parity=True)
    np.testing.assert_array_equal(words.target[:, -1], [0, 1, 0])


def test_what_is_no_label_or_no_collection_is_named():
    with pytest.raises(ValueError, match="labels must be one-dimensional"):
        make_label_tasks([np.inf, 1.0])
    with pytest.raises(ValueError, match="The union 'u' must be a collection"):
        make_label_tasks(["a", "b", "c"], unions={"u": "ab"})
    with pytest.raises(ValueError, match=r"labels must be ints\. Got <U1"):
        make_class_tasks(np.zeros((2, 4, 4)), ["a", "b"])


def test_images_with_channels_last_are_refused():
    with pytest.raises(ValueError, match=r"give np\.moveaxis\(images, 3, 1\)"):
        make_class_tasks(np.zeros((6, 8, 5, 3), np.uint8), [0, 1, 2] * 2)


@pytest.mark.parametrize("name", ["parity", "as_frame"])
def test_what_is_neither_true_nor_false_is_refused(name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of make_label_tasks must be"):
        make_label_tasks(ANIMALS, **{name: "no"})


@pytest.mark.parametrize("name", ["upside_down", "random"])
def test_controls_of_images_are_true_or_false(name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of make_class_tasks must be"):
        make_class_tasks(np.zeros((2, 3, 3)), [0, 1], **{name: "no"})


@pytest.mark.parametrize("value", ["0.5", np.nan, np.inf, 1j])
def test_images_are_finite_numbers(value):
    with pytest.raises(ValueError, match="images must hold real numbers, none of them NaN"):
        make_class_tasks(np.full((2, 3, 3), value), [0, 1])


@pytest.mark.parametrize("names", [3, "ab", [0, 1]])
def test_names_of_classes_of_images_are_strings(names):
    with pytest.raises(ValueError, match="class_names must be"):
        make_class_tasks(np.zeros((2, 3, 3)), [0, 1], class_names=names)
