"""What an estimator answers for some samples, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.comparison._fit_params import params_of_samples
from skgroup.tasks import MISSING, TaskTable


@dataclass(frozen=True)
class Answers:
    """Predictions for the samples of a table.

    Attributes
    ----------
    table : TaskTable
        The truth.
    predicted : DataFrame or ndarray of shape (n_samples, n_tasks) or (n_samples,), or None
    proba : list of ndarray of shape (n_samples, n_classes), one a task, or None
        Without classes for a regression task.
    params : dict of str to object
        Parameters of scorers, of these samples.
    """

    table: TaskTable
    predicted: Any
    proba: list[NDArray[np.float64]] | None
    params: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: Any,
        samples: NDArray[np.intp],
        table: TaskTable,
        *,
        labels: bool,
        proba: bool,
        params: Mapping[str, Any] = MappingProxyType({}),
    ) -> Answers:
        """What a fitted estimator predicts, as far as it is needed.

        Parameters
        ----------
        estimator : fitted estimator
        X : inputs of the samples
        samples : ndarray of int
            Their positions in the table.
        table : TaskTable
            Of all samples.
        labels, proba : bool
            Whether `predict`, and whether `predict_proba` is asked.
        params : dict of str to object
            Parameters of scorers, of all samples.
        """
        probabilities = _probabilities(estimator.predict_proba(X), table) if proba else None
        predicted = _labels(estimator.predict(X), len(samples), table) if labels else None
        params = params_of_samples(params, samples, len(table.codes))
        return cls(table.take(samples), predicted, probabilities, params)


def _labels(predicted: Any, n_samples: int, table: TaskTable) -> Any:
    if hasattr(predicted, "iloc"):
        return predicted
    predicted = np.asarray(predicted.toarray() if hasattr(predicted, "toarray") else predicted)
    if table.n_tasks > 1:
        return predicted
    # One task may come back 1-D.
    return predicted.reshape((n_samples,) if table.is_1d else (n_samples, 1))


def _probabilities(proba: Any, table: TaskTable) -> list[NDArray[np.float64]]:
    """Probabilities (n_samples, n_classes) a task, of the forms that estimators give; none of
    a regression task."""
    sizes = [
        0 if not has else len(c) for c, has in zip(table.classes, table.has_classes, strict=True)
    ]
    if isinstance(proba, Mapping):
        keys = range(table.n_tasks) if table.names is None else table.names
        nothing = np.empty((len(next(iter(proba.values()))), 0))
        parts = [np.asarray(proba.get(key, nothing)) for key in keys]
    elif isinstance(proba, list | tuple):
        parts = [np.asarray(p) for p in proba]
    else:
        proba = np.asarray(proba)
        alone = len(sizes) == 1 and proba.ndim == 2 and proba.shape[1] == sizes[0]
        parts = [proba] if alone else list(proba.reshape(len(proba), -1).T[:, :, None])
    for t, (p, k) in enumerate(zip(parts, table.constant, strict=False)):
        if sizes[t] == 0:
            parts[t] = p[:, :0]
        elif k != MISSING:  # of a single class, no estimator need know a second one
            parts[t] = np.tile(np.eye(sizes[t])[k], (len(p), 1))
        elif p.shape[1] == 1:
            parts[t] = np.hstack([1 - p, p])
    given = [p.shape[1] for p in parts]
    if given != sizes:
        raise ValueError(
            f"predict_proba must give probabilities of {sizes} classes a task. Got {given}."
        )
    return parts
