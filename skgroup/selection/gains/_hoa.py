"""Gains of groups from those of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup._compat import _fit_context
from skgroup.selection.gains._gain_predictor import GainPredictor
from skgroup.selection.gains._masks import mean_of_others


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
        several = masks.sum(axis=1, keepdims=True) > 1
        of_pairs = mean_of_others(masks, self.pair_gains_)
        return np.where(several, of_pairs, np.diag(self.pair_gains_))
