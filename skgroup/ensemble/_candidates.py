"""The nets that may serve a task: planned before training, then trained kind by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skgroup._random import draw_seeds
from skgroup.ensemble._groupers import Groups
from skgroup.tasks import TaskTable
from skgroup.training import MultiTaskNet
from skgroup.training.engine import fit_many
from skgroup.training.training_data import TrainingData

__all__ = [
    "ALL_TASKS",
    "GROUP",
    "SINGLE_TASK",
    "Candidate",
    "all_tasks",
    "single_tasks",
    "specialists",
    "train",
]

GROUP, ALL_TASKS, SINGLE_TASK = "specialists", "all-tasks nets", "single-task nets"


@dataclass(frozen=True)
class Candidate:
    """A net to be trained: on which tasks, weighing their losses how, from which seed."""

    name: str
    kind: str
    tasks: NDArray[np.intp]
    task_weight: NDArray[np.float64]
    seed: int


def specialists(groups: Groups, of_task: NDArray[np.float32], seed: int) -> list[Candidate]:
    """One net a group, on the tasks that it keeps."""
    seeds = draw_seeds(seed, len(groups.names))
    candidates = []
    for j, (name, of_group) in enumerate(zip(groups.names, seeds, strict=True)):
        tasks = np.flatnonzero(groups.kept[:, j])
        weight = groups.membership[tasks, j]
        # A group of tasks that weigh nothing is served all the same.
        weight = weight * of_task[tasks] if of_task[tasks].any() else weight
        candidates.append(Candidate(name, GROUP, tasks, weight, of_group))
    return candidates


def all_tasks(n_nets: int, of_task: NDArray[np.float32], seed: int) -> list[Candidate]:
    """Nets on all tasks, which differ in their seeds."""
    tasks = np.arange(len(of_task))
    weight = of_task.astype(np.float64)
    return [
        Candidate(f"all tasks, net {i}", ALL_TASKS, tasks, weight, of_net)
        for i, of_net in enumerate(draw_seeds(seed, n_nets))
    ]


def single_tasks(table: TaskTable, seed: int) -> list[Candidate]:
    """One net a task."""
    names = range(table.n_tasks) if table.names is None else table.names
    seeds = draw_seeds(seed, table.n_tasks)
    return [
        Candidate(f"single task {name}", SINGLE_TASK, np.array([t]), np.ones(1), of_task)
        for t, (name, of_task) in enumerate(zip(names, seeds, strict=True))
    ]


def train(
    candidates: Sequence[Candidate],
    data: TrainingData,
    estimators: dict[str, MultiTaskNet],
    *,
    base: MultiTaskNet | None = None,
    relation: bool = False,
    what: str = "",
    **engine: Any,
) -> list[MultiTaskNet]:
    """Train the candidates, each kind together.

    Parameters
    ----------
    candidates : sequence of Candidate
    data : TrainingData
    estimators : dict
        The net of each kind, unfitted.
    base : MultiTaskNet, default=None
        A fitted net that stands for the first all-tasks net.
    relation : bool, default=False
        Whether specialists start from `base`, or else from an all-tasks net.
    what : str
        Said before the kind in progress bars.
    **engine
        `strategy`, `n_jobs`, `verbose` of `fit_many`.

    Returns
    -------
    nets : list of MultiTaskNet, one a candidate
    """
    nets: dict[int, MultiTaskNet] = {}

    def fit(kind: str, members: list[int], start: Any = None) -> None:
        fitted, _ = fit_many(
            [
                clone(estimators[kind]).set_params(task_weight=candidates[c].task_weight)
                for c in members
            ],
            [data.select(candidates[c].tasks) for c in members],
            [candidates[c].seed for c in members],
            start=start,
            description=f"{what}{kind}",
            **engine,
        )
        nets.update(zip(members, fitted, strict=True))

    of_kind = {
        kind: [c for c, candidate in enumerate(candidates) if candidate.kind == kind]
        for kind in (ALL_TASKS, GROUP, SINGLE_TASK)
    }
    if base is not None and of_kind[ALL_TASKS]:
        nets[of_kind[ALL_TASKS].pop(0)] = base
    if of_kind[ALL_TASKS]:
        fit(ALL_TASKS, of_kind[ALL_TASKS])
        base = nets[of_kind[ALL_TASKS][0]] if base is None else base
    if of_kind[GROUP]:
        start = None
        if relation:
            if base is None:
                base = clone(estimators[ALL_TASKS])
                fitted, _ = fit_many(
                    [base], [data], [candidates[0].seed], description=f"{what}base net", **engine
                )
                base = fitted[0]

            def start(net: MultiTaskNet, of_net: TrainingData) -> None:
                net.load_tasks(base, np.searchsorted(data.tasks, of_net.tasks))

        fit(GROUP, of_kind[GROUP], start)
    if of_kind[SINGLE_TASK]:
        fit(SINGLE_TASK, of_kind[SINGLE_TASK])
    return [nets[c] for c in range(len(candidates))]
