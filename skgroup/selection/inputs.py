"""What a `GroupSelector` is given: an affinity, measured gains, or a predictor of gains."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup._compat import argument_named
from skgroup.tasks import by_task_columns

__all__ = ["Given", "as_names", "canonical_order", "read_inputs"]


@dataclass(frozen=True)
class Given:
    """What `fit` was given: an affinity, gains with masks, or a predictor."""

    n_tasks: int
    names: NDArray[np.object_] | None
    affinity: NDArray[np.float64] | None = None
    gains: NDArray[np.float64] | None = None
    masks: NDArray[np.bool_] | None = None
    predictor: Any = None
    order: NDArray[np.intp] | None = None
    rows: NDArray[np.intp] | None = None

    def label(self, task: Any) -> str:
        if self.names is not None:
            return repr(str(self.names[task]))
        return f"task {task if self.order is None else self.order[task]}"

    def permute(self, order: NDArray[np.intp]) -> Given:
        """Tasks in another order; measured groups in an order that follows from it."""
        names = None if self.names is None else self.names[order]
        affinity = None if self.affinity is None else self.affinity[np.ix_(order, order)]
        masks, gains, rows = self.masks, self.gains, self.rows
        if masks is not None:
            masks = masks[:, order]
            gains = None if gains is None else gains[:, order]
            keys = [] if gains is None else [np.where(masks, gains, 0.0)]
            rows = np.lexsort(np.hstack([masks, *keys]).T)
            masks = masks[rows]
            gains = None if gains is None else gains[rows]
        return Given(self.n_tasks, names, affinity, gains, masks, self.predictor, order, rows)

    def predict(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Scores (n_tasks, n_listed); -inf where a task is not a member."""
        as_given = np.empty_like(masks)
        as_given[:, self.order] = masks
        name = f"predict of {type(self.predictor).__name__}"
        with argument_named(name):
            gains = np.asarray(self.predictor.predict(as_given), dtype=np.float64)
        if gains.shape != masks.shape:
            raise ValueError(
                f"{name} must return gains of the shape of the masks, {masks.shape}. Got "
                f"{gains.shape}."
            )
        gains = gains[:, self.order]
        if not np.isfinite(gains[masks]).all():
            raise ValueError(f"{name} must return finite gains for the members of each group.")
        _check_range(gains[masks], self.n_tasks, f"gains from {name}")
        scores: NDArray[np.float64] = np.where(masks, gains, -np.inf).T
        return scores


def read_inputs(R: Any, masks: Any) -> Given:
    """Tell the three kinds of input apart, and check them.

    Raises
    ------
    ValueError
        If `R` or `masks` is none of them, or they do not fit together.
    """
    is_predictor = hasattr(R, "predict") and not hasattr(R, "__array__")
    checked = None if masks is None else _read_masks(masks, R)
    if is_predictor:
        return _read_predictor(R, checked)
    names, values = _read_numbers(R, square=checked is None)
    if checked is None:
        if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
            raise ValueError(
                "R must be a square affinity matrix of shape (n_tasks, n_tasks). Got shape "
                f"{values.shape}. Measured gains need masks beside them."
            )
        if not np.isfinite(values).all():
            raise ValueError(
                "R must be finite as an affinity matrix. It holds NaN or infinity. Measured gains "
                "need masks beside them."
            )
        _check_range(values, len(values), "R")
        return Given(len(values), names, affinity=values)
    if values.shape != checked.shape:
        raise ValueError(
            f"R and masks must have the same shape. Got {values.shape} and {checked.shape}."
        )
    unknown = np.argwhere(checked & ~np.isfinite(values))
    if len(unknown):
        row, task = unknown[0]
        raise ValueError(
            "R must hold a finite gain for each task that masks say is in the group. Got "
            f"{values[row, task]} for task {task} in row {row}."
        )
    _check_range(values[checked], values.shape[1], "R")
    return Given(values.shape[1], names, gains=np.where(checked, values, np.nan), masks=checked)


def _read_masks(masks: Any, R: Any) -> NDArray[np.bool_]:
    masks = by_task_columns(masks, _names_of_columns(R), "The columns of masks")
    with argument_named("masks"):
        values = np.asarray(masks)
    if values.ndim != 2 or not values.shape[0] or not np.isin(values, (0, 1)).all():
        raise ValueError(
            "masks must be of shape (n_measured, n_tasks), of bool, or 0 and 1. Got an array "
            f"of shape {values.shape} and type {values.dtype}."
        )
    checked: NDArray[np.bool_] = values.astype(bool)
    empty = np.flatnonzero(~checked.any(axis=1))
    if len(empty):
        raise ValueError(f"masks must hold at least one task a row. Row {empty[0]} is empty.")
    return checked


