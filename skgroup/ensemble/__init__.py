"""Specialists of groups, portfolios of any estimators, and the baselines beside them."""

from skgroup.ensemble._baselines import AllTasks, SingleTasks
from skgroup.ensemble._grouped import (
    GroupedMTLClassifier,
    GroupedMTLEstimator,
    GroupedMTLRegressor,
)
from skgroup.ensemble._portfolio import PortfolioEstimator
from skgroup.ensemble._portfolio_classifier import PortfolioClassifier
from skgroup.ensemble._portfolio_regressor import PortfolioRegressor

__all__ = [
    "AllTasks",
    "GroupedMTLClassifier",
    "GroupedMTLEstimator",
    "GroupedMTLRegressor",
    "PortfolioClassifier",
    "PortfolioEstimator",
    "PortfolioRegressor",
    "SingleTasks",
]
