"""What can be seen to go wrong with an estimator of populations before anything is fitted."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from skgroup.populations._pooled import PooledTasksClassifier, PooledTasksRegressor

__all__ = ["try_pooled"]


def try_pooled(estimator: PooledTasksClassifier | PooledTasksRegressor, X: Any, y: Any) -> None:
    """Raise what `fit` would refuse of its parameters and these rows."""
    clone(estimator).set_params(random_state=0)._plan(X, y)
