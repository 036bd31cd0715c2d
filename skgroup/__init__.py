"""Which tasks should be learned together? Multi-task grouping as scikit-learn estimators."""

from skgroup._trusted import trusted_types
from skgroup.cluster import FuzzyKMeans
from skgroup.comparison import compare
from skgroup.ensemble import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
    PortfolioClassifier,
    PortfolioEstimator,
    PortfolioRegressor,
)
from skgroup.relations import TaskGrouper
from skgroup.training import MultiTaskNet
from skgroup.training.task_view import task_view

__version__ = "0.1.0.dev0"

__all__ = [
    "FuzzyKMeans",
    "GroupedMTLClassifier",
    "GroupedMTLEstimator",
    "GroupedMTLRegressor",
    "MultiTaskNet",
    "PortfolioClassifier",
    "PortfolioEstimator",
    "PortfolioRegressor",
    "TaskGrouper",
    "compare",
    "task_view",
    "trusted_types",
]
