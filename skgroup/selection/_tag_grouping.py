"""`TAGGrouping`: groups by inter-task affinity."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skgroup._compat import Interval
from skgroup.relations import InterTaskAffinity
from skgroup.relations.effect import Effect
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._grouping import Grouping
from skgroup.store import RunningFit
from skgroup.training import MultiTaskNet
from skgroup.training.training_data import TrainingData


class TAGGrouping(Grouping):
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
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. If None, that of the estimator.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    relation_ : InterTaskAffinity
        Of the tasks that are learned.
    affinity_ : ndarray of shape (n_tasks, n_tasks)
    membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `GroupSelector` has them; `selector_` is the fitted one, of the tasks that are learned.

    References
    ----------
    .. [1] C. Fifty et al., "Efficiently identifying task groupings for multi-task learning",
       NeurIPS 2021, arXiv:2109.04617.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Grouping._parameter_constraints,
        "every": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        n_groups: int = 3,
        *,
        every: int = 10,
        selector: GroupSelector | None = None,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_groups = n_groups
        self.every = every
        self.selector = selector
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, data: TrainingData, running: RunningFit) -> None:
        selector = self._begin(data)
        relation = InterTaskAffinity(
            self.estimator,
            every=self.every,
            random_state=self.random_state,
            verbose=self.verbose,
        )
        self.relation_ = self._kept(running, "relation", relation, data)
        self.affinity_ = self.relation_.affinity_
        self._select(selector, self.affinity_)

    def _pairs(self) -> tuple[NDArray[np.float64], Effect]:
        return self.relation_.pair_effects()

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: 1."""
        return 1
