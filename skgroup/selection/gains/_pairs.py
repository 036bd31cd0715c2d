"""Gains of pairs of tasks as a matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pairs_of_tasks(n_tasks: int) -> NDArray[np.bool_]:
    """All pairs as groups, (n_pairs, n_tasks)."""
    i, j = np.triu_indices(n_tasks, k=1)
    one = np.eye(n_tasks, dtype=bool)
    return one[i] | one[j]


def matrix_of_pairs(masks: NDArray[np.bool_], gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """[i, j]: gain of task j in the pair of i and j, (n_tasks, n_tasks); NaN where none is among
    the groups (n_groups, n_tasks), each of which is there once."""
    values = np.full((masks.shape[1],) * 2, np.nan)
    pairs = masks.sum(axis=1) == 2
    i, j = np.nonzero(masks[pairs])[1].reshape(-1, 2).T
    rows = np.arange(len(i))
    values[i, j], values[j, i] = gains[pairs][rows, j], gains[pairs][rows, i]
    return values
