"""The task table `Y`, encoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks._binary import BINARY
from skgroup.tasks._kind import Kind
from skgroup.tasks._layout import KINDS, OutputLayout, is_soft
from skgroup.tasks._regression import TargetScaling

#: The kind of a task of which nothing is said.
AUTO = "auto"
#: The code of a missing label.
MISSING = -1
#: In place of the code of a positive class: nothing says which of two it is; there are more than
#: two classes.
UNKNOWN = -1
NO_POSITIVE = -2


def weights_of_labels(weight: NDArray[np.float64] | None, n_samples: int) -> NDArray[np.float64]:
    """Weights, 1 where there are none, of shape (n_samples, n_tasks) or (n_samples, 1)."""
    if weight is None:
        return np.ones((n_samples, 1))
    return weight if weight.ndim == 2 else weight[:, None]


@dataclass(frozen=True)
class TaskTable:
    """The task table `Y`, encoded.

    Attributes
    ----------
    codes : ndarray of shape (n_samples, n_tasks)
        Position of each label in the classes of its task, 0 of a regression task, of a soft one
        1 where the label is above 0.5; -1 where the label is missing.
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
        The numbers of regression tasks and the probabilities of soft ones, NaN where one is
        missing and for all other tasks. None where there are no such tasks.
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
        values = self.values
        if values is not None:
            values = None if self.has_classes.all() else np.where(self.has_classes, np.nan, values)
        return TargetScaling.of(values, self.n_tasks, sample_weight)

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
    def told_types(self) -> str | tuple[str, ...]:
        """The `task_types` by which any samples of the table are read as all of it is."""
        if not any(kind.reads_values for kind in self.kinds):
            return AUTO
        return self.task_types if len(set(self.task_types)) > 1 else self.task_types[0]

    @property
    def soft(self) -> NDArray[np.bool_]:
        """Of which tasks labels are probabilities, (n_tasks,)."""
        return np.array([is_soft(kind) for kind in self.kinds], dtype=bool)

    def truth(self, task: int) -> NDArray:
        """What training of a task sees, (n_samples,): codes, or values."""
        reads_values = self.values is not None and self.kinds[task].reads_values
        return self.values[:, task] if reads_values else self.codes[:, task]  # type: ignore[index]

    def of_class(self, k: int) -> NDArray:
        """How much each label (n_samples, n_tasks) is of class k: whether it is, or, of a soft
        task, with which probability; nothing where it is missing."""
        is_k: NDArray = self.codes == k
        soft = self.soft
        if self.values is None or not soft.any():
            return is_k
        share = is_k.astype(np.float64)
        p = self.values[:, soft]
        share[:, soft] = np.nan_to_num(p if k == 1 else 1 - p) if k < 2 else 0.0
        return share

    def hardened(
        self, weight: NDArray[np.float64] | None = None
    ) -> tuple[TaskTable, NDArray[np.float64] | None, NDArray[np.intp]]:
        """The table with binary tasks in place of soft ones: each soft label as two hard ones, 1
        that weighs p and 0 that weighs 1 - p.

        Parameters
        ----------
        weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), default=None

        Returns
        -------
        table : TaskTable
            Of n_rows rows, the last of which repeat samples and have the labels 0 alone.
        weight : ndarray of shape (n_rows, n_tasks)
            As given, where no task is soft.
        rows : ndarray of shape (n_rows,)
            The sample of each row.
        """
        soft, n_samples = self.soft, len(self.codes)
        if self.values is None or not soft.any():
            return self, weight, np.arange(n_samples)
        p = self.values[:, soft]
        between = (p > 0) & (p < 1)
        again = np.flatnonzero(between.any(axis=1))
        rows = np.concatenate([np.arange(n_samples), again])
        codes = self.codes[rows]
        codes[:n_samples, soft] = np.where(np.isnan(p), MISSING, p > 0)
        codes[n_samples:] = MISSING
        codes[n_samples:, soft] = np.where(between[again], 0, MISSING)
        weights = np.broadcast_to(weights_of_labels(weight, n_samples), self.codes.shape)[rows]
        weights[:n_samples, soft] *= np.where(between, p, 1)
        weights[n_samples:, soft] *= np.where(between, 1 - p, 1)[again]
        types = [BINARY.name if s else of for s, of in zip(soft, self.task_types, strict=True)]
        values = None if self.has_classes.all() else np.where(soft, np.nan, self.values)[rows]
        table = replace(self, codes=codes, task_types=tuple(types), values=values)
        return table, weights, rows

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
        if self.values is not None and any(KINDS[name].reads_values for name in types):
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
