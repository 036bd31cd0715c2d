"""`GroupStability`: whether the same groups come back, and more than they would without any."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from sklearn.base import clone, is_clusterer
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skgroup._compat import HasMethods, Interval, Options, _fit_context, forget_fit
from skgroup._estimators import check_parameters, parts_of, steps_of
from skgroup._random import draw_seeds, open_seed
from skgroup.cluster import FuzzyKMeans
from skgroup.cluster.memberships import check_membership, one_hot
from skgroup.cluster.stability import (
    agreement,
    agreement_by_chance,
    co_membership,
    consensus,
    differences_explained,
    hard_labels,
    places_of,
    tables_without_groups,
)
from skgroup.metrics.splits import held_out_splits
from skgroup.relations import TaskGrouper
from skgroup.selection._group_selector import GroupSelector
from skgroup.tasks import take_tasks
from skgroup.training import MultiTaskNet
from skgroup.training.costs import count_nets
from skgroup.training.data import labels_of, take_samples
from skgroup.training.engine import check_data
from skgroup.training.processes import in_parallel
from skgroup.training.task_estimator import TaskEstimatorMixin
from skgroup.training.training_data import TrainingData, check_training_data, takes_checked_data

#: The adjusted Rand index that repetitions must reach, "good recovery" in Steinley (2004).
_AGREEMENT = 0.8
#: How often tasks without structure may be called stable groups, with any number of groups.
_LEVEL = 0.05
_N_CHANCE = 200
#: Repetitions of a table without structure that are clustered.
_N_LABELLED = 2
_MOST_GROUPS = 5
#: What a clusterer that looks at Euclidean distances alone may say of its metric.
_EUCLIDEAN = {"euclidean", "l2", "minkowski", "rbf", "nearest_neighbors", "deprecated", None}


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
        Tables without structure to compare with. They train nothing.
    random_state : int, RandomState or None, default=None
        Determines the halves, every `random_state` in the grouper, and the tables without
        structure.
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
    - `p_value`: share of the tables without structure in which, with any of the numbers of groups,
      groups explain as unusually much (the smallest p of all numbers, as in [2]_).
    - `stable`: `p_value` is at most 0.05, and `adjusted_rand` at least 0.8 and above
      `chance_high`.

    A table without structure has tasks at places that are drawn from the normal distribution with
    the covariance of the places that were seen, with what repetitions differ by added, clustered
    in the same way. That groups of a normal distribution are none is the idea of [3]_. It is told
    of clusterers that look at Euclidean distances of rows; of others, and of groupings without a
    relation, these columns are NaN, and `stable` speaks of agreement alone.

    What explains much still does when some of its groups are split, so that more groups than there
    are may be called stable where one of them has parts that differ, too.

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
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
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
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.grouper = grouper
        self.n_groups = n_groups
        self.n_repetitions = n_repetitions
        self.n_references = n_references
        self.random_state = random_state
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
        clusterer = _clusterer_of(grouper)
        numbers, asked = self._check_numbers(clusterer, len(learned))
        if data.whole is not None:
            for part in parts_of(grouper):
                if isinstance(part, MultiTaskNet | GroupSelector):
                    part.keep_tasks(learned, table.n_tasks, table.names)
            y = take_tasks(y, table.learnable)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(table)

        *seeds, seed = draw_seeds(self.random_state, int(self.n_repetitions) + 1)
        given: Any = (data.X if isinstance(X, TrainingData) else X, y)
        if takes_checked_data(steps_of(grouper)[0]):
            given = data.alone()
        halves = (held_out_splits(0.5, data.table, s, owner="GroupStability")[0][0] for s in seeds)
        calls = (
            delayed(_repeat)(grouper, numbers, given, half, s)
            for half, s in zip(halves, seeds, strict=True)
        )
        total = int(self.n_repetitions)
        with tqdm(total=total, desc="repetitions", disable=not self.verbose) as bar:
            found = []
            for one in in_parallel(calls, self.n_jobs):
                found.append(one)
                bar.update()
        labels = {k: np.stack([of_one[k] for of_one, _ in found]) for k in found[0][0]}
        if None in labels:  # the grouper's own number of groups
            ours = labels.pop(None)
            labels[int(np.median([len(np.unique(of_one)) for of_one in ours]))] = ours
        places = [of_one for _, of_one in found if of_one is not None]
        self._judge(labels, np.stack(places) if places else None, clusterer, asked, learned, seed)
        return self

    @classmethod
    def from_memberships(
        cls,
        memberships: Sequence[Any],
        *,
        relations: Sequence[Any] | None = None,
        clusterer: Any = None,
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
            clusterer = _judged(clusterer)
            if clusterer is not None and _is_euclidean(clusterer):
                places = np.stack([places_of(of_one) for of_one in rows])
            for k in range(2, min(_MOST_GROUPS, len(learned) - 1) + 1) if clusterer else ():
                if k != number:
                    by_number[k] = _cluster(clusterer, k, rows, seed)
        stability._judge(by_number, places, clusterer, number, learned, seed)
        return stability

    # -- checking ------------------------------------------------------------------------------

    def _new_grouper(self) -> Any:
        if self.grouper is None:
            return make_pipeline(TaskGrouper(output="isometric"), FuzzyKMeans())
        grouper = clone(self.grouper)
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
        numbers = sorted(labels)
        rng = np.random.default_rng(seed)
        rows: dict[int, dict[str, Any]] = {}
        for k in numbers:
            by_chance = agreement_by_chance(labels[k], _N_CHANCE, rng)
            rows[k] = {
                "adjusted_rand": agreement(labels[k]),
                "chance": float(by_chance.mean()),
                "chance_high": float(np.quantile(by_chance, 0.95)),
            }
        reference = None
        if places is not None and clusterer is not None:
            reference = self._without_structure(places, clusterer, numbers, rng)
            seen = np.array([differences_explained(places, labels[k]) for k in numbers])
            p_values = _p_values(seen, reference[..., 1])
        for j, k in enumerate(numbers):
            row = rows[k]
            for i, name in enumerate(("", "explained_")):
                if name:
                    row["explained"] = np.nan if reference is None else float(seen[j])
                drawn = np.full(1, np.nan) if reference is None else reference[:, j, i]
                row[f"{name}without_structure"] = float(drawn.mean())
                row[f"{name}without_structure_high"] = float(np.quantile(drawn, 0.95))
            row["p_value"] = np.nan if reference is None else float(p_values[j])
            row["stable"] = bool(
                row["adjusted_rand"] >= max(_AGREEMENT, row["chance_high"] + 1e-9)
                and not row["p_value"] > _LEVEL
            )
        self._rows = rows
        self.n_groups_ = _most_stable(rows, asked)
        self.stable_ = rows[self.n_groups_]["stable"]
        self.verdict_ = _verdict(rows, self.n_groups_, asked)
        together = co_membership(labels[self.n_groups_])
        self.co_membership_ = np.zeros((self.n_tasks_, self.n_tasks_))
        self.co_membership_[np.ix_(learned, learned)] = together
        self.labels_ = np.full(self.n_tasks_, -1)
        self.labels_[learned] = consensus(together, min(self.n_groups_, len(learned)))

    def _without_structure(
        self,
        places: NDArray[np.float64],
        clusterer: Any,
        numbers: list[int],
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Agreement, and the share that is explained, in tables without structure,
        (n_references, n_numbers, 2)."""
        n_references = int(self.n_references)
        seeds = rng.integers(2**31 - 1, size=n_references).tolist()
        tables = tables_without_groups(places, n_references, rng)
        calls = (
            delayed(_judge_table)(table, clusterer, numbers, seed)
            for table, seed in zip(tables, seeds, strict=True)
        )
        judged = []
        with tqdm(
            total=n_references, desc="tables without structure", disable=not self.verbose
        ) as bar:
            for one in in_parallel(calls, self.n_jobs):
                judged.append(one)
                bar.update()
        return np.array(judged)

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


