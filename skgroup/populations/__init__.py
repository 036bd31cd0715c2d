"""Tasks that are sets of rows: one model for all populations, one each, or one a group?"""

from skgroup.populations._pooled import PooledTasksClassifier, PooledTasksRegressor
from skgroup.populations._relations import Coefficients, CrossLosses, Gradients

__all__ = [
    "Coefficients",
    "CrossLosses",
    "Gradients",
    "PooledTasksClassifier",
    "PooledTasksRegressor",
]
