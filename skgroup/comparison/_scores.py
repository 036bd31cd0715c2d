"""Scores of all tasks of a kind: those of `skgroup.metrics` by name, and any scorer."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names

from skgroup._compat import knows_all_classes
from skgroup.comparison._answers import Answers
from skgroup.comparison._fit_params import params_of_samples, params_of_score
from skgroup.metrics.scoring import NAMED, sign_of
from skgroup.tasks import CLASSES, MISSING, REGRESSION, TaskTable, check_tasks

Proba = list[NDArray[np.float64]]
R2 = NAMED["r2"].called


class Score(ABC):
    """A score of each task of a kind, higher for better.

    Attributes
    ----------
    name : str
    of_labels, of_probabilities : bool
        Whether it is one of what `predict`, and of what `predict_proba` gives.
    takes_sides : bool
        Whether it must know which class of a binary task is the positive one.
    scorer : callable or None
        One of scikit-learn's form that gives it.
    """

    name: str
    scorer: Any = None
    of_labels = True
    of_probabilities = False
    takes_sides = False

    @abstractmethod
    def __call__(self, answers: Answers) -> NDArray:
        """Scores (n_tasks,); NaN of tasks that are of another kind, or lack labels."""


class _Metric(Score):
    """One of `skgroup.metrics`, by its name there."""

    def __init__(self, key: str) -> None:
        named, self._sign = NAMED[key], sign_of(key)
        self.name = named.called if self._sign > 0 else f"negative {named.called}"
        self.takes_sides = named.takes_sides
        self.of_labels = named.response == "predict"
        self.of_probabilities = not self.of_labels
        self._metric = named.metric

    def __call__(self, answers: Answers) -> NDArray:
        given = answers.proba if self.of_probabilities else answers.predicted
        return self._sign * np.asarray(self._metric(answers.table, given, average=None))


#: Further names of metrics.
_ALIASES = {"f1_macro": "f1", "normalized_entropy": "neg_normalized_entropy"}
_KEYS = dict(sorted({**{name: name for name in NAMED}, **_ALIASES}.items()))
#: By kind of task, and name.
_METRICS = {
    kind: {name: _Metric(key) for name, key in _KEYS.items() if NAMED[key].of_numbers == of_numbers}
    for kind, of_numbers in ((CLASSES, False), (REGRESSION.name, True))
}


def named_score(kind: str, scoring: Any, owner: str) -> Score | None:
    """The score of `skgroup.metrics` that has a name; None if it is no such name.

    Raises
    ------
    ValueError
        If it is the name of one of another kind of task.
    """
    if not isinstance(scoring, str):
        return None
    for other, scores in _METRICS.items():
        if scoring in scores and other != kind:
            what = {CLASSES: "tasks with classes", REGRESSION.name: "regression tasks"}
            raise ValueError(
                f"The 'scoring' parameter of {owner} must be a score of {what[kind]}, as those of "
                f"Y are. Got {scoring!r}, a score of {what[other]}."
            )
    return _METRICS[kind].get(scoring)


def scorer_of(kind: str, scoring: Any, table: TaskTable, owner: str) -> Score:
    """The scores that a scorer of a single task gives.

    Raises
    ------
    ValueError
        If it is none, or cannot score tasks like those of the table.
    """
    if isinstance(scoring, str):
        if scoring not in get_scorer_names():
            ours = ", ".join(map(repr, [name for name in _METRICS[kind] if name != "f1"]))
            raise ValueError(
                f"The 'scoring' parameter of {owner} must be {ours}, another name of "
                f"sklearn.metrics.get_scorer_names() or a callable. Got {scoring!r}."
            )
        name, scorer = scoring, get_scorer(scoring)
    elif callable(scoring):
        name, scorer = getattr(scoring, "__name__", None) or str(scoring), scoring
    else:
        raise ValueError(
            f"The 'scoring' parameter of {owner} must be a str or a callable. Got {scoring!r}."
        )
    if _takes_labels(scorer):
        raise ValueError(
            f"The 'scoring' parameter of {owner} must be the name of a score or a scorer, "
            "called with an estimator, X and y, of which higher is better. Got the metric "
            f"{scoring!r}: make a scorer of it by sklearn.metrics.make_scorer(metric), "
            "with greater_is_better=False for a loss, and response_method='predict_proba' "
            "for a metric of probabilities."
        )
    of_kind: type[_OfNumbers] | type[_OfClasses] = _OfClasses if kind == CLASSES else _OfNumbers
    return of_kind(name, scorer, scoring, table, owner)


class _Scorer(Score):
    """A scorer of scikit-learn's form, task by task."""

    def __init__(self, name: str, scorer: Any, scoring: Any, table: TaskTable, owner: str) -> None:
        self.name, self.scorer = name, scorer
        self._try(table, f"The 'scoring' parameter of {owner}", scoring)

    @abstractmethod
    def _try(self, table: TaskTable, subject: str, scoring: Any) -> None:
        """Score made-up answers, to see that it can and what of."""

    def _scored(self, what: str, subject: str, scoring: Any, *args: Any) -> None:
        try:
            float(self._of_task(*args))
        except Exception as error:
            raise ValueError(
                f"{subject} must be able to score {what}. Got {scoring!r}, which raised {error!r}."
            ) from error

    def __call__(self, answers: Answers) -> NDArray:
        table = answers.table
        predicted = check_tasks(
            answers.predicted,
            classes=table.classes,
            names=table.names,
            task_types=table.task_types,
        )
        params = params_of_score(self.scorer, answers.params)
        observed = (table.codes != MISSING) & (table.has_classes == isinstance(self, _OfClasses))
        tasks = np.flatnonzero(observed.any(axis=0)).tolist()
        scores = np.full(table.n_tasks, np.nan)
        errors: list[Exception] = []
        for t in tasks:
            try:
                seen = observed[:, t]
                given = params_of_samples(params, np.flatnonzero(seen), len(seen))
                scores[t] = self._of_task(
                    *self._given(t, seen, table, predicted, answers.proba), given
                )
            except Exception as error:  # by what these samples lack
                errors.append(error)
        if errors and len(errors) == len(tasks):
            raise errors[0]
        return scores

    @abstractmethod
    def _given(
        self, t: int, seen: NDArray, table: TaskTable, answers: TaskTable, proba: Proba | None
    ) -> tuple[NDArray, Any]:
        """What the scorer is given of a task: the truth, and an estimator that has answers."""

    def _of_task(
        self, truth: NDArray, answers: Any, params: Mapping[str, Any] = MappingProxyType({})
    ) -> float:
        """A scorer's score of a task; NaN where it says that what the truth lacks leaves none."""
        scorer = self.scorer
        if isinstance(answers, _Classifier):
            scorer = knows_all_classes(scorer, np.arange(answers.n_classes))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            score = scorer(answers, np.arange(len(truth))[:, None], truth, **params)
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


