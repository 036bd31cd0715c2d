"""Several scorings by name, of one fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison._answers import Answers
from skgroup.comparison._task_scores import TaskScores
from skgroup.metrics.scoring import SCORED
from skgroup.store import key_of
from skgroup.tasks import TaskTable


class Scorings:
    """Scores an estimator on every task, by one scoring or by several.

    Parameters
    ----------
    scoring : object
        See `compare`.
    table : TaskTable
        All of `Y`, whose kinds, classes and positive classes count.
    owner : str
        Whose parameter errors speak of.

    Attributes
    ----------
    by_name : dict of str to TaskScores
        The first is what a verdict is of.
    names_of_proba : list of str
        The scores that are of what `predict_proba` gives.
    of_decisions : bool
        Whether a score of tasks with classes is of labels alone, which thresholds decide.
    scorers : list of callable
        Of scikit-learn's form, among them.

    Raises
    ------
    ValueError
        If names are not right, or as `TaskScores` does.
    """

    def __init__(self, scoring: Any, table: TaskTable, owner: str) -> None:
        self.table = table
        given = _by_name(scoring, owner)
        self.by_name = {name: TaskScores(one, table, owner) for name, one in given.items()}
        each = self.by_name.values()
        self.names_of_proba = [name for scores in each for name in scores.names_of_proba]
        self.scorers = [scorer for scores in each for scorer in scores.scorers]
        self.of_decisions = any(scores.of_decisions for scores in each)
        self._needs_labels = any(scores.needs_labels for scores in each)

    def __call__(
        self, estimator: Any, X: Any, samples: NDArray[np.intp], params: Mapping[str, Any]
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, Exception]]:
        """Scores of one prediction.

        Parameters
        ----------
        estimator, X, samples
            See `TaskScores`.
        params : dict of str to object
            Of all samples, for scorers that ask for them by metadata routing.

        Returns
        -------
        scores : dict of str to ndarray of shape (n_tasks,)
        errors : dict of str to Exception
            Of those of several scorings that raised for every task.

        Raises
        ------
        Exception
            That of the first scoring, if no scoring gave a score.
        """
        answers = Answers.of(
            estimator,
            X,
            samples,
            self.table,
            labels=self._needs_labels,
            proba=bool(self.names_of_proba),
            params=params,
        )
        scored, errors = {}, {}
        for name, scores in self.by_name.items():
            try:
                scored[name] = scores.of_answers(answers)
            except Exception as error:
                errors[name] = error
        if not scored:
            raise next(iter(errors.values()))
        return scored, errors

    def keys(self) -> dict[str, str]:
        """What tells each scoring from any other, by its name.

        Raises
        ------
        ValueError
            If one cannot be told apart.
        """
        keys = {}
        for name, scores in self.by_name.items():
            try:
                keys[name] = f"{scores.name} {key_of(scores.scoring, self.table.positive)}"
            except TypeError as error:
                raise ValueError(
                    "The 'results' parameter of compare must be None where scores cannot be told "
                    f"apart: {name!r} of 'scoring' cannot be pickled ({error})."
                ) from error
        return keys


def _by_name(scoring: Any, owner: str) -> dict[str, Any]:
    """Scorings by name: of a list or a dict of several, or of a single one."""
    subject = f"The 'scoring' parameter of {owner}"
    if isinstance(scoring, list | tuple):
        names = [_name_of(one) for one in scoring]
        for name, one in zip(names, scoring, strict=True):
            if name is None:
                raise ValueError(
                    f"{subject}, where it is a list, must hold names of scores, or dicts of them "
                    f"by 'classes' and 'regression'; others have names in a dict. Got {one!r}."
                )
            if names.count(name) > 1:
                raise ValueError(f"{subject} must not name a score twice. Got {name!r} twice.")
        if not names:
            raise ValueError(f"{subject} must hold a score. Got an empty list.")
        return dict(zip(map(str, names), scoring, strict=True))
    if not isinstance(scoring, Mapping) or not _is_of_several(scoring):
        return {scoring if isinstance(scoring, str) else "score": scoring}
    for name in scoring:
        if not isinstance(name, str) or not name.strip() or name in SCORED:
            raise ValueError(
                f"{subject}, where it is a dict of several scores, must have non-empty strings "
                "for names, other than 'classes' and 'regression', which are the keys of a dict "
                f"of one score by kind of task. Got the name {name!r} in {list(scoring)}."
            )
    return dict(scoring)


def _is_of_several(scoring: Mapping[Any, Any]) -> bool:
    """Whether a dict is one of scorings by name, and not one scoring by kind of task."""
    return any(key not in SCORED for key in scoring)


def _name_of(scoring: Any) -> str | None:
    """What an unnamed scoring of a list is called."""
    if isinstance(scoring, str):
        return scoring
    is_by_kind = isinstance(scoring, Mapping) and not _is_of_several(scoring)
    if is_by_kind and scoring and all(isinstance(one, str) for one in scoring.values()):
        return " and ".join(scoring.values())
    return None
