"""Rows and the populations that they belong to, checked once."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skgroup._compat import _check_sample_weight, _safe_indexing

__all__ = [
    "Populations",
    "as_table",
    "check_labels",
    "check_numbers",
    "features_and_ids",
    "find_names",
    "is_missing",
    "read_populations",
    "warn_of_spelling",
    "without_column",
]


@dataclass(frozen=True)
class Populations:
    """Rows in the order of their populations.

    Attributes
    ----------
    X : array-like of shape (n_samples, n_features)
        Without the column of the populations, but where that is a feature.
    y : ndarray of shape (n_samples,)
        Numbers, or the positions of classes.
    codes : ndarray of shape (n_samples,)
        The population of each row, ascending.
    names : ndarray of shape (n_tasks,)
    n_classes : int
        0 where `y` holds numbers.
    sample_weight : ndarray of shape (n_samples,) or None
    column : int or None
        Position of the column of the populations, where `X` holds it.
    """

    X: Any
    y: NDArray[Any]
    codes: NDArray[np.intp]
    names: NDArray[Any]
    n_classes: int
    sample_weight: NDArray[np.float64] | None = None
    column: int | None = None
    #: First row of each population.
    starts: NDArray[np.intp] = field(init=False)
    #: Rows of each population.
    sizes: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", np.searchsorted(self.codes, np.arange(self.n_tasks)))
        object.__setattr__(self, "sizes", np.bincount(self.codes, minlength=self.n_tasks))

    @property
    def n_samples(self) -> int:
        return len(self.codes)

    @property
    def n_tasks(self) -> int:
        return len(self.names)

    @property
    def weight(self) -> NDArray[np.float64]:
        """Of each row; 1 where none were given."""
        return np.ones(self.n_samples) if self.sample_weight is None else self.sample_weight

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the rows of each population, (n_tasks, ...), of values a row."""
        out = np.zeros((self.n_tasks, *values.shape[1:]))
        there = self.sizes > 0
        out[there] = np.add.reduceat(values, self.starts[there], axis=0)
        return out

    def with_features(self, X: Any, column: int) -> Populations:
        """The same rows with the population, at this position, as a feature."""
        return replace(self, X=X, column=column)

    @property
    def plain_features(self) -> Any:
        """`X` without the column of the populations."""
        return self.X if self.column is None else without_column(self.X, self.column)

    def take(self, rows: NDArray[np.intp]) -> Populations:
        """Some of the rows, given in ascending order; populations stay, if without rows too."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return Populations(
            _safe_indexing(self.X, rows),
            self.y[rows],
            self.codes[rows],
            self.names,
            self.n_classes,
            weight,
            self.column,
        )


def without_column(X: Any, position: int) -> Any:
    """All columns but one."""
    return _safe_indexing(X, [i for i in range(X.shape[1]) if i != position], axis=1)


def check_labels(
    y: Any, of_classes: bool | None, owner: str
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Positions of classes and these; or numbers, and None.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    of_classes : bool or None
        Whether there are classes; None takes floats that are not all whole numbers for numbers.
    owner : str

    Raises
    ------
    ValueError
        If a label is missing, there is a single class, or `y` has another number of dimensions.
    """
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None.")
    columns = list(getattr(y, "columns", ()))
    if not hasattr(y, "ndim"):
        y = np.asarray(y)
    if np.ndim(y) != 1:
        sort = "Regressor" if of_classes is False else "Classifier"
        rule = f"The y of {owner} must be 1-D, a label of each row"
        if np.ndim(y) == 2 and np.shape(y)[1] == 1:
            meant = f"y[{columns[0]!r}]" if columns else "y.ravel()"
            raise ValueError(f"{rule}. Got one column of shape {np.shape(y)}: {meant} is meant.")
        raise ValueError(
            f"{rule}, as its tasks are populations of rows. Got {np.ndim(y)} dimensions: tables of "
            f"tasks, a column a task, are learned by GroupedMTL{sort}."
        )
    masked = np.ma.getmaskarray(y) if isinstance(y, np.ma.MaskedArray) else False
    y = column_or_1d(y)
    missing = np.array([is_missing(v) for v in y.tolist()], dtype=bool) | masked
    if missing.any():
        raise ValueError(
            f"The y of {owner} must have no missing label. It is missing in {missing.sum()} of "
            f"{len(y)} rows."
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"The y of {owner} must be finite. It contains infinity.")
    if of_classes is None:
        of_classes = type_of_target(y) != "continuous"
    if of_classes:
        if type_of_target(y).startswith("continuous"):
            raise ValueError(
                f"The y of {owner} must hold classes. Got continuous numbers such as "
                f"{y[y != np.round(y)][0]}: they are learned by PooledTasksRegressor."
            )
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            got = f"one class: {classes.tolist()[0]!r}" if len(classes) else "0 sample(s)"
            raise ValueError(f"The y of {owner} must have at least two classes. Got {got}.")
        return codes, classes
    if y.dtype.kind in "mM":
        raise ValueError(f"The y of {owner} must hold numbers. Got {y[0]!s}, of type {y.dtype}.")
    try:
        numbers = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The y of {owner} must hold numbers: {error}") from error
    if not np.isfinite(numbers).all():  # of objects
        raise ValueError(f"The y of {owner} must be finite. It contains infinity.")
    return numbers, None


