"""The answer, in a sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skgroup.populations._path import Path

_SHOWN = 8


def write_verdict(path: Path, chosen: int, labels: NDArray[np.intp], names: NDArray) -> str:
    """How many models to use, by how much that is better, and who is in which group.

    Parameters
    ----------
    path : Path
    chosen : int
        Among its ways.
    labels : ndarray of shape (n_tasks,)
        The group of each population.
    names : ndarray of shape (n_tasks,)
    """
    way, n_tasks = path.ways[chosen], len(names)
    if way.n_groups == 1:
        what = "one for all"
    elif way.n_groups == n_tasks:
        what = "one each"
    else:
        members = [names[labels == g].tolist() for g in np.unique(labels)]
        what = f"{len(members)} groups: {' | '.join(_list(m) for m in members)}"
    if way.n_groups < n_tasks and not np.isinf(way.shrinkage):
        what += (
            f"; a population's own model counts as much where it has {way.shrinkage:.3g} rows"
            if way.n_groups > 1
            else f", shrunk: a population's own model counts as much where it has "
            f"{way.shrinkage:.3g} rows"
        )
    return f"{what}. {_compared(path, chosen)}"


def _compared(path: Path, chosen: int) -> str:
    others = {
        "one for all": path.find(1, np.inf),
        "one each": path.find(len(path.sizes)),
    }
    known = {name: i for name, i in others.items() if i is not None and i != chosen}
    loss = f"Held-out loss {path.means[chosen]:.4g}"
    if path.best != chosen and path.ways[path.best].n_groups not in (1, len(path.sizes)):
        way = path.ways[path.best]
        known[f"{way.n_groups} groups"] = path.best
    if not known:
        return f"{loss}."
    name = min(known, key=lambda n: path.means[known[n]])
    d = path.difference(chosen, known[name])
    return (
        f"{loss}, {d.mean:+.3g} to {name} (95 % interval {d.low:+.3g} to {d.high:+.3g}, over "
        "populations)."
    )


def _list(names: list) -> str:
    shown = ", ".join(map(str, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
