"""What nets are trained on, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from skgroup._random import local_seed, unchanged_generators
from skgroup.store import key_of
from skgroup.tasks import (
    AUTO,
    FARTHEST,
    MISSING,
    TargetScaling,
    TaskTable,
    check_tasks,
    check_weights,
    given_types,
    task_label,
    weights_of_labels,
    weights_of_tasks,
    without_weightless,
)
from skgroup.training._scaling import RobustScaling, robust_scaling
from skgroup.training.data import (
    TaskDataset,
    as_arrays,
    as_tensors,
    check_inputs,
    has_missing,
    labels_of,
    largest_sample,
    n_samples_of,
    take_samples,
)
from skgroup.training.loss import class_weight_table

__all__ = ["TrainingData", "check_same_types", "check_training_data", "takes_checked_data"]

#: Samples by which a Dataset is told from others.
_N_COMPARED = 1000


@dataclass(frozen=True)
class TrainingData:
    """Checked inputs, tasks and weights: what nets are trained on.

    `sample_weight` is that of the samples, (n_samples,), or of the labels of all tasks of `Y`,
    (n_samples, tasks of `Y`), where `weight` has those of the tasks in `table`; then `row_weight`,
    the mean of each row, weighs the sample in statistics of `X`.

    `inputs` holds what estimators say of their inputs: `n_features_in_`, `feature_names_in_`,
    `input_shape_`, as far as there are any. `whole` is the table of all tasks of `Y`, where some of
    them have a single class and so are not in `table`. `largest` is the sample with the largest
    number, to be among those that a net is tried on; 0 where it is not known.
    """

    X: Any
    table: TaskTable
    inputs: dict[str, Any] = field(default_factory=dict)
    sample_weight: NDArray[np.float64] | None = None
    row_weight: NDArray[np.float64] | None = None
    class_weight: NDArray[np.float32] | None = None
    selected: NDArray[np.intp] | None = None
    whole: TaskTable | None = None
    largest: int = 0
    #: What was computed of X, for all that is made of the same samples.
    cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __identity__(self) -> Any:
        """What tells these data from others: all labels and weights, all of `X`, or, where it is a
        Dataset, which to read may take long, some of its samples."""
        X = self.X
        if isinstance(X, Dataset):
            n = len(X)  # type: ignore[arg-type]
            some = np.unique(np.linspace(0, n - 1, _N_COMPARED, dtype=int))
            with unchanged_generators(X):
                X = type(X), n, [key_of(X[i]) for i in some.tolist()]
        weights = self.sample_weight, self.class_weight
        return X, vars(self.all_tasks), weights, self.inputs, self.tasks

    def scaling(self) -> RobustScaling | None:
        """The robust scaling of the features; None where samples are no vectors."""
        key = "scaling" if self.sample_weight is None else "weighted scaling"
        if key not in self.cache:
            weight = None if self.sample_weight is None else self.row_weight
            with local_seed(0):  # a sample may be drawn at random (augmented)
                self.cache[key] = robust_scaling(self.X, weight)
        return self.cache[key]

    @property
    def has_missing(self) -> bool:
        """Whether X holds missing values, as far as it is looked at."""
        if "missing" not in self.cache:
            self.cache["missing"] = has_missing(self.X)
        return self.cache["missing"]

    @property
    def all_tasks(self) -> TaskTable:
        """The table of all tasks of `Y`, those of a single class too."""
        return self.table if self.whole is None else self.whole

    @property
    def weight(self) -> NDArray[np.float64] | None:
        """Weights (n_samples,) of samples, or (n_samples, n_tasks) of the labels in `table`."""
        return weights_of_tasks(self.sample_weight, self.tasks)

    @property
    def all_weight(self) -> NDArray[np.float64] | None:
        """Those of the labels in `all_tasks`."""
        return self.weight if self.whole is None else self.sample_weight

    @property
    def tasks(self) -> NDArray[np.intp]:
        """Which of the tasks of `Y` these are."""
        return np.arange(self.table.n_tasks) if self.selected is None else self.selected

    def alone(self) -> TrainingData:
        """The same tasks, as if Y had held no others."""
        return replace(self, selected=None, whole=None, sample_weight=self.weight)

    def select(self, tasks: NDArray) -> TrainingData:
        """The same samples with some of the tasks."""
        if np.array_equal(np.arange(self.table.n_tasks)[tasks], np.arange(self.table.n_tasks)):
            return replace(self, whole=None)
        table = self.table.select(tasks)
        class_weight = self.class_weight
        if class_weight is not None:
            class_weight = class_weight[tasks][:, : table.width]
        data = replace(
            self, table=table, class_weight=class_weight, selected=self.tasks[tasks], whole=None
        )
        object.__setattr__(data, "_origin", (self, tasks))
        return data

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As little as there is to say of it: many that differ in their tasks are sent to workers,
        which have what they share, its arrays being the same objects in all of them."""
        if (origin := vars(self).get("_origin")) is not None:
            return TrainingData.select, origin
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        if "arrays" not in self.cache:
            self.cache["arrays"] = as_arrays(self.X)
        return {**vars(self), "X": self.cache["arrays"]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, X=as_tensors(state["X"]))

    def learnable(self) -> TrainingData:
        """The same samples with the tasks that there is something to learn of."""
        learnable = self.table.learnable
        return self if learnable.all() else replace(self.select(learnable), whole=self.table)

    def take(self, samples: NDArray[np.intp], class_weight: Any = None) -> TrainingData:
        """Some of the samples; `class_weight` as `MultiTaskNet` takes it, for these samples."""
        table = self.all_tasks.take(samples)
        all_weight = self.all_weight
        row_weight = self.row_weight
        taken = replace(
            self,
            X=take_samples(self.X, samples),
            largest=0,
            cache={},
            table=table,
            sample_weight=None if self.sample_weight is None else self.sample_weight[samples],
            row_weight=None if row_weight is None else row_weight[samples],
            class_weight=class_weight_table(
                class_weight, table, None if all_weight is None else all_weight[samples]
            ),
            whole=None,
            selected=self.selected if self.whole is None else None,
        )
        return taken if self.whole is None else taken.learnable()

    def dataset(self, scaling: TargetScaling | None = None) -> TaskDataset:
        """Inputs and targets as the batches take them; numbers of regression tasks standardised,
        by these means and standard deviations where they are known."""
        target = {
            "codes": as_tensors(self.table.codes),
            "index": torch.arange(len(self.table.codes)),
        }
        if self.table.values is not None:
            scaling = scaling or self.table.target_scaling(self.weight)
            values = scaling.standardised(self.table.values)
            # A sample without weight may hold any number, and its loss must stay finite.
            target["values"] = torch.from_numpy(np.clip(values, -FARTHEST, FARTHEST))
        weight = self.weight
        if weight is not None:
            # Ratios alone matter, of labels those of a task; of a size far from 1, float32 would
            # leave nothing of them.
            for size in (np.max, np.mean):
                of_all = size(weight, axis=0)
                weight = weight / np.where(of_all > 0, of_all, 1.0)
            target["weight"] = torch.from_numpy(weight.astype(np.float32))
        return TaskDataset(self.X, target)