def features_and_ids(X: Any, task: Any, owner: str) -> tuple[Any, NDArray[Any], Any]:
    """The features, the populations of the rows, and the name or position of their column.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features + 1)
    task : str or int
        Column of the populations: a name, or a position where `X` has no column of this name.
    owner : str
        For messages.

    Raises
    ------
    TypeError
        If `task` is neither.
    ValueError
        If there is no such column, no other one, or a population is missing.
    """
    rule = f"The 'task' parameter of {owner} must be a column of X, its name or its position"
    if isinstance(task, bool) or not isinstance(task, str | Integral):
        raise TypeError(f"{rule}. Got {task!r}.")
    columns = getattr(X, "columns", None)
    if columns is not None:
        names = list(columns)
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise ValueError(f"X must have columns of different names. Got {_some(twice)} twice.")
        if task in names:
            position = names.index(task)
        elif not isinstance(task, str) and -len(names) <= int(task) < len(names):
            position = int(task) % len(names)
        else:
            raise ValueError(
                f"{rule}; its columns are {_some(names)}. Got {task!r}. (Preprocessing that loses "
                "names, or changes this column, belongs into 'estimator', which sees the other "
                "columns with their names.)"
            )
        if len(names) < 2:
            raise ValueError(f"X must have features beside the populations. Got {_some(names)}.")
        ids = np.asarray(X[names[position]])
        kept = [i for i in range(len(names)) if i != position]
        features = X.iloc[:, kept] if hasattr(X, "iloc") else X[[names[i] for i in kept]]
        return features, _known_ids(ids, task), names[position]
    if isinstance(task, str):
        raise ValueError(
            f"{rule}; X has no names of columns. Got {task!r}. (Preprocessing that loses names "
            "belongs into 'estimator', which sees the other columns with their names.)"
        )
    if X.ndim != 2:
        raise ValueError(
            f"X must be 2-D, a row a sample. Got an array of shape {X.shape}. Reshape your data by "
            "X.reshape(1, -1) if it is one sample."
        )
    n_columns = X.shape[1]
    if n_columns < 2:
        raise ValueError(
            f"X must have features beside the populations. Found array with {n_columns} feature(s) "
            f"(shape={X.shape}) while a minimum of 2 is required by {owner}."
        )
    if not -n_columns <= task < n_columns:
        raise ValueError(f"{rule}; it has {n_columns} columns. Got {task!r}.")
    position = int(task) % n_columns
    kept = [i for i in range(n_columns) if i != position]
    if sparse.issparse(X):
        X = X.tocsc()
        ids = X[:, [position]].toarray()[:, 0]
        return X[:, kept].tocsr(), _known_ids(ids, task), position
    features = X[:, kept]
    if features.dtype.kind == "O":  # a column of strings beside numbers
        with contextlib.suppress(TypeError, ValueError):  # else 'estimator' may take them
            features = features.astype(np.float64)
    return features, _known_ids(X[:, position], task), position


