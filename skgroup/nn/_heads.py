"""Task heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LinearHeads"]


class LinearHeads(nn.Linear):
    """The linear heads of all tasks, as one layer.

    `MultiTaskNet` calls `reorder_outputs` on every part of a new module that has it, with an
    order of the outputs that depends on the labels of the tasks and not on their positions. So
    a task starts from the same weights wherever it stands in `Y`, and permuting the tasks
    permutes what is learned.
    """

    def reorder_outputs(self, source: Tensor) -> None:
        """Exchange the initial weights: output i gets those of output `source[i]`.

        Parameters
        ----------
        source : Tensor of shape (n_outputs,)
            A permutation.
        """
        with torch.no_grad():
            self.weight.copy_(self.weight[source])
            if self.bias is not None:
                self.bias.copy_(self.bias[source])
