"""Probabilities brought to the scale of the observed shares of classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from skgroup.tasks import MISSING, OutputLayout, TaskTable, weights_of_labels

FLOOR = 1e-6
_LEAST_SLOPE = 0.1
_MAX_STEPS = 100
_MAX_HALVINGS = 40
_TOL = 1e-8
_TINY = 1e-12


def learn_shares(
    proba: NDArray[np.float32],
    table: TaskTable,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Monotone maps from a member's probabilities to the observed shares, an output each.

    Platt scaling on log-odds: p ↦ expit(b · logit(p) + a), where a and b make the labels most
    likely. What a member does to classes (weights, resampling, priors) is a shift of log-odds,
    which this finds exactly, and an over-confident member a slope. Two numbers an output can be
    learned of few positives, and a map with a slope keeps the order of samples; isotonic
    regression needs hundreds and ties what it pools.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_outputs)
        Held-out probabilities.
    table : TaskTable
        The labels of these samples.
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), default=None

    Returns
    -------
    maps : ndarray of shape (n_outputs, 2)
        Slope, at least 0.1, and intercept. (1, 0) where not both sides are met, and of regression
        tasks, whose numbers stay what they are.

    Notes
    -----
    The likelihood is penalised by (b − 1)² / 2: where there is little to learn of, a member is
    taken at its word, but for the share. What seems to know less than nothing, by chance where
    positives are few, says little but the share and keeps its order. Ratios of sample weights
    alone count.
    """
    layout = table.layout
    event = layout.events(table.codes)
    weight = (table.codes != MISSING) * weights_of_labels(sample_weight, len(proba))
    weight = weight[:, layout.task_of_output]
    n_counted, total = (weight > 0).sum(axis=0), weight.sum(axis=0)
    weight = weight * np.divide(n_counted, total, out=np.zeros_like(total), where=total > 0)
    n_events = (weight * event).sum(axis=0)
    known = (n_events > 0) & (weight * ~event).any(axis=0)
    maps = np.tile([1.0, 0.0], (proba.shape[1], 1))
    maps[known] = _platt(
        logit(_inside(proba[:, known])), event[:, known], weight[:, known], n_events[known]
    )
    return maps


def _platt(
    odds: NDArray[np.float64],
    event: NDArray[np.bool_],
    weight: NDArray[np.float64],
    n_events: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Slopes and intercepts (n_outputs, 2) of all outputs at once, by Newton's method."""
    total = weight.sum(axis=0)
    centre = (weight * odds).sum(axis=0) / total
    z = odds - centre
    a = logit(np.clip(n_events / total, _TINY, 1 - _TINY))
    b = np.ones_like(a)

    def cost(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        eta = b * z + a
        loss = weight * (np.logaddexp(0, eta) - event * eta)
        of_outputs: NDArray[np.float64] = loss.sum(axis=0) + (b - 1) ** 2 / 2
        return of_outputs

    least = cost(a, b)
    for _ in range(_MAX_STEPS):
        p = expit(b * z + a)
        error, curve = weight * (p - event), weight * p * (1 - p)
        slope_a, slope_b = error.sum(axis=0), (error * z).sum(axis=0) + b - 1
        aa, ab, bb = (
            curve.sum(axis=0) + _TINY,
            (curve * z).sum(axis=0),
            (curve * z * z).sum(axis=0) + 1,
        )
        determinant = np.maximum(aa * bb - ab * ab, _TINY)
        at_bound = (b <= _LEAST_SLOPE) & (slope_b > 0)
        step_a = np.where(at_bound, slope_a / aa, (bb * slope_a - ab * slope_b) / determinant)
        step_b = np.where(at_bound, 0.0, (aa * slope_b - ab * slope_a) / determinant)
        length = np.ones_like(a)
        for _ in range(_MAX_HALVINGS):  # far away, steps are too long
            new_a, new_b = a - length * step_a, np.maximum(b - length * step_b, _LEAST_SLOPE)
            reached = cost(new_a, new_b)
            worse = ~(reached <= least)
            if not worse.any():
                break
            length[worse] /= 2
        moved = np.where(worse, 0.0, np.maximum(abs(new_a - a), abs(new_b - b)))
        a, b, least = (
            np.where(worse, old, new) for old, new in ((a, new_a), (b, new_b), (least, reached))
        )
        if moved.max(initial=0) < _TOL:
            break
    return np.column_stack([b, a - b * centre])


def to_shares(
    proba: NDArray[np.float32], maps: NDArray[np.float64], layout: OutputLayout
) -> NDArray[np.float32]:
    """Probabilities (n_samples, n_outputs) after their maps, made to fit together in each task;
    the numbers of regression tasks as they are."""
    mapped = proba.astype(np.float32)
    of_classes = layout.of_classes_alone
    slope, intercept = maps[of_classes].T
    mapped[:, of_classes] = expit(slope * logit(_inside(proba[:, of_classes])) + intercept)
    return layout.rescaled(mapped)


def _inside(proba: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.clip(proba.astype(np.float64), FLOOR, 1 - FLOOR)
