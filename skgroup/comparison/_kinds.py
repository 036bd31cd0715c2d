"""What candidates are, and the baselines that are made like a candidate but for its groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.multioutput import MultiOutputClassifier
from skorch import NeuralNet

from skgroup._estimators import parts_of, steps_of
from skgroup.ensemble import AllTasks, GroupedMTLClassifier, PortfolioClassifier, SingleTasks
from skgroup.tasks import TaskTable
from skgroup.training.costs import count_nets


def make_baselines(candidates: dict[str, Any], table: TaskTable) -> dict[str, Any]:
    """MTL, STL and the MTL ensemble that are like the first candidate but for the groups."""
    for template in candidates.values():
        if isinstance(steps_of(template)[-1], GroupedMTLClassifier):
            break
        if _has_default_members(template):  # whose nets are those of defaults
            template = GroupedMTLClassifier()
            break
    else:
        raise ValueError(
            "The 'candidates' parameter of compare must hold a baseline, something that does not "
            "group the tasks, or a GroupedMTLClassifier to make one of. Got "
            f"{list(candidates)} (a meta-estimator needs baselines of yours)."
        )

    def like(grouper: Any) -> Any:
        copied = clone(template)
        steps_of(copied)[-1].set_params(
            grouper=grouper,
            n_groups=None,
            min_membership=0.0,
            specialist_init="fresh",
            specialist_epochs=None,
        )
        return copied

    made = {"MTL": like(AllTasks())}
    if table.n_tasks > 1:
        made["STL"] = like(SingleTasks())
    of_template, of_one = (nets_of(e, table.n_tasks) for e in (template, made["MTL"]))
    if not math.isnan(of_template) and (n_nets := int(of_template // of_one)) > 1:
        made[f"MTL ensemble, {n_nets} nets"] = like(AllTasks(n_nets))
    return made


def nets_of(estimator: Any, n_tasks: int) -> float:
    """Nets that `fit` trains, or has trained; NaN if it is not known."""
    try:
        return count_nets(estimator, n_tasks)
    except ValueError:  # the number of groups is known only after fit
        return math.nan


def kind_of(estimator: Any, n_tasks: int) -> str:
    """What a candidate is: "grouped", "STL", "MTL", the `baseline` of its grouper, or "other"."""
    parts = parts_of(estimator)
    kinds = [_ungrouped(p, n_tasks) for p in parts if isinstance(p, GroupedMTLClassifier)]
    if None in kinds or (n_tasks > 1 and any(map(_has_default_members, parts))):
        return "grouped"
    if kinds:
        return str(kinds[0])
    if not any(isinstance(part, NeuralNet) for part in parts):
        return "other"
    return "STL" if any(isinstance(part, MultiOutputClassifier) for part in parts) else "MTL"


def _has_default_members(estimator: Any) -> bool:
    """Whether an estimator is a portfolio of default members, which is no baseline."""
    return isinstance(estimator, PortfolioClassifier) and estimator.members is None


def _ungrouped(clf: GroupedMTLClassifier, n_tasks: int) -> str | None:
    """What a classifier is that does not group: "STL", "MTL" with one net or several, or what its
    grouper says to be; None if it groups."""
    if clf.grouper is None:
        one = n_tasks == 1 or (isinstance(clf.n_groups, Integral) and clf.n_groups == 1)
        return "MTL" if one else None
    if hasattr(clf.grouper, "fit"):
        return getattr(type(clf.grouper), "baseline", None)  # of the class, no parameter
    if isinstance(clf.grouper, Mapping) or np.ndim(clf.grouper) == 1:
        groups: Any = clf.grouper
        if isinstance(groups, Mapping):
            groups = [group for group, tasks in groups.items() for _ in np.atleast_1d(tasks)]
        n_groups = len({str(group) for group in groups})
        return {len(groups): "STL", 1: "MTL"}.get(n_groups)
    membership = np.asarray(clf.grouper, dtype=np.float64)
    if membership.ndim != 2:
        return None  # which fit, and the check before it, find a word for
    if ((membership > 0).sum(axis=0) == 1).all() and ((membership > 0).sum(axis=1) == 1).all():
        return "STL"
    return "MTL" if (membership == membership[:1]).all() else None
