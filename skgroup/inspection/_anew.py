"""Data maps of nets that kept none: the nets are trained again, and recorded."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skgroup.inspection._fitted import find_fitted, group_names_of, last_of, task_names_of
from skgroup.relations import TaskGrouper
from skgroup.tasks import as_columns, by_task_columns, check_tasks, single_classes_said, take_tasks
from skgroup.training.data import check_inputs


@dataclass(frozen=True)
class NetOfGrouped:
    """A net of a fitted grouped estimator, that can be trained again.

    Attributes
    ----------
    owner : estimator
        The grouped one, without what stands before it in a pipeline.
    before : list of transformer
    grouper : TaskGrouper
        Unfitted, with the net.
    tasks : ndarray of int
        Which tasks of the owner are its tasks.
    name : str
        What it is called in titles; empty of the relation's.
    asked : object
        The name it was asked for by.
    """

    owner: Any
    before: list[Any]
    grouper: TaskGrouper
    tasks: NDArray[np.intp]
    name: str
    asked: Any

    def record(self, X: Any, y: Any, sample_weight: Any) -> TaskGrouper:
        """Train it, and keep its data map.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit` of the estimator.

        Raises
        ------
        ValueError
            Before any training, if the data are not those of `fit`.
        """
        if X is None or y is None:
            raise ValueError(
                f"net={self.asked!r} needs X and y, the samples and tasks of fit: that net kept no "
                "data map, and is trained again to record it."
            )
        for step in self.before:
            X = step.transform(X)
        check_inputs(self.owner, X, reset=False)
        y = tasks_of_fit(self.owner, y)
        table = check_tasks(y, task_types=self.owner.task_types_)
        of_net = np.isin(np.arange(self.owner.n_tasks_), self.tasks)
        if sample_weight is not None and np.ndim(sample_weight) == 2:  # a weight a label
            sample_weight = take_tasks(tasks_of_fit(self.owner, sample_weight), of_net)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        with single_classes_said(table):
            return self.grouper.fit(X, take_tasks(y, of_net), **weights)


def net_of(estimator: Any, net: Any) -> NetOfGrouped:
    """A net of a fitted grouped estimator: "relation", or the position or name of a group."""
    last, before = last_of(estimator)
    if not hasattr(last, "specialists_"):
        raise ValueError(
            "The 'net' parameter chooses a net of a grouped estimator, or of a Pipeline that ends "
            f"in one. Got {net!r} for {type(estimator).__name__}."
        )
    if isinstance(net, str) and net == "relation":
        learned = np.flatnonzero(last.learnable_)
        return NetOfGrouped(last, before, _of_relation(last), learned, "", net)
    group = _group(net, last)
    named = group_names_of(last)
    name = f"group {group}" if named is None else named[group]
    tasks = last.specialist_tasks_[group]
    return NetOfGrouped(last, before, _of_specialist(last, group), tasks, name, net)


def tasks_of_fit(last: Any, y: Any) -> Any:
    """A table with a column a task in the order that an estimator knows, all of its tasks."""
    y = by_task_columns(y, getattr(last, "task_names_in_", None), "y")
    n_tasks = len(as_columns(y)[0])
    if n_tasks != last.n_tasks_:
        raise ValueError(
            f"y must hold the {last.n_tasks_} tasks that {type(last).__name__} was fitted on. Got "
            f"{n_tasks}."
        )
    return y


def _of_relation(last: Any) -> TaskGrouper:
    found = None if last.grouper_ is None else find_fitted(last.grouper_, "snapshot_epochs_")
    if found is None:
        raise ValueError(
            "net='relation' is the net of a TaskGrouper, by whose data maps tasks were grouped. "
            f"The groups of this {type(last).__name__} came from {last.grouper_!r}."
        )
    return clone(found[0]).set_params(output="raw")


def _of_specialist(last: Any, group: int) -> TaskGrouper:
    if last.specialist_init != "fresh":
        raise ValueError(
            "The data map of a specialist can be recorded anew only where it starts from new "
            f"weights, specialist_init='fresh'. Got {last.specialist_init!r}."
        )
    specialist = last.specialists_[group]
    net = clone(specialist).set_params(task_weight=None, task_types=list(last.task_types_))
    names = task_names_of(last)
    net.keep_tasks(last.specialist_tasks_[group], last.n_tasks_, names)
    net.set_params(task_weight=specialist.task_weight)
    return TaskGrouper(net, random_state=copy.deepcopy(last.random_state))


def _group(net: Any, last: Any) -> int:
    names, n_groups = group_names_of(last), len(last.specialists_)
    if isinstance(net, str) and names is not None and net in names:
        return names.index(net)
    whole = isinstance(net, int | np.integer) and not isinstance(net, bool)
    if whole and 0 <= net < n_groups:
        return int(net)
    of_names = "" if names is None else f" or one of the names {names}"
    raise ValueError(
        f"The 'net' parameter must be None, 'relation', or a group: a position in "
        f"[0, {n_groups - 1}]{of_names}. Got {net!r}."
    )
