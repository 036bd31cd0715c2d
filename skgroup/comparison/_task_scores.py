"""Scores of each task, of any estimator of a task table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison._answers import Answers
from skgroup.comparison._scores import Score, named_score, scorer_of
from skgroup.metrics.scoring import scoring_by_kind, tasks_scored
from skgroup.tasks import CLASSES, REGRESSION, TaskTable, task_label

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
    names_of_proba : list of str
        The scores that are of what `predict_proba` gives.
    scorers : list of callable
        Of scikit-learn's form, among them.
    needs_labels : bool
        Whether a score is of what `predict` gives.
    of_decisions : bool
        Whether that of tasks with classes is of labels alone.

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
        scores = self._scores.values()
        self.names_of_proba = [score.name for score in scores if score.of_probabilities]
        self.scorers = [score.scorer for score in scores if score.scorer is not None]
        self.needs_labels = any(score.of_labels for score in scores)
        of_classes = self._scores.get(CLASSES)
        self.of_decisions = of_classes is not None and not of_classes.of_probabilities
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
        proba = bool(self.names_of_proba)
        return self.of_answers(
            Answers.of(estimator, X, samples, self.table, labels=self.needs_labels, proba=proba)
        )

    def of_answers(self, answers: Answers) -> NDArray[np.float64]:
        """Scores (n_tasks,) of what an estimator answers; see `__call__`."""
        table = answers.table
        scores = np.full(table.n_tasks, np.nan)
        for kind, score in self._scores.items():
            tasks = tasks_scored(kind, table)
            scores[tasks] = score(answers)[tasks]
        return scores


def check_proba(estimator: Any, names: Sequence[str]) -> None:
    """Refuse an estimator without `predict_proba`, where scores of these names need it."""
    if names and not hasattr(estimator, "predict_proba"):
        raise ValueError(f"it has no predict_proba, which the score {' and '.join(names)} needs.")
