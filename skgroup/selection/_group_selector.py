"""`GroupSelector`: groups that may overlap, each task served by its best one."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
    _get_output_config,
    forget_fit,
)
from skgroup._html import GroupsReprMixin
from skgroup.cluster.memberships import HardLabelsMixin
from skgroup.selection._choose import ChosenGroups, check_solver, choose
from skgroup.selection._constraints import (
    Constraints,
    check_constraints,
    check_pairs,
    check_serving,
)
from skgroup.selection._costs import cost_in_all_tasks
from skgroup.selection._feasible import infeasible, some_choice
from skgroup.selection.inputs import Given, as_names, canonical_order, read_inputs
from skgroup.selection.solver import near


class GroupSelector(
    CallbackSupportMixin, GroupsReprMixin, HardLabelsMixin, TransformerMixin, BaseEstimator
):
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
    labels_ : ndarray of shape (n_tasks,)
        The group that serves each task; -1 of a helper that is in none.
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
            groups can be chosen. Their mean over tasks is maximised as they stand, so that they
            should be of one unit: shares of the loss (`GroupGains` by default) are, for tasks of
            all kinds; differences of F1 beside those of R² are not.

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
        constraints = check_constraints(self, given)
        rng = (
            np.random.RandomState()  # check_random_state(None) would be NumPy's global one
            if self.random_state is None
            else check_random_state(self.random_state)
        )
        deadline = np.inf if self.time_limit is None else time.monotonic() + self.time_limit

        # From here on tasks are in an order that does not depend on how they were given.
        order = canonical_order(given)
        given, constraints = given.permute(order), constraints.permute(order)
        solver = check_solver(self.solver, given, constraints.rules)
        chosen = choose(self, given, constraints, solver, deadline, rng)
        forget_fit(self)
        self.n_tasks_ = self.n_features_in_ = n_tasks
        if given.names is not None:
            self.task_names_in_ = np.empty(n_tasks, dtype=object)
            self.task_names_in_[order] = given.names
        self.solver_ = solver
        self._keep(chosen, constraints, order)
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
        # What is measured limits the choice only where costs do.
        given = Given(int(n_tasks), names, masks=None if self.budget is None else masks)
        constraints = check_constraints(self, given)
        soon = time.monotonic() + 5.0
        try:
            groups = some_choice(given, constraints, soon)
            if groups is None:
                raise infeasible(
                    self, given, constraints, lambda loose: some_choice(given, loose, soon)
                )
        except TimeoutError:
            return np.empty((0, n_tasks), dtype=bool)
        if callable(self.group_cost):
            constraints.costs.of(groups, given)  # whether it gives costs at all
        return groups

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
                pairs = place[check_pairs(name, getattr(self, name), given)]
                self.set_params(**{name: pairs[(pairs >= 0).all(axis=1)].tolist()})
        if self.serving_tasks is not None:
            serving = check_serving(self.serving_tasks, given)[tasks]
            self.serving_tasks = serving if serving.any() else None
        if callable(self.group_cost):
            self.group_cost = partial(cost_in_all_tasks, self.group_cost, tasks, n_tasks)
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
        rules = check_constraints(self, Given(n_tasks, names)).rules
        units: Any = rules.unit_members
        pairs = (units[:, None] | units).reshape(-1, n_tasks)
        whole = (masks[:, None] & units).any(axis=2)[:, rules.units]  # with what is linked
        nearby = np.vstack([self.check(n_tasks, task_names), pairs, whole, near(rules, whole)])
        nearby = np.unique(nearby[nearby.any(axis=1)], axis=0)
        allowed: NDArray[np.bool_] = nearby[rules.allow(nearby)]
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

    def _keep(
        self, chosen: ChosenGroups, constraints: Constraints, order: NDArray[np.intp]
    ) -> None:
        """Set what is known of the choice, tasks in the order in which they were given."""
        place = np.argsort(order)
        masks, scores = chosen.masks[:, place], chosen.scores[place]
        serving = constraints.serving[place]
        used = np.unique(scores[serving].argmax(axis=1))
        masks, scores = masks[used], scores[:, used]
        self.cost_ = math.fsum(chosen.costs[used])
        if self.budget is not None:
            if constraints.costs.shares(chosen.costs[used]).sum() > constraints.budget:
                raise RuntimeError(
                    f"GroupSelector chose groups that cost {self.cost_}, more than budget="
                    f"{self.budget}. This is a fault of skgroup: please report it."
                )
            self.cost_ = min(self.cost_, float(self.budget))  # more is rounding
        # Groups by their members, first tasks first.
        columns = np.lexsort(~masks.T[::-1])
        masks, scores = masks[columns], scores[:, columns]
        self.membership_ = masks.T.astype(np.float64)
        best, in_a_group = scores.argmax(axis=1), masks.any(axis=0)
        self.serving_weights_ = np.zeros_like(self.membership_)
        self.serving_weights_[np.flatnonzero(in_a_group), best[in_a_group]] = 1.0
        self.groups_ = [np.flatnonzero(mask) for mask in masks]
        self.scores_ = np.where(in_a_group, scores.max(axis=1), np.nan)
        self.objective_ = float(self.scores_[serving].mean())
        self.upper_bound_ = self.objective_
        if not chosen.proved:
            self.upper_bound_ = max(chosen.bound, self.objective_)
        self.gap_ = self.upper_bound_ - self.objective_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = True
        return tags
