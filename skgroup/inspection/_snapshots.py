"""What the snapshots of data maps say of some tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_maps(data_map: ArrayLike) -> NDArray[np.floating]:
    """Data maps (n_tasks, n_snapshots, n_samples, 2), or an error."""
    try:
        maps = np.asarray(data_map, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"data_map must be an array of numbers. Got {data_map!r}.") from None
    if maps.ndim == 2:
        maps = maps[None, None]
    if maps.ndim != 4 or maps.shape[3] != 2 or not maps.size:
        raise ValueError(
            "data_map must be of shape (n_samples, 2) or (n_tasks, n_snapshots, n_samples, 2), "
            f"not empty. Got shape {np.shape(data_map)}."
        )
    return maps


def check_ranges(mean: NDArray[np.floating], spread: NDArray[np.floating]) -> None:
    """Whether confidences are in [0, 1] and variabilities in [0, 0.5]."""
    slack = 1e-5  # of float32
    for name, values, top in (("confidence", mean, 1.0), ("variability", spread, 0.5)):
        outside = (values < -slack) | (values > top + slack)
        if outside.any():
            raise ValueError(
                f"data_map must hold a {name} in [0, {top}]. Got one of {values[outside][0]}."
            )


def check_snapshot(snapshot: Any, n_snapshots: int) -> int:
    """The position of a snapshot, counted from the first."""
    if not isinstance(snapshot, int | np.integer) or not -n_snapshots <= snapshot < n_snapshots:
        raise ValueError(
            f"snapshot must be the position of one of {n_snapshots} snapshots, in "
            f"[{-n_snapshots}, {n_snapshots - 1}]. Got {snapshot!r}."
        )
    return int(snapshot) % n_snapshots


def epochs_of(grouper: Any, n_tasks: int, n_snapshots: int) -> NDArray[np.integer]:
    """The epochs (n_tasks, n_snapshots) of the snapshots of a fitted `TaskGrouper`."""
    epochs = np.tile(grouper.snapshot_epochs_[-n_snapshots:], (n_tasks, 1))
    if hasattr(grouper, "estimators_"):  # the net of a task may have stopped early
        for t, net in enumerate(grouper.estimators_):
            task = t if net.selected_ is None else net.selected_[0]
            epochs[task] = np.minimum(epochs[task], len(net.history_))
    return epochs


def positions_of(task: Any, names: list[str]) -> list[int]:
    """Positions of tasks that are given as positions or names, one or several."""
    tasks = list(task) if np.iterable(task) and not isinstance(task, str) else [task]
    positions = []
    for t in tasks:
        if isinstance(t, int | np.integer) and not isinstance(t, bool) and 0 <= t < len(names):
            positions.append(int(t))
        elif isinstance(t, str) and names.count(t) == 1:
            positions.append(names.index(t))
        else:
            known = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            raise ValueError(
                f"task must be a position in [0, {len(names) - 1}] or one of the names {known}; or "
                f"a list of them. Got {t!r}."
            )
    if not positions:
        raise ValueError("task must be at least one task. Got an empty list.")
    return positions


def places_in(tasks: NDArray[np.intp], task: Any, names: list[str]) -> list[int]:
    """Where given tasks stand among the `tasks` of a net, which rise; `names` are of all."""
    chosen = positions_of(task, names)
    absent = [names[t] for t in chosen if t not in tasks]
    if absent:
        raise ValueError(
            f"task must be one of the tasks of the net, {[names[t] for t in tasks]}. Got "
            f"{absent[0]!r}."
        )
    return [int(place) for place in np.searchsorted(tasks, chosen)]


def coarse_correctness(
    mean: NDArray[np.floating], epochs: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Share of epochs in spans of a mean probability above 1/2, (n_tasks, n_samples), from
    means (n_tasks, n_snapshots, n_samples) at epochs (n_tasks, n_snapshots)."""
    total = mean.astype(float) * epochs[:, :, None]
    spans = np.diff(epochs, axis=1, prepend=0)[:, :, None]  # 0 where a net had stopped before
    above = np.diff(total, axis=1, prepend=0) > spans / 2
    return np.asarray((above * spans).sum(axis=1) / epochs[:, -1:])
