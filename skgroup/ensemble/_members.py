"""Members of a portfolio: any classifier, fitted on encoded labels, read as flat probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skgroup._compat import BaseSearchCV
from skgroup._estimators import check_parameters
from skgroup.ensemble._out_of_bag import gives_out_of_bag, take_out_of_bag
from skgroup.ensemble.trial import try_classifier
from skgroup.tasks import BINARY, MISSING, OutputLayout, TaskTable, single_classes_said
from skgroup.training.classifier import TaskPredictorMixin
from skgroup.training.data import take_samples

#: How far from [0, 1] float32 probabilities may be.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class EncodedTasks:
    """What members are given for `Y`.

    Attributes
    ----------
    table : TaskTable
        All tasks, of the classes 0, 1, ...; the positive class of a binary task is 1, where one is
        known.
    labels : ndarray or DataFrame
        Its codes as an estimator takes them, of shape (n_samples, n_tasks) or (n_samples,): ints,
        or floats with NaN where a label is missing.
    flipped : ndarray of bool, of shape (n_tasks,)
        Of which tasks the classes have changed places for that.
    """

    table: TaskTable
    labels: Any
    flipped: NDArray[np.bool_]

    @classmethod
    def of(cls, table: TaskTable, Y: Any) -> EncodedTasks:
        flipped = table.learnable & (table.positive == 0)
        codes = np.where(flipped & (table.codes != MISSING), 1 - table.codes, table.codes)
        values = codes.astype(np.int64)
        if (codes == MISSING).any():
            values = np.where(codes == MISSING, np.nan, codes)
        classes = [np.arange(len(c)).astype(values.dtype) for c in table.classes]
        positive = np.where(flipped, 1, table.positive)
        table = replace(table, codes=codes, classes=classes, positive=positive)
        labels: Any = values[:, 0] if table.is_1d else values
        if table.names is not None and not table.is_1d:
            if hasattr(Y, "get_columns"):  # polars
                labels = type(Y)(dict(zip(table.names, values.T, strict=True)))
            else:
                import pandas as pd

                labels = pd.DataFrame(values, columns=table.names)
        return cls(table, labels, flipped)

    @property
    def learned(self) -> TaskTable:
        """The table of the tasks that there is something to learn of."""
        return self.table.select(self.table.learnable)


class _PerTaskClassifier(BaseEstimator):
    """Clones of a classifier, one a task, each fitted on the samples that have a label of it.

    Parameters
    ----------
    estimator : classifier

    Attributes
    ----------
    estimators_ : list of classifier, one a task
    classes_ : list of ndarray, one a task
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: NDArray[np.integer], **params: NDArray) -> _PerTaskClassifier:
        """Fit on codes (n_samples, n_tasks), -1 where a label is missing; `params` are a number a
        sample."""
        # What takes several outputs alone takes a single one as a column.
        single = get_tags(innermost(self.estimator)).target_tags.single_output
        self.estimators_ = []
        for codes in y.T:
            rows = np.flatnonzero(codes != MISSING)
            of_task = codes[rows] if single else codes[rows, None]
            given = {key: value[rows] for key, value in params.items()}
            self.estimators_.append(
                clone(self.estimator).fit(take_samples(X, rows), of_task, **given)
            )
        return self

    @property
    def classes_(self) -> list[NDArray]:
        every = [estimator.classes_ for estimator in self.estimators_]
        return [classes[0] if isinstance(classes, list) else classes for classes in every]

    def predict_proba(self, X: Any) -> list[NDArray]:
        """Probabilities (n_samples, n_classes) of each task."""
        every = [estimator.predict_proba(X) for estimator in self.estimators_]
        parts = [proba[0] if isinstance(proba, list) else proba for proba in every]
        return [BINARY.of_classes(p) if p.shape[1] == 1 else p for p in parts]


