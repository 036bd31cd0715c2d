"""Cross-stitch networks."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from skgroup.nn._blocks import Activation, Towers
from skgroup.nn._network import (
    Experts,
    Extractor,
    LevelNetwork,
    Units,
    check_levels,
    check_widths,
)


class CrossStitch(LevelNetwork):
    """Cross-stitch network [1]_: a network a task; behind every level, tasks mix their features.

    f_t = Σ_s A[t, s] E_s, with a learned matrix A a level and the expert E_s of task s.

    Parameters
    ----------
    task_outputs : sequence of int
        Logits of each task.
    n_features : int, default=None
        Number of features of the input. May be left out where `input_shape` is given.
    input_shape : tuple of int, default=None
        Shape of one sample.
    expert_hidden_units : sequence of int or of sequences of int, default=(128, 64)
        An entry a level: the width of its experts, or the widths of their layers.
    tower_hidden_units : int or sequence of int, default=(32,)
        Hidden layers of the towers.
    own_share : float in [0, 1], default=0.9
        What A starts from: this on the diagonal, the rest spread evenly over the row.
    dropout : float, default=0.0
        Probability of dropping an output of a layer of experts or towers.
    activation : callable, default=torch.nn.ReLU
        Makes the module that follows each hidden layer, and each layer of experts.
    extractor : torch.nn.Module, or a callable that makes one, default=None
        Stands in front; a module is copied. What it gives is flattened.

    Raises
    ------
    ValueError
        If a parameter is not as described, or neither `n_features` nor `input_shape` is given.

    References
    ----------
    .. [1] I. Misra, A. Shrivastava, A. Gupta, M. Hebert, "Cross-stitch networks for multi-task
       learning", CVPR 2016, arXiv:1604.03539.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import CrossStitch
    >>> CrossStitch(task_outputs=(1, 1), n_features=5)(torch.zeros(4, 5)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        *,
        expert_hidden_units: Sequence[int | Sequence[int]] = (128, 64),
        tower_hidden_units: int | Sequence[int] = (32,),
        own_share: float = 0.9,
        dropout: float = 0.0,
        activation: Activation = nn.ReLU,
        extractor: Extractor = None,
    ) -> None:
        super().__init__(task_outputs, n_features, input_shape, extractor)
        if not isinstance(own_share, Real) or not 0 <= own_share <= 1:
            raise ValueError(f"own_share must be a number from 0 to 1. Got {own_share!r}.")
        level_widths = check_levels("expert_hidden_units", expert_hidden_units)
        tower = check_widths("tower_hidden_units", tower_hidden_units)
        self.units = Units(self.n_tasks, 1, 0)
        self.levels = nn.ModuleList()
        n_in = self.n_inputs
        for widths in level_widths:
            experts = Experts(n_in, widths, self.units, activation, dropout)
            self.levels.append(StitchLevel(experts, Stitch(self.n_tasks, own_share)))
            n_in = widths[-1]
        self.towers = Towers(n_in, self.task_outputs, tower, activation, dropout)


class Stitch(nn.Module):
    """The matrix that says how much each task takes from each: `weight` (n_tasks, n_tasks)."""

    def __init__(self, n_tasks: int, own_share: float) -> None:
        super().__init__()
        if n_tasks == 1:
            start = torch.ones(1, 1)
        else:
            start = torch.full((n_tasks, n_tasks), (1 - own_share) / (n_tasks - 1))
            start.fill_diagonal_(own_share)
        self.weight = nn.Parameter(start)

    def forward(self, experts: Tensor) -> Tensor:
        """Mixtures (batch, n_tasks, width) of the experts (batch, n_tasks, width)."""
        return torch.matmul(self.weight, experts)

    def weights_of_tasks(self, tasks: Tensor, outputs: Tensor) -> dict[str, Tensor]:
        """The weights of some tasks, see `MultiTaskNet.load_tasks`."""
        return {"weight": self.weight.detach()[tasks][:, tasks]}


class StitchLevel(nn.Module):
    """A level of a cross-stitch network: an expert a task, and the matrix that mixes them.

    Parameters
    ----------
    experts : Experts
        One a task.
    stitch : Stitch
    """

    def __init__(self, experts: Experts, stitch: Stitch) -> None:
        super().__init__()
        self.experts, self.stitch = experts, stitch

    def forward(self, h: Tensor) -> Tensor:
        """Mixtures (batch, n_tasks, n_out) of inputs (batch, n_in) or (batch, n_tasks, n_in)."""
        return self.stitch(self.experts(h))

    def mean_weights(self, h: Tensor) -> Tensor:
        """The matrix, which does not depend on the inputs."""
        return self.stitch.weight.clone()

    def task_parts(self) -> list[nn.Module]:
        return [self.stitch]
