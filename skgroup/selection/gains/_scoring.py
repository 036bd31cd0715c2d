"""Scores of tasks on the samples that were held out from the nets, and gains from scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.tasks import MISSING, TaskTable
from skgroup.training.training_data import TrainingData

#: Probabilities and losses nearer to 0 than this count as this.
_SMALLEST = float(np.finfo(np.float32).eps)


def which_can_be_scored(scoring: str, data: TrainingData) -> NDArray[np.bool_]:
    """Which tasks can be scored on these samples, (n_tasks,)."""
    codes = data.table.codes
    if data.sample_weight is not None:
        codes = codes[data.sample_weight > 0]
    if scoring != "roc_auc":
        return (codes != MISSING).any(axis=0)
    n_classes = np.array([len(c) for c in data.table.classes])
    met = [(codes == k).any(axis=0) | (k >= n_classes) for k in range(n_classes.max())]
    return np.all(met, axis=0)


def score_tasks(
    scoring: str, proba: NDArray, data: TrainingData, class_weight: NDArray | None
) -> NDArray[np.float64]:
    """Scores (n_tasks,) of probabilities (n_samples, n_outputs)."""
    table, weight = data.table, data.sample_weight
    if scoring == "loss":
        return held_out_loss(proba, table, class_weight, weight)
    classes = [np.arange(len(c)) for c in table.classes]
    labels = np.where(table.codes == MISSING, np.nan, table.codes)
    kwargs: dict[str, Any] = {"classes": classes, "average": None, "sample_weight": weight}
    if scoring == "roc_auc":
        return np.asarray(multitask_roc_auc_score(labels, table.layout.of_classes(proba), **kwargs))
    half = np.full(table.n_tasks, 0.5)
    predicted = table.layout.decide(proba, half, np.zeros(table.n_tasks, dtype=bool))
    return np.asarray(multitask_f1_score(labels, predicted, **kwargs))


def held_out_loss(
    proba: NDArray,
    table: TaskTable,
    class_weight: NDArray | None,
    sample_weight: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Loss of each task, as `MultiTaskLoss` would have it of these samples as one batch.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_outputs)
    table : TaskTable
    class_weight : ndarray of shape (n_tasks, max_n_classes), or None
    sample_weight : ndarray of shape (n_samples,), or None

    Returns
    -------
    loss : ndarray of shape (n_tasks,)
        Σ_b s_b c_b (−log p_b) / Σ_b s_b over the samples b with a label, p_b being the
        probability of the true label, c_b its class weight, s_b the sample weight; NaN without
        any.
    """
    codes = np.maximum(table.codes, 0).astype(np.intp)
    p = table.layout.likelihood(proba, codes).astype(np.float64)
    weight = (table.codes != MISSING).astype(np.float64)
    if sample_weight is not None:
        weight *= sample_weight[:, None]
    loss = -np.log(np.clip(p, _SMALLEST, 1 - _SMALLEST)) * weight
    if class_weight is not None:
        loss *= class_weight[np.arange(table.n_tasks), codes]
    total = weight.sum(axis=0)
    return np.divide(loss.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0)


def gains_of_scores(
    scores: NDArray[np.float64], masks: NDArray[np.bool_], *, is_loss: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gains over single tasks.

    Parameters
    ----------
    scores : ndarray of shape (n_groups, n_tasks, n_parts)
        NaN where not measured.
    masks : ndarray of shape (n_groups, n_tasks) of bool
    is_loss : bool
        Whether lower scores are better, and gains are shares of them.

    Returns
    -------
    mean, std : ndarray of shape (n_groups, n_tasks)
        Over the parts that were measured; the n - 1 standard deviation, NaN of a single part.
    """
    alone = np.full(scores.shape[1:], np.nan)
    rows = np.flatnonzero(masks.sum(axis=1) == 1)
    tasks = masks[rows].argmax(axis=1)
    alone[tasks] = scores[rows, tasks]
    gains = (alone - scores) / np.maximum(alone, _SMALLEST) if is_loss else scores - alone
    known = ~np.isnan(gains)
    n = known.sum(axis=-1)
    mean = np.where(n > 0, np.where(known, gains, 0).sum(axis=-1) / np.maximum(n, 1), np.nan)
    squared = np.where(known, gains - mean[..., None], 0) ** 2
    variance = squared.sum(axis=-1) / np.maximum(n - 1, 1)
    return mean, np.where(n > 1, np.sqrt(variance), np.nan)
