"""What every estimator of a task table shares: labels in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skgroup._compat import get_predict_output, set_predict_output
from skgroup._estimators import there_if
from skgroup.metrics.scoring import mean_score, weight_of
from skgroup.tasks import (
    CLASSES,
    KINDS,
    MISSING,
    NO_POSITIVE,
    REGRESSION,
    UNKNOWN,
    OutputLayout,
    TargetScaling,
    TaskTable,
    by_task_key,
    check_tasks,
    task_label,
)
from skgroup.training._device_net import PREDICTED_AT_A_TIME
from skgroup.training._named_output import index_of, named_labels, named_proba
from skgroup.training._written import holds_labels, holds_numbers, write_predictions
from skgroup.training.deployed import DeployedTasks, check_output
from skgroup.training.task_estimator import TaskEstimatorMixin
from skgroup.training.task_view import TaskClassifierView, TaskRegressorView, task_view

__all__ = ["TaskClassifierMixin", "TaskPredictorMixin", "TaskRegressorMixin", "decode"]


class _TaskClasses(list):
    """A list of the classes of each task; `cross_val_predict` asks it for its shape too."""

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)


def _need_classes(estimator: Any, what: str = "predict_proba") -> None:
    """Refuse where no task has classes, as far as that is known."""
    types = getattr(estimator, "task_types_", None)
    if types is None:
        given = getattr(estimator, "task_types", None)
        types = [given] if isinstance(given, str) else []
    if len(types) and all(of_task == REGRESSION.name for of_task in types):
        names = getattr(estimator, "task_names_in_", None)
        raise AttributeError(
            f"{type(estimator).__name__} has no {what!r}: {task_label(names, 0)}, as all others, "
            "is a regression task."
        )


class TaskPredictorMixin(TaskEstimatorMixin):
    """Predictions in the labels of `Y`, from what nets give in one flat array.

    A subclass calls `_learn_tasks` in `fit` and implements `_flat_proba(X)`, of shape
    (n_samples, n_outputs): the probability of the second class where a task is binary, of each
    class where it has more, and of a regression task the prediction in standard deviations from
    the mean, task after task. Tasks of a single class have no part in it, nor in `task_outputs_`.
    """

    takes_training_data = False
    target_scaling_: TargetScaling

    def _check_kinds(self, table: TaskTable) -> None:
        """Refuse tasks of kinds that are another estimator's."""

    def _learn_tasks(self, table: TaskTable) -> None:
        self.task_classes_: list[NDArray] = table.classes
        self.task_outputs_ = table.select(table.learnable).task_outputs
        self.task_types_ = table.task_types
        self.positive_codes_ = table.positive
        self.constant_codes_ = table.constant
        self.single_output_ = table.is_1d
        self._learn_names(table)

    @property
    def _layout(self) -> OutputLayout:
        """Where the tasks that are learned stand in outputs."""
        return OutputLayout(self.task_outputs_, [self.task_types_[t] for t in self._learned])

    @property
    def _learned(self) -> NDArray[np.intp]:
        """Positions of the tasks that are learned: those of which several classes were met."""
        return np.flatnonzero(self._is_learned)

    @property
    def _is_learned(self) -> NDArray[np.bool_]:
        """Which tasks are learned, (n_tasks,)."""
        learned: NDArray[np.bool_] = self.constant_codes_ == MISSING
        return learned

    @property
    def classes_(self) -> Any:
        """Labels: ndarray of shape (n_classes,) if `y` was 1-D, else a list of one a task, None
        of a regression task."""
        _need_classes(self, "classes_")
        try:
            if self.single_output_:
                return self.task_classes_[0]
            return _TaskClasses(
                None if name == REGRESSION.name else of_task
                for of_task, name in zip(self.task_classes_, self.task_types_, strict=True)
            )
        except AttributeError:
            raise AttributeError(
                f"'{type(self).__name__}' object has no attribute 'classes_' before fit"
            ) from None

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        raise NotImplementedError

    def _outputs_module(self, *, logits: bool = False) -> nn.Module:
        """`_flat_proba` as a module, or the logits of these probabilities."""
        raise NotImplementedError

    def to_module(self, output: str = "probability") -> DeployedTasks:
        """The fitted estimator as one plain torch module, to be deployed without this package.

        All that stands between features and predictions is inside: scaling and missing values,
        members, specialists and their weights, thresholds, and the units of numbers.
        `torch.export.export` and `torch.onnx.export(..., dynamo=True)` (this from torch 2.7 on)
        take it, given an example batch of more than one sample (torch fixes the size of a batch
        of one); so does `torch.compile`. What these make needs neither this package nor
        scikit-learn.

        Parameters
        ----------
        output : {"probability", "prediction"}, default="probability"
            "probability": a column for a binary task, the probability of its second class; one a
            class where there are more; and the number of a regression task, in its units.
            "prediction": a column a task, the code of its class (position in `classes`) or its
            number; int64 where no task is a regression task. -1 in rows of NaN, where `fit` takes
            none: a module cannot refuse them.

        Returns
        -------
        module : torch.nn.Module
            From a batch of features (batch, n_features_in_), NaN where `fit` takes it, images, or
            what else the module is given in training, to a tensor (batch, n_columns). On the CPU,
            set to predict, with weights of its own. `task_names`, `task_types`, `classes`,
            `columns` (a slice a task) and `feature_names` say what is what; `metadata` the same as
            strings of JSON.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        TypeError
            If some member is no net, or the net is of a subclass with an `infer` of its own.
        ValueError
            If `output` is none of these, or prediction transforms samples before the net
            (`iterator_valid__transform`).

        Notes
        -----
        Equal to `predict_proba` and `predict` to rounding, in float32: numbers too, and what is
        trained in bfloat16. Columns are matched by position, and infinity is not refused. Steps
        of a pipeline before the estimator stay outside: `pipeline[-1].to_module()` takes what
        they make. A net of inputs by name takes a dict of them.
        """
        check_output(output)
        check_is_fitted(self)
        module = DeployedTasks(self, output)
        return module.eval().requires_grad_(False)

    def _for_task(self, task: int) -> Self:
        """What predicts this task as the estimator does, maybe with less work, and others as it
        likes."""
        return self

    def task(self, task: Any) -> TaskClassifierView | TaskRegressorView:
        """One task, as a fitted classifier or regressor that scikit-learn's tools take.

        Parameters
        ----------
        task : str or int
            The name of the task; its position where `Y` had no names.

        Returns
        -------
        view : TaskClassifierView or TaskRegressorView
            With 1-D predictions, `classes_`, and accuracy or R² for `score`. It shows this
            estimator, and trains nothing. Of pipelines and searches, see `skgroup.task_view`.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If there is no such task.
        """
        return task_view(self, task)

    def set_output(self, *, predict: str | None = None) -> Self:
        """Have predictions come with the names of tasks, classes and samples.

        Parameters
        ----------
        predict : {"pandas", "default"}, default=None
            "pandas": `predict` gives a DataFrame with a column a task, each in its own type (a
            Series if `y` was 1-D in `fit`), and `predict_proba` a DataFrame of tasks that are all
            binary, else a dict by task of DataFrames with a column a class. Their index is that of
            `X` where it is a frame of pandas. "default": arrays. None leaves it as it is.

        Returns
        -------
        self : the estimator
            Clones and pickles keep what is set.

        Raises
        ------
        ImportError
            If pandas is missing.
        ValueError
            If it is none of these.
        """
        if predict not in ("pandas", "default", None):
            raise ValueError(
                "The 'predict' parameter of set_output must be 'pandas', 'default' or None. Got "
                f"{predict!r}."
            )
        if predict == "pandas":
            import pandas  # noqa: F401
        if predict is not None:
            set_predict_output(self, predict)
        return self

    @property
    def _gives_frames(self) -> bool:
        return get_predict_output(self) == "pandas"

    # Pipelines hand it on, with metadata routing too.
    __metadata_request__predict: ClassVar[dict[str, Any]] = {"out": True}
    __metadata_request__predict_proba: ClassVar[dict[str, Any]] = {"out": True}

    @property
    def _predicted_at_a_time(self) -> int:
        """Samples that nets predict at a time, -1 for all."""
        return PREDICTED_AT_A_TIME

    def _written(self, X: Any, out: Any, read: Any, empty: NDArray, holds: Any, rule: str) -> Any:
        """Predictions of some samples at a time in `out`; `read` makes them of `_flat_proba`."""
        return write_predictions(
            X,
            out,
            lambda part: read(self._flat_proba(part)),
            empty,
            holds=holds,
            rule=rule,
            # Codes and labels take twice the room of a float32.
            size=sum(self.task_outputs_) + 4 * self.n_tasks_,
            batch_size=self._predicted_at_a_time,
        )

    def _no_outputs(self) -> NDArray[np.float32]:
        """What `_flat_proba` gives of no samples."""
        return np.zeros((0, sum(self.task_outputs_)), dtype=np.float32)

    @there_if(_need_classes)
    def predict_proba(self, X: Any, out: Any = None) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples as in `fit`.
        out : ndarray or path, default=None
            See `predict`. Of a list, or dict, of arrays a task, one array in which they stand side
            by side, (n_samples, all classes of these tasks), of which views are returned. float32,
            or wider.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_tasks), list or dict of ndarray, or ndarray
            Probability of the second class, if every task is binary; else a list of
            (n_samples, n_classes) a task; (n_samples, n_classes) if `y` was 1-D in `fit`. Where
            some tasks are regression tasks, a dict of (n_samples, n_classes) of the others, by
            name (position, if `Y` had no names). A task of which `fit` has met a single class
            counts as binary; if that class is none of 0, 1, False and True, it has no second
            class, whose probability is 0. With names after `set_output`.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        AttributeError
            If all tasks are regression tasks.
        OSError, TypeError
            As of `predict`.
        ValueError
            If `X` does not fit what was seen in `fit`; before any prediction, if `out` is not
            right.
        """
        if out is not None:
            check_is_fitted(self)
            empty = self._proba(self._no_outputs())
            table = self._written(
                X,
                out,
                lambda flat: _side_by_side(self._proba(flat)),
                _side_by_side(empty),
                holds_numbers,
                "probabilities, float32 or wider",
            )
            return _as_given(table, empty)
        proba = self._proba(self._flat_proba(X))
        if not self._gives_frames:
            return proba
        names = getattr(self, "task_names_in_", None)
        is_1d = self.single_output_
        return named_proba(proba, self.task_classes_, names, index_of(X), is_1d=is_1d)

    def _proba(self, proba: NDArray[np.float32]) -> Any:
        """What `predict_proba` gives, from flat probabilities."""
        learned = self._learned
        numbers = [name == REGRESSION.name for name in self.task_types_]
        in_columns = all(KINDS[name].has_two_classes for name in self.task_types_)
        if in_columns and not self.single_output_:
            if len(learned) == self.n_tasks_:
                return proba
            table = np.tile(self.constant_codes_.astype(proba.dtype), (len(proba), 1))
            table[:, learned] = proba
            return table
        of_tasks = self._proba_of_tasks(proba)
        if any(numbers):
            names = getattr(self, "task_names_in_", range(self.n_tasks_))
            there = zip(names, of_tasks, numbers, strict=True)
            return {name: of_task for name, of_task, is_number in there if not is_number}
        return of_tasks[0] if self.single_output_ else of_tasks

    def predict(self, X: Any, out: Any = None) -> Any:
        """The most probable class of every task (the positive class of a binary task where its
        probability is above the task's threshold, if the estimator has thresholds of its own), or
        the number of a regression task.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples as in `fit`.
        out : ndarray or path, default=None
            Where predictions go, for samples that do not fit into memory (a memory-mapped array, a
            Dataset): a writable array of the shape of what is returned without it, np.memmap
            too, of any dtype that holds all labels (int8 for 0 and 1; numbers of regression tasks
            take float32 or wider); or the path of a file of NumPy's, "….npy". Some samples are
            predicted at a time, so that memory stays small whatever their number.

        Returns
        -------
        labels : ndarray of shape (n_samples, n_tasks), or (n_samples,) if `y` was 1-D
            In the labels of `Y`; float64 where some tasks are regression tasks, or objects where
            others have strings. With names, each task in its own type, after `set_output`. `out`,
            without names, if it is given; of a file, what was written, memory-mapped to be read.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        OSError
            If a file cannot be written, or a Dataset cannot be read.
        TypeError
            If `out` is neither an array nor a path.
        ValueError
            If `X` does not fit what was seen in `fit`. Before any prediction, if `out` has another
            shape, or a dtype that cannot hold what is predicted, or is read-only, or is (the file
            of) `X`. After an error a file is as it was, or not there; an array may be filled in
            part. A process that is killed leaves a part of it beside it, ".skgroup-….part".
        """
        if out is not None:
            check_is_fitted(self)
            empty = self._decoded(self._no_outputs())
            classes = [
                c[:0] if name == REGRESSION.name else c
                for c, name in zip(self.task_classes_, self.task_types_, strict=True)
            ]
            holds = holds_labels(classes, empty.dtype)
            return self._written(
                X, out, self._decoded, empty, holds, f"all labels, as {empty.dtype} does"
            )
        proba = self._flat_proba(X)
        if not self._gives_frames:
            return self._decoded(proba)
        names = getattr(self, "task_names_in_", None)
        labels = self._labels_of_tasks(proba)
        return named_labels(labels, names, index_of(X), is_1d=self.single_output_)

    def _decoded(self, proba: NDArray) -> NDArray:
        """Predictions of all tasks in one array, (n_samples, n_tasks) or (n_samples,)."""
        numbers = self._numbers(proba) if REGRESSION.name in self.task_types_ else None
        labels = decode(self._codes(proba), self.task_classes_, numbers)
        return labels[:, 0] if self.single_output_ else labels

    def _codes(self, proba: NDArray) -> NDArray[np.intp]:
        """Predicted classes (n_samples, n_tasks), as codes."""
        learned = self._learned
        threshold = np.broadcast_to(getattr(self, "thresholds_", 0.5), self.n_tasks_)[learned]
        first_is_positive = self.positive_codes_[learned] == 0
        codes = np.tile(self.constant_codes_, (len(proba), 1))
        codes[:, learned] = self._layout.decide(proba, threshold, first_is_positive)
        return codes

    def _labels_of_tasks(self, proba: NDArray) -> list[NDArray]:
        """Predictions (n_samples,) of each task, in its own type."""
        codes, numbers = self._codes(proba), self._numbers(proba)
        return [
            numbers[:, t] if len(c) == 0 else c[codes[:, t]]
            for t, c in enumerate(self.task_classes_)
        ]

    def _proba_of_tasks(self, proba: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Probabilities (n_samples, n_classes) of each task; of no meaning of regression tasks."""
        of_tasks: list[NDArray[np.float32]] = [
            np.tile(np.eye(max(1, len(c)), dtype=proba.dtype)[max(0, k)], (len(proba), 1))
            for c, k in zip(self.task_classes_, self.constant_codes_, strict=True)
        ]
        learned = self._learned
        for t, of_classes in zip(learned, self._layout.of_classes(proba), strict=True):
            of_tasks[t] = of_classes
        return of_tasks

    def _numbers(self, proba: NDArray) -> NDArray[np.float64]:
        """Predictions (n_samples, n_tasks) of regression tasks in their units, NaN of others."""
        layout, learned = self._layout, self._learned
        numbers = np.full((len(proba), self.n_tasks_), np.nan)
        columns = layout.starts[layout.tasks_of(REGRESSION)]
        tasks = learned[layout.tasks_of(REGRESSION)]
        numbers[:, tasks] = self.target_scaling_.select(tasks).numbers(proba[:, columns])
        return numbers

    def _pos_label_of(self, task: int) -> Any:
        """The positive class that the parameters give to a task, None if they do not."""
        given = getattr(self, "pos_label", None)
        if given is None:
            given = getattr(getattr(self, "estimator", None), "pos_label", None)
        if not isinstance(given, Mapping):
            return given
        names = getattr(self, "task_names_in_", None)
        return by_task_key(given, names).get(task if names is None else names[task])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean over tasks of F1, or of R² where a task is a regression task.

        See `skgroup.metrics.multitask_f1_score` and `multitask_r2_score`. A task whose score is not
        defined on these samples is left out, with an UndefinedMetricWarning.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            True labels; missing ones do not count. A label that was not met in `fit` is a class
            of its own that is never predicted. Columns of a DataFrame are matched by their names
            with those of `fit`.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None

        Returns
        -------
        score : float

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If a task of `fit` is missing or one is new, or nothing says which class of a binary
            task is the positive one (`pos_label`).
        """
        predicted, table = self._decoded(self._flat_proba(X)), self.table_to_score(y)
        return mean_score(table, predicted, weight_of(sample_weight, y, table))

    def table_to_score(self, y: Any) -> TaskTable:
        """True labels as scores read them.

        Parameters
        ----------
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)

        Returns
        -------
        table : TaskTable
            The tasks of `fit` in their order; classes that it has not met stand behind the others.

        Raises
        ------
        ValueError
            If a task of `fit` is missing or one is new.
        """
        # A label that fit has not met may make a task one of more classes, or be the positive class
        # of one that had a single class: of that one, the class that was met alone is known.
        met = [
            c if k == MISSING else c[[k]]
            for c, k in zip(self.task_classes_, self.constant_codes_, strict=True)
        ]
        numbers = [name == REGRESSION.name for name in self.task_types_]
        table = check_tasks(
            y,
            classes=met,
            names=getattr(self, "task_names_in_", None),
            add_classes=True,
            task_types=[name if KINDS[name].reads_values else CLASSES for name in self.task_types_],
        )
        positive = self.positive_codes_.copy()
        for t in np.flatnonzero((self.constant_codes_ != MISSING) & ~np.array(numbers)):
            labels = table.classes[t].tolist()
            given = self._pos_label_of(int(t))
            if given not in labels and positive[t] != UNKNOWN:
                given = self.task_classes_[t][positive[t]].item()
            otherwise = table.positive[t] if len(labels) == 2 else UNKNOWN
            positive[t] = labels.index(given) if given in labels else otherwise
        binary = [kind.has_two_classes for kind in table.kinds]
        positive = np.where(binary, positive, NO_POSITIVE)
        return replace(table, positive=positive, constant=np.full(len(met), MISSING))


def _side_by_side(proba: Any) -> NDArray:
    """Probabilities of tasks, in whatever form, in one array."""
    if isinstance(proba, np.ndarray):
        return proba
    return np.concatenate(list(proba.values() if isinstance(proba, dict) else proba), axis=1)


def _as_given(table: NDArray, like: Any) -> Any:
    """Views of an array in the form of `like`."""
    if isinstance(like, np.ndarray):
        return table
    parts = list(like.values() if isinstance(like, dict) else like)
    views = np.split(table, np.cumsum([part.shape[1] for part in parts])[:-1], axis=1)
    return dict(zip(like, views, strict=True)) if isinstance(like, dict) else views


class TaskClassifierMixin(ClassifierMixin, TaskPredictorMixin):
    """An estimator of tasks that all have classes.

    `_of_numbers` and `_of_any` name the estimators of regression tasks and of tables of both.
    """

    _of_numbers: ClassVar[str]
    _of_any: ClassVar[str]

    score = TaskPredictorMixin.score

    def _check_kinds(self, table: TaskTable) -> None:
        numbers = np.flatnonzero(~table.has_classes)
        if len(numbers):
            raise ValueError(
                f"Unknown label type: continuous. {task_label(table.names, numbers[0])} of Y is a "
                f"regression task, and {type(self).__name__} learns tasks with classes: use "
                f"{self._of_numbers} where all are regression tasks, {self._of_any} where some are."
                + _probabilities_hint(table, int(numbers[0]))
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _probabilities_hint(table: TaskTable, task: int) -> str:
    """What to say of a regression task whose numbers might be probabilities."""
    numbers = table.truth(task)
    numbers = numbers[~np.isnan(numbers)]
    if ((numbers < 0) | (numbers > 1)).any():
        return ""
    return " If its numbers are probabilities of a class, 'task_types' must say that it is 'soft'."


class TaskRegressorMixin(RegressorMixin, TaskPredictorMixin):
    """An estimator of regression tasks alone; `_of_any` names that of tables of all kinds."""

    _of_any: ClassVar[str]

    score = TaskPredictorMixin.score

    def _check_kinds(self, table: TaskTable) -> None:
        classes = np.flatnonzero(table.has_classes)
        if len(classes):
            t = int(classes[0])
            raise ValueError(
                f"{task_label(table.names, t)} of Y is a {table.task_types[t]} task by the "
                f"'task_types' of the estimator, and {type(self).__name__} learns regression "
                f"tasks: use {self._of_any} for tasks of several kinds."
            )


def decode(
    codes: NDArray[np.intp], classes: list[NDArray], numbers: NDArray[np.float64] | None = None
) -> NDArray:
    """Labels of class codes (n_samples, n_tasks), in a type that holds every task's labels.

    `numbers` (n_samples, n_tasks) holds those of regression tasks, which have no classes; then the
    type is float64, or object where there are strings.
    """
    kinds = {c.dtype.kind for c in classes if len(c)}
    one_kind = len(kinds) == 1 or kinds <= set("iuf")
    dtype = np.result_type(*{c.dtype for c in classes}) if one_kind else np.dtype(object)
    if numbers is not None:
        dtype = np.dtype(np.float64 if kinds <= set("biuf") else object)
    width = max(1, *(len(c) for c in classes))
    lookup = np.zeros((len(classes), width), dtype=dtype)
    for t, of_task in enumerate(classes):
        lookup[t, : len(of_task)] = of_task
    labels: NDArray = lookup[np.arange(len(classes)), codes]
    if numbers is not None:
        continuous = np.array([len(c) == 0 for c in classes])
        labels[:, continuous] = numbers[:, continuous]
    return labels
