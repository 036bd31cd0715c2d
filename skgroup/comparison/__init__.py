"""Candidates on the same splits, against the best baseline."""

from skgroup.comparison._compare import compare, forecast
from skgroup.comparison._comparison import Comparison
from skgroup.comparison._forecast import Forecast

__all__ = ["Comparison", "Forecast", "compare", "forecast"]
