"""Checks of what the user hands over: the task table `Y` and memberships."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING", "TaskTable", "check_membership", "check_tasks", "forget_fit", "one_hot"]

#: The code of a missing label.
MISSING = -1


@dataclass(frozen=True)
class TaskTable:
    """The task table `Y`, encoded.

    Attributes
    ----------
    codes : ndarray of shape (n_samples, n_tasks)
        Position of each label in the classes of its task; -1 where it is missing.
    classes : list of ndarray of shape (n_classes,), one a task
        Sorted labels of each task, of their own dtype.
    names : ndarray of shape (n_tasks,) of str, or None
        Column names, where `Y` was a DataFrame (or a Series).
    is_1d : bool
        Whether `Y` was one-dimensional: a single task.
    """

    codes: NDArray[np.integer]
    classes: list[NDArray]
    names: NDArray[np.object_] | None
    is_1d: bool

    @property
    def n_tasks(self) -> int:
        return self.codes.shape[1]

    @property
    def task_outputs(self) -> tuple[int, ...]:
        """Logits a task: 1 for a binary task, k for one of k classes."""
        return tuple(1 if len(c) == 2 else len(c) for c in self.classes)

    def canonical_tasks(self) -> list[int]:
        """The tasks in an order that depends on nothing but their labels, (n_tasks,)."""
        outputs = self.task_outputs
        digests = [hashlib.blake2b(column.tobytes()).digest() for column in self.codes.T]
        return sorted(range(self.n_tasks), key=lambda t: (outputs[t], digests[t]))

    def canonical_outputs(self) -> NDArray[np.intp]:
        """For each logit, its position if the tasks stood in their canonical order:
        (n_outputs,), a permutation."""
        outputs = np.asarray(self.task_outputs)
        order = self.canonical_tasks()
        start = np.empty(self.n_tasks, dtype=np.intp)
        start[order] = np.cumsum(outputs[order]) - outputs[order]
        return np.concatenate([s + np.arange(k) for s, k in zip(start, outputs, strict=True)])

    def select(self, tasks: NDArray) -> TaskTable:
        """The table of some tasks only; `tasks` is an index or boolean array (n_tasks,)."""
        index = np.arange(self.n_tasks)[tasks]
        names = None if self.names is None else self.names[index]
        return TaskTable(self.codes[:, index], [self.classes[t] for t in index], names, False)


def check_tasks(
    Y: Any, *, classes: list[NDArray] | None = None, add_classes: bool = False
) -> TaskTable:
    """Encode the task table, or say what is wrong with it.

    Parameters
    ----------
    Y : array-like, DataFrame or tensor of shape (n_samples, n_tasks) or (n_samples,)
        Labels: ints, bools or strings; NaN or None where a label is missing.
    classes : list of ndarray, default=None
        The classes of each task where they are known (scoring, further training). Then a
        column may lack a class, and a label that is not among them is an error.
    add_classes : bool, default=False
        Put labels that are not among `classes` behind them instead.

    Returns
    -------
    table : TaskTable

    Raises
    ------
    ValueError
        If `Y` is None, is empty, has more than two dimensions, holds continuous values, or has
        a task without any label or with a single class.
    """
    if Y is None:
        raise ValueError("requires y to be passed, but the target y is None.")
    columns, names, is_1d = _columns_of(Y)
    if len(columns) == 0:
        raise ValueError("Y has 0 tasks (columns); at least one is required.")
    if len(columns[0]) == 0:
        raise ValueError("Y has 0 samples; at least one is required.")
    if classes is not None and len(classes) != len(columns):
        raise ValueError(f"Y has {len(columns)} tasks, but {len(classes)} were seen in fit.")
    if (
        isinstance(columns, np.ndarray)
        and columns.dtype.kind in "biuf"
        and (classes is None or _all_zero_one(classes))
        and (fast := _encode_zero_one(columns.T, require_both=classes is None)) is not None
    ):
        dtype = columns.dtype
        known = classes or [np.array([0, 1], dtype=dtype) for _ in range(len(columns))]
        return TaskTable(fast, known, names, is_1d)
    encoded = [
        _encode(column, _task_label(names, t), None if classes is None else classes[t], add_classes)
        for t, column in enumerate(columns)
    ]
    codes = np.column_stack([code for code, _ in encoded])
    n_classes = max(len(c) for _, c in encoded)
    codes = codes.astype(np.int8 if n_classes <= np.iinfo(np.int8).max else np.int64)
    return TaskTable(codes, [c for _, c in encoded], names, is_1d)


def _columns_of(Y: Any) -> tuple[Any, NDArray[np.object_] | None, bool]:
    """Columns of `Y` as an indexable of 1-D arrays, their names, and whether `Y` was 1-D."""
    if hasattr(Y, "iloc"):  # pandas
        if Y.ndim == 1:
            columns = [_series_to_array(Y)]
            return columns, None if Y.name is None else _names([Y.name]), True
        return (
            [_series_to_array(Y.iloc[:, t]) for t in range(Y.shape[1])],
            _names(Y.columns),
            False,
        )
    if hasattr(Y, "to_pandas"):  # polars and the like
        return _columns_of(Y.to_pandas())
    if hasattr(Y, "detach"):  # torch
        Y = Y.detach().cpu().numpy()
    if hasattr(Y, "toarray"):
        raise TypeError(
            "Sparse multilabel indicators are not supported as Y: a zero could be a label or a "
            "missing one. Pass Y.toarray()."
        )
    if not isinstance(Y, np.ndarray):
        array = np.asarray(Y, dtype=object)
        # Plain lists of one kind get their usual dtype; NumPy would turn [1, "a"] and
        # ["a", None] into strings, so anything else stays an array of objects.
        kinds = {type(v) for v in array.ravel()}
        Y = np.asarray(Y) if len(kinds) == 1 or not kinds & {str, bytes, type(None)} else array
    if Y.ndim not in (1, 2):
        raise ValueError(
            f"Y must be of shape (n_samples, n_tasks) or (n_samples,). Got shape {Y.shape}."
        )
    return (Y[None, :] if Y.ndim == 1 else Y.T), None, Y.ndim == 1


def _series_to_array(column: Any) -> NDArray:
    """A pandas column as an array; missing values (NaN, None, NA) become None or NaN."""
    missing = np.asarray(column.isna(), dtype=bool)
    if not missing.any():
        return np.asarray(column)
    array = np.asarray(column, dtype=object).copy()
    array[missing] = None
    return array


def _names(columns: Any) -> NDArray[np.object_]:
    return np.array([str(c) for c in columns], dtype=object)


def _task_label(names: NDArray[np.object_] | None, task: int) -> str:
    return f"task {task}" if names is None else f"task {task} ({names[task]!r})"


def _all_zero_one(classes: list[NDArray]) -> bool:
    return all(c.dtype.kind in "biuf" and np.array_equal(c, [0, 1]) for c in classes)


def _encode_zero_one(Y: NDArray, *, require_both: bool) -> NDArray[np.int8] | None:
    """Codes of a numeric table of zeros, ones and NaN alone, all columns at once; else None."""
    positive = Y == 1
    negative = Y == 0
    missing = Y != Y
    if not (positive | negative | missing).all():
        return None
    if require_both and not (positive.any(axis=0) & negative.any(axis=0)).all():
        return None  # the way column by column finds the words for what is wrong
    codes = positive.astype(np.int8)
    codes[missing] = MISSING
    return codes


def _encode(
    column: NDArray, label: str, classes: NDArray | None, add_classes: bool
) -> tuple[NDArray, NDArray]:
    """Codes and classes of one task."""
    if column.dtype.kind == "O":
        missing = _missing(column)
    elif column.dtype.kind == "f":
        missing = np.isnan(column)
    elif column.dtype.kind in "biuUS":
        missing = np.zeros(len(column), dtype=bool)
    else:
        raise ValueError(
            f"Unknown label type: {column.dtype}. Labels of {label} of Y must be ints, bools or "
            "strings."
        )
    observed = column[~missing]
    if len(observed) == 0 and classes is None:
        raise ValueError(f"{label} of Y has no label at all; every task needs labels to learn.")
    if observed.dtype.kind == "O":
        observed = _homogeneous(observed, label)
    if observed.dtype.kind == "f" and not np.all(observed == np.floor(observed)):
        value = observed[observed != np.floor(observed)][0]
        raise ValueError(
            f"Unknown label type: continuous. {label} of Y holds {value}, which is no class "
            "label; regression targets are not supported."
        )
    if observed.dtype.kind == "f" and np.isinf(observed).any():
        raise ValueError(f"{label} of Y holds infinity, which is no class label.")
    found, inverse = np.unique(observed, return_inverse=True)
    if classes is None:
        classes = found
        if len(classes) < 2:
            raise ValueError(
                f"{label} of Y has a single class (1 class: {found.tolist()[0]!r}); a classifier "
                "needs at least two classes in every task. Drop the task, or add samples of "
                "another class."
            )
        position = np.arange(len(found))
    else:
        unknown = found[~np.isin(found, classes)]
        alike = (found.dtype.kind == "U") == (classes.dtype.kind == "U")
        if len(unknown) and add_classes and alike:
            classes = np.append(classes, unknown)
        elif len(unknown):
            raise ValueError(
                f"{label} of Y holds the label {unknown.tolist()[0]!r}, which is not among the "
                f"classes seen in fit: {classes.tolist()}."
            )
        order = np.argsort(classes)  # given classes may stand in any order
        position = order[np.searchsorted(classes, found, sorter=order)]
    codes = np.full(len(column), MISSING, dtype=np.int64)
    codes[~missing] = position[inverse.ravel()] if len(found) else MISSING
    return codes, classes


def _missing(column: NDArray) -> NDArray[np.bool_]:
    """Where an array of objects holds None, NaN or pandas' NA."""
    try:
        missing: NDArray[np.bool_] = (column == None) | (column != column)  # noqa: E711
        return missing
    except (TypeError, ValueError):  # NA, or an array as an entry, is neither true nor false
        return np.array([_is_missing(v) for v in column], dtype=bool)


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
        or type(value).__name__ == "NAType"
    )


