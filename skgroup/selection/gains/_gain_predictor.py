"""What predictors of gains share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import (
    _check_sample_weight,
    _fit_context,
    argument_named,
    forget_fit,
    validate_data,
)
from skgroup.relations.effect import Effect, gain_of_pair
from skgroup.selection.gains._masks import check_gains, check_masks
from skgroup.selection.gains._pairs import matrix_of_pairs, pairs_of_tasks
from skgroup.tasks import by_task_columns

#: What scikit-learn sets of the inputs, before anything is learned.
_INPUTS = ("n_features_in_", "feature_names_in_")


class GainPredictor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """What predictors of gains share: a row a group, NaN where a task is absent.

    A subclass implements `_fit(masks, gains)`, which returns the fitted attributes, and
    `_predict(masks)`, both of checked arrays.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, masks: Any, gains: Any) -> Any:
        """Learn from measured groups.

        Parameters
        ----------
        masks : array-like of shape (n_groups, n_tasks), of bool or of 0 and 1
            Which tasks are in each group.
        gains : array-like of shape (n_groups, n_tasks)
            The gain of each task in each group. Entries of absent tasks (NaN by custom) are not
            looked at.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a group is empty, a gain of a present task is not finite, or the shapes differ.
        """
        checked = _check_masks(self, masks, reset=True)
        names = getattr(self, "feature_names_in_", None)
        values = check_gains(by_task_columns(gains, names, "The columns of gains"), checked)
        learned = self._fit(checked, values)
        inputs = {name: vars(self)[name] for name in _INPUTS if name in vars(self)}
        forget_fit(self)
        self.__dict__.update(inputs | learned)
        return self

    def predict(self, masks: Any) -> NDArray[np.float64]:
        """Gains of any groups.

        Parameters
        ----------
        masks : array-like of shape (n_groups, n_tasks), of bool or of 0 and 1

        Returns
        -------
        gains : ndarray of shape (n_groups, n_tasks)
            NaN for absent tasks.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If a group is empty, or the number of tasks is not that of `fit`.
        """
        check_is_fitted(self)
        checked = _check_masks(self, masks, reset=False)
        return np.where(checked, self._predict(checked), np.nan)

    @property
    def task_names_in_(self) -> NDArray[np.object_]:
        """Names of the tasks, where the columns of `masks` had them."""
        return self.feature_names_in_

    def pair_effects(self) -> tuple[NDArray[np.float64], Effect]:
        """The predicted gains of all pairs, and what they say.

        Returns
        -------
        values : ndarray of shape (n_tasks, n_tasks)
            [i, j]: gain of task j in the pair of i and j; NaN on the diagonal.
        effect : Effect
            Name, meaning, unit and direction of the numbers.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self)
        pairs = pairs_of_tasks(self.n_features_in_)
        unit = "that of the gains it was fitted on"
        if not len(pairs):
            return np.full((1, 1), np.nan), gain_of_pair(unit, how="predicted")
        gains = np.where(pairs, self._predict(pairs), np.nan)
        return matrix_of_pairs(pairs, gains), gain_of_pair(unit, how="predicted")

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² over all present tasks of all groups together.

        Parameters
        ----------
        X : array-like of shape (n_groups, n_tasks)
            Masks.
        y : array-like of shape (n_groups, n_tasks)
            Measured gains.
        sample_weight : array-like of shape (n_groups,), default=None
            Weights of groups.

        Returns
        -------
        score : float
        """
        predicted = self.predict(X)
        present = ~np.isnan(predicted)
        names = getattr(self, "feature_names_in_", None)
        measured = check_gains(by_task_columns(y, names, "The columns of y"), present)
        weight = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, present, ensure_non_negative=True)
            weight = np.repeat(weights, present.sum(axis=1))
        return float(r2_score(measured[present], predicted[present], sample_weight=weight))

    def _fit(self, masks: NDArray[np.bool_], gains: NDArray[np.float64]) -> dict[str, Any]:
        raise NotImplementedError

    def _predict(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        raise NotImplementedError


def _check_masks(estimator: Any, masks: Any, *, reset: bool) -> NDArray[np.bool_]:
    with argument_named("masks"):
        checked = validate_data(estimator, masks, reset=reset, dtype=np.float64)
    return check_masks(checked)
