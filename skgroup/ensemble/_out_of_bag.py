"""What a forest says of samples by those of its trees that have not seen them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from skgroup.tasks import MISSING
from skgroup.training.data import take_samples

#: Trees, of which all have seen one sample once in 10^20.
_ENOUGH = 100
_CLASSIFIERS = RandomForestClassifier | ExtraTreesClassifier
_REGRESSORS = RandomForestRegressor | ExtraTreesRegressor


def gives_out_of_bag(estimator: Any) -> bool:
    """Whether every sample is sure to be unknown to some trees of a fitted forest: what stands
    before one in a pipeline has seen them all, and weights may draw a sample for every tree."""
    if isinstance(estimator, _CLASSIFIERS):
        of_forests = type(estimator).predict_proba is RandomForestClassifier.predict_proba
        of_forests &= estimator.class_weight is None
    elif isinstance(estimator, _REGRESSORS):
        of_forests = type(estimator).predict is RandomForestRegressor.predict
    else:
        return False
    return (
        of_forests
        and bool(estimator.bootstrap)
        and not estimator.warm_start
        and estimator.max_samples is None
        and estimator.n_estimators >= _ENOUGH
    )


def take_out_of_bag(
    forests: list[Any], X: Any, codes: NDArray[np.integer], *, a_task: bool, keep: bool
) -> tuple[list[NDArray], list[Any]]:
    """Probabilities (n_samples, n_classes) of each task and the codes of their columns, or its
    numbers (n_samples, 1) and None.

    Parameters
    ----------
    forests : list of forest
        Fitted with `oob_score`.
    X : array-like of shape (n_samples, ...)
        What they were fitted on.
    codes : ndarray of shape (n_samples, n_tasks)
        -1 where a label is missing.
    a_task : bool
        Whether there is one a task, fitted on the samples that have a label of it; else one of all.
    keep : bool
        Whether the user has asked for out-of-bag scores, so that they stay with the forests.
    """
    parts: list[NDArray] = []
    of_columns: list[Any] = []
    for forest in forests:
        if is_classifier(forest):
            name, classes = "oob_decision_function_", forest.classes_
            proba = getattr(forest, name)
            parts += [proba] if proba.ndim == 2 else list(np.moveaxis(proba, -1, 0))
            of_columns += classes if isinstance(classes, list) else [classes]
        else:
            name = "oob_prediction_"
            numbers = getattr(forest, name)
            columns = numbers.reshape(len(numbers), -1).T
            parts += list(columns[:, :, None])
            of_columns += [None] * len(columns)
        if not keep:
            forest.set_params(oob_score=False)
            delattr(forest, name)
            del forest.oob_score_
    if not a_task:
        return parts, of_columns
    every = []
    for forest, part, of_task in zip(forests, parts, codes.T, strict=True):
        seen = of_task != MISSING
        whole = np.empty((len(seen), part.shape[1]))
        whole[seen] = part
        if not seen.all():  # these samples no tree has seen
            others = take_samples(X, np.flatnonzero(~seen))
            predict = forest.predict_proba if is_classifier(forest) else forest.predict
            whole[~seen] = predict(others).reshape(len(whole[~seen]), -1)
        every.append(whole)
    return every, of_columns
