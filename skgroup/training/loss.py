"""The loss of many tasks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skgroup.tasks import (
    Binary,
    Multiclass,
    OutputLayout,
    Regression,
    Soft,
    TaskTable,
    by_task_key,
    task_label,
    weights_of_labels,
)

__all__ = [
    "MultiTaskLoss",
    "class_weight_table",
    "counted_shares",
    "fold_members",
    "has_parts_a_task",
    "near_one",
    "weigh_labels",
]


class MultiTaskLoss(nn.Module):
    """Weighted sum over tasks of the mean loss over the observed samples of a batch.

    loss = Σ_t w_t · Σ_b s_b c_bt ℓ_bt / Σ_b s_b, sums over the samples b of the batch whose label
    of task t is observed; ℓ is the binary cross-entropy with logits of a binary (or soft) task, the
    cross-entropy of a multiclass one and the squared error of a regression one, in standard
    deviations; w_t the task weight, c_bt the class weight of the sample's label, s_b the sample
    weight, which may be another for each label. A task without any label in the batch adds nothing.

    Parameters
    ----------
    task_outputs : sequence of int, one a task
        Number of logits of each task.
    task_weight : array-like of shape (n_tasks,), default=None
        Weight of each task's loss; all one if None.
    class_weight : array-like of shape (n_tasks, max_n_classes), default=None
        Weight of each class of each task; all one if None.
    complete : bool, default=False
        Whether no label is missing, so that none need be looked for.
    task_types : sequence of str, one a task, default=None
        The kinds of the tasks, see `OutputLayout`.
    regression_loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Of regression tasks; "huber" is half of the squared error up to one standard deviation of
        the task, and linear beyond.
    label_smoothing : float, default=0.0
        ε in [0, 1): ℓ of a label is that of its class with a share of 1 - ε, and of each of the k
        classes of the task with ε / k, as `torch.nn.CrossEntropyLoss` takes it; regression tasks
        have none. The class weight stays that of the label: torch's, which weighs each class of
        a smoothed label, would make a rare class of large weight of every sample.
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        task_weight: Any = None,
        class_weight: Any = None,
        complete: bool = False,
        task_types: Sequence[str] | None = None,
        regression_loss: str = "squared_error",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        smoothed = [kind(label_smoothing) for kind in (Binary, Multiclass, Soft)]
        kinds = {kind.name: kind for kind in (*smoothed, Regression(regression_loss))}
        self.layout = OutputLayout(task_outputs, task_types, kinds=kinds)
        self.complete = complete
        width = max(self.layout.n_classes, default=2)
        weight = torch.ones(self.layout.n_tasks, width)
        if class_weight is not None:
            weight *= torch.as_tensor(class_weight, dtype=torch.float32)
        of_task = torch.ones(self.layout.n_tasks)
        if task_weight is not None:
            of_task *= torch.as_tensor(task_weight, dtype=torch.float32)
        self.weight: Tensor
        self.task_weight: Tensor
        self.register_buffer("weight", weight * of_task[:, None])
        self.register_buffer("task_weight", of_task)

    def _apply(self, fn: Any, recurse: bool = True) -> MultiTaskLoss:
        super()._apply(fn, recurse)
        self.layout = self.layout.to(self.weight.device)
        return self

    def forward(self, logits: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        """The loss of one batch.

        Parameters
        ----------
        logits : Tensor of shape (batch, n_outputs)
        target : dict of Tensor
            "codes" (batch, n_tasks): class of each label, -1 where it is missing; "values"
            (batch, n_tasks), where there are regression or soft tasks: their standardised numbers
            and probabilities;
            "weight" (batch,), optional: sample weights, or those of labels, (batch, n_tasks).

        Returns
        -------
        Tensor of shape ()
        """
        return self.of_batch(logits, target, self.weight, self.layout, self.complete)

    def of_batch(
        self,
        logits: Tensor,
        target: Mapping[str, Tensor],
        weight: Tensor,
        layout: OutputLayout,
        complete: bool,
    ) -> Tensor:
        """The loss of one batch, or of one batch for each of a stack of nets.

        Parameters
        ----------
        logits : Tensor of shape (..., batch, n_outputs)
        target : dict of Tensor, each of shape (..., batch, n_tasks) or (..., batch)
            As `forward` takes it.
        weight : Tensor of shape (..., n_tasks, max_n_classes)
            Task weight times class weight.
        layout : OutputLayout
        complete : bool
            Whether no label is missing.

        Returns
        -------
        Tensor of shape (...)
        """
        codes = target["codes"]
        counted, of_label, values = weigh_labels(target, weight, layout, complete)
        loss = self.of_labels(logits, codes, of_label, layout, values)
        return loss / codes.shape[-2] if counted is None else loss

    def of_tasks(
        self,
        logits: Tensor,
        target: Mapping[str, Tensor],
        weight: Tensor,
        layout: OutputLayout,
        complete: bool,
    ) -> Tensor:
        """The parts of `of_batch`, which takes the same, (..., n_tasks); a task without any label
        in the batch has a loss of exactly 0."""
        codes = target["codes"]
        counted, of_label, values = weigh_labels(target, weight, layout, complete)
        if counted is None:
            of_label = of_label / codes.shape[-2]
        if type(self).of_labels is MultiTaskLoss.of_labels:
            return -(of_label * layout.true_log_probability(logits, codes, values)).sum(-2)
        # What another loss sums up, it is asked for with the weights of one task after another.
        masks = torch.eye(layout.n_tasks, device=codes.device)
        masks = masks.reshape(-1, *[1] * (codes.dim() - 1), layout.n_tasks)
        logits, codes = (x.expand(len(masks), *x.shape) for x in (logits, codes))
        values = None if values is None else values.expand(codes.shape)
        return self.of_labels(logits, codes, of_label * masks, layout, values).movedim(0, -1)

    def of_labels(
        self,
        logits: Tensor,
        codes: Tensor,
        weight: Tensor,
        layout: OutputLayout,
        values: Tensor | None = None,
    ) -> Tensor:
        """The weighted sum of the losses of single labels, (...,): what another loss, as the focal
        one, changes.

        Parameters
        ----------
        logits : Tensor of shape (..., batch, n_outputs)
        codes : Tensor of shape (..., batch, n_tasks)
        weight : Tensor of shape (..., batch, n_tasks)
            0 where a label is missing.
        layout : OutputLayout
            Its `true_log_probability` is log p of the true labels, smoothed where they are to be.
        values : Tensor of shape (..., batch, n_tasks), or None
            Standardised numbers of regression tasks, and of soft tasks what their loss aims at,
            where there are any.
        """
        return layout.loss(logits, codes, weight, values)


def weigh_labels(
    target: Mapping[str, Tensor], weight: Tensor, layout: OutputLayout, complete: bool = False
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """The weight of each label, and what the loss of a soft one aims at.

    Parameters
    ----------
    target, weight, layout, complete
        As `MultiTaskLoss.of_batch` takes them.

    Returns
    -------
    counted : Tensor of shape (..., batch, n_tasks or 1), or None
        See `counted_shares`.
    of_label : Tensor of shape (..., batch, n_tasks)
        With these, weights of labels; of a soft one p, those of the two that it stands for,
        w_1 p + w_0 (1 - p), w being the class weights.
    values : Tensor of shape (..., batch, n_tasks), or None
        As in the target; of soft labels w_1 p / (w_1 p + w_0 (1 - p)).
    """
    codes, values = target["codes"], target.get("values")
    counted = counted_shares(codes, target.get("weight"), complete)
    if weight.shape[-1] == 2:
        of_label = torch.where(codes > 0, weight[..., None, :, 1], weight[..., None, :, 0])
    else:
        of_class = weight.mT[..., None, :, :].expand(*codes.shape[:-1], *weight.mT.shape[-2:])
        of_label = of_class.gather(-2, codes.clamp(min=0).long()[..., None, :]).squeeze(-2)
    soft = layout.soft_tasks
    if soft is not None and values is not None:
        p, of_soft = values[..., soft], weight[..., None, soft, :]
        second = of_soft[..., 1] * p
        both = second + of_soft[..., 0] * (1 - p)
        of_label = of_label.index_copy(-1, soft, both)
        aim = second / both.clamp(min=torch.finfo(both.dtype).tiny)
        values = values.index_copy(-1, soft, aim)
    return counted, of_label if counted is None else of_label * counted, values


def has_parts_a_task(criterion: Any) -> bool:
    """Whether a criterion is a `MultiTaskLoss`, or what changes its `of_labels` alone, so that its
    `of_batch` is the loss of other weights and of a stack of nets too."""
    return (
        isinstance(criterion, MultiTaskLoss)
        and type(criterion).forward is MultiTaskLoss.forward
        and type(criterion).of_batch is MultiTaskLoss.of_batch
        and not any(True for _ in criterion.parameters())
    )


def fold_members(
    logits: Tensor, target: Mapping[str, Tensor]
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Members of a net as further samples of the batch, so that their losses are averaged.

    Parameters
    ----------
    logits : Tensor of shape (..., batch, n_outputs) or (..., batch, n_members, n_outputs)
    target : dict of Tensor, each of shape (..., batch) or (..., batch, n_tasks)

    Returns
    -------
    logits : Tensor of shape (..., batch * n_members, n_outputs)
    target : dict of Tensor
    """
    batch_axis = target["codes"].dim() - 2
    if logits.dim() == batch_axis + 2:
        return logits, target
    n_members = logits.shape[-2]
    folded = {k: part.repeat_interleave(n_members, batch_axis) for k, part in target.items()}
    return logits.flatten(batch_axis, batch_axis + 1), folded


def counted_shares(codes: Tensor, weight: Tensor | None, complete: bool = False) -> Tensor | None:
    """Share of each sample in the mean over the observed ones; None where all are 1 / batch.

    Parameters
    ----------
    codes : Tensor of shape (..., batch, n_tasks)
    weight : Tensor of shape (..., batch) or (..., batch, n_tasks), or None
    complete : bool, default=False
        Whether no label is missing.
    """
    if weight is not None:
        weight = weight if weight.dim() == codes.dim() else weight[..., None]
        counted = weight if complete else (codes >= 0) * weight
    elif not complete:
        counted = (codes >= 0).float()
    else:
        return None
    return counted / counted.sum(dim=-2, keepdim=True).clamp(min=torch.finfo(counted.dtype).tiny)


def near_one(weight: NDArray[np.floating]) -> NDArray[np.float32]:
    """Weights whose largest is 1 where it was beyond 1e-4 or 1e4; others as they are."""
    largest = weight.max(initial=0.0)
    if largest > 0 and not 1e-4 <= largest <= 1e4:
        weight = weight / largest
    return weight.astype(np.float32)


def class_weight_table(
    class_weight: str | Mapping[Any, Any] | None,
    table: TaskTable,
    sample_weight: NDArray | None = None,
) -> NDArray[np.float32] | None:
    """Weight of each class of each task.

    Parameters
    ----------
    class_weight : "balanced", None or dict
        As `MultiTaskNet` takes it.
    table : TaskTable
    sample_weight : ndarray of shape (n_samples,) or (n_samples, n_tasks), default=None

    Returns
    -------
    weights : ndarray of shape (n_tasks, max_n_classes), or None if all are one
    """
    if class_weight is None:
        return None
    width = table.width
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(_CLASS_WEIGHT_RULE.format(class_weight))
        return _balanced(table, width, sample_weight)
    if not isinstance(class_weight, Mapping):
        raise ValueError(_CLASS_WEIGHT_RULE.format(class_weight))
    weights = np.ones((table.n_tasks, width), dtype=np.float32)
    nested = any(isinstance(v, Mapping) for v in class_weight.values())
    if not nested:
        if not table.has_classes.any():
            raise ValueError(
                "The 'class_weight' parameter must be 'balanced' or None where no task has "
                f"classes. {task_label(table.names, 0)} of Y, as all others, is a regression "
                f"task. Got {class_weight!r}: 'task_weight' weighs it."
            )
        known: set[Any] = set()
        for t, classes in enumerate(table.classes):
            known |= _fill(weights[t], classes, class_weight)
        if table.learnable.all():  # else it may be a class that was not observed
            _refuse_unknown(class_weight, known, "class of any task")
        return weights
    names = range(table.n_tasks) if table.names is None else table.names
    index = {name: t for t, name in enumerate(names)}
    by_task = by_task_key(class_weight, table.names)
    _refuse_unknown(by_task, set(index), "task")
    for task, of_task in by_task.items():
        t = index[task]
        if not isinstance(of_task, Mapping):
            raise ValueError(_CLASS_WEIGHT_RULE.format(class_weight))
        if not table.kinds[t].has_classes:
            raise ValueError(
                "The 'class_weight' parameter must name tasks with classes. "
                f"{task_label(table.names, t)} is a regression task: 'task_weight' weighs it."
            )
        known = _fill(weights[t], table.classes[t], of_task)
        if table.learnable[t]:
            _refuse_unknown(of_task, known, f"class of {task_label(table.names, t)}")
    return weights


_CLASS_WEIGHT_RULE = (
    "The 'class_weight' parameter of MultiTaskNet must be 'balanced', None, a dict "
    "{{class: weight}} for all tasks, or a dict {{task: {{class: weight}}}}. Got {!r} instead."
)


def _balanced(table: TaskTable, width: int, sample_weight: NDArray | None) -> NDArray[np.float32]:
    weight = weights_of_labels(sample_weight, len(table.codes))
    counts = np.stack([(weight * table.of_class(k)).sum(axis=0) for k in range(width)], axis=1)
    n_classes = np.array([len(c) for c in table.classes])
    counts[np.arange(width) >= n_classes[:, None]] = np.nan
    return table.layout.balanced_weights(counts, table.positive).astype(np.float32)


def _fill(row: NDArray[np.float32], classes: NDArray, given: Mapping[Any, Any]) -> set[Any]:
    known = set()
    for k, label in enumerate(classes.tolist()):
        if label in given:
            try:
                weight = float(given[label])
            except (TypeError, ValueError):
                weight = np.nan
            if not 0 <= weight <= float(np.finfo(np.float32).max):
                raise ValueError(
                    f"The 'class_weight' of class {label!r} must be a finite number >= 0. Got "
                    f"{given[label]!r}."
                )
            row[k] = weight
            known.add(label)
    return known


def _refuse_unknown(given: Mapping[Any, Any], known: set[Any], kind: str) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f"The 'class_weight' parameter names {unknown[0]!r}, which is no {kind}.")
