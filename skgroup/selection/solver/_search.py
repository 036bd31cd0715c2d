"""Choosing groups from an affinity among tasks too many to list all groups.

Tabu search proposes groups, `select` chooses among all that were seen, and its prices tell the
search which groups are missing: column generation with heuristic pricing. The upper bound needs no
list of groups.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.selection.solver._pool import Choice, Pool, select
from skgroup.selection.solver._rules import Rules, mean_scores

__all__ = ["MOST_LISTED", "Problem", "near", "relaxed_bound", "search"]

#: Groups that are all listed where otherwise no choice within the budget is found.
MOST_LISTED = 2**16

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


def search(
    problem: Problem,
    *,
    n_init: int,
    deadline: float,
    rng: np.random.RandomState,
    verbose: int = 0,
) -> tuple[BoolArray, float] | None:
    """A good choice of groups.

    Parameters
    ----------
    problem : Problem
    n_init : int
        Number of random starts.
    deadline : float
        On the clock of `time.monotonic`.
    rng : RandomState
    verbose : int

    Returns
    -------
    found : tuple of (masks of shape (n_chosen, n_tasks), sum of scores), or None
        None where no choice was found that keeps the limits; none exists if there is no budget,
        or the groups are few enough to list them.
    """
    rules = problem.rules
    n_units = len(rules.unit_members)
    slots = min(problem.n_groups, n_units)
    if problem.overlap:  # each turn of the ascent costs a tabu search
        slots = min(slots, max(16, 2 * -(-rules.n_tasks // rules.max_size)))
    seen = _Seen(rules)
    if problem.overlap or np.isfinite(problem.budget):
        seen.add(_obvious(problem))
    # Fewer groups too, where a budget may not pay for all.
    for n_slots in sorted({slots, max(1, slots // 2)} if np.isfinite(problem.budget) else {slots}):
        parts = _split(problem, n_init, n_slots, rng, deadline)
        seen.add(parts.reshape(-1, parts.shape[2])[:, rules.units])
        if problem.overlap:
            # Partitions are good starts, random groups now and then better ones; the more tasks,
            # the fewer.
            n_starts = int(np.clip(20_000 // n_units**2, 2, n_init + 1))
            parts = parts[: max(1, 2 * n_starts // 3)]
            drawn = rng.rand(n_starts - len(parts), n_slots, n_units) < 1.5 / n_slots
            _ascend(problem, seen, np.concatenate([parts, drawn]), deadline)
    choice, masks = _best_seen(problem, seen, rng, deadline, None, verbose)
    if choice is None:
        cover = rules.find_cover(problem.serving, problem.n_groups, problem.overlap, deadline)
        if cover is None:
            return None
        seen.add(cover)
        if np.isfinite(problem.budget) and rules.count() <= MOST_LISTED:
            seen.add(rules.enumerate())
        choice, masks = _best_seen(problem, seen, rng, deadline, None, verbose)
        if choice is None:
            return None
    for _ in range(3 if problem.overlap else 0):
        if time.monotonic() > deadline:
            break
        before = choice.value
        _price(problem, seen, choice, masks, rng, deadline)
        best = masks[choice.chosen]
        first = np.zeros((1, max(slots, len(best)), len(rules.unit_members)), dtype=bool)
        first[0, : len(best)] = best[:, rules.unit_members.argmax(axis=1)]
        _ascend(problem, seen, first, deadline)
        choice, masks = _best_seen(problem, seen, rng, deadline, best, verbose)
        if choice.value <= before + 1e-9 * abs(before):
            break
    while np.isfinite(problem.budget) and time.monotonic() < deadline:
        # Tabu search does not know of costs: look for cheaper groups near the chosen ones.
        before, best = choice.value, masks[choice.chosen]
        seen.add(near(rules, best))
        choice, masks = _best_seen(problem, seen, rng, deadline, best, verbose)
        if choice.value <= before + 1e-9 * abs(before):
            break
    return masks[choice.chosen], choice.value


def _best_seen(
    problem: Problem,
    seen: _Seen,
    rng: np.random.RandomState,
    deadline: float,
    best: BoolArray | None,
    verbose: int,
) -> Any:
    masks = seen.masks
    start = None if best is None else seen.positions(best)
    if not len(masks):
        return None, masks
    choice: Choice | None = select(
        problem.pool(masks), prove=False, deadline=deadline, rng=rng, start=start, verbose=verbose
    )
    return choice, masks


class _Seen:
    """The different allowed groups met so far, in order."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._position: dict[bytes, int] = {}
        self._masks: list[BoolArray] = []

    def add(self, masks: BoolArray) -> None:
        for mask in masks[self.rules.allow(masks)]:
            key = mask.tobytes()
            if key not in self._position:
                self._position[key] = len(self._masks)
                self._masks.append(mask.copy())

    @property
    def masks(self) -> BoolArray:
        return np.array(self._masks, dtype=bool).reshape(-1, self.rules.n_tasks)

    def positions(self, masks: BoolArray) -> NDArray[np.intp]:
        return np.array([self._position[mask.tobytes()] for mask in masks], dtype=np.intp)


