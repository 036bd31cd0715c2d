"""Few members of different kinds, for those who name none."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset

from skgroup.ensemble._grouped import GroupedMTLEstimator
from skgroup.training import MultiTaskNet

#: Trees of the forests.
_N_TREES = 300
#: Small trees of some of the features: as good as large ones, and a fraction of a forest's time.
_OF_CLASSES: dict[str, Any] = {"max_leaf_nodes": 7, "max_features": 0.2, "early_stopping": False}
#: Numbers take more of them, and smaller leaves.
_OF_NUMBERS: dict[str, Any] = {
    "max_leaf_nodes": 7,
    "max_features": 0.5,
    "min_samples_leaf": 5,
    "max_iter": 300,
    "early_stopping": False,
}
#: All features make a forest of numbers slower, and no better; a second forest beside it neither.
_FEATURES = 1 / 3
_PENALTIES = np.logspace(-3, 5, 17)


def default_members(
    X: Any, *, classes: bool, numbers: bool, grouped: type[GroupedMTLEstimator]
) -> dict[str, Any]:
    """Members by name, for tables of tasks with classes, of regression tasks, or of both.

    Nets learn all tasks; what else is a table of numbers taken for learns those of one sort. What
    is no table is left to nets.
    """
    if X is not None and (isinstance(X, Dataset | dict) or getattr(X, "ndim", 2) != 2):
        return {"net": MultiTaskNet(), "groups": grouped()}
    is_sparse = sparse.issparse(X)
    sorts = []
    if classes:
        sorts.append(("classifier", _of_classes(is_sparse)))
    if numbers:
        sorts.append(("regressor", _of_numbers(is_sparse)))
    members: dict[str, Any] = {"net": MultiTaskNet()}
    for sort, of_sort in sorts:
        suffix = f"_{sort}" if len(sorts) > 1 else ""
        members |= {f"{name}{suffix}": member for name, member in of_sort.items()}
    return members


def forest_of_classes() -> RandomForestClassifier:
    """The forest of tasks with classes, where there is to be one."""
    return RandomForestClassifier(_N_TREES)


def forest_of_numbers() -> ExtraTreesRegressor:
    """That of regression tasks: it has less error there than a random forest."""
    return ExtraTreesRegressor(_N_TREES, max_features=_FEATURES)


def _of_classes(is_sparse: bool) -> dict[str, Any]:
    members: dict[str, Any] = {
        "extra_trees": ExtraTreesClassifier(_N_TREES),
        "random_forest": forest_of_classes(),
    }
    if not is_sparse:  # which boosting does not take
        members["boosting"] = HistGradientBoostingClassifier(**_OF_CLASSES)
    return members


def _of_numbers(is_sparse: bool) -> dict[str, Any]:
    members: dict[str, Any] = {"extra_trees": forest_of_numbers()}
    if not is_sparse:
        members["boosting"] = HistGradientBoostingRegressor(**_OF_NUMBERS)
    members["ridge"] = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(with_mean=not is_sparse),
        RidgeCV(_PENALTIES),
    )
    return members
