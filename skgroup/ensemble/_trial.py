"""What can be seen of groupers and nets before anything trains: they are tried on little."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skgroup._estimators import set_random_state, steps_of
from skgroup._random import local_seed
from skgroup.ensemble._groupers import (
    check_groups,
    number_of_groups,
    read_groups,
)
from skgroup.relations.relation import RelationMixin
from skgroup.selection import GroupGains, GroupSelector
from skgroup.selection.gains import GainPredictor
from skgroup.selection.inputs import read_inputs
from skgroup.training import MultiTaskNet
from skgroup.training.engine import build_net
from skgroup.training.stack import stack_or_reason
from skgroup.training.training_data import TrainingData

#: Numbers in a made-up relation. Of larger ones only the form of the result is looked at.
_MOST_NUMBERS = 2**18


def try_grouper(grouper: Any, n_tasks: int, n_samples: int, y: Any) -> None:
    """Fit what comes behind the relation on a made-up one.

    Parameters
    ----------
    grouper : estimator
        Unfitted.
    n_tasks, n_samples : int
        Of the table of tasks that it will be fitted on.
    y : array-like
        What a pipeline gives its steps as `y`.

    Raises
    ------
    ValueError
        If the last step leaves no groups of the tasks, or a step fails.
    """
    relation, *steps = steps_of(grouper)
    if not steps:
        ungrouped = RelationMixin | MultiTaskNet | GroupGains | GainPredictor
        if isinstance(relation, ungrouped) and type(relation).__module__.startswith("skgroup."):
            check_groups(relation, n_tasks)
        return
    known = isinstance(relation, RelationMixin)
    with local_seed(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rng = np.random.RandomState(0)
        if known:
            R, whole = relation.example_rows(n_tasks, n_samples, _MOST_NUMBERS, rng)
        else:  # of the user's: its rows are not known
            R, whole = rng.uniform(size=(n_tasks, n_tasks)), False
        try:
            last = _fit_steps(steps, R, y)
        except Exception as error:
            if not whole:
                return
            raise ValueError(
                f"The 'grouper' parameter cannot group {n_tasks} tasks by the rows of "
                f"{type(relation).__name__}, of shape {R.shape}: {error}"
            ) from error
    if last is not None:
        check_groups(last, n_tasks, whole=whole)


def _fit_steps(steps: list[Any], R: Any, y: Any) -> Any:
    """The last step, fitted; None where only its input is looked at."""
    tried = make_pipeline(*(clone(step, safe=False) for step in steps))
    set_random_state(tried, 0)
    if not isinstance(steps[-1], GroupSelector):
        return tried.fit(R, y)[-1]
    # An exact choice may take long, and `GroupSelector.check` knows whether there is one.
    read_inputs(tried[:-1].fit_transform(R, y) if len(tried) > 1 else R, None)
    return None


def known_groups(grouper: Any, n_tasks: int, min_membership: float) -> NDArray[np.bool_] | None:
    """Which tasks each group keeps, (n_tasks, n_groups), where that is known before `fit`."""
    if not hasattr(grouper, "fit"):
        return read_groups(grouper, n_tasks, min_membership).kept
    last = steps_of(grouper)[-1]
    number = None if isinstance(last, GroupSelector) else number_of_groups(last, n_tasks)
    return np.ones((n_tasks, 1), dtype=bool) if number and number[1] == 1 else None


def may_be_kept(n_tasks: int) -> NDArray[np.bool_]:
    """What stands for groups that are not known before `fit`: they may leave tasks out."""
    return np.arange(n_tasks)[:, None] < [n_tasks, max(1, n_tasks - 1)]


def try_nets(
    net: MultiTaskNet,
    data: TrainingData,
    kept: NDArray[np.bool_],
    start: MultiTaskNet | None = None,
) -> None:
    """Build nets of some of the tasks.

    Parameters
    ----------
    net : MultiTaskNet
        What specialists are clones of.
    data : TrainingData
        Of all tasks.
    kept : ndarray of shape (n_tasks, n_groups) of bool
        The tasks of each group.
    start : MultiTaskNet, default=None
        A net like those that they start from.

    Raises
    ------
    ValueError
        If one cannot be built.
    """
    n_tasks = data.table.n_tasks
    base = None if start is None else _built(start, data, np.arange(n_tasks))
    for tasks in _one_of_each(data, kept):
        if base is None and len(tasks) == n_tasks:
            continue
        try:
            built = _built(net, data, tasks)
        except Exception as error:
            raise ValueError(
                "The 'estimator' parameter of GroupedMTLClassifier must have a module that can be "
                "built for some of the tasks, as specialists leave out tasks that are not in "
                f"their group. For {len(tasks)} of {n_tasks} tasks: {error} Give the module as a "
                "class that takes n_outputs or task_outputs, not as an instance."
            ) from error
        try:
            if base is not None:
                built.load_tasks(base, tasks)
        except Exception as error:
            raise ValueError(
                "The 'specialist_init' parameter of GroupedMTLClassifier must not be 'relation' "
                f"here: for {len(tasks)} of {n_tasks} tasks, {error}"
            ) from error


def try_stack(net: MultiTaskNet, data: TrainingData, kept: NDArray[np.bool_]) -> None:
    """Stack untrained nets of some groups; ValueError if that cannot be done."""
    groups = _one_of_each(data, kept)
    nets = [_built(net, data, tasks) for tasks in groups]
    reason = stack_or_reason(nets, [data.select(tasks) for tasks in groups])
    if isinstance(reason, str):
        raise ValueError(
            "The 'strategy' parameter of GroupedMTLClassifier must not be 'stacked' here: the "
            f"specialists cannot be trained as a stack: {reason}."
        )


def _one_of_each(data: TrainingData, kept: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Tasks of one group of each layout of outputs."""
    outputs, types = data.table.task_outputs, data.table.task_types
    of_layout: dict[tuple[Any, ...], NDArray[np.intp]] = {}
    for column in kept.T:
        tasks = np.flatnonzero(column)
        of_layout.setdefault(tuple((outputs[t], types[t]) for t in tasks), tasks)
    return list(of_layout.values())


def _built(net: MultiTaskNet, data: TrainingData, tasks: NDArray[np.intp]) -> MultiTaskNet:
    built = clone(net).set_params(task_weight=None)
    return build_net(built, data.select(tasks), seed=0)
