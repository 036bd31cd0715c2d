"""Heat maps with names."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.inspection._panels import lay_out, open_figure
from skgroup.inspection._writing import MINUS, short, text_width

#: Sizes of letters, in points: what is read with ease, and the least for names and for values.
_LARGE, _SMALL, _SMALL_VALUE = 9.0, 6.0, 5.0
#: Width of a letter and height of a line, in sizes of the letters. The width is that of wide
#: letters, so that nothing overlaps.
_WIDTH, _LINE = 0.62, 1.15
#: Figures whose cells have the size that is asked for, and the largest, which have a name at every
#: row and column as long as that is possible: width and height in inches.
_WIDE, _HIGH = 10.0, 17.5
_MOST_WIDE, _MOST_HIGH = 24.0, 32.0
#: Longer names of blocks are cut.
_LONGEST_BLOCK = 20
#: Length of a bar of colours, in points.
_BAR = 220
#: Steps of limits that are easy to read.
_STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
#: Colour of a written zero, so that the others stand out.
_NOTHING = "0.4"
#: Columns up to which the bar of colours stands at the right; above the map, it leaves them room.
_MOST_BESIDE = 24


def figure_size(
    n_rows: int,
    n_columns: int,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    cell: tuple[float, float],
    n_panels: int = 1,
    n_named: int | None = None,
    block_names: Sequence[str] = (),
) -> tuple[float, float]:
    """Width and height, in inches, of a figure of heat maps one above the other, with names at
    the left and below, of blocks also at the right, and a bar of colours. `cell` is the size of a
    cell where there is room; where there is not, cells are smaller, but so large that each row and
    `n_named` of the columns (all if None) can be named."""
    letter = _WIDTH * _LARGE / 72
    left = letter * max(map(len, row_names))
    right = letter * max((len(short(name, _LONGEST_BLOCK)) for name in block_names), default=0)
    below = letter * max(map(len, column_names))
    beside = n_columns <= _MOST_BESIDE
    line = _SMALL * _LINE * 1.05 / 72
    across = left + right + (1.4 if beside else 0.4)
    along = below + n_panels * 0.6 + (0.2 if beside else 1.0)
    least = across + line * (n_columns if n_named is None else n_named)
    width = max(min(across + max(cell[0] * n_columns, 1.2), _WIDE), least)
    least = along + n_panels * line * n_rows
    height = max(min(along + n_panels * max(cell[1] * n_rows, 1.2), _HIGH), least)
    return min(width, _MOST_WIDE), min(height, _MOST_HIGH)


def diverging_limit(values: NDArray, vmax: float | None, bound: float | None = None) -> float:
    """The value that has the darkest colour: `vmax`, or the next round number above the size that
    99 % of the values stay within, so that a single extreme one does not make all others pale; at
    most `bound`."""
    if vmax is not None:
        real = isinstance(vmax, Real) and not isinstance(vmax, bool)
        if not (real and np.isfinite(vmax) and vmax > 0):
            raise ValueError(f"vmax must be positive and finite, or None. Got {vmax!r}.")
        return float(vmax)
    sizes = np.abs(values[np.isfinite(values)])
    limit = float(np.quantile(sizes, 0.99, method="higher")) if len(sizes) else 0.0
    if limit == 0:
        return 1.0
    power = int(np.floor(np.log10(limit)))
    step = next(s for s in _STEPS if s >= limit / 10.0**power * (1 - 1e-9))
    limit = float(f"{step}e{power}")  # 3 · 10⁻¹ is 0.30000000000000004
    return limit if bound is None else min(limit, bound)


@dataclass
class HeatMap:
    """A matrix in colours, with a name at each row and column.

    Attributes
    ----------
    ax : matplotlib Axes
    values : ndarray of shape (n_rows, n_columns)
        NaN has the colour `missing`.
    row_names, column_names : list of str
    cmap : str
    limits : tuple of float
        Values of the first and last colour.
    missing : str
    labels : ndarray of str, of shape (n_rows, n_columns), default=None
        What to write in the cells, if there is room.
    owners : list of str, default=None
        Of the columns. Where each column cannot be named, runs of equal owners are.
    name_columns : bool, default=True
    """

    ax: Any
    values: NDArray
    row_names: list[str]
    column_names: list[str]
    cmap: str
    limits: tuple[float, float]
    missing: str = "0.85"
    labels: NDArray[np.str_] | None = None
    owners: list[str] | None = None
    name_columns: bool = True
    image: Any = field(init=False)
    block_names: list[Any] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        import matplotlib

        cmap = matplotlib.colormaps[self.cmap].with_extremes(bad=self.missing)
        self.image = self.ax.imshow(
            np.ma.masked_invalid(self.values),
            aspect="auto",
            interpolation="nearest",  # a cell has one colour, however small it is
            cmap=cmap,
            vmin=self.limits[0],
            vmax=self.limits[1],
        )
        self.ax.tick_params(length=0)

    def paint(self, cells: NDArray[np.bool_], color: str) -> None:
        """Give some cells, (n_rows, n_columns), a colour of their own."""
        from matplotlib.colors import ListedColormap

        if cells.any():
            self.ax.imshow(
                np.ma.masked_where(~cells, cells.astype(float)),
                aspect="auto",
                interpolation="nearest",
                cmap=ListedColormap([color]),
            )

    def mark_blocks(self, groups: NDArray[np.intp], names: Sequence[str]) -> None:
        """Draw the borders of runs of rows of the same group, across rows and columns, and name
        the groups at the right; -1 is no group."""
        starts = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist()]
        ends = [*starts[1:], len(groups)]
        for start, end in zip(starts, ends, strict=True):
            if start:
                self.ax.axhline(start - 0.5, color="black", linewidth=1.2)
                self.ax.axvline(start - 0.5, color="black", linewidth=1.2)
            name = names[groups[start]] if groups[start] >= 0 else "no group"
            self.block_names.append(
                self.ax.annotate(
                    short(name, _LONGEST_BLOCK),
                    xy=(1.0, (start + end - 1) / 2),
                    xycoords=self.ax.get_yaxis_transform(),
                    xytext=(4.0, 0.0),
                    textcoords="offset points",
                    va="center",
                    fontsize=_LARGE,
                    parse_math=False,
                )
            )

    def cell(self) -> tuple[float, float]:
        """Width and height of a cell in points, as the figure stands."""
        box = self.ax.get_window_extent()
        points = 72 / open_figure(self.ax).dpi
        n_rows, n_columns = self.values.shape
        return box.width * points / n_columns, box.height * points / n_rows

    def write_names(self) -> None:
        """Name rows and columns, as large as cells allow; not all, where they are too small."""
        width, height = self.cell()
        _set_ticks(self.ax.yaxis, range(len(self.row_names)), self.row_names, height)
        for name in self.block_names:
            name.set_fontsize(float(np.clip(height / _LINE, _SMALL, _LARGE)))
        if not self.name_columns:
            self.ax.set_xticks([])
            return
        columns = self.column_names
        places: Sequence[float] = range(len(columns))
        longest = max(map(len, columns))
        if longest * _WIDTH * _LARGE <= width or longest <= 2:
            size = min(_LARGE, width / (longest * _WIDTH))
            every = 1
            if size < _SMALL:
                every, size = int(np.ceil(_SMALL / size)), _SMALL
            self.ax.xaxis.set_ticks(
                places[::every],
                labels=columns[::every],
                fontsize=size,
                rotation=0,
                parse_math=False,
            )
            return
        if self.owners is not None and width < _SMALL * _LINE:
            columns, places = runs_of(self.owners)
            width *= min(np.diff(places), default=len(self.owners))
        _set_ticks(self.ax.xaxis, places, columns, width)
        self.ax.xaxis.set_tick_params(labelrotation=90)

    def write_values(self, values: bool | None) -> None:
        """Write the labels into the cells: if None, where they can be read."""
        if self.labels is None or values is False:
            return
        width, height = self.cell()
        longest = max(map(text_width, self.labels.ravel()))
        if longest == 0:
            return
        size = min(_LARGE, height / _LINE, 0.85 * width / longest)
        if size < _SMALL_VALUE and not values:
            return
        dark = _luminance(self.image.to_rgba(np.ma.masked_invalid(self.values))) < 0.179
        for (row, column), label in np.ndenumerate(self.labels):
            if label:
                color = "white" if dark[row, column] else "black"
                if label.strip("0.") == "":
                    color = _NOTHING
                self.ax.text(
                    column,
                    row,
                    label,
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=max(size, 1.0),
                )


def write_heat_maps(
    maps: Sequence[HeatMap],
    *,
    bar_label: str,
    values: bool | None = None,
    power: int = 0,
) -> None:
    """Name the rows and columns of heat maps with the same colours, draw a bar of the colours,
    whose numbers are divided by 10^power, and write the values where there is room."""
    if values is not None and not isinstance(values, bool | np.bool_):
        raise ValueError(f"values must be a bool, or None. Got {values!r}.")
    ax = maps[0].ax
    figure = open_figure(ax)
    low, high = maps[0].limits
    below = any((m.values < low).any() for m in maps)
    above = any((m.values > high).any() for m in maps)
    beside = max(m.values.shape[1] for m in maps) <= _MOST_BESIDE
    boxes = [m.ax.get_window_extent() for m in maps]
    points = 72 / figure.dpi
    width, height = boxes[0].width * points, sum(b.height for b in boxes) * points
    # Of a large figure the bar need not be as large.
    thin = {} if beside else {"fraction": 16 / height, "pad": 6 / height}
    bar = ax.figure.colorbar(
        maps[0].image,
        ax=[m.ax for m in maps] if len(maps) > 1 else ax,
        label=bar_label,
        extend={(0, 0): "neither", (1, 0): "min", (0, 1): "max"}.get((below, above), "both"),
        location="right" if beside else "top",
        shrink=min(1.0, _BAR / (height if beside else width)),
        aspect=14,
        anchor=(0.0, 1.0) if beside else (0.0, 0.0),
        panchor=False,
        **thin,
    )
    bar.ax.tick_params(labelsize=8)
    if not beside:  # numbers beside each other need more room
        bar.ax.locator_params(nbins=5)
    if power:
        bar.formatter = lambda value, _: f"{value / 10.0**power:.6g}".replace("-", MINUS)
        bar.update_ticks()
    bar.outline.set_visible(False)
    for heat_map in maps:
        heat_map.write_names()
    # Names take room from the cells: the final sizes are those that fit what is left.
    lay_out(figure)
    for heat_map in maps:
        heat_map.write_names()
    if beside:  # the bar ends at the edge of the figure, and its label must not be longer
        letters = bar.ax.get_window_extent().height * points / (_WIDTH * _LARGE)
        bar.set_label(textwrap.fill(bar_label, max(int(letters), 1), break_long_words=False))
    lay_out(figure)
    for heat_map in maps:
        heat_map.write_values(values)


def runs_of(owners: Sequence[str]) -> tuple[list[str], list[float]]:
    """The owners of runs of columns, and the middle of each run."""
    starts = np.flatnonzero([i == 0 or owners[i] != owners[i - 1] for i in range(len(owners))])
    ends = np.append(starts[1:], len(owners))
    return [owners[s] for s in starts.tolist()], ((starts + ends - 1) / 2).tolist()


def _set_ticks(axis: Any, places: Sequence[float], names: list[str], room: float) -> None:
    """Names that are `room` points apart; each second one, or third, ... where they overlap."""
    every = max(1, int(np.ceil(_SMALL / room)))
    size = float(np.clip(every * room / _LINE, _SMALL, _LARGE if every == 1 else _SMALL + 0.5))
    axis.set_ticks(places[::every], labels=names[::every], fontsize=size, parse_math=False)


def _luminance(rgba: NDArray) -> NDArray[np.float64]:
    """Relative luminance (WCAG 2): white letters read better below 0.179, black ones above."""
    c = rgba[..., :3]
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])
