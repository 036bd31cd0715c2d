"""What groups gain, and the choice of groups from it."""

from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._groupings import (
    ExhaustiveGrouping,
    HOAGrouping,
    MTGNetGrouping,
    TAGGrouping,
    describe_cost,
)
from skgroup.selection.gains import GroupGains, HigherOrderApproximation, MTGNet

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
