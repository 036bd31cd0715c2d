"""A choice of groups for what a `GroupSelector` is given: among listed groups, or by search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skgroup.selection._constraints import Constraints
from skgroup.selection._feasible import MOST_EXACT, allowed_groups, infeasible, some_choice
from skgroup.selection.inputs import Given
from skgroup.selection.solver import (
    MOST_LISTED,
    Pool,
    Problem,
    Rules,
    Scale,
    mean_scores,
    relaxed_bound,
    rounding,
    search,
    select,
)

if TYPE_CHECKING:
    from skgroup.selection._group_selector import GroupSelector

#: Groups that a predictor is asked about at most.
_MOST_PREDICTED = 2**16


@dataclass(frozen=True)
class ChosenGroups:
    """The chosen groups.

    Attributes
    ----------
    masks : ndarray of shape (n_chosen, n_tasks) of bool
    scores : ndarray of shape (n_tasks, n_chosen)
        -inf where a task is not a member.
    costs : ndarray of shape (n_chosen,)
    bound : float
        Upper bound of the mean score.
    proved : bool
        Whether they reach it, to rounding.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]
    bound: float
    proved: bool


def check_solver(solver: str, given: Given, rules: Rules) -> str:
    """Which solver chooses the groups, "exact" or "search", where "auto" may have been asked for.

    Raises
    ------
    ValueError
        If there are too many groups for it.
    """
    if given.masks is not None:
        return "search" if solver == "search" else "exact"
    count = rules.count()
    if given.affinity is None:
        if count > _MOST_PREDICTED:
            raise ValueError(
                f"A predictor can be asked about {_MOST_PREDICTED} groups at most, and {count} are "
                "allowed: set a smaller max_size, or pass the masks of the groups to choose "
                "from."
            )
        return "search" if solver == "search" else "exact"
    if solver == "auto":
        return "exact" if count <= MOST_LISTED else "search"
    if solver == "exact" and count > MOST_EXACT:
        raise ValueError(
            f"solver='exact' lists {MOST_EXACT} groups at most, and {count} are allowed: set a "
            "smaller max_size, or solver='search'."
        )
    return solver


def choose(
    selector: GroupSelector,
    given: Given,
    constraints: Constraints,
    solver: str,
    deadline: float,
    rng: np.random.RandomState,
) -> ChosenGroups:
    """Choose groups that keep the constraints.

    Parameters
    ----------
    selector : GroupSelector
        Whose parameters count.
    given : Given
    constraints : Constraints
        Of tasks in the order of `given`.
    solver : {"exact", "search"}
    deadline : float
        On the clock of `time.monotonic`.
    rng : RandomState

    Raises
    ------
    ValueError
        If no choice keeps them.
    TimeoutError
        If none was found in time.
    """
    if solver == "exact" or given.affinity is None:
        prove = solver == "exact"
        return _choose_listed(selector, given, constraints, prove, deadline, rng)
    return _search(selector, given, constraints, deadline, rng)


def _choose_listed(
    selector: GroupSelector,
    given: Given,
    constraints: Constraints,
    prove: bool,
    deadline: float,
    rng: np.random.RandomState,
) -> ChosenGroups:
    serving = constraints.serving
    masks, rows = allowed_groups(given, constraints.rules)
    scores = _scores_of(masks, rows, given, selector.singleton_score)
    costs = constraints.costs.of(masks, given, rows)
    shares = constraints.costs.shares(costs)
    useful = masks[:, serving].any(axis=1) & (shares <= constraints.budget)
    masks, scores = masks[useful], scores[:, useful]
    costs, shares = costs[useful], shares[useful]
    of_serving, single = scores[serving], masks.sum(axis=1) == 1
    in_groups, alone = of_serving, None
    if given.affinity is not None and not isinstance(selector.singleton_score, str):
        in_groups, alone = of_serving[:, ~single], float(selector.singleton_score)
    scale = Scale.of(in_groups[np.isfinite(in_groups)], len(of_serving), alone)
    pool = Pool(
        np.ascontiguousarray(scale.apply(of_serving, single)),
        np.ascontiguousarray(masks.T[~serving]),
        shares,
        constraints.n_groups,
        constraints.budget,
        constraints.overlap,
    )
    choice = select(pool, prove=prove, deadline=deadline, rng=rng, verbose=selector.verbose)
    if choice is None:
        raise infeasible(
            selector, given, constraints, lambda loose: some_choice(given, loose, listed=True)
        )
    at = choice.chosen
    bound, proved = scale.mean_bound(choice.bound), choice.bound <= choice.value
    return ChosenGroups(masks[at], scores[:, at], costs[at], bound, proved)


