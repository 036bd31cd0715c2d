"""Scores of regression tasks, which may lack numbers and stand among tasks of other kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)

from skgroup.metrics._scores import _averaged, _check_pair, _over_tasks, _weight
from skgroup.tasks import REGRESSION, task_label


def multitask_r2_score(
    Y_true: Any,
    Y_pred: Any,
    *,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = "regression",
) -> float | NDArray[np.float64]:
    """R² of every regression task, or its mean over them: 1 is perfect, 0 as good as the mean.

    Where a number is missing in `Y_true`, its prediction does not count.

    Parameters
    ----------
    Y_true : array-like of shape (n_samples, n_tasks) or (n_samples,)
        True numbers; NaN or None where one is missing.
    Y_pred : array-like of the same shape
        Predicted numbers. Columns of two DataFrames are matched by their names.
    average : {"macro", None}, default="macro"
        The mean over regression tasks, or all of them.
    sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
    task_types : str, sequence of str or dict, default="regression"
        The kinds of the tasks, as `MultiTaskNet` takes them, for a table of several.

    Returns
    -------
    score : float, or ndarray of shape (n_tasks,)
        NaN for a task with classes, and for one with fewer than two different numbers in `Y_true`.
        The mean leaves these out, the latter with an UndefinedMetricWarning.

    Raises
    ------
    ValueError
        If the shapes or names differ, a number is none or not finite, a prediction is missing, a
        weight is negative, or no task is a regression task.

    Examples
    --------
    >>> from skgroup.metrics import multitask_r2_score
    >>> multitask_r2_score([[1.0, 3], [2.0, None], [3.0, 4]], [[1.0, 3], [2.0, 0], [3.0, 3]])
    0.0
    """
    return _score(_r2, "R²", Y_true, Y_pred, average, sample_weight, task_types)


def _r2(true: NDArray, predicted: NDArray, sample_weight: NDArray | None) -> float:
    if true.min() == true.max():
        return np.nan
    # Squares of very large numbers are beyond floats, and those of very small ones 0; of powers of
    # two, no digit changes.
    _, exponent = np.frexp(np.abs(true - true.mean()).max())
    true, predicted = np.ldexp(true, -exponent), np.ldexp(predicted, -exponent)
    return float(r2_score(true, predicted, sample_weight=sample_weight))


def multitask_mean_squared_error(
    Y_true: Any,
    Y_pred: Any,
    *,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = "regression",
) -> float | NDArray[np.float64]:
    """Mean squared error of every regression task, or its mean over them.

    Parameters
    ----------
    Y_true, Y_pred, average, sample_weight, task_types
        See `multitask_r2_score`.

    Returns
    -------
    error : float, or ndarray of shape (n_tasks,)
        In the squared units of each task; less is better. NaN as in `multitask_r2_score`.

    Raises
    ------
    ValueError
        As `multitask_r2_score`.

    Examples
    --------
    >>> from skgroup.metrics import multitask_mean_squared_error
    >>> multitask_mean_squared_error([[1.0, 3], [2.0, None]], [[1.0, 4], [4.0, 0]], average=None)
    array([2., 1.])
    """
    name = "Mean squared error"
    return _score(mean_squared_error, name, Y_true, Y_pred, average, sample_weight, task_types)


def multitask_root_mean_squared_error(
    Y_true: Any,
    Y_pred: Any,
    *,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = "regression",
) -> float | NDArray[np.float64]:
    """Root of the mean squared error of every regression task, or its mean over them.

    Parameters
    ----------
    Y_true, Y_pred, average, sample_weight, task_types
        See `multitask_r2_score`.

    Returns
    -------
    error : float, or ndarray of shape (n_tasks,)
        In the units of each task; less is better. NaN as in `multitask_r2_score`.

    Raises
    ------
    ValueError
        As `multitask_r2_score`.

    Examples
    --------
    >>> from skgroup.metrics import multitask_root_mean_squared_error
    >>> multitask_root_mean_squared_error([[1.0, 3], [2.0, None]], [[1.0, 4], [2.0, 0]])
    0.5
    """
    name = "Root mean squared error"
    error = root_mean_squared_error
    return _score(error, name, Y_true, Y_pred, average, sample_weight, task_types)


def multitask_mean_absolute_error(
    Y_true: Any,
    Y_pred: Any,
    *,
    average: str | None = "macro",
    sample_weight: Any = None,
    task_types: Any = "regression",
) -> float | NDArray[np.float64]:
    """Mean absolute error of every regression task, or its mean over them.

    Parameters
    ----------
    Y_true, Y_pred, average, sample_weight, task_types
        See `multitask_r2_score`.

    Returns
    -------
    error : float, or ndarray of shape (n_tasks,)
        In the units of each task; less is better. NaN as in `multitask_r2_score`.

    Raises
    ------
    ValueError
        As `multitask_r2_score`.

    Examples
    --------
    >>> from skgroup.metrics import multitask_mean_absolute_error
    >>> multitask_mean_absolute_error([[1.0, 3], [2.0, None]], [[1.0, 4], [4.0, 0]], average=None)
    array([1., 1.])
    """
    name = "Mean absolute error"
    return _score(mean_absolute_error, name, Y_true, Y_pred, average, sample_weight, task_types)


def _score(
    score: Callable[..., float],
    name: str,
    Y_true: Any,
    Y_pred: Any,
    average: str | None,
    sample_weight: Any,
    task_types: Any,
) -> float | NDArray[np.float64]:
    true, predicted = _check_pair(Y_true, Y_pred, None, None, task_types)
    if true.has_classes.all():
        raise ValueError(
            f"{name} is a score of regression tasks, but {task_label(true.names, 0)} of Y_true, as "
            f"all others, has classes: see the 'task_types' parameter ({REGRESSION.name!r})."
        )
    numbers: Any = true.values
    given: Any = predicted.values

    def of_task(t: int, seen: NDArray, weight: NDArray | None) -> float:
        return float(score(numbers[seen, t], given[seen, t], sample_weight=weight))

    of_tasks = _over_tasks(of_task, true, _weight(sample_weight, true), numbers=True)
    return _averaged(of_tasks, average, true, name, numbers=True)
