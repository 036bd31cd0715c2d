"""Scores over tasks that may be of different kinds and may lack labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import log_loss, roc_auc_score

from skgroup._compat import _check_sample_weight, argument_named
from skgroup.tasks import (
    AUTO,
    BINARY,
    MISSING,
    REGRESSION,
    TaskTable,
    as_columns,
    by_task_key,
    check_tasks,
    classes_met,
    task_label,
    types_of_columns,
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
    sample_weight : array-like of shape (n_samples,), default=None
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
    unknown = np.flatnonzero(true.positive_unknown)
    if len(unknown):
        label = task_label(true.names, unknown[0])
        raise ValueError(
            f"F1 must know which class of {label} is the positive one, of "
            f"{true.classes[unknown[0]].tolist()}: set the 'pos_label' parameter (of the "
            "estimator, or of the metric) to a label, or to a dict of labels by task."
        )
    seen = true.codes != MISSING
    weight = _weight(sample_weight, true)

    def count(mask: NDArray) -> NDArray:
        return mask.sum(axis=0) if weight is None else weight @ mask

    total, n_met = np.zeros(true.n_tasks), np.zeros(true.n_tasks)
    scored = true.scored_classes
    of_task = np.repeat(np.arange(true.n_tasks), [len(codes) for codes in scored])
    of_class = np.concatenate(scored)
    for k in np.unique(of_class):  # all tasks that count a class at once
        tasks = of_task[of_class == k]
        observed, is_k = seen[:, tasks], true.codes[:, tasks] == k
        predicted_k = (predicted.codes[:, tasks] == k) & observed
        n_both, n_either = count(is_k & predicted_k), count(is_k) + count(predicted_k)
        met = n_either > 0
        total[tasks] += np.divide(2 * n_both, n_either, out=np.zeros(len(tasks)), where=met)
        n_met[tasks] += met
    scores = np.divide(total, n_met, out=np.full(true.n_tasks, np.nan), where=n_met > 0)
    return _averaged(scores, average, true, "F1")


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
    sample_weight : array-like of shape (n_samples,), default=None
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
    weight = np.ones(len(true.codes)) if weight is None else weight
    total, n_met = np.zeros(true.n_tasks), np.zeros(true.n_tasks)
    for k in range(max(len(of_task) for of_task in true.classes)):  # of all tasks at once
        is_k = true.codes == k
        n_k, hits = weight @ is_k, weight @ (is_k & (predicted.codes == k))
        total += np.divide(hits, n_k, out=np.zeros(true.n_tasks), where=n_k > 0)
        n_met += n_k > 0
    defined = true.has_classes & (n_met > 1)
    scores = np.divide(total, n_met, out=np.full(true.n_tasks, np.nan), where=defined)
    return _averaged(scores, average, true, "Balanced accuracy")


def multitask_roc_auc_score(
    Y_true: Any,
    Y_score: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """Area under the ROC curve of every task, or its mean over the tasks.

    Parameters
    ----------
    Y_true : array-like of shape (n_samples, n_tasks) or (n_samples,)
        True labels; NaN or None where a label is missing.
    Y_score : array-like of shape (n_samples, n_tasks), or list of (n_samples, n_classes)
        What `predict_proba` returns; of a mixed table, a dict by task with those of the tasks that
        have classes. A task of more than two classes counts with the one-vs-rest mean over its
        classes. Columns of two DataFrames are matched by their names.
    classes : sequence of ndarray, one a task, default=None
        Classes of each task, in the order of the columns of its probabilities. If None, those
        met in `Y_true`.
    average : {"macro", None}, default="macro"
        The mean over tasks with classes, or all of them.
    sample_weight : array-like of shape (n_samples,), default=None
    task_types : str, sequence of str or dict, default="auto"
        The kinds of the tasks, as in `multitask_f1_score`.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        NaN for a regression task and for one where `Y_true` lacks one of the classes. The mean
        leaves these out, the latter with an UndefinedMetricWarning.

    Raises
    ------
    ValueError
        If the shapes or names differ, a label is not among `classes`, a weight is negative, or a
        task has probabilities of another number of classes (give `classes` where `Y_true` may
        lack some).

    Examples
    --------
    >>> from skgroup.metrics import multitask_roc_auc_score
    >>> multitask_roc_auc_score([[0, 1], [1, 0], [1, 1]], [[0.1, 0.9], [0.8, 0.2], [0.7, 0.1]])
    0.75
    """
    true = _check_true(Y_true, classes, task_types=task_types)
    _need_classes(true, "ROC AUC")
    scores = _probabilities(true, Y_score)

    def auc(t: int, seen: NDArray, weight: NDArray | None) -> float:
        n_classes = len(true.classes[t])
        if not true.kinds[t].has_classes:
            return np.nan
        codes, score = true.codes[seen, t], scores[t][seen]
        if len(np.unique(codes)) < max(n_classes, 2):
            return np.nan
        if true.kinds[t] is BINARY:
            score = score[:, 1] if score.ndim == 2 else score
            return roc_auc_score(codes, score, sample_weight=weight)
        indicator = codes[:, None] == np.arange(n_classes)
        return roc_auc_score(indicator, score, average="macro", sample_weight=weight)

    of_tasks = _over_tasks(auc, true, _weight(sample_weight, true))
    return _averaged(of_tasks, average, true, "ROC AUC")


def multitask_normalized_entropy(
    Y_true: Any,
    Y_score: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """Log loss of every task in units of what always predicting the shares of classes gives.

    Below 1 is better than knowing nothing but the shares, and 0 is perfect: the normalised entropy
    of [1]_, the metric of AdaTT's classification tasks. The log loss is divided by the entropy of
    the shares of classes in `Y_true`.

    Parameters
    ----------
    Y_true : array-like of shape (n_samples, n_tasks) or (n_samples,)
        True labels; NaN or None where a label is missing.
    Y_score : array-like of shape (n_samples, n_tasks), or list or dict of (n_samples, n_classes)
        What `predict_proba` returns, as in `multitask_roc_auc_score`.
    classes : sequence of ndarray, one a task, default=None
        Classes of each task, in the order of the columns of its probabilities. If None, those
        met in `Y_true`.
    average : {"macro", None}, default="macro"
        The mean over tasks with classes, or all of them.
    sample_weight : array-like of shape (n_samples,), default=None
    task_types : str, sequence of str or dict, default="auto"
        The kinds of the tasks, as in `multitask_f1_score`.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        Less is better. NaN for a regression task and for one where `Y_true` holds a single class.
        The mean leaves these out, the latter with an UndefinedMetricWarning.

    Raises
    ------
    ValueError
        As `multitask_roc_auc_score`.

    References
    ----------
    .. [1] X. He et al., "Practical lessons from predicting clicks on ads at Facebook", ADKDD 2014.

    Examples
    --------
    >>> from skgroup.metrics import multitask_normalized_entropy
    >>> round(multitask_normalized_entropy([0, 1, 1, 0], [0.5, 0.5, 0.5, 0.5]), 6)
    1.0
    """
    true = _check_true(Y_true, classes, task_types=task_types)
    _need_classes(true, "Normalised entropy")
    scores = _probabilities(true, Y_score)

    def entropy(t: int, seen: NDArray, weight: NDArray | None) -> float:
        if not true.kinds[t].has_classes:
            return np.nan
        codes, score = true.codes[seen, t], scores[t][seen]
        if score.ndim == 1:
            score = np.column_stack([1 - score, score])
        total = score.sum(axis=1, keepdims=True)
        if np.allclose(total, 1, atol=1e-4):  # as float32 has them
            score = score / total
        counts = np.bincount(codes, weight, minlength=score.shape[1])
        share = counts / counts.sum()
        if (share > 0).sum() < 2:
            return np.nan
        of_shares = -(share[share > 0] * np.log(share[share > 0])).sum()
        labels = np.arange(score.shape[1])
        with argument_named(f"Y_score of {task_label(true.names, t)}"):
            loss = log_loss(codes, score, sample_weight=weight, labels=labels)
        return float(loss / of_shares)

    of_tasks = _over_tasks(entropy, true, _weight(sample_weight, true))
    return _averaged(of_tasks, average, true, "Normalised entropy")


def _need_classes(true: TaskTable, name: str) -> None:
    if not true.has_classes.any():
        raise ValueError(
            f"{name} is a score of tasks with classes, but {task_label(true.names, 0)} of Y_true, "
            "as all others, is a regression task: score it by R², mean squared or mean absolute "
            "error (skgroup.metrics), or set 'task_types'."
        )


def _probabilities(true: TaskTable, Y_score: Any) -> list[NDArray[np.float64]]:
    """What `predict_proba` gave, an array a task; an empty one of regression tasks."""
    by_name = isinstance(Y_score, Mapping)
    if by_name:
        by_task = by_task_key(Y_score, true.names)
        keys = range(true.n_tasks) if true.names is None else true.names
        there = zip(keys, true.has_classes, strict=True)
        lacking = [key for key, has_classes in there if has_classes and key not in by_task]
        if lacking:
            raise ValueError(
                f"Y_score must hold probabilities of every task with classes. Got none of "
                f"{lacking[0]!r}, but of {list(by_task)}; 'task_types' says what is a regression "
                "task."
            )
        nothing = np.empty((len(true.codes), 0))
        Y_score = [by_task.get(key, nothing) for key in keys]
    a_task = by_name or (isinstance(Y_score, list) and all(np.ndim(s) == 2 for s in Y_score))
    with argument_named("Y_score"):
        scores = [_numbers(s) for s in Y_score] if a_task else _columns(Y_score, true)
    if len(scores) != true.n_tasks or any(len(s) != len(true.codes) for s in scores):
        shapes = [np.shape(s) for s in Y_score] if a_task else np.shape(Y_score)
        raise ValueError(
            "Y_true and Y_score must have the same number of samples and tasks. Got "
            f"{true.codes.shape} and {shapes}."
        )
    for t, (score, of_task) in enumerate(zip(scores, true.classes, strict=True)):
        width = score.shape[1] if score.ndim == 2 else min(len(of_task), 2)
        if true.kinds[t].has_classes and width != len(of_task):
            raise ValueError(
                f"Y_score has probabilities of {width} classes for {task_label(true.names, t)}, "
                f"but its classes are {of_task.tolist()}. Where Y_true may lack classes, give all "
                "by the 'classes' parameter."
            )
    return scores


def _columns(score: Any, true: TaskTable) -> list[NDArray]:
    columns, *_ = as_columns(score, names=true.names, subject="The columns of Y_score")
    if true.is_1d and np.ndim(score) == 2:
        return [_numbers(score)]
    return [_numbers(column) for column in columns]


def _numbers(values: Any) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind in "mMc":
        raise ValueError(f"Y_score must hold real numbers. Got {array.dtype}.")
    return array.astype(np.float64)


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
            () if of_type == REGRESSION.name else classes_met(*of_task, pos_label=label)
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
    if sample_weight is None:
        return None
    return _check_sample_weight(
        sample_weight, true.codes, dtype=np.float64, ensure_non_negative=True
    )


def _over_tasks(
    score: Callable[[int, NDArray, NDArray | None], float],
    true: TaskTable,
    weight: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    scores = np.full(true.n_tasks, np.nan)
    for t in range(true.n_tasks):
        seen = true.codes[:, t] != MISSING
        if weight is not None:
            seen = seen & (weight > 0)
        if seen.any():
            scores[t] = score(t, seen, None if weight is None else weight[seen])
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
