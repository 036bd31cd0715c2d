"""Parameters of fits and scorers: who takes them, by which names, and those of a split."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skgroup._compat import BaseSearchCV, _routing_enabled
from skgroup._estimators import steps_of, weight_parameter
from skgroup.ensemble import GroupedMTLEstimator, PortfolioEstimator
from skgroup.ensemble.table_learner import TableLearner
from skgroup.tasks import TaskTable, check_weights
from skgroup.training import MultiTaskNet
from skgroup.training.data import n_samples_of, take_samples

_NAME = "The 'params' parameter of compare"
_WEIGHT = "sample_weight"


def check_params(params: Any, table: TaskTable) -> dict[str, Any]:
    """Parameters by name, none of which `compare` gives a fit itself."""
    if params is None:
        return {}
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise ValueError(f"{_NAME} must be a dict of names to values, or None. Got {params!r}.")
    given = {name: value for name, value in params.items() if value is not None}
    for name in given:
        if name in ("X", "y", "Y"):
            raise ValueError(f"{_NAME} must not hold what compare gives a fit. Got {name!r}.")
    weight, n_samples = given.get(_WEIGHT), len(table.codes)
    if weight is not None and not is_of_samples(weight, n_samples):
        raise ValueError(
            f"{_NAME} must hold a weight for each of the {n_samples} samples under "
            f"'{_WEIGHT}'. Got {np.shape(weight)} for a shape."
        )
    if weight is not None:
        try:
            check_weights(weight, table)
        except ValueError as error:
            raise ValueError(f"{_NAME} cannot be used: {error}") from error
    return given


def is_of_samples(value: Any, n_samples: int) -> bool:
    """Whether a parameter holds something for each sample."""
    has_length = hasattr(value, "shape") or isinstance(value, list | tuple)
    return has_length and np.ndim(value) > 0 and n_samples_of(value) == n_samples


def params_of_samples(
    params: Mapping[str, Any], samples: NDArray[np.intp], n_samples: int
) -> dict[str, Any]:
    """Parameters of some samples; what is not of samples stays as it is."""
    return {
        name: take_samples(value, samples) if is_of_samples(value, n_samples) else value
        for name, value in params.items()
    }


def params_of_fits(
    estimators: Mapping[str, Any], params: Mapping[str, Any], scorers: list[Any]
) -> dict[str, dict[str, Any]]:
    """What `fit` of each candidate is given, by the names that it has for it.

    Raises
    ------
    ValueError
        If a candidate does not take it; where metadata are routed, if a request is not set.
    TypeError
        Where metadata are routed, if nothing requests it.
    """
    if not params:
        return {name: {} for name in estimators}
    if _routing_enabled():
        return _routed(estimators, params, scorers)
    of_fits = {}
    for name, estimator in estimators.items():
        called = {key: _called(estimator, key) for key in params}
        refused = [key for key, inner in called.items() if inner is None]
        if refused:
            raise ValueError(
                f"{_NAME} must hold what all candidates take in fit. Got {refused[0]!r}, which "
                f"candidate {name!r} does not take: {_as_given(estimator)!r}. Leave it out, or say "
                "by scikit-learn's metadata routing who gets it."
            )
        if np.ndim(params.get(_WEIGHT, 0)) > 1 and not _takes_matrix(estimator):
            raise ValueError(
                f"{_NAME} must hold a weight a sample under '{_WEIGHT}', as candidate {name!r} "
                f"does not take a weight a label: {_as_given(estimator)!r}. Got the shape "
                f"{np.shape(params[_WEIGHT])}."
            )
        of_fits[name] = {str(called[key]): value for key, value in params.items()}
    return of_fits


def _routed(
    estimators: Mapping[str, Any], params: Mapping[str, Any], scorers: list[Any]
) -> dict[str, dict[str, Any]]:
    router = MetadataRouter(owner="compare")
    to_fit = MethodMapping().add(caller="fit", callee="fit")
    consumers = {
        name: estimator.learners if isinstance(estimator, TableLearner) else [estimator]
        for name, estimator in estimators.items()
    }
    for name, of_name in consumers.items():
        for i, consumer in enumerate(of_name):
            router.add(**{f"candidate {name} {i}": consumer}, method_mapping=to_fit)
    to_score = MethodMapping().add(caller="fit", callee="score")
    for number, scorer in enumerate(scorers):
        if hasattr(scorer, "get_metadata_routing"):
            router.add(**{f"scorer {number}": scorer}, method_mapping=to_score)
    try:
        routed = process_routing(router, "fit", **params)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{_NAME} cannot be routed: {error}") from error
    of_fits: dict[str, dict[str, Any]] = {}
    for name, of_name in consumers.items():
        of_fits[name] = {}
        for i, _ in enumerate(of_name):
            of_fits[name] |= routed[f"candidate {name} {i}"].fit
    return of_fits


def params_of_score(scorer: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a scorer asks for by metadata routing."""
    if not params or not _routing_enabled() or not hasattr(scorer, "get_metadata_routing"):
        return {}
    mapping = MethodMapping().add(caller="score", callee="score")
    router = MetadataRouter(owner="compare").add(scorer=scorer, method_mapping=mapping)
    asked = {key: params[key] for key in router.consumes("score", params.keys())}
    return dict(process_routing(router, "score", **asked).scorer.score) if asked else {}


def _takes_matrix(estimator: Any) -> bool:
    """Whether `fit` takes a weight for each sample and task."""
    last = steps_of(estimator)[-1]
    if isinstance(last, BaseSearchCV):
        return _takes_matrix(last.estimator)
    return isinstance(last, MultiTaskNet | GroupedMTLEstimator | PortfolioEstimator | TableLearner)


def _as_given(estimator: Any) -> Any:
    """A candidate as the user wrote it."""
    if not isinstance(estimator, TableLearner):
        return estimator
    if len(estimator.learners) == 1:
        return estimator.learners[0]
    return {"classes": estimator.classes, "regression": estimator.regression}


def _called(estimator: Any, key: str) -> str | None:
    """How `fit` calls a parameter, in a pipeline that of its last step; None if it takes none."""
    if key == _WEIGHT:
        return weight_parameter(estimator)
    if isinstance(estimator, BaseSearchCV):
        return _called(estimator.estimator, key)
    if isinstance(estimator, TableLearner):
        inside = {_called(learner, key) for learner in estimator.learners}
        return inside.pop() if len(inside) == 1 else None
    if isinstance(estimator, Pipeline):
        step, _, rest = key.partition("__")
        steps = dict(estimator.steps)
        if step not in steps or not rest:
            step, rest = estimator.steps[-1][0], key
        inner = _called(steps[step], rest)
        return None if inner is None else f"{step}__{inner}"
    parameters = signature(estimator.fit).parameters
    starred = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    return key if key in parameters or starred else None
