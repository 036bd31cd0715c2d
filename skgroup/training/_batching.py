"""Batches to train on and to validate on; what is wrong with them is named."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Subset

from skgroup.tasks import MISSING, check_tasks, task_label
from skgroup.training._module_trial import try_last_batch
from skgroup.training.data import (
    BatchLoader,
    TaskDataset,
    check_inputs,
    labels_of,
)
from skgroup.training.loss import (
    has_parts_a_task,
)
from skgroup.training.training_data import TrainingData

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet


def batch_size_for(batch_size: int | str, n_samples: int) -> int:
    """Samples of a training batch: as given, or, for "auto", a 32nd of them, from 16 to 256."""
    if isinstance(batch_size, str):
        return int(np.clip(round(n_samples / 32), 16, 256))
    return batch_size


def build_iterator(net: MultiTaskNet, dataset: Any, *, training: bool) -> Any:
    """The iterator over the batches of a dataset; what cannot be built is named."""
    name = "iterator_train" if training else "iterator_valid"
    options = net.get_params_for(name)
    default = net.batch_size_ if training else net.prediction_batch_size
    size: Any = options.get("batch_size", default)
    whole = not isinstance(size, bool) and isinstance(size, Integral)
    # None is how torch's DataLoader leaves batches to a sampler.
    by_sampler = size is None and options.keys() & {"sampler", "batch_sampler"}
    if not by_sampler and not (whole and (size > 0 or size == -1)):
        raise ValueError(
            f"The '{name}__batch_size' parameter must be an int >= 1, or -1 for all samples. "
            f"Got {size!r}."
        )
    for key in ("shuffle", "drop_last"):
        if not isinstance(options.get(key, False), bool | np.bool_):
            raise ValueError(
                f"The '{name}__{key}' parameter must be True or False. Got {options[key]!r}."
            )
        if options.get(key, False) and not training:
            raise ValueError(
                f"The '{name}__{key}' parameter must be False, for predictions to be one a "
                f"sample of X, in their order. Got {options[key]!r}."
            )
    generator = options.get("generator")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(
            f"The '{name}__generator' parameter must be a torch.Generator or None. Got "
            f"{generator!r}."
        )
    for key in ("sampler", "batch_sampler"):
        if not isinstance(options.get(key) or (), Iterable):
            raise ValueError(
                f"The '{name}__{key}' parameter must be a Sampler of torch or another iterable "
                f"of positions. Got {options[key]!r}."
            )
    try:
        return net.get_iterator(dataset, training=training)
    except (TypeError, ValueError, AttributeError) as error:
        given = {k: v for k, v in options.items() if k != "generator"}
        raise ValueError(
            f"The '{name}' parameter must be a class that is called like torch's DataLoader, "
            f"with the options '{name}__...'. Got {getattr(net, name)!r} with {given}: {error}"
        ) from error


def check_batches(net: MultiTaskNet, dataset: Any) -> int | None:
    """How many batches an epoch has, None if not known; refuse an epoch without a batch, and a
    last one that the module cannot take."""
    iterator = build_iterator(net, dataset, training=True)
    try:
        n_batches: int | None = len(iterator)
    except (TypeError, NotImplementedError, AttributeError):
        n_batches = None  # not known; the loop looks again
    if n_batches == 0:
        raise ValueError(
            f"The 'iterator_train' parameter must give at least one batch an epoch. Got none "
            f"from the {len(dataset)} samples to train on, with batch_size={net.batch_size_} "
            f"and {net.get_params_for('iterator_train')}: with drop_last, 'batch_size' must "
            "be at most the number of samples; a sampler must draw some."
        )
    try_last_batch(net, dataset)
    return n_batches


def check_split(net: MultiTaskNet, train: Any, valid: Any, rule: str) -> Any:
    """The validation part of a split, prepared; both parts are looked at."""
    if not is_prepared(base_of(train)):
        raise ValueError(f"{rule}, which returns {train!r} to train on.")
    if valid is not None and not is_prepared(base_of(valid)):
        valid = prepare_validation(net, valid, rule)
    counted = observed_labels(train).any(dim=0)
    if not counted.any():
        raise ValueError(
            "The 'train_split' parameter must leave samples with labels (and weights above "
            f"0) to train on. Got {net.train_split!r}, which leaves none of any task."
        )
    if not counted.all():
        names = getattr(net, "task_names_in_", None)
        tasks = net._learned[~counted.numpy()]
        left = ", ".join(task_label(names, t) for t in tasks)
        warnings.warn(
            f"The 'train_split' parameter leaves no labels to train on of {left}, which "
            f"this net does not learn. Got {net.train_split!r}.",
            UserWarning,
            stacklevel=2,
        )
    if valid is not None:
        if not len(valid):
            raise ValueError(f"{rule}, which returns no sample to validate on.")
        learn_validation(net, valid)
    return valid


def prepare_validation(net: MultiTaskNet, valid: Any, rule: str) -> Any:
    """A validation set of the user's, checked against what the net was built for."""
    try:
        learned = [
            c for c, k in zip(net.task_classes_, net.constant_codes_, strict=True) if k == MISSING
        ]
        types = [net.task_types_[t] for t in net._learned]
        table = check_tasks(
            learned_columns(net, labels_of(valid)), classes=learned, task_types=types
        )
        X = check_inputs(net, valid, reset=False, missing=net.scaling_ is not None)
        valid = net.dataset_of(TrainingData(X, table))
    except Exception as error:  # whatever a Dataset of the user's may raise
        raise ValueError(
            f"{rule}, whose samples to validate on are not like those of X and Y: {error}"
        ) from error
    if (table.codes == MISSING).any():
        net.criterion_.complete = False
    return valid


