"""Scores over epochs, a line a method and a band of its spread over seeds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skgroup.comparison.epochs import epoch_scores
from skgroup.inspection._lines import looks_of, name_lines
from skgroup.inspection._panels import import_pyplot

#: Methods up to which lines are named at their ends, and up to which a legend tells them apart:
#: beyond, lines look alike, and names at their ends in a higher figure are what there is.
_MOST_DIRECT, _MOST_LEGEND = 8, 22
#: Inches of height a line that is named at its end.
_OF_NAME = 0.14


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
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        Y: Any = None,
        *,
        cv: Any = 0.25,
        seeds: int | Sequence[int] = 3,
        scoring: Any = None,
        score_type: str = "test",
        n_epochs: int = 20,
        verbose: int = 0,
        reference: float | Mapping[str, float] | None = None,
        labels: str = "auto",
        ax: Any = None,
    ) -> LearningCurvesDisplay:
        """Fit estimators on the same splits and plot their scores over epochs.

        At an epoch, a grouped estimator or an ensemble predicts with its nets as they were after
        that epoch (those that train for fewer are as at their end), with the memberships, serving
        weights and thresholds of its end. The last point is the fitted estimator as it is. A split
        whose training ended early goes on as it ended.

        Parameters
        ----------
        estimator : estimator, or dict of str to estimator
            `MultiTaskNet`, `GroupedMTLClassifier` (`.stl` and `.mtl_ensemble` too) and kin, or
            pipelines that end in one. Clones of them are fitted, and their nets keep their states
            after up to `n_epochs` epochs, for which they train one after another, not as a stack.
        X : array-like of shape (n_samples, ...), or what else the estimators take
        Y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table. May be left out where `X` is a torch Dataset that yields labels.
        cv : float, int, splitter or iterable of (train, test), default=0.25
            A share of samples to test on, drawn anew for each seed; a number of folds; or more, as
            in `skgroup.compare`.
        seeds : int or sequence of int, default=3
            A number n stands for 0, ..., n - 1. A seed makes the splits and sets every
            `random_state` of the estimators.
        scoring : str, callable or dict, default=None
            A score of each task as in `skgroup.compare`; the mean over tasks is drawn. None is F1,
            or R² of regression tasks. Where some tasks have classes and others are regression
            tasks, a dict with one of the keys "classes" and "regression": those tasks are drawn.
        score_type : {"test", "train", "both"}, default="test"
            Which part of each split is scored; of "both", training scores are dashed.
        n_epochs : int, default=20
            At most so many epochs are scored, every one or every second, fourth, eighth, ... of
            those trained; and the last.
        verbose : int, default=0
            1 shows a progress bar over the fits.
        reference, labels, ax
            As in `plot`.

        Returns
        -------
        display : LearningCurvesDisplay
            Each split of each seed is a row of `scores`.

        Raises
        ------
        ValueError
            Before any training, if an estimator has no epochs or another parameter is not as
            described; if all fits failed. (A fit that fails is left out, with a warning.)
        KeyboardInterrupt
            If interrupted. (`compare` keeps what is finished.)

        Examples
        --------
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> import numpy as np
        >>> from skgroup import GroupedMTLClassifier, MultiTaskNet
        >>> from skgroup.inspection import LearningCurvesDisplay
        >>> X = np.random.default_rng(0).normal(size=(100, 4))
        >>> net = MultiTaskNet(max_epochs=20, lr=0.01)
        >>> display = LearningCurvesDisplay.from_estimator(
        ...     {"MTL": net, "STL": GroupedMTLClassifier.stl(net)}, X, X > 0, n_epochs=4
        ... )
        >>> display.epochs
        array([ 8, 16, 20])
        >>> display.scores["STL"].shape  # seeds, epochs
        (3, 3)
        """
        owner = "LearningCurvesDisplay.from_estimator"
        if isinstance(estimator, Mapping):
            estimators = dict(estimator)
        else:
            estimators = {type(estimator).__name__: estimator}
        if not estimators or not all(isinstance(k, str) and k.strip() for k in estimators):
            raise ValueError(
                f"The 'estimator' parameter of {owner} must be an estimator, or a dict of at least "
                f"one, the names non-empty strings. Got the names {list(estimators)}."
            )
        if score_type not in ("test", "train", "both"):
            raise ValueError(
                f"The 'score_type' parameter of {owner} must be 'test', 'train' or 'both'. Got "
                f"{score_type!r}."
            )
        if not isinstance(n_epochs, Integral) or isinstance(n_epochs, bool) or n_epochs < 1:
            raise ValueError(
                f"The 'n_epochs' parameter of {owner} must be an int >= 1. Got {n_epochs!r}."
            )
        if ax is not None and not hasattr(ax, "plot"):
            raise ValueError(f"The 'ax' parameter of {owner} must be matplotlib Axes. Got {ax!r}.")
        _check_labels(labels)
        _references(reference)
        import_pyplot("LearningCurvesDisplay")
        scores, epochs, name = epoch_scores(
            estimators,
            X,
            Y,
            cv=cv,
            seeds=seeds,
            scoring=scoring,
            score_type=score_type,
            n_epochs=int(n_epochs),
            verbose=verbose,
            owner=owner,
        )
        part = "" if score_type == "both" else f"{score_type} "
        display = cls(scores, epochs=epochs, score_name=f"{part}{name}")
        return display.plot(ax, reference=reference, labels=labels)

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

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        method: str = "method",
        seed: str = "seed",
        epoch: str = "epoch",
        score: str = "score",
        score_name: str | None = None,
        reference: float | Mapping[str, float] | None = None,
        labels: str = "auto",
        ax: Any = None,
    ) -> LearningCurvesDisplay:
        """Plot the scores of a long table: a row a method, seed and epoch.

        Parameters
        ----------
        frame : DataFrame
        method, seed, epoch, score : str
            Names of its columns. Methods come in the order of their first row.
        score_name : str, default=None
            Label of the axis; the name of the column if None.
        reference, labels, ax
            As in `plot`.

        Returns
        -------
        display : LearningCurvesDisplay

        Raises
        ------
        ValueError
            If a column is missing, the frame is empty or has several rows of the same method,
            seed and epoch, or another parameter is not as described.
        """
        _check_frame(frame, [method, seed, epoch], score)
        epochs = np.sort(frame[epoch].unique())
        scores = {
            str(name): rows.pivot(index=seed, columns=epoch, values=score)
            .reindex(columns=epochs)
            .to_numpy(dtype=float)
            for name, rows in frame.groupby(method, sort=False)
        }
        return cls.from_scores(
            scores,
            epochs=epochs,
            score_name=score if score_name is None else score_name,
            reference=reference,
            labels=labels,
            ax=ax,
        )

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
            methods, and for more than 22 lines in a figure of their own, which is then higher.

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
        n_lines = len(self.scores) + len(lines)
        few, grows = len(self.scores) <= _MOST_DIRECT, ax is None and n_lines > _MOST_LEGEND
        direct = labels == "direct" or (labels == "auto" and (few or grows))
        columns = -(-n_lines // _MOST_LEGEND)
        if ax is None:
            width = 7.5 if direct else 4.9 + 2.6 * columns
            height = max(4.5, _OF_NAME * n_lines + 0.8) if direct else 4.5
            _, ax = plt.subplots(figsize=(width, height), layout="constrained")
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


def _check_frame(frame: Any, keys: list[str], score: str) -> None:
    """Whether a table has a row a method, seed and epoch, in the columns `keys`."""
    columns = [*keys, score]
    absent = [c for c in columns if c not in frame.columns]
    if absent:
        raise ValueError(
            f"frame must have the columns {columns}. It lacks {absent}; it has "
            f"{list(frame.columns)}."
        )
    if not len(frame):
        raise ValueError("frame must have at least one row. It is empty.")
    double = frame.duplicated(keys)
    if double.any():
        first = ", ".join(f"{key} {frame.loc[double, key].iloc[0]}" for key in keys)
        raise ValueError(
            f"frame must have one row a {keys[0]}, {keys[1]} and {keys[2]}. Got several of {first}."
        )
