"""Splits of rows that show how well each population is served."""

from __future__ import annotations

import warnings
from copy import copy
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.metrics.splits import Split, pairs_of, splitter_of
from skgroup.populations._rows import Populations

#: Held-out rows of populations without a row to train on, of all, from which splits show nothing.
_TOO_MANY = 0.5


def path_splits(
    cv: Any, rows: Populations, order: NDArray[np.intp], y: NDArray[Any], seed: int, owner: str
) -> list[Split]:
    """Splits of the path, drawn within populations unless `cv` is a splitter.

    Parameters
    ----------
    cv : int, None, splitter or iterable of pairs
        Splitters are shown the rows as they were given, and the populations as `groups`.
    rows : Populations
    order : ndarray of shape (n_rows,)
        Which of the rows that were given those are.
    y : ndarray of shape (n_samples,)
        Labels of the rows that were given.
    seed : int
    owner : str
        The class whose parameter `cv` is, for messages.

    Raises
    ------
    ValueError
        If `cv` is neither, or holds most rows out with their whole population, or rows of one
        population alone.
    """
    name = f"The 'cv' parameter of {owner}"
    rule = f"{name} must be a number of folds, a splitter or an iterable of pairs"
    if cv is None or (isinstance(cv, Integral) and not isinstance(cv, bool)):
        n_folds = 5 if cv is None else int(cv)
        if n_folds < 2 or n_folds > rows.n_samples:
            raise ValueError(
                f"{name} must be at least 2, and at most the number of rows, {rows.n_samples}. "
                f"Got {cv!r}."
            )
        return within_folds(rows, n_folds, seed, by_class=False)
    splitter = copy(splitter_of(cv, name, rule))
    if getattr(splitter, "random_state", seed) is None:
        splitter.random_state = seed
    place = np.full(len(y), -1)
    place[order] = np.arange(len(order))
    groups = np.where(place < 0, rows.n_tasks, rows.codes[place])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The groups parameter is ignored")
        pairs = pairs_of(lambda: splitter.split(np.empty((len(y), 0)), y, groups), cv, len(y), name)
    there = [(place[train], place[test]) for train, test in pairs]
    kept = [(np.sort(train[train >= 0]), np.sort(test[test >= 0])) for train, test in there]
    pairs = pairs_of(lambda: kept, cv, rows.n_samples, f"{name}, but for rows of weight 0,")
    _check_within(pairs, rows, cv, name)
    return pairs


def _check_within(splits: list[Split], rows: Populations, cv: Any, name: str) -> None:
    """Refuse splits that hold most rows out with their whole population, as these cannot show what
    groups, or models of their own, are worth to it; or rows of a single population, as nothing is
    known of others then."""
    if len(held := np.unique(np.concatenate([rows.codes[test] for _, test in splits]))) < 2:
        raise ValueError(
            f"{name} must hold out rows of at least two populations. Got {cv!r}, which holds out "
            f"rows of {rows.names.tolist()[held[0]]!r} alone."
        )
    alone = sum((~np.isin(rows.codes[test], rows.codes[train])).sum() for train, test in splits)
    n_held = sum(len(test) for _, test in splits)
    if alone > _TOO_MANY * n_held:
        raise ValueError(
            f"{name} must hold out rows within populations, since what serves a population best is "
            f"seen on rows of its own. Got {cv!r}, by which {alone} of {n_held} held-out rows are "
            "of a population without a row to train on. A number of folds is drawn within "
            "populations; how well new ones are served is what cross_val_score with these splits "
            "tells."
        )


def within_folds(
    rows: Populations, n_folds: int, seed: int, *, by_class: bool = True
) -> list[Split]:
    """Folds that are drawn within populations.

    Each population's rows are spread over the folds as evenly as can be; one of few rows is in
    some of them only.

    Parameters
    ----------
    rows : Populations
    n_folds, seed : int
    by_class : bool, default=True
        Whether those of each of a population's classes are. Not where a population's own level is
        judged: held-out rows would have the very share of classes that it was learned from.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(rows.n_samples)
    labels = rows.y[order] if rows.n_classes and by_class else np.zeros(rows.n_samples)
    order = order[np.lexsort((labels, rows.codes[order]))]
    # Sorted by population and class: going round spreads both. Each population begins elsewhere.
    first = rng.integers(n_folds, size=rows.n_tasks)
    fold = np.empty(rows.n_samples, dtype=np.intp)
    place = np.arange(rows.n_samples) - rows.starts[rows.codes]
    fold[order] = (place + first[rows.codes]) % n_folds
    if rows.n_samples > 1 and (fold == fold[0]).all():  # populations of one row: none is left
        fold[0] = (fold[0] + 1) % n_folds
    return [
        (np.flatnonzero(fold != k), np.flatnonzero(fold == k))
        for k in range(n_folds)
        if (fold == k).any()
    ]


def held_to_train(splits: list[Split]) -> float:
    """Rows that are held out, in any of the splits, per row that a split's models learn from."""
    held = np.unique(np.concatenate([test for _, test in splits]))
    return len(held) / float(np.mean([len(train) for train, _ in splits]))
