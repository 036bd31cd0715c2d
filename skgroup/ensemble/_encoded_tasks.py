"""What members of a portfolio are given for `Y`, and how their predictions are read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skgroup._compat import BaseSearchCV
from skgroup.tasks import (
    BINARY,
    KINDS,
    MISSING,
    OutputLayout,
    TargetScaling,
    TaskTable,
    take_tasks,
)
from skgroup.training.classifier import TaskPredictorMixin

#: How far from [0, 1] float32 probabilities may be.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class EncodedTasks:
    """What members are given for `Y`.

    Attributes
    ----------
    table : TaskTable
        All tasks, of the classes 0, 1, ...; the positive class of a binary task is 1, where one is
        known. Numbers of regression tasks are in their units.
    labels : ndarray or DataFrame
        Its codes and numbers as an estimator takes them, of shape (n_samples, n_tasks) or
        (n_samples,): ints, or floats with NaN where a label is missing.
    """

    table: TaskTable
    labels: Any

    @classmethod
    def of(cls, table: TaskTable, Y: Any) -> EncodedTasks:
        flipped = table.learnable & (table.positive == 0)
        missing = table.codes == MISSING
        codes = np.where(flipped & ~missing, 1 - table.codes, table.codes)
        labels: Any = codes.astype(np.int64)
        if missing.any() or table.values is not None:
            labels = np.where(missing, np.nan, codes)
        numbers, values = ~table.has_classes, table.values
        if values is not None:
            values = np.where(flipped & table.soft, 1 - values, values)
            labels[:, numbers | table.soft] = values[:, numbers | table.soft]
        classes = [
            c if is_number else np.arange(len(c)).astype(labels.dtype)
            for c, is_number in zip(table.classes, numbers, strict=True)
        ]
        positive = np.where(flipped, 1, table.positive)
        table = replace(table, codes=codes, classes=classes, positive=positive, values=values)
        if table.is_1d:
            return cls(table, labels[:, 0])
        if table.names is not None:
            if hasattr(Y, "get_columns"):  # polars
                labels = type(Y)(dict(zip(table.names, labels.T, strict=True)))
            else:
                import pandas as pd

                labels = pd.DataFrame(labels, columns=table.names)
        return cls(table, labels)

    @property
    def learned(self) -> TaskTable:
        """The table of the tasks that there is something to learn of."""
        return self.table.select(self.table.learnable)

    def select(self, tasks: NDArray[np.bool_]) -> EncodedTasks:
        """Some of the tasks, (n_tasks,)."""
        if tasks.all():
            return self
        return EncodedTasks(self.table.select(tasks), take_tasks(self.labels, tasks))


def innermost(estimator: Any) -> Any:
    """The estimator at the end of a pipeline, or that a search tries."""
    while isinstance(estimator, Pipeline | BaseSearchCV):
        is_pipeline = isinstance(estimator, Pipeline)
        estimator = estimator.steps[-1][1] if is_pipeline else estimator.estimator
    return estimator


def is_of_tasks(estimator: Any) -> bool:
    """Whether an estimator is one of this package, which reads tables of tasks."""
    return isinstance(innermost(estimator), TaskPredictorMixin)


@dataclass(frozen=True)
class MemberOutputs:
    """How predictions of a member become outputs: probabilities, and standardised numbers.

    Attributes
    ----------
    task_types : tuple of str, one a task
        The kinds of the tasks that the member is given.
    learnable : ndarray of bool, of shape (n_tasks,)
        Which of them there is something to learn of.
    layout : OutputLayout
        Of the learnable ones.
    scaling : TargetScaling
        Of the learnable ones.
    """

    task_types: tuple[str, ...]
    learnable: NDArray[np.bool_]
    layout: OutputLayout
    scaling: TargetScaling

    def read(self, fitted: Any, X: Any, label: str) -> NDArray[np.float32]:
        """What a fitted member gives for samples, (n_samples, n_outputs).

        `label` says who it is.
        """
        has_classes = np.array([KINDS[name].has_classes for name in self.task_types], dtype=bool)
        columns = np.flatnonzero(self.learnable)
        # An estimator of this package has columns of all tasks, others of those that are learned.
        if not is_of_tasks(fitted):
            has_classes, columns = has_classes[columns], np.arange(len(columns))
        parts: list[Any] = [None] * len(has_classes)
        codes: list[Any] = [None] * len(has_classes)
        with warnings.catch_warnings():
            # The portfolio has warned of names that are missing, once for all.
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            if has_classes[columns].any():
                tasks = np.flatnonzero(has_classes)
                read = _of_classes(fitted, fitted.predict_proba(X), len(tasks))
                for t, part, of_part in zip(tasks, *read, strict=True):
                    parts[t], codes[t] = part, of_part
            if not has_classes[columns].all():
                predicted = np.asarray(fitted.predict(X))
                predicted = predicted.reshape(len(predicted), -1)
                for t in np.flatnonzero(~has_classes):
                    parts[t] = predicted[:, [t]]
        return self.flat([parts[t] for t in columns], [codes[t] for t in columns], label)

    def flat(self, parts: list[NDArray], codes: list[Any], label: str) -> NDArray[np.float32]:
        """Outputs (n_samples, n_outputs) from what is predicted for each learnable task.

        Parameters
        ----------
        parts : list of ndarray, one a task
            Probabilities (n_samples, k) of the classes that the member has met, or numbers
            (n_samples, 1) in their units.
        codes : list of ndarray or None, one a task
            The codes of these classes; None of numbers.
        label : str
        """
        of_tasks = []
        for t, (part, of_part) in enumerate(zip(parts, codes, strict=True)):
            if of_part is None:
                of_tasks.append(self._standardised(part, t, label))
                continue
            of_classes = np.zeros((len(part), self.layout.n_classes[t]), dtype=np.float32)
            of_classes[:, np.asarray(of_part).astype(np.intp)] = part
            of_tasks.append(of_classes)
        outputs = self.layout.of_outputs(of_tasks)
        bounded = self.layout.of_classes_alone
        proba = outputs[:, bounded]
        if proba.size and not (proba.min() >= -_ROUNDING and proba.max() <= 1 + _ROUNDING):
            raise ValueError(
                f"{label} must give probabilities in [0, 1]. Got {proba.min():.3g} to "
                f"{proba.max():.3g}."
            )
        outputs[:, bounded] = np.clip(proba, 0, 1)
        return outputs

    def _standardised(self, part: NDArray, task: int, label: str) -> NDArray[np.float32]:
        part = np.asarray(part, dtype=np.float64)
        with np.errstate(over="ignore"):
            numbers = self.scaling.select(np.array([task])).standardised(part)
        beyond = ~(np.isfinite(part) & np.isfinite(numbers))
        if beyond.any():
            raise ValueError(f"{label} must give finite numbers. Got {part[beyond][0]}.")
        return numbers


def _of_classes(fitted: Any, proba: Any, n_tasks: int) -> tuple[list[NDArray], list[NDArray]]:
    """Probabilities (n_samples, k) of each of the tasks with classes, from what `predict_proba`
    gives, and the classes of their columns."""
    classes = fitted.classes_
    if isinstance(proba, Mapping):  # without the regression tasks
        return list(proba.values()), [c for c in classes if c is not None]
    if isinstance(proba, list | tuple):
        return [np.asarray(part) for part in proba], list(classes)
    if n_tasks == 1 and not isinstance(classes, list):
        return [np.asarray(proba)], [classes]
    parts = [BINARY.of_classes(part[:, None]) for part in np.asarray(proba).T]
    return parts, [np.arange(2)] * len(parts)
