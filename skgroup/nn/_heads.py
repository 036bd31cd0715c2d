"""The heads of all tasks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TaskHeads(nn.Module):
    """The last layer of a net, whose parameters hold a row a logit: the first axis.

    A module of yours that ends in one such layer can be trained in stacks and started from a net
    of more tasks, and relations know which of its parameters the tasks share.
    """

    def weights_of_tasks(self, tasks: Tensor, outputs: Tensor) -> dict[str, Tensor]:
        """The weights of some tasks, see `MultiTaskNet.load_tasks`.

        Parameters
        ----------
        tasks : Tensor of shape (n_kept,)
            Positions of tasks.
        outputs : Tensor of shape (n_kept_outputs,)
            Positions of their logits.

        Returns
        -------
        weights : dict of str to Tensor
        """
        return {name: parameter.detach()[outputs] for name, parameter in self.named_parameters()}


class LinearHeads(TaskHeads, nn.Linear):
    """The linear heads of all tasks, as one layer: a `torch.nn.Linear` with a row a logit."""


class MemberHeads(TaskHeads):
    """The linear heads of all members of a net, of which no two share a weight.

    Parameters
    ----------
    n_in : int
        Features of each member.
    n_outputs : int
        Logits of all tasks.
    n_members : int
    """

    def __init__(self, n_in: int, n_outputs: int, n_members: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        shape = (n_outputs, n_members)
        self.weight = nn.Parameter(torch.empty(*shape, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

    def forward(self, h: Tensor) -> Tensor:
        """Logits (batch, n_members, n_outputs) of features (batch, n_members, n_in)."""
        logits = torch.bmm(h.transpose(0, 1), self.weight.permute(1, 2, 0))
        return logits.transpose(0, 1) + self.bias.T
