"""Scores of each task, of any classifier of a task table."""

from __future__ import annotations

import warnings
from inspect import Parameter, signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names

from skgroup._compat import knows_all_classes
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.tasks import BINARY, MISSING, TaskTable, check_tasks, task_label


class TaskScores:
    """Scores an estimator on every task.

    Parameters
    ----------
    scoring : str or callable
        See `compare`.
    table : TaskTable
        All of `Y`, whose classes and positive classes count.
    owner : str, default="compare"
        Whose parameter errors speak of.

    Raises
    ------
    ValueError
        If `scoring` is unknown, is a metric instead of a scorer, cannot score tasks of these
        numbers of classes, or needs a positive class where nothing says which it is.
    """

    def __init__(self, scoring: Any, table: TaskTable, owner: str = "compare") -> None:
        self.table = table
        self.scoring = scoring
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
            if _takes_labels(self._score):
                raise ValueError(
                    f"The 'scoring' parameter of {owner} must be the name of a score or a scorer, "
                    "called with an estimator, X and y, of which higher is better. Got the metric "
                    f"{scoring!r}: make a scorer of it by sklearn.metrics.make_scorer(metric), "
                    "with greater_is_better=False for a loss, and response_method='predict_proba' "
                    "for a metric of probabilities."
                )
            self._try(scoring, owner)
        if self._score == "f1" or (callable(self._score) and self._takes_sides()):
            self._check_positive(scoring, owner)

    def _try(self, scoring: Any, owner: str) -> None:
        for k in sorted({len(c) for c in self.table.classes} - {1}):
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

    def _takes_sides(self) -> bool:
        """Whether the score of a binary task changes if its classes change places."""
        if BINARY not in self.table.kinds:
            return False
        truth, answer = np.repeat([0, 1], [5, 3]), np.array([0, 0, 0, 0, 1, 1, 1, 0])
        second = np.array([0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.6, 0.35])
        proba = np.column_stack([1 - second, second])
        one = self._of_task(truth, _Answers(answer, proba, 2))
        other = self._of_task(1 - truth, _Answers(1 - answer, proba[:, ::-1], 2))
        return not np.isclose(one, other, equal_nan=True)

    def _check_positive(self, scoring: Any, owner: str) -> None:
        unknown = np.flatnonzero(self.table.positive_unknown)
        if len(unknown):
            t = unknown[0]
            raise ValueError(
                f"The 'scoring' parameter of {owner} is {scoring!r}, which must know which class "
                f"of {task_label(self.table.names, t)} is the positive one, of "
                f"{self.table.classes[t].tolist()}: set the 'pos_label' parameter of a candidate, "
                "encode the labels as 0 and 1, or score by 'roc_auc' or 'accuracy'."
            )

    def __call__(self, estimator: Any, X: Any, samples: NDArray[np.intp]) -> NDArray[np.float64]:
        """Score the predictions for some samples.

        Parameters
        ----------
        estimator : fitted estimator
        X : inputs of these samples
        samples : ndarray of int
            Their positions in the table.

        Returns
        -------
        scores : ndarray of shape (n_tasks,)
            NaN for a task of which the samples hold no labels, or not those that the score needs.

        Raises
        ------
        Exception
            That of a scorer, if it raised for every task.
        """
        table = self.table.take(samples)
        proba = self._probabilities(estimator.predict_proba(X)) if self.needs_proba else None
        if self._score == "roc_auc":
            return np.asarray(multitask_roc_auc_score(table, proba, average=None))
        predicted = self._labels(estimator.predict(X), len(samples))
        if self._score == "f1":
            return np.asarray(multitask_f1_score(table, predicted, average=None))
        codes = check_tasks(predicted, classes=table.classes, names=table.names).codes
        observed = table.codes != MISSING
        tasks = np.flatnonzero(observed.any(axis=0))
        scores = np.full(table.n_tasks, np.nan)
        errors: list[Exception] = []
        for t in tasks:
            seen = observed[:, t]
            truth, answer = table.codes[seen, t], codes[seen, t]
            shares = None if proba is None else proba[t][seen]
            if table.positive[t] == 0:  # a scorer takes 1 for the positive class
                truth, answer = 1 - truth, 1 - answer
                shares = None if shares is None else shares[:, ::-1]
            try:
                scores[t] = self._of_task(truth, _Answers(answer, shares, len(table.classes[t])))
            except Exception as error:  # by what these samples lack
                errors.append(error)
        if errors and len(errors) == len(tasks):
            raise errors[0]
        return scores

    def _of_task(self, truth: NDArray[np.intp], answers: _Answers) -> float:
        """A scorer's score of a task; NaN where it says that a lack of classes leaves none."""
        scorer = knows_all_classes(self._score, np.arange(answers.n_classes))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            score = scorer(answers, np.arange(len(truth))[:, None], truth)
        undefined = False
        for warning in caught:
            # Of a truth without positives, average precision says so in words of its own.
            if issubclass(warning.category, UndefinedMetricWarning) or str(
                warning.message
            ).startswith("No positive class found"):
                undefined = True  # NaN says it
            else:
                warnings.warn(warning.message, stacklevel=2)
        return np.nan if undefined and len(np.unique(truth)) == 1 else score

    def _labels(self, predicted: Any, n_samples: int) -> Any:
        if hasattr(predicted, "iloc"):
            return predicted
        predicted = np.asarray(predicted.toarray() if hasattr(predicted, "toarray") else predicted)
        if self.table.n_tasks > 1:
            return predicted
        # One task may come back 1-D.
        return predicted.reshape((n_samples,) if self.table.is_1d else (n_samples, 1))

    def _probabilities(self, proba: Any) -> list[NDArray[np.float64]]:
        """Probabilities (n_samples, n_classes) a task, of the forms that classifiers give."""
        sizes = [len(c) for c in self.table.classes]
        if isinstance(proba, list | tuple):
            parts = [np.asarray(p) for p in proba]
        else:
            proba = np.asarray(proba)
            alone = len(sizes) == 1 and proba.ndim == 2 and proba.shape[1] == sizes[0]
            parts = [proba] if alone else list(proba.reshape(len(proba), -1).T[:, :, None])
        for t, (p, k) in enumerate(zip(parts, self.table.constant, strict=False)):
            if k != MISSING:  # of a single class, no estimator need know a second one
                parts[t] = np.tile(np.eye(sizes[t])[k], (len(p), 1))
            elif p.shape[1] == 1:
                parts[t] = np.hstack([1 - p, p])
        given = [p.shape[1] for p in parts]
        if given != sizes:
            raise ValueError(
                f"predict_proba must give probabilities of {sizes} classes a task. Got {given}."
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
    parameters = signature(scoring).parameters.values()
    given = [p.name for p in parameters if p.kind in positional]
    starred = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    return (given[:1] == ["y_true"]) or (len(given) < 3 and not starred)
