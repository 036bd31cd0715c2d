"""What the number of a pair of tasks says, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAIN_IN_GROUPS", "Effect", "effect_of", "gain_of_pair", "of_all_tasks"]


@dataclass(frozen=True)
class Effect:
    """What entry [i, j] of a matrix of pairs says of tasks i and j.

    Parameters
    ----------
    name : str
        Of the quantity.
    meaning : str
        One sentence on [i, j].
    unit : str
    rows, columns : str
        What task i does, and what is said of task j: the labels of the axes of a picture.
    directed : bool, default=True
        Whether [i, j] is what training on i does to j. Else nothing is trained on one task alone,
        and [j, i] is the same.
    bound : float or None, default=None
        The largest size that there can be.
    """

    name: str
    meaning: str
    unit: str
    rows: str = "trained on"
    columns: str = "effect on"
    directed: bool = True
    bound: float | None = None

    @property
    def direction(self) -> str:
        """What [i, j] is to [j, i]."""
        if self.directed:
            return "[i, j] is what training on task i does to task j"
        return "symmetric: [i, j] is [j, i]; nothing is trained on one task alone"


#: Mean gains over random groups.
GAIN_IN_GROUPS = Effect(
    name="estimated gain in groups with the task",
    meaning=(
        "mean estimated gain of task j over its own training alone, in random groups that hold "
        "tasks i and j"
    ),
    unit="share of the held-out loss of task j",
    rows="trained with",
    columns="gain of",
)


def gain_of_pair(unit: str, *, how: str = "measured") -> Effect:
    """The effect of pairs of tasks that are measured, or predicted, against each task alone."""
    return Effect(
        name=f"{how} gain of pairs",
        meaning=f"{how} gain of task j in a net of tasks i and j, over a net of task j alone",
        unit=unit,
        rows="trained with",
        columns="gain of",
    )


def effect_of(affinity: NDArray[np.float64], name: str = "affinity") -> Effect:
    """The effect that an affinity without a description stands for: by its contract what training
    on i does to j, unless it is the same in both directions."""
    if np.array_equal(affinity, affinity.T, equal_nan=True):
        return Effect(
            name, f"{name} of tasks i and j", "not said", "task i", "task j", directed=False
        )
    return Effect(name, f"{name}: what training on task i does to task j", "not said")


def of_all_tasks(values: NDArray[np.float64], learnable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pairs of all tasks, (n_tasks, n_tasks), from those of all or of the learnable ones; NaN of
    the others, of which nothing is known."""
    whole = np.full((len(learnable),) * 2, np.nan)
    pairs = np.ix_(learnable, learnable)
    whole[pairs] = values[pairs] if len(values) == len(learnable) else values
    return whole
