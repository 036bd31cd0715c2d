"""What nets are trained on, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skgroup.tasks import TaskTable
from skgroup.training.data import TaskDataset, take_samples
from skgroup.training.loss import class_weight_table

__all__ = ["TrainingData"]


@dataclass(frozen=True)
class TrainingData:
    """Checked inputs, tasks and weights of samples and classes: what nets are trained on.

    `inputs` holds what estimators say of their inputs: `n_features_in_`, `feature_names_in_`,
    `input_shape_`, as far as there are any. `whole` is the table of all tasks of `Y`, where some of
    them have a single class and so are not in `table`. `largest` is the sample with the largest
    number, to be among those that a net is tried on; 0 where it is not known.
    """

    X: Any
    table: TaskTable
    inputs: dict[str, Any] = field(default_factory=dict)
    sample_weight: NDArray[np.float64] | None = None
    class_weight: NDArray[np.float32] | None = None
    selected: NDArray[np.intp] | None = None
    whole: TaskTable | None = None
    largest: int = 0

    @property
    def all_tasks(self) -> TaskTable:
        """The table of all tasks of `Y`, those of a single class too."""
        return self.table if self.whole is None else self.whole

    @property
    def tasks(self) -> NDArray[np.intp]:
        """Which of the tasks of `Y` these are."""
        return np.arange(self.table.n_tasks) if self.selected is None else self.selected

    def select(self, tasks: NDArray) -> TrainingData:
        """The same samples with some of the tasks."""
        if np.array_equal(np.arange(self.table.n_tasks)[tasks], np.arange(self.table.n_tasks)):
            return replace(self, whole=None)
        table = self.table.select(tasks)
        class_weight = self.class_weight
        if class_weight is not None:
            class_weight = class_weight[tasks][:, : max(len(c) for c in table.classes)]
        return replace(
            self, table=table, class_weight=class_weight, selected=self.tasks[tasks], whole=None
        )

    def learnable(self) -> TrainingData:
        """The same samples with the tasks that there is something to learn of."""
        learnable = self.table.learnable
        return self if learnable.all() else replace(self.select(learnable), whole=self.table)

    def take(self, samples: NDArray[np.intp], class_weight: Any = None) -> TrainingData:
        """Some of the samples; `class_weight` as `MultiTaskNet` takes it, for these samples."""
        table = self.all_tasks.take(samples)
        weight = None if self.sample_weight is None else self.sample_weight[samples]
        taken = replace(
            self,
            X=take_samples(self.X, samples),
            largest=0,
            table=table,
            sample_weight=weight,
            class_weight=class_weight_table(class_weight, table, weight),
            whole=None,
            selected=self.selected if self.whole is None else None,
        )
        return taken if self.whole is None else taken.learnable()

    def dataset(self) -> TaskDataset:
        """Inputs and targets as the batches take them."""
        target = {
            "codes": torch.from_numpy(self.table.codes),
            "index": torch.arange(len(self.table.codes)),
        }
        if self.sample_weight is not None:
            # Ratios alone matter; of a size far from 1, float32 would leave nothing of them.
            weight = self.sample_weight
            if weight.any():
                weight = weight / weight.max()
                weight = weight / weight.mean()
            target["weight"] = torch.from_numpy(weight.astype(np.float32))
        return TaskDataset(self.X, target)
