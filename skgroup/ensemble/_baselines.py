"""Groupings that need no relation: the baselines."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skgroup._compat import Interval, _fit_context
from skgroup.cluster.memberships import HardLabelsMixin
from skgroup.training.task_estimator import TaskEstimatorMixin
from skgroup.training.training_data import check_training_data


class AllTasks(HardLabelsMixin, TaskEstimatorMixin):
    """All tasks in one group: plain multi-task learning, or an ensemble of it.

    Parameters
    ----------
    n_nets : int, default=1
        Number of groups that each hold all tasks. Their nets differ in seed alone, and count
        equally: the ensemble that costs as much as so many specialists.

    Attributes
    ----------
    membership_ : ndarray of shape (n_tasks, n_nets)
        All 1 / n_nets; 0 for a task of a single class.
    labels_ : ndarray of shape (n_tasks,)
        All 0; -1 for a task of a single class.

    Examples
    --------
    >>> from skgroup.ensemble import AllTasks
    >>> AllTasks(n_nets=2).fit([[0.0], [1.0]], [[0, 1, 1], [1, 0, 0]]).membership_
    array([[0.5, 0.5],
           [0.5, 0.5],
           [0.5, 0.5]])
    """

    #: What `compare` calls a candidate of this grouper, which groups nothing.
    baseline: ClassVar[str] = "MTL"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_nets": [Interval(Integral, 1, None, closed="left")]
    }

    def __init__(self, n_nets: int = 1) -> None:
        self.n_nets = n_nets

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> AllTasks:
        """Count the tasks of `y`, of shape (n_samples, n_tasks); `X` is only checked."""
        learnable = check_training_data(self, X, y).table.learnable
        self.membership_ = self.of_tasks(len(learnable)) * learnable[:, None]
        return self

    def of_tasks(self, n_tasks: int) -> NDArray[np.float64]:
        """Memberships of so many tasks, which are known without data."""
        return np.full((n_tasks, int(self.n_nets)), 1 / self.n_nets)


class SingleTasks(HardLabelsMixin, TaskEstimatorMixin):
    """Each task in a group of its own: single-task learning.

    Attributes
    ----------
    membership_ : ndarray of shape (n_tasks, n_tasks)
        The identity, without the column of a task of a single class.
    labels_ : ndarray of shape (n_tasks,)
        The group of each task; -1 for a task of a single class.

    Examples
    --------
    >>> from skgroup.ensemble import SingleTasks
    >>> SingleTasks().fit([[0.0], [1.0]], [[0, 1], [1, 0]]).membership_
    array([[1., 0.],
           [0., 1.]])
    """

    baseline: ClassVar[str] = "STL"

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> SingleTasks:
        """Count the tasks of `y`, of shape (n_samples, n_tasks); `X` is only checked."""
        learnable = check_training_data(self, X, y).table.learnable
        self.membership_ = self.of_tasks(len(learnable))[:, learnable]
        return self

    def of_tasks(self, n_tasks: int) -> NDArray[np.float64]:
        """Memberships of so many tasks, which are known without data."""
        return np.eye(n_tasks)
