"""What describes populations to a grouper: how their models differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skgroup._estimators import steps_of
from skgroup.metrics.splits import Split
from skgroup.populations._models import Models


class PopulationRelation(BaseEstimator):
    """A first step of the `grouper` of `PooledTasksClassifier`, before what clusters its rows."""

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        """A row a population."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> Any:
        raise TypeError(
            f"{type(self).__name__} is a step of the 'grouper' of PooledTasksClassifier and "
            "PooledTasksRegressor, whose models it describes; it is not fitted alone."
        )

    def transform(self, X: Any) -> Any:
        return self.fit(X)


class CrossLosses(PopulationRelation):
    """How well the model of each population serves each other one, on held-out rows.

    Row t holds, for the model of every population, how much higher its mean loss on the rows of
    population t is than that of all these models in the mean, in units of the spread of all
    entries: populations that the same models serve well have like rows.

    A first step of the `grouper` of `PooledTasksClassifier`.
    """

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        n_tasks = models.rows.n_tasks
        losses = models.cross_losses(np.arange(n_tasks)[None], n_tasks, splits)[0]
        held = np.zeros(n_tasks)
        for _, test in splits:
            held += models.rows.take(test).sums(models.rows.weight[test])
        means = losses / np.maximum(held, 1e-12)[:, None]
        means -= means.mean(axis=1, keepdims=True)
        return means / max(means.std(), 1e-12)


class Coefficients(PopulationRelation):
    """The coefficients of each population's own linear model.

    Row t holds `coef_` and `intercept_` of the last step of the estimator, fitted to the rows of
    population t, less the mean over populations; 0 where a population has too little to fit. They
    are compared as they are: features of one scale, as behind a `StandardScaler`, count alike.

    A first step of the `grouper` of `PooledTasksClassifier`.
    """

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        n_tasks = models.rows.n_tasks
        fitted = [models.fit(of_task).estimator for of_task in np.eye(n_tasks)]
        rows: list[NDArray[np.float64] | None] = []
        for one in fitted:
            last = None if one is None else steps_of(one)[-1]
            if last is not None and not hasattr(last, "coef_"):
                raise ValueError(
                    "Coefficients needs an 'estimator' whose last step has 'coef_' when fitted. "
                    f"Got {last!r}: CrossLosses takes any."
                )
            row = None if last is None else np.append(np.ravel(last.coef_), last.intercept_)
            rows.append(row)
        width = max((len(row) for row in rows if row is not None), default=1)
        table = np.full((n_tasks, width), np.nan)
        for t, row in enumerate(rows):
            if row is not None and len(row) == width:
                table[t] = row
        known = ~np.isnan(table[:, 0])
        if known.any():
            table[known] -= table[known].mean(axis=0)
        return np.nan_to_num(table)
