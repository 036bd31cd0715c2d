"""Weights of samples, or of single labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup._compat import _check_sample_weight, argument_named
from skgroup.tasks._names import by_task_columns, task_label
from skgroup.tasks._table import MISSING, TaskTable

NO_WEIGHT = "sample_weight is refused: Sample weights must contain at least one non-zero number."


def check_weights(sample_weight: Any, table: TaskTable) -> NDArray[np.float64]:
    """Weights of the samples of a table, or of its labels.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), or DataFrame
        Columns of a DataFrame are matched by the names of the tasks. What stands beside a missing
        label does not matter.
    table : TaskTable

    Returns
    -------
    weight : ndarray of shape (n_samples,) or (n_samples, n_tasks)
        The former too where there is a single task.

    Raises
    ------
    ValueError
        If it is of another shape, holds NaN, infinity or negative numbers, or zeros alone.
    """
    if hasattr(sample_weight, "detach"):
        sample_weight = sample_weight.detach().cpu().numpy()
    shape = getattr(sample_weight, "shape", None)
    if len(np.asarray(sample_weight).shape if shape is None else shape) != 2:
        weight: NDArray[np.float64] = _check_sample_weight(
            sample_weight, table.codes, dtype=np.float64, ensure_non_negative=True
        )
    else:
        weight = _of_labels(sample_weight, table)
        weight = weight if table.n_tasks > 1 else weight[:, 0]
    if not weight.any():  # scikit-learn before 1.9 lets it pass
        raise ValueError(NO_WEIGHT)
    return weight


def _of_labels(sample_weight: Any, table: TaskTable) -> NDArray[np.float64]:
    given = by_task_columns(sample_weight, table.names, "The columns of sample_weight")
    with argument_named("sample_weight"):
        weight = np.asarray(given, dtype=np.float64)
    if weight.shape != table.codes.shape:
        raise ValueError(
            "sample_weight must be of shape (n_samples,), or of shape (n_samples, n_tasks) "
            f"for weights of labels. Got {weight.shape} for Y of shape {table.codes.shape}."
        )
    wrong = ~(np.isfinite(weight) & (weight >= 0))
    if not wrong.any():
        return weight
    there = np.argwhere(wrong & (table.codes != MISSING))
    if len(there):
        sample, task = there[0]
        raise ValueError(
            "sample_weight must hold finite numbers >= 0 wherever Y has a label. Got "
            f"{weight[sample, task]} for sample {sample} of {task_label(table.names, task)}."
        )
    return np.where(wrong, 0.0, weight)


def weights_of_tasks(weight: Any, tasks: NDArray) -> Any:
    """Of weights of labels, those of some tasks; None and weights of samples as they are."""
    return weight if weight is None or weight.ndim == 1 else weight[:, tasks]


def without_weightless(table: TaskTable, weight: NDArray[np.float64] | None) -> TaskTable:
    """The table without the labels of weight 0, where labels have weights of their own: they are
    as good as missing."""
    return table if weight is None or weight.ndim == 1 else table.without(weight == 0)
