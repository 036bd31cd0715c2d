"""What can be seen of an estimator on data before it, or any other, trains."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from skgroup.ensemble._grouped import GroupedMTLEstimator
from skgroup.tasks import TaskTable
from skgroup.training import MultiTaskNet
from skgroup.training.engine import build_net, check_data

__all__ = ["try_classifier", "try_grouper_of"]


def try_classifier(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> None:
    """Raise what a fit of a net, or of a grouped estimator, would refuse; others are let pass."""
    if isinstance(estimator, MultiTaskNet):
        net = clone(estimator)
        build_net(net, check_data(net, X, y, sample_weight), seed=0)
    elif isinstance(estimator, GroupedMTLEstimator):
        *checked, _ = estimator._check(X, y, sample_weight)
        estimator._try(*checked)


def try_grouper_of(estimator: GroupedMTLEstimator, table: TaskTable) -> None:
    """Raise what is wrong with the grouper of an estimator whose inputs are not known yet."""
    net = MultiTaskNet() if estimator.estimator is None else clone(estimator.estimator)
    estimator._check_grouper(net, table.n_tasks, table.names, table.learnable)
