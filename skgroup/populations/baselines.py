"""What a grouping of populations should be better than, as estimators.

They are `PooledTasksClassifier` and `PooledTasksRegressor` whose groups are not looked for, with
the same parameters; `n_groups`, `shrinkage`, `grouper` and `cv` count for random groups alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from skgroup.populations._path import Path, Way
from skgroup.populations._plan import Plan, in_order
from skgroup.populations._pooled import PooledTasksClassifier, PooledTasksRegressor, _PooledTasks
from skgroup.populations._rows import Populations

__all__ = [
    "OneEachClassifier",
    "OneEachRegressor",
    "OneForAllClassifier",
    "OneForAllRegressor",
    "RandomGroupsClassifier",
    "RandomGroupsRegressor",
    "baseline_like",
    "is_baseline",
]

_Chosen = tuple[Path, Way, NDArray[np.float64]]


class _Baseline(_PooledTasks):
    """What tells a baseline from what it is a baseline of."""


class _OneForAll(_Baseline):
    """One model of all rows; nothing is held out."""

    def _choose(self, plan: Plan) -> _Chosen:
        return _taken(Way(1, np.inf), plan.rows)


class _OneEach(_Baseline):
    """A model of each population's rows; nothing is held out."""

    def _choose(self, plan: Plan) -> _Chosen:
        return _taken(Way(plan.rows.n_tasks, 0.0), plan.rows)


class _RandomGroups(_Baseline):
    """Groups of the sizes that would be found, of populations drawn at random.

    Their number and the shrinkage are those that the same estimator finds with the same
    `random_state`.
    """

    def _choose(self, plan: Plan) -> _Chosen:
        path, way, membership = super()._choose(plan)
        order = np.random.default_rng(plan.seeds[1]).permutation(plan.rows.n_tasks)
        return path, way, in_order(membership[order])


class OneForAllClassifier(_OneForAll, PooledTasksClassifier):
    """One model for all populations; see `PooledTasksClassifier`."""


class OneForAllRegressor(_OneForAll, PooledTasksRegressor):
    """One model for all populations; see `PooledTasksRegressor`."""


class OneEachClassifier(_OneEach, PooledTasksClassifier):
    """A model for each population; see `PooledTasksClassifier`."""


class OneEachRegressor(_OneEach, PooledTasksRegressor):
    """A model for each population; see `PooledTasksRegressor`."""


class RandomGroupsClassifier(_RandomGroups, PooledTasksClassifier):
    """Populations in random groups, of the sizes of those that would be found."""


class RandomGroupsRegressor(_RandomGroups, PooledTasksRegressor):
    """Populations in random groups, of the sizes of those that would be found."""


_KINDS: dict[str, tuple[type, type]] = {
    "for all": (OneForAllClassifier, OneForAllRegressor),
    "each": (OneEachClassifier, OneEachRegressor),
    "random": (RandomGroupsClassifier, RandomGroupsRegressor),
    "pooled": (PooledTasksClassifier, PooledTasksRegressor),
}


def baseline_like(kind: str, template: Any, **params: Any) -> Any:
    """One with the parameters of an estimator of populations, but for some.

    Parameters
    ----------
    kind : {"for all", "each", "random", "pooled"}
        The last groups as the template does.
    template : PooledTasksClassifier or PooledTasksRegressor
    **params
        Other values.
    """
    made = _KINDS[kind][0 if is_classifier(template) else 1]
    names = PooledTasksClassifier(task=0).get_params(deep=False)
    return made(**{**{name: getattr(template, name) for name in names}, **params})


def is_baseline(estimator: Any) -> bool:
    """Whether an estimator is one of these."""
    return isinstance(estimator, _Baseline)


def _taken(way: Way, rows: Populations) -> _Chosen:
    """One for all, or one each, that was not chosen, so that no loss is known."""
    nothing = np.full((1, rows.n_tasks), np.nan)
    membership = np.ones((rows.n_tasks, 1)) if way.n_groups == 1 else np.eye(rows.n_tasks)
    return Path([way], nothing, rows.sums(rows.weight), rows.sizes), way, membership
