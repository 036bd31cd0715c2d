"""Serving weights of groups, mixtures of predictions, and weights learned on held-out ones."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skgroup._estimators import steps_of
from skgroup.cluster.memberships import check_membership
from skgroup.ensemble._groupers import Groups, number_of_groups, read_groups, rows_of_one
from skgroup.tasks import (
    MISSING,
    OutputLayout,
    TargetScaling,
    TaskTable,
    by_task_columns,
    task_label,
    weights_of_labels,
    weights_of_tasks,
)

#: What the prior counts for, in samples (κ).
_PRIOR_SAMPLES = 2.0
_MAX_ITER = 1000
_TOL = 1e-6
#: Least probability of a true label, so that one sample does not decide alone.
_FLOOR = 1e-6
#: Of Newton's method.
_MAX_STEPS = 100
_MAX_HALVINGS = 40
_LEAST_DECREMENT = 1e-10
#: Least mean squared error of the best candidate, in those of the worst.
_TINY = 1e-20
#: How near to the bounds of the simplex a step goes at most.
_INSIDE = 0.95
#: How far from [0, 1] sums of float32 probabilities may be.
_ROUNDING = 1e-3


def check_mixing(mixing: str, has_classes: NDArray[np.bool_], owner: str) -> None:
    """Refuse to mix logits where no task that is learned has any."""
    if mixing == "logit" and not has_classes.any():
        raise ValueError(
            f"The 'mixing' parameter of {owner} can be 'logit' only where some task has classes. "
            "Got 'logit', and all tasks are regression tasks."
        )


def check_serving(
    serving: Any,
    names: NDArray[np.object_] | None,
    learnable: NDArray[np.bool_],
    group_names: NDArray[np.object_] | None = None,
) -> NDArray[np.float64]:
    """Given weights (n_tasks, n_groups) that have some weight for each task that is learned."""
    serving = by_task_columns(
        serving, group_names, "The columns of the 'serving' parameter", "the groups"
    )
    return check_membership(
        serving,
        len(learnable),
        name="The 'serving' parameter",
        all_tasks=learnable,
        all_groups=False,
        task_names=names,
    )


def given_serving(
    serving: Any,
    grouper: Any,
    table: TaskTable,
    min_membership: float,
    group_names: NDArray[np.object_] | None,
) -> str | NDArray[np.float64]:
    """A rule, or the given weights of the tasks that are learned, checked against the memberships,
    or the number of groups that an unfitted grouper will find."""
    if isinstance(serving, str):
        return serving
    learned = np.flatnonzero(table.learnable)
    weights = check_serving(serving, table.names, table.learnable, group_names)[learned]
    n_learned, n_columns = weights.shape
    if not hasattr(grouper, "fit"):
        membership = grouper[learned]
        names = None if table.names is None else table.names[learned]
        serving_weights(weights, read_groups(membership, n_learned, min_membership), names)
        return weights[:, (membership > 0).any(axis=0)]
    last = steps_of(grouper)[-1]
    if number := number_of_groups(last, table.n_tasks):
        name, n_groups = number[0], min(number[1], n_learned)
        if n_columns > n_groups or (name == "n_clusters" and n_columns < n_groups):
            raise ValueError(
                "The 'serving' parameter, where it holds weights, must have a column a group, "
                f"{n_groups} by {name} of {type(last).__name__}. Got {n_columns}."
            )
    return weights


def serving_weights(
    serving: str | NDArray[np.float64], groups: Groups, names: NDArray[np.object_] | None
) -> NDArray[np.float64]:
    """How much each specialist counts in each task's prediction.

    Parameters
    ----------
    serving : {"membership", "uniform", "hard"} or ndarray of shape (n_tasks, n_groups)
        As the groups say, equally, by the strongest group alone, or as given: by specialists that
        have a head for the task. A task that no group serves stays so.
    groups : Groups
    names : ndarray of shape (n_tasks,) of str, or None
        Of the tasks, for messages.

    Returns
    -------
    weights : ndarray of shape (n_tasks, n_groups)
        Rows sum to 1, or are zero.

    Raises
    ------
    ValueError
        If given weights have another number of groups, or serve a task by none that holds it.
    """
    held: NDArray[np.bool_] = np.asarray((groups.serving > 0).any(axis=1))
    if isinstance(serving, str):
        every = {
            "membership": groups.serving,
            "uniform": groups.kept.astype(float),
            "hard": np.eye(groups.serving.shape[1])[groups.serving.argmax(axis=1)],
        }
        return rows_of_one(every[serving] * held[:, None])
    if serving.shape != groups.serving.shape:
        raise ValueError(
            "The 'serving' parameter, where it holds weights, must have a column a group, "
            f"{groups.serving.shape[1]}. Got {serving.shape[1]}."
        )
    weights = np.where(groups.kept & held[:, None], serving, 0.0)
    unserved = np.flatnonzero(held & ~(weights > 0).any(axis=1))
    if len(unserved):
        raise ValueError(
            "The 'serving' parameter, where it holds weights, must serve each task by a group that "
            f"holds it. Got no such weight for {task_label(names, unserved[0])}: "
            f"{serving[unserved[0]].tolist()}, of groups "
            f"{np.flatnonzero(groups.kept[unserved[0]]).tolist()}."
        )
    return rows_of_one(weights)


def mix(
    layout: OutputLayout,
    tasks: list[NDArray[np.intp]],
    weights: NDArray[np.float64],
    pieces: Iterable[tuple[int, slice, NDArray[np.float32]]],
    n_samples: int,
    *,
    logits: bool = False,
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
        Probabilities of each net for its own tasks, some rows at a time; logits, if these are
        what is mixed.
    n_samples : int
    logits : bool, default=False

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
    if logits:
        proba = layout.probability(torch.from_numpy(mixed)).numpy()
        return proba
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


def learn_weights(
    predicted: list[NDArray[np.float32]],
    tasks: list[NDArray[np.intp]],
    table: TaskTable,
    scaling: TargetScaling,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Serving weights of members from what they predict for held-out samples.

    Parameters
    ----------
    predicted : list of ndarray of shape (n_samples, n_outputs), one a member
        Probabilities, and standardised numbers, of its tasks.
    tasks : list of ndarray of int, one a member
        Its tasks.
    table : TaskTable
        The labels of these samples.
    scaling : TargetScaling
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), default=None

    Returns
    -------
    weights : ndarray of shape (n_tasks, n_members)
        Rows sum to 1; 0 for a task that is none of a member's.
    """
    layout, has_classes = table.layout, table.has_classes
    outputs = np.zeros((len(tasks), len(table.codes), layout.n_outputs), dtype=np.float32)
    prior = np.zeros((table.n_tasks, len(tasks)))
    for m, (of_member, part) in enumerate(zip(tasks, predicted, strict=True)):
        outputs[m][:, layout.columns_of(of_member)] = part
        prior[of_member, m] = 1.0
    prior /= prior.sum(axis=1, keepdims=True)
    weights = prior.copy()
    if has_classes.any():
        of_sort = table.select(has_classes)
        proba = outputs[:, :, layout.of_classes_alone]
        true = np.stack([of_sort.layout.likelihood(p, of_sort.codes) for p in proba], axis=2)
        true = np.where(of_sort.codes[:, :, None] == MISSING, np.float32(1), true)
        weights[has_classes] = learn_serving_weights(
            true.transpose(1, 0, 2),
            prior[has_classes],
            of_sort,
            weights_of_tasks(sample_weight, has_classes),
        )
    if table.values is not None:
        of_sort = table.select(~has_classes)
        truth = scaling.select(~has_classes).standardised(table.values[:, ~has_classes])
        errors = outputs[:, :, ~layout.of_classes_alone] - truth
        weights[~has_classes] = learn_number_weights(
            errors.transpose(2, 0, 1),
            prior[~has_classes],
            of_sort,
            weights_of_tasks(sample_weight, ~has_classes),
        )
    return weights


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
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), default=None

    Returns
    -------
    weights : ndarray of shape (n_tasks, width)
        Rows sum to 1. The prior for a task with fewer than two classes among the held-out
        samples, with a warning.
    """
    balance = _balance(table, sample_weight)  # (n_tasks, n_samples)
    unknown = balance.sum(axis=1) == 0
    _warn_of_unknown(unknown, table, "fewer than two of their classes")
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


def learn_number_weights(
    errors: NDArray[np.float32],
    prior: NDArray[np.float64],
    table: TaskTable,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Convex weights of candidates that minimise squared errors of held-out numbers, task by task.

    As `learn_serving_weights`, of numbers with normal errors: for each task t the weights minimise
    Σ_i s_ti (Σ_c w_tc e_tic)² / 2σ_t² − κ Σ_c a_tc log w_tc over the simplex. e_tic is the error of
    candidate c for sample i, a_t the prior, and σ_t² the mean squared error of the best candidate,
    so that κ is a number of samples whatever the scale of the errors. A map to the
    scale of the numbers, as probabilities have one, is not learned: members predict in their
    units, and a slope that is learned from errors of a few samples is mostly noise. Found by
    Newton's method on the Gram matrices of errors, all tasks at once.

    Parameters
    ----------
    errors : ndarray of shape (n_tasks, width, n_samples)
        Of any value where the number is missing.
    prior : ndarray of shape (n_tasks, width)
        Rows sum to 1; a candidate of prior 0 keeps weight 0.
    table : TaskTable
        The numbers of the held-out samples.
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), default=None
        Ratios alone matter.

    Returns
    -------
    weights : ndarray of shape (n_tasks, width)
        Rows sum to 1. The prior for a task with no number among the held-out samples, with a
        warning.
    """
    observed = (table.codes != MISSING).T
    weight = observed * weights_of_labels(sample_weight, observed.shape[1]).T
    n_counted, total = (weight > 0).sum(axis=1), weight.sum(axis=1)
    _warn_of_unknown(n_counted == 0, table, "no number of them")
    share = np.divide(weight, total[:, None], out=np.zeros_like(weight), where=total[:, None] > 0)
    weighted = errors * np.sqrt(share)[:, None]
    gram = np.matmul(
        weighted, weighted.transpose(0, 2, 1)
    )  # mean products, (n_tasks, width, width)
    of_each = np.diagonal(gram, axis1=1, axis2=2)
    there = prior > 0
    variance = np.min(of_each, axis=1, where=there, initial=np.inf)
    variance = np.maximum(variance, _TINY * np.max(of_each, axis=1, where=there, initial=0))
    known = variance > 0  # else there is nothing to learn, or nothing to be better at
    scale = n_counted[known] / variance[known]
    weights = prior.astype(np.float64)
    weights[known] = _nearest(scale[:, None, None] * gram[known], prior[known])
    return weights


