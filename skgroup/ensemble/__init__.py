"""Classifiers made of the specialists of groups, and the baselines beside them."""

from skgroup.ensemble._baselines import AllTasks, SingleTasks
from skgroup.ensemble._grouped import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
)
from skgroup.ensemble._portfolio import PortfolioClassifier

__all__ = [
    "AllTasks",
    "GroupedMTLClassifier",
    "GroupedMTLEstimator",
    "GroupedMTLRegressor",
    "PortfolioClassifier",
    "SingleTasks",
]
