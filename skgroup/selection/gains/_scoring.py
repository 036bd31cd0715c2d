"""Scores of tasks on the samples that were held out from the nets, and gains from scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skgroup.metrics import multitask_f1_score, multitask_r2_score, multitask_roc_auc_score
from skgroup.metrics.scoring import scoring_by_kind, tasks_scored
from skgroup.tasks import (
    CLASSES,
    MISSING,
    REGRESSION,
    OutputLayout,
    TargetScaling,
    TaskTable,
    weights_of_labels,
    weights_of_tasks,
)
from skgroup.training.loss import weigh_labels
from skgroup.training.training_data import TrainingData

#: Losses nearer to 0 than this count as this.
_SMALLEST = float(np.finfo(np.float32).eps)
#: The scores of each kind of task; the first is what counts where nothing is said.
SCORES = {CLASSES: ("f1", "roc_auc"), REGRESSION.name: ("r2",)}


def check_scoring(scoring: Any, table: TaskTable) -> dict[str, str] | None:
    """The score of each kind of task, by kind; None where the loss is measured.

    Raises
    ------
    ValueError
        If it is no score of the tasks of the table.
    """
    if isinstance(scoring, str) and scoring == "loss":
        return None
    default = {kind: scores[0] for kind, scores in SCORES.items()}
    by_kind = scoring_by_kind(scoring, table, "GroupGains", default, everything="'loss'")
    for kind, score in by_kind.items():
        if score not in SCORES[kind]:
            what = "tasks with classes" if kind == CLASSES else "regression tasks"
            names = " or ".join(map(repr, SCORES[kind]))
            raise ValueError(
                f"The 'scoring' parameter of GroupGains must be {names} of {what}, or 'loss' for "
                f"all tasks. Got {score!r}."
            )
    return by_kind


def which_can_be_scored(by_kind: dict[str, str] | None, data: TrainingData) -> NDArray[np.bool_]:
    """Which tasks can be scored on these samples, (n_tasks,)."""
    table = data.table
    table = table.without(weights_of_labels(data.weight, len(table.codes)) <= 0)
    scorable: NDArray[np.bool_] = (table.codes != MISSING).any(axis=0)
    for kind, score in (by_kind or {}).items():
        tasks = np.flatnonzero(tasks_scored(kind, table))
        if score == "roc_auc":
            for t in tasks:
                met = np.unique(table.codes[:, t])
                scorable[t] = np.isin(np.arange(len(table.classes[t])), met).all()
        elif score == "r2" and table.values is not None:
            for t in tasks:
                numbers = table.values[:, t]
                scorable[t] = len(np.unique(numbers[~np.isnan(numbers)])) > 1
    return scorable


def score_tasks(
    by_kind: dict[str, str] | None,
    proba: NDArray,
    data: TrainingData,
    class_weight: NDArray | None,
    scaling: TargetScaling,
    criterion: Any,
) -> NDArray[np.float64]:
    """Scores (n_tasks,) of what a net gives in one array (n_samples, n_outputs).

    `scaling` is that of the regression tasks in training, `criterion` that of the net.
    """
    table, weight = data.table, data.weight
    if table.values is not None:  # in standard deviations, as predictions are
        table = replace(table, values=(table.values - scaling.location) / scaling.scale)
    if by_kind is None:
        # A criterion of the user's says nothing of losses a task; then the kinds do.
        layout = getattr(criterion, "layout", None)
        layout = layout.to("cpu") if isinstance(layout, OutputLayout) else table.layout
        return held_out_loss(proba, table, class_weight, weight, layout)
    scores = np.full(table.n_tasks, np.nan)
    for kind, score in by_kind.items():
        tasks = np.flatnonzero(tasks_scored(kind, table))
        if len(tasks):
            of_kind = proba[:, table.layout.columns_of(tasks)]
            of_tasks = weights_of_tasks(weight, tasks)
            scores[tasks] = _score(score, of_kind, table.select(tasks), of_tasks)
    return scores


def _score(score: str, proba: NDArray, table: TaskTable, weight: Any) -> NDArray[np.float64]:
    """Scores of tasks of one kind."""
    if score == "r2":
        return np.asarray(multitask_r2_score(table, proba, average=None, sample_weight=weight))
    classes = [np.arange(len(c)) for c in table.classes]
    labels = np.where(table.codes == MISSING, np.nan, table.codes)
    kwargs: dict[str, Any] = {"classes": classes, "average": None, "sample_weight": weight}
    if score == "roc_auc":
        return np.asarray(multitask_roc_auc_score(labels, table.layout.of_classes(proba), **kwargs))
    half = np.full(table.n_tasks, 0.5)
    predicted = table.layout.decide(proba, half, np.zeros(table.n_tasks, dtype=bool))
    return np.asarray(multitask_f1_score(labels, predicted, **kwargs))


def held_out_loss(
    proba: NDArray,
    table: TaskTable,
    class_weight: NDArray | None,
    sample_weight: NDArray[np.float64] | None,
    layout: OutputLayout,
) -> NDArray[np.float64]:
    """Loss of each task, as `MultiTaskLoss` would have it of these samples as one batch.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_outputs)
    table : TaskTable
        Numbers of regression tasks standardised.
    class_weight : ndarray of shape (n_tasks, max_n_classes), or None
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), or None
    layout : OutputLayout
        Of the criterion, which knows the loss of regression tasks.

    Returns
    -------
    loss : ndarray of shape (n_tasks,)
        Σ_b s_b c_b ℓ_b / Σ_b s_b over the samples b with a label, ℓ_b being −log p of the true
        label, or the loss of the number, c_b its class weight, s_b the sample weight; NaN without
        any.
    """
    weights = weights_of_labels(sample_weight, len(table.codes))
    target = {
        "codes": torch.from_numpy(table.codes.astype(np.int64)),
        "weight": torch.from_numpy(weights),
    }
    if table.values is not None:
        target["values"] = torch.from_numpy(np.nan_to_num(table.values))
    if class_weight is None:
        class_weight = np.ones((table.n_tasks, table.width))
    weight = torch.from_numpy(class_weight.astype(np.float64))
    counted, of_label, values = weigh_labels(target, weight, layout)
    logits = layout.logits(torch.from_numpy(proba.astype(np.float64)))
    losses = -(of_label * layout.true_log_probability(logits, target["codes"], values)).sum(0)
    there = counted is not None and (counted > 0).any(0)
    return np.where(there, losses.numpy(), np.nan)


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
