"""What a report is written from, checked and brought to one order of the tasks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skgroup.comparison import Comparison
from skgroup.inspection._checks import check_count, check_names
from skgroup.inspection._fitted import find_fitted, task_names_of
from skgroup.tasks import TaskTable, check_tasks, match_names


@dataclass(frozen=True)
class Facts:
    """What is known.

    Attributes
    ----------
    tasks : list of str
        Names of the tasks, in the order of the estimator's.
    most : int
        Tasks that tables and lists show at most.
    estimator : fitted estimator or None
    comparison : Comparison or None
    at : ndarray of shape (n_tasks,)
        Where each task stands in the comparison.
    candidate : str or None
        The candidate of the comparison whose gains are shown.
    stability : fitted GroupStability or None
    table : TaskTable or None
        `Y`.
    shape : tuple of int or None
        Of a sample.
    """

    tasks: list[str]
    most: int
    estimator: Any = None
    comparison: Comparison | None = None
    at: NDArray[np.intp] | None = None
    candidate: str | None = None
    stability: Any = None
    table: TaskTable | None = None
    shape: tuple[int, ...] | None = None

    @property
    def n_tasks(self) -> int:
        return len(self.tasks)

    def find(self, *attributes: str) -> Any:
        """The value of the first of these attributes that the estimator, or a part of it, has."""
        fitted = None if self.estimator is None else find_fitted(self.estimator, *attributes)
        return None if fitted is None else getattr(*fitted)


def gather_facts(
    estimator: Any,
    comparison: Any,
    *,
    X: Any,
    Y: Any,
    stability: Any,
    candidate: str | None,
    task_names: Sequence[str] | None,
    max_tasks: int | None,
) -> Facts:
    """Check what `report` is given; see there."""
    if isinstance(estimator, Comparison) and comparison is None:
        estimator, comparison = None, estimator
    if estimator is None and comparison is None:
        raise ValueError("report needs a fitted estimator, or a Comparison. Got neither.")
    if comparison is not None and not isinstance(comparison, Comparison):
        raise ValueError(
            "The 'comparison' parameter of report must be a Comparison, what compare returns. Got "
            f"{comparison!r}."
        )
    if estimator is not None:
        check_is_fitted(estimator)
    if stability is not None and not hasattr(stability, "co_membership_"):
        raise ValueError(
            "The 'stability' parameter of report must be a fitted GroupStability. Got "
            f"{stability!r}."
        )
    most = check_count(max_tasks, 2, "max_tasks")
    given = None if estimator is None else task_names_of(estimator)
    table = None if Y is None else _table(Y, estimator, given)
    names = _names_of(given, comparison, table)
    n_tasks = _number_of(estimator, comparison, table, names)
    at = None
    if comparison is not None:
        at = _places(comparison.tasks, names, n_tasks, "The tasks of 'comparison'")
        candidate = _candidate(comparison, candidate)
    elif candidate is not None:
        raise ValueError(
            f"The 'candidate' parameter of report names one of a comparison. Got {candidate!r} "
            "without a comparison."
        )
    return Facts(
        tasks=check_names(names if task_names is None else task_names, n_tasks),
        most=most,
        estimator=estimator,
        comparison=comparison,
        at=at,
        candidate=candidate,
        stability=stability,
        table=table,
        shape=None if X is None else tuple(getattr(X, "shape", np.shape(X))[1:]),
    )


def _table(Y: Any, estimator: Any, names: Any) -> TaskTable:
    """`Y`, its kinds and their order those of the estimator where it knows them."""
    kinds = None if estimator is None else find_fitted(estimator, "task_types_")
    with warnings.catch_warnings():  # of a single class: the fit has warned of it
        warnings.simplefilter("ignore", UserWarning)
        return check_tasks(
            Y,
            names=None if names is None else np.array(names, dtype=object),
            task_types="auto" if kinds is None else getattr(*kinds),
        )


def _names_of(given: Any, comparison: Any, table: TaskTable | None) -> list[str] | None:
    if given is not None:
        return [str(name) for name in given]
    if comparison is not None:
        return list(comparison.tasks)
    return None if table is None or table.names is None else [str(name) for name in table.names]


def _number_of(
    estimator: Any, comparison: Any, table: TaskTable | None, names: list[str] | None
) -> int:
    if names is not None:
        return len(names)
    if (fitted := find_fitted(estimator, "n_tasks_")) is not None:
        return int(getattr(*fitted))
    if (fitted := find_fitted(estimator, "membership_", "labels_")) is not None:
        return len(getattr(*fitted))
    if table is not None:
        return table.n_tasks
    raise ValueError(
        "report must be able to tell how many tasks there are: give Y, or a comparison. "
        f"{type(estimator).__name__} does not say it."
    )


def _places(
    given: Sequence[str], names: list[str] | None, n_tasks: int, subject: str
) -> NDArray[np.intp]:
    """Where each task stands in what is given, (n_tasks,): by names, or by positions where one of
    the two has none."""
    if len(given) != n_tasks:
        raise ValueError(f"{subject} must be those of the estimator, {n_tasks}. Got {len(given)}.")
    unnamed = list(given) == check_names(None, n_tasks)
    places = None
    if names is not None and not unnamed:
        places = match_names(np.array(given, dtype=object), np.array(names, dtype=object), subject)
    return np.arange(n_tasks) if places is None else places


def _candidate(comparison: Comparison, given: str | None) -> str | None:
    """The candidate whose gains are shown: the one asked for, else the best of those that group,
    else of those that are no baselines; None of baselines alone."""
    if given is not None and given not in comparison.candidates:
        raise ValueError(
            "The 'candidate' parameter of report must be a candidate of the comparison. Got "
            f"{given!r}; they are {comparison.candidates}."
        )
    if given is not None:
        return given
    means = {c: comparison.summary(c)["mean"] for c in comparison.candidates}
    known = [c for c, mean in means.items() if np.isfinite(mean) and c not in comparison.baselines]
    grouped = [c for c in known if c in comparison.grouped]
    return max(grouped or known, key=means.__getitem__, default=None)
