"""What affinity estimators share: rows a task, and a look at training batches task by task."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.func import functional_call, vmap
from tqdm.auto import tqdm

from skgroup._compat import forget_fit
from skgroup._fit_parts import FitPart, part_of_fit
from skgroup.relations.effect import Effect, of_all_tasks
from skgroup.relations.relation import RelationMixin
from skgroup.store import running_fit
from skgroup.tasks import groups_to_measure
from skgroup.training import MultiTaskNet
from skgroup.training.engine import build_net, check_data, train_net, training_batch
from skgroup.training.loss import MultiTaskLoss, weigh_labels
from skgroup.training.progress import EpochProgress
from skgroup.training.shared import RULE, shared_parameters, uncompiled
from skgroup.training.task_gradients import batched_or_error, convolves, gradients_along

#: Bytes that the work on one batch may take, by default.
MAX_MEMORY = 2**30


class AffinityMixin(RelationMixin):
    """The rows of `affinity_` as a relation.

    A subclass sets `affinity_`, `n_tasks_`, `learnable_` and, where `Y` was a DataFrame,
    `task_names_in_`, and says in `_effect` what its affinity is.
    """

    affinity_: NDArray[np.float64]
    n_tasks_: int

    @property
    def _effect(self) -> Effect:
        raise NotImplementedError

    def _known(self) -> NDArray[np.bool_]:
        """Which pairs were measured, (n_tasks, n_tasks)."""
        return np.ones((self.n_tasks_, self.n_tasks_), dtype=bool)

    def pair_effects(self) -> tuple[NDArray[np.float64], Effect]:
        """The affinity of all pairs, and what it says.

        Returns
        -------
        values : ndarray of shape (n_tasks, n_tasks)
            `affinity_`, but NaN for pairs that were not measured and for tasks of a single class.
        effect : Effect
            Name, meaning, unit and direction of the numbers.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self)
        values = np.where(self._known(), self.affinity_, np.nan)
        return of_all_tasks(values, self.learnable_), self._effect

    def _rows(self) -> NDArray[np.float64]:
        return self.affinity_.copy()

    def example_rows(
        self, n_tasks: int, n_samples: int, most: int, rng: np.random.RandomState
    ) -> tuple[NDArray[np.float64], bool]:
        rows = rng.uniform(-1, 1, size=(n_tasks, n_tasks))
        np.fill_diagonal(rows, 1)
        return rows, True

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of `transform`.

        Parameters
        ----------
        input_features : ignored
            For scikit-learn's interface.

        Returns
        -------
        names : ndarray of shape (n_tasks,) of str
            As "affinity_smiling", or "affinity_3" where `Y` had no column names.
        """
        check_is_fitted(self)
        names = getattr(self, "task_names_in_", range(self.n_tasks_))
        return np.array([f"affinity_{name}" for name in names], dtype=object)


class NetAffinityMixin(AffinityMixin):
    """An affinity that is measured while a net trains on all tasks.

    A subclass has the parameters `estimator`, `masks`, `every`, `max_memory`, `checkpoint`,
    `random_state` and `verbose`.
    """

    estimator: MultiTaskNet | None
    masks: Any
    every: int
    max_memory: int
    checkpoint: Any
    random_state: Any
    verbose: int

    _n_fit_parts = 1

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains: one, whatever the number of tasks."""
        return 1

    def _known(self) -> NDArray[np.bool_]:
        return self.n_steps_ > 0

    def of_epochs(self, first: int = 1, last: int | None = None) -> Any:
        """The affinity as it was in some epochs alone; nothing is trained.

        Parameters
        ----------
        first, last : int, default=1 and None
            The first and the last of the epochs, counted from 1. None is the last of all.

        Returns
        -------
        relation : object
            A fitted relation as this one is, of what was recorded in these epochs. Its
            `estimator_` is the net of this one, trained to the end.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If these are not epochs of the training.
        """
        check_is_fitted(self)
        n_epochs = len(self.epoch_affinity_)
        end = n_epochs if last is None else last
        for name, epoch in (("first", first), ("last", end)):
            whole = isinstance(epoch, Integral) and not isinstance(epoch, bool)
            if not whole or not 1 <= epoch <= n_epochs:
                raise ValueError(
                    f"{name} must be an epoch of the training, an int in [1, {n_epochs}]. Got "
                    f"{epoch!r}."
                )
        if end < first:
            raise ValueError(f"last must not be before first. Got {first} and {end}.")
        part = clone(self)
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_")}
        for name in ("epoch_affinity_", "epoch_n_steps_"):
            fitted[name] = fitted[name][first - 1 : end]
        arrays = {k: v.copy() for k, v in fitted.items() if isinstance(v, np.ndarray)}
        part.__dict__.update(fitted | arrays)
        part._summarise(self.epoch_n_steps_.any(axis=0), stacklevel=3)
        return part

    def _fit_net(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        measure: Callable[[TaskProbe], Tensor],
        **options: Any,
    ) -> None:
        """Train, and set what was measured at every `every`-th step.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        measure : callable
            As `AffinityRecorder` takes it.
        **options
            Of `TaskProbe`.
        """
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        data = check_data(net, X, y, sample_weight)
        learnable, owner = data.all_tasks.learnable, type(self).__name__
        sets = np.empty((0, len(learnable)), dtype=bool)
        if self.masks is not None:
            sets = groups_to_measure(self.masks, data.all_tasks, owner=owner, each="sets")
        state = net.random_state if self.random_state is None else self.random_state
        checkpoint = net.checkpoint if self.checkpoint is None else self.checkpoint
        with running_fit(checkpoint, self, data) as running:
            (seed,) = running.draw_seeds(state, 1)
            forget_fit(self)
            self.__dict__.update(data.inputs)
            self._learn_names(data.all_tasks)
            with part_of_fit("relation"):
                build_net(net, data, seed)
            steps, rows = distinct(
                np.vstack([np.eye(learnable.sum(), dtype=bool), sets[:, learnable]])
            )
            options |= {
                "steps": steps if len(sets) else None,
                "max_memory": int(self.max_memory),
            }
            probe = TaskProbe(net, **options)
            recorder = AffinityRecorder(probe, measure, self.every)
            with tqdm(
                total=net.max_epochs, desc="affinity", unit="epoch", disable=not self.verbose
            ) as bar:
                progress = [EpochProgress(bar)] if self.verbose else []
                part = FitPart.of(self).part("relation")
                train_net(net, data, [recorder, *progress], running, part)
        self.estimator_ = net
        if self.masks is not None:
            self.masks_ = sets
        # Tasks of a single class do nothing to others, and none to them.
        expected = np.concatenate([learnable, np.ones(len(sets), dtype=bool)])[:, None] & learnable
        counts, totals = np.stack(recorder.counts_), np.stack(recorder.totals_)
        with np.errstate(invalid="ignore"):
            means = totals / counts
        self.epoch_n_steps_ = np.zeros((len(counts), *expected.shape), dtype=np.int32)
        self.epoch_n_steps_[:, expected] = counts[:, rows].reshape(len(counts), -1)
        self.epoch_affinity_ = np.full(self.epoch_n_steps_.shape, np.nan)
        self.epoch_affinity_[:, expected] = means[:, rows].reshape(len(counts), -1)
        self._summarise(expected, stacklevel=6)

    def _summarise(self, expected: NDArray[np.bool_], *, stacklevel: int) -> None:
        """Set the means over all epochs; 0 where there is none, with a warning if expected."""
        count = self.epoch_n_steps_.sum(axis=0)
        total = np.nansum(self.epoch_affinity_ * self.epoch_n_steps_, axis=0)
        affinity, n_tasks = total / np.maximum(count, 1), self.n_tasks_
        self.affinity_, self.n_steps_ = affinity[:n_tasks], count[:n_tasks]
        if hasattr(self, "masks_"):
            self.set_affinity_ = affinity[n_tasks:]
        never = expected & (count == 0)
        if never.any():
            pairs, sets = (int(part.sum()) for part in np.split(never, [n_tasks]))
            of_sets = f", and {sets} of {expected[n_tasks:].sum()} of sets and tasks" * (sets > 0)
            warnings.warn(
                f"{type(self).__name__} could not measure {pairs} of {expected[:n_tasks].sum()} "
                f"pairs of tasks{of_sets}: no recorded batch held labels of both that gave a "
                "finite loss above 0. Their affinity is 0.",
                UserWarning,
                stacklevel=stacklevel,
            )


