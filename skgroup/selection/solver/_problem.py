"""What a search for groups is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.selection.solver._pool import Pool
from skgroup.selection.solver._rules import Rules, mean_scores

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """An affinity and what is asked of the groups.

    Attributes
    ----------
    affinity : ndarray of shape (n_tasks, n_tasks)
        With a diagonal of zeros.
    alone : ndarray of shape (n_tasks,)
        Score of a task in a group of one.
    rules : Rules
    serving : ndarray of shape (n_tasks,) of bool
    n_groups : int
    budget : float
    overlap : bool
    cost : callable
        Costs (n_listed,) of groups (n_listed, n_tasks), as a `Pool` has them.
    """

    affinity: FloatArray
    alone: FloatArray
    rules: Rules
    serving: BoolArray
    n_groups: int
    budget: float
    overlap: bool
    cost: Any

    def pool(self, masks: BoolArray) -> Pool:
        scores = mean_scores(self.affinity, self.alone, masks)[self.serving]
        return Pool(
            np.ascontiguousarray(scores),
            masks.T[~self.serving],
            self.cost(masks),
            self.n_groups,
            self.budget,
            self.overlap,
        )
