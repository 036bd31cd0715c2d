"""An upper bound of what any choice of groups scores, for any number of tasks."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from skgroup.selection.solver._problem import Problem

FloatArray = NDArray[np.float64]


def relaxed_bound(problem: Problem, *, deadline: float, value: float, n_steps: int = 300) -> float:
    """Upper bound of the sum of scores, for any number of tasks.

    Let m tasks T be served by a group S of k. A served task scores the mean of k - 1 affinities.
    Summed over T, those among T count in pairs, so that each may be replaced by the mean of both
    directions. Hence task j brings on average at most

        u_j(k, m) = (sum of the m-1 largest (R_ij + R_ji)/2 + sum of the k-m largest R_ij) / (k-1)

    and also at most the mean of its k-1 largest R_ij. With prices λ_j of being served, a group
    that serves m tasks brings at most w(m), the sum of the m largest max_k u_j(k, m) - λ_j. Served
    sets divide the tasks: the bound is Σ_j λ_j plus the best Σ_g w(m_g) with Σ_g m_g = n over at
    most `n_groups` groups, minimised over λ by subgradients.

    Parameters
    ----------
    problem : Problem
    deadline : float
        On the clock of `time.monotonic`.
    value : float
        Of the best choice known: the aim of the steps.
    n_steps : int

    Returns
    -------
    bound : float
    """
    served = np.flatnonzero(problem.serving)
    n, rules = len(served), problem.rules
    tops = _bounds_of_tasks(problem)
    most = np.maximum(*tops).max(axis=0)  # of a task in any group
    n_groups = min(problem.n_groups, n)
    bound = float(most.sum())
    prices = most.copy()
    best_prices, reach, idle = prices, 1.0, 0
    sizes = np.arange(1, min(rules.max_size, n) + 1)
    for _ in range(n_steps):
        if time.monotonic() > deadline:
            break
        worths, orders = [], []
        for top in tops:
            above = top - prices
            order = np.argsort(-above, axis=1, kind="stable")
            totals = np.take_along_axis(above, order, axis=1).cumsum(axis=1)
            worths.append(totals[sizes - 1, sizes - 1])
            orders.append(order)
        which = np.argmin(worths, axis=0)
        worth = np.min(worths, axis=0)
        taken, total = _fill(worth, n, n_groups)
        now = float(prices.sum() + total)
        if now < bound - 1e-9 * max(1.0, abs(bound)):
            bound, best_prices, idle = now, prices, 0
        else:
            idle += 1
            if idle == 10:
                reach, idle, prices = reach / 2, 0, best_prices
        counts = np.zeros(n)
        for m in taken:
            counts[orders[which[m - 1]][m - 1, :m]] += 1
        slope = 1.0 - counts
        square = float(slope @ slope)
        if square == 0 or reach < 1e-4:
            break
        prices = prices - reach * max(now - value, 1e-9) / square * slope
    return bound


def _bounds_of_tasks(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Two bounds of what a served task brings, (n_served_with_it, n_serving) each: by pairs, and
    by its own helpers."""
    rules, affinity = problem.rules, problem.affinity
    served = np.flatnonzero(problem.serving)
    n, n_tasks = len(served), rules.n_tasks
    largest = min(rules.max_size, n_tasks)

    def sums(matrix: FloatArray) -> FloatArray:
        """[k, j]: the sum of the k largest of column j."""
        ranked = -np.sort(-matrix, axis=0)
        return np.concatenate([np.zeros((1, matrix.shape[1])), ranked.cumsum(axis=0)])

    helped = affinity[:, served].copy()
    helped[served, np.arange(n)] = -np.inf
    from_helped = sums(helped)
    mutual = (affinity + affinity.T)[np.ix_(served, served)] / 2
    np.fill_diagonal(mutual, -np.inf)
    shared = sums(mutual)
    # Without overlap all serving members are served.
    only_served = not problem.overlap and n == n_tasks
    by_pairs = np.full((min(largest, n), n), -np.inf)
    by_helpers = by_pairs.copy()
    for m in range(1, len(by_pairs) + 1):
        k = np.arange(max(m, rules.min_size), largest + 1)
        if only_served:
            k = k[k == m]
        if rules.min_size == 1 and m == 1 and (k == 1).any():
            by_pairs[0] = by_helpers[0] = problem.alone[served]
        k = k[k > 1]
        if not len(k):
            continue
        pairs = (shared[m - 1] + from_helped[k - m]) / (k - 1)[:, None]
        helpers = from_helped[k - 1] / (k - 1)[:, None]
        by_pairs[m - 1] = np.maximum(by_pairs[m - 1], pairs.max(axis=0))
        by_helpers[m - 1] = np.maximum(by_helpers[m - 1], helpers.max(axis=0))
    return by_pairs, by_helpers


def _fill(worth: FloatArray, n: int, n_groups: int) -> tuple[list[int], float]:
    """Sizes m_1, m_2, ... (at most `n_groups`) with sum n and the largest total worth."""
    reach = [np.r_[0.0, np.full(n, -np.inf)]]
    steps = []
    padded = np.full(n + 1, -np.inf)
    padded[1 : len(worth) + 1] = worth
    shift = np.arange(n + 1)[:, None] - np.arange(n + 1)
    candidate = np.where(shift > 0, padded[np.maximum(shift, 0)], -np.inf)
    for _ in range(n_groups):
        table = candidate + reach[-1]
        steps.append(table.argmax(axis=1))
        reach.append(table.max(axis=1))
    ends = [r[n] for r in reach]
    g = int(np.argmax(ends))
    total, taken, at = float(ends[g]), [], n
    while g:
        before = int(steps[g - 1][at])
        taken.append(at - before)
        at, g = before, g - 1
    return taken, total
