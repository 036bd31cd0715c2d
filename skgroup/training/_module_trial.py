"""Trials of a module on few samples, so that what is wrong with it shows before training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Subset

from skgroup._random import local_seed
from skgroup.training._rehearsal import (
    trial_batch,
)
from skgroup.training.data import (
    BatchLoader,
    shape_of,
)
from skgroup.training.training_data import TrainingData

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet


def try_module(net: MultiTaskNet, data: TrainingData, fit_params: dict[str, Any]) -> None:
    """Run the module on two samples, so that a wrong output shows before training."""
    batch = trial_batch(net.dataset_of(data), data.largest)
    net._set_training(False)
    name = type(net.module_).__name__
    try:
        output = net._run_module(batch[0], **fit_params)
    except Exception as error:  # whatever a module of the user's may raise
        raise ValueError(
            f"The module {name}, built with {net._module_arguments()}, cannot run on "
            f"samples of X, of shape {shape_of(data.X)}: {type(error).__name__}: {error}"
        ) from error
    parts = output if isinstance(output, list | tuple) else [output]
    if not all(isinstance(part, Tensor) for part in parts):
        raise ValueError(
            f"The module {name} must return a tensor of logits, or a list of tensors a task. "
            f"Got {type(output).__name__}."
        )
    if not all(part.is_floating_point() for part in parts):
        raise ValueError(
            f"The module {name} must return logits that are real floats. Got "
            f"{[str(part.dtype) for part in parts]}."
        )
    if not any(part.requires_grad for part in parts):
        raise ValueError(
            f"The module {name} must return logits that depend on parameters to train. Got "
            "an output without gradient: its parameters are frozen, or it detaches them."
        )
    try:
        torch.autograd.grad(
            sum(part.float().sum() for part in parts),
            [p for p in net.module_.parameters() if p.requires_grad],
            allow_unused=True,
        )
    except RuntimeError as error:
        if "inplace operation" in str(error):  # others may be of eval mode alone
            raise ValueError(
                f"The module {name} must not overwrite in place what its gradient needs: {error}"
            ) from error
    n_samples = len(batch[1]["codes"])
    if isinstance(output, list | tuple):
        rule = [(n_samples, k) for k in net.task_outputs_]
        shapes = [tuple(part.shape) for part in output]
        # A binary task's logits may come flat.
        full = [(*s, 1) if s == (n_samples,) else s for s in shapes]
        of_members = {s[1] for s in shapes if len(s) == 3}
        if len(of_members) == 1:
            full = [(*s[:1], *s[2:]) if len(s) == 3 else () for s in shapes]
        if full != rule:
            raise ValueError(
                f"The module {name} must return a list of tensors a task, of shape (batch, 1) "
                f"or (batch,) for a binary task and (batch, k) for k classes: {rule}; or of as "
                f"many members for each task, (batch, n_members, k). Got {shapes}."
            )
        return
    expected, shape = (n_samples, sum(net.task_outputs_)), tuple(output.shape)
    if expected != shape and (len(shape) != 3 or expected != (shape[0], shape[2]) or not shape[1]):
        raise ValueError(
            f"The module {name} must return logits of shape (batch, n_outputs) = {expected} "
            f"for the {len(net.task_outputs_)} tasks to learn, or (batch, n_members, n_outputs). "
            f"Got shape {shape}."
        )


def try_last_batch(net: MultiTaskNet, dataset: Any) -> None:
    """Run the module on a batch of one, if there will be one: batch normalisation may fail."""
    options = {"batch_size": net.batch_size_} | net.get_params_for("iterator_train")
    size, n_samples = options["batch_size"], len(dataset)
    if options.keys() & {"sampler", "batch_sampler"}:
        return
    dropped = options.get("drop_last") and size not in (1, -1)
    comes = n_samples == 1 or (size > 0 and n_samples % size == 1 % size)
    if not comes or dropped:
        return
    x = next(iter(BatchLoader(Subset(dataset, [0]))))[0]
    buffers = [(part, part.clone()) for part in net.module_.buffers()]
    net._set_training(True)
    try:
        with local_seed(0), torch.no_grad():
            net._run_module(x)
    except ValueError as error:
        remedy = "Set another batch_size"
        if 1 < size < n_samples:
            remedy = "Set iterator_train__drop_last=True or another batch_size"
        if n_samples == 1:
            remedy = "It takes more samples"
        raise ValueError(
            f"The module {type(net.module_).__name__} cannot train on a batch of one sample, "
            f"which batch_size={size} leaves of {n_samples} samples: {error} {remedy}."
        ) from error
    finally:
        for part, before in buffers:
            part.copy_(before)
