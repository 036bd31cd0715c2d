"""What all estimators that are fitted on a table of tasks share."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from skgroup._compat import CallbackSupportMixin
from skgroup.tasks import TaskTable

__all__ = ["TaskEstimatorMixin"]


class TaskEstimatorMixin(CallbackSupportMixin, BaseEstimator):
    """Number and names of the tasks, which of them are learned, and the tags of an estimator whose
    `y` is a table."""

    #: Whether `fit` takes TrainingData, which another estimator has checked, as X.
    takes_training_data: ClassVar[bool] = True

    def _learn_names(self, table: TaskTable) -> None:
        self.n_tasks_ = table.n_tasks
        self.learnable_ = table.learnable
        if table.names is not None:
            self.task_names_in_ = table.names
        elif hasattr(self, "task_names_in_"):
            del self.task_names_in_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        # What trains no net looks at no feature.
        net = self if hasattr(self, "input_scaling") else getattr(self, "estimator", False)
        tags.input_tags.allow_nan = net is False or getattr(net, "input_scaling", None) is not None
        return tags
