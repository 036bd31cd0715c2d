"""What all groupings share: from X and Y to groups in one estimator."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import Interval, _fit_context, forget_fit
from skgroup._html import GroupsReprMixin
from skgroup.cluster.memberships import HardLabelsMixin
from skgroup.metrics.splits import count_splits
from skgroup.relations.effect import Effect, of_all_tasks
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection.gains import GroupGains
from skgroup.store import CHECKPOINT, RunningFit, handed_on, running_fit
from skgroup.tasks import TaskTable
from skgroup.training import MultiTaskNet
from skgroup.training.engine import check_data
from skgroup.training.task_estimator import TaskEstimatorMixin
from skgroup.training.training_data import TrainingData


class Grouping(GroupsReprMixin, HardLabelsMixin, TaskEstimatorMixin):
    """Measures something on X and Y and gives it to a `GroupSelector`.

    A subclass implements `_fit(data, running)` and `_pairs()`, and has the parameters `estimator`,
    `n_groups`, `selector`, `checkpoint`, `random_state` and `verbose`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "selector": [GroupSelector, None],
        "checkpoint": CHECKPOINT,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    estimator: MultiTaskNet | None
    n_groups: int
    selector: GroupSelector | None
    checkpoint: Any
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
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None

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
        data = check_data(net, X, y, sample_weight)
        checkpoint = net.checkpoint if self.checkpoint is None else self.checkpoint
        with running_fit(checkpoint, self, data) as running:
            return self._fit_learnable(data, running)

    def _fit_learnable(self, data: TrainingData, running: RunningFit) -> Any:
        """`fit` of the tasks that there is something to learn of."""
        if data.whole is None:
            self._fit(data, running)
            return self
        tasks, table = np.flatnonzero(data.whole.learnable), data.whole
        of_learnable = clone(self)
        for part in (of_learnable.estimator, of_learnable.selector):
            if part is not None:
                part.keep_tasks(tasks, table.n_tasks, table.names)
        of_learnable._fit(data.alone(), running)
        forget_fit(self)
        self.__dict__.update(_of_all_tasks(vars(of_learnable), tasks, table.n_tasks))
        self._learn_names(table)
        return self

    def _fit(self, data: TrainingData, running: RunningFit) -> None:
        """`fit`, where there is something to learn of all tasks."""
        raise NotImplementedError

    def _kept(self, running: RunningFit, name: str, estimator: Any, data: TrainingData) -> Any:
        """An estimator fitted on the data, by an earlier run of this fit or now."""

        def fit() -> Any:
            with handed_on(estimator, running.child(name)):
                return estimator.fit(data, None, sample_weight=data.sample_weight)

        return running.stage(name, fit)

    def _begin(self, data: TrainingData, **fixed: Any) -> GroupSelector:
        """Check everything before anything trains, and forget an earlier fit."""
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

    def pair_effects(self) -> tuple[NDArray[np.float64], Effect]:
        """What tasks do to each other, as far as it was measured to find the groups.

        Returns
        -------
        values : ndarray of shape (n_tasks, n_tasks)
            [i, j]: what training on task i does to task j; NaN where it is not known.
        effect : Effect
            Name, meaning, unit and direction of the numbers.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self)
        values, effect = self._pairs()
        return of_all_tasks(values, self.learnable_), effect

    def _pairs(self) -> tuple[NDArray[np.float64], Effect]:
        """`pair_effects` of all tasks, or of those that are learned."""
        raise NotImplementedError

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups of `n_tasks` tasks."""
        raise NotImplementedError


def _of_all_tasks(params: Any, tasks: NDArray[np.intp], n_tasks: int) -> dict[str, Any]:
    """Fitted attributes, with zeros for the tasks that are in no group."""
    fitted = {name: value for name, value in params.items() if name.endswith("_")}
    for name in ("membership_", "serving_weights_"):
        rows = np.zeros((n_tasks, fitted[name].shape[1]))
        rows[tasks] = fitted[name]
        fitted[name] = rows
    if "affinity_" in fitted:
        affinity = np.zeros((n_tasks, n_tasks))
        affinity[np.ix_(tasks, tasks)] = fitted["affinity_"]
        fitted["affinity_"] = affinity
    fitted["groups_"] = [tasks[group] for group in fitted["groups_"]]
    return fitted


class GainGrouping(Grouping):
    """A grouping from gains that are measured on held-out samples."""

    gains_: GroupGains

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Grouping._parameter_constraints,
        "cv": GroupGains._parameter_constraints["cv"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        n_groups: int = 3,
        *,
        cv: Any = 0.2,
        selector: GroupSelector | None = None,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_groups = n_groups
        self.cv = cv
        self.selector = selector
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def _measure(
        self, running: RunningFit, data: TrainingData, masks: Any, gains: GroupGains | None = None
    ) -> GroupGains:
        """Gains of groups; those that `gains` holds already are not measured again."""
        if gains is None:
            gains = GroupGains(
                self.estimator, cv=self.cv, random_state=self.random_state, verbose=self.verbose
            )
        else:
            gains.set_params(warm_start=True)
        name = masks if isinstance(masks, str) else f"{len(masks)} groups"
        measured: GroupGains = self._kept(running, name, gains.set_params(masks=masks), data)
        return measured

    def _pairs(self) -> tuple[NDArray[np.float64], Effect]:
        return self.gains_.pair_effects()

    def _n_runs(self) -> int:
        """Nets a group."""
        return count_splits(self.cv)
