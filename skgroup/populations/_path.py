"""How many groups of populations, and how much of their own: a path of held-out losses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_LEVEL = 0.95
#: How many rows a population needs for its own model to count as much as its group's: shares of
#: the median population.
SHRINKAGES = (0.25, 1.0, 4.0, np.inf)


def numbers_of_groups(n_tasks: int) -> list[int]:
    """Numbers of groups that are tried: each at first, then 1.4 times as many, until half the
    populations, or 20, are reached."""
    numbers = [1]
    while numbers[-1] < min(max(n_tasks // 2, 2), 20):
        numbers.append(max(numbers[-1] + 1, round(numbers[-1] * 1.4)))
    return sorted({n for n in numbers if n < n_tasks} | {n_tasks})


@dataclass(frozen=True)
class Way:
    """How populations are served: by how many groups' models, and how much by their own.

    Attributes
    ----------
    n_groups : int
    shrinkage : float
        Rows that a population must have for its own model to count as much as its group's; with
        infinity that of the group counts alone, with 0 its own.
    """

    n_groups: int
    shrinkage: float


@dataclass(frozen=True)
class Difference:
    """A mean difference of held-out losses, its standard error over populations, and its 95 %
    interval, which also allows for models of several splits having learned from the same rows."""

    mean: float
    error: float
    low: float
    high: float


@dataclass
class Path:
    """Held-out losses of all ways to serve the populations.

    Attributes
    ----------
    ways : list of Way
    losses : ndarray of shape (n_ways, n_tasks)
        Weighted sums over the rows of each population.
    weights : ndarray of shape (n_tasks,)
        Of these rows.
    sizes : ndarray of shape (n_tasks,)
        Rows of each population.
    groups : dict of int to list of ndarray of shape (n_tasks,)
        By number of groups, the groups that were found in each split.
    held_to_train : float
        Rows that are held out, in any split, per row that the models of a split learn from.
    """

    ways: list[Way]
    losses: NDArray[np.float64]
    weights: NDArray[np.float64]
    sizes: NDArray[np.intp]
    groups: dict[int, list[NDArray[np.intp]]] = field(default_factory=dict)
    held_to_train: float = 0.0

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean held-out loss of a row, (n_ways,)."""
        out: NDArray[np.float64] = self.losses.sum(axis=1) / self.weights.sum()
        return out

    def difference(self, a: int, b: int) -> Difference:
        """How much higher the loss of one way is than that of another; populations are drawn."""
        d, n = self.losses[a] - self.losses[b], np.count_nonzero(self.weights)
        mean = d.sum() / self.weights.sum()
        # Of a ratio of sums, whose terms are populations.
        left = d - mean * self.weights
        error = float(np.sqrt(n / (n - 1) * (left**2).sum())) / self.weights.sum()
        # The corrected variance of Nadeau and Bengio (2003), (1 / n + n_test / n_train) in place of
        # 1 / n: rows that are held out once are n times n_test.
        width = float(stats.t.ppf((1 + _LEVEL) / 2, n - 1)) * error
        width *= float(np.sqrt(1 + self.held_to_train))
        return Difference(float(mean), error, float(mean - width), float(mean + width))

    @property
    def best(self) -> int:
        return int(self.means.argmin())

    @property
    def simplest(self) -> int:
        """Of fewest groups, and of these the most shrunk, of those within a standard error of the
        best, in the mean over rows and over populations: the former's error is next to everything
        where a single population has most rows, the latter's where many have few."""
        best, there = self.best, self.weights > 0
        near = [best]
        for i in range(len(self.ways)):
            d = self.difference(i, best)
            each = (self.losses[i] - self.losses[best])[there] / self.weights[there]
            error = each.std(ddof=1) / np.sqrt(len(each))
            if d.mean <= d.error and each.mean() <= error:
                near.append(i)
        return min(near, key=lambda i: (self.ways[i].n_groups, -self.ways[i].shrinkage))

    def stability(self, labels: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
        """How steadily each population is grouped with the same others, (n_tasks,): the share of
        the others that stay with it, or away from it, over splits, from 0 by chance to 1."""
        n_tasks, found = len(labels), self.groups.get(n_groups, [])
        if not found or n_tasks < 2:
            return np.ones(n_tasks)
        together = labels[:, None] == labels
        with_it = (together.sum(axis=1) - 1) / (n_tasks - 1)
        agree, by_chance = np.zeros(n_tasks), np.zeros(n_tasks)
        for groups in found:
            there = groups[:, None] == groups
            agree += ((there == together).sum(axis=1) - 1) / (n_tasks - 1)
            share = (there.sum() - n_tasks) / (n_tasks * (n_tasks - 1))  # of pairs in one group
            by_chance += with_it * share + (1 - with_it) * (1 - share)
        left = len(found) - by_chance
        # Where chance cannot tell groupings apart, as of one group, they are the same.
        return np.where(left < 1e-9, 1.0, (agree - by_chance) / np.maximum(left, 1e-9))


def ways_to_try(n_groups: Sequence[int], shrinkage: Any, sizes: NDArray[np.intp]) -> list[Way]:
    """All pairs of numbers of groups and shrinkages; of a group each, the latter has no effect."""
    if isinstance(shrinkage, str):
        shrinkages = [float(share * np.median(sizes)) for share in SHRINKAGES]
    else:
        shrinkages = [float(shrinkage)]
    n_tasks = len(sizes)
    pairs = itertools.product([k for k in n_groups if k < n_tasks], shrinkages)
    ways = [Way(k, s) for k, s in pairs]
    return ways + [Way(n_tasks, 0.0)] * (n_tasks in n_groups)
