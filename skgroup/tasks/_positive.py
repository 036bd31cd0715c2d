"""Which class of a binary task is the positive one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._containers import column_to_array, is_missing
from skgroup.tasks._layout import KINDS
from skgroup.tasks._multiclass import MULTICLASS
from skgroup.tasks._names import by_task_key, task_label
from skgroup.tasks._table import MISSING, NO_POSITIVE, UNKNOWN


def positive_codes(
    classes: Sequence[NDArray],
    names: NDArray[np.object_] | None = None,
    pos_label: Any = None,
    ordered: Sequence[Any] | None = None,
    constant: NDArray[np.intp] | None = None,
    task_types: Sequence[str] | None = None,
) -> NDArray[np.intp]:
    """Which class of each task is the positive one: what F1, thresholds and weights speak of.

    Parameters
    ----------
    classes : sequence of ndarray of shape (n_classes,), one a task
    names : ndarray of shape (n_tasks,) of str, default=None
    pos_label : label, dict of label by task, or None, default=None
        The positive class of all binary tasks that have it, or of each task (by name, or position
        where there are no names). What it does not name: the last of an ordered categorical, or
        1 or True.
    ordered : sequence, one a task, default=None
        Of an ordered categorical its categories in their order; None for others.
    constant : ndarray of shape (n_tasks,), default=None
        `TaskTable.constant`: tasks whose other class was not observed, and may be the positive one.
    task_types : sequence of str, one a task, default=None
        The kinds of the tasks: others than "binary" have no positive class.

    Returns
    -------
    positive : ndarray of shape (n_tasks,)
        Codes; `UNKNOWN` where nothing says which of two, or where it is not among the classes;
        `NO_POSITIVE` where there are more, or numbers.

    Raises
    ------
    ValueError
        If `pos_label` names no task, a regression task, or no class of the task (of any binary
        task).
    """
    if not isinstance(pos_label, Mapping) and (np.ndim(pos_label) or hasattr(pos_label, "iloc")):
        raise ValueError(
            f"The 'pos_label' parameter must be a label or a dict of labels by task. Got "
            f"{pos_label!r}."
        )
    by_task = by_task_key(pos_label, names) if isinstance(pos_label, Mapping) else {}
    keys = list(range(len(classes))) if names is None else list(names)
    for key in by_task:
        if key not in keys:
            raise ValueError(f"The 'pos_label' parameter names {key!r}, which is no task: {keys}.")
    positive = np.full(len(classes), NO_POSITIVE, dtype=np.intp)
    used = False
    for t, of_task in enumerate(classes):
        kind = None if task_types is None else KINDS[task_types[t]]
        if kind is not None and not kind.has_classes:
            if keys[t] in by_task:
                raise ValueError(
                    "The 'pos_label' parameter must name tasks with classes. "
                    f"{task_label(names, t)} is a regression task."
                )
            continue
        given = by_task.get(keys[t]) if isinstance(pos_label, Mapping) else pos_label
        labels = of_task.tolist()
        there = given is not None and any(_same_label(given, label) for label in labels)
        # The positive class may be nowhere.
        alone = len(labels) == 1 or (constant is not None and constant[t] != MISSING)
        of_kind = given is not None and isinstance(given, str) == isinstance(labels[0], str)
        if keys[t] in by_task and not there and not alone:
            raise ValueError(
                f"The 'pos_label' parameter must be a class of {task_label(names, t)}, one of "
                f"{labels}. Got {given!r}."
            )
        if len(labels) > 2 or kind is MULTICLASS:
            continue
        used |= there or alone
        rank = None if ordered is None or ordered[t] is None else list(ordered[t])
        if there:
            positive[t] = next(k for k, label in enumerate(labels) if _same_label(given, label))
        elif alone and (of_kind or keys[t] in by_task):
            positive[t] = UNKNOWN
        elif rank is not None and len(labels) == 1:
            positive[t] = 0 if labels[0] == rank[-1] else UNKNOWN
        elif rank is not None and all(label in rank for label in labels):
            positive[t] = max(range(len(labels)), key=lambda k: rank.index(labels[k]))
        elif of_task.dtype.kind in "biuf" and 1 in labels:
            positive[t] = labels.index(1)
        else:
            positive[t] = UNKNOWN
    for_all = pos_label is not None and not isinstance(pos_label, Mapping)
    if for_all and not used and (positive != NO_POSITIVE).any():
        raise ValueError(
            f"The 'pos_label' parameter must be a class of a binary task. Got {pos_label!r}, "
            f"but the classes are {[c.tolist() for c in classes]}."
        )
    return positive


def _same_label(a: Any, b: Any) -> bool:
    return isinstance(a, str) == isinstance(b, str) and bool(a == b)


def categories_of(column: Any) -> Any:
    """The categories, in their order, of an ordered categorical column; None of others."""
    dtype: Any = getattr(column, "dtype", None)
    return list(dtype.categories) if getattr(dtype, "ordered", False) else None


def classes_met(*columns: Any, pos_label: Any = None) -> NDArray:
    """The sorted labels that columns of one task hold.

    Where a single one is met, the other class is told by what it is (0 and 1, -1 and 1), by an
    ordered categorical of two, or by a positive class that is named.
    """
    arrays = [column_to_array(column) for column in columns]
    met: set[Any] = set()
    for array in arrays:
        if array.dtype.kind in "biuf":
            met |= set(np.unique(array[array == array]).tolist())
        else:
            met |= {v for v in array.tolist() if not is_missing(v)}
    # One class met says nothing of which it is, so 0/1 labels are taken for what they are.
    if met <= {0, 1}:
        met |= {0, 1}
    elif met == {-1}:
        met |= {1}
    if len(met) < 2:
        rank = categories_of(columns[0])
        met |= set(rank if rank is not None and len(rank) == 2 and met <= set(rank) else [])
    if (
        len(met) < 2
        and pos_label is not None
        and isinstance(pos_label, str) == (isinstance(next(iter(met)), str))
    ):
        met.add(pos_label)
    if len({isinstance(v, str) for v in met}) > 1:
        raise ValueError(f"Y_true and Y_pred of a task mix strings and numbers. Got {met}.")
    return np.array(sorted(met))
