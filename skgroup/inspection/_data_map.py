"""Data maps of tasks: how sure a net was of each sample's label, and how steadily."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skgroup.inspection._anew import net_of
from skgroup.inspection._checks import check_count, check_names
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.inspection._panels import import_pyplot, make_panels, open_figure
from skgroup.inspection._snapshots import (
    check_maps,
    check_ranges,
    check_snapshot,
    coarse_correctness,
    epochs_of,
    places_in,
    positions_of,
)
from skgroup.inspection._writing import short
from skgroup.tasks import MISSING, check_tasks

#: Width in points of panels that have room for the names of the regions.
_REGIONS = 180.0
#: Figures are so wide, in inches, where panels then have the least width that names can be read at.
_WIDE, _LEAST_PANEL = 10.0, 1.75


class DataMapDisplay:
    """Data maps [1]_: a point a training sample, its variability σ across, its confidence μ up,
    coloured by correctness. A panel a task.

    High and to the left are samples that are easy to learn, low and to the left those that are
    hard (or mislabelled), to the right those that are ambiguous.

    Parameters
    ----------
    confidence, variability : ndarray of shape (n_tasks, n_samples)
        NaN for a sample that is left out.
    correctness : ndarray of shape (n_tasks, n_samples), default=None
        In [0, 1]. All points have one colour if None.
    task_names : sequence of str, default=None
        Titles of the panels. "task 0", ... if None.
    correctness_label : str, default="correctness"
        Of the bar of colours.

    Attributes
    ----------
    axes_ : ndarray of shape (n_tasks,) of matplotlib Axes
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure

    Notes
    -----
    Correctness is the share of epochs in which a sample was predicted correctly. A `TaskGrouper`
    keeps μ and σ alone. But from the means μ at epochs d < e, the mean probability of the true
    label over the epochs between follows, (e μ_e − d μ_d) / (e − d). What is drawn is the share
    of epochs up to the snapshot that lie in spans, between two recorded snapshots, of a mean
    probability above 1/2. For binary tasks this is the correctness itself where every epoch was
    recorded (`snapshot_epochs="all"`); else it is coarse, and the bar of colours says in how many
    spans. For a task of more classes it is a lower bound of that, as a label may be predicted
    with less than 1/2. A number counts as predicted correctly where its confidence, which the data
    map of a regression task holds, is above 1/2. With `output="isometric"` one span, from the first
    epoch to the last, is all there is.

    References
    ----------
    .. [1] S. Swayamdipta et al., "Dataset cartography: mapping and diagnosing datasets with
       training dynamics", EMNLP 2020, arXiv:2009.10795.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skgroup.inspection import DataMapDisplay
    >>> display = DataMapDisplay.from_data_map(
    ...     [[0.9, 0.1], [0.5, 0.4], [0.1, 0.1]], task_names=["bald"]
    ... )
    >>> display.ax_.get_title()
    'bald'
    >>> display.ax_.collections[0].get_offsets().shape
    (3, 2)
    """

    def __init__(
        self,
        confidence: NDArray[np.floating],
        variability: NDArray[np.floating],
        *,
        correctness: NDArray[np.floating] | None = None,
        task_names: Sequence[str] | None = None,
        correctness_label: str = "correctness",
    ) -> None:
        self.confidence = confidence
        self.variability = variability
        self.correctness = correctness
        self.task_names = task_names
        self.correctness_label = correctness_label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        task: int | str | Sequence[int | str],
        *,
        net: str | int | None = None,
        snapshot: int = -1,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        task_names: Sequence[str] | None = None,
        max_samples: int | None = 10_000,
        random_state: int = 0,
        ax: Any = None,
    ) -> DataMapDisplay:
        """Plot data maps of a fitted `TaskGrouper`, or of a net of a grouped classifier.

        Parameters
        ----------
        estimator : fitted TaskGrouper, or a Pipeline or classifier with one
            With `net`, a fitted grouped classifier or regressor, or a Pipeline that ends in one.
        task : int, str, or a sequence of them
            Positions or names of tasks; a panel each.
        net : "relation", int, str or None, default=None
            None draws what was recorded when the estimator was fitted. Else the data map of a net
            of a grouped estimator is recorded by training such a net again on `X` and `y`: the net
            by whose data maps tasks were grouped, from the seed it had, which is the same net
            where the data are those of `fit`; or the specialist of a group, by position or name,
            on the tasks and with the weights that it has, but from another seed: another net of
            its kind. The estimator stays as it is.
        snapshot : int, default=-1
            Position of the snapshot in `snapshot_epochs_`; the last by default.
        X : array-like of shape (n_samples, ...), default=None
            The samples of `fit`, for `net`.
        y : array-like of shape (n_samples, n_tasks), default=None
            The task table of `fit`. Samples whose label of a task is missing are then left out
            of its panel; else they stand where the net expected them (see `TaskGrouper`).
        sample_weight : array-like, default=None
            Those of `fit`, for `net`.
        task_names : sequence of str, default=None
            Of all tasks of the estimator. If None, `task_names_in_` of the estimator, or of a
            step of it, where it has them.
        max_samples, random_state, ax
            As in `plot`.

        Returns
        -------
        display : DataMapDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no data maps, a task or snapshot is not there, or another parameter is not
            as described; before any training.

        Notes
        -----
        Samples that the net did not train on (`train_split` of its estimator) are left out.
        """
        import_pyplot("DataMapDisplay")
        names = task_names if task_names is not None else task_names_of(estimator)
        found = find_fitted(estimator, "learnable_")
        learnable = None if found is None else found[0].learnable_
        n_all = None if learnable is None else len(learnable)
        of_net = ""
        if net is not None:
            chosen_net = net_of(estimator, net)
            tasks, of_net = chosen_net.tasks, chosen_net.name
            places_in(tasks, task, check_names(names, n_all or len(tasks)))
            grouper = chosen_net.record(X, y, sample_weight)
        else:
            grouper = _recorded(estimator)
            tasks = np.arange(len(grouper.data_map_))
            if learnable is not None and len(tasks) < len(learnable):
                tasks = np.flatnonzero(learnable)  # others have no map
        maps = grouper.data_map_
        n_tasks, n_snapshots, n_samples, _ = maps.shape
        epochs = epochs_of(grouper, n_tasks, n_snapshots)
        # What the net did not train on is zero for every task.
        left_out = (maps[:, -1] == 0).all(axis=(0, 2))
        missing = np.broadcast_to(left_out, (n_tasks, n_samples))
        if y is not None:
            known = getattr(found[0], "task_names_in_", None) if found is not None else None
            missing = (check_tasks(y, names=known).codes == MISSING).T
            if missing.shape != (n_all or n_tasks, n_samples):
                raise ValueError(
                    f"y must be the task table of fit, of {n_samples} samples and "
                    f"{n_all or n_tasks} tasks. Got {missing.shape[1]} samples and "
                    f"{missing.shape[0]} tasks."
                )
            missing = missing[tasks] | left_out
        every = check_names(names, n_all or n_tasks)
        places = places_in(tasks, task, every)
        shown = [f"{every[t]} ({of_net})" if of_net else every[t] for t in tasks]
        return cls._from_maps(
            maps,
            places,
            snapshot,
            epochs=epochs,
            missing=missing,
            task_names=shown,
        ).plot(ax, max_samples=max_samples, random_state=random_state)

    @classmethod
    def from_data_map(
        cls,
        data_map: ArrayLike,
        task: int | str | Sequence[int | str] = 0,
        *,
        snapshot: int = -1,
        snapshot_epochs: Sequence[int] | None = None,
        task_names: Sequence[str] | None = None,
        max_samples: int | None = 10_000,
        random_state: int = 0,
        ax: Any = None,
    ) -> DataMapDisplay:
        """Plot given data maps.

        Parameters
        ----------
        data_map : array-like of shape (n_samples, 2) or (n_tasks, n_snapshots, n_samples, 2)
            μ and σ of each sample, of one task or of several as in `TaskGrouper.data_map_`. NaN
            for samples that are to be left out.
        task : int, str, or a sequence of them, default=0
            Positions or names of tasks; a panel each.
        snapshot : int, default=-1
            Position of the snapshot; the last by default.
        snapshot_epochs : sequence of int of shape (n_snapshots,), default=None
            The epochs of the snapshots, counted from 1, from which correctness is found, as the
            notes say; nothing is coloured if None.
        task_names : sequence of str, default=None
            "task 0", ... if None.
        max_samples, random_state, ax
            As in `plot`.

        Returns
        -------
        display : DataMapDisplay

        Raises
        ------
        ValueError
            If a shape does not fit, a task or snapshot is not there, or a confidence is outside
            of [0, 1] or a variability outside of [0, 0.5].
        """
        maps = check_maps(data_map)
        epochs = None
        if snapshot_epochs is not None:
            given = np.asarray(snapshot_epochs)
            if given.shape != maps.shape[1:2] or not (np.diff(given, prepend=0) > 0).all():
                raise ValueError(
                    f"snapshot_epochs must be the {maps.shape[1]} rising epochs of the snapshots, "
                    f"counted from 1. Got {snapshot_epochs!r}."
                )
            epochs = np.tile(given, (len(maps), 1))
        return cls._from_maps(
            maps,
            task,
            snapshot,
            epochs=epochs,
            missing=None,
            task_names=task_names,
        ).plot(ax, max_samples=max_samples, random_state=random_state)

    @classmethod
    def _from_maps(
        cls,
        maps: NDArray[np.floating],
        task: Any,
        snapshot: int,
        *,
        epochs: NDArray[np.integer] | None,
        missing: NDArray[np.bool_] | None,
        task_names: Sequence[str] | None,
    ) -> DataMapDisplay:
        n_tasks, n_snapshots = maps.shape[:2]
        names = check_names(task_names, n_tasks)
        tasks = positions_of(task, names)
        snapshot = check_snapshot(snapshot, n_snapshots)
        shown = maps[tasks, snapshot].astype(float)
        mean, spread = shown[..., 0], shown[..., 1]
        check_ranges(mean, spread)
        out = np.isnan(shown).any(axis=2)
        if missing is not None:
            out |= missing[tasks]
        mean[out] = spread[out] = np.nan
        label = "correctness"
        right: NDArray[np.floating] | None = None
        if epochs is not None:
            until = epochs[tasks, : snapshot + 1]
            right = coarse_correctness(maps[tasks, : snapshot + 1, :, 0], until)
            if not (np.diff(until, prepend=0) <= 1).all():
                n_spans = snapshot + 1
                label += f" (in {n_spans} span{'s' if n_spans > 1 else ''} of epochs)"
        chosen = [names[t] for t in tasks]
        return cls(mean, spread, correctness=right, task_names=chosen, correctness_label=label)

    def plot(
        self, ax: Any = None, *, max_samples: int | None = 10_000, random_state: int = 0
    ) -> DataMapDisplay:
        """Draw the data maps.

        Parameters
        ----------
        ax : matplotlib Axes, or one a task, default=None
            A single Axes gives its place to all panels. A new figure if None.
        max_samples : int, default=10_000
            Of more samples, so many are drawn at random (in each panel; the same in all). None
            draws all.
        random_state : int, default=0
            Determines which, and which points lie above others.

        Returns
        -------
        self : DataMapDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If `max_samples` is not as described.

        Notes
        -----
        Points are drawn as one image a panel (rasterized), so that vector files stay small.
        """
        most = check_count(max_samples, 1, "max_samples")
        n_tasks, n_samples = self.confidence.shape
        names = check_names(self.task_names, n_tasks)
        axes, n_columns = _make_panels(ax, n_tasks)
        # A sample has the same place in the shuffled order of every panel.
        order = np.random.default_rng(random_state).permutation(n_samples)
        points = 72 / open_figure(axes[0]).dpi
        # Panels of a grid share their labels, but not their axes, which would take quadratic
        # time; Axes that were given may stand anywhere.
        alone = ax is not None and not hasattr(ax, "imshow")
        image = None
        for t, panel in enumerate(axes):
            kept = order[~np.isnan(self.confidence[t, order])]
            drawn = kept[:most]
            room = panel.get_window_extent().width * points
            image = self._draw_points(panel, t, drawn, room)
            font = _write_title(panel, names[t], room)
            if room >= _REGIONS:
                _name_regions(panel)
                if len(drawn) < len(kept):
                    panel.set_title(f"{len(drawn):,} of {len(kept):,}", loc="right", fontsize=8)
            bottom = alone or t + n_columns >= n_tasks
            left = alone or t % n_columns == 0
            panel.tick_params(labelsize=min(9.0, font), labelbottom=bottom, labelleft=left)
            if bottom:
                panel.set_xlabel("variability \N{GREEK SMALL LETTER SIGMA}", fontsize=font)
            if left:
                panel.set_ylabel("confidence μ", fontsize=font)
        if self.correctness is not None:
            bar = axes[0].figure.colorbar(
                image,
                ax=list(axes) if n_tasks > 1 else axes[0],
                label=self.correctness_label,
                shrink=min(1.0, 3.0 / -(-n_tasks // n_columns)),
                aspect=25,
                anchor=(0.0, 1.0),
                panchor=False,
            )
            bar.solids.set_alpha(1)
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        return self

    def _draw_points(self, panel: Any, task: int, samples: NDArray[np.intp], room: float) -> Any:
        # Points of many samples are smaller, and so are those of small panels.
        area = float(np.clip(0.2 * room**2 / max(len(samples), 1), 1.0, 20.0))
        options: dict[str, Any] = {"color": "C0"}
        if self.correctness is not None:
            options = {
                "c": self.correctness[task, samples],
                "cmap": "coolwarm_r",
                "vmin": 0.0,
                "vmax": 1.0,
                "plotnonfinite": True,
            }
        image = panel.scatter(
            self.variability[task, samples],
            self.confidence[task, samples],
            s=area,
            linewidths=0,
            alpha=0.8,
            rasterized=True,
            **options,
        )
        panel.set_xlim(-0.02, 0.52)
        panel.set_ylim(-0.03, 1.03)
        return image


def _recorded(estimator: Any) -> Any:
    """The part of a fitted estimator that has data maps."""
    fitted = find_fitted(estimator, "data_map_")
    if fitted is None:
        raise ValueError(
            "estimator must be a TaskGrouper, or have one as a step that keeps its maps, as in "
            "GroupedMTLClassifier(grouper=make_pipeline(TaskGrouper(), FuzzyKMeans())); of a "
            "grouped estimator without, give net='relation' or a group, X and y. Got "
            f"{type(estimator).__name__}."
        )
    return fitted[0]


def _make_panels(ax: Any, n_tasks: int) -> tuple[NDArray[np.object_], int]:
    """A panel a task, and how many stand in a row."""
    # Many panels are best near square, few in one row.
    n_columns = min(n_tasks, 4 if n_tasks <= 16 else 5 if n_tasks <= 40 else 8)
    if hasattr(ax, "get_window_extent"):  # one place for all: panels as square as it allows
        place = ax.get_window_extent()
        n_columns = int(np.clip(round((n_tasks * place.width / place.height) ** 0.5), 1, n_tasks))
    side = 4.2 if n_tasks == 1 else max(_LEAST_PANEL, min(2.6, (_WIDE - 1.2) / n_columns))
    size = (n_columns * side + 1.2, -(-n_tasks // n_columns) * (side + 0.15) + 0.4)
    return make_panels("DataMapDisplay", ax, n_tasks, n_columns, size), n_columns


def _write_title(panel: Any, name: str, room: float) -> float:
    """Write the name of a task as large as it fits; the size of its letters."""
    font = float(np.clip(room / 17, 6.0, 11.0))
    panel.set_title(short(name, max(8, int(room / (0.62 * font)))), fontsize=font, parse_math=False)
    return font


def _name_regions(panel: Any) -> None:
    from matplotlib.patheffects import withStroke

    for x, y, region, ha in (
        (0.02, 0.97, "easy to learn", "left"),
        (0.50, 0.50, "ambiguous", "right"),
        (0.02, 0.03, "hard to learn", "left"),
    ):
        panel.text(
            x,
            y,
            region,
            ha=ha,
            va="center",
            fontsize=9,
            style="italic",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
