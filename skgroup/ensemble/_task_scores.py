"""Scores of each task, of any classifier of a task table."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer, get_scorer_names

from skgroup._validation import MISSING, TaskTable, check_tasks
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score

__all__ = ["TaskScores"]


class TaskScores:
    """Scores an estimator on every task.

    Parameters
    ----------
    scoring : str or callable
        See `compare`.
    table : TaskTable
        All of `Y`, whose classes count.
    owner : str, default="compare"
        Whose parameter errors speak of.

    Raises
    ------
    ValueError
        If `scoring` is unknown, or cannot score tasks of these numbers of classes.
    """

    def __init__(self, scoring: Any, table: TaskTable, owner: str = "compare") -> None:
        self.table = table
        self.needs_proba = False
        if isinstance(scoring, str):
            self.name = {"f1": "F1", "f1_macro": "F1", "roc_auc": "ROC AUC"}.get(scoring, scoring)
        else:
            self.name = getattr(scoring, "__name__", None) or str(scoring)
        self._score = scoring
        if scoring in ("f1", "f1_macro"):
            self._score = "f1"
        elif scoring == "roc_auc":
            self.needs_proba = True
        elif isinstance(scoring, str):
            if scoring not in get_scorer_names():
                raise ValueError(
                    f"The 'scoring' parameter of {owner} must be 'f1_macro', 'roc_auc', another "
                    f"name of sklearn.metrics.get_scorer_names() or a callable. Got {scoring!r}."
                )
            self._score = get_scorer(scoring)
        elif not callable(scoring):
            raise ValueError(
                f"The 'scoring' parameter of {owner} must be a str or a callable. Got {scoring!r}."
            )
        if callable(self._score):
            self._of_labels = _takes_labels(self._score)
            self._try(scoring, owner)

    def _try(self, scoring: Any, owner: str) -> None:
        for k in sorted({len(c) for c in self.table.classes}):
            truth = np.tile(np.arange(k), 4)
            answers = _Answers(truth, np.eye(k)[truth] * 0.5 + 0.5 / k, k)
            try:
                float(self._of_task(truth, answers))
            except Exception as error:
                raise ValueError(
                    f"The 'scoring' parameter of {owner} must be able to score a task with the "
                    f"classes 0 to {k - 1}. Got {scoring!r}, which raised {error!r}."
                ) from error
            self.needs_proba |= answers.asked_for_proba

    def __call__(self, estimator: Any, X: Any, Y: Any) -> NDArray[np.float64]:
        """Scores (n_tasks,) of predictions for X; NaN for a task without labels in Y."""
        classes = self.table.classes
        if self._score == "f1":
            predicted = self._labels(estimator.predict(X), Y)
            return np.asarray(multitask_f1_score(Y, predicted, classes=classes, average=None))
        if self._score == "roc_auc":
            proba = self._probabilities(estimator.predict_proba(X))
            return np.asarray(multitask_roc_auc_score(Y, proba, classes=classes, average=None))
        truth = check_tasks(Y, classes=classes).codes
        predicted = check_tasks(self._labels(estimator.predict(X), Y), classes=classes).codes
        of_tasks = self._probabilities(estimator.predict_proba(X)) if self.needs_proba else None
        scores = np.full(len(classes), np.nan)
        for t in range(len(classes)):
            seen = truth[:, t] != MISSING
            if seen.any():
                proba_of_task = None if of_tasks is None else of_tasks[t][seen]
                answers = _Answers(predicted[seen, t], proba_of_task, len(classes[t]))
                scores[t] = self._of_task(truth[seen, t], answers)
        return scores

    def _of_task(self, truth: NDArray[np.intp], answers: _Answers) -> float:
        if self._of_labels:
            return self._score(truth, answers.labels)
        return self._score(answers, np.arange(len(truth))[:, None], truth)

    def _labels(self, predicted: Any, Y: Any) -> Any:
        predicted = np.asarray(predicted.toarray() if hasattr(predicted, "toarray") else predicted)
        # One task may come back 1-D.
        return predicted.reshape(np.shape(Y)) if len(self.table.classes) == 1 else predicted

    def _probabilities(self, proba: Any) -> list[NDArray[np.float64]]:
        """Probabilities (n_samples, n_classes) a task, of the forms that classifiers give."""
        sizes = [len(c) for c in self.table.classes]
        if isinstance(proba, list | tuple):
            parts = [np.asarray(p) for p in proba]
        else:
            proba = np.asarray(proba)
            alone = len(sizes) == 1 and proba.ndim == 2 and proba.shape[1] == sizes[0]
            parts = [proba] if alone else list(proba.reshape(len(proba), -1).T[:, :, None])
        parts = [np.hstack([1 - p, p]) if p.shape[1] == 1 else p for p in parts]
        found = [p.shape[1] for p in parts]
        if found != sizes:
            raise ValueError(
                f"predict_proba must give probabilities of {sizes} classes a task. Got {found}."
            )
        return parts


class _Answers(ClassifierMixin, BaseEstimator):
    """A fitted classifier of one task, for scorers: the answers for samples are known."""

    def __init__(self, labels: Any = None, proba: Any = None, n_classes: int = 2) -> None:
        self.labels = labels
        self.proba = proba
        self.n_classes = n_classes
        self.asked_for_proba = False

    @property
    def classes_(self) -> NDArray[np.intp]:
        return np.arange(self.n_classes)

    def predict(self, X: NDArray[np.intp]) -> Any:
        return self.labels[X[:, 0]]

    def predict_proba(self, X: NDArray[np.intp]) -> Any:
        self.asked_for_proba = True
        return self.proba[X[:, 0]]


def _takes_labels(scoring: Any) -> bool:
    """Whether a callable is a metric (y_true, y_pred) rather than a scorer (estimator, X, y)."""
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        p
        for p in signature(scoring).parameters.values()
        if p.kind in positional and p.default is Parameter.empty
    ]
    return len(needed) == 2
