"""Building blocks of the architectures: many linear layers, experts, gates or towers as one.

Tensors of several units (tasks, experts, gates) have the shape (batch, n_units, width); where
all units are given the same input it is (batch, width), without copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skgroup.nn._dropout import Dropout

Activation = Callable[[], nn.Module]

#: Stands where the number of a task would, for what belongs to no task.
SHARED = -1


class TaskPart(nn.Module):
    """A part of a network whose weights belong to tasks, row by row.

    Rows stand in the order of the tasks that they belong to, `SHARED` last.

    Parameters
    ----------
    tasks : Tensor of shape (n_rows, n_owners) of int
        The tasks that each row of every parameter belongs to, or `SHARED`. A weight of a gate has
        two owners: the task of the gate and that of the expert.
    """

    def __init__(self, tasks: Tensor) -> None:
        super().__init__()
        self.tasks = tasks

    def weights_of_tasks(self, tasks: Tensor, outputs: Tensor) -> dict[str, Tensor]:
        """The weights of some tasks, see `MultiTaskNet.load_tasks`.

        Parameters
        ----------
        tasks : Tensor of shape (n_kept,)
            Positions of tasks, in the order that they have in that net.
        outputs : Tensor of shape (n_kept_outputs,)
            Positions of their logits.

        Returns
        -------
        weights : dict of str to Tensor
        """
        kept = torch.cat([tasks, torch.tensor([SHARED])])
        is_owner = self.tasks[..., None] == kept
        rows = is_owner.any(-1).all(-1).nonzero().flatten()
        places = is_owner[rows].long().argmax(-1)
        powers = len(kept) ** torch.arange(places.shape[1]).flip(0)
        rows = rows[(places * powers).sum(1).argsort(stable=True)]
        return {
            name: parameter.detach()[rows.to(parameter.device)]
            for name, parameter in self.named_parameters(recurse=False)
        }


def make_module(name: str, make: Any) -> nn.Module:
    """Call a class, or another callable, that makes a torch module."""
    rule = f"{name} must be a class or function that makes a torch module, as torch.nn.ReLU does."
    if isinstance(make, nn.Module) or not callable(make):
        raise ValueError(f"{rule} Got {make!r}.")
    try:
        made = make()
    except TypeError as error:
        raise ValueError(f"{rule} Got {make!r}, which raised: {error}") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"{rule} Got {make!r}, which made {made!r}.")
    return made


class BlockLinear(TaskPart):
    """Several linear layers computed as one, each initialised as `torch.nn.Linear` is.

    Parameters
    ----------
    n_in : int
        Features that each layer is given.
    slots : Tensor of shape (n_layers, n_out) of int
        Which row of `weight` gives each output; -1 for padding, where layers differ in width.
        The outputs at padding mean nothing.
    tasks : Tensor of shape (n_rows,) or (n_rows, n_owners) of int
        That the rows of `weight` belong to, see `TaskPart`.
    """

    slots: Tensor | None

    def __init__(self, n_in: int, slots: Tensor, tasks: Tensor) -> None:
        super().__init__(tasks.reshape(len(tasks), -1))
        n_rows = int(slots.max()) + 1
        self.n_layers, self.n_out = slots.shape
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_rows, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_rows).uniform_(-bound, bound))
        in_order = torch.equal(slots.flatten(), torch.arange(n_rows))
        padded = None if in_order else slots.clamp(min=0).flatten()
        self.register_buffer("slots", padded, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, n_layers, n_out) of inputs (batch, n_in) or (batch, n_units, n_in).

        As many consecutive layers share the input of a unit as there are layers to a unit.
        """
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if self.slots is not None:
            weight, bias = weight.index_select(0, self.slots), bias.index_select(0, self.slots)
        if x.dim() == 2:
            out = F.linear(x, weight, bias)
        else:
            n_units = x.shape[1]
            weight, bias = weight.unflatten(0, (n_units, -1)), bias.reshape(n_units, 1, -1)
            # What follows is faster on outputs that lie sample by sample than without this copy.
            out = torch.baddbmm(bias, x.transpose(0, 1), weight.mT).transpose(0, 1).flatten(1)
        return out.unflatten(1, (self.n_layers, self.n_out))


