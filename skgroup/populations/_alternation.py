"""Groups of populations, found by moving each to the group whose model serves it best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics.splits import Split
from skgroup.populations._models import Models

_ROUNDS = 30


def alternate(
    models: Models,
    n_groups: int,
    splits: Sequence[Split],
    n_restarts: int,
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
    n_restarts : int
        Random groupings to begin with.
    rng : Generator

    Returns
    -------
    groups : ndarray of int of shape (n_tasks,)
        Some group may have ended without a population.
    """
    n_tasks = models.rows.n_tasks
    moving = np.stack([rng.permutation(np.arange(n_tasks) % n_groups) for _ in range(n_restarts)])
    best, lowest = moving[0], np.inf
    met: set[bytes] = set()
    for _ in range(_ROUNDS):
        losses = models.cross_losses(moving, n_groups, splits)
        now = np.take_along_axis(losses, moving[..., None], 2)[..., 0].sum(axis=1)
        if now.min() < lowest:
            lowest, best = now.min(), moving[now.argmin()].copy()
        met |= {groups.tobytes() for groups in moving}
        moved = losses.argmin(axis=2)
        # One that has been there before, of this restart or another, leads to nothing new.
        kept = {groups.tobytes(): groups for groups in moved if groups.tobytes() not in met}
        if not kept:
            break
        moving = np.stack(list(kept.values()))
    return best
