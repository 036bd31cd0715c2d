"""The memberships of tasks in groups, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skgroup._html import clustering_of, group_names
from skgroup.cluster.memberships import one_hot
from skgroup.inspection._checks import as_matrix, check_names
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.inspection._heat_map import HeatMap, figure_size, write_heat_maps
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import short

__all__ = ["MembershipDisplay"]


class MembershipDisplay:
    """Heat map of memberships: a row a task, a column a group.

    Rows are ordered by the strongest group and the membership in it, so that groups show; lines
    part the tasks of different strongest groups. Where several clusterings stand side by side,
    this is about the one with the most groups; columns are named by the number of groups of their
    clustering and the group, such as "3: 1", and lines part the clusterings.

    Parameters
    ----------
    membership : ndarray of shape (n_tasks, n_groups)
    task_names : sequence of str, default=None
        "task 0", ... if None.
    clustering : ndarray of int, of shape (n_groups,), default=None
        The clustering that each group belongs to, counted from 0 and rising; a single one if
        None.

    Attributes
    ----------
    order_ : ndarray of shape (n_tasks,)
        The tasks from top to bottom.
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
        clustering: NDArray[np.intp] | None = None,
    ) -> None:
        self.membership = membership
        self.task_names = task_names
        self.clustering = clustering

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        task_names: Sequence[str] | None = None,
        values: bool | None = None,
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
            membership, task_names=task_names, clustering=clustering_of(part), values=values, ax=ax
        )

    @classmethod
    def from_membership(
        cls,
        membership: ArrayLike,
        *,
        task_names: Sequence[str] | None = None,
        clustering: ArrayLike | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> MembershipDisplay:
        """Plot given memberships.

        Parameters
        ----------
        membership : array-like of shape (n_tasks, n_groups)
        task_names : sequence of str, default=None
            "task 0", ... if None.
        clustering : array-like of int, of shape (n_groups,), default=None
            Where several clusterings stand side by side, the one that each group belongs to, such
            as `clustering_of_group_` of `Clusterings`.
        values : bool, default=None
            Whether to write the memberships into the cells; if None, where they can be read.
        ax : matplotlib Axes, default=None
            As in `plot`.

        Returns
        -------
        display : MembershipDisplay

        Raises
        ------
        ValueError
            If the memberships are no finite, non-negative matrix, `task_names` does not name its
            rows, or `clustering` does not number the clusterings of its columns 0, 1, ... in order.
        """
        checked = as_matrix(membership, "membership", "(n_tasks, n_groups)")
        if not (np.isfinite(checked) & (checked >= 0)).all():
            raise ValueError("membership must be finite and non-negative.")
        if task_names is not None:
            task_names = check_names(task_names, len(checked))
        if clustering is not None:
            clustering = _check_clustering(clustering, checked.shape[1])
        display = cls(checked, task_names=task_names, clustering=clustering)
        return display.plot(ax, values=values)

    def plot(self, ax: Any = None, *, values: bool | None = None) -> MembershipDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.
        values : bool, default=None
            Whether to write the memberships into the cells; if None, where they can be read.

        Returns
        -------
        self : MembershipDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        n_tasks, n_groups = self.membership.shape
        tasks = check_names(self.task_names, n_tasks)
        clustering = self.clustering
        if clustering is None:
            clustering = np.zeros(n_groups, dtype=np.intp)
        finest = self.membership[:, clustering == np.bincount(clustering).argmax()]
        group = finest.argmax(axis=1)
        self.order_ = np.lexsort((-finest.max(axis=1), group))
        shown, group = self.membership[self.order_], group[self.order_]
        rows = [short(tasks[t]) for t in self.order_]
        columns = group_names(clustering, short=True)
        size = figure_size(n_tasks, n_groups, rows, columns, cell=(0.5, 0.24))
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
        for bound in np.flatnonzero(np.diff(group)):
            ax.axhline(bound + 0.5, color="0.35", linewidth=0.8)
        for bound in np.flatnonzero(np.diff(clustering)):
            ax.axvline(bound + 0.5, color="0.35", linewidth=0.8)
        ax.set_xlabel("number of groups: group" if clustering[-1] else "group")
        write_heat_maps([heat_map], bar_label="membership", values=values)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _check_clustering(clustering: ArrayLike, n_groups: int) -> NDArray[np.intp]:
    checked = np.asarray(clustering)
    if (
        checked.shape != (n_groups,)
        or checked.dtype.kind not in "iu"
        or checked[0] != 0
        or not np.isin(np.diff(checked), (0, 1)).all()
    ):
        raise ValueError(
            f"clustering must number the clustering of each of the {n_groups} groups, 0, 1, ... in "
            f"order. Got {clustering!r}."
        )
    return checked.astype(np.intp)
