"""Tasks grouped again, on some of the samples and from new seeds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_clusterer
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from skgroup._estimators import steps_of
from skgroup._random import draw_seeds, open_seed
from skgroup.cluster import FuzzyKMeans
from skgroup.cluster.memberships import one_hot
from skgroup.cluster.stability import hard_labels, places_of
from skgroup.store import RunningFit, handed_on
from skgroup.training.data import take_samples
from skgroup.training.training_data import TrainingData

#: What a clusterer that looks at Euclidean distances alone may say of its metric.
_EUCLIDEAN = {"euclidean", "l2", "minkowski", "rbf", "nearest_neighbors", "deprecated", None}


def clusterer_of(grouper: Any) -> Any:
    """The clusterer behind the relation of a pipeline, if it can be told a number of groups."""
    if not isinstance(grouper, Pipeline) or len(grouper.steps) < 2:
        return None
    last = grouper.steps[-1][1]
    if not is_clusterer(last) and not isinstance(last, FuzzyKMeans):
        return None
    return last if isinstance(getattr(last, "n_clusters", None), Integral) else None


def with_number(clusterer: Any) -> Any:
    """A clusterer that can be told a number of groups, else None."""
    return clusterer if isinstance(getattr(clusterer, "n_clusters", None), Integral) else None


def is_euclidean(clusterer: Any) -> bool:
    params = clusterer.get_params(deep=False)
    said = [params.get(name) for name in ("metric", "affinity")]
    return all(isinstance(value, str | None) and value in _EUCLIDEAN for value in said)


def repeat(
    grouper: Any,
    numbers: list[int],
    given: Any,
    half: NDArray[np.intp],
    seed: int,
    running: RunningFit,
    name: str,
) -> tuple[dict[Any, NDArray[np.intp]], NDArray[np.float64] | None]:
    """Groups by their number, and the places of the tasks where the grouper has a relation; by an
    earlier run of this fit, as its stage of a name, or now."""
    grouper = _seeded(grouper, seed)

    def group() -> tuple[dict[Any, NDArray[np.intp]], NDArray[np.float64] | None]:
        with handed_on(grouper, running.child(name)):
            return _group(grouper, numbers, given, half, seed)

    return running.stage(name, group)


def _group(
    grouper: Any, numbers: list[int], given: Any, half: NDArray[np.intp], seed: int
) -> tuple[dict[Any, NDArray[np.intp]], NDArray[np.float64] | None]:
    if isinstance(given, TrainingData):
        X, y, n_tasks = given.take(half), None, given.table.n_tasks
    else:
        X, y = (take_samples(part, half) for part in given)
        n_tasks = np.shape(y)[1]
    with open_seed(seed):
        if not numbers:
            return {None: _labels_of(grouper.fit(X, y), n_tasks)}, None
        rows = np.asarray(Pipeline(grouper.steps[:-1]).fit_transform(X, y))
        clusterer = grouper.steps[-1][1]
        if rows.ndim != 2 or len(rows) != n_tasks:
            raise ValueError(
                "The 'grouper' parameter of GroupStability must describe each of the "
                f"{n_tasks} tasks by a row. Got shape {rows.shape} from {grouper[:-1]!r}."
            )
        labels = {k: cluster_rows(clusterer, k, [rows], seed)[0] for k in numbers}
    return labels, places_of(rows) if is_euclidean(clusterer) else None


def _seeded(estimator: Any, seed: int) -> Any:
    """A clone whose every `random_state` comes from the seed."""
    cloned = clone(estimator)
    names = _random_states(cloned)
    return cloned.set_params(**dict(zip(names, draw_seeds(seed, len(names)), strict=True)))


def _random_states(estimator: Any) -> list[str]:
    return sorted(n for n in estimator.get_params() if f"__{n}".endswith("__random_state"))


def cluster_rows(clusterer: Any, n_groups: int, tables: Sequence[NDArray], seed: int) -> NDArray:
    """Groups of the rows of each table, from a seed each, (n_tables, n_rows)."""
    fitted = clone(clusterer).set_params(n_clusters=n_groups)
    names = _random_states(fitted)
    seeds = np.reshape(draw_seeds(seed, len(names) * len(tables)), (len(tables), len(names)))
    labels = []
    with warnings.catch_warnings():
        # Fewer places than groups: what the verdict tells of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for rows, of_table in zip(tables, seeds.tolist(), strict=True):
            fitted.set_params(**dict(zip(names, of_table, strict=True)))
            labels.append(_labels_of(fitted.fit(rows), len(rows)))
    return np.stack(labels)


def _labels_of(grouper: Any, n_tasks: int) -> NDArray[np.intp]:
    last = steps_of(grouper)[-1]
    membership: Any = None
    for name in ("serving_weights_", "membership_"):
        if membership is None and hasattr(last, name):
            membership = np.asarray(getattr(last, name), dtype=np.float64)
    if membership is None and hasattr(last, "labels_"):
        membership = one_hot(last.labels_)
    if np.shape(membership)[:1] != (n_tasks,):
        raise ValueError(
            "The 'grouper' parameter of GroupStability must leave 'membership_' or 'labels_' of "
            f"the {n_tasks} tasks. {type(last).__name__} does not."
        )
    return hard_labels(membership)
