"""A trained net as a linear function of its shared parameters, projected to few dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from skgroup.relations._affinity import MAX_MEMORY, TaskProbe, with_bytes_saved
from skgroup.store import NOT_KEPT, RunningFit
from skgroup.tasks import OutputLayout
from skgroup.training import MultiTaskNet
from skgroup.training.data import TaskDataset, take_samples
from skgroup.training.loss import counted_shares, weigh_labels

__all__ = ["LinearisedTasks", "linearise"]


@dataclass
class LinearisedTasks:
    """Losses of tasks as functions of a move `w` of the shared parameters in a random subspace.

    A net's logits at θ + P w, P (n_parameters, dim) being random, are to first order z + w · Pᵀ∇z.

    Attributes
    ----------
    logits : Tensor of shape (n_rows, n_outputs)
        z; a row a sample, or a sample and member of a net of members.
    gradients : Tensor of shape (n_outputs, n_rows, dim)
        Pᵀ∇z.
    codes, values : Tensor of shape (n_rows, n_tasks)
        Labels as a net's loss takes them; `values` is None without regression tasks.
    share : Tensor of shape (n_rows, n_tasks)
        What a row counts in the loss of a task: 0 without a label; sums to 1 but for class weights.
    layout : OutputLayout
    """

    logits: Tensor
    gradients: Tensor
    codes: Tensor
    values: Tensor | None
    share: Tensor
    layout: OutputLayout

    def losses(self, logits: Tensor) -> Tensor:
        """Losses of tasks (..., n_tasks) of logits (..., n_rows, n_outputs)."""
        return -(self.share * self._log_probability(logits)).sum(-2)

    def slopes(self, logits: Tensor, *, create_graph: bool = False) -> Tensor:
        """The derivative of each task's loss by its own logits, of the shape of the logits."""
        if not create_graph:
            logits = logits.detach().requires_grad_()
        total = self.losses(logits).sum()
        (slope,) = torch.autograd.grad(total, logits, create_graph=create_graph)
        return slope

    def _log_probability(self, logits: Tensor) -> Tensor:
        shape = (*logits.shape[:-1], self.layout.n_tasks)
        values = None if self.values is None else self.values.expand(shape)
        return self.layout.true_log_probability(logits, self.codes.expand(shape), values)

    def curvature(self) -> Tensor:
        """Second derivatives of the losses by the move, where it is 0: (n_tasks, dim, dim)."""
        owner = torch.from_numpy(self.layout.task_of_output)
        first = torch.from_numpy(self.layout.starts)
        n_outputs = torch.as_tensor(self.layout.task_outputs)
        dim = self.gradients.shape[-1]
        total = self.gradients.new_zeros(self.layout.n_tasks, dim, dim)
        logits = self.logits.clone().requires_grad_()
        slope = self.slopes(logits, create_graph=True)
        # Logits of other tasks do not matter to a task: one pass serves the k-th logit of all.
        for k in range(max(self.layout.task_outputs)):
            has_it = n_outputs > k
            of_kth = slope[:, (first + k)[has_it]].sum()
            (bend,) = torch.autograd.grad(of_kth, logits, retain_graph=True)
            kth = self.gradients[(first + k).clamp(max=len(owner) - 1)[owner]]
            bend = bend.T * has_it[owner, None]
            total.index_add_(0, owner, (self.gradients.mT * bend[:, None]) @ kth)
        return total


