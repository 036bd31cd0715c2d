"""Which parameters of a module all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from skgroup.nn import TaskHeads

__all__ = ["RULE", "last_layer", "shared_parameters", "uncompiled"]

#: What a module has to say, and how; `{}` is its class.
RULE = (
    "The module {} must name the parameters that all tasks share: as an attribute or "
    "method 'shared_parameters' that gives some of its parameters, or by having its heads in "
    "a skgroup.nn.LinearHeads, everything outside of which is then shared. "
)


def shared_parameters(module: Any) -> dict[str, nn.Parameter]:
    """The parameters that the outputs of more than one task depend on, by name, frozen ones too.

    Those that the attribute or method `shared_parameters` of the module gives; without one, all
    outside of its `TaskHeads`.

    Raises
    ------
    ValueError
        If the module does not say which they are.
    """
    owner = type(module).__name__
    rule = RULE.format(owner)
    names = {p: name for name, p in module.named_parameters()}
    named = getattr(module, "shared_parameters", None)
    if named is None:
        heads = [part for part in module.modules() if isinstance(part, TaskHeads)]
        if not heads:
            raise ValueError(rule + f"{owner} has neither.")
        of_heads = {p for part in heads for p in part.parameters()}
        return {name: p for p, name in names.items() if p not in of_heads}
    parameters = list(named() if callable(named) else named)
    if not parameters or any(p not in names for p in parameters if isinstance(p, Tensor)):
        raise ValueError(rule + f"Got {len(parameters)} that are not all parameters of {owner}.")
    if not all(isinstance(p, nn.Parameter) for p in parameters):
        raise ValueError(rule + f"Got {parameters!r}.")
    return {names[p]: p for p in parameters}


def last_layer(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of parameters by name, in the order of the module, those of the last part that has a matrix
    of weights (or more than a matrix: a convolution); all, if none has."""
    owners = [name.rpartition(".")[0] for name, p in parameters.items() if p.dim() > 1]
    return {
        name: p
        for name, p in parameters.items()
        if not owners or name.rpartition(".")[0] == owners[-1]
    }


def uncompiled(module: Any) -> Any:
    """A module as it was before torch compiled it."""
    return getattr(module, "_orig_mod", module)
