"""What kind each task is: said by the `task_types` parameter, or seen in its column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._binary import BINARY
from skgroup.tasks._containers import column_to_array
from skgroup.tasks._encoding import where_missing
from skgroup.tasks._layout import KINDS
from skgroup.tasks._multiclass import MULTICLASS
from skgroup.tasks._names import by_task_key, by_task_names, task_label
from skgroup.tasks._regression import REGRESSION, looks_continuous
from skgroup.tasks._table import AUTO

#: Of a task that is known to have classes, and not how many there are.
CLASSES = "classes"
_RULE = (
    "The 'task_types' parameter must be 'auto' or one of "
    f"{', '.join(map(repr, KINDS))}, for all tasks, or one of these a task: a sequence, or a dict "
    "by task (the others are 'auto')"
)


def given_types(
    task_types: Any, n_tasks: int, names: NDArray[np.object_] | None
) -> tuple[str, ...]:
    """What `task_types` says of each task: "auto" or a kind.

    Raises
    ------
    ValueError
        If it is no such thing, or not of these tasks.
    """
    if isinstance(task_types, str):
        of_tasks = [task_types] * n_tasks
    elif isinstance(task_types, Mapping):
        keys = list(range(n_tasks)) if names is None else list(names)
        by_task = by_task_key(task_types, names)
        unknown = [key for key in by_task if key not in keys]
        if unknown:
            raise ValueError(f"{_RULE}. It names {unknown[0]!r}, which is no task: {keys}.")
        of_tasks = [by_task.get(key, AUTO) for key in keys]
    elif isinstance(task_types, Sequence) or np.ndim(task_types) == 1:
        of_tasks = list(by_task_names(task_types, names, "The index of 'task_types'"))
        if len(of_tasks) != n_tasks:
            raise ValueError(f"{_RULE}. Got {len(of_tasks)} for {n_tasks} tasks.")
    else:
        raise ValueError(f"{_RULE}. Got {task_types!r}.")
    wrong = [of_task for of_task in of_tasks if of_task not in (AUTO, CLASSES, *KINDS)]
    if wrong:
        raise ValueError(f"{_RULE}. Got {wrong[0]!r}.")
    return tuple(of_tasks)


def is_regression(column: NDArray, given: str, label: str) -> bool:
    """Whether a column is a regression task: floats that are not all whole numbers, if nothing
    is said of it."""
    if given != AUTO:
        return given == REGRESSION.name
    return looks_continuous(column[~where_missing(column, label)])


def types_of_columns(
    columns: Any, task_types: Any, names: NDArray[np.object_] | None
) -> tuple[str, ...]:
    """What `given_types` says, and "regression" where a column looks like it."""
    given = given_types(task_types, len(columns), names)
    return tuple(
        REGRESSION.name
        if is_regression(column_to_array(column), of_task, task_label(names, t))
        else of_task
        for t, (column, of_task) in enumerate(zip(columns, given, strict=True))
    )


def type_of(given: str, n_classes: int, names: NDArray[np.object_] | None, task: int) -> str:
    """The kind of a task of so many classes: as it is said, or by their number. A single one
    counts as binary."""
    if given == BINARY.name and n_classes > 2:
        raise ValueError(
            f"The 'task_types' parameter says that {task_label(names, task)} is binary, but it has "
            f"{n_classes} classes."
        )
    if given not in (AUTO, CLASSES):
        return given
    return (BINARY if n_classes <= 2 else MULTICLASS).name
