"""MMoE, multi-gate mixture of experts, with one level and with several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skgroup.nn._blocks import Activation, BlockMLP, Gates, Towers
from skgroup.nn._network import (
    Extractor,
    LevelNetwork,
    Units,
    check_int,
    check_levels,
    check_widths,
)


class MultiLevelMMoE(LevelNetwork):
    """MMoE [1]_ with several levels of experts, as in the comparisons of AdaTT [2]_.

    Each expert of a level is given a mixture of the outputs of the level before, by a softmax
    gate of its own; at the last level each task has a gate. All gates see the input of the
    network.

    Parameters
    ----------
    task_outputs : sequence of int
        Logits of each task.
    n_features : int, default=None
        Number of features of the input. May be left out where `input_shape` is given.
    input_shape : tuple of int, default=None
        Shape of one sample.
    n_experts : int, default=6
        Experts of each level, all of them shared.
    expert_hidden_units : sequence of int or of sequences of int, default=(128, 64)
        An entry a level: the width of its experts, or the widths of their layers.
    gate_hidden_units : int or sequence of int, default=()
        Hidden layers of the gates.
    tower_hidden_units : int or sequence of int, default=(32,)
        Hidden layers of the towers.
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
    .. [1] J. Ma, Z. Zhao, X. Yi, J. Chen, L. Hong, E. H. Chi, "Modeling task relationships in
       multi-task learning with multi-gate mixture-of-experts", KDD 2018,
       doi:10.1145/3219819.3220007.
    .. [2] D. Li et al., "AdaTT: adaptive task-to-task fusion network for multitask learning in
       recommendations", KDD 2023, arXiv:2304.04959.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import MultiLevelMMoE
    >>> MultiLevelMMoE(task_outputs=(1, 1), n_features=5)(torch.zeros(4, 5)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        *,
        n_experts: int = 6,
        expert_hidden_units: Sequence[int | Sequence[int]] = (128, 64),
        gate_hidden_units: int | Sequence[int] = (),
        tower_hidden_units: int | Sequence[int] = (32,),
        dropout: float = 0.0,
        activation: Activation = nn.ReLU,
        extractor: Extractor = None,
    ) -> None:
        super().__init__(task_outputs, n_features, input_shape, extractor)
        n_experts = check_int("n_experts", n_experts, 1)
        level_widths = check_levels("expert_hidden_units", expert_hidden_units)
        gate = check_widths("gate_hidden_units", gate_hidden_units)
        tower = check_widths("tower_hidden_units", tower_hidden_units)
        self.units = Units(0, (), n_experts)
        self.levels = nn.ModuleList()
        n_in = self.n_inputs
        for number, widths in enumerate(level_widths, start=1):
            experts = BlockMLP(n_in, widths, self.units.tasks, activation, dropout)
            last = number == len(level_widths)
            tasks = torch.arange(self.n_tasks) if last else self.units.tasks
            seen = torch.ones(len(tasks), n_experts, dtype=torch.bool)
            gates = Gates(self.n_inputs, gate, seen, tasks, self.units.tasks, activation)
            self.levels.append(MixtureLevel(experts, gates))
            n_in = widths[-1]
        self.towers = Towers(n_in, self.task_outputs, tower, activation, dropout)

    def _fuse(self, x: Tensor) -> Tensor:
        h = x
        for level in self.levels:
            h = level(h, x)
        return h

    @torch.no_grad()
    def expert_weights(self, x: Tensor) -> list[Tensor]:
        """How much of each expert goes into each task, at every level.

        The gates of inner levels belong to experts of the next level, not to tasks. Their
        weights are followed through the levels: the share of task t that goes to expert e is
        the sum, over the experts of the next level, of t's share of those times the weight of
        e in their gates, taken sample by sample.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            The module runs in its present mode: call `eval` first, as before any prediction.

        Returns
        -------
        weights : list of Tensor of shape (n_tasks, n_experts), one a level
            Means over the batch; rows sum to 1. Experts stand in the order of `expert_names`.
        """
        x = self._features(x)
        levels: Any = self.levels
        shares = [levels[-1].gates(x)]
        for level in list(levels)[-2::-1]:
            shares.append(torch.bmm(shares[-1], level.gates(x)))
        return [share.mean(0) for share in reversed(shares)]


class MMoE(MultiLevelMMoE):
    """Multi-gate mixture of experts [1]_: all tasks share the experts, each has a gate.

        f_t = softmax(W_t x) · (e_1(x), …, e_n(x))

    Parameters
    ----------
    expert_hidden_units : int or sequence of int, default=(128, 64)
        Widths of the layers of each expert; there is one level.
    task_outputs, n_features, input_shape, n_experts, gate_hidden_units, tower_hidden_units, \
dropout, activation, extractor
        As in `MultiLevelMMoE`.

    Raises
    ------
    ValueError
        If a parameter is not as described, or neither `n_features` nor `input_shape` is given.

    References
    ----------
    .. [1] J. Ma, Z. Zhao, X. Yi, J. Chen, L. Hong, E. H. Chi, "Modeling task relationships in
       multi-task learning with multi-gate mixture-of-experts", KDD 2018,
       doi:10.1145/3219819.3220007.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import MMoE
    >>> MMoE(task_outputs=(1, 1), n_features=5, n_experts=3)(torch.zeros(4, 5)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        *,
        expert_hidden_units: int | Sequence[int] = (128, 64),
        **params: Any,
    ) -> None:
        layers = check_widths("expert_hidden_units", expert_hidden_units, empty=False)
        super().__init__(
            task_outputs, n_features, input_shape, expert_hidden_units=(layers,), **params
        )


class MixtureLevel(nn.Module):
    """A level of MMoE: experts, and gates that mix them.

    Parameters
    ----------
    experts : BlockMLP
    gates : Gates
        Of the tasks, or of the experts of the next level.
    """

    def __init__(self, experts: BlockMLP, gates: Gates) -> None:
        super().__init__()
        self.experts, self.gates = experts, gates

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """Mixtures (batch, n_gates, n_out) of experts on `h`, by gates on the input `x`."""
        return torch.bmm(self.gates(x), self.experts(h))

    def task_parts(self) -> list[nn.Module]:
        return [self.gates]