def _scores_of(
    masks: NDArray[np.bool_],
    rows: NDArray[np.intp] | None,
    given: Given,
    singleton_score: float | str,
) -> NDArray[np.float64]:
    """Scores (n_tasks, n_listed) of groups."""
    if given.affinity is not None:
        return mean_scores(given.affinity, _alone(given.affinity, singleton_score), masks)
    if given.predictor is not None:
        return given.predict(masks)
    assert given.gains is not None
    scores: NDArray[np.float64] = np.where(masks, given.gains[rows], -np.inf).T
    return scores


def _alone(affinity: NDArray[np.float64], singleton_score: float | str) -> NDArray[np.float64]:
    """What each task scores alone, (n_tasks,)."""
    if isinstance(singleton_score, str):
        return affinity.diagonal().copy()
    return np.full(len(affinity), float(singleton_score))


def _search(
    selector: GroupSelector,
    given: Given,
    constraints: Constraints,
    deadline: float,
    rng: np.random.RandomState,
) -> ChosenGroups:
    assert given.affinity is not None
    costs, budget = constraints.costs, constraints.budget
    alone = _alone(given.affinity, selector.singleton_score)

    def shares(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        return costs.shares(costs.of(masks, given))

    problem, scale = _scaled_problem(
        given.affinity, alone, selector.singleton_score, constraints, shares
    )
    best = search(
        problem, n_init=selector.n_init, deadline=deadline, rng=rng, verbose=selector.verbose
    )
    if best is None:
        raise _no_choice(selector, given, constraints, deadline)
    masks, value = best
    if np.isfinite(budget) and not callable(selector.group_cost):
        cheapest = shares(np.tri(given.n_tasks, dtype=bool)).min()
        if cheapest > 0:
            affordable = int(budget / cheapest + 1e-9)
            problem = replace(problem, n_groups=min(problem.n_groups, affordable))
    # The bound is worth a few seconds even where the search took all there were.
    soon = max(deadline, time.monotonic() + 5.0)
    bound = relaxed_bound(problem, deadline=soon, value=value)
    scores = mean_scores(given.affinity, alone, masks)
    proved = bound - value <= rounding(value)
    return ChosenGroups(masks, scores, costs.of(masks, given), scale.mean_bound(bound), proved)


def _scaled_problem(
    affinity: NDArray[np.float64],
    alone: NDArray[np.float64],
    singleton_score: float | str,
    constraints: Constraints,
    shares: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
) -> tuple[Problem, Scale]:
    others = ~np.eye(len(affinity), dtype=bool)
    if isinstance(singleton_score, str):
        scale = Scale.of(np.append(affinity[others], alone), constraints.n_serving)
        scaled_alone = scale.apply(alone)
    else:
        scale = Scale.of(affinity[others], constraints.n_serving, float(singleton_score))
        assert scale.alone is not None
        scaled_alone = np.full(len(affinity), scale.alone)
    problem = Problem(
        np.where(others, scale.apply(affinity), 0.0),
        scaled_alone,
        constraints.rules,
        constraints.serving,
        constraints.n_groups,
        constraints.budget,
        constraints.overlap,
        shares,
    )
    return problem, scale


def _no_choice(
    selector: GroupSelector, given: Given, constraints: Constraints, deadline: float
) -> ValueError:
    count = constraints.rules.count()
    if count > MOST_LISTED and some_choice(given, constraints, deadline) is not None:
        return ValueError(
            f"No choice of groups that serves all {constraints.n_serving} tasks within budget="
            f"{selector.budget} was found. There may be one: {count} groups are "
            "allowed, too many to try all."
        )
    return infeasible(
        selector, given, constraints, lambda loose: some_choice(given, loose, deadline)
    )
