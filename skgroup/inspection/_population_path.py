"""How the held-out loss of populations falls and rises with the number of groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skgroup.inspection._checks import as_matrix
from skgroup.inspection._panels import make_panels

#: Below this, numbers of groups stand apart from each other on their axis.
_GAP = 0.6
#: Lines of shrinkages by which models are not mixed.
_ALONE = {0: "own model alone", np.inf: "group's model alone"}


class PopulationPathDisplay:
    """Held-out loss by the number of groups, from one model for all to one each.

    A line for each shrinkage: how much a population's own model counts beside its group's. Bars are
    standard errors of the difference to the way of lowest loss; the circle is what was chosen.

    Parameters
    ----------
    losses : ndarray of shape (n_ways, 4)
        A way a row: the number of groups, the shrinkage, the mean held-out loss, and the standard
        error of its difference to the lowest.
    chosen : int
        Position of the way that was chosen.
    loss_name : str, default="held-out loss"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from skgroup.inspection import PopulationPathDisplay
    >>> from skgroup.populations import PooledTasksRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=300), rng.integers(6, size=300)])
    >>> reg = PooledTasksRegressor(task=1, random_state=0).fit(X, X[:, 0] * np.sign(X[:, 1] - 2.5))
    >>> display = PopulationPathDisplay.from_estimator(reg)
    >>> [label.get_text() for label in display.ax_.get_xticklabels()]
    ['1\\nfor all', '2', '3', '6\\neach']
    """

    def __init__(
        self, losses: NDArray[np.float64], chosen: int, *, loss_name: str = "held-out loss"
    ) -> None:
        self.losses = losses
        self.chosen = chosen
        self.loss_name = loss_name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> PopulationPathDisplay:
        """Plot the path of a fitted `PooledTasksClassifier` or `PooledTasksRegressor`.

        Parameters
        ----------
        estimator : fitted estimator
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : PopulationPathDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it has no path.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "path_"):
            raise TypeError(
                "estimator must be a PooledTasksClassifier or a PooledTasksRegressor. Got "
                f"{type(estimator).__name__}."
            )
        frame = estimator.path_
        losses = frame[["n_groups", "shrinkage", "loss", "error"]].to_numpy(dtype=float)
        name = "log loss" if hasattr(estimator, "classes_") else "squared error"
        chosen = int(np.flatnonzero(frame["chosen"])[0])
        return cls.from_losses(losses, chosen, loss_name=f"held-out {name}", ax=ax)

    @classmethod
    def from_losses(
        cls,
        losses: ArrayLike,
        chosen: int,
        *,
        loss_name: str = "held-out loss",
        ax: Any = None,
    ) -> PopulationPathDisplay:
        """Plot losses.

        Parameters
        ----------
        losses, chosen, loss_name
            As above.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : PopulationPathDisplay

        Raises
        ------
        ValueError
            If a parameter is not as described.
        """
        matrix = as_matrix(losses, "losses", "(n_ways, 4)")
        if matrix.shape[1] != 4:
            raise ValueError(f"losses must be of shape (n_ways, 4). Got shape {matrix.shape}.")
        if not 0 <= chosen < len(matrix):
            raise ValueError(
                f"chosen must be the position of one of {len(matrix)} ways. Got {chosen!r}."
            )
        return cls(matrix, chosen, loss_name=loss_name).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> PopulationPathDisplay:
        """Draw the path.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : PopulationPathDisplay
        """
        numbers = np.unique(self.losses[:, 0])
        width = 2.4 + _GAP * len(numbers)
        (self.ax_,) = make_panels(type(self).__name__, ax, 1, 1, (max(width, 5.0), 3.8))
        self.figure_ = self.ax_.figure
        each = numbers[-1]
        has_each = (self.losses[self.losses[:, 0] == each, 1] == 0).any()
        shared = self.losses[:, 0] < (each if has_each else np.inf)
        if not shared.any():
            shared[:] = True
        shrinkages = np.unique(self.losses[shared, 1])[::-1]
        for i, shrinkage in enumerate(shrinkages):
            rows = self.losses[shared & (self.losses[:, 1] == shrinkage)]
            if has_each and numbers[0] < each:  # where all lines end
                rows = np.vstack([rows, self.losses[self.losses[:, 0] == each]])
            x = np.searchsorted(numbers, rows[:, 0]) + 0.06 * (i - (len(shrinkages) - 1) / 2)
            label = _ALONE.get(shrinkage, f"own at {shrinkage:.3g} rows")
            self.ax_.errorbar(
                x, rows[:, 2], yerr=rows[:, 3], label=label, marker=".", capsize=2, lw=1.2
            )
        n_groups, _, loss, _ = self.losses[self.chosen]
        self.ax_.plot(
            np.searchsorted(numbers, n_groups),
            loss,
            "o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor="black",
            label="chosen",
            zorder=5,
        )
        ticks = [f"{n:.0f}" for n in numbers]
        if numbers[0] == 1:
            ticks[0] += "\nfor all"
        if has_each and each > 1:
            ticks[-1] += "\neach"
        self.ax_.set_xticks(range(len(numbers)), ticks)
        self.ax_.set_xlabel("number of groups")
        self.ax_.set_ylabel(self.loss_name)
        self.ax_.legend(fontsize="small", frameon=False)
        return self
