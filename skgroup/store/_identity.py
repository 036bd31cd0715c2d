"""What estimators, data and functions are, in a form that can be compared and saved."""

from __future__ import annotations

import functools
import inspect
import io
import os
import pickle
import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import joblib
import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.utils.data import Dataset

from skgroup._random import local_seed

# Parameters that change how fast an estimator is and what it says, not what it learns.
_WITHOUT_EFFECT = ("n_jobs", "verbose", "checkpoint")
# Packages whose classes are what their names say.
_KNOWN = ("builtins", "numpy", "scipy", "skgroup", "sklearn", "skorch", "torch", "torchvision")
# What classes are told apart by.
_DOES = (types.FunctionType, staticmethod, classmethod, property)
# What classes hold beside: the last is a note that Python makes when it copies an object.
_NOTES = ("__doc__", "__module__", "__slotnames__")
# What a callback is given as a setting, though it could be changed; and packages whose objects may
# be lists, files and writers.
_LEFT_ALONE = (
    type, types.FunctionType, types.MethodType, functools.partial, staticmethod, classmethod,
    property, type(None), np.ndarray, Tensor, nn.Module, Dataset,
)  # fmt: skip
_TOOLS = {"builtins", "skorch", "torch", "torchvision"}
_SETS = (type, str, int, float, list, tuple, dict, set, np.ndarray, Tensor, nn.Module)


def key_of(*parts: Any, within_callbacks: bool = True) -> str:
    """One key for all parts.

    Parameters
    ----------
    *parts : object
    within_callbacks : bool, default=True
        Whether that counts which a callback may write to: what a list holds, an open file, a
        logger. If not, these count by their class, and so does all that cannot be told to be left
        as it is. Of callbacks of skorch's own, which write to nothing of the sort, lists and dicts
        count.

    Raises
    ------
    TypeError
        If a part is neither known to `fingerprint` nor can be pickled.
    """
    try:
        return joblib.hash([fingerprint(part, within_callbacks=within_callbacks) for part in parts])
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(str(error)) from error


def fingerprint(
    value: Any,
    within: tuple[int, ...] = (),
    *,
    within_callbacks: bool = True,
    in_callback: bool = False,
) -> Any:
    """What `joblib.hash` makes the same key of, in this and in a later process.

    Estimators are their class and parameters, whatever `fit` left in them; classes and functions
    are what they do; tensors, weights and settings of modules are numbers. Of a torch Dataset the
    class and all samples count, which are read once. An object with a method `__identity__` is what
    this returns. For `within_callbacks`, see `key_of`.
    """
    if isinstance(value, types.FunctionType) and getattr(value, "hooked", False):
        value = inspect.unwrap(value)  # torch wraps an optimizer's `step` at its first use
    if id(value) in within:  # a function that speaks of itself, a class in its own methods
        return "again", len(within) - within.index(id(value))

    is_callback = not within_callbacks and _is_callback(value)
    in_callback |= is_callback

    def of(part: Any) -> Any:
        return fingerprint(
            part,
            (*within, id(value)),
            within_callbacks=within_callbacks,
            in_callback=in_callback,
        )

    if callable(said := getattr(type(value), "__identity__", None)):
        return type(value).__qualname__, of(said(value))
    if is_callback:
        return of(type(value)), _settings(value, of)
    if in_callback and _is_written_to(value):
        return "written to", of(type(value))
    for as_kind in (_as_code, _as_model, _as_data):
        if (found := as_kind(value, of)) is not None:
            return found
    # What torch has (samplers) may hold tensors, whose pickles differ between processes.
    known = type(value).__module__.split(".")[0] in set(_KNOWN) - {"torch", "torchvision"}
    if not known and hasattr(value, "__dict__") and not isinstance(value, io.IOBase):
        return "object", of(type(value)), _items(vars(value), of)
    return value


def _is_callback(value: Any) -> bool:
    """Whether it is one of skorch's; nets have the hooks of callbacks, too."""
    return hasattr(type(value), "on_epoch_end") and not hasattr(value, "fit")


def _settings(callback: Any, of: Callable[[Any], Any]) -> list[Any]:
    """The parameters of a callback."""
    params = callback.get_params(deep=False)
    params = {name: getattr(value, "in_place_of", value) for name, value in params.items()}
    if type(callback).__module__.startswith("skorch."):
        for name, value in params.items():
            if isinstance(value, list | dict):
                params[name] = tuple(value.items() if isinstance(value, dict) else value)
    return _items(params, of)


def _is_written_to(value: Any) -> bool:
    """Whether what an object holds may change while it is the same: it has no hash, or one by what
    it is, and is nothing that is known to be left alone."""
    kind: Any = type(value)
    if isinstance(value, _LEFT_ALONE) or hasattr(value, "get_params") or hasattr(value, "iloc"):
        return False
    if kind.__module__ == "torch" or kind.__module__.split(".")[0] in set(_KNOWN) - _TOOLS:
        return False
    return not isinstance(value, Hashable) or kind.__hash__ is object.__hash__


