"""The shared-trunk multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from skgroup.nn._dropout import Dropout
from skgroup.nn._heads import LinearHeads
from skgroup.nn._network import check_widths


class MLP(nn.Module):
    """Hard parameter sharing: one multilayer perceptron for all tasks, a linear head a task.

    All heads are one linear layer, so that many tasks cost one matrix product.

    Parameters
    ----------
    n_outputs : int
        Number of logits of all tasks together.
    n_features : int, default=None
        Number of features of the input. May be left out where `input_shape` is given.
    input_shape : tuple of int, default=None
        Shape of one sample; inputs of more than one dimension are flattened.
    hidden_units : int or sequence of int, default=(128, 64)
        Width of each hidden layer, an int being one; empty for linear models.
    dropout : float, default=0.0
        Probability of dropping a unit, before each linear layer but the first.
    activation : callable, default=torch.nn.ReLU
        Makes the module that follows each hidden layer.

    Raises
    ------
    ValueError
        If neither `n_features` nor `input_shape` is given, or a width is below 1.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import MLP
    >>> MLP(n_features=5, n_outputs=3)(torch.zeros(2, 5)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        n_outputs: int,
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        hidden_units: int | Sequence[int] = (128, 64),
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        if n_features is None:
            if input_shape is None:
                raise ValueError("MLP needs n_features or input_shape. Got neither.")
            n_features = math.prod(input_shape)
        widths = [n_features, *check_widths("hidden_units", hidden_units)]
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), activation()]
            if dropout:
                layers.append(Dropout(dropout))
        self.trunk = nn.Sequential(*layers)
        self.heads = LinearHeads(widths[-1], n_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, n_outputs) of inputs (batch, ...)."""
        return self.heads(self.trunk(x))
