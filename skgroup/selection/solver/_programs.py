"""Choices among listed groups as mixed integer programs, which HiGHS solves."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array, hstack

from skgroup.selection.solver._pool import Pool

FloatArray = NDArray[np.float64]


def find_cover(pool: Pool, deadline: float = np.inf) -> NDArray[np.intp] | None:
    """Any choice within the limits that holds every serving task, or None if there is none.

    Raises
    ------
    TimeoutError
        If the deadline passes before one is found.
    """
    there = csr_array(np.isfinite(pool.scores).astype(np.float64))
    rows = [LinearConstraint(there, 1, np.inf), *limits_of(pool)]
    result, chosen = solve(pool, np.zeros(pool.size), np.ones(pool.size), rows, deadline)
    if chosen is not None:
        return chosen
    if result.status == 2:
        return None
    raise TimeoutError("No choice of groups was found within the time limit.")


def integer_program(pool: Pool, deadline: float) -> tuple[NDArray[np.intp] | None, float]:
    """The best choice, or None where there is none, and a bound of all choices."""
    n_serving = len(pool.scores)
    tasks, groups = np.nonzero(np.isfinite(pool.scores))
    n_pairs, n_variables = len(tasks), pool.size + len(tasks)
    pairs = pool.size + np.arange(n_pairs)
    rows, ones = np.arange(n_pairs), np.ones(n_pairs)
    offered = coo_array(
        (np.r_[ones, -ones], (np.r_[rows, rows], np.r_[pairs, groups])),
        shape=(n_pairs, n_variables),
    )
    served = coo_array((ones, (tasks, pairs)), shape=(n_serving, n_variables))
    none = csr_array((1, n_pairs))
    limits = [
        LinearConstraint(hstack([csr_array(c.A), none]).tocsr(), c.lb, c.ub)
        for c in limits_of(pool)
    ]
    integral = np.r_[np.ones(pool.size), np.zeros(n_pairs)]
    # Relative to the best score of each task, which moves every choice by the same amount.
    high = pool.scores.max(axis=1)
    if not np.isfinite(high).all():
        return None, -np.inf
    short = high[tasks] - pool.scores[tasks, groups]
    unit = unit_of(short)
    result, chosen = solve(
        pool,
        np.r_[np.zeros(pool.size), short / unit],
        integral,
        [
            LinearConstraint(offered.tocsr(), -np.inf, 0),
            LinearConstraint(served.tocsr(), 1, 1),
            *limits,
        ],
        deadline,
    )
    if result.status == 2:
        return None, -np.inf
    if result.status == 0 and chosen is not None:
        return chosen, pool.value(chosen)
    dual = result.mip_dual_bound
    return chosen, high.sum() - (0.0 if dual is None else max(0.0, dual)) * unit


def unit_of(short: FloatArray) -> float:
    """HiGHS stops at a gap of 1e-6, so costs are told in hundredths of a typical one. Of the
    largest would not do: TAG's score of a task alone is a million below the others."""
    positive = short[short > 0]
    return float(np.median(positive)) / 100 if len(positive) else 1.0


def limits_of(pool: Pool, disjoint: bool = True) -> list[LinearConstraint]:
    rows = [LinearConstraint(csr_array(np.ones((1, pool.size))), 0, pool.n_groups)]
    if np.isfinite(pool.budget):
        rows.append(LinearConstraint(csr_array(pool.costs[None]), -np.inf, pool.budget))
    if disjoint and not pool.overlap:
        members = np.vstack([np.isfinite(pool.scores), pool.helpers]).astype(np.float64)
        rows.append(LinearConstraint(csr_array(members), 0, 1))
    return rows


def solve(
    pool: Pool, cost: FloatArray, integral: FloatArray, rows: Any, deadline: float
) -> tuple[Any, NDArray[np.intp] | None]:
    """What HiGHS finds, and the groups (its first variables) of the answer, if there is one.

    HiGHS lets a row be broken by a millionth. What overspends is forbidden, and the rest solved
    again, until the answer is affordable; bounds hold all along.
    """
    rows = list(rows)
    while True:
        options = {"mip_rel_gap": 0.0, **time_left(deadline)}
        result = milp(
            cost, integrality=integral, bounds=Bounds(0, 1), constraints=rows, options=options
        )
        if result.x is None:
            return result, None
        chosen = np.flatnonzero(result.x[: pool.size] > 0.5)
        if pool.affords(chosen):
            return result, chosen
        if time.monotonic() > deadline:
            return result, None
        cut, most = _too_dear(pool, chosen)
        row = np.zeros((1, len(cost)))
        row[0, cut] = 1.0
        rows.append(LinearConstraint(csr_array(row), -np.inf, most))


def _too_dear(pool: Pool, chosen: NDArray[np.intp]) -> tuple[NDArray[np.intp], int]:
    """Groups of which no choice within the budget has more than so many, as one that overspends
    shows: the dearest of it that do so already, and all others that cost as much as each."""
    by_cost = chosen[np.argsort(-pool.costs[chosen], kind="stable")]
    n_dear = int(np.argmax(np.cumsum(pool.costs[by_cost]) > pool.budget)) + 1
    dear = by_cost[:n_dear]
    others = np.flatnonzero(pool.costs >= pool.costs[dear].max())
    return np.union1d(dear, others), n_dear - 1


def time_left(deadline: float) -> dict[str, float]:
    left = deadline - time.monotonic()
    return {"time_limit": max(left, 0.05)} if np.isfinite(left) else {}
