"""`Clusterings`: several numbers of clusters side by side."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import HasMethods, _fit_context, forget_fit, validate_data
from skgroup._html import GroupsReprMixin
from skgroup.cluster._fuzzy_kmeans import FuzzyKMeans
from skgroup.cluster.memberships import check_membership, one_hot

__all__ = ["Clusterings", "check_numbers"]


class Clusterings(
    GroupsReprMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """The memberships of several numbers of clusters, side by side.

    The specialists of groups of several sizes then serve beside each other, each size counting the
    same.

    Parameters
    ----------
    clusterer : estimator, default=None
        With a parameter `n_clusters`, and `membership_` or `labels_` after `fit`; `FuzzyKMeans()`
        if None.
    n_clusters : sequence of int, default=(2, 3, 4)
        One clustering each.
    random_state : int, RandomState or None, default=None
        For the clusterers, where they have a `random_state` that is None.

    Attributes
    ----------
    clusterers_ : list of estimator
        One fitted clone a number of clusters.
    membership_ : ndarray of shape (n_tasks, sum(n_clusters))
        The columns of all clusterings, in their order. A row sums to 1 in each clustering.
    serving_weights_ : ndarray of shape (n_tasks, sum(n_clusters))
        `membership_` divided by the number of clusterings: each counts equally.
    clustering_of_group_ : ndarray of shape (sum(n_clusters),)
        Position in `n_clusters` of the clustering that each column belongs to.

    Examples
    --------
    >>> from skgroup.cluster import Clusterings
    >>> R = [[0.0], [0.1], [5.0], [9.0]]
    >>> Clusterings(n_clusters=[2, 3]).fit(R).membership_.shape
    (4, 5)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "clusterer": [HasMethods(["fit"]), None],
        "n_clusters": ["array-like"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        clusterer: Any = None,
        n_clusters: Sequence[int] = (2, 3, 4),
        *,
        random_state: Any = None,
    ) -> None:
        self.clusterer = clusterer
        self.n_clusters = n_clusters
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Clusterings:
        """Cluster the rows once for each number of clusters.

        Parameters
        ----------
        X : array-like of shape (n_tasks, n_features)
        y : ignored

        Returns
        -------
        self : Clusterings

        Raises
        ------
        ValueError
            If `n_clusters` is not a sequence of different ints >= 1, if the clusterer has no
            `n_clusters`, or what the clusterer raises.
        """
        base, numbers = self.check()
        forget_fit(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        if base.get_params().get("random_state", 0) is None:
            # check_random_state(None) would be NumPy's global one.
            fresh = self.random_state is None
            rng = np.random.RandomState() if fresh else check_random_state(self.random_state)
            base.set_params(random_state=rng.randint(2**31 - 1))
        self.clusterers_ = [clone(base).set_params(n_clusters=k).fit(X) for k in numbers]
        columns = [_membership(fitted, len(X)) for fitted in self.clusterers_]
        columns = [m / m.sum(axis=1, keepdims=True) for m in columns]
        self.membership_ = np.hstack(columns)
        self.serving_weights_ = self.membership_ / len(columns)
        self.clustering_of_group_ = np.repeat(
            np.arange(len(columns)), [m.shape[1] for m in columns]
        )
        self._n_features_out = self.membership_.shape[1]
        return self

    def check(self) -> tuple[Any, list[int]]:
        """An unfitted clusterer and the numbers of clusters."""
        base = FuzzyKMeans() if self.clusterer is None else clone(self.clusterer)
        if "n_clusters" not in base.get_params():
            raise ValueError(
                "The 'clusterer' parameter of Clusterings must have a parameter n_clusters. Got "
                f"{self.clusterer!r} instead."
            )
        return base, check_numbers(self.n_clusters, "n_clusters", type(self).__name__)

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Memberships of rows: what soft clusterers give them, or the clusters that hard ones
        predict. Not there for clusterers that know only the rows of `fit`, such as
        `AgglomerativeClustering`.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        membership : ndarray of shape (n_rows, sum(n_clusters))
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return np.hstack([_of_rows(fitted, X) for fitted in self.clusterers_])

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """Fit, and return `membership_`.

        Parameters
        ----------
        X : array-like of shape (n_tasks, n_features)
        y : ignored

        Returns
        -------
        membership : ndarray of shape (n_tasks, sum(n_clusters))
        """
        return self.fit(X).membership_.copy()


def _describes_rows(clusterings: Clusterings) -> bool:
    """Whether the clusterers know the clusters of rows that they were not fitted on."""
    if not hasattr(clusterings, "clusterers_"):
        base = FuzzyKMeans() if clusterings.clusterer is None else clusterings.clusterer
        return hasattr(base, "predict") or hasattr(base, "transform")
    return all(hasattr(fitted, _method_of_rows(fitted)) for fitted in clusterings.clusterers_)


# Only now, as scikit-learn wraps what stands in the class, and then it would always be there.
Clusterings.transform = available_if(_describes_rows)(  # type: ignore[method-assign]
    Clusterings.transform
)


def _membership(fitted: Any, n_rows: int) -> NDArray[np.float64]:
    if hasattr(fitted, "membership_"):
        name = f"membership_ of {type(fitted).__name__}"
        return check_membership(fitted.membership_, n_rows, name=name)
    if len(fitted.labels_) != n_rows:
        raise ValueError(
            f"The 'clusterer' parameter of Clusterings must give each of the {n_rows} rows a "
            f"label. Got {len(fitted.labels_)} labels_ of {type(fitted).__name__}."
        )
    return one_hot(fitted.labels_)


def _method_of_rows(fitted: Any) -> str:
    return "transform" if hasattr(fitted, "membership_") else "predict"


def _of_rows(fitted: Any, X: NDArray) -> NDArray[np.float64]:
    if _method_of_rows(fitted) == "transform":
        return fitted.transform(X)
    return np.eye(fitted.n_clusters)[fitted.predict(X)]


def check_numbers(value: Any, name: str, owner: str) -> list[int]:
    """Different numbers of clusters, as a list of ints; ValueError if they are not."""
    numbers = np.asarray(value, dtype=object)
    found = numbers.tolist() if numbers.ndim == 1 else []
    if (
        not found
        or not all(isinstance(k, Integral) and int(k) >= 1 for k in found)
        or len(set(found)) < len(found)
    ):
        raise ValueError(
            f"The '{name}' parameter of {owner} must be a sequence of different ints >= 1. Got "
            f"{value!r} instead."
        )
    return [int(k) for k in found]
