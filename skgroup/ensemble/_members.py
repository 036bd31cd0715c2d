"""Members of a portfolio: any estimator, fitted on encoded labels, read as flat outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.multioutput import ClassifierChain
from sklearn.utils import get_tags

from skgroup._compat import BaseSearchCV
from skgroup._estimators import check_parameters, weight_parameter
from skgroup._fit_parts import UNHEARD, FitPart, part_of_fit
from skgroup.ensemble._encoded_tasks import (
    EncodedTasks,
    MemberOutputs,
    innermost,
    is_of_tasks,
)
from skgroup.ensemble._out_of_bag import gives_out_of_bag, take_out_of_bag
from skgroup.ensemble.trial import try_classifier
from skgroup.store import NOT_KEPT, RunningFit, handed_on
from skgroup.tasks import (
    AUTO,
    BINARY,
    MISSING,
    TargetScaling,
    TaskTable,
    given_types,
    single_classes_said,
    task_label,
    weights_of_labels,
    weights_of_tasks,
)
from skgroup.training import MultiTaskNet
from skgroup.training.data import take_samples


class _PerTask(BaseEstimator):
    """Clones of an estimator, one a task, each fitted on the samples that have a label of it.

    Parameters
    ----------
    estimator : classifier or regressor
    checkpoint : RunningFit, default=None
        Keeps the clones that are fitted.

    Attributes
    ----------
    estimators_ : list of estimator, one a task
    classes_ : list of ndarray, one a task
        Of a classifier.
    """

    def __init__(self, estimator: Any, checkpoint: RunningFit | None = None) -> None:
        self.estimator = estimator
        self.checkpoint = checkpoint

    def fit(self, X: Any, y: NDArray, **params: NDArray) -> _PerTask:
        """Fit on codes (n_samples, n_tasks), -1 where a label is missing, or numbers, NaN where one
        is; `params` are a number a sample, one a sample and task, or no arrays."""
        # What takes several outputs alone takes a single one as a column.
        single = get_tags(innermost(self.estimator)).target_tags.single_output

        def of_task(t: int) -> Any:
            rows = np.flatnonzero(~_where_missing(y[:, t]))
            labels = y[rows, t] if single else y[rows, t, None]
            given = {key: _of_task(value, rows, t) for key, value in params.items()}
            with part_of_fit(f"task {t}"):
                return clone(self.estimator).fit(take_samples(X, rows), labels, **given)

        running = self.checkpoint or NOT_KEPT
        self.estimators_ = [
            running.stage(f"task{t}", partial(of_task, t)) for t in range(y.shape[1])
        ]
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

    def predict(self, X: Any) -> NDArray:
        """Numbers (n_samples, n_tasks)."""
        every = [np.asarray(estimator.predict(X)) for estimator in self.estimators_]
        return np.column_stack(every)


def _of_rows(params: Mapping[str, Any], rows: NDArray[np.intp]) -> dict[str, Any]:
    """Parameters of `fit` for some samples; those that are no arrays as they are."""
    return {key: value[rows] if np.ndim(value) else value for key, value in params.items()}


def _of_task(value: Any, rows: NDArray[np.intp], task: int) -> Any:
    """What the fit of a task is given of a parameter."""
    if not np.ndim(value):
        return value
    return value[rows] if np.ndim(value) == 1 else value[rows, task]


def _where_missing(labels: NDArray) -> NDArray[np.bool_]:
    missing: NDArray[np.bool_] = labels == MISSING if labels.dtype.kind == "i" else np.isnan(labels)
    return missing


@dataclass(frozen=True)
class Member:
    """An estimator of a portfolio, and how it is fitted.

    Attributes
    ----------
    name : str
    label : str
        Who it is, for messages.
    estimator : estimator
        Unfitted; a `_PerTask` where it is fitted one a task.
    learns : ndarray of bool, of shape (n_tasks,)
        Which tasks of `Y` it is given.
    tasks : EncodedTasks
        These.
    outputs : MemberOutputs
        How its predictions are read.
    reads_missing : bool
        Whether it is given all tasks, with missing labels, as estimators of this package are;
        others are given the codes, or numbers, of the tasks that there is something to learn of.
    params : dict of ndarray of shape (n_samples,) or (n_samples, n_tasks)
        What its `fit` is given beside.
    out_of_bag : bool
        Whether it is a forest that needs no other samples to be held out: one that has bootstrap
        samples and enough trees.
    weight_key : str or None
        By which name `fit` takes the weights of labels that stand for soft ones, where it is given
        some and does not read these.
    """

    name: str
    label: str
    estimator: Any
    learns: NDArray[np.bool_]
    tasks: EncodedTasks
    outputs: MemberOutputs
    reads_missing: bool
    params: dict[str, NDArray]
    out_of_bag: bool = False
    weight_key: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        label: str,
        estimator: Any,
        every: EncodedTasks,
        scaling: TargetScaling,
        params: dict[str, NDArray],
        out_of_bag: bool,
    ) -> Member:
        """Fitted on the whole table, or all of it that it can learn, where that can be, else one a
        task; with `out_of_bag` where that is wished and can be.

        `every` holds all tasks of `Y`, and `scaling` is of these.
        """
        learns = learnt_tasks(estimator, every.table.has_classes)
        tasks = every.select(learns)
        table, learnable = tasks.table, tasks.table.learnable
        if not learnable.any():
            sort = "regression tasks" if is_regressor(estimator) else "tasks with classes"
            raise ValueError(
                f"{label} learns {sort}, of which there are none to learn in Y. Got {estimator!r}."
            )
        tell_types(estimator, every.table, learns, label)
        reads_missing = is_of_tasks(estimator)
        out_of_bag = out_of_bag and not params and gives_out_of_bag(estimator)
        of_labels = any(np.ndim(value) == 2 for value in params.values())
        weight_key = None
        if tasks.learned.soft.any() and not reads_missing:
            weight_key = weight_parameter(estimator)
            if weight_key is None:
                t = int(np.flatnonzero(table.soft)[0])
                raise ValueError(
                    f"{label} must take sample_weight in fit, as {task_label(table.names, t)} is "
                    "a soft task, each label of which it learns as a 1 and a 0 with weights. "
                    f"{estimator!r} does not (in a pipeline: its last step)."
                )
            of_labels, out_of_bag = True, False
        own = learns if reads_missing else learns & every.table.learnable
        params = {k: weights_of_tasks(v, own) if np.ndim(v) else v for k, v in params.items()}
        if not reads_missing and (of_labels or not _takes_table(estimator, tasks.learned)):
            estimator = _PerTask(estimator)
        elif tasks.learned.n_tasks > 1 and is_classifier(estimator):
            # Of tables, scikit-learn has those of two classes alone.
            out_of_bag &= all(kind is BINARY for kind in tasks.learned.kinds)
        of_learned = scaling.select(learns & every.table.learnable)
        outputs = MemberOutputs(table.task_types, learnable, tasks.learned.layout, of_learned)
        return cls(
            name,
            label,
            estimator,
            learns,
            tasks,
            outputs,
            reads_missing,
            params,
            out_of_bag,
            weight_key,
        )

    @property
    def is_one_a_task(self) -> bool:
        """Whether a clone of the estimator learns each task."""
        return isinstance(self.estimator, _PerTask)

    @property
    def alone(self) -> Any:
        """The estimator, or that of which a clone learns each task."""
        return self.estimator.estimator if self.is_one_a_task else self.estimator

    def fit(
        self,
        X: Any,
        samples: NDArray[np.intp] | None = None,
        settings: Mapping[str, Any] | None = None,
        checkpoint: RunningFit = NOT_KEPT,
        part: FitPart = UNHEARD,
    ) -> Any:
        """A clone with other settings, fitted on some samples (all if None), as a part of another
        fit if there is one; where it, or a step of it, has a place for a checkpoint, what it does
        is kept."""
        labels, params = self.tasks.labels, self.params
        if not self.reads_missing:
            learned = self.tasks.learned
            if self.weight_key is not None:
                given: Any = params.get(self.weight_key)
                if samples is not None:
                    learned = learned.take(samples)
                    given = None if given is None else given[samples]
                learned, weight, rows = learned.hardened(given)
                rows, samples = rows if samples is None else samples[rows], None
                X, params = take_samples(X, rows), _of_rows(params, rows)
                params |= {self.weight_key: weights_of_labels(weight, len(rows))}
            labels = learned.codes if learned.values is None else learned.values
        if samples is not None:
            X, labels = take_samples(X, samples), take_samples(labels, samples)
            params = _of_rows(params, samples)
        estimator = clone(self.estimator).set_params(**settings or {})
        with (
            single_classes_said(self.tasks.table),
            handed_on(estimator, checkpoint),
            part.handed_to(estimator),
        ):
            return estimator.fit(X, labels, **params)

    def fit_out_of_bag(
        self, X: Any, checkpoint: RunningFit = NOT_KEPT
    ) -> tuple[Any, NDArray[np.float32]]:
        """A clone fitted on all samples, and what it gives for each without having seen it."""
        alone = self.is_one_a_task
        key = "estimator__oob_score" if alone else "oob_score"
        asked = self.estimator.get_params()[key]
        fitted = self.fit(X, settings={key: asked or True}, checkpoint=checkpoint)
        parts, codes = take_out_of_bag(
            fitted.estimators_ if alone else [fitted],
            X,
            self.tasks.learned.codes,
            a_task=alone,
            keep=bool(asked),
        )
        return fitted, self.outputs.flat(parts, codes, self.label)


def sorts_of(estimator: Any) -> tuple[bool, bool]:
    """Whether an estimator learns tasks with classes, and regression tasks."""
    last = innermost(estimator)
    if is_of_tasks(last):
        # By its tags, a net is a classifier as long as it does not know its tasks.
        types = getattr(last, "task_types", None)
        is_open = types is not None and (not isinstance(types, str) or types == AUTO)
        if is_open or not (is_classifier(last) or is_regressor(last)):
            return True, True
    return is_classifier(estimator), is_regressor(estimator)


def learnt_tasks(estimator: Any, has_classes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the tasks, (n_tasks,), an estimator learns."""
    of_classes, of_numbers = sorts_of(estimator)
    return np.where(has_classes, of_classes, of_numbers)


