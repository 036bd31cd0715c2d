"""Tasks that are sets of rows: one model for all populations, one each, or one a group?"""

from skgroup.populations._pooled import PooledTasksClassifier, PooledTasksRegressor

__all__ = ["PooledTasksClassifier", "PooledTasksRegressor"]
