"""Gains of groups: measured ones, and predictors of those that were not measured."""

from skgroup.selection.gains._etap import ETAP
from skgroup.selection.gains._gain_predictor import GainPredictor
from skgroup.selection.gains._group_gains import GroupGains
from skgroup.selection.gains._hoa import HigherOrderApproximation
from skgroup.selection.gains._masks import all_groups, check_gains, check_masks
from skgroup.selection.gains._mtg_net import MTGNet
from skgroup.selection.gains._pairs import matrix_of_pairs, pairs_of_tasks
from skgroup.selection.gains._tables import read_gain_tables
from skgroup.tasks import groups_to_measure

__all__ = [
    "ETAP",
    "GainPredictor",
    "GroupGains",
    "HigherOrderApproximation",
    "MTGNet",
    "all_groups",
    "check_gains",
    "check_masks",
    "groups_to_measure",
    "matrix_of_pairs",
    "pairs_of_tasks",
    "read_gain_tables",
]
