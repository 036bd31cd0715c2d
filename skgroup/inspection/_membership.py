"""The memberships of tasks in groups, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skgroup.cluster.memberships import one_hot
from skgroup.inspection._checks import as_matrix, check_names, names_of_frame
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.inspection._heat_map import HeatMap, figure_size, write_heat_maps
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import short


class MembershipDisplay:
    """Heat map of memberships: a row a task, a column a group; or the other way round.

    Tasks are ordered by the strongest group and the membership in it, so that groups show; lines
    part the tasks of different strongest groups.

    Parameters
    ----------
    membership : ndarray of shape (n_tasks, n_groups)
    task_names : sequence of str, default=None
        "task 0", ... if None.

    Attributes
    ----------
    order_ : ndarray of shape (n_tasks,)
        The tasks from top to bottom, or from left to right.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skgroup.inspection import MembershipDisplay
    >>> display = MembershipDisplay.from_membership(
    ...     [[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]], task_names=["smiling", "bald", "young"]
    ... )
    >>> display.order_
    array([1, 0, 2])
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['bald', 'smiling', 'young']
    """

    def __init__(
        self,
        membership: NDArray[np.float64],
        *,
        task_names: Sequence[str] | None = None,
    ) -> None:
        self.membership = membership
        self.task_names = task_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        task_names: Sequence[str] | None = None,
        values: bool | None = None,
        transpose: bool = False,
        ax: Any = None,
    ) -> MembershipDisplay:
        """Plot the memberships of a fitted classifier or grouper.

        Parameters
        ----------
        estimator : fitted estimator with `membership_` or `labels_`, or a Pipeline or search with
            one
        task_names : sequence of str, default=None
            If None, `task_names_in_` of the estimator, or of a step of it, where it has them.
        values : bool, default=None
            Whether to write the memberships into the cells; if None, where they can be read.
        transpose : bool, default=False
            Whether tasks are columns, and groups rows.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        display : MembershipDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has neither attribute, or `task_names` does not name its tasks.
        """
        fitted = find_fitted(estimator, "membership_", "labels_")
        if fitted is None:
            raise ValueError(
                "estimator must have memberships: membership_ or labels_ when fitted. Got "
                f"{type(estimator).__name__}."
            )
        part, attribute = fitted
        membership = getattr(part, attribute)
        if attribute == "labels_":
            membership = one_hot(membership)
        if task_names is None:
            task_names = task_names_of(estimator)
        return cls.from_membership(
            membership, task_names=task_names, values=values, transpose=transpose, ax=ax
        )

    @classmethod
    def from_membership(
        cls,
        membership: ArrayLike,
        *,
        task_names: Sequence[str] | None = None,
        values: bool | None = None,
        transpose: bool = False,
        ax: Any = None,
    ) -> MembershipDisplay:
        """Plot given memberships.

        Parameters
        ----------
        membership : array-like of shape (n_tasks, n_groups)
        task_names : sequence of str, default=None
            If None, the rows of a DataFrame that are named, else "task 0", ...
        values : bool, default=None
            Whether to write the memberships into the cells; if None, where they can be read.
        transpose : bool, default=False
            Whether tasks are columns, and groups rows.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        display : MembershipDisplay

        Raises
        ------
        ValueError
            If the memberships are no finite, non-negative matrix, or `task_names` does not name its
            rows.
        """
        if task_names is None:
            task_names = names_of_frame(membership, "index")
        checked = as_matrix(membership, "membership", "(n_tasks, n_groups)")
        if not (np.isfinite(checked) & (checked >= 0)).all():
            raise ValueError("membership must be finite and non-negative.")
        if task_names is not None:
            task_names = check_names(task_names, len(checked))
        return cls(checked, task_names=task_names).plot(ax, values=values, transpose=transpose)

    def plot(
        self, ax: Any = None, *, values: bool | None = None, transpose: bool = False
    ) -> MembershipDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.
        values : bool, default=None
            Whether to write the memberships into the cells; if None, where they can be read.
        transpose : bool, default=False
            Whether tasks are columns, and groups rows.

        Returns
        -------
        self : MembershipDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If an option is no bool.
        """
        if not isinstance(transpose, bool | np.bool_):
            raise ValueError(f"transpose must be a bool. Got {transpose!r}.")
        n_tasks, n_groups = self.membership.shape
        tasks = check_names(self.task_names, n_tasks)
        group = self.membership.argmax(axis=1)
        self.order_ = np.lexsort((-self.membership.max(axis=1), group))
        shown, group = self.membership[self.order_], group[self.order_]
        rows = [short(tasks[t]) for t in self.order_]
        columns = [str(j) for j in range(n_groups)]
        cell = (0.5, 0.24)
        if transpose:
            shown, rows, columns, cell = shown.T, columns, rows, (0.34, 0.34)
        size = figure_size(len(rows), len(columns), rows, columns, cell=cell)
        (ax,) = make_panels("MembershipDisplay", ax, 1, 1, size)
        heat_map = HeatMap(
            ax,
            shown,
            rows,
            columns,
            "Blues",
            (0.0, max(1.0, shown.max())),
            labels=np.char.mod("%.2f", shown),
        )
        draw = ax.axvline if transpose else ax.axhline
        for bound in np.flatnonzero(np.diff(group)):
            draw(bound + 0.5, color="0.35", linewidth=0.8)
        (ax.set_ylabel if transpose else ax.set_xlabel)("group")
        write_heat_maps([heat_map], bar_label="membership", values=values)
        self.ax_, self.figure_ = ax, ax.figure
        return self
