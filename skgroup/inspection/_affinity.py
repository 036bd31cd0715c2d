"""What training on a task does to the others, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from skgroup.inspection._checks import as_matrix, check_names, names_of_frame
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.inspection._heat_map import HeatMap, diverging_limit, figure_size, write_heat_maps
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import labels_of, short

#: Tasks up to which neighbouring leaves of the tree are put in their best order, in cubic time.
_MOST_ORDERED = 300


class AffinityDisplay:
    """Heat map of an affinity: what training on the task of the row does to that of the column.

    Colours diverge from 0: blue helps, red harms. They cover the entries beside the diagonal;
    what training on a task does to itself is often far more, and then has the last colour.

    Parameters
    ----------
    affinity : ndarray of shape (n_tasks, n_tasks)
        NaN where it is not known, drawn in grey.
    task_names : sequence of str, default=None
        "task 0", ... if None.

    Attributes
    ----------
    order_ : ndarray of shape (n_tasks,)
        The tasks from top to bottom, and from left to right.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skgroup.inspection import AffinityDisplay
    >>> affinity = [[1.0, -0.2, 0.5], [-0.1, 1.0, 0.0], [0.4, -0.1, 1.0]]
    >>> display = AffinityDisplay.from_affinity(affinity, task_names=["a", "b", "c"])
    >>> sorted(display.order_.tolist())
    [0, 1, 2]
    >>> display.ax_.get_ylabel()
    'training on'
    """

    def __init__(
        self, affinity: NDArray[np.float64], *, task_names: Sequence[str] | None = None
    ) -> None:
        self.affinity = affinity
        self.task_names = task_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        task_names: Sequence[str] | None = None,
        order: str | ArrayLike = "clustering",
        vmax: float | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> AffinityDisplay:
        """Plot the affinity of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator with `affinity_`, or a Pipeline or classifier with one
            As those of `skgroup.relations`. A `TaskGrouper` has none.
        task_names : sequence of str, default=None
            If None, `task_names_in_` of the estimator, or of a step of it, where it has them.
        order, vmax, values, ax
            As in `plot`.

        Returns
        -------
        display : AffinityDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no affinity, or another parameter is not as described.
        """
        fitted = find_fitted(estimator, "affinity_")
        if fitted is None:
            raise ValueError(
                "estimator must have an affinity: affinity_ when fitted. Got "
                f"{type(estimator).__name__}. Similarities of other relations can be plotted "
                "with from_affinity, such as numpy.corrcoef of their rows."
            )
        if task_names is None:
            task_names = task_names_of(estimator)
        return cls.from_affinity(
            fitted[0].affinity_, task_names=task_names, order=order, vmax=vmax, values=values, ax=ax
        )

    @classmethod
    def from_affinity(
        cls,
        affinity: ArrayLike,
        *,
        task_names: Sequence[str] | None = None,
        order: str | ArrayLike = "clustering",
        vmax: float | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> AffinityDisplay:
        """Plot a given affinity.

        Parameters
        ----------
        affinity : array-like of shape (n_tasks, n_tasks)
            [i, j]: what training on task i does to task j. NaN where it is not known. The columns
            of a DataFrame are brought into the order of its rows, where both are named.
        task_names : sequence of str, default=None
            If None, the rows (or columns) of a DataFrame that are named, else "task 0", ...
        order, vmax, values, ax
            As in `plot`.

        Returns
        -------
        display : AffinityDisplay

        Raises
        ------
        ValueError
            If the affinity is not square or holds infinity, or another parameter is not as
            described.
        """
        rows, columns = names_of_frame(affinity, "index"), names_of_frame(affinity)
        if rows is not None and columns is not None and set(rows) == set(columns):
            named: Any = affinity
            affinity = named[rows]
        task_names = (rows or columns) if task_names is None else task_names
        checked = as_matrix(affinity, "affinity", "(n_tasks, n_tasks)")
        if checked.shape[0] != checked.shape[1]:
            raise ValueError(
                f"affinity must be of shape (n_tasks, n_tasks). Got shape {checked.shape}."
            )
        if np.isinf(checked).any():
            raise ValueError("affinity must not hold infinity.")
        if task_names is not None:
            task_names = check_names(task_names, len(checked))
        display = cls(checked, task_names=task_names)
        return display.plot(ax, order=order, vmax=vmax, values=values)

    def plot(
        self,
        ax: Any = None,
        *,
        order: str | ArrayLike = "clustering",
        vmax: float | None = None,
        values: bool | None = None,
    ) -> AffinityDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.
        order : {"clustering", "given"} or array-like of shape (n_tasks,), default="clustering"
            "clustering" puts tasks of high affinity (the mean of both directions) next to each
            other, by the leaves of average linkage; or the tasks as they stand, or this
            permutation of them.
        vmax : float, default=None
            The affinity of the darkest blue; that of the darkest red is −vmax. If None, 99 % of
            the entries beside the diagonal are within.
        values : bool, default=None
            Whether to write the affinities into the cells; if None, where they can be read.

        Returns
        -------
        self : AffinityDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If `order` or `vmax` is not as described.
        """
        n_tasks = len(self.affinity)
        tasks = check_names(self.task_names, n_tasks)
        positions = _order(self.affinity, order)
        aside = self.affinity[~np.eye(n_tasks, dtype=bool)]
        limit = diverging_limit(aside if n_tasks > 1 else self.affinity, vmax)
        shown = self.affinity[np.ix_(positions, positions)]
        names = [short(tasks[t]) for t in positions]
        width, height = figure_size(n_tasks, n_tasks, names, names, cell=(0.42, 0.3))
        size = width, min(width, height)  # cells of many tasks are no higher than wide
        (ax,) = make_panels("AffinityDisplay", ax, 1, 1, size)
        heat_map = HeatMap(
            ax, shown, names, names, "RdBu", (-limit, limit), labels=labels_of(shown, limit)
        )
        ax.set_xlabel("does to")
        ax.set_ylabel("training on")
        write_heat_maps([heat_map], bar_label="affinity", values=values)
        self.order_, self.ax_, self.figure_ = positions, ax, ax.figure
        return self


def _order(affinity: NDArray[np.float64], order: str | ArrayLike) -> NDArray[np.intp]:
    n_tasks = len(affinity)
    if isinstance(order, str):
        if order not in ("clustering", "given"):
            raise ValueError(
                f"order must be 'clustering', 'given' or a permutation of the tasks. Got {order!r}."
            )
        if order == "given" or n_tasks < 3:
            return np.arange(n_tasks)
        both = np.stack([affinity, affinity.T])
        known = ~np.isnan(both)
        weight = known.sum(axis=0)
        near = np.where(known, both, 0).sum(axis=0) / np.maximum(weight, 1)
        aside = ~np.eye(n_tasks, dtype=bool) & (weight > 0)
        # A pair of which nothing is known is as near as the mean pair.
        near[weight == 0] = near[aside].mean() if aside.any() else 0.0
        far = near[aside].max(initial=0.0) - near
        np.fill_diagonal(far, 0.0)
        far = squareform(np.maximum(far, 0.0), checks=False)
        tree = linkage(far, method="average", optimal_ordering=n_tasks <= _MOST_ORDERED)
        return leaves_list(tree).astype(np.intp)
    given = np.asarray(order)
    if given.shape != (n_tasks,) or not np.array_equal(np.sort(given), np.arange(n_tasks)):
        raise ValueError(
            f"order must be 'clustering', 'given' or a permutation of the {n_tasks} tasks. Got "
            f"{order!r}."
        )
    return given.astype(np.intp)