def tell_types(estimator: Any, table: TaskTable, learns: NDArray[np.bool_], label: str) -> None:
    """Tell nets, wherever they are in an estimator, the kinds of the tasks that they are given: a
    part of the samples may look like another kind.

    Raises
    ------
    ValueError
        If they say something else.
    """
    last = innermost(estimator)
    if not is_of_tasks(last):
        return
    own = table.select(learns)
    told: Any = own.told_types
    if told != AUTO:
        told = told if isinstance(told, str) else list(told)
        if "estimator" in last.get_params(deep=False) and last.estimator is None:
            last.set_params(estimator=MultiTaskNet())
    keys = [key for key in estimator.get_params() if key.rpartition("__")[2] == "task_types"]
    for key in keys:
        given = given_types(estimator.get_params()[key], table.n_tasks, table.names)
        for t in np.flatnonzero(learns):
            if given[t] not in (AUTO, table.task_types[t]):
                raise ValueError(
                    f"{label} must learn {task_label(table.names, t)} as what it is for all "
                    f"members, a {table.task_types[t]} task. Its {key!r} says {given[t]!r}: leave "
                    "it out, and tell the portfolio."
                )
    estimator.set_params(**dict.fromkeys(keys, told))


def check_member(label: str, member: Any, sorts: tuple[bool, bool]) -> None:
    """Refuse what is of no sort that a portfolio takes, or has wrong parameters.

    Parameters
    ----------
    label : str
        Who the member is.
    member : estimator
    sorts : tuple of bool
        Whether the portfolio takes tasks with classes, and regression tasks.
    """
    rule = f"{label} must be"
    is_estimator = hasattr(member, "fit") and not isinstance(member, type)
    if not is_estimator or not any(map(min, sorts, sorts_of(member))):
        words = zip(("a classifier", "a regressor"), sorts, strict=True)
        sort = " or ".join(word for word, is_taken in words if is_taken)
        raise ValueError(f"{rule} {sort} (an instance, not a class), or 'drop'. Got {member!r}.")
    if sorts_of(member)[0] and not hasattr(member, "predict_proba"):
        raise ValueError(
            f"{rule} a classifier with predict_proba, as its probabilities are weighed with those "
            f"of others. Got {member!r}."
        )
    try:
        check_parameters(member)
        clone(member)
    except Exception as error:
        raise ValueError(f"{label} cannot be fitted: {error}") from error


def try_member(member: Member, X: Any) -> None:
    """What can be seen of a member on the data before any member trains."""
    estimator, tasks = clone(member.estimator), member.tasks
    several = any(not kind.has_two_classes for kind in tasks.learned.kinds)
    try:
        if several and isinstance(innermost(member.alone), ClassifierChain):
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
        raise kind(f"{member.label} cannot be fitted: {error}{hint}") from error


def _takes_table(estimator: Any, table: TaskTable) -> bool:
    """Whether an estimator that knows nothing of missing labels is fitted on all tasks at once."""
    if table.n_tasks == 1 or (table.codes == MISSING).any() or isinstance(estimator, BaseSearchCV):
        return False
    tags = get_tags(estimator)
    binary = all(kind is BINARY for kind in table.kinds)
    multi_label = tags.classifier_tags is not None and tags.classifier_tags.multi_label
    return bool(tags.target_tags.multi_output or (binary and multi_label))
