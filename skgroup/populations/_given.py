"""Groups of populations that are known before: regions, chains, kinds of customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.populations._rows import find_names, is_missing

_LISTS = list | tuple | set | frozenset | np.ndarray


@dataclass(frozen=True)
class GivenGroups:
    """Who belongs together.

    Attributes
    ----------
    labels : ndarray of shape (n_tasks,)
        The group of each population, from 0, in the order of the first population of each.
    absent : dict of population to int
        The groups of others, where these have one of the populations.
    """

    labels: NDArray[np.intp]
    absent: dict[Any, int]

    @property
    def n_groups(self) -> int:
        return int(self.labels.max()) + 1


def read_groups(given: Any, names: NDArray[Any], owner: str) -> GivenGroups:
    """Groups as people write them.

    Parameters
    ----------
    given : dict of group to populations, list of lists of populations, or Series
        The last holds the group of each population of its index.
    names : ndarray of shape (n_tasks,)
        The populations.
    owner : str
        The class whose parameter `grouper` they are, for messages.

    Raises
    ------
    ValueError
        If they are something else, a population is in two groups, or one of `names` in none.
    """
    rule = f"The 'grouper' parameter of {owner}, where it gives groups,"
    pairs = _pairs(given, rule)
    of: dict[Any, Any] = {}
    for group, population in pairs:
        if of.setdefault(population, group) != group:
            raise ValueError(f"{rule} must name each population in one group. Got {population!r}.")
    where = find_names(names, np.array([*of] if len({*map(type, of)}) == 1 else [*map(str, of)]))
    if (where < 0).any():
        raise ValueError(
            f"{rule} must name all populations. Got none for {names[where < 0].tolist()[0]!r}."
        )
    groups = list(of.values())
    present = {group: g for g, group in enumerate(dict.fromkeys(groups[i] for i in where))}
    named = {*where.tolist()}
    absent = {
        population: present[group]
        for i, (population, group) in enumerate(of.items())
        if i not in named and group in present
    }
    return GivenGroups(np.array([present[groups[i]] for i in where]), absent)


def _pairs(given: Any, rule: str) -> list[tuple[Any, Any]]:
    """Groups and populations, one by one."""
    if getattr(given, "ndim", 0) == 1 and hasattr(given, "index"):
        pairs = list(zip(given.tolist(), given.index.tolist(), strict=True))
    else:
        groups = given if isinstance(given, Mapping) else dict(enumerate(given))
        if not all(isinstance(members, _LISTS) for members in groups.values()):
            raise ValueError(
                f"{rule} must be a dict of lists of populations, a list of such lists, or a Series "
                f"with the group of each population of its index. Got {given!r}."
            )
        pairs = [(group, one) for group, members in groups.items() for one in members]
    for group, population in pairs:
        if is_missing(group) or is_missing(population):
            raise ValueError(f"{rule} must have none missing. Got {group!r} for {population!r}.")
    return pairs
