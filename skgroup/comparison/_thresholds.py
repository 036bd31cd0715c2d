"""Decision thresholds of binary tasks: each candidate's own, or tuned for all alike."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from skgroup._estimators import parts_of, steps_of
from skgroup.comparison._scorings import Scorings
from skgroup.ensemble import GroupedMTLEstimator, PortfolioClassifier, PortfolioEstimator
from skgroup.ensemble.table_learner import TableLearner
from skgroup.tasks import BINARY, TaskTable, check_tasks, single_classes_said, task_label

THRESHOLDS = ("default", "tuned")
#: Folds whose held-out predictions tune a candidate's thresholds.
_FOLDS = 3


def check_threshold(threshold: Any, scores: Scorings, table: TaskTable, Y: Any) -> None:
    """Refuse what is no way to decide, or changes no score."""
    subject = "The 'threshold' parameter of compare"
    if not isinstance(threshold, str) or threshold not in THRESHOLDS:
        raise ValueError(f"{subject} must be one of {THRESHOLDS}. Got {threshold!r}.")
    if threshold == "default":
        return
    if BINARY not in table.kinds or not scores.of_decisions:
        lack = "is a binary task" if BINARY not in table.kinds else "is scored by its labels"
        raise ValueError(f"{subject} must be 'default', as none of Y {lack}. Got 'tuned'.")
    with single_classes_said(table):
        unsaid = check_tasks(Y, task_types=table.task_types).positive != table.positive
    if unsaid.any():
        raise ValueError(
            f"{subject} must be 'default', as the positive class of "
            f"{task_label(table.names, int(unsaid.argmax()))} is known by 'pos_label' alone: "
            "encode it as 1. Got 'tuned'."
        )


def tuned(estimator: Any, table: TaskTable) -> Any:
    """A candidate with thresholds that are tuned as a portfolio tunes its own: it becomes the only
    member of one. Portfolios tune what they are."""
    last = steps_of(estimator)[-1]
    if isinstance(last, PortfolioEstimator):
        copied = clone(estimator)
        steps_of(copied)[-1].set_params(threshold="tuned", threshold_scoring="f1")
        return copied
    members = [("candidate", estimator)]
    if isinstance(last, TableLearner):
        parts = [(k, getattr(last, k)) for k in ("classes", "regression")]
        members = [(k, part) for k, part in parts if part is not None]
        if last is not estimator:
            step = estimator.steps[-1][0]
            members = [(k, clone(estimator).set_params(**{step: part})) for k, part in members]
    if table.has_classes.all():
        return PortfolioClassifier(members, cv=_FOLDS)
    return PortfolioEstimator(members, cv=_FOLDS, task_types=table.task_types)


def said_of_thresholds(
    threshold: str, estimators: dict[str, Any], table: TaskTable, scores: Scorings
) -> list[str]:
    """What the table says of thresholds."""
    if BINARY not in table.kinds or not scores.of_decisions:
        return []
    if threshold == "tuned":
        return [
            "Thresholds of binary tasks are tuned for every candidate alike, for F1 on held-out "
            "predictions."
        ]
    alike = "threshold='tuned' tunes all alike."
    own = [name for name, estimator in estimators.items() if _tunes(estimator)]
    if own and len(own) < len(estimators):
        names = ", ".join(f"“{name}”" for name in own)
        return [f"Thresholds of their own have {names} alone: {alike}"]
    others = [name for name, estimator in estimators.items() if not _weighs_classes(estimator)]
    if own or not others or len(others) == len(estimators):
        return []
    names = ", ".join(f"“{name}”" for name in others)
    return [
        f"Rare classes are weighed up (class_weight) by all but {names}, which moves decisions: "
        f"{alike}"
    ]


def _tunes(estimator: Any) -> bool:
    return any(
        isinstance(part, FixedThresholdClassifier | TunedThresholdClassifierCV)
        or (isinstance(part, PortfolioEstimator) and part.threshold != 0.5)
        for part in parts_of(estimator)
    )


def _weighs_classes(estimator: Any) -> bool:
    """Whether an estimator, or a net that it makes itself, has weights of classes."""
    last = steps_of(estimator)[-1]
    if isinstance(last, GroupedMTLEstimator) and last.estimator is None:
        return True
    return any(getattr(part, "class_weight", None) is not None for part in parts_of(estimator))
