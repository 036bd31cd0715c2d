"""Specialists: planned from the groups before training, then trained together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skgroup._random import draw_seeds
from skgroup.ensemble._groupers import Groups
from skgroup.training import MultiTaskNet
from skgroup.training.engine import fit_many
from skgroup.training.training_data import TrainingData


@dataclass(frozen=True)
class Specialist:
    """A net to be trained: on which tasks, weighing their losses how, from which seed."""

    tasks: NDArray[np.intp]
    task_weight: NDArray[np.float64]
    seed: int


def plan_specialists(groups: Groups, of_task: NDArray[np.float32], seed: int) -> list[Specialist]:
    """One net a group, on the tasks that it keeps."""
    planned = []
    for j, of_group in enumerate(draw_seeds(seed, groups.kept.shape[1])):
        tasks = np.flatnonzero(groups.kept[:, j])
        weight = groups.membership[tasks, j]
        # A group of tasks that weigh nothing is served all the same.
        weight = weight * of_task[tasks] if of_task[tasks].any() else weight
        planned.append(Specialist(tasks, weight, of_group))
    return planned


def train_specialists(
    planned: Sequence[Specialist],
    net: MultiTaskNet,
    data: TrainingData,
    *,
    base: MultiTaskNet | None = None,
    group_names: Sequence[str] | None = None,
    **engine: Any,
) -> list[MultiTaskNet]:
    """Train the specialists together.

    Parameters
    ----------
    planned : sequence of Specialist
    net : MultiTaskNet
        What they are clones of.
    data : TrainingData
    base : MultiTaskNet, default=None
        A fitted net on all tasks that they start from; None for new weights.
    group_names : sequence of str, one a specialist, default=None
    **engine
        `strategy`, `n_jobs`, `verbose`, `checkpoint`, `part` of `fit_many`.

    Returns
    -------
    nets : list of MultiTaskNet, one a specialist
    """
    start = None
    if base is not None:

        def start(specialist: MultiTaskNet, of_net: TrainingData) -> None:
            specialist.load_tasks(base, np.searchsorted(data.tasks, of_net.tasks))

    names = [f"specialist {j}" for j in range(len(planned))]
    if group_names is not None:
        names = [f"{name} ({of_group})" for name, of_group in zip(names, group_names, strict=True)]
    nets, _ = fit_many(
        [clone(net).set_params(task_weight=one.task_weight) for one in planned],
        [data.select(one.tasks) for one in planned],
        [one.seed for one in planned],
        start=start,
        description="specialists",
        names=names,
        **engine,
    )
    return nets
