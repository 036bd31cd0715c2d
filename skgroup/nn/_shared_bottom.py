"""The shared bottom: one multilayer perceptron, a tower a task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skgroup.nn._blocks import SHARED, Activation, BlockMLP, Towers
from skgroup.nn._network import Extractor, TowerNetwork, check_widths


class SharedBottom(TowerNetwork):
    """Hard parameter sharing [1]_: one multilayer perceptron for all tasks, and a tower a task.

    `MLP` is the same without hidden layers in the towers.

    Parameters
    ----------
    task_outputs : sequence of int
        Logits of each task.
    n_features : int, default=None
        Number of features of the input. May be left out where `input_shape` is given.
    input_shape : tuple of int, default=None
        Shape of one sample.
    hidden_units : int or sequence of int, default=(128, 64)
        Widths of the shared layers.
    tower_hidden_units : int or sequence of int, default=(32,)
        Hidden layers of the towers.
    dropout : float, default=0.0
        Probability of dropping an output of a hidden layer.
    activation : callable, default=torch.nn.ReLU
        Makes the module that follows each hidden layer.
    extractor : torch.nn.Module, or a callable that makes one, default=None
        Stands in front; a module is copied. What it gives is flattened.

    Raises
    ------
    ValueError
        If a parameter is not as described, or neither `n_features` nor `input_shape` is given.

    References
    ----------
    .. [1] R. Caruana, "Multitask learning", Machine Learning 28, 1997,
       doi:10.1023/A:1007379606734.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import SharedBottom
    >>> SharedBottom(task_outputs=(1, 1), n_features=5)(torch.zeros(4, 5)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        *,
        hidden_units: int | Sequence[int] = (128, 64),
        tower_hidden_units: int | Sequence[int] = (32,),
        dropout: float = 0.0,
        activation: Activation = nn.ReLU,
        extractor: Extractor = None,
    ) -> None:
        super().__init__(task_outputs, n_features, input_shape, extractor)
        widths = check_widths("hidden_units", hidden_units, empty=False)
        tower = check_widths("tower_hidden_units", tower_hidden_units)
        bottom = torch.tensor([SHARED])
        self.bottom = BlockMLP(self.n_inputs, widths, bottom, activation, dropout)
        self.towers = Towers(widths[-1], self.task_outputs, tower, activation, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, n_outputs) of inputs (batch, ...): those of each task side by side."""
        return self.towers(self._bottom(x))

    def fused(self, x: Tensor) -> Tensor:
        """What the towers are given, (batch, n_tasks, width): the same for all tasks."""
        return self._bottom(x).unsqueeze(1).expand(-1, self.n_tasks, -1)

    def _bottom(self, x: Tensor) -> Tensor:
        return self.bottom(self._features(x)).squeeze(1)