def _clusterer_of(grouper: Any) -> Any:
    """The clusterer behind the relation of a pipeline, if it can be told a number of groups."""
    if not isinstance(grouper, Pipeline) or len(grouper.steps) < 2:
        return None
    last = grouper.steps[-1][1]
    if not is_clusterer(last) and not isinstance(last, FuzzyKMeans):
        return None
    return last if isinstance(getattr(last, "n_clusters", None), Integral) else None


def _judged(clusterer: Any) -> Any:
    """A clusterer that can be told a number of groups, else None."""
    return clusterer if isinstance(getattr(clusterer, "n_clusters", None), Integral) else None


def _is_euclidean(clusterer: Any) -> bool:
    params = clusterer.get_params(deep=False)
    said = [params.get(name) for name in ("metric", "affinity")]
    return all(isinstance(value, str | None) and value in _EUCLIDEAN for value in said)


def _repeat(
    grouper: Any, numbers: list[int], given: Any, half: NDArray[np.intp], seed: int
) -> tuple[dict[Any, NDArray[np.intp]], NDArray[np.float64] | None]:
    """Groups by their number, and the places of the tasks where the grouper has a relation."""
    grouper = _seeded(grouper, seed)
    if isinstance(given, TrainingData):
        X, y, n_tasks = given.take(half), None, given.table.n_tasks
    else:
        X, y = (take_samples(part, half) for part in given)
        n_tasks = np.shape(y)[1]
    with open_seed(seed):
        if not numbers:
            return {None: _labels_of(grouper.fit(X, y), n_tasks)}, None
        rows = np.asarray(Pipeline(grouper.steps[:-1]).fit_transform(X, y))
        clusterer = grouper.steps[-1][1]
        if rows.ndim != 2 or len(rows) != n_tasks:
            raise ValueError(
                "The 'grouper' parameter of GroupStability must describe each of the "
                f"{n_tasks} tasks by a row. Got shape {rows.shape} from {grouper[:-1]!r}."
            )
        labels = {k: _cluster(clusterer, k, [rows], seed)[0] for k in numbers}
    return labels, places_of(rows) if _is_euclidean(clusterer) else None


