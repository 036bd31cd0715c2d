"""Serving weights learned on held-out predictions: a mixture of nets for each task."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks import MISSING, OutputLayout, TaskTable

__all__ = ["Mixture", "learn_mixture", "learn_serving_weights"]

#: What the prior counts for, in samples (κ).
_PRIOR_SAMPLES = 2.0
_MAX_ITER = 1000
_TOL = 1e-6
#: Least probability of a true label, so that one sample does not decide alone.
_FLOOR = 1e-6
#: How far from [0, 1] sums of float32 probabilities may be.
_ROUNDING = 1e-3


class Mixture:
    """Which candidate nets serve which task, and what they make of the tasks together.

    Parameters
    ----------
    task_outputs : sequence of int, one a task
        Columns of probabilities a task: 1 for a binary task, k for k classes.
    candidate_tasks : list of ndarray of int, one a candidate
        The tasks that each candidate predicts.
    """

    def __init__(
        self, task_outputs: tuple[int, ...], candidate_tasks: list[NDArray[np.intp]]
    ) -> None:
        self.layout = OutputLayout(task_outputs)
        self.tasks = candidate_tasks

    def predict(
        self,
        pieces: Iterable[tuple[int, slice, NDArray[np.float32]]],
        weights: NDArray[np.float64],
        n_samples: int,
    ) -> NDArray[np.float32]:
        """Weighted probabilities (n_samples, n_outputs) of all tasks.

        `pieces` holds, some rows at a time, those of each candidate for its own tasks; `weights`
        is (n_tasks, n_candidates).
        """
        task_of_output = self.layout.task_of_output
        mixed = np.zeros((n_samples, len(task_of_output)), dtype=np.float32)
        columns: list[Any] = [
            np.flatnonzero(np.isin(task_of_output, tasks)) for tasks in self.tasks
        ]
        factors = [
            weights[task_of_output[own], c].astype(np.float32) for c, own in enumerate(columns)
        ]
        # A slice is added to in place.
        columns = [slice(None) if len(own) == mixed.shape[1] else own for own in columns]
        for c, rows, proba in pieces:
            mixed[rows, columns[c]] += factors[c] * proba
        if mixed.size and (mixed.min() < -_ROUNDING or mixed.max() > 1 + _ROUNDING):
            raise ValueError(
                "Nets whose predictions are mixed must give probabilities in [0, 1]. Got "
                f"{mixed.min():.3g} to {mixed.max():.3g}: set the 'predict_nonlinearity' parameter "
                "of the net (None takes what the module returns, logits too)."
            )
        # Weights that sum to 1 only to rounding must not carry a probability past 1.
        return np.clip(mixed, 0.0, 1.0, out=mixed)

    def served_by(self) -> NDArray[np.intp]:
        """The candidates that predict each task (n_tasks, width); -1 where there are fewer."""
        n_tasks = self.layout.n_tasks
        width = int(np.bincount(np.concatenate(self.tasks), minlength=n_tasks).max())
        candidates = np.full((n_tasks, width), -1)
        n_found = np.zeros(n_tasks, dtype=np.intp)
        for c, tasks in enumerate(self.tasks):
            candidates[tasks, n_found[tasks]] = c
            n_found[tasks] += 1
        return candidates

    def of_true_labels(
        self,
        pieces: Iterable[tuple[int, slice, NDArray[np.float32]]],
        codes: NDArray[np.integer],
        within: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float32]:
        """Probabilities of the true labels (n_tasks, n_samples, width) of the candidates that
        predict a task, in the order of `served_by`; 1 where a label is missing.

        With `within` (n_tasks, width, n_ways): of the ways to mix them that it holds, (n_tasks,
        n_samples, n_ways).
        """
        served_by = self.served_by()
        width = served_by.shape[1] if within is None else within.shape[2]
        true = np.full((len(codes.T), len(codes), width), float(within is None), dtype=np.float32)
        for c, rows, proba in pieces:
            tasks, seen = self.tasks[c], codes[rows][:, self.tasks[c]]
            slots = (served_by[tasks] == c).argmax(axis=1)
            layout = OutputLayout([self.layout.task_outputs[t] for t in tasks])
            p = layout.likelihood(proba, seen)
            p = np.where(seen == MISSING, 1, p).T
            if within is None:
                true[tasks, rows, slots] = p
            else:
                true[tasks, rows] += (
                    p[:, :, None] * within[tasks, slots].astype(np.float32)[:, None]
                )
        return true


def learn_mixture(
    mixture: Mixture,
    pieces: Iterable[tuple[int, slice, NDArray[np.float32]]],
    prior: NDArray[np.float64],
    ways: NDArray[np.intp],
    table: TaskTable,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Serving weights (n_tasks, n_candidates) from held-out probabilities of each candidate.

    Where there are several ways to group the tasks, what is learned is how much each counts:
    within it, nets count as the prior says. A weight a net would follow the noise of the held-out
    samples and lose what averaging nets gains.
    """
    served_by = mixture.served_by()
    there = served_by >= 0
    packed = np.where(there, np.take_along_axis(prior, np.maximum(served_by, 0), axis=1), 0.0)
    packed[packed.sum(axis=1) == 0, 0] = 1.0  # a task that no net serves
    way = np.where(there, ways[np.maximum(served_by, 0)], -1)
    several = len(np.unique(ways)) > 1
    within = None
    if several:
        of_way = way[:, :, None] == np.arange(ways.max() + 1)  # (n_tasks, width, n_ways)
        of_ways = np.einsum("tw,twk->tk", packed, of_way)
        within = np.divide(
            packed[:, :, None] * of_way,
            of_ways[:, None],
            out=np.zeros(of_way.shape),
            where=of_ways[:, None] > 0,
        )
        packed = of_ways
    true = mixture.of_true_labels(pieces, table.codes, within)
    learned = learn_serving_weights(true, packed, table, sample_weight)
    if within is not None:
        learned = np.einsum("tk,twk->tw", learned, within)
    weights = np.zeros_like(prior)
    tasks, slots = np.nonzero(there)
    weights[tasks, served_by[there]] = learned[tasks, slots]
    return np.where(prior > 0, weights, 0.0)


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
