"""What a forest says of samples by those of its trees that have not seen them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from skgroup.tasks import MISSING
from skgroup.training.data import take_samples

#: Trees, of which all have seen one sample once in 10^20.
_ENOUGH = 100


def gives_out_of_bag(estimator: Any) -> bool:
    """Whether every sample is sure to be unknown to some trees of a fitted forest: what stands
    before one in a pipeline has seen them all, and weights may draw a sample for every tree."""
    return (
        isinstance(estimator, RandomForestClassifier | ExtraTreesClassifier)
        and type(estimator).predict_proba is RandomForestClassifier.predict_proba
        and bool(estimator.bootstrap)
        and not estimator.warm_start
        and estimator.class_weight is None
        and estimator.max_samples is None
        and estimator.n_estimators >= _ENOUGH
    )


def take_out_of_bag(
    forests: list[Any], X: Any, codes: NDArray[np.integer], *, a_task: bool, keep: bool
) -> tuple[list[NDArray], list[NDArray]]:
    """Probabilities (n_samples, n_classes) of each task, and the codes of their columns.

    Parameters
    ----------
    forests : list of forest
        Fitted with `oob_score`.
    X : array-like of shape (n_samples, ...)
        What they were fitted on.
    codes : ndarray of shape (n_samples, n_tasks)
    a_task : bool
        Whether there is one a task, fitted on the samples that have a label of it; else one of all.
    keep : bool
        Whether the user has asked for out-of-bag scores, so that they stay with the forests.
    """
    parts: list[NDArray] = []
    of_columns: list[NDArray] = []
    for forest in forests:
        out_of_bag = forest.oob_decision_function_
        parts += [out_of_bag] if out_of_bag.ndim == 2 else list(np.moveaxis(out_of_bag, -1, 0))
        of_columns += forest.classes_ if isinstance(forest.classes_, list) else [forest.classes_]
        if not keep:
            forest.set_params(oob_score=False)
            del forest.oob_decision_function_, forest.oob_score_
    if not a_task:
        return parts, of_columns
    every = []
    for forest, part, of_task in zip(forests, parts, codes.T, strict=True):
        seen = of_task != MISSING
        proba = np.empty((len(seen), part.shape[1]))
        proba[seen] = part
        if not seen.all():  # these samples no tree has seen
            proba[~seen] = forest.predict_proba(take_samples(X, np.flatnonzero(~seen)))
        every.append(proba)
    return every, of_columns
