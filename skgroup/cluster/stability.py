"""How alike groupings are, and what chance and places without groups would give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from sklearn.cluster import AgglomerativeClustering

from skgroup.cluster.gram import centered_gram, embed_gram

__all__ = [
    "agreement",
    "agreement_by_chance",
    "co_membership",
    "consensus",
    "differences_explained",
    "hard_labels",
    "places_of",
    "spread_out",
    "tables_without_groups",
]

#: Rounds of averaging and turning; few are enough, as the first mean is close.
_N_ROUNDS = 10


def hard_labels(membership: NDArray[np.float64]) -> NDArray[np.intp]:
    """The strongest group of each row of memberships (n, k); a row of zeros is its own group."""
    labels = membership.argmax(axis=1)
    nowhere = ~(membership > 0).any(axis=1)
    labels[nowhere] = membership.shape[1] + np.arange(nowhere.sum())
    return labels


def co_membership(labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Share of the groupings (n_repetitions, n) that have each pair together, (n, n)."""
    return (labels[:, :, None] == labels[:, None, :]).mean(axis=0)


def consensus(together: NDArray[np.float64], n_groups: int) -> NDArray[np.intp]:
    """Groups of what is together most often, by average linkage (evidence accumulation [1]_).

    References
    ----------
    .. [1] A. L. N. Fred, A. K. Jain, "Combining multiple clusterings using evidence
       accumulation", IEEE TPAMI 27, 2005.
    """
    linkage = AgglomerativeClustering(n_groups, metric="precomputed", linkage="average")
    labels = linkage.fit_predict(1 - together)
    first = np.unique(labels, return_index=True)[1]
    return np.argsort(np.argsort(first))[labels]  # numbered as they come


def agreement(labels: NDArray[np.intp]) -> float:
    """Mean adjusted Rand index over the pairs of groupings (n_repetitions, n).

    The index of each pair is that of `sklearn.metrics.adjusted_rand_score`: 1 for the same groups,
    0 on average for random ones of the same sizes. Two groupings that are one group each, or a
    group a row each, are the same.
    """
    one, other = np.triu_indices(labels.shape[1], 1)
    together = (labels[:, one] == labels[:, other]).astype(np.float64)
    both, counts = together @ together.T, together.sum(axis=1)
    expected = np.outer(counts, counts) / len(one)
    most = np.add.outer(counts, counts) / 2
    trivial = most == expected
    index = np.where(trivial, 1.0, (both - expected) / np.where(trivial, 1.0, most - expected))
    return float(index[np.triu_indices(len(labels), 1)].mean())


