"""`HOAGrouping`: pairs are measured, larger groups approximated."""

from __future__ import annotations

import numpy as np

from skgroup.selection._grouping import GainGrouping
from skgroup.store import RunningFit
from skgroup.training.training_data import TrainingData


class HOAGrouping(GainGrouping):
    """Groups from the gains of pairs: n (n + 1) / 2 nets (higher-order approximation [1]_).

    The gain of a task in a larger group is the mean of its gains in the pairs inside the group.

    Parameters
    ----------
    estimator, n_groups, cv, selector, checkpoint, random_state, verbose
        As in `ExhaustiveGrouping`. The selector's `singleton_score` is replaced by 0, as a task
        alone gains nothing over itself.

    Attributes
    ----------
    affinity_ : ndarray of shape (n_tasks, n_tasks)
        [i, j] is the gain of task j in the pair of i and j; 0 on the diagonal.
    gains_, membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `ExhaustiveGrouping` has them.

    References
    ----------
    .. [1] T. Standley et al., "Which tasks should be learned together in multi-task learning?",
       ICML 2020, arXiv:1905.07553.
    """

    def _fit(self, data: TrainingData, running: RunningFit) -> None:
        # Alone, a task gains nothing over itself: what the diagonal says.
        selector = self._begin(data, singleton_score="diagonal")
        self.gains_ = self._measure(running, data, "pairs")
        self.affinity_ = np.nan_to_num(self.gains_.pair_effects()[0])
        self._select(selector, self.affinity_)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: n (n + 1) / 2 a split."""
        return n_tasks * (n_tasks + 1) // 2 * self._n_runs()
