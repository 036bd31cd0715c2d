"""What a task is: the table `Y`, its checks and names, and its place in the outputs of a net."""

from skgroup.tasks._binary import BINARY, Binary
from skgroup.tasks._check import check_tasks, single_classes_said
from skgroup.tasks._containers import as_columns, take_tasks
from skgroup.tasks._encoding import observed_labels
from skgroup.tasks._groups import (
    all_groups,
    are_of_names,
    as_masks,
    check_masks,
    groups_to_measure,
    masks_of_names,
    names_in_groups,
)
from skgroup.tasks._layout import KINDS, OutputLayout, join_outputs
from skgroup.tasks._multiclass import Multiclass
from skgroup.tasks._names import (
    by_task_columns,
    by_task_key,
    by_task_names,
    match_names,
    task_label,
    task_position,
)
from skgroup.tasks._positive import classes_met, positive_codes
from skgroup.tasks._regression import FARTHEST, REGRESSION, Regression, TargetScaling
from skgroup.tasks._soft import SOFT, Soft
from skgroup.tasks._table import AUTO, MISSING, NO_POSITIVE, UNKNOWN, TaskTable, weights_of_labels
from skgroup.tasks._types import CLASSES, given_types, types_of_columns
from skgroup.tasks._weights import check_weights, weights_of_tasks, without_weightless

__all__ = [
    "AUTO",
    "BINARY",
    "CLASSES",
    "FARTHEST",
    "KINDS",
    "MISSING",
    "NO_POSITIVE",
    "REGRESSION",
    "SOFT",
    "UNKNOWN",
    "Binary",
    "Multiclass",
    "OutputLayout",
    "Regression",
    "Soft",
    "TargetScaling",
    "TaskTable",
    "all_groups",
    "are_of_names",
    "as_columns",
    "as_masks",
    "by_task_columns",
    "by_task_key",
    "by_task_names",
    "check_masks",
    "check_tasks",
    "check_weights",
    "classes_met",
    "given_types",
    "groups_to_measure",
    "join_outputs",
    "masks_of_names",
    "match_names",
    "names_in_groups",
    "observed_labels",
    "positive_codes",
    "single_classes_said",
    "take_tasks",
    "task_label",
    "task_position",
    "types_of_columns",
    "weights_of_labels",
    "weights_of_tasks",
    "without_weightless",
]
