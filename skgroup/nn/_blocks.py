"""What the architectures are built from: many linear layers, experts, gates or towers as one.

Tensors of several units (tasks, experts, gates) have the shape (batch, n_units, width); where
all units are given the same input it is (batch, width), without copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "SHARED",
    "Activation",
    "BlockLinear",
    "BlockMLP",
    "Gates",
    "TaskPart",
    "Towers",
    "labels_of_units",
    "made_by",
    "padded_slots",
]

Activation = Callable[[], nn.Module]

#: Stands in labels where a task would, for what belongs to no task.
SHARED = -1


class TaskPart(nn.Module):
    """A part of a network whose parameters are made of blocks of rows that belong to tasks.

    `MultiTaskNet` calls `reorder_tasks` on every part of a new module that has it, so that a
    task starts from the same weights wherever it stands in `Y`; and `take_tasks` for the weights
    of a net of more tasks.

    Parameters
    ----------
    labels : Tensor of shape (n_blocks, 3) of int
        Whose each block of rows is: two tasks (`SHARED` where there is none; the weight of a
        gate belongs to its task and to the task of the expert) and a number. No two are equal.
        Each parameter of the part has n_blocks blocks of equally many rows.
    """

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.labels = labels

    def reorder_tasks(self, source: Tensor) -> None:
        """Exchange the initial weights: task t gets those that it would have at another place.

        Parameters
        ----------
        source : Tensor of shape (n_tasks,)
            A permutation: the place of each task.
        """
        rows = torch.unique(self._renamed(source), dim=0, return_inverse=True)[1]
        with torch.no_grad():
            for parameter in self.parameters(recurse=False):
                parameter.copy_(_take(self, parameter, rows).reshape(parameter.shape))

    def take_tasks(self, other: TaskPart, tasks: Tensor) -> dict[str, Tensor]:
        """The parameters that this part has in a net of more tasks.

        Parameters
        ----------
        other : TaskPart
            The same part of that net.
        tasks : Tensor of shape (n_tasks,)
            Which of its tasks are the tasks of this net.

        Returns
        -------
        dict of str to Tensor

        Raises
        ------
        ValueError
            If the other part lacks some rows, as it has fewer experts or outputs.
        """
        known = len(other.labels)
        both = torch.cat([other.labels, self._renamed(tasks)])
        kind = torch.unique(both, dim=0, return_inverse=True)[1]
        position = torch.full((len(both),), -1).index_put((kind[:known],), torch.arange(known))
        rows = position[kind[known:]]
        theirs = dict(other.named_parameters(recurse=False))
        own = dict(self.named_parameters(recurse=False))
        if (rows < 0).any() or theirs.keys() != own.keys():
            raise ValueError(
                "a task must have as many experts and outputs there as here "
                f"({type(self).__name__})."
            )
        return {
            name: _take(other, theirs[name].detach(), rows).reshape(parameter.shape)
            for name, parameter in own.items()
        }

    def _renamed(self, tasks: Tensor) -> Tensor:
        names = torch.cat([torch.as_tensor(tasks), torch.tensor([SHARED])])
        return torch.cat([names[self.labels[:, :2]], self.labels[:, 2:]], dim=1)


def _take(part: TaskPart, parameter: Tensor, rows: Tensor) -> Tensor:
    return parameter.reshape(len(part.labels), -1)[rows.to(parameter.device)]


def made_by(name: str, make: Any) -> nn.Module:
    """The module that a class, or another callable, makes."""
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


def labels_of_units(units: Sequence[int] | Tensor) -> Tensor:
    """Labels of one block a unit, numbered within the unit: (n_units, 3)."""
    units = torch.as_tensor(units, dtype=torch.long)
    same = units[:, None] == units
    number = same.tril(-1).sum(1)
    return torch.stack([units, torch.full_like(units, SHARED), number], dim=1)


class BlockLinear(TaskPart):
    """Linear layers side by side, initialised as `torch.nn.Linear` does each alone.

    Parameters
    ----------
    n_in : int
        Features that each layer is given.
    slots : Tensor of shape (n_layers, n_out) of int
        Which row of `weight` gives each output; -1 for padding, where layers differ in width.
        The outputs at padding mean nothing.
    labels : Tensor of shape (n_blocks, 3) of int
        Of blocks of rows of `weight`, see `TaskPart`.
    """

    slots: Tensor | None

    def __init__(self, n_in: int, slots: Tensor, labels: Tensor) -> None:
        super().__init__(labels)
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
    """Multilayer perceptrons of equal shape side by side, an activation behind every layer.

    Parameters
    ----------
    n_in : int
    widths : sequence of int
        Of the layers; with none, the inputs are the outputs.
    labels : Tensor of shape (n_units, 3) of int
        Of the perceptrons, see `TaskPart`.
    activation : callable
    dropout : float, default=0.0
        Probability of dropping an output of a layer.
    """

    def __init__(
        self,
        n_in: int,
        widths: Sequence[int],
        labels: Tensor,
        activation: Activation,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(dropout, Real) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be a number from 0 to 1. Got {dropout!r}.")
        for width in widths:
            slots = torch.arange(len(labels) * width).reshape(len(labels), width)
            self.append(BlockLinear(n_in, slots, labels))
            self.append(made_by("activation", activation))
            if dropout:
                self.append(nn.Dropout(dropout))
            n_in = width
        self.n_out: int = n_in


class Gates(nn.Module):
    """Softmax gates side by side.

    Parameters
    ----------
    n_in : int
    hidden_units : sequence of int
        Of hidden layers in front of the linear layer.
    slots : Tensor of shape (n_gates, n_weights) of int
        Rows as in `BlockLinear`; the weight at padding (-1) is 0.
    labels : Tensor of shape (n_rows, 3) of int
        Of every weight, see `TaskPart`; the first task is that of the gate.
    activation : callable
    """

    padding: Tensor | None

    def __init__(
        self,
        n_in: int,
        hidden_units: Sequence[int],
        slots: Tensor,
        labels: Tensor,
        activation: Activation,
    ) -> None:
        super().__init__()
        gates = labels_of_units(labels[slots[:, 0], 0])
        self.hidden = BlockMLP(n_in, hidden_units, gates, activation)
        self.out = BlockLinear(self.hidden.n_out, slots, labels)
        padding = slots < 0
        self.register_buffer("padding", padding if padding.any() else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weights (batch, n_gates, n_weights) of inputs (batch, n_in) or (batch, n_gates, n_in)."""
        logits = self.out(self.hidden(x))
        if self.padding is not None:
            logits = logits.masked_fill(self.padding, -torch.inf)
        return logits.softmax(dim=-1)


class Towers(nn.Module):
    """The towers of all tasks: multilayer perceptrons that end in the logits.

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
        self.hidden = BlockMLP(n_in, hidden_units, labels_of_units(tasks), activation, dropout)
        slots = padded_slots(sizes)
        labels = labels_of_units(tasks.repeat_interleave(sizes))
        self.out = BlockLinear(self.hidden.n_out, slots, labels)
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
