"""What a grouper is made of, and the memberships that it finds."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from skgroup._compat import argument_named
from skgroup._estimators import parts_of, steps_of
from skgroup.cluster.memberships import check_membership, one_hot
from skgroup.relations import TaskGrouper
from skgroup.selection import GroupSelector
from skgroup.store import fingerprint, key_of
from skgroup.tasks import TaskTable
from skgroup.training import MultiTaskNet


def check_n_groups(name: str, value: int, owner: str, n_tasks: int) -> None:
    if value > n_tasks:
        raise ValueError(
            f"The '{name}' parameter of {owner} must be at most the number of tasks, {n_tasks}. "
            f"Got {value} instead."
        )


def number_of_groups(clusterer: Any, n_tasks: int) -> tuple[str, int] | None:
    """How many groups a clusterer will find (at most), and the parameter that says so, if any."""
    if isinstance(value := getattr(clusterer, "n_clusters", None), Integral):
        return "n_clusters", int(value)
    if hasattr(clusterer, "n_groups"):  # of what chooses groups: a limit, or None
        return "n_groups", min(clusterer.n_groups or n_tasks, n_tasks)
    return None


def of_learnable(grouper: Any, table: TaskTable) -> Any:
    """A checked grouper, or memberships, of the tasks that there is something to learn of.

    What parameters say of the other tasks is left out, and groups are as many as these tasks at
    most.
    """
    tasks = np.flatnonzero(table.learnable)
    if not hasattr(grouper, "fit"):
        membership = grouper[tasks]
        return membership[:, (membership > 0).any(axis=0)]
    for part in parts_of(grouper):
        if isinstance(part, MultiTaskNet | GroupSelector):
            part.keep_tasks(tasks, table.n_tasks, table.names)
    last = steps_of(grouper)[-1]
    number = number_of_groups(last, table.n_tasks)
    if number is not None and number[1] > len(tasks):
        last.set_params(**{number[0]: len(tasks)})
    return np.ones((1, 1)) if len(tasks) == 1 else grouper


def check_relation(grouper: Any, net: MultiTaskNet) -> None:
    """Whether specialists can start from the net that makes the data maps."""
    rule = "The 'specialist_init' parameter of GroupedMTLClassifier can be 'relation' only "
    base = base_net(grouper)
    if base is None:
        raise ValueError(rule + "where the grouper starts with a TaskGrouper with source='mtl'.")

    def said(of_net: MultiTaskNet) -> str:
        return f"{of_net.module} with {of_net.get_params_for('module')}"

    def architecture(of_net: MultiTaskNet) -> Any:
        module, params = of_net.module, of_net.get_params_for("module")
        if isinstance(module, nn.Module):  # its weights are not looked at
            shapes = {name: tuple(part.shape) for name, part in module.state_dict().items()}
            return key_of(fingerprint(module)[1], shapes, params)
        return key_of(module, params)

    if architecture(base) != architecture(net):
        raise ValueError(
            rule + "where the TaskGrouper's estimator has the module of the specialists. Got "
            f"{said(base)} there and {said(net)} here."
        )


def base_net(grouper: Any, *, fitted: bool = False) -> MultiTaskNet | None:
    """The multi-task net that a grouper trains on X as it is to make the data maps, if any."""
    first = steps_of(grouper)[0] if hasattr(grouper, "fit") else None
    if not isinstance(first, TaskGrouper) or first.source != "mtl":
        return None
    if fitted:
        return first.estimator_
    return MultiTaskNet() if first.estimator is None else first.estimator


@dataclass(frozen=True)
class Groups:
    """The groups of a fitted grouper, as columns.

    Attributes
    ----------
    membership : ndarray of shape (n_tasks, n_groups)
        How the losses of tasks weigh.
    kept : ndarray of bool, of shape (n_tasks, n_groups)
        Which tasks the specialist of each group has a head for.
    serving : ndarray of shape (n_tasks, n_groups)
        What specialists count in a prediction: rows sum to 1, and are zero for a task that no
        group holds.
    """

    membership: NDArray[np.float64]
    kept: NDArray[np.bool_]
    serving: NDArray[np.float64]


def check_groups(grouper: Any, n_tasks: int, *, whole: bool = False) -> None:
    """Whether a fitted grouper has groups of as many tasks; and, if asked, right ones."""
    values: Any = getattr(grouper, "membership_", getattr(grouper, "labels_", ()))
    if whole or np.shape(values)[:1] != (n_tasks,):
        _memberships(grouper, n_tasks)  # which says what is wrong


def read_groups(grouper: Any, n_tasks: int, min_membership: float) -> Groups:
    """The groups of a fitted grouper, or of an array of memberships."""
    membership, serving = _memberships(grouper, n_tasks)
    share = rows_of_one(membership)
    kept = share >= min_membership
    kept |= (serving == serving.max(axis=1, keepdims=True)) & (serving > 0)
    kept |= membership == membership.max(axis=0, keepdims=True)
    kept &= membership > 0
    return Groups(membership, kept, rows_of_one(np.where(kept, serving, 0.0)))


def _memberships(grouper: Any, n_tasks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Memberships and serving weights of a fitted grouper, or of an array of memberships."""
    serving = getattr(grouper, "serving_weights_", None)
    if isinstance(grouper, np.ndarray):
        membership = grouper
    elif hasattr(grouper, "membership_"):
        membership = check_membership(
            grouper.membership_,
            n_tasks,
            name=f"membership_ of {type(grouper).__name__}",
            all_tasks=serving is None,
        )
    elif hasattr(grouper, "labels_"):
        if len(grouper.labels_) != n_tasks:
            raise ValueError(
                f"{type(grouper).__name__} clustered {len(grouper.labels_)} rows, but Y has "
                f"{n_tasks} tasks. A clusterer groups tasks only behind a relation: "
                f"make_pipeline(TaskGrouper(), {type(grouper).__name__}(...))."
            )
        labels = np.asarray(grouper.labels_)
        if labels.ndim != 1 or labels.dtype.kind not in "biuf" or (labels % 1 != 0).any():
            raise ValueError(
                f"labels_ of {type(grouper).__name__} must be ints, one a task. Got {labels!r}."
            )
        membership = one_hot(labels)
    else:
        raise ValueError(
            "The 'grouper' parameter must be an estimator that sets 'membership_' or 'labels_' in "
            f"fit (a Pipeline: its last step). {type(grouper).__name__} sets neither."
        )
    if serving is None:
        return membership, membership
    name = f"serving_weights_ of {type(grouper).__name__}"
    with argument_named(name):
        serving = np.array(serving, dtype=np.float64)
    if serving.shape != membership.shape or not (serving >= 0).all():
        raise ValueError(
            f"{name} must be >= 0 and of the shape of membership_, {membership.shape}."
        )
    member = (membership > 0).any(axis=1)
    if not (serving[member] > 0).any(axis=1).all() or (serving > 0)[membership == 0].any():
        raise ValueError(
            f"{name} must serve every task that a group holds, by groups that the task is in."
        )
    return membership, serving


def rows_of_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to sum to 1; all-zero rows stay."""
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
