"""Tasks by their names: the columns of a second table, rows and keys of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray


def match_names(
    given: NDArray[np.object_],
    names: NDArray[np.object_] | None,
    subject: str,
    wanted: str = "the tasks that were seen in fit",
) -> NDArray[np.intp] | None:
    """Where each of the tasks `names` stands in `given`, (n_tasks,); None where positions count.

    `subject` and `wanted` say in messages what `given` and `names` are.

    Positions count where there are no names to match, and where those of `given` are the
    numbers that pandas gives to what has no names.

    Raises
    ------
    ValueError
        If a name is missing or new.
    """
    if names is None:
        return None
    place = {name: t for t, name in enumerate(given)}
    missing = [name for name in names if name not in place]
    new = [name for name in given if name not in set(names)]
    if not missing and not new:
        return np.array([place[name] for name in names], dtype=np.intp)
    if given.tolist() == [str(t) for t in range(len(names))]:
        return None
    raise ValueError(
        f"{subject} must be {wanted}."
        + (f" Missing: {', '.join(missing)}." if missing else "")
        + (f" New: {', '.join(new)}." if new else "")
    )


def by_task_names(value: Any, names: NDArray[np.object_] | None, subject: str) -> Any:
    """A Series or DataFrame with a row a task in the order of `names`, or of positions where tasks
    have no names and its index is all of these; all else as it is."""
    index: Any = getattr(value, "index", None)
    if callable(index) or not hasattr(value, "iloc"):
        return value
    if names is None:
        positions = np.arange(len(index))
        if getattr(index.dtype, "kind", "O") not in "iu" or set(index) != set(positions):
            return value
        names = positions.astype(str).astype(object)
    order = match_names(names_of(index, subject), names, subject)
    return value if order is None else value.iloc[order]


def by_task_columns(value: Any, names: NDArray[np.object_] | None, subject: str, *rest: str) -> Any:
    """A DataFrame with a column a task in the order of `names`; all else as it is. The rest is
    as in `match_names`."""
    if names is None or not hasattr(value, "columns"):
        return value
    order = match_names(names_of(value.columns, subject), names, subject, *rest)
    if order is None:
        return value
    return value.iloc[:, order] if hasattr(value, "iloc") else value[:, order.tolist()]


def by_task_key(given: Mapping[Any, Any], names: NDArray[np.object_] | None) -> dict[Any, Any]:
    """A dict by task with names as tasks have them: a column 10 is the task "10"."""
    return dict(given) if names is None else {str(key): value for key, value in given.items()}


def task_position(task: Any, n_tasks: int, names: NDArray[np.object_] | None) -> int:
    """The position of a task that is given by name, or by position where tasks have no names.

    Raises
    ------
    ValueError
        If there is no such task: the message lists them.
    """
    if names is None:
        if isinstance(task, Integral) and not isinstance(task, bool) and 0 <= int(task) < n_tasks:
            return int(task)
        raise ValueError(
            f"task must be a position from 0 to {n_tasks - 1}, as Y had no names in fit. Got "
            f"{task!r}."
        )
    known = names.tolist()
    if str(task) not in known:
        raise ValueError(f"task must be the name of a task of fit: {known}. Got {task!r}.")
    return known.index(str(task))


def names_of(columns: Any, subject: str) -> NDArray[np.object_]:
    names = np.array([str(c) for c in columns], dtype=object)
    unique, counts = np.unique(names.astype(str), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{subject} must have different names. Got {', '.join(unique[counts > 1])} more than "
            "once."
        )
    return names


def task_label(names: NDArray[np.object_] | None, task: Any) -> str:
    return f"task {task}" if names is None else f"task {task} ({names[task]!r})"
