"""`LabelCorrelationAffinity`: how the labels of tasks go together, without any net."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skgroup._compat import _fit_context, forget_fit
from skgroup.relations._affinity import AffinityMixin, with_constant
from skgroup.relations.effect import Effect
from skgroup.tasks import AUTO, TaskTable, weights_of_labels, weights_of_tasks
from skgroup.training.training_data import check_training_data

#: Samples that are counted at a time, few enough that their indicators take little memory.
_CHUNK = 2**14


class LabelCorrelationAffinity(AffinityMixin):
    """Correlation of the labels of tasks.

    Two tasks of numbers, or of two classes, or one of each: Pearson's correlation r, from -1 to 1
    (φ of two binary tasks). Where a task has more classes, two tasks with classes: Cramér's
    V = sqrt(χ² / (n (min(r, c) − 1))) of the r × c table of their labels, from 0 to 1 [1]_; with a
    task of numbers y: the correlation ratio η = sqrt(Σ_k n_k (ȳ_k − ȳ)² / Σ (y − ȳ)²), from 0 to
    1, whose square is the share of the variance that lies between the classes k [2]_. |φ| is V
    of two binary tasks, and |r| is η of a binary one. Each pair is taken over the samples that
    both tasks have labels for, with the classes that these have.

    Parameters
    ----------
    task_types : str, sequence of str or dict, default="auto"
        The kinds of the tasks, as `MultiTaskNet` takes them. In a grouper, those that the
        estimator around it has read, which it must not contradict.

    Attributes
    ----------
    affinity_ : ndarray of shape (n_tasks, n_tasks)
        Symmetric, with ones on the diagonal. 0, with a warning, for a pair that no sample has
        both labels of, or where such samples have but one class, or number, of a task; 0 for a
        task of a single class or number.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    Notes
    -----
    V and η of few samples are above 0 where there is no relation: about sqrt((k − 1) / (n − 1))
    for η, and as much for V of two tasks of k classes. They are left as they are.

    References
    ----------
    .. [1] H. Cramér, "Mathematical Methods of Statistics", 1946, section 21.9.
    .. [2] K. Pearson, "On the general theory of skew correlation and non-linear regression",
       Mathematical contributions to the theory of evolution XIV, Drapers' Company Research
       Memoirs, 1905.

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

    _parameter_constraints: ClassVar[dict[str, Any]] = {"task_types": "no_validation"}

    def __init__(self, *, task_types: Any = AUTO) -> None:
        self.task_types = task_types

    @property
    def _effect(self) -> Effect:
        return Effect(
            name="correlation of labels",
            meaning="how the labels of tasks i and j go together; nothing is trained",
            unit="correlation, from -1 to 1 (from 0 where a task has more than two classes)",
            rows="task i",
            columns="task j",
            directed=False,
            bound=1.0,
        )

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
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
            How often each sample counts, or each label: a sample counts for two tasks by the
            geometric mean of the weights of its two labels.

        Returns
        -------
        self : LabelCorrelationAffinity

        Raises
        ------
        ValueError
            If the data are not right, or `task_types` does not fit them.
        """
        data = check_training_data(self, X, y, sample_weight, task_types=self.task_types)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(data.table)
        learnable = data.table.learnable
        correlations = _correlations(
            data.table.select(learnable), weights_of_tasks(data.weight, learnable)
        )
        self.affinity_ = with_constant(correlations, learnable)
        np.fill_diagonal(self.affinity_, 1.0)
        return self


def _correlations(
    table: TaskTable, sample_weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """The correlation of every pair of tasks, (n_tasks, n_tasks)."""
    if sample_weight is not None and sample_weight.ndim == 1:
        counted = sample_weight > 0
        table, sample_weight = table.take(counted), sample_weight[counted]
    # A column a class; of a regression task, one that says where there is a number.
    owner = np.repeat(np.arange(table.n_tasks), table.layout.n_classes)
    starts = np.searchsorted(owner, np.arange(table.n_tasks))
    code = np.arange(len(owner)) - starts[owner]
    numbers = np.flatnonzero(~table.has_classes)
    scaling = table.target_scaling(sample_weight)
    # A sample counts for two tasks by the geometric mean of the weights of its labels.
    root = np.sqrt(weights_of_labels(sample_weight, len(table.codes)))
    root = np.broadcast_to(root, table.codes.shape)
    # The tables of all pairs of tasks with classes stand in one matrix, a row and a column a
    # class; beside it, the sums of numbers where a class was met, and below those of squares.
    n_columns, n_numbers = len(owner), len(numbers)
    sums = np.zeros((n_columns + 2 * n_numbers, n_columns + n_numbers))
    for start in range(0, len(table.codes), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(table.codes)))
        part = table.take(rows)
        of_class = np.empty((len(part.codes), n_columns))
        for k in np.unique(code):
            of_class[:, code == k] = part.of_class(k)[:, owner[code == k]]
        of_class *= root[rows][:, owner]
        left = right = of_class
        if n_numbers:
            # Squares of numbers far from 0 would cancel.
            values: Any = part.values
            z = np.nan_to_num((values - scaling.location) / scaling.scale)[:, numbers]
            of_number = root[rows][:, numbers]
            left = np.hstack([of_class, z * of_number, z**2 * of_number])
            right = np.hstack([of_class, z * of_number])
        sums += left.T @ right

    with np.errstate(divide="ignore", invalid="ignore"):
        r, undefined = _of_classes(sums[:n_columns, :n_columns], table, owner, starts)
        if n_numbers:
            met = sums[starts[numbers], :n_columns]
            of_numbers = _of_numbers(sums[n_columns:], met, table, owner, starts)
            r[numbers], undefined[numbers] = of_numbers
            r[:, numbers], undefined[:, numbers] = (part.T for part in of_numbers)
    r[undefined] = 0.0
    np.clip(r, -1, 1, out=r)
    np.fill_diagonal(r, 1.0)
    np.fill_diagonal(undefined, False)
    if undefined.any():
        warnings.warn(
            f"{int(undefined.sum()) // 2} pairs of tasks have no sample with labels of both, or "
            "such samples have but one class, or number, of a task. Their affinity is 0.",
            UserWarning,
            stacklevel=5,
        )
    return r


def _of_classes(
    tables: NDArray[np.float64],
    table: TaskTable,
    owner: NDArray[np.intp],
    starts: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """φ or Cramér's V of every pair of tasks with classes, and where it is undefined, both
    (n_tasks, n_tasks); of no meaning for others."""
    # How often each class was met where the other task has a label, (classes, n_tasks).
    met = np.add.reduceat(tables, starts, axis=1)
    n_met = np.add.reduceat(met > 0, starts, axis=0, dtype=np.int64)
    n_both = np.add.reduceat(met, starts, axis=0)
    expected = met[:, owner] * met[:, owner].T
    # χ² / n = Σ (n_ab − n_a n_b / n)² / (n_a n_b)
    excess = (tables - expected / n_both[np.ix_(owner, owner)]) ** 2 / expected
    excess[expected == 0] = 0.0
    chi2 = np.add.reduceat(np.add.reduceat(excess, starts, axis=0), starts, axis=1)
    v = np.sqrt((chi2 + chi2.T) / 2 / (np.minimum(n_met, n_met.T) - 1))
    # The second classes of two binary tasks meet more often than expected, or less.
    binary = _binary(table)
    pairs, second = np.ix_(binary, binary), starts[binary] + 1
    seconds = np.ix_(second, second)
    less = tables[seconds] * n_both[pairs] < expected[seconds]
    v[pairs] = np.where(less, -v[pairs], v[pairs])
    return v, ~((n_met > 1) & (n_met.T > 1))


def _of_numbers(
    sums: NDArray[np.float64],
    met: NDArray[np.float64],
    table: TaskTable,
    owner: NDArray[np.intp],
    starts: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """η or r of every regression task and task, and where it is undefined, both (n_numbers,
    n_tasks).

    `met` (n_numbers, n_columns) is how often each class was met where there is a number, and
    `sums` (2 * n_numbers, n_columns + n_numbers) those of numbers and of their squares.
    """
    n_numbers, n_columns = met.shape
    total, squares = sums[:n_numbers, :n_columns], sums[n_numbers:, :n_columns]
    n_met = np.add.reduceat(met > 0, starts, axis=1, dtype=np.int64)
    n_both = np.add.reduceat(met, starts, axis=1)
    of_both = np.add.reduceat(total, starts, axis=1)
    of_squares = np.add.reduceat(squares, starts, axis=1)
    mean = of_both / n_both
    spread = of_squares - of_both * mean
    # η² = Σ_k n_k (mean_k − mean)² / Σ (y − mean)²
    excess = np.where(met > 0, total / met - mean[:, owner], 0.0)
    r = np.sqrt(np.add.reduceat(met * excess**2, starts, axis=1) / spread)
    binary = _binary(table)
    r[:, binary] = np.copysign(r[:, binary], excess[:, starts[binary] + 1])
    undefined = ~(n_met > 1)
    numbers = np.flatnonzero(~table.has_classes)
    r[:, numbers] = (sums[:n_numbers, n_columns:] - of_both[:, numbers] * mean[:, numbers].T) / (
        np.sqrt(spread[:, numbers]) * np.sqrt(spread[:, numbers].T)
    )
    # Less than rounding leaves of numbers that are all the same.
    constant = ~(spread > len(table.codes) * np.finfo(float).eps * of_squares)
    undefined[:, numbers] = constant[:, numbers].T
    return r, undefined | constant


def _binary(table: TaskTable) -> NDArray[np.intp]:
    return np.flatnonzero([kind.has_two_classes for kind in table.kinds])
