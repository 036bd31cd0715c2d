"""What pairs of tasks do to each other: read off fitted estimators, or measured."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset

from skgroup.cluster.memberships import one_hot
from skgroup.inspection._checks import check_names
from skgroup.inspection._fitted import (
    find_fitted,
    group_names_of,
    last_of,
    parts_of,
    task_names_of,
)
from skgroup.relations import InterTaskAffinity
from skgroup.relations.effect import Effect, effect_of, of_all_tasks
from skgroup.selection import GroupGains
from skgroup.tasks import as_columns, by_task_columns, check_tasks, single_classes_said
from skgroup.training import MultiTaskNet
from skgroup.training.costs import count_nets
from skgroup.training.data import check_inputs, labels_of

_KINDS = ("auto", "affinity", "gains")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Effects of pairs of tasks, beside the groups of the tasks.

    Attributes
    ----------
    values : ndarray of shape (n_tasks, n_tasks)
        NaN where nothing is known.
    effect : Effect
    task_names : list of str or None
    membership : ndarray of shape (n_tasks, n_groups) or None
        Rows of tasks in no group are 0.
    group_names : list of str or None
    n_trained : int
        Nets that were trained to know it.
    """

    values: NDArray[np.float64]
    effect: Effect
    task_names: Sequence[str] | None = None
    membership: NDArray[np.float64] | None = None
    group_names: Sequence[str] | None = None
    n_trained: int = 0

    @property
    def groups(self) -> NDArray[np.intp] | None:
        """The strongest group of each task, (n_tasks,), -1 of tasks in none; None without any."""
        return None if self.membership is None else strongest(self.membership)

    def beside(self) -> NDArray[np.float64]:
        """The values without the diagonal: a task is no partner of itself."""
        return np.where(np.eye(len(self.values), dtype=bool), np.nan, self.values)


def strongest(membership: NDArray[np.float64]) -> NDArray[np.intp]:
    """The group of the largest membership of each task; -1 where it has none."""
    return np.where((membership > 0).any(axis=1), membership.argmax(axis=1), -1)


def pairs_of(
    estimator: Any,
    X: Any = None,
    Y: Any = None,
    *,
    kind: Any = "auto",
    sample_weight: Any = None,
    task_names: Sequence[str] | None = None,
    random_state: Any = None,
    verbose: int = 0,
    owner: str,
) -> Pairs:
    """The pairs that a fitted estimator holds, or those that are measured on X and Y.

    Parameters and errors are those of `skgroup.inspection.partners`.
    """
    check_is_fitted(estimator)
    by_name = isinstance(kind, str)
    if kind not in _KINDS if by_name else (isinstance(kind, type) or not _measures(kind)):
        raise ValueError(
            f"The 'kind' parameter of {owner} must be 'auto', 'affinity', 'gains' or an unfitted "
            "estimator of effects of pairs: an affinity of skgroup.relations, or GroupGains. Got "
            f"{kind!r}."
        )
    held = _held(estimator) if by_name and kind == "auto" else None
    if held is not None:
        (values, effect), n_trained, names = held, 0, task_names_of(estimator)
    else:
        values, effect, n_trained, names = _measured(
            estimator, X, Y, kind, sample_weight, task_names, random_state, verbose, owner
        )
    if np.isnan(values[~np.eye(len(values), dtype=bool)]).all():
        raise ValueError(
            f"{owner} needs the effect of at least one pair of tasks. Got none of "
            f"{type(estimator).__name__}; GroupGains measures pairs with masks='pairs'."
        )
    if task_names is not None:
        names = check_names(task_names, len(values))
    membership, groups = _membership_of(estimator, len(values)), group_names_of(estimator)
    return Pairs(values, effect, names, membership, groups, n_trained)


def _held(estimator: Any) -> tuple[NDArray[np.float64], Effect] | None:
    """What a fitted estimator knows of pairs, of all its tasks; None if it knows nothing."""
    found = find_fitted(estimator, "pair_effects", "affinity_")
    if found is None:
        return None
    part, attribute = found
    if attribute == "pair_effects":
        values, effect = part.pair_effects()
    else:
        values = np.array(part.affinity_, dtype=np.float64)
        effect = effect_of(values)
    # What groups the tasks of a classifier does not see those of a single class.
    learnable = next((p.learnable_ for p in parts_of(estimator) if hasattr(p, "learnable_")), None)
    if learnable is not None and len(learnable) > len(values) == np.sum(learnable):
        values = of_all_tasks(values, learnable)
    return values, effect


