"""How much of each expert goes into each task, as heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skgroup.inspection._checks import as_matrix, check_names
from skgroup.inspection._heat_map import HeatMap, figure_size, runs_of, write_heat_maps
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import labels_of, short


class ExpertWeightsDisplay:
    """Heat maps of expert weights, as in figure 3 of the AdaTT paper [1]_: a panel a level, a
    row a task, a column an expert.

    Lines part the experts of different tasks, and the shared ones. A blank cell is an expert
    that the task does not see. Where some weight is negative (native weights of AdaTT,
    cross-stitch), colours diverge from 0.

    Parameters
    ----------
    expert_weights : list of ndarray of shape (n_tasks, n_experts), one a level
    task_names : sequence of str, default=None
        "task 0", ... if None.
    expert_names : list of (list of str), one a level, default=None
        "expert 0", ... if None. Names such as "income #0" and "income #1" say that both belong
        to "income".

    Attributes
    ----------
    axes_ : ndarray of shape (n_levels,) of matplotlib Axes
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure

    References
    ----------
    .. [1] D. Li, Z. Zhang, S. Yuan, M. Gao, W. Zhang, C. Yang, X. Liu, J. Yang, "AdaTT: adaptive
       task-to-task fusion network for multitask learning in recommendations", KDD 2023,
       arXiv:2304.04959.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skgroup.inspection import ExpertWeightsDisplay
    >>> display = ExpertWeightsDisplay.from_expert_weights(
    ...     [[0.9, 0.0, 0.1], [0.0, 0.7, 0.3]],
    ...     task_names=["income", "marital"],
    ...     expert_names=["income #0", "marital #0", "shared #0"],
    ... )
    >>> [text.get_text() for text in display.ax_.texts]
    ['0.90', '0.10', '0.70', '0.30']
    """

    def __init__(
        self,
        expert_weights: list[NDArray[np.float64]],
        *,
        task_names: Sequence[str] | None = None,
        expert_names: list[list[str]] | None = None,
    ) -> None:
        self.expert_weights = expert_weights
        self.task_names = task_names
        self.expert_names = expert_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        task_names: Sequence[str] | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> ExpertWeightsDisplay:
        """Plot the expert weights of a fitted net, means over the samples of `X`.

        Parameters
        ----------
        estimator : fitted MultiTaskNet whose module has `expert_weights`
        X : array-like of shape (n_samples, ...)
        task_names : sequence of str, default=None
            If None, `task_names_in_` of the estimator, where it has them.
        values : bool, default=None
            Whether to write the weights into the cells; if None, where they can be read.
        ax : matplotlib Axes, or one a level, default=None
            As in `plot`.

        Returns
        -------
        display : ExpertWeightsDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If its module has no expert weights, or `task_names` does not name its tasks.
        """
        check_is_fitted(estimator)
        module = getattr(estimator, "module_", None)
        has_weights = callable(getattr(estimator, "expert_weights", None))
        if not has_weights or (module is not None and not hasattr(module, "expert_weights")):
            raise ValueError(
                "estimator must be a MultiTaskNet whose module has expert weights (MMoE, "
                "MultiLevelMMoE, CrossStitch, PLE, AdaTTSp, AdaTT). Got "
                f"{type(estimator if module is None else module).__name__}."
            )
        expert_names = None  # a module of the user's need not name its experts
        if task_names is not None:
            task_names = check_names(task_names, estimator.n_tasks_)
            if hasattr(estimator, "expert_names"):
                expert_names = estimator.module_.expert_names(task_names)
        else:
            task_names = getattr(estimator, "task_names_in_", None)
            if hasattr(estimator, "expert_names"):
                expert_names = estimator.expert_names()
        return cls.from_expert_weights(
            estimator.expert_weights(X),
            task_names=task_names,
            expert_names=expert_names,
            values=values,
            ax=ax,
        )

    @classmethod
    def from_expert_weights(
        cls,
        expert_weights: ArrayLike | Sequence[ArrayLike],
        *,
        task_names: Sequence[str] | None = None,
        expert_names: Sequence[str] | Sequence[Sequence[str]] | None = None,
        values: bool | None = None,
        ax: Any = None,
    ) -> ExpertWeightsDisplay:
        """Plot given expert weights.

        Parameters
        ----------
        expert_weights : list of array-like of shape (n_tasks, n_experts), one a level, or one \
