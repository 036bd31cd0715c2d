"""Groups of tasks as rows of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._names import by_task_columns
from skgroup.tasks._table import TaskTable

#: Tasks up to which all groups are listed: 2^16 - 1 of them.
_MOST_TASKS = 16
#: Tasks up to which all groups are measured: 2^10 - 1 of them.
_MOST_MEASURED = 10


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


def groups_to_measure(
    masks: Any, table: TaskTable, *, owner: str = "GroupGains", each: str = "nets"
) -> NDArray[np.bool_]:
    """The groups that the parameter `masks` of an estimator asks for, without tasks of a single
    class.

    Parameters
    ----------
    masks : {"all", "pairs"} or array-like of shape (n_groups, n_tasks)
        All groups, single tasks and pairs, or these.
    table : TaskTable
    owner : str
        The estimator.
    each : str
        What each group costs, in the plural.

    Returns
    -------
    masks : ndarray of shape (n_groups, n_tasks) of bool

    Raises
    ------
    ValueError
        If there are too many tasks for "all", a given group is empty or given twice, or the shape
        does not fit.
    """
    if not isinstance(masks, str):
        return _given_groups(masks, table, f"The 'masks' parameter of {owner}")
    n_learnable = int(table.learnable.sum())
    if masks == "pairs":
        one = np.eye(n_learnable, dtype=bool)
        i, j = np.triu_indices(n_learnable, k=1)
        groups = np.vstack([one, one[i] | one[j]])
    elif n_learnable > _MOST_MEASURED:
        raise ValueError(
            f"The 'masks' parameter of {owner} can be 'all' for at most {_MOST_MEASURED} tasks "
            f"({2**_MOST_MEASURED - 1} {each}); pass 'pairs' or the masks of some groups. "
            f"Got 'all' for {n_learnable} tasks."
        )
    else:
        groups = all_groups(n_learnable)
    of_all = np.zeros((len(groups), table.n_tasks), dtype=bool)
    of_all[:, table.learnable] = groups
    return of_all


def _given_groups(masks: Any, table: TaskTable, name: str) -> NDArray[np.bool_]:
    given = by_task_columns(masks, table.names, f"The columns of t{name[1:]}")
    groups = check_masks(given, table.n_tasks, name=name)
    if len(np.unique(groups, axis=0)) < len(groups):
        raise ValueError(f"{name} must hold each group once.")
    if table.learnable.all():
        return groups
    groups = groups & table.learnable
    groups = groups[groups.any(axis=1)]
    _, first = np.unique(groups, axis=0, return_index=True)
    return groups[np.sort(first)]
