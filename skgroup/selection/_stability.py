"""`GroupStability`: whether the same groups come back, and more than they would without any."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skgroup._compat import HasMethods, Interval, _fit_context, forget_fit
from skgroup._estimators import check_groups_a_table, check_parameters, parts_of, steps_of
from skgroup._fit_parts import call_named
from skgroup._random import draw_seeds
from skgroup.cluster import FuzzyKMeans
from skgroup.cluster.memberships import check_membership
from skgroup.cluster.stability import (
    co_membership,
    consensus,
    hard_labels,
    places_of,
    spread_out,
)
from skgroup.metrics.splits import held_out_splits
from skgroup.relations import TaskGrouper
from skgroup.selection._group_selector import GroupSelector
from skgroup.selection._judging import judge_groups
from skgroup.selection._regroup import cluster_rows, clusterer_of, is_euclidean, repeat, with_number
from skgroup.store import CHECKPOINT, RunningFit, running_fit
from skgroup.tasks import TaskTable, take_tasks
from skgroup.training import MultiTaskNet
from skgroup.training.costs import count_nets
from skgroup.training.data import labels_of
from skgroup.training.engine import check_data
from skgroup.training.processes import N_JOBS, in_parallel
from skgroup.training.task_estimator import TaskEstimatorMixin
from skgroup.training.training_data import TrainingData, check_training_data, takes_checked_data

_MOST_GROUPS = 5


class GroupStability(TaskEstimatorMixin):
    """How sure groups of tasks are: whether they come back, and more than without structure.

    The tasks are grouped again and again, each time on a random half of the samples and from new
    seeds. Groups are called stable if the groupings agree, and if they part the tasks better than
    tasks without groups would be parted: any number of unrelated tasks can be split, and where
    each lies at a place of its own the same split comes back.

    Parameters
    ----------
    grouper : estimator or Pipeline, default=None
        As `GroupedMTLClassifier` takes it. None is `make_pipeline(TaskGrouper(output="isometric"),
        FuzzyKMeans())`. The relation of a pipeline "relation, clusterer" is fitted once a
        repetition and clustered with every number of groups; any other grouper is judged as it is.
    n_groups : int or sequence of int, default=None
        Numbers of groups to look for, where the clusterer has a parameter `n_clusters`. None is 2
        to 5 (fewer than tasks) and what the clusterer of a given `grouper` says.
    n_repetitions : int, default=10
    n_references : int, default=199
        Tables without structure to compare with. They train nothing. Fewer than 20 for each number
        of groups leave the p-value little below 0.05.
    random_state : int, RandomState or None, default=None
        Determines the halves, every `random_state` in the grouper, and the tables without
        structure.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. Repetitions that have ended are kept.
    n_jobs : int, default=None
        Processes for repetitions and for tables without structure.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    co_membership_ : ndarray of shape (n_tasks, n_tasks)
        Share of repetitions in which two tasks are in the same group, with `n_groups_` groups. A
        task is in the group of its largest membership. 0 for tasks of a single class.
    labels_ : ndarray of shape (n_tasks,)
        Groups of the tasks that are together most often; -1 for tasks of a single class.
    n_groups_ : int
        The number of groups that the verdict is about: what the clusterer of `grouper` says, or,
        if these are not stable or nothing is said, the most stable one.
    stable_ : bool
        Whether there are stable groups with `n_groups_`.
    verdict_ : str
        The answer, in one sentence.
    frame_ : DataFrame
        A row a number of groups (the index), see Notes.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    See Also
    --------
    skgroup.inspection.CoMembershipDisplay : Shows `co_membership_`.

    Notes
    -----
    Columns of `frame_`:

    - `adjusted_rand`, a mean over pairs of repetitions [1]_; `chance` and `chance_high`, mean and
      95 % quantile of it with the members of groups drawn at random; `without_structure` and
      `without_structure_high`, the same over tables without structure.
    - `explained`: how much of the differences between tasks that last, as the other repetitions
      show them, is between the groups that a repetition found; `explained_without_structure` and
      `explained_without_structure_high`.
    - `p_value`: share of the tables (those without structure, and the one that was seen) in which,
      with any of the numbers of groups, groups explain as unusually much (the smallest p of all
      numbers, as in [2]_).
    - `stable`: `p_value` is at most 0.05, and `adjusted_rand` at least 0.8 and above
      `chance_high`.

    A table without structure has tasks at places that are drawn from the normal distribution with
    the covariance of the places that were seen, with what repetitions differ by added, clustered
    in the same way. That groups of a normal distribution are none is the idea of [3]_. It is told
    of clusterers that look at Euclidean distances of rows; of others, and of groupings without a
    relation, these columns are NaN, and `stable` speaks of agreement alone.

    What explains much still does when some of its groups are split, so that more groups than there
    are may be called stable where one of them has parts that differ, too: `verdict_` names all
    numbers that are.

    How often groups are called stable where there are some, and where there are none, is measured
    by `benchmarks/group_stability.py`. Of few tasks little can be said: with three, any two are
    closer to each other than to the third.

    References
    ----------
    .. [1] L. Hubert, P. Arabie, "Comparing partitions", Journal of Classification 2, 1985.
    .. [2] P. H. Westfall, S. S. Young, "Resampling-based multiple testing", 1993.
    .. [3] Y. Liu, D. N. Hayes, A. Nobel, J. S. Marron, "Statistical significance of clustering
       for high-dimension, low-sample size data", JASA 103, 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgroup import FuzzyKMeans
    >>> from skgroup.relations import LabelCorrelationAffinity
    >>> from skgroup.selection import GroupStability
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 4))
    >>> Y = X[:, [0, 0, 0, 1, 1, 1]] + 0.3 * rng.normal(size=(300, 6)) > 0
    >>> grouper = make_pipeline(LabelCorrelationAffinity(), FuzzyKMeans(2))
    >>> stability = GroupStability(grouper, random_state=0).fit(X, Y)
    >>> stability.verdict_
    'These 2 groups are stable (...'
    >>> stability.labels_
    array([0, 0, 0, 1, 1, 1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "grouper": [HasMethods(["fit", "get_params"]), None],
        "n_groups": [Interval(Integral, 2, None, closed="left"), "array-like", None],
        "n_repetitions": [Interval(Integral, 2, None, closed="left")],
        "n_references": [Interval(Integral, 19, None, closed="left")],
        "random_state": ["random_state"],
        "checkpoint": CHECKPOINT,
        "n_jobs": N_JOBS,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        grouper: Any = None,
        *,
        n_groups: Any = None,
        n_repetitions: int = 10,
        n_references: int = 199,
        random_state: Any = None,
        checkpoint: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.grouper = grouper
        self.n_groups = n_groups
        self.n_repetitions = n_repetitions
        self.n_references = n_references
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> GroupStability:
        """Group the tasks again and again, and judge the groups.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else the grouper takes
        y : array-like of shape (n_samples, n_tasks)
            The task table `Y`. A task of a single class is in no group.

        Returns
        -------
        self : GroupStability

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, or there are less than
            three tasks that there is something to learn of.
        KeyboardInterrupt
            If interrupted. After any error an earlier fit stays as it was.
        """
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        grouper = self._new_grouper()
        data = self._check_data(grouper, X, y)
        table = data.all_tasks
        learned = np.flatnonzero(table.learnable)
        clusterer = clusterer_of(grouper)
        numbers, asked = self._check_numbers(clusterer, len(learned))
        if data.whole is not None:
            for part in parts_of(grouper):
                if isinstance(part, MultiTaskNet | GroupSelector):
                    part.keep_tasks(learned, table.n_tasks, table.names)
            y = take_tasks(y, table.learnable)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(table)

        given: Any = (data.X if isinstance(X, TrainingData) else X, y)
        if takes_checked_data(steps_of(grouper)[0]):
            given = data.alone()
        with running_fit(self.checkpoint, self, data) as running:
            *seeds, seed = running.draw_seeds(self.random_state, int(self.n_repetitions) + 1)
            found = self._repeat(grouper, numbers, given, data.table, seeds, running)
            labels = {k: np.stack([of_one[k] for of_one, _ in found]) for k in found[0][0]}
            if None in labels:  # the grouper's own number of groups
                ours = labels.pop(None)
                labels[int(np.median([len(np.unique(of_one)) for of_one in ours]))] = ours
            places = [of_one for _, of_one in found if of_one is not None]
            at = np.stack(places) if places else None
            self._judge(labels, at, clusterer, asked, learned, seed)
        return self

    def _repeat(
        self,
        grouper: Any,
        numbers: list[int],
        given: Any,
        table: TaskTable,
        seeds: list[int],
        running: RunningFit,
    ) -> list[Any]:
        """What each repetition has found."""
        # Halves of which each has its share of every label would differ too little.
        in_two = (ShuffleSplit(1, test_size=0.5, random_state=s) for s in seeds)
        halves = (
            held_out_splits(cv, table, s, owner="GroupStability")[0][0]
            for cv, s in zip(in_two, seeds, strict=True)
        )
        calls = (
            delayed(call_named)(
                f"repetition {k}",
                repeat,
                *(grouper, numbers, given, half, s, running, f"repetition{k}"),
            )
            for k, (half, s) in enumerate(zip(halves, seeds, strict=True))
        )
        total = int(self.n_repetitions)
        with tqdm(total=total, desc="repetitions", disable=not self.verbose) as bar:
            found = []
            for one in in_parallel(calls, self.n_jobs):
                found.append(one)
                bar.update()
        return found

    @classmethod
    def from_memberships(
        cls,
        memberships: Sequence[Any],
        *,
        relations: Sequence[Any] | None = None,
        clusterer: Any = None,
        train_size: float = 0.5,
        task_names: Sequence[str] | None = None,
        n_references: int = 199,
        random_state: Any = None,
    ) -> Self:
        """A fitted one, of groupings that exist already.

        Parameters
        ----------
        memberships : sequence of array-like of shape (n_tasks, n_groups)
            At least two. Rows of DataFrames are matched by names. A task whose rows are all 0 is
            left out, as tasks of a single class are.
        relations : sequence of array-like of shape (n_tasks, d), default=None
            The rows that were clustered, one array a grouping. With them, groups are compared with
            those of a table without structure, and other numbers of groups are looked for.
        clusterer : clusterer, default=None
            What clustered them, with a parameter `n_clusters`.
        train_size : float, default=0.5
            The share of the samples, drawn at random, that each grouping is of. The larger it is,
            the less groupings differ: with rows of `relations` whose Euclidean distances are
            clustered, what these differ by is scaled to what independent samples would give
            (the delete-d jackknife), and clustered anew. Groupings alone look stabler than they
            are.
        task_names : sequence of str, default=None
            If None, the rows of the first DataFrame.
        n_references : int, default=199
        random_state : int, RandomState or None, default=None
            Determines the tables without structure.

        Returns
        -------
        stability : GroupStability

        Raises
        ------
        ValueError
            If there are less than two groupings or three tasks, or something does not fit.
        """
        stability = cls(
            n_repetitions=len(memberships), n_references=n_references, random_state=random_state
        )
        if len(memberships) < 2:
            raise ValueError(
                "The 'memberships' parameter of GroupStability.from_memberships must hold at "
                f"least 2 groupings. Got {len(memberships)}."
            )
        stability._validate_params()
        if not 0 < train_size < 1:
            raise ValueError(
                "The 'train_size' parameter of GroupStability.from_memberships must be a share in "
                f"(0, 1). Got {train_size!r}."
            )
        if task_names is None and hasattr(memberships[0], "iloc"):
            task_names = memberships[0].index
        names = None if task_names is None else np.array([str(t) for t in task_names], dtype=object)
        n_tasks = np.shape(memberships[0])[0] if names is None else len(names)
        checked = [
            check_membership(m, n_tasks, all_tasks=False, all_groups=False, task_names=names)
            for m in memberships
        ]
        learned = np.flatnonzero([any(m[t].any() for m in checked) for t in range(n_tasks)])
        _check_n_tasks(len(learned))
        labels = np.stack([hard_labels(m[learned]) for m in checked])
        number = int(np.median([m.shape[1] for m in checked]))
        stability.n_tasks_ = n_tasks
        if names is not None:
            stability.task_names_in_ = names
        (seed,) = draw_seeds(random_state, 1)
        by_number, places = {number: labels}, None
        if (relations is None) != (clusterer is None):
            raise ValueError(
                "The 'relations' and 'clusterer' parameters of GroupStability.from_memberships "
                "must be given together, or not at all."
            )
        if relations is not None:
            shapes = [np.shape(rows) for rows in relations]
            if len(shapes) != len(checked) or any(s[:1] != (n_tasks,) for s in shapes):
                raise ValueError(
                    "The 'relations' parameter of GroupStability.from_memberships must hold rows "
                    f"of {n_tasks} tasks for each of {len(checked)} groupings. Got {shapes}."
                )
            rows = [np.asarray(of_one, dtype=np.float64)[learned] for of_one in relations]
            clusterer = with_number(clusterer)
            if clusterer is not None and is_euclidean(clusterer):
                places = np.stack([places_of(of_one) for of_one in rows])
                if train_size > 0.5:
                    places = spread_out(places, train_size)
                    rows = list(places)
                    by_number = {number: cluster_rows(clusterer, number, rows, seed)}
            for k in range(2, min(_MOST_GROUPS, len(learned) - 1) + 1) if clusterer else ():
                if k != number:
                    by_number[k] = cluster_rows(clusterer, k, rows, seed)
        stability._judge(by_number, places, clusterer, number, learned, seed)
        return stability

    # -- checking ------------------------------------------------------------------------------

    def _new_grouper(self) -> Any:
        if self.grouper is None:
            return make_pipeline(TaskGrouper(output="isometric"), FuzzyKMeans())
        grouper = clone(self.grouper)
        check_groups_a_table(grouper, type(self).__name__)
        check_parameters(grouper)
        return grouper

    def _check_data(self, grouper: Any, X: Any, y: Any) -> TrainingData:
        """X and Y, their tasks read as the grouper reads them."""
        parts = parts_of(grouper)
        relation = steps_of(grouper)[0]
        net = next((part for part in parts if isinstance(part, MultiTaskNet)), None)
        if net is None and "estimator" in relation.get_params(deep=False):
            net = MultiTaskNet() if takes_checked_data(relation) else None
        if net is not None:
            return check_data(clone(net), X, y)
        reader = next((part for part in parts if hasattr(part, "task_types")), None)
        if reader is None:
            return check_training_data(self, X, y).learnable()
        return check_training_data(clone(reader), X, y, task_types=reader.task_types).learnable()

    def _check_numbers(self, clusterer: Any, n_tasks: int) -> tuple[list[int], int | None]:
        """Numbers of groups to look for, none if the grouper's own is the only one; and which of
        them the grouper asks for."""
        _check_n_tasks(n_tasks)
        given = self.n_groups
        if clusterer is None:
            if given is not None:
                raise ValueError(
                    "The 'n_groups' parameter of GroupStability must be None where the grouper is "
                    "no pipeline of a relation and a clusterer with a parameter n_clusters. Got "
                    f"{given!r}."
                )
            return [], None
        own = None if self.grouper is None else int(clusterer.n_clusters)
        rule = f"must be ints from 2 to the number of tasks, {n_tasks}"
        if given is None:
            numbers = set(range(2, min(_MOST_GROUPS, n_tasks - 1) + 1))
            if own is not None:
                if not 1 <= own <= n_tasks:
                    raise ValueError(
                        "The numbers of groups that GroupStability looks for (n_clusters of the "
                        f"grouper) {rule}. Got {own}."
                    )
                numbers |= {own} - {1}
        else:
            listed = [given] if isinstance(given, Integral) else list(given)
            if not listed or not all(
                isinstance(k, Integral) and 2 <= int(k) <= n_tasks for k in listed
            ):
                raise ValueError(
                    f"The 'n_groups' parameter of GroupStability {rule}. Got {given!r}."
                )
            numbers = {int(k) for k in listed}
            own = min(numbers) if len(numbers) == 1 else own
        return sorted(numbers), own if own in numbers else None

    # -- judging -------------------------------------------------------------------------------

    def _judge(
        self,
        labels: dict[int, NDArray[np.intp]],
        places: NDArray[np.float64] | None,
        clusterer: Any,
        asked: int | None,
        learned: NDArray[np.intp],
        seed: int,
    ) -> None:
        """Learn what groupings (n_repetitions, n_learned), by number of groups, and the places
        (n_repetitions, n_learned, n_learned - 1) that they were found at say."""
        judged = judge_groups(
            labels,
            places,
            clusterer,
            asked,
            n_references=int(self.n_references),
            seed=seed,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        self._rows = judged.rows
        self.n_groups_ = judged.n_groups
        self.stable_ = judged.stable
        self.verdict_ = judged.verdict
        together = co_membership(labels[self.n_groups_])
        self.co_membership_ = np.zeros((self.n_tasks_, self.n_tasks_))
        self.co_membership_[np.ix_(learned, learned)] = together
        self.labels_ = np.full(self.n_tasks_, -1)
        self.labels_[learned] = consensus(together, min(self.n_groups_, len(learned)))

    @property
    def frame_(self) -> Any:
        check_is_fitted(self, "n_groups_")
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "The table of a GroupStability is a pandas DataFrame: install pandas. Without it, "
                "read 'verdict_', 'stable_' and 'co_membership_'."
            ) from error
        return pd.DataFrame.from_dict(self._rows, orient="index").rename_axis("n_groups")

    def count_nets(self, n_tasks: int) -> float:
        """Nets that `fit` trains: those of the grouper, in each repetition.

        Parameters
        ----------
        n_tasks : int

        Returns
        -------
        n_nets : float
        """
        return self.n_repetitions * count_nets(self._new_grouper(), n_tasks)


def _check_n_tasks(n_tasks: int) -> None:
    if n_tasks < 3:
        raise ValueError(
            "GroupStability needs at least 3 tasks that there is something to learn of: two are "
            f"together or not. Got {n_tasks}."
        )
