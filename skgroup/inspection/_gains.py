"""What tasks gain in groups, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skgroup.inspection._checks import as_matrix, check_count, check_names, names_of_frame
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.inspection._heat_map import HeatMap, diverging_limit, figure_size, write_heat_maps
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import format_of, labels_of, power_of, short, times
from skgroup.selection.gains import check_masks
from skgroup.tasks import by_task_columns

#: Letters for the members of a group in its name, and for both members of a pair.
_LONGEST, _LONGEST_PAIR = 28, 46


class GainsDisplay:
    """Heat map of gains: a row a group, best mean gain first, a column a task.

    Only members are coloured: blue gains, red loses, by their difference from 0. Tasks outside
    of a group are grey, members whose gain is not known ("?") are dark grey. Colours and means take
    all gains to be of one unit, as shares of the loss are, which `GroupGains` measures by default.

    Parameters
    ----------
    masks : ndarray of bool, of shape (n_groups, n_tasks)
        Whether the task is in the group.
    gains : ndarray of shape (n_groups, n_tasks)
        What counts are those of members; NaN where they are not known.
    task_names : sequence of str, default=None
        "task 0", ... if None.

    Attributes
    ----------
    order_ : ndarray of shape (n_shown,)
        The groups from top to bottom.
    mean_gains_ : ndarray of shape (n_groups,)
        Mean gain of the members of each group; NaN where none is known.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skgroup.inspection import GainsDisplay
    >>> display = GainsDisplay.from_gains(
    ...     masks=[[1, 1, 0], [0, 1, 1], [1, 0, 1]],
    ...     gains=[[0.1, 0.2, 0.0], [0.0, -0.1, 0.0], [0.3, 0.0, 0.2]],
    ...     task_names=["a", "b", "c"],
    ... )
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['a, c: +0.250', 'a, b: +0.150', 'b, c: −0.050']
    """

    def __init__(
        self,
        masks: NDArray[np.bool_],
        gains: NDArray[np.float64],
        *,
        task_names: Sequence[str] | None = None,
    ) -> None:
        self.masks = masks
        self.gains = gains
        self.task_names = task_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        task_names: Sequence[str] | None = None,
        max_groups: int | None = 40,
        vmax: float | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> GainsDisplay:
        """Plot measured gains.

        Parameters
        ----------
        estimator : fitted GroupGains, or an estimator that has one as `gains_`
            As `HOAGrouping` and the other groupings of `skgroup.selection` that measure gains.
        task_names : sequence of str, default=None
            If None, `task_names_in_` of the estimator, or of a step of it, where it has them.
        max_groups, vmax, values, ax
            As in `plot`.

        Returns
        -------
        display : GainsDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no gains, or another parameter is not as described.
        """
        fitted = find_fitted(estimator, "gains_")
        table: Any = None if fitted is None else fitted[0]
        if table is not None and not hasattr(table, "masks_"):
            table = table.gains_
        if not hasattr(table, "masks_") or not hasattr(table, "gains_"):
            raise ValueError(
                "estimator must be a GroupGains, or have one as gains_ when fitted. Got "
                f"{type(estimator).__name__}. Predicted gains can be plotted with from_gains."
            )
        if task_names is None:
            task_names = task_names_of(estimator)
        return cls.from_gains(
            table.masks_,
            table.gains_,
            task_names=task_names,
            max_groups=max_groups,
            vmax=vmax,
            values=values,
            ax=ax,
        )

    @classmethod
    def from_gains(
        cls,
        masks: ArrayLike,
        gains: ArrayLike,
        *,
        task_names: Sequence[str] | None = None,
        max_groups: int | None = 40,
        vmax: float | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> GainsDisplay:
        """Plot given gains, measured or predicted.

        Parameters
        ----------
        masks : array-like of shape (n_groups, n_tasks)
            1 where the task is in the group, else 0.
        gains : array-like of shape (n_groups, n_tasks)
            Those of tasks outside of the group are not looked at. NaN where they are not known.
            Where both are DataFrames with named columns, names decide.
        task_names : sequence of str, default=None
            If None, the columns of `masks` where these are named, else "task 0", ...
        max_groups, vmax, values, ax
            As in `plot`.

        Returns
        -------
        display : GainsDisplay

        Raises
        ------
        ValueError
            If shapes do not fit, a mask is not of 0 and 1 or has no task, the gain of a member
            is infinite, or another parameter is not as described.
        """
        named = names_of_frame(masks)
        if named is not None:
            names = np.array(named, dtype=object)
            gains = by_task_columns(gains, names, "The columns of gains")
            task_names = named if task_names is None else task_names
        members = check_masks(masks)
        checked = as_matrix(gains, "gains", "(n_groups, n_tasks)")
        if checked.shape != members.shape:
            raise ValueError(
                f"gains must be of the shape of masks, {members.shape}. Got shape {checked.shape}."
            )
        if np.isinf(checked[members]).any():
            raise ValueError("gains of members must not be infinite.")
        if task_names is not None:
            task_names = check_names(task_names, members.shape[1])
        display = cls(members, checked, task_names=task_names)
        return display.plot(ax, max_groups=max_groups, vmax=vmax, values=values)

    def plot(
        self,
        ax: Any = None,
        *,
        max_groups: int | None = 40,
        vmax: float | None = None,
        values: bool | None = None,
    ) -> GainsDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.
        max_groups : int, default=40
            Of more groups, the best half of this number and the worst are shown, with a line
            between them that says how many are left out. None shows all.
        vmax : float, default=None
            The gain of the darkest blue; that of the darkest red is −vmax. If None, a round number
            that 99 % of the gains that are shown are within.
        values : bool, default=None
            Whether to write the gains into the cells; if None, where they can be read.

        Returns
        -------
        self : GainsDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If `max_groups` or `vmax` is not as described.
        """
        most = check_count(max_groups, 2, "max_groups")
        n_groups, n_tasks = self.masks.shape
        tasks = check_names(self.task_names, n_tasks)
        gains = np.where(self.masks, self.gains, np.nan)
        known = ~np.isnan(gains)
        with np.errstate(invalid="ignore"):
            self.mean_gains_ = np.where(known, gains, 0).sum(axis=1) / known.sum(axis=1)
        order = np.argsort(-self.mean_gains_, kind="stable")  # NaN last
        n_best = n_groups
        if n_groups > most:
            # A group of which nothing is known is neither among the best nor among the worst.
            order = order[: max(int(known.any(axis=1).sum()), most)]
            n_best = (most + 1) // 2
            order = np.concatenate([order[:n_best], order[len(order) - most // 2 :]])
        shown, masks = gains[order], self.masks[order]
        limit = diverging_limit(shown, vmax)
        means = self.mean_gains_[order]
        power = power_of(limit)
        ten = 10.0**power
        write = format_of(np.nanmax(np.abs(means), initial=0.0) / ten / 10)
        rows = [
            f"{_members(tasks, mask)}: {'+' if mean > 0 else ''}{write(mean / ten) or '?'}"
            for mask, mean in zip(masks, means, strict=True)
        ]
        columns = [short(name) for name in tasks]
        size = figure_size(len(rows), n_tasks, rows, columns, cell=(0.42, 0.24))
        (ax,) = make_panels("GainsDisplay", ax, 1, 1, size)
        unknown = masks & np.isnan(shown)
        labels = np.where(unknown, "?", labels_of(shown / ten, limit / ten))
        heat_map = HeatMap(
            ax, shown, rows, columns, "RdBu", (-limit, limit), missing="0.9", labels=labels
        )
        heat_map.paint(unknown, "0.6")
        if n_best < n_groups:
            ax.axhline(n_best - 0.5, color="black", linewidth=1.5, linestyle="--")
            title = f"best {n_best} and worst {most // 2} of {n_groups:,} groups"
            ax.set_title(title, fontsize=10, loc="right")  # the bar of colours may be at the left
        ax.set_xlabel("task")
        ax.set_ylabel(f"group: mean gain{times(power)}")
        write_heat_maps([heat_map], bar_label=f"gain{times(power)}", values=values, power=power)
        self.order_, self.ax_, self.figure_ = order, ax, ax.figure
        return self


def _members(tasks: list[str], mask: NDArray[np.bool_]) -> str:
    """The names of the members, or how many there are."""
    names = [tasks[t] for t in np.flatnonzero(mask)]
    joined = ", ".join(names)
    if len(names) <= 2:
        return ", ".join(short(name, _LONGEST_PAIR // 2 - 1) for name in names)
    return joined if len(joined) <= _LONGEST else f"{len(names)} tasks"
