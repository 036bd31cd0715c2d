"""Scores of probabilities, over tasks that may be of different kinds and may lack labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from skgroup._compat import argument_named
from skgroup.metrics._scores import (
    _averaged,
    _check_true,
    _need_classes,
    _need_positive,
    _over_tasks,
    _weight,
)
from skgroup.tasks import AUTO, TaskTable, as_columns, by_task_key, task_label


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
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
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

    def auc(t: int, codes: NDArray, score: NDArray, weight: NDArray | None) -> float:
        if not _all_met(codes, true, t):
            return np.nan
        if true.kinds[t].has_two_classes:
            score = score[:, 1] if score.ndim == 2 else score
            return roc_auc_score(codes, score, sample_weight=weight)
        indicator = codes[:, None] == np.arange(len(true.classes[t]))
        return roc_auc_score(indicator, score, average="macro", sample_weight=weight)

    of_tasks = _of_labels(auc, true, Y_score, sample_weight)
    return _averaged(of_tasks, average, true, "ROC AUC")


def multitask_average_precision_score(
    Y_true: Any,
    Y_score: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    pos_label: Any = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """Average precision of every task, or its mean over the tasks: how early positives are ranked.

    The area under a task's precision-recall curve, as a sum of steps. Where positives are rare it
    says more than the area under the ROC curve; guessing is worth their share.

    Parameters
    ----------
    Y_true, Y_score, classes, average, sample_weight, task_types
        See `multitask_roc_auc_score`. A task of more than two classes counts with the one-vs-rest
        mean over its classes.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks, as in `multitask_f1_score`.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        NaN as in `multitask_roc_auc_score`.

    Raises
    ------
    ValueError
        As `multitask_roc_auc_score`; and if nothing says which class of a binary task is the
        positive one.

    Examples
    --------
    >>> from skgroup.metrics import multitask_average_precision_score
    >>> Y_score = [[0.1, 0.9], [0.8, 0.2], [0.7, 0.1]]
    >>> multitask_average_precision_score([[0, 1], [1, 0], [0, 1]], Y_score, average=None)
    array([1.        , 0.83333333])
    """
    true = _check_true(Y_true, classes, pos_label, task_types=task_types)
    _need_classes(true, "Average precision")
    _need_positive(true, "Average precision")

    def precision(t: int, codes: NDArray, score: NDArray, weight: NDArray | None) -> float:
        if not _all_met(codes, true, t):
            return np.nan
        if true.kinds[t].has_two_classes:
            positive = true.positive[t]
            if score.ndim == 2:
                score = score[:, positive]
            elif positive == 0:
                score = -score
            return average_precision_score(codes == positive, score, sample_weight=weight)
        indicator = codes[:, None] == np.arange(len(true.classes[t]))
        return average_precision_score(indicator, score, average="macro", sample_weight=weight)

    of_tasks = _of_labels(precision, true, Y_score, sample_weight)
    return _averaged(of_tasks, average, true, "Average precision")


def multitask_log_loss(
    Y_true: Any,
    Y_score: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """Log loss (cross-entropy) of every task, or its mean over the tasks.

    Parameters
    ----------
    Y_true, Y_score, classes, average, sample_weight, task_types
        See `multitask_roc_auc_score`.

    Returns
    -------
    loss : float, or ndarray of shape (n_tasks,)
        Less is better. NaN for a regression task and for one without a label in `Y_true`. The mean
        leaves these out, the latter with an UndefinedMetricWarning.

    Raises
    ------
    ValueError
        As `multitask_roc_auc_score`; and if a score is no probability.

    See Also
    --------
    multitask_normalized_entropy : In units of what knowing the shares of classes alone gives.

    Examples
    --------
    >>> from skgroup.metrics import multitask_log_loss
    >>> round(multitask_log_loss([[0, 1], [1, None]], [[0.5, 0.5], [0.5, 0.1]]), 4)
    0.6931
    """
    true = _check_true(Y_true, classes, task_types=task_types)
    _need_classes(true, "Log loss")

    def loss(t: int, codes: NDArray, score: NDArray, weight: NDArray | None) -> float:
        return _log_loss(true, t, codes, _checked(true, t, score), weight)

    of_tasks = _of_labels(loss, true, Y_score, sample_weight)
    return _averaged(of_tasks, average, true, "Log loss")


def multitask_brier_score(
    Y_true: Any,
    Y_score: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = AUTO,
) -> float | NDArray[np.float64]:
    """Brier score of every task, or its mean over the tasks: squared errors of probabilities.

    Of a binary task the mean of (p - y)², from 0 to 1; of a task of more classes the mean of the
    sum of (p - y)² over all of them, from 0 to 2, as `sklearn.metrics.brier_score_loss` has it.

    Parameters
    ----------
    Y_true, Y_score, classes, average, sample_weight, task_types
        See `multitask_roc_auc_score`.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        Less is better. NaN as in `multitask_log_loss`.

    Raises
    ------
    ValueError
        As `multitask_log_loss`.

    Examples
    --------
    >>> from skgroup.metrics import multitask_brier_score
    >>> multitask_brier_score([[0, 1], [1, None]], [[0.5, 1], [0.5, 0.1]], average=None)
    array([0.25, 0.  ])
    """
    true = _check_true(Y_true, classes, task_types=task_types)
    _need_classes(true, "The Brier score")

    def brier(t: int, codes: NDArray, score: NDArray, weight: NDArray | None) -> float:
        score = _checked(true, t, score)
        errors = (score - (codes[:, None] == np.arange(score.shape[1]))) ** 2
        of_samples = errors[:, -1] if true.kinds[t].has_two_classes else errors.sum(axis=1)
        return float(np.average(of_samples, weights=weight))

    of_tasks = _of_labels(brier, true, Y_score, sample_weight)
    return _averaged(of_tasks, average, true, "The Brier score")


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
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
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

    def entropy(t: int, codes: NDArray, score: NDArray, weight: NDArray | None) -> float:
        score = _checked(true, t, score)
        counts = np.bincount(codes, weight, minlength=score.shape[1])
        share = counts / counts.sum()
        if (share > 0).sum() < 2:
            return np.nan
        of_shares = -(share[share > 0] * np.log(share[share > 0])).sum()
        return float(_log_loss(true, t, codes, score, weight) / of_shares)

    of_tasks = _of_labels(entropy, true, Y_score, sample_weight)
    return _averaged(of_tasks, average, true, "Normalised entropy")


def _of_labels(
    score: Callable[[int, NDArray, NDArray, NDArray | None], float],
    true: TaskTable,
    Y_score: Any,
    sample_weight: Any,
) -> NDArray[np.float64]:
    """Scores of the tasks with classes, from the codes, probabilities and weights of the labels
    that count; a soft label p counts as two: 1 that weighs p, and 0 that weighs 1 - p."""
    scores = _probabilities(true, Y_score)

    def of_seen(t: int, seen: NDArray, weight: NDArray | None) -> float:
        task = true.select(np.array([t])).take(seen)
        hard, weights, rows = task.hardened(None if weight is None else weight[:, None])
        of_task = None if weights is None else weights[:, 0]
        return score(t, hard.codes[:, 0], scores[t][seen][rows], of_task)

    return _over_tasks(of_seen, true, _weight(sample_weight, true))


def _all_met(codes: NDArray, true: TaskTable, t: int) -> bool:
    return len(np.unique(codes)) >= max(len(true.classes[t]), 2)


def _checked(true: TaskTable, t: int, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of the classes of a task, refused where they are none."""
    if not (score.min() >= 0 and score.max() <= 1):
        raise ValueError(
            f"Y_score of {task_label(true.names, t)} must hold probabilities, in [0, 1]. Got "
            f"{score.min():g} to {score.max():g}."
        )
    return _of_classes(score)


def _of_classes(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (n_samples, n_classes) of a task, which sum to 1 but for rounding."""
    if score.ndim == 1:
        score = np.column_stack([1 - score, score])
    total = score.sum(axis=1, keepdims=True)
    return score / total if np.allclose(total, 1, atol=1e-4) else score  # as float32 has them


def _log_loss(
    true: TaskTable, t: int, codes: NDArray, score: NDArray[np.float64], weight: NDArray | None
) -> float:
    if score.shape[1] == 1:  # a single class is known
        score = np.hstack([score, 1 - score])
    with argument_named(f"Y_score of {task_label(true.names, t)}"):
        return log_loss(codes, score, sample_weight=weight, labels=np.arange(score.shape[1]))


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
    if true.n_tasks == 1 and np.ndim(score) == 2 and (true.is_1d or np.shape(score)[1] > 1):
        return [_numbers(score)]
    columns, *_ = as_columns(score, names=true.names, subject="The columns of Y_score")
    return [_numbers(column) for column in columns]


def _numbers(values: Any) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind in "mMc":
        raise ValueError(f"Y_score must hold real numbers. Got {array.dtype}.")
    return array.astype(np.float64)
