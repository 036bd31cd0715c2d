"""Scores of predictions over many tasks, and splits of the samples."""

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
from skgroup.metrics._scorer import get_scorer, get_scorer_names
from skgroup.metrics._scores import (
    multitask_accuracy_score,
    multitask_balanced_accuracy_score,
    multitask_f1_score,
)
from skgroup.metrics._splitters import MultiTaskKFold, MultiTaskShuffleSplit

__all__ = [
    "MultiTaskKFold",
    "MultiTaskShuffleSplit",
    "get_scorer",
    "get_scorer_names",
    "multitask_accuracy_score",
    "multitask_average_precision_score",
    "multitask_balanced_accuracy_score",
    "multitask_brier_score",
    "multitask_f1_score",
    "multitask_log_loss",
    "multitask_mean_absolute_error",
    "multitask_mean_squared_error",
    "multitask_normalized_entropy",
    "multitask_r2_score",
    "multitask_roc_auc_score",
    "multitask_root_mean_squared_error",
]
