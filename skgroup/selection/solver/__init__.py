"""Choosing groups: the rules that they keep, proofs among listed groups, search among all."""

from skgroup.selection.solver._bound import relaxed_bound
from skgroup.selection.solver._pool import Pool, rounding
from skgroup.selection.solver._problem import Problem
from skgroup.selection.solver._programs import find_cover
from skgroup.selection.solver._rules import Rules, mean_scores
from skgroup.selection.solver._scale import WHOLE, Scale, shares_of_budget
from skgroup.selection.solver._search import MOST_LISTED, near, search
from skgroup.selection.solver._select import select

__all__ = [
    "MOST_LISTED",
    "WHOLE",
    "Pool",
    "Problem",
    "Rules",
    "Scale",
    "find_cover",
    "mean_scores",
    "near",
    "relaxed_bound",
    "rounding",
    "search",
    "select",
    "shares_of_budget",
]
