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

from skgroup.selection.solver._pool import Choice, Pool, bound_of_tasks, rounding
from skgroup.selection.solver._programs import find_cover, integer_program

FloatArray = NDArray[np.float64]


def choose_cover(
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
        exchanged, reached = _exchange(pool, chosen, floor)
        if reached > value:
            best, value = exchanged, reached
    if value == -np.inf:
        cover = find_cover(pool, deadline)
        if cover is None:
            return None
        best, value = _exchange(pool, cover, floor)

    prices = pool.scores[:, best].max(axis=1)
    cost_price, bound = 0.0, bound_of_tasks(pool)
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
        better, bound_left = integer_program(pool, deadline)
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
    chosen = np.array(slots, dtype=np.intp)
    return chosen, pool.value(chosen) if served else -np.inf


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
            exchanged, reached = _exchange(pool, top, floor)
            if reached > value:
                chosen, value = exchanged, reached
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
