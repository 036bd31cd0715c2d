"""Gains from scores: what they are relative to, and their mean over held-out parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skgroup.selection.gains._scoring import SMALLEST

__all__ = ["gains_of_scores", "reference_groups"]


def reference_groups(relative_to: str, learnable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks of the groups that gains are relative to, of tasks that there is a net for."""
    if relative_to == "all":
        return learnable[None]
    return np.eye(len(learnable), dtype=bool)[learnable]


def gains_of_scores(
    scores: NDArray[np.float64],
    masks: NDArray[np.bool_],
    learnable: NDArray[np.bool_],
    *,
    relative_to: str,
    is_loss: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gains over the reference.

    Parameters
    ----------
    scores : ndarray of shape (n_groups, n_tasks, n_parts)
        NaN where not measured.
    masks : ndarray of shape (n_groups, n_tasks) of bool
    learnable : ndarray of shape (n_tasks,) of bool
    relative_to : {"single", "all"}
    is_loss : bool
        Whether lower scores are better, and gains are shares of them.

    Returns
    -------
    mean, std : ndarray of shape (n_groups, n_tasks)
        Over the parts that were measured; the n - 1 standard deviation, NaN of a single part.
    """
    reference = np.full(scores.shape[1:], np.nan)
    if relative_to == "all":
        for row in np.flatnonzero((masks == learnable).all(axis=1)):
            reference = scores[row]
    else:
        rows = np.flatnonzero(masks.sum(axis=1) == 1)
        tasks = masks[rows].argmax(axis=1)
        reference[tasks] = scores[rows, tasks]
    gains = reference - scores
    gains = gains / np.maximum(reference, SMALLEST) if is_loss else -gains
    known = ~np.isnan(gains)
    n = known.sum(axis=-1)
    mean = np.where(n > 0, np.where(known, gains, 0).sum(axis=-1) / np.maximum(n, 1), np.nan)
    squared = np.where(known, gains - mean[..., None], 0) ** 2
    variance = squared.sum(axis=-1) / np.maximum(n - 1, 1)
    return mean, np.where(n > 1, np.sqrt(variance), np.nan)
