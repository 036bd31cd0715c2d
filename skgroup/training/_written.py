"""Predictions of some samples at a time, into an array or file that the caller names."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import gen_batches
from torch import Tensor
from torch.utils.data import Dataset

from skgroup.store import path_of, replaced_file
from skgroup.training.data import mapped_file, n_samples_of, piece_of, shape_of

#: Numbers that are predicted from, or that predictions are, at a time.
_AT_A_TIME = 2**22
#: Batches that nets predict at a time, at least.
_BATCHES = 8

Writer = Callable[[slice, NDArray], None]


def write_predictions(
    X: Any,
    out: Any,
    predict: Callable[[Any], NDArray],
    empty: NDArray,
    *,
    holds: Callable[[np.dtype], bool],
    rule: str,
    size: int,
    batch_size: int,
) -> NDArray:
    """Predict some samples at a time, and put what comes to its place.

    Parameters
    ----------
    X : inputs, not checked
    out : ndarray, or path of a file
    predict : callable
        From some samples to their predictions.
    empty : ndarray
        What it gives of none.
    holds : callable
        Whether a dtype can hold all predictions.
    rule : str
        Which dtypes can, for messages.
    size : int
        Numbers that the predictions of a sample take.
    batch_size : int
        Samples that nets predict at a time.

    Returns
    -------
    out : ndarray
        The given one; what is in the file, mapped into memory to be read.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError, ValueError
        If `out` is not right.
    """
    X, n_samples = _countable(X)
    shape = (n_samples, *empty.shape[1:])
    _check_out(X, out, shape, empty.dtype, holds, rule)
    path = None if isinstance(out, np.ndarray) else path_of(out, "out")
    # The same batches as in one go, and no few of them alone: nets might not be stacked for them.
    step = max(1, _AT_A_TIME // max(size, _numbers_a_sample(X)))
    step = max(_BATCHES, round(step / batch_size)) * batch_size if batch_size > 0 else step
    of_samples: OSError | None = None
    try:
        with _array(out) if path is None else _file(path, shape, empty.dtype) as write:
            for rows in gen_batches(max(1, n_samples), step, min_batch_size=step):
                try:
                    values = predict(piece_of(X, rows))
                except OSError as error:  # of a Dataset that reads files
                    of_samples = error
                    raise
                write(rows, values)
    except OSError as error:
        raise (of_samples or error) from None
    written: NDArray = out if path is None else np.load(path, mmap_mode="r")
    return written


def _countable(X: Any) -> tuple[Any, int]:
    """Inputs that pieces can be cut of, and the number of their samples."""
    if sparse.issparse(X):
        X = X.tocsr()
    elif not isinstance(X, Dataset | Mapping) and not hasattr(X, "shape"):
        X = np.asarray(X)
    try:
        return X, n_samples_of(X)
    except (AttributeError, TypeError):
        raise ValueError(f"X must hold samples. Got {X!r}.") from None


def _check_out(
    X: Any,
    out: Any,
    shape: tuple[int, ...],
    natural: np.dtype,
    holds: Callable[[np.dtype], bool],
    rule: str,
) -> None:
    if isinstance(out, str | os.PathLike):
        path = path_of(out, "out")
        if path.suffix != ".npy":
            raise ValueError(f"out must be an array, or a path that ends in '.npy'. Got {out!r}.")
        if any(_is_in(part, path) for part in _arrays(X)):
            raise ValueError(
                f"out must not be the file that X is in, which stays as it is. Got {out!r}."
            )
        if path.is_dir() or not path.parent.is_dir():
            raise ValueError(
                f"out must be the path of a file, in a folder that there is. Got {out!r}."
            )
        if natural.hasobject:
            raise ValueError(
                "out must be an array of objects, as labels of several types (strings beside "
                f"numbers) have no place in a file. Got the path {out!r}."
            )
        return
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(
            "out must be a NumPy array (np.memmap too) or the path of a file. Got "
            f"{type(out).__name__}."
        )
    if out.shape != shape:
        raise ValueError(f"out must be of shape {shape}. Got {out.shape}.")
    if not holds(out.dtype):
        raise ValueError(f"out must be of a dtype that holds {rule}. Got {out.dtype}.")
    if not out.flags.writeable:
        raise ValueError("out must be a writable array. Got a read-only one.")
    if any(_overlap(part, out) for part in _arrays(X)):
        raise ValueError("out must not share memory with X, which stays as it is. It does.")


def _arrays(X: Any) -> list[NDArray]:
    """Arrays that inputs are, as far as that is easily told."""
    if isinstance(X, Mapping):
        return [part for value in X.values() for part in _arrays(value)]
    if isinstance(X, Tensor) and X.device.type == "cpu" and X.layout == torch.strided:
        return [] if X.dtype == torch.bfloat16 else [X.detach().numpy()]
    return [X] if isinstance(X, np.ndarray) else []


def _is_in(X: NDArray, path: Path) -> bool:
    name = getattr(mapped_file(X), "filename", None)
    return name is not None and path.exists() and path.resolve() == Path(name).resolve()


def _overlap(X: NDArray, out: NDArray) -> bool:
    try:
        return np.shares_memory(X, out, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


@contextmanager
def _array(out: NDArray) -> Iterator[Writer]:
    yield out.__setitem__
    if isinstance(out, np.memmap):
        out.flush()


@contextmanager
def _file(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[Writer]:
    """A file of NumPy's that is there when all is written."""
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    with replaced_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)

        def write(rows: slice, values: NDArray) -> None:
            file.write(values.astype(dtype, copy=False).tobytes())

        yield write


def holds_labels(classes: list[NDArray], natural: np.dtype) -> Callable[[np.dtype], bool]:
    """Whether predicted labels, and numbers of tasks without classes, survive in a dtype.

    Parameters
    ----------
    classes : list of ndarray, one a task
        None of a regression task.
    natural : dtype
        That in which they are predicted.
    """

    def holds(dtype: np.dtype) -> bool:
        if dtype == natural or dtype.hasobject or natural.hasobject:
            return dtype.hasobject or dtype == natural
        plain = [c.dtype.kind in "biuf" for c in classes]
        if dtype.kind not in ("biuf" if all(plain) else "U"):
            return False
        return all(_survive(c, dtype) if len(c) else holds_numbers(dtype) for c in classes)

    return holds


def _survive(labels: NDArray, dtype: np.dtype) -> bool:
    """Whether labels are the same in a dtype; -1 as uint64 is not, though it becomes -1 again."""
    with np.errstate(all="ignore"):
        same: bool = labels.astype(dtype).tolist() == labels.tolist()
    return same


def holds_numbers(dtype: np.dtype) -> bool:
    """Whether a dtype holds what nets compute, which is in float32."""
    return dtype.kind == "f" and np.can_cast(np.float32, dtype)


def _numbers_a_sample(X: Any) -> int:
    if isinstance(X, Mapping):
        return sum(map(_numbers_a_sample, X.values()))
    return math.prod(shape_of(X) or ())
