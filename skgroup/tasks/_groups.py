"""Groups of tasks as rows of 0 and 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._names import by_task_columns
from skgroup.tasks._table import TaskTable

#: Tasks up to which all groups are listed: 2^16 - 1 of them.
_MOST_TASKS = 16
#: Tasks up to which all groups are measured: 2^10 - 1 of them.
_MOST_MEASURED = 10
_LISTS = list | tuple | set | frozenset | np.ndarray


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


def masks_of_names(
    groups: Any, n_tasks: int, names: NDArray[np.object_] | None, name: str
) -> NDArray[np.bool_]:
    """Groups that are given by their tasks, as rows of a bool array.

    Parameters
    ----------
    groups : dict of group to tasks, or sequence of tasks, one a group
        Tasks by name, or by position where they have no names; a single one needs no list.
    n_tasks : int
    names : ndarray of shape (n_tasks,) of str, or None
    name : str
        What to call the groups in messages.

    Returns
    -------
    masks : ndarray of bool, of shape (n_groups, n_tasks)

    Raises
    ------
    ValueError
        If there is no such task, or a group names one twice.
    """
    position = {key: t for t, key in enumerate(range(n_tasks) if names is None else names)}
    masks = np.zeros((len(groups), n_tasks), dtype=bool)
    for j, (group, tasks) in enumerate(_tasks_of(groups)):
        for task in tasks if names is None else map(str, tasks):
            if task not in position:
                raise ValueError(
                    f"{name} names {task!r} in group {group!r}, which is no task: {list(position)}."
                )
            if masks[j, position[task]]:
                raise ValueError(f"{name} names {task!r} twice in group {group!r}.")
            masks[j, position[task]] = True
    return masks


def _tasks_of(groups: Any) -> Iterator[tuple[Any, list[Any]]]:
    """What each group is called, and its tasks as they are given."""
    for group, tasks in groups.items() if isinstance(groups, Mapping) else enumerate(groups):
        alone = isinstance(tasks, str) or not hasattr(tasks, "__len__")
        yield group, [tasks] if alone else list(tasks)


def names_in_groups(groups: Any, n_tasks: int) -> NDArray[np.object_] | None:
    """The names of tasks that groups speak of, for what is asked of them before there is a table;
    None where they speak of positions, or of more than `n_tasks`."""
    if not are_of_names(groups):
        return None
    tasks = dict.fromkeys(task for _, of_group in _tasks_of(groups) for task in of_group)
    if len(tasks) > n_tasks or set(tasks) <= set(range(n_tasks)):
        return None
    return np.array([str(task) for task in tasks], dtype=object)


def are_of_names(groups: Any) -> bool:
    """Whether groups are given by their tasks: a dict, or a list with lists of names."""
    is_table = hasattr(groups, "shape")  # a sparse matrix by keys is a dict too
    return (isinstance(groups, Mapping) and not is_table) or (
        isinstance(groups, list | tuple)
        and any(isinstance(g, _LISTS) and any(isinstance(t, str) for t in g) for g in groups)
    )


def as_masks(
    groups: Any, n_tasks: int, names: NDArray[np.object_] | None, name: str = "masks"
) -> Any:
    """Groups by the names of their tasks (a dict, or lists of names) as masks; all else as it is,
    the columns of a DataFrame in the order of `names`."""
    if are_of_names(groups):
        return masks_of_names(groups, n_tasks, names, name)
    subject = name[0].lower() + name[1:]
    return by_task_columns(groups, names, f"The columns of {subject}")


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
    masks : {"all", "pairs"}, array-like of shape (n_groups, n_tasks), or groups by name
        All groups, single tasks and pairs, or these; see `as_masks`.
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
    given = as_masks(masks, table.n_tasks, table.names, name)
    groups = check_masks(given, table.n_tasks, name=name)
    if len(np.unique(groups, axis=0)) < len(groups):
        raise ValueError(f"{name} must hold each group once.")
    if table.learnable.all():
        return groups
    groups = groups & table.learnable
    groups = groups[groups.any(axis=1)]
    _, first = np.unique(groups, axis=0, return_index=True)
    return groups[np.sort(first)]
