"""Splitters of tables of tasks, in scikit-learn's form: every part has its share of all labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
from sklearn.utils import check_random_state, indexable

from skgroup._compat import validate_shuffle_split
from skgroup.metrics._scores import _check_true
from skgroup.metrics._stratify import iterative_stratification
from skgroup.tasks import TaskTable

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class _TableSplitter(ABC):
    """Splits a table of tasks by its labels."""

    #: What keeps groups together, in scikit-learn.
    _of_groups: ClassVar[str]

    @abstractmethod
    def splits_of(self, table: TaskTable) -> Iterator[Split]:
        """What `split` yields, of an encoded table."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Positions of training and test samples, split by split.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            Labels or numbers; NaN or None where one is missing.
        groups : None

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If a parameter or `y` is refused, or groups are given.
        """
        name = type(self).__name__
        if groups is not None:
            raise ValueError(
                f"{name} must be given no groups, which it would not keep together: use "
                f"sklearn.model_selection.{self._of_groups}."
            )
        if y is None:
            raise ValueError(f"{name} must be given Y, whose labels it spreads.")
        indexable(X, y)
        return self.splits_of(_check_true(y, None))


class MultiTaskKFold(_TableSplitter, BaseCrossValidator):
    """K-fold cross-validation in which each fold has its share of every label of every task.

    A rare class that plain folds leave out of some test parts is in each of them where it has
    samples enough; missing labels are spread likewise, and numbers by their quantiles. Iterative
    stratification [1]_: the label with the fewest samples left is dealt first.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to draw which of a label's samples go to which fold; otherwise their order says so.
    random_state : int, RandomState instance or None, default=None
        The draw, where `shuffle=True`.

    See Also
    --------
    MultiTaskShuffleSplit : A share of the samples, once or several times.
    get_scorer : Scorers that know missing labels.

    Notes
    -----
    Sizes of folds differ by one at most, for which a full fold takes no further sample, unlike in
    [1]_. Labels of a task are its classes, and that it is missing; of numbers the tenths between
    quantiles. Samples of a group are not kept together: `groups` is refused.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.metrics import MultiTaskKFold
    >>> Y = np.zeros((12, 2))
    >>> Y[:3, 0], Y[3:9, 1] = 1, np.nan
    >>> for _, test in MultiTaskKFold(3).split(Y, Y):
    ...     print(test, Y[test, 0].sum(), np.isnan(Y[test, 1]).sum())
    [0 3 6 9] 1.0 2
    [ 1  4  7 10] 1.0 2
    [ 2  5  8 11] 1.0 2
    """

    _of_groups = "GroupKFold"

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = False, random_state: Any = None
    ) -> None:
        self.n_splits: int = n_splits
        self.shuffle: bool = shuffle
        self.random_state: Any = random_state
        # Here, as in scikit-learn's splitters, since `compare` sets a `random_state` later.
        if not isinstance(n_splits, Integral) or isinstance(n_splits, bool) or n_splits < 2:
            raise ValueError(
                "The 'n_splits' parameter of MultiTaskKFold must be an int in [2, n_samples]. Got "
                f"{n_splits!r}."
            )
        if not isinstance(shuffle, bool):
            raise ValueError(
                f"The 'shuffle' parameter of MultiTaskKFold must be a bool. Got {shuffle!r}."
            )
        if not shuffle and random_state is not None:
            raise ValueError(
                "The 'random_state' parameter of MultiTaskKFold must be None where 'shuffle' is "
                f"False, as nothing is drawn. Got {random_state!r}."
            )

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of folds.

        Parameters
        ----------
        X, y, groups : object
            Not looked at.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def splits_of(self, table: TaskTable) -> Iterator[Split]:
        """The same of an encoded table."""
        n_samples, k = len(table.codes), self.n_splits
        if k > n_samples:
            raise ValueError(
                "The 'n_splits' parameter of MultiTaskKFold must be at most the number of samples. "
                f"Got {k} for {n_samples} samples."
            )
        random = check_random_state(self.random_state) if self.shuffle else None
        larger = np.arange(k) if random is None else random.permutation(k)
        sizes = n_samples // k + (larger < n_samples % k)
        fold = iterative_stratification(table, np.full(k, 1 / k), sizes, random)
        return ((np.flatnonzero(fold != j), np.flatnonzero(fold == j)) for j in range(k))


class MultiTaskShuffleSplit(_TableSplitter, BaseShuffleSplit):
    """Random splits whose two parts have their shares of every label of every task.

    As `MultiTaskKFold`, for a part of the samples that is held out; the split of
    `sklearn.model_selection.train_test_split` with `stratify`, for a table of tasks.

    Parameters
    ----------
    n_splits : int, default=10
        How often to split.
    test_size : float or int, default=None
        Share or number of test samples; what `train_size` leaves, a tenth if both are None.
    train_size : float or int, default=None
        Share or number of training samples; what `test_size` leaves if None.
    random_state : int, RandomState instance or None, default=None

    See Also
    --------
    MultiTaskKFold : Folds, each held out once.

    Notes
    -----
    A class with a single sample goes to the larger part.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.metrics import MultiTaskShuffleSplit
    >>> Y = np.zeros((40, 2))
    >>> Y[:4, 0], Y[:8, 1] = 1, np.nan
    >>> split = MultiTaskShuffleSplit(1, test_size=0.25, random_state=0)
    >>> train, test = next(split.split(Y, Y))
    >>> Y[train, 0].sum(), Y[test, 0].sum(), np.isnan(Y[test, 1]).sum()
    (np.float64(3.0), np.float64(1.0), np.int64(2))
    """

    _of_groups = "GroupShuffleSplit"

    def __init__(
        self,
        n_splits: int = 10,
        *,
        test_size: float | None = None,
        train_size: float | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            n_splits=n_splits,
            test_size=test_size,
            train_size=train_size,
            random_state=random_state,
        )

    def splits_of(self, table: TaskTable) -> Iterator[Split]:
        """The same of an encoded table."""
        n_samples = len(table.codes)
        n_train, n_test = validate_shuffle_split(
            n_samples, self.test_size, self.train_size, default_test_size=0.1
        )
        sizes = np.array([n_train, n_test, n_samples - n_train - n_test])
        random = check_random_state(self.random_state)
        for _ in range(self.n_splits):
            part = iterative_stratification(table, sizes / n_samples, sizes, random)
            train, test = (random.permutation(np.flatnonzero(part == j)) for j in range(2))
            yield train, test
