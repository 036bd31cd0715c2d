"""Scores of each task, of any estimator of a task table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison._scores import Score, named_score, scorer_of
from skgroup.metrics.scoring import scoring_by_kind, tasks_scored
from skgroup.tasks import CLASSES, MISSING, REGRESSION, TaskTable, task_label

#: What is scored where nothing is said.
_DEFAULT = {CLASSES: "f1_macro", REGRESSION.name: "r2"}


class TaskScores:
    """Scores an estimator on every task.

    Parameters
    ----------
    scoring : str, callable, dict or None
        See `compare`.
    table : TaskTable
        All of `Y`, whose kinds, classes and positive classes count.
    owner : str, default="compare"
        Whose parameter errors speak of.
    one_kind : bool, default=False
        Whether a mean over tasks is taken, so that tasks of one kind alone are scored: that of the
        only key of `scoring`.

    Attributes
    ----------
    scoring : object
        What tells one scoring from another.
    name : str or dict of str to str
        What the scores are; by "classes" and "regression" where tasks are of both.
    task_kinds : list of str, one a task
        "classes" or "regression".

    Raises
    ------
    ValueError
        If `scoring` is unknown, is of another kind of task, is a metric instead of a scorer,
        cannot score tasks of these numbers of classes, or needs a positive class where nothing
        says which it is.
    """

    def __init__(
        self, scoring: Any, table: TaskTable, owner: str = "compare", *, one_kind: bool = False
    ) -> None:
        self.table = table
        by_kind = scoring_by_kind(scoring, table, owner, _DEFAULT)
        if one_kind and len(by_kind) > 1:
            if not isinstance(scoring, Mapping) or len(scoring) != 1:
                raise ValueError(
                    f"The 'scoring' parameter of {owner} must be of one kind of task, as scores of "
                    "several have no mean: a dict with the key 'classes' or the key 'regression'. "
                    f"Got {scoring!r}."
                )
            by_kind = dict(scoring)
        self._scores = {
            kind: named_score(kind, given, owner) or scorer_of(kind, given, table, owner)
            for kind, given in by_kind.items()
        }
        alone = len(by_kind) == 1
        self.scoring = next(iter(by_kind.values())) if alone else by_kind
        names = {kind: score.name for kind, score in self._scores.items()}
        self.name: str | dict[str, str] = next(iter(names.values())) if alone else names
        self.task_kinds = np.where(table.has_classes, CLASSES, REGRESSION.name).tolist()
        self.needs_proba = any(score.of_probabilities for score in self._scores.values())
        for kind, score in self._scores.items():
            self._check_positive(score, by_kind[kind], owner)

    def _check_positive(self, score: Score, scoring: Any, owner: str) -> None:
        unknown = np.flatnonzero(self.table.positive_unknown)
        if score.takes_sides and len(unknown):
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
        predicted = None
        if any(score.of_labels for score in self._scores.values()):
            predicted = self._labels(estimator.predict(X), len(samples))
        scores = np.full(table.n_tasks, np.nan)
        for kind, score in self._scores.items():
            tasks = tasks_scored(kind, table)
            scores[tasks] = score(table, predicted, proba)[tasks]
        return scores

    def _labels(self, predicted: Any, n_samples: int) -> Any:
        if hasattr(predicted, "iloc"):
            return predicted
        predicted = np.asarray(predicted.toarray() if hasattr(predicted, "toarray") else predicted)
        if self.table.n_tasks > 1:
            return predicted
        # One task may come back 1-D.
        return predicted.reshape((n_samples,) if self.table.is_1d else (n_samples, 1))

    def _probabilities(self, proba: Any) -> list[NDArray[np.float64]]:
        """Probabilities (n_samples, n_classes) a task, of the forms that estimators give; none of
        a regression task."""
        table = self.table
        sizes = [
            0 if not has else len(c)
            for c, has in zip(table.classes, table.has_classes, strict=True)
        ]
        if isinstance(proba, Mapping):
            keys = range(table.n_tasks) if table.names is None else table.names
            nothing = np.empty((len(next(iter(proba.values()))), 0))
            parts = [np.asarray(proba.get(key, nothing)) for key in keys]
        elif isinstance(proba, list | tuple):
            parts = [np.asarray(p) for p in proba]
        else:
            proba = np.asarray(proba)
            alone = len(sizes) == 1 and proba.ndim == 2 and proba.shape[1] == sizes[0]
            parts = [proba] if alone else list(proba.reshape(len(proba), -1).T[:, :, None])
        for t, (p, k) in enumerate(zip(parts, table.constant, strict=False)):
            if sizes[t] == 0:
                parts[t] = p[:, :0]
            elif k != MISSING:  # of a single class, no estimator need know a second one
                parts[t] = np.tile(np.eye(sizes[t])[k], (len(p), 1))
            elif p.shape[1] == 1:
                parts[t] = np.hstack([1 - p, p])
        given = [p.shape[1] for p in parts]
        if given != sizes:
            raise ValueError(
                f"predict_proba must give probabilities of {sizes} classes a task. Got {given}."
            )
        return parts