class _OfClasses(_Scorer):
    """Of tasks with classes, whose labels a scorer sees as 0, ..., k - 1, the positive one as 1."""

    def _try(self, table: TaskTable, subject: str, scoring: Any) -> None:
        of_tasks = zip(table.classes, table.kinds, strict=True)
        for k in sorted({len(c) for c, kind in of_tasks if kind.has_classes} - {1}):
            truth = np.tile(np.arange(k), 4)
            answers = _Classifier(truth, np.eye(k)[truth] * 0.5 + 0.5 / k, k)
            what = f"a task with the classes 0 to {k - 1}"
            self._scored(what, subject, scoring, truth, answers)
            self.of_probabilities |= answers.asked_for_proba
        self.takes_sides = (
            any(kind.has_two_classes for kind in table.kinds) and self._changes_with_sides()
        )

    def _changes_with_sides(self) -> bool:
        """Whether the score of a binary task changes if its classes change places."""
        truth, answer = np.repeat([0, 1], [5, 3]), np.array([0, 0, 0, 0, 1, 1, 1, 0])
        second = np.array([0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.6, 0.35])
        proba = np.column_stack([1 - second, second])
        one = self._of_task(truth, _Classifier(answer, proba, 2))
        other = self._of_task(1 - truth, _Classifier(1 - answer, proba[:, ::-1], 2))
        return not np.isclose(one, other, equal_nan=True)

    def _given(
        self, t: int, seen: NDArray, table: TaskTable, answers: TaskTable, proba: Proba | None
    ) -> tuple[NDArray, Any]:
        truth, answer = table.codes[seen, t], answers.codes[seen, t]
        shares = None if proba is None else proba[t][seen]
        if table.positive[t] == 0:  # a scorer takes 1 for the positive class
            truth, answer = 1 - truth, 1 - answer
            shares = None if shares is None else shares[:, ::-1]
        return truth, _Classifier(answer, shares, len(table.classes[t]))


class _OfNumbers(_Scorer):
    """Of regression tasks, in their units."""

    def _try(self, table: TaskTable, subject: str, scoring: Any) -> None:
        truth = np.array([1.0, 2.5, 2.0, 4.5])
        self._scored("a regression task", subject, scoring, truth, _Regressor(truth[::-1]))

    def _given(
        self, t: int, seen: NDArray, table: TaskTable, answers: TaskTable, proba: Proba | None
    ) -> tuple[NDArray, Any]:
        assert table.values is not None
        assert answers.values is not None
        return table.values[seen, t], _Regressor(answers.values[seen, t])


class _Classifier(ClassifierMixin, BaseEstimator):
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


class _Regressor(RegressorMixin, BaseEstimator):
    """A fitted regressor of one task, for scorers: the answers for samples are known."""

    def __init__(self, numbers: Any = None) -> None:
        self.numbers = numbers

    def predict(self, X: NDArray[np.intp]) -> Any:
        return self.numbers[X[:, 0]]


def _takes_labels(scoring: Any) -> bool:
    """Whether a callable is a metric (y_true, y_pred) rather than a scorer (estimator, X, y)."""
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature(scoring).parameters.values()
    given = [p.name for p in parameters if p.kind in positional]
    starred = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    return (given[:1] == ["y_true"]) or (len(given) < 3 and not starred)
