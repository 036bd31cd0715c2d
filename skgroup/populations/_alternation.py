"""Groups of populations, found by moving each to the group whose model serves it best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics.splits import Split
from skgroup.populations._models import Models

_ROUNDS = 30
#: By how much of its loss a grouping must improve in a round, or it goes on for one more only.
_TOLERANCE = 1e-4


def alternate(
    models: Models,
    n_groups: int,
    splits: Sequence[Split],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """The grouping of the lowest held-out loss, of several that were improved until none moves.

    Parameters
    ----------
    models : Models
    n_groups : int
    splits : sequence of (train, test)
        Losses are those of test rows: a population would else always like the model best that has
        learned its own rows.
    rng : Generator

    Returns
    -------
    groups : ndarray of int of shape (n_tasks,)
        Some group may have ended without a population.
    """
    n_tasks = models.rows.n_tasks
    even = np.arange(n_tasks) % n_groups
    moving = np.stack([rng.permutation(even) for _ in range(models.n_restarts)])
    moving = models.settle(moving, n_groups, splits)
    best, lowest = moving[0], np.inf
    met: set[bytes] = set()
    own_lowest, left = np.full(len(moving), np.inf), np.full(len(moving), 1)
    for _ in range(_ROUNDS):
        losses = models.cross_losses(moving, n_groups, splits)
        now = losses_of_groups(losses, moving)
        if now.min() < lowest:
            lowest, best = now.min(), moving[now.argmin()].copy()
        met |= {groups.tobytes() for groups in moving}
        left = np.where(now < own_lowest * (1 - _TOLERANCE), 1, left - 1)
        own_lowest = np.minimum(now, own_lowest)
        moved = losses.argmin(axis=2)
        # One that has been there before, of this restart or another, leads to nothing new.
        kept = {
            groups.tobytes(): i
            for i, groups in enumerate(moved)
            if left[i] >= 0 and groups.tobytes() not in met
        }
        if not kept:
            break
        going = list(kept.values())
        moving, own_lowest, left = moved[going], own_lowest[going], left[going]
    return best


def losses_of_groups(losses: NDArray[np.float64], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Total loss (n_layers,) of groupings, whose populations are served by their group's model."""
    of_tasks = np.take_along_axis(losses, groups[..., None], 2)[..., 0]
    total: NDArray[np.float64] = of_tasks.sum(axis=1)
    return total