def as_table(X: Any) -> Any:
    """Frames and arrays as they are, sparse ones by rows, lists of rows as an array: what numbers
    and strings would both become strings stays as it is."""
    if sparse.issparse(X):
        return X.tocsr()
    if hasattr(X, "columns"):
        return X
    if np.ma.is_masked(X):
        raise ValueError("X must have no masked entry.")
    if isinstance(X, np.ndarray):
        return np.asarray(X)  # of its subclasses, some index otherwise
    array = np.asarray(X)
    return np.asarray(X, dtype=object) if array.dtype.kind in "US" else array


def check_numbers(features: Any, owner: str) -> None:
    """Refuse features that the default estimator cannot take, naming the first such column.

    Parameters
    ----------
    features : array, sparse matrix or DataFrame of shape (n_samples, n_features)
    owner : str
        The class whose default it is, for messages.

    Raises
    ------
    ValueError
        If a feature is no number, missing, or infinite.
    """
    columns: Iterable[tuple[Any, NDArray[Any]]]
    if sparse.issparse(features):
        features = features.tocsc()
        columns = ((i, features.data[a:b]) for i, (a, b) in enumerate(pairwise(features.indptr)))
    elif hasattr(features, "columns"):
        columns = ((name, np.asarray(features[name])) for name in features.columns)
    elif features.dtype.kind in "biuf" and np.isfinite(features).all():
        return
    else:
        columns = enumerate(features.T)
    for name, values in columns:
        bad = _first_bad(values)
        if bad is not None:
            wanted = "an imputer" if is_missing(bad) else "what makes it a finite number"
            raise ValueError(
                f"The default 'estimator' of {owner} takes finite numbers. Feature {name!r} of X "
                f"holds {bad!r}: give an 'estimator' that takes it, or a pipeline that begins with "
                f"{wanted}."
            )


def _first_bad(values: NDArray[Any]) -> Any:
    if values.dtype.kind in "biuf":
        finite = np.isfinite(values)
        return None if finite.all() else values[np.flatnonzero(~finite)[0]].item()
    if values.dtype.kind != "O":
        return values.tolist()[0] if len(values) else None
    for value in values.tolist():
        try:
            if isinstance(value, str) or not np.isfinite(float(value)):
                return value
        except (TypeError, ValueError):
            return value
    return None


def warn_of_spelling(ids: NDArray[Any], names: NDArray[Any], owner: str) -> None:
    """Warn if populations that are not known may be known ones that are written otherwise, or if
    most rows are of several that are not known."""
    new = find_names(ids, names) < 0
    unknown = np.unique(ids[new])
    known = {_plain(name): name for name in names.tolist()}
    alike = [(one, known[_plain(one)]) for one in unknown.tolist() if _plain(one) in known]
    if alike:
        one, name = alike[0]
        many = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
        said = f"{one!r}{many}, which it takes for new; it has seen {name!r}"
    elif len(unknown) > 1 and new.mean() > 0.5:
        said = (
            f"{_some(unknown.tolist(), 3)}, with {new.sum()} of {len(new)} rows; it has seen "
            f"{_some(names.tolist(), 3)} (shuffle folds of sorted rows)"
        )
    else:
        return
    warnings.warn(
        f"X holds populations that fit of {owner} has not seen: {said}. They are served by the "
        "model for all.",
        UserWarning,
        stacklevel=4,
    )


def _plain(name: Any) -> str:
    """A name without what differs by accident: spaces around, case, a number written as a float."""
    text = str(name).strip().casefold()
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", text)


def find_names(ids: NDArray[Any], names: NDArray[Any]) -> NDArray[np.intp]:
    """The position of each population among some, -1 where it is none of them.

    Numbers and strings are the same populations if they are written the same.
    """
    values, inverse = np.unique(ids, return_inverse=True)
    as_written = tuple if ids.dtype.kind in "biuf" and names.dtype.kind in "biuf" else _strings
    position = {name: i for i, name in enumerate(as_written(names.tolist()))}
    found = [position.get(value, -1) for value in as_written(values.tolist())]
    return np.array(found, dtype=np.intp)[inverse]


def _strings(values: list[Any]) -> list[str]:
    return [str(value) for value in values]


def is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA is neither
        return True


