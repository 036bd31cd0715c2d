"""Scores of predictions over many tasks, and splits of the samples."""

from skgroup.metrics._scores import multitask_f1_score, multitask_roc_auc_score

__all__ = ["multitask_f1_score", "multitask_roc_auc_score"]
