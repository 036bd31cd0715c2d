"""Scores and costs on scales of their own, on which rounding is harmless."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Shares of a budget are multiples of this: sums of them are exact, in whatever order.
_GRID = 2.0**-44
#: What may be spent of a budget: all of it, to rounding.
WHOLE = 1.0 + 2.0**-40


def shares_of_budget(costs: FloatArray, budget: float) -> FloatArray:
    """Costs as shares of the budget, whatever their unit; 2 for those more than twice as large.

    Without a budget (infinite), nothing costs anything.
    """
    if not np.isfinite(budget):
        return np.zeros(len(costs))
    with np.errstate(over="ignore"):
        shares: FloatArray = np.rint(np.minimum(costs / budget, 2.0) / _GRID) * _GRID
    return shares


@dataclass(frozen=True)
class Scale:
    """Scores in groups as numbers from 0 to 1, whatever their size.

    Affinities may be a million times smaller than 1, and the score of a task alone a million
    times larger (TAG's is -1e6). More than `n_serving` spans away from the scores in groups, it
    makes the number of tasks alone decide before all else, however far it is; so it stands just
    beyond that.

    Attributes
    ----------
    low, span : float
        Of the scores in groups.
    n_serving : int
    alone : float or None
        What a task alone scores on this scale; None where that differs between tasks, and is
        among the scores of groups.
    beyond : float
        How much further off it really is.
    """

    low: float
    span: float
    n_serving: int
    alone: float | None = None
    beyond: float = 0.0

    @classmethod
    def of(cls, scores: FloatArray, n_serving: int, alone: float | None = None) -> Scale:
        """The scale of `scores` in groups, of any shape, and of a task's score alone."""
        if not scores.size:
            scores = np.array([0.0 if alone is None else alone])
        low, span = float(scores.min()), float(np.ptp(scores))
        if alone is None:
            return cls(low, span or 1.0, n_serving)
        span = span or abs(alone - low) or 1.0
        off = (alone - low) / span
        near = float(np.clip(off, -n_serving - 1.0, n_serving + 2.0))
        return cls(low, span, n_serving, near, off - near)

    def apply(self, scores: FloatArray, single: NDArray[np.bool_] | None = None) -> FloatArray:
        """Scores on this scale; those of the columns `single` are of tasks alone."""
        scaled = (scores - self.low) / self.span
        if self.alone is not None and single is not None:
            scaled[:, single] = np.where(np.isfinite(scores[:, single]), self.alone, -np.inf)
        return scaled

    def mean_bound(self, bound: float) -> float:
        """An upper bound of the mean score, from one of the sum on this scale."""
        if self.beyond and self.alone is not None:
            n_alone = np.arange(self.n_serving + 1)
            least = n_alone * self.alone
            most = np.minimum(bound, least + self.n_serving - n_alone)
            bound = float((most + n_alone * self.beyond)[least <= bound + 1e-6].max())
        return self.low + self.span * bound / self.n_serving
