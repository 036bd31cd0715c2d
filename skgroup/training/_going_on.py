"""Going on with what an earlier fit has built: what may change between fits, and what may not."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from skgroup.tasks import FARTHEST, MISSING, TargetScaling, task_label, weights_of_labels
from skgroup.training._arguments import same_value

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet
    from skgroup.training.training_data import TrainingData


def go_on(net: MultiTaskNet) -> None:
    """Refuse parameters that would build another module or optimizer than those to go on with;
    new options of the optimizer are set, as in skorch."""
    before, now = net.built_with_, building_parameters(net)
    options = signature(type(net.optimizer_)).parameters
    for key in sorted(before.keys() | now.keys()):
        if key in before and key in now and same_value(before[key], now[key]):
            continue
        option = key.removeprefix("optimizer__")
        plain = key == "lr" or option != key
        if key in now and plain and option in options:
            for group in net.optimizer_.param_groups:
                group[option] = now[key]
            continue
        raise ValueError(
            f"The '{key}' parameter must be what module and optimizer were built with, for "
            "partial_fit and warm_start to go on with them: "
            f"{before.get(key, 'not given')!r}. Got {now.get(key, 'not given')!r}; call fit, "
            "without warm_start, to build them anew."
        )
    net.built_with_ = now


def building_parameters(net: MultiTaskNet) -> dict[str, Any]:
    """The parameters that module and optimizer are built with."""
    names = ("lr", "module", "compile", "optimizer", "input_scaling", "balancing")
    prefixes = ("module__", "compile__", "optimizer__", "balancing__")
    return {
        key: value
        for key, value in vars(net).items()
        if (key in names or key.startswith(prefixes))
        and not key.startswith("optimizer__param_groups__")  # which skorch sets by itself
    }


def check_param_groups(net: MultiTaskNet) -> None:
    """Refuse groups of parameters that would have no effect."""
    given = net.get_params_for("optimizer").get("param_groups", [])
    rule = (
        "The 'optimizer__param_groups' parameter must be a list of pairs (pattern, options), "
        "each pattern matching names of parameters of the module"
    )
    pairs = isinstance(given, list | tuple) and all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], Mapping)
        for pair in given
    )
    if not pairs:
        raise ValueError(f"{rule}. Got {given!r}.")
    names = [name for name, _ in net.get_all_learnable_params()]
    for pattern, options in given:
        if net.selected_ is None and not fnmatch.filter(names, pattern):
            raise ValueError(f"{rule}. Got {pattern!r}, which matches none of {names}.")
        unknown = sorted(options.keys() - signature(net.optimizer).parameters.keys())
        if unknown and isinstance(net.optimizer, type):
            raise ValueError(
                f"{rule}, with options of {net.optimizer.__name__}. Got {unknown[0]!r} for "
                f"{pattern!r}."
            )


def check_same_tasks(net: MultiTaskNet, before: dict[str, Any]) -> None:
    """Refuse a warm start on other tasks, classes or inputs than those of the earlier fit.

    `before` holds the attributes of the net as that fit left them.
    """
    rule = "The 'warm_start' parameter goes on with the"
    if before["learned_"] != net.learned_:
        raise ValueError(
            f"{rule} module of the earlier fit, which was built for {before['learned_']}. Got X "
            f"and Y of {net.learned_}."
        )
    names = getattr(net, "task_names_in_", None)
    for t, (of_task, met) in enumerate(
        zip(net.task_classes_, before["task_classes_"], strict=True)
    ):
        if not np.array_equal(of_task, met):
            raise ValueError(
                f"{rule} classes of the earlier fit, which are {met.tolist()} for "
                f"{task_label(names, t)}. Got {of_task.tolist()}."
            )
        if (net.constant_codes_[t] == MISSING) != (before["constant_codes_"][t] == MISSING):
            raise ValueError(
                f"{rule} tasks that the earlier fit learned: those with a single observed class "
                f"must be the same. Got another {task_label(names, t)}."
            )


def check_same_scale(data: TrainingData, scaling: TargetScaling) -> None:
    """Refuse numbers that are of another size than those that the net was first trained on."""
    table = data.table
    if table.values is None:
        return
    with np.errstate(over="ignore"):
        far = np.abs(table.values - scaling.location) / scaling.scale > FARTHEST
    far &= weights_of_labels(data.weight, len(far)) > 0
    if far.any():
        sample, t = np.argwhere(far)[0]
        raise ValueError(
            f"{task_label(table.names, t)} of Y is a regression task, which must hold numbers like "
            f"those of the earlier fit, of mean {scaling.location[t]:.3g} and standard deviation "
            f"{scaling.scale[t]:.3g}. Got {table.values[sample, t]:.3g}; call fit, without "
            "warm_start, to learn others."
        )
