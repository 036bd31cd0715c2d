"""Checks of the task table and of memberships."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from skgroup.cluster.memberships import check_membership, one_hot
from skgroup.tasks import check_tasks


def _assert_table(table, codes, classes):
    """Codes given column by column, classes with their dtype."""
    np.testing.assert_array_equal(table.codes.T, codes)
    assert len(table.classes) == len(classes)
    for found, expected in zip(table.classes, classes, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype.kind == np.asarray(expected).dtype.kind


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float32, np.float64])
def test_zero_one_tables_keep_the_type_of_their_labels(dtype):
    table = check_tasks(np.array([[0, 1], [1, 0], [1, 1]], dtype=dtype))
    np.testing.assert_array_equal(table.codes, [[0, 1], [1, 0], [1, 1]])
    assert [c.dtype for c in table.classes] == [dtype, dtype]
    assert table.names is None
    assert not table.is_1d
    assert table.task_outputs == (1, 1)


@pytest.mark.parametrize(
    ("labels", "codes", "classes"),
    [
        ([7, 3, 7, 9], [1, 0, 1, 2], [3, 7, 9]),
        ([-1, 1, -1, 1], [0, 1, 0, 1], [-1, 1]),
        (["b", "a", "b", "c"], [1, 0, 1, 2], ["a", "b", "c"]),
        ([True, False, True, False], [1, 0, 1, 0], [False, True]),
        ([2.0, 5.0, np.nan, 2.0], [0, 1, -1, 0], [2.0, 5.0]),
        ([1, None, 0, 1], [1, -1, 0, 1], [0, 1]),
        (["b", None, "a", np.nan], [1, -1, 0, -1], ["a", "b"]),
        ([True, None, False, True], [1, -1, 0, 1], [False, True]),
        ([1.0, None, 0.0, np.nan], [1, -1, 0, -1], [0.0, 1.0]),
        ([0, 2**60, 2**60 + 1, None], [0, 1, 2, -1], [0, 2**60, 2**60 + 1]),
    ],
    ids=str,
)
def test_codes_are_positions_in_the_sorted_labels(labels, codes, classes):
    column = [[label] for label in labels]
    as_objects = np.array(column, dtype=object)
    for Y in (column, as_objects, np.asarray(labels, dtype=object)):
        _assert_table(check_tasks(Y), [codes], [classes])
    assert check_tasks(np.asarray(labels, dtype=object)).is_1d
    assert not check_tasks(as_objects).is_1d


@pytest.mark.parametrize(
    ("column", "codes", "classes"),
    [
        (pd.array([5, None, 2], dtype="Int64"), [1, -1, 0], [2, 5]),
        (pd.array([5, 7, 2], dtype="Int8"), [1, 2, 0], [2, 5, 7]),
        (pd.array([True, False, None], dtype="boolean"), [1, 0, -1], [False, True]),
        (pd.array([0.0, 1.0, None], dtype="Float64"), [0, 1, -1], [0.0, 1.0]),
        (pd.array(["u", None, "t"], dtype="string"), [1, -1, 0], ["t", "u"]),
        (pd.Categorical(["x", None, "w"]), [1, -1, 0], ["w", "x"]),
        (pd.Categorical([6, 5, 6]), [1, 0, 1], [5, 6]),
        (np.array([0.0, np.nan, 1.0]), [0, -1, 1], [0.0, 1.0]),
        (np.array(["u", None, "t"], dtype=object), [1, -1, 0], ["t", "u"]),
    ],
    ids=lambda value: getattr(value, "dtype", None) and str(value.dtype),
)
def test_every_kind_of_pandas_column(column, codes, classes):
    frame = pd.DataFrame({"other": [0, 1, 0], "this": column})
    table = check_tasks(frame)
    _assert_table(table, [[0, 1, 0], codes], [[0, 1], classes])
    assert table.names.tolist() == ["other", "this"]
    series = check_tasks(frame["this"])
    _assert_table(series, [codes], [classes])
    assert series.is_1d
    assert series.names.tolist() == ["this"]


def test_series_without_a_name_gives_no_name():
    assert check_tasks(pd.Series([0, 1])).names is None


def test_column_names_become_strings():
    assert check_tasks(pd.DataFrame([[0, 1], [1, 0]])).names.tolist() == ["0", "1"]


def test_frames_that_convert_to_pandas_are_taken():
    class Frame:
        def to_pandas(self):
            return pd.DataFrame({"a": [0, 1], "b": ["x", "y"]})

    table = check_tasks(Frame())
    _assert_table(table, [[0, 1], [0, 1]], [[0, 1], ["x", "y"]])
    assert table.names.tolist() == ["a", "b"]


def test_tensors_are_taken():
    Y = torch.tensor([[0.0, 2.0], [1.0, torch.nan], [torch.nan, 5.0]], requires_grad=True)
    _assert_table(check_tasks(Y), [[0, 1, -1], [0, -1, 1]], [[0.0, 1.0], [2.0, 5.0]])


def test_columns_of_different_kinds_stay_apart():
    table = check_tasks([["a", 1, True], ["b", 2, False], [None, 3, None]])
    _assert_table(
        table, [[0, 1, -1], [0, 1, 2], [1, 0, -1]], [["a", "b"], [1, 2, 3], [False, True]]
    )
    assert table.task_outputs == (1, 3, 1)


def test_more_classes_than_a_byte_holds():
    table = check_tasks(np.tile(np.arange(300) * 2, 10))
    np.testing.assert_array_equal(table.codes[:300, 0], np.arange(300))
    assert table.task_outputs == (300,)


def test_labels_are_not_changed():
    Y = np.array([[0, 1.0], [np.nan, 0], [1, 1]])
    before = Y.copy()
    check_tasks(Y).codes[:] = 7
    np.testing.assert_array_equal(Y, before)


# -- given classes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes", [[0, 1], [1, 0], [0, 1, 2], [2, 0, 1]], ids=lambda c: f"{c}".replace(" ", "")
)
def test_codes_are_positions_in_the_given_classes_in_any_order(classes):
    Y = np.array([1, 0, 1])
    table = check_tasks(Y, classes=[np.array(classes)])
    np.testing.assert_array_equal(table.classes[0][table.codes[:, 0]], Y)


def test_given_classes_may_be_absent_or_all_labels_missing():
    known = [np.array([0, 1]), np.array(["a", "b"])]
    table = check_tasks([[1, None], [1, None]], classes=known)
    _assert_table(table, [[1, 1], [-1, -1]], known)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (
            np.array([0, 5]),
            np.array([0, 1]),
            "task 0 of Y holds the label 5, which is not among the classes seen in fit: [0, 1].",
        ),
        (
            np.array(["a", "b"]),
            np.array([0, 1]),
            "task 0 of Y holds the label 'a', which is not among the classes seen in fit: [0, 1].",
        ),
        (
            pd.Series([0, 1], name="sick"),
            np.array(["no", "yes"]),
            "task 0 ('sick') of Y holds the label 0, which is not among the classes seen in fit: "
            "['no', 'yes'].",
        ),
    ],
)
def test_label_not_among_the_given_classes(labels, classes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_tasks(labels, classes=[classes])


@pytest.mark.parametrize(
    ("labels", "classes", "codes", "extended"),
    [
        ([5, 0, 1], [0, 1], [2, 0, 1], [0, 1, 5]),
        ([1, 0, 1], [0, 1], [1, 0, 1], [0, 1]),
        (["abc", None, "b"], ["b", "c"], [2, -1, 0], ["b", "c", "abc"]),
    ],
)
def test_labels_not_among_the_given_classes_can_be_put_behind_them(
    labels, classes, codes, extended
):
    table = check_tasks(labels, classes=[np.array(classes)], add_classes=True)
    _assert_table(table, [codes], [extended])


@pytest.mark.parametrize("mark", [None, np.nan, float("nan"), np.float32("nan"), pd.NA])
def test_every_mark_of_a_missing_label_is_found_among_objects(mark):
    _assert_table(check_tasks(np.array(["b", mark, "a"], dtype=object)), [[1, -1, 0]], [["a", "b"]])


def test_number_of_tasks_differs_from_the_given_classes():
    message = "Y has 2 tasks, but 3 were seen in fit."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_tasks(np.eye(2), classes=[np.array([0, 1])] * 3)


# -- what is wrong with a table ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (None, "requires y to be passed, but the target y is None."),
        (np.zeros((3, 0)), "Y has 0 tasks (columns); at least one is required."),
        (pd.DataFrame(index=range(3)), "Y has 0 tasks (columns); at least one is required."),
        (np.zeros((0, 2)), "Y has 0 samples; at least one is required."),
        ([], "Y has 0 samples; at least one is required."),
        (
            np.zeros((2, 2, 2)),
            "Y must be of shape (n_samples, n_tasks) or (n_samples,). Got shape (2, 2, 2).",
        ),
        (
            np.array([[0, 1], [0, 1]]),
            "Y has a single class (1 class) in every task, so that there is nothing to learn: a "
            "classifier needs at least two classes. Got only task 0: 0, task 1: 1.",
        ),
        (
            pd.Series(["z", None, "z"], name="b"),
            "Y has a single class (1 class) in it, so that there is nothing to learn: a classifier "
            "needs at least two classes. Got only task 0 ('b'): 'z'.",
        ),
        (
            np.array([[0, np.nan], [1, np.nan]]),
            "task 1 of Y has no label at all; every task needs labels of its classes to learn.",
        ),
        (
            pd.DataFrame({"a": [None, None], "b": [1, 0]}),
            "task 0 ('a') of Y has no label at all; every task needs labels of its classes to "
            "learn.",
        ),
        (np.array([0, 1, np.inf]), "task 0 of Y holds infinity, which is no class label."),
        (
            np.array([1j, 0]),
            "Unknown label type: complex128. Labels of task 0 of Y must be ints, bools, strings "
            "or, of regression tasks, floats.",
        ),
        (
            np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"),
            "Unknown label type: datetime64[D]. Labels of task 0 of Y must be ints, bools, "
            "strings or, of regression tasks, floats.",
        ),
        (
            [["a"], [1]],
            "Unknown label type: task 0 of Y holds labels of the types int, str; labels of a task "
            "must be of one type: ints, bools or strings.",
        ),
        (  # which NumPy would read as 1.0 and 2.0
            [["1"], [2]],
            "Unknown label type: task 0 of Y holds labels of the types int, str; labels of a task "
            "must be of one type: ints, bools or strings.",
        ),
        (
            np.array([{}, ()], dtype=object),
            "Unknown label type: task 0 of Y holds labels of the types dict, tuple; labels of a "
            "task must be of one type: ints, bools or strings.",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said(Y, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_tasks(Y)


def test_a_dict_of_columns_is_refused_with_a_remedy():
    with pytest.raises(TypeError, match=r"Y must be a table. Got a dict: pass pandas.DataFrame"):
        check_tasks({"a": [0, 1], "b": [1, 0]})


def test_sparse_labels_are_refused():
    message = (
        "Sparse multilabel indicators are not supported as Y: a zero could be a label or a "
        "missing one. Pass Y.toarray()."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        check_tasks(sparse.csr_matrix(np.eye(2)))


# -- parts and orders of a table -----------------------------------------------------------------


def test_select_keeps_classes_and_names_of_the_tasks():
    frame = pd.DataFrame({"a": [0, 1, 0], "b": ["x", "y", "z"], "c": [5, 5, 6]})
    table = check_tasks(frame)
    for tasks in (np.array([2, 1]), np.array([False, True, True])):
        part = table.select(tasks)
        names = frame.columns[tasks]
        expected = check_tasks(frame[names])
        np.testing.assert_array_equal(part.codes, expected.codes)
        for found, of_task in zip(part.classes, expected.classes, strict=True):
            np.testing.assert_array_equal(found, of_task)
        assert part.names.tolist() == names.tolist()
    assert check_tasks(frame.to_numpy()).select(np.array([0])).names is None


# -- memberships ---------------------------------------------------------------------------------


def test_one_hot_of_labels():
    np.testing.assert_array_equal(one_hot(np.array([1, 0, 1])), [[0, 1], [1, 0], [0, 1]])


def test_one_hot_leaves_no_empty_group():
    np.testing.assert_array_equal(one_hot(np.array([5, 2, 5])), [[0, 1], [1, 0], [0, 1]])


def test_one_hot_gives_noise_tasks_groups_of_their_own():
    labels = np.array([0, -1, 1, -1, 0])
    membership = one_hot(labels)
    expected = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    np.testing.assert_array_equal(membership, expected)
    np.testing.assert_array_equal(labels, [0, -1, 1, -1, 0])
    np.testing.assert_array_equal(one_hot(np.array([-1, -1])), np.eye(2))


def test_membership_comes_back_as_a_float_copy():
    given = np.array([[1, 0], [1, 2]])
    checked = check_membership(given, 2)
    assert checked.dtype == np.float64
    checked[:] = 9
    np.testing.assert_array_equal(given, [[1, 0], [1, 2]])


@pytest.mark.parametrize(
    ("membership", "message"),
    [
        (
            [[1, 0]],
            "grouper must be of shape (n_tasks, n_groups) with n_tasks=2, one row a task of Y. "
            "Got shape (1, 2).",
        ),
        (
            [1, 0],
            "grouper must be of shape (n_tasks, n_groups) with n_tasks=2, one row a task of Y. "
            "Got shape (2,).",
        ),
        (
            np.ones((2, 0)),
            "grouper must be of shape (n_tasks, n_groups) with n_tasks=2, one row a task of Y. "
            "Got shape (2, 0).",
        ),
        ([["x"], ["y"]], "grouper must be an array of numbers. Got [['x'], ['y']]."),
        ([[1, 2], [3]], "grouper must be an array of numbers. Got [[1, 2], [3]]."),
        ([[1, np.nan], [1, 1]], "grouper must be finite. It holds NaN or infinity."),
        ([[1, np.inf], [1, 1]], "grouper must be finite. It holds NaN or infinity."),
        ([[1, 1], [1, -0.5]], "grouper must be non-negative. Got -0.5 for task 1 in group 1."),
        (
            [[1, 1], [0, 0]],
            "grouper must have no all-zero row (a task in no group). Got row 1.",
        ),
        (
            [[1, 0], [1, 0]],
            "grouper must have no all-zero column (an empty group). Got column 1.",
        ),
    ],
)
def test_what_is_wrong_with_memberships_is_said(membership, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_membership(membership, 2, name="grouper")
