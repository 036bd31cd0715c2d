"""Robust scaling of features as a part of the net, missing values included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.utils.data import Dataset

from skgroup.training.data import BatchLoader, TaskDataset, as_float, n_samples_of, shape_of

#: Where the smooth clip bends.
_BEND = 3.0
#: Numbers of X that are looked at at a time.
_AT_A_TIME = 2**24


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
        z = ((x - self.median.to(x.device)) * self.factor.to(x.device)).clamp_(-1e9, 1e9)
        z = z / (1 + (z / _BEND).square_()).sqrt_()
        z = z.nan_to_num_(0.0)
        if len(self.incomplete) == 0:
            return z
        return torch.cat([z, x[..., self.incomplete.to(x.device)].isnan().to(z.dtype)], dim=-1)


def robust_scaling(
    X: Any, sample_weight: NDArray[np.float64] | None = None
) -> RobustScaling | None:
    """The scaling of checked inputs; None where samples are no vectors.

    Quantiles are those of the inverted distribution of the observed values, so that a weight of
    k counts as k repeats. Sparse matrices count their zeros; a Dataset is read once.

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
    counted = None
    if sample_weight is not None:
        counted = np.flatnonzero(sample_weight > 0)
        sample_weight = sample_weight[counted]
    parts = []
    for columns in _columns(X):
        values = columns if counted is None else columns[counted]
        parts.append(_statistics(values, sample_weight))
    median, factor, incomplete = (np.concatenate(part) for part in zip(*parts, strict=True))
    return RobustScaling(
        torch.from_numpy(median.astype(np.float32)),
        torch.from_numpy(factor.astype(np.float32)),
        torch.from_numpy(np.flatnonzero(incomplete)),
    )


def _columns(X: Any) -> Iterator[NDArray]:
    """Some columns of X at a time, dense."""
    if isinstance(X, Dataset):
        batches = BatchLoader(TaskDataset(X), 256)
        X = torch.cat([as_float(x) for x, _ in batches])
    n_samples, n_features = n_samples_of(X), X.shape[1]
    step = max(1, _AT_A_TIME // max(1, n_samples))
    X = X.tocsc() if sparse.issparse(X) else X.numpy()
    for start in range(0, n_features, step):
        part = X[:, start : start + step]
        yield part.toarray() if sparse.issparse(part) else part


def _statistics(
    values: NDArray, weight: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Median, factor and whether some are missing, of each column."""
    order = np.argsort(values, axis=0)  # NaN last
    ranked = np.take_along_axis(values, order, axis=0).astype(np.float64)
    observed = ~np.isnan(ranked)
    below = np.cumsum(observed if weight is None else observed * weight[order], axis=0)
    total = below[-1]

    def quantile(q: float) -> NDArray[np.float64]:
        # Weights are sums of rounded numbers.
        at = (below < q * total * (1 - 1e-12)).sum(axis=0)
        return np.take_along_axis(ranked, at[None], axis=0)[0]

    q25, median, q75 = (quantile(q) for q in (0.25, 0.5, 0.75))
    last = np.maximum(observed.sum(axis=0) - 1, 0)
    span = np.take_along_axis(ranked, last[None], axis=0)[0] - ranked[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(q75 > q25, 1 / (q75 - q25), np.where(span > 0, 2 / span, 0.0))
    empty = total == 0
    median, factor = np.where(empty, 0.0, median), np.where(empty, 0.0, factor)
    # Of numbers that are next to each other in float32 the factor may be beyond it.
    factor = np.minimum(factor, float(np.finfo(np.float32).max) / 4)
    incomplete: Any = ~observed.all(axis=0)
    return median, factor, incomplete
