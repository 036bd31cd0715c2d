"""What can be seen to go wrong with an estimator of populations before anything is fitted."""

from __future__ import annotations

from typing import Any

from skgroup.populations._pooled import PooledTasksClassifier, PooledTasksRegressor
from skgroup.populations._rows import as_table, read_populations

__all__ = ["try_pooled"]


def try_pooled(estimator: PooledTasksClassifier | PooledTasksRegressor, X: Any, y: Any) -> None:
    """Raise what `fit` would refuse of its parameters and these rows."""
    owner = type(estimator).__name__
    X = as_table(X)
    y, classes = estimator._read_y(y)
    n_classes = 0 if classes is None else len(classes)
    rows, order, column = read_populations(X, y, None, estimator.task, n_classes, owner)
    numbers = estimator._numbers(rows.n_tasks)
    position = list(X.columns).index(column) if hasattr(X, "columns") else column
    made = estimator._made_estimator(X, position, 0, weighted=False)
    estimator._checked_grouper(numbers, rows.n_tasks, made)
    estimator._splits(rows, order, y, 0)
