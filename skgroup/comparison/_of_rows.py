"""Estimators of rows, that a comparison of populations fits."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from skgroup._compat import HasMethods, Interval, _fit_context
from skgroup._estimators import parts_of, steps_of
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor
from skgroup.populations.baselines import is_baseline

Pooled = PooledTasksClassifier | PooledTasksRegressor


class OfRows(BaseEstimator):
    """An estimator of rows that answers as one of a table of tasks: for every task the same.

    Parameters
    ----------
    estimator : classifier or regressor
    n_tasks : int
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_tasks": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, estimator: Any, n_tasks: int) -> None:
        self.estimator = estimator
        self.n_tasks = n_tasks

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> Self:
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        predicted = np.asarray(self.estimator_.predict(X)).reshape(-1, 1)
        return np.broadcast_to(predicted, (len(predicted), self.n_tasks))

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        return [np.asarray(self.estimator_.predict_proba(X))] * self.n_tasks

    def count_nets(self, n_tasks: int) -> float:
        """Not what such candidates are told apart by."""
        return float("nan")

    @property
    def membership_(self) -> NDArray[np.float64] | None:
        """The groups that were found, (n_tasks, n_groups), if groups were looked for."""
        fitted = self.estimator_
        last = steps_of(getattr(fitted, "best_estimator_", fitted))[-1]
        if not isinstance(last, Pooled) or not looks_for_groups(self.estimator, self.n_tasks):
            return None
        membership: NDArray[np.float64] = last.membership_
        return membership if len(membership) == self.n_tasks else None


def pooled_in(estimator: Any) -> Pooled | None:
    """The first estimator of populations that an estimator is made of."""
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        return None
    if isinstance(last := steps_of(estimator)[-1], Pooled):
        return last
    return next((part for part in parts_of(estimator) if isinstance(part, Pooled)), None)


def looks_for_groups(estimator: Any, n_tasks: int) -> bool:
    """Whether a candidate looks for groups of populations."""
    pooled = pooled_in(estimator)
    if pooled is None or is_baseline(pooled):
        return False
    number = pooled.n_groups
    if isinstance(number, str):
        return True
    return any(not is_one(k) and k != n_tasks for k in np.atleast_1d(number).tolist())


def is_one(number: Any) -> bool:
    """Whether a number of groups is 1 alone, which no group need be looked for."""
    return not isinstance(number, str) and np.ndim(number) == 0 and number == 1
