"""Groups as rows of 0 and 1, and gains beside them: what is checked of both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Tasks up to which all groups are listed: 2^16 - 1 of them.
_MOST_TASKS = 16


def all_groups(n_tasks: Any, *, most: int = _MOST_TASKS, name: str = "pool") -> NDArray[np.bool_]:
    """All groups of `n_tasks` tasks, (2^n_tasks - 1, n_tasks), by size; refused above `most`."""
    if not 1 <= n_tasks <= most:
        raise ValueError(
            f"{name} can be all groups of 1 to {most} tasks. Got {n_tasks} tasks; give the masks "
            "of some groups instead."
        )
    codes = np.arange(1, 2 ** int(n_tasks))
    masks = (codes[:, None] >> np.arange(int(n_tasks)) & 1).astype(bool)
    return masks[np.lexsort((codes, masks.sum(axis=1)))]


def check_masks(
    masks: Any, n_tasks: int | None = None, *, name: str = "masks"
) -> NDArray[np.bool_]:
    """Groups as a bool array.

    Parameters
    ----------
    masks : array-like of shape (n_groups, n_tasks), of bool or of 0 and 1
    n_tasks : int, default=None
        How many tasks there must be.
    name : str
        What to call them in messages.

    Returns
    -------
    masks : ndarray of bool, a copy

    Raises
    ------
    ValueError
        If the shape does not fit, an entry is neither 0 nor 1, or a group is empty.
    """
    try:
        array = np.array(masks, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold 0 and 1 (or bools). Got {masks!r}.") from None
    if array.ndim != 2 or 0 in array.shape or n_tasks not in (None, array.shape[1]):
        wanted = "n_tasks" if n_tasks is None else f"n_tasks={n_tasks}"
        raise ValueError(
            f"{name} must be of shape (n_groups, {wanted}), one row a group. Got shape "
            f"{array.shape}."
        )
    wrong = array[(array != 0) & (array != 1)]
    if len(wrong):
        raise ValueError(f"{name} must hold 0 and 1 (or bools). Got {wrong[0]}.")
    empty = np.flatnonzero(~array.any(axis=1))
    if len(empty):
        raise ValueError(f"{name} must have no empty group. Got row {empty[0]} without a task.")
    return array.astype(bool)


def check_gains(gains: Any, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Gains as a float array, a copy, finite where checked `masks` have a task."""
    if np.ma.is_masked(gains):
        gains = np.ma.filled(np.ma.asarray(gains, dtype=np.float64), np.nan)
    try:
        values = np.array(gains)
        if values.dtype.kind not in "biufO":  # NumPy would make numbers of dates, and of text
            raise TypeError
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"gains must be an array of numbers. Got {gains!r}.") from None
    if values.shape != masks.shape:
        raise ValueError(
            f"gains must be of the shape of masks, {masks.shape}. Got shape {values.shape}."
        )
    wrong = np.argwhere(masks & ~np.isfinite(values))
    if len(wrong):
        group, task = wrong[0]
        raise ValueError(
            "gains must be finite where masks has a task. Got "
            f"{values[group, task]} for task {task} in row {group}."
        )
    return values