def distinct(masks: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Each of the rows once, and where among them each of the rows is."""
    _, first, which = np.unique(masks, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return masks[first[order]], np.argsort(order)[which.ravel()]


def with_constant(
    affinity: NDArray[np.float64], learnable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """An affinity of all tasks; those of a single class do nothing to others, and none to them."""
    whole = np.zeros((len(learnable),) * 2)
    whole[np.ix_(learnable, learnable)] = affinity
    return whole


class AffinityRecorder(Callback):
    """Measures at every `every`-th training step, the first included, before its update.

    Parameters
    ----------
    probe : TaskProbe
    measure : callable
        Called with the probe, which looks at the batch; returns a tensor (n_steps, n_tasks).
        Entries that are not finite do not count.
    every : int

    Attributes
    ----------
    totals_, counts_ : list of ndarray of shape (n_steps, n_tasks), one an epoch
        Sums of what was measured, and how often it was.
    """

    def __init__(
        self, probe: TaskProbe, measure: Callable[[TaskProbe], Tensor], every: int
    ) -> None:
        self.probe, self.measure, self.every = probe, measure, every

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self.totals_: list[NDArray[np.float64]] = []
        self.counts_: list[NDArray[np.int64]] = []
        self.step_ = 0

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        shape = self.probe.steps.shape
        self.totals_.append(np.zeros(shape))
        self.counts_.append(np.zeros(shape, dtype=np.int64))

    def state_dict(self) -> dict[str, Any]:
        """What was measured so far, for a training that goes on."""
        names = ("totals_", "counts_", "step_")
        return {name: vars(self)[name] for name in names} | {"buffer": self.probe.buffer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.probe.buffer = state["buffer"]
        self.totals_, self.counts_ = [*state["totals_"]], [*state["counts_"]]
        self.step_ = state["step_"]

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if not training:
            return
        if self.step_ % self.every == 0:
            with self.probe.looking_at(batch):
                values = self.measure(self.probe).double().numpy(force=True)
            finite = np.isfinite(values)
            self.totals_[-1] += np.where(finite, values, 0.0)
            self.counts_[-1] += finite
        self.step_ += 1

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if training:
            self.probe.follow()


class _Logits(nn.Module):
    """A net's own way from a batch to its logits, as a module whose tensors can be exchanged."""

    def __init__(self, net: MultiTaskNet) -> None:
        super().__init__()
        self.net = net
        # Compiled code would be compiled anew for exchanged tensors.
        self.module = uncompiled(net.module_)

    def forward(self, x: Any) -> Tensor:
        """Logits (batch, n_outputs); of a net of members, (batch * n_members, n_outputs)."""
        of_net, self.net.module_ = self.net.module_, self.module
        try:
            logits = self.net.infer(x)
            return logits.flatten(0, 1) if logits.dim() == 3 else logits
        finally:
            self.net.module_ = of_net


class TaskProbe:
    """Losses and gradients of single tasks on a training batch, of a net that trains.

    Training goes on as if nobody had looked: gradients, buffers (statistics of batch
    normalisation) and random states are as before. Every forward pass on a batch starts from the
    random state of the training step, so all have the same dropout masks, and takes the
    statistics of the batch where the training step does.

    Parameters
    ----------
    net : MultiTaskNet
        A prepared net.
    steps : ndarray of shape (n_steps, n_tasks) of bool, default=None
        The tasks whose losses are summed for each step; a step for each task if None.
    momentum : float, default=0.0
        Decay of the running sum of the training loss's gradients, as torch's SGD keeps it.
    max_memory : int
        Bytes, about, that gradients, moved parameters and activations of the tasks that are
        worked on at a time may take. At least one task is.
    weights_only : bool, default=False
        Leave out shared parameters that are biases or of a single dimension.

    Raises
    ------
    ValueError
        If the net's loss has no parts a task, or its shared parameters are not known.
    """

    def __init__(
        self,
        net: MultiTaskNet,
        *,
        steps: NDArray[np.bool_] | None = None,
        momentum: float = 0.0,
        max_memory: int = MAX_MEMORY,
        weights_only: bool = False,
    ) -> None:
        self.net, self.momentum, self.max_memory = net, momentum, max_memory
        if type(uncompiled(net.criterion_)) is not MultiTaskLoss:
            raise ValueError(
                "The 'criterion' parameter of the estimator must be MultiTaskLoss, whose loss has "
                f"a part for each task. Got {net.criterion!r}."
            )
        self.logits = _Logits(net)
        self.shared = _shared_of(self.logits, net)
        if weights_only:
            self.shared = _weights_of(self.shared, self.logits.module)
        device = next(iter(self.shared.values())).device
        options = {**net.loss_weights_, **net.get_params_for("criterion"), "task_weight": None}
        criterion = MultiTaskLoss(**options).to(device)
        self.layout, self.class_weight = criterion.layout, criterion.weight
        owner = torch.from_numpy(self.layout.task_of_output)
        tasks = torch.arange(self.layout.n_tasks)[:, None]
        self.columns_of_task = (owner == tasks).to(device)
        self.steps = torch.eye(self.layout.n_tasks, dtype=torch.bool, device=device)
        self.columns_of_step = self.columns_of_task
        if steps is not None:
            self.steps = torch.from_numpy(steps).to(device)
            self.columns_of_step = self.steps[:, owner.to(device)]
        self.buffer = {k: torch.zeros_like(p) for k, p in self.shared.items() if momentum}
        self.batched: bool | None = None
        self.n_at_a_time = 1

    # -- a batch -------------------------------------------------------------------------------

    @contextmanager
    def looking_at(self, batch: Any) -> Iterator[None]:
        """Inside the block, everything is said of this batch, (x, target).

        Sets `losses` (n_tasks,) and `present` (n_tasks,): whether a label of the task counts.
        """
        self.x, target = training_batch(self.net, batch)
        self.codes = target["codes"]
        _, self.share, self.values = weigh_labels(target, self.class_weight, self.layout)
        if self.batched is None:
            self._plan()
        # Parameters of their own, so that the net's get no gradient.
        self.start = {k: p.detach()[None].requires_grad_() for k, p in self.shared.items()}
        self.outputs = self.forward(self.start)[0]
        n_members = len(self.outputs) // len(self.codes)
        if n_members > 1:
            self.codes = self.codes.repeat_interleave(n_members, 0)
            if self.values is not None:
                self.values = self.values.repeat_interleave(n_members, 0)
            self.share = self.share.repeat_interleave(n_members, 0) / n_members
        leaf = self.outputs.detach().requires_grad_()
        before = self.layout.true_log_probability(leaf, self.codes, self.values)
        losses = -(self.share * before).sum(0)
        # The loss of a task depends on its own logits alone: one backward pass serves all.
        (self.slope,) = torch.autograd.grad(losses.sum(), leaf)
        self.before, self.losses = before.detach(), losses.detach()
        self.present = (self.share > 0).any(0)
        self.rates = _learning_rates(self.net, self.shared)
        try:
            yield
        finally:
            # The graph and the batch need not outlive the look.
            del self.x, self.codes, self.values, self.share
            del self.start, self.outputs, self.slope, self.before

    def follow(self) -> None:
        """Add the gradient of the step that was just made to the running sum."""
        for name, total in self.buffer.items():
            total.mul_(self.momentum)
            if (grad := self.shared[name].grad) is not None:
                total.add_(grad)

    @property
    def learning_rate(self) -> float:
        """The net's learning rate; the largest where groups of parameters differ."""
        return max(self.rates.values())

    def defined(self, values: Tensor) -> Tensor:
        """Values (n_steps, n_tasks), NaN where no task of a step, or not the other task, has a
        label in the batch."""
        both = (self.steps & self.present).any(1)[:, None] & self.present
        return values.masked_fill(~both, torch.nan)

    def of_steps(self, of_tasks: Tensor) -> Tensor:
        """Sums over the tasks of each step, (n_steps, n), of what is linear in losses."""
        if self.columns_of_step is self.columns_of_task:
            return of_tasks
        return self.steps.to(of_tasks.dtype) @ of_tasks

    def gains_at(self, params: dict[str, Tensor]) -> Tensor:
        """1 − L_j(θ'_i) / L_j(θ), (n_params, n_tasks), of stacked shared parameters θ'_i."""
        with torch.no_grad():
            logits = self.forward(params)
            codes = self.codes.expand(len(logits), *self.codes.shape)
            values = None if self.values is None else self.values.expand(codes.shape)
            after = self.layout.true_log_probability(logits, codes, values)
            # Differences a sample, then their sum: two sums would cancel.
            return (self.share * (after - self.before)).sum(-2) / self.losses

    def gradients(self, columns: Tensor | None = None) -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Gradients of losses, as many at a time as fit: rows, and tensors (rows, ...).

        Parameters
        ----------
        columns : tensor of shape (n, n_outputs) of bool, default=None
            The outputs whose losses are summed: `columns_of_task` if None, or `columns_of_step`.
        """
        columns = self.columns_of_task if columns is None else columns
        for start in range(0, len(columns), self.n_at_a_time):
            rows = slice(start, min(start + self.n_at_a_time, len(columns)))
            yield rows, self.gradients_of(columns[rows])

    def gradients_of(self, columns: Tensor) -> dict[str, Tensor]:
        """Gradients of sums of losses, tensors (n, ...), of the outputs `columns` (n, n_outputs).

        The gradient of a sum is one backward pass, whatever the number of tasks in it.
        """
        slopes = self.slope * columns[:, None]
        grads = gradients_along(
            self.outputs, list(self.start.values()), slopes, batched=bool(self.batched)
        )
        return {
            name: p.new_zeros(len(slopes), *p.shape) if grad is None else grad[:, 0]
            for (name, p), grad in zip(self.shared.items(), grads, strict=True)
        }

    def gram(self, weights: dict[str, float] | None = None) -> Tensor:
        """Inner products (n_tasks, n_tasks) of the tasks' gradients.

        Parameters
        ----------
        weights : dict of str to float, default=None
            How much each parameter counts; 1 if None.

        Notes
        -----
        Where the gradients of all tasks do not fit, those of a block of tasks are computed anew
        for each other block.
        """
        out = self.losses.new_empty(self.layout.n_tasks, self.layout.n_tasks)
        for rows, of_step in self.gradients():
            for start in range(0, rows.stop, self.n_at_a_time):
                columns = slice(start, min(start + self.n_at_a_time, self.layout.n_tasks))
                of_columns = self.columns_of_task[columns]
                other = of_step if columns == rows else self.gradients_of(of_columns)
                block = torch.zeros_like(out[rows, columns])
                for name, grad in of_step.items():
                    weight = 1.0 if weights is None else weights[name]
                    block.addmm_(grad.flatten(1), other[name].flatten(1).T, alpha=weight)
                if columns == rows:
                    block = (block + block.T) / 2  # symmetric to the last bit
                out[rows, columns] = block
                out[columns, rows] = block.T
        return out

    def forward(self, params: dict[str, Tensor]) -> Tensor:
        """Logits (n_params, batch, n_outputs) of the batch, of stacked shared parameters."""
        n_params = len(next(iter(params.values())))
        buffers = dict(self.logits.named_buffers())

        def run(params: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            # A module may work in place.
            return functional_call(self.logits, (params, buffers), (_copy(self.x),))

        if self.batched:
            stacked = {k: b.expand(n_params, *b.shape).clone() for k, b in buffers.items()}
            with _same_draws(self.class_weight.device):
                return vmap(run, randomness="same")(params, stacked)
        outputs = []
        for i in range(n_params):
            of_one = {k: p[i] for k, p in params.items()}
            with _same_draws(self.class_weight.device):
                outputs.append(run(of_one, {k: b.clone() for k, b in buffers.items()}))
        return torch.stack(outputs)

    def _plan(self) -> None:
        """Find out whether the module can be batched over parameters, and for how many tasks
        there is room."""
        self.batched = False
        one = {k: p.detach()[None].requires_grad_() for k, p in self.shared.items()}
        outputs, saved = with_bytes_saved(lambda: self.forward(one)[0])
        of_params = sum(p.numel() * p.element_size() for p in self.shared.values())
        # A gradient and moved parameters; activations (and parameters) that a backward pass
        # keeps; logits, their slopes and losses.
        of_task = 2 * of_params + saved + 4 * outputs.numel() * outputs.element_size()
        n_fit = self.max_memory // of_task
        self.n_at_a_time = int(min(max(n_fit, 1), len(self.steps)))
        # Grouped convolutions are slower than one after another.
        if convolves(self.logits):
            return
        self.batched = True
        try:
            with batched_or_error():
                self.start = {
                    k: p.detach().expand(2, *p.shape).clone().requires_grad_()
                    for k, p in self.shared.items()
                }
                self.outputs = self.forward(self.start)[0]
                self.slope = torch.ones_like(self.outputs)
                self.gradients_of(self.columns_of_task[:2])
                with torch.no_grad():  # torch may choose other operations
                    self.forward(self.start)
        except (
            Exception
        ):  # whatever an operation of the user's may raise where it cannot be batched
            self.batched = False


def with_bytes_saved(run: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """What a forward pass returns, and the bytes that it keeps for a backward pass."""
    sizes = []

    def note(tensor: Tensor) -> None:
        # Nothing is kept: a tensor that a graph keeps in Python, and that belongs to the graph, is
        # a cycle that no garbage collector sees.
        sizes.append(tensor.numel() * tensor.element_size())

    with torch.autograd.graph.saved_tensors_hooks(note, lambda nothing: nothing):
        outputs = run()
    return outputs, sum(sizes)


def _shared_of(logits: _Logits, net: MultiTaskNet) -> dict[str, nn.Parameter]:
    """The trained shared parameters by name."""
    parameters = shared_parameters(logits.module).values()
    names = {p: name for name, p in logits.named_parameters()}
    trained = _learning_rates(net, {names[p]: p for p in parameters})
    shared = {names[p]: p for p in parameters if p.requires_grad and names[p] in trained}
    if not shared:
        owner = type(logits.module).__name__
        raise ValueError(RULE.format(owner) + f"{owner} has no shared parameter that is trained.")
    return shared


def _weights_of(shared: dict[str, nn.Parameter], module: nn.Module) -> dict[str, nn.Parameter]:
    """Those of more than one dimension that are no biases."""
    # The biases of a net's members are a matrix.
    weights = {
        name: p
        for name, p in shared.items()
        if p.dim() > 1 and "bias" not in name.rpartition(".")[2]
    }
    if not weights:
        raise ValueError(
            "The 'weights_only' parameter leaves no shared parameter of the module "
            f"{type(module).__name__}: it has biases and vectors alone."
        )
    return weights


def _learning_rates(net: MultiTaskNet, params: dict[str, nn.Parameter]) -> dict[str, float]:
    """The learning rate of each parameter, by name, as far as it is in an optimizer."""
    rates = {
        p: float(group["lr"])
        for name in net._optimizers
        for group in getattr(net, name + "_").param_groups
        for p in group["params"]
    }
    return {name: rates[p] for name, p in params.items() if p in rates}


def _copy(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _copy(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(_copy(value) for value in x)
    return x.clone() if isinstance(x, Tensor) else x


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """Put torch's and NumPy's random states back after the block."""
    state = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        np.random.set_state(state)
