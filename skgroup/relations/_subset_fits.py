"""Fits of many subsets of tasks at once, on losses that are functions of a linear predictor."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skgroup.relations._linearised import LinearisedTasks

#: Steps of conjugate gradients, and tries of the length of each.
_MOST_STEPS, _MOST_TRIES = 50, 5
#: A fit ends where a Newton step would lower its objective by less than this share of it.
_TOLERANCE = 1e-8
#: Tensors of the size of all logits that a fit holds at a time, and of second derivatives.
_N_LARGE, _N_BENDS = 12, 3


class SubsetFits:
    """The move of the shared parameters that each of many subsets of tasks makes.

    The move of a subset S minimises Σ_{t ∈ S} v_t L_t(w) / Σ_{t ∈ S} v_t + α/2 ‖w‖², L_t being
    the loss of task t and v its weight. All subsets are minimised together by conjugate
    gradients, preconditioned by the second derivatives at w = 0, with searched step lengths.

    Parameters
    ----------
    train, held_out : LinearisedTasks
        What is fitted to, and what losses are of.
    alpha : float
    task_weight : Tensor of shape (n_tasks,)
    max_memory : int
        Bytes, about, that the subsets that are fitted at a time may take.
    """

    def __init__(
        self,
        train: LinearisedTasks,
        held_out: LinearisedTasks,
        alpha: float,
        task_weight: Tensor,
        max_memory: int,
    ) -> None:
        self.train, self.held_out = train, held_out
        self.alpha, self.task_weight = alpha, task_weight
        self.curvature = train.curvature()
        self.max_memory = max_memory

    def losses(self, masks: Tensor) -> Tensor:
        """Held-out losses (n_subsets, n_tasks) of the tasks of each subset, 0 for other tasks."""
        losses = masks.new_zeros(masks.shape, dtype=torch.float32)
        for rows in self._chunks(masks):
            slots = _Slots(masks[rows], self.train.layout.task_of_output)
            moves = self._moves(masks[rows], slots)
            logits = slots.predict(self.held_out, moves)
            losses[rows] = slots.of_tasks(self.held_out.losses(logits))
        return losses

    def _chunks(self, masks: Tensor) -> Iterator[slice]:
        """Subsets that fit together: of each task, so many as hold it; and of their second
        derivatives."""
        logits = max(self.train.logits, self.held_out.logits, key=len)
        n_fit = self.max_memory // (_N_LARGE * logits.numel() * logits.element_size())
        bend = self.curvature[0]
        n_bends = self.max_memory // (_N_BENDS * bend.numel() * bend.element_size())
        counts = torch.zeros(masks.shape[1], dtype=torch.long)
        start = 0
        for row, mask in enumerate(masks):
            grown = counts + mask
            if row > start and (grown.max() > n_fit or row - start >= n_bends):
                yield slice(start, row)
                start, grown = row, mask.long()
            counts = grown
        yield slice(start, len(masks))

    def _moves(self, masks: Tensor, slots: _Slots) -> Tensor:
        """Minimisers (n_subsets, dim)."""
        weight = masks * self.task_weight
        weight = weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        dim = self.curvature.shape[-1]
        bend = torch.einsum("st,tde->sde", weight, self.curvature)
        bend = bend + self.alpha * torch.eye(dim)
        factor = torch.linalg.cholesky(bend)
        weigh = slots.weigh(weight)
        logits = self.train.logits.expand(slots.n_slots, *self.train.logits.shape).clone()
        moves = logits.new_zeros(len(masks), dim)

        def slope() -> tuple[Tensor, Tensor, Tensor]:
            """The descent −∇, preconditioned, and their product."""
            down = -slots.add_up(self.train, self.train.slopes(logits) * weigh)
            down = down - self.alpha * moves
            scaled = torch.cholesky_solve(down[..., None], factor)[..., 0]
            return down, scaled, (down * scaled).sum(1)

        down, scaled, decrement = slope()
        direction = scaled
        value = (weight * self.train.losses(self.train.logits)).sum(1)
        enough = _TOLERANCE * value.clamp(min=torch.finfo(value.dtype).tiny)
        for _ in range(_MOST_STEPS):
            done = decrement <= enough
            if done.all():
                break
            along = slots.predict(self.train, direction) - self.train.logits
            length = self._length(logits, along, moves, direction, slots, weigh, done)
            # A fit that has ended stays as it is, whichever others go on beside it.
            length = length.masked_fill(done, 0.0)
            moves += length[:, None] * direction
            logits += slots.spread(length)[:, None] * along
            before, of_before = down, decrement
            down, scaled, decrement = slope()
            # Polak and Ribière's; starts anew where it would not go down.
            more = decrement - (scaled * before).sum(1)
            more = (more / of_before.clamp(min=torch.finfo(more.dtype).tiny)).clamp(min=0)
            direction = scaled + more[:, None] * direction
            wrong = (direction * down).sum(1) <= 0
            direction = torch.where(wrong[:, None], scaled, direction)
        return moves

    def _length(
        self,
        logits: Tensor,
        along: Tensor,
        moves: Tensor,
        direction: Tensor,
        slots: _Slots,
        weigh: Tensor,
        done: Tensor,
    ) -> Tensor:
        """How far to go, (n_subsets,): about where the objective stops falling."""
        of_penalty = self.alpha * (moves * direction).sum(1)
        of_square = self.alpha * (direction**2).sum(1)

        def rise(length: Tensor) -> Tensor:
            at = logits + slots.spread(length)[:, None] * along
            of_losses = (self.train.slopes(at) * weigh * along).sum(1)
            return slots.of_subsets(of_losses) + of_penalty + length * of_square

        low = torch.zeros(len(moves))
        at_low = start = rise(low)
        high, at_high = torch.full_like(low, torch.inf), torch.full_like(low, torch.inf)
        length = torch.ones_like(low)
        for _ in range(_MOST_TRIES):
            slope = rise(length)
            near = done | (slope.abs() <= 0.25 * start.abs())
            if near.all():
                break
            below = slope <= 0
            low, at_low = torch.where(below, length, low), torch.where(below, slope, at_low)
            high, at_high = torch.where(below, high, length), torch.where(below, at_high, slope)
            # Where the line through both ends meets 0; twice as far while there is no upper end.
            inside = low + (high - low) * at_low / (at_low - at_high)
            other = torch.where(high.isinf(), 2 * length, inside)
            length = torch.where(near, length, other)
        return length


class _Slots:
    """Which subsets hold a task: slot k of a task is the k-th of them.

    So that what is computed for a task is computed for the subsets that hold it, and no others.
    Tensors over slots are (n_slots, ..., n_tasks or n_outputs).
    """

    def __init__(self, masks: Tensor, task_of_output: object) -> None:
        self.n_subsets = len(masks)
        counts = masks.sum(0)
        self.n_slots = int(counts.max())
        order = torch.argsort((~masks).to(torch.int8), dim=0, stable=True)
        self.subset = order[: self.n_slots]  # (n_slots, n_tasks)
        self.used = torch.arange(self.n_slots)[:, None] < counts
        self.owner = torch.as_tensor(task_of_output)
        self.subset_of_output = self.subset[:, self.owner]
        self.used_output = self.used[:, self.owner]

    def weigh(self, weight: Tensor) -> Tensor:
        """Weights (n_subsets, n_tasks) as (n_slots, 1, n_outputs), 0 where a slot is unused."""
        of_task = weight.gather(0, self.subset) * self.used
        return of_task[:, self.owner][:, None]

    def spread(self, of_subset: Tensor) -> Tensor:
        """(n_subsets,) as (n_slots, n_outputs)."""
        return of_subset[self.subset_of_output]

    def predict(self, tasks: LinearisedTasks, moves: Tensor) -> Tensor:
        """Logits (n_slots, n_rows, n_outputs) after moves (n_subsets, dim)."""
        of_output = moves[self.subset_of_output.T]  # (n_outputs, n_slots, dim)
        return tasks.logits + (of_output @ tasks.gradients.mT).permute(1, 2, 0)

    def add_up(self, tasks: LinearisedTasks, slopes: Tensor) -> Tensor:
        """Slopes (n_slots, n_rows, n_outputs) by moves, (n_subsets, dim)."""
        of_output = slopes.permute(2, 0, 1) @ tasks.gradients  # (n_outputs, n_slots, dim)
        total = of_output.new_zeros(self.n_subsets, of_output.shape[-1])
        return total.index_add_(0, self.subset_of_output.T.reshape(-1), of_output.flatten(0, 1))

    def of_subsets(self, of_slots: Tensor) -> Tensor:
        """Sums (n_subsets,) of what slots (n_slots, n_outputs) hold."""
        total = of_slots.new_zeros(self.n_subsets)
        return total.index_add_(0, self.subset_of_output.reshape(-1), of_slots.reshape(-1))

    def of_tasks(self, of_slots: Tensor) -> Tensor:
        """(n_subsets, n_tasks) of (n_slots, n_tasks); 0 for absent tasks."""
        table = of_slots.new_zeros(self.n_subsets, of_slots.shape[1])
        return table.scatter_(0, self.subset, of_slots * self.used)
