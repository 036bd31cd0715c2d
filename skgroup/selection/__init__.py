"""What groups gain, and the choice of groups from it."""

from skgroup.selection._describe_cost import describe_cost
from skgroup.selection._exhaustive_grouping import ExhaustiveGrouping
from skgroup.selection._grad_tag_grouping import GradTAGGrouping
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._hoa_grouping import HOAGrouping
from skgroup.selection._mtg_net_grouping import MTGNetGrouping
from skgroup.selection._stability import GroupStability
from skgroup.selection._tag_grouping import TAGGrouping
from skgroup.selection.gains import (
    ETAP,
    GroupGains,
    HigherOrderApproximation,
    MTGNet,
    read_gain_tables,
)

__all__ = [
    "ETAP",
    "ExhaustiveGrouping",
    "GradTAGGrouping",
    "GroupGains",
    "GroupSelector",
    "GroupStability",
    "HOAGrouping",
    "HigherOrderApproximation",
    "MTGNet",
    "MTGNetGrouping",
    "TAGGrouping",
    "describe_cost",
    "read_gain_tables",
]
