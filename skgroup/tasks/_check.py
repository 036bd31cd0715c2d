"""The check of the task table: what is wrong with `Y` is said before anything trains."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._binary import BINARY
from skgroup.tasks._containers import as_columns, column_to_array
from skgroup.tasks._encoding import all_zero_one, encode, encode_zero_one, where_missing
from skgroup.tasks._layout import KINDS
from skgroup.tasks._names import task_label
from skgroup.tasks._positive import categories_of, positive_codes
from skgroup.tasks._regression import REGRESSION, to_numbers
from skgroup.tasks._soft import SOFT, to_probabilities
from skgroup.tasks._table import AUTO, MISSING, TaskTable
from skgroup.tasks._types import CLASSES, given_types, is_regression, type_of


def check_tasks(
    Y: Any,
    *,
    classes: Sequence[Any] | None = None,
    names: NDArray[np.object_] | None = None,
    pos_label: Any = None,
    constant: NDArray[np.intp] | None = None,
    add_classes: bool = False,
    task_types: Any = AUTO,
) -> TaskTable:
    """Encode the task table, or say what is wrong with it.

    A task with a single observed class or number is warned of, and served by it: a label among
    0, 1, False and True has both in `classes`, any other is alone there.

    Parameters
    ----------
    Y : array-like, masked array, DataFrame, tensor or TaskTable, (n_samples, n_tasks) or \
            (n_samples,)
        Labels: ints, bools or strings, or the numbers of a regression task; NaN, None or a mask
        where one is missing. A TaskTable is taken as it is.
    classes : list of ndarray, default=None
        The classes of each task where they are known (scoring, further training). Then a
        column may lack a class, and a label that is not among them is an error.
    names : ndarray of shape (n_tasks,) of str, default=None
        The names of the tasks where they are known. Where `Y` has names too, its columns are
        brought into this order.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks; see `positive_codes`.
    constant : ndarray of shape (n_tasks,), default=None
        `TaskTable.constant` where it is known, beside `classes`. If None, the tasks of which one
        class alone is known.
    add_classes : bool, default=False
        Put labels that are not among `classes` behind them instead.
    task_types : str, sequence or dict, default="auto"
        "binary", "multiclass", "regression", "soft" or "auto", for all tasks or by task; "auto"
        are those of floats that are not all whole numbers regression tasks. The labels of a soft
        task are probabilities of 1.

    Returns
    -------
    table : TaskTable

    Raises
    ------
    ValueError
        If `Y` is None, is empty, has more than two dimensions, has a task without any label, no
        task with two classes or numbers, two tasks of one name, or other names than `names`; if
        `task_types` does not fit it.
    """
    if isinstance(Y, TaskTable):
        return Y
    if Y is None:
        raise ValueError("requires y to be passed, but the target y is None.")
    columns, task_names, is_1d = as_columns(Y, names=names)
    if len(columns) == 0:
        raise ValueError("Y has 0 tasks (columns); at least one is required.")
    if len(columns[0]) == 0:
        raise ValueError("Y has 0 samples; at least one is required.")
    if classes is not None and len(classes) != len(columns):
        raise ValueError(f"Y has {len(columns)} tasks, but {len(classes)} were seen in fit.")
    given = given_types(task_types, len(columns), task_names)
    ordered = [categories_of(column) for column in columns]
    columns = columns if isinstance(columns, np.ndarray) else [column_to_array(c) for c in columns]
    codes: NDArray[np.integer]
    values = None
    if (
        isinstance(columns, np.ndarray)
        and columns.dtype.kind in "biuf"
        and set(given) <= {AUTO, CLASSES, BINARY.name}
        and (classes is None or all_zero_one(list(classes)))
        and (fast := encode_zero_one(columns.T, labelled=classes is None)) is not None
    ):
        known = list(classes or [np.array([0, 1], dtype=columns.dtype) for _ in columns])
        codes = fast
        types = (BINARY.name,) * len(columns)
    else:
        codes, known, types, values = _encode_columns(
            columns, given, classes, task_names, add_classes
        )
    if classes is None:
        soft = [t for t, name in enumerate(types) if name == SOFT.name]
        probabilities = {} if values is None else {t: values[:, t] for t in soft}
        known, constant = _find_constant(codes, known, types, task_names, is_1d, probabilities)
    elif constant is None:
        constant = np.array([0 if len(c) == 1 else MISSING for c in known], dtype=np.intp)
    positive = positive_codes(known, task_names, pos_label, ordered, constant, types)
    return TaskTable(
        codes, known, task_names, is_1d, positive, constant, tuple(ordered), types, values
    )


def _encode_columns(
    columns: Any,
    given: Sequence[str],
    classes: Sequence[Any] | None,
    names: NDArray[np.object_] | None,
    add_classes: bool,
) -> tuple[NDArray[np.integer], list[NDArray], tuple[str, ...], NDArray[np.float64] | None]:
    """Codes, classes, kinds and numbers of a table, column by column. The classes of a regression
    task are those that are known, else its first two numbers, which tell whether it has two."""
    codes, known, types, empty = [], [], [], []
    numbers: dict[int, NDArray[np.float64]] = {}
    for t, column in enumerate(columns):
        label = task_label(names, t)
        if is_regression(column, given[t], label):
            numbers[t] = to_numbers(column, where_missing(column, label), label)
            code: NDArray = np.where(np.isnan(numbers[t]), MISSING, 0)
            met = np.unique(numbers[t][code == 0])[:2] if classes is None else classes[t]
            types.append(REGRESSION.name)
        elif given[t] == SOFT.name:
            numbers[t] = to_probabilities(column, where_missing(column, label), label)
            code = np.where(np.isnan(numbers[t]), MISSING, numbers[t] > 0.5)
            met = np.array([0, 1])
            types.append(SOFT.name)
        else:
            code, met = encode(column, label, None if classes is None else classes[t], add_classes)
            types.append(type_of(given[t], len(met), names, t))
        codes.append(code)
        known.append(np.asarray(met))
        if classes is None and (code == MISSING).all():
            empty.append(label)
    if empty:
        have = "has" if len(empty) == 1 else "have"
        raise ValueError(
            f"{', '.join(empty)} of Y {have} no label at all; every task needs labels of its "
            "classes to learn."
        )
    small = max(map(len, known)) <= np.iinfo(np.int8).max
    stacked: NDArray[np.integer] = np.column_stack(codes).astype(np.int8 if small else np.int64)
    if not numbers:
        return stacked, known, tuple(types), None
    values: NDArray[np.float64] = np.full(stacked.shape, np.nan)
    for t, of_task in numbers.items():
        values[:, t] = of_task
    return stacked, known, tuple(types), values


def _find_constant(
    codes: NDArray[np.integer],
    classes: list[NDArray],
    types: Sequence[str],
    names: NDArray[np.object_] | None,
    is_1d: bool,
    probabilities: Mapping[int, NDArray[np.float64]] | None = None,
) -> tuple[list[NDArray], NDArray[np.intp]]:
    """Classes of all tasks, and the code of the only class of those that have one, with a warning
    that names them. The codes of tasks that turn out to be of 0 and 1 are changed in place."""
    first = codes.max(axis=0).astype(np.intp)
    of_numbers = np.array([KINDS[name] is REGRESSION for name in types], dtype=bool)
    several = of_numbers & (np.array([len(c) for c in classes]) > 1)
    for task, p in (probabilities or {}).items():  # either class may never be the likelier
        several[task] = (p > 0).any() and (p < 1).any()
    single = np.flatnonzero(((codes == MISSING) | (codes == first)).all(axis=0) & ~several)
    constant = np.full(len(classes), MISSING, dtype=np.intp)
    emptied = several & of_numbers
    classes = [c[:0] if s else c for c, s in zip(classes, emptied, strict=True)]
    if len(single) == 0:
        return classes, constant
    only = [classes[t][first[t]] for t in single]
    sentence = _say_single(names, single, only)
    if len(single) == len(classes):
        raise ValueError(
            f"Y has a single class (1 class){' or number' if of_numbers.any() else ''} in "
            f"{'it' if is_1d else 'every task'}, so that there is nothing to learn: "
            + (
                "a task needs at least two classes, or two different numbers"
                if of_numbers.any()
                else "a classifier needs at least two classes"
            )
            + f". Got only {sentence}."
        )
    for t, value in zip(single, only, strict=True):
        if not of_numbers[t] and value.dtype.kind in "biuf" and value in (0, 1):
            classes[t] = np.array([0, 1], dtype=value.dtype)
            codes[codes[:, t] != MISSING, t] = int(value)
            constant[t] = int(value)
        else:
            classes[t], constant[t] = np.array([value]), 0
    warnings.warn(f"{_SINGLE}{sentence}.", UserWarning, stacklevel=4)
    return classes, constant


_SINGLE = (
    "These tasks of Y have a single observed class or number, which is predicted for every sample; "
    "nothing is learned of them: "
)


def _say_single(
    names: NDArray[np.object_] | None, tasks: NDArray[np.intp], only: Sequence[Any]
) -> str:
    return ", ".join(
        f"{task_label(names, t)}: {v.item()!r}" for t, v in zip(tasks, only, strict=True)
    )


@contextmanager
def single_classes_said(table: TaskTable) -> Iterator[None]:
    """Fits of a table, or of its parts, do not warn again of what `check_tasks` has warned of."""
    single = np.flatnonzero(~table.learnable)
    only = [table.classes[t][table.constant[t]] for t in single]
    with warnings.catch_warnings():
        if len(single):
            sentence = re.escape(f"{_SINGLE}{_say_single(table.names, single, only)}.")
            warnings.filterwarnings("ignore", message=sentence)
        yield
