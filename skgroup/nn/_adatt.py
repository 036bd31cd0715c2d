"""AdaTT, with a shared unit and without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skgroup.nn._blocks import SHARED, Activation, Gates, TaskPart, Towers
from skgroup.nn._network import (
    Experts,
    Extractor,
    LevelNetwork,
    Units,
    check_int,
    check_levels,
    check_widths,
)


class AdaTT(LevelNetwork):
    """Adaptive task-to-task fusion [1]_: every task has experts, and draws on those of all.

    At each level, task t fuses the outputs E of all experts by a softmax gate on its own input,
    and adds its own experts in weights of their own (the native term):

        f_t = softmax(W_t h_t) · E + v_t · E_t

    A shared unit with `n_shared_experts` does the same, but for the last level, where it only
    supplies experts. At the first level, all units are given the same input. v_t is learned,
    from uniform(±√(1/m)) for m experts; where every unit has a single expert, it is 1.

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
        Experts of the shared unit; without any there is no such unit.
    expert_hidden_units : sequence of int or of sequences of int, default=(128, 64)
        An entry a level: the width of its experts, or the widths of their layers.
    gate_hidden_units : int or sequence of int, default=()
        Hidden layers of the gates.
    tower_hidden_units : int or sequence of int, default=(32,)
        Hidden layers of the towers.
    native : bool, default=True
        False leaves the native term out (for ablations).
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
    .. [1] D. Li et al., "AdaTT: adaptive task-to-task fusion network for multitask learning in
       recommendations", KDD 2023, arXiv:2304.04959.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import AdaTT
    >>> net = AdaTT(task_outputs=(1, 1, 3), n_features=5, n_task_experts=2)
    >>> net(torch.zeros(4, 5)).shape
    torch.Size([4, 5])
    >>> net.fused(torch.zeros(4, 5)).shape
    torch.Size([4, 3, 64])
    >>> [tuple(weights.shape) for weights in net.expert_weights(torch.zeros(4, 5))]
    [(3, 7), (3, 7)]
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
        native: bool = True,
        dropout: float = 0.0,
        activation: Activation = nn.ReLU,
        extractor: Extractor = None,
    ) -> None:
        super().__init__(task_outputs, n_features, input_shape, extractor)
        n_shared_experts = check_int("n_shared_experts", n_shared_experts, 0)
        if not isinstance(native, bool):
            raise ValueError(f"native must be True or False. Got {native!r}.")
        self.units = Units(self.n_tasks, n_task_experts, n_shared_experts)
        level_widths = check_levels("expert_hidden_units", expert_hidden_units)
        gate = check_widths("gate_hidden_units", gate_hidden_units)
        tower = check_widths("tower_hidden_units", tower_hidden_units)
        self.levels = nn.ModuleList()
        n_in = self.n_inputs
        for number, widths in enumerate(level_widths, start=1):
            # At the last level the shared unit only supplies experts.
            n_fusing = self.n_tasks + (n_shared_experts > 0 and number < len(level_widths))
            experts = Experts(n_in, widths, self.units, activation, dropout)
            # The shared unit, which stands behind the tasks, fuses for no task.
            tasks = torch.arange(self.n_tasks + 1)[:n_fusing]
            tasks = tasks.masked_fill(tasks == self.n_tasks, SHARED)
            seen = torch.ones(n_fusing, self.units.n_experts, dtype=torch.bool)
            gates = Gates(n_in, gate, seen, tasks, self.units.tasks, activation)
            weights = NativeWeights(self.units, n_fusing) if native else None
            self.levels.append(FusionLevel(experts, gates, weights, self.n_tasks))
            n_in = widths[-1]
        self.towers = Towers(n_in, self.task_outputs, tower, activation, dropout)


class AdaTTSp(AdaTT):
    """AdaTT [1]_ without experts that belong to no task: its variant AdaTT-sp.

    Parameters
    ----------
    task_outputs, n_features, input_shape, n_task_experts, expert_hidden_units, \
gate_hidden_units, tower_hidden_units, native, dropout, activation, extractor
        As in `AdaTT`.

    Raises
    ------
    ValueError
        If a parameter is not as described, or neither `n_features` nor `input_shape` is given.

    References
    ----------
    .. [1] D. Li et al., "AdaTT: adaptive task-to-task fusion network for multitask learning in
       recommendations", KDD 2023, arXiv:2304.04959.

    Examples
    --------
    >>> import torch
    >>> from skgroup.nn import AdaTTSp
    >>> AdaTTSp(task_outputs=(1, 1), n_features=5)(torch.zeros(4, 5)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        n_features: int | None = None,
        input_shape: Sequence[int] | None = None,
        **params: Any,
    ) -> None:
        super().__init__(task_outputs, n_features, input_shape, n_shared_experts=0, **params)


class NativeWeights(TaskPart):
    """How much each unit adds of its own experts: v, as a matrix (n_units, n_experts).

    Parameters
    ----------
    units : Units
    n_fusing : int
        The first so many units have such weights.
    """

    native: Tensor

    def __init__(self, units: Units, n_fusing: int) -> None:
        fusing = units.owner < n_fusing
        super().__init__(units.tasks[fusing][:, None])
        self.experts = units.tasks
        native = units.owner == torch.arange(n_fusing)[:, None]
        self.register_buffer("native", native.to(torch.get_default_dtype()), persistent=False)
        self.n_others = int((~fusing).sum())
        self.fixed = len(units.owner) == len(units.owner.unique())
        if self.fixed:
            return
        bound = units.owner.bincount()[units.owner[fusing]].rsqrt()
        self.weight = nn.Parameter(bound * (2 * torch.rand(len(bound)) - 1))

    def forward(self) -> Tensor:
        """The matrix, 0 where an expert is not the unit's own."""
        if self.fixed:
            return self.native
        return self.native * F.pad(self.weight, [0, self.n_others])

    def weights_of_tasks(self, tasks: Tensor, outputs: Tensor) -> dict[str, Tensor]:
        """The weights of some tasks, see `MultiTaskNet.load_tasks`.

        There are none where each unit is left with a single expert: there they are 1.
        """
        kept = self.experts[torch.isin(self.experts, torch.cat([tasks, torch.tensor([SHARED])]))]
        one_each = len(kept) == len(kept.unique())
        return {} if one_each else super().weights_of_tasks(tasks, outputs)


class FusionLevel(nn.Module):
    """A level of AdaTT: experts, and for each unit that fuses a mixture of all of them.

    Parameters
    ----------
    experts : Experts
    gates : Gates
        Of the units that fuse.
    native : NativeWeights or None
    n_tasks : int
    """

    def __init__(
        self, experts: Experts, gates: Gates, native: NativeWeights | None, n_tasks: int
    ) -> None:
        super().__init__()
        self.experts, self.gates, self.native = experts, gates, native
        self.n_tasks = n_tasks

    def forward(self, h: Tensor) -> Tensor:
        """Fused (batch, n_fusing, n_out) of inputs (batch, n_in) or (batch, n_units, n_in)."""
        return torch.bmm(self._weights(h), self.experts(h))

    def _weights(self, h: Tensor) -> Tensor:
        weights = self.gates(h if h.dim() == 2 else h[..., : self.gates.out.n_layers, :])
        return weights if self.native is None else weights + self.native()

    def mean_weights(self, h: Tensor) -> Tensor:
        """Mean gate weights of the tasks plus native weights, (n_tasks, n_experts)."""
        return self._weights(h)[:, : self.n_tasks].mean(0)

    def task_parts(self) -> list[nn.Module]:
        return [self.gates] if self.native is None else [self.gates, self.native]
