"""Tabu search over partitions of the tasks."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from skgroup.selection.solver._problem import Problem

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def search_partitions(
    problem: Problem, n_starts: int, n_slots: int, rng: np.random.RandomState, deadline: float
) -> BoolArray:
    """Tabu search over partitions: one unit at a time goes to another group, or to none.

    Returns the groups of each start, (n_starts, n_slots, n_units), best partition first.
    """
    units = _Units(problem)
    n_units = len(units.sizes)
    # The last column holds units in no group.
    label = rng.randint(n_slots, size=(n_starts, n_units))
    best_label, best_value = label.copy(), np.full(n_starts, -np.inf)
    tabu_until = np.zeros((n_starts, n_units, n_slots + 1), dtype=int)
    tenure, idle = max(2, n_units // 6), np.zeros(n_starts, dtype=int)
    at = np.arange(n_starts)
    for step in range(60 * n_units):
        whole, change = units.look(label, n_slots)
        better = whole > best_value + 1e-12 * units.scale
        best_label[better], best_value[better] = label[better], whole[better]
        idle = np.where(better, 0, idle + 1)
        if (idle > 6 * n_units + 20).all() or time.monotonic() > deadline:
            break
        new_best = whole[:, None, None] + change > best_value[:, None, None] + 1e-9 * units.scale
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


class _Units:
    """What partitions of the units score, and what moves change; a broken rule costs dearly."""

    def __init__(self, problem: Problem) -> None:
        rules = self.rules = problem.rules
        members = rules.unit_members.astype(np.float64)
        self.sizes, self.conflicts = members.sum(axis=1), rules.conflicts.astype(np.float64)
        serving = problem.serving.astype(np.float64)
        # The sum of a group's scores is (Σ over pairs of units of `both`) / (size - 1).
        to_serving = members @ (problem.affinity * serving) @ members.T
        self.both = to_serving + to_serving.T
        self.inner = np.diag(to_serving).copy()
        np.fill_diagonal(self.both, 0.0)
        self.alone = members @ (problem.alone * serving)
        scale = max(float(np.ptp(problem.affinity)), float(np.ptp(problem.alone)), 1e-300)
        self.scale = max(scale, abs(float(problem.alone.min())))
        self.penalty = 10.0 * self.scale * rules.n_tasks
        self.needed = (members * serving).any(axis=1)

    def look(self, label: NDArray[np.intp], n_slots: int) -> tuple[FloatArray, FloatArray]:
        """Values (n_starts,) of partitions, and their changes (n_starts, n_units, n_slots + 1) as
        one unit goes to another group, or to none."""
        n_starts, n_units = label.shape
        starts, units = np.arange(n_starts)[:, None], np.arange(n_units)[None]
        inside = (label[:, None] == np.arange(n_slots)[:, None]).astype(np.float64)
        gives, clash = inside @ self.both, inside @ self.conflicts  # (n_starts, n_slots, n_units)
        total = 0.5 * (gives * inside).sum(axis=2) + inside @ self.inner
        size, clashes = inside @ self.sizes, 0.5 * (clash * inside).sum(axis=2)
        of_alone = inside @ self.alone
        now = self._value(total, size, of_alone, clashes)
        outside, away = label == n_slots, self.penalty * self.needed
        joined = self._value(
            total[:, :, None] + gives + self.inner,
            size[:, :, None] + self.sizes,
            of_alone[:, :, None] + self.alone,
            clashes[:, :, None] + clash,
        )
        source = starts, np.minimum(label, n_slots - 1)
        left = self._value(
            total[source] - gives[*source, units] - self.inner,
            size[source] - self.sizes,
            of_alone[source] - self.alone,
            clashes[source] - clash[*source, units],
        )
        change = np.empty((n_starts, n_units, n_slots + 1))
        change[:, :, :-1] = (joined - now[:, :, None]).transpose(0, 2, 1)
        change[:, :, -1] = -away
        change += np.where(outside, away, left - now[source])[:, :, None]
        change[starts, units, label] = -np.inf
        whole = now.sum(axis=1) - self.penalty * (outside & self.needed).sum(axis=1)
        return whole, change

    def _value(
        self, total: FloatArray, size: FloatArray, of_alone: FloatArray, clashes: FloatArray
    ) -> FloatArray:
        """What groups score."""
        shared = total / np.maximum(size - 1, 1)
        short = np.where(size > 0, np.maximum(self.rules.min_size - size, 0), 0)
        wrong = short + np.maximum(size - self.rules.max_size, 0) + clashes
        return np.where(size == 1, of_alone, shared) - self.penalty * wrong
