"""Baselines that nobody has to ask for: nets like a candidate but for its groups, and a forest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from torch import Tensor

from skgroup._estimators import named_steps, parts_of, steps_of
from skgroup.comparison._kinds import (
    NO_BASELINE,
    grouped_class,
    has_default_members,
    kind_of,
    nets_of,
    of_kinds,
)
from skgroup.ensemble import AllTasks, GroupedMTLEstimator, SingleTasks
from skgroup.ensemble.table_learner import default_forest
from skgroup.ensemble.trial import try_classifier
from skgroup.tasks import TaskTable, single_classes_said
from skgroup.training import MultiTaskNet

_FOREST = "forest"
_FORESTS = (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)


def make_baselines(
    candidates: dict[str, Any], table: TaskTable, X: Any, Y: Any
) -> tuple[dict[str, Any], list[str]]:
    """Baselines by name, none where a candidate is a multi-task net or single-task nets; and what
    is to be said of those that are lacking.

    MTL, STL and the MTL ensemble are like the first candidate that groups or is a net, but for its
    groups and the balancing of its nets; where no candidate groups or balances, MTL and STL are of
    nets of defaults. The forest gets what the nets get.

    Raises
    ------
    ValueError
        If there is nothing to make baselines of.
    """
    kinds = {name: kind_of(e, table.n_tasks) for name, e in candidates.items()}
    if not set(kinds.values()) <= {*NO_BASELINE, "other"}:
        return {}, []
    said = []
    template = _template(candidates, table)
    unlike = [name for name, kind in kinds.items() if kind in NO_BASELINE]
    if template is None and len(unlike) == len(kinds):
        raise ValueError(
            "The 'candidates' parameter of compare must hold a baseline, something that neither "
            f"groups nor balances the tasks, or a {grouped_class(table).__name__} or MultiTaskNet "
            f"to make one of. Got {list(candidates)} (a meta-estimator needs baselines of yours)."
        )
    if template is None and not unlike:
        template = _default_template(candidates, table, X, Y)
    made = {} if template is None else _nets_like(template, table, ensemble=bool(unlike))
    if template is None:
        what = f"of “{unlike[0]}”, a meta-estimator" if unlike else "that learns this X as it is"
        said.append(f"No baseline of nets is made {what}.")
    if not any(isinstance(part, _FORESTS) for e in candidates.values() for part in parts_of(e)):
        forest = default_forest(table)
        if template is not None:
            forest = with_last(template, forest)
        # What steps before it make of samples is not known, but seldom has it more dimensions.
        if are_vectors(X, of_numbers=len(steps_of(forest)) == 1):
            made[_FOREST] = forest
        else:
            said.append("No forest is made a baseline, as X does not hold vectors of numbers.")
    return made, said


def _template(candidates: dict[str, Any], table: TaskTable) -> Any:
    """What groups, as the first candidate that does or is a net, in its pipeline; None if there is
    none."""
    for candidate in candidates.values():
        last = steps_of(candidate)[-1]
        if isinstance(last, GroupedMTLEstimator):
            return candidate
        if isinstance(last, MultiTaskNet):
            return with_last(candidate, grouped_class(table)(last, n_groups=1))
        if has_default_members(candidate):  # whose nets are those of defaults
            return _of_defaults(table)
    return None


def _default_template(candidates: dict[str, Any], table: TaskTable, X: Any, Y: Any) -> Any:
    """Nets of defaults, behind the steps of a candidate where they cannot learn `X` as it is."""
    template = _of_defaults(table)
    try:
        with single_classes_said(table):
            try_classifier(template, X, Y)
    except (TypeError, ValueError):
        inner = [
            getattr(c, "classes", None) or getattr(c, "regression", c) for c in candidates.values()
        ]
        pipelines = [c for c in inner if len(steps_of(c)) > 1]
        return with_last(pipelines[0], template) if pipelines else None
    return template


def _of_defaults(table: TaskTable) -> Any:
    return of_kinds("MTL", grouped_class(table)(MultiTaskNet()), table, "compare")


def with_last(template: Any, last: Any) -> Any:
    """A clone of a pipeline with another last step; what is no pipeline is the step alone."""
    prefix, _ = [*named_steps(template)][-1]
    step = prefix.removesuffix("__")
    return clone(template).set_params(**{step: last}) if step else last


def _nets_like(template: Any, table: TaskTable, *, ensemble: bool) -> dict[str, Any]:
    def like(grouper: Any) -> Any:
        copied = _unbalanced(clone(template))
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
    if ensemble and not math.isnan(of_template) and (n_nets := int(of_template // of_one)) > 1:
        made[f"MTL ensemble, {n_nets} nets"] = like(AllTasks(n_nets))
    return made


def _unbalanced(estimator: Any) -> Any:
    for part in parts_of(estimator):
        if isinstance(part, MultiTaskNet) and part.balancing is not None:
            part.balancing = None
            for name in [name for name in vars(part) if name.startswith("balancing__")]:
                delattr(part, name)
    return estimator


def are_vectors(X: Any, *, of_numbers: bool) -> bool:
    """Whether samples are vectors, as far as that can be seen of a container."""
    if getattr(X, "ndim", 2) != 2 or not (hasattr(X, "shape") or isinstance(X, list)):
        return False
    if not of_numbers or sparse.issparse(X) or isinstance(X, Tensor):
        return True
    if hasattr(X, "columns"):
        kinds = [getattr(X[column].dtype, "kind", "O") for column in X.columns]
        return set(kinds) <= set("biuf")
    X = np.asarray(X)
    return X.ndim == 2 and X.dtype.kind in "biuf"
