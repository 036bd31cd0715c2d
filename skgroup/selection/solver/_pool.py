"""The best choice among listed groups, proved by Lagrangian bounds and one mixed integer program.

With groups g that may be chosen (x_g in {0, 1}, at most b of them, costs c_g within a budget B),
scores s_gj and y_gj = 1 where g serves task j:

    max Σ_gj s_gj y_gj   with   Σ_g y_gj = 1,   y_gj <= x_g,   Σ_g x_g <= b,   Σ_g c_g x_g <= B.

Pricing the first and the last condition by λ_j and π >= 0 leaves a problem that a sort solves. For
every λ and π

    L(λ, π) = Σ_j λ_j + π B + (sum of the b largest max(0, Σ_j max(0, s_gj - λ_j) - π c_g))

is an upper bound, as strong as the linear relaxation at the best λ and π (Cornuejols, Fisher,
Nemhauser, "Location of bank accounts to optimize float", Management Science, 1977). It also tells
for each group, and for each task served by it, how good a choice that uses it can be; what cannot
beat the best choice known is struck. Of tens of thousands of groups some dozens are left, and
HiGHS decides among them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, hstack, vstack

__all__ = ["Choice", "Pool", "find_cover", "rounding", "select"]

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


def select(
    pool: Pool,
    *,
    prove: bool,
    deadline: float,
    rng: np.random.RandomState,
    start: Any = None,
    verbose: int = 0,
) -> Choice | None:
    """Choose groups that serve every task as well as possible.

    Parameters
    ----------
    pool : Pool
    prove : bool
        Whether the mixed integer program runs where bounds alone leave a gap. Always so without
        overlap, where it is easy.
    deadline : float
        On the clock of `time.monotonic`.
    rng : RandomState
        For the first choices, which are improved.
    start : array of int, default=None
        A choice to improve on.
    verbose : int

    Returns
    -------
    choice : Choice or None
        None where no choice serves every task within the limits.
    """
    if not np.isfinite(pool.scores).any(axis=1).all():
        return None
    if pool.overlap:
        choice = _cover(pool, prove, deadline, rng, start, verbose)
    else:
        choice = _partition(pool, deadline, start, verbose)
    if choice is not None and choice.bound - choice.value <= rounding(choice.value):
        choice.bound = choice.value
    return choice


def find_cover(pool: Pool, deadline: float = np.inf) -> NDArray[np.intp] | None:
    """Any choice within the limits that holds every serving task, or None if there is none.

    Raises
    ------
    TimeoutError
        If the deadline passes before one is found.
    """
    there = csr_array(np.isfinite(pool.scores).astype(np.float64))
    rows = [LinearConstraint(there, 1, np.inf), *_limits(pool)]
    found, chosen = _milp(pool, np.zeros(pool.size), np.ones(pool.size), rows, deadline)
    if chosen is not None:
        return chosen
    if found.status == 2:
        return None
    raise TimeoutError("No choice of groups was found within the time limit.")


# -- groups that overlap -------------------------------------------------------------------------


def _cover(
    pool: Pool,
    prove: bool,
    deadline: float,
    rng: np.random.RandomState,
    start: Any,
    verbose: int,
) -> Choice | None:
    whole, listed = pool, np.arange(pool.size)
    floor = _floor(pool)
    best: NDArray[np.intp] = np.asarray([] if start is None else start, dtype=np.intp)
    starts = [best, *([np.empty(0, dtype=np.intp)] if len(best) else [])]
    n_drawn = min(pool.n_groups, pool.size)
    starts += [rng.choice(pool.size, n_drawn, replace=False) for _ in range(4)]
    value = -np.inf
    for chosen in starts:
        if not pool.affords(chosen):
            continue
        found, reached = _exchange(pool, chosen, floor)
        if reached > value:
            best, value = found, reached
    if value == -np.inf:
        cover = find_cover(pool, deadline)
        if cover is None:
            return None
        best, value = _exchange(pool, cover, floor)

    prices = pool.scores[:, best].max(axis=1)
    cost_price, bound = 0.0, _bound_of_tasks(pool)
    shrinking = True
    for n_steps in (60, 120, 200, 400, 400):
        if time.monotonic() > deadline or not pool.size or not shrinking:
            break
        dual = _descend(pool, prices, cost_price, n_steps, value, floor, deadline)
        if dual.value > value:
            best = listed[dual.chosen]
            value = whole.value(best)
        prices, cost_price = dual.prices, dual.cost_price
        bound = min(bound, max(dual.bound, value))
        keep, scores = _strike(pool, dual, value)
        shrinking = keep.mean() < 0.8 or n_steps < 200
        pool = replace(pool, scores=scores).take(keep)
        listed = listed[keep]
        if verbose:
            print(f"[GroupSelector] bound {bound:.8g}, found {value:.8g}, {pool.size} groups left")
        if bound - value <= rounding(value):
            break
    if bound - value <= rounding(value) or not pool.size:
        return Choice(best, value, value, prices)
    if prove and time.monotonic() < deadline:
        keep = _undominated(pool)
        pool, listed = pool.take(keep), listed[keep]
        better, bound_left = _integer_program(pool, deadline)
        bound = min(bound, max(value, bound_left))
        if better is not None and whole.value(listed[better]) > value:
            best = listed[better]
            value = whole.value(best)
        bound = max(bound, value)
        if verbose:
            print(f"[GroupSelector] bound {bound:.8g}, found {value:.8g} by HiGHS")
    return Choice(best, value, bound, prices)


def _floor(pool: Pool) -> float:
    """A score so low that serving one more task is always worth it."""
    there = pool.scores[np.isfinite(pool.scores)]
    low, high = there.min(), there.max()
    return float(low - (high - low) * len(pool.scores) - max(1.0, abs(low)))


def _bound_of_tasks(pool: Pool) -> float:
    """Each task in the group where it scores best."""
    return float(pool.scores.max(axis=1).sum())


def rounding(value: float) -> float:
    """Differences up to this are none, for scores on a `Scale`."""
    return 1e-10 * max(1.0, abs(value))


def _exchange(pool: Pool, chosen: NDArray[np.intp], floor: float) -> tuple[NDArray[np.intp], float]:
    """Add, exchange and drop one group at a time until nothing gets better.

    Returns -inf as the value where some task is not served in the end.
    """
    scores, slots = pool.scores, list(chosen)

    def total(of: list[int]) -> float:
        return float(np.maximum(scores[:, of].max(axis=1, initial=-np.inf), floor).sum())

    current, improved = total(slots), True
    while improved:
        improved = False
        # The last turn, with no group taken out, adds one.
        for slot in range(min(len(slots) + 1, pool.n_groups)):
            rest = slots[:slot] + slots[slot + 1 :]
            others = np.maximum(scores[:, rest].max(axis=1, initial=-np.inf), floor)
            totals = np.maximum(scores, others[:, None]).sum(axis=0)
            if np.isfinite(pool.budget):
                spent = pool.costs[rest].sum()
                totals[spent + pool.costs > pool.budget] = -np.inf
            group = int(totals.argmax())
            if totals[group] > current + rounding(current):
                slots, current, improved = [*rest, group], float(totals[group]), True
    served = np.isfinite(scores[:, slots].max(axis=1, initial=-np.inf)).all()
    found = np.array(slots, dtype=np.intp)
    return found, pool.value(found) if served else -np.inf


@dataclass
class _Dual:
    prices: FloatArray
    cost_price: float
    bound: float
    worth: FloatArray
    chosen: NDArray[np.intp]
    value: float


def _worth(pool: Pool, prices: FloatArray, cost_price: float) -> FloatArray:
    """Σ_j max(0, s_gj - λ_j) - π c_g of each group."""
    worth: FloatArray = np.maximum(pool.scores - prices[:, None], 0.0).sum(axis=0)
    return worth - cost_price * pool.costs if cost_price else worth


def _descend(
    pool: Pool,
    prices: FloatArray,
    cost_price: float,
    n_steps: int,
    value: float,
    floor: float,
    deadline: float,
) -> _Dual:
    """Subgradient descent on L with Polyak's steps; choices on the way are improved and kept."""
    limited = np.isfinite(pool.budget)
    top_n = min(pool.n_groups, pool.size)
    at = best_at = (prices, cost_price)
    best_bound, best_worth = np.inf, np.zeros(pool.size)
    chosen, reach, idle = np.empty(0, dtype=np.intp), 1.5, 0
    for step in range(n_steps):
        prices, cost_price = at
        worth = _worth(pool, prices, cost_price)
        top = np.argpartition(-worth, top_n - 1)[:top_n]
        top = top[worth[top] > 0]
        bound = prices.sum() + worth[top].sum() + (cost_price * pool.budget if limited else 0.0)
        if bound < best_bound - 1e-12 * abs(best_bound if step else 1.0):
            best_bound, best_worth, best_at, idle = bound, worth, at, 0
        else:
            idle += 1
            if idle == 10:
                reach, idle = reach / 1.5, 0
                prices, cost_price = best_at
        if best_bound - value <= rounding(value) or time.monotonic() > deadline:
            break
        slope = 1.0 - (pool.scores[:, top] > at[0][:, None]).sum(axis=1)
        slope_cost = pool.budget - pool.costs[top].sum() if limited else 0.0
        if step % 20 == 0 and pool.affords(top):
            found, reached = _exchange(pool, top, floor)
            if reached > value:
                chosen, value = found, reached
        square = float(slope @ slope + slope_cost**2)
        if square == 0:
            break
        length = reach * max(bound - value, rounding(value)) / square
        at = (prices - length * slope, max(0.0, cost_price - length * slope_cost))
    return _Dual(*best_at, float(best_bound), best_worth, chosen, value)


