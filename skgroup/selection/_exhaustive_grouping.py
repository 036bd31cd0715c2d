"""`ExhaustiveGrouping`: all groups are measured."""

from __future__ import annotations

from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._grouping import GainGrouping
from skgroup.selection.gains import groups_to_measure
from skgroup.store import RunningFit
from skgroup.tasks import TaskTable
from skgroup.training.training_data import TrainingData


class ExhaustiveGrouping(GainGrouping):
    """The best groups of all, each measured: 2^n_tasks − 1 nets.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What trains; `MultiTaskNet()` if None.
    n_groups : int, default=3
        At most so many groups.
    cv : float, int, splitter or iterable of (train, test), default=0.2
        The held-out samples on which gains are measured, as in `GroupGains`.
    selector : GroupSelector, default=None
        Chooses the groups; its `n_groups` is replaced by that of this estimator.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. If None, that of the estimator.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    gains_ : GroupGains
        What was measured, of the tasks that are learned.
    membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `GroupSelector` has them; `selector_` is the fitted one, of the tasks that are learned.
    """

    def _fit(self, data: TrainingData, running: RunningFit) -> None:
        selector = self._begin(data)
        self.gains_ = self._measure(running, data, "all")
        self._select(selector, self.gains_.gains_, masks=self.gains_.masks_)

    def _check(self, selector: GroupSelector, table: TaskTable) -> None:
        masks = groups_to_measure("all", table)
        selector.check(table.n_tasks, table.names, masks=masks)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: 2^n_tasks − 1 a split."""
        return (2**n_tasks - 1) * self._n_runs()
