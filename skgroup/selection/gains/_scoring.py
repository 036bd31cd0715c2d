"""Scores of tasks on the samples that were held out from the nets."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning

from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.tasks import MISSING, TaskTable, task_label
from skgroup.training.training_data import TrainingData

__all__ = ["SMALLEST", "TaskScoring", "held_out_loss"]

#: Probabilities and losses nearer to 0 than this count as this.
SMALLEST = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class TaskScoring:
    """Scores of each task on held-out samples.

    Attributes
    ----------
    scoring : {"loss", "f1", "roc_auc"} or callable
        As `GroupGains` takes it.
    """

    scoring: Any

    def check(self) -> None:
        """Refuse a callable with other arguments."""
        if not callable(self.scoring):
            return
        try:
            inspect.signature(self.scoring).bind(None, None, sample_weight=None)
        except TypeError as error:
            raise ValueError(
                "The 'scoring' parameter of GroupGains must be callable as scoring(y_true, "
                f"y_score, sample_weight=...). Got {self.scoring!r}: {error}."
            ) from None
        except ValueError:  # no signature is known
            return

    def try_on(self, data: TrainingData) -> None:
        """Score a made-up prediction of each kind of task, before a net is trained for it."""
        if not callable(self.scoring):
            return
        for classes in {len(c): c for c in data.table.classes}.values():
            truth = np.tile(np.arange(len(classes)), 4)
            proba = np.eye(len(classes))[np.r_[truth[1:], truth[0]]]
            proba[: len(truth) // 2] = np.eye(len(classes))[truth[: len(truth) // 2]]
            proba = (proba + 0.5) / (proba + 0.5).sum(axis=1, keepdims=True)
            weight = None if data.sample_weight is None else np.ones(len(truth))
            try:
                score = self._call(classes[truth], proba, weight)
            except Exception as error:
                raise ValueError(
                    "The 'scoring' parameter of GroupGains must score the probabilities of a task "
                    f"of {len(classes)} classes. For a made-up example {self.scoring!r} raised "
                    f"{type(error).__name__}: {error}."
                ) from error
            if not np.isfinite(score):
                raise ValueError(
                    "The 'scoring' parameter of GroupGains must return a finite number. Got "
                    f"{score} for a made-up example, with {self.scoring!r}."
                )

    def scorable(self, data: TrainingData) -> NDArray[np.bool_]:
        """Which tasks can be scored on these samples, (n_tasks,)."""
        codes = data.table.codes
        if data.sample_weight is not None:
            codes = codes[data.sample_weight > 0]
        if self.scoring != "roc_auc":
            return (codes != MISSING).any(axis=0)
        n_classes = np.array([len(c) for c in data.table.classes])
        met = [(codes == k).any(axis=0) | (k >= n_classes) for k in range(n_classes.max())]
        return np.all(met, axis=0)

    def score(
        self, proba: NDArray, data: TrainingData, class_weight: NDArray | None
    ) -> NDArray[np.float64]:
        """Scores (n_tasks,) of probabilities (n_samples, n_outputs)."""
        table, weight = data.table, data.sample_weight
        if self.scoring == "loss":
            return held_out_loss(proba, table, class_weight, weight)
        of_classes = table.layout.of_classes(proba)
        classes = [np.arange(len(c)) for c in table.classes]
        labels = np.where(table.codes == MISSING, np.nan, table.codes)
        kwargs: dict[str, Any] = {"classes": classes, "average": None, "sample_weight": weight}
        if self.scoring == "roc_auc":
            return np.asarray(multitask_roc_auc_score(labels, of_classes, **kwargs))
        if self.scoring == "f1":
            half = np.full(table.n_tasks, 0.5)
            predicted = table.layout.decide(proba, half, np.zeros(table.n_tasks, dtype=bool))
            return np.asarray(multitask_f1_score(labels, predicted, **kwargs))
        return self._score_each(of_classes, table, weight)

    def _score_each(
        self, of_classes: list[NDArray], table: TaskTable, weight: NDArray | None
    ) -> NDArray[np.float64]:
        """Scores of the tasks by a callable, which sees one of them at a time."""
        scores = np.full(table.n_tasks, np.nan)
        for t, p in enumerate(of_classes):
            known = table.codes[:, t] != MISSING
            if known.any():
                try:
                    scores[t] = self._call(
                        table.classes[t][table.codes[known, t]],
                        p[known],
                        None if weight is None else weight[known],
                    )
                except Exception as error:
                    # It scored an example: what it cannot score is this part, and no more is lost.
                    warnings.warn(
                        f"{self.scoring!r} cannot score {task_label(table.names, t)} on a "
                        f"held-out part, which is left out: {type(error).__name__}: {error}",
                        UndefinedMetricWarning,
                        stacklevel=2,
                    )
        return scores

    def _call(self, labels: NDArray, proba: NDArray, weight: NDArray | None) -> float:
        score = self.scoring(
            labels, proba[:, 1] if proba.shape[1] == 2 else proba, sample_weight=weight
        )
        if isinstance(score, bool) or np.ndim(score) or np.asarray(score).dtype.kind not in "biuf":
            raise ValueError(
                f"The 'scoring' parameter of GroupGains must return a number. Got {score!r}."
            )
        return float(score)


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
    loss = -np.log(np.clip(p, SMALLEST, 1 - SMALLEST)) * weight
    if class_weight is not None:
        loss *= class_weight[np.arange(table.n_tasks), codes]
    total = weight.sum(axis=0)
    return np.divide(loss.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0)
