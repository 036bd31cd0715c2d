"""What there is to measure: groups, held-out parts, and nets that train together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skgroup._random import draw_seeds
from skgroup.metrics.splits import held_out_splits
from skgroup.tasks import OutputLayout, TaskTable

#: Nets that train together: as many as fit into so many bytes (weights, gradients, two moments
#: and labels), and no more than a Ctrl-C may lose, but enough for all workers.
_BYTES, _MOST_NETS = 2**28, 32


class HeldOutPart(NamedTuple):
    """Samples of a split, and the seed of all nets that are trained for it."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    seed: int


def held_out_parts(cv: Any, table: TaskTable, seed: int) -> list[HeldOutPart]:
    """The splits, each with a seed of its own."""
    splits = held_out_splits(cv, table, seed, owner="GroupGains")
    seeds = draw_seeds(seed, len(splits))
    return [HeldOutPart(*split, s) for split, s in zip(splits, seeds, strict=True)]


def batches_of_groups(
    groups: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    table: TaskTable,
    *,
    n_weights: int,
    together: bool,
    n_workers: int = 1,
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Which groups to train together for which held-out part.

    Parameters
    ----------
    groups : ndarray of shape (n_groups, n_tasks) of bool
    missing : ndarray of shape (n_groups, n_parts) of bool
        Which are to be trained for which part.
    table : TaskTable
    n_weights : int
        Of a net.
    together : bool
        Whether several nets may train at once.
    n_workers : int, default=1
        Who trains them: all are to have something to do.

    Yields
    ------
    part : int
    rows : ndarray of int
        Groups whose nets stack, of one size, small ones first (gains are over single tasks):
        multiclass tasks only with those of as many classes, and several kinds only with the same.
    """
    outputs, types = np.asarray(table.task_outputs), np.asarray(table.task_types)
    batches: dict[tuple[int, tuple[Any, ...]], list[int]] = {}
    for row in np.flatnonzero(missing.any(axis=1)).tolist():
        layout = OutputLayout(outputs[groups[row]].tolist(), types[groups[row]].tolist())
        alike = tuple(zip(layout.task_types, layout.task_outputs, strict=True))
        if layout.only is not None:
            alike = alike[:1]
        batches.setdefault((layout.n_tasks, alike), []).append(row)
    for part in range(missing.shape[1]):
        for (size, _), rows in sorted(batches.items()):
            to_train = np.array([row for row in rows if missing[row, part]], dtype=int)
            bytes_of_net = 16 * n_weights + 8 * size * len(table.codes)
            most = max(_MOST_NETS, 4 * n_workers)
            n_nets = int(np.clip(_BYTES // bytes_of_net, n_workers, most)) if together else 1
            for start in range(0, len(to_train), n_nets):
                yield part, to_train[start : start + n_nets]
