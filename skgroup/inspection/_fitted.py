"""What displays look up in fitted estimators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skgroup._estimators import steps_of


def find_fitted(estimator: Any, *attributes: str) -> tuple[Any, str] | None:
    """The part of a fitted estimator that has one of the attributes, and which it has.

    The parts are the estimator itself, the steps of a pipeline, last first, the `grouper_` of a
    classifier, and the `best_estimator_` of a search.
    """
    check_is_fitted(estimator)
    for part in parts_of(estimator):
        for attribute in attributes:
            if hasattr(part, attribute):
                return part, attribute
    return None


def task_names_of(estimator: Any) -> Sequence[str] | None:
    """Names of the tasks that an estimator, or a part of it, saw in `fit`; None if it saw none.

    Those of populations are always there, as `tasks_`.
    """
    for part in parts_of(estimator):
        for attribute in ("task_names_in_", "tasks_"):
            if hasattr(part, attribute):
                names: Sequence[str] = getattr(part, attribute)
                return names
    return None


def group_names_of(estimator: Any) -> list[str] | None:
    """Names of the groups that an estimator, or a part of it, was given; None without any."""
    named = next((p for p in parts_of(estimator) if hasattr(p, "group_names_")), None)
    return None if named is None else [str(name) for name in named.group_names_]


def last_of(estimator: Any) -> tuple[Any, list[Any]]:
    """The estimator that predicts at the end of pipelines and searches, and the steps before."""
    before: list[Any] = []
    while True:
        if isinstance(estimator, Pipeline):
            before += [step for _, step in estimator.steps[:-1] if hasattr(step, "transform")]
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator, before


def parts_of(estimator: Any) -> Iterator[Any]:
    """A fitted estimator and the fitted ones inside of it, as `find_fitted` looks at them."""
    for step in reversed(steps_of(estimator)):
        yield step
        for inner in ("grouper_", "best_estimator_"):
            if hasattr(step, inner):
                yield from parts_of(getattr(step, inner))
