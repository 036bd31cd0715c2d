"""PLE, progressive layered extraction; with one level CGC, customized gate control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from skgroup.nn._blocks import SHARED, Activation, Gates, Towers
from skgroup.nn._network import (
    Experts,
    Extractor,
    LevelNetwork,
    Units,
    check_int,
    check_levels,
    check_widths,
)


class PLE(LevelNetwork):
    """Progressive layered extraction [1]_: a task draws on its own experts and on shared ones.

    At each level, a task's softmax gate mixes its own experts and the shared ones, and the
    shared unit's gate mixes all, each gate on its own unit's input; the last level has no shared
    gate. At the first level, all units are given the same input. With a single level this is
    CGC, customized gate control.

    Parameters
    ----------
    task_outputs : sequence of int
        Logits of each task.
    n_features : int, default=None
        Number of features of the input. May be left out where `input_shape` is given.
    input_shape : tuple of int, default=None
        Shape of one sample.
    n_task_experts : int or sequence of int, one a task, default=1
        Experts of each task, at every level.
    n_shared_experts : int, default=1
        Experts of the shared unit, at least one.
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
    .. [1] H. Tang, J. Liu, M. Zhao, X. Gong, "Progressive layered extraction (PLE): a novel
       multi-task learning (MTL) model for personalized recommendations", RecSys 2020,
       doi:10.1145/3383313.3412236.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import PLE
    >>> PLE(task_outputs=(1, 1), n_features=5, n_task_experts=(2, 1))(torch.zeros(4, 5)).shape
    torch.Size([4, 2])
    """

    task_parameters: ClassVar[tuple[str, ...]] = ("n_task_experts",)

    def __init__(
        self,
        task_outputs: Sequence[int],
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        *,
        n_task_experts: int | Sequence[int] = 1,
        n_shared_experts: int = 1,
        expert_hidden_units: Sequence[int | Sequence[int]] = (128, 64),
        gate_hidden_units: int | Sequence[int] = (),
        tower_hidden_units: int | Sequence[int] = (32,),
        dropout: float = 0.0,
        activation: Activation = nn.ReLU,
        extractor: Extractor = None,
    ) -> None:
        super().__init__(task_outputs, n_features, input_shape, extractor)
        n_shared_experts = check_int("n_shared_experts", n_shared_experts, 1)
        self.units = Units(self.n_tasks, n_task_experts, n_shared_experts)
        level_widths = check_levels("expert_hidden_units", expert_hidden_units)
        gate = check_widths("gate_hidden_units", gate_hidden_units)
        tower = check_widths("tower_hidden_units", tower_hidden_units)
        self.levels = nn.ModuleList()
        n_in = self.n_inputs
        for number, widths in enumerate(level_widths, start=1):
            experts = Experts(n_in, widths, self.units, activation, dropout)
            tasks, owners = torch.arange(self.n_tasks), self.units.tasks
            gates = Gates(n_in, gate, _seen(self.units), tasks, owners, activation)
            shared_gate = None
            if number < len(level_widths):
                all_seen = torch.ones(1, self.units.n_experts, dtype=torch.bool)
                no_task = torch.tensor([SHARED])
                shared_gate = Gates(n_in, gate, all_seen, no_task, owners, activation)
            self.levels.append(ExtractionLevel(experts, gates, shared_gate, self.units))
            n_in = widths[-1]
        self.towers = Towers(n_in, self.task_outputs, tower, activation, dropout)


def _seen(units: Units) -> Tensor:
    """Which experts each task sees, (n_tasks, n_experts)."""
    tasks = torch.arange(units.n_tasks)[:, None]
    return (units.owner == tasks) | (units.owner == units.n_tasks)


class ExtractionLevel(nn.Module):
    """A level of PLE: experts, and for each unit a mixture of those that it sees.

    Parameters
    ----------
    experts : Experts
    gates : Gates
        Of the tasks.
    shared_gate : Gates or None
        Of the shared unit, over all experts; None at the last level.
    units : Units
    """

    kept: Tensor | None
    positions: Tensor

    def __init__(
        self, experts: Experts, gates: Gates, shared_gate: Gates | None, units: Units
    ) -> None:
        super().__init__()
        self.experts, self.gates, self.shared_gate = experts, gates, shared_gate
        self.n_tasks, self.n_experts = units.n_tasks, units.n_experts
        kept = None if gates.padding is None else (~gates.padding).flatten().nonzero().flatten()
        self.register_buffer("kept", kept, persistent=False)
        positions = _seen(units).flatten().nonzero().flatten()
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        """Fused (batch, n_units or n_tasks, n_out) of (batch, n_in) or (batch, n_units, n_in)."""
        weights = self._task_weights(h)
        if self.shared_gate is not None:
            of_shared = self.shared_gate(h if h.dim() == 2 else h[..., self.n_tasks :, :])
            weights = torch.cat([weights, of_shared], dim=1)
        return torch.bmm(weights, self.experts(h))

    def _task_weights(self, h: Tensor) -> Tensor:
        """Weights (batch, n_tasks, n_experts), 0 where a task does not see an expert.

        One product with those zeros is faster than several without.
        """
        seen = self.gates(h if h.dim() == 2 else h[..., : self.n_tasks, :]).flatten(1)
        if self.kept is not None:
            seen = seen.index_select(1, self.kept)
        weights = seen.new_zeros(seen.shape[0], self.n_tasks * self.n_experts)
        weights = weights.index_copy(1, self.positions, seen)
        return weights.unflatten(1, (self.n_tasks, self.n_experts))

    def mean_weights(self, h: Tensor) -> Tensor:
        """Mean gate weights of the tasks, (n_tasks, n_experts)."""
        return self._task_weights(h).mean(0)

    def task_parts(self) -> list[nn.Module]:
        return [self.gates]