def _measured(
    estimator: Any,
    X: Any,
    Y: Any,
    kind: Any,
    sample_weight: Any,
    task_names: Sequence[str] | None,
    random_state: Any,
    verbose: int,
    owner: str,
) -> tuple[NDArray[np.float64], Effect, int, Sequence[str] | None]:
    """Effects of pairs by the estimator's own net, how many nets that took, and names of tasks."""
    last, before = last_of(estimator)
    net = _net_of(last, estimator, owner)
    if X is None:
        has = f"{type(last).__name__} holds no effects of pairs of tasks"
        wish = f"kind={kind!r} measures them anew"
        raise ValueError(
            f"{owner} needs X and Y, the samples and tasks to measure on: "
            f"{has if isinstance(kind, str) and kind == 'auto' else wish}. Got X=None."
        )
    for step in before:
        X = step.transform(X)
    check_inputs(last, X, reset=False)
    names = task_names_of(last)
    Y = by_task_columns(Y, None if names is None else np.asarray(names, dtype=object), "Y")
    tasks = labels_of(X) if Y is None and isinstance(X, Dataset) else Y
    n_tasks = last.n_tasks_ if tasks is None else len(as_columns(tasks)[0])
    if n_tasks != last.n_tasks_:
        raise ValueError(
            f"Y must hold the {last.n_tasks_} tasks that {type(last).__name__} was fitted on. Got "
            f"{n_tasks}."
        )
    table = check_tasks(tasks, task_types=last.task_types_)
    if task_names is not None:
        names = check_names(task_names, table.n_tasks)
    elif names is None and table.names is not None:
        names = table.names.tolist()
    n_learnable = int(table.learnable.sum())
    if n_learnable < 2:
        raise ValueError(
            f"{owner} needs at least two tasks of several classes. Got {n_learnable} in Y."
        )
    relation = _relation_of(kind, net, last, random_state, verbose)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    with single_classes_said(table):
        relation.fit(X, Y, **weights)
    values, effect = relation.pair_effects()
    trained = getattr(relation, "n_trained_", None)
    n_trained = count_nets(relation, n_learnable) if trained is None else trained
    return values, effect, int(n_trained), names


def _measures(kind: Any) -> bool:
    return hasattr(kind, "fit") and hasattr(kind, "pair_effects")


def _net_of(last: Any, estimator: Any, owner: str) -> MultiTaskNet:
    """An unfitted net as the estimator trains them, that reads the tasks as the estimator did."""
    if isinstance(last, MultiTaskNet):
        net = clone(last)
    elif hasattr(last, "specialists_"):
        net = MultiTaskNet() if last.estimator is None else clone(last.estimator)
        if last.pos_label is not None:
            net.set_params(pos_label=last.pos_label)
    else:
        raise ValueError(
            f"The estimator of {owner} must hold effects of pairs of tasks when fitted "
            "(affinities, gains), or be a grouped classifier or a MultiTaskNet, or a Pipeline that "
            f"ends in one, whose net measures them on X and Y. Got {type(estimator).__name__}."
        )
    return net.set_params(task_types=last.task_types_)


def _relation_of(kind: Any, net: MultiTaskNet, last: Any, random_state: Any, verbose: int) -> Any:
    """What measures the effects, unfitted."""
    # Drawing from a generator of the user's estimator would change the estimator.
    state = copy.deepcopy(last.random_state) if random_state is None else random_state
    if not isinstance(kind, str):
        relation = clone(kind)
        own = {"estimator": net, "random_state": state}
        params = relation.get_params(deep=False)
        missing = {k: v for k, v in own.items() if k in params and params[k] is None}
        return relation.set_params(**missing)
    if kind == "gains":
        n_jobs = None if isinstance(last, MultiTaskNet) else last.n_jobs
        return GroupGains(net, masks="pairs", n_jobs=n_jobs, random_state=state, verbose=verbose)
    return InterTaskAffinity(net, random_state=state, verbose=verbose)


def _membership_of(estimator: Any, n_tasks: int) -> NDArray[np.float64] | None:
    """Memberships of as many tasks, if the estimator has groups."""
    found = find_fitted(estimator, "membership_", "labels_")
    if found is None:
        return None
    part, attribute = found
    values = getattr(part, attribute)
    membership = one_hot(values) if attribute == "labels_" else np.asarray(values)
    return membership if len(membership) == n_tasks else None
