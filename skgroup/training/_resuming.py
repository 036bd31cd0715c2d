"""Training that goes on where a killed process has left it, to the same bits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import LoadInitState
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skgroup._random import (
    GENERATORS,
    generator_states,
    put_back_generators,
    put_back_random,
    random_states,
)
from skgroup.store import RunningFit
from skgroup.training.data import BatchLoader

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet

_UNDER_WAY, _FINISHED = "training", "trained"
#: An epoch is brief, and not kept in its middle, if so many fit between two savings.
_BRIEF = 10
#: What torch keeps in a module, but for what users may set.
_OF_MODULES = vars(nn.Module()).keys() - {"training"}
_DATA = (bool, int, float, complex, str, bytes, type(None), np.generic, np.ndarray, *GENERATORS)


class Trained:
    """What training changes, to be kept and put back: of a net, or of nets that train as one.

    Parameters
    ----------
    nets : sequence of MultiTaskNet
        Whose histories and callbacks are kept.
    modules : dict of torch.nn.Module
    optimizers : dict of torch.optim.Optimizer
    parameters : dict of Parameter, default=None
        In place of those of the modules.
    buffers : dict of Tensor, default=None
        Beside those of the modules.
    recorder : Callback, default=None
        That no net has among its callbacks.
    given : dict, default=None
        Other objects that a process that goes on has anew, by names: data, ...
    """

    def __init__(
        self,
        nets: Sequence[MultiTaskNet],
        modules: Mapping[str, Any],
        optimizers: Mapping[str, Any],
        *,
        parameters: Mapping[str, Tensor] | None = None,
        buffers: dict[str, Tensor] | None = None,
        recorder: Any = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.nets, self.optimizers = nets, optimizers
        self.modules = {k: m for k, m in modules.items() if isinstance(m, nn.Module)}
        self.parameters = parameters
        self.buffers = {} if buffers is None else buffers
        self.recorders = [] if recorder is None else [recorder]
        self.given = given or {}
        self._before = [vars(net).copy() for net in nets]

    @classmethod
    def of_net(cls, net: MultiTaskNet, dataset: Any) -> Trained:
        """What training changes of a built net."""
        modules = {name: getattr(net, f"{name}_") for name in [*net._modules, *net._criteria]}
        optimizers = {name: getattr(net, f"{name}_") for name in net._optimizers}
        given = {"X": dataset.X, "dataset": dataset, **dataset.target}
        return cls([net], modules, optimizers, given=given)

    def _parameters(self) -> dict[str, Tensor]:
        if self.parameters is not None:
            return dict(self.parameters)
        return {
            f"{name}.{key}": parameter
            for name, module in self.modules.items()
            for key, parameter in module.named_parameters()
        }

    def _parts(self) -> dict[str, nn.Module]:
        return {
            f"{name}.{key}": part
            for name, module in self.modules.items()
            for key, part in module.named_modules()
        }

    def callbacks(self) -> list[Any]:
        of_nets = [cb for net in self.nets for _, cb in net.callbacks_]
        return [cb for cb in [*of_nets, *self.recorders] if not getattr(cb, "only_tells", False)]

    def known(self) -> dict[Any, Any]:
        """Objects that are not kept, as they are there again; what they hold is kept by itself."""
        known: dict[Any, Any] = {("given", k): v for k, v in self.given.items()}
        known |= {("parameter", k): p for k, p in self._parameters().items()}
        known |= {("part", k): part for k, part in self._parts().items()}
        known |= {("optimizer", k): v for k, v in self.optimizers.items()}
        for i, callback in enumerate(self.callbacks()):
            known["callback", i] = callback
            kind: Any = type(callback)
            for name in _given_to(kind):
                known["callback", i, name] = vars(callback).get(name)
        for i, net in enumerate(self.nets):
            known |= {("net", i): net, ("history", i): net.history_}
            known |= {("parameter of net", i, k): v for k, v in net.get_params(deep=False).items()}
        return known

    def state(self) -> dict[str, Any]:
        """All of it; tensors are those that training goes on to change."""
        parts = {"history_", "callbacks_", "resuming_"}
        parts |= {f"{name}_" for name in [*self.modules, *self.optimizers]}
        return {
            "parameters": {k: (p.detach(), p.requires_grad) for k, p in self._parameters().items()},
            "buffers": self.buffers,
            "parts": {k: _of_part(part) for k, part in self._parts().items()},
            "optimizers": {k: _of_optimizer(v) for k, v in self.optimizers.items()},
            "callbacks": [_of_callback(callback) for callback in self.callbacks()],
            "histories": [list(net.history_) for net in self.nets],
            "attributes": [
                {k: v for k, v in vars(net).items() if v is not before.get(k) and k not in parts}
                for net, before in zip(self.nets, self._before, strict=True)
            ],
        }

    def fits(self, state: dict[str, Any]) -> bool:
        """Whether a state is one of such nets: callbacks may have changed what they are made of."""
        shapes = {k: p.shape for k, p in self._parameters().items()}
        same: bool = shapes == {k: p.shape for k, (p, _) in state["parameters"].items()}
        return same and len(state["callbacks"]) == len(self.callbacks())

    def put_back(self, state: dict[str, Any]) -> None:
        """Make all of it what it was."""
        parameters, parts = self._parameters(), self._parts()
        with torch.no_grad():
            for name, (value, requires_grad) in state["parameters"].items():
                parameters[name].requires_grad_(requires_grad).copy_(value)
            _fill(self.buffers, state["buffers"])
            for name, (buffers, attributes) in state["parts"].items():
                _fill(parts[name]._buffers, buffers)
                parts[name].__dict__.update(attributes)
        for name, attributes in state["optimizers"].items():
            self.optimizers[name].__dict__.update(attributes)
        for callback, attributes in zip(self.callbacks(), state["callbacks"], strict=True):
            if _says_itself(callback):
                callback.load_state_dict(attributes)
            else:
                vars(callback).update(attributes)
        of_nets: Any = zip(self.nets, state["histories"], state["attributes"], strict=True)
        for net, rows, attributes in of_nets:
            net.history_[:] = rows
            net.__dict__.update(attributes)


class Resuming:
    """The training of a net, or of a stack, that a checkpoint keeps.

    Parameters
    ----------
    checkpoint : RunningFit
    trained : Trained
    generators : iterable of objects
        That batches are drawn with, or things that hold some.
    """

    def __init__(
        self, checkpoint: RunningFit, trained: Trained, generators: Iterable[Any] = ()
    ) -> None:
        self.checkpoint, self.trained = checkpoint, trained
        self.sources = list(generators)
        self._found: Any = None
        self._epoch, self._n_before = -1, 0
        self._began = -np.inf  # the last epoch
        self._replays: bool | None = None
        self._at_begin: Any = None

    def _load(self, name: str) -> Any:
        if not self.checkpoint.has(name):
            return None
        found = self.checkpoint.load(name, known=self.trained.known())
        return found if found is not None and self.trained.fits(found["trained"]) else None

    def check(self) -> None:
        """Refuse callbacks of the user's whose state cannot be kept."""
        known: dict[Any, Any] = {}
        for net in self.trained.nets:
            for name, callback in net.callbacks_:
                ours = type(callback).__module__.startswith(("skorch.", "skgroup."))
                if ours or getattr(callback, "only_tells", False):
                    continue
                known = known or self.trained.known()
                try:
                    self.checkpoint.check(_of_callback(callback), known)
                except Exception as error:
                    raise ValueError(
                        "The 'checkpoint' parameter must be None where callbacks hold what cannot "
                        f"be pickled. The callback {name} does: {error}; by methods 'state_dict' "
                        "and 'load_state_dict' it can say itself what is to be kept of it."
                    ) from error

    def finished(self) -> bool:
        """Whether an earlier run has finished the training; all is then as it was at its end."""
        found = self._load(_FINISHED)
        if found is not None:
            self.trained.put_back(found["trained"])
        return found is not None

    def begin(self, n_before: int) -> tuple[int, int]:
        """How many epochs the history had when training began, which are so many now, and how many
        an earlier run has finished since; what these have left is put back."""
        self._n_before = n_before
        self._found = self._load(_UNDER_WAY)
        if self._found is None:
            return n_before, 0
        self.trained.put_back(self._found["trained"])
        for net in self.trained.nets:
            del net.history_[-1]  # the epoch that is begun
        self._n_before, self._epoch = self._found["before"], self._found["epoch"] - 1
        return self._n_before, self._found["epoch"]

    @property
    def begun(self) -> bool:
        """Whether an epoch has begun."""
        return self._replays is not None

    def begin_epoch(self, batches: Any) -> tuple[Iterator[Any], list[Tensor], list[int]]:
        """The batches of an epoch that are left, losses and sizes of those that are not."""
        self._epoch += 1
        self._replays = _replays(batches)
        last, self._began = self._began, time.monotonic()
        if self._found is None:
            due = self.checkpoint.due() or (
                self._epoch == 0
                and any(isinstance(cb, LoadInitState) for cb in self.trained.callbacks())
            )
            # What generators are at takes a while to ask; a state between brief epochs will do.
            brief = (self._began - last) * _BRIEF < self.checkpoint.every
            self._at_begin = None if brief and not due else self._randomness()
            if due:
                self._save([], [])
            return iter(batches), [], []
        # Read again: what was put back before may have changed since.
        found, self._found = self._load(_UNDER_WAY) or self._found, None
        self._at_begin = found["random at begin"]
        self._put_back_randomness(self._at_begin)
        left = iter(batches)
        for _ in found["sizes"]:
            next(left)
        if found["sizes"]:  # else the pass has just drawn what it drew then
            self._put_back_randomness(found["random"])
        self.trained.put_back(found["trained"])
        losses = [] if found["losses"] is None else list(found["losses"].unbind())
        return left, losses, found["sizes"]

    def after_batch(self, losses: list[Tensor], sizes: list[int]) -> None:
        """Keep where training is, if it is time to."""
        if self._replays and self._at_begin is not None and self.checkpoint.due():
            self._save(losses, sizes)

    def finish(self) -> None:
        """Keep what training has left, if it took a while and there is more to come behind it."""
        if self.checkpoint.is_part and not self.checkpoint.recent:
            state = {"trained": self.trained.state()}
            if self.checkpoint.save(_FINISHED, state, self.trained.known()):
                self.checkpoint.forget(_UNDER_WAY)

    def _save(self, losses: list[Tensor], sizes: list[int]) -> None:
        state = {
            "before": self._n_before,
            "epoch": self._epoch,
            "trained": self.trained.state(),
            "losses": torch.stack(losses) if losses else None,
            "sizes": sizes,
            "random at begin": self._at_begin,
            "random": self._randomness() if sizes else None,
        }
        self.checkpoint.save(_UNDER_WAY, state, self.trained.known())

    def _randomness(self) -> tuple[Any, dict[str, Any]]:
        return random_states(), generator_states(self.sources)

    def _put_back_randomness(self, states: tuple[Any, dict[str, Any]]) -> None:
        put_back_random(states[0])
        put_back_generators(self.sources, states[1])


