"""`ETAP`: gains from affinities of pairs, corrected by what was measured of a few groups."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from skgroup._compat import HasMethods
from skgroup.selection.gains._gain_predictor import GainPredictor
from skgroup.selection.gains._masks import mean_of_others
from skgroup.tasks import by_task_columns, by_task_names

#: Degrees of splines.
_DEGREES = range(2, 7)
#: Penalties that splines and corrections are searched over.
_OF_SPLINES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_OF_CORRECTIONS = np.logspace(-6, 2, 20)


class ETAP(GainPredictor):
    """Predict gains from affinities, and correct them by a few measured groups.

    Three steps (the ensemble task affinity predictor [1]_): the affinity score of task t in group
    S is the mean affinity of the other members onto it; a curve, learned on all measured entries
    together, turns scores into gains; and a linear correction, learned from what is left, adds
    for each task what each other task in the group is worth beside that.

    Parameters
    ----------
    affinity : array-like or DataFrame of shape (n_tasks, n_tasks)
        [i, j] is what training on task i does to task j. The source takes g_i · g_j / L_j of the
        gradients for the shared parameters of one net of all tasks, averaged over its training:
        `InterTaskAffinity(method="gradient", scale_by_lr=True, every=1).fit(X, Y).affinity_`. Any
        other will do. The diagonal is not looked at.
    transformation : regressor, default=None
        From the score, (n_entries, 1), to the gain. None is ridge regression on B-splines, whose
        degree (2 to 6), number of knots and penalty are those of the least squared error of
        entries that are left out, one at a time.
    correction : regressor of several outputs, default=None
        From masks (n_groups, n_tasks) to what is left of the gains, (n_groups, n_tasks), 0 for
        absent tasks. None is ridge regression, its penalty chosen likewise.

    Attributes
    ----------
    transformation_ : regressor
    correction_ : regressor
    gains_alone_ : ndarray of shape (n_tasks,)
        What is predicted of groups of one: the mean gain measured there, 0 where none was.
    n_features_in_ : int
        Number of tasks.

    See Also
    --------
    skgroup.relations.GradTAG : Needs one net, and no measured group.

    Notes
    -----
    Beside the mean of each task's measured gains it was a little closer on the digits and on 60
    tasks made of them from 40 measured groups, no closer from 20, and farther on the published
    ETTm1 table, where it did better without TAG's affinities (`benchmarks/gradient_gains.py`). Look
    at both on your own table before relying on it.

    The authors' code chooses the same settings, from a finer grid of penalties, by 10 folds of the
    entries and 5 of the groups, which takes a hundred times as long.

    References
    ----------
    .. [1] A. Ayman, A. Mukhopadhyay, A. Laszka, "Ensemble prediction of task affinity for
       efficient multi-task learning", ICLR 2026, arXiv:2602.18591.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.selection import ETAP
    >>> affinity = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    >>> masks = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
    >>> gains = np.where(masks, [[0.1], [0.2], [0.3]], np.nan)  # a tenth of the affinity
    >>> ETAP(affinity).fit(masks, gains).predict([[1, 1, 1]]).round(1)
    array([[0.1, 0.2, 0.3]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "affinity": ["array-like"],
        "transformation": [HasMethods(["fit", "predict"]), None],
        "correction": [HasMethods(["fit", "predict"]), None],
    }

    def __init__(
        self, affinity: Any, *, transformation: Any = None, correction: Any = None
    ) -> None:
        self.affinity = affinity
        self.transformation = transformation
        self.correction = correction

    def _fit(self, masks: NDArray[np.bool_], gains: NDArray[np.float64]) -> dict[str, Any]:
        affinity = self._check_affinity(masks.shape[1])
        several = masks.sum(axis=1) > 1
        alone = masks & ~several[:, None]
        total = np.where(alone, gains, 0).sum(axis=0)
        groups, of_groups = masks[several], gains[several]
        if len(groups) < 2:
            raise ValueError(
                "ETAP needs the gains of 2 groups or more that hold several tasks. Got "
                f"{len(groups)} in masks."
            )
        scores = mean_of_others(groups, affinity)
        x, y = scores[groups][:, None], of_groups[groups]
        if self.transformation is None:
            transformation = _fit_splines(x, y)
        else:
            transformation = clone(self.transformation).fit(x, y)
        left = np.zeros(groups.shape)
        left[groups] = y - transformation.predict(x)
        correction = RidgeCV(_OF_CORRECTIONS) if self.correction is None else clone(self.correction)
        correction.fit(groups.astype(np.float64), left)
        return {
            "affinity_": affinity,
            "transformation_": transformation,
            "correction_": correction,
            "gains_alone_": total / np.maximum(alone.sum(axis=0), 1),
        }

    def _predict(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        scores = mean_of_others(masks, self.affinity_)
        gains = np.zeros(masks.shape)
        gains[masks] = self.transformation_.predict(scores[masks][:, None])
        gains += self.correction_.predict(masks.astype(np.float64))
        several = masks.sum(axis=1, keepdims=True) > 1
        return np.where(several, gains, self.gains_alone_)

    def _check_affinity(self, n_tasks: int) -> NDArray[np.float64]:
        """The affinity, in the order of the tasks of `masks` where both have names."""
        names = getattr(self, "feature_names_in_", None)
        affinity = by_task_columns(self.affinity, names, "The columns of affinity")
        affinity = by_task_names(affinity, names, "The rows of affinity")
        try:
            values = np.array(affinity, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                "The 'affinity' parameter of ETAP must be an array of numbers. Got "
                f"{self.affinity!r}."
            ) from None
        rule = "The 'affinity' parameter of ETAP must be"
        if values.shape != (n_tasks, n_tasks):
            raise ValueError(
                f"{rule} of shape (n_tasks, n_tasks), with n_tasks={n_tasks} as in masks. Got "
                f"shape {values.shape}."
            )
        np.fill_diagonal(values, 0.0)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"{rule} finite beside its diagonal. Got {values[row, column]} for the effect of "
                f"task {row} on task {column}."
            )
        return values


class _Splines(SplineTransformer):
    """scikit-learn's, whose state is arrays."""

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "bsplines_" in state:
            parts = [(s.t, s.c, s.k, s.extrapolate) for s in self.bsplines_]
            state = {**state, "bsplines_": parts}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "bsplines_" in state:
            # Checked, which states of files need: what evaluates them trusts their sizes.
            self.bsplines_ = [BSpline(*parts) for parts in state["bsplines_"]]


def _fit_splines(x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
    """Ridge regression on B-splines, of the settings with the least leave-one-out error."""
    if x.min() == x.max():
        return RidgeCV(_OF_SPLINES).fit(x, y)
    most_knots = int(np.sqrt(len(x))) + 2
    fitted = [
        make_pipeline(_Splines(n_knots, degree, include_bias=False), RidgeCV(_OF_SPLINES))
        for degree in _DEGREES
        for n_knots in range(2, most_knots + 1)
    ]
    return max((curve.fit(x, y) for curve in fitted), key=lambda curve: curve[-1].best_score_)
