"""Candidates on the same splits, against the best baseline."""

from skgroup.comparison._compare import compare
from skgroup.comparison._comparison import Comparison

__all__ = ["Comparison", "compare"]