def _homogeneous(observed: NDArray, label: str) -> NDArray:
    """Objects as an array of one dtype (bool, number or str), or an error that says why not."""
    types = set(map(type, observed))
    # Anything else that NumPy could read as a number ("1" beside 2) would come back changed.
    for kinds_of_label, dtype in (
        ((bool, np.bool_), bool),
        ((int, np.integer), np.int64),
        ((str,), str),
        ((Real, np.bool_), np.float64),
    ):
        if all(issubclass(t, kinds_of_label) for t in types):
            return observed.astype(dtype)
    kinds = sorted(t.__name__ for t in types)
    raise ValueError(
        f"Unknown label type: {label} of Y holds labels of the types {', '.join(kinds)}; labels "
        "of a task must be of one type: ints, bools or strings."
    )


def one_hot(labels: NDArray) -> NDArray[np.float64]:
    """Memberships of a hard clustering.

    Parameters
    ----------
    labels : ndarray of shape (n_tasks,)
        Cluster of each task. A negative label (noise, in scikit-learn's density-based
        clusterers) gives the task a group of its own.

    Returns
    -------
    membership : ndarray of shape (n_tasks, n_groups)
    """
    labels = np.asarray(labels).astype(np.int64, copy=True)
    noise = labels < 0
    labels[noise] = max(int(labels.max(initial=-1)), -1) + 1 + np.arange(noise.sum())
    _, position = np.unique(labels, return_inverse=True)
    return np.eye(int(position.max()) + 1)[position]


