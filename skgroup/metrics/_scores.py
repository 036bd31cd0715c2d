"""Scores over tasks that may be of different kinds and may lack labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning

from skgroup._compat import argument_named
from skgroup.tasks import (
    AUTO,
    MISSING,
    REGRESSION,
    SOFT,
    TaskTable,
    as_columns,
    by_task_key,
    check_tasks,
    check_weights,
    classes_met,
    task_label,
    types_of_columns,
    weights_of_labels,
)


def multitask_f1_score(
    Y_true: Any,
    Y_pred: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    pos_label: Any = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """F1 of every task, or its mean over the tasks.

    A binary task counts with the F1 of its positive class, a multiclass task with the unweighted
    mean of the F1 of those of its classes that are met in truth or prediction; regression tasks
    do not count. Where a label is missing, its prediction does not count. With binary tasks of 0
    and 1 and no missing label this is scikit-learn's `f1_score(..., average="macro")` of a
    multilabel indicator.

    Parameters
    ----------
    Y_true : array-like of shape (n_samples, n_tasks) or (n_samples,)
        True labels; NaN or None where a label is missing.
    Y_pred : array-like of the same shape
        Predicted labels. Columns of two DataFrames are matched by their names.
    classes : sequence of ndarray, one a task, default=None
        Classes of each task. If None, those met in `Y_true` and `Y_pred`.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks, of all or by task (column name, or position). None is
        the last of an ordered categorical, and 1 or True.
    average : {"macro", None}, default="macro"
        The mean over tasks with classes, or all of them.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
    task_types : str, sequence of str or dict, default="auto"
        The kinds of the tasks, as `MultiTaskNet` takes them; floats that are not all whole numbers
        are regression tasks.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        NaN for a regression task and for one whose score is not defined: its positive class is
        neither met nor predicted, or it has no label in `Y_true`. The mean leaves these out, the
        latter with an UndefinedMetricWarning.

    Raises
    ------
    ValueError
        If the shapes or names differ, a label is not among `classes`, a prediction is missing, a
        weight is negative, no task has classes, or nothing says which class of a binary task is
        the positive one.

    Examples
    --------
    >>> from skgroup.metrics import multitask_f1_score
    >>> multitask_f1_score([[1, 0], [0, 1], [1, None]], [[1, 1], [0, 1], [0, 0]], average=None)
    array([0.66666667, 0.66666667])
    """
    true, predicted = _check_pair(Y_true, Y_pred, classes, pos_label, task_types)
    _need_classes(true, "F1")
    _need_positive(true, "F1")
    seen = true.codes != MISSING
    weight = _weight(sample_weight, true)
    total, n_met = np.zeros(true.n_tasks), np.zeros(true.n_tasks)
    scored = true.scored_classes
    of_task = np.repeat(np.arange(true.n_tasks), [len(codes) for codes in scored])
    of_class = np.concatenate(scored)
    for k in np.unique(of_class):  # all tasks that count a class at once
        tasks = of_task[of_class == k]
        observed, is_k = seen[:, tasks], true.codes[:, tasks] == k
        predicted_k = (predicted.codes[:, tasks] == k) & observed
        of_tasks = None if weight is None else weight[:, tasks]
        n_both = _count(is_k & predicted_k, of_tasks)
        n_either = _count(is_k, of_tasks) + _count(predicted_k, of_tasks)
        met = n_either > 0
        total[tasks] += np.divide(2 * n_both, n_either, out=np.zeros(len(tasks)), where=met)
        n_met[tasks] += met
    scores = np.divide(total, n_met, out=np.full(true.n_tasks, np.nan), where=n_met > 0)
    return _averaged(scores, average, true, "F1")


def multitask_accuracy_score(
    Y_true: Any,
    Y_pred: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """Share of labels that are predicted right, of every task or its mean over the tasks.

    Parameters
    ----------
    Y_true, Y_pred, classes, average, sample_weight, task_types
        See `multitask_balanced_accuracy_score`.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        NaN for a regression task and for one without a label in `Y_true`. The mean leaves these
        out, the latter with an UndefinedMetricWarning.

    Raises
    ------
    ValueError
        As `multitask_balanced_accuracy_score`.

    Examples
    --------
    >>> from skgroup.metrics import multitask_accuracy_score
    >>> multitask_accuracy_score([[1, 0], [0, 1], [0, None]], [[1, 1], [0, 1], [0, 0]])
    0.75
    """
    true, predicted = _check_pair(Y_true, Y_pred, classes, None, task_types)
    _need_classes(true, "Accuracy")
    weight = _weight(sample_weight, true)
    seen = true.codes != MISSING
    total, hits = _count(seen, weight), _count(seen & (true.codes == predicted.codes), weight)
    defined = true.has_classes & (total > 0)
    scores = np.divide(hits, total, out=np.full(true.n_tasks, np.nan), where=defined)
    return _averaged(scores, average, true, "Accuracy")


def multitask_balanced_accuracy_score(
    Y_true: Any,
    Y_pred: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """Balanced accuracy of every task, or its mean over the tasks.

    That of a task is the mean recall of the classes met in `Y_true`, so that a rare class counts
    as much as a frequent one and guessing is worth 1 / n_classes.

    Parameters
    ----------
    Y_true : array-like of shape (n_samples, n_tasks) or (n_samples,)
        True labels; NaN or None where a label is missing, which does not count.
    Y_pred : array-like of the same shape
        Predicted labels. Columns of two DataFrames are matched by their names.
    classes : sequence of ndarray, one a task, default=None
        Classes of each task. If None, those met in `Y_true` and `Y_pred`.
    average : {"macro", None}, default="macro"
        The mean over tasks with classes, or all of them.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
    task_types : str, sequence of str or dict, default="auto"
        The kinds of the tasks, as in `multitask_f1_score`.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        NaN for a regression task and for one where `Y_true` holds a single class. The mean leaves
        these out, the latter with an UndefinedMetricWarning.

    Raises
    ------
    ValueError
        If the shapes or names differ, a label is not among `classes`, a prediction is missing, a
        weight is negative, or no task has classes.

    Examples
    --------
    >>> from skgroup.metrics import multitask_balanced_accuracy_score
    >>> Y_true, Y_pred = [[1, 0], [0, 1], [0, None]], [[1, 1], [0, 1], [1, 0]]
    >>> multitask_balanced_accuracy_score(Y_true, Y_pred, average=None)
    array([0.75, 0.5 ])
    """
    true, predicted = _check_pair(Y_true, Y_pred, classes, None, task_types)
    _need_classes(true, "Balanced accuracy")
    weight = _weight(sample_weight, true)
    total, n_met = np.zeros(true.n_tasks), np.zeros(true.n_tasks)
    for k in range(max(len(of_task) for of_task in true.classes)):  # of all tasks at once
        is_k = true.codes == k
        n_k, hits = _count(is_k, weight), _count(is_k & (predicted.codes == k), weight)
        total += np.divide(hits, n_k, out=np.zeros(true.n_tasks), where=n_k > 0)
        n_met += n_k > 0
    defined = true.has_classes & (n_met > 1)
    scores = np.divide(total, n_met, out=np.full(true.n_tasks, np.nan), where=defined)
    return _averaged(scores, average, true, "Balanced accuracy")


def _need_classes(true: TaskTable, name: str) -> None:
    if not true.has_classes.any():
        raise ValueError(
            f"{name} is a score of tasks with classes, but {task_label(true.names, 0)} of Y_true, "
            "as all others, is a regression task: score it by R², mean squared or mean absolute "
            "error (skgroup.metrics), or set 'task_types'."
        )


def _need_positive(true: TaskTable, name: str) -> None:
    unknown = np.flatnonzero(true.positive_unknown)
    if len(unknown):
        label = task_label(true.names, unknown[0])
        raise ValueError(
            f"{name} must know which class of {label} is the positive one, of "
            f"{true.classes[unknown[0]].tolist()}: set the 'pos_label' parameter (of the "
            "estimator, before it is fitted, or of the metric) to a label, or to a dict of labels "
            "by task."
        )


def _refuse_complex(columns: list[Any], name: str) -> None:
    for column in columns:
        if np.asarray(column).dtype.kind == "c":
            raise ValueError(f"{name} must hold labels: ints, bools or strings. Got complex.")


def _check_true(
    Y_true: Any,
    classes: Sequence[Any] | None,
    pos_label: Any = None,
    *others: list[Any],
    task_types: Any = AUTO,
) -> TaskTable:
    """The true labels, encoded by the given classes, or by those met (in other columns too)."""
    if isinstance(Y_true, TaskTable):
        return Y_true
    if classes is not None and (
        isinstance(classes, str)
        or not hasattr(classes, "__len__")
        or any(np.isscalar(c) for c in classes)
    ):
        raise ValueError(
            "The 'classes' parameter must be a sequence of the classes of each task, or None. "
            f"Got {classes!r}."
        )
    columns, names, _ = as_columns(Y_true)
    _refuse_complex(columns, "Y_true")
    types = types_of_columns(columns, task_types, names)
    if classes is None:
        if isinstance(pos_label, Mapping):
            by_task = by_task_key(pos_label, names)
            positive = [
                by_task.get(key) for key in (range(len(columns)) if names is None else names)
            ]
        else:
            positive = [pos_label] * len(columns)
        classes = [
            ()
            if of_type in (REGRESSION.name, SOFT.name)
            else classes_met(*of_task, pos_label=label)
            for of_type, label, *of_task in zip(types, positive, columns, *others, strict=True)
        ]
    classes = [np.asarray(() if c is None else c) for c in classes]
    return check_tasks(Y_true, classes=classes, pos_label=pos_label, task_types=types)


def _check_pair(
    Y_true: Any,
    Y_pred: Any,
    classes: Sequence[Any] | None,
    pos_label: Any,
    task_types: Any = AUTO,
) -> tuple[TaskTable, TaskTable]:
    if isinstance(Y_true, TaskTable):
        names, shape = Y_true.names, Y_true.codes.shape
    else:
        columns, names, _ = as_columns(Y_true)
        shape = (len(columns[0]) if len(columns) else 0, len(columns))
    predicted, *_ = as_columns(Y_pred, names=names, subject="The columns of Y_pred")
    _refuse_complex(predicted, "Y_pred")
    predicted_shape = (len(predicted[0]) if len(predicted) else 0, len(predicted))
    if shape != predicted_shape:
        raise ValueError(
            f"Y_true and Y_pred must be of the same shape. Got {shape} and {predicted_shape}."
        )
    true = _check_true(Y_true, classes, pos_label, predicted, task_types=task_types)
    with argument_named("Y_pred"):
        predicted = check_tasks(
            Y_pred, classes=true.classes, names=true.names, task_types=true.task_types
        )
    unsaid = (predicted.codes == MISSING) & (true.codes != MISSING)
    if unsaid.any():
        sample, task = np.argwhere(unsaid)[0]
        raise ValueError(
            "Y_pred must hold a label or number wherever Y_true does. Got none for sample "
            f"{sample} of {task_label(true.names, task)}."
        )
    return true, predicted


def _weight(sample_weight: Any, true: TaskTable) -> NDArray[np.float64] | None:
    """Weights (n_samples, n_tasks), of samples or of each label; None where there are none."""
    if sample_weight is None:
        return None
    weight = weights_of_labels(check_weights(sample_weight, true), len(true.codes))
    return np.broadcast_to(weight, true.codes.shape)


def _count(mask: NDArray[np.bool_], weight: NDArray[np.float64] | None) -> NDArray:
    """How many samples of each task are in a mask (n_samples, n_tasks), or what they weigh."""
    return mask.sum(axis=0) if weight is None else np.einsum("st,st->t", mask, weight)


def _over_tasks(
    score: Callable[[int, NDArray, NDArray | None], float],
    true: TaskTable,
    weight: NDArray[np.float64] | None,
    *,
    numbers: bool = False,
) -> NDArray[np.float64]:
    """Scores of the tasks with classes, or of those of numbers, from their observed samples."""
    scores = np.full(true.n_tasks, np.nan)
    for t in np.flatnonzero(true.has_classes != numbers).tolist():
        seen = true.codes[:, t] != MISSING
        if weight is not None:
            seen = seen & (weight[:, t] > 0)
        if seen.any():
            scores[t] = score(t, seen, None if weight is None else weight[seen, t])
    return scores


def _averaged(
    scores: NDArray[np.float64],
    average: str | None,
    true: TaskTable,
    name: str,
    *,
    numbers: bool = False,
) -> float | NDArray[np.float64]:
    if average not in ("macro", None):
        raise ValueError(f"The 'average' parameter must be 'macro' or None. Got {average!r}.")
    if average is None:
        return scores
    counted = true.has_classes != numbers
    scores = np.where(counted, scores, np.nan)
    warn_undefined(scores, true, name, numbers=numbers)
    return float("nan") if np.isnan(scores).all() else float(np.nanmean(scores))


def warn_undefined(
    scores: NDArray[np.float64], true: TaskTable, name: str, *, numbers: bool
) -> None:
    """Say of which tasks, of numbers or of classes, a score is NaN."""
    undefined = np.flatnonzero(np.isnan(scores) & (true.has_classes != numbers))
    if len(undefined):
        warnings.warn(
            f"{name} is not defined, and left out of the mean, for "
            f"{', '.join(task_label(true.names, t) for t in undefined)}: "
            + (
                "numbers that it needs are not met."
                if numbers
                else "classes that it needs are not met."
            ),
            UndefinedMetricWarning,
            stacklevel=4,
        )
