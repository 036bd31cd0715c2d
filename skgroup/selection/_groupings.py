"""From X and Y to groups in one estimator, one for each published way."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from skgroup._compat import Interval, _fit_context, forget_fit
from skgroup._estimators import steps_of
from skgroup._html import GroupsReprMixin
from skgroup.metrics.splits import count_splits
from skgroup.relations import InterTaskAffinity
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection.gains import GroupGains, MTGNet, all_groups
from skgroup.tasks import TaskTable, take_tasks
from skgroup.training import MultiTaskNet

__all__ = [
    "ExhaustiveGrouping",
    "HOAGrouping",
    "MTGNetGrouping",
    "TAGGrouping",
    "describe_cost",
]

#: Tasks up to which predicted gains are listed for all groups, so that measured ones replace them.
_LISTED = 14


class _Grouping(GroupsReprMixin, BaseEstimator):
    """Measures something on X and Y and gives it to a `GroupSelector`.

    A subclass has the parameters `estimator`, `n_groups`, `selector`, `random_state`, `verbose`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "selector": [GroupSelector, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    estimator: MultiTaskNet | None
    n_groups: int
    selector: GroupSelector | None
    random_state: Any
    verbose: int

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Measure how the tasks go together, and choose the groups.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks)
            The task table `Y`. A task of a single class is in no group.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, or no choice of groups
            keeps the constraints.
        KeyboardInterrupt
            If interrupted. After any error an earlier fit stays as it was.
        """
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        data = net._check_data(X, y, sample_weight)
        if data.whole is None:
            self._fit(X, y, sample_weight)
            return self
        table = data.whole
        tasks = np.flatnonzero(table.learnable)
        of_learnable = clone(self)
        for part in (of_learnable.estimator, of_learnable.selector):
            if part is not None:
                part.keep_tasks(tasks, table.n_tasks, table.names)
        of_learnable._fit(X, take_tasks(y, table.learnable), sample_weight)
        forget_fit(self)
        found = {k: v for k, v in vars(of_learnable).items() if k.endswith("_")}
        for name in ("membership_", "serving_weights_"):
            rows = np.zeros((table.n_tasks, found[name].shape[1]))
            rows[tasks] = found[name]
            found[name] = rows
        if "affinity_" in found:
            affinity = np.zeros((table.n_tasks,) * 2)
            affinity[np.ix_(tasks, tasks)] = found["affinity_"]
            found["affinity_"] = affinity
        found["groups_"] = [tasks[group] for group in found["groups_"]]
        self.__dict__.update(found)
        self._learn_names(table)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """`fit`, where there is something to learn of all tasks."""
        raise NotImplementedError

    def _learn_names(self, table: TaskTable) -> None:
        self.n_tasks_ = table.n_tasks
        if table.names is not None:
            self.task_names_in_ = table.names

    def _begin(self, X: Any, y: Any, sample_weight: Any, **fixed: Any) -> GroupSelector:
        """Check everything before anything trains, and forget an earlier fit."""
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        data = net._check_data(X, y, sample_weight)
        selector = GroupSelector() if self.selector is None else clone(self.selector)
        selector.set_params(n_groups=self.n_groups, **fixed)
        if selector.random_state is None:
            selector.set_params(random_state=self.random_state)
        self._check(selector, data.table)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(data.table)
        return selector

    def _check(self, selector: GroupSelector, table: TaskTable) -> None:
        selector.check(table.n_tasks, table.names)

    def _select(self, selector: GroupSelector, R: Any, masks: Any = None) -> None:
        chosen = selector.fit(R, masks=masks, task_names=getattr(self, "task_names_in_", None))
        self.selector_ = chosen
        for name in (
            "membership_",
            "serving_weights_",
            "groups_",
            "objective_",
            "upper_bound_",
            "gap_",
        ):
            setattr(self, name, getattr(chosen, name))

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups of `n_tasks` tasks."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags


class TAGGrouping(_Grouping):
    """Groups by inter-task affinity: one net trained (TAG [1]_).

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What trains; `MultiTaskNet()` if None.
    n_groups : int, default=3
        At most so many groups.
    every : int, default=10
        Steps between two measurements of the affinity.
    selector : GroupSelector, default=None
        Chooses the groups; its `n_groups` is replaced by that of this estimator.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    affinity_ : ndarray of shape (n_tasks, n_tasks)
    membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `GroupSelector` has them; `selector_` is the fitted one, of the tasks that are learned.

    References
    ----------
    .. [1] C. Fifty et al., "Efficiently identifying task groupings for multi-task learning",
       NeurIPS 2021, arXiv:2109.04617.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_Grouping._parameter_constraints,
        "every": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        n_groups: int = 3,
        *,
        every: int = 10,
        selector: GroupSelector | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_groups = n_groups
        self.every = every
        self.selector = selector
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Measure the affinities of the tasks `y` (n_samples, n_tasks), and choose groups."""
        selector = self._begin(X, y, sample_weight)
        relation = InterTaskAffinity(
            self.estimator,
            every=self.every,
            random_state=self.random_state,
            verbose=self.verbose,
        ).fit(X, y, sample_weight=sample_weight)
        self.affinity_ = relation.affinity_
        self._select(selector, self.affinity_)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: 1."""
        return 1


