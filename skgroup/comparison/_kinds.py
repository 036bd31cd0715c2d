"""What candidates are, and what kinds of tasks they are for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from sklearn.base import is_classifier, is_regressor
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from skorch import NeuralNet

from skgroup._estimators import parts_of, steps_of
from skgroup.cluster.memberships import read_membership
from skgroup.ensemble import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    PortfolioEstimator,
)
from skgroup.tasks import (
    AUTO,
    REGRESSION,
    TaskTable,
    given_types,
    names_in_groups,
    task_label,
)
from skgroup.training import MultiTaskNet
from skgroup.training.costs import count_nets

#: What is no baseline: tasks that are grouped, or weighed anew in each step.
NO_BASELINE = ("grouped", "balanced")


def task_types_of(candidates: Any) -> Any:
    """What a dict of estimators, or one, says of the kinds of all tasks, before any is looked at.

    The first `task_types` that is given; "regression" if all of them are regressors (nets of
    `task_types="auto"` learn whatever there is); else "auto".
    """
    given = candidates.values() if isinstance(candidates, Mapping) else [candidates]
    estimators = [e for e in given if hasattr(e, "get_params") and not isinstance(e, type)]
    for estimator in estimators:
        for said in _types_said(estimator):
            return said
    others = [e for e in estimators if not isinstance(steps_of(e)[-1], MultiTaskNet)]
    return REGRESSION.name if others and all(map(is_regressor, others)) else AUTO


def _types_said(estimator: Any) -> list[Any]:
    given = [getattr(part, "task_types", AUTO) for part in parts_of(estimator)]
    return [types for types in given if not (isinstance(types, str) and types == AUTO)]


def of_kinds(name: str, estimator: Any, table: TaskTable, owner: str) -> Any:
    """A candidate whose nets read each task as the table does, whatever samples they see.

    Raises
    ------
    ValueError
        If it cannot learn the kinds of tasks of the table, or says that a task is of another.
    """
    types = table.task_types
    for said in _types_said(estimator):
        for t, of_task in enumerate(given_types(said, table.n_tasks, table.names)):
            if of_task not in (AUTO, types[t]):
                raise ValueError(
                    f"The estimators of {owner} must agree about the kinds of the tasks. "
                    f"{task_label(table.names, t)} of Y is a {types[t]} task, but a {of_task} one "
                    f"by the 'task_types' of {name!r}."
                )
    regression = ~table.has_classes
    told = table.told_types
    if told != AUTO:
        # Numbers that happen to be whole in some samples stay numbers.
        name_default_nets(estimator)
        for part in parts_of(estimator):
            if "task_types" in part.get_params(deep=False):
                part.set_params(task_types=told)
    for refuses, tasks, learns in (
        (is_classifier, regression, "tasks with classes"),
        (is_regressor, ~regression, "regression tasks"),
    ):
        if tasks.any() and refuses(estimator):
            t = int(tasks.argmax())
            raise ValueError(
                ("Unknown label type: continuous. " if regression[t] else "")
                + f"{task_label(table.names, t)} of Y is a {types[t]} task, but {name!r} of "
                f"{owner}, a {type(steps_of(estimator)[-1]).__name__}, learns {learns}: leave it "
                "out, or say by the 'task_types' parameter of MultiTaskNet what the tasks are. "
                "Tasks of several kinds are learned by GroupedMTLEstimator, and by a dict of a "
                "classifier for 'classes' and a regressor for 'regression'."
            )
    return estimator


def name_default_nets(estimator: Any) -> None:
    """Put a `MultiTaskNet()` wherever None stands for one among the parameters."""
    for part in parts_of(estimator):
        if (
            hasattr(part, "count_nets")
            and part.get_params(deep=False).get("estimator", part) is None
        ):
            part.set_params(estimator=MultiTaskNet())


def grouped_class(table: TaskTable) -> type[GroupedMTLEstimator]:
    """What groups the tasks of a table, by their kinds."""
    if table.has_classes.all():
        return GroupedMTLClassifier
    return GroupedMTLEstimator if table.has_classes.any() else GroupedMTLRegressor


def nets_of(estimator: Any, n_tasks: int) -> float:
    """Nets that `fit` trains, or has trained; NaN if it is not known."""
    try:
        return count_nets(estimator, n_tasks)
    except ValueError:  # the number of groups is known only after fit
        return math.nan


def kind_of(estimator: Any, n_tasks: int) -> str:
    """What a candidate is: "grouped", "balanced" (nets of all tasks), "STL", "MTL", the `baseline`
    of its grouper, or "other"."""
    kind = _kind_by_groups(estimator, n_tasks)
    nets = [part for part in parts_of(estimator) if isinstance(part, MultiTaskNet)]
    balanced = any(net.balancing is not None for net in nets)
    return "balanced" if kind == "MTL" and n_tasks > 1 and balanced else kind


def _kind_by_groups(estimator: Any, n_tasks: int) -> str:
    parts = parts_of(estimator)
    kinds = [_ungrouped(p, n_tasks) for p in parts if isinstance(p, GroupedMTLEstimator)]
    if None in kinds or (n_tasks > 1 and any(map(has_default_members, parts))):
        return "grouped"
    if kinds:
        return str(kinds[0])
    if not any(isinstance(part, NeuralNet) for part in parts):
        return "other"
    a_task = MultiOutputClassifier | MultiOutputRegressor
    return "STL" if any(isinstance(part, a_task) for part in parts) else "MTL"


def has_default_members(estimator: Any) -> bool:
    """Whether an estimator is a portfolio of default members, which is no baseline."""
    return isinstance(estimator, PortfolioEstimator) and estimator.members is None


def _ungrouped(clf: GroupedMTLEstimator, n_tasks: int) -> str | None:
    """What a classifier is that does not group: "STL", "MTL" with one net or several, or what its
    grouper says to be; None if it groups."""
    if clf.grouper is None:
        one = n_tasks == 1 or (isinstance(clf.n_groups, Integral) and clf.n_groups == 1)
        return "MTL" if one else None
    if hasattr(clf.grouper, "fit"):
        return getattr(type(clf.grouper), "baseline", None)  # of the class, no parameter
    names = names_in_groups(clf.grouper, n_tasks)
    try:
        membership, _ = read_membership(clf.grouper, n_tasks, owner="", task_names=names)
    except ValueError:
        return None  # which fit, and the check before it, find a word for
    if (membership == membership[:1]).all():
        return "MTL"
    member = membership > 0
    return "STL" if (member.sum(axis=0) == 1).all() and (member.sum(axis=1) == 1).all() else None
