"""Relations: estimators that describe each task by a row of numbers, for a grouper."""

from skgroup.relations._grad_tag import GradTAG
from skgroup.relations._gradient_cosine import GradientCosineAffinity
from skgroup.relations._inter_task_affinity import InterTaskAffinity
from skgroup.relations._label_correlation import LabelCorrelationAffinity
from skgroup.relations._task_grouper import TaskGrouper

__all__ = [
    "GradTAG",
    "GradientCosineAffinity",
    "InterTaskAffinity",
    "LabelCorrelationAffinity",
    "TaskGrouper",
]
