"""What every classifier of a task table shares: classes in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from skgroup.metrics import multitask_f1_score
from skgroup.tasks import (
    BINARY,
    MISSING,
    NO_POSITIVE,
    UNKNOWN,
    OutputLayout,
    TaskTable,
    by_task_key,
    check_tasks,
)
from skgroup.training.task_estimator import TaskEstimatorMixin

__all__ = ["TaskClassifierMixin", "decode"]


class _TaskClasses(list):
    """A list of the classes of each task; `cross_val_predict` asks it for its shape too."""

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)


class TaskClassifierMixin(ClassifierMixin, TaskEstimatorMixin):
    """Predictions in the labels of `Y`, from probabilities in one flat array.

    A subclass calls `_learn_tasks` in `fit` and implements `_flat_proba(X)`, of shape
    (n_samples, n_outputs): the probability of the second class where a task is binary, of each
    class where it is not, task after task. Tasks of a single class have no part in it, nor in
    `task_outputs_`.
    """

    takes_training_data = False

    def _learn_tasks(self, table: TaskTable) -> None:
        self.task_classes_: list[NDArray] = table.classes
        self.task_outputs_ = table.select(table.learnable).task_outputs
        self.task_types_ = table.task_types
        self.positive_codes_ = table.positive
        self.constant_codes_ = table.constant
        self.single_output_ = table.is_1d
        self._learn_names(table)

    @property
    def _layout(self) -> OutputLayout:
        """Where the tasks that are learned stand in outputs."""
        return OutputLayout(self.task_outputs_, [self.task_types_[t] for t in self._learned])

    @property
    def _learned(self) -> NDArray[np.intp]:
        """Positions of the tasks that are learned: those of which several classes were met."""
        return np.flatnonzero(self.constant_codes_ == MISSING)

    @property
    def classes_(self) -> Any:
        """Labels: ndarray of shape (n_classes,) if `y` was 1-D, else a list of one a task."""
        try:
            if self.single_output_:
                return self.task_classes_[0]
            return _TaskClasses(self.task_classes_)
        except AttributeError:
            raise AttributeError(
                f"'{type(self).__name__}' object has no attribute 'classes_' before fit"
            ) from None

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        raise NotImplementedError

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples as in `fit`.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_tasks), list of ndarray, or ndarray
            Probability of the second class, if every task is binary; else a list of
            (n_samples, n_classes) a task; (n_samples, n_classes) if `y` was 1-D in `fit`. A task of
            which `fit` has met a single class counts as binary; if that class is none of 0, 1,
            False and True, it has no second class, whose probability is 0.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If `X` does not fit what was seen in `fit`.
        """
        proba = self._flat_proba(X)
        learned, layout = self._learned, self._layout
        if layout.only is not None and not self.single_output_:
            if len(learned) == self.n_tasks_:
                return proba
            table = np.tile(self.constant_codes_.astype(proba.dtype), (len(proba), 1))
            table[:, learned] = proba
            return table
        of_tasks = [
            np.tile(np.eye(len(c), dtype=proba.dtype)[k], (len(proba), 1))
            for c, k in zip(self.task_classes_, self.constant_codes_, strict=True)
        ]
        for t, of_classes in zip(learned, layout.of_classes(proba), strict=True):
            of_tasks[t] = of_classes
        return of_tasks[0] if self.single_output_ else of_tasks

    def predict(self, X: Any) -> NDArray:
        """The most probable class of every task (the positive class of a binary task where its
        probability is above the task's threshold, if the estimator has thresholds of its own).

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples as in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples, n_tasks), or (n_samples,) if `y` was 1-D
            In the labels of `Y`.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If `X` does not fit what was seen in `fit`.
        """
        proba = self._flat_proba(X)
        learned = self._learned
        threshold = np.broadcast_to(getattr(self, "thresholds_", 0.5), self.n_tasks_)[learned]
        first_is_positive = self.positive_codes_[learned] == 0
        codes = np.tile(self.constant_codes_, (len(proba), 1))
        codes[:, learned] = self._layout.decide(proba, threshold, first_is_positive)
        labels = decode(codes, self.task_classes_)
        return labels[:, 0] if self.single_output_ else labels

    def _pos_label_of(self, task: int) -> Any:
        """The positive class that the parameters give to a task, None if they do not."""
        given = getattr(self, "pos_label", None)
        if given is None:
            given = getattr(getattr(self, "estimator", None), "pos_label", None)
        if not isinstance(given, Mapping):
            return given
        names = getattr(self, "task_names_in_", None)
        return by_task_key(given, names).get(task if names is None else names[task])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Macro F1: the mean over tasks of F1 (see `skgroup.metrics.multitask_f1_score`).

        A task whose F1 is not defined on these samples is left out, with an
        UndefinedMetricWarning.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            True labels; missing ones do not count. A label that was not met in `fit` is a class
            of its own that is never predicted. Columns of a DataFrame are matched by their names
            with those of `fit`.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If a task of `fit` is missing or one is new, or nothing says which class of a binary
            task is the positive one (`pos_label`).
        """
        predicted = self.predict(X)
        # A label that fit has not met may make a task one of more classes, or be the positive class
        # of one that had a single class: of that one, the class that was met alone is known.
        met = [
            c if k == MISSING else c[[k]]
            for c, k in zip(self.task_classes_, self.constant_codes_, strict=True)
        ]
        table = check_tasks(
            y,
            classes=met,
            names=getattr(self, "task_names_in_", None),
            add_classes=True,
        )
        positive = self.positive_codes_.copy()
        for t in np.flatnonzero(self.constant_codes_ != MISSING):
            labels = table.classes[t].tolist()
            given = self._pos_label_of(int(t))
            if given not in labels and positive[t] != UNKNOWN:
                given = self.task_classes_[t][positive[t]].item()
            otherwise = table.positive[t] if len(labels) == 2 else UNKNOWN
            positive[t] = labels.index(given) if given in labels else otherwise
        binary = [kind is BINARY for kind in table.kinds]
        positive = np.where(binary, positive, NO_POSITIVE)
        table = replace(table, positive=positive, constant=np.full(len(met), MISSING))
        return float(multitask_f1_score(table, predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def decode(codes: NDArray[np.intp], classes: list[NDArray]) -> NDArray:
    """Labels of class codes (n_samples, n_tasks), in a type that holds every task's labels."""
    kinds = {c.dtype.kind for c in classes}
    one_kind = len(kinds) == 1 or kinds <= set("iuf")
    dtype = np.result_type(*{c.dtype for c in classes}) if one_kind else np.dtype(object)
    width = max(len(c) for c in classes)
    lookup = np.empty((len(classes), width), dtype=dtype)
    for t, of_task in enumerate(classes):
        lookup[t, : len(of_task)] = of_task
    return lookup[np.arange(len(classes)), codes]
