"""The best choice among listed groups that may not overlap: set partitioning."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, linprog
from scipy.sparse import csr_array, hstack, vstack

from skgroup.selection.solver._pool import Choice, Pool, bound_of_tasks, rounding
from skgroup.selection.solver._programs import find_cover, limits_of, solve, time_left, unit_of

FloatArray = NDArray[np.float64]


@dataclass
class _Relaxed:
    """The linear relaxation: groups that it was solved over, an upper bound, what each group adds
    to that, and prices of the tasks."""

    part: NDArray[np.intp]
    bound: float
    worth: FloatArray
    prices: FloatArray


def choose_partition(pool: Pool, deadline: float, start: Any, verbose: int) -> Choice | None:
    """Without overlap each member is served by its group.

    The linear relaxation is solved over a growing part of the groups; its prices strike most
    others.
    """
    relaxed = _relax(pool, deadline, start)
    bound, worth, prices = relaxed.bound, relaxed.worth, relaxed.prices
    best: NDArray[np.intp] | None = None
    value = -np.inf
    if start is not None:
        best, value = np.asarray(start, dtype=np.intp), pool.value(start)

    # A first choice among the groups of the relaxation tells which others can be part of a
    # better one; then the rest is searched.
    part = relaxed.part[np.argsort(-worth[relaxed.part], kind="stable")[:300]]
    chosen, _ = _program(pool, part, deadline)
    if chosen is not None and pool.value(chosen) > value:
        best, value = chosen, pool.value(chosen)
    if best is None:
        rest = np.arange(pool.size)
    else:
        # The bound already counts every positive worth.
        rest = np.flatnonzero(bound + np.minimum(worth, 0.0) > value + rounding(value))
    if verbose:
        print(f"[GroupSelector] bound {bound:.8g}, found {value:.8g}, {len(rest)} groups left")
    if best is not None and (bound - value <= rounding(value) or not len(rest)):
        return Choice(best, value, value, prices)
    chosen, bound_left = _program(pool, rest, deadline)
    if chosen is not None and pool.value(chosen) > value:
        best, value = chosen, pool.value(chosen)
    if best is None:
        if bound_left == -np.inf:
            return None
        # Any choice is better than none, and worth a few seconds more.
        best = find_cover(pool, max(deadline, time.monotonic() + 5.0))
        if best is None:
            return None
        value = pool.value(best)
    return Choice(best, value, max(value, min(bound, bound_left)), prices)


def _relax(pool: Pool, deadline: float, start: Any) -> _Relaxed:
    """Column generation: groups join the linear program as long as prices say that they help."""
    n_serving = len(pool.scores)
    there = np.isfinite(pool.scores)
    profit = np.where(there, pool.scores, 0.0).sum(axis=0)
    limits = limits_of(pool, disjoint=False)
    of_limits = [csr_array(c.A) for c in limits]
    at_most = np.array([c.ub for c in limits]).ravel()
    matrix = vstack([csr_array(pool.helpers.astype(np.float64)), *of_limits]).tocsc()
    upper = np.r_[np.ones(len(pool.helpers)), at_most]
    equal = csr_array(there.astype(np.float64)).tocsc()
    unit = float(abs(profit).max()) or 1.0
    penalty = 10.0 * (abs(profit).max() + 1.0)

    # Lowest positions first, so that the start is the same each time.
    part = np.argsort(-profit / np.maximum(there.sum(axis=0), 1), kind="stable")[:2000]
    if start is not None:
        part = np.union1d(part, start)
    slack = np.eye(n_serving)  # a task left out, at a penalty, so that every part is feasible
    bound, worth = bound_of_tasks(pool), np.full(pool.size, np.inf)
    prices = np.zeros(n_serving)
    while True:
        solved = linprog(
            -np.r_[profit[part], np.full(n_serving, -penalty)] / unit,
            A_ub=hstack([matrix[:, part], csr_array((len(upper), n_serving))]).tocsc(),
            b_ub=upper,
            A_eq=hstack([equal[:, part], csr_array(slack)]).tocsc(),
            b_eq=np.ones(n_serving),
            method="highs",
            options=time_left(deadline),
        )
        if solved.status != 0:
            break
        prices = -solved.eqlin.marginals * unit
        others = np.maximum(-solved.ineqlin.marginals * unit, 0.0)
        reduced = profit - prices @ equal - others @ matrix
        bound_now = prices.sum() + others @ upper + pool.n_groups * max(0.0, reduced.max())
        if bound_now < bound:
            bound, worth = bound_now, reduced
        new = np.flatnonzero(reduced > 1e-9 * unit)
        new = np.setdiff1d(new[np.argsort(-reduced[new], kind="stable")[:2000]], part)
        if not len(new) or time.monotonic() > deadline:
            break
        part = np.union1d(part, new)
    return _Relaxed(part, float(bound), worth, prices)


def _program(
    pool: Pool, columns: NDArray[np.intp], deadline: float
) -> tuple[NDArray[np.intp] | None, float]:
    """The best choice among some of the groups, or None where none is found, and a bound."""
    there = np.isfinite(pool.scores)
    # Relative to the best score of each task, which moves every choice by the same amount.
    high = pool.scores.max(axis=1)
    short = np.where(there, high[:, None] - np.where(there, pool.scores, 0.0), 0.0).sum(axis=0)
    served = csr_array(there[:, columns].astype(np.float64))
    rows = [LinearConstraint(served, 1, 1)]  # each task once; helpers at most once
    rows += [LinearConstraint(csr_array(c.A)[:, columns], c.lb, c.ub) for c in limits_of(pool)]
    unit = unit_of(short[columns])
    solved, at = solve(
        pool.take(columns), short[columns] / unit, np.ones(len(columns)), rows, deadline
    )
    if solved.status == 2:
        return None, -np.inf
    chosen = None if at is None else columns[at]
    if solved.status == 0 and chosen is not None:
        return chosen, pool.value(chosen)
    dual = solved.mip_dual_bound
    return chosen, high.sum() - (0.0 if dual is None else max(0.0, dual)) * unit
