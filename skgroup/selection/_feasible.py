"""Whether any choice of groups keeps the constraints, and which of them leave none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skgroup.selection._constraints import Constraints
from skgroup.selection.inputs import Given
from skgroup.selection.solver import MOST_LISTED, Pool, Rules, find_cover

if TYPE_CHECKING:
    from skgroup.selection._group_selector import GroupSelector

#: Groups that are listed at most where that is asked for.
MOST_EXACT = 2**20


def allowed_groups(given: Given, rules: Rules) -> tuple[NDArray[np.bool_], NDArray[np.intp] | None]:
    """Allowed groups (n_allowed, n_tasks), and their rows in `given.masks` if they are of them."""
    if given.masks is None:
        return rules.enumerate(), None
    rows = np.flatnonzero(rules.allow(given.masks))
    return given.masks[rows], rows


def some_choice(
    given: Given, constraints: Constraints, deadline: float = np.inf, *, listed: bool = False
) -> NDArray[np.bool_] | None:
    """Groups that keep the constraints, or None if there are none.

    Parameters
    ----------
    given : Given
    constraints : Constraints
    deadline : float
        On the clock of `time.monotonic`.
    listed : bool
        Whether to choose from a list of all allowed groups, however many there are. Else, where
        they are too many to list, the budget is not looked at.

    Raises
    ------
    TimeoutError
        If neither is known when the deadline passes.
    """
    rules, serving = constraints.rules, constraints.serving
    few = given.masks is not None or rules.count() <= MOST_LISTED
    if not listed and not (np.isfinite(constraints.budget) and few):
        return rules.find_cover(serving, constraints.n_groups, constraints.overlap, deadline)
    masks, rows = allowed_groups(given, rules)
    shares = constraints.costs.shares(constraints.costs.of(masks, given, rows))
    useful = masks[:, serving].any(axis=1) & (shares <= constraints.budget)
    masks, shares = masks[useful], shares[useful]
    if not masks[:, serving].any(axis=0).all():
        return None
    pool = Pool(
        np.where(masks.T, 0.0, -np.inf)[serving],
        masks.T[~serving],
        shares,
        constraints.n_groups,
        constraints.budget,
        constraints.overlap,
    )
    chosen = find_cover(pool, deadline)
    return None if chosen is None else masks[chosen]


def infeasible(
    selector: GroupSelector,
    given: Given,
    constraints: Constraints,
    find: Callable[[Constraints], NDArray[np.bool_] | None],
) -> ValueError:
    """An error that names the constraints of the selector without which there would be a choice.

    Parameters
    ----------
    selector : GroupSelector
    given : Given
    constraints : Constraints
        That no choice keeps.
    find : callable
        Finds a choice that keeps other constraints; None if there is none.
    """
    n_serving = constraints.n_serving
    if given.masks is not None:
        lost = np.flatnonzero(constraints.serving & ~given.masks.any(axis=0))
        if len(lost):
            labels = ", ".join(sorted(given.label(t) for t in lost))
            return ValueError(
                f"No choice of groups serves all {n_serving} tasks: no row of masks holds {labels}."
            )
    without = _without_each(selector, constraints)
    blamed = []
    for name, loose in without.items():
        larger = loose.rules is not constraints.rules and given.masks is None
        if larger and loose.rules.count() > MOST_EXACT:
            continue
        if find(loose) is not None:
            blamed.append(name)
    if blamed:
        reason = f"without {' or without '.join(blamed)} there would be one"
    else:
        reason = f"several of these would have to go: {', '.join(without)}"
    return ValueError(f"No choice of groups serves all {n_serving} tasks: {reason}.")


def _without_each(selector: GroupSelector, constraints: Constraints) -> dict[str, Constraints]:
    """The constraints without each of them, by how the user gave it."""
    rules, n_tasks = constraints.rules, constraints.rules.n_tasks
    none = np.empty((0, 2), dtype=np.intp)
    without = {}
    if selector.n_groups is not None and constraints.n_groups < constraints.n_serving:
        loose = replace(constraints, n_groups=constraints.n_serving)
        without[f"n_groups={selector.n_groups}"] = loose
    if selector.budget is not None:
        without[f"budget={selector.budget}"] = replace(constraints, budget=np.inf)
    if not constraints.overlap:
        without["overlap=False"] = replace(constraints, overlap=True)
    changed = {}
    if rules.min_size > 1:
        changed[f"min_size={selector.min_size}"] = replace(rules, min_size=1)
    if rules.max_size < n_tasks:
        changed[f"max_size={selector.max_size}"] = replace(rules, max_size=n_tasks)
    if len(rules.linked):
        changed["must_link"] = replace(rules, linked=none)
    if len(rules.apart):
        changed["cannot_link"] = replace(rules, apart=none)
    return without | {name: replace(constraints, rules=r) for name, r in changed.items()}
