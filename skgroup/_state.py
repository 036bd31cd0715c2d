"""What fitted estimators are stored as: arrays, numbers, strings and named types, torch included.

One form for pickle, joblib and skops, which asks objects for their state (`__getstate__`) and has
no code for torch. A state of arrays says which classes it is made of, and loads without a GPU.
"""

from __future__ import annotations

import copy
import copyreg
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import skorch.utils
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback
from skorch.history import History
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler

from skgroup._trusted import class_of, name_of

# Things that are known by their name alone; functions are those that callbacks of skorch and
# schedulers hold.
_CONSTANTS: dict[str, Any] = {
    "print": print,
    **{
        f"skorch.utils.{name}": value
        for name, value in vars(skorch.utils).items()
        if name in ("to_numpy", "noop") or name.startswith("_indexing_")
    },
    **{
        f"torch.optim.lr_scheduler.CyclicLR.{name}": value.__func__
        for name, value in vars(CyclicLR).items()
        if isinstance(value, staticmethod)
    },
    **{
        str(value): value
        for value in vars(torch).values()
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format)
    },
}
_NAMES = {id(value): name for name, value in _CONSTANTS.items()}
# Of which nothing needs to be changed, by far the most of what is met.
_LEAVES = frozenset({type(None), bool, int, float, str, bytes, np.ndarray, np.float64})


class StoredConstant(NamedTuple):
    """A class of skgroup, torch or skorch, a dtype, or a function that is known to be harmless."""

    name: str


class StoredTensor(NamedTuple):
    """A tensor: its numbers, and what else it is where that does not go without saying."""

    array: NDArray
    how: dict[str, Any] | None


class StoredGenerator(NamedTuple):
    """A random generator of torch."""

    device: str
    state: NDArray[np.uint8]


class StoredHistory(NamedTuple):
    """The history of a net, which a file names value by value else."""

    json: str


class StoredDict(NamedTuple):
    """A dict whose keys are no strings or numbers."""

    keys: list[Any]
    values: list[Any]


class StoredObject(NamedTuple):
    """A torch module, an optimizer, or another object that holds such: its class and its state."""

    cls: type | StoredConstant
    state: dict[str, Any]


