"""Splits of a table of tasks: every training part holds something to learn of every task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, check_cv

from skgroup.metrics._splitters import MultiTaskKFold, MultiTaskShuffleSplit, Split
from skgroup.tasks import MISSING, TaskTable

__all__ = ["Split", "count_splits", "held_out_splits", "pairs_of", "splitter_of"]


def held_out_splits(
    cv: Any,
    table: TaskTable,
    seed: int,
    *,
    owner: str = "GroupedMTLClassifier",
    groups: Any = None,
    shown: Any = None,
) -> list[Split]:
    """Pairs of training and held-out samples.

    Parameters
    ----------
    cv : float, int, splitter of scikit-learn, iterable of pairs or None
        A share of the samples, drawn once; a number of folds, shuffled (5 if None); or the splits.
        Shares and folds are those of `MultiTaskShuffleSplit` and `MultiTaskKFold`, unless there are
        groups.
    table : TaskTable
    seed : int
    owner : str
        The class whose parameter `cv` is, for messages.
    groups : ndarray of shape (n_samples,), default=None
        Samples of the same group are held out together; a splitter is given them.
    shown : ndarray of shape (n_samples,), default=None
        The labels that a splitter is shown. None is those of the table.

    Returns
    -------
    splits : list of (train, test), arrays of positions
        The training part of each holds every class of every task, and two different numbers of a
        regression task that has them: of a class that is held out altogether, one sample moves
        there, with all that is held out of its group.

    Raises
    ------
    ValueError
        If `cv` is out of range, holds nothing out, or names samples that are not there.
    """
    n_samples = len(table.codes)
    name = f"The 'cv' parameter of {owner}"
    rule = f"{name} must be a share in (0, 1), a number of folds >= 2, a splitter or an iterable"
    splitter: Any
    if cv is None:
        cv = check_cv(cv).get_n_splits()  # scikit-learn's default
    if isinstance(cv, Integral) and not isinstance(cv, bool):
        if not 2 <= int(cv) <= n_samples:
            raise ValueError(f"{rule}, of at most n_samples={n_samples} folds. Got {cv!r} instead.")
        of_folds = MultiTaskKFold if groups is None else GroupKFold
        splitter = of_folds(int(cv), shuffle=True, random_state=seed)
    elif isinstance(cv, Real) and not isinstance(cv, bool):
        if not 0 < float(cv) < 1 or not np.ceil(float(cv) * n_samples) < n_samples:
            raise ValueError(f"{rule} of pairs. Got {cv!r} instead, for {n_samples} samples.")
        of_share = MultiTaskShuffleSplit if groups is None else GroupShuffleSplit
        splitter = of_share(1, test_size=float(cv), random_state=seed)
    else:
        splitter = splitter_of(cv, name, f"{rule} of pairs")
    # What splitters stratify by: classes; numbers have none, and are handed on as they are.
    labels: Any = table.codes[:, table.has_classes] if table.has_classes.any() else table.values
    labels = labels[:, 0] if table.is_1d else labels
    labels = labels if shown is None else shown
    if isinstance(splitter, MultiTaskKFold | MultiTaskShuffleSplit) and groups is None:

        def split() -> Iterable[Any]:
            return splitter.splits_of(table.select(table.learnable))
    else:

        def split() -> Iterable[Any]:
            return splitter.split(np.zeros(n_samples), labels, groups)

    splits = []
    for train, test in pairs_of(split, cv, n_samples, name):
        train, test = _with_every_class(train, test, table, groups)
        if not len(test):
            raise ValueError(
                f"{name} must leave samples on both sides. All those that {cv!r} holds out are the "
                "only ones with a label, or of a class, of some task"
                f"{'' if groups is None else ', or of a group with one'}: they are trained on."
            )
        splits.append((train, test))
    return splits


def splitter_of(cv: Any, name: str, rule: str) -> Any:
    """A splitter of scikit-learn: `cv`, or one of the pairs that it holds.

    Parameters
    ----------
    cv : splitter or iterable of pairs
    name, rule : str
        What `cv` is called, and what it must be, for messages.

    Raises
    ------
    ValueError
        If `cv` is neither, or an iterator.
    """
    is_one = hasattr(cv, "split") or (isinstance(cv, Iterable) and not isinstance(cv, str))
    if not is_one or isinstance(cv, type):
        raise ValueError(f"{rule}. Got {_shown(cv)} instead.")
    _check_repeatable(cv, name)
    return check_cv(cv)


def pairs_of(split: Callable[[], Iterable[Any]], cv: Any, n_samples: int, name: str) -> list[Split]:
    """What a splitter gives when it is asked to split, as pairs of positions of samples.

    Raises
    ------
    ValueError
        If there is no pair, a part is empty or names samples that are not there, or a sample is on
        both sides; `name` says what `cv` is called.
    """
    try:
        pairs = list(split())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot split these samples. Got {_shown(cv)}: {error}") from error
    splits = []
    for pair in pairs:
        try:
            train, test = (np.arange(n_samples)[part] for part in pair)
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must give pairs of training and held-out samples of X, by their "
                f"positions. Got {_shown(cv)}: {error}."
            ) from None
        if not np.size(test) or not np.size(train):
            raise ValueError(f"{name} must leave samples on both sides. Got {_shown(cv)}.")
        if np.isin(train, test).any():
            raise ValueError(
                f"{name} must not hold out samples that it trains on. Got {_shown(cv)}."
            )
        splits.append((train, test))
    if not splits:
        raise ValueError(f"{name} must hold out some samples. Got no split from {_shown(cv)}.")
    return splits


def _shown(cv: Any) -> str:
    text = " ".join(repr(cv).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def count_splits(cv: Any) -> int:
    """How many splits `held_out_splits` gives, 1 for a share."""
    _check_repeatable(cv, "The 'cv' parameter")
    is_share = isinstance(cv, Real) and not isinstance(cv, Integral)
    return 1 if is_share else check_cv(cv).get_n_splits()


def _check_repeatable(cv: Any, name: str) -> None:
    if isinstance(cv, Iterator):
        raise ValueError(
            f"{name} must be a list of splits rather than an iterator, which can be gone through "
            f"only once. Got {cv!r}."
        )


def _with_every_class(
    train: NDArray[np.intp], test: NDArray[np.intp], table: TaskTable, groups: Any
) -> Split:
    moved: list[np.intp] = []
    for codes in table.codes.T:
        met = np.unique(codes[codes != MISSING])
        for k in np.setdiff1d(met, codes[train]):
            # Samples that `cv` names on neither side may be needed too.
            with_class = test[codes[test] == k]
            moved.append((with_class if len(with_class) else np.flatnonzero(codes == k))[0])
    known = np.append(train, np.array(moved, dtype=np.intp))
    for t in np.flatnonzero(~table.has_classes & table.learnable):
        numbers = table.values[:, t]  # type: ignore[index]
        met = numbers[known]
        met = met[~np.isnan(met)]
        others = np.flatnonzero(~np.isnan(numbers) & (numbers != met[0]))
        if (met == met[0]).all() and len(others):  # populations may have a single number
            held_out = others[np.isin(others, test)]
            moved.append((held_out if len(held_out) else others)[0])
    # The order of the tasks must not matter.
    missing = np.unique(np.array(moved, dtype=np.intp))
    if groups is not None:
        missing = np.union1d(missing, test[np.isin(groups[test], groups[missing])])
    return np.append(train, missing), test[~np.isin(test, missing)]
