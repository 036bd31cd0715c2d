"""The splits that all candidates are fitted and tested on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics.splits import held_out_splits
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


def draw_splits(cv: Any, table: TaskTable, seeds: list[int], owner: str) -> list[SeededSplit]:
    """The splits of each seed, one seed after the other."""
    splits = []
    for seed in seeds:
        splitter = cv
        if hasattr(cv, "split"):
            splitter = copy.deepcopy(cv)  # a RandomState of the user's stays as it is
            if getattr(splitter, "random_state", seed) is None:
                splitter.random_state = seed
        of_seed = held_out_splits(splitter, table, seed, owner=owner)
        splits += [SeededSplit(seed, fold, *split) for fold, split in enumerate(of_seed)]
    return splits


def number_splits(splits: list[SeededSplit]) -> NDArray[np.intp]:
    """A number a split, equal for equal ones."""
    numbers: dict[tuple[bytes, bytes], int] = {}
    keys = [(np.sort(s.train).tobytes(), np.sort(s.test).tobytes()) for s in splits]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])
