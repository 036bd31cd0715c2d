"""Checks of what the user hands over: the task table `Y` and memberships."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MISSING",
    "MULTICLASS",
    "UNKNOWN",
    "TaskTable",
    "as_columns",
    "by_task_columns",
    "by_task_key",
    "by_task_names",
    "check_membership",
    "check_tasks",
    "classes_met",
    "forget_fit",
    "match_names",
    "one_hot",
    "positive_codes",
    "take_tasks",
    "task_label",
]

#: The code of a missing label.
MISSING = -1
#: In place of the code of a positive class: two classes, and nothing says which; more than two.
UNKNOWN = -1
MULTICLASS = -2


@dataclass(frozen=True)
class TaskTable:
    """The task table `Y`, encoded.

    Attributes
    ----------
    codes : ndarray of shape (n_samples, n_tasks)
        Position of each label in the classes of its task; -1 where it is missing.
    classes : list of ndarray of shape (n_classes,), one a task
        Sorted labels of each task, of their own dtype.
    names : ndarray of shape (n_tasks,) of str, or None
        Column names, where `Y` was a DataFrame (or a Series).
    is_1d : bool
        Whether `Y` was one-dimensional: a single task.
    positive : ndarray of shape (n_tasks,) of int
        Code of the positive class of a binary task, `UNKNOWN` where nothing says which of two
        it is; `MULTICLASS` for a task of more classes.
    constant : ndarray of shape (n_tasks,) of int
        Code of the only class of a task of which a single one was observed, so that there is
        nothing to learn; `MISSING` for all others.
    """

    codes: NDArray[np.integer]
    classes: list[NDArray]
    names: NDArray[np.object_] | None
    is_1d: bool
    positive: NDArray[np.intp]
    constant: NDArray[np.intp]

    @property
    def learnable(self) -> NDArray[np.bool_]:
        """Which tasks there is something to learn of, (n_tasks,)."""
        return self.constant == MISSING

    @property
    def positive_unknown(self) -> NDArray[np.bool_]:
        """Of which tasks nothing says which of two classes is the positive one, (n_tasks,)."""
        two = np.array([len(c) for c in self.classes]) == 2
        unknown: NDArray[np.bool_] = two & (self.positive == UNKNOWN)
        return unknown

    @property
    def n_tasks(self) -> int:
        return self.codes.shape[1]

    @property
    def task_outputs(self) -> tuple[int, ...]:
        """Logits a task: 1 for a binary task, k for one of k classes."""
        return tuple(1 if len(c) <= 2 else len(c) for c in self.classes)

    def canonical_tasks(self) -> list[int]:
        """The tasks in an order that depends on nothing but their labels, (n_tasks,)."""
        outputs = self.task_outputs
        digests = [hashlib.blake2b(column.tobytes()).digest() for column in self.codes.T]
        return sorted(range(self.n_tasks), key=lambda t: (outputs[t], digests[t]))

    def canonical_outputs(self) -> NDArray[np.intp]:
        """For each logit, its position if the tasks stood in their canonical order:
        (n_outputs,), a permutation."""
        outputs = np.asarray(self.task_outputs)
        order = self.canonical_tasks()
        start = np.empty(self.n_tasks, dtype=np.intp)
        start[order] = np.cumsum(outputs[order]) - outputs[order]
        return np.concatenate([s + np.arange(k) for s, k in zip(start, outputs, strict=True)])

    def select(self, tasks: NDArray) -> TaskTable:
        """The table of some tasks only; `tasks` is an index or boolean array (n_tasks,)."""
        index = np.arange(self.n_tasks)[tasks]
        names = None if self.names is None else self.names[index]
        classes = [self.classes[t] for t in index]
        positive, constant = self.positive[index], self.constant[index]
        return TaskTable(self.codes[:, index], classes, names, False, positive, constant)

    def take(self, samples: NDArray) -> TaskTable:
        """The table of some samples only; `samples` is an index or boolean array (n_samples,)."""
        return replace(self, codes=self.codes[samples])


def check_tasks(
    Y: Any,
    *,
    classes: Sequence[Any] | None = None,
    names: NDArray[np.object_] | None = None,
    pos_label: Any = None,
    constant: NDArray[np.intp] | None = None,
    add_classes: bool = False,
) -> TaskTable:
    """Encode the task table, or say what is wrong with it.

    A task with a single observed class is warned of, and served by that class: a label among 0,
    1, False and True has both in `classes`, any other is alone there.

    Parameters
    ----------
    Y : array-like, masked array, DataFrame, tensor or TaskTable, (n_samples, n_tasks) or \
            (n_samples,)
        Labels: ints, bools or strings; NaN, None or a mask where a label is missing. A TaskTable
        is taken as it is.
    classes : list of ndarray, default=None
        The classes of each task where they are known (scoring, further training). Then a
        column may lack a class, and a label that is not among them is an error.
    names : ndarray of shape (n_tasks,) of str, default=None
        The names of the tasks where they are known. Where `Y` has names too, its columns are
        brought into this order.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks; see `positive_codes`.
    constant : ndarray of shape (n_tasks,), default=None
        `TaskTable.constant` where it is known, beside `classes`. If None, the tasks of which one
        class alone is known.
    add_classes : bool, default=False
        Put labels that are not among `classes` behind them instead.

    Returns
    -------
    table : TaskTable

    Raises
    ------
    ValueError
        If `Y` is None, is empty, has more than two dimensions, holds continuous values, has a
        task without any label, no task with two classes, two tasks of one name, or other names
        than `names`.
    """
    if isinstance(Y, TaskTable):
        return Y
    if Y is None:
        raise ValueError("requires y to be passed, but the target y is None.")
    columns, found, is_1d = as_columns(Y, names=names)
    if len(columns) == 0:
        raise ValueError("Y has 0 tasks (columns); at least one is required.")
    if len(columns[0]) == 0:
        raise ValueError("Y has 0 samples; at least one is required.")
    if classes is not None and len(classes) != len(columns):
        raise ValueError(f"Y has {len(columns)} tasks, but {len(classes)} were seen in fit.")
    ordered = [_categories(column) for column in columns]
    columns = columns if isinstance(columns, np.ndarray) else [_plain(c) for c in columns]
    codes: NDArray[np.integer]
    if (
        isinstance(columns, np.ndarray)
        and columns.dtype.kind in "biuf"
        and (classes is None or _all_zero_one(list(classes)))
        and (fast := _encode_zero_one(columns.T, labelled=classes is None)) is not None
    ):
        known = list(classes or [np.array([0, 1], dtype=columns.dtype) for _ in columns])
        codes = fast
    else:
        encoded = [
            _encode(
                column, task_label(found, t), None if classes is None else classes[t], add_classes
            )
            for t, column in enumerate(columns)
        ]
        known = [c for _, c in encoded]
        empty = [task_label(found, t) for t, c in enumerate(known) if len(c) == 0]
        if empty:
            have = "has" if len(empty) == 1 else "have"
            raise ValueError(
                f"{', '.join(empty)} of Y {have} no label at all; every task needs labels of its "
                "classes to learn."
            )
        codes = np.column_stack([code for code, _ in encoded])
        codes = codes.astype(np.int8 if max(map(len, known)) <= np.iinfo(np.int8).max else np.int64)
    if classes is None:
        known, constant = _find_constant(codes, known, found, is_1d)
    elif constant is None:
        constant = np.array([0 if len(c) == 1 else MISSING for c in known], dtype=np.intp)
    positive = positive_codes(known, found, pos_label, ordered)
    return TaskTable(codes, known, found, is_1d, positive, constant)


def _find_constant(
    codes: NDArray[np.integer],
    classes: list[NDArray],
    names: NDArray[np.object_] | None,
    is_1d: bool,
) -> tuple[list[NDArray], NDArray[np.intp]]:
    """Classes of all tasks, and the code of the only class of those that have one, with a warning
    that names them. The codes of tasks that turn out to be of 0 and 1 are changed in place."""
    first = codes.max(axis=0).astype(np.intp)
    single = np.flatnonzero(((codes == MISSING) | (codes == first)).all(axis=0))
    constant = np.full(len(classes), MISSING, dtype=np.intp)
    if len(single) == 0:
        return classes, constant
    classes = list(classes)
    only = [classes[t][first[t]] for t in single]
    said = [
        f"{task_label(names, t)}: {value!r}"
        for t, value in zip(single, [v.item() for v in only], strict=True)
    ]
    if len(single) == len(classes):
        raise ValueError(
            f"Y has a single class (1 class) in {'it' if is_1d else 'every task'}, so that there "
            "is nothing to learn: a classifier needs at least two classes. Got only "
            f"{', '.join(said)}."
        )
    for t, value in zip(single, only, strict=True):
        if value.dtype.kind in "biuf" and value in (0, 1):
            classes[t] = np.array([0, 1], dtype=value.dtype)
            codes[codes[:, t] != MISSING, t] = int(value)
            constant[t] = int(value)
        else:
            classes[t], constant[t] = np.array([value]), 0
    warnings.warn(
        "These tasks of Y have a single observed class, which is predicted for every sample; "
        f"nothing is learned of them: {', '.join(said)}.",
        UserWarning,
        stacklevel=4,
    )
    return classes, constant


def take_tasks(Y: Any, tasks: NDArray[np.bool_]) -> Any:
    """Some columns of a table of tasks that `check_tasks` took, of the same type where it is an
    array or a DataFrame; `tasks` is a boolean array (n_tasks,)."""
    index = np.flatnonzero(tasks)
    if hasattr(Y, "iloc"):
        return Y.iloc[:, index]
    if hasattr(Y, "get_columns"):
        return Y[:, index.tolist()]
    if isinstance(Y, TaskTable):
        return Y.select(tasks)
    if hasattr(Y, "to_pandas"):
        return Y.to_pandas().iloc[:, index]
    if not isinstance(Y, np.ndarray) and not hasattr(Y, "detach"):
        # As it was read: NumPy would turn [1, None, "a"] into strings.
        columns, *_ = _columns_of(Y)
        Y = np.array(columns).T if isinstance(columns, np.ndarray) else np.column_stack(columns)
    return Y[:, index]


def match_names(
    found: NDArray[np.object_], names: NDArray[np.object_] | None, what: str
) -> NDArray[np.intp] | None:
    """Where each of the tasks `names` stands in `found`, (n_tasks,); None where positions count.

    Positions count where there are no names to match, and where those of `found` are the
    numbers that pandas gives to what has no names.

    Raises
    ------
    ValueError
        If a name is missing or new.
    """
    if names is None:
        return None
    place = {name: t for t, name in enumerate(found)}
    missing = [name for name in names if name not in place]
    new = [name for name in found if name not in set(names)]
    if not missing and not new:
        return np.array([place[name] for name in names], dtype=np.intp)
    if found.tolist() == [str(t) for t in range(len(names))]:
        return None
    raise ValueError(
        f"{what} must be the tasks that were seen in fit."
        + (f" Missing: {', '.join(missing)}." if missing else "")
        + (f" New: {', '.join(new)}." if new else "")
    )


def by_task_names(value: Any, names: NDArray[np.object_] | None, what: str) -> Any:
    """A Series or DataFrame with a row a task in the order of `names`; all else as it is."""
    index = getattr(value, "index", None)
    if names is None or callable(index) or not hasattr(value, "iloc"):
        return value
    order = match_names(_names(index, what), names, what)
    return value if order is None else value.iloc[order]


def by_task_columns(value: Any, names: NDArray[np.object_] | None, what: str) -> Any:
    """A DataFrame with a column a task in the order of `names`; all else as it is."""
    if names is None or not hasattr(value, "columns"):
        return value
    order = match_names(_names(value.columns, what), names, what)
    if order is None:
        return value
    return value.iloc[:, order] if hasattr(value, "iloc") else value[:, order.tolist()]


def by_task_key(given: Mapping[Any, Any], names: NDArray[np.object_] | None) -> dict[Any, Any]:
    """A dict by task with names as tasks have them: a column 10 is the task "10"."""
    return dict(given) if names is None else {str(key): value for key, value in given.items()}


def positive_codes(
    classes: Sequence[NDArray],
    names: NDArray[np.object_] | None = None,
    pos_label: Any = None,
    ordered: Sequence[Any] | None = None,
) -> NDArray[np.intp]:
    """Which class of each task is the positive one: what F1, thresholds and weights speak of.

    Parameters
    ----------
    classes : sequence of ndarray of shape (n_classes,), one a task
    names : ndarray of shape (n_tasks,) of str, default=None
    pos_label : label, dict of label by task, or None, default=None
        The positive class of all binary tasks that have it, or of each task (by name, or position
        where there are no names). What it does not name: the last of an ordered categorical, or
        1 or True.
    ordered : sequence, one a task, default=None
        Of an ordered categorical its categories in their order; None for others.

    Returns
    -------
    positive : ndarray of shape (n_tasks,)
        Codes; `UNKNOWN` where nothing says which of two, or where it is not among the classes;
        `MULTICLASS` where there are more.

    Raises
    ------
    ValueError
        If `pos_label` names no task, or no class of the task (of any binary task).
    """
    if not isinstance(pos_label, Mapping) and (np.ndim(pos_label) or hasattr(pos_label, "iloc")):
        raise ValueError(
            f"The 'pos_label' parameter must be a label or a dict of labels by task. Got "
            f"{pos_label!r}."
        )
    by_task = by_task_key(pos_label, names) if isinstance(pos_label, Mapping) else {}
    keys = list(range(len(classes))) if names is None else list(names)
    for key in by_task:
        if key not in keys:
            raise ValueError(f"The 'pos_label' parameter names {key!r}, which is no task: {keys}.")
    positive = np.full(len(classes), MULTICLASS, dtype=np.intp)
    used = False
    for t, of_task in enumerate(classes):
        given = by_task.get(keys[t]) if isinstance(pos_label, Mapping) else pos_label
        labels = of_task.tolist()
        there = given is not None and any(_same_label(given, label) for label in labels)
        alone = len(labels) == 1  # the positive class may be nowhere
        if keys[t] in by_task and not there and not alone:
            raise ValueError(
                f"The 'pos_label' parameter must be a class of {task_label(names, t)}, one of "
                f"{labels}. Got {given!r}."
            )
        if len(labels) > 2:
            continue
        used |= there or alone
        rank = None if ordered is None or ordered[t] is None else list(ordered[t])
        if there:
            positive[t] = next(k for k, label in enumerate(labels) if _same_label(given, label))
        elif rank is not None and alone:
            positive[t] = 0 if labels[0] == rank[-1] else UNKNOWN
        elif rank is not None and all(label in rank for label in labels):
            positive[t] = max(range(len(labels)), key=lambda k: rank.index(labels[k]))
        elif of_task.dtype.kind in "biuf" and 1 in labels:
            positive[t] = labels.index(1)
        else:
            positive[t] = UNKNOWN
    for_all = pos_label is not None and not isinstance(pos_label, Mapping)
    if for_all and not used and (positive != MULTICLASS).any():
        raise ValueError(
            f"The 'pos_label' parameter must be a class of a binary task. Got {pos_label!r}, "
            f"but the classes are {[c.tolist() for c in classes]}."
        )
    return positive


def _same_label(a: Any, b: Any) -> bool:
    return isinstance(a, str) == isinstance(b, str) and bool(a == b)


def _categories(column: Any) -> Any:
    """The categories, in their order, of an ordered categorical column; None of others."""
    dtype: Any = getattr(column, "dtype", None)
    return list(dtype.categories) if getattr(dtype, "ordered", False) else None


def as_columns(
    Y: Any, *, names: NDArray[np.object_] | None = None, what: str = "The columns of Y"
) -> tuple[Any, NDArray[np.object_] | None, bool]:
    """Columns of a table of tasks, in the order of `names` where both have names.

    Returns
    -------
    columns : ndarray of shape (n_tasks, n_samples), or list of ndarray or Series (n_samples,)
    names : ndarray of shape (n_tasks,) of str, or None
    is_1d : bool
    """
    columns, found, is_1d = _columns_of(Y)
    if found is not None and not is_1d:
        order = match_names(found, names, what)
        if order is not None:
            columns, found = [columns[t] for t in order], names
    return columns, found, is_1d


def classes_met(*columns: Any, pos_label: Any = None) -> NDArray:
    """The sorted labels that columns of one task hold.

    Where a single one is met, the other class is told by what it is (0 and 1, -1 and 1), by an
    ordered categorical of two, or by a positive class that is named.
    """
    arrays = [_plain(column) for column in columns]
    met: set[Any] = set()
    for array in arrays:
        if array.dtype.kind in "biuf":
            met |= set(np.unique(array[array == array]).tolist())
        else:
            met |= {v for v in array.tolist() if not _is_missing(v)}
    # One class met says nothing of which it is, so 0/1 labels are taken for what they are.
    if met <= {0, 1}:
        met |= {0, 1}
    elif met == {-1}:
        met |= {1}
    if len(met) < 2:
        rank = _categories(columns[0])
        met |= set(rank if rank is not None and len(rank) == 2 and met <= set(rank) else [])
    if (
        len(met) < 2
        and pos_label is not None
        and isinstance(pos_label, str) == (isinstance(next(iter(met)), str))
    ):
        met.add(pos_label)
    if len({isinstance(v, str) for v in met}) > 1:
        raise ValueError(f"Y_true and Y_pred of a task mix strings and numbers. Got {met}.")
    return np.array(sorted(met))


def _columns_of(Y: Any) -> tuple[Any, NDArray[np.object_] | None, bool]:
    """Columns of `Y` as an indexable of 1-D arrays (or Series), their names, and whether `Y` was
    1-D."""
    if hasattr(Y, "iloc"):  # pandas
        if Y.ndim == 1:
            return [Y], None if Y.name is None else _names([Y.name], "The columns of Y"), True
        names = _names(Y.columns, "The columns of Y")
        return [Y.iloc[:, t] for t in range(Y.shape[1])], names, False
    if hasattr(Y, "get_columns"):  # polars
        return (
            [_from_polars(c) for c in Y.get_columns()],
            _names(Y.columns, "The columns of Y"),
            False,
        )
    if hasattr(Y, "collect"):
        raise TypeError("Y must be a table in memory. Got a LazyFrame: pass Y.collect().")
    if hasattr(Y, "null_count"):
        return [_from_polars(Y)], _names([Y.name], "The columns of Y") if Y.name else None, True
    if hasattr(Y, "to_pandas"):
        return _columns_of(Y.to_pandas())
    sparse = hasattr(Y, "toarray") or "sparse" in str(getattr(Y, "layout", None))
    if hasattr(Y, "detach") and not sparse:  # torch
        Y = Y.detach().cpu()
        Y = (Y.float() if Y.is_floating_point() and Y.itemsize < 4 else Y).numpy()
    if sparse:
        raise TypeError(
            "Sparse multilabel indicators are not supported as Y: a zero could be a label or a "
            f"missing one. Pass Y.{'toarray' if hasattr(Y, 'toarray') else 'to_dense'}()."
        )
    if isinstance(Y, np.matrix):
        Y = np.asarray(Y)
    if isinstance(Y, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(Y)
        Y = np.asarray(Y.data)
        if mask.any():
            Y = Y.astype(object)
            Y[mask] = None
    if not isinstance(Y, np.ndarray):
        array = _as_objects(Y)
        # Plain lists of one kind get their usual dtype; NumPy would turn [1, "a"] and
        # ["a", None] into strings, so anything else stays an array of objects.
        kinds = {type(v) for v in array.ravel()}
        plain = len(kinds) == 1 or not kinds & {str, bytes, type(None)}
        Y = np.asarray(Y) if plain and not any(map(_is_collection, array.ravel())) else array
    if Y.dtype.kind == "T":  # NumPy's strings of variable length
        Y = Y.astype(object)
    if Y.ndim == 1 and Y.dtype.kind == "O" and all(map(_is_collection, Y)):
        raise ValueError(
            "Y must hold one label a sample and task. Got a list of labels a sample: turn it into "
            "a table with sklearn.preprocessing.MultiLabelBinarizer().fit_transform(Y)."
        )
    if Y.ndim not in (1, 2):
        raise ValueError(
            f"Y must be of shape (n_samples, n_tasks) or (n_samples,). Got shape {Y.shape}."
        )
    return (Y[None, :] if Y.ndim == 1 else Y.T), None, Y.ndim == 1


def _as_objects(Y: Any) -> NDArray[np.object_]:
    try:
        return np.asarray(Y, dtype=object)
    except ValueError:  # rows of several lengths, some of them alike
        array = np.empty(len(Y), dtype=object)
        array[:] = list(Y)
        return array


def _is_collection(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset | np.ndarray)


def _from_polars(column: Any) -> NDArray:
    if column.null_count():
        return np.array(column.to_list(), dtype=object)
    return np.asarray(column.to_numpy())


def _plain(column: Any) -> NDArray:
    return _series_to_array(column) if hasattr(column, "isna") else column


def _series_to_array(column: Any) -> NDArray:
    """A pandas column as an array; missing values (NaN, None, NA) become None or NaN."""
    missing = np.asarray(column.isna(), dtype=bool)
    if not missing.any():
        return np.asarray(column)
    array = np.asarray(column, dtype=object).copy()
    array[missing] = None
    return array


def _names(columns: Any, what: str) -> NDArray[np.object_]:
    names = np.array([str(c) for c in columns], dtype=object)
    unique, counts = np.unique(names.astype(str), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{what} must have different names. Got {', '.join(unique[counts > 1])} more than once."
        )
    return names


def task_label(names: NDArray[np.object_] | None, task: Any) -> str:
    return f"task {task}" if names is None else f"task {task} ({names[task]!r})"


def _all_zero_one(classes: list[NDArray]) -> bool:
    return all(c.dtype.kind in "biuf" and np.array_equal(c, [0, 1]) for c in classes)


def _encode_zero_one(Y: NDArray, *, labelled: bool) -> NDArray[np.int8] | None:
    """Codes of a numeric table of zeros, ones and NaN alone, all columns at once; else None."""
    positive = Y == 1
    missing = Y != Y
    if not (positive | (Y == 0) | missing).all():
        return None
    if labelled and missing.all(axis=0).any():
        return None  # the way column by column finds the words for what is wrong
    codes = positive.astype(np.int8)
    codes[missing] = MISSING
    return codes


def _encode(
    column: NDArray, label: str, classes: NDArray | None, add_classes: bool
) -> tuple[NDArray, NDArray]:
    """Codes and classes of one task."""
    if column.dtype.kind == "O":
        missing = _missing(column)
    elif column.dtype.kind == "f":
        missing = np.isnan(column)
    elif column.dtype.kind in "biuUS":
        missing = np.zeros(len(column), dtype=bool)
    else:
        raise ValueError(
            f"Unknown label type: {column.dtype}. Labels of {label} of Y must be ints, bools or "
            "strings."
        )
    observed = column[~missing]
    if len(observed) == 0 and classes is None:
        return np.full(len(column), MISSING, dtype=np.int64), observed  # `check_tasks` refuses it
    if observed.dtype.kind == "O":
        observed = _homogeneous(observed, label)
    if observed.dtype.kind == "f" and not np.all(observed == np.floor(observed)):
        value = observed[observed != np.floor(observed)][0]
        raise ValueError(
            f"Unknown label type: continuous. {label} of Y holds {value}, which is no class "
            "label; regression targets are not supported."
        )
    if observed.dtype.kind == "f" and np.isinf(observed).any():
        raise ValueError(f"{label} of Y holds infinity, which is no class label.")
    found, inverse = np.unique(observed, return_inverse=True)
    if classes is None:
        classes = found
        if found.dtype.kind in "iuf" and len(found) > max(20, round(len(observed) / 2)):
            warnings.warn(
                f"{label} of Y has {len(found)} classes, more than half of its {len(observed)} "
                "labels. It could be a regression target instead of classes.",
                UserWarning,
                stacklevel=2,
            )
        position = np.arange(len(found))
    else:
        unknown = found[~np.isin(found, classes)]
        alike = (found.dtype.kind == "U") == (classes.dtype.kind == "U")
        if len(unknown) and add_classes and alike:
            classes = np.append(classes, unknown)
        elif len(unknown):
            raise ValueError(
                f"{label} of Y holds the label {unknown.tolist()[0]!r}, which is not among the "
                f"classes seen in fit: {classes.tolist()}."
            )
        order = np.argsort(classes)  # given classes may stand in any order
        position = order[np.searchsorted(classes, found, sorter=order)]
    codes = np.full(len(column), MISSING, dtype=np.int64)
    codes[~missing] = position[inverse.ravel()] if len(found) else MISSING
    return codes, classes


def _missing(column: NDArray) -> NDArray[np.bool_]:
    """Where an array of objects holds None, NaN or pandas' NA."""
    try:
        missing: NDArray[np.bool_] = (column == None) | (column != column)  # noqa: E711
        return missing
    except (TypeError, ValueError):  # NA, or an array as an entry, is neither true nor false
        return np.array([_is_missing(v) for v in column], dtype=bool)


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
        or type(value).__name__ == "NAType"
    )


