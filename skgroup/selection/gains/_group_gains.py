"""`GroupGains`: what tasks gain in groups, measured by training a net for each group."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import Interval, RealNotInt, StrOptions, _fit_context, forget_fit
from skgroup._estimators import check_parameters
from skgroup._fit_parts import FitPart
from skgroup._random import draw_seeds
from skgroup.relations.effect import Effect, gain_of_pair, of_all_tasks
from skgroup.selection.gains._conditions import check_same, conditions_of
from skgroup.selection.gains._file import read_gains, write_gains
from skgroup.selection.gains._pairs import matrix_of_pairs
from skgroup.selection.gains._plan import (
    HeldOutPart,
    batches_of_groups,
    held_out_parts,
)
from skgroup.selection.gains._scoring import (
    SCORES,
    check_scoring,
    gains_of_scores,
    score_tasks,
    which_can_be_scored,
)
from skgroup.store import CHECKPOINT, RunningFit, key_of, path_of, running_fit
from skgroup.tasks import groups_to_measure, task_label
from skgroup.training import MultiTaskNet
from skgroup.training.data import TaskDataset, n_samples_of
from skgroup.training.engine import STRATEGIES, build_net, check_data, fit_many, predict_many
from skgroup.training.processes import N_JOBS, goes_elsewhere
from skgroup.training.stack import stack_pays
from skgroup.training.task_estimator import TaskEstimatorMixin
from skgroup.training.training_data import TrainingData

#: What goes on with a warm start.
_KNOWN_BEFORE = ("seed_", "masks_", "scores_", "measured_")
#: What is kept of a fit.
_MEASURED = ("n_trained_", "scores_", "measured_")


class GroupGains(TaskEstimatorMixin):
    """Measure what each task gains in groups, with one net trained for each group.

    A group's net is trained on its tasks alone, all with the same weight, and scored task by
    task on held-out samples. With `scoring="loss"` the gain of task t in group S is
    (L_ref − L_S) / L_ref, the share of its loss that the group saves, which has no unit; with any
    other scoring it is score_S − score_ref. ref is the net of the task alone; positive is better
    than alone.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What nets are clones of; `MultiTaskNet()` if None. Its `task_weight` is not used.
    masks : {"all", "pairs"}, array-like of shape (n_groups, n_tasks), list or dict, default="all"
        The groups: all 2^n_tasks − 1 of at most 10 tasks; single tasks and pairs, which
        `HigherOrderApproximation` needs; or these, one row of 0 and 1 a group, or by name, as
        `[["cat", "dog"], ["cat"]]` or a dict of such lists. The nets of single tasks are trained
        in any case.
    cv : float, int, splitter or iterable of (train, test), default=0.2
        Held-out samples: a share, drawn once; a number of (shuffled) folds, of which each is
        held out once; or the splits (`sklearn.model_selection.ShuffleSplit(5)` draws a share
        five times). The share and the folds have their parts of rare and of missing labels
        (`skgroup.metrics.MultiTaskKFold`). A sample that holds the only label of a class stays
        with the training part.
        Each split has its own seed, which all its nets have, so that what differs between them
        is the group.
    scoring : {"loss", "f1", "roc_auc", "r2"} or dict, default="loss"
        "loss" is what `MultiTaskNet` trains on, for tasks of all kinds: the mean over the held-out
        samples with a label of the cross-entropy, with the class weights of the training part and
        the sample weights; of a regression task, of its loss in standard deviations. "f1" and
        "roc_auc" of tasks with classes, and "r2" of regression tasks, are those of
        `skgroup.metrics`. A table of both takes a dict by "classes" and "regression": then gains
        are differences of two scores, in no common unit, and what sums or averages them over
        tasks (`GroupSelector`) takes a hundredth of F1 for a hundredth of R².
    warm_start : bool, default=False
        Whether `fit` keeps what was measured before and trains only what is missing: the same
        data, estimator, `cv` and `scoring` with other `masks`, or after an interruption or
        `load`. Estimators and data are compared by what they hold.
    strategy : {"auto", "stacked", "sequential"}, default="auto"
        How the nets of groups of one size train: as stacks of parameters, one after another, or
        whichever is faster. What is learned is the same to rounding.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. If None, that of the estimator.
    n_jobs : int, default=None
        Processes for training the nets (joblib, or a cluster by its `parallel_config`).
    random_state : int, RandomState or None, default=None
        Determines splits and nets. If None, the `random_state` of the estimator does.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    masks_ : ndarray of bool, of shape (n_groups, n_tasks)
        The groups that were measured: those of earlier fits, those asked for, single tasks.
    gains_ : ndarray of shape (n_groups, n_tasks)
        Mean gains over the splits; NaN for absent tasks.
    gains_std_ : ndarray of shape (n_groups, n_tasks)
        Their standard deviation (n − 1), NaN where there is a single one.
    scores_ : ndarray of shape (n_groups, n_tasks, n_splits)
        Scores (losses) on each held-out part; NaN for absent tasks, where not measured, and
        where the held-out part lacks the labels that the scoring needs.
    measured_ : ndarray of bool, of shape (n_groups, n_splits)
        Which were measured; not all, after an interruption.
    interrupted_ : bool
        Whether the last `fit` ended before it had measured all that it was asked for.
    scoring_ : str or dict
        What was measured.
    n_trained_ : int
        Nets that the last `fit` trained, those included that it had trained before a kill.
    n_tasks_ : int
    learnable_ : ndarray of bool, of shape (n_tasks,)
        Which tasks groups are measured of: those of a single class are in none.
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    Notes
    -----
    Interrupting `fit` (Ctrl-C) keeps what was measured, up to a batch of at most 32 nets (or
    four a worker, if those are more), and raises the interruption; `interrupted_` is then True, and
    with `warm_start=True` the next `fit` goes on from there. With folds, each net trains on another
    part of the samples, so that `gains_std_` holds the spread of samples and seeds together; folds
    overlap in what they train on, so it is no standard error.

    References
    ----------
    .. [1] T. Standley et al., "Which tasks should be learned together in multi-task learning?",
       ICML 2020, arXiv:1905.07553: all groups trained, gains over single tasks.
    .. [2] X. Song et al., "Efficient and effective multi-task grouping via meta learning on task
       combinations", NeurIPS 2022: tables of gains.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.selection import GroupGains
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> gains = GroupGains(MultiTaskNet(max_epochs=5), masks="pairs", random_state=0).fit(X, Y)
    >>> gains.masks_.sum(axis=1)
    array([1, 1, 1, 2, 2, 2])
    >>> gains.gains_[:3].round(6)
    array([[ 0., nan, nan],
           [nan,  0., nan],
           [nan, nan,  0.]])
    """

    scores_: NDArray[np.float64]
    measured_: NDArray[np.bool_]
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "masks": [StrOptions({"all", "pairs"}), "array-like", dict],
        "cv": ["cv_object", Interval(RealNotInt, 0, 1, closed="neither")],
        "scoring": [StrOptions({"loss", *chain.from_iterable(SCORES.values())}), dict],
        "warm_start": ["boolean"],
        "strategy": [StrOptions(set(STRATEGIES))],
        "checkpoint": CHECKPOINT,
        "n_jobs": N_JOBS,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    #: As many as batches of groups.
    _n_fit_parts = None

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        *,
        masks: Any = "all",
        cv: Any = 0.2,
        scoring: Any = "loss",
        warm_start: bool = False,
        strategy: str = "auto",
        checkpoint: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.masks = masks
        self.cv = cv
        self.scoring = scoring
        self.warm_start = warm_start
        self.strategy = strategy
        self.checkpoint = checkpoint
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False, atomic=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GroupGains:
        """Train a net for each group and score it on held-out samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`: ints, bools or strings, or the numbers of a regression task; NaN or
            None where a label is missing.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
            Weights of samples in training and in the scores.

        Returns
        -------
        self : GroupGains

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, if there are too many
            tasks for `masks="all"`, if `scoring` is no score of their kinds, if no held-out part
            has the labels that the scoring of some task needs, or if with `warm_start` something
            differs that would change what was measured.
        KeyboardInterrupt
            If interrupted. What was measured stays.
        """
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        net.set_params(task_weight=None)
        data = check_data(net, X, y, sample_weight)
        table = data.all_tasks
        by_kind = check_scoring(self.scoring, data.table)
        wanted = groups_to_measure(self.masks, table)
        wanted = np.vstack([wanted, np.eye(table.n_tasks, dtype=bool)[table.learnable]])
        earlier = vars(self).copy()
        before = earlier if self.warm_start and hasattr(self, "scores_") else None
        known = [before[name] for name in _KNOWN_BEFORE] if before else None
        checkpoint = net.checkpoint if self.checkpoint is None else self.checkpoint
        with running_fit(checkpoint, self, data, known) as running:
            seed = self._draw_seed(net, before, running)
            parts = held_out_parts(self.cv, data.table, draw_seeds(seed, 1)[0])
            conditions = conditions_of(net, data, parts, self.scoring)
            if before is not None:
                check_same(before["conditions_"], conditions)
            scorable = self._scorable(data, parts, by_kind)
            probe = build_net(clone(net), data, seed=0)
            self._begin(wanted, before, data, len(parts))
            self.seed_, self.conditions_ = seed, conditions
            batches = self._batches(wanted, probe, data)
            # What this fit had measured before its process was killed.
            self.__dict__.update(running.load("measured", {}))
            try:
                for m, rows in batches:
                    left = rows[~self.measured_[rows, m]]
                    if len(left):
                        self._measure(
                            net, data, left, m, parts[m], by_kind, scorable[:, m], running
                        )
            except BaseException:
                # Whatever ends it, what was measured has cost time and stays, marked as a part.
                if self.n_trained_:
                    self._summarise()
                else:
                    self.__dict__ = earlier
                raise
            self.interrupted_ = False
            self._summarise()
        return self

    def _draw_seed(
        self, net: MultiTaskNet, before: dict[str, Any] | None, running: RunningFit
    ) -> int:
        state = net.random_state if self.random_state is None else self.random_state
        if before is None:
            return running.draw_seeds(state, 1)[0]
        seed: int = before["seed_"]
        if isinstance(state, Integral) and draw_seeds(state, 1)[0] != seed:
            raise ValueError(
                "With warm_start=True, GroupGains goes on with the seed of what was measured "
                f"before, but random_state={state!r} stands for another one."
            )
        return seed

    def _scorable(
        self, data: TrainingData, parts: list[HeldOutPart], by_kind: dict[str, str] | None
    ) -> NDArray[np.bool_]:
        """Which tasks can be scored on which part, (n_tasks, n_parts); some part for each."""
        learnable = data.all_tasks.learnable
        scorable = np.zeros((len(learnable), len(parts)), dtype=bool)
        for m, part in enumerate(parts):
            scorable[learnable, m] = which_can_be_scored(by_kind, data.take(part.test))
        unscored = np.flatnonzero(learnable & ~scorable.any(axis=1))
        if len(unscored):
            label = task_label(data.all_tasks.names, int(unscored[0]))
            raise ValueError(
                f"The 'cv' parameter of GroupGains holds out too few labels of {label} for "
                f"scoring={self.scoring!r}. Got {self.cv!r}."
            )
        return scorable

    def _begin(
        self,
        wanted: NDArray[np.bool_],
        before: dict[str, Any] | None,
        data: TrainingData,
        n_parts: int,
    ) -> None:
        """Forget an earlier fit, and set rows for all groups, those measured before filled in."""
        table = data.all_tasks
        masks = wanted if before is None else np.vstack([before["masks_"], wanted])
        _, first = np.unique(masks, axis=0, return_index=True)
        masks = masks[np.sort(first)]
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(table)
        self.n_trained_ = 0
        self.scoring_, self.interrupted_ = self.scoring, True
        self.masks_ = masks
        self.scores_ = np.full((len(masks), table.n_tasks, n_parts), np.nan)
        self.measured_ = np.zeros((len(masks), n_parts), dtype=bool)
        if before is not None:
            self.scores_[: len(before["masks_"])] = before["scores_"]
            self.measured_[: len(before["masks_"])] = before["measured_"]

    def _batches(
        self, wanted: NDArray[np.bool_], probe: MultiTaskNet, data: TrainingData
    ) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Which rows to train together on which part."""
        asked = {mask.tobytes() for mask in wanted}
        is_asked = np.array([mask.tobytes() in asked for mask in self.masks_])
        stacked = self.strategy == "stacked" or (
            self.strategy == "auto" and stack_pays([probe, probe], n_samples_of(data.X))
        )
        elsewhere = goes_elsewhere(self.n_jobs)
        spread = elsewhere and self.strategy != "stacked"
        return batches_of_groups(
            self.masks_,
            is_asked[:, None] & ~self.measured_,
            data.all_tasks,
            n_weights=sum(p.numel() for p in probe.module_.parameters()),
            together=stacked or elsewhere,
            n_workers=effective_n_jobs(self.n_jobs) if spread else 1,
        )

    def _measure(
        self,
        net: MultiTaskNet,
        data: TrainingData,
        rows: NDArray[np.intp],
        m: int,
        part: HeldOutPart,
        by_kind: dict[str, str] | None,
        scorable: NDArray[np.bool_],
        running: RunningFit,
    ) -> None:
        training = running.child(f"part{m}-{key_of(self.masks_[rows])}")
        train = data.take(part.train, net.class_weight)
        tasks = [np.flatnonzero(self.masks_[row]) for row in rows]
        place = np.cumsum(data.all_tasks.learnable) - 1  # among the tasks that are learned
        description = f"groups of {len(tasks[0])}, held-out part {m}"
        of_fit = FitPart.of(self).part(description, len(rows), ordered=False)
        with of_fit.running():
            nets, _ = fit_many(
                [clone(net) for _ in rows],
                [train.select(place[t]) for t in tasks],
                [part.seed] * len(rows),
                strategy=self.strategy,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
                description=description,
                names=[f"group {row}, held-out part {m}" for row in rows],
                checkpoint=training,
                part=of_fit,
            )
        test, scaling = data.take(part.test), train.table.target_scaling(train.weight)
        predicted = predict_many(nets, TaskDataset(test.X))
        for row, trained, proba, t in zip(rows, nets, predicted, tasks, strict=True):
            class_weight = None if train.class_weight is None else train.class_weight[place[t]]
            scores = score_tasks(
                by_kind,
                proba,
                test.select(place[t]),
                class_weight,
                scaling.select(place[t]),
                trained.criterion_,
            )
            self.scores_[row, t, m] = np.where(scorable[t], scores, np.nan)
        self.measured_[rows, m] = True
        self.n_trained_ += len(rows)
        if not running.recent:
            running.save("measured", {k: vars(self)[k] for k in _MEASURED})
        training.remove()

    def _summarise(self) -> None:
        """Gains of what was measured; rows that were not are left out."""
        kept = self.measured_.any(axis=1)
        self.masks_, self.scores_ = self.masks_[kept], self.scores_[kept]
        self.measured_ = self.measured_[kept]
        self.scores_[np.broadcast_to(~self.measured_[:, None], self.scores_.shape)] = np.nan
        self.gains_, self.gains_std_ = gains_of_scores(
            self.scores_, self.masks_, is_loss=self.scoring_ == "loss"
        )

    def pair_effects(self) -> tuple[NDArray[np.float64], Effect]:
        """The gains of pairs as a matrix, and what they say.

        Returns
        -------
        values : ndarray of shape (n_tasks, n_tasks)
            [i, j]: gain of task j in the pair of i and j; NaN where it was not measured.
        effect : Effect
            Name, meaning, unit and direction of the numbers.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self, "gains_")
        unit = "share of the held-out loss of task j alone"
        if self.scoring_ != "loss":
            scores = [self.scoring_] if isinstance(self.scoring_, str) else self.scoring_.values()
            unit = f"difference of held-out {' or '.join(scores)}"
        values = matrix_of_pairs(self.masks_, self.gains_)
        return of_all_tasks(values, self.learnable_), gain_of_pair(unit)

    def save(self, path: Any) -> None:
        """Write what was measured to a file (NumPy's npz, nothing pickled).

        Parameters
        ----------
        path : str or Path
            Written as it is; no suffix is added. A file that is there is replaced by a whole one,
            or stays as it was.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self, "gains_")
        write_gains(path_of(path, "The path of GroupGains.save"), vars(self))

    @classmethod
    def load(cls, path: Any, estimator: MultiTaskNet | None = None, **params: Any) -> GroupGains:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or Path
        estimator : MultiTaskNet, default=None
            As in the constructor; needed only to measure more groups.
        **params
            Parameters of the constructor (`warm_start=True`, `masks`, ...), which the file does
            not hold; `scoring` is that of the file.

        Returns
        -------
        gains : GroupGains
            Fitted.

        Raises
        ------
        FileFormatError
            A ValueError: if the file is not one of `save`, or is damaged.
        ValueError
            If a parameter is not right, or `scoring` is not what was measured.
        OSError
            If there is no file, or it cannot be read.
        """
        path = path_of(path, "The path of GroupGains.load")
        fitted = read_gains(path)
        gains = cls(estimator, **{"scoring": fitted["scoring_"], **params})
        check_parameters(gains)
        if gains.scoring != fitted["scoring_"]:
            raise ValueError(
                f"The 'scoring' parameter of GroupGains must be what {path} was measured with, "
                f"{fitted['scoring_']!r}. Got {gains.scoring!r}."
            )
        gains.__dict__.update(fitted)
        return gains
