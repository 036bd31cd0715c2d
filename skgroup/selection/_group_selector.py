"""`GroupSelector`: groups that may overlap, each task served by its best one."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import Interval, StrOptions, _fit_context, _get_output_config, forget_fit
from skgroup._html import GroupsReprMixin
from skgroup.selection.inputs import Given, as_names, canonical_order, permuted, read_inputs
from skgroup.selection.solver import (
    MOST_LISTED,
    WHOLE,
    Pool,
    Problem,
    Rules,
    Scale,
    find_cover,
    mean_scores,
    near,
    relaxed_bound,
    rounding,
    search,
    select,
    shares_of_budget,
)
from skgroup.tasks import by_task_names

__all__ = ["GroupSelector"]

# Groups that are listed at most: by "auto", by "exact", and for a predictor.
_AUTO, _EXACT, _PREDICTED = MOST_LISTED, 2**20, 2**16


class GroupSelector(GroupsReprMixin, TransformerMixin, BaseEstimator):
    """Choose the groups in which tasks do best, each task served by its best group.

    Maximises the mean, over the tasks that are to be served, of the task's score in the chosen
    group where it scores best. Groups may overlap: a task may be trained in several and help
    there, while one serves it. Reports how far the choice can be from the best one: `gap_`.

    Parameters
    ----------
    n_groups : int or None, default=3
        At most so many groups; fewer are used where more do not help. None sets no limit (beside
        a `budget`).
    budget : float, default=None
        The chosen groups together cost at most this, in any unit, as in HOA [2]_; a millionth of
        a millionth more is rounding. Holds beside `n_groups`, which is mostly None then.
    group_cost : callable, mapping or array-like, default=None
        What a group costs; 1 if None. A callable of the mask (n_tasks,) of a group; a mapping
        from size to cost (1 for sizes that it lacks), as `{1: 0.5}` for single-task nets of half
        size; or an array (n_measured,), beside `masks`. Only with a `budget`.
    overlap : bool, default=True
        Whether a task may be in several groups.
    min_size : int, default=1
        Smallest group. 2 forbids groups of one.
    max_size : int, default=None
        Largest group, helpers counted; the number of tasks if None.
    must_link, cannot_link : list of pairs of tasks, default=None
        Tasks, by position or by name, such that a group holds both or neither, or never both.
    singleton_score : float or "diagonal", default=-1e6
        What a task scores alone, where `R` is an affinity: always this (the default is TAG's), or
        the affinity's diagonal.
    serving_tasks : array-like, default=None
        Tasks that count and must be served, by position, by name or as a mask (n_tasks,) of bool;
        all if None. The others may join groups as helpers.
    solver : {"auto", "exact", "search"}, default="auto"
        "exact" lists the allowed groups (up to 2^20: 20 tasks, or more with a small `max_size`)
        and proves its choice the best, to rounding. "search" finds a good choice, for an affinity
        among any number of tasks, and an upper bound, which is often far. "auto" is exact up to
        2^16 allowed groups, and wherever groups were measured or are predicted.
    n_init : int, default=10
        Random starts of the search.
    time_limit : float or None, default=60.0
        Seconds. Where they do not suffice for a proof, the best choice found stands, with a
        ConvergenceWarning and its gap. Then only may results differ from run to run.
    random_state : int, RandomState or None, default=None
        Of the search. None draws fresh entropy.
    verbose : int, default=0
        1 prints how bounds and choices improve.

    Attributes
    ----------
    membership_ : ndarray of shape (n_tasks, n_chosen) of 0 and 1
        Which tasks train in which group. No column is empty, no group unused; the row of a helper
        that no group wants is zero.
    serving_weights_ : ndarray of shape (n_tasks, n_chosen) of 0 and 1
        1 for the group that serves the task, its best one, for helpers too. The row of a helper
        that is in no group is zero (`GroupedMTLClassifier` then predicts how frequent its classes
        are, with a warning).
    groups_ : list of ndarray of int
        Members of each group.
    scores_ : ndarray of shape (n_tasks,)
        Score of each task in the group that serves it; NaN for helpers in no group.
    objective_ : float
        Mean score of the tasks to be served.
    upper_bound_ : float
        No choice that keeps the constraints has a larger objective.
    gap_ : float
        `upper_bound_ - objective_`; 0 if the choice is proved the best.
    cost_ : float
        Cost of the chosen groups (their number without `group_cost`).
    solver_ : {"exact", "search"}
        What "auto" stood for.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `R` was a DataFrame (or of a predictor that has them).
    n_features_in_ : int
        Number of columns of `R`: n_tasks.

    Notes
    -----
    Scores are maximised: pass losses with their sign turned.

    TAG [1]_ scores a member of a group by the mean affinity of the other members onto it and
    searches by branch and bound; HOA [2]_ searches too. Here Lagrangian bounds strike almost all
    groups, and HiGHS decides among the rest (`scipy.optimize.milp`). The search alternates tabu
    search for groups with a choice among all groups seen (column generation).

    Tasks are put in an order that depends on `R` alone before anything else, so that permuting
    tasks permutes the groups (where no two choices tie).

    References
    ----------
    .. [1] C. Fifty et al., "Efficiently identifying task groupings for multi-task learning",
       NeurIPS 2021, arXiv:2109.04617.
    .. [2] T. Standley et al., "Which tasks should be learned together in multi-task learning?",
       ICML 2020, arXiv:1905.07553.

    Examples
    --------
    Task 0 helps the other two, which harm each other; task 1 helps task 0.

    >>> import numpy as np
    >>> from skgroup.selection import GroupSelector
    >>> R = np.array([[0.0, 0.5, 0.4], [0.3, 0.0, -0.2], [0.1, -0.3, 0.0]])
    >>> selector = GroupSelector(n_groups=2).fit(R)
    >>> [group.tolist() for group in selector.groups_]
    [[0, 1], [0, 2]]
    >>> selector.serving_weights_
    array([[1., 0.],
           [1., 0.],
           [0., 1.]])
    >>> round(selector.objective_, 3), selector.gap_
    (0.4, 0.0)

    Measured losses of the groups that were tried, full nets and single-task nets of half the
    size, under a budget:

    >>> masks = np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)
    >>> losses = np.array([[0.3, np.nan], [np.nan, 0.2], [0.4, 0.3]])
    >>> selector = GroupSelector(None, budget=1, group_cost={1: 0.5})
    >>> selector.fit(-losses, masks=masks).groups_
    [array([0]), array([1])]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_groups": [Interval(Integral, 1, None, closed="left"), None],
        "budget": [Interval(Real, 0, np.inf, closed="neither"), None],
        "group_cost": [callable, Mapping, "array-like", None],
        "overlap": ["boolean"],
        "min_size": [Interval(Integral, 1, None, closed="left")],
        "max_size": [Interval(Integral, 1, None, closed="left"), None],
        "must_link": ["array-like", None],
        "cannot_link": ["array-like", None],
        "singleton_score": [Interval(Real, None, None, closed="neither"), StrOptions({"diagonal"})],
        "serving_tasks": ["array-like", None],
        "solver": [StrOptions({"auto", "exact", "search"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "time_limit": [Interval(Real, 0, np.inf, closed="neither"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_groups: int | None = 3,
        *,
        budget: float | None = None,
        group_cost: Any = None,
        overlap: bool = True,
        min_size: int = 1,
        max_size: int | None = None,
        must_link: Any = None,
        cannot_link: Any = None,
        singleton_score: Any = -1e6,
        serving_tasks: Any = None,
        solver: str = "auto",
        n_init: int = 10,
        time_limit: float | None = 60.0,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_groups = n_groups
        self.budget = budget
        self.group_cost = group_cost
        self.overlap = overlap
        self.min_size = min_size
        self.max_size = max_size
        self.must_link = must_link
        self.cannot_link = cannot_link
        self.singleton_score = singleton_score
        self.serving_tasks = serving_tasks
        self.solver = solver
        self.n_init = n_init
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, R: Any, y: Any = None, *, masks: Any = None, task_names: Any = None
    ) -> GroupSelector:
        """Choose the groups.

        Parameters
        ----------
        R : array-like or DataFrame of shape (n_tasks, n_tasks), or as below
            The affinity: [i, j] is what training on task i does to task j. A group's score for a
            member is the mean affinity of the other members onto it.

            With `masks`, measured gains (n_measured, n_tasks), NaN for absent tasks: only these
            groups can be chosen.

            Or a fitted predictor of gains: an object whose `predict(masks)` returns (n_listed,
            n_tasks), and which has `n_tasks_` or `n_features_in_` unless `masks` are given. It is
            asked about the groups of `masks`, or else about all allowed groups (at most 2^16).
        y : ignored
            So that a selector can be a step of a pipeline.
        masks : array-like of shape (n_measured, n_tasks) of bool, default=None
            Members of each group.
        task_names : array-like of shape (n_tasks,) of str, default=None
            Names of the tasks, where `R` has none.

        Returns
        -------
        self : GroupSelector

        Raises
        ------
        ValueError
            If a parameter breaks its rule, `R` or `masks` have a wrong shape or hold NaN where
            they must not, there are too many groups for the solver, or no choice keeps the
            constraints: the message says which.
        TimeoutError
            If nothing that keeps the constraints was found within `time_limit`.
        """
        given = read_inputs(R, masks)
        n_tasks = given.n_tasks
        if given.names is None and task_names is not None:
            given = replace(given, names=as_names(task_names, n_tasks))
        rules, serving = self._check_rules(given)
        n_groups, budget = self._check_limits(given, serving)
        if isinstance(self.random_state, np.random.RandomState):
            rng = self.random_state
        else:  # check_random_state(None) would be NumPy's global one
            rng = (
                np.random.RandomState()
                if self.random_state is None
                else check_random_state(self.random_state)
            )
        deadline = np.inf if self.time_limit is None else time.monotonic() + self.time_limit

        # From here on tasks are in an order that does not depend on how they were given.
        order = canonical_order(given)
        given, rules, serving = given.permute(order), permuted(rules, order), serving[order]
        solver = self._check_solver(given, rules)
        if solver == "exact" or given.affinity is None:
            found = self._choose_listed(
                given, rules, serving, n_groups, budget, solver, deadline, rng
            )
        else:
            found = self._search(given, rules, serving, n_groups, budget, deadline, rng)
        forget_fit(self)
        self.n_tasks_ = self.n_features_in_ = n_tasks
        if given.names is not None:
            names = np.empty(n_tasks, dtype=object)
            names[order] = given.names
            self.task_names_in_ = names
        self.solver_ = solver
        self._keep(found, serving, order, budget)
        self.upper_bound_ = self.objective_
        if not found.proved:
            self.upper_bound_ = max(found.bound, self.objective_)
        self.gap_ = self.upper_bound_ - self.objective_
        if solver == "exact" and self.gap_ > 0:
            warnings.warn(
                f"GroupSelector reached time_limit={self.time_limit} before a proof: the choice "
                f"scores {self.objective_:.6g}, and no choice more than {self.upper_bound_:.6g} "
                f"(gap_={self.gap_:.3g}).",
                ConvergenceWarning,
                stacklevel=4,
            )
        return self

    def check(
        self, n_tasks: int, task_names: Any = None, *, masks: Any = None
    ) -> NDArray[np.bool_]:
        """Look at the parameters before there is an affinity.

        Parameters
        ----------
        n_tasks : int
        task_names : array-like of shape (n_tasks,) of str, default=None
        masks : array-like of shape (n_measured, n_tasks) of bool, default=None
            Where it is known which groups will be measured.

        Returns
        -------
        masks : ndarray of shape (n_groups, n_tasks) of bool
            Some choice that keeps the constraints. Of no groups where none was found within
            seconds, or costs of more groups than can be listed decide, which proves nothing.

        Raises
        ------
        ValueError
            If a parameter breaks its rule, or no choice keeps the constraints.
        """
        self._validate_params()
        if not isinstance(n_tasks, Integral) or n_tasks < 1:
            raise ValueError(f"n_tasks must be an int >= 1. Got {n_tasks!r}.")
        names = None if task_names is None else as_names(task_names, n_tasks)
        given = Given(int(n_tasks), names, masks=masks)
        rules, serving = self._check_rules(given)
        n_groups, budget = self._check_limits(given, serving)
        soon = time.monotonic() + 5.0
        listed = self.budget is not None and (masks is not None or rules.count() <= _AUTO)
        if not listed:
            given = Given(int(n_tasks), names)

        def cover(
            n_groups: int, budget: float, overlap: bool, rules: Rules
        ) -> NDArray[np.bool_] | None:
            return self._some_choice(given, rules, serving, n_groups, budget, overlap, soon)

        try:
            found = cover(n_groups, budget, bool(self.overlap), rules)
            if found is None:
                raise self._infeasible(
                    given,
                    rules,
                    serving,
                    n_groups,
                    budget,
                    lambda **change: cover(**change) is not None,
                )
        except TimeoutError:
            return np.empty((0, n_tasks), dtype=bool)
        if not listed and callable(self.group_cost):
            self._costs(found)  # whether it gives costs at all
        return found

    def keep_tasks(self, tasks: NDArray[np.intp], n_tasks: int, task_names: Any = None) -> None:
        """Change the parameters to be those of some of the tasks, in their new positions.

        Parameters
        ----------
        tasks : ndarray of int
            Positions of the tasks that stay.
        n_tasks : int
            The number of all tasks.
        task_names : array-like of shape (n_tasks,) of str, default=None
        """
        given = Given(n_tasks, None if task_names is None else as_names(task_names, n_tasks))
        place = np.full(n_tasks, -1)
        place[tasks] = np.arange(len(tasks))
        for name in ("must_link", "cannot_link"):
            if getattr(self, name) is not None:
                pairs = place[self._check_pairs(name, given)]
                self.set_params(**{name: pairs[(pairs >= 0).all(axis=1)].tolist()})
        if self.serving_tasks is not None:
            serving = self._check_serving(given)[tasks]
            self.serving_tasks = serving if serving.any() else None
        if callable(self.group_cost):
            self.group_cost = partial(_cost_of_kept, self.group_cost, tasks, n_tasks)
        self.min_size = min(self.min_size, len(tasks))

    def neighbours(self, masks: NDArray[np.bool_], task_names: Any = None) -> NDArray[np.bool_]:
        """Allowed groups that differ from others in a task (or in tasks linked to it).

        Parameters
        ----------
        masks : ndarray of shape (n_groups, n_tasks) of bool
        task_names : array-like of shape (n_tasks,) of str, default=None

        Returns
        -------
        masks : ndarray of shape (n_neighbours, n_tasks) of bool
            Each once: these groups, their neighbours, pairs of tasks, and some choice that keeps
            the constraints.
        """
        n_tasks = masks.shape[1]
        names = None if task_names is None else as_names(task_names, n_tasks)
        rules, _ = self._check_rules(Given(n_tasks, names))
        units: Any = rules.unit_members
        pairs = (units[:, None] | units).reshape(-1, n_tasks)
        whole = (masks[:, None] & units).any(axis=2)[:, rules.units]  # with what is linked
        found = np.vstack([self.check(n_tasks, task_names), pairs, whole, near(rules, whole)])
        found = np.unique(found[found.any(axis=1)], axis=0)
        allowed: NDArray[np.bool_] = found[rules.allow(found)]
        return allowed

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self, R: Any, y: Any = None, *, masks: Any = None, task_names: Any = None
    ) -> Any:
        """Choose the groups and return `membership_`.

        Parameters
        ----------
        R, y, masks, task_names
            As in `fit`.

        Returns
        -------
        membership : ndarray of shape (n_tasks, n_chosen)
        """
        return self.fit(R, y, masks=masks, task_names=task_names).transform(R)

    def transform(self, R: Any) -> Any:
        """The memberships of the tasks seen in `fit`.

        Parameters
        ----------
        R : ignored
            The choice is of the tasks seen in `fit`.

        Returns
        -------
        membership : ndarray of shape (n_tasks, n_chosen)

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self)
        if _get_output_config("transform", self)["dense"] == "pandas":
            import pandas as pd

            names = getattr(self, "task_names_in_", None)
            return pd.DataFrame(
                self.membership_.copy(), index=names, columns=self.get_feature_names_out()
            )
        return self.membership_.copy()

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the groups: "group0", "group1", ...

        Parameters
        ----------
        input_features : ignored
            For scikit-learn's interface.

        Returns
        -------
        names : ndarray of shape (n_chosen,) of str
        """
        check_is_fitted(self)
        return np.array([f"group{g}" for g in range(len(self.groups_))], dtype=object)

    # -- checks ----------------------------------------------------------------------------------

    def _bad(self, name: str, rule: str, got: Any) -> ValueError:
        return ValueError(
            f"The '{name}' parameter of GroupSelector must {rule}. Got {got!r} instead."
        )

    def _check_rules(self, given: Given) -> tuple[Rules, NDArray[np.bool_]]:
        n_tasks = given.n_tasks
        max_size = n_tasks if self.max_size is None else min(int(self.max_size), n_tasks)
        if self.min_size > n_tasks:
            raise self._bad("min_size", f"be at most the number of tasks, {n_tasks}", self.min_size)
        if self.min_size > max_size:
            raise self._bad("min_size", f"be at most max_size={max_size}", self.min_size)
        serving = self._check_serving(given)
        linked = self._check_pairs("must_link", given)
        apart = self._check_pairs("cannot_link", given)
        rules = Rules(n_tasks, int(self.min_size), max_size, linked, apart)
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
        return rules, serving

    def _check_pairs(self, name: str, given: Given) -> NDArray[np.intp]:
        pairs = getattr(self, name)
        rule = "be a list of pairs of different tasks, by position or by name"
        found = []
        for pair in [] if pairs is None else list(pairs):
            if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
                raise self._bad(name, rule, pairs)
            a, b = (self._position(name, task, given) for task in pair)
            if a == b:
                raise self._bad(name, rule, pairs)
            found.append((a, b))
        return np.array(found, dtype=np.intp).reshape(-1, 2)

    def _position(self, name: str, task: Any, given: Given) -> int:
        if isinstance(task, str):
            if given.names is None:
                raise self._bad(name, "hold positions, as R has no names of tasks", task)
            at = np.flatnonzero(given.names == task)
            if len(at) != 1:
                raise self._bad(name, f"name tasks of R, among {list(given.names)}", task)
            return int(at[0])
        is_position = isinstance(task, Integral) and not isinstance(task, bool | np.bool_)
        if is_position and 0 <= int(task) < given.n_tasks:
            return int(task)
        raise self._bad(name, f"hold names of tasks or positions in [0, {given.n_tasks})", task)

    def _check_serving(self, given: Given) -> NDArray[np.bool_]:
        serving = np.ones(given.n_tasks, dtype=bool)
        if self.serving_tasks is None:
            return serving
        tasks = list(self.serving_tasks)
        if tasks and all(isinstance(t, bool | np.bool_) for t in tasks):
            if len(tasks) != given.n_tasks:
                raise self._bad(
                    "serving_tasks", f"be of length n_tasks={given.n_tasks} as a mask", tasks
                )
            what = "The index of 'serving_tasks'"
            serving = np.array(by_task_names(self.serving_tasks, given.names, what), dtype=bool)
        else:
            serving[:] = False
            serving[[self._position("serving_tasks", t, given) for t in tasks]] = True
        if not serving.any():
            raise self._bad("serving_tasks", "hold at least one task", tasks)
        return serving

    def _check_limits(self, given: Given, serving: NDArray[np.bool_]) -> tuple[int, float]:
        count = int(serving.sum())
        # Each group that is used serves a task.
        n_groups = count if self.n_groups is None else min(int(self.n_groups), count)
        if self.max_size is not None and n_groups * self.max_size < count:
            raise ValueError(
                f"n_groups={self.n_groups} groups of at most max_size={self.max_size} cannot serve "
                f"{count} tasks."
            )
        budget = np.inf if self.budget is None else WHOLE
        cost = self.group_cost
        if cost is None:
            return n_groups, budget
        if self.budget is None:
            raise ValueError(
                "The 'group_cost' parameter of GroupSelector counts only within a 'budget', which "
                "is None. Set a budget, or group_cost=None."
            )
        if isinstance(cost, Mapping):
            if not all(isinstance(k, Integral) for k in cost):
                raise self._bad("group_cost", "map sizes (int) to costs", cost)
            _check_costs(list(cost.values()))
        elif not callable(cost):
            values = _check_costs(cost)
            if given.masks is None or values.shape != (len(given.masks),):
                rows = "which are not given" if given.masks is None else f"{len(given.masks)} here"
                raise self._bad(
                    "group_cost", f"have one cost a row of masks, {rows}, as an array", cost
                )
        return n_groups, budget

    def _check_solver(self, given: Given, rules: Rules) -> str:
        if given.masks is not None:
            return "search" if self.solver == "search" else "exact"
        count = rules.count()
        if given.affinity is None:
            if count > _PREDICTED:
                raise ValueError(
                    f"A predictor can be asked about {_PREDICTED} groups at most, and {count} are "
                    "allowed: set a smaller max_size, or pass the masks of the groups to choose "
                    "from."
                )
            return "search" if self.solver == "search" else "exact"
        if self.solver == "auto":
            return "exact" if count <= _AUTO else "search"
        if self.solver == "exact" and count > _EXACT:
            raise ValueError(
                f"solver='exact' lists {_EXACT} groups at most, and {count} are allowed: set a "
                "smaller max_size, or solver='search'."
            )
        return self.solver

    def _costs(
        self,
        masks: NDArray[np.bool_],
        rows: NDArray[np.intp] | None = None,
        *,
        order: Any = slice(None),
    ) -> NDArray[np.float64]:
        """Costs of groups, whose tasks are in that order, and which stand in those rows of what
        was given."""
        cost = self.group_cost
        if cost is None:
            return np.ones(len(masks))
        if isinstance(cost, Mapping):
            table = np.ones(masks.shape[1] + 1)
            for size, value in cost.items():
                if 0 <= size < len(table):
                    table[size] = value
            return table[masks.sum(axis=1)]
        if not callable(cost):
            assert rows is not None
            return np.asarray(cost, dtype=np.float64)[rows]
        as_given = np.empty_like(masks)
        as_given[:, order] = masks
        try:
            values = [cost(mask) for mask in as_given]
        except Exception as error:
            raise ValueError(
                "The 'group_cost' parameter of GroupSelector must give the cost of any group, of "
                f"which it gets the mask. It raised {type(error).__name__}: {error}."
            ) from error
        return _check_costs(values)

    def _some_choice(
        self,
        given: Given,
        rules: Rules,
        serving: NDArray[np.bool_],
        n_groups: int,
        budget: float,
        overlap: bool,
        deadline: float,
    ) -> NDArray[np.bool_] | None:
        """Groups that keep the limits, or None if there are none; where groups are too many to
        list, the budget is not looked at."""
        order = slice(None) if given.order is None else given.order
        if np.isfinite(budget) and (given.masks is not None or rules.count() <= _AUTO):
            groups = rules.enumerate() if given.masks is None else given.masks
            rows = np.flatnonzero(rules.allow(groups))
            costs = self._shares(self._costs(groups[rows], rows, order=order))
            return _cover(groups[rows], costs, serving, n_groups, budget, overlap, deadline)
        return rules.find_cover(serving, n_groups, overlap, deadline)

    def _shares(self, costs: NDArray[np.float64]) -> NDArray[np.float64]:
        return shares_of_budget(costs, np.inf if self.budget is None else float(self.budget))

    # -- solving ---------------------------------------------------------------------------------

    def _choose_listed(
        self,
        given: Given,
        rules: Rules,
        serving: NDArray[np.bool_],
        n_groups: int,
        budget: float,
        solver: str,
        deadline: float,
        rng: np.random.RandomState,
    ) -> _Found:
        masks, scores, costs = self._list(given, rules)
        shares = self._shares(costs)
        useful = masks[:, serving].any(axis=1) & (shares <= budget)
        masks, scores = masks[useful], scores[:, useful]
        costs, shares = costs[useful], shares[useful]
        of_serving, single = scores[serving], masks.sum(axis=1) == 1
        in_groups, alone = of_serving, None
        if given.affinity is not None and not isinstance(self.singleton_score, str):
            in_groups, alone = of_serving[:, ~single], float(self.singleton_score)
        scale = Scale.of(in_groups[np.isfinite(in_groups)], len(of_serving), alone)
        pool = Pool(
            np.ascontiguousarray(scale.apply(of_serving, single)),
            np.ascontiguousarray(masks.T[~serving]),
            shares,
            n_groups,
            budget,
            bool(self.overlap),
        )
        choice = select(
            pool,
            prove=solver == "exact",
            deadline=deadline,
            rng=rng,
            verbose=self.verbose,
        )
        if choice is None:

            def feasible(n_groups: int, budget: float, overlap: bool, rules: Rules) -> bool:
                masks, _, costs = self._list(given, rules)
                shares = self._shares(costs)
                return _cover(masks, shares, serving, n_groups, budget, overlap) is not None

            raise self._infeasible(given, rules, serving, n_groups, budget, feasible)
        at = choice.chosen
        proved = choice.bound <= choice.value
        return _Found(masks[at], scores[:, at], costs[at], scale.mean_bound(choice.bound), proved)

    def _list(
        self, given: Given, rules: Rules
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Allowed groups, their scores (n_tasks, n_allowed) and costs."""
        if given.masks is None:
            masks = rules.enumerate()
        else:
            allowed = np.flatnonzero(rules.allow(given.masks))
            masks = given.masks[allowed]
        if given.affinity is not None:
            scores = mean_scores(given.affinity, self._alone(given.affinity), masks)
        elif given.predictor is not None:
            scores = given.predict(masks)
        else:
            assert given.gains is not None
            scores = np.where(masks, given.gains[allowed], -np.inf).T
        rows = None if given.masks is None or given.rows is None else given.rows[allowed]
        return masks, scores, self._costs(masks, rows, order=given.order)

    def _search(
        self,
        given: Given,
        rules: Rules,
        serving: NDArray[np.bool_],
        n_groups: int,
        budget: float,
        deadline: float,
        rng: np.random.RandomState,
    ) -> _Found:
        assert given.affinity is not None
        alone = self._alone(given.affinity)
        others = ~np.eye(given.n_tasks, dtype=bool)
        count = int(serving.sum())
        if isinstance(self.singleton_score, str):
            scale = Scale.of(np.append(given.affinity[others], alone), count)
            scaled_alone = scale.apply(alone)
        else:
            scale = Scale.of(given.affinity[others], count, float(self.singleton_score))
            assert scale.alone is not None
            scaled_alone = np.full(given.n_tasks, scale.alone)
        scaled = np.where(others, scale.apply(given.affinity), 0.0)

        def shares(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
            return self._shares(self._costs(masks, order=given.order))

        problem = Problem(
            scaled, scaled_alone, rules, serving, n_groups, budget, bool(self.overlap), shares
        )
        found = search(
            problem, n_init=self.n_init, deadline=deadline, rng=rng, verbose=self.verbose
        )
        if found is None:

            def feasible(n_groups: int, budget: float, overlap: bool, rules: Rules) -> bool:
                kept = (n_groups, budget, overlap)
                return self._some_choice(given, rules, serving, *kept, deadline) is not None

            if rules.count() > _AUTO and feasible(n_groups, budget, bool(self.overlap), rules):
                raise ValueError(
                    f"No choice of groups that serves all {count} tasks within budget="
                    f"{self.budget} was found. There may be one: {rules.count()} groups are "
                    "allowed, too many to try all."
                )
            raise self._infeasible(given, rules, serving, n_groups, budget, feasible)
        masks, value = found
        if np.isfinite(budget) and not callable(self.group_cost):
            cheapest = shares(np.tri(given.n_tasks, dtype=bool)).min()
            if cheapest > 0:
                problem = replace(problem, n_groups=min(n_groups, int(budget / cheapest + 1e-9)))
        # The bound is worth a few seconds even where the search took all there were.
        soon = max(deadline, time.monotonic() + 5.0)
        bound = relaxed_bound(problem, deadline=soon, value=value)
        scores = mean_scores(given.affinity, alone, masks)
        proved = bound - value <= rounding(value)
        costs = self._costs(masks, order=given.order)
        return _Found(masks, scores, costs, scale.mean_bound(bound), proved)

    def _alone(self, affinity: NDArray[np.float64]) -> NDArray[np.float64]:
        if isinstance(self.singleton_score, str):
            return affinity.diagonal().copy()
        return np.full(len(affinity), float(self.singleton_score))

    def _infeasible(
        self,
        given: Given,
        rules: Rules,
        serving: NDArray[np.bool_],
        n_groups: int,
        budget: float,
        feasible: Callable[..., bool],
    ) -> ValueError:
        """An error that names the constraints without which there would be a choice."""
        count = int(serving.sum())
        if given.masks is not None and len(
            lost := np.flatnonzero(serving & ~given.masks.any(axis=0))
        ):
            labels = ", ".join(sorted(given.label(t) for t in lost))
            return ValueError(
                f"No choice of groups serves all {count} tasks: no row of masks holds {labels}."
            )
        none = np.empty((0, 2), dtype=np.intp)
        kept = {"n_groups": n_groups, "budget": budget, "overlap": bool(self.overlap)}
        n_tasks = given.n_tasks
        without: dict[str, dict[str, Any]] = {}
        if self.n_groups is not None and n_groups < count:
            without[f"n_groups={self.n_groups}"] = {"n_groups": count}
        if self.budget is not None:
            without[f"budget={self.budget}"] = {"budget": np.inf}
        if not self.overlap:
            without["overlap=False"] = {"overlap": True}
        if self.min_size > 1:
            without[f"min_size={self.min_size}"] = {"rules": replace(rules, min_size=1)}
        if rules.max_size < n_tasks:
            without[f"max_size={self.max_size}"] = {"rules": replace(rules, max_size=n_tasks)}
        if len(rules.linked):
            without["must_link"] = {"rules": replace(rules, linked=none)}
        if len(rules.apart):
            without["cannot_link"] = {"rules": replace(rules, apart=none)}
        blamed = []
        for name, change in without.items():
            loose = change.get("rules")
            if loose is not None and given.masks is None and loose.count() > _EXACT:
                continue
            if feasible(**{"rules": rules, **kept, **change}):
                blamed.append(name)
        if blamed:
            reason = f"without {' or without '.join(blamed)} there would be one"
        else:
            reason = f"several of these would have to go: {', '.join(without)}"
        return ValueError(f"No choice of groups serves all {count} tasks: {reason}.")

    def _keep(
        self, found: _Found, serving: NDArray[np.bool_], order: NDArray[np.intp], budget: float
    ) -> None:
        """Set what is known of the choice, tasks in the order in which they were given."""
        masks, scores = found.masks, found.scores
        as_given = np.empty_like(masks)
        as_given[:, order] = masks
        of_group = np.empty_like(scores)
        of_group[order] = scores
        serves = np.empty_like(serving)
        serves[order] = serving
        used = np.unique(of_group[serves].argmax(axis=1))
        as_given, of_group = as_given[used], of_group[:, used]
        self.cost_ = math.fsum(found.costs[used])
        if self.budget is not None:
            if self._shares(found.costs[used]).sum() > budget:
                raise RuntimeError(
                    f"GroupSelector chose groups that cost {self.cost_}, more than budget="
                    f"{self.budget}. This is a fault of skgroup: please report it."
                )
            self.cost_ = min(self.cost_, float(self.budget))  # more is rounding
        # Groups by their members, first tasks first.
        columns = np.lexsort(~as_given.T[::-1])
        as_given, of_group = as_given[columns], of_group[:, columns]
        self.membership_ = as_given.T.astype(np.float64)
        best = of_group.argmax(axis=1)
        held = as_given.any(axis=0)
        self.serving_weights_ = np.zeros_like(self.membership_)
        self.serving_weights_[np.flatnonzero(held), best[held]] = 1.0
        self.groups_ = [np.flatnonzero(mask) for mask in as_given]
        self.scores_ = np.where(held, of_group.max(axis=1), np.nan)
        self.objective_ = float(self.scores_[serves].mean())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = True
        return tags


@dataclass(frozen=True)
class _Found:
    """The chosen groups (n_chosen, n_tasks), their scores (n_tasks, n_chosen) and costs
    (n_chosen,), an upper bound of the mean score, and whether they reach it, to rounding."""

    masks: NDArray[np.bool_]
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]
    bound: float
    proved: bool


def _cover(
    masks: NDArray[np.bool_],
    costs: NDArray[np.float64],
    serving: NDArray[np.bool_],
    n_groups: int,
    budget: float,
    overlap: bool,
    deadline: float = np.inf,
) -> NDArray[np.bool_] | None:
    """Some of these groups, of costs in shares of the budget, that keep the limits."""
    useful = masks[:, serving].any(axis=1) & (costs <= budget)
    masks, costs = masks[useful], costs[useful]
    if not masks[:, serving].any(axis=0).all():
        return None
    there = np.where(masks.T, 0.0, -np.inf)
    pool = Pool(there[serving], masks.T[~serving], costs, n_groups, budget, overlap)
    chosen = find_cover(pool, deadline)
    return None if chosen is None else masks[chosen]


def _check_costs(costs: Any) -> NDArray[np.float64]:
    try:
        values = np.array(costs)
        numbers = values.dtype.kind in "biufO" and values.ndim == 1
        values = values.astype(np.float64) if numbers else np.array([])
    except (TypeError, ValueError):
        numbers = False
    if not numbers:
        raise ValueError(
            "The 'group_cost' parameter of GroupSelector must give one number, >= 0, a group. "
            f"Got {costs!r:.200} instead."
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        wrong = values[~(np.isfinite(values) & (values >= 0))][0]
        raise ValueError(
            "The 'group_cost' parameter of GroupSelector must give finite costs >= 0. Got "
            f"{wrong} instead."
        )
    return values


def _cost_of_kept(
    cost: Callable[..., Any], tasks: NDArray[np.intp], n_tasks: int, mask: NDArray[np.bool_]
) -> Any:
    """The cost of a group of some tasks, by a function of a mask of all tasks."""
    whole = np.zeros(n_tasks, dtype=bool)
    whole[tasks] = mask
    return cost(whole)
