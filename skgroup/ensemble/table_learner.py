"""`TableLearner`: estimators that know nothing of task tables, made to learn one as they are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, get_routing_for_object
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import Tensor
from torch.utils.data import Dataset

from skgroup._compat import HasMethods, _fit_context, _routing_enabled, forget_fit
from skgroup._estimators import parts_of, steps_of, there_if, weight_parameter
from skgroup.ensemble._default_members import forest_of_classes, forest_of_numbers
from skgroup.ensemble._encoded_tasks import EncodedTasks, innermost, is_of_tasks
from skgroup.ensemble._members import Member, learnt_tasks, try_member
from skgroup.ensemble._portfolio import PortfolioEstimator
from skgroup.tasks import (
    AUTO,
    REGRESSION,
    TaskTable,
    check_tasks,
    check_weights,
    without_weightless,
)
from skgroup.training.classifier import TaskPredictorMixin, decode
from skgroup.training.data import has_missing

__all__ = ["TableLearner", "default_forest", "says_its_targets", "try_portfolio"]

#: Their classes say nothing of what an estimator learns, only that it is one.
_SAY_NOTHING = ("sklearn.base", "sklearn.utils")


def says_its_targets(estimator: Any) -> bool:
    """Whether an estimator is a classifier or regressor that says by its tags which targets it
    takes, as those of scikit-learn do.

    Estimators of this package and skorch nets read tables as they come; of others that say nothing,
    one cannot know.
    """
    last = innermost(estimator)
    if is_of_tasks(last) or isinstance(last, NeuralNet):
        return False
    if not (is_classifier(last) or is_regressor(last)):
        return False
    for base in type(last).__mro__:
        if base.__module__.partition(".")[0] != "sklearn":
            if "__sklearn_tags__" in vars(base):
                return True
        elif not base.__module__.startswith(_SAY_NOTHING):
            return True
    return False


def _need_proba(learner: Any) -> None:
    """Refuse where the classifier gives no probabilities."""
    if not hasattr(learner.classes, "predict_proba"):
        given = type(learner.classes).__name__
        raise AttributeError(f"TableLearner has no 'predict_proba', as {given} has none.")


class TableLearner(TaskPredictorMixin, BaseEstimator):
    """A classifier, a regressor or both, fitted on a table of tasks as members of portfolios.

    On all tasks at once where it can and no label is missing, else a clone a task on the samples
    that have a label of it. Labels are encoded, and a task of a single class is served by that one.
    What is predicted is what the estimators predict: nothing is weighed or tuned.

    Parameters
    ----------
    classes : classifier, default=None
        For the tasks with classes.
    regression : regressor, default=None
        For the regression tasks.
    task_types : str, sequence of str or dict, default="auto"
        See `MultiTaskNet`.

    Attributes
    ----------
    estimators_ : list
        What was fitted: of the tasks with classes, and of the regression tasks. Where each task
        was learned alone, it has its estimators in `estimators_`.

    Raises
    ------
    ValueError
        In `fit`, if there is no estimator for a kind of tasks that `Y` has.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "classes": [HasMethods(["fit", "predict"]), None],
        "regression": [HasMethods(["fit", "predict"]), None],
        "task_types": "no_validation",
    }

    def __init__(self, classes: Any = None, regression: Any = None, task_types: Any = AUTO) -> None:
        self.classes = classes
        self.regression = regression
        self.task_types = task_types

    @property
    def learners(self) -> list[Any]:
        """The classifier and the regressor, without what is None."""
        return [part for part in (self.classes, self.regression) if part is not None]

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, **params: Any) -> Self:
        """Fit clones on `X` and a task table (n_samples, n_tasks) or (n_samples,).

        `params` are given to both, or to that which requests them where metadata are routed. Of
        them, `sample_weight` may be a weight a label, by which each task is learned alone; each
        gets it by the name that it has for it.
        """
        table, members = self._plan(y, params)
        forget_fit(self)
        self._learn_tasks(table)
        self.target_scaling_ = table.target_scaling(None)
        self._outputs = [member.outputs for member in members]
        # Places of their tasks among those that are learned.
        self._places = [np.flatnonzero(m.learns[table.learnable]) for m in members]
        self.estimators_ = [member.fit(X) for member in members]
        return self

    def _plan(
        self, y: Any, params: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[TaskTable, list[Member]]:
        table = check_tasks(y, task_types=self.task_types)
        weight = params.get("sample_weight")
        if weight is not None:
            weight = check_weights(weight, table)
            table = without_weightless(table, weight)
            params = {**params, "sample_weight": weight}
        params = {key: np.asarray(v) if np.ndim(v) else v for key, v in params.items()}
        given = {"classes": params, "regression": params}
        if params and _routing_enabled():
            for key in given if len(self.learners) == 2 else ():
                request = get_routing_for_object(getattr(self, key))
                given[key] = {k: params[k] for k in request.consumes("fit", params.keys())}
        elif weight is not None:
            others = {key: value for key, value in params.items() if key != "sample_weight"}
            for key in given:
                name = weight_parameter(getattr(self, key)) or "sample_weight"
                given[key] = {**others, name: weight}
        tasks, scaling = EncodedTasks.of(table, y), table.target_scaling(None)
        members = []
        left = table.learnable.copy()
        for key, of_key in given.items():
            estimator = getattr(self, key)
            if estimator is None:
                continue
            own = learnt_tasks(estimator, table.has_classes) & table.learnable
            if own.any():
                left &= ~own
                label = type(steps_of(estimator)[-1]).__name__
                member = Member.of("", label, clone(estimator), tasks, scaling, of_key, False)
                members.append(member)
        if left.any():
            t = int(left.argmax())
            raise ValueError(
                f"a {table.task_types[t]} task needs a "
                f"{'classifier' if table.has_classes[t] else 'regressor'}, which is missing."
            )
        return table, members

    def check(self, X: Any, y: Any) -> None:
        """Raise what can be seen to be wrong with the estimators, the table and `X` (None: not
        known yet) before any of them is fitted."""
        for member in self._plan(y)[1]:
            if X is not None:
                _check_inputs(member, X)
            try_member(member, X)

    def learns_alone(self, y: Any) -> bool:
        """Whether there is an estimator a task where several could be one."""
        return any(
            member.is_one_a_task and member.tasks.learned.n_tasks > 1 for member in self._plan(y)[1]
        )

    def predict(self, X: Any) -> NDArray:  # type: ignore[override]
        """What the estimators predict, in the labels of `Y`; see `MultiTaskNet.predict`."""
        check_is_fitted(self, "estimators_")
        answers = [np.asarray(_dense(fitted.predict(X))) for fitted in self.estimators_]
        codes = np.tile(self.constant_codes_, (len(answers[0]), 1))
        numbers = np.full(codes.shape, np.nan)
        for places, answer in zip(self._places, answers, strict=True):
            tasks = self._learned[places]
            answer = answer.reshape(len(answer), -1)
            if self.task_types_[tasks[0]] == REGRESSION.name:
                numbers[:, tasks] = answer
            else:
                flipped = self.positive_codes_[tasks] == 0  # they have learned them as code 1
                codes[:, tasks] = np.where(flipped, 1 - answer, answer)
        is_number = REGRESSION.name in self.task_types_
        labels = decode(codes, self.task_classes_, numbers if is_number else None)
        return labels[:, 0] if self.single_output_ else labels

    def get_metadata_routing(self) -> MetadataRouter:
        """Who is given the parameters of `fit`."""
        router = MetadataRouter(owner=type(self).__name__)
        for key in ("classes", "regression"):
            if getattr(self, key) is not None:
                mapping = MethodMapping().add(caller="fit", callee="fit")
                router.add(**{key: getattr(self, key)}, method_mapping=mapping)
        return router

    @there_if(_need_proba)
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes; see `MultiTaskNet.predict_proba`."""
        return super().predict_proba(X)

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "estimators_")
        layout = self._layout
        parts = [
            outputs.read(fitted, X, "TableLearner")
            for outputs, fitted in zip(self._outputs, self.estimators_, strict=True)
        ]
        flat = np.empty((len(parts[0]), layout.n_outputs), dtype=np.float32)
        for places, part in zip(self._places, parts, strict=True):
            flat[:, layout.columns_of(places)] = part
        flipped = layout.starts[self.positive_codes_[self._learned] == 0]
        flat[:, flipped] = 1 - flat[:, flipped]
        return flat


def default_forest(table: TaskTable) -> TableLearner:
    """The forest that a default portfolio has of a table, of its kinds of tasks."""
    has = table.has_classes
    forest = TableLearner(
        forest_of_classes() if has.any() else None,
        None if has.all() else forest_of_numbers(),
        table.told_types,
    )
    if _routing_enabled():
        for learner in forest.learners:
            learner.set_fit_request(sample_weight=True)
    return forest


def try_portfolio(estimator: PortfolioEstimator, X: Any, y: Any, sample_weight: Any = None) -> None:
    """Raise what a portfolio would refuse before its members train."""
    clone(estimator)._plan(X, y, sample_weight, None)


def _dense(predicted: Any) -> Any:
    return predicted.toarray() if sparse.issparse(predicted) else predicted


def _check_inputs(member: Member, X: Any) -> None:
    """Refuse `X` that an estimator of scikit-learn says it does not take; others know best, and
    so do those that hold estimators, whose tags need not be those of what they hold."""
    first = steps_of(member.alone)[0]
    if not type(first).__module__.startswith("sklearn.") or len(parts_of(first)) > 1:
        return
    if isinstance(X, Dataset | dict):
        raise ValueError(f"{member.label} takes arrays. Got X of {type(X).__name__}.")
    tags = get_tags(first)
    if tags.no_validation:
        return
    tags = tags.input_tags
    lacks = None
    n_dimensions = getattr(X, "ndim", 2)
    if n_dimensions != 2 and not (tags.three_d_array if n_dimensions > 2 else tags.one_d_array):
        lacks = f"samples that are vectors. Got X of shape {tuple(X.shape)}"
    elif sparse.issparse(X) and not tags.sparse:
        lacks = "dense X. Got a sparse one"
    elif not tags.allow_nan and _has_missing(X):
        lacks = "X without missing values (a pipeline may fill them in). Got some"
    if lacks:
        raise ValueError(f"{type(first).__name__} takes {lacks}.")


def _has_missing(X: Any) -> bool:
    if hasattr(X, "isna"):
        return bool(X.isna().to_numpy().any())
    if not sparse.issparse(X) and not isinstance(X, Tensor):
        X = np.asarray(X)
        return X.dtype.kind == "f" and bool(np.isnan(X).any())
    return has_missing(X)
