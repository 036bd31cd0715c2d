"""`GradTAGGrouping`: groups by gains that are estimated from the linearised net of all tasks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics.splits import count_splits
from skgroup.relations import GradTAG
from skgroup.relations.effect import Effect
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._grouping import Grouping
from skgroup.selection._predicted_gains import groups_to_choose_from
from skgroup.store import RunningFit
from skgroup.training import MultiTaskNet
from skgroup.training.training_data import TrainingData


class GradTAGGrouping(Grouping):
    """Groups by gains of the linearised net of all tasks: one net trained (Grad-TAG [1]_).

    Chooses by the estimated gains of all groups up to 14 tasks; beyond, of groups that differ in a
    task from one of the random groups of `GradTAG`, or from the best found so far, and of pairs:
    `upper_bound_` and `gap_` are of choices among these. The source clusters an affinity instead,
    as `make_pipeline(GradTAG(), GroupSelector())` does.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What trains; `MultiTaskNet()` if None.
    n_groups : int, default=3
        At most so many groups.
    projection_dim, alpha, cv
        As in `GradTAG`.
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
    predictor_ : GradTAG
    affinity_ : ndarray of shape (n_tasks, n_tasks)
    membership_, serving_weights_, groups_, objective_, upper_bound_, gap_, selector_
        As `GroupSelector` has them; `selector_` is the fitted one, of the tasks that are learned.

    References
    ----------
    .. [1] D. Li, A. Sharma, H. R. Zhang, "Scalable multitask learning using gradient-based
       estimation of task affinity", KDD 2024, arXiv:2409.06091.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Grouping._parameter_constraints,
        **{
            name: GradTAG._parameter_constraints[name] for name in ("projection_dim", "alpha", "cv")
        },
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        n_groups: int = 3,
        *,
        projection_dim: int = 200,
        alpha: float = 0.01,
        cv: Any = 0.2,
        selector: GroupSelector | None = None,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_groups = n_groups
        self.projection_dim = projection_dim
        self.alpha = alpha
        self.cv = cv
        self.selector = selector
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, data: TrainingData, running: RunningFit) -> None:
        selector = self._begin(data)
        predictor = GradTAG(
            self.estimator,
            projection_dim=self.projection_dim,
            alpha=self.alpha,
            cv=self.cv,
            random_state=self.random_state,
            verbose=self.verbose,
        )
        self.predictor_ = self._kept(running, "predictor", predictor, data)
        self.affinity_ = self.predictor_.affinity_
        names = getattr(self, "task_names_in_", None)
        one, every = np.eye(self.n_tasks_, dtype=bool), np.ones((1, self.n_tasks_), dtype=bool)
        known = np.unique(np.vstack([one, every, self.predictor_.subsets_]), axis=0)
        masks = groups_to_choose_from(self.predictor_.predict, known, selector, names)
        self._select(selector, self.predictor_.predict(masks), masks=masks)

    def _pairs(self) -> tuple[NDArray[np.float64], Effect]:
        return self.predictor_.pair_effects()

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains to find the groups: one a split."""
        return count_splits(self.cv)
