"""The memberships of tasks in groups, as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.cluster.memberships import one_hot, read_membership
from skgroup.inspection._checks import as_matrix, check_names, names_of_frame
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.inspection._heat_map import HeatMap, figure_size, write_heat_maps
from skgroup.inspection._pairs import strongest
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import short
from skgroup.tasks import are_of_names


class MembershipDisplay:
    """Heat map of memberships: a row a task, a column a group; or the other way round.

    Tasks are ordered by the strongest group and the membership in it, so that groups show; lines
    part the tasks of different strongest groups.

    Parameters
    ----------
    membership : ndarray of shape (n_tasks, n_groups)
    task_names : sequence of str, default=None
        "task 0", ... if None.
    group_names : sequence of str, default=None
        "0", ... if None.

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
        group_names: Sequence[str] | None = None,
    ) -> None:
        self.membership = membership
        self.task_names = task_names
        self.group_names = group_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        task_names: Sequence[str] | None = None,
        group_names: Sequence[str] | None = None,
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
            If None, `task_names_in_` of the estimator, or of a step of it, where it has them; of
            populations `tasks_`.
        group_names : sequence of str, default=None
            If None, `group_names_` of the estimator, where it has them.
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
        if group_names is None:
            group_names = getattr(part, "group_names_", None)
        return cls.from_membership(
            membership,
            task_names=task_names,
            group_names=group_names,
            values=values,
            transpose=transpose,
            ax=ax,
        )

    @classmethod
    def from_membership(
        cls,
        membership: Any,
        *,
        task_names: Sequence[str] | None = None,
        group_names: Sequence[str] | None = None,
        values: bool | None = None,
        transpose: bool = False,
        ax: Any = None,
    ) -> MembershipDisplay:
        """Plot given memberships.

        Parameters
        ----------
        membership : array-like of shape (n_tasks, n_groups) or (n_tasks,), or dict
            A partition too, as `GroupedMTLClassifier` takes it: the group of each task, or the
            tasks of each group.
        task_names : sequence of str, default=None
            If None, the rows of a DataFrame or Series that are named, the tasks of a dict that are,
            else "task 0", ...
        group_names : sequence of str, default=None
            If None, the keys of a dict, labels that are strings, named columns, else "0", ...
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
            If the memberships are no finite, non-negative matrix, `task_names` or `group_names`
            does not name its rows or columns, or a partition does not fit the tasks.
        """
        named: Any
        if task_names is None:
            task_names = _names_in(membership)
        if are_of_names(membership) or np.ndim(membership) == 1:
            n_tasks = _count_tasks(membership) if task_names is None else len(task_names)
            names = None if task_names is None else np.array([*map(str, task_names)], dtype=object)
            checked, named = read_membership(
                membership, n_tasks, owner="membership", name="membership", task_names=names
            )
        else:
            named = names_of_frame(membership)
            checked = as_matrix(membership, "membership", "(n_tasks, n_groups)")
        if not (np.isfinite(checked) & (checked >= 0)).all():
            raise ValueError("membership must be finite and non-negative.")
        if task_names is not None:
            task_names = check_names(task_names, len(checked))
        if group_names is None:
            group_names = named
        if group_names is not None:
            n_groups = checked.shape[1]
            group_names = check_names(group_names, n_groups, name="group_names", kind="group")
        display = cls(checked, task_names=task_names, group_names=group_names)
        return display.plot(ax, values=values, transpose=transpose)

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
        group = strongest(self.membership)
        group[group < 0] = n_groups  # tasks in none are last
        self.order_ = np.lexsort((-self.membership.max(axis=1), group))
        shown, group = self.membership[self.order_], group[self.order_]
        rows = [short(tasks[t]) for t in self.order_]
        groups = range(n_groups) if self.group_names is None else self.group_names
        columns = [short(str(group)) for group in groups]
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


def _tasks_of(groups: Any) -> list[Any]:
    """The tasks of groups that are given by their tasks, each once."""
    lists = groups.values() if isinstance(groups, Mapping) else groups
    tasks = ([g] if isinstance(g, str) or np.ndim(g) == 0 else list(g) for g in lists)
    return list(dict.fromkeys(task for of_group in tasks for task in of_group))


def _names_in(membership: Any) -> Sequence[str] | None:
    """The names of tasks that memberships or groups hold; None without any."""
    if not are_of_names(membership):
        return names_of_frame(membership, "index")
    tasks = _tasks_of(membership)
    return tasks if tasks and all(isinstance(task, str) for task in tasks) else None


def _count_tasks(membership: Any) -> int:
    """How many tasks a partition without names has."""
    if not are_of_names(membership):
        return len(membership)
    return 1 + max((t for t in _tasks_of(membership) if isinstance(t, int | np.integer)), default=0)
