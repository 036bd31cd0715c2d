"""Scores of predictions over many tasks, and splits of the samples."""

from skgroup.metrics._errors import (
    multitask_mean_absolute_error,
    multitask_mean_squared_error,
    multitask_r2_score,
)
from skgroup.metrics._scores import (
    multitask_balanced_accuracy_score,
    multitask_f1_score,
    multitask_normalized_entropy,
    multitask_roc_auc_score,
)

__all__ = [
    "multitask_balanced_accuracy_score",
    "multitask_f1_score",
    "multitask_mean_absolute_error",
    "multitask_mean_squared_error",
    "multitask_normalized_entropy",
    "multitask_r2_score",
    "multitask_roc_auc_score",
]
