"""Checks of what displays are given."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_matrix(values: ArrayLike, name: str, shape: str) -> NDArray[np.float64]:
    """A 2-D array of numbers that is not empty, or an error that names it and its `shape`."""
    if hasattr(values, "detach"):  # torch
        values = values.detach().cpu().numpy()
    try:
        matrix = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers. Got {values!r}.") from None
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{name} must be of shape {shape}, not empty. Got shape {matrix.shape}.")
    return matrix


def names_of_frame(values: Any, of: str = "columns") -> list[str] | None:
    """The strings that name the columns (or rows, of "index") of a DataFrame; None without any."""
    labels: Any = getattr(values, of, None)
    if labels is None or callable(labels) or not hasattr(values, "shape"):
        return None
    named = list(labels)
    return named if named and all(isinstance(label, str) for label in named) else None


def check_count(value: int | None, least: int, name: str) -> int:
    """A whole number of at least `least`, or an error; of None, more than there can be."""
    if value is None:
        return sys.maxsize
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}, or None. Got {value!r}.")
    return int(value)


def check_names(
    names: Sequence[str] | None, n: int, *, name: str = "task_names", kind: str = "task"
) -> list[str]:
    """One name each, "task 0", ... if None, or an error."""
    if names is None:
        return [f"{kind} {i}" for i in range(n)]
    if isinstance(names, str) or not hasattr(names, "__len__") or len(names) != n:
        listed = hasattr(names, "__len__") and not isinstance(names, str)
        got = f"{len(names)} names" if listed else repr(names)
        raise ValueError(f"{name} must name the {n} {kind}s, one name each. Got {got}.")
    return [str(i) for i in names]
