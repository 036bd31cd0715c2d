"""How lines look, and their names at their ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from skgroup.inspection._panels import lay_out, open_figure
from skgroup.inspection._writing import short

#: Okabe and Ito's colours, which differ for the colour-blind too, without the yellow and the
#: black: the one is pale on white, the other is for references.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
#: Styles of the first, second, ... method of the same colour.
_STYLES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


def looks_of(names: list[str]) -> dict[str, tuple[str, Any]]:
    """Colour and style of each line; of a method's two parts the same colour."""
    train, test = " (train)", " (test)"
    methods = list(dict.fromkeys(name.removesuffix(train).removesuffix(test) for name in names))
    both = {m for m in methods if m + train in names and m + test in names}
    looks = {}
    for name in names:
        i = methods.index(name.removesuffix(train).removesuffix(test))
        dashed = name.endswith(train) and methods[i] in both
        style = _STYLES[(i // len(_COLORS) + dashed) % len(_STYLES)]
        looks[name] = _COLORS[i % len(_COLORS)], style
    return looks


def name_lines(
    ax: Any, means: dict[str, NDArray[np.float64]], references: dict[str, float]
) -> None:
    """Names to the right of the ends of lines, moved apart where they would overlap."""
    ends: list[tuple[str, float, str]] = [(name, y, "0.3") for name, y in references.items()]
    looks = looks_of(list(means))
    for name, mean in means.items():
        known = mean[~np.isnan(mean)]
        if len(known):
            ends.append((name, float(known[-1]), looks[name][0]))
    if not ends:
        return
    figure = open_figure(ax)
    lay_out(figure)
    high = ax.get_window_extent().height * 72 / figure.dpi
    size = float(np.clip(high / (1.4 * len(ends)), 4.5, 9.0))
    low, top = ax.get_ylim()
    wanted = np.array([(y - low) / (top - low) for _, y, _ in ends])
    places = _apart(wanted, 1.35 * size / high)
    for (name, y, color), place in zip(ends, places, strict=True):
        ax.annotate(
            short(name),
            xy=(1.0, y),
            xycoords=ax.get_yaxis_transform(),
            xytext=(1.035, place),
            textcoords="axes fraction",
            color=_darker(color),
            fontsize=size,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.6,
                "shrinkA": 0,
                "relpos": (0.0, 0.5),
            },
        )


def _apart(wanted: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """The places in [0, 1] nearest to those wanted, in squares, that keep the order and the gap;
    up to beyond 1 where there is no room."""
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    places = np.empty_like(wanted)
    # With the gaps taken off, places must not fall: that is isotonic regression.
    most = max(1.0 - steps[-1], 0.0)
    places[order] = isotonic_regression(wanted[order] - steps, y_min=0.0, y_max=most) + steps
    return places


def _darker(color: str) -> Any:
    """A colour of letters, which need more contrast with white than lines."""
    from matplotlib.colors import to_rgb

    return tuple(0.75 * c for c in to_rgb(color))
