"""Scores over tasks that may be of different kinds and may lack labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from skgroup._compat import _check_sample_weight
from skgroup._validation import MISSING, TaskTable, _is_missing, check_tasks

__all__ = ["multitask_f1_score", "multitask_roc_auc_score"]


def multitask_f1_score(
    Y_true: Any,
    Y_pred: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """F1 of every task, or its mean over the tasks.

    A binary task counts with the F1 of its second class, a multiclass task with the unweighted
    mean of the F1 of its classes. Where a label is missing, its prediction does not count. With
    binary tasks and no missing label this is scikit-learn's `f1_score(..., average="macro")` of a
    multilabel indicator.

    Parameters
    ----------
    Y_true : array-like of shape (n_samples, n_tasks) or (n_samples,)
        True labels; NaN or None where a label is missing.
    Y_pred : array-like of the same shape
        Predicted labels.
    classes : sequence of ndarray, one a task, default=None
        Classes of each task. If None, those met in `Y_true` and `Y_pred`.
    average : {"macro", None}, default="macro"
        The mean over tasks, or all of them.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        0 for a task whose score is not defined (its second class neither met nor predicted),
        NaN (left out of the mean) for one without any label in `Y_true`.

    Raises
    ------
    ValueError
        If the shapes differ, or a label is not among `classes`.

    Examples
    --------
    >>> from skgroup.metrics import multitask_f1_score
    >>> multitask_f1_score([[1, 0], [0, 1], [1, None]], [[1, 1], [0, 1], [0, 0]], average=None)
    array([0.66666667, 0.66666667])
    """
    true, predicted = _check_pair(Y_true, Y_pred, classes)

    seen = true.codes != MISSING
    n_classes = np.array([len(c) for c in true.classes])
    weight = _weight(sample_weight, true)

    def count(mask: NDArray) -> NDArray:
        return mask.sum(axis=0) if weight is None else weight @ mask

    total = np.zeros(true.n_tasks)
    for k in range(max(2, n_classes.max())):
        # Class by class, all tasks that count it at once; of a binary task, the second class.
        tasks = np.flatnonzero((n_classes > k) & (n_classes > 2) | (k == 1))
        if len(tasks) == 0:
            continue
        observed, is_k = seen[:, tasks], true.codes[:, tasks] == k
        said_k = (predicted.codes[:, tasks] == k) & observed
        n_both, n_either = count(is_k & said_k), count(is_k) + count(said_k)
        total[tasks] += np.divide(
            2 * n_both, n_either, out=np.zeros(len(tasks)), where=n_either > 0
        )
    scores = np.where(seen.any(axis=0), total / np.where(n_classes > 2, n_classes, 1), np.nan)
    return _averaged(scores, average)


def multitask_roc_auc_score(
    Y_true: Any,
    Y_score: Any,
    *,
    classes: Sequence[NDArray] | None = None,
    average: str | None = "macro",
    sample_weight: Any = None,
) -> float | NDArray[np.float64]:
    """Area under the ROC curve of every task, or its mean over the tasks.

    Parameters
    ----------
    Y_true : array-like of shape (n_samples, n_tasks) or (n_samples,)
        True labels; NaN or None where a label is missing.
    Y_score : array-like of shape (n_samples, n_tasks), or list of (n_samples, n_classes)
        What `predict_proba` returns. A task of more than two classes counts with the one-vs-rest
        mean over its classes.
    classes : sequence of ndarray, one a task, default=None
        Classes of each task. If None, those met in `Y_true`.
    average : {"macro", None}, default="macro"
        The mean over tasks, or all of them.
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        NaN for a task where `Y_true` lacks one of the classes; NaN is left out of the mean.

    Raises
    ------
    ValueError
        If the shapes differ, or a label is not among `classes`.

    Examples
    --------
    >>> from skgroup.metrics import multitask_roc_auc_score
    >>> multitask_roc_auc_score([[0, 1], [1, 0], [1, 1]], [[0.1, 0.9], [0.8, 0.2], [0.7, 0.1]])
    0.75
    """
    true = check_tasks(Y_true, classes=_known(classes, Y_true))
    a_task = isinstance(Y_score, list) and all(np.ndim(s) == 2 for s in Y_score)
    scores = list(Y_score) if a_task else _columns(np.asarray(Y_score), true)
    if len(scores) != true.n_tasks or any(len(s) != len(true.codes) for s in scores):
        found = [np.shape(s) for s in Y_score] if a_task else np.shape(Y_score)
        raise ValueError(
            "Y_true and Y_score must have the same number of samples and tasks. Got "
            f"{np.shape(Y_true)} and {found}."
        )

    def auc(t: int, seen: NDArray, weight: NDArray | None) -> float:
        codes, score = true.codes[seen, t], np.asarray(scores[t])[seen]
        n_classes = len(true.classes[t])
        if len(np.unique(codes)) < max(n_classes, 2):
            return np.nan
        if n_classes == 2:
            score = score[:, 1] if score.ndim == 2 else score
            return roc_auc_score(codes, score, sample_weight=weight)
        indicator = codes[:, None] == np.arange(n_classes)
        return roc_auc_score(indicator, score, average="macro", sample_weight=weight)

    return _averaged(_over_tasks(auc, true, _weight(sample_weight, true)), average)


def _columns(score: NDArray, true: TaskTable) -> list[NDArray]:
    if true.is_1d:
        return [score]
    return list(score.T) if score.ndim == 2 else [score]


def _known(classes: Sequence[NDArray] | None, *tables: Any) -> list[NDArray]:
    """The given classes, or those met in the tables."""
    if classes is not None:
        return [np.asarray(c) for c in classes]
    arrays = [np.asarray(table) for table in tables]
    numeric = all(array.dtype.kind in "biuf" for array in arrays)
    if not numeric:
        arrays = [np.asarray(table, dtype=object) for table in tables]
    joined = np.concatenate(arrays)
    columns = joined[:, None] if joined.ndim == 1 else joined
    found = []
    for column in columns.T:
        if numeric and ((column == 0) | (column == 1) | (column != column)).all():
            met = {0, 1}
        elif numeric:
            met = set(np.unique(column[column == column]).tolist())
        else:
            met = {v for v in column.tolist() if not _is_missing(v)}
        # One class met says nothing of which it is, so 0/1 labels are taken for what they are.
        if met <= {0, 1}:
            met |= {0, 1}
        if len({isinstance(v, str) for v in met}) > 1:
            raise ValueError(f"Y_true and Y_pred of a task mix strings and numbers. Got {met}.")
        found.append(np.array(sorted(met)))
    return found


def _check_pair(
    Y_true: Any, Y_pred: Any, classes: Sequence[NDArray] | None
) -> tuple[TaskTable, TaskTable]:
    if np.shape(Y_true) != np.shape(Y_pred):
        raise ValueError(
            f"Y_true and Y_pred must be of the same shape. Got {np.shape(Y_true)} and "
            f"{np.shape(Y_pred)}."
        )
    known = _known(classes, Y_true, Y_pred)
    return check_tasks(Y_true, classes=known), check_tasks(Y_pred, classes=known)


def _weight(sample_weight: Any, true: TaskTable) -> NDArray[np.float64] | None:
    if sample_weight is None:
        return None
    return _check_sample_weight(sample_weight, true.codes, dtype=np.float64)


def _over_tasks(
    score: Callable[[int, NDArray, NDArray | None], float],
    true: TaskTable,
    weight: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    scores = np.full(true.n_tasks, np.nan)
    for t in range(true.n_tasks):
        seen = true.codes[:, t] != MISSING
        if seen.any():
            scores[t] = score(t, seen, None if weight is None else weight[seen])
    return scores


def _averaged(scores: NDArray[np.float64], average: str | None) -> float | NDArray[np.float64]:
    if average not in ("macro", None):
        raise ValueError(f"The 'average' parameter must be 'macro' or None. Got {average!r}.")
    if average is None:
        return scores
    return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")
