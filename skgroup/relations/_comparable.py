"""Data maps of numbers beside those of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def comparable_maps(
    maps: NDArray[np.float32], numbers: NDArray[np.bool_], classes: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Maps in which regression tasks are as sure and as spread as tasks with classes.

    A confidence in a number and a probability of a class have no common scale, so that raw maps
    lie apart by kind before anything else. Here μ, and σ, of all samples of the regression tasks
    are shifted and scaled, at each snapshot, to the mean and standard deviation of those of the
    tasks with classes. How regression tasks lie to each other stays the same at a snapshot.

    Parameters
    ----------
    maps : ndarray of shape (n_tasks, n_snapshots, n_samples, 2)
        Zero where no net has trained on a sample.
    numbers, classes : ndarray of shape (n_tasks,) of bool
        Which tasks are regression tasks, and which have classes, of those that are learned.

    Returns
    -------
    maps : ndarray of shape (n_tasks, n_snapshots, n_samples, 2)
        The given ones, where all tasks are of one kind.
    """
    if not (numbers.any() and classes.any()):
        return maps
    out = maps.copy()
    for k in range(maps.shape[1]):
        trained = (maps[:, k] != 0).any(axis=(0, 2))
        if not trained.any():
            continue
        of_numbers = maps[numbers, k]
        level, spread = _level_and_spread(of_numbers, trained)
        other_level, other_spread = _level_and_spread(maps[classes, k], trained)
        scale = np.divide(other_spread, spread, out=np.ones(2), where=spread > 0)
        of_numbers *= scale.astype(np.float32)
        of_numbers += (other_level - level * scale).astype(np.float32)
        of_numbers[:, ~trained] = 0
        out[numbers, k] = of_numbers
    return out


def _level_and_spread(
    maps: NDArray[np.float32], trained: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of μ and of σ over tasks and samples, (2,) each."""
    if not trained.all():
        maps = maps[:, trained]
    statistics = [maps[..., s].astype(np.float64) for s in range(2)]
    return np.array([m.mean() for m in statistics]), np.array([m.std() for m in statistics])
