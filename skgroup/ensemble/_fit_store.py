"""Finished fits in a file, each under a key that says what was fitted on what."""

from __future__ import annotations

import functools
import json
import pickle
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from scipy import sparse
from torch import Tensor, nn
from torch.utils.data import Dataset

from skgroup.training._random import local_seed

__all__ = ["FitStore", "fingerprint", "key_of"]

# Parameters that change how fast an estimator is and what it says, not what it learns.
_WITHOUT_EFFECT = ("n_jobs", "verbose")


class FitStore:
    """A file with a line of JSON a fit, written as soon as the fit is finished.

    Parameters
    ----------
    path : path-like or None
        None keeps nothing.

    Raises
    ------
    ValueError
        If there is a file that holds other things.
    OSError
        If the file cannot be written.
    """

    def __init__(self, path: Any) -> None:
        self.path = None if path is None else Path(path)
        self.records: dict[str, dict[str, Any]] = {}
        if self.path is None:
            return
        with self.path.open("a+b") as file:
            file.seek(0)
            lines = file.read().splitlines(keepends=True)
            good = 0
            for i, line in enumerate(lines):
                whole = line.endswith(b"\n")
                if i == len(lines) - 1 and not whole:
                    break  # an interruption cut it off
                self._read(line)
                good += len(line)
            file.truncate(good)

    def _read(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            key, record["scores"] = record["key"], _floats(record["scores"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                "The 'results' parameter of compare must be the path of a new file or of one that "
                f"compare has written. {self.path} holds something else."
            ) from None
        self.records[key] = record

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record; its "key" says what of, its "scores" are floats."""
        self.records[record["key"]] = record
        if self.path is None:
            return
        scores = [None if s != s else float(s) for s in record["scores"]]
        with self.path.open("a") as file:
            file.write(json.dumps({**record, "scores": scores}) + "\n")


def _floats(scores: list[float | None]) -> list[float]:
    return [float("nan") if s is None else float(s) for s in scores]


def key_of(*parts: Any) -> str:
    """One key for all parts.

    Raises
    ------
    TypeError
        If a part is neither known to `fingerprint` nor can be pickled.
    """
    try:
        return joblib.hash([fingerprint(part) for part in parts])
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(str(error)) from error


def fingerprint(value: Any) -> Any:
    """What `joblib.hash` makes the same key of, in this and in a later process.

    Estimators are their class and parameters, whatever `fit` left in them; classes are their
    names; functions are what they do; tensors and weights are numbers. Of a torch Dataset the
    class, the length, and the first and last sample count.
    """
    if isinstance(value, type):
        return "type", value.__module__, value.__qualname__
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return "tensor", (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, nn.Module):
        weights = {name: fingerprint(part) for name, part in value.state_dict().items()}
        return "module", repr(value), sorted(weights.items(), key=lambda item: item[0])
    if isinstance(value, Dataset):
        n = len(value)  # type: ignore[arg-type]
        with local_seed(0):  # a sample may be drawn at random (augmented)
            ends = [fingerprint(value[i]) for i in (0, n - 1)]
        return "dataset", fingerprint(type(value)), n, ends
    if hasattr(value, "get_params"):
        params = value.get_params(deep=False)
        kept = sorted(name for name in params if name not in _WITHOUT_EFFECT)
        return fingerprint(type(value)), [(name, fingerprint(params[name])) for name in kept]
    if isinstance(value, functools.partial):
        return "partial", *map(fingerprint, (value.func, value.args, value.keywords))
    if isinstance(value, types.FunctionType):
        cells = [fingerprint(cell.cell_contents) for cell in value.__closure__ or ()]
        defaults = fingerprint((value.__defaults__, value.__kwdefaults__))
        return value.__module__, value.__qualname__, _code(value.__code__), cells, defaults
    if isinstance(value, types.MethodType):
        return "method", fingerprint(value.__self__), value.__name__
    if sparse.issparse(value):
        value = value.tocsr()
        return "sparse", value.shape, value.indptr, value.indices, value.data
    if hasattr(value, "iloc"):  # pandas
        frame = value.to_frame() if value.ndim == 1 else value
        columns = [np.asarray(frame.iloc[:, i]) for i in range(frame.shape[1])]
        return "frame", list(map(str, frame.columns)), list(map(fingerprint, columns))
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return "objects", value.shape, [fingerprint(v) for v in value.ravel().tolist()]
    if isinstance(value, Mapping):
        pairs = [(joblib.hash(fingerprint(k)), fingerprint(v)) for k, v in value.items()]
        return "mapping", sorted(pairs, key=lambda pair: pair[0])
    if isinstance(value, set | frozenset):
        return "set", sorted(joblib.hash(fingerprint(v)) for v in value)
    if isinstance(value, list | tuple):
        return type(value).__name__, [fingerprint(v) for v in value]
    return value


def _code(code: types.CodeType) -> Any:
    constants = []
    for value in code.co_consts:
        # The order of a set's representation differs between processes.
        shown = sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
        constants.append(_code(value) if isinstance(value, types.CodeType) else shown)
    return code.co_code, code.co_names, constants
