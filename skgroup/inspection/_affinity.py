"""What tasks do to each other, or how they go together, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from skgroup.inspection._checks import as_matrix, check_names, names_of_frame
from skgroup.inspection._heat_map import HeatMap, diverging_limit, figure_size, write_heat_maps
from skgroup.inspection._pairs import Pairs, pairs_of, strongest
from skgroup.inspection._panels import import_pyplot, make_panels
from skgroup.inspection._partners import frame_of_pairs, frame_of_partners
from skgroup.inspection._writing import labels_of, power_of, short, times
from skgroup.relations.effect import Effect, effect_of
from skgroup.tasks import by_task_names

#: Tasks up to which neighbouring leaves of the tree are put in their best order, in cubic time.
_MOST_ORDERED = 300
_ORDERS = ("auto", "groups", "clustering", "given")


class AffinityDisplay:
    """Heat map of pairs of tasks: what training on the task of the row does to that of the column,
    or how both go together.

    Axes say which of the two it is, the bar of colours what was measured. Colours diverge from 0:
    blue helps, red harms. They cover the entries beside the diagonal up to a round number; what
    training on a task does to itself is often far more, and then has the last colour. Small
    numbers are written in powers of ten.

    Parameters
    ----------
    affinity : ndarray of shape (n_tasks, n_tasks)
        NaN where it is not known, drawn in grey.
    task_names : sequence of str, default=None
        "task 0", ... if None.
    membership : ndarray of shape (n_tasks, n_groups), default=None
        Tasks can then be ordered by their strongest groups, whose borders are drawn.
    group_names : sequence of str, default=None
        "group 0", ... if None.
    effect : Effect, default=None
        Name, unit and direction of the numbers, as `pair_effects` of relations, groupings and
        gains gives it. If None, what the contract of affinities says; of a symmetric matrix,
        nothing but its name.

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
    >>> display.ax_.get_ylabel(), display.ax_.get_xlabel()
    ('trained on', 'effect on')
    """

    def __init__(
        self,
        affinity: NDArray[np.float64],
        *,
        task_names: Sequence[str] | None = None,
        membership: NDArray[np.float64] | None = None,
        group_names: Sequence[str] | None = None,
        effect: Effect | None = None,
    ) -> None:
        self.affinity = affinity
        self.task_names = task_names
        self.membership = membership
        self.group_names = group_names
        self.effect = effect
        self._n_trained = 0

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        Y: Any = None,
        *,
        kind: Any = "auto",
        sample_weight: Any = None,
        task_names: Sequence[str] | None = None,
        random_state: Any = None,
        verbose: int = 0,
        order: str | ArrayLike = "auto",
        vmax: float | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> AffinityDisplay:
        """Plot the effects of pairs that a fitted estimator holds, or that its net measures.

        Parameters
        ----------
        estimator : fitted estimator
            With an affinity, or gains of pairs; or any fitted grouped classifier, with `X` and `Y`.
            See `partners`.
        X, Y, kind, sample_weight, task_names, random_state, verbose
            As in `partners`: samples and tasks to measure on, where the estimator holds nothing,
            or where `kind` asks for it.
        order, vmax, values, ax
            As in `plot`.

        Returns
        -------
        display : AffinityDisplay
            Its method `partners` gives the same numbers as a table.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            As in `partners`, before any training; or if another parameter is not as described.
            Similarities of other relations can be plotted with `from_affinity`, such as
            `numpy.corrcoef` of their rows.
        """
        import_pyplot("AffinityDisplay")
        _check_order(order)
        found = pairs_of(
            estimator,
            X,
            Y,
            kind=kind,
            sample_weight=sample_weight,
            task_names=task_names,
            random_state=random_state,
            verbose=verbose,
            owner="AffinityDisplay.from_estimator",
        )
        display = cls(
            found.values,
            task_names=found.task_names,
            membership=found.membership,
            group_names=found.group_names,
            effect=found.effect,
        )
        display._n_trained = found.n_trained
        return display.plot(ax, order=order, vmax=vmax, values=values)

    @classmethod
    def from_affinity(
        cls,
        affinity: ArrayLike,
        *,
        task_names: Sequence[str] | None = None,
        membership: ArrayLike | None = None,
        group_names: Sequence[str] | None = None,
        effect: Effect | None = None,
        order: str | ArrayLike = "auto",
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
        membership : array-like of shape (n_tasks, n_groups), default=None
            The groups to order the tasks by. Rows of a DataFrame are matched by name.
        group_names : sequence of str, default=None
            If None, the named columns of a DataFrame of memberships, else "group 0", ...
        effect : Effect, default=None
            What the numbers are, as `pair_effects` of relations, groupings and gains gives it.
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
        if membership is not None:
            membership = by_task_names(
                membership,
                None if task_names is None else np.array(task_names, dtype=object),
                "The rows of membership",
            )
            if group_names is None:
                group_names = names_of_frame(membership)
            membership = as_matrix(membership, "membership", "(n_tasks, n_groups)")
            if len(membership) != len(checked):
                raise ValueError(
                    f"membership must have a row for each of the {len(checked)} tasks. Got "
                    f"{len(membership)}."
                )
        display = cls(
            checked,
            task_names=task_names,
            membership=membership,
            group_names=group_names,
            effect=effect,
        )
        return display.plot(ax, order=order, vmax=vmax, values=values)

    def plot(
        self,
        ax: Any = None,
        *,
        order: str | ArrayLike = "auto",
        vmax: float | None = None,
        values: bool | None = None,
    ) -> AffinityDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.
        order : {"auto", "groups", "clustering", "given"} or array-like of shape (n_tasks,), \
                default="auto"
            "clustering" puts tasks of high affinity (the mean of both directions) next to each
            other, by the leaves of average linkage; "groups" does so within each group, and draws
            the borders of the groups; or the tasks as they stand, or this permutation of them.
            "auto" is "groups" where there are memberships, else "clustering".
        vmax : float, default=None
            The affinity of the darkest blue; that of the darkest red is −vmax. If None, a round
            number that 99 % of the entries beside the diagonal are within.
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
        effect = effect_of(self.affinity) if self.effect is None else self.effect
        positions, groups = self._order(order)
        aside = self.affinity[~np.eye(n_tasks, dtype=bool)]
        limit = diverging_limit(aside if n_tasks > 1 else self.affinity, vmax, effect.bound)
        power = power_of(limit)
        shown = self.affinity[np.ix_(positions, positions)]
        names = [short(tasks[t]) for t in positions]
        blocks = [] if groups is None else self._groups()
        width, height = figure_size(
            n_tasks, n_tasks, names, names, cell=(0.42, 0.3), block_names=blocks
        )
        size = width, min(width, height)  # cells of many tasks are no higher than wide
        (ax,) = make_panels("AffinityDisplay", ax, 1, 1, size)
        labels = labels_of(shown / 10.0**power, limit / 10.0**power)
        heat_map = HeatMap(ax, shown, names, names, "RdBu", (-limit, limit), labels=labels)
        ax.set_ylabel(effect.rows)
        ax.set_xlabel(effect.columns)
        if groups is not None:
            heat_map.mark_blocks(groups[positions], blocks)
        write_heat_maps(
            [heat_map], bar_label=f"{effect.name}{times(power)}", values=values, power=power
        )
        self.order_, self.ax_, self.figure_ = positions, ax, ax.figure
        return self

    def partners(self, *, pairs: bool = False) -> Any:
        """What is drawn as a table; nothing is measured anew.

        Parameters
        ----------
        pairs : bool, default=False
            Whether to return a row an ordered pair instead of a row a task.

        Returns
        -------
        frame : pandas DataFrame
            As `skgroup.inspection.partners` gives it.

        Raises
        ------
        ImportError
            If pandas is missing.
        """
        effect = effect_of(self.affinity) if self.effect is None else self.effect
        found = Pairs(
            self.affinity,
            effect,
            self.task_names,
            self.membership,
            self.group_names,
            self._n_trained,
        )
        return frame_of_pairs(found) if pairs else frame_of_partners(found)

    def _order(self, order: Any) -> tuple[NDArray[np.intp], NDArray[np.intp] | None]:
        """The tasks from top to bottom, and the group of each task where they are put by it."""
        order = _check_order(order, len(self.affinity))
        if order in ("groups", "auto") and self.membership is not None:
            groups = strongest(self.membership)
            leaves = _leaves(self.affinity)
            last = np.where(groups < 0, groups.max() + 1, groups)  # tasks in no group
            return leaves[np.argsort(last[leaves], kind="stable")], groups
        if order == "groups":
            raise ValueError("order can be 'groups' only where there are memberships.")
        if isinstance(order, str):
            given = order == "given"
            return np.arange(len(self.affinity)) if given else _leaves(self.affinity), None
        return np.asarray(order, dtype=np.intp), None

    def _groups(self) -> list[str]:
        """The names of the groups."""
        n_groups = 0 if self.membership is None else self.membership.shape[1]
        return check_names(self.group_names, n_groups, name="group_names", kind="group")


def _check_order(order: Any, n_tasks: int | None = None) -> Any:
    """An order of tasks: one of the names, or a permutation of so many; or an error."""
    if isinstance(order, str):
        if order in _ORDERS:
            return order
    elif n_tasks is None:
        return order
    else:
        given = np.asarray(order)
        if given.shape == (n_tasks,) and np.array_equal(np.sort(given), np.arange(n_tasks)):
            return tuple(given.tolist())
    count = "the tasks" if n_tasks is None else f"the {n_tasks} tasks"
    raise ValueError(
        f"order must be 'auto', 'groups', 'clustering', 'given' or a permutation of {count}. Got "
        f"{order!r}."
    )


def _leaves(affinity: NDArray[np.float64]) -> NDArray[np.intp]:
    """Tasks in the order of the leaves of average linkage."""
    n_tasks = len(affinity)
    if n_tasks < 3:
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
