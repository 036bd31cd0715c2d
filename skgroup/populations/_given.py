"""Groups of populations that are known before: regions, chains, kinds of customers."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.populations._rows import is_missing


@dataclass(frozen=True)
class GivenGroups:
    """Who belongs together.

    Attributes
    ----------
    labels : ndarray of shape (n_tasks,)
        The group of each population, from 0, in the order of the first population of each.
    absent : dict of population to int
        The groups of others, where these have one of the populations.
    names : ndarray of shape (n_groups,) of str, or None
        What the groups are called.
    """

    labels: NDArray[np.intp]
    absent: dict[Any, int]
    names: NDArray[np.object_] | None

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
    of: dict[str, tuple[Any, Any]] = {}  # numbers and strings are the same if written the same
    for group, population in _pairs(given, rule):
        if of.setdefault(str(population), (population, group))[1] != group:
            raise ValueError(f"{rule} must name each population in one group. Got {population!r}.")
    written = [str(name) for name in names.tolist()]
    for name, one in zip(names.tolist(), written, strict=True):
        if one not in of:
            raise ValueError(f"{rule} must name all populations. Got none for {name!r}.")
    groups = [of[one][1] for one in written]
    present, there = {group: g for g, group in enumerate(dict.fromkeys(groups))}, {*written}
    absent = {
        population: present[group]
        for one, (population, group) in of.items()
        if one not in there and group in present
    }
    called = None
    if isinstance(given, Mapping) or hasattr(given, "iloc"):
        called = np.array([str(group) for group in present], dtype=object)
    return GivenGroups(np.array([present[group] for group in groups]), absent, called)


def _pairs(given: Any, rule: str) -> list[tuple[Any, Any]]:
    """Groups and populations, one by one."""
    pairs: list[tuple[Any, Any]] | None = None
    if getattr(given, "ndim", 0) == 1 and hasattr(given, "index"):
        pairs = list(zip(given.tolist(), given.index.tolist(), strict=True))
    elif isinstance(given, Collection):
        groups = given if isinstance(given, Mapping) else dict(enumerate(given))
        if all(_are_several(members) for members in groups.values()):
            pairs = [(group, one) for group, members in groups.items() for one in members]
    if pairs is None or not all(isinstance(one, Hashable) for pair in pairs for one in pair):
        raise ValueError(
            f"{rule} must be a dict of lists of populations, a list of such lists, or a Series "
            "with the group of each population of its index (pd.Series makes it of a dict of "
            f"population to group). Got {given!r}."
        )
    for group, population in pairs:
        if is_missing(group) or is_missing(population):
            raise ValueError(f"{rule} must have none missing. Got {group!r} for {population!r}.")
    return [(group, _plain(population)) for group, population in pairs]


def _are_several(members: Any) -> bool:
    """Whether these are populations: a list, a set, an index of pandas', no name and no table."""
    is_one = isinstance(members, str | bytes | Mapping) or getattr(members, "ndim", 1) != 1
    return isinstance(members, Collection) and not is_one


def _plain(population: Any) -> Any:
    """As populations of `X` are read: a float that is whole is an int."""
    value = population.item() if isinstance(population, np.generic) else population
    return int(value) if isinstance(value, float) and value.is_integer() else value