def _replays(batches: Any) -> bool:
    """Whether a second pass from the same random state gives the same batches, whatever else is
    drawn between them: an order that is known when the pass begins does.

    Raises
    ------
    ValueError
        If no pass of another process does.
    """
    loader = batches.loader if isinstance(batches, BatchLoader) else batches
    if not isinstance(loader, DataLoader):
        return loader is None or isinstance(batches, Iterator)
    if loader.num_workers and loader.persistent_workers:
        raise ValueError(
            "The 'iterator_train__persistent_workers' parameter must be False beside a "
            "'checkpoint': what workers draw at random in an epoch would depend on all epochs "
            f"before. Got {loader.persistent_workers!r}."
        )
    samplers = [loader.sampler, loader.batch_sampler]
    return all(s is None or type(s).__module__.startswith(("torch.", "skgroup.")) for s in samplers)


@lru_cache(maxsize=256)
def _given_to(kind: type) -> tuple[str, ...]:
    """The names of what an object of a class is made with."""
    return tuple(signature(kind.__init__).parameters)  # type: ignore[misc]


def _of_part(part: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Buffers and plain attributes of a module."""
    attributes = {k: v for k, v in vars(part).items() if k not in _OF_MODULES and _is_data(v)}
    return dict(part._buffers), attributes


def _of_optimizer(optimizer: Any) -> dict[str, Any]:
    return {
        k: v
        for k, v in vars(optimizer).items()
        if _is_data(v) or not (k.startswith("_") or callable(v))
    }


def _of_callback(callback: Any) -> Any:
    if _says_itself(callback):
        return callback.state_dict()
    # Of some attributes a callback says by this method that they are made anew.
    kept = callback.__getstate__()
    return {k: v for k, v in vars(callback).items() if not isinstance(kept, dict) or k in kept}


def _says_itself(callback: Any) -> bool:
    return hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict")


def _is_data(value: Any) -> bool:
    """Whether a value consists of numbers, strings and generators alone."""
    if isinstance(value, Tensor):
        return not isinstance(value, nn.Parameter) and not value.requires_grad
    if isinstance(value, list | tuple | set | frozenset | deque):
        return all(map(_is_data, value))
    if isinstance(value, dict):
        return all(_is_data(k) and _is_data(v) for k, v in value.items())
    return isinstance(value, _DATA)


def _fill(live: Any, values: Mapping[str, Tensor | None]) -> None:
    """Make tensors what they were, in place where that can be."""
    for name, value in values.items():
        old = live.get(name)
        if old is None or value is None or (old.shape, old.dtype) != (value.shape, value.dtype):
            live[name] = value
        else:
            old.copy_(value)
