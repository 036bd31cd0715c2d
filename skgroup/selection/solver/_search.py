"""Choosing groups from an affinity among tasks too many to list all groups.

Tabu search proposes groups, `select` chooses among all that were seen, and its prices tell the
search which groups are missing: column generation with heuristic pricing. The upper bound needs no
list of groups.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.selection.solver._partitions import search_partitions
from skgroup.selection.solver._pool import Choice
from skgroup.selection.solver._problem import Problem
from skgroup.selection.solver._rules import Rules, mean_scores
from skgroup.selection.solver._select import select

#: Groups that are all listed where otherwise no choice within the budget is found.
MOST_LISTED = 2**16

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


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
    chosen : tuple of (masks of shape (n_chosen, n_tasks), sum of scores), or None
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
        parts = search_partitions(problem, n_init, n_slots, rng, deadline)
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
        climbed, worth = _climb(problem, start, others, deadline)
        gain_now = np.where(problem.serving, np.maximum(scores[:, s] - others, 0.0), 0.0)
        better = worth > gain_now.sum(axis=1) + 1e-9 * max(1.0, high - low)
        slots[better, s] = climbed[better]
        scores[better, s] = np.maximum(_scores_in(problem, climbed[better]), floor)
        seen.add(climbed[np.isfinite(worth)][:, rules.units])
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
    climbed, reached = _climb(problem, starts, np.tile(prices, (len(starts), 1)), deadline)
    seen.add(climbed[np.isfinite(reached)][:, rules.units])
