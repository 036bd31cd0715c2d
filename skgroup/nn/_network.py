"""What the architectures share: an input, levels of units, towers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skgroup.nn._blocks import (
    SHARED,
    Activation,
    BlockMLP,
    Towers,
    make_module,
)

Extractor = nn.Module | Callable[[], nn.Module] | None


def check_int(name: str, value: Any, least: int) -> int:
    """The value as an int; ValueError if it is none, or below `least`."""
    if not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{name} must be an int >= {least}. Got {value!r}.")
    return int(value)


def check_widths(
    name: str, value: Any, *, empty: bool = True, entry: str = "layer"
) -> tuple[int, ...]:
    """The widths of layers as a tuple; an int is one layer."""
    widths = (value,) if isinstance(value, Integral) else value
    if not _is_sequence(widths) or not all(isinstance(w, Integral) and int(w) >= 1 for w in widths):
        raise ValueError(f"{name} must be ints >= 1. Got {value!r}.")
    if len(widths) == 0 and not empty:
        raise ValueError(f"{name} must name at least one {entry}. Got {value!r}.")
    return tuple(int(w) for w in widths)


def check_levels(name: str, value: Any) -> list[tuple[int, ...]]:
    """The widths of the layers of each level, as a list of tuples."""
    if not _is_sequence(value) or len(value) == 0:
        raise ValueError(
            f"{name} must have an entry a level, an int or a sequence of ints, and at least one "
            f"level. Got {value!r}."
        )
    return [check_widths(f"{name}[{i}]", level, empty=False) for i, level in enumerate(value)]


def _is_sequence(value: Any) -> bool:
    """Whether it holds entries in an order; arrays and tensors of no axes do not."""
    ordered = isinstance(value, Iterable) and hasattr(value, "__getitem__")
    return ordered and not isinstance(value, str | Mapping) and getattr(value, "ndim", 1) > 0


class Units:
    """The units of a level: one a task, with its experts, and perhaps one of shared experts.

    Parameters
    ----------
    n_tasks : int
    n_task_experts : int or sequence of int
        Experts of each task.
    n_shared_experts : int
        Experts of the shared unit; 0 for none.

    Attributes
    ----------
    counts : Tensor of shape (n_tasks,)
        Experts of each task.
    owner : Tensor of shape (n_experts,)
        Unit of each expert: by task, then the shared ones (unit n_tasks).
    tasks : Tensor of shape (n_experts,)
        Task of each expert, or `SHARED`.
    """

    def __init__(self, n_tasks: int, n_task_experts: Any, n_shared_experts: int) -> None:
        name = "n_task_experts"
        if not _is_sequence(n_task_experts):
            n_task_experts = [check_int(name, n_task_experts, 1)] * n_tasks
        if len(n_task_experts) != n_tasks:
            raise ValueError(
                f"{name} must be an int or have an entry for each of the {n_tasks} tasks. Got "
                f"{n_task_experts!r}."
            )
        counts = [check_int(f"{name}[{t}]", n, 1) for t, n in enumerate(n_task_experts)]
        self.n_tasks = n_tasks
        sizes = torch.tensor([*counts, n_shared_experts])
        self.owner = torch.arange(n_tasks + 1).repeat_interleave(sizes)
        self.n_experts = len(self.owner)
        self.tasks = self.owner.masked_fill(self.owner == n_tasks, SHARED)


class Experts(nn.Module):
    """The experts of all units of a level.

    Parameters
    ----------
    n_in : int
    widths : sequence of int
        Of the layers of each expert.
    units : Units
    activation : callable
    dropout : float
    """

    owner: Tensor | None

    def __init__(
        self,
        n_in: int,
        widths: Sequence[int],
        units: Units,
        activation: Activation,
        dropout: float,
    ) -> None:
        super().__init__()
        self.mlp = BlockMLP(n_in, widths, units.tasks, activation, dropout)
        even = len(units.owner.bincount().unique()) == 1
        self.register_buffer("owner", None if even else units.owner, persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        """Outputs (batch, n_experts, n_out) of inputs (batch, n_in) or (batch, n_units, n_in)."""
        if h.dim() == 3 and self.owner is not None:
            h = h.index_select(1, self.owner)
        return self.mlp(h)


class TowerNetwork(nn.Module):
    """Base class of nets that compute features for each task and end in a tower a task.

    A subclass sets `towers` and has the method `_fuse`, which computes the features.
    """

    towers: Towers

    #: Hyper-parameters that may have an entry a task: `MultiTaskNet` gives nets of some tasks
    #: the entries that are theirs.
    task_parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        task_outputs: Sequence[int],
        n_features: int | None,
        input_shape: Sequence[int] | None,
        extractor: Extractor,
    ) -> None:
        super().__init__()
        self.task_outputs = check_widths("task_outputs", task_outputs, empty=False, entry="task")
        self.n_tasks = len(self.task_outputs)
        if input_shape is None:
            if n_features is None:
                raise ValueError(
                    f"{type(self).__name__} needs n_features or input_shape. Got neither."
                )
            input_shape = (n_features,)
        shape = check_widths("n_features or input_shape", input_shape, empty=False, entry="axis")
        if n_features is not None and shape != (n_features,):
            raise ValueError(
                f"input_shape must be (n_features,) where both are given. Got {shape} and "
                f"n_features={n_features}."
            )
        self.extractor: nn.Module | None = None
        self.n_inputs = math.prod(shape)
        if extractor is not None:
            made = copy.deepcopy(extractor) if isinstance(extractor, nn.Module) else None
            made = made or make_module("extractor", extractor)
            self.extractor, self.n_inputs = made, _width_behind(made, shape)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, n_outputs) of inputs (batch, ...): those of each task side by side."""
        return self.towers(self._fuse(self._features(x)))

    def fused(self, x: Tensor) -> Tensor:
        """What the towers are given, (batch, n_tasks, width), of inputs (batch, ...)."""
        return self._fuse(self._features(x))

    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters that the outputs of more than one task depend on.

        All but those of the towers and of what mixes the experts at the last level. A tensor
        that holds weights of both kinds is shared.
        """
        of_one_task = {p for part in self._task_parts() for p in part.parameters()}
        return [p for p in self.parameters() if p not in of_one_task]

    def _features(self, x: Tensor) -> Tensor:
        return (x if self.extractor is None else self.extractor(x)).flatten(1)

    def _fuse(self, x: Tensor) -> Tensor:
        """Inputs (batch, n_inputs) fused for each task: (batch, n_tasks, width)."""
        raise NotImplementedError

    def _task_parts(self) -> list[nn.Module]:
        return [self.towers]


def _width_behind(extractor: nn.Module, shape: tuple[int, ...]) -> int:
    """How many features an extractor makes of a sample, by a trial that leaves no trace."""
    modes = [(part, part.training) for part in extractor.modules()]
    first = next(extractor.parameters(), torch.empty(0))
    devices = [first.device] if first.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        extractor.eval()
        sample = torch.zeros(1, *shape, device=first.device)
        try:
            output = extractor(sample)
        except Exception as error:
            try:
                output = extractor(sample.long())  # starts with an embedding
            except Exception:
                raise ValueError(
                    f"extractor must take a batch of samples of shape {shape}. "
                    f"{type(extractor).__name__} raised {type(error).__name__}: {error}"
                ) from error
    for part, training in modes:
        part.training = training
    if not isinstance(output, Tensor) or len(output) != 1 or output.numel() < 1:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"extractor must return a tensor (batch, ...). Got {got} for a batch of one."
        )
    return output.numel()


class LevelNetwork(TowerNetwork):
    """Base class of nets with several levels, each of which gives every unit new features.

    A subclass sets `units` and `levels`. A level maps (batch, n_units, width), at first
    (batch, n_inputs), to what the units of the next level are given; has `mean_weights` of the
    same inputs, (n_tasks, n_experts); and `task_parts`, its parts whose weights serve a
    single task each where it is the last.
    """

    units: Units
    levels: nn.ModuleList

    def _fuse(self, x: Tensor) -> Tensor:
        for level in self.levels:
            x = level(x)
        return x

    def _task_parts(self) -> list[nn.Module]:
        last: Any = self.levels[-1]
        return [self.towers, *last.task_parts()]

    @torch.no_grad()
    def expert_weights(self, x: Tensor) -> list[Tensor]:
        """How much of each expert goes into each task, at every level.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
            The module runs in its present mode: call `eval` first, as before any prediction.

        Returns
        -------
        weights : list of Tensor of shape (n_tasks, n_experts), one a level
            Means over the batch, 0 where a task does not see an expert. Experts stand in the
            order of `expert_names`.
        """
        h, weights = self._features(x), []
        levels: Any = self.levels
        for level in levels:
            weights.append(level.mean_weights(h))
            h = level(h)
        return weights

    def expert_names(self, task_names: Sequence[str] | None = None) -> list[str]:
        """Names of the experts of a level, the same at every level: by task, then the shared.

        Parameters
        ----------
        task_names : sequence of str, default=None
            Names of the tasks; "task 0", ... if None.

        Returns
        -------
        names : list of str
            As "task 0 #0", "task 0 #1", "shared #0".
        """
        if task_names is None:
            task_names = [f"task {t}" for t in range(self.n_tasks)]
        if len(task_names) != self.n_tasks:
            raise ValueError(
                f"task_names must name the {self.n_tasks} tasks. Got {len(task_names)} names."
            )
        names, tasks = [*task_names, "shared"], self.units.tasks.tolist()
        return [f"{names[t]} #{tasks[:i].count(t)}" for i, t in enumerate(tasks)]
