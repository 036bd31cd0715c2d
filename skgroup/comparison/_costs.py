"""What a fit costs in nets."""

from __future__ import annotations

import math
from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline
from skorch import NeuralNet

from skgroup._estimators import parts_of, steps_of
from skgroup.ensemble import GroupedMTLClassifier
from skgroup.ensemble._groupers import base_net

__all__ = ["count_nets"]


def count_nets(estimator: Any, n_tasks: int) -> float:
    """Nets that `fit` trains, or has trained; NaN if it is not known."""
    if isinstance(estimator, Pipeline):
        return sum(count_nets(step, n_tasks) for step in steps_of(estimator))
    if isinstance(estimator, GroupedMTLClassifier):
        try:
            return estimator.count_nets(n_tasks)["total"]
        except ValueError:  # the grouper finds the number of groups
            if not hasattr(estimator, "membership_"):
                return math.nan
        groups = clone(estimator).set_params(
            grouper=estimator.membership_, specialist_init="fresh", n_groups=None
        )
        grouper = estimator.grouper_
        relation = [s.count_nets(n_tasks) for s in steps_of(grouper) if hasattr(s, "count_nets")]
        reused = int(estimator.n_mtl_nets > 0 and base_net(grouper) is not None)
        return groups.count_nets(n_tasks)["total"] + sum(relation) - reused
    if isinstance(estimator, NeuralNet):
        return 1
    if not hasattr(estimator, "get_params"):  # "passthrough"
        return 0
    # How often a meta-estimator trains its nets is its own affair.
    nets = [p for p in parts_of(estimator) if isinstance(p, NeuralNet | GroupedMTLClassifier)]
    return math.nan if nets else 0
