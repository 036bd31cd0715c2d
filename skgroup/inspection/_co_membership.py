"""How often tasks are in the same group, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skgroup.cluster.stability import consensus
from skgroup.inspection._checks import as_matrix, check_names, names_of_frame
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.inspection._heat_map import HeatMap, figure_size, write_heat_maps
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import short


class CoMembershipDisplay:
    """Heat map of how often two tasks are in the same group: dark blocks are groups that stay.

    Tasks are ordered by group, those that are with their group most often first; lines part the
    groups.

    Parameters
    ----------
    co_membership : ndarray of shape (n_tasks, n_tasks)
        Shares from 0 to 1.
    labels : ndarray of shape (n_tasks,)
        The group of each task; negative where it is in none.
    task_names : sequence of str, default=None
        "task 0", ... if None.

    Attributes
    ----------
    order_ : ndarray of shape (n_tasks,)
        The tasks from top to bottom, and from left to right.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skgroup.selection.GroupStability : Measures it.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skgroup.inspection import CoMembershipDisplay
    >>> display = CoMembershipDisplay.from_co_membership(
    ...     [[1, 0.1, 0.9], [0.1, 1, 0], [0.9, 0, 1]], task_names=["cat", "oak", "dog"], n_groups=2
    ... )
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['cat', 'dog', 'oak']
    """

    def __init__(
        self,
        co_membership: NDArray[np.float64],
        labels: NDArray[np.intp],
        *,
        task_names: Sequence[str] | None = None,
    ) -> None:
        self.co_membership = co_membership
        self.labels = labels
        self.task_names = task_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        task_names: Sequence[str] | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> CoMembershipDisplay:
        """Plot the co-membership of a fitted `GroupStability`.

        Parameters
        ----------
        estimator : fitted GroupStability, or an estimator that has it as its grouper
        task_names : sequence of str, default=None
            If None, `task_names_in_` of the estimator, where it has them.
        values, ax
            As in `plot`.

        Returns
        -------
        display : CoMembershipDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no co-membership, or `task_names` does not name its tasks.
        """
        fitted = find_fitted(estimator, "co_membership_")
        if fitted is None:
            raise ValueError(
                "estimator must have co_membership_ when fitted, as GroupStability has. Got "
                f"{type(estimator).__name__}."
            )
        if task_names is None:
            task_names = task_names_of(estimator)
        together = fitted[0].co_membership_
        if task_names is not None:
            task_names = check_names(task_names, len(together))
        return cls(together, fitted[0].labels_, task_names=task_names).plot(ax, values=values)

    @classmethod
    def from_co_membership(
        cls,
        co_membership: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        n_groups: int | None = None,
        task_names: Sequence[str] | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> CoMembershipDisplay:
        """Plot given shares.

        Parameters
        ----------
        co_membership : array-like of shape (n_tasks, n_tasks)
            Symmetric, from 0 to 1.
        labels : array-like of shape (n_tasks,), default=None
            The group of each task. If None, `n_groups` groups of those that are together most
            often (average linkage).
        n_groups : int, default=None
            Needed where `labels` is None.
        task_names : sequence of str, default=None
            If None, the rows of a DataFrame that are named, else "task 0", ...
        values, ax
            As in `plot`.

        Returns
        -------
        display : CoMembershipDisplay

        Raises
        ------
        ValueError
            If something is not as described.
        """
        if task_names is None:
            task_names = names_of_frame(co_membership, "index")
        checked = as_matrix(co_membership, "co_membership", "(n_tasks, n_tasks)")
        n_tasks = len(checked)
        if checked.shape[1] != n_tasks or not np.allclose(checked, checked.T):
            raise ValueError(
                "co_membership must be symmetric, of shape (n_tasks, n_tasks). Got shape "
                f"{checked.shape}."
            )
        if not ((checked >= 0) & (checked <= 1)).all():
            raise ValueError("co_membership must hold shares from 0 to 1.")
        if task_names is not None:
            task_names = check_names(task_names, n_tasks)
        if (labels is None) == (n_groups is None):
            raise ValueError("Exactly one of labels and n_groups must be given.")
        if labels is None:
            if not isinstance(n_groups, int | np.integer) or not 1 <= n_groups <= n_tasks:
                raise ValueError(
                    f"n_groups must be an int from 1 to the number of tasks, {n_tasks}. Got "
                    f"{n_groups!r}."
                )
            groups = consensus(checked, int(n_groups))
        else:
            groups = np.asarray(labels)
            if groups.shape != (n_tasks,) or groups.dtype.kind not in "iu":
                raise ValueError(f"labels must be {n_tasks} ints, one a task. Got {labels!r}.")
        return cls(checked, groups, task_names=task_names).plot(ax, values=values)

    def plot(self, ax: Any = None, *, values: bool | None = None) -> CoMembershipDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.
        values : bool, default=None
            Whether to write the shares into the cells; if None, where they can be read.

        Returns
        -------
        self : CoMembershipDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If `values` is no bool.
        """
        n_tasks = len(self.co_membership)
        tasks = check_names(self.task_names, n_tasks)
        labels = np.where(self.labels < 0, self.labels.max() + 1, self.labels)
        same = labels[:, None] == labels
        with_group = (self.co_membership * same).sum(axis=1) / same.sum(axis=1)
        self.order_ = np.lexsort((-with_group, labels))
        shown, labels = self.co_membership[np.ix_(self.order_, self.order_)], labels[self.order_]
        names = [short(tasks[t]) for t in self.order_]
        width, height = figure_size(n_tasks, n_tasks, names, names, cell=(0.42, 0.3))
        size = width, min(width, height)  # cells of many tasks are no higher than wide
        (ax,) = make_panels("CoMembershipDisplay", ax, 1, 1, size)
        heat_map = HeatMap(
            ax, shown, names, names, "Blues", (0.0, 1.0), labels=np.char.mod("%.2f", shown)
        )
        for bound in np.flatnonzero(np.diff(labels)):
            ax.axhline(bound + 0.5, color="0.35", linewidth=0.8)
            ax.axvline(bound + 0.5, color="0.35", linewidth=0.8)
        write_heat_maps([heat_map], bar_label="share of repetitions together", values=values)
        self.ax_, self.figure_ = ax, ax.figure
        return self