def _strike(pool: Pool, dual: _Dual, value: float) -> tuple[NDArray[np.bool_], FloatArray]:
    """Groups that may be part of a better choice than `value`, and their scores, -inf where the
    task cannot be served by the group in one."""
    top_n = min(pool.n_groups, pool.size)
    last = -np.partition(-dual.worth, top_n - 1)[top_n - 1]
    # Forced into the choice, a group takes the place of the last.
    bounds = dual.bound - max(last, 0.0) + dual.worth
    bounds[dual.worth >= last] = dual.bound + np.minimum(0.0, dual.worth[dual.worth >= last])
    wanted = value + rounding(value)
    keep = bounds > wanted
    short = np.maximum(dual.prices[:, None] - pool.scores, 0.0)
    scores = np.where(bounds - short > wanted, pool.scores, -np.inf)
    return keep, scores


def _undominated(pool: Pool) -> NDArray[np.bool_]:
    """Groups that no other group beats in every score at no higher cost."""
    keep = np.ones(pool.size, dtype=bool)
    if pool.size > 4000:  # a comparison of pairs; above this the program is as fast
        return keep
    for g in range(pool.size):
        as_good = keep & (pool.scores >= pool.scores[:, [g]]).all(axis=0)
        as_good &= pool.costs <= pool.costs[g]
        as_good[g] = False
        keep[g] = not as_good.any()
    return keep


