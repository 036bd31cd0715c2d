"""`LabelCorrelationAffinity`: how the labels of tasks go together, without any net."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skgroup._compat import _fit_context, forget_fit
from skgroup.relations._affinity import AffinityMixin, with_constant
from skgroup.tasks import BINARY, TaskTable
from skgroup.training.training_data import check_training_data

#: Samples that are counted at a time, few enough that their indicators take little memory.
_CHUNK = 2**14


class LabelCorrelationAffinity(AffinityMixin):
    """Correlation of the labels of tasks.

    Two binary tasks: Pearson's correlation φ of their labels, from -1 to 1. Where a task has more
    classes: Cramér's V = sqrt(χ² / (n (min(r, c) − 1))) of the r × c table of their labels, from
    0 to 1 [1]_; |φ| is V of two binary tasks. Each pair is taken over the samples that both tasks
    have labels for, with the classes that these have.

    Attributes
    ----------
    affinity_ : ndarray of shape (n_tasks, n_tasks)
        Symmetric, with ones on the diagonal. 0, with a warning, for a pair that no sample has
        both labels of, or where such samples have but one class of a task; 0 for a task of a
        single class.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    References
    ----------
    .. [1] H. Cramér, "Mathematical Methods of Statistics", 1946, section 21.9.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.relations import LabelCorrelationAffinity
    >>> Y = np.array([[0, 0, 1], [1, 1, 0], [1, 1, 0], [0, 1, 1]])
    >>> LabelCorrelationAffinity().fit_transform(np.zeros((4, 1)), Y).round(2)
    array([[ 1.  ,  0.58, -1.  ],
           [ 0.58,  1.  , -0.58],
           [-1.  , -0.58,  1.  ]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains: none."""
        return 0

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> LabelCorrelationAffinity:
        """Correlate the labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
            Checked, and otherwise ignored.
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts.

        Returns
        -------
        self : LabelCorrelationAffinity

        Raises
        ------
        ValueError
            If the data are not right.
        """
        data = check_training_data(self, X, y, sample_weight)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(data.table)
        learnable = data.table.learnable
        correlations = _correlations(data.table.select(learnable), data.sample_weight)
        self.affinity_ = with_constant(correlations, learnable)
        np.fill_diagonal(self.affinity_, 1.0)
        return self


def _correlations(
    table: TaskTable, sample_weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """φ or Cramér's V of every pair of tasks, (n_tasks, n_tasks)."""
    owner = np.repeat(np.arange(table.n_tasks), [len(c) for c in table.classes])
    starts = np.searchsorted(owner, np.arange(table.n_tasks))
    code = np.arange(len(owner)) - starts[owner]
    # The tables of all pairs stand in one matrix, a row and a column a class.
    tables = np.zeros((len(owner), len(owner)))
    for start in range(0, len(table.codes), _CHUNK):
        rows = slice(start, start + _CHUNK)
        of_class = (table.codes[rows][:, owner] == code).astype(np.float64)
        weight = 1.0 if sample_weight is None else sample_weight[rows, None]
        tables += of_class.T @ (of_class * weight)

    # How often each class was met where the other task has a label, (classes, n_tasks).
    met = np.add.reduceat(tables, starts, axis=1)
    n_met = np.add.reduceat(met > 0, starts, axis=0, dtype=np.int64)
    n_both = np.add.reduceat(met, starts, axis=0)
    expected = met[:, owner] * met[:, owner].T
    with np.errstate(divide="ignore", invalid="ignore"):
        # χ² / n = Σ (n_ab − n_a n_b / n)² / (n_a n_b)
        excess = (tables - expected / n_both[np.ix_(owner, owner)]) ** 2 / expected
        excess[expected == 0] = 0.0
        chi2 = np.add.reduceat(np.add.reduceat(excess, starts, axis=0), starts, axis=1)
        v = np.sqrt((chi2 + chi2.T) / 2 / (np.minimum(n_met, n_met.T) - 1))
    undefined = ~((n_met > 1) & (n_met.T > 1))
    v[undefined] = 0.0
    # The second classes of two binary tasks meet more often than expected, or less.
    second = starts + 1
    same = tables[np.ix_(second, second)] * n_both >= expected[np.ix_(second, second)]
    binary = np.array([kind is BINARY for kind in table.kinds])
    v[(binary[:, None] & binary) & ~same] *= -1
    np.clip(v, -1, 1, out=v)
    np.fill_diagonal(v, 1.0)
    np.fill_diagonal(undefined, False)
    if undefined.any():
        warnings.warn(
            f"{int(undefined.sum()) // 2} pairs of tasks have no sample with labels of both, or "
            "such samples have but one class of a task. Their affinity is 0.",
            UserWarning,
            stacklevel=5,
        )
    return v
