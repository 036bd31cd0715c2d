"""`PointKMeans`: groups of points, and tasks by the groups that their points fall into."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import CallbackSupportMixin, Interval, _fit_context, forget_fit, validate_data


class PointKMeans(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Cluster the points of all tasks together; a task belongs where its points do.

    A row of a data map is a sequence of points (μ, σ). k-means groups the points of all tasks,
    and the membership of a task in a cluster is the share of its points there: the point-based
    variant of STG-MTL [1]_. Tasks are then alike if their samples are as easy and as hard, no
    matter which samples.

    Parameters
    ----------
    n_clusters : int, default=3
    point_size : int, default=2
        Coordinates of a point; a row holds its points one after another.
    n_init : int, default=10
        Starts of k-means (`sklearn.cluster.KMeans`); the best is kept.
    max_iter : int, default=300
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    membership_ : ndarray of shape (n_tasks, n_clusters)
        Rows sum to 1.
    labels_ : ndarray of shape (n_tasks,)
        The cluster of most points of each task.
    cluster_centers_ : ndarray of shape (n_clusters, point_size)
        In the order of their first coordinate.
    inertia_ : float
    n_features_in_ : int

    Notes
    -----
    Points that are zero for all tasks (samples on which the net did not train) do not count.

    References
    ----------
    .. [1] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> from skgroup.cluster import PointKMeans
    >>> R = [[0.1, 0.0, 0.2, 0.0], [0.1, 0.0, 0.9, 0.1], [0.9, 0.0, 1.0, 0.0]]
    >>> PointKMeans(n_clusters=2, random_state=0).fit(R).membership_
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "point_size": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        point_size: int = 2,
        n_init: int = 10,
        max_iter: int = 300,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.point_size = point_size
        self.n_init = n_init
        self.max_iter = max_iter
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> PointKMeans:
        """Cluster the points of all rows.

        Parameters
        ----------
        X : array-like of shape (n_tasks, n_points · point_size)
            As `TaskGrouper(output="raw")` gives them. Of "isometric" rows no points can be read;
            where `X` holds negative numbers, as these do and data maps do not, a warning says so.
        y : ignored

        Returns
        -------
        self : PointKMeans

        Raises
        ------
        ValueError
            If a row is no whole number of points, there are fewer points than clusters, or the
            squares of the numbers overflow.
        """
        forget_fit(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        n_features = X.shape[1]
        n_clusters, size = int(self.n_clusters), int(self.point_size)
        if n_features % size:
            raise ValueError(
                f"The 'point_size' parameter of PointKMeans, {size}, must divide the length of the "
                f"rows. Got {n_features} features. Data maps are rows of points as "
                "TaskGrouper(output='raw') gives them."
            )
        self._check_range(X)
        if (X < 0).any():
            warnings.warn(
                "PointKMeans clusters points of data maps, means and spreads of probabilities, but "
                "X holds negative numbers. Rows of TaskGrouper(output='isometric') hold no points: "
                "use output='raw'.",
                UserWarning,
                stacklevel=4,
            )
        points = X.reshape(len(X), -1, size)
        points = self._seen(points)
        flat = np.ascontiguousarray(points.reshape(-1, size))
        if len(flat) < n_clusters:
            raise ValueError(
                "The 'n_clusters' parameter of PointKMeans must be at most the number of points, "
                f"{len(flat)}. Got {n_clusters} instead."
            )
        # Sorted points, so that the order of the tasks does not matter.
        order = np.lexsort(flat.T[::-1])
        model = KMeans(
            n_clusters, n_init=self.n_init, max_iter=self.max_iter, random_state=self.random_state
        ).fit(flat[order])
        position = np.lexsort(model.cluster_centers_.T[::-1])
        self.cluster_centers_ = model.cluster_centers_[position]
        self.inertia_ = float(model.inertia_)
        labels = np.empty(len(flat), dtype=np.intp)
        labels[order] = np.argsort(position)[model.labels_]
        self.membership_ = self._shares(labels, len(X))
        self.labels_ = self.membership_.argmax(axis=1)
        self._n_features_out = n_clusters
        return self

    def _shares(self, labels: NDArray[np.intp], n_rows: int) -> NDArray[np.float64]:
        rows = np.repeat(np.arange(n_rows), len(labels) // n_rows)
        n_clusters = len(self.cluster_centers_)
        counts = np.bincount(rows * n_clusters + labels, minlength=n_rows * n_clusters)
        counts = counts.reshape(n_rows, n_clusters)
        return counts / counts.sum(axis=1, keepdims=True)

    def _check_range(self, X: NDArray) -> None:
        largest = max(X.max(), -X.min())
        with np.errstate(over="ignore"):
            squares = X.dtype.type(X.size) * largest * largest
        if not np.isfinite(squares):
            raise ValueError(
                f"X must hold numbers whose squares can be summed in {X.dtype}. Got {largest:.3g}."
            )

    def _seen(self, points: NDArray) -> NDArray:
        seen = (points != 0).any(axis=(0, 2))
        return points[:, seen] if seen.any() else points

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Memberships of rows, by the nearest centre of each of their points.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_points · point_size)

        Returns
        -------
        membership : ndarray of shape (n_rows, n_clusters)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        self._check_range(X)
        points = self._seen(X.reshape(len(X), -1, self.point_size)).astype(np.float64)
        flat = points.reshape(-1, self.point_size)
        squared = (self.cluster_centers_**2).sum(axis=1) - 2 * flat @ self.cluster_centers_.T
        return self._shares(squared.argmin(axis=1), len(X))

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """Fit, and return `membership_`.

        Parameters
        ----------
        X : array-like of shape (n_tasks, n_points · point_size)
        y : ignored

        Returns
        -------
        membership : ndarray of shape (n_tasks, n_clusters)
        """
        return self.fit(X).membership_.copy()