def _homogeneous(observed: NDArray, label: str) -> NDArray:
    """Objects as an array of one dtype (bool, number or str), or an error that says why not."""
    types = set(map(type, observed))
    # Anything else that NumPy could read as a number ("1" beside 2) would come back changed.
    for kinds_of_label, dtype in (
        ((bool, np.bool_), bool),
        ((int, np.integer), np.int64),
        ((str,), str),
        ((Real, np.bool_), np.float64),
    ):
        if all(issubclass(t, kinds_of_label) for t in types):
            return _as_ints(observed, label) if dtype is np.int64 else observed.astype(dtype)
    kinds = sorted(t.__name__ for t in types)
    raise ValueError(
        f"Unknown label type: {label} of Y holds labels of the types {', '.join(kinds)}; labels "
        "of a task must be of one type: ints, bools or strings."
    )


def _as_ints(observed: NDArray, label: str) -> NDArray[np.integer]:
    """Python's ints as a dtype that holds them all."""
    low, high = int(min(observed)), int(max(observed))
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return observed.astype(dtype)
    raise ValueError(
        f"{label} of Y holds the label {high if high > -low else low}, which no integer of 64 bits "
        "can hold. Pass such labels as strings."
    )


def one_hot(labels: NDArray) -> NDArray[np.float64]:
    """Memberships of a hard clustering.

    Parameters
    ----------
    labels : ndarray of shape (n_tasks,)
        Cluster of each task. A negative label (noise, in scikit-learn's density-based
        clusterers) gives the task a group of its own.

    Returns
    -------
    membership : ndarray of shape (n_tasks, n_groups)
    """
    labels = np.asarray(labels).astype(np.int64, copy=True)
    noise = labels < 0
    labels[noise] = max(int(labels.max(initial=-1)), -1) + 1 + np.arange(noise.sum())
    _, position = np.unique(labels, return_inverse=True)
    return np.eye(int(position.max()) + 1)[position]


