"""What a `scoring` parameter says of tasks with classes, and of regression tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics._errors import multitask_r2_score
from skgroup.metrics._named import NAMED, sign_of
from skgroup.metrics._scores import multitask_f1_score, warn_undefined
from skgroup.metrics._truth import weight_of
from skgroup.tasks import CLASSES, REGRESSION, TaskTable, task_label

__all__ = [
    "NAMED",
    "SCORED",
    "mean_score",
    "scoring_by_kind",
    "sign_of",
    "tasks_scored",
    "weight_of",
]

#: The kinds of tasks that a score can be of.
SCORED = (CLASSES, REGRESSION.name)


def tasks_scored(kind: str, table: TaskTable) -> NDArray[np.bool_]:
    """Which tasks are scored by the score of a kind, (n_tasks,)."""
    return table.has_classes if kind == CLASSES else ~table.has_classes


def scoring_by_kind(
    scoring: Any,
    table: TaskTable,
    owner: str,
    default: Mapping[str, Any],
    *,
    everything: str = "None",
) -> dict[str, Any]:
    """The score of each kind of task that a table holds.

    Parameters
    ----------
    scoring : object
        A score, where all tasks are scored alike; a dict of scores by "classes" and "regression",
        of which those that the table does not need are not looked at; or None.
    table : TaskTable
    owner : str
        Whose parameter it is, for messages.
    default : dict of str to object
        The score of each kind of which nothing is said.
    everything : str, default="None"
        What serves all kinds, for messages.

    Raises
    ------
    ValueError
        If a single score is given for tasks of both kinds, or a dict has other keys.
    """
    there = [kind for kind in SCORED if tasks_scored(kind, table).any()]
    if scoring is None:
        scoring = {}
    name = f"The 'scoring' parameter of {owner}"
    if isinstance(scoring, Mapping):
        unknown = [key for key in scoring if key not in SCORED]
        if unknown:
            raise ValueError(
                f"{name}, where it is a dict, must have keys of {list(SCORED)}. Got {unknown[0]!r}."
            )
        return {kind: scoring.get(kind, default[kind]) for kind in there}
    if len(there) > 1:
        labels = [task_label(table.names, tasks_scored(kind, table).argmax()) for kind in there]
        raise ValueError(
            f"{name} must be a dict with a score for 'classes' and one for 'regression', or "
            f"{everything}, as {labels[0]} has classes and {labels[1]} is a regression task. Got "
            f"{scoring!r}."
        )
    return {there[0]: scoring}


def mean_score(true: TaskTable, predicted: Any, sample_weight: Any = None) -> float:
    """The mean over tasks of F1, or R² of numbers; those of which it is not defined are left out,
    with an UndefinedMetricWarning."""
    scores = np.full(true.n_tasks, np.nan)
    for kind, name, metric in (
        (CLASSES, "F1", multitask_f1_score),
        (REGRESSION.name, "R²", multitask_r2_score),
    ):
        tasks = tasks_scored(kind, true)
        if tasks.any():
            of_tasks = metric(true, predicted, average=None, sample_weight=sample_weight)
            scores[tasks] = np.asarray(of_tasks)[tasks]
            warn_undefined(scores, true, name, numbers=kind != CLASSES)
    return float("nan") if np.isnan(scores).all() else float(np.nanmean(scores))
