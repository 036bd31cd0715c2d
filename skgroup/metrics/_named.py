"""The metrics by the names that scikit-learn has for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from skgroup.metrics._errors import (
    multitask_mean_absolute_error,
    multitask_mean_squared_error,
    multitask_r2_score,
    multitask_root_mean_squared_error,
)
from skgroup.metrics._proba import (
    multitask_average_precision_score,
    multitask_brier_score,
    multitask_log_loss,
    multitask_normalized_entropy,
    multitask_roc_auc_score,
)
from skgroup.metrics._scores import (
    multitask_accuracy_score,
    multitask_balanced_accuracy_score,
    multitask_f1_score,
)

#: What ranks samples; the first that an estimator has.
_RANKING = ("predict_proba", "decision_function")


class NamedMetric(NamedTuple):
    """A metric of this package.

    Attributes
    ----------
    metric : callable
    called : str
        What tables call it.
    response : str or tuple of str
        The method of estimators that it is of, or the first of several that one has.
    of_numbers : bool
        Whether it is of regression tasks.
    """

    metric: Callable[..., Any]
    called: str
    response: str | tuple[str, ...] = "predict"
    of_numbers: bool = False

    @property
    def takes_sides(self) -> bool:
        """Whether it must know which class of a binary task is the positive one."""
        return "pos_label" in inspect.signature(self.metric).parameters


#: Those that begin with "neg_" are losses and errors.
NAMED = {
    "accuracy": NamedMetric(multitask_accuracy_score, "accuracy"),
    "average_precision": NamedMetric(
        multitask_average_precision_score, "average precision", _RANKING
    ),
    "balanced_accuracy": NamedMetric(multitask_balanced_accuracy_score, "balanced accuracy"),
    "f1": NamedMetric(multitask_f1_score, "F1"),
    "neg_brier_score": NamedMetric(multitask_brier_score, "Brier score", "predict_proba"),
    "neg_log_loss": NamedMetric(multitask_log_loss, "log loss", "predict_proba"),
    "neg_mean_absolute_error": NamedMetric(multitask_mean_absolute_error, "MAE", of_numbers=True),
    "neg_mean_squared_error": NamedMetric(multitask_mean_squared_error, "MSE", of_numbers=True),
    "neg_normalized_entropy": NamedMetric(
        multitask_normalized_entropy, "normalised entropy", "predict_proba"
    ),
    "neg_root_mean_squared_error": NamedMetric(
        multitask_root_mean_squared_error, "RMSE", of_numbers=True
    ),
    "r2": NamedMetric(multitask_r2_score, "R²", of_numbers=True),
    "roc_auc": NamedMetric(multitask_roc_auc_score, "ROC AUC", _RANKING),
}


def sign_of(name: str) -> int:
    """What makes higher better: -1 of a loss or an error."""
    return -1 if name.startswith("neg_") else 1