def _known_ids(ids: NDArray[Any], task: Any) -> NDArray[Any]:
    """Populations of rows, of which none is missing."""
    if not len(ids):
        raise ValueError("X must have rows. Found array with 0 sample(s).")
    if ids.dtype.kind == "O":
        missing = np.array([is_missing(v) for v in ids.tolist()])
    elif ids.dtype.kind in "mM":
        missing = np.isnat(ids)
    elif ids.dtype.kind == "f":
        missing = ~np.isfinite(ids)
    else:
        missing = np.zeros(len(ids), dtype=bool)
    if missing.any():
        raise ValueError(
            f"The column {task!r} of X must say the population of each row. It is missing in "
            f"{missing.sum()} of {len(ids)}, the first of them row {np.flatnonzero(missing)[0]} "
            "(None, NaN or infinity)."
        )
    if ids.dtype.kind == "f":
        broken = ids[ids != np.round(ids)]
        if len(broken):
            raise ValueError(
                f"The column {task!r} of X must say the population of each row by a string or a "
                f"whole number. Got {broken[0]}. (A scaler belongs into 'estimator', which sees "
                "the other columns.)"
            )
        most = 2.0 ** (np.finfo(ids.dtype).nmant + 1)  # from which neighbours become one
        if (np.abs(ids) >= most).any():
            raise ValueError(
                f"The column {task!r} of X must say the population of each row by a string or a "
                f"whole number, as {ids.dtype} below {most:.0f}. Got {np.abs(ids).max():.0f}: "
                "give integers."
            )
        return ids.astype(np.int64)
    if ids.dtype.kind == "O":
        values = ids.tolist()
        if any(isinstance(v, str) for v in values):
            return np.array([str(v) for v in values], dtype=object)
        numbers = np.empty(0, dtype=object)
        with contextlib.suppress(ValueError):  # of sequences
            numbers = np.array(values)
        if numbers.dtype.kind == "O" or numbers.ndim != 1:
            raise ValueError(
                f"The column {task!r} of X must say the population of each row by a string or a "
                f"whole number. Got {values[0]!r}, of type {type(values[0]).__name__}, as which "
                "astype(str) makes strings."
            )
        return _known_ids(numbers, task)
    return ids


def _some(names: Iterable[Any], n: int = 12) -> str:
    shown = [repr(name) for name in names]
    left = len(shown) - n
    return ", ".join(shown[:n]) + (f" and {left} more" if left > 0 else "")


def read_populations(
    X: Any, y: Any, sample_weight: Any, task: Any, n_classes: int, owner: str
) -> tuple[Populations, NDArray[np.intp], Any]:
    """Rows in the order of their populations, that order, and the column of the populations.

    `y` is checked and encoded already. Rows of weight 0 are left out.
    """
    X = as_table(X)
    features, ids, column = features_and_ids(X, task, owner)
    if len(ids) != len(y):
        raise ValueError(f"X and y must have as many rows. Got {len(ids)} and {len(y)}.")
    order = np.arange(len(ids))
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, np.empty((len(ids), 1)))
        if (sample_weight < 0).any():
            raise ValueError("sample_weight must not be negative.")
        order = np.flatnonzero(sample_weight)  # a row without weight is not there
    names, codes = np.unique(ids[order], return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"The column {task!r} of X must hold at least two populations. Got one, "
            f"{names.tolist()[0]!r} in {len(order)} sample(s): use the estimator alone."
        )
    if len(names) == len(order):
        warnings.warn(
            f"The column {task!r} of X holds another population in each of {len(order)} rows: "
            "is it an identifier of rows?",
            UserWarning,
            stacklevel=4,
        )
    if not n_classes and (y[order] == y[order[0]]).all():
        warnings.warn(
            f"The y of {owner} is {y[order[0]]:g} in all rows, so that there is nothing to learn.",
            UserWarning,
            stacklevel=4,
        )
    ascending = np.argsort(codes, kind="stable")
    order = order[ascending]
    rows = Populations(
        _safe_indexing(features, order),
        np.asarray(y)[order],
        codes[ascending],
        names,
        n_classes,
        None if sample_weight is None else sample_weight[order],
    )
    return rows, order, column
