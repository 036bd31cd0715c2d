"""Memberships of tasks in groups, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks import by_task_names

__all__ = ["check_membership", "one_hot"]


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
    membership: Any,
    n_tasks: int,
    *,
    name: str = "membership",
    all_tasks: bool | NDArray[np.bool_] = True,
    all_groups: bool = True,
    task_names: NDArray[np.object_] | None = None,
) -> NDArray[np.float64]:
    """Memberships or serving weights as a float array, or an error.

    Parameters
    ----------
    membership : array-like of shape (n_tasks, n_groups)
    n_tasks : int
        Number of tasks of `Y`.
    name : str
        What to call it in messages.
    all_tasks : bool or ndarray of shape (n_tasks,) of bool, default=True
        Whether every task must be in some group, or which ones must.
    all_groups : bool, default=True
        Whether every group must have a task.
    task_names : ndarray of shape (n_tasks,) of str, default=None
        Names of the tasks: the rows of a DataFrame are brought into their order.

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
    membership = by_task_names(membership, task_names, f"The rows of {name[0].lower() + name[1:]}")
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
    rules = [
        (1, "row", "a task in no group", all_tasks),
        (0, "column", "an empty group", all_groups),
    ]
    for axis, part, rule, required in rules:
        empty = np.flatnonzero(~(checked > 0).any(axis=axis) & required)
        if len(empty):
            rows = None if part == "column" else task_names
            of = "" if rows is None else f", task {rows[empty[0]]!r}"
            raise ValueError(
                f"{name} must have no all-zero {part} ({rule}). Got {part} {empty[0]}{of}."
            )
    return checked
