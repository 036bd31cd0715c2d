"""What nets of a stack weighed after their best epochs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BestEpochs:
    """The weights of each net of a stack after the `n_epochs` epochs where it did best.

    Parameters of the stack have a first axis of nets.
    """

    def __init__(self, stack: nn.Module, n_nets: int, n_epochs: int) -> None:
        self._badness = torch.full((n_epochs, n_nets), torch.inf)
        self._weights = [p.detach().repeat(n_epochs, 1, 1) for p in stack.parameters()]

    def update(self, stack: nn.Module, badness: Tensor, counts: Tensor) -> None:
        """After an epoch: what it is worth for each net, (n_nets,), low is good, and for which
        nets it counts, (n_nets,) of bool."""
        worst, place = self._badness.max(dim=0)
        nets = torch.nonzero(counts & (badness < worst))[:, 0]
        self._badness[place[nets], nets] = badness[nets]
        rows = place[nets] * len(worst) + nets
        for kept, p in zip(self._weights, stack.parameters(), strict=True):
            kept[rows] = p.detach()[nets]

    @property
    def complete(self) -> bool:
        """Whether each net had so many epochs that were not infinitely bad, or NaN."""
        return bool(torch.isfinite(self._badness).all())

    def move_into(self, stack: nn.Module) -> None:
        """Make the stack one of `n_epochs` times as many nets: those that were kept."""
        for kept, p in zip(self._weights, stack.parameters(), strict=True):
            p.data, p.grad = kept, None
