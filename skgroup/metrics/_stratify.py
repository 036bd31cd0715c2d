"""Iterative stratification of a table of tasks, label by label instead of sample by sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skgroup.tasks import MISSING, TaskTable

#: Numbers are stratified by at most so many quantiles; whole numbers of more values than so many
#: are numbers.
_N_BINS, _MOST_VALUES = 10, 100


def iterative_stratification(
    table: TaskTable,
    shares: NDArray[np.float64],
    sizes: NDArray[np.intp],
    random: np.random.RandomState | None = None,
) -> NDArray[np.intp]:
    """The part that each sample goes to, so that every part has its share of every label.

    Algorithm 1 of [1]_, but that a part of full size takes no further sample. The label with the
    fewest samples left is dealt first; each of its samples goes to the part that wants most samples
    of the label, of several to that which wants most samples. The labels of a task are its classes
    (the quantiles of its numbers) and that it is missing, without the most frequent of them, whose
    share follows from the others'.

    Parameters
    ----------
    table : TaskTable
    shares : ndarray of shape (n_parts,)
        What each part wants of every label.
    sizes : ndarray of shape (n_parts,)
        Samples of each part; their sum is n_samples.
    random : RandomState, default=None
        Draws which of a label's samples goes where, and which of several parts that want alike
        comes first. If None, samples are dealt in their order, and the first part comes first.

    Returns
    -------
    part : ndarray of shape (n_samples,)

    Notes
    -----
    What a part wants of the label that is dealt, and in all, falls by one with each sample that it
    is given, whichever that is. So the parts of all samples of a label are known at once, from one
    sort of (part, number of samples given before), and a table takes time in proportion to its
    entries.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011.
    """
    labels, counts = labels_of(table, shares[shares > 0].min())
    n_samples, n_labels = len(labels), len(counts)
    order = np.arange(n_samples) if random is None else random.permutation(n_samples)
    labels = labels[order]
    samples_of = _samples_of(labels, n_labels)
    # Of labels with as many samples the one of the first sample, whatever the order of the tasks.
    rank = np.empty(n_labels, dtype=np.intp)
    by_samples = [samples.astype(">i8").tobytes() for samples in samples_of]
    rank[sorted(range(n_labels), key=by_samples.__getitem__)] = np.arange(n_labels)
    part = np.full(n_samples, -1)
    room, given = np.array(sizes), np.zeros((len(sizes), n_labels), dtype=np.int64)
    while room.any():
        wanted = in_all = shares * n_samples - (sizes - room)
        left = counts - given.sum(axis=0)
        left[0] = 0
        label = 0
        if left.any():
            rarest = np.flatnonzero(left == left[left > 0].min())
            label = int(rarest[rank[rarest].argmin()])
        samples = samples_of[label] if label > 0 else np.arange(n_samples)
        samples = samples[part[samples] < 0]
        if label > 0:
            wanted = shares * counts[label] - given[:, label]
        # The difference of the two is the same after every sample.
        parts = np.arange(len(sizes)) if random is None else random.permutation(len(sizes))
        parts = parts[np.argsort((wanted - in_all)[parts], kind="stable")]
        depth = np.minimum(len(samples), room[parts])
        to = np.repeat(parts, depth)
        before = np.arange(len(to)) - np.repeat(np.cumsum(depth) - depth, depth)
        to = to[np.argsort(before - wanted[to], kind="stable")[: len(samples)]]
        part[samples] = to
        room -= np.bincount(to, minlength=len(room))
        places = labels[samples] + (to * n_labels)[:, None]
        np.add.at(given.reshape(-1), places.ravel(), 1)
    of_samples = np.empty(n_samples, dtype=np.intp)
    of_samples[order] = part
    return of_samples


def labels_of(table: TaskTable, least: float) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The labels of all tasks, from 1 on; 0 stands for the most frequent of each task.

    Parameters
    ----------
    table : TaskTable
    least : float
        The smallest share that a part wants: of each of the quantiles one number, if it can be.

    Returns
    -------
    labels : ndarray of shape (n_samples, n_tasks)
    counts : ndarray of shape (n_labels + 1,)
        How many samples have each; 0 of the first.
    """
    labels = np.empty(table.codes.shape[::-1], dtype=np.int32)
    counts = [np.zeros(1, dtype=np.int64)]
    n_labels = 0
    for t in range(table.n_tasks):
        codes = _codes_of(table, t, least) + 1  # 0 is missing
        of_task = np.bincount(codes)
        dealt = of_task > 0
        dealt[of_task.argmax()] = False
        labels[t] = np.where(dealt, n_labels + np.cumsum(dealt), 0)[codes]
        counts.append(of_task[dealt])
        n_labels += int(dealt.sum())
    return np.ascontiguousarray(labels.T), np.concatenate(counts)


def _codes_of(table: TaskTable, t: int, least: float) -> NDArray[np.intp]:
    """Classes, or quantiles of numbers; -1 where a label is missing."""
    codes, numbers = table.codes[:, t].astype(np.intp), None
    seen = codes != MISSING
    if not table.has_classes[t]:
        numbers = table.values[seen, t]  # type: ignore[index]
    elif len(table.classes[t]) > _MOST_VALUES and table.classes[t].dtype.kind in "iuf":
        numbers = table.classes[t][codes[seen]]
    if numbers is not None and len(numbers):
        n_bins = int(np.clip(least * len(numbers), 1, _N_BINS))
        at = np.arange(1, n_bins) / n_bins
        # Edges are numbers of the data, so that units do not matter.
        edges = np.unique(np.quantile(numbers, at, method="inverted_cdf"))
        codes[seen] = np.searchsorted(edges, numbers, side="right")
    return codes


def _samples_of(labels: NDArray[np.int32], n_labels: int) -> list[NDArray[np.intp]]:
    """The samples that have each label."""
    by_task = labels.T.astype(np.min_scalar_type(n_labels)).ravel()  # small ints sort faster
    places = np.flatnonzero(by_task)
    of_places = by_task[places]
    places = places[np.argsort(of_places, kind="stable")] % len(labels)
    return np.split(places, np.cumsum(np.bincount(of_places, minlength=n_labels))[:-1])
