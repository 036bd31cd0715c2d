"""Gradients along several slopes of one output, at once where torch can."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["batched_or_error", "convolves", "gradients_along"]


def gradients_along(
    outputs: Tensor, parameters: Sequence[Tensor], slopes: Tensor, *, batched: bool
) -> list[Tensor | None]:
    """Gradients (n_slopes, ...) of Σ outputs · slope for each of some slopes (n_slopes, ...), a
    tensor a parameter, None where the outputs do not depend on it. The graph is kept."""
    options: dict[str, Any] = {"retain_graph": True, "allow_unused": True}
    if batched:
        return list(
            torch.autograd.grad(outputs, parameters, slopes, is_grads_batched=True, **options)
        )
    of_slopes = [torch.autograd.grad(outputs, parameters, s, **options) for s in slopes]
    of_parameters: Any = zip(*of_slopes, strict=True)
    return [None if of_p[0] is None else torch.stack(of_p) for of_p in of_parameters]


def convolves(module: nn.Module) -> bool:
    """Whether a module has convolutions, which several parameters or slopes at once slow down."""
    return any(isinstance(part, nn.modules.conv._ConvNd) for part in module.modules())


@contextmanager
def batched_or_error() -> Iterator[None]:
    """Inside the block, torch's warning that it only loops over a batch is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        yield