def _obvious(problem: Problem) -> BoolArray:
    """All tasks; single units; pairs of units; each unit with its best helpers, by size."""
    members = problem.rules.unit_members
    n_units = len(members)
    eye = np.eye(n_units, dtype=bool)
    a, b = np.triu_indices(n_units, 1)
    if len(a) > 5000:
        both = problem.affinity + problem.affinity.T
        of_units = members.astype(float) @ both @ members.T.astype(float)
        strongest = np.argsort(-of_units[a, b], kind="stable")[:5000]
        a, b = a[strongest], b[strongest]
    help_to = members.astype(float) @ problem.affinity.T @ members.T.astype(float)
    np.fill_diagonal(help_to, np.inf)
    rank = np.argsort(np.argsort(-help_to, axis=1, kind="stable"), axis=1)
    grown = [rank < k for k in range(3, n_units)]
    units = np.concatenate([np.ones((1, n_units), bool), eye, eye[a] | eye[b], *grown])
    masks: BoolArray = units[:, problem.rules.units]
    return masks


def near(rules: Rules, masks: BoolArray) -> BoolArray:
    """Groups that differ in one unit, or, where these are not too many, in two."""
    flips = rules.unit_members
    if len(masks) * len(flips) ** 2 <= 10_000:
        a, b = np.triu_indices(len(flips))
        flips = np.concatenate([flips, flips[a] ^ flips[b]])
    near: BoolArray = (masks[:, None] ^ flips).reshape(-1, rules.n_tasks)
    return near


# -- groups that overlap -------------------------------------------------------------------------


def _scores_in(problem: Problem, units_in: BoolArray) -> FloatArray:
    """Scores (n_starts, n_tasks) of one group a start; -inf for others than members."""
    masks = units_in[:, problem.rules.units]
    return mean_scores(problem.affinity, problem.alone, masks).T


