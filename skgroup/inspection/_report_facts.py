"""What a report is written from, checked and brought to one order of the tasks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skgroup._estimators import steps_of
from skgroup.comparison import Comparison
from skgroup.inspection._checks import check_count, check_names
from skgroup.inspection._fitted import find_fitted, parts_of, task_names_of
from skgroup.inspection._partners import partners as partners_of
from skgroup.populations import PooledTasksClassifier, PooledTasksRegressor
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
    judged_by_comparison : bool
        Whether it is that of the comparison.
    judged_other : str
        What found the groups that it judges, where the estimator's were found by something else.
    together : ndarray of shape (n_tasks, n_tasks) or None
        Its `co_membership_`, in the order of the tasks.
    most_often : ndarray of shape (n_tasks,) or None
        Its `labels_`, likewise.
    partners : DataFrame or None
        What `partners` gives, a row a task, but partners by their positions, -1 where there is
        none.
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
    judged_by_comparison: bool = False
    judged_other: str = ""
    together: NDArray[np.float64] | None = None
    most_often: NDArray[np.intp] | None = None
    partners: Any = None
    table: TaskTable | None = None
    shape: tuple[int, ...] | None = None

    @property
    def n_tasks(self) -> int:
        return len(self.tasks)

    @property
    def task_types(self) -> Sequence[str] | None:
        """The kind of each task, if it is known."""
        kinds = self.find("task_types_")
        return kinds if kinds is not None or self.table is None else self.table.task_types

    def find(self, *attributes: str) -> Any:
        """The value of the first of these attributes that the estimator, or a part of it, has."""
        fitted = None if self.estimator is None else find_fitted(self.estimator, *attributes)
        return None if fitted is None else getattr(*fitted)

    def grouping_member(self) -> tuple[int, Any] | None:
        """The first member of a portfolio that groups all the tasks, and its position."""
        for i, member in enumerate(self.find("members_") or ()):
            fitted = find_fitted(member, "membership_")
            if fitted is not None and len(fitted[0].membership_) == self.n_tasks:
                return i, member
        return None


def gather_facts(
    estimator: Any,
    comparison: Any,
    *,
    X: Any,
    Y: Any,
    stability: Any,
    partners: Any,
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
        if not hasattr(estimator, "fit"):
            raise ValueError(
                "The 'estimator' parameter of report must be a fitted estimator, or a Comparison. "
                f"Got {estimator!r}."
            )
        check_is_fitted(estimator)
    _refuse_populations(estimator, comparison)
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
    judged_by_comparison = False
    if stability is None and comparison is not None and candidate is not None:
        stability = comparison.stability.get(candidate)
        judged_by_comparison = stability is not None
    together = most_often = None
    if stability is not None:
        given_names = getattr(stability, "task_names_in_", None)
        given_names = check_names(given_names, stability.n_tasks_)
        order = _places(given_names, names, n_tasks, "The tasks of 'stability'")
        together = stability.co_membership_[np.ix_(order, order)]
        most_often = stability.labels_[order]
    return Facts(
        tasks=check_names(names if task_names is None else task_names, n_tasks),
        most=most,
        estimator=estimator,
        comparison=comparison,
        at=at,
        candidate=candidate,
        stability=stability,
        judged_by_comparison=judged_by_comparison,
        judged_other="" if judged_by_comparison else _judged_other(stability, estimator),
        together=together,
        most_often=most_often,
        partners=_partners(partners, estimator, names, n_tasks),
        table=table,
        shape=_shape_of_sample(X, table),
    )


def _refuse_populations(estimator: Any, comparison: Any) -> None:
    rule = "report must be given what learns a table of tasks, a column a task."
    pooled = (PooledTasksClassifier, PooledTasksRegressor)
    for part in () if estimator is None else parts_of(estimator):
        if isinstance(part, pooled):
            raise ValueError(
                f"{rule} Got {type(part).__name__}, whose tasks are populations, sets of rows: look"
                " at its verdict_, path_ and groups_, at PopulationPathDisplay and "
                "MembershipDisplay, and at what compare returns."
            )
    if comparison is not None and comparison.of_populations:
        raise ValueError(
            f"{rule} Got a Comparison of populations, sets of rows: print it, or use its "
            "to_markdown, and ComparisonDisplay."
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


def _shape_of_sample(X: Any, table: TaskTable | None) -> tuple[int, ...] | None:
    """None if it is not known, as of a Dataset."""
    shape = tuple(X.shape) if hasattr(X, "shape") else np.shape(X) if isinstance(X, list) else ()
    if table is not None and shape and shape[0] != len(table.codes):
        raise ValueError(
            f"X and Y must have the same number of samples. Got X with {shape[0]} and Y with "
            f"{len(table.codes)}."
        )
    return tuple(shape[1:]) if len(shape) > 1 else None


def _partners(given: Any, estimator: Any, names: list[str] | None, n_tasks: int) -> Any:
    """Partners in the order of the tasks: those given, or what the estimator holds."""
    if given is None and estimator is not None:
        try:
            given = partners_of(estimator)
        except (ValueError, ImportError):  # it holds none; there is no pandas
            return None
    if given is None:
        return None
    columns = ["best_partner", "best_effect", "worst_partner", "worst_effect"]
    if not set(columns) <= set(getattr(given, "columns", ())):
        raise ValueError(
            "The 'partners' parameter of report must be a DataFrame with a row a task, what "
            f"skgroup.inspection.partners returns. Got {type(given).__name__}."
        )
    labels = given.index.tolist()
    unnamed = labels == list(range(len(labels)))
    listed = check_names(None, len(labels)) if unnamed else [str(label) for label in labels]
    order = _places(listed, names, n_tasks, "The tasks of 'partners'")
    place = {labels[row]: t for t, row in enumerate(order)}
    ordered = given.iloc[order].copy()
    for column in ("best_partner", "worst_partner"):
        ordered[column] = np.array([place.get(label, -1) for label in ordered[column]])
    ordered.attrs = dict(given.attrs)
    return ordered


def _judged_other(stability: Any, estimator: Any) -> str:
    """The steps of the grouper that a stability was fitted with, where they are of other classes
    than those of the estimator's."""
    judged = getattr(stability, "grouper", None)
    fitted = None if estimator is None else find_fitted(estimator, "grouper_")
    if judged is None or fitted is None:
        return ""
    own = getattr(*fitted)
    found, others = (
        [] if grouper is None else [type(step).__name__ for step in steps_of(grouper)]
        for grouper in (judged, own)
    )
    return "" if found == others else " and ".join(found)


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
