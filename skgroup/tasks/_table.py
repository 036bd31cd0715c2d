"""The task table `Y`, encoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._kind import Kind
from skgroup.tasks._layout import KINDS, OutputLayout
from skgroup.tasks._regression import TargetScaling

#: The code of a missing label.
MISSING = -1
#: In place of the code of a positive class: nothing says which of two it is; there are more than
#: two classes.
UNKNOWN = -1
NO_POSITIVE = -2


@dataclass(frozen=True)
class TaskTable:
    """The task table `Y`, encoded.

    Attributes
    ----------
    codes : ndarray of shape (n_samples, n_tasks)
        Position of each label in the classes of its task, 0 of a regression task; -1 where the
        label is missing.
    classes : list of ndarray of shape (n_classes,), one a task
        Sorted labels of each task, of their own dtype; of a regression task none, or the only
        number that was observed.
    names : ndarray of shape (n_tasks,) of str, or None
        Column names, where `Y` was a DataFrame (or a Series).
    is_1d : bool
        Whether `Y` was one-dimensional: a single task.
    positive : ndarray of shape (n_tasks,) of int
        Code of the positive class of a binary task, `UNKNOWN` where nothing says which of two
        it is; `NO_POSITIVE` for a task of more classes.
    constant : ndarray of shape (n_tasks,) of int
        Code of the only class of a task of which a single one was observed, so that there is
        nothing to learn; `MISSING` for all others.
    ordered : tuple, one a task
        The categories, in their order, of an ordered categorical; None for others.
    task_types : tuple of str, one a task
        The kind of each, by name.
    values : ndarray of shape (n_samples, n_tasks), or None
        The numbers of regression tasks, NaN where one is missing and for all other tasks. None
        where all tasks have classes.
    """

    codes: NDArray[np.integer]
    classes: list[NDArray]
    names: NDArray[np.object_] | None
    is_1d: bool
    positive: NDArray[np.intp]
    constant: NDArray[np.intp]
    ordered: tuple[Any, ...]
    task_types: tuple[str, ...]
    values: NDArray[np.float64] | None = None

    def target_scaling(self, sample_weight: NDArray[np.float64] | None = None) -> TargetScaling:
        """Means and standard deviations of the regression tasks."""
        return TargetScaling.of(self.values, self.n_tasks, sample_weight)

    @property
    def learnable(self) -> NDArray[np.bool_]:
        """Which tasks there is something to learn of, (n_tasks,)."""
        return self.constant == MISSING

    @property
    def positive_unknown(self) -> NDArray[np.bool_]:
        """Of which tasks nothing says which of two classes is the positive one, (n_tasks,)."""
        two = np.array([len(c) for c in self.classes]) == 2
        unknown: NDArray[np.bool_] = two & self.learnable & (self.positive == UNKNOWN)
        return unknown

    @property
    def has_classes(self) -> NDArray[np.bool_]:
        """Which tasks have classes, (n_tasks,); the others are regression tasks."""
        return np.array([kind.has_classes for kind in self.kinds], dtype=bool)

    @property
    def scored_classes(self) -> list[NDArray[np.intp]]:
        """Codes of the classes of each task whose F1 counts."""
        tasks = zip(self.kinds, self.classes, self.positive.tolist(), strict=True)
        return [kind.scored_classes(len(c), positive) for kind, c, positive in tasks]

    @property
    def width(self) -> int:
        """Columns of a table of class weights: the most classes of a task, one at least."""
        return max(1, *(len(c) for c in self.classes))

    @property
    def n_tasks(self) -> int:
        return self.codes.shape[1]

    @property
    def layout(self) -> OutputLayout:
        """Where each task stands in the outputs of a net."""
        return OutputLayout(self.task_outputs, self.task_types)

    @property
    def kinds(self) -> list[Kind]:
        """The kind of each task."""
        return [KINDS[name] for name in self.task_types]

    @property
    def task_outputs(self) -> tuple[int, ...]:
        """Outputs of a net a task: 1 for a binary or regression task, k for one of k classes."""
        tasks = zip(self.kinds, self.classes, strict=True)
        return tuple(kind.n_outputs(len(c)) for kind, c in tasks)

    def select(self, tasks: NDArray) -> TaskTable:
        """The table of some tasks only; `tasks` is an index or boolean array (n_tasks,)."""
        index = np.arange(self.n_tasks)[tasks]
        names = None if self.names is None else self.names[index]
        classes = [self.classes[t] for t in index]
        positive, constant = self.positive[index], self.constant[index]
        ordered = tuple(self.ordered[t] for t in index)
        types = tuple(self.task_types[t] for t in index)
        values = None
        if self.values is not None and any(not KINDS[name].has_classes for name in types):
            values = self.values[:, index]
        codes = self.codes[:, index]
        return TaskTable(codes, classes, names, False, positive, constant, ordered, types, values)

    def without(self, labels: NDArray[np.bool_]) -> TaskTable:
        """The table with some labels, (n_samples, n_tasks), missing."""
        values = None if self.values is None else np.where(labels, np.nan, self.values)
        codes = np.where(labels, self.codes.dtype.type(MISSING), self.codes)
        return replace(self, codes=codes, values=values)

    def take(self, samples: NDArray) -> TaskTable:
        """The table of some samples only; `samples` is an index or boolean array (n_samples,)."""
        values = None if self.values is None else self.values[samples]
        return replace(self, codes=self.codes[samples], values=values)
