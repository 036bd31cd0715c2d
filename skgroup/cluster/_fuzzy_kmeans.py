"""K-means and fuzzy c-means with soft memberships, fast also for few but very long rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property, partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lstsq
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    argument_named,
    validate_data,
)
from skgroup._fit_parts import FitPart
from skgroup._html import GroupsReprMixin
from skgroup.cluster.gram import (
    Mixtures,
    centered_gram,
    embed_gram,
    find_rows,
    lexicographic_rank,
    limit_blas,
    refine_small,
    squared_distances,
)

# Centres of more numbers than this wait until they are asked for.
_EAGER = 2**22


class FuzzyKMeans(
    CallbackSupportMixin,
    GroupsReprMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    BaseEstimator,
):
    r"""Clusters to which every row belongs by degrees.

    A row :math:`x_i` belongs to the cluster with centre :math:`c_j` by

    .. math::
        w_{ij} = \frac{\|x_i - c_j\|^{-2/(F-1)}}{\sum_k \|x_i - c_k\|^{-2/(F-1)}},

    with fuzziness :math:`F > 1` [1]_ [2]_. A row that lies exactly on some centres belongs to
    these alone, in equal shares.

    The order and the repetition of rows change nothing: equal rows count once, with their
    summed weight. Where rows are longer than they are many, distances live in a space of
    fewer dimensions than there are rows: `fit` reads the data once, for the Gram matrix, and
    makes no copy of them.

    Parameters
    ----------
    n_clusters : int, default=3
        Number of clusters.

    fuzziness : float, default=2.0
        The exponent :math:`F > 1`. Near 1 memberships are hard, large values even them out.

    algorithm : {"kmeans", "fuzzy"}, default="kmeans"
        "kmeans" takes the centres of hard k-means [1]_. "fuzzy" alternates between
        memberships and centres :math:`c_j = \sum_i s_i w_{ij}^F x_i / \sum_i s_i w_{ij}^F`
        with sample weights :math:`s_i`, to a stationary point of Bezdek's objective
        :math:`\sum_{ij} s_i w_{ij}^F \|x_i - c_j\|^2` [2]_.

    init : {"k-means++", "random"}, callable or array-like of shape (n_clusters, n_features), \
            default="k-means++"
        First centres: drawn from the rows, given (then there is one start), or returned by
        ``init(X, n_clusters, random_state=random_state)``.

    n_init : int, default=10
        Number of starts, of which the one with the lowest objective is kept.

    max_iter : int, default=300
        Most iterations of one start.

    tol : float, default=1e-4
        Stop when the centres come to rest. "kmeans": as in
        :class:`~sklearn.cluster.KMeans`. "fuzzy": when they move by less than
        ``1e-4 * tol`` times the root mean squared distance of the rows from their mean.

    random_state : int, RandomState instance or None, default=None
        Randomness of the first centres. None draws fresh entropy and leaves NumPy's global
        random state alone.

    Attributes
    ----------
    membership_ : ndarray of shape (n_samples, n_clusters)
        Memberships of the rows given to `fit`, in float64. Rows sum to 1.

    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres, in the float type of the data. Where they are millions of numbers they are
        computed from the rows given to `fit` when first needed (or pickled); until then the
        estimator refers to these rows, which must not be changed.

    labels_ : ndarray of shape (n_samples,)
        The cluster of largest membership.

    inertia_ : float
        The lowest objective: the weighted sum of squared distances to the nearest centre for
        "kmeans", Bezdek's objective for "fuzzy".

    n_iter_ : int
        Iterations of the start that was kept.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    Notes
    -----
    Callbacks of scikit-learn (`set_callbacks`, from 1.9 on) hear of each start, and of the
    iterations of "fuzzy"; those of "kmeans" are scikit-learn's `KMeans`, which tells of none.

    References
    ----------
    .. [1] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", Machine Learning: Science and Technology, 2024,
       doi:10.1088/2632-2153/ad4e04.
    .. [2] J. C. Bezdek, "Pattern Recognition with Fuzzy Objective Function Algorithms",
       Plenum Press, 1981.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.cluster import FuzzyKMeans
    >>> R = np.array([[0.0, 0.0], [0.0, 1.0], [4.0, 0.0], [4.0, 1.0], [1.5, 0.5]])
    >>> clusters = FuzzyKMeans(n_clusters=2, init=R[[0, 2]]).fit(R)
    >>> clusters.membership_.round(2)
    array([[0.97, 0.03],
           [0.97, 0.03],
           [0.02, 0.98],
           [0.02, 0.98],
           [0.86, 0.14]])
    >>> clusters.predict([[3.0, 0.0]])
    array([1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "fuzziness": [Interval(Real, 1, np.inf, closed="neither")],
        "algorithm": [StrOptions({"kmeans", "fuzzy"})],
        "init": [StrOptions({"k-means++", "random"}), callable, "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        fuzziness: float = 2.0,
        algorithm: str = "kmeans",
        init: Any = "k-means++",
        n_init: int = 10,
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.fuzziness = fuzziness
        self.algorithm = algorithm
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @property
    def _n_fit_parts(self) -> int:
        """Starts, as callbacks of scikit-learn's count them."""
        return self.n_init if isinstance(self.init, str) or callable(self.init) else 1

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> FuzzyKMeans:
        """Find the clusters and the memberships of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows, float64 or float32, one a task where this is a relation.

        y : Ignored
            May have any length.

        sample_weight : array-like of shape (n_samples,), default=None
            Nonnegative weights: an integer weight repeats the row, 0 leaves it out (it gets
            its membership all the same).

        Returns
        -------
        self : FuzzyKMeans

        Raises
        ------
        ValueError
            If a parameter breaks its rule, there are fewer rows than clusters, `X`, `init` or
            `sample_weight` hold NaN or infinity, no weight is positive, or given centres have
            the wrong shape.
        """
        told: dict[str, Any] = {"X": X, "y": y}
        if sample_weight is not None:
            told["metadata"] = {"sample_weight": sample_weight}
        X, sample_weight = self._check(X, sample_weight)
        n_samples, n_features = X.shape
        # check_random_state(None) would be NumPy's global one.
        random_state = (
            np.random.RandomState()
            if self.random_state is None
            else check_random_state(self.random_state)
        )
        given = self._given_centers(X, random_state)
        exponent = _exponent(X)
        X, given = _scale(X, -exponent), [_scale(center, -exponent) for center in given]

        rank = lexicographic_rank(X)
        rows = np.unique(rank, return_index=True)[1]
        # Only ratios matter, but sums may leave float64's range.
        of_weight = _exponent(sample_weight)
        weights = np.bincount(rank, _scale(sample_weight, -of_weight))
        wide = n_features > len(rows)
        if wide:
            kept: list = list(rows)
            others: list = []
            for center, twin in zip(given, find_rows(X, given), strict=True):
                kept.append(n_samples + len(others) if twin is None else twin)
                others += [center] if twin is None else []
            gram = centered_gram(X, *others)
            if not np.isfinite(gram).all():
                self._check_finite(X)
            points = embed_gram(gram[np.ix_(kept, kept)])
        else:
            points = np.vstack([X[rows], *given]).astype(np.float64)
        origin = points[: len(rows)].mean(axis=0)
        points -= origin
        points, starts = np.split(points, [len(rows)])

        def learned(centers: NDArray[np.float64], n_iter: int, *, eager: bool) -> dict[str, Any]:
            """What centres among the points say, as attributes."""
            found: dict[str, Any] = {"n_iter_": n_iter}
            if wide:
                mixtures = _mixtures(points, centers, X, rows)
                norms = (points**2).sum(axis=1, keepdims=True) + (centers**2).sum(axis=1)
                squared = cdist(points, centers, "sqeuclidean")
                squared = refine_small(squared, norms, X, rows, mixtures)
                if eager:
                    found["cluster_centers_"] = _scale(mixtures.all(), exponent)
                else:
                    found["_mixtures"] = mixtures, exponent
            else:
                centers = (centers + origin).astype(X.dtype)
                squared = squared_distances(X[rows], centers)
                found["cluster_centers_"] = _scale(centers, exponent)
            membership = softmax(_logits(squared, self.fuzziness), axis=1)
            objective = (
                squared.min(axis=1)
                if self.algorithm == "kmeans"
                else (membership**self.fuzziness * squared).sum(axis=1)
            )
            with np.errstate(over="ignore"):
                inertia = float(np.ldexp(weights @ objective, 2 * exponent + of_weight))
            membership = membership[rank]
            found |= {"inertia_": inertia, "membership_": membership}
            found |= {"labels_": membership.argmax(axis=1), "_n_features_out": self.n_clusters}
            return found

        eager = self.n_clusters * n_features <= _EAGER
        now = partial(learned, eager=True)
        centers, n_iter = self._cluster(
            points, weights, starts, n_features, random_state, now, told
        )
        for stale in ("cluster_centers_", "_mixtures"):
            self.__dict__.pop(stale, None)
        self.__dict__.update(learned(centers, n_iter, eager=eager))
        return self

    def _check(
        self, X: Any, sample_weight: Any
    ) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_all_finite=False)
        n_samples, n_features = X.shape
        if n_features <= n_samples:  # otherwise the Gram matrix tells
            self._check_finite(X)
        if n_samples < self.n_clusters:
            raise ValueError(f"n_samples={n_samples} should be >= n_clusters={self.n_clusters}.")
        sample_weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        if not sample_weight.any():
            raise ValueError("sample_weight must have at least one positive entry.")
        return X, sample_weight

    @cached_property
    def cluster_centers_(self) -> NDArray[np.floating]:
        return self._compute_centers()

    def _compute_centers(self) -> NDArray[np.floating]:
        mixtures, exponent = self._mixtures
        del self._mixtures  # and with them the reference to the data
        return _scale(mixtures.all(), exponent)

    def __getstate__(self) -> Any:
        getattr(self, "cluster_centers_", None)  # these go into pickles, the data do not
        return super().__getstate__()

    def _check_finite(self, X: NDArray[np.floating]) -> None:
        assert_all_finite(X, input_name="X", estimator_name=type(self).__name__)

    def _given_centers(
        self, X: NDArray[np.floating], random_state: np.random.RandomState
    ) -> list[NDArray[np.floating]]:
        """First centres from the caller: n_clusters rows a start, one start after another."""
        if isinstance(self.init, str):
            return []
        draws = (
            [self.init(X, self.n_clusters, random_state=random_state) for _ in range(self.n_init)]
            if callable(self.init)
            else [self.init]
        )
        with argument_named("init"):
            draws = [check_array(centers, dtype=X.dtype, input_name="init") for centers in draws]
        shape = (self.n_clusters, X.shape[1])
        for centers in draws:
            if centers.shape != shape:
                raise ValueError(
                    f"The initial centers must have shape (n_clusters, n_features)={shape}. "
                    f"Got {centers.shape} instead."
                )
        return [center for centers in draws for center in centers]

    def _cluster(
        self,
        points: NDArray[np.float64],
        weights: NDArray[Any],
        starts: Any,
        n_features: int,
        random_state: np.random.RandomState,
        now: Callable[..., dict[str, Any]],
        told: dict[str, Any],
    ) -> tuple[NDArray[np.float64], int]:
        """Centres (n_clusters, r) among points (m, r), and the number of iterations.

        Callbacks are `told` of the starts and, where these are ours, iterations; `now` gives the
        attributes of centres and a number of iterations.
        """
        whole = FitPart.of(self)
        # Too few distinct points are split, so that every cluster can have one.
        used = np.flatnonzero(weights)
        if used.size < self.n_clusters:
            if self.algorithm == "fuzzy":  # KMeans says so itself
                warnings.warn(
                    f"Number of distinct clusters ({used.size}) found smaller than n_clusters "
                    f"({self.n_clusters}). Possibly due to duplicate points in X.",
                    ConvergenceWarning,
                    stacklevel=5,
                )
            used = np.resize(used, self.n_clusters)
        points, weights = points[used], weights[used] / np.bincount(used)[used]

        def start() -> NDArray[np.float64]:
            if self.init == "k-means++":
                return kmeans_plusplus(
                    points, int(self.n_clusters), sample_weight=weights, random_state=random_state
                )[0]
            chances = weights / weights.sum()
            return points[random_state.choice(len(points), self.n_clusters, False, chances)]

        if len(starts):
            starts = starts.reshape(-1, self.n_clusters, points.shape[1])
        else:
            starts = (start() for _ in range(self.n_init))

        if self.algorithm == "kmeans":
            # KMeans subtracts the mean of the points before it asks for first centres.
            mean = points.mean(axis=0)
            starts = iter(starts)
            begun: list[FitPart] = []

            def begin(*args: Any, **kwargs: Any) -> NDArray[np.float64]:
                for part in begun[-1:]:
                    part.end(**told)
                begun.append(whole.part("start"))
                begun[-1].begin(**told)
                return next(starts) - mean

            kmeans = KMeans(
                int(self.n_clusters),
                init=begin,
                n_init=self._n_fit_parts,
                max_iter=self.max_iter,
                # KMeans divides the variance by the number of columns.
                tol=self.tol * points.shape[1] / n_features,
            ).fit(points, sample_weight=weights)
            begun[-1].end(**told)
            return kmeans.cluster_centers_, kmeans.n_iter_

        spread = np.sqrt(points.var(axis=0).sum())
        tol = 1e-4 * self.tol * spread

        def run_from(centers: NDArray[np.float64]) -> tuple[Any, NDArray[np.float64], int, Any]:
            part = whole.part("start", self.max_iter)
            part.begin(**told)
            iterations = _Iterations(part, told, now)
            run = _fuzzy_c_means(
                points, weights, centers, self.fuzziness, self.max_iter, tol, iterations
            )
            part.end(**told, reconstruction_attributes=lambda: now(run[1], run[2]))
            return run

        runs = (run_from(centers) for centers in starts)
        best = next(runs)
        for run in runs:
            # The same optimum, found twice, differs by rounding.
            if run[0] < best[0] - 1e-9:
                best = run
        _, centers, n_iter, movement = best
        if movement > self.tol * spread:
            warnings.warn(
                f"Fuzzy c-means has not converged after max_iter={self.max_iter} iterations. "
                "Consider increasing max_iter or tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        return centers, n_iter

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Memberships of rows in the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        membership : ndarray of shape (n_samples, n_clusters)
        """
        return self._memberships(X)

    def fit_transform(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> NDArray[np.float64]:
        """Find the clusters and return the memberships, see `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        y : Ignored

        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        membership : ndarray of shape (n_samples, n_clusters)
        """
        return self.fit(X, y, sample_weight).membership_.copy()

    def predict(self, X: Any) -> NDArray[np.intp]:
        """The cluster of largest membership for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return self._memberships(X).argmax(axis=1)

    def _memberships(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        exponent = _exponent(X, self.cluster_centers_)
        squared = squared_distances(_scale(X, -exponent), _scale(self.cluster_centers_, -exponent))
        return softmax(_logits(squared, self.fuzziness), axis=1)


class _Iterations:
    """Tells callbacks of scikit-learn's of the iterations of a start.

    Parameters
    ----------
    start : FitPart
    told : dict
        What they are given.
    now : callable
        Gives the attributes of centres and a number of iterations.
    """

    def __init__(
        self, start: FitPart, told: dict[str, Any], now: Callable[..., dict[str, Any]]
    ) -> None:
        self.start, self.told, self.now = start, told, now

    def begin(self) -> None:
        if self.start.is_heard:
            self.part = self.start.part("iteration")
            self.part.begin(**self.told)

    def end(self, centers: NDArray[np.float64], n_iter: int) -> bool:
        """Whether there is to be no further one."""
        if not self.start.is_heard:
            return False
        state = partial(self.now, centers, n_iter)
        return self.part.end(**self.told, reconstruction_attributes=state)


def _logits(squared: NDArray[np.float64], fuzziness: float) -> NDArray[np.float64]:
    """Log memberships (n, k) up to a constant a row, from squared distances (n, k)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_squared = np.log(squared)
        logits = (log_squared.min(axis=1, keepdims=True) - log_squared) / (fuzziness - 1)
    logits[squared == 0] = 0
    return logits


def _fuzzy_c_means(
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    centers: NDArray[np.float64],
    fuzziness: float,
    max_iter: int,
    tol: float,
    iterations: _Iterations,
) -> tuple[Any, NDArray[np.float64], int, Any]:
    """One start of fuzzy c-means: log of the objective, centres, iterations, last movement."""
    log_weights = np.log(weights)[:, None]

    def log_terms(
        centers: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log of weight * membership**fuzziness, up to one constant, and squared distances."""
        squared = cdist(points, centers, "sqeuclidean")
        logits = _logits(squared, fuzziness)
        # Log of the mean, not the sum: a huge fuzziness must not multiply a rounding error.
        logits -= np.log1p(np.expm1(logits).mean(axis=1, keepdims=True))
        return log_weights + fuzziness * logits, squared

    for n_iter in range(1, max_iter + 1):
        iterations.begin()
        terms, _ = log_terms(centers)
        peak = terms.max(axis=0)
        # A centre to which no point belongs, all being on others, stays.
        moving = np.isfinite(peak)
        mixture = np.exp(terms[:, moving] - peak[moving]).T
        previous, centers = centers, centers.copy()
        centers[moving] = mixture @ points / mixture.sum(axis=1, keepdims=True)
        movement = np.linalg.norm(centers - previous)
        if iterations.end(centers, n_iter):
            movement *= 0  # a callback wants no more
        if movement <= tol:
            break
    terms, squared = log_terms(centers)
    with np.errstate(divide="ignore"):
        return logsumexp(terms + np.log(squared)), centers, n_iter, movement


def _exponent(*arrays: NDArray[np.floating]) -> int:
    """The power of 2 to divide by before squares can leave float64's range, usually 0."""
    largest = max((max(a.max(), -a.min()) for a in arrays if a.dtype == np.float64), default=0.0)
    exponent = int(np.frexp(largest)[1])
    return exponent if abs(exponent) > 400 else 0


def _scale(array: NDArray[np.floating], exponent: int) -> NDArray[np.floating]:
    return np.ldexp(array, exponent) if exponent else array


def _mixtures(
    points: NDArray[np.float64], centers: NDArray[np.float64], X: NDArray, rows: NDArray[np.intp]
) -> Mixtures:
    """Centres as affine combinations of rows, which they are in the embedding as in the data."""
    with limit_blas(len(points)):
        shares = lstsq(points.T, centers.T, cond=1e-12, lapack_driver="gelsy")[0].T
    shares += (1 - shares.sum(axis=1, keepdims=True)) / len(rows)
    shares[abs(shares) < 1e-13] = 0  # rounding, which would cost as much as the rest
    weights = np.zeros((len(centers), len(X)), dtype=X.dtype)
    weights[:, rows] = shares
    return Mixtures(weights, X)
