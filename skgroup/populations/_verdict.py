"""The answer, in a sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skgroup.populations._path import Path, Way

_SHOWN = 8


def write_verdict(
    path: Path,
    chosen: int,
    membership: NDArray[np.float64],
    names: NDArray,
    loss: str,
    group_names: NDArray | None = None,
) -> str:
    """How many models to use, by how much that is better, and who is in which group.

    Parameters
    ----------
    path : Path
    chosen : int
        Among its ways.
    membership : ndarray of shape (n_tasks, n_groups)
    names : ndarray of shape (n_tasks,)
    loss : str
        What it is called.
    group_names : ndarray of shape (n_groups,), default=None
    """
    way, n_tasks = path.ways[chosen], len(names)
    what = _kind(way, n_tasks)
    if what == "groups":
        labels, n_groups = membership.argmax(axis=1), membership.shape[1]
        members = [_list(names[labels == g].tolist()) for g in np.unique(labels)]
        if group_names is not None:
            members = [f"{g}: {of_g}" for g, of_g in zip(group_names, members, strict=True)]
        fewer = f", of {way.n_groups} that were looked for" * (n_groups < way.n_groups)
        minor = n_groups - len(members)
        fewer += f", {minor} of them no population's most probable" * (minor > 0)
        what = f"{n_groups} groups{fewer}: {' | '.join(members)}"
        if n_groups == 1:
            what = f"one for all, of which no {way.n_groups} groups could be made"
    if way.n_groups < n_tasks and 0 < way.shrinkage < np.inf:
        what += "; " if way.n_groups > 1 else ": "
        what += f"of a population of {way.shrinkage:.3g} rows, its own model counts as much"
    return f"{what}. {_compared(path, chosen, loss)}"


def _kind(way: Way, n_tasks: int) -> str:
    """What there is to choose from."""
    if way.n_groups == n_tasks or way.shrinkage == 0:
        return "one each"
    if way.n_groups == 1:
        return "one for all" if np.isinf(way.shrinkage) else "one for all, shrunk"
    return "groups"


def _name(way: Way, n_tasks: int) -> str:
    kind = _kind(way, n_tasks)
    if kind == "one each":
        return kind
    name = "one for all" if way.n_groups == 1 else f"{way.n_groups} groups"
    return name if np.isinf(way.shrinkage) else f"{name} with shrinkage {way.shrinkage:.3g}"


def others(path: Path, chosen: int) -> list[int]:
    """What the chosen way is compared with: the best of each other kind, the nearest first, and
    the lowest loss."""
    best: dict[str, int] = {}
    for i in np.argsort(path.means, kind="stable").tolist():
        best.setdefault(_kind(path.ways[i], len(path.sizes)), i)
    best.pop(_kind(path.ways[chosen], len(path.sizes)))
    return [i for i in dict.fromkeys([*best.values(), path.best]) if i != chosen]


def _compared(path: Path, chosen: int, loss: str) -> str:
    """The differences to the others."""
    n_tasks, means = len(path.sizes), path.means
    if np.isnan(means[chosen]):
        return "Nothing was held out."
    text, mine = f"Held-out {loss} {means[chosen]:.4g}", _kind(path.ways[chosen], n_tasks)
    for i in others(path, chosen):
        d = path.difference(chosen, i)
        # Of what is the same but for rounding, nothing is left.
        mean, low, high = (
            f"{x if abs(x) > 1e-9 * abs(means[i]) else 0:+.3g}" for x in (d.mean, d.low, d.high)
        )
        interval = f"{'95 % interval ' * ('95 %' not in text)}{low} to {high}"
        lowest = ", the lowest" * (_kind(path.ways[i], n_tasks) == mine)
        text += f", {mean} to {_name(path.ways[i], n_tasks)} ({interval}{lowest})"
    return f"{text}."


def _list(names: list) -> str:
    shown = ", ".join(map(str, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
