"""Rules for the parameters of a net, and those that have an entry a task or class."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skgroup._compat import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from skgroup.store import CHECKPOINT
from skgroup.tasks import (
    MISSING,
    TaskTable,
    by_task_key,
    by_task_names,
    task_label,
)
from skgroup.training.balancing import BALANCINGS
from skgroup.training.data import TaskDataset, refuse_missing
from skgroup.training.loss import (
    class_weight_table,
    near_one,
)
from skgroup.training.training_data import TrainingData

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet

#: Rules for single parameters.
CONSTRAINTS: dict[str, Any] = {
    "lr": [Interval(Real, 0, None, closed="neither")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [
        Interval(Integral, 1, None, closed="left"),
        Options(Integral, {-1}),
        StrOptions({"auto"}),
    ],
    "precision": [StrOptions({"float32", "bfloat16"})],
    "random_state": ["random_state"],
    "module": [nn.Module, callable],
    "criterion": [nn.Module, callable],
    "optimizer": [callable],
    "balancing": [StrOptions(set(BALANCINGS)), nn.Module, callable, None],
    "input_scaling": [StrOptions({"robust"}), None],
    "train_split": [callable, None],
    "callbacks": [list, tuple, StrOptions({"disable"}), None],
    "iterator_train": [callable],
    "iterator_valid": [callable],
    "predict_nonlinearity": [callable, StrOptions({"auto"}), None],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "compile": ["boolean"],
    "use_caching": ["boolean", StrOptions({"auto"})],
    "torch_load_kwargs": [dict, None],
    "checkpoint": CHECKPOINT,
}  # fmt: skip


def check_net(net: MultiTaskNet) -> None:
    """Refuse parameters that are wrong whatever the data are."""
    _check_names(net)
    values = {name: getattr(net, name) for name in CONSTRAINTS}
    validate_parameter_constraints(CONSTRAINTS, values, caller_name=type(net).__name__)
    if isinstance(net.module, type) and not issubclass(net.module, nn.Module):
        raise ValueError(
            "The 'module' parameter must be a class of torch.nn.Module, an instance or a "
            f"callable that builds one. Got {net.module!r}."
        )
    if not net.compile and net.get_params_for("compile"):
        raise ValueError(
            "The 'compile' parameter must be True where options 'compile__...' are given. Got "
            f"compile={net.compile!r} with {net.get_params_for('compile')}."
        )
    if net.balancing is None and net.get_params_for("balancing"):
        raise ValueError(
            "The 'balancing' parameter must be given where options 'balancing__...' are. Got "
            f"balancing=None with {net.get_params_for('balancing')}."
        )
    if net.dataset is not TaskDataset or net.get_params_for("dataset"):
        raise ValueError(
            "The 'dataset' parameter must be left as it is: give a torch Dataset as X instead. "
            f"Got {net.dataset!r} with {net.get_params_for('dataset')}."
        )
    for item in [] if isinstance(net.callbacks, str) else net.callbacks or []:
        named = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
        callback = item[1] if named else item
        if not hasattr(callback, "on_epoch_end") and not (named and callback is None):
            raise ValueError(
                "The 'callbacks' parameter must be a list of skorch's Callbacks, or of pairs "
                f"(name, Callback). Got {item!r} in it."
            )
    if net.device is not None:
        try:
            torch.zeros(1, device=torch.device(net._device())).item()
        except (TypeError, RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"The 'device' parameter must be 'auto', None or a device that torch has here. "
                f"Got {net.device!r}: {str(error).splitlines()[0]}"
            ) from error


def _check_names(net: MultiTaskNet) -> None:
    """Refuse keyword arguments that no part of the net reads."""
    parts = {"module", "criterion", "optimizer", *net.prefixes_}
    for key in sorted(net._params_to_validate):
        part, dunder, _ = key.partition("__")
        # A subclass may name further parts when it builds them.
        if part in parts or (dunder and not hasattr(net, "module_")):
            continue
        known = set(net._get_param_names()) - net._params_to_validate
        near = [f"{p}__{key[len(p) + 1 :]}" for p in parts if key.startswith(f"{p}_")]
        near += difflib.get_close_matches(key, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{type(net).__name__} has no parameter {key!r}; those of its parts are given as "
            f"'module__...', 'optimizer__...' and so on.{hint}"
        )


def weigh_classes(net: MultiTaskNet, data: TrainingData) -> TrainingData:
    """Check the parameters that have an entry a task or class; the data with class weights."""
    table = data.all_tasks
    if net.input_scaling is None and data.has_missing:
        refuse_missing(data.X)
    task_weight = check_task_weight(net, table.n_tasks, table.names)
    for name, value in task_parameters(net).items():
        if len(value) != table.n_tasks:
            raise ValueError(
                f"The 'module__{name}' parameter must be an int or have an entry for each of "
                f"the {table.n_tasks} tasks. Got {value!r}."
            )
    if table.n_tasks > 1 and getattr(net.train_split, "stratified", False):
        raise ValueError(
            "The 'train_split' parameter must not be stratified where Y has several tasks. Got "
            f"{net.train_split!r} for {table.n_tasks} tasks."
        )
    class_weight = class_weight_table(net.class_weight, table, data.all_weight)
    if class_weight is not None:
        check_class_weight(net, class_weight, task_weight, table)
    return replace(data, class_weight=class_weight)


def check_task_weight(net: MultiTaskNet, n_tasks: int, names: Any = None) -> NDArray[np.float32]:
    """Weights (n_tasks,) of all tasks; those that a dict leaves out weigh 1."""
    if net.task_weight is None:
        return np.ones(n_tasks, dtype=np.float32)
    given = net.task_weight
    if isinstance(given, Mapping):
        keys = list(range(n_tasks)) if names is None else list(names)
        by_task = by_task_key(given, names)
        unknown = [key for key in by_task if key not in keys]
        if unknown:
            raise ValueError(
                f"The 'task_weight' parameter names {unknown[0]!r}, which is no task: {keys}."
            )
        given = [by_task.get(key, 1.0) for key in keys]
    given = by_task_names(given, names, "The index of 'task_weight'")
    try:
        weight = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"The 'task_weight' parameter must hold numbers. Got {net.task_weight!r}."
        ) from None
    if weight.shape != (n_tasks,):
        raise ValueError(
            f"The 'task_weight' parameter must be of shape (n_tasks,) = ({n_tasks},). Got "
            f"shape {weight.shape}."
        )
    if not np.isfinite(weight).all() or (weight < 0).any() or not (weight > 0).any():
        raise ValueError(
            "The 'task_weight' parameter must hold finite numbers >= 0, not all 0. Got "
            f"{net.task_weight!r}."
        )
    return near_one(weight)


def task_weights(net: MultiTaskNet, data: TrainingData) -> NDArray[np.float32]:
    """Weights (n_tasks,) of the losses of the tasks that are learned."""
    table = data.all_tasks
    weight = check_task_weight(net, table.n_tasks, table.names)[table.learnable]
    if not weight.any():
        raise ValueError(
            "The 'task_weight' parameter must not be 0 for all tasks that there is something "
            f"to learn of. Got {net.task_weight!r}."
        )
    return near_one(weight)


def check_class_weight(
    net: MultiTaskNet,
    weight: NDArray[np.float32],
    task_weight: NDArray[np.float32],
    table: TaskTable,
) -> None:
    """Refuse weights that leave nothing to train on, or are infinite in float32."""
    rule = "The 'class_weight' parameter must hold finite numbers >= 0"
    with np.errstate(over="ignore"):
        finite = np.isfinite(weight * task_weight[:, None])
    if not finite.all():
        raise ValueError(
            f"{rule}, within the range of float32 (times 'task_weight'). Got {net.class_weight!r}."
        )
    counts = np.zeros(table.n_tasks, dtype=bool)
    for k in range(weight.shape[1]):
        counts |= (weight[:, k] > 0) & (table.of_class(k) > 0).any(axis=0)
    without = table.learnable & ~counts & (table.codes != MISSING).any(axis=0)
    if without.any():
        raise ValueError(
            f"{rule}, not all 0 for the labels of "
            f"{task_label(table.names, np.flatnonzero(without)[0])}. Got {net.class_weight!r}."
        )


def check_constant(net: MultiTaskNet, table: TaskTable) -> None:
    """Refuse labels of another class for tasks that no head was built for."""
    known = table.constant != MISSING
    other = known & ((table.codes != table.constant) & (table.codes != MISSING)).any(axis=0)
    for t in np.flatnonzero(known & table.soft).tolist():
        share = table.of_class(1 - int(table.constant[t]))[:, t]
        other[t] = (share > 0).any()
    for t in np.flatnonzero(known & ~table.has_classes).tolist():
        numbers = table.values[:, t]  # type: ignore[index]
        other[t] = (~np.isnan(numbers) & (numbers != table.classes[t][0])).any()
    if other.any():
        t = int(np.flatnonzero(other)[0])
        what = "class" if table.has_classes[t] else "number"
        raise ValueError(
            f"{task_label(table.names, t)} of Y holds a second {what}, but a single one was "
            "met in fit, so that the net has no head for it. Call fit"
            + (", or give all classes in the first call of partial_fit." * (what == "class") or ".")
        )


def check_classes_given(classes: Sequence[Any], table: TaskTable) -> None:
    """Refuse classes of a task of numbers, and none of another."""
    for t, (given, has_classes) in enumerate(zip(classes, table.has_classes, strict=True)):
        if bool(len(given)) != bool(has_classes):
            raise ValueError(
                f"The 'classes' of partial_fit must be {'None' if len(given) else 'labels'} of "
                f"{task_label(table.names, t)}, which is a {table.task_types[t]} task. Got "
                f"{given.tolist() or None}."
            )


def task_parameters(net: MultiTaskNet) -> dict[str, Any]:
    """Hyper-parameters of the module that were given with an entry a task."""
    given, module = net.get_params_for("module"), net.module
    if isinstance(module, functools.partial):
        given, module = {**module.keywords, **given}, module.func
    names = getattr(module, "task_parameters", ())
    return {name: given[name] for name in names if np.ndim(given.get(name, 0)) == 1}