def learned_columns(net: MultiTaskNet, labels: NDArray) -> NDArray:
    """Of the labels of all tasks, those of the tasks that this net is for."""
    if net.selected_ is None or labels.ndim == 1:
        return labels
    if labels.shape[1] <= max(net.selected_):
        raise ValueError(
            "The 'train_split' parameter must give validation samples with the labels of all "
            f"tasks of Y. Got {labels.shape[1]} columns."
        )
    return labels[:, net.selected_]


def learn_validation(net: MultiTaskNet, valid: Any) -> None:
    """How the validation loss weighs tasks: those without labels have no loss, not loss 0.

    A task counts by its mean over the batches that hold labels of it; tasks without any are
    left out, the weight of the others is raised to make up for them.
    """
    observed = observed_labels(valid)
    if not observed.any():
        for name, callback in net.callbacks_:
            monitor = getattr(callback, "monitor", None)
            if isinstance(monitor, str) and monitor.startswith("valid_"):
                raise ValueError(
                    f"The callback {name} monitors {monitor!r}, so the 'train_split' parameter "
                    "must set samples aside that have labels. It leaves none of any task with "
                    f"{net.train_split!r}."
                )
    if not has_parts_a_task(net.criterion_):
        return
    options = {"batch_size": net.prediction_batch_size} | net.get_params_for("iterator_valid")
    size = options["batch_size"] if net.iterator_valid is BatchLoader else -1
    batches = observed.split(size if size > 0 else len(observed))
    met = torch.stack([len(batch) * batch.any(dim=0) for batch in batches]).sum(dim=0)
    weight = torch.from_numpy(net.loss_weights_["task_weight"])
    shares = weight.sum() / weight[met > 0].sum()  # NaN, where no task has a loss
    factor = torch.where(met > 0, shares * len(observed) / met, 0.0 * shares)
    if not bool((factor == 1).all()):
        net.valid_weight_ = net.criterion_.weight * factor[:, None].to(net._device())


def observed_labels(dataset: Any) -> Tensor:
    """Which labels (n_samples, n_tasks) of a prepared dataset, or of a part of one, count."""
    samples = BatchLoader(dataset)
    observed: Tensor = samples.base.target["codes"] >= 0
    weight = samples.base.target.get("weight")
    if weight is not None:
        observed &= weight.reshape(len(weight), -1) > 0
    return observed if samples.index is None else observed[samples.index]


def base_of(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def is_prepared(dataset: Any) -> bool:
    return isinstance(dataset, TaskDataset)