def _public(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _items(values: Mapping[str, Any], of: Callable[[Any], Any]) -> list[Any]:
    return [(name, of(values[name])) for name in sorted(values)]


def _as_code(value: Any, of: Callable[[Any], Any]) -> Any:
    """What a class or function does; None if the value is neither."""
    if isinstance(value, type):
        name = value.__module__, value.__qualname__
        if name[0].split(".")[0] in _KNOWN:
            return "type", *name
        # Two classes of one name may do different things: those of a function, of a notebook.
        redefined = "<locals>" in name[1] or name[0] == "__main__"
        attributes = {
            k: _of_class(k, v, with_settings=redefined)
            for k, v in vars(value).items()
            if k not in _NOTES
        }
        bases = [of(base) for base in value.__bases__]
        return "type", *name, bases, _items(attributes, of)
    if isinstance(value, functools.partial):
        return "partial", of(value.func), of(value.args), _items(value.keywords, of)
    if isinstance(value, types.FunctionType):
        cells = [of(cell.cell_contents) for cell in value.__closure__ or ()]
        defaults = of(value.__defaults__), _items(value.__kwdefaults__ or {}, of)
        return value.__module__, value.__qualname__, _code(value.__code__), cells, defaults
    is_bound = isinstance(value, types.MethodType | types.BuiltinMethodType)
    if is_bound and not isinstance(value.__self__, types.ModuleType | None):
        return "method", of(value.__self__), value.__name__
    if isinstance(value, staticmethod | classmethod):
        return type(value).__name__, of(value.__func__)
    if isinstance(value, property):
        return "property", of([value.fget, value.fset, value.fdel])
    return None


def _as_model(value: Any, of: Callable[[Any], Any]) -> Any:
    """The parameters of an estimator, the numbers of a module or a Dataset; None of others."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        # NumPy has no bfloat16; what is of other types may be too large to be copied.
        return "tensor", (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    if isinstance(value, nn.Module):
        weights = {name: of(part) for name, part in value.state_dict().items()}
        settings = [
            (name, of(type(part)), _items(_public(vars(part)), of))
            for name, part in value.named_modules()
        ]
        return "module", settings, sorted(weights.items(), key=lambda item: item[0])
    if isinstance(value, Dataset):
        with local_seed(0):  # a sample may be drawn at random (augmented)
            n_samples = len(value)  # type: ignore[arg-type]
            samples = [joblib.hash(of(value[i])) for i in range(n_samples)]
        return "dataset", of(type(value)), samples
    if hasattr(value, "get_params"):
        params = value.get_params(deep=False)
        kept = sorted(name for name in params if name not in _WITHOUT_EFFECT)
        return of(type(value)), [(name, of(_with_names(params[name]))) for name in kept]
    return None


def _with_names(value: Any) -> Any:
    """A parameter with the names of its rows, where it has some: who is meant (tasks, populations)
    is said by them."""
    return ("rows", value.index, value) if hasattr(value, "iloc") else value


def _as_data(value: Any, of: Callable[[Any], Any]) -> Any:
    """What a container holds; None if it is none."""
    if isinstance(value, torch.Generator):
        return "generator", value.get_state().numpy()
    if isinstance(value, os.PathLike):
        return "path", os.fspath(value)
    if sparse.issparse(value):
        value = value.tocsr()
        return "sparse", value.shape, value.indptr, value.indices, value.data
    if hasattr(value, "iloc"):  # pandas
        frame = value.to_frame() if value.ndim == 1 else value
        columns = [np.asarray(frame.iloc[:, i]) for i in range(frame.shape[1])]
        return "frame", list(map(str, frame.columns)), list(map(of, columns))
    if hasattr(value, "to_frame") and hasattr(value, "get_indexer"):  # an index of pandas
        return "index", of(np.asarray(value))
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return "objects", value.shape, [of(v) for v in value.ravel().tolist()]
    if isinstance(value, np.memmap):  # what it holds, wherever it lies
        return np.asarray(value)
    if isinstance(value, Mapping):
        pairs = [(joblib.hash(of(k)), of(v)) for k, v in value.items()]
        return "mapping", sorted(pairs, key=lambda pair: pair[0])
    if isinstance(value, set | frozenset):
        return "set", sorted(joblib.hash(of(v)) for v in value)
    if isinstance(value, list | tuple):
        return type(value).__name__, [of(v) for v in value]
    return None


def _of_class(name: str, value: Any, *, with_settings: bool) -> Any:
    """What an attribute of a class says about what the class does.

    Of a class that a module has once, plain attributes may be counters and caches.
    """
    value = getattr(value, "func", value)  # of a cached property
    if isinstance(value, _DOES):
        return value
    is_setting = with_settings and not name.startswith("__") and isinstance(value, _SETS)
    return value if is_setting else "attribute"


def _code(code: types.CodeType) -> Any:
    constants = []
    for value in code.co_consts:
        # The order of a set's representation differs between processes.
        shown = sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
        constants.append(_code(value) if isinstance(value, types.CodeType) else shown)
    return code.co_code, code.co_names, constants