def _read_predictor(predictor: Any, masks: NDArray[np.bool_] | None) -> Given:
    names = getattr(predictor, "task_names_in_", getattr(predictor, "feature_names_in_", None))
    n_tasks = getattr(predictor, "n_tasks_", getattr(predictor, "n_features_in_", None))
    if masks is not None:
        n_tasks = masks.shape[1]
    if not isinstance(n_tasks, Integral):
        raise ValueError(
            f"{type(predictor).__name__} as R must be fitted and have n_tasks_ or n_features_in_, "
            "or masks must be given."
        )
    if names is not None and len(names) != n_tasks:
        names = None
    names = None if names is None else np.array([str(n) for n in names], dtype=object)
    return Given(int(n_tasks), names, masks=masks, predictor=predictor)


def _read_numbers(
    R: Any, *, square: bool
) -> tuple[NDArray[np.object_] | None, NDArray[np.float64]]:
    """Names of tasks, if there are any, and the numbers of an affinity or of measured gains."""
    names = None
    if hasattr(R, "columns") and hasattr(R, "to_numpy"):
        # Relations name their rows after the tasks.
        index = list(getattr(R, "index", []))  # polars has none
        of_rows = square and index and all(isinstance(label, str) for label in index)
        names = _names(R.index if of_rows else R.columns, "R")
        # Rows in another order than the columns would silently swap tasks.
        if square and index != list(R.columns) and set(index) == set(R.columns):
            raise ValueError("R as a DataFrame must have its rows and columns in one order.")
        R = R.to_numpy()
    elif hasattr(R, "detach"):  # torch
        R = R.detach().cpu().numpy()
    if np.ma.is_masked(R):
        raise ValueError("R must have no masked entry.")
    try:
        values = np.array(R)
        if values.dtype.kind not in "biufO":  # NumPy would make numbers of dates, and of text
            raise TypeError
        return names, values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "R must be an affinity matrix, measured gains (with masks), or a fitted predictor "
            f"with predict(masks). Got {type(R).__name__}."
        ) from None


def _names_of_columns(R: Any) -> NDArray[np.object_] | None:
    """What the tasks of measured gains, or of a predictor of them, are called."""
    if hasattr(R, "predict"):
        names = getattr(R, "task_names_in_", getattr(R, "feature_names_in_", None))
    else:
        names = getattr(R, "columns", None)
    return None if names is None else _names(names, "R")


def _check_range(values: NDArray[np.float64], n_tasks: int, name: str) -> None:
    """Sums over tasks, and of differences, must be finite."""
    largest = float(abs(values).max(initial=0.0))
    if largest > np.finfo(np.float64).max / (8 * n_tasks**2):
        raise ValueError(
            f"{name} must hold numbers whose sums over tasks are finite. Got {largest:g}; scale "
            "them down."
        )


def as_names(task_names: Any, n_tasks: int) -> NDArray[np.object_]:
    if isinstance(task_names, str) or not hasattr(task_names, "__len__"):
        raise ValueError(f"task_names must be a list of names. Got {task_names!r}.")
    if len(task_names) != n_tasks:
        raise ValueError(f"task_names must name all {n_tasks} tasks. Got {len(task_names)} names.")
    return _names(task_names, "task_names")


def _names(names: Any, owner: str) -> NDArray[np.object_]:
    checked = np.array([str(name) for name in names], dtype=object)
    unique, counts = np.unique(checked.astype(str), return_counts=True)
    if (counts > 1).any():
        twice = str(unique[counts > 1][0])
        raise ValueError(f"{owner} must have another name for each task. Got several of {twice!r}.")
    return checked


def canonical_order(given: Given) -> NDArray[np.intp]:
    """An order of the tasks that permuting them does not change, unless tasks look alike."""
    if given.affinity is not None:
        others = given.affinity.copy()
        np.fill_diagonal(others, -np.inf)
        keys = [np.sort(others, axis=0), np.sort(others.T, axis=0), given.affinity.diagonal()]
        return np.lexsort(np.vstack(keys))
    if given.gains is not None:
        return np.lexsort(np.sort(np.nan_to_num(given.gains, nan=np.inf), axis=0))
    return np.arange(given.n_tasks)
