"""Mixtures of probabilities, and serving weights that are learned on held-out ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks import OutputLayout, TaskTable

#: What the prior counts for, in samples (κ).
_PRIOR_SAMPLES = 2.0
_MAX_ITER = 1000
_TOL = 1e-6
#: Least probability of a true label, so that one sample does not decide alone.
_FLOOR = 1e-6
#: How far from [0, 1] sums of float32 probabilities may be.
_ROUNDING = 1e-3


def mix(
    layout: OutputLayout,
    tasks: list[NDArray[np.intp]],
    weights: NDArray[np.float64],
    pieces: Iterable[tuple[int, slice, NDArray[np.float32]]],
    n_samples: int,
) -> NDArray[np.float32]:
    """Weighted probabilities of nets, each of some of the tasks.

    Parameters
    ----------
    layout : OutputLayout
        Of all tasks.
    tasks : list of ndarray of int, one a net
        The tasks that each net predicts.
    weights : ndarray of shape (n_tasks, n_nets)
    pieces : iterable of (net, rows, proba)
        Probabilities of each net for its own tasks, some rows at a time.
    n_samples : int

    Returns
    -------
    proba : ndarray of shape (n_samples, n_outputs)
        Of regression tasks, the standardised predictions.

    Raises
    ------
    ValueError
        If nets do not give probabilities.
    """
    task_of_output = layout.task_of_output
    mixed = np.zeros((n_samples, len(task_of_output)), dtype=np.float32)
    columns = [np.flatnonzero(np.isin(task_of_output, of_net)) for of_net in tasks]
    factors = [
        weights[task_of_output[of_net], c].astype(np.float32) for c, of_net in enumerate(columns)
    ]
    for c, rows, of_net in pieces:
        mixed[rows, columns[c]] += factors[c] * of_net
    of_classes = slice(None) if layout.of_classes_alone.all() else layout.of_classes_alone
    proba = mixed[:, of_classes]
    if proba.size and (proba.min() < -_ROUNDING or proba.max() > 1 + _ROUNDING):
        raise ValueError(
            "Nets whose predictions are mixed must give probabilities in [0, 1]. Got "
            f"{proba.min():.3g} to {proba.max():.3g}: set the 'predict_nonlinearity' parameter "
            "of the net (None takes what the module returns, logits too)."
        )
    # Weights that sum to 1 only to rounding must not carry a probability past 1.
    mixed[:, of_classes] = np.clip(proba, 0.0, 1.0)
    return mixed


def learn_serving_weights(
    true: NDArray[np.float32],
    prior: NDArray[np.float64],
    table: TaskTable,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Convex weights of candidates that make held-out labels most likely, task by task.

    For each task t the weights maximise Σ_i s_ti log Σ_c w_tc p_tic + κ Σ_c a_tc log w_tc over
    the simplex: p_tic is what candidate c gives the true label of sample i, a_t the prior, and s
    makes each class of a task weigh as much as its rarest one does. So κ is a number of samples,
    and the prior counts for more the fewer positives there are. Found by expectation maximisation,
    all tasks at once; each step w_tc ∝ Σ_i s_ti w_tc p_tic / Σ_k w_tk p_tik + κ a_tc raises the
    objective, which is concave.

    Parameters
    ----------
    true : ndarray of shape (n_tasks, n_samples, width)
        Probabilities of the true labels, 1 where there is none.
    prior : ndarray of shape (n_tasks, width)
        Rows sum to 1; a candidate of prior 0 keeps weight 0.
    table : TaskTable
        The labels of the held-out samples.
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    weights : ndarray of shape (n_tasks, width)
        Rows sum to 1. The prior for a task with fewer than two classes among the held-out
        samples, with a warning.
    """
    balance = _balance(table, sample_weight)  # (n_tasks, n_samples)
    unknown = balance.sum(axis=1) == 0
    if unknown.any():
        names = np.arange(table.n_tasks) if table.names is None else table.names
        warnings.warn(
            "The serving weights of these tasks are not learned, but those of the prior, because "
            "the held-out samples hold fewer than two of their classes: "
            f"{', '.join(str(name) for name in names[unknown])}.",
            UserWarning,
            stacklevel=2,
        )
    true = np.maximum(true, np.float32(_FLOOR))
    total = balance.sum(axis=1, keepdims=True) + _PRIOR_SAMPLES
    weights = prior.astype(np.float64)
    for _ in range(_MAX_ITER):
        mixed = np.matmul(true, weights[:, :, None].astype(np.float32))[:, :, 0]
        pulled = np.matmul((balance / mixed)[:, None], true)[:, 0]
        step = (weights * pulled + _PRIOR_SAMPLES * prior) / total
        moved = np.abs(step - weights).max()
        weights = step / step.sum(axis=1, keepdims=True)
        if moved < _TOL:
            break
    return np.where(unknown[:, None], prior, weights)


def _balance(table: TaskTable, sample_weight: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """Weights of samples (n_tasks, n_samples): each class of a task has the same total, the
    number of samples of its rarest class; 0 for a task of which fewer than two classes are met."""
    width = max(len(c) for c in table.classes)
    one_hot = table.codes.T[:, :, None] == np.arange(width)  # (n_tasks, n_samples, n_classes)
    weight = np.ones(len(table.codes)) if sample_weight is None else sample_weight
    one_hot &= (weight > 0)[:, None]
    counts = one_hot.sum(axis=1)
    met = counts > 0
    rarest = np.where(met, counts, np.iinfo(np.intp).max).min(axis=1)
    rarest = np.where(met.sum(axis=1) > 1, rarest, 0)
    totals = np.einsum("tnk,n->tk", one_hot, weight)
    share = np.divide(rarest[:, None], totals, out=np.zeros_like(totals), where=totals > 0)
    return (np.einsum("tnk,tk->tn", one_hot, share) * weight).astype(np.float32)