def _climb(
    problem: Problem, units_in: BoolArray, prices: FloatArray, deadline: float
) -> tuple[BoolArray, FloatArray]:
    """Tabu search for groups worth much above the prices: Σ_j max(0, score_j - price_j).

    Parameters
    ----------
    units_in : ndarray of shape (n_starts, n_units) of bool
        Groups to start from.
    prices : ndarray of shape (n_starts, n_tasks)

    Returns
    -------
    best : ndarray of shape (n_starts, n_units) of bool
    worth : ndarray of shape (n_starts,)
        -inf where no allowed group was met.
    """
    rules, alone = problem.rules, problem.alone
    members, conflicts = rules.unit_members, rules.conflicts.astype(np.float64)
    sizes, gives = members.sum(axis=1), members.astype(np.float64) @ problem.affinity
    prices = np.where(problem.serving, prices, np.inf)
    worth_alone = np.maximum(np.where(problem.serving, alone - prices, 0.0), 0.0)
    units_in = units_in.copy()
    n_starts, n_units = units_in.shape
    everyone = np.arange(n_starts)
    best, best_worth = units_in.copy(), np.full(n_starts, -np.inf)
    tenure = max(1, min(7, n_units // 3))
    tabu_until = np.zeros((n_starts, n_units), dtype=int)
    idle = np.zeros(n_starts, dtype=int)
    patience = 8 + n_units // 5
    rounding = 1e-14 * max(1.0, abs(prices[:, problem.serving]).max())

    def worth_of(totals: FloatArray, inside: BoolArray, size: NDArray[np.intp]) -> FloatArray:
        """Worth of groups whose members got `totals` from the others."""
        gain = totals / np.maximum(size - 1, 1)[..., None]
        gain -= np.expand_dims(prices, tuple(range(1, gain.ndim - 1)))
        np.maximum(gain, 0.0, out=gain)
        gain *= inside
        worth: FloatArray = gain.sum(axis=-1)
        single = size == 1
        if single.any():
            shape = (len(prices), *[1] * (inside.ndim - 2), rules.n_tasks)
            of_single = (inside * worth_alone.reshape(shape)).sum(axis=-1)
            worth[single] = of_single[single]
        return worth

    inside = units_in[:, rules.units]
    totals, size = units_in @ gives, units_in @ sizes
    allowed = rules.allow(inside)
    best_worth[allowed] = worth_of(totals, inside, size)[allowed]
    for step in range(4 * n_units):
        sign = np.where(units_in, -1, 1)
        sizes_then = size[:, None] + sign * sizes
        totals_then = totals[:, None] + sign[:, :, None] * gives
        inside_then = inside[:, None] ^ members
        worth = worth_of(totals_then, inside_then, sizes_then)
        clash = ~units_in & ((units_in @ conflicts) > 0)
        worth[clash | (sizes_then < 1) | (sizes_then > rules.max_size)] = -np.inf
        counts = worth.copy()
        counts[sizes_then < rules.min_size] = -np.inf
        # A tabu move is taken only to a new best group.
        tabu = (tabu_until > step) & (counts <= best_worth[:, None] + rounding)
        ranked = np.where(tabu, -np.inf, worth)
        move = ranked.argmax(axis=1)
        go = np.isfinite(ranked[everyone, move])
        at, moved = everyone[go], move[go]
        units_in[at, moved] ^= True
        totals[at] = totals_then[at, moved]
        size[at] = sizes_then[at, moved]
        inside[at] = inside_then[at, moved]
        tabu_until[at, moved] = step + 1 + tenure
        reached = counts[everyone, move]
        better = go & (reached > best_worth + rounding)
        best[better], best_worth[better] = units_in[better], reached[better]
        idle = np.where(better, 0, idle + 1)
        if (idle >= patience).all() or time.monotonic() > deadline:
            break
    return best, best_worth


def _ascend(problem: Problem, seen: _Seen, slots: BoolArray, deadline: float) -> None:
    """Better one group at a time, the others fixed, from several starts at once.

    Parameters
    ----------
    slots : ndarray of shape (n_starts, n_slots, n_units) of bool
        Groups of each start, which need not be allowed.
    """
    rules = problem.rules
    slots = slots.copy()
    n_starts, n_slots, _ = slots.shape
    low = min(problem.affinity.min(), problem.alone.min())
    high = max(problem.affinity.max(), problem.alone.max())
    floor = low - (high - low) * rules.n_tasks - 1.0
    scores = np.full((n_starts, n_slots, rules.n_tasks), -np.inf)
    for s in range(n_slots):
        allowed = rules.allow(slots[:, s][:, rules.units])
        scores[allowed, s] = _scores_in(problem, slots[allowed, s])
    np.maximum(scores, floor, out=scores)
    stale = 0
    for turn in range(12 * n_slots):
        s = turn % n_slots
        others = np.delete(scores, s, axis=1).max(axis=1, initial=floor)
        start = slots[:, s].copy()
        start[~rules.allow(start[:, rules.units])] = False
        empty = np.flatnonzero(~start.any(axis=1))
        # Nothing to start from: the unit served worst.
        served = np.where(problem.serving, others - problem.affinity.max(axis=0), np.inf)
        start[empty, rules.units[served[empty].argmin(axis=1)]] = True
        found, worth = _climb(problem, start, others, deadline)
        gain_now = np.where(problem.serving, np.maximum(scores[:, s] - others, 0.0), 0.0)
        better = worth > gain_now.sum(axis=1) + 1e-9 * max(1.0, high - low)
        slots[better, s] = found[better]
        scores[better, s] = np.maximum(_scores_in(problem, found[better]), floor)
        seen.add(found[np.isfinite(worth)][:, rules.units])
        stale = 0 if better.any() else stale + 1
        if stale >= n_slots or time.monotonic() > deadline:
            break


def _price(
    problem: Problem,
    seen: _Seen,
    choice: Choice,
    masks: BoolArray,
    rng: np.random.RandomState,
    deadline: float,
) -> None:
    """Groups that are worth most at the prices of the last choice."""
    rules = problem.rules
    units_of = rules.unit_members.argmax(axis=1)
    prices = np.zeros(rules.n_tasks)
    prices[problem.serving] = choice.prices
    scores = problem.pool(masks).scores
    worth = np.maximum(scores - choice.prices[:, None], 0.0).sum(axis=0)
    strongest = np.argsort(-worth, kind="stable")[:16]
    drawn = rng.rand(8, len(units_of)) < rng.uniform(0.05, 0.5, size=(8, 1))
    starts = np.concatenate([masks[strongest][:, units_of], drawn])
    starts[~starts.any(axis=1), 0] = True
    found, reached = _climb(problem, starts, np.tile(prices, (len(starts), 1)), deadline)
    seen.add(found[np.isfinite(reached)][:, rules.units])


# -- groups that do not --------------------------------------------------------------------------


def _split(
    problem: Problem, n_starts: int, n_slots: int, rng: np.random.RandomState, deadline: float
) -> BoolArray:
    """Tabu search over partitions: one unit at a time goes to another group, or to none.

    Returns the groups of each start, (n_starts, n_slots, n_units), best partition first.
    """
    rules = problem.rules
    members = rules.unit_members.astype(np.float64)
    n_units = len(members)
    sizes, conflicts = members.sum(axis=1), rules.conflicts.astype(np.float64)
    serving = problem.serving.astype(np.float64)
    # The sum of a group's scores is (Σ over pairs of units of `both`) / (size - 1).
    to_serving = members @ (problem.affinity * serving) @ members.T
    both = to_serving + to_serving.T
    inner = np.diag(to_serving).copy()
    np.fill_diagonal(both, 0.0)
    alone = members @ (problem.alone * serving)
    scale = max(float(np.ptp(problem.affinity)), float(np.ptp(problem.alone)), 1e-300)
    scale = max(scale, abs(float(problem.alone.min())))
    penalty = 10.0 * scale * rules.n_tasks
    needed = (members * serving).any(axis=1)

    def value(
        total: FloatArray, size: FloatArray, of_alone: FloatArray, clashes: FloatArray
    ) -> FloatArray:
        shared = total / np.maximum(size - 1, 1)
        short = np.where(size > 0, np.maximum(rules.min_size - size, 0), 0)
        wrong = short + np.maximum(size - rules.max_size, 0) + clashes
        return np.where(size == 1, of_alone, shared) - penalty * wrong

    # The last column holds units in no group.
    label = rng.randint(n_slots, size=(n_starts, n_units))
    starts, units = np.arange(n_starts)[:, None], np.arange(n_units)[None]
    best_label, best_value = label.copy(), np.full(n_starts, -np.inf)
    tabu_until = np.zeros((n_starts, n_units, n_slots + 1), dtype=int)
    tenure, idle = max(2, n_units // 6), np.zeros(n_starts, dtype=int)
    at = np.arange(n_starts)
    for step in range(60 * n_units):
        inside = (label[:, None] == np.arange(n_slots)[:, None]).astype(np.float64)
        gives, clash = inside @ both, inside @ conflicts  # (n_starts, n_slots, n_units)
        total = 0.5 * (gives * inside).sum(axis=2) + inside @ inner
        size, clashes = inside @ sizes, 0.5 * (clash * inside).sum(axis=2)
        of_alone = inside @ alone
        now = value(total, size, of_alone, clashes)
        outside = label == n_slots
        whole = now.sum(axis=1) - penalty * (outside & needed).sum(axis=1)
        better = whole > best_value + 1e-12 * scale
        best_label[better], best_value[better] = label[better], whole[better]
        idle = np.where(better, 0, idle + 1)
        if (idle > 6 * n_units + 20).all() or time.monotonic() > deadline:
            break
        joined = value(
            total[:, :, None] + gives + inner,
            size[:, :, None] + sizes,
            of_alone[:, :, None] + alone,
            clashes[:, :, None] + clash,
        )
        source = np.minimum(label, n_slots - 1)

        def of_source(x: FloatArray, source: NDArray[np.intp] = source) -> FloatArray:
            return x[starts, source]

        left = value(
            of_source(total) - gives[starts, source, units] - inner,
            of_source(size) - sizes,
            of_source(of_alone) - alone,
            of_source(clashes) - clash[starts, source, units],
        )
        leaving = np.where(outside, penalty * needed, left - of_source(now))
        change = np.empty((n_starts, n_units, n_slots + 1))
        change[:, :, :-1] = (joined - now[:, :, None]).transpose(0, 2, 1)
        change[:, :, -1] = -penalty * needed
        change += leaving[:, :, None]
        change[starts, units, label] = -np.inf
        new_best = whole[:, None, None] + change > best_value[:, None, None] + 1e-9 * scale
        change[(tabu_until > step) & ~new_best] = -np.inf
        flat = change.reshape(n_starts, -1)
        move = flat.argmax(axis=1)
        go = np.isfinite(flat[at, move])
        unit, to = move // (n_slots + 1), move % (n_slots + 1)
        tabu_until[at[go], unit[go], label[at[go], unit[go]]] = step + 1 + tenure
        label[at[go], unit[go]] = to[go]
    order = np.argsort(-best_value, kind="stable")
    groups: BoolArray = best_label[order, None] == np.arange(n_slots)[:, None]
    return groups


# -- the upper bound -----------------------------------------------------------------------------


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
    own = sums(helped)
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
        pairs = (shared[m - 1] + own[k - m]) / (k - 1)[:, None]
        helpers = own[k - 1] / (k - 1)[:, None]
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
