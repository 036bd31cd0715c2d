"""`MTGNetGrouping`: some groups are measured, the others predicted."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from skgroup._compat import Interval
from skgroup._estimators import check_parameters
from skgroup.relations.effect import Effect, gain_of_pair
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._grouping import GainGrouping
from skgroup.selection._predicted_gains import LISTED, groups_to_choose_from
from skgroup.selection.gains import MTGNet, matrix_of_pairs, pairs_of_tasks
from skgroup.store import RunningFit
from skgroup.tasks import TaskTable
from skgroup.training import MultiTaskNet
from skgroup.training.training_data import TrainingData


class MTGNetGrouping(GainGrouping):
    """Groups from predicted gains, of a few measured ones (the way of MTG-Net [1]_).

    Measures single tasks, the group of all, and groups that `MTGNet.suggest` chooses in rounds.
    Then chooses by what was measured, and by what is predicted of other groups: of all up to 14
    tasks; beyond, of groups that differ from measured ones, or from the best found so far, in a
    task, and of pairs. `upper_bound_` and `gap_` are of choices among these.

    Parameters
    ----------
    groups_per_task : int, default=4
        Measured groups are so many times the number of tasks, as far as there are groups, and
        one more; the first n_tasks + 1 are the single tasks and all together.
    predictor : MTGNet, default=None
        `MTGNet()` if None, which predicted closer and steadier than `MTGNet.published()`, the
        network and training of the source.
    estimator, n_groups, cv, selector, checkpoint, random_state, verbose
        As in `ExhaustiveGrouping`.

    Attributes
    ----------
    predictor_ : MTGNet
    gains_, membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `ExhaustiveGrouping` has them.

    References
    ----------
    .. [1] X. Song et al., "Efficient and effective multi-task grouping via meta learning on task
       combinations", NeurIPS 2022.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **GainGrouping._parameter_constraints,
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
        selector: GroupSelector | None = None,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            n_groups,
            cv=cv,
            selector=selector,
            checkpoint=checkpoint,
            random_state=random_state,
            verbose=verbose,
        )
        self.groups_per_task = groups_per_task
        self.predictor = predictor

    def _fit(self, data: TrainingData, running: RunningFit) -> None:
        selector = self._begin(data)
        names = getattr(self, "task_names_in_", None)
        predictor, n_tasks = self._new_predictor(), self.n_tasks_
        start = np.vstack([np.eye(n_tasks, dtype=bool), np.ones((1, n_tasks), dtype=bool)])
        measured = self._measure(running, data, start[: self._n_groups_measured(n_tasks)])
        while (left := self._n_groups_measured(n_tasks) - len(measured.masks_)) > 0:
            pool: Any = n_tasks
            if n_tasks > LISTED:
                pool = selector.neighbours(measured.masks_, names)
            known = measured.masks_, measured.gains_, min(left, n_tasks)
            suggest = partial(predictor.suggest, pool, *known)
            suggested = running.stage(f"after {len(measured.masks_)} groups", suggest)
            if not len(suggested):
                break
            masks = np.vstack([measured.masks_, suggested])
            measured = self._measure(running, data, masks, measured)
        self.gains_ = measured
        self.predictor_ = predictor.fit(measured.masks_, measured.gains_)
        masks = groups_to_choose_from(self._gains_of, measured.masks_, selector, names)
        self._select(selector, self._gains_of(masks), masks=masks)

    def _check(self, selector: GroupSelector, table: TaskTable) -> None:
        super()._check(selector, table)
        check_parameters(self._new_predictor())

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

    def _pairs(self) -> tuple[NDArray[np.float64], Effect]:
        _, effect = self.gains_.pair_effects()
        pairs = pairs_of_tasks(self.predictor_.n_features_in_)
        if not len(pairs):
            return np.full((1, 1), np.nan), effect
        return matrix_of_pairs(pairs, self._gains_of(pairs)), gain_of_pair(
            effect.unit, how="measured or predicted"
        )

    def _n_groups_measured(self, n_tasks: int) -> int:
        return min(2**n_tasks - 1, self.groups_per_task * n_tasks + 1)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: groups_per_task · n_tasks + 1, at most all,
        a split."""
        return self._n_groups_measured(n_tasks) * self._n_runs()
