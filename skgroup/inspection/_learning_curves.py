"""Scores over epochs, a line a method and a band of its spread over seeds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skgroup.inspection._lines import looks_of, name_lines
from skgroup.inspection._panels import import_pyplot

__all__ = ["LearningCurvesDisplay"]

#: Methods up to which lines are named at their ends.
_MOST_DIRECT = 8


class LearningCurvesDisplay:
    """Score over epochs: for each method the mean over seeds as a line, and a band of one
    standard deviation (n − 1) to each side.

    Colours differ for the colour-blind too; of more than six methods, the further ones have the
    same colours dashed or dotted.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_seeds, n_epochs)
        Of each method. NaN where there is none; a seed without a score does not count there.
    epochs : ndarray of shape (n_epochs,)
    score_name : str, default="score"

    Attributes
    ----------
    mean_, std_ : dict of str to ndarray of shape (n_epochs,)
        What is drawn. `std_` is NaN where there is a single seed.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skgroup.inspection import LearningCurvesDisplay
    >>> display = LearningCurvesDisplay.from_scores(
    ...     {"MTL": [[0.5, 0.6], [0.5, 0.7]], "grouped": [[0.5, 0.8], [0.6, 0.8]]},
    ...     score_name="test F1",
    ... )
    >>> display.mean_["grouped"]
    array([0.55, 0.8 ])
    >>> display.ax_.get_ylabel()
    'test F1'
    """

    def __init__(
        self,
        scores: dict[str, NDArray[np.float64]],
        *,
        epochs: NDArray[Any],
        score_name: str = "score",
    ) -> None:
        self.scores = scores
        self.epochs = epochs
        self.score_name = score_name

    @classmethod
    def from_scores(
        cls,
        scores: Mapping[str, ArrayLike],
        *,
        epochs: ArrayLike | None = None,
        score_name: str = "score",
        reference: float | Mapping[str, float] | None = None,
        labels: str = "auto",
        ax: Any = None,
    ) -> LearningCurvesDisplay:
        """Plot given scores.

        Parameters
        ----------
        scores : dict of str to array-like of shape (n_seeds, n_epochs) or (n_epochs,)
            Of each method; numbers of seeds may differ. NaN where there is none.
        epochs : array-like of shape (n_epochs,), default=None
            Rising. 1, 2, ... if None.
        score_name : str, default="score"
            Label of the axis.
        reference, labels, ax
            As in `plot`.

        Returns
        -------
        display : LearningCurvesDisplay

        Raises
        ------
        ValueError
            If there is no method, shapes do not fit, epochs do not rise, or another parameter is
            not as described.
        """
        checked, at = _check_scores(scores, epochs)
        display = cls(checked, epochs=at, score_name=score_name)
        return display.plot(ax, reference=reference, labels=labels)

    def plot(
        self,
        ax: Any = None,
        *,
        reference: float | Mapping[str, float] | None = None,
        labels: str = "auto",
    ) -> LearningCurvesDisplay:
        """Draw lines and bands.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure if None.
        reference : float or dict of str to float, default=None
            Scores to compare with, by name, as dashed lines across.
        labels : {"auto", "direct", "legend"}, default="auto"
            Names at the ends of the lines, or in a legend; "auto" is "direct" for at most eight
            methods.

        Returns
        -------
        self : LearningCurvesDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If `reference` or `labels` is not as described.
        """
        _check_labels(labels)
        lines = _references(reference)
        plt = import_pyplot("LearningCurvesDisplay")
        direct = labels == "direct" or (labels == "auto" and len(self.scores) <= _MOST_DIRECT)
        if ax is None:
            _, ax = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
        self.mean_, self.std_ = {}, {}
        looks = looks_of(list(self.scores))
        for name, scores in self.scores.items():
            color, style = looks[name]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # no seed, or a single one
                mean = np.nanmean(scores, axis=0)
                std = np.nanstd(scores, axis=0, ddof=1)
            self.mean_[name], self.std_[name] = mean, std
            known = ~np.isnan(mean)  # a line goes on over a gap
            marker = "o" if known.sum() == 1 else None
            ax.plot(
                self.epochs[known],
                mean[known],
                color=color,
                linestyle=style,
                marker=marker,
                label=name,
            )
            known &= ~np.isnan(std)
            if known.any():
                ax.fill_between(
                    self.epochs[known],
                    (mean - std)[known],
                    (mean + std)[known],
                    color=color,
                    alpha=0.15,
                    linewidth=0,
                )
        for name, value in lines.items():
            ax.axhline(value, color="0.3", linestyle="--", linewidth=1, zorder=1.5, label=name)
        ax.set_xlabel("epoch")
        if np.array_equal(self.epochs, np.rint(self.epochs)):
            ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel(self.score_name)
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.01)
        if direct:
            name_lines(ax, self.mean_, lines)
        else:
            columns = -(-(len(self.scores) + len(lines)) // 22)
            ax.legend(
                loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8, ncols=columns
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _check_labels(labels: str) -> None:
    if labels not in ("auto", "direct", "legend"):
        raise ValueError(f"labels must be 'auto', 'direct' or 'legend'. Got {labels!r}.")


def _references(reference: float | Mapping[str, float] | None) -> dict[str, float]:
    if reference is None:
        return {}
    lines = dict(reference) if isinstance(reference, Mapping) else {"reference": reference}
    for name, value in lines.items():
        if not isinstance(value, Real) or not np.isfinite(value):
            raise ValueError(
                f"reference must be a finite number, or a dict of them. Got {value!r} for {name!r}."
            )
    return {str(name): float(value) for name, value in lines.items()}


def _check_scores(
    scores: Any, epochs: ArrayLike | None
) -> tuple[dict[str, NDArray[np.float64]], NDArray[Any]]:
    """Scores (n_seeds, n_epochs) a method, and the epochs (n_epochs,)."""
    if not isinstance(scores, Mapping) or not scores:
        raise ValueError(
            f"scores must be a dict of at least one method. Got {type(scores).__name__}"
            + (" without any." if isinstance(scores, Mapping) else ".")
        )
    checked: dict[str, NDArray[np.float64]] = {}
    for name, values in scores.items():
        try:
            array = np.atleast_2d(np.array(values, dtype=np.float64))
        except (TypeError, ValueError):
            raise ValueError(f"scores of {name!r} must be an array of numbers.") from None
        if array.ndim != 2 or not array.size:
            raise ValueError(
                f"scores of {name!r} must be of shape (n_seeds, n_epochs), not empty. Got "
                f"shape {array.shape}."
            )
        if np.isinf(array).any():
            raise ValueError(f"scores of {name!r} must not be infinite.")
        checked[str(name)] = array
    lengths = {name: array.shape[1] for name, array in checked.items()}
    n_epochs = next(iter(lengths.values()))
    at = np.arange(1, n_epochs + 1) if epochs is None else np.asarray(epochs)
    if at.ndim != 1 or at.dtype.kind not in "iuf" or not (np.diff(at) > 0).all():
        raise ValueError(f"epochs must be rising numbers of shape (n_epochs,). Got {epochs!r}.")
    for name, length in lengths.items():
        if length != len(at):
            raise ValueError(
                f"scores must have a score at each of {len(at)} epochs, NaN where there is "
                f"none. Got {length} of {name!r}."
            )
    return checked, at
