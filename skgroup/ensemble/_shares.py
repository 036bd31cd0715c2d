"""Probabilities brought to the scale of the observed shares of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from skgroup.tasks import MISSING, OutputLayout, TaskTable

__all__ = ["learn_shares", "to_shares"]

_FLOOR = 1e-6


def learn_shares(
    proba: NDArray[np.float32],
    table: TaskTable,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Monotone maps from a member's probabilities to the observed shares, an output each.

    Platt scaling on log-odds: a logistic regression of the labels on logit(p). What a member does
    to classes (weights, resampling, priors) is a shift of log-odds, which this finds exactly, and
    an over-confident member a slope. Two numbers an output can be learned of few positives, and
    a map with a slope keeps the order of samples; isotonic regression needs hundreds and ties
    what it pools.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_outputs)
        Held-out probabilities.
    table : TaskTable
        The labels of these samples.
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    maps : ndarray of shape (n_outputs, 2)
        Slope, at least 0, and intercept. (1, 0) where not both sides are met.
    """
    weight = np.ones(len(proba)) if sample_weight is None else sample_weight
    maps = np.tile([1.0, 0.0], (proba.shape[1], 1))
    layout = table.layout
    events = layout.events(table.codes)
    for output, t in enumerate(layout.task_of_output):
        rows = (table.codes[:, t] != MISSING) & (weight > 0)
        is_class, of_rows = events[rows, output], weight[rows]
        if is_class.all() or not is_class.any():
            continue
        # Ratios of weights alone count, as beside the penalty of the slope.
        of_rows = of_rows / of_rows.mean()
        odds = logit(_inside(proba[rows, output]))[:, None]
        fitted = LogisticRegression().fit(odds, is_class, sample_weight=of_rows)
        maps[output] = fitted.coef_[0, 0], fitted.intercept_[0]
        if maps[output, 0] < 0:  # what knows less than nothing says the share
            maps[output] = 0.0, logit(np.average(is_class, weights=of_rows))
    return maps


def to_shares(
    proba: NDArray[np.float32], maps: NDArray[np.float64], layout: OutputLayout
) -> NDArray[np.float32]:
    """Probabilities (n_samples, n_outputs) after their maps, made to fit together in each task."""
    mapped = expit(maps[:, 0] * logit(_inside(proba)) + maps[:, 1]).astype(np.float32)
    return layout.rescaled(mapped)


def _inside(proba: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.clip(proba.astype(np.float64), _FLOOR, 1 - _FLOOR)
