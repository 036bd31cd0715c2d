"""What describes populations to a grouper: how their models differ."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import HasMethods, Interval, _fit_context
from skgroup._estimators import steps_of
from skgroup._random import draw_seeds
from skgroup.metrics.splits import Split
from skgroup.populations._linear import linear_models
from skgroup.populations._models import Models
from skgroup.populations._rows import Populations, check_labels, read_populations
from skgroup.populations._splits import within_folds


def make_models(estimator: Any, rows: Populations, classes: Any) -> Models:
    """Models of rows, that are fitted at once where the estimator allows it."""
    return linear_models(estimator, rows) or Models(estimator, rows, classes)


class PopulationRelation(BaseEstimator):
    """What `CrossLosses` and `Coefficients` share."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "task": [str, Integral, None],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator: Any = None, *, task: Any = None, cv: int = 3, random_state: Any = None
    ) -> None:
        self.estimator = estimator
        self.task = task
        self.cv = cv
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> Self:
        """Describe the populations of some rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features + 1)
            With the column `task`.
        y : array-like of shape (n_samples,)

        Returns
        -------
        self : the relation
        """
        name = type(self).__name__
        if self.task is None:
            raise ValueError(f"The 'task' parameter of {name} must be a column of X. Got None.")
        y, classes = check_labels(y, None, name)
        n_classes = 0 if classes is None else len(classes)
        rows, _, _ = read_populations(X, y, None, self.task, n_classes, name)
        estimator = self.estimator
        if estimator is None:
            last = Ridge() if classes is None else LogisticRegression(max_iter=1000)
            estimator = make_pipeline(StandardScaler(), last)
        models = make_models(clone(estimator), rows, classes)
        splits = within_folds(rows, self.cv, draw_seeds(self.random_state, 1)[0])
        self.tasks_ = rows.names
        self.relation_ = self.of_populations(models, splits)
        return self

    def transform(self, X: Any = None) -> NDArray[np.float64]:
        """The rows of the populations that were fitted, whatever `X` is."""
        check_is_fitted(self)
        relation: NDArray[np.float64] = self.relation_.copy()
        return relation

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """`fit`, then `transform`: a row a population."""
        return self.fit(X, y).transform(X)

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        """A row a population."""
        raise NotImplementedError


class CrossLosses(PopulationRelation):
    """How well the model of each population serves each other one, on held-out rows.

    Row t holds, for the model of every population, how much higher its mean loss on the rows of
    population t is than that of all these models in the mean, in units of the spread of all
    entries: populations that the same models serve well have like rows.

    A first step of the `grouper` of `PooledTasksClassifier`, whose estimator, column and folds it
    then has; or alone, with those of its own.

    Parameters
    ----------
    estimator : classifier or regressor, default=None
        None is a logistic or a ridge regression of standardised features.
    task : str or int, default=None
        Column of `X` with the population.
    cv : int, default=3
        Folds within populations.
    random_state : int, RandomState or None, default=None
        Determines the folds.

    Attributes
    ----------
    relation_ : ndarray of shape (n_tasks, n_outputs)
    tasks_ : ndarray of shape (n_tasks,)
        The populations.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.populations import CrossLosses
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=300), rng.integers(6, size=300)])
    >>> CrossLosses(task=1).fit_transform(X, X[:, 0] * np.sign(X[:, 1] - 2.5)).shape
    (6, 6)
    """

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        n_tasks = models.rows.n_tasks
        losses = models.cross_losses(np.arange(n_tasks)[None], n_tasks, splits)[0]
        held = np.zeros(n_tasks)
        for _, test in splits:
            held += models.rows.take(test).sums(models.rows.weight[test])
        means = losses / np.maximum(held, 1e-12)[:, None]
        means -= means.mean(axis=1, keepdims=True)
        return means / max(means.std(), 1e-12)


class Coefficients(PopulationRelation):
    """The coefficients of each population's own linear model.

    Row t holds `coef_` and `intercept_` of the last step of the estimator, fitted to the rows of
    population t, less the mean over populations; 0 where a population has too little to fit. They
    are compared as they are: features of one scale, as behind a `StandardScaler`, count alike.

    A first step of the `grouper` of `PooledTasksClassifier`, whose estimator, column and folds it
    then has; or alone, with those of its own.

    Parameters
    ----------
    estimator : classifier or regressor, default=None
        None is a logistic or a ridge regression of standardised features.
    task : str or int, default=None
        Column of `X` with the population.
    cv : int, default=3
        Folds within populations.
    random_state : int, RandomState or None, default=None
        Determines the folds.

    Attributes
    ----------
    relation_ : ndarray of shape (n_tasks, n_outputs)
    tasks_ : ndarray of shape (n_tasks,)
        The populations.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.populations import Coefficients
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=300), rng.integers(6, size=300)])
    >>> Coefficients(task=1).fit_transform(X, X[:, 0] * np.sign(X[:, 1] - 2.5)).shape
    (6, 2)
    """

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        n_tasks = models.rows.n_tasks
        rows: list[NDArray[np.float64] | None] = []
        for of_task in np.eye(n_tasks):
            fitted = models.fit(of_task).estimator
            last = None if fitted is None else steps_of(fitted)[-1]
            if last is not None and not hasattr(last, "coef_"):
                raise ValueError(
                    "Coefficients, alone or in a 'grouper', needs an 'estimator' whose last step "
                    f"has 'coef_' when fitted. Got {last!r}: CrossLosses takes any."
                )
            row = None if last is None else np.append(np.ravel(last.coef_), last.intercept_)
            rows.append(row)
        width = max((len(row) for row in rows if row is not None), default=1)
        table = np.full((n_tasks, width), np.nan)
        for t, row in enumerate(rows):
            if row is not None and len(row) == width:
                table[t] = row
        known = ~np.isnan(table[:, 0])
        if known.any():
            table[known] -= table[known].mean(axis=0)
        return np.nan_to_num(table)
