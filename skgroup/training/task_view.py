"""One task of a fitted estimator of many, as scikit-learn's tools take estimators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import BaseSearchCV
from skgroup.tasks import REGRESSION, SOFT, observed_labels, task_position

__all__ = ["TaskClassifierView", "TaskRegressorView", "task_view"]


def task_view(estimator: Any, task: Any) -> TaskClassifierView | TaskRegressorView:
    """One task of a fitted estimator, as a fitted classifier or regressor of scikit-learn's kind.

    `estimator.task(name)` for what has no such method: pipelines and searches.

    Parameters
    ----------
    estimator : fitted estimator of tasks, or a Pipeline or search that ends in one
        `MultiTaskNet`, `GroupedMTLClassifier`, `PortfolioClassifier` and their kin. Of a pipeline,
        the view sees `X` as the pipeline does, before its first step.
    task : str or int
        The name of the task; its position where `Y` had no names.

    Returns
    -------
    view : TaskClassifierView or TaskRegressorView

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is none of tasks.
    ValueError
        If there is no such task.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from skgroup import MultiTaskNet, task_view
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] * X[:, 1] > 0])
    >>> pipe = make_pipeline(PolynomialFeatures(), MultiTaskNet(max_epochs=20)).fit(X, Y)
    >>> second = task_view(pipe, 1)
    >>> second.n_features_in_, second.predict_proba(X).shape
    (2, (200, 2))
    """
    predictor = _predictor(estimator)
    position = task_position(task, predictor.n_tasks_, getattr(predictor, "task_names_in_", None))
    is_number = predictor.task_types_[position] == REGRESSION.name
    return (TaskRegressorView if is_number else TaskClassifierView)(estimator, task)


def _links(estimator: Any) -> Iterator[Any]:
    """A fitted estimator, and what predicts for it, one inside the other."""
    yield estimator
    if isinstance(estimator, Pipeline):
        yield from _links(estimator.steps[-1][1])
    elif isinstance(estimator, BaseSearchCV):
        yield from _links(estimator.best_estimator_)
    elif isinstance(estimator, FrozenEstimator):
        yield from _links(estimator.estimator)


def _predictor(estimator: Any) -> Any:
    """The estimator of tasks that predicts for a fitted one."""
    check_is_fitted(estimator)
    *_, predictor = _links(estimator)
    if not hasattr(predictor, "_flat_proba"):
        raise TypeError(
            "estimator must be an estimator of tasks of this package, or a Pipeline or search that "
            f"ends in one. Got {estimator!r}."
        )
    return predictor


class _TaskView(BaseEstimator):
    """What views of tasks of either sort share."""

    def __init__(self, estimator: Any, task: Any) -> None:
        self.estimator = estimator
        self.task = task

    def fit(self, X: Any, y: Any = None) -> NoReturn:
        """Refused: tasks are fitted together.

        Parameters
        ----------
        X, y : ignored

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            f"{type(self).__name__} of task {self.task!r} shows a fitted "
            f"{type(self.estimator).__name__} and cannot be fitted itself. Fit that one on all "
            "tasks; give tools that would fit a copy of the view "
            "sklearn.frozen.FrozenEstimator(view), and tools that judge by fitting again, as "
            "cross_validate does, the estimator of all tasks."
        )

    def _of_task(self, X: Any) -> tuple[Any, int, NDArray[np.float32]]:
        """What predicts the task, its position, and outputs (n_samples, n_outputs)."""
        predictor = _predictor(self.estimator)
        for link in _links(self.estimator):
            for _, step in link.steps[:-1] if isinstance(link, Pipeline) else ():
                X = X if step in (None, "passthrough") else step.transform(X)
        position = self._position(predictor)
        alone = predictor._for_task(position)
        return alone, position, alone._flat_proba(X)

    def _position(self, predictor: Any) -> int:
        names = getattr(predictor, "task_names_in_", None)
        return task_position(self.task, predictor.n_tasks_, names)

    def predict(self, X: Any) -> NDArray:
        """What the estimator of all tasks predicts of this one, in its own type.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        predicted : ndarray of shape (n_samples,)
            Labels (by the threshold of the task, where the estimator has tuned one) or numbers.
        """
        predictor, position, proba = self._of_task(X)
        labels: NDArray = predictor._labels_of_tasks(proba)[position]
        return labels

    @property
    def n_features_in_(self) -> int:
        """Number of columns of `X`."""
        n_features: int = self.estimator.n_features_in_
        return n_features

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """Names of the columns of `X`, where it had any."""
        names: NDArray[np.object_] = self.estimator.feature_names_in_
        return names

    def __sklearn_is_fitted__(self) -> bool:
        try:
            check_is_fitted(self.estimator)
        except NotFittedError:
            return False
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


class TaskClassifierView(ClassifierMixin, _TaskView):
    """A task with classes of a fitted estimator of many; `estimator.task(name)` makes it.

    scikit-learn's tools for a fitted classifier take it: partial dependence, permutation
    importance, curves and other displays, thresholds and calibration (the latter want
    `FrozenEstimator(view)`). `fit` is refused; so is that of a clone.

    Parameters
    ----------
    estimator : fitted estimator of tasks, or a Pipeline or search that ends in one
    task : str or int
        The name of the task; its position where `Y` had no names.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels of the task. A single one if `fit` has met no other, unless it is one of 0, 1, False
        and True.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,) of str

    See Also
    --------
    task_view : The same for pipelines and searches.

    Notes
    -----
    The view follows its estimator: if that is fitted again, so is the view. Only the nets and
    members that serve the task predict.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.inspection import permutation_importance
    >>> from skgroup import MultiTaskNet
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0])
    >>> second = MultiTaskNet(max_epochs=20).fit(X, Y).task(1)
    >>> second.classes_, second.predict_proba(X).shape
    (array([False,  True]), (200, 2))
    >>> permutation_importance(second, X, Y[:, 1], random_state=0).importances_mean.argmax()
    np.int64(1)
    """

    @property
    def classes_(self) -> NDArray:
        """Labels of the task."""
        predictor = _predictor(self.estimator)
        classes: NDArray = predictor.task_classes_[self._position(predictor)]
        return classes

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
        """
        predictor, position, proba = self._of_task(X)
        of_classes: NDArray[np.float32] = predictor._proba_of_tasks(proba)[position]
        return of_classes

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, over the samples that have a label.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
            True labels, NaN or None where one is missing; of a soft task, probabilities, which are
            class 1 above 0.5.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
        """
        predictor = _predictor(self.estimator)
        is_soft = predictor.task_types_[self._position(predictor)] == SOFT.name
        return _score(accuracy_score, y, self.predict(X), sample_weight, is_soft=is_soft)


class TaskRegressorView(RegressorMixin, _TaskView):
    """A regression task of a fitted estimator of many; `estimator.task(name)` makes it.

    See `TaskClassifierView`.

    Parameters
    ----------
    estimator : fitted estimator of tasks, or a Pipeline or search that ends in one
    task : str or int
        The name of the task; its position where `Y` had no names.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,) of str
    """

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², over the samples that have a number.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
            True numbers, NaN or None where one is missing.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float
        """
        return _score(r2_score, y, self.predict(X), sample_weight)


def _score(
    metric: Any, y: Any, predicted: NDArray, sample_weight: Any, *, is_soft: bool = False
) -> float:
    true, there = observed_labels(y)
    if is_soft:
        true = (true > 0.5).astype(np.intp)
    if sample_weight is not None:
        sample_weight = np.asarray(sample_weight)[there]
    return float(metric(true, predicted[there], sample_weight=sample_weight))