def _nearest(gram: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minimise wᵀ G w / 2 − κ Σ_c a_c log w_c over the simplex, of all tasks at once.

    `gram` G is of shape (n_tasks, width, width), `prior` a of shape (n_tasks, width).
    """
    pull = _PRIOR_SAMPLES * prior
    absent = prior == 0

    def cost(w: NDArray[np.float64]) -> NDArray[np.float64]:
        pulled = np.where(absent, 0.0, pull * np.log(np.where(absent, 1.0, w)))
        of_tasks: NDArray[np.float64] = np.einsum("tc,tcd,td->t", w, gram, w) / 2 - pulled.sum(
            axis=1
        )
        return of_tasks

    w = prior.copy()
    least = cost(w)
    for _ in range(_MAX_STEPS):
        # Steps are relative to the weights, which may be of very different sizes.
        slope = w * np.einsum("tcd,td->tc", gram, w) - pull
        curve = w[:, :, None] * gram * w[:, None, :]
        curve += (pull + absent)[:, :, None] * np.eye(w.shape[1])
        to_slope, to_sum = np.moveaxis(np.linalg.solve(curve, np.stack([slope, w], axis=2)), 2, 0)
        level = (w * to_slope).sum(axis=1) / (w * to_sum).sum(axis=1)
        step = level[:, None] * to_sum - to_slope
        decrement = -(slope * step).sum(axis=1)
        if decrement.max(initial=0) < _LEAST_DECREMENT:
            break
        length = np.minimum(1.0, _INSIDE / np.maximum(-step, _INSIDE).max(axis=1))
        for _ in range(_MAX_HALVINGS):
            moved = w * (1 + length[:, None] * step)
            reached = cost(moved)
            worse = ~(reached <= least)
            if not worse.any():
                break
            length[worse] /= 2
        w = np.where(worse[:, None], w, moved)
        least = np.where(worse, least, reached)
        if worse.all():  # down to rounding
            break
    of_one: NDArray[np.float64] = w / w.sum(axis=1, keepdims=True)
    return of_one


def _warn_of_unknown(unknown: NDArray[np.bool_], table: TaskTable, why: str) -> None:
    if unknown.any():
        names = np.arange(table.n_tasks) if table.names is None else table.names
        warnings.warn(
            "The serving weights of these tasks are not learned, but those of the prior, because "
            f"the held-out samples hold {why}: {', '.join(map(str, names[unknown]))}.",
            UserWarning,
            stacklevel=3,
        )


def _balance(table: TaskTable, sample_weight: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """Weights of samples (n_tasks, n_samples): each class of a task has the same total, the
    number of samples of its rarest class; 0 for a task of which fewer than two classes are met."""
    width = max(len(c) for c in table.classes)
    one_hot = table.codes.T[:, :, None] == np.arange(width)  # (n_tasks, n_samples, n_classes)
    weight = weights_of_labels(sample_weight, len(table.codes)).T  # (n_tasks or 1, n_samples)
    one_hot &= (weight > 0)[:, :, None]
    counts = one_hot.sum(axis=1)
    met = counts > 0
    rarest = np.where(met, counts, np.iinfo(np.intp).max).min(axis=1)
    rarest = np.where(met.sum(axis=1) > 1, rarest, 0)
    totals = np.einsum("tnk,tn->tk", one_hot, np.broadcast_to(weight, one_hot.shape[:2]))
    share = np.divide(rarest[:, None], totals, out=np.zeros_like(totals), where=totals > 0)
    return (np.einsum("tnk,tk->tn", one_hot, share) * weight).astype(np.float32)
