"""Decision thresholds of binary tasks, tuned on held-out probabilities."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin

from skgroup.tasks import BINARY, MISSING, TaskTable, weights_of_labels, weights_of_tasks

#: What the neutral threshold counts for, in held-out positives: one tuned on a few is mostly noise.
#: On the scale of log-odds, so that nets whose probabilities are all small can be followed.
_PULL = 20.0
_FLOOR = 1e-7
#: Thresholds that a scorer is asked about, beside 0.5.
_N_THRESHOLDS = 100


def tune_thresholds(
    proba: NDArray[np.float32],
    table: TaskTable,
    scorer: Callable[..., float] | None,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Thresholds (n_tasks,) from held-out probabilities (n_samples, n_outputs), for F1 if
    `scorer` is None; NaN where a task is not binary. They are on probabilities of the positive
    classes, second classes where nothing says which is positive."""
    layout = table.layout
    binary = layout.tasks_of(BINARY)
    thresholds = np.full(layout.n_tasks, np.nan)
    first_is_positive = table.positive[binary] == 0
    p = proba[:, layout.starts[binary]]
    p = np.where(first_is_positive, 1 - p, p)
    codes = table.codes[:, binary]
    codes = np.where(first_is_positive & (codes != MISSING), 1 - codes, codes)
    sample_weight = weights_of_tasks(sample_weight, binary)
    observed = (codes != MISSING) * weights_of_labels(sample_weight, len(codes))
    if scorer is None:
        neutral = expected_f1_thresholds(p, observed)
        thresholds[binary] = f1_thresholds(p, codes, sample_weight, neutral)
    else:
        total = observed.sum(axis=0)
        neutral = np.full(len(total), 0.5)
        np.divide((observed * (codes == 1)).sum(axis=0), total, out=neutral, where=total > 0)
        thresholds[binary] = scorer_thresholds(p, codes, scorer, sample_weight, neutral)
    return thresholds


