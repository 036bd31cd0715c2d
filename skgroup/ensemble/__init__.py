"""Classifiers made of the specialists of groups, and the baselines beside them."""

from skgroup.ensemble._baselines import AllTasks, SingleTasks
from skgroup.ensemble._compare import compare
from skgroup.ensemble._comparison import Comparison
from skgroup.ensemble._grouped import GroupedMTLClassifier

__all__ = ["AllTasks", "Comparison", "GroupedMTLClassifier", "SingleTasks", "compare"]
