"""Robust scaling of features as a part of the net, missing values included."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import gen_batches
from torch import Tensor
from torch.utils.data import Dataset

from skgroup.training.data import BatchLoader, TaskDataset, as_float, n_samples_of, shape_of

#: Where the smooth clip bends.
_BEND = 3.0
#: Numbers of X that are sorted at a time, and of those that are weighed; samples that are read.
_AT_A_TIME, _WEIGHED, _ROWS = 2**25, 2**21, 2**14


@dataclass(frozen=True)
class RobustScaling:
    """Features with median 0 and quartiles 1 apart, smoothly clipped at about 3.

    z = f · (x − median), f = 1 / (q75 − q25), or 2 / (max − min) where the quartiles agree, or 0
    for a constant feature; then z / √(1 + (z / 3)²) [1]_. A missing value (NaN) becomes 0, the
    median, and features with missing values in `fit` get a further column that says where.

    Parameters
    ----------
    median, factor : Tensor of shape (n_features,)
    incomplete : Tensor of int
        The features that had missing values.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by default: strong pre-tuned MLPs
       and boosted trees on tabular data", NeurIPS 2024, arXiv:2407.04491.
    """

    median: Tensor
    factor: Tensor
    incomplete: Tensor

    @property
    def n_out(self) -> int:
        """Number of columns of the result."""
        return len(self.median) + len(self.incomplete)

    def __call__(self, x: Tensor) -> Tensor:
        """Scaled features and indicators (..., n_out) of features (..., n_features)."""
        return robustly_scaled(
            x, self.median.to(x.device), self.factor.to(x.device), self.incomplete.to(x.device)
        )


def robustly_scaled(x: Tensor, median: Tensor, factor: Tensor, incomplete: Tensor | None) -> Tensor:
    """What `RobustScaling` does, of tensors on one device: torch.export knows no objects."""
    z = ((x - median) * factor).clamp_(-1e9, 1e9)
    z = z / (1 + (z / _BEND).square_()).sqrt_()
    z = z.nan_to_num_(0.0)
    if incomplete is None or len(incomplete) == 0:
        return z
    return torch.cat([z, x[..., incomplete].isnan().to(z.dtype)], dim=-1)


def robust_scaling(
    X: Any, sample_weight: NDArray[np.float64] | None = None
) -> RobustScaling | None:
    """The scaling of checked inputs; None where samples are no vectors.

    Quantiles are those of the inverted distribution of the observed values, so that a weight of
    k counts as k repeats. Sparse matrices count their zeros; a Dataset is read once, into a
    temporary file if it is large. Arrays in files are read several times, some columns each.

    Parameters
    ----------
    X : Tensor, sparse CSR matrix, dict of Tensor or Dataset
    sample_weight : ndarray of shape (n_samples,), default=None

    Returns
    -------
    scaling : RobustScaling or None
    """
    shape = shape_of(X)
    if shape is None or len(shape) != 1:
        return None
    rows: Any = slice(None)
    if sample_weight is not None:
        rows = np.flatnonzero(sample_weight > 0)
        sample_weight = sample_weight[rows]
    parts = []
    with _read_once(X, shape[0]) as X:
        for columns in _columns(X, rows):
            # Weights are of the order of the samples, which takes more room.
            step = len(columns) if sample_weight is None else _WEIGHED // columns.shape[1]
            parts += [
                _statistics(columns[some], sample_weight)
                for some in gen_batches(len(columns), max(1, step))
            ]
    median, factor, incomplete = (np.concatenate(part) for part in zip(*parts, strict=True))
    return RobustScaling(
        torch.from_numpy(median.astype(np.float32)),
        torch.from_numpy(factor.astype(np.float32)),
        torch.from_numpy(np.flatnonzero(incomplete)),
    )


@contextmanager
def _read_once(X: Any, n_features: int) -> Iterator[Any]:
    """The samples of a Dataset, in a temporary file where they are many; all else as it is."""
    if not isinstance(X, Dataset):
        yield X
        return
    batches = (as_float(x).numpy() for x, _ in BatchLoader(TaskDataset(X), 256))
    shape = n_samples_of(X), n_features
    if shape[0] * shape[1] <= _AT_A_TIME:
        yield np.concatenate(list(batches))
        return
    with tempfile.TemporaryFile(prefix="skgroup-") as file:
        for batch in batches:
            try:
                file.write(batch.tobytes())
            except OSError as error:
                raise OSError(
                    error.errno,
                    "input_scaling='robust' keeps the samples of a large Dataset in a temporary "
                    f"file, in {tempfile.gettempdir()} (elsewhere by the variable TMPDIR), until "
                    f"it has their quantiles. {shape[0]} samples of {shape[1]} numbers could not "
                    f"be written ({error.strerror})",
                ) from error
        file.flush()
        yield np.memmap(file, dtype=np.float32, mode="r", shape=shape)


def _columns(X: Any, rows: Any) -> Iterator[NDArray]:
    """Some columns of X at a time, dense, (n_columns, n_rows), for the caller to change."""
    n_samples, n_features = n_samples_of(X), X.shape[1]
    step = max(1, _AT_A_TIME // max(1, n_samples))
    X = X.tocsc() if sparse.issparse(X) else np.asarray(X)
    dtype = np.float32 if X.dtype.kind == "f" else X.dtype
    index = np.arange(n_samples)[rows]
    for features in gen_batches(n_features, step):
        part = X[:, features]
        if sparse.issparse(part):
            yield np.array(part.toarray()[rows].T, dtype=dtype, order="C")
            continue
        columns = np.empty((part.shape[1], len(index)), dtype=dtype)
        for some in gen_batches(len(index), _ROWS):
            columns[:, some] = part[some if len(index) == n_samples else index[some]].T
        yield columns


def _statistics(
    values: NDArray, weight: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Median, factor and whether some are missing, of each row of values, which are sorted."""
    if weight is None:
        values.sort(axis=1)  # NaN last
        total: Any = values.shape[1] - np.isnan(values).sum(axis=1)
        observed = total

        def quantile(q: float) -> NDArray[np.float64]:
            at = np.ceil(q * total * (1 - 1e-12)).astype(np.intp) - 1
            return _at(values, np.maximum(at, 0))

    else:
        order = np.argsort(values, axis=1)
        values = np.take_along_axis(values, order, axis=1)
        there = ~np.isnan(values)
        observed = there.sum(axis=1)
        below = np.cumsum(there * weight[order], axis=1)
        total = below[:, -1]

        def quantile(q: float) -> NDArray[np.float64]:
            # Weights are sums of rounded numbers.
            return _at(values, (below < (q * total * (1 - 1e-12))[:, None]).sum(axis=1))

    q25, median, q75 = (quantile(q) for q in (0.25, 0.5, 0.75))
    span = _at(values, np.maximum(observed - 1, 0)) - _at(values, np.zeros_like(observed))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(q75 > q25, 1 / (q75 - q25), np.where(span > 0, 2 / span, 0.0))
    empty = total == 0
    median, factor = np.where(empty, 0.0, median), np.where(empty, 0.0, factor)
    # Of numbers that are next to each other in float32 the factor may be beyond it.
    factor = np.minimum(factor, float(np.finfo(np.float32).max) / 4)
    return median, factor, observed < values.shape[1]


def _at(values: NDArray, position: NDArray[np.intp]) -> NDArray[np.float64]:
    """The number of each row at its position."""
    return np.take_along_axis(values, position[:, None], axis=1)[:, 0].astype(np.float64)