def _integer_program(pool: Pool, deadline: float) -> tuple[NDArray[np.intp] | None, float]:
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
        LinearConstraint(hstack([csr_array(c.A), none]).tocsr(), c.lb, c.ub) for c in _limits(pool)
    ]
    integral = np.r_[np.ones(pool.size), np.zeros(n_pairs)]
    # Relative to the best score of each task, which moves every choice by the same amount.
    high = pool.scores.max(axis=1)
    if not np.isfinite(high).all():
        return None, -np.inf
    short = high[tasks] - pool.scores[tasks, groups]
    unit = _unit(short)
    found, chosen = _milp(
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
    if found.status == 2:
        return None, -np.inf
    if found.status == 0 and chosen is not None:
        return chosen, pool.value(chosen)
    dual = found.mip_dual_bound
    return chosen, high.sum() - (0.0 if dual is None else max(0.0, dual)) * unit


# -- groups that do not --------------------------------------------------------------------------


def _partition(pool: Pool, deadline: float, start: Any, verbose: int) -> Choice | None:
    """Without overlap each member is served by its group: set partitioning.

    The linear relaxation is solved over a growing part of the groups; its prices strike most
    others.
    """
    n_serving = len(pool.scores)
    there = np.isfinite(pool.scores)
    profit = np.where(there, pool.scores, 0.0).sum(axis=0)
    limits = _limits(pool, disjoint=False)
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
    bound, worth = _bound_of_tasks(pool), np.full(pool.size, np.inf)
    prices = np.zeros(n_serving)
    while True:
        found = linprog(
            -np.r_[profit[part], np.full(n_serving, -penalty)] / unit,
            A_ub=hstack([matrix[:, part], csr_array((len(upper), n_serving))]).tocsc(),
            b_ub=upper,
            A_eq=hstack([equal[:, part], csr_array(slack)]).tocsc(),
            b_eq=np.ones(n_serving),
            method="highs",
            options=_time_left(deadline),
        )
        if found.status != 0:
            break
        prices = -found.eqlin.marginals * unit
        others = np.maximum(-found.ineqlin.marginals * unit, 0.0)
        reduced = profit - prices @ equal - others @ matrix
        bound_now = prices.sum() + others @ upper + pool.n_groups * max(0.0, reduced.max())
        if bound_now < bound:
            bound, worth = bound_now, reduced
        new = np.flatnonzero(reduced > 1e-9 * unit)
        new = np.setdiff1d(new[np.argsort(-reduced[new], kind="stable")[:2000]], part)
        if not len(new) or time.monotonic() > deadline:
            break
        part = np.union1d(part, new)

    best: NDArray[np.intp] | None = None
    value = -np.inf
    if start is not None:
        best, value = np.asarray(start, dtype=np.intp), pool.value(start)
    rows = [LinearConstraint(equal.tocsr(), 1, 1), *_limits(pool)]  # helpers: at most once

    # Relative to the best score of each task, which moves every choice by the same amount.
    high = pool.scores.max(axis=1)
    short = np.where(there, high[:, None] - np.where(there, pool.scores, 0.0), 0.0).sum(axis=0)

    def program(columns: NDArray[np.intp]) -> tuple[Any, float]:
        taken = [LinearConstraint(csr_array(c.A)[:, columns], c.lb, c.ub) for c in rows]
        unit = _unit(short[columns])
        found, at = _milp(
            pool.take(columns), short[columns] / unit, np.ones(len(columns)), taken, deadline
        )
        if found.status == 2:
            return None, -np.inf
        chosen = None if at is None else columns[at]
        if found.status == 0 and chosen is not None:
            return chosen, pool.value(chosen)
        dual = found.mip_dual_bound
        return chosen, high.sum() - (0.0 if dual is None else max(0.0, dual)) * unit

    # A first choice among the groups of the relaxation tells which others can be part of a
    # better one; then the rest is searched.
    part = part[np.argsort(-worth[part], kind="stable")[:300]]
    chosen, _ = program(part)
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
    chosen, bound_left = program(rest)
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


def _unit(short: FloatArray) -> float:
    """HiGHS stops at a gap of 1e-6, so costs are told in hundredths of a typical one. Of the
    largest would not do: TAG's score of a task alone is a million below the others."""
    positive = short[short > 0]
    return float(np.median(positive)) / 100 if len(positive) else 1.0


def _limits(pool: Pool, disjoint: bool = True) -> list[LinearConstraint]:
    rows = [LinearConstraint(csr_array(np.ones((1, pool.size))), 0, pool.n_groups)]
    if np.isfinite(pool.budget):
        rows.append(LinearConstraint(csr_array(pool.costs[None]), -np.inf, pool.budget))
    if disjoint and not pool.overlap:
        members = np.vstack([np.isfinite(pool.scores), pool.helpers]).astype(np.float64)
        rows.append(LinearConstraint(csr_array(members), 0, 1))
    return rows


def _milp(
    pool: Pool, cost: FloatArray, integral: FloatArray, rows: Any, deadline: float
) -> tuple[Any, NDArray[np.intp] | None]:
    """What HiGHS finds, and the groups (its first variables) of the answer, if there is one.

    HiGHS lets a row be broken by a millionth. What overspends is forbidden, and the rest solved
    again, until the answer is affordable; bounds hold all along.
    """
    rows = list(rows)
    while True:
        options = {"mip_rel_gap": 0.0, **_time_left(deadline)}
        found = milp(
            cost, integrality=integral, bounds=Bounds(0, 1), constraints=rows, options=options
        )
        if found.x is None:
            return found, None
        chosen = np.flatnonzero(found.x[: pool.size] > 0.5)
        if pool.affords(chosen):
            return found, chosen
        if time.monotonic() > deadline:
            return found, None
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


def _time_left(deadline: float) -> dict[str, float]:
    left = deadline - time.monotonic()
    return {"time_limit": max(left, 0.05)} if np.isfinite(left) else {}
