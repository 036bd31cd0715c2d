"""Real data sets as tables of tasks."""

from skgroup.datasets._class_tasks import load_digit_tasks, make_class_tasks

__all__ = ["load_digit_tasks", "make_class_tasks"]
