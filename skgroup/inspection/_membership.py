"""The memberships of tasks in groups, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MembershipDisplay"]


class MembershipDisplay:
    """Heat map of memberships: a row a task, a column a group.

    Rows are ordered by the strongest group and the membership in it, so that groups show.

    Parameters
    ----------
    membership : ndarray of shape (n_tasks, n_groups)
    task_names : sequence of str, default=None
        "task 0", ... if None.

    Attributes
    ----------
    order_ : ndarray of shape (n_tasks,)
        The tasks from top to bottom.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self, membership: NDArray[np.float64], *, task_names: Sequence[str] | None = None
    ) -> None:
        self.membership = membership
        self.task_names = task_names

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, task_names: Sequence[str] | None = None, ax: Any = None
    ) -> MembershipDisplay:
        """Plot the memberships of a fitted classifier or grouper.

        Parameters
        ----------
        estimator : fitted estimator with `membership_`, or a Pipeline that ends in one
        task_names : sequence of str, default=None
            If None, `task_names_in_` of the estimator, where it has them.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : MembershipDisplay
        """
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        if task_names is None:
            task_names = getattr(estimator, "task_names_in_", None)
        return cls.from_membership(last.membership_, task_names=task_names, ax=ax)

    @classmethod
    def from_membership(
        cls, membership: ArrayLike, *, task_names: Sequence[str] | None = None, ax: Any = None
    ) -> MembershipDisplay:
        """Plot memberships of shape (n_tasks, n_groups)."""
        return cls(np.asarray(membership, dtype=float), task_names=task_names).plot(ax=ax)

    def plot(self, ax: Any = None) -> MembershipDisplay:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.

        Returns
        -------
        self : MembershipDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "MembershipDisplay needs matplotlib. Install it with: pip install skgroup[plot]"
            ) from error
        n_tasks, n_groups = self.membership.shape
        group = self.membership.argmax(axis=1)
        self.order_ = np.lexsort((-self.membership.max(axis=1), group))
        shown = self.membership[self.order_]
        if ax is None:
            size = (2.5 + 0.6 * n_groups, 1.2 + 0.26 * n_tasks)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        image = ax.imshow(shown, aspect="auto", cmap="Blues", vmin=0, vmax=max(1.0, shown.max()))
        ax.figure.colorbar(image, ax=ax, label="membership")
        names = self.task_names
        if names is None:
            names = [f"task {t}" for t in range(n_tasks)]
        small = 9 if n_tasks <= 40 else 6
        ax.set_xticks(range(n_groups), labels=[str(j) for j in range(n_groups)])
        ax.set_yticks(range(n_tasks), labels=[names[t] for t in self.order_], fontsize=small)
        ax.set_xlabel("group")
        for (row, column), value in np.ndenumerate(shown):
            color = "white" if value > 0.6 else "black"
            ax.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color=color,
                fontsize=small - 1,
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self
