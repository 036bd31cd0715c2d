"""Differences of candidates to a baseline, overall and of each task."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison import Comparison
from skgroup.inspection._checks import check_count
from skgroup.inspection._intervals import draw_intervals, limits_of
from skgroup.inspection._panels import make_panels
from skgroup.inspection._writing import short

#: Letters of a line of a panel's title.
_TITLE = 15


class ComparisonDisplay:
    """What candidates score more or less than a baseline: a panel a candidate, a row a task.

    Points are mean differences over splits, with their 95 % intervals: blue where the whole
    interval is above 0, orange where it is below, grey else. The first row is the mean over tasks.
    `Comparison.plot` makes it.

    Parameters
    ----------
    differences : ndarray of shape (n_candidates, n_tasks + 1, 3)
        Of the mean over tasks, then of each task: the difference and the ends of its interval; NaN
        where they are not known.
    candidates : sequence of str
    tasks : sequence of str
    baseline : str
        What candidates are compared with.
    score_name : str, default="score"
        What the differences are of.

    Attributes
    ----------
    tasks_shown_ : ndarray of shape (n_shown,)
        Positions of the tasks that have a row.
    axes_ : ndarray of matplotlib Axes, of shape (n_candidates,)
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skgroup import compare
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> candidates = {"dummy": DummyClassifier(), "near": KNeighborsClassifier()}
    >>> display = compare(X, Y, candidates, baselines="dummy").plot()
    >>> [ax.get_title() for ax in display.axes_], display.differences.shape
    (['near'], (1, 4, 3))
    """

    def __init__(
        self,
        differences: NDArray[np.float64],
        *,
        candidates: Sequence[str],
        tasks: Sequence[str],
        baseline: str,
        score_name: str = "score",
    ) -> None:
        self.differences = differences
        self.candidates = candidates
        self.tasks = tasks
        self.baseline = baseline
        self.score_name = score_name

    @classmethod
    def from_comparison(
        cls,
        comparison: Comparison,
        *,
        baseline: str | None = None,
        max_tasks: int | None = 40,
        ax: Any = None,
    ) -> ComparisonDisplay:
        """Plot a comparison.

        Parameters
        ----------
        comparison : Comparison
            As `compare` returns it; `comparison.by_scoring(name)` for another of its scorings.
            Where scores are of several kinds, differences are in standard deviations of each
            task's score.
        baseline : str, default=None
            The candidate that the others are compared with; the best baseline if None.
        max_tasks, ax
            As in `plot`.

        Returns
        -------
        display : ComparisonDisplay

        Raises
        ------
        TypeError
            If `comparison` is none.
        ValueError
            If there is no such candidate, or no baseline has finished a fit; or another parameter
            is not as described.
        """
        if not isinstance(comparison, Comparison):
            raise TypeError(
                f"comparison must be what skgroup.compare returns. Got {type(comparison).__name__}."
            )
        names = comparison.candidates
        if baseline is None:
            baseline = comparison.best_baseline
        if baseline not in names:
            raise ValueError(
                f"baseline must be one of the candidates {names}, or None where a baseline has "
                f"finished a fit. Got {baseline!r}."
            )
        others = [name for name in names if name != baseline]
        if not others:
            raise ValueError(
                f"comparison must hold another candidate than {baseline!r} to compare with it."
            )
        unit = comparison.spread if comparison.is_mixed else np.ones(len(comparison.tasks))
        differences = np.full((len(others), len(unit) + 1, 3), np.nan)
        for i, name in enumerate(others):
            p = comparison.paired(name, baseline)
            differences[i, 0] = p.difference, p.low, p.high
            for t, of_task in enumerate(unit):
                p = comparison.paired(name, baseline, t)
                differences[i, t + 1] = np.array([p.difference, p.low, p.high]) / of_task
        scores = " and ".join(score for score, _ in comparison.tasks_by_score)
        if comparison.is_mixed:
            scores += ", in standard deviations"
        display = cls(
            differences,
            candidates=others,
            tasks=comparison.tasks,
            baseline=baseline,
            score_name=scores,
        )
        return display.plot(ax, max_tasks=max_tasks)

    def plot(self, ax: Any = None, *, max_tasks: int | None = 40) -> ComparisonDisplay:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes, or one a candidate, default=None
            A new figure if None.
        max_tasks : int, default=40
            Of more tasks, those of the largest differences are shown. None shows all.

        Returns
        -------
        self : ComparisonDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If a parameter is not as described.
        """
        most = check_count(max_tasks, 1, "max_tasks")
        tasks = self._largest(most)
        # The mean over a single task is that of this task.
        rows = tasks + 1 if len(self.tasks) == 1 else np.append(0, tasks + 1)
        names = ["mean over tasks", *(short(name) for name in self.tasks)]
        names = [names[row] for row in rows]
        size = self._size(len(rows), max(map(len, names)))
        axes = make_panels(
            "ComparisonDisplay", ax, len(self.candidates), len(self.candidates), size
        )
        shown = self.differences[:, rows]
        limits = limits_of(*(shown[..., i].ravel() for i in range(3)))
        letters = 9 if len(rows) <= 25 else 8
        for i, (panel, candidate) in enumerate(zip(axes, self.candidates, strict=True)):
            difference, low, high = shown[i].T
            draw_intervals(panel, difference, low, high, limits=limits)
            for row in range(1, len(rows), 2):  # to find the rows of what stands far to the right
                panel.axhspan(row - 0.5, row + 0.5, color="0.95", zorder=0)
            if len(rows) > len(tasks):
                panel.axhline(0.5, color="0.5", linewidth=0.8)
            panel.set_ylim(len(rows) - 0.5, -0.5)
            panel.set_yticks(np.arange(len(rows)), labels=names if i == 0 else [])
            panel.tick_params(axis="y", length=0, labelsize=letters)
            panel.tick_params(axis="x", labelsize=8)
            panel.locator_params(axis="x", nbins=3)
            title = textwrap.fill(candidate, _TITLE, max_lines=2, placeholder="…")
            panel.set_title(title, fontsize=10, parse_math=False)
            panel.spines[["top", "right", "left"]].set_visible(False)
            if np.isnan(shown[i, :, 0]).all():
                place = {"transform": panel.transAxes, "ha": "center", "va": "center"}
                panel.text(0.5, 0.5, "no score", color="0.4", backgroundcolor="white", **place)
        for label in axes[0].get_yticklabels():
            label.set_parse_math(False)
        if len(rows) > len(tasks):
            axes[0].get_yticklabels()[0].set_fontweight("bold")
        self._label(axes, shown, len(tasks), whole=ax is None)
        self.tasks_shown_, self.axes_, self.figure_ = tasks, axes, axes[0].figure
        return self

    def _largest(self, most: int) -> NDArray[np.intp]:
        """The tasks of the largest differences, in their order."""
        size = np.nan_to_num(np.abs(self.differences[:, 1:, 0])).max(axis=0)
        return np.sort(np.argsort(-size, kind="stable")[:most])

    def _size(self, n_rows: int, n_letters: int) -> tuple[float, float]:
        n_panels = len(self.candidates)
        wide = 2.4 if n_panels <= 3 else 1.7 if n_panels <= 6 else 1.25
        high = 0.28 if n_rows <= 25 else 0.19
        return min(0.4 + 0.075 * n_letters + wide * n_panels, 24.0), 1.3 + high * n_rows

    def _label(
        self, axes: NDArray[np.object_], shown: NDArray[np.float64], n_shown: int, *, whole: bool
    ) -> None:
        """What is drawn, below all panels of a `whole` figure, or below the middle one."""
        text = f"{self.score_name}: difference to “{short(self.baseline)}”"
        if np.isfinite(shown[..., 1]).any():
            text += ", 95 % interval"
        if n_shown < len(self.tasks):
            text += f"\n{n_shown} of {len(self.tasks)} tasks, those of the largest differences"
        if whole:
            axes[0].figure.supxlabel(text, fontsize=10, parse_math=False)
        else:
            axes[len(axes) // 2].set_xlabel(text, parse_math=False)
