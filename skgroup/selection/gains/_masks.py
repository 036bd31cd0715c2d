"""Groups as rows of 0 and 1, and gains beside them: what is checked of both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks import all_groups, check_masks

__all__ = ["all_groups", "check_gains", "check_masks"]


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


def mean_of_others(masks: NDArray[np.bool_], effects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean effect of the other members of each group onto each task, (n_groups, n_tasks).

    Entry [i, t] of `effects` is that of task i on task t; what a task does to itself does not
    count. 0 for groups of one.
    """
    others = effects - np.diag(np.diag(effects))
    n_others = masks.sum(axis=1, keepdims=True) - 1
    return (masks.astype(np.float64) @ others) / np.maximum(n_others, 1)