def expected_f1_thresholds(
    proba: NDArray[np.float32], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The thresholds of the best F1 that is to be expected if the probabilities are right.

    They are half of that F1 (Lipton, Elkan, Naryanaswamy, "Optimal Thresholding of Classifiers to
    Maximize F1 Measure", ECML 2014), and ask no label, so that they are no noisier where positives
    are few: near 0.5 for a task that is known well, near the share of positives for one of which
    nothing is known.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_tasks)
        Held-out probabilities of the positive class.
    weight : ndarray of shape (n_samples, n_tasks)
        Of the samples, 0 where the label is missing.

    Returns
    -------
    thresholds : ndarray of shape (n_tasks,)
    """
    order = np.argsort(-proba, axis=0, kind="stable")
    weight = np.take_along_axis(weight, order, axis=0)
    positives = weight * np.take_along_axis(proba, order, axis=0)
    n_taken = np.cumsum(weight, axis=0)
    total = np.maximum(n_taken + positives.sum(axis=0), np.finfo(float).tiny)
    best: NDArray[np.float64] = (np.cumsum(positives, axis=0) / total).max(axis=0)
    return best


def f1_thresholds(
    proba: NDArray[np.float32],
    codes: NDArray[np.integer],
    sample_weight: NDArray[np.float64] | None = None,
    neutral: Any = 0.5,
) -> NDArray[np.float64]:
    """The thresholds of the best F1, of all tasks at once, pulled towards neutral ones.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_tasks)
        Held-out probabilities of the positive class.
    codes : ndarray of shape (n_samples, n_tasks)
        1 where that class is the true one, 0 where not, -1 where the label is missing.
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), default=None
    neutral : float or ndarray of shape (n_tasks,), default=0.5
        What they are pulled towards.

    Returns
    -------
    thresholds : ndarray of shape (n_tasks,)
        Of log-odds (n · logit(t) + 20 · logit(neutral)) / (n + 20), for n positives and the best
        threshold t, which lies halfway between two probabilities; 0.5 for a task without positives
        or without negatives.
    """
    weight = np.broadcast_to(weights_of_labels(sample_weight, len(codes)), codes.shape)
    codes = np.where(weight > 0, codes, MISSING)
    order = np.argsort(-proba, axis=0, kind="stable")
    p = np.take_along_axis(proba, order, axis=0).astype(np.float64)
    truth = np.take_along_axis(codes, order, axis=0)
    weight = np.where(truth == MISSING, 0.0, np.take_along_axis(weight, order, axis=0))
    # Taking the first k as positive, for every k.
    hits = np.cumsum(weight * (truth == 1), axis=0)
    f1 = 2 * hits / np.maximum(np.cumsum(weight, axis=0) + hits[-1], np.finfo(float).tiny)
    below = np.vstack([p[1:], np.zeros_like(p[:1])])
    f1[p == below] = -1  # equal probabilities cannot be told apart
    best = f1.argmax(axis=0)[None]
    between = (np.take_along_axis(p, best, 0) + np.take_along_axis(below, best, 0))[0] / 2
    return _pulled(between, codes, neutral)


def scorer_thresholds(
    proba: NDArray[np.float32],
    codes: NDArray[np.integer],
    scorer: Callable[..., float],
    sample_weight: NDArray[np.float64] | None = None,
    neutral: Any = 0.5,
) -> NDArray[np.float64]:
    """As `f1_thresholds`, with the best value of a scorer of scikit-learn.

    The scorer sees each task's labels as 0 and 1, and at most 102 thresholds of it. Thresholds
    are pulled towards 0.5 where it scores better than the neutral one.
    """
    weight = np.broadcast_to(weights_of_labels(sample_weight, len(codes)), codes.shape)
    codes = np.where(weight > 0, codes, MISSING)
    best = np.full(proba.shape[1], 0.5)
    neutral = np.broadcast_to(neutral, proba.shape[1]).copy()
    for t in range(proba.shape[1]):
        known = codes[:, t] != MISSING
        p, truth = proba[known, t].astype(np.float64), codes[known, t]
        weights = {} if sample_weight is None else {"sample_weight": weight[known, t]}
        if len(np.unique(truth)) < 2:
            continue
        values = np.unique(p)
        between = (values + np.append(0.0, values[:-1])) / 2  # the first makes all positive
        if len(between) > _N_THRESHOLDS:
            between = np.quantile(between, np.linspace(0, 1, _N_THRESHOLDS))
        tried = np.r_[neutral[t], 0.5, between]  # the first of equals wins
        scored = [
            scorer(_Decided(), (p > threshold).astype(np.intp), truth, **weights)
            for threshold in tried
        ]
        scores = np.nan_to_num(scored, nan=-np.inf)
        best[t] = tried[int(np.argmax(scores))]
        neutral[t] = tried[int(np.argmax(scores[:2]))]
    return _pulled(best, codes, neutral)


def _pulled(
    thresholds: NDArray[np.float64], codes: NDArray[np.integer], neutral: Any
) -> NDArray[np.float64]:
    n_positive = (codes == 1).sum(axis=0)
    known = (n_positive > 0) & (codes == 0).any(axis=0)
    tuned, neutral = (logit(np.clip(p, _FLOOR, 1 - _FLOOR)) for p in (thresholds, neutral))
    pulled = expit((n_positive * tuned + _PULL * neutral) / (n_positive + _PULL))
    return np.where(known, pulled, 0.5)


def decides(scorer: Callable[..., float], *, weighted: bool) -> bool:
    """Whether a scorer can be called with predicted classes (and sample weights), and so
    depends on thresholds; and whether it returns a number."""
    weights = {"sample_weight": np.ones(3)} if weighted else {}
    try:
        score = scorer(_Decided(), np.array([0, 1, 1]), np.array([0, 1, 0]), **weights)
    except (AttributeError, TypeError):
        return False
    if np.ndim(score) == 0 and hasattr(score, "item"):
        score = score.item()
    return isinstance(score, Real)


class _Decided(ClassifierMixin, BaseEstimator):
    """What a scorer takes for a classifier; its samples are its predictions."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any = None) -> _Decided:
        return self

    def predict(self, X: Any) -> Any:
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True
