"""Relations: estimators that describe each task by a row of numbers, for a grouper."""

from skgroup.relations._task_grouper import TaskGrouper

__all__ = ["TaskGrouper"]
