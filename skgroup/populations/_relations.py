"""What describes populations to a grouper: how their models differ."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import HasMethods, Interval, _fit_context
from skgroup._estimators import check_parameters, steps_of
from skgroup._fit_parts import part_of_fit
from skgroup._random import draw_seeds
from skgroup.metrics.splits import Split
from skgroup.nn import MLP
from skgroup.populations import _gradients
from skgroup.populations._linear import linear_models
from skgroup.populations._models import Models
from skgroup.populations._rows import Populations, check_labels, read_populations
from skgroup.populations._splits import within_folds
from skgroup.store import running_fit
from skgroup.tasks import AUTO, REGRESSION
from skgroup.training import MultiTaskNet
from skgroup.training.engine import build_net, check_data, train_net
from skgroup.training.training_data import TrainingData


def make_models(estimator: Any, rows: Populations, classes: Any) -> Models:
    """Models of rows, that are fitted at once where the estimator allows it."""
    made = linear_models(estimator, rows) or Models(estimator, rows)
    made.classes = classes
    return made


class PopulationRelation(BaseEstimator):
    """What `CrossLosses`, `Coefficients` and `Gradients` share."""

    task: Any

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
        y, classes = check_labels(y, self._of_classes(), name)
        n_classes = 0 if classes is None else len(classes)
        rows, _, _ = read_populations(X, y, None, self.task, n_classes, name)
        self.check_rows(rows, classes)
        with part_of_fit("relation"):
            relation = self._alone(rows, classes)
        self.tasks_ = rows.names
        self.relation_ = relation
        return self

    def transform(self, X: Any = None) -> NDArray[np.float64]:
        """The rows of the populations that were fitted, whatever `X` is."""
        check_is_fitted(self)
        relation: NDArray[np.float64] = self.relation_.copy()
        return relation

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """`fit`, then `transform`: a row a population."""
        return self.fit(X, y).transform(X)

    def _of_classes(self) -> bool | None:
        """Whether labels are classes; None if the labels themselves say so."""
        return None

    def check_rows(self, rows: Populations, classes: NDArray[Any] | None) -> None:
        """Refuse rows that cannot be described, before anything is fitted."""

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        """A row a population, as a step of a grouper whose estimator makes these models."""
        raise NotImplementedError

    def _alone(self, rows: Populations, classes: NDArray[Any] | None) -> NDArray[np.float64]:
        """A row a population, by parameters of its own."""
        raise NotImplementedError


class _RelationOfModels(PopulationRelation):
    """A relation of models of single populations."""

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

    def _of_classes(self) -> bool | None:
        if self.estimator is None:
            return None
        check_parameters(self.estimator)
        return is_classifier(self.estimator)

    def _alone(self, rows: Populations, classes: NDArray[Any] | None) -> NDArray[np.float64]:
        estimator = self.estimator
        if estimator is None:
            last = Ridge() if classes is None else LogisticRegression(max_iter=1000)
            estimator = make_pipeline(StandardScaler(), last)
        models = make_models(clone(estimator), rows, classes)
        splits = within_folds(rows, self.cv, draw_seeds(self.random_state, 1)[0])
        return self.of_populations(models, splits)


class CrossLosses(_RelationOfModels):
    """How well the model of each population serves each other one, on held-out rows.

    Row t holds, for the model of every population, how much higher its mean loss on the rows of
    population t is than that of all these models in the mean, in units of the spread of all
    entries: populations that the same models serve well have like rows.

    A first step of the `grouper` of `PooledTasksClassifier`, whose estimator, column and folds it
    then has; or alone, with those of its own.

    Parameters
    ----------
    estimator : classifier or regressor, default=None
        None is a logistic or a ridge regression of standardised features, as `y` holds classes
        (whole numbers are) or numbers.
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


