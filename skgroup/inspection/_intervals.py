"""Points with intervals beside 0, a row each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Of what lies above 0, below it, and of what may be on either side; by Okabe and Ito.
_ABOVE, _BELOW, _UNSURE = "#0072B2", "#D55E00", "0.45"


def draw_intervals(
    ax: Any,
    difference: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    *,
    limits: tuple[float, float] | None = None,
) -> None:
    """Differences (n_rows,) with intervals, coloured where the whole interval is on one side of 0.

    Where `limits` are given, what lies outside is an arrow at the edge.
    """
    rows = np.arange(len(difference))
    left, right = limits or (-np.inf, np.inf)
    above, below = low > 0, high < 0
    for sign, color in ((above, _ABOVE), (below, _BELOW), (~(above | below), _UNSURE)):
        known = sign & np.isfinite(low)
        ends = np.clip(low, left, right), np.clip(high, left, right)
        ax.hlines(rows[known], ends[0][known], ends[1][known], color=color, linewidth=1.5)
        inside = sign & (difference >= left) & (difference <= right)
        ax.plot(difference[inside], rows[inside], "o", color=color, markersize=4.5)
        for edge, beyond, marker in (
            (left, (low < left) | (difference < left), 4),
            (right, (high > right) | (difference > right), 5),
        ):
            shown = sign & beyond
            at = np.full(int(shown.sum()), edge)
            ax.plot(at, rows[shown], color=color, marker=marker, markersize=5, linestyle="none")
    ax.axvline(0, color="black", linewidth=0.8)
    if limits is not None:
        ax.set_xlim(limits)


def limits_of(
    difference: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[float, float]:
    """Ends of an axis that all intervals are within, or most if a few are far larger."""
    ends = np.stack([difference, low, high])
    ends = ends[:, np.isfinite(difference)]
    if not ends.size:
        return -1.0, 1.0
    size = np.nanmax(np.abs(ends), axis=0)
    most = min(size.max(), 4 * np.quantile(size, 0.75)) or size.max() or 1.0
    left, right = (float(np.clip(end, -most, most)) for end in (np.nanmin(ends), np.nanmax(ends)))
    left, right = min(left, 0.0), max(right, 0.0)
    margin = 0.06 * (right - left)
    return left - margin, right + margin