@dataclass(frozen=True)
class Member:
    """A classifier of a portfolio, and how it is fitted.

    Attributes
    ----------
    name : str
    estimator : classifier
        Unfitted; a `_PerTaskClassifier` where it is fitted one a task.
    reads_missing : bool
        Whether it is given all tasks, with missing labels, as estimators of this package are;
        others are given the codes of the tasks that there is something to learn of.
    params : dict of ndarray of shape (n_samples,)
        What its `fit` is given beside.
    out_of_bag : bool
        Whether it is a forest that needs no other samples to be held out: one that has bootstrap
        samples and enough trees.
    """

    name: str
    estimator: Any
    reads_missing: bool
    params: dict[str, NDArray]
    out_of_bag: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        estimator: Any,
        tasks: EncodedTasks,
        params: dict[str, NDArray],
        out_of_bag: bool,
    ) -> Member:
        """Fitted on the whole table where that can be, else one a task; with `out_of_bag` where
        that is wished and can be."""
        reads_missing = isinstance(innermost(estimator), TaskPredictorMixin)
        out_of_bag &= gives_out_of_bag(estimator) and not params
        if not reads_missing and not _takes_table(estimator, tasks.learned):
            estimator = _PerTaskClassifier(estimator)
        elif tasks.learned.n_tasks > 1:  # of tables, scikit-learn has those of two classes alone
            out_of_bag &= all(kind is BINARY for kind in tasks.learned.kinds)
        return cls(name, estimator, reads_missing, params, out_of_bag)

    def fit(
        self,
        X: Any,
        tasks: EncodedTasks,
        samples: NDArray[np.intp] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Any:
        """A clone with other settings, fitted on some samples (all if None)."""
        labels, params = tasks.labels if self.reads_missing else tasks.learned.codes, self.params
        if samples is not None:
            X, labels = take_samples(X, samples), take_samples(labels, samples)
            params = {key: value[samples] for key, value in params.items()}
        with single_classes_said(tasks.table):
            return clone(self.estimator).set_params(**settings or {}).fit(X, labels, **params)

    def fit_out_of_bag(self, X: Any, tasks: EncodedTasks) -> tuple[Any, NDArray[np.float32]]:
        """A clone fitted on all samples, and what it gives for each without having seen it."""
        alone = isinstance(self.estimator, _PerTaskClassifier)
        key = "estimator__oob_score" if alone else "oob_score"
        asked = self.estimator.get_params()[key]
        fitted = self.fit(X, tasks, settings={key: asked or True})
        parts, codes = take_out_of_bag(
            fitted.estimators_ if alone else [fitted],
            X,
            tasks.learned.codes,
            a_task=alone,
            keep=bool(asked),
        )
        return fitted, _flat(parts, codes, tasks.learned.layout, self.name)


def flat_probabilities(
    fitted: Any, X: Any, learned: NDArray[np.bool_], layout: OutputLayout, name: str
) -> NDArray[np.float32]:
    """What a fitted member gives for the tasks that are learned.

    Parameters
    ----------
    fitted : classifier
    X : array-like of shape (n_samples, ...)
    learned : ndarray of bool, of shape (n_tasks,)
    layout : OutputLayout
        Of the tasks that are learned.
    name : str
        Of the member, for messages.

    Returns
    -------
    proba : ndarray of shape (n_samples, n_outputs)
        Probability of code 1 of binary tasks, of each class of others, task after task.
    """
    with warnings.catch_warnings():
        # The portfolio has warned of names that are missing, once for all.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        proba = fitted.predict_proba(X)
    # An estimator of this package has columns of all tasks, others of those that are learned.
    columns = np.flatnonzero(learned)
    if not isinstance(innermost(fitted), TaskPredictorMixin):
        columns = np.arange(len(columns))
    codes: list[Any] = [np.arange(2)] * len(columns)
    if isinstance(proba, list | tuple):
        parts = [np.asarray(proba[t]) for t in columns]
        codes = [fitted.classes_[t] for t in columns]
    elif len(learned) == 1 and not isinstance(fitted.classes_, list):
        parts, codes = [np.asarray(proba)], [fitted.classes_]
    else:
        parts = [BINARY.of_classes(p[:, None]) for p in np.asarray(proba)[:, columns].T]
    return _flat(parts, codes, layout, name)


def _flat(
    parts: list[NDArray], codes: list[NDArray], layout: OutputLayout, name: str
) -> NDArray[np.float32]:
    """Probabilities (n_samples, n_outputs) from those of the classes of each task that a member
    has met."""
    of_tasks = []
    for part, of_part, n_classes in zip(parts, codes, layout.n_classes, strict=True):
        of_classes = np.zeros((len(part), n_classes), dtype=np.float32)
        of_classes[:, np.asarray(of_part).astype(np.intp)] = part
        of_tasks.append(of_classes)
    table = layout.of_outputs(of_tasks)
    if table.size and not (table.min() >= -_ROUNDING and table.max() <= 1 + _ROUNDING):
        raise ValueError(
            f"Member {name!r} of PortfolioClassifier must give probabilities in [0, 1]. Got "
            f"{table.min():.3g} to {table.max():.3g}."
        )
    return np.clip(table, 0, 1, out=table)


def check_member(name: str, member: Any) -> None:
    """Refuse what is no classifier with probabilities, or has wrong parameters."""
    rule = f"Member {name!r} of PortfolioClassifier must be"
    if isinstance(member, type) or not hasattr(member, "fit") or not is_classifier(member):
        raise ValueError(
            f"{rule} a classifier (an instance, not a class), or 'drop'. Got {member!r}."
        )
    if not hasattr(member, "predict_proba"):
        raise ValueError(
            f"{rule} a classifier with predict_proba, as its probabilities are weighed with those "
            f"of others. Got {member!r}."
        )
    try:
        check_parameters(member)
        clone(member)
    except Exception as error:
        raise ValueError(
            f"Member {name!r} of PortfolioClassifier cannot be fitted: {error}"
        ) from error


def try_member(member: Member, X: Any, tasks: EncodedTasks) -> None:
    """What can be seen of a member on the data before any member trains."""
    estimator = clone(member.estimator)
    several = any(kind is not BINARY for kind in tasks.learned.kinds)
    try:
        if several and isinstance(innermost(estimator), ClassifierChain):
            raise ValueError("it gives probabilities of tasks of two classes alone.")
        with single_classes_said(tasks.table):
            weight = member.params.get("sample_weight")
            try_classifier(estimator, X, tasks.labels, weight)
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        hint = ""
        if "class_weight" in str(error):  # of the labels of Y, perhaps
            hint = (
                " Members see 0, 1, ... for the classes of a task, in their order but 1 for a "
                "positive class, and what they are told of classes speaks of these."
            )
        raise kind(
            f"Member {member.name!r} of PortfolioClassifier cannot be fitted: {error}{hint}"
        ) from error


def innermost(estimator: Any) -> Any:
    """The classifier at the end of a pipeline, or that a search tries."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, BaseSearchCV | _PerTaskClassifier):
            estimator = estimator.estimator
        else:
            return estimator


def weight_parameter(estimator: Any) -> str | None:
    """By which name `fit` takes weights of samples, in a pipeline those of its last step; None if
    it takes none, or what it is made of takes none."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weight_parameter(last)
        return None if inner is None else f"{name}__{inner}"
    if isinstance(estimator, BaseSearchCV):
        return weight_parameter(estimator.estimator)
    inner = getattr(estimator, "estimator", None)
    if hasattr(inner, "fit") and weight_parameter(inner) != "sample_weight":
        return None
    return "sample_weight" if has_fit_parameter(estimator, "sample_weight") else None


def _takes_table(estimator: Any, table: TaskTable) -> bool:
    """Whether a classifier that knows nothing of missing labels is fitted on all tasks at once."""
    if table.n_tasks == 1 or (table.codes == MISSING).any() or isinstance(estimator, BaseSearchCV):
        return False
    tags = get_tags(estimator)
    binary = all(kind is BINARY for kind in table.kinds)
    multi_label = tags.classifier_tags is not None and tags.classifier_tags.multi_label
    return bool(tags.target_tags.multi_output or (binary and multi_label))