def takes_checked_data(estimator: Any) -> bool:
    """Whether `fit` of an estimator takes TrainingData as X; what users derive gets X and Y."""
    of_ours = type(estimator).__module__.startswith("skgroup.")
    return of_ours and getattr(type(estimator), "takes_training_data", False)


def check_training_data(
    estimator: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    reset: bool = True,
    classes: list[NDArray] | None = None,
    **known: Any,
) -> TrainingData:
    """Check inputs, labels and weights of samples for whatever is to be fitted on them.

    Parameters
    ----------
    estimator : estimator
        Learns what `X` looks like, or is compared with it; see `check_inputs`.
    X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes, or TrainingData
        What was checked before is not checked again; its weights count if `sample_weight` is given.
    y : array-like of shape (n_samples, n_tasks) or (n_samples,), default=None
        The task table `Y`. May be left out where `X` is a Dataset that yields labels.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
    reset : bool, default=True
    classes, **known
        What is known of the tasks; see `check_tasks`.

    Returns
    -------
    data : TrainingData
        Without class weights, of all tasks.

    Raises
    ------
    ValueError
        If something is not right with them.
    """
    if isinstance(X, TrainingData):
        if "task_types" in known:
            check_same_types(estimator, X.table)
        return X if sample_weight is not None else replace(X, sample_weight=None)
    if y is None and isinstance(X, Dataset):
        y = labels_of(X)
    X = check_inputs(estimator, X, reset=reset)
    table = check_tasks(y, classes=classes, **known)
    if n_samples_of(X) != len(table.codes):
        raise ValueError(
            "X and Y must have the same number of samples. Got X with "
            f"{n_samples_of(X)} and Y with {len(table.codes)}."
        )
    if sample_weight is not None:
        sample_weight = check_weights(sample_weight, table)
        table = without_weightless(table, sample_weight)
        _check_counted(sample_weight, table, all_tasks=classes is None)
    inputs = {
        name: getattr(estimator, name)
        for name in ("n_features_in_", "feature_names_in_", "input_shape_")
        if hasattr(estimator, name)
    }
    row_weight = None
    if sample_weight is not None:
        row_weight = weights_of_labels(sample_weight, len(table.codes)).mean(axis=1)
    return TrainingData(X, table, inputs, sample_weight, row_weight, largest=largest_sample(X))


def check_same_types(estimator: Any, table: TaskTable) -> None:
    """Refuse `task_types` that contradict the kinds that an estimator around it has read."""
    given = given_types(estimator.task_types, table.n_tasks, table.names)
    for t, (said, kind) in enumerate(zip(given, table.task_types, strict=True)):
        if said not in (AUTO, kind):
            raise ValueError(
                "The 'task_types' parameter of what is in an estimator must agree about each task. "
                f"{task_label(table.names, t)} of Y is a {kind} task, but a {said} one by "
                f"{estimator.task_types!r}."
            )


def _check_counted(weight: NDArray[np.float64], table: TaskTable, *, all_tasks: bool) -> None:
    """Refuse weights that leave nothing of a task to learn."""
    counted = weights_of_labels(weight, len(table.codes)) > 0
    counts = ((table.codes != MISSING) & counted).any(axis=0)
    if all_tasks and not counts.all():
        empty = ", ".join(task_label(table.names, t) for t in np.flatnonzero(~counts))
        raise ValueError(
            "sample_weight is refused: every task needs labels of samples whose weight is above 0 "
            f"to learn its classes. Those of {empty} have none."
        )
    alike = ~table.target_scaling(weight).known & ~table.has_classes
    if all_tasks and (alike & table.learnable).any():
        empty = ", ".join(
            task_label(table.names, t) for t in np.flatnonzero(alike & table.learnable)
        )
        raise ValueError(
            "sample_weight is refused: every regression task needs two different numbers of "
            f"samples whose weight is above 0. There are none of {empty}."
        )