class _GainGrouping(_Grouping):
    """A grouping from measured gains."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_Grouping._parameter_constraints,
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "cv": GroupGains._parameter_constraints["cv"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        n_groups: int = 3,
        *,
        cv: Any = 0.2,
        n_repeats: int = 1,
        selector: GroupSelector | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_groups = n_groups
        self.cv = cv
        self.n_repeats = n_repeats
        self.selector = selector
        self.random_state = random_state
        self.verbose = verbose

    def _gains(self, masks: Any) -> GroupGains:
        gains = GroupGains(
            self.estimator,
            masks=masks,
            cv=self.cv,
            n_repeats=self.n_repeats,
            random_state=self.random_state,
            verbose=self.verbose,
        )
        gains._validate_params()
        return gains

    def _n_runs(self) -> int:
        """Nets a group: repeats times splits."""
        return self.n_repeats * count_splits(self.cv)


class ExhaustiveGrouping(_GainGrouping):
    """The best groups of all, each measured: 2^n_tasks − 1 nets.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What trains; `MultiTaskNet()` if None.
    n_groups : int, default=3
        At most so many groups.
    cv : float, int, splitter or iterable of (train, test), default=0.2
        The held-out samples on which gains are measured, as in `GroupGains`.
    n_repeats : int, default=1
    selector : GroupSelector, default=None
        Chooses the groups; its `n_groups` is replaced by that of this estimator.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    gains_ : GroupGains
        What was measured, of the tasks that are learned.
    membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `GroupSelector` has them; `selector_` is the fitted one, of the tasks that are learned.
    """

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Measure all groups of the tasks `y` (n_samples, n_tasks), and choose."""
        selector = self._begin(X, y, sample_weight)
        self.gains_ = self._gains("all")._fit(X, y, sample_weight)
        self._select(selector, self.gains_.gains_, masks=self.gains_.masks_)

    def _check(self, selector: GroupSelector, table: TaskTable) -> None:
        # With more tasks `GroupGains` refuses before it trains.
        masks = all_groups(table.n_tasks) if table.n_tasks <= _LISTED else None
        selector.check(table.n_tasks, table.names, masks=masks)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: 2^n_tasks − 1 a repeat and split."""
        return (2**n_tasks - 1) * self._n_runs()


class HOAGrouping(_GainGrouping):
    """Groups from the gains of pairs: n (n + 1) / 2 nets (higher-order approximation [1]_).

    The gain of a task in a larger group is the mean of its gains in the pairs inside the group.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What trains; `MultiTaskNet()` if None.
    n_groups : int, default=3
        At most so many groups.
    cv : float, int, splitter or iterable of (train, test), default=0.2
        The held-out samples on which gains are measured, as in `GroupGains`.
    n_repeats : int, default=1
    selector : GroupSelector, default=None
        Chooses the groups; its `n_groups` is replaced by that of this estimator, and its
        `singleton_score` by 0, as a task alone gains nothing over itself.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    gains_ : GroupGains
        What was measured, of the tasks that are learned.
    affinity_ : ndarray of shape (n_tasks, n_tasks)
        [i, j] is the gain of task j in the pair of i and j; 0 on the diagonal.
    membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `GroupSelector` has them; `selector_` is the fitted one, of the tasks that are learned.

    References
    ----------
    .. [1] T. Standley et al., "Which tasks should be learned together in multi-task learning?",
       ICML 2020, arXiv:1905.07553.
    """

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Measure single tasks and pairs of the tasks `y` (n_samples, n_tasks), and choose."""
        # Alone, a task gains nothing over itself: what the diagonal says.
        selector = self._begin(X, y, sample_weight, singleton_score="diagonal")
        self.gains_ = self._gains("pairs")._fit(X, y, sample_weight)
        masks, gains = self.gains_.masks_, self.gains_.gains_
        self.affinity_ = np.zeros((masks.shape[1],) * 2)
        pairs = masks.sum(axis=1) == 2
        first, second = np.nonzero(masks[pairs])[1].reshape(-1, 2).T
        rows = np.arange(pairs.sum())
        self.affinity_[first, second] = gains[pairs][rows, second]
        self.affinity_[second, first] = gains[pairs][rows, first]
        self._select(selector, self.affinity_)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: n (n + 1) / 2 a repeat and split."""
        return n_tasks * (n_tasks + 1) // 2 * self._n_runs()


class MTGNetGrouping(_GainGrouping):
    """Groups from predicted gains, of a few measured ones (MTG-Net [1]_).

    Measures single tasks, the group of all, and groups that `MTGNet.suggest` chooses in rounds.
    Then chooses by what was measured, and by what is predicted of other groups: of all up to 14
    tasks; beyond, of groups that differ from measured ones, or from the best found so far, in a
    task, and of pairs. `upper_bound_` and `gap_` are of choices among these.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What trains; `MultiTaskNet()` if None.
    n_groups : int, default=3
        At most so many groups.
    groups_per_task : int, default=4
        Measured groups are so many times the number of tasks, as far as there are groups, and
        one more; the first n_tasks + 1 are the single tasks and all together.
    predictor : MTGNet, default=None
        `MTGNet()` if None.
    cv : float, int, splitter or iterable of (train, test), default=0.2
        The held-out samples on which gains are measured, as in `GroupGains`.
    n_repeats : int, default=1
    selector : GroupSelector, default=None
        Chooses the groups; its `n_groups` is replaced by that of this estimator.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    gains_ : GroupGains
        What was measured, of the tasks that are learned.
    predictor_ : MTGNet
    membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `GroupSelector` has them; `selector_` is the fitted one, of the tasks that are learned.

    References
    ----------
    .. [1] X. Song et al., "Efficient and effective multi-task grouping via meta learning on task
       combinations", NeurIPS 2022.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **_GainGrouping._parameter_constraints,
        "groups_per_task": [Interval(Integral, 1, None, closed="left")],
        "predictor": [MTGNet, None],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        n_groups: int = 3,
        *,
        groups_per_task: int = 4,
        predictor: MTGNet | None = None,
        cv: Any = 0.2,
        n_repeats: int = 1,
        selector: GroupSelector | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            n_groups,
            cv=cv,
            n_repeats=n_repeats,
            selector=selector,
            random_state=random_state,
            verbose=verbose,
        )
        self.groups_per_task = groups_per_task
        self.predictor = predictor

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Measure some groups of the tasks `y` (n_samples, n_tasks), predict all, and choose."""
        selector = self._begin(X, y, sample_weight)
        names = getattr(self, "task_names_in_", None)
        predictor, n_tasks = self._new_predictor(), self.n_tasks_
        start = np.vstack([np.eye(n_tasks, dtype=bool), np.ones((1, n_tasks), dtype=bool)])
        measured = self._gains(start[: self._n_groups_measured(n_tasks)])
        measured.set_params(warm_start=True)._fit(X, y, sample_weight)
        while (left := self._n_groups_measured(n_tasks) - len(measured.masks_)) > 0:
            pool: Any = n_tasks
            if n_tasks > _LISTED:
                pool = selector.neighbours(measured.masks_, names)
            suggested = predictor.suggest(
                pool, measured.masks_, measured.gains_, min(left, n_tasks)
            )
            if not len(suggested):
                break
            masks = np.vstack([measured.masks_, suggested])
            measured.set_params(masks=masks)._fit(X, y, sample_weight)
        self.gains_ = measured
        self.predictor_ = predictor.fit(measured.masks_, measured.gains_)
        few = n_tasks <= _LISTED
        masks = all_groups(n_tasks) if few else self._near_the_best(selector, names)
        self._select(selector, self._gains_of(masks), masks=masks)

    def _check(self, selector: GroupSelector, table: TaskTable) -> None:
        super()._check(selector, table)
        predictor = self._new_predictor()
        predictor._validate_params()
        predictor._check_heads()

    def _new_predictor(self) -> MTGNet:
        predictor = MTGNet() if self.predictor is None else clone(self.predictor)
        if predictor.random_state is None:
            predictor.set_params(random_state=self.random_state)
        return predictor

    def _gains_of(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Measured gains of groups where there are, predicted ones elsewhere."""
        gains = self.predictor_.predict(masks)
        row_of = {mask.tobytes(): row for row, mask in enumerate(self.gains_.masks_)}
        rows = np.array([row_of.get(mask.tobytes(), -1) for mask in masks])
        gains[rows >= 0] = self.gains_.gains_[rows[rows >= 0]]
        return gains

    def _near_the_best(self, selector: GroupSelector, names: Any) -> NDArray[np.bool_]:
        """Groups to choose from where there are too many: neighbours of those measured, and then
        of those that would be chosen, until that changes nothing."""
        masks = selector.neighbours(self.gains_.masks_, names)
        quick, best = clone(selector).set_params(solver="search"), -np.inf
        while True:
            chosen = quick.fit(self._gains_of(masks), masks=masks, task_names=names)
            if chosen.objective_ <= best:
                return masks
            best = chosen.objective_
            near = selector.neighbours(chosen.membership_.T.astype(bool), names)
            masks = np.unique(np.vstack([masks, near]), axis=0)

    def _n_groups_measured(self, n_tasks: int) -> int:
        return min(2**n_tasks - 1, self.groups_per_task * n_tasks + 1)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: groups_per_task · n_tasks + 1, at most all,
        a repeat and split."""
        return self._n_groups_measured(n_tasks) * self._n_runs()


def describe_cost(groupings: dict[str, Any], n_tasks: int) -> list[dict[str, Any]]:
    """What finding the groups will cost, before anything is trained.

    With n tasks an exhaustive search trains 2^n − 1 nets, HOA n (n + 1) / 2, MTG-Net a multiple of
    n; TAG and data maps train one, in which TAG computes n² losses beside every measured step
    (those of n lookahead steps), which is not counted here.

    Parameters
    ----------
    groupings : dict of str to estimator
        With `count_nets`: the groupings of this package, relations, or pipelines that start with
        one.
    n_tasks : int

    Returns
    -------
    rows : list of dict
        A row a grouping: its `name`, the `nets` that it trains to find the groups and the
        `epochs` that they train for, all together. The nets that are trained for the groups once
        they are found are not counted; `GroupedMTLClassifier.count_nets` counts them too.

    Raises
    ------
    TypeError
        If `groupings` is no dict, or one of them is no estimator, or has no step that counts its
        nets.
    ValueError
        If `n_tasks` is no number of tasks, or a parameter breaks its rule.

    Examples
    --------
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.selection import ExhaustiveGrouping, HOAGrouping, describe_cost
    >>> net = MultiTaskNet(max_epochs=10)
    >>> for row in describe_cost({"all": ExhaustiveGrouping(net), "HOA": HOAGrouping(net)}, 10):
    ...     print(row)
    {'name': 'all', 'nets': 1023, 'epochs': 10230}
    {'name': 'HOA', 'nets': 55, 'epochs': 550}
    """
    if not isinstance(n_tasks, Integral) or isinstance(n_tasks, bool) or n_tasks < 1:
        raise ValueError(f"n_tasks must be an int >= 1. Got {n_tasks!r}.")
    if not isinstance(groupings, Mapping):
        raise TypeError(f"groupings must be a dict of names to estimators. Got {groupings!r}.")
    rows = []
    for name, grouping in groupings.items():
        if not hasattr(grouping, "fit"):
            raise TypeError(f"{name!r} of groupings must be an estimator. Got {grouping!r}.")
        if hasattr(grouping, "predict_proba"):
            raise TypeError(
                f"{name!r} of groupings classifies; describe_cost counts what finding groups "
                "costs. Pass its grouper, or use GroupedMTLClassifier.count_nets."
            )
        steps = steps_of(grouping)
        if not any(hasattr(step, "count_nets") for step in steps):
            raise TypeError(
                f"{name!r} of groupings must hold a step that finds relations or groups from "
                f"X and Y, and counts its nets. Got {grouping!r}."
            )
        nets = epochs = 0
        for step in steps:
            if not hasattr(step, "count_nets"):
                continue
            if hasattr(step, "_validate_params"):
                step._validate_params()
            if n := step.count_nets(int(n_tasks)):
                net = MultiTaskNet() if step.estimator is None else step.estimator
                if not isinstance(net.max_epochs, Integral) or net.max_epochs < 0:
                    raise ValueError(
                        "The 'max_epochs' parameter of MultiTaskNet must be an int >= 0. Got "
                        f"{net.max_epochs!r} in {name!r} of groupings."
                    )
                nets, epochs = nets + n, epochs + n * net.max_epochs
        rows.append({"name": name, "nets": nets, "epochs": epochs})
    return rows