array-like
        task_names : sequence of str, default=None
            "task 0", ... if None.
        expert_names : sequence of str, or one such a level, default=None
            Names of the experts, at every level or at each. "expert 0", ... if None.
        values : bool, default=None
            Whether to write the weights into the cells; if None, where they can be read.
        ax : matplotlib Axes, or one a level, default=None
            As in `plot`.

        Returns
        -------
        display : ExpertWeightsDisplay

        Raises
        ------
        ValueError
            If the weights are no matrices with one row a task, are not finite, or names are not
            one a task or expert.
        """
        levels = _levels(expert_weights)
        name = "expert_weights"
        weights = [as_matrix(w, name, "(n_tasks, n_experts) a level") for w in levels]
        for w in weights:
            if len(w) != len(weights[0]):
                raise ValueError(
                    f"{name} must have one row a task at every level. Got {len(weights[0])} rows "
                    f"and {len(w)} rows."
                )
            if not np.isfinite(w).all():
                raise ValueError(f"{name} must be finite. It holds NaN or infinity.")
        if task_names is not None:
            task_names = check_names(task_names, len(weights[0]))
        names: Any = expert_names
        if names is not None:
            at_each = len(names) > 0 and not isinstance(names[0], str)
            if at_each and len(names) != len(weights):
                raise ValueError(
                    f"expert_names must be names, or lists of names for each of {len(weights)} "
                    f"levels. Got {len(names)} lists."
                )
            names = [
                check_names(n, w.shape[1], name="expert_names", kind="expert")
                for n, w in zip(names if at_each else [names] * len(weights), weights, strict=True)
            ]
        return cls(weights, task_names=task_names, expert_names=names).plot(ax, values=values)

    def plot(self, ax: Any = None, *, values: bool | None = None) -> ExpertWeightsDisplay:
        """Draw the heat maps.

        Parameters
        ----------
        ax : matplotlib Axes, or one a level, default=None
            A single Axes gives its place to all levels, one above the other. A new figure if
            None.
        values : bool, default=None
            Whether to write the weights into the cells; if None, where they can be read.

        Returns
        -------
        self : ExpertWeightsDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        """
        weights, n_levels = self.expert_weights, len(self.expert_weights)
        tasks = [short(name) for name in check_names(self.task_names, len(weights[0]))]
        experts = self.expert_names or [
            check_names(None, w.shape[1], kind="expert") for w in weights
        ]
        cut = [[short(name) for name in names] for names in experts]
        widest = max(range(n_levels), key=lambda level: weights[level].shape[1])
        size = figure_size(
            len(tasks),
            weights[widest].shape[1],
            tasks,
            cut[widest],
            cell=(0.42, 0.24),
            n_panels=n_levels,
            n_named=_n_named(experts[widest]),
        )
        # Levels one above the other share the names of their experts, if they are the same.
        stacked = ax is None or hasattr(ax, "imshow")
        share = stacked and all(names == experts[0] for names in experts)
        axes = make_panels("ExpertWeightsDisplay", ax, n_levels, 1, size)
        high = max(w.max() for w in weights)
        low = min(w.min() for w in weights)
        if low < 0:
            cmap, limits = "RdBu", (-max(high, -low), max(high, -low))
        else:
            cmap, limits = "Blues", (0.0, max(high, 1e-12))
        maps = []
        for level, (panel, w, names) in enumerate(zip(axes, weights, experts, strict=True)):
            owners = [name.rpartition(" #")[0] for name in names]
            labels = np.where(w == 0, "", labels_of(w, 0.1))
            known = [short(owner) for owner in owners] if all(owners) else None
            last = level == n_levels - 1
            maps.append(
                HeatMap(
                    panel,
                    w,
                    tasks,
                    cut[level],
                    cmap,
                    limits,
                    labels=labels,
                    owners=known,
                    name_columns=last or not share,
                )
            )
            if last or not stacked:
                panel.set_xlabel("expert")
            if known is not None:
                bounds = [i for i in range(1, len(names)) if owners[i] != owners[i - 1]]
                for i in bounds:
                    strong = len(names) <= 60 or owners[i] == "shared"
                    panel.axvline(i - 0.5, color="0.35" if strong else "0.8", linewidth=0.8)
            if n_levels > 1:
                panel.set_title(f"level {level}", fontsize=10)
        write_heat_maps(maps, bar_label="weight", values=values)
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        return self


def _n_named(experts: Sequence[str]) -> int:
    """Columns that there is room for a name at: every one, or the middle of each owner's."""
    owners = [name.rpartition(" #")[0] for name in experts]
    if not all(owners):
        return len(experts)
    _, places = runs_of(owners)
    return int(np.ceil(len(experts) / min([1.0 * len(owners), *np.diff(places)])))


def _levels(expert_weights: Any) -> list[Any]:
    """A matrix a level, also if a single one was given."""
    if hasattr(expert_weights, "ndim") and expert_weights.ndim == 2:
        return [expert_weights]
    levels = list(expert_weights)
    if not levels:
        raise ValueError("expert_weights must have at least one level. Got none.")
    if hasattr(levels[0], "__len__") and len(levels[0]) and np.ndim(levels[0][0]) == 0:
        return [levels]  # a matrix as a list of rows
    return levels
