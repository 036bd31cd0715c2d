"""The splits that all candidates are fitted and tested on."""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics.splits import Split, held_out_splits
from skgroup.tasks import TaskTable


@dataclass(frozen=True)
class SeededSplit:
    """Training and test samples, and the seed that drew them and sets every `random_state`."""

    seed: int
    fold: int
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def check_seeds(seeds: int | Sequence[int], owner: str) -> list[int]:
    """The seeds 0, ..., n - 1 of a number n; of a sequence, itself."""
    rule = (
        f"The 'seeds' parameter of {owner} must be an int >= 1 or a sequence of different ints >= 0"
    )
    if isinstance(seeds, Integral) and not isinstance(seeds, bool):
        if seeds < 1:
            raise ValueError(f"{rule}. Got {seeds}.")
        return list(range(int(seeds)))
    try:
        given = list(seeds)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{rule}. Got {seeds!r}.") from None
    good = all(isinstance(s, Integral) and not isinstance(s, bool) for s in given)
    if not good or not given or not all(0 <= s < 2**32 for s in given):
        raise ValueError(f"{rule}, below 2**32. Got {seeds!r}.")
    if len(set(given)) < len(given):
        raise ValueError(f"{rule}. Got {seeds!r}.")
    return [int(s) for s in given]


def check_groups(groups: Any, n_samples: int, owner: str) -> NDArray | None:
    """The group of each sample, (n_samples,)."""
    if groups is None:
        return None
    name = f"The 'groups' parameter of {owner}"
    groups = np.asarray(groups)
    if groups.shape != (n_samples,):
        raise ValueError(
            f"{name} must hold a group for each sample, in the shape ({n_samples},). Got the shape "
            f"{groups.shape}."
        )
    missing = [g is None or (g == g) is not True for g in groups.tolist()]  # NaN, NaT, NA
    if any(missing):
        raise ValueError(f"{name} must hold a group for each sample. Got none for {sum(missing)}.")
    return groups


def draw_splits(
    cv: Any,
    table: TaskTable,
    seeds: list[int],
    owner: str,
    groups: NDArray | None = None,
    shown: NDArray | None = None,
) -> list[SeededSplit]:
    """The splits of each seed, one seed after the other; see `held_out_splits`."""
    if isinstance(cv, Iterator):
        cv = list(cv)  # which each seed goes through
    splits = []
    for seed in seeds:
        splitter = cv
        if hasattr(cv, "split"):
            splitter = copy.deepcopy(cv)  # a RandomState of the user's stays as it is
            if getattr(splitter, "random_state", seed) is None:
                splitter.random_state = seed
        of_seed = held_out_splits(splitter, table, seed, owner=owner, groups=groups, shown=shown)
        if groups is not None:
            _check_whole(of_seed, groups, cv, owner)
        splits += [SeededSplit(seed, fold, *split) for fold, split in enumerate(of_seed)]
    return splits


def _check_whole(splits: list[Split], groups: NDArray, cv: Any, owner: str) -> None:
    for train, test in splits:
        torn = np.intersect1d(groups[train], groups[test])
        if len(torn):
            raise ValueError(
                f"The 'cv' parameter of {owner} must leave the 'groups' whole: be a number, a "
                "splitter for groups (GroupKFold, GroupShuffleSplit, ...), or splits of whole "
                f"groups. Got a split that trains and tests on samples of {torn.tolist()[0]!r}, of "
                f"{reprlib.repr(cv)}."
            )


def number_splits(splits: list[SeededSplit]) -> NDArray[np.intp]:
    """A number a split, equal for equal ones."""
    numbers: dict[tuple[bytes, bytes], int] = {}
    keys = [(np.sort(s.train).tobytes(), np.sort(s.test).tobytes()) for s in splits]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])
