"""Which groups are allowed: sizes, tasks that stay together, tasks that stay apart."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """What a group may look like.

    Attributes
    ----------
    n_tasks : int
    min_size, max_size : int
        Number of members, helpers too.
    linked, apart : ndarray of shape (n_pairs, 2) of int
        A group holds both tasks of a pair of `linked`, or neither; never both of `apart`.
    """

    n_tasks: int
    min_size: int
    max_size: int
    linked: NDArray[np.intp]
    apart: NDArray[np.intp]

    @property
    def units(self) -> NDArray[np.intp]:
        """Tasks tied together, directly or by others, have the same number, (n_tasks,)."""
        ends = self.linked.T
        graph = coo_array((np.ones(len(self.linked)), (ends[0], ends[1])), (self.n_tasks,) * 2)
        units: NDArray[np.intp] = connected_components(graph, directed=False)[1].astype(np.intp)
        return units

    @property
    def unit_members(self) -> BoolArray:
        """(n_units, n_tasks)."""
        units = self.units
        members: BoolArray = np.arange(units.max() + 1)[:, None] == units
        return members

    @property
    def conflicts(self) -> BoolArray:
        """Whether two units may not share a group, (n_units, n_units)."""
        units = self.units
        n_units = units.max() + 1
        conflicts = np.zeros((n_units, n_units), dtype=bool)
        a, b = units[self.apart].T
        conflicts[a, b] = conflicts[b, a] = True
        return conflicts

    def permute(self, order: NDArray[np.intp]) -> Rules:
        """The same rules of the tasks in another order."""
        place = np.argsort(order)
        return replace(self, linked=place[self.linked], apart=place[self.apart])

    def allow(self, masks: BoolArray) -> BoolArray:
        """Which of the groups (n_listed, n_tasks) are allowed."""
        size = masks.sum(axis=1)
        ok = (size >= self.min_size) & (size <= self.max_size)
        ok &= (masks[:, self.linked[:, 0]] == masks[:, self.linked[:, 1]]).all(axis=1)
        ok &= ~(masks[:, self.apart[:, 0]] & masks[:, self.apart[:, 1]]).any(axis=1)
        return ok

    def count(self) -> int:
        """Number of sets of units of allowed size, tasks to be kept apart not looked at."""
        sizes = self.unit_members.sum(axis=1)
        if (sizes == 1).all():
            return sum(comb(self.n_tasks, k) for k in range(self.min_size, self.max_size + 1))
        ways = [1] + [0] * self.max_size  # exact integers: there may be 2^100
        for size in sizes.tolist():
            for total in range(self.max_size, size - 1, -1):
                ways[total] += ways[total - size]
        return sum(ways[max(self.min_size, 1) :])

    def enumerate(self) -> BoolArray:
        """All allowed groups, (n_allowed, n_tasks), small ones first."""
        members, conflicts = self.unit_members, self.conflicts
        n_units = len(members)
        size_of_unit = members.sum(axis=1)
        unit_masks = np.eye(n_units, dtype=bool)[size_of_unit <= self.max_size]
        last = np.flatnonzero(size_of_unit <= self.max_size)
        unit_masks_of = []
        while len(last):
            unit_masks_of.append(unit_masks)
            # Each group grows by each unit after its last one.
            n_later = n_units - 1 - last
            source = np.repeat(np.arange(len(last)), n_later)
            starts = np.cumsum(n_later) - n_later
            unit = np.arange(len(source)) - starts[source] + last[source] + 1
            clash = (unit_masks.astype(np.float32) @ conflicts.astype(np.float32)) > 0
            sizes = unit_masks @ size_of_unit
            ok = sizes[source] + size_of_unit[unit] <= self.max_size
            ok &= ~clash[source, unit]
            source, last = source[ok], unit[ok]
            unit_masks = unit_masks[source]
            unit_masks[np.arange(len(last)), last] = True
        if not unit_masks_of:
            return np.zeros((0, self.n_tasks), dtype=bool)
        masks: BoolArray = np.concatenate(unit_masks_of)[:, self.units]
        return masks[self.allow(masks)]

    def find_cover(
        self, serving: BoolArray, n_groups: int, overlap: bool, deadline: float = np.inf
    ) -> BoolArray | None:
        """At most `n_groups` allowed groups that hold every serving task, or None.

        A program over the units of each group: for tasks too many to list their groups.

        Raises
        ------
        TimeoutError
            If neither is known when the deadline passes.
        """
        members, conflicts = self.unit_members, np.triu(self.conflicts)
        n_units = len(members)
        size_of_unit = members.sum(axis=1)
        n_joins = n_groups * n_units  # variables: unit u in group g, then group g used
        join = np.arange(n_joins).reshape(n_groups, n_units)
        used = n_joins + np.arange(n_groups)
        n_variables = n_joins + n_groups

        def rows(columns: Any, values: Any) -> csr_array:
            columns = np.asarray(columns)
            which = np.repeat(np.arange(len(columns)), columns.shape[1])
            data = np.broadcast_to(values, columns.shape).ravel()
            return coo_array((data, (which, columns.ravel())), (len(columns), n_variables)).tocsr()

        needed = (members & serving).any(axis=1)
        constraints = [
            LinearConstraint(rows(join.T, 1.0), np.where(needed, 1, 0), n_groups if overlap else 1)
        ]
        for limit, low, high in ((self.min_size, 0, np.inf), (self.max_size, -np.inf, 0)):
            values = np.r_[size_of_unit.astype(float), -float(limit)]
            constraints.append(LinearConstraint(rows(np.c_[join, used], values), low, high))
        a, b = np.nonzero(conflicts)
        if len(a):
            pairs = np.concatenate([np.c_[j[a], j[b]] for j in join])
            constraints.append(LinearConstraint(rows(pairs, 1.0), 0, 1))
        options = {}
        if np.isfinite(deadline):
            options["time_limit"] = max(deadline - time.monotonic(), 0.05)
        result = milp(
            np.zeros(n_variables),
            integrality=np.ones(n_variables),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options=options,
        )
        if result.x is not None:
            units_in = result.x[:n_joins].reshape(n_groups, n_units) > 0.5
            return units_in[units_in.any(axis=1)][:, self.units]
        if result.status == 2:
            return None
        raise TimeoutError("No choice of groups was found within the time limit.")


def mean_scores(affinity: FloatArray, alone: FloatArray, masks: BoolArray) -> FloatArray:
    """Score of each member in each group, TAG's: the mean affinity of the other members onto it.

    Parameters
    ----------
    affinity : ndarray of shape (n_tasks, n_tasks)
        [i, j]: what training on i does to j.
    alone : ndarray of shape (n_tasks,)
        Score of each task in a group of one.
    masks : ndarray of shape (n_listed, n_tasks) of bool

    Returns
    -------
    scores : ndarray of shape (n_tasks, n_listed)
        -inf where a task is not a member.
    """
    others = affinity.copy()
    np.fill_diagonal(others, 0.0)
    size = masks.sum(axis=1)
    scores: FloatArray = others.T @ masks.T.astype(np.float64)
    scores /= np.maximum(size - 1, 1)
    singles = np.flatnonzero(size == 1)
    scores[:, singles] = alone[:, None]
    scores[~masks.T] = -np.inf
    return scores
