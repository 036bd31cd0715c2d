"""Figures, and the panels that a display draws in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def import_pyplot(owner: str) -> Any:
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{owner} needs matplotlib. Install it with: pip install skgroup[plot]"
        ) from error
    return plt


def make_panels(
    owner: str, ax: Any, n_panels: int, n_columns: int, size: tuple[float, float]
) -> NDArray[np.object_]:
    """Axes for some panels, (n_panels,).

    Parameters
    ----------
    owner : str
        The display, for messages.
    ax : matplotlib Axes, array-like of n_panels Axes, or None
        None makes a figure of this `size`. A single Axes gives its place to all panels.
    """
    plt = import_pyplot(owner)
    n_rows = -(-n_panels // n_columns)
    if ax is None:
        _, axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
        return _used(axes, n_panels)
    if not hasattr(ax, "imshow"):
        given = np.asarray(ax, dtype=object).ravel()
        if len(given) != n_panels or not all(hasattr(a, "imshow") for a in given):
            raise ValueError(
                f"ax must be an Axes, or {n_panels} of them, one a panel. Got {len(given)}."
            )
        return given
    if n_panels == 1:
        return np.array([ax], dtype=object)
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            f"ax must be an Axes of a grid of subplots to give its place to {n_panels} panels; "
            "else pass one Axes a panel."
        )
    ax.set_axis_off()
    axes = place.subgridspec(n_rows, n_columns).subplots(squeeze=False)
    return _used(axes, n_panels)


def _used(axes: NDArray[np.object_], n_panels: int) -> NDArray[np.object_]:
    for spare in axes.ravel()[n_panels:]:
        spare.set_visible(False)
    return axes.ravel()[:n_panels]


def open_figure(ax: Any) -> Any:
    """The whole figure that an Axes is in, which may be in a subfigure."""
    figure = ax.figure
    while not hasattr(figure, "draw_without_rendering"):
        figure = figure.figure
    return figure


def lay_out(figure: Any) -> None:
    """Give the Axes of a whole figure the places that they will be drawn at."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
