"""Plots, in the form of scikit-learn's Display classes, partners of tasks, and a report."""

from skgroup.inspection._affinity import AffinityDisplay
from skgroup.inspection._co_membership import CoMembershipDisplay
from skgroup.inspection._comparison import ComparisonDisplay
from skgroup.inspection._data_map import DataMapDisplay
from skgroup.inspection._expert_weights import ExpertWeightsDisplay
from skgroup.inspection._gains import GainsDisplay
from skgroup.inspection._learning_curves import LearningCurvesDisplay
from skgroup.inspection._membership import MembershipDisplay
from skgroup.inspection._partners import partners
from skgroup.inspection._population_path import PopulationPathDisplay
from skgroup.inspection._report import Report, report

__all__ = [
    "AffinityDisplay",
    "CoMembershipDisplay",
    "ComparisonDisplay",
    "DataMapDisplay",
    "ExpertWeightsDisplay",
    "GainsDisplay",
    "LearningCurvesDisplay",
    "MembershipDisplay",
    "PopulationPathDisplay",
    "Report",
    "partners",
    "report",
]
