"""Memberships of tasks in groups, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks import are_of_names, by_task_names, masks_of_names

__all__ = ["HardLabelsMixin", "check_membership", "one_hot", "read_membership"]


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


def read_membership(
    given: Any,
    n_tasks: int,
    *,
    owner: str,
    name: str = "The given membership",
    task_names: NDArray[np.object_] | None = None,
    all_tasks: bool | NDArray[np.bool_] = True,
) -> tuple[NDArray[np.float64], NDArray[np.object_] | None]:
    """Memberships, or groups as people write them, as memberships; and the names of the groups.

    Parameters
    ----------
    given : array-like of shape (n_tasks, n_groups) or (n_tasks,), dict of group to tasks, \
            or list of lists of names
        Memberships; the group of each task, an int or str; or the tasks of each group, by name
        (in a dict by position where they have none): a task of several groups belongs to them in
        equal shares.
        Rows of a DataFrame or Series are matched by the names of tasks.
    n_tasks : int
    owner : str
        Whose parameter a partition is, for messages.
    name : str
        What to call memberships in messages.
    task_names, all_tasks
        As in `check_membership`.

    Returns
    -------
    membership : ndarray of shape (n_tasks, n_groups)
    group_names : ndarray of shape (n_groups,) of str, or None
        The keys of the dict, the labels that are strings, or the named columns of a DataFrame.

    Raises
    ------
    ValueError
        As `check_membership`, or if there is no such task, or a label is missing.
    """
    names: Any = None
    if are_of_names(given):
        names = list(given) if isinstance(given, Mapping) else None
        held = masks_of_names(given, n_tasks, task_names, owner).T
        given = held / np.maximum(held.sum(axis=1, keepdims=True), 1)
    elif _n_dimensions(given, owner) == 1:
        labels = np.asarray(by_task_names(given, task_names, "The rows of the given partition"))
        if len(labels) != n_tasks or not _are_labels(labels):
            raise ValueError(
                f"{owner}, where it is a partition, must hold a group (an int or str) for each of "
                f"the {n_tasks} tasks. Got {given!r}."
            )
        if labels.dtype.kind not in "biu":
            names, labels = np.unique(labels.astype(str), return_inverse=True)
        given = one_hot(labels)
    elif hasattr(given, "columns") and all(isinstance(c, str) for c in given.columns):
        names = given.columns
    membership = check_membership(
        given, n_tasks, name=name, all_tasks=all_tasks, task_names=task_names
    )
    return membership, None if names is None else np.array([str(n) for n in names], dtype=object)


def _n_dimensions(given: Any, owner: str) -> int:
    try:
        return np.ndim(given)
    except ValueError:
        raise ValueError(
            f"{owner} must hold memberships, a row a task; the group of each task; or the tasks of "
            f"each group, in a dict, or by name in lists. Got {given!r}."
        ) from None


def _are_labels(labels: NDArray) -> bool:
    if labels.dtype.kind == "O":
        return all(isinstance(label, int | np.integer | str) for label in labels)
    return labels.dtype.kind in "biuUS"


class HardLabelsMixin:
    """`labels_` of what has `membership_`: the group of each task."""

    membership_: NDArray[np.float64]

    @property
    def labels_(self) -> NDArray[np.intp]:
        """The group of each task, (n_tasks,): the one of its largest membership, of equal ones
        that which serves it most; -1 of a task in no group."""
        membership = self.membership_
        held = membership > 0
        strongest = held & (membership == membership.max(axis=1, keepdims=True))
        serving = getattr(self, "serving_weights_", membership)
        labels: NDArray[np.intp] = np.where(strongest, serving, -1.0).argmax(axis=1)
        return np.where(held.any(axis=1), labels, -1)


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