class Coefficients(_RelationOfModels):
    """The coefficients of each population's own linear model.

    Row t holds `coef_` and `intercept_` of the last step of the estimator, fitted to the rows of
    population t, less the mean over populations; 0 where a population has too little to fit. They
    are compared as they are: features of one scale, as behind a `StandardScaler`, count alike. All
    populations must have the same features; an encoder stands before, not in the estimator.

    A first step of the `grouper` of `PooledTasksClassifier`, whose estimator, column and folds it
    then has; or alone, with those of its own.

    Parameters
    ----------
    estimator : classifier or regressor, default=None
        None is a logistic or a ridge regression of standardised features, as `y` holds classes
        (whole numbers are) or numbers.
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
        features: dict[Any, int] = {}
        for t, of_task in enumerate(np.eye(n_tasks)):
            fitted = models.fit(of_task, f"population {t}").estimator
            last = None if fitted is None else steps_of(fitted)[-1]
            if last is not None and not hasattr(last, "coef_"):
                raise ValueError(
                    "Coefficients, alone or in a 'grouper', needs an 'estimator' whose last step "
                    f"has 'coef_' when fitted. Got {last!r}: CrossLosses takes any."
                )
            row = None if last is None else np.append(np.ravel(last.coef_), last.intercept_)
            rows.append(row)
            if last is not None:
                features.setdefault(_features_of(fitted, last), t)
        if len(features) > 1:
            a, b = (models.rows.names.tolist()[t] for t in list(features.values())[:2])
            raise ValueError(
                "Coefficients, alone or in a 'grouper', needs an 'estimator' that sees the same "
                f"features in all populations. Those of {a!r} and {b!r} differ, as an encoder "
                "fitted to each does: encode X before, or take CrossLosses."
            )
        width = max((len(row) for row in rows if row is not None), default=1)
        table = np.full((n_tasks, width), np.nan)
        for t, row in enumerate(rows):
            if row is not None and len(row) == width:
                table[t] = row
        known = ~np.isnan(table[:, 0])
        if known.any():
            table[known] -= table[known].mean(axis=0)
        return np.nan_to_num(table)


def _features_of(fitted: Any, last: Any) -> tuple[Any, ...]:
    """Names of what the last step of a fitted estimator sees, or how many there are."""
    n_features = np.shape(last.coef_)[-1]
    if last is not fitted:
        with contextlib.suppress(Exception):  # a step that names nothing
            return tuple(fitted[:-1].get_feature_names_out())
    return (n_features,)


class Gradients(PopulationRelation):
    """Into which direction the rows of each population pull one net that learns them all.

    While a net of a single task trains on the rows of all populations, at the end of its epochs,

        C[s, t] = ∇L_s · ∇L_t / (‖∇L_s‖ ‖∇L_t‖)

    of the gradients of the populations' mean losses for all weights of the net, which are one and
    the same for all populations. Row t holds the means over the epochs of the cosines of
    population t: populations that pull alike have like rows. It is `GradientCosineAffinity` for
    tasks that are rows.

    A first step of the `grouper` of `PooledTasksClassifier`, whose column and training rows it then
    has, whatever the estimator; or alone.

    Parameters
    ----------
    net : MultiTaskNet, default=None
        Learns the labels of all rows; its `task_types` are those of `y`. None is an `MLP` with a
        hidden layer of 16, and without weights of classes. Gradients of all populations are held at
        once: n_tasks times its number of weights. Its `checkpoint` keeps what was recorded, too.
    task : str or int, default=None
        Column of `X` with the population. The net does not see it.
    every : int, default=1
        Record at the end of the first epoch and of each `every`-th after it.
    random_state : int, RandomState or None, default=None
        Determines the net. If None, the `random_state` of the net does.

    Attributes
    ----------
    relation_ : ndarray of shape (n_tasks, n_tasks)
        From -1 to 1, with ones on the diagonal; 0 for a population without rows or a gradient.
    tasks_ : ndarray of shape (n_tasks,)
        The populations.

    Notes
    -----
    Features are numbers, as `MultiTaskNet` takes them (missing values too), and are scaled by the
    net; encoded ones where the estimator is given categories. Gradients are those of the net as it
    predicts, without dropout; classes and rows weigh in them as in its loss.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.populations import Gradients
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=300), rng.integers(6, size=300)])
    >>> y = X[:, 0] * np.sign(X[:, 1] - 2.5)
    >>> relation = Gradients(task=1, random_state=0).fit_transform(X, y)
    >>> np.sign(relation[0]).astype(int)
    array([ 1,  1,  1, -1, -1, -1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "net": [MultiTaskNet, None],
        "task": [str, Integral, None],
        "every": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        net: MultiTaskNet | None = None,
        *,
        task: Any = None,
        every: int = 1,
        random_state: Any = None,
    ) -> None:
        self.net = net
        self.task = task
        self.every = every
        self.random_state = random_state

    def check_rows(self, rows: Populations, classes: NDArray[Any] | None) -> None:
        self._checked(rows, classes)

    def of_populations(self, models: Models, splits: Sequence[Split]) -> NDArray[np.float64]:
        return self._alone(models.rows, models.classes)

    def _alone(self, rows: Populations, classes: NDArray[Any] | None) -> NDArray[np.float64]:
        if len(np.unique(rows.y)) < 2:  # in a split that lacks a class
            return np.eye(rows.n_tasks)
        net, data = self._checked(rows, classes)
        state = net.random_state if self.random_state is None else self.random_state
        with running_fit(net.checkpoint, self, data, rows.codes) as running:
            build_net(net, data, running.draw_seeds(state, 1)[0])
            recorder = _gradients.CosineRecorder(
                net.dataset_of(data), rows.codes, rows.n_tasks, self.every
            )
            train_net(net, data, [recorder], running)
        return recorder.cosines_

    def _checked(
        self, rows: Populations, classes: NDArray[Any] | None
    ) -> tuple[MultiTaskNet, TrainingData]:
        """A net, and the rows as it takes them."""
        if self.net is None:
            net = MultiTaskNet(MLP, module__hidden_units=(16,), class_weight=None)
        else:
            net = clone(self.net)
        types = REGRESSION.name if classes is None else AUTO
        net.set_params(task_types=types, iterator_valid__batch_size=_gradients.AT_A_TIME)
        y = rows.y if classes is None else classes[rows.y]
        try:
            return net, check_data(net, rows.plain_features, y, rows.sample_weight)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "The 'net' of Gradients (alone, or in a 'grouper') cannot learn these rows: "
                f"{error} (CrossLosses needs no net.)"
            ) from error
