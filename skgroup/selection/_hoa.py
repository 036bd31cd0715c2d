"""Gains of groups from those of pairs, and what predictors of gains share."""

from __future__ import annotations

from typing import Any

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
from skgroup.tasks import by_task_columns

__all__ = ["GainPredictor", "HigherOrderApproximation", "check_gains", "check_masks"]

#: What scikit-learn sets of the inputs, before anything is learned.
_INPUTS = ("n_features_in_", "feature_names_in_")


class GainPredictor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """What predictors of gains share: a row a group, NaN where a task is absent.

    A subclass implements `_fit(masks, gains)`, which returns the fitted attributes, and
    `_predict(masks)`, both of checked arrays.
    """

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


class HigherOrderApproximation(GainPredictor):
    """A task's gain in a group is the mean of its gains in the pairs inside the group.

    gain(t, S) = 1 / (|S| − 1) · Σ_{i ∈ S, i ≠ t} gain(t, {t, i}), the higher-order approximation
    [1]_. With gains relative to the loss of the task alone, this is the same as the mean of its
    losses in the pairs, which is how the source says it. Alone, a task has the gain that was
    measured.

    Attributes
    ----------
    pair_gains_ : ndarray of shape (n_tasks, n_tasks)
        Entry [i, t]: gain of task t beside task i, the mean where a pair was measured several
        times; on the diagonal, alone.
    n_features_in_ : int
        Number of tasks.

    References
    ----------
    .. [1] T. Standley et al., "Which tasks should be learned together in multi-task learning?",
       ICML 2020, section 4, arXiv:1905.07553.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.selection import HigherOrderApproximation
    >>> masks = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
    >>> gains = np.full((6, 3), np.nan)
    >>> gains[:3][np.eye(3, dtype=bool)] = 0
    >>> gains[3:] = [[0.2, 0.1, np.nan], [-0.4, np.nan, 0.0], [np.nan, 0.3, 0.2]]
    >>> HigherOrderApproximation().fit(masks, gains).predict([[1, 1, 1], [0, 0, 1]]).round(3)
    array([[-0.1,  0.2,  0.1],
           [ nan,  nan,  0. ]])
    """

    _parameter_constraints: dict[str, Any] = {}  # noqa: RUF012 - scikit-learn reads the class's

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, masks: Any, gains: Any) -> HigherOrderApproximation:
        """Learn from measured single tasks and pairs; larger groups are not looked at.

        Parameters
        ----------
        masks : array-like of shape (n_groups, n_tasks), of bool or of 0 and 1
            Which tasks are in each group; all single tasks and all pairs are needed.
        gains : array-like of shape (n_groups, n_tasks)
            The gain of each task in each group. Entries of absent tasks (NaN by custom) are not
            looked at.

        Returns
        -------
        self : HigherOrderApproximation

        Raises
        ------
        ValueError
            If a single task or a pair is missing, a group is empty, a gain of a present task is
            not finite, or the shapes differ.
        """
        return super().fit(masks, gains)

    def _fit(self, masks: NDArray[np.bool_], gains: NDArray[np.float64]) -> dict[str, Any]:
        n_tasks = masks.shape[1]
        sizes = masks.sum(axis=1)
        first, last = masks.argmax(axis=1), n_tasks - 1 - masks[:, ::-1].argmax(axis=1)
        total, count = np.zeros((n_tasks, n_tasks)), np.zeros((n_tasks, n_tasks))
        for size, sides in ((1, [(first, last)]), (2, [(first, last), (last, first)])):
            rows = np.flatnonzero(sizes == size)
            for other, task in sides:
                np.add.at(total, (other[rows], task[rows]), gains[rows, task[rows]])
                np.add.at(count, (other[rows], task[rows]), 1)
        missing = [f"{{{t}}}" for t in np.flatnonzero(np.diag(count) == 0)]
        missing += [f"{{{i}, {j}}}" for i, j in np.argwhere(np.triu(count == 0, k=1))]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ValueError(
                "HigherOrderApproximation needs the gains of every task alone and of every pair "
                f"of tasks. masks has no group {', '.join(missing[:5])}{more}."
            )
        mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        return {"pair_gains_": mean}

    def _predict(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        alone = np.diag(self.pair_gains_)
        of_pairs = masks.astype(np.float64) @ (self.pair_gains_ - np.diag(alone))
        n_others = masks.sum(axis=1, keepdims=True) - 1
        return np.where(n_others > 0, of_pairs / np.maximum(n_others, 1), alone)


def check_masks(
    masks: Any, n_tasks: int | None = None, *, name: str = "masks"
) -> NDArray[np.bool_]:
    """Groups as a bool array.

    Parameters
    ----------
    masks : array-like of shape (n_groups, n_tasks), of bool or of 0 and 1
    n_tasks : int, default=None
        How many tasks there must be.
    name : str
        What to call them in messages.

    Returns
    -------
    masks : ndarray of bool, a copy

    Raises
    ------
    ValueError
        If the shape does not fit, an entry is neither 0 nor 1, or a group is empty.
    """
    try:
        array = np.array(masks, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold 0 and 1 (or bools). Got {masks!r}.") from None
    if array.ndim != 2 or 0 in array.shape or n_tasks not in (None, array.shape[1]):
        wanted = "n_tasks" if n_tasks is None else f"n_tasks={n_tasks}"
        raise ValueError(
            f"{name} must be of shape (n_groups, {wanted}), one row a group. Got shape "
            f"{array.shape}."
        )
    wrong = array[(array != 0) & (array != 1)]
    if len(wrong):
        raise ValueError(f"{name} must hold 0 and 1 (or bools). Got {wrong[0]}.")
    empty = np.flatnonzero(~array.any(axis=1))
    if len(empty):
        raise ValueError(f"{name} must have no empty group. Got row {empty[0]} without a task.")
    return array.astype(bool)


def _check_masks(estimator: Any, masks: Any, *, reset: bool) -> NDArray[np.bool_]:
    with argument_named("masks"):
        checked = validate_data(estimator, masks, reset=reset, dtype=np.float64)
    return check_masks(checked)


def check_gains(gains: Any, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Gains as a float array, a copy, finite where checked `masks` have a task."""
    if np.ma.is_masked(gains):
        gains = np.ma.filled(np.ma.asarray(gains, dtype=np.float64), np.nan)
    try:
        values = np.array(gains)
        if values.dtype.kind not in "biufO":  # NumPy would make numbers of dates, and of text
            raise TypeError
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"gains must be an array of numbers. Got {gains!r}.") from None
    if values.shape != masks.shape:
        raise ValueError(
            f"gains must be of the shape of masks, {masks.shape}. Got shape {values.shape}."
        )
    wrong = np.argwhere(masks & ~np.isfinite(values))
    if len(wrong):
        group, task = wrong[0]
        raise ValueError(
            "gains must be finite where masks has a task. Got "
            f"{values[group, task]} for task {task} in row {group}."
        )
    return values
