"""What estimators are made of: steps of pipelines, and whatever their parameters hold."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import MethodType
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skgroup._compat import BaseSearchCV
from skgroup._random import draw_seeds


def named_steps(estimator: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Steps of a pipeline, and of pipelines inside, with the prefix of their parameters' names.

    What is no pipeline is its own only step.
    """
    if not isinstance(estimator, Pipeline):
        yield prefix, estimator
        return
    for name, step in estimator.steps:
        yield from named_steps(step, f"{prefix}{name}__")


def steps_of(estimator: Any) -> list[Any]:
    """Steps of a pipeline, and of pipelines inside; of anything else, itself."""
    return [step for _, step in named_steps(estimator)]


def parts_of(estimator: Any) -> list[Any]:
    """An estimator and all estimators among its parameters, nested ones too."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return [part for part in parts if hasattr(part, "get_params") and not isinstance(part, type)]


def check_parameters(estimator: Any) -> None:
    """Check parameters of an estimator, and of all estimators among them, by their own rules."""
    for part in parts_of(estimator):
        if hasattr(part, "_parameter_constraints"):
            part._validate_params()


def check_groups_a_table(grouper: Any, owner: str) -> None:
    """Refuse groupers of populations, which a column `task` of `X` holds, by their parameters."""
    for part in parts_of(grouper):
        if "task" in part.get_params(deep=False):
            raise ValueError(
                f"The 'grouper' parameter of {owner} must group the tasks of a table, a column a "
                f"task. Got {type(part).__name__}, whose tasks are populations, sets of rows: "
                "PooledTasksClassifier and PooledTasksRegressor find their groups, groups_ says "
                "how stable these are, and compare what they are worth."
            )


def set_random_state(estimator: Any, seed: int) -> Any:
    """Seed what has no seed of its own, anywhere in an estimator, which is handed back."""
    unset = sorted(
        key
        for key, value in estimator.get_params(deep=True).items()
        if value is None and (key == "random_state" or key.endswith("__random_state"))
    )
    return estimator.set_params(**dict(zip(unset, draw_seeds(seed, len(unset)), strict=True)))


def weight_parameter(estimator: Any) -> str | None:
    """By which name `fit` takes weights of samples, in a pipeline those of its last step; None if
    it takes none, or what it is made of takes none."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weight_parameter(last)
        return None if inner is None else f"{name}__{inner}"
    if isinstance(estimator, BaseSearchCV):
        return weight_parameter(estimator.estimator)
    if hasattr(estimator, "learners"):  # which gives each of them what it is given
        takes = all(weight_parameter(learner) is not None for learner in estimator.learners)
        return "sample_weight" if takes else None
    inner = getattr(estimator, "estimator", None)
    if hasattr(inner, "fit") and weight_parameter(inner) != "sample_weight":
        return None
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None


def pos_label_of(estimators: Any) -> Any:
    """The positive classes that the first of a dict of estimators with any names, or a single
    estimator; or None."""
    for estimator in estimators.values() if isinstance(estimators, Mapping) else [estimators]:
        if not hasattr(estimator, "get_params") or isinstance(estimator, type):
            continue
        for name, value in estimator.get_params(deep=True).items():
            if value is not None and name.rpartition("__")[2] == "pos_label":
                return value
    return None


class there_if:
    """A method that is there if a check of the object raises no AttributeError.

    As scikit-learn's `available_if`, but what the check says is what a user reads.

    Parameters
    ----------
    check : callable
        Called with the object.
    """

    def __init__(self, check: Callable[[Any], Any]) -> None:
        self.check = check

    def __call__(self, method: Callable[..., Any]) -> Any:
        self.method = method
        functools.update_wrapper(self, method)
        return self

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return self.method
        self.check(obj)
        return MethodType(self.method, obj)
