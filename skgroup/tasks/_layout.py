"""Where each task stands in a net's output, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skgroup._state import device_here
from skgroup.tasks._binary import BINARY
from skgroup.tasks._kind import Kind
from skgroup.tasks._multiclass import MULTICLASS
from skgroup.tasks._regression import REGRESSION
from skgroup.tasks._soft import SOFT

#: All kinds of tasks, by name.
KINDS: dict[str, Kind] = {kind.name: kind for kind in (BINARY, MULTICLASS, REGRESSION, SOFT)}


class _Block:
    """The tasks of one kind, and their columns among the outputs."""

    def __init__(
        self,
        kind: Kind,
        tasks: NDArray[np.intp],
        starts: NDArray[np.intp],
        sizes: NDArray[np.intp],
        device: torch.device | str,
    ) -> None:
        self.kind, self.tasks = kind, tasks
        self.device_tasks = torch.from_numpy(tasks).to(device)
        self.padding: Tensor | None = None
        self.columns = starts[tasks]
        if not kind.single_output:
            # Tasks of fewer outputs are filled up to the widest.
            offset = np.arange(sizes[tasks].max())
            padding = offset >= sizes[tasks, None]
            self.columns = np.where(padding, 0, self.columns[:, None] + offset)
            self.padding = torch.from_numpy(padding).to(device)
            self.kept = torch.from_numpy(np.flatnonzero(~padding)).to(device)
        self.device_columns = torch.from_numpy(self.columns).to(device)

    def of_tensor(self, outputs: Tensor) -> Tensor:
        block = outputs[..., self.device_columns]
        return block if self.padding is None else block.masked_fill(self.padding, -torch.inf)

    def of_array(self, outputs: NDArray) -> NDArray:
        block = outputs[..., self.columns]
        if self.padding is not None:
            block[..., self.padding.numpy(force=True)] = -np.inf
        return block

    def truth_of(self, codes: Tensor, values: Tensor | None) -> Tensor:
        """What the kind compares outputs with."""
        return _truth(self.kind, codes, values)[..., self.device_tasks]

    def flat(self, block: Tensor) -> Tensor:
        """The outputs of the block, without what it was filled up with."""
        return block if self.padding is None else block.flatten(start_dim=-2)[..., self.kept]


def _truth(kind: Kind, codes: Tensor, values: Tensor | None) -> Tensor:
    """What a kind compares outputs with: codes or numbers, of all tasks."""
    if not kind.reads_values:
        return codes
    if values is None:
        raise ValueError(
            "The target of regression and soft tasks must hold their numbers, 'values'."
        )
    return values


class OutputLayout:
    """The columns of a net's output: one a binary or regression task, k a task of k classes.

    Every method takes all tasks at once; leading dimensions (a stack of nets) are allowed.

    Parameters
    ----------
    task_outputs : sequence of int, one a task
        Number of outputs of each task.
    task_types : sequence of str, one a task, default=None
        The kind of each, by its name. If None, "binary" for one output, "multiclass" for more.
    device : torch.device or str, default="cpu"
        Where the index tensors live.
    kinds : mapping of str to Kind, default=KINDS
        What the names in `task_types` stand for.

    Attributes
    ----------
    starts : ndarray of shape (n_tasks,)
        The first column of each task.
    kinds : list of Kind, one a task
    """

    def __init__(
        self,
        task_outputs: Sequence[int],
        task_types: Sequence[str] | None = None,
        device: torch.device | str = "cpu",
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self.task_outputs = tuple(task_outputs)
        self._kinds, self._device = kinds, torch.device(device)
        if task_types is None:
            task_types = [(BINARY if k == 1 else MULTICLASS).name for k in self.task_outputs]
        self.task_types = tuple(task_types)
        self.n_tasks = len(self.task_outputs)
        self.n_outputs = sum(self.task_outputs)
        sizes = np.asarray(self.task_outputs, dtype=np.intp)
        self.starts = np.cumsum(sizes) - sizes
        self.kinds = [kinds[name] for name in self.task_types]
        blocks = [
            _Block(kind, self.tasks_of(kind), self.starts, sizes, device)
            for kind in kinds.values()
            if kind in self.kinds
        ]
        self._blocks = blocks
        #: The kind of all tasks, where that has a single output: then outputs are the block.
        self.only: Kind | None = None
        if len(blocks) == 1 and blocks[0].kind.single_output:
            self.only = blocks[0].kind
        elif blocks:
            columns = torch.cat([b.flat(b.device_columns) for b in blocks])
            self._output_order = torch.argsort(columns).to(device)
            self._task_order = torch.argsort(torch.cat([b.device_tasks for b in blocks])).to(device)

    def to(self, device: torch.device | str) -> OutputLayout:
        """The same layout with its index tensors on a device."""
        return OutputLayout(self.task_outputs, self.task_types, device, self._kinds)

    def __getstate__(self) -> dict[str, Any]:
        # All else follows; the kinds that all share are known.
        return {
            "task_outputs": self.task_outputs,
            "task_types": self.task_types,
            "device": str(self._device),
            "kinds": None if self._kinds is KINDS else dict(self._kinds),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        kinds = KINDS if state["kinds"] is None else state["kinds"]
        device = device_here(state["device"])
        OutputLayout.__init__(self, state["task_outputs"], state["task_types"], device, kinds)

    def tasks_of(self, kind: Kind) -> NDArray[np.intp]:
        """The tasks of a kind."""
        return np.array([t for t, k in enumerate(self.kinds) if k is kind], dtype=np.intp)

    @property
    def soft_tasks(self) -> Tensor | None:
        """The tasks whose labels are probabilities of classes, on the device; None if none are."""
        of_soft = [b.device_tasks for b in self._blocks if is_soft(b.kind)]
        return of_soft[0] if of_soft else None

    def columns_of(self, tasks: Iterable[int] | NDArray[np.intp]) -> NDArray[np.intp]:
        """The columns of some tasks, task after task."""
        return np.concatenate([self.starts[t] + np.arange(self.task_outputs[t]) for t in tasks])

    @property
    def task_of_output(self) -> NDArray[np.intp]:
        """The task of each column, (n_outputs,)."""
        return np.repeat(np.arange(self.n_tasks), self.task_outputs)

    # -- training: tensors of logits -----------------------------------------------------------

    def _in_order(self, of_kind: Callable[[_Block], Tensor]) -> Tensor:
        """What each kind says of its tasks, brought into the order of the tasks."""
        return torch.cat([of_kind(b) for b in self._blocks], dim=-1)[..., self._task_order]

    def _of_truth(self, of_kind: Callable[[Kind, Tensor, Tensor], Tensor], *truth: Any) -> Tensor:
        """What each kind says of its outputs and truth, in the order of the tasks."""
        logits, codes, values = truth
        if self.only is not None:
            return of_kind(self.only, logits, _truth(self.only, codes, values))
        return self._in_order(
            lambda b: of_kind(b.kind, b.of_tensor(logits), b.truth_of(codes, values))
        )

    def true_log_probability(
        self, logits: Tensor, codes: Tensor, values: Tensor | None = None
    ) -> Tensor:
        """Log-probability of the true label.

        Parameters
        ----------
        logits : Tensor of shape (..., n_outputs)
        codes : Tensor of shape (..., n_tasks)
            Class of each task; -1 where the label is missing.
        values : Tensor of shape (..., n_tasks), default=None
            Of regression tasks, the standardised number, 0 where it is missing; no matter for
            others.

        Returns
        -------
        Tensor of shape (..., n_tasks)
            Of regression tasks, the negative loss. A finite value where the label is missing.
        """
        return self._of_truth(lambda kind, *of: kind.log_likelihood(*of), logits, codes, values)

    def loss(
        self, logits: Tensor, codes: Tensor, weight: Tensor, values: Tensor | None = None
    ) -> Tensor:
        """Weighted sum over samples and tasks of the losses of the kinds, (...,).

        `weight` (..., batch, n_tasks) is 0 where a label is missing.
        """
        if self.only is not None:
            return self.only.loss(logits, _truth(self.only, codes, values), weight)
        losses = [
            b.kind.loss(b.of_tensor(logits), b.truth_of(codes, values), weight[..., b.device_tasks])
            for b in self._blocks
        ]
        return torch.stack(losses).sum(0)

    def true_probability(
        self, logits: Tensor, codes: Tensor, values: Tensor | None = None
    ) -> Tensor:
        """What a data map records, (..., n_tasks): the probability of the true label, and the
        confidence of regression tasks; see `true_log_probability`."""
        return self._of_truth(lambda kind, *of: kind.confidence(*of), logits, codes, values)

    def expected_probability(self, logits: Tensor) -> Tensor:
        """What the probability of the true label is expected to be, by the net's own beliefs:
        Σ_k p_k² of each task, of shape (..., n_tasks); NaN of regression tasks."""
        if self.only is not None:
            return self.only.expected_confidence(logits)
        return self._in_order(lambda b: b.kind.expected_confidence(b.of_tensor(logits)))

    def probability(self, logits: Tensor) -> Tensor:
        """Probabilities of shape (..., n_outputs): of the second class where a task is binary, of
        each class where it has more; of regression tasks, the standardised predictions."""
        if self.only is not None:
            return self.only.probability(logits)
        of_kinds = [b.flat(b.kind.probability(b.of_tensor(logits))) for b in self._blocks]
        return torch.cat(of_kinds, dim=-1)[..., self._output_order]

    def mean_probability(self, logits: Tensor, *, batch_dims: int = 1) -> Tensor:
        """Probabilities (batch, n_outputs); of a net of members, (batch, n_members, n_outputs),
        the mean of theirs. `batch_dims` leading dimensions are a batch."""
        probability = self.probability(logits)
        return probability if logits.dim() == batch_dims + 1 else probability.mean(-2)

    def mean_logits(self, logits: Tensor, *, batch_dims: int = 1) -> Tensor:
        """Logits of `mean_probability`: those of a net without members as they are."""
        if logits.dim() == batch_dims + 1:
            return logits
        return self.logits(self.mean_probability(logits, batch_dims=batch_dims))

    def logits(self, probability: Tensor) -> Tensor:
        """Logits (..., n_outputs) that have these probabilities, those of `probability`."""
        if self.only is not None:
            return self.only.logits(probability)
        of_kinds = [b.flat(b.kind.logits(b.of_tensor(probability))) for b in self._blocks]
        return torch.cat(of_kinds, dim=-1)[..., self._output_order]

    # -- serving: arrays of probabilities ------------------------------------------------------

    def likelihood(self, probability: NDArray, codes: NDArray[np.integer]) -> NDArray:
        """Probabilities of the true labels (n_samples, n_tasks) from probabilities (n_samples,
        n_outputs); of the first class where a label is missing."""
        likelihood = np.empty(codes.shape, dtype=probability.dtype)
        for b in self._blocks:
            of_tasks = codes[:, b.tasks].astype(np.intp)
            likelihood[:, b.tasks] = b.kind.likelihood(b.of_array(probability), of_tasks)
        return likelihood

    def decide(
        self, probability: NDArray, threshold: NDArray, first_is_positive: NDArray[np.bool_]
    ) -> NDArray[np.intp]:
        """Predicted codes (n_samples, n_tasks) from probabilities (n_samples, n_outputs).

        `threshold` (n_tasks,), of binary tasks, is on the probability of the positive class.
        """
        codes = np.empty((len(probability), self.n_tasks), dtype=np.intp)
        threshold = threshold.astype(probability.dtype)
        for b in self._blocks:
            codes[:, b.tasks] = b.kind.decide(
                b.of_array(probability), threshold[b.tasks], first_is_positive[b.tasks]
            )
        return codes

    def decide_tensor(
        self, probability: Tensor, threshold: Tensor, first_is_positive: Tensor
    ) -> Tensor:
        """`decide` of a tensor of probabilities, with tensors."""

        def of_kind(b: _Block) -> Tensor:
            block = b.of_tensor(probability)
            rule = (threshold[b.device_tasks], first_is_positive[b.device_tasks])
            codes: Tensor = b.kind.decide(block, *rule).long()
            return codes

        if self.only is not None:
            return of_kind(self._blocks[0])
        return self._in_order(of_kind)

    def _a_task(self, probability: NDArray) -> Iterator[tuple[Kind, NDArray]]:
        return zip(self.kinds, np.split(probability, self.starts[1:], axis=1), strict=True)

    def of_classes(self, probability: NDArray) -> list[NDArray]:
        """Probabilities (n_samples, n_classes) of each task."""
        return [kind.of_classes(part) for kind, part in self._a_task(probability)]

    def of_outputs(self, of_classes: Sequence[NDArray]) -> NDArray:
        """Probabilities (n_samples, n_outputs) from those of the classes of each task."""
        tasks = zip(self.kinds, of_classes, strict=True)
        return np.hstack([kind.of_outputs(part) for kind, part in tasks])

    def rescaled(self, probability: NDArray) -> NDArray:
        """Probabilities (n_samples, n_outputs), changed each for itself, as those of each task fit
        together."""
        return np.hstack([kind.rescaled(part) for kind, part in self._a_task(probability)])

    def balanced_weights(
        self, counts: NDArray[np.float64], positive: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Weights of classes (n_tasks, width), see `Kind.balanced_weights`."""
        weights = np.empty_like(counts)
        for b in self._blocks:
            weights[b.tasks] = b.kind.balanced_weights(counts[b.tasks], positive[b.tasks])
        return weights

    def events(self, codes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether what each output is the probability of is the case, (n_samples, n_outputs); of
        no meaning where a label is missing."""
        tasks = zip(self.kinds, codes.T, self.task_outputs, strict=True)
        return np.hstack([kind.events(of_task, k) for kind, of_task, k in tasks])

    @property
    def of_classes_alone(self) -> NDArray[np.bool_]:
        """Which outputs are of tasks with classes, (n_outputs,)."""
        has_classes = np.array([kind.has_classes for kind in self.kinds], dtype=bool)
        return has_classes[self.task_of_output]

    @property
    def n_classes(self) -> list[int]:
        """The number of classes of each task."""
        tasks = zip(self.kinds, self.task_outputs, strict=True)
        return [kind.n_classes(n_outputs) for kind, n_outputs in tasks]


def is_soft(kind: Kind) -> bool:
    """Whether labels of a kind are probabilities of its classes."""
    return kind.has_classes and kind.reads_values


def join_outputs(output: Any) -> Tensor:
    """A module's output, one tensor or a list of them a task, as one tensor, (batch, n_outputs) or
    (batch, n_members, n_outputs)."""
    if isinstance(output, Tensor):
        return output
    return torch.cat([o[:, None] if o.dim() == 1 else o for o in output], dim=-1)
