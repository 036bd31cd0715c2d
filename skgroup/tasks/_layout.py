"""Where each task's logits stand in a net's output, and the probabilities they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["OutputLayout", "join_outputs"]


#: Probabilities that have finite logits in float32.
_INSIDE = (1e-7, 1 - 1e-7)


class OutputLayout:
    """The columns of a net's output: one logit a binary task, k logits a task of k classes.

    Every method takes all tasks at once; leading dimensions (a stack of nets) are allowed.

    Parameters
    ----------
    task_outputs : sequence of int, one a task
        Number of logits of each task.
    device : torch.device or str, default="cpu"
        Where the index tensors live.
    """

    def __init__(self, task_outputs: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.task_outputs = tuple(task_outputs)
        self.n_tasks = len(self.task_outputs)
        self.n_outputs = sum(self.task_outputs)
        sizes = torch.tensor(self.task_outputs)
        starts = torch.cumsum(sizes, 0) - sizes
        binary = sizes == 1
        self.all_binary = bool(binary.all())
        if self.all_binary:
            return
        multiclass = ~binary
        width = int(sizes.max())
        # Multiclass tasks are padded to the widest; padded entries are masked with -inf.
        columns = starts[multiclass, None] + torch.arange(width)
        padding = torch.arange(width) >= sizes[multiclass, None]
        self._binary = torch.nonzero(binary).flatten().to(device)
        self._multiclass = torch.nonzero(multiclass).flatten().to(device)
        self._binary_columns = starts[binary].to(device)
        self._columns = columns.clamp(max=self.n_outputs - 1).to(device)
        self._padding = padding.to(device)
        # Back from (tasks, padded classes) to output columns.
        self._kept = (~padding).flatten().nonzero().flatten().to(device)
        self._output_order = torch.argsort(
            torch.cat([starts[binary], columns[~padding].flatten()])
        ).to(device)
        self._task_order = torch.argsort(
            torch.cat([torch.nonzero(binary).flatten(), torch.nonzero(multiclass).flatten()])
        ).to(device)

    def _multiclass_log_softmax(self, logits: Tensor) -> Tensor:
        padded = logits[..., self._columns].masked_fill(self._padding, -torch.inf)
        return F.log_softmax(padded, dim=-1)

    def true_log_probability(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Log-probability of the true label.

        Parameters
        ----------
        logits : Tensor of shape (..., n_outputs)
        codes : Tensor of shape (..., n_tasks)
            Class of each task; -1 where the label is missing.

        Returns
        -------
        Tensor of shape (..., n_tasks)
            A finite value that depends on no logit where the label is missing.
        """
        if self.all_binary:
            return _signed_log_sigmoid(logits, codes)
        binary = _signed_log_sigmoid(logits[..., self._binary_columns], codes[..., self._binary])
        code = codes[..., self._multiclass, None].long()
        log_probability = self._multiclass_log_softmax(logits)
        picked = torch.gather(log_probability, -1, code.clamp(min=0)).squeeze(-1)
        picked = picked.masked_fill(code.squeeze(-1) < 0, 0.0)
        return torch.cat([binary, picked], dim=-1)[..., self._task_order]

    def true_probability(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Probability of the true label, (..., n_tasks); see `true_log_probability`."""
        if self.all_binary:
            # p where the code is 1 and 1 - p where it is 0, in one pass each and in place.
            return torch.sigmoid(logits).add_(codes).sub_(1).abs_()
        return self.true_log_probability(logits, codes).exp()

    def probability(self, logits: Tensor) -> Tensor:
        """Probabilities of shape (..., n_outputs): of the second class where a task is binary,
        of each class where it is not."""
        if self.all_binary:
            return torch.sigmoid(logits)
        binary = torch.sigmoid(logits[..., self._binary_columns])
        multiclass = self._multiclass_log_softmax(logits).exp()
        flat = multiclass.flatten(start_dim=-2)[..., self._kept]
        return torch.cat([binary, flat], dim=-1)[..., self._output_order]

    def logits(self, probability: Tensor) -> Tensor:
        """Logits (..., n_outputs) that have these probabilities, those of `probability`."""
        p = probability.clamp(*_INSIDE)
        binary = torch.zeros(self.n_outputs, dtype=torch.bool, device=p.device)
        binary[self._binary_columns if not self.all_binary else slice(None)] = True
        return torch.where(binary, torch.logit(p), torch.log(p))

    def expected_probability(self, logits: Tensor) -> Tensor:
        """What the probability of the true label is expected to be, by the net's own beliefs:
        Σ_k p_k² of each task, of shape (..., n_tasks)."""
        if self.all_binary:
            p = torch.sigmoid(logits)
            return p * p + (1 - p) * (1 - p)
        p = torch.sigmoid(logits[..., self._binary_columns])
        binary = p * p + (1 - p) * (1 - p)
        multiclass = (2 * self._multiclass_log_softmax(logits)).exp().sum(-1)
        return torch.cat([binary, multiclass], dim=-1)[..., self._task_order]


def _signed_log_sigmoid(logits: Tensor, codes: Tensor) -> Tensor:
    # +1 for the second class, -1 for the first, 0 (no gradient) for a missing label.
    sign = torch.where(codes < 0, 0, 2 * codes - 1)
    return F.logsigmoid(logits * sign)


def join_outputs(output: Any) -> Tensor:
    """A module's output, one tensor or a list of them a task, as one (batch, n_outputs) tensor."""
    if isinstance(output, Tensor):
        return output
    return torch.cat([o[:, None] if o.dim() == 1 else o for o in output], dim=1)