def _seeded(estimator: Any, seed: int) -> Any:
    """A clone whose every `random_state` comes from the seed."""
    cloned = clone(estimator)
    names = sorted(n for n in cloned.get_params() if f"__{n}".endswith("__random_state"))
    return cloned.set_params(**dict(zip(names, draw_seeds(seed, len(names)), strict=True)))


def _cluster(clusterer: Any, n_groups: int, tables: Iterable[NDArray], seed: int) -> NDArray:
    """Groups of the rows of each table, (n_tables, n_rows)."""
    fitted = _seeded(clusterer, seed).set_params(n_clusters=n_groups)
    with warnings.catch_warnings():
        # Fewer places than groups: what the verdict tells of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.stack([_labels_of(fitted.fit(rows), len(rows)) for rows in tables])


def _labels_of(grouper: Any, n_tasks: int) -> NDArray[np.intp]:
    last = steps_of(grouper)[-1]
    membership: Any = None
    for name in ("serving_weights_", "membership_"):
        if membership is None and hasattr(last, name):
            membership = np.asarray(getattr(last, name), dtype=np.float64)
    if membership is None and hasattr(last, "labels_"):
        membership = one_hot(last.labels_)
    if np.shape(membership)[:1] != (n_tasks,):
        raise ValueError(
            "The 'grouper' parameter of GroupStability must leave 'membership_' or 'labels_' of "
            f"the {n_tasks} tasks. {type(last).__name__} does not."
        )
    return hard_labels(membership)


def _judge_table(
    places: NDArray[np.float64], clusterer: Any, numbers: Iterable[int], seed: int
) -> list[tuple[float, float]]:
    """Agreement, and the share that is explained, for each number of groups."""
    judged = []
    for k in numbers:
        labels = _cluster(clusterer, k, places[:_N_LABELLED], seed)
        judged.append((agreement(labels), differences_explained(places, labels)))
    return judged


def _p_values(seen: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each number of groups, adjusted for there being several, from what was seen (n_numbers,)
    and from draws (n_draws, n_numbers) without structure."""

    def unusual(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (drawn >= values[:, None, :] - 1e-9).mean(axis=1)

    least = unusual(drawn).min(axis=1)
    as_unusual = least[:, None] <= unusual(seen[None])
    return (1 + as_unusual.sum(axis=0)) / (1 + len(drawn))


def _most_stable(rows: dict[int, dict[str, Any]], asked: int | None) -> int:
    if asked is not None and (rows[asked]["stable"] or not any(r["stable"] for r in rows.values())):
        return asked

    def merit(k: int) -> tuple[Any, ...]:
        row = rows[k]
        agrees = row["adjusted_rand"] > row["chance_high"] + 1e-9
        return row["stable"], agrees, row["adjusted_rand"], -k

    return max(rows, key=merit)


def _verdict(rows: dict[int, dict[str, Any]], k: int, asked: int | None) -> str:
    row = rows[k]
    rand, high, p = row["adjusted_rand"], row["chance_high"], row["p_value"]
    agree = f"adjusted Rand index {rand:.2f} between repetitions, by chance at most {high:.2f}"
    if not row["stable"]:
        tried = _listed(list(rows))
        if rand < _AGREEMENT:
            best = "" if len(rows) == 1 else f" with {k}"
            return f"No stable groups with {tried}: repetitions do not agree{best} ({agree})."
        if rand <= high + 1e-9:
            return (
                f"No stable groups with {tried}: those with {k} come back, but so they would with "
                f"the tasks dealt out at random ({agree})."
            )
        return (
            f"No stable groups with {tried}: those with {k} come back ({agree}), but tasks without "
            f"structure would be parted as well (p = {p:.2f})."
        )
    if np.isnan(p):
        why = f"{agree}; from groupings alone, whether tasks without structure would is not known"
    else:
        why = f"{agree}, and tasks without structure are hardly parted as well, p = {p:.2f}"
    if asked in (None, k):
        return f"These {k} groups are stable ({why})."
    return f"No stable groups with {asked}; {k} are ({why})."


def _listed(numbers: list[int]) -> str:
    """ "2 to 5", "2 and 4" or "3"."""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