class StoredState:
    """A base class of what keeps tensors, modules or optimizers among its attributes."""

    def __getstate__(self) -> Any:
        state: Any = super().__getstate__()
        return stored(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = restored(state)
        set_state = getattr(super(), "__setstate__", self.__dict__.update)
        set_state(state)


def stored(state: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of an object in their stored form, which shares the memory of arrays.

    Where something of torch's has no state of its own (TorchScript), all stays as it is, and pickle
    may know what to do.
    """
    try:
        writer = _Writer()
        return {name: writer(value) for name, value in state.items()}
    except _NoStateError:
        return dict(state)


def restored(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of an object that were stored, with memory of their own.

    Raises
    ------
    ValueError
        If it holds what `stored` does not write.
    """
    reader = _Reader()
    return {name: reader(value) for name, value in state.items()}


class _NoStateError(Exception):
    """Of an object of torch's that is more than its attributes."""


class _Writer:
    """Each object once, so that what is shared stays shared."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        if type(value) in _LEAVES:
            return value
        if id(value) in self._met:
            return self._met[id(value)][1]
        if id(value) in _NAMES:
            return StoredConstant(_NAMES[id(value)])
        found = self._stored(value)
        self._met[id(value)] = value, found  # with the value, whose id must stay its own
        return found

    def _stored(self, value: Any) -> Any:
        if isinstance(value, type):
            name = name_of(value)
            return value if name is None else StoredConstant(name)
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict):
            return self._dict(value)
        if type(value) is History:
            return _stored_history(value)
        if type(value) in (list, tuple):
            items = [self(item) for item in value]
            return value if _same(items, value) else type(value)(items)
        if isinstance(value, torch.Generator):
            return StoredGenerator(str(value.device), value.get_state().numpy())
        if isinstance(value, nn.Module | Optimizer | LRScheduler):
            return self._of_torch(value)
        if isinstance(value, Callback) or _is_plain(type(value)):
            return self._object(value)
        return value

    def _tensor(self, tensor: Tensor) -> StoredTensor:
        parameter = type(tensor) is nn.Parameter
        if tensor.layout != torch.strided or not (parameter or type(tensor) is Tensor):
            raise _NoStateError
        how: dict[str, Any] = {"parameter": True} if parameter else {}
        if tensor.requires_grad != parameter:
            how["requires_grad"] = tensor.requires_grad
        if tensor.device.type != "cpu":
            how["device"] = str(tensor.device)
        if vars(tensor):
            how["attributes"] = self(vars(tensor))
        values = tensor.detach().cpu().resolve_conj().resolve_neg()
        if not values.is_contiguous():
            # As the numbers lie in memory, by which torch chooses how to compute.
            order = sorted(range(values.dim()), key=values.stride, reverse=True)
            how["order"], values = order, values.permute(order)
        try:
            array = values.numpy()
        except TypeError:  # NumPy has no such dtype (bfloat16)
            how["dtype"], how["shape"] = str(values.dtype), list(values.shape)
            array = values.contiguous().flatten().view(torch.uint8).numpy()
        return StoredTensor(array, how or None)

    def _dict(self, value: dict[Any, Any]) -> Any:
        items = {key: self(item) for key, item in value.items()}
        if type(value) is dict and not all(type(key) in (str, int, float) for key in value):
            return StoredDict([self(key) for key in items], list(items.values()))
        if _same(items.values(), value.values()):
            return value
        found = copy.copy(value)
        found.update(items)
        return found

    def _of_torch(self, value: Any) -> StoredObject:
        state = _state_of(value)
        if state is None:
            raise _NoStateError
        if isinstance(value, nn.Module):
            usual = vars(nn.Module())
            state = {k: v for k, v in state.items() if k not in usual or v != usual[k]}
        elif isinstance(value, Optimizer) and isinstance(state.get("state"), dict):
            state = {**state, "state": dict(state["state"])}
        return self._of_state(value, state)

    def _object(self, value: Any) -> Any:
        state = _state_of(value)
        if state is None:
            return value
        found = self._of_state(value, state)
        plain = isinstance(found.cls, type) and _same(found.state.values(), state.values())
        return value if plain else found

    def _of_state(self, value: Any, state: dict[str, Any]) -> StoredObject:
        found = StoredObject(self(type(value)), {})
        self._met[id(value)] = value, found  # which may refer to itself
        for name, part in state.items():
            found.state[name] = self(part)
        return found


class _Reader:
    """Each object once; lists and dicts are changed, which are the state's own."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        if type(value) in _LEAVES:
            return value
        # Objects are known by their state, as pickle may make two of one that refers to itself.
        key = id(value.state if type(value) is StoredObject else value)
        if key not in self._met:
            self._met[key] = value, value
            self._met[key] = value, self._restored(value, key)
        return self._met[key][1]

    def _restored(self, value: Any, key: int) -> Any:
        if isinstance(value, dict):
            for name, item in value.items():
                value[name] = self(item)
            return value
        if type(value) is list:
            value[:] = [self(item) for item in value]
            return value
        if type(value) is tuple:
            items = tuple(self(item) for item in value)
            return value if _same(items, value) else items
        if type(value) is StoredTensor:
            return self._tensor(*value)
        if type(value) is StoredObject:
            return self._object(value, key)
        if type(value) is StoredDict:
            return {self(k): self(v) for k, v in zip(*value, strict=True)}
        if type(value) is StoredGenerator:
            generator = torch.Generator(device_here(value.device))
            generator.set_state(torch.tensor(value.state))
            return generator
        if type(value) is StoredHistory:
            return _restored_history(value.json)
        if type(value) is StoredConstant:
            found = _CONSTANTS.get(value.name) or class_of(value.name)
            if found is None:
                raise ValueError(f"There is no constant {value.name!r} to restore.")
            return found
        return value

    def _tensor(self, array: NDArray, how: dict[str, Any] | None) -> Tensor:
        tensor = torch.tensor(array)  # copied, as arrays may be read from a file or shared
        if how is None:
            return tensor
        if "dtype" in how:
            tensor = tensor.view(self(StoredConstant(how["dtype"]))).reshape(how["shape"])
        if "order" in how:
            tensor = tensor.permute([how["order"].index(d) for d in range(tensor.dim())])
        tensor = tensor.to(device_here(how.get("device", "cpu")))
        parameter = how.get("parameter", False)
        requires_grad = how.get("requires_grad", parameter)
        if parameter:
            tensor = nn.Parameter(tensor, requires_grad)
        elif requires_grad:
            tensor.requires_grad_()
        vars(tensor).update(self(how.get("attributes", {})))
        return tensor

    def _object(self, value: StoredObject, key: int) -> Any:
        cls: Any = self(value.cls)
        if not isinstance(cls, type):
            raise ValueError(f"Only a class can be restored. Got {cls!r}.")
        made: Any = cls.__new__(cls)  # type: ignore[call-overload]
        self._met[key] = value, made
        state = {name: self(part) for name, part in value.state.items()}
        if issubclass(cls, nn.Module):
            state = {**vars(nn.Module()), **state}
        elif issubclass(cls, Optimizer) and "state" in state:
            # Optimizers call methods of these, as what they are is not asked.
            parts = [state["state"], *state.get("param_groups", [])]
            if not all(type(part) is dict for part in parts):
                raise ValueError(f"The state of {cls.__name__} must be of dicts. Got {parts!r}.")
            state["state"] = defaultdict(dict, state["state"])
        set_state = getattr(made, "__setstate__", vars(made).update)
        set_state(state)
        return made


def _stored_history(history: History) -> Any:
    """As JSON, if that says it all but which numbers of epochs are NumPy's: that stands beside."""
    of_numpy: dict[str, list[int]] = {}
    for i, epoch in enumerate(history):
        for key, value in epoch.items():
            if type(value) is np.float64:
                of_numpy.setdefault(key, []).append(i)
    try:
        found = json.dumps([history, of_numpy])
    except (TypeError, ValueError):
        return history
    return StoredHistory(found) if json.loads(found)[0] == history else history


def _restored_history(text: str) -> History:
    epochs, of_numpy = json.loads(text)
    for key, positions in of_numpy.items():
        for i in positions:
            epochs[i][key] = np.float64(epochs[i][key])
    return History(epochs)


def _same(items: Any, before: Any) -> bool:
    return all(item is was for item, was in zip(items, before, strict=True))


def _is_plain(cls: type) -> bool:
    """Whether its objects are nothing but their attributes."""
    names = ("__reduce_ex__", "__reduce__", "__getstate__")
    return all(getattr(cls, name) is getattr(object, name) for name in names)


def _state_of(value: Any) -> dict[str, Any] | None:
    """What pickle would set an object's attributes from; None if it is made otherwise."""
    try:
        reduced = value.__reduce_ex__(2)
    except TypeError:  # of what cannot be pickled
        return None
    if not isinstance(reduced, tuple):
        return None
    made, args, state, *rest = (*reduced, None)
    plain = made is copyreg.__newobj__ and args == (type(value),)  # type: ignore[attr-defined]
    return state if plain and isinstance(state, dict) and not any(rest) else None


def device_here(name: str) -> torch.device:
    """The device of this name, the CPU where there is none."""
    device = torch.device(name)
    # torch 2.6 refuses to name what is not there.
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if here is None or here.type != device.type:
        return torch.device("cpu")
    return device if (device.index or 0) < torch.accelerator.device_count() else here
