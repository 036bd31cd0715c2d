"""Intervals of paired differences over splits that share samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["INTERVALS", "UNKNOWN", "Paired", "paired_interval"]

INTERVALS = ("corrected", "seeds")
_LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """A mean difference over splits, its standard error, and the ends of its 95 % interval (NaN if
    unknown)."""

    difference: float
    low: float
    high: float
    error: float


UNKNOWN = Paired(np.nan, np.nan, np.nan, np.nan)


def paired_interval(
    differences: NDArray[np.float64],
    units: NDArray[np.intp],
    test_to_train: float,
    interval: str,
) -> Paired:
    """The mean of differences, one a split, and its 95 % interval of Student's t.

    Parameters
    ----------
    differences : ndarray of shape (n_splits,)
        NaN where one of the two has no score; such splits do not count.
    units : ndarray of shape (n_splits,)
        What each split counts to, its seed or the distinct split that it is: differences of a
        unit count by their mean.
    test_to_train : float
        Test samples of a split per training sample.
    interval : {"corrected", "seeds"}
        See `compare`.
    """
    known = np.isfinite(differences)
    d, units = differences[known], units[known]
    d = np.array([d[units == unit].mean() for unit in np.unique(units)])
    if len(d) == 0:
        return UNKNOWN
    mean = float(d.mean())
    if len(d) == 1:
        return Paired(mean, np.nan, np.nan, np.nan)
    share = 1 / len(d) + (test_to_train if interval == "corrected" else 0.0)
    error = float(np.sqrt(share * d.var(ddof=1)))
    width = float(stats.t.ppf((1 + _LEVEL) / 2, len(d) - 1)) * error
    return Paired(mean, mean - width, mean + width, error)
