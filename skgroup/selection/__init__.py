"""What groups gain, and the choice of groups from it."""

from skgroup.selection._gains import GroupGains
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._groupings import (
    ExhaustiveGrouping,
    HOAGrouping,
    MTGNetGrouping,
    TAGGrouping,
    describe_cost,
)
from skgroup.selection._hoa import HigherOrderApproximation
from skgroup.selection._mtg_net import MTGNet

__all__ = [
    "ExhaustiveGrouping",
    "GroupGains",
    "GroupSelector",
    "HOAGrouping",
    "HigherOrderApproximation",
    "MTGNet",
    "MTGNetGrouping",
    "TAGGrouping",
    "describe_cost",
]