def check_membership(
    membership: Any,
    n_tasks: int,
    *,
    name: str = "membership",
    all_tasks: bool = True,
    task_names: NDArray[np.object_] | None = None,
) -> NDArray[np.float64]:
    """Memberships or serving weights as a float array, or an error.

    Parameters
    ----------
    membership : array-like of shape (n_tasks, n_groups)
    n_tasks : int
        Number of tasks of `Y`.
    name : str
        What to call it in messages.
    all_tasks : bool, default=True
        Whether every task must be in some group.
    task_names : ndarray of shape (n_tasks,) of str, default=None
        Names of the tasks: the rows of a DataFrame are brought into their order.

    Returns
    -------
    membership : ndarray of shape (n_tasks, n_groups)
        A copy.

    Raises
    ------
    ValueError
        If the shape does not fit, an entry is negative or not finite, or a row is all zero (a
        task that no group holds) or a column is (a group without tasks).
    """
    if hasattr(membership, "detach"):  # torch
        membership = membership.detach().cpu().numpy()
    membership = by_task_names(membership, task_names, f"The rows of {name}")
    try:
        checked = np.array(membership, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers. Got {membership!r}.") from None
    if checked.ndim != 2 or checked.shape[0] != n_tasks or checked.shape[1] == 0:
        raise ValueError(
            f"{name} must be of shape (n_tasks, n_groups) with n_tasks={n_tasks}, one row a task "
            f"of Y. Got shape {checked.shape}."
        )
    if not np.isfinite(checked).all():
        raise ValueError(f"{name} must be finite. It holds NaN or infinity.")
    if (checked < 0).any():
        task, group = np.argwhere(checked < 0)[0]
        raise ValueError(
            f"{name} must be non-negative. Got {checked[task, group]} for task {task} in group "
            f"{group}."
        )
    rules = [(1, "row", "a task in no group"), (0, "column", "an empty group")]
    for axis, what, rule in rules if all_tasks else rules[1:]:
        empty = np.flatnonzero(~(checked > 0).any(axis=axis))
        if len(empty):
            raise ValueError(
                f"{name} must have no all-zero {what} ({rule}). Got {what} {empty[0]}."
            )
    return checked


def forget_fit(estimator: Any) -> None:
    """Delete what an earlier `fit` left, so that nothing of it outlives the next one."""
    for name in [n for n in vars(estimator) if n.endswith("_") and not n.startswith("_")]:
        delattr(estimator, name)
