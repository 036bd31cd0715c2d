"""Many small nets trained as one: stacked parameters, one batched pass a step."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring, PrintLog
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from skgroup._compat import only_watched
from skgroup._random import local_seed
from skgroup.nn import Dropout, LinearHeads, TaskHeads
from skgroup.store import NOT_KEPT, RunningFit
from skgroup.tasks import OutputLayout, join_outputs
from skgroup.training._balanced_step import BalancedStep
from skgroup.training._fit_tasks import telling
from skgroup.training._net import MultiTaskNet
from skgroup.training._resuming import Resuming, Trained
from skgroup.training._threads import one_thread
from skgroup.training.balancing import BALANCINGS, Balancing
from skgroup.training.data import BatchLoader, TaskDataset
from skgroup.training.data_map import DataMapRecorder
from skgroup.training.loss import fold_members, has_parts_a_task
from skgroup.training.training_data import TrainingData

__all__ = [
    "Stack",
    "predict_stacked",
    "prediction_stack",
    "stack_or_reason",
    "stack_pays",
    "train_stacked",
    "training_pays",
]

_CONVOLUTION = (nn.modules.conv._ConvNd,)
# Optimizers that treat every number of the parameters alone.
_ELEMENTWISE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
# Callbacks that skorch gives every net, which only take notes.
_OF_EVERY_NET = {EpochTimer, PassthroughScoring, PrintLog}
#: Weights times samples in a batch, of one net, up to which a stack is faster than a loop.
_STACK_UP_TO = 2**24
#: Batches from which on a stack predicts faster than one net after another.
_PREDICT_FROM = 8
#: Options of batches that a stack takes.
_ORDERED = {"shuffle", "batch_size", "drop_last", "block_size", "blocks_at_once"}
#: Nets from which on a stack that `torch.func.vmap` runs predicts faster than one after another.
_VMAP_FROM = 8
#: Steps of training from which on a stack is faster than a loop: it has to be tried first.
_TRAIN_FROM = 32


class StackedLinear(nn.Module):
    """The linear layers of many nets as one batched product; rows are padded to the largest."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(_pad_and_stack([layer.weight for layer in layers]))
        self.bias: Tensor | None = None
        if layers[0].bias is not None:
            self.bias = nn.Parameter(_pad_and_stack([layer.bias for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n_nets, batch, n_out) of inputs (n_nets, batch, n_in)."""
        if self.bias is None:
            return torch.bmm(x, self.weight.mT)
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)


class Stack:
    """Nets of one architecture as one module with stacked parameters.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        Of equal structure; `TaskHeads` may differ in their number of outputs, and are padded.
    swap : bool
        Swap the linear layers for stacked ones, which is fastest, but right only for modules
        that do nothing else than linear layers and operations on single numbers; or let
        `torch.func.vmap` run the module, whatever it does.
    """

    def __init__(self, modules: Sequence[nn.Module], *, swap: bool) -> None:
        self.modules, self.swap = list(modules), swap
        for part in modules[0].modules() if swap else ():
            parameter = next(part.parameters(recurse=False), None)
            if parameter is not None and type(part) not in (nn.Linear, LinearHeads):
                raise NotImplementedError(f"{type(part).__name__} is no linear layer")
        self.base = copy.deepcopy(modules[0])
        self.buffers: dict[str, Tensor] = {}
        if not swap:
            parts: list[Any] = [dict(m.named_parameters()) for m in modules]
            self.params: dict[str, Any] = {
                k: nn.Parameter(_pad_and_stack([p[k] for p in parts])) for k in parts[0]
            }
            parts = [dict(m.named_buffers()) for m in modules]
            self.buffers = {k: torch.stack([b[k] for b in parts]) for k in parts[0]}
            return
        for name, part in modules[0].named_modules():
            if type(part) in (nn.Linear, LinearHeads):
                layers: list[Any] = [m.get_submodule(name) for m in modules]
                self.base.set_submodule(name, StackedLinear(layers))
            elif isinstance(part, nn.Flatten) and part.start_dim > 0:
                self.base.set_submodule(name, nn.Flatten(part.start_dim + 1, part.end_dim))
            elif isinstance(part, Dropout):
                of_nets: list[Any] = [m.get_submodule(name) for m in modules]
                stacked: Any = self.base.get_submodule(name)
                stacked.state = torch.stack([of_net.state for of_net in of_nets])
                self.buffers[f"{name}.state"] = stacked.state
        self.params = dict(self.base.named_parameters())
        if self.params.keys() != dict(modules[0].named_parameters()).keys():
            raise NotImplementedError("parameters are shared between layers")

    def __call__(self, x: Tensor, *, shared: bool) -> Tensor:
        """Logits (n_nets, batch, n_outputs) of a batch each, or of one batch that all share."""
        if self.swap:
            return self.base(x.expand(len(self.modules), *x.shape) if shared else x)

        def one(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
            return join_outputs(functional_call(self.base, (params, buffers), (x,)))

        return vmap(one, in_dims=(0, 0, None if shared else 0))(self.params, self.buffers, x)

    def computes_what_they_do(self, x: Tensor, *, training: bool) -> bool:
        """Whether the stack and copies of its modules agree on some inputs; changes the stack."""
        copies = [copy.deepcopy(m).train(training) for m in self.modules]
        self.base.train(training)
        with torch.no_grad():
            # A module may work in place, and the inputs may be the user's.
            together = self(x.clone(), shared=True)
            alone = [join_outputs(m(x.clone())) for m in copies]
        return all(
            t.shape[:-1] == a.shape[:-1] and torch.allclose(t[..., : a.shape[-1]], a, atol=1e-4)
            for t, a in zip(together, alone, strict=True)
        )

    def unstack(self, optimizer: Any, optimizers: Sequence[Any]) -> None:
        """Give every module its own parameters back, and its optimizer their state."""
        _unstack(self.modules, self.params | self.buffers, optimizer, optimizers)


def _stacked_balancing(of_nets: Sequence[Balancing]) -> Balancing:
    """The balancings of all nets as one, whose tensors have a first dimension of the nets."""
    stacked = copy.deepcopy(of_nets[0])
    tensors = [_tensors_of(balancing) for balancing in of_nets]
    for name, tensor in tensors[0].items():
        of_all = _pad_and_stack([of_net[name] for of_net in tensors])
        is_parameter = isinstance(tensor, nn.Parameter)
        setattr(stacked, name, nn.Parameter(of_all) if is_parameter else of_all)
    return stacked


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    return dict([*module.named_parameters(), *module.named_buffers()])


def _unstack(
    modules: Sequence[nn.Module],
    tensors: dict[str, Tensor],
    optimizer: Any,
    optimizers: Sequence[Any],
) -> None:
    """Give every module its own of the stacked tensors, and its optimizer the state of those that
    are parameters."""
    with torch.no_grad():
        for j, (module, of_module) in enumerate(zip(modules, optimizers, strict=True)):
            of_net = _tensors_of(module)
            for name, stacked in tensors.items():
                kept = tuple(slice(n) for n in of_net[name].shape)
                of_net[name].copy_(stacked[j][kept])
                if isinstance(stacked, nn.Parameter):
                    of_module.state[of_net[name]] = {
                        key: value[j][kept].clone()
                        if getattr(value, "shape", None) == stacked.shape
                        else value.clone()
                        if isinstance(value, Tensor)
                        else copy.copy(value)
                        for key, value in optimizer.state[stacked].items()
                    }


def _pad_and_stack(tensors: Sequence[Tensor]) -> Tensor:
    if tensors[0].dim() == 0:
        return torch.stack([t.detach() for t in tensors])
    n_rows = max(t.shape[0] for t in tensors)
    return torch.stack(
        [F.pad(t.detach(), [0, 0] * (t.dim() - 1) + [0, n_rows - t.shape[0]]) for t in tensors]
    )


def stack_or_reason(nets: Sequence[MultiTaskNet], data: Sequence[TrainingData]) -> Stack | str:
    """A stack of prepared nets, or why there can be none.

    A stack must give what training one net after the other gives, so everything that a user may
    have put into the loop (callbacks, iterators, schedules, random layers) is left to the loop.
    """
    first = nets[0]
    if any(type(net) is not MultiTaskNet for net in nets):
        return "the net is of a subclass of MultiTaskNet"
    X = data[0].X
    if not isinstance(X, Tensor) or any(d.X is not X for d in data):
        return "the inputs are not one array in memory"
    callbacks = {type(callback) for _, callback in first.callbacks_} - _OF_EVERY_NET
    if callbacks or first.train_split or first.compile or first.verbose:
        return "the net has callbacks, a validation split, compile or verbose"
    if not all(only_watched(net) for net in nets):
        return "the net has callbacks of scikit-learn's that may look into it, or end its training"
    if first.predict_nonlinearity != "auto":
        return "the net has a predict_nonlinearity of its own"
    options = _options(first, "iterator_train")
    if "transform" in options:
        return "the net has a transform, which may draw random numbers"
    if first.iterator_train is not BatchLoader or options - _ORDERED:
        return "the net has an iterator of its own"
    if not has_parts_a_task(first.criterion_) or first.optimizer not in _ELEMENTWISE:
        return "the net has a loss or an optimizer that may not treat each net alone"
    if first.balancing is not None and type(first.balancing_) not in BALANCINGS.values():
        return "the balancing is not one of skgroup's"
    if len(first._optimizers) > 1 or len(first.optimizer_.param_groups) > 1:
        return "the net has several optimizers or groups of parameters"
    modules = [net.module_ for net in nets]
    kinds = [[type(part) for part in m.modules()] for m in modules]
    if any(kind != kinds[0] for kind in kinds):
        return "the modules differ"
    layouts = [net._layout for net in nets]
    outputs = {layout.task_outputs for layout in layouts}
    kinds_of = {(layout.task_outputs, layout.task_types) for layout in layouts}
    alike = layouts[0].only is not None and all(lay.only is layouts[0].only for lay in layouts)
    if len(kinds_of) > 1 and not alike:
        return "multiclass tasks, or the kinds of tasks, differ between the nets"
    if len(outputs) > 1 and sum(isinstance(part, TaskHeads) for part in modules[0].modules()) != 1:
        return "the heads are not one skgroup.nn.LinearHeads"
    if any(not p.requires_grad for p in modules[0].parameters()):
        return "some parameters are frozen"
    return stack_of(modules, first._inputs_of(X[:4]), training=True)


def _options(net: MultiTaskNet, iterator: str) -> set[str]:
    """The options of an iterator that are set."""
    return {key for key, value in net.get_params_for(iterator).items() if value is not None}


@one_thread()  # of a few samples
def stack_of(
    modules: Sequence[nn.Module],
    x: Tensor,
    *,
    training: bool,
    swaps: Sequence[bool] = (True, False),
) -> Stack | str:
    """A stack that computes what the modules do on a few samples `x`, or why none does."""
    try:
        if training and _draws(copy.deepcopy(modules[0]).train(), x.clone()):
            return "the module draws random numbers"
    except Exception as error:  # whatever a module of the user's may raise on so few samples
        return f"the module cannot be tried: {error}"
    reason = ""
    for swap in swaps:
        try:
            tried = [Stack(modules, swap=swap) for _ in range(1 + training)]
            if all(t.computes_what_they_do(x, training=bool(k)) for k, t in enumerate(tried)):
                return Stack(modules, swap=swap)
            reason = "the stacked module computes something else"
        except Exception as error:
            reason = f"the module cannot be stacked: {error}"
    return reason


def _draws(module: nn.Module, x: Tensor) -> bool:
    """Whether a pass in train mode draws random numbers."""
    with local_seed(0), torch.no_grad():
        before = torch.get_rng_state()
        module(x)
        return not torch.equal(before, torch.get_rng_state())


def stack_pays(nets: Sequence[MultiTaskNet], n_samples: int) -> bool:
    """Whether a stack was measured to be faster than a loop for nets like these.

    Small nets spend their time on starting operations, which a stack starts once for all.
    Convolutions of a stack run as grouped convolutions, which are slower than one after another.
    """
    module = nets[0].module_
    if len(nets) < 2 or any(isinstance(part, _CONVOLUTION) for part in module.modules()):
        return False
    weights = sum(p.numel() for p in module.parameters()) * getattr(module, "n_members", 1)
    batch_size = nets[0].batch_size_ if nets[0].batch_size_ > 0 else n_samples
    return weights * batch_size <= _STACK_UP_TO


def training_pays(nets: Sequence[MultiTaskNet], n_samples: int) -> bool:
    """Whether training nets like these as a stack was measured to be faster than a loop."""
    batch_size = nets[0].batch_size_ if nets[0].batch_size_ > 0 else n_samples
    n_steps = nets[0].max_epochs * -(-n_samples // batch_size)
    return n_steps >= _TRAIN_FROM and stack_pays(nets, n_samples)


def train_stacked(
    stack: Stack,
    nets: Sequence[MultiTaskNet],
    data: Sequence[TrainingData],
    *,
    recorder: DataMapRecorder | None = None,
    progress: Sequence[Callback] = (),
    checkpoint: RunningFit = NOT_KEPT,
) -> None:
    """Train prepared nets together; each ends as if it had been trained alone.

    Parameters
    ----------
    stack : Stack
        Of the modules of the nets.
    nets : sequence of MultiTaskNet
    data : sequence of TrainingData, one a net
    recorder : DataMapRecorder, default=None
        Records the tasks of all nets side by side. The nets must have equal seeds, so that they
        see the same batches.
    progress : sequence of Callback, default=()
        Hear of the end of each epoch of each net.
    checkpoint : RunningFit, default=NOT_KEPT
        What is to keep where training is.
    """
    first = nets[0]
    datasets = [net.dataset_of(d) for net, d in zip(nets, data, strict=True)]
    device = next(first.module_.parameters()).device
    stack.base.train()
    balancing: Balancing | None = None
    balanced: BalancedStep | None = None
    params = dict(stack.params)
    if first.balancing is not None:
        of_nets: list[Any] = [net.balancing_ for net in nets]
        balancing = _stacked_balancing(of_nets)
        balanced = BalancedStep.of_stack(balancing, first, stack.params)
        params |= balancing.named_parameters()
    args, kwargs = first.get_params_for_optimizer("optimizer", params.items())
    optimizer = first.optimizer(*args, **kwargs)
    shared = len({net.seed_ for net in nets}) == 1
    tasks = _StackedTasks(nets, datasets, device)
    if recorder is not None:
        recorder.begin(*tasks.side_by_side())
    loader = BatchLoader(
        datasets[0], **{"batch_size": first.batch_size_, **first.get_params_for("iterator_train")}
    )
    if loader.batch_size == -1:
        loader.batch_size = len(datasets[0])
    generators = [torch.Generator().manual_seed(net.seed_ + 1 + len(net.history_)) for net in nets]
    with (
        local_seed(first.seed_),
        _few_threads(stack, nets, len(datasets[0])),
        ExitStack() as told,
    ):
        tellers = [told.enter_context(telling(*pair)) for pair in zip(nets, data, strict=True)]
        for net in nets:
            net._set_training(True)
            net.notify("on_train_begin", X=datasets[0], y=None)
        resuming, done = None, 0
        if checkpoint:
            modules = {"stack": stack.base, "balancing": balancing}
            trained = Trained(
                nets,
                modules,
                {"optimizer": optimizer},
                parameters=params,
                buffers=stack.buffers,
                recorder=recorder,
            )
            resuming = Resuming(checkpoint, trained, generators)
            done = first.max_epochs if resuming.finished() else resuming.begin(0)[1]
        for _ in range(first.max_epochs - done):
            for net, dataset, of_net in zip(nets, datasets, tellers, strict=True):
                net.notify("on_epoch_begin", dataset_train=dataset, dataset_valid=None)
                for teller in of_net:
                    teller.on_epoch_begin(net)
            losses: list[Tensor] = []
            sizes: list[int] = []
            batches = _batches(loader, generators[:1] if shared else generators)
            if resuming is not None:
                batches, losses, sizes = resuming.begin_epoch(batches)
            for index in batches:
                x = first._inputs_of(take(data[0].X, index))
                target = tasks.batch(index)
                optimizer.zero_grad()
                with first._autocast():
                    logits = stack(x, shared=shared).float()
                of_loss = (tasks.weight, tasks.layout, tasks.complete)
                if balanced is None:
                    loss = first.criterion_.of_batch(*fold_members(logits, target), *of_loss)
                    loss.sum().backward()
                else:
                    loss = balanced.backward(logits, target, *of_loss, tasks.task_weight)
                optimizer.step()
                if recorder is not None:
                    recorder.record(index, tasks.logits_side_by_side(logits))
                losses.append(loss.detach())
                sizes.append(index.shape[-1])
                if resuming is not None:
                    resuming.after_batch(losses, sizes)
            of_nets = torch.stack(losses, dim=1).tolist() if losses else [[]] * len(nets)
            if recorder is not None:
                recorder.end_epoch()
            for net, of_net, dataset, own in zip(nets, of_nets, datasets, tellers, strict=True):
                net._record_batches("train", of_net, sizes)
                net.notify("on_epoch_end", dataset_train=dataset, dataset_valid=None)
                for callback in (*progress, *own):
                    callback.on_epoch_end(net)
        if resuming is not None and done < first.max_epochs:
            resuming.finish()
        optimizers = [net.optimizer_ for net in nets]
        stack.unstack(optimizer, optimizers)
        if balancing is not None:
            _unstack(
                [net.balancing_ for net in nets], _tensors_of(balancing), optimizer, optimizers
            )
        for net, dataset in zip(nets, datasets, strict=True):
            net.notify("on_train_end", X=dataset, y=None)
        if recorder is not None:
            recorder.end()


def prediction_stack(nets: Sequence[MultiTaskNet], dataset: TaskDataset) -> Stack | None:
    """A stack that predicts what the nets predict; None if there is none, or it would not pay."""
    first = nets[0]
    n_batches = len(dataset) / first.prediction_batch_size
    if n_batches < _PREDICT_FROM or not stack_pays(nets, len(dataset)):
        return None
    if type(first) is not MultiTaskNet or first.iterator_valid is not BatchLoader:
        return None
    if _options(first, "iterator_valid") - {"generator"} or first.predict_nonlinearity != "auto":
        return None
    settings = _prediction_settings(first)
    if any(type(net) is not MultiTaskNet for net in nets) or not all(
        _same(settings, _prediction_settings(net)) for net in nets[1:]
    ):
        return None
    modules = [net.module_ for net in nets]
    kinds = [[type(part) for part in m.modules()] for m in modules]
    if any(kind != kinds[0] for kind in kinds):
        return None
    swaps = (True, False) if len(nets) >= _VMAP_FROM else (True,)
    if not isinstance(dataset.X, Tensor):
        return None
    stack = stack_of(modules, first._inputs_of(dataset.X[:4]), training=False, swaps=swaps)
    if isinstance(stack, str):
        return None
    stack.base.eval()
    return stack


def predict_stacked(
    stack: Stack, nets: Sequence[MultiTaskNet], dataset: TaskDataset, *, logits: bool = False
) -> Iterator[list[Tensor]]:
    """Probabilities, or logits, (batch, n_outputs) of each net, batch by batch, by one pass for all
    nets."""
    first = nets[0]
    layouts = [net._layout for net in nets]
    read = [layout.mean_logits if logits else layout.mean_probability for layout in layouts]
    with _few_threads(stack, nets, len(dataset)):
        for x, _ in BatchLoader(dataset, first.prediction_batch_size):
            with torch.no_grad(), first._autocast():
                of_nets = stack(first._inputs_of(x), shared=True).float().cpu()
            yield [
                of_net(outputs[..., : layout.n_outputs])
                for of_net, layout, outputs in zip(read, layouts, of_nets, strict=True)
            ]


#: Parameters of a net that its predictions depend on, beside what it has learned.
_PREDICTING = (
    "module",
    "iterator_valid",
    "batch_size",
    "precision",
    "predict_nonlinearity",
    "dataset",
    "compile",
)


def _prediction_settings(net: MultiTaskNet) -> dict[str, Any]:
    params = net.get_params(deep=False)
    prefixes = ("module__", "iterator_valid__")
    settings = {k: v for k, v in params.items() if k in _PREDICTING or k.startswith(prefixes)}
    if isinstance(net.module, nn.Module):  # clones are copies
        settings["module"] = type(net.module)
    scaling = {} if net.scaling_ is None else {k: v.numpy() for k, v in vars(net.scaling_).items()}
    return settings | {"device": str(next(net.module_.parameters()).device), "scaling": scaling}


def _same(a: Any, b: Any) -> bool:
    """Whether two settings are surely equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(np.all(a == b))
    except (TypeError, ValueError, RuntimeError):  # what cannot be compared
        return False


def _few_threads(
    stack: Stack, nets: Sequence[MultiTaskNet], n_samples: int
) -> AbstractContextManager[None]:
    """One thread for nets that are small alone: their number makes more work, but no step of it
    gains enough from a second thread to wait for one that another process keeps from running."""
    known = stack.swap or len(nets[0].input_shape_ or ()) == 1
    return one_thread(known and stack_pays(nets, n_samples))


def _batches(loader: BatchLoader, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
    """Samples of each batch of one pass: (batch,) if all share them, else (n_nets, batch)."""
    orders = []
    for generator in generators:
        loader.generator = generator
        order = loader.order()
        orders.append(torch.arange(loader.n_samples) if order is None else order)
    order = orders[0] if len(orders) == 1 else torch.stack(orders)
    for start in range(0, len(loader) * loader.batch_size, loader.batch_size):
        yield order[..., start : start + loader.batch_size]


class _StackedTasks:
    """Labels and weights of the tasks of all nets, padded to the largest number of tasks."""

    def __init__(self, nets: Sequence[MultiTaskNet], datasets: Sequence[Any], device: Any) -> None:
        self.n_tasks = [len(net.task_outputs_) for net in nets]
        widest = max(nets, key=lambda net: len(net.task_outputs_))
        self.layout = widest.criterion_.layout.to(device)
        layouts = [net._layout for net in nets]
        self.of_all = OutputLayout(
            [k for layout in layouts for k in layout.task_outputs],
            [name for layout in layouts for name in layout.task_types],
            device,
        )
        width = max(net.criterion_.weight.shape[-1] for net in nets)
        self.weight = torch.zeros(len(nets), max(self.n_tasks), width, device=device)
        for j, net in enumerate(nets):
            w = net.criterion_.weight
            self.weight[j, : w.shape[0], : w.shape[1]] = w
        self.task_weight = _pad_and_stack([net.criterion_.task_weight for net in nets]).to(device)
        # A padded task has a label (of the first class) and no weight.
        codes = [d.target["codes"] for d in datasets]
        same = all(c is codes[0] for c in codes)
        self.codes = codes[0][None] if same else _pad_tasks(codes)
        self.codes = self.codes.to(device)
        self.values: Tensor | None = None
        if any("values" in d.target for d in datasets):
            # Nets of the same tasks, or of regression tasks alone: those of all have numbers.
            values = [d.target["values"] for d in datasets]
            self.values = (values[0][None] if same else _pad_tasks(values)).to(device)
        self.net = torch.arange(len(nets), device=device)[:, None]
        self.complete = all(net.criterion_.complete for net in nets)
        self.sample_weight: Tensor | None = None
        if "weight" in datasets[0].target:
            # Of samples, which all nets share, or of the labels of each.
            weights = [d.target["weight"] for d in datasets]
            of_labels = weights[0].dim() == 2
            self.sample_weight = (_pad_tasks(weights) if of_labels else weights[0]).to(device)

    def batch(self, index: Tensor) -> dict[str, Tensor]:
        """Targets (n_nets, batch, n_tasks) of the samples (batch,) or (n_nets, batch)."""
        index = index.to(self.codes.device)
        target = {"codes": self._of_nets(self.codes, index)}
        if self.values is not None:
            target["values"] = self._of_nets(self.values, index)
        if self.sample_weight is not None:
            if self.sample_weight.dim() == 1:
                target["weight"] = self.sample_weight[index].expand(target["codes"].shape[:-1])
            else:
                target["weight"] = self._of_nets(self.sample_weight, index)
        return target

    def _of_nets(self, labels: Tensor, index: Tensor) -> Tensor:
        """Rows of the labels of each net."""
        if len(labels) == 1:
            rows = take(labels[0], index)
            return rows.expand(len(self.net), *rows.shape) if index.dim() == 1 else rows
        return labels.index_select(1, index) if index.dim() == 1 else labels[self.net, index]

    def side_by_side(self) -> tuple[OutputLayout, Tensor, Tensor | None]:
        """Layout, codes and numbers (n_samples, tasks of all nets) of the tasks of all nets."""

        def together(labels: Tensor) -> Tensor:
            last = len(labels) - 1
            of_nets = [labels[min(j, last), :, :n] for j, n in enumerate(self.n_tasks)]
            return torch.cat(of_nets, dim=1)

        values = None if self.values is None else together(self.values)
        return self.of_all, together(self.codes), values

    def logits_side_by_side(self, logits: Tensor) -> Tensor:
        logits = self.layout.mean_logits(logits.detach(), batch_dims=2)
        if logits.shape[-1] == 1:
            return logits[..., 0].T
        if self.layout.only is None:  # all of the same tasks
            return torch.cat(list(logits), dim=1)
        kept = zip(logits, self.n_tasks, strict=True)
        return torch.cat([of_net[:, :n] for of_net, n in kept], dim=1)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """`rows[index]` for an index of any shape, by the fastest way."""
    return rows.index_select(0, index.reshape(-1)).reshape(*index.shape, *rows.shape[1:])


def _pad_tasks(codes: Sequence[Tensor]) -> Tensor:
    n_tasks = max(c.shape[1] for c in codes)
    return torch.stack([F.pad(c, [0, n_tasks - c.shape[1]]) for c in codes])