def agreement_by_chance(
    labels: NDArray[np.intp], n_draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Agreements (n_draws,) of groupings with the same sizes, their members drawn at random."""
    return np.array([agreement(rng.permuted(labels, axis=1)) for _ in range(n_draws)])


def places_of(rows: NDArray) -> NDArray[np.float64]:
    """Points (n, n - 1) with the distances of some rows (n, d), their mean at 0."""
    points = embed_gram(centered_gram(rows))[:, : len(rows) - 1]
    places = np.zeros((len(rows), len(rows) - 1))
    places[:, : points.shape[1]] = points - points.mean(axis=0)
    return places


def differences_explained(places: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """How much of the differences between places groups explain that were found without them.

    Sums of squares between groups, of all; a mean over groupings, each judged on the mean of the
    other repetitions. What all directions share (the smallest eigenvalue of the mean) is no
    difference but noise, or that each is its own, and is left out.

    Parameters
    ----------
    places : ndarray of shape (n_repetitions, n, n - 1)
        With mean 0.
    labels : ndarray of shape (n_labelled, n)
        Groups that were found in the first of these.

    Returns
    -------
    share : float
        1 where members of a group differ by nothing that lasts, 0 if there is no difference.
    """
    unit, _ = _of_one_size(places)
    grams = unit @ unit.swapaxes(1, 2)
    total = grams.sum(axis=0)
    shares = []
    for gram, of_one in zip(grams, labels, strict=False):
        others = _above_least((total - gram) / (len(grams) - 1))
        members = np.unique(of_one)[:, None] == of_one
        members = members / np.sqrt(members.sum(axis=1, keepdims=True))
        size = np.trace(others)
        shares.append(float(((members @ others) * members).sum() / size) if size > 1e-12 else 0.0)
    return float(np.mean(shares))


def tables_without_groups(
    places: NDArray[np.float64], n_tables: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Places such as those that were seen, and as noisy, but drawn without groups.

    The mean places are drawn anew from the normal distribution that has their covariance, above
    what all directions share, which stays as it is, as in SigClust [1]_: much noise puts rows
    equally far apart, and draws must not make them less regular than they were. To these, what
    places differ by between repetitions is added, in any direction.

    Parameters
    ----------
    places : ndarray of shape (n_repetitions, n, n - 1)
        With mean 0; turned in any way, as distances alone count.
    n_tables : int
    rng : Generator

    Yields
    ------
    places : ndarray of shape (n_repetitions, n, n - 1)

    References
    ----------
    .. [1] Y. Liu, D. N. Hayes, A. Nobel, J. S. Marron, "Statistical significance of clustering
       for high-dimension, low-sample size data", JASA 103, 2008.
    """
    n_repetitions, n, d = places.shape
    turned, size = _turned_alike(places)
    mean = turned.mean(axis=0)
    # Turning leaves n (n - 1) / 2 directions of (n - 1)², those that change distances; and one of
    # the repetitions went into the mean.
    noise = (turned - mean) * np.sqrt(2 * d / n * n_repetitions / (n_repetitions - 1))
    lasting = mean @ mean.T
    centre = np.eye(n) - 1 / n
    shared = lasting - _above_least(lasting)
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(lasting - shared)[:0:-1], 0) / d)
    for _ in range(n_tables):
        drawn = centre @ rng.standard_normal((n, d)) * spread
        base = _embed(drawn @ drawn.T + shared)
        turns = np.linalg.qr(rng.standard_normal((n_repetitions, d, d)))[0]
        of_tasks = rng.permuted(np.tile(np.arange(n), (n_repetitions, 1)), axis=1)
        moved = np.take_along_axis(noise, of_tasks[..., None], axis=1) @ turns
        yield (base + moved) * size


def spread_out(places: NDArray[np.float64], train_size: float) -> NDArray[np.float64]:
    """Places that differ as much as those of independent samples would.

    What was found on a share f of the same samples, drawn at random, differs between repetitions
    by (1 - f) / f of the variance that new samples would bring (the delete-d jackknife [1]_).

    Parameters
    ----------
    places : ndarray of shape (n_repetitions, n, n - 1)
        With mean 0; turned in any way.
    train_size : float
        The share, in (0, 1). Half of the samples differ as independent ones do.

    Returns
    -------
    places : ndarray of shape (n_repetitions, n, n - 1)

    References
    ----------
    .. [1] J. Shao, C. F. J. Wu, "A general theory for jackknife variance estimation", Annals of
       Statistics 17, 1989.
    """
    turned, size = _turned_alike(places)
    mean = turned.mean(axis=0)
    return (mean + (turned - mean) * np.sqrt(train_size / (1 - train_size))) * size


def _turned_alike(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Places of one size, turned to lie where those of other repetitions do; and their size."""
    unit, size = _of_one_size(places)
    mean = _embed((unit @ unit.swapaxes(1, 2)).mean(axis=0))
    for _ in range(_N_ROUNDS):
        turned = np.stack([one @ orthogonal_procrustes(one, mean)[0] for one in unit])
        mean = turned.mean(axis=0)
    return turned, size


def _of_one_size(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Places of each repetition with squares that sum to 1 (or 0), and their mean size."""
    sizes = np.sqrt((places**2).sum(axis=(1, 2), keepdims=True))
    unit = np.divide(places, sizes, out=np.zeros_like(places), where=sizes > 0)
    return unit, float(sizes.mean())


def _above_least(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """A centred Gram matrix less what all its directions share."""
    n = len(gram)
    least = max(np.linalg.eigvalsh(gram)[1], 0.0)  # the first is the 0 of centring
    return gram - least * (np.eye(n) - 1 / n)


def _embed(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, n - 1) with a centred Gram matrix, in its principal axes."""
    values, vectors = np.linalg.eigh(gram)
    return vectors[:, :0:-1] * np.sqrt(np.maximum(values[:0:-1], 0))
