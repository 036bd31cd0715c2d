"""The loss of many tasks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skgroup._validation import TaskTable, _task_label
from skgroup.training._layout import OutputLayout

__all__ = ["MultiTaskLoss", "class_weight_table"]


class MultiTaskLoss(nn.Module):
    """Weighted sum over tasks of the mean cross-entropy over the observed samples of a batch.

    loss = Σ_t w_t · Σ_b s_b c_bt ℓ_bt / Σ_b s_b, sums over the samples b of the batch whose label
    of task t is observed; ℓ is the binary cross-entropy with logits of a binary task and the
    cross-entropy of a multiclass one, w_t the task weight, c_bt the class weight of the sample's
    label, s_b the sample weight. A task without any label in the batch adds nothing.

    Parameters
    ----------
    task_outputs : sequence of int, one a task
        Number of logits of each task.
    task_weight : array-like of shape (n_tasks,), default=None
        Weight of each task's loss; all one if None.
    class_weight : array-like of shape (n_tasks, max_n_classes), default=None
        Weight of each class of each task; all one if None.
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        task_weight: Any = None,
        class_weight: Any = None,
    ) -> None:
        super().__init__()
        self.task_weight: Tensor
        self.class_weight: Tensor | None
        self.layout = OutputLayout(task_outputs)
        n_tasks = self.layout.n_tasks
        task_weight = torch.ones(n_tasks) if task_weight is None else task_weight
        self.register_buffer("task_weight", torch.as_tensor(task_weight, dtype=torch.float32))
        table = None if class_weight is None else torch.as_tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", table)

    def _apply(self, fn: Any, recurse: bool = True) -> MultiTaskLoss:
        super()._apply(fn, recurse)
        self.layout = OutputLayout(self.layout.task_outputs, self.task_weight.device)
        return self

    def forward(self, logits: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        """The loss of one batch.

        Parameters
        ----------
        logits : Tensor of shape (batch, n_outputs)
        target : dict of Tensor
            "codes" (batch, n_tasks): class of each label, -1 where it is missing; "weight"
            (batch,), optional: sample weights.

        Returns
        -------
        Tensor of shape ()
        """
        codes = target["codes"]
        weight = multi_task_weight(codes, target.get("weight"), self.task_weight, self.class_weight)
        return -(weight * self.layout.true_log_probability(logits, codes)).sum()


def multi_task_weight(
    codes: Tensor, sample_weight: Tensor | None, task_weight: Tensor, class_weight: Tensor | None
) -> Tensor:
    """What each label's log-likelihood counts in the loss: (batch, n_tasks), no gradient."""
    weight = (codes >= 0).to(task_weight.dtype)
    if sample_weight is not None:
        weight = weight * sample_weight[..., None]
    scale = task_weight / weight.sum(dim=-2).clamp(min=torch.finfo(weight.dtype).tiny)
    weight = weight * scale[..., None, :]
    if class_weight is None:
        return weight
    if class_weight.shape[-1] == 2:
        first, second = class_weight[..., None, :, 0], class_weight[..., None, :, 1]
        return weight * torch.where(codes > 0, second, first)
    code = codes.clamp(min=0).long()
    return weight * class_weight.T.gather(0, code)


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
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    weights : ndarray of shape (n_tasks, max_n_classes), or None if all are one
    """
    if class_weight is None:
        return None
    width = max(len(c) for c in table.classes)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(_CLASS_WEIGHT_RULE.format(class_weight))
        return _balanced(table, width, sample_weight)
    if not isinstance(class_weight, Mapping):
        raise ValueError(_CLASS_WEIGHT_RULE.format(class_weight))
    weights = np.ones((table.n_tasks, width), dtype=np.float32)
    nested = any(isinstance(v, Mapping) for v in class_weight.values())
    if not nested:
        known: set[Any] = set()
        for t, classes in enumerate(table.classes):
            known |= _fill(weights[t], classes, class_weight)
        _refuse_unknown(class_weight, known, "class of any task")
        return weights
    names = range(table.n_tasks) if table.names is None else table.names
    index = {name: t for t, name in enumerate(names)}
    _refuse_unknown(class_weight, set(index), "task")
    for task, of_task in class_weight.items():
        t = index[task]
        if not isinstance(of_task, Mapping):
            raise ValueError(_CLASS_WEIGHT_RULE.format(class_weight))
        known = _fill(weights[t], table.classes[t], of_task)
        _refuse_unknown(of_task, known, f"class of {_task_label(table.names, t)}")
    return weights


_CLASS_WEIGHT_RULE = (
    "The 'class_weight' parameter of MultiTaskNet must be 'balanced', None, a dict "
    "{{class: weight}} for all tasks, or a dict {{task: {{class: weight}}}}. Got {!r} instead."
)


def _balanced(table: TaskTable, width: int, sample_weight: NDArray | None) -> NDArray[np.float32]:
    s = np.ones(len(table.codes)) if sample_weight is None else sample_weight
    counts = np.stack([s @ (table.codes == k) for k in range(width)], axis=1)
    n_classes = np.array([len(c) for c in table.classes])
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = counts.sum(axis=1, keepdims=True) / (n_classes[:, None] * counts)
        positive = counts[:, 0] / counts[:, 1]
    weights[~np.isfinite(weights)] = 1.0  # a class (padding, or all its samples weigh 0) not met
    binary = n_classes == 2
    weights[binary, 0] = 1.0
    weights[binary, 1] = np.where(np.isfinite(positive) & (positive > 0), positive, 1.0)[binary]
    return weights.astype(np.float32)


def _fill(row: NDArray[np.float32], classes: NDArray, given: Mapping[Any, Any]) -> set[Any]:
    known = set()
    for k, label in enumerate(classes.tolist()):
        if label in given:
            try:
                weight = float(given[label])
            except (TypeError, ValueError):
                weight = np.nan
            if not (weight >= 0 and np.isfinite(weight)):
                raise ValueError(
                    f"The 'class_weight' of class {label!r} must be a finite number >= 0. Got "
                    f"{given[label]!r}."
                )
            row[k] = weight
            known.add(label)
    return known


def _refuse_unknown(given: Mapping[Any, Any], known: set[Any], what: str) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f"The 'class_weight' parameter names {unknown[0]!r}, which is no {what}.")
