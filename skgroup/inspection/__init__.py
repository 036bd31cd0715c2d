"""Plots, in the form of scikit-learn's Display classes."""

from skgroup.inspection._membership import MembershipDisplay

__all__ = ["MembershipDisplay"]
