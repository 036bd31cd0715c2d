"""Geometry of few but very long rows, in float64 and one block of columns at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
from joblib import Parallel, cpu_count, delayed
from scipy.linalg import eigh
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

# Numbers in one float64 block: large enough for BLAS, small beside the data.
_BLOCK = 2**20
_EPS = np.finfo(np.float64).eps


def limit_blas(n_rows: int) -> threadpool_limits:
    """One BLAS thread where matrices are so small that several would only wait for each other."""
    return threadpool_limits(1 if n_rows <= 500 else None, "blas")


def _blas_threads() -> int:
    """As many as BLAS would take: a worker among others has but its share of the cores."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=cpu_count())


def _width(n_rows: int, n_columns: int) -> int:
    return min(n_columns, max(1, _BLOCK // max(1, n_rows)))


def _blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    width = _width(n_rows, n_columns)
    for start in range(0, n_columns, width):
        yield slice(start, min(start + width, n_columns))


def centered_gram(R: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Gram matrix of the rows of `R`, and of `others` below them, less their mean row.

    Centring changes no distance between rows and keeps their common offset from cancelling
    the digits that tell them apart. The Gram matrices of column blocks add up to that of the
    whole array: ``gram += centered_gram(block)`` needs one block at a time.

    Products are in float64 whatever the data: in float32 the roundings of structured data
    (few different values) do not average out, and memberships lose their sixth digit.

    Parameters
    ----------
    R : ndarray of shape (n, d)
        Rows of any real type.

    *others : ndarrays of shape (d,)

    Returns
    -------
    gram : ndarray of shape (n + len(others), n + len(others))
        In float64. Finite if and only if all rows are, squares of their size permitting.
    """
    n_rows, n_columns = len(R) + len(others), R.shape[1]
    blocks = list(_blocks(n_rows, n_columns))

    def gram_of(blocks: list[slice]) -> np.ndarray:
        gram = np.zeros((n_rows, n_rows))
        # One buffer for all blocks: fresh memory for each would take longer than the product.
        buffer = np.empty(n_rows * _width(n_rows, n_columns))
        for columns in blocks:
            width = columns.stop - columns.start
            block = buffer[: n_rows * width].reshape(n_rows, width)
            block[: len(R)] = R[:, columns]
            for i, row in enumerate(others, len(R)):
                block[i] = row[columns]
            with np.errstate(invalid="ignore"):
                block -= block.mean(axis=0)
                gram += block @ block.T  # NumPy computes one triangle of it
        return gram

    n_threads = min(_blas_threads(), len(blocks)) if len(blocks) > 1 else 1
    if n_threads <= 1:
        return gram_of(blocks)
    # BLAS's own threads would wait for each other in every block, long on a busy machine.
    with threadpool_limits(1, "blas"):
        return sum(
            Parallel(n_threads, require="sharedmem")(
                delayed(gram_of)(blocks[start::n_threads]) for start in range(n_threads)
            )
        )


def embed_gram(gram: np.ndarray) -> np.ndarray:
    """Points whose pairwise distances are those that a Gram matrix describes.

    Permuting rows and columns of the Gram matrix permutes the points, unless eigenvalues
    coincide or an axis is symmetric about 0: then only the distances are determined.

    Parameters
    ----------
    gram : ndarray of shape (n, n)

    Returns
    -------
    points : ndarray of shape (n, r)
        Principal axes of decreasing length, 1 <= r <= n; axes shorter than rounding are left
        out. Their cubes have a nonnegative sum, which fixes the signs.
    """
    with limit_blas(len(gram)):
        values, vectors = eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    keep = values > len(gram) * _EPS * values[0]
    keep[0] = True
    points = vectors[:, keep] * np.sqrt(np.maximum(values[keep], 0))
    points *= np.where((vectors[:, keep] ** 3).sum(axis=0) < 0, -1.0, 1.0)
    return points


class Mixtures:
    """Mixtures of rows, computed where a block of their columns is asked for.

    Parameters
    ----------
    weights : ndarray of shape (k, n)

    R : ndarray of shape (n, d)
    """

    def __init__(self, weights: np.ndarray, R: np.ndarray) -> None:
        self.weights, self.R = weights, R

    def __getitem__(self, key: tuple[np.ndarray, slice]) -> np.ndarray:
        mixtures, columns = key
        weights = self.weights[mixtures]
        used = weights.any(axis=0)
        return weights[:, used] @ self.R[used, columns]

    def all(self) -> np.ndarray:
        return self.weights @ self.R


def find_rows(R: np.ndarray, others: Sequence[np.ndarray]) -> list[int | None]:
    """For each of the rows `others`, the index of an equal row of `R`, if one is easily found."""
    step = 1 + R.shape[1] // 64
    sample, first = R[:, ::step].copy(), []
    for row in others:
        i = int((sample == row[::step]).all(axis=1).argmax())
        first.append(i if np.array_equal(R[i], row) else None)
    return first


def lexicographic_rank(R: np.ndarray) -> np.ndarray:
    """Dense rank of each row among the distinct rows of `R`, in lexicographic order.

    Equal rows share a rank. Columns are read only until all rows are told apart.

    Parameters
    ----------
    R : ndarray of shape (n, d)

    Returns
    -------
    rank : ndarray of shape (n,)
    """
    rank = np.zeros(len(R), dtype=np.intp)
    for columns in _blocks(len(R), R.shape[1]):
        while True:
            _, first, count = np.unique(rank, return_index=True, return_counts=True)
            tied = np.flatnonzero(count[rank] > 1)
            if not tied.size:
                return rank
            differs = (R[tied, columns] != R[first[rank[tied]], columns]).any(axis=0)
            column = columns.start + differs.argmax()
            if not differs[column - columns.start]:
                break
            values = R[:, column]
            order = np.lexsort((values, rank))
            steps = (np.diff(rank[order]) != 0) | (values[order[1:]] != values[order[:-1]])
            rank[order[0]] = 0
            rank[order[1:]] = np.cumsum(steps)
    return rank


def squared_distances(R: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, exactly 0 where a row is a centre up to rounding.

    Parameters
    ----------
    R : ndarray of shape (n, d)

    centers : ndarray of shape (k, d)

    Returns
    -------
    squared : ndarray of shape (n, k)
        In float64. Each row depends on that row and the centres alone.
    """
    n_clusters, n_columns = centers.shape
    squared = np.empty((len(R), n_clusters))
    for start in range(0, len(R), 1024):
        rows = np.arange(start, min(start + 1024, len(R)))
        cross = np.zeros((len(rows), n_clusters))
        row_norms, center_norms = np.zeros((len(rows), 1)), np.zeros(n_clusters)
        buffer = np.empty((len(rows), _width(len(rows) + n_clusters, n_columns)))
        for columns in _blocks(len(rows) + n_clusters, n_columns):
            C = centers[:, columns].astype(np.float64)
            mean = C.mean(axis=0)
            C -= mean
            X = buffer[:, : columns.stop - columns.start]
            np.subtract(R[start : start + 1024, columns], mean, out=X)
            cross += X @ C.T
            row_norms[:, 0] += np.einsum("ij,ij->i", X, X)
            center_norms += np.einsum("ij,ij->i", C, C)
        norms = row_norms + center_norms
        squared[rows] = refine_small(norms - 2 * cross, norms, R, rows, centers)
    return squared


def refine_small(
    squared: np.ndarray,
    norms: np.ndarray,
    R: np.ndarray,
    rows: np.ndarray,
    centers: np.ndarray | Mixtures,
) -> np.ndarray:
    """Recompute by direct subtraction the squared distances that cancellation has spoilt.

    Parameters
    ----------
    squared, norms : ndarray of shape (m, k)
        Squared distances, right to rounding of the squared norms beside them.

    R : ndarray of shape (n, d)

    rows : ndarray of shape (m,)
        The rows of `R` that `squared` is about.

    centers : ndarray of shape (k, d) or Mixtures

    Returns
    -------
    squared : ndarray of shape (m, k)
        Changed in place; 0 where only the rounding of the centres is left.
    """
    i, j = np.nonzero(~(squared > 1e-6 * norms))
    if not i.size:
        return squared
    used, j_used = np.unique(j, return_inverse=True)
    direct, sizes = np.zeros(len(i)), np.zeros(len(used))
    for columns in _blocks(len(i) + len(R), R.shape[1]):
        C = centers[used, columns].astype(np.float64)
        sizes += np.einsum("ij,ij->i", C, C)
        difference = R[rows[i], columns] - C[j_used]
        direct += np.einsum("ij,ij->i", difference, difference)
    rounding = (100 * _EPS) ** 2 * max(sizes.max(), norms.max())
    squared[i, j] = np.where(direct <= rounding, 0.0, direct)
    return squared