def linearise(
    net: MultiTaskNet,
    dataset: TaskDataset,
    seeds: Sequence[int],
    *,
    max_memory: int = MAX_MEMORY,
    sample_seed: int = 0,
    running: RunningFit = NOT_KEPT,
) -> LinearisedTasks:
    """Logits and projected gradients of a net, as it predicts (without dropout).

    Parameters
    ----------
    net : MultiTaskNet
        A prepared net.
    dataset : TaskDataset
        With targets.
    seeds : sequence of int, one a dimension of the subspace
        Each draws a column of P, from a normal distribution of variance 1 / dim.
    max_memory : int
        Bytes, about, that the projected gradients may take, and as many for the work on them.
    sample_seed : int
        Draws samples, where not all fit.
    running : RunningFit
        Keeps the batches that are done.

    Raises
    ------
    ValueError
        If the net's loss has no parts a task, its shared parameters are not known, or its module
        has an operation without a forward-mode derivative.

    Notes
    -----
    A dimension of all projected gradients is a directional derivative of the net, one forward pass
    for the logits of all tasks (forward-mode differentiation): neither P nor the gradient of a
    sample is ever there as a whole.
    """
    probe = TaskProbe(net)
    net.module_.eval()
    with torch.no_grad():
        first, _ = next(iter(net.get_iterator(_take(dataset, np.arange(1)), training=False)))
        n_members = len(probe.logits(first))
    n_fit = max(1, max_memory // (4 * len(seeds) * probe.layout.n_outputs * n_members))
    if n_fit < len(dataset):
        dataset = _take(dataset, _drawn(dataset, n_fit, sample_seed))
    directions = _Directions(probe.shared, seeds, max_memory // 2)
    logits, gradients = running.load("gradients", ([], []))
    n_kept, targets = len(logits), []
    for i, (x, target) in enumerate(net.get_iterator(dataset, training=False)):
        targets.append(target)
        if i < n_kept:
            continue
        with torch.no_grad():
            logits.append(probe.logits(x).cpu())
        derivatives = _derivatives(probe, x, directions, max_memory // 2)
        gradients.append(derivatives.permute(2, 1, 0).contiguous())
        if running.due():
            running.save("gradients", (logits, gradients))
    if len(logits) > n_kept:
        running.save("gradients", (logits, gradients))
    target = {key: torch.cat([t[key] for t in targets]) for key in targets[0]}
    codes, layout = target["codes"], probe.layout.to("cpu")
    _, share, values = weigh_labels(target, probe.class_weight.cpu(), layout)
    if n_members > 1:
        codes, share = (part.repeat_interleave(n_members, 0) for part in (codes, share / n_members))
        values = None if values is None else values.repeat_interleave(n_members, 0)
    return LinearisedTasks(torch.cat(logits), torch.cat(gradients, 1), codes, values, share, layout)


def _drawn(dataset: TaskDataset, n_fit: int, seed: int) -> NDArray[np.intp]:
    """Random samples, first of all one with a label that counts of each task."""
    order = np.random.RandomState(seed).permutation(len(dataset))
    counted: Any = counted_shares(dataset.target["codes"], dataset.target.get("weight"))
    first = np.unique(order[(counted.numpy()[order] > 0).argmax(axis=0)])
    others = order[~np.isin(order, first)]
    return np.sort(np.concatenate([first, others[: max(0, n_fit - len(first))]]))


def _take(dataset: TaskDataset, samples: NDArray[np.intp]) -> TaskDataset:
    target = {key: value[torch.from_numpy(samples)] for key, value in dataset.target.items()}
    return TaskDataset(take_samples(dataset.X, samples), target)


class _Directions:
    """Columns of the projection, drawn anew whenever they are wanted, or kept where they fit."""

    def __init__(self, shared: dict[str, Any], seeds: Sequence[int], max_memory: int) -> None:
        self.shared, self.seeds = shared, list(seeds)
        self.size = sum(p.numel() * p.element_size() for p in shared.values())
        self.kept: dict[int, dict[str, Tensor]] = {}
        self.keeps = self.size * len(self.seeds) <= max_memory

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, rows: range) -> dict[str, Tensor]:
        columns = [self._column(k) for k in rows]
        return {name: torch.stack([column[name] for column in columns]) for name in self.shared}

    def _column(self, k: int) -> dict[str, Tensor]:
        if k in self.kept:
            return self.kept[k]
        generator = torch.Generator().manual_seed(self.seeds[k])
        scale = len(self) ** -0.5
        # Drawn on the CPU, so that a seed means the same on every device.
        column = {
            name: (torch.randn(p.shape, generator=generator) * scale).to(p)
            for name, p in self.shared.items()
        }
        if self.keeps:
            self.kept[k] = column
        return column


def _derivatives(probe: TaskProbe, x: Any, directions: _Directions, max_memory: int) -> Tensor:
    """Derivatives of the logits of a batch along all directions, (dim, n_rows, n_outputs)."""
    params = {name: p.detach() for name, p in probe.shared.items()}

    def run(moved: dict[str, Tensor]) -> Tensor:
        return functional_call(probe.logits, moved, (x,))

    def along(direction: dict[str, Tensor]) -> Tensor:
        return jvp(run, (params,), (direction,))[1]

    n_at_a_time = max(1, max_memory // (2 * directions.size + _activations(run, probe)))
    derivatives = []
    # Attention has a forward-mode derivative in its plain form alone.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        # So torch's own code for forward mode is deprecated by torch 2.12; until it drops it.
        warnings.filterwarnings("ignore", message="`torch.jit.script")
        for start in range(0, len(directions), n_at_a_time):
            rows = range(start, min(start + n_at_a_time, len(directions)))
            of_rows = directions[rows]
            try:
                derivatives.append(vmap(along, randomness="same")(of_rows).cpu())
            except Exception:  # whatever an operation of the user's may raise
                derivatives += [_one_derivative(probe, along, of_rows, i) for i in range(len(rows))]
    return torch.cat(derivatives)


def _one_derivative(probe: TaskProbe, along: Any, of_rows: dict[str, Tensor], i: int) -> Tensor:
    try:
        derivative: Tensor = along({name: rows[i] for name, rows in of_rows.items()})
    except Exception as error:
        module = type(probe.logits.module).__name__
        raise ValueError(
            f"The module {module} must have a forward-mode derivative (torch.func.jvp) for its "
            f"logits to be linearised. Got {type(error).__name__}: {error}"
        ) from error
    return derivative[None].cpu()


def _activations(run: Any, probe: TaskProbe) -> int:
    """Bytes, about, of what a pass of the batch goes through."""
    params = {name: p.detach().requires_grad_() for name, p in probe.shared.items()}
    with torch.enable_grad():
        return with_bytes_saved(lambda: run(params))[1]
