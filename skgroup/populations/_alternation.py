"""Groups of populations, found by moving each to the group whose model serves it best, and how
probable each group is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

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
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
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
    losses : ndarray of shape (n_tasks, n_groups)
        How well the models of these groups serve each population.
    """
    n_tasks = models.rows.n_tasks
    even = np.arange(n_tasks) % n_groups
    moving = np.stack([rng.permutation(even) for _ in range(models.n_restarts)])
    moving = models.settle(moving, n_groups, splits)
    best, lowest, of_best = moving[0], np.inf, np.zeros((n_tasks, n_groups))
    met: set[bytes] = set()
    own_lowest, left = np.full(len(moving), np.inf), np.full(len(moving), 1)
    for _ in range(_ROUNDS):
        losses = models.cross_losses(moving, n_groups, splits)
        losses[np.isnan(losses)] = np.inf  # no model is worse than what predicts no number
        now = losses_of_groups(losses, moving)
        if now.min() < lowest:
            i = now.argmin()
            lowest, best, of_best = now[i], moving[i].copy(), losses[i]
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
    return best, of_best


def probable_groups(
    losses: NDArray[np.float64], share: NDArray[np.float64], error: float | None
) -> NDArray[np.float64]:
    """How probable each group is for each population: Bayes' rule, for a mixture of the groups'
    models.

    Parameters
    ----------
    losses : ndarray of shape (n_tasks, n_groups)
        Sums over a population's rows of the losses of each group's model: log losses, or squared
        errors.
    share : ndarray of shape (n_groups,)
        How probable groups are before any row.
    error : float or None
        Mean squared error of numbers, which are taken for normal; None of classes.

    Returns
    -------
    probable : ndarray of shape (n_tasks, n_groups)
        Rows sum to 1.
    """
    there = np.where(share > 0, losses, np.inf)
    left = there - there.min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", over="ignore"):
        if error is not None:
            left /= 2 * max(error, 1e-300)
        probable: NDArray[np.float64] = softmax(np.log(share) - left, axis=1)
    return probable


def losses_of_groups(losses: NDArray[np.float64], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Total loss (n_layers,) of groupings, whose populations are served by their group's model."""
    of_tasks = np.take_along_axis(losses, groups[..., None], 2)[..., 0]
    total: NDArray[np.float64] = of_tasks.sum(axis=1)
    return total