def check_membership(
    membership: Any, n_tasks: int, *, name: str = "membership", all_tasks: bool = True
) -> NDArray[np.float64]:
    """Memberships or serving weights as a float array, or an error.

    Parameters
    ----------
    membership : array-like of shape (n_tasks, n_groups)
    n_tasks : int
        Number of tasks of `Y`.
    name : str
        What to call it in messages.
    all_tasks : bool, default=True
        Whether every task must be in some group.

    Returns
    -------
    membership : ndarray of shape (n_tasks, n_groups)
        A copy.

    Raises
    ------
    ValueError
        If the shape does not fit, an entry is negative or not finite, or a row is all zero (a
        task that no group holds) or a column is (a group without tasks).
    """
    if hasattr(membership, "detach"):  # torch
        membership = membership.detach().cpu().numpy()
    try:
        checked = np.array(membership, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers. Got {membership!r}.") from None
    if checked.ndim != 2 or checked.shape[0] != n_tasks or checked.shape[1] == 0:
        raise ValueError(
            f"{name} must be of shape (n_tasks, n_groups) with n_tasks={n_tasks}, one row a task "
            f"of Y. Got shape {checked.shape}."
        )
    if not np.isfinite(checked).all():
        raise ValueError(f"{name} must be finite. It holds NaN or infinity.")
    if (checked < 0).any():
        task, group = np.argwhere(checked < 0)[0]
        raise ValueError(
            f"{name} must be non-negative. Got {checked[task, group]} for task {task} in group "
            f"{group}."
        )
    rules = [(1, "row", "a task in no group"), (0, "column", "an empty group")]
    for axis, what, rule in rules if all_tasks else rules[1:]:
        empty = np.flatnonzero(~(checked > 0).any(axis=axis))
        if len(empty):
            raise ValueError(
                f"{name} must have no all-zero {what} ({rule}). Got {what} {empty[0]}."
            )
    return checked


def forget_fit(estimator: Any) -> None:
    """Delete what an earlier `fit` left, so that nothing of it outlives the next one."""
    for name in [n for n in vars(estimator) if n.endswith("_") and not n.startswith("_")]:
        delattr(estimator, name)
