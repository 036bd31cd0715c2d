"""Tables of tasks in whatever container: arrays, DataFrames, tensors, lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._names import match_names, names_of
from skgroup.tasks._table import TaskTable


def as_columns(
    Y: Any, *, names: NDArray[np.object_] | None = None, subject: str = "The columns of Y"
) -> tuple[Any, NDArray[np.object_] | None, bool]:
    """Columns of a table of tasks, in the order of `names` where both have names.

    Returns
    -------
    columns : ndarray of shape (n_tasks, n_samples), or list of ndarray or Series (n_samples,)
    names : ndarray of shape (n_tasks,) of str, or None
    is_1d : bool
    """
    columns, task_names, is_1d = _columns_of(Y)
    if task_names is not None and not is_1d:
        order = match_names(task_names, names, subject)
        if order is not None:
            columns, task_names = [columns[t] for t in order], names
    return columns, task_names, is_1d


def take_tasks(Y: Any, tasks: NDArray[np.bool_]) -> Any:
    """Some columns of a table of tasks that `check_tasks` took, of the same type where it is an
    array or a DataFrame; `tasks` is a boolean array (n_tasks,)."""
    index = np.flatnonzero(tasks)
    if hasattr(Y, "iloc"):
        return Y.iloc[:, index]
    if hasattr(Y, "get_columns"):
        return Y[:, index.tolist()]
    if isinstance(Y, TaskTable):
        return Y.select(tasks)
    if hasattr(Y, "to_pandas"):
        return Y.to_pandas().iloc[:, index]
    if not isinstance(Y, np.ndarray) and not hasattr(Y, "detach"):
        # As it was read: NumPy would turn [1, None, "a"] into strings.
        columns, *_ = _columns_of(Y)
        Y = np.array(columns).T if isinstance(columns, np.ndarray) else np.column_stack(columns)
    return Y[:, index]


def _columns_of(Y: Any) -> tuple[Any, NDArray[np.object_] | None, bool]:
    """Columns of `Y` as an indexable of 1-D arrays (or Series), their names, and whether `Y` was
    1-D."""
    if hasattr(Y, "iloc"):  # pandas
        if Y.ndim == 1:
            return [Y], None if Y.name is None else names_of([Y.name], "The columns of Y"), True
        names = names_of(Y.columns, "The columns of Y")
        return [Y.iloc[:, t] for t in range(Y.shape[1])], names, False
    if hasattr(Y, "get_columns"):  # polars
        return (
            [_from_polars(c) for c in Y.get_columns()],
            names_of(Y.columns, "The columns of Y"),
            False,
        )
    if hasattr(Y, "collect"):
        raise TypeError("Y must be a table in memory. Got a LazyFrame: pass Y.collect().")
    if hasattr(Y, "null_count"):
        return [_from_polars(Y)], names_of([Y.name], "The columns of Y") if Y.name else None, True
    if hasattr(Y, "to_pandas"):
        return _columns_of(Y.to_pandas())
    if isinstance(Y, Mapping):
        raise TypeError(f"Y must be a table. Got a {type(Y).__name__}: pass pandas.DataFrame(Y).")
    sparse = hasattr(Y, "toarray") or "sparse" in str(getattr(Y, "layout", None))
    if hasattr(Y, "detach") and not sparse:  # torch
        Y = Y.detach().cpu()
        Y = (Y.float() if Y.is_floating_point() and Y.itemsize < 4 else Y).numpy()
    if sparse:
        raise TypeError(
            "Sparse multilabel indicators are not supported as Y: a zero could be a label or a "
            f"missing one. Pass Y.{'toarray' if hasattr(Y, 'toarray') else 'to_dense'}()."
        )
    if isinstance(Y, np.matrix):
        Y = np.asarray(Y)
    if isinstance(Y, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(Y)
        Y = np.asarray(Y.data)
        if mask.any():
            Y = Y.astype(object)
            Y[mask] = None
    if not isinstance(Y, np.ndarray):
        array = _as_objects(Y)
        # Plain lists of one kind get their usual dtype; NumPy would turn [1, "a"] and
        # ["a", None] into strings, so anything else stays an array of objects.
        kinds = {type(v) for v in array.ravel()}
        plain = len(kinds) == 1 or not kinds & {str, bytes, type(None)}
        Y = np.asarray(Y) if plain and not any(map(_is_collection, array.ravel())) else array
    if Y.dtype.kind == "T":  # NumPy's strings of variable length
        Y = Y.astype(object)
    if Y.ndim == 1 and Y.dtype.kind == "O" and all(map(_is_collection, Y)):
        raise ValueError(
            "Y must hold one label a sample and task. Got a list of labels a sample: turn it into "
            "a table with sklearn.preprocessing.MultiLabelBinarizer().fit_transform(Y)."
        )
    if Y.ndim not in (1, 2):
        raise ValueError(
            f"Y must be of shape (n_samples, n_tasks) or (n_samples,). Got shape {Y.shape}."
        )
    return (Y[None, :] if Y.ndim == 1 else Y.T), None, Y.ndim == 1


def _as_objects(Y: Any) -> NDArray[np.object_]:
    try:
        return np.asarray(Y, dtype=object)
    except ValueError:  # rows of several lengths, some of them alike
        array = np.empty(len(Y), dtype=object)
        array[:] = list(Y)
        return array


def _is_collection(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset | np.ndarray)


def _from_polars(column: Any) -> NDArray:
    if column.null_count():
        return np.array(column.to_list(), dtype=object)
    return np.asarray(column.to_numpy())


def column_to_array(column: Any) -> NDArray:
    return _series_to_array(column) if hasattr(column, "isna") else column


def _series_to_array(column: Any) -> NDArray:
    """A pandas column as an array; missing values (NaN, None, NA) become None or NaN."""
    missing = np.asarray(column.isna(), dtype=bool)
    if not missing.any():
        return np.asarray(column)
    array = np.asarray(column, dtype=object).copy()
    array[missing] = None
    return array


def missing_in(column: NDArray) -> NDArray[np.bool_]:
    """Where an array of objects holds None, NaN or pandas' NA."""
    try:
        missing: NDArray[np.bool_] = (column == None) | (column != column)  # noqa: E711
        return missing
    except (TypeError, ValueError):  # NA, or an array as an entry, is neither true nor false
        return np.array([is_missing(v) for v in column], dtype=bool)


def is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
        or type(value).__name__ == "NAType"
    )
