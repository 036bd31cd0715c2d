"""Groups to choose from, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Groups to choose from.

    Attributes
    ----------
    scores : ndarray of shape (n_serving, n_listed)
        Score of each serving task in each group, on a `Scale`; -inf where it is not a member.
    helpers : ndarray of shape (n_helpers, n_listed) of bool
        Which of the other tasks are members; looked at where groups may not overlap.
    costs : ndarray of shape (n_listed,)
        As `shares_of_budget`, so that sums are exact.
    n_groups : int
        At most so many are chosen.
    budget : float
        At most so much they cost together: `WHOLE`, or infinite.
    overlap : bool
        Whether a task may be in several chosen groups.
    """

    scores: FloatArray
    helpers: NDArray[np.bool_]
    costs: FloatArray
    n_groups: int
    budget: float
    overlap: bool

    @property
    def size(self) -> int:
        return self.scores.shape[1]

    def take(self, columns: Any) -> Pool:
        return replace(
            self,
            scores=self.scores[:, columns],
            helpers=self.helpers[:, columns],
            costs=self.costs[columns],
        )

    def affords(self, chosen: Any) -> bool:
        return bool(self.costs[chosen].sum() <= self.budget)

    def value(self, chosen: Any) -> float:
        """Sum over serving tasks of the score in the best chosen group."""
        return float(self.scores[:, chosen].max(axis=1).sum())


@dataclass
class Choice:
    """What was found: positions of the groups, the sum of scores and an upper bound of it."""

    chosen: NDArray[np.intp]
    value: float
    bound: float
    prices: FloatArray


def bound_of_tasks(pool: Pool) -> float:
    """Each task in the group where it scores best."""
    return float(pool.scores.max(axis=1).sum())


def rounding(value: float) -> float:
    """Differences up to this are none, for scores on a `Scale`."""
    return 1e-10 * max(1.0, abs(value))
