"""Labels as codes: the positions of labels in the sorted classes of their task."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._containers import as_columns, column_to_array, missing_in
from skgroup.tasks._table import MISSING


def all_zero_one(classes: list[NDArray]) -> bool:
    return all(c.dtype.kind in "biuf" and np.array_equal(c, [0, 1]) for c in classes)


def encode_zero_one(Y: NDArray, *, labelled: bool) -> NDArray[np.int8] | None:
    """Codes of a numeric table of zeros, ones and NaN alone, all columns at once; else None."""
    positive = Y == 1
    missing = Y != Y
    if not (positive | (Y == 0) | missing).all():
        return None
    if labelled and missing.all(axis=0).any():
        return None  # the way column by column finds the words for what is wrong
    codes = positive.astype(np.int8)
    codes[missing] = MISSING
    return codes


def encode(
    column: NDArray, label: str, classes: NDArray | None, add_classes: bool
) -> tuple[NDArray, NDArray]:
    """Codes and classes of one task that has classes."""
    missing = where_missing(column, label)
    observed = column[~missing]
    if len(observed) == 0 and classes is None:
        return np.full(len(column), MISSING, dtype=np.int64), observed  # `check_tasks` refuses it
    if observed.dtype.kind == "O":
        observed = _homogeneous(observed, label)
    if observed.dtype.kind == "f" and not np.all(observed == np.floor(observed)):
        value = observed[observed != np.floor(observed)][0]
        raise ValueError(
            f"Unknown label type: continuous. {label} of Y holds {value}, which is no class label; "
            "the 'task_types' parameter of MultiTaskNet says what is a regression task."
        )
    if observed.dtype.kind == "f" and np.isinf(observed).any():
        raise ValueError(f"{label} of Y holds infinity, which is no class label.")
    labels, inverse = np.unique(observed, return_inverse=True)
    if classes is None:
        classes = labels
        of_numbers = labels.dtype.kind in "iuf"
        if len(labels) > (
            max(15, len(observed) / 10) if of_numbers else max(20, len(observed) / 2)
        ):
            warnings.warn(
                f"{label} of Y has {len(labels)} classes for {len(observed)} labels. It could be "
                "a regression target instead of classes"
                + (
                    ": then the 'task_types' parameter of MultiTaskNet should say so."
                    if of_numbers
                    else ", of numbers that are written as strings."
                ),
                UserWarning,
                stacklevel=2,
            )
        position = np.arange(len(labels))
    else:
        unknown = labels[~np.isin(labels, classes)]
        alike = (labels.dtype.kind == "U") == (classes.dtype.kind == "U")
        if len(unknown) and add_classes and alike:
            classes = np.append(classes, unknown)
        elif len(unknown):
            raise ValueError(
                f"{label} of Y holds the label {unknown.tolist()[0]!r}, which is not among the "
                f"classes seen in fit: {classes.tolist()}."
            )
        order = np.argsort(classes)  # given classes may stand in any order
        position = order[np.searchsorted(classes, labels, sorter=order)]
    codes = np.full(len(column), MISSING, dtype=np.int64)
    codes[~missing] = position[inverse.ravel()] if len(labels) else MISSING
    return codes, classes


def where_missing(column: NDArray, label: str) -> NDArray[np.bool_]:
    """Where the labels of one task are missing; refuses types that can be none."""
    if column.dtype.kind == "O":
        return missing_in(column)
    if column.dtype.kind == "f":
        missing: NDArray[np.bool_] = np.isnan(column)
        return missing
    if column.dtype.kind in "biuUS":
        return np.zeros(len(column), dtype=bool)
    raise ValueError(
        f"Unknown label type: {column.dtype}. Labels of {label} of Y must be ints, bools, strings "
        "or, of regression tasks, floats."
    )


def observed_labels(y: Any) -> tuple[NDArray, NDArray[np.bool_]]:
    """The labels, or numbers, of one task that are there, and where they are, (n_samples,)."""
    columns, *_ = as_columns(y, subject="The columns of y")
    if len(columns) != 1:
        raise ValueError(f"y must hold the labels of one task. Got {len(columns)} columns.")
    column = column_to_array(columns[0])
    there = ~where_missing(column, "the task")
    observed = column[there]
    return _homogeneous(observed, "the task") if observed.dtype.kind == "O" else observed, there


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
            return _as_ints(observed, label) if dtype is np.int64 else observed.astype(dtype)
    kinds = sorted(t.__name__ for t in types)
    raise ValueError(
        f"Unknown label type: {label} of Y holds labels of the types {', '.join(kinds)}; labels "
        "of a task must be of one type: ints, bools or strings."
    )


def _as_ints(observed: NDArray, label: str) -> NDArray[np.integer]:
    """Python's ints as a dtype that holds them all."""
    low, high = int(min(observed)), int(max(observed))
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return observed.astype(dtype)
    raise ValueError(
        f"{label} of Y holds the label {high if high > -low else low}, which no integer of 64 bits "
        "can hold. Pass such labels as strings."
    )
