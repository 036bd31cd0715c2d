"""The constraints of a choice of groups: parameters of `GroupSelector`, checked for some tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skgroup.selection._costs import GroupCosts
from skgroup.selection.inputs import Given
from skgroup.selection.solver import WHOLE, Rules
from skgroup.tasks import by_task_names

if TYPE_CHECKING:
    from skgroup.selection._group_selector import GroupSelector


@dataclass(frozen=True)
class Constraints:
    """What a choice of groups must keep.

    Attributes
    ----------
    rules : Rules
        Which groups are allowed.
    serving : ndarray of shape (n_tasks,) of bool
        The tasks that must be served.
    n_groups : int
        At most so many groups, no more than tasks to serve.
    budget : float
        Of shares of costs: `WHOLE`, or infinite.
    overlap : bool
    costs : GroupCosts
    """

    rules: Rules
    serving: NDArray[np.bool_]
    n_groups: int
    budget: float
    overlap: bool
    costs: GroupCosts

    @property
    def n_serving(self) -> int:
        return int(self.serving.sum())

    def permute(self, order: NDArray[np.intp]) -> Constraints:
        """The same for tasks in another order."""
        return replace(self, rules=self.rules.permute(order), serving=self.serving[order])


def check_constraints(selector: GroupSelector, given: Given) -> Constraints:
    """Check parameters of a `GroupSelector` against the tasks and groups that it is given.

    Raises
    ------
    ValueError
        If one breaks its rule, or two contradict each other.
    """
    serving = check_serving(selector.serving_tasks, given)
    rules = _check_rules(selector, serving, given)
    n_serving = int(serving.sum())
    # Each group that is used serves a task.
    n_groups = n_serving if selector.n_groups is None else min(int(selector.n_groups), n_serving)
    if selector.max_size is not None and n_groups * selector.max_size < n_serving:
        raise ValueError(
            f"n_groups={selector.n_groups} groups of at most max_size={selector.max_size} cannot "
            f"serve {n_serving} tasks."
        )
    costs = GroupCosts(selector.group_cost, selector.budget)
    costs.check(given)
    budget = np.inf if selector.budget is None else WHOLE
    return Constraints(rules, serving, n_groups, budget, bool(selector.overlap), costs)


def _check_rules(selector: GroupSelector, serving: NDArray[np.bool_], given: Given) -> Rules:
    n_tasks, min_size = given.n_tasks, selector.min_size
    max_size = n_tasks if selector.max_size is None else min(int(selector.max_size), n_tasks)
    if min_size > n_tasks:
        raise _wrong("min_size", f"be at most the number of tasks, {n_tasks}", min_size)
    if min_size > max_size:
        raise _wrong("min_size", f"be at most max_size={max_size}", min_size)
    linked = check_pairs("must_link", selector.must_link, given)
    apart = check_pairs("cannot_link", selector.cannot_link, given)
    rules = Rules(n_tasks, int(min_size), max_size, linked, apart)
    units = rules.units
    clash = np.flatnonzero(units[apart[:, 0]] == units[apart[:, 1]])
    if len(clash):
        a, b = apart[clash[0]]
        raise ValueError(
            f"must_link and cannot_link contradict each other: must_link ties "
            f"{given.label(a)} and {given.label(b)} together, cannot_link keeps them apart."
        )
    too_large = np.flatnonzero(np.bincount(units) > max_size)
    for unit in too_large:
        if serving[units == unit].any():
            tied = ", ".join(given.label(t) for t in np.flatnonzero(units == unit))
            raise ValueError(
                f"must_link ties more tasks together than max_size={max_size} allows: {tied}."
            )
    return rules


def check_pairs(name: str, pairs: Any, given: Given) -> NDArray[np.intp]:
    """Positions (n_pairs, 2) of the tasks of `must_link` or `cannot_link`."""
    rule = "be a list of pairs of different tasks, by position or by name"
    positions = []
    for pair in [] if pairs is None else list(pairs):
        if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
            raise _wrong(name, rule, pairs)
        a, b = (_position(name, task, given) for task in pair)
        if a == b:
            raise _wrong(name, rule, pairs)
        positions.append((a, b))
    return np.array(positions, dtype=np.intp).reshape(-1, 2)


def check_serving(serving_tasks: Any, given: Given) -> NDArray[np.bool_]:
    """Which tasks are to be served, (n_tasks,)."""
    serving = np.ones(given.n_tasks, dtype=bool)
    if serving_tasks is None:
        return serving
    tasks = list(serving_tasks)
    if tasks and all(isinstance(t, bool | np.bool_) for t in tasks):
        if len(tasks) != given.n_tasks:
            raise _wrong("serving_tasks", f"be of length n_tasks={given.n_tasks} as a mask", tasks)
        owner = "The index of 'serving_tasks'"
        serving = np.array(by_task_names(serving_tasks, given.names, owner), dtype=bool)
    else:
        serving[:] = False
        serving[[_position("serving_tasks", t, given) for t in tasks]] = True
    if not serving.any():
        raise _wrong("serving_tasks", "hold at least one task", tasks)
    return serving


def _position(name: str, task: Any, given: Given) -> int:
    if isinstance(task, str):
        if given.names is None:
            raise _wrong(name, "hold positions, as R has no names of tasks", task)
        at = np.flatnonzero(given.names == task)
        if len(at) != 1:
            raise _wrong(name, f"name tasks of R, among {list(given.names)}", task)
        return int(at[0])
    is_position = isinstance(task, Integral) and not isinstance(task, bool | np.bool_)
    if is_position and 0 <= int(task) < given.n_tasks:
        return int(task)
    raise _wrong(name, f"hold names of tasks or positions in [0, {given.n_tasks})", task)


def _wrong(name: str, rule: str, value: Any) -> ValueError:
    return ValueError(
        f"The '{name}' parameter of GroupSelector must {rule}. Got {value!r} instead."
    )