class BlockMLP(nn.Sequential):
    """Several multilayer perceptrons of equal shape computed as one.

    An activation follows every layer, the last too.

    Parameters
    ----------
    n_in : int
    widths : sequence of int
        Of the layers; with none, the inputs are the outputs.
    tasks : Tensor of shape (n_units,) of int
        The task of each perceptron, or `SHARED`.
    activation : callable
    dropout : float, default=0.0
        Probability of dropping an output of a layer.
    """

    def __init__(
        self,
        n_in: int,
        widths: Sequence[int],
        tasks: Tensor,
        activation: Activation,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for width in widths:
            slots = torch.arange(len(tasks) * width).reshape(len(tasks), width)
            self.append(BlockLinear(n_in, slots, tasks.repeat_interleave(width)))
            self.append(make_module("activation", activation))
            if dropout:
                self.append(Dropout(dropout))
            n_in = width
        self.n_out: int = n_in


class Gates(nn.Module):
    """Several softmax gates computed as one: each weighs the experts that it sees.

    Parameters
    ----------
    n_in : int
    hidden_units : sequence of int
        Of hidden layers in front of the linear layer.
    seen : Tensor of shape (n_gates, n_experts) of bool
        Which experts each gate weighs. Where their number differs, weights are padded by 0.
    tasks : Tensor of shape (n_gates,) of int
        The task of each gate, or `SHARED`.
    expert_tasks : Tensor of shape (n_experts,) of int
        The task of each expert, or `SHARED`.
    activation : callable
    """

    padding: Tensor | None

    def __init__(
        self,
        n_in: int,
        hidden_units: Sequence[int],
        seen: Tensor,
        tasks: Tensor,
        expert_tasks: Tensor,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.hidden = BlockMLP(n_in, hidden_units, tasks, activation)
        slots = padded_slots(seen.sum(1))
        gate, expert = seen.nonzero().unbind(1)
        owners = torch.stack([tasks[gate], expert_tasks[expert]], dim=1)
        self.out = BlockLinear(self.hidden.n_out, slots, owners)
        padding = slots < 0
        self.register_buffer("padding", padding if padding.any() else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weights (batch, n_gates, n_weights) of inputs (batch, n_in) or (batch, n_gates, n_in)."""
        logits = self.out(self.hidden(x))
        if self.padding is not None:
            logits = logits.masked_fill(self.padding, -torch.inf)
        return logits.softmax(dim=-1)


class Towers(nn.Module):
    """The towers of all tasks: a multilayer perceptron a task, which ends in its logits.

    Parameters
    ----------
    n_in : int
    task_outputs : sequence of int
        Logits of each task.
    hidden_units : sequence of int
    activation : callable
    dropout : float
    """

    kept: Tensor | None

    def __init__(
        self,
        n_in: int,
        task_outputs: Sequence[int],
        hidden_units: Sequence[int],
        activation: Activation,
        dropout: float,
    ) -> None:
        super().__init__()
        sizes = torch.tensor(task_outputs)
        tasks = torch.arange(len(sizes))
        self.hidden = BlockMLP(n_in, hidden_units, tasks, activation, dropout)
        slots = padded_slots(sizes)
        self.out = BlockLinear(self.hidden.n_out, slots, tasks.repeat_interleave(sizes))
        kept = (slots >= 0).flatten().nonzero().flatten()
        self.register_buffer("kept", kept if len(kept) < slots.numel() else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, n_outputs) of inputs (batch, n_in) or (batch, n_tasks, n_in)."""
        logits = self.out(self.hidden(x)).flatten(1)
        return logits if self.kept is None else logits.index_select(1, self.kept)


def padded_slots(sizes: Tensor) -> Tensor:
    """Consecutive numbers, `sizes[i]` in row i, -1 behind them: (n_rows, largest size)."""
    place = torch.arange(int(sizes.max()))
    starts = sizes.cumsum(0) - sizes
    return torch.where(place < sizes[:, None], starts[:, None] + place, -1)
