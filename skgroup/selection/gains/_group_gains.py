"""`GroupGains`: what tasks gain in groups, measured by training a net for each group."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.utils.data import Dataset

from skgroup._compat import Interval, Options, RealNotInt, StrOptions, _fit_context, forget_fit
from skgroup._random import draw_seeds, local_seed
from skgroup.exceptions import FileFormatError, TrainingInterruptedWarning
from skgroup.metrics import multitask_f1_score, multitask_roc_auc_score
from skgroup.metrics.splits import held_out_splits
from skgroup.selection.gains._masks import all_groups, check_masks
from skgroup.store import fingerprint, key_of, load_arrays, path_of, save_arrays
from skgroup.tasks import MISSING, OutputLayout, TaskTable, by_task_columns, task_label
from skgroup.training import MultiTaskNet
from skgroup.training.data import TaskDataset, n_samples_of
from skgroup.training.engine import STRATEGIES, fit_many, predict_many
from skgroup.training.stack import stack_pays
from skgroup.training.training_data import TrainingData

__all__ = ["GroupGains"]

#: Tasks up to which all groups are trained: 2^10 - 1 nets.
_MOST_TASKS = 10
#: Nets that train together: as many as fit into so many bytes (weights, gradients, two moments
#: and labels), and no more than a Ctrl-C may lose.
_BYTES, _MOST_NETS = 2**28, 32
#: Probabilities and losses nearer to 0 than this count as this.
_EPS = float(np.finfo(np.float32).eps)
#: What `save` writes, and its version.
_FILE = ("gains of GroupGains", 1)
_ARRAYS = ("masks_", "gains_", "gains_std_", "scores_", "measured_", "learnable_")


class GroupGains(BaseEstimator):
    """Measure what each task gains in groups, with one net trained for each group.

    A group's net is trained on its tasks alone, all with the same weight, and scored task by
    task on held-out samples. With `scoring="loss"` the gain of task t in group S is
    (L_ref − L_S) / L_ref, the share of its loss that the group saves; with any other scoring it
    is score_S − score_ref. ref is the net of the task alone (or of all tasks). Positive is
    better than ref.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What nets are clones of; `MultiTaskNet()` if None. Its `task_weight` is not used.
    masks : {"all", "pairs"} or array-like of shape (n_groups, n_tasks), default="all"
        The groups: all 2^n_tasks − 1 of at most 10 tasks; single tasks and pairs, which
        `HigherOrderApproximation` needs; or these, one row of 0 and 1 a group. The nets of the
        gain's reference are trained in any case.
    cv : float, int, splitter or iterable of (train, test), default=0.2
        Held-out samples: a share, drawn once; a number of (shuffled) folds, of which each is
        held out once; or the splits. A sample that holds the only label of a class stays with
        the training part.
    n_repeats : int, default=1
        Each with its own split, where `cv` is drawn at random, and its own seed. All nets of a
        repeat and split have the same seed, so that what differs between them is the group.
    scoring : {"loss", "f1", "roc_auc"} or callable, default="loss"
        "loss" is what `MultiTaskNet` trains on: the mean over the held-out samples with a label
        of the cross-entropy, with the class weights of the training part and the sample weights.
        "f1" and "roc_auc" are those of `skgroup.metrics`. A callable is called for each task as
        `scoring(labels, proba, sample_weight=...)` on the samples with a label; `proba` is
        (n_samples,), of the second class, or (n_samples, n_classes) for more than two; higher is
        better.
    relative_to : {"single", "all"}, default="single"
        Gains over the net of the task alone, or over the net of all tasks.
    warm_start : bool, default=False
        Whether `fit` keeps what was measured before and trains only what is missing: the same
        data, estimator, `cv` and `scoring` with other `masks`, more `n_repeats`, or after an
        interruption or `load`. Estimators, functions and data are compared by what they hold.
    strategy : {"auto", "stacked", "sequential"}, default="auto"
        How the nets of groups of one size train: as stacks of parameters, one after another, or
        whichever is faster. What is learned is the same to rounding.
    n_jobs : int, default=None
        Processes for training the nets (joblib).
    random_state : int, RandomState or None, default=None
        Determines splits and nets. If None, the `random_state` of the estimator does.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    masks_ : ndarray of bool, of shape (n_groups, n_tasks)
        The groups that were measured: those of earlier fits, those asked for, those of the
        gain's reference.
    gains_ : ndarray of shape (n_groups, n_tasks)
        Mean gains over repeats and splits; NaN for absent tasks.
    gains_std_ : ndarray of shape (n_groups, n_tasks)
        Their standard deviation (n − 1), NaN where there is a single one.
    scores_ : ndarray of shape (n_groups, n_tasks, n_repeats · n_splits)
        Scores (losses) on each held-out part; NaN for absent tasks, where not measured, and
        where the held-out part lacks the labels that the scoring needs.
    measured_ : ndarray of bool, of shape (n_groups, n_repeats · n_splits)
        Which were measured; not all, after an interruption or fits of different `n_repeats`.
    interrupted_ : bool
        Whether the last `fit` ended before it had measured all that it was asked for.
    scoring_ : str
        What was measured: "loss", "f1", "roc_auc", or "a callable".
    relative_to_ : {"single", "all"}
        What `gains_` are relative to.
    n_trained_ : int
        Nets that the last `fit` trained.
    n_tasks_ : int
    learnable_ : ndarray of bool, of shape (n_tasks,)
        Which tasks groups are measured of: those of a single class are in none.
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    Notes
    -----
    Interrupting `fit` (Ctrl-C) ends it with a warning and keeps what was measured, up to a batch
    of at most 32 nets; `interrupted_` is then True. Groupings do not go on from there: they raise
    the interruption. With folds, each net trains on another part of the samples, so that
    `gains_std_` holds the spread of samples and seeds together; folds overlap in what they train
    on, so it is no standard error.

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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "masks": [StrOptions({"all", "pairs"}), "array-like"],
        "cv": ["cv_object", Interval(RealNotInt, 0, 1, closed="neither")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "scoring": [StrOptions({"loss", "f1", "roc_auc"}), callable],
        "relative_to": [StrOptions({"single", "all"})],
        "warm_start": ["boolean"],
        "strategy": [StrOptions(set(STRATEGIES))],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        *,
        masks: Any = "all",
        cv: Any = 0.2,
        n_repeats: int = 1,
        scoring: Any = "loss",
        relative_to: str = "single",
        warm_start: bool = False,
        strategy: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.masks = masks
        self.cv = cv
        self.n_repeats = n_repeats
        self.scoring = scoring
        self.relative_to = relative_to
        self.warm_start = warm_start
        self.strategy = strategy
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
            The task table `Y`: ints, bools or strings, NaN or None where a label is missing.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of samples in training and in the scores.

        Returns
        -------
        self : GroupGains

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, if there are too many
            tasks for `masks="all"`, if no held-out part has the labels that the scoring of some
            task needs, or if with `warm_start` something differs that would change what was
            measured.
        """
        before = getattr(self, "scores_", None)
        try:
            return self._fit(X, y, sample_weight)
        except KeyboardInterrupt:
            if getattr(self, "scores_", None) is before:  # nothing was measured
                raise
            warnings.warn(
                "Measuring was interrupted; gains_ holds what was measured. With "
                "warm_start=True, fit goes on from there.",
                TrainingInterruptedWarning,
                stacklevel=3,
            )
            return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> GroupGains:
        """`fit`, but what ends it early is raised, whatever was measured."""
        self._check_scoring()
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        net.set_params(task_weight=None)
        data = net._check_data(X, y, sample_weight)
        n_tasks, learnable = data.all_tasks.n_tasks, data.all_tasks.learnable
        asked = self._asked(n_tasks, learnable, data.all_tasks.names)
        earlier = vars(self).copy()
        before = earlier if self.warm_start and hasattr(self, "scores_") else None
        if before is None:
            state = net.random_state if self.random_state is None else self.random_state
            seed = draw_seeds(state, 1)[0]
        else:
            seed = before["seed_"]
            state = net.random_state if self.random_state is None else self.random_state
            if isinstance(state, Integral) and draw_seeds(state, 1)[0] != seed:
                raise ValueError(
                    "With warm_start=True, GroupGains goes on with the seed of what was measured "
                    f"before, but random_state={state!r} stands for another one."
                )
        parts = self._parts(data, seed)
        conditions = self._conditions(net, data, parts)
        if before is not None:
            _check_same(before["conditions_"], conditions)
        scorable = np.zeros((n_tasks, len(parts)), dtype=bool)
        for m, (_, test, _) in enumerate(parts):
            scorable[learnable, m] = self._scorable(data.take(test))
        unscored = np.flatnonzero(learnable & ~scorable.any(axis=1))
        if len(unscored):
            label = task_label(data.all_tasks.names, int(unscored[0]))
            raise ValueError(
                f"The 'cv' parameter of GroupGains holds out too few labels of {label} for "
                f"scoring={self.scoring!r}. Got {self.cv!r}."
            )
        if callable(self.scoring):
            self._try_scoring(data)
        probe = clone(net)
        probe._prepare(data, seed=0)
        self._learn_references(before, asked, len(parts), data, seed, conditions)
        try:
            for m, chunk in self._work(asked, len(parts), probe, data):
                self._measure(net, data, chunk, m, parts[m], scorable[:, m])
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

    def _check_scoring(self) -> None:
        if not callable(self.scoring):
            return
        try:
            inspect.signature(self.scoring).bind(None, None, sample_weight=None)
        except TypeError as error:
            raise ValueError(
                "The 'scoring' parameter of GroupGains must be callable as scoring(y_true, "
                f"y_score, sample_weight=...). Got {self.scoring!r}: {error}."
            ) from None
        except ValueError:  # no signature is known
            return

    def _try_scoring(self, data: TrainingData) -> None:
        """Score a made-up prediction of each kind of task, before a net is trained for it."""
        for classes in {len(c): c for c in data.table.classes}.values():
            truth = np.tile(np.arange(len(classes)), 4)
            proba = np.eye(len(classes))[np.r_[truth[1:], truth[0]]]
            proba[: len(truth) // 2] = np.eye(len(classes))[truth[: len(truth) // 2]]
            proba = (proba + 0.5) / (proba + 0.5).sum(axis=1, keepdims=True)
            weight = None if data.sample_weight is None else np.ones(len(truth))
            try:
                score = self._call_scoring(classes[truth], proba, weight)
            except Exception as error:
                raise ValueError(
                    "The 'scoring' parameter of GroupGains must score the probabilities of a task "
                    f"of {len(classes)} classes. For a made-up example {self.scoring!r} raised "
                    f"{type(error).__name__}: {error}."
                ) from error
            if not np.isfinite(score):
                raise ValueError(
                    "The 'scoring' parameter of GroupGains must return a finite number. Got "
                    f"{score} for a made-up example, with {self.scoring!r}."
                )

    def _call_scoring(self, labels: NDArray, proba: NDArray, weight: NDArray | None) -> float:
        score = self.scoring(
            labels, proba[:, 1] if proba.shape[1] == 2 else proba, sample_weight=weight
        )
        if isinstance(score, bool) or np.ndim(score) or np.asarray(score).dtype.kind not in "biuf":
            raise ValueError(
                f"The 'scoring' parameter of GroupGains must return a number. Got {score!r}."
            )
        return float(score)

    # -- what there is to do -------------------------------------------------------------------

    def _asked(
        self, n_tasks: int, learnable: NDArray[np.bool_], task_names: Any
    ) -> NDArray[np.bool_]:
        """The groups to measure, (n_groups, n_tasks), without tasks of a single class."""
        if learnable.all():
            return self._asked_masks(n_tasks, task_names)
        if isinstance(self.masks, str):
            asked = self._asked_masks(int(learnable.sum()))
            masks = np.zeros((len(asked), n_tasks), dtype=bool)
            masks[:, learnable] = asked
            return masks
        masks = self._asked_masks(n_tasks, task_names) & learnable
        return np.unique(masks[masks.any(axis=1)], axis=0)

    def _asked_masks(self, n_tasks: int, task_names: Any = None) -> NDArray[np.bool_]:
        name = "The 'masks' parameter of GroupGains"
        if isinstance(self.masks, str):
            if self.masks == "all":
                if n_tasks > _MOST_TASKS:
                    raise ValueError(
                        f"{name} can be 'all' for at most {_MOST_TASKS} tasks "
                        f"({2**_MOST_TASKS - 1} nets); pass 'pairs' or the masks of some groups. "
                        f"Got 'all' for {n_tasks} tasks."
                    )
                return all_groups(n_tasks)
            one = np.eye(n_tasks, dtype=bool)
            i, j = np.triu_indices(n_tasks, k=1)
            return np.vstack([one, one[i] | one[j]])
        given = by_task_columns(self.masks, task_names, f"The columns of {name[4:]}")
        asked = check_masks(given, n_tasks, name=name)
        if len(np.unique(asked, axis=0)) < len(asked):
            raise ValueError(f"{name} must hold each group once.")
        return asked

    def _parts(self, data: TrainingData, seed: int) -> list[tuple[NDArray, NDArray, int]]:
        """Training samples, held-out samples and seed of the nets of each repeat and split."""
        parts = []
        for of_repeat in draw_seeds(seed, self.n_repeats):
            splits = held_out_splits(self.cv, data.table, of_repeat, owner="GroupGains")
            seeds = draw_seeds(of_repeat, len(splits))
            parts += [(*split, s) for split, s in zip(splits, seeds, strict=True)]
        return parts

    def _conditions(
        self, net: MultiTaskNet, data: TrainingData, parts: list[tuple[NDArray, NDArray, int]]
    ) -> dict[str, str]:
        """What measured scores depend on, in a form that can be compared and saved."""
        table = data.all_tasks
        n_splits = len(parts) // self.n_repeats
        scoring = self.scoring if isinstance(self.scoring, str) else _key(self, "scoring")
        return {
            "the data": joblib.hash(
                (_as_arrays(data.X), table.codes, table.classes, data.sample_weight)
            ),
            "the 'cv' parameter": joblib.hash(
                [(train, test) for train, test, _ in parts[:n_splits]]
            ),
            "the 'scoring' parameter": scoring,
            "the 'estimator' parameter": _key_of_net(net),
        }

    def _scorable(self, seen: TrainingData) -> NDArray[np.bool_]:
        """Which tasks can be scored on these samples, (n_tasks,)."""
        codes = seen.table.codes
        if seen.sample_weight is not None:
            codes = codes[seen.sample_weight > 0]
        if self.scoring != "roc_auc":
            return (codes != MISSING).any(axis=0)
        n_classes = np.array([len(c) for c in seen.table.classes])
        met = [(codes == k).any(axis=0) | (k >= n_classes) for k in range(n_classes.max())]
        return np.all(met, axis=0)

    def _learn_references(
        self,
        before: dict[str, Any] | None,
        asked: NDArray[np.bool_],
        n_parts: int,
        data: TrainingData,
        seed: int,
        conditions: dict[str, str],
    ) -> None:
        """Rows for all groups, those measured before filled in."""
        table = data.all_tasks
        n_tasks = table.n_tasks
        rows = [asked, _reference(self.relative_to, table.learnable)]
        old = 0 if before is None else before["measured_"].shape[1]
        if before is not None:
            rows.insert(0, before["masks_"])
        masks = np.concatenate(rows)
        _, first = np.unique(masks, axis=0, return_index=True)
        masks = masks[np.sort(first)]
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self.n_tasks_, self.learnable_ = n_tasks, table.learnable
        if table.names is not None:
            self.task_names_in_ = table.names
        self.seed_, self.conditions_, self.n_trained_ = seed, conditions, 0
        self.scoring_ = self.scoring if isinstance(self.scoring, str) else "a callable"
        self.relative_to_, self.interrupted_ = self.relative_to, True
        self.masks_ = masks
        self.scores_ = np.full((len(masks), n_tasks, max(old, n_parts)), np.nan)
        self.measured_ = np.zeros((len(masks), max(old, n_parts)), dtype=bool)
        if before is not None:
            self.scores_[: len(before["masks_"]), :, :old] = before["scores_"]
            self.measured_[: len(before["masks_"]), :old] = before["measured_"]

    def _work(
        self, asked: NDArray[np.bool_], n_parts: int, probe: MultiTaskNet, data: TrainingData
    ) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Which rows to train together on which part; those of the reference first."""
        reference = _reference(self.relative_to, data.all_tasks.learnable)
        n_weights = sum(p.numel() for p in probe.module_.parameters())
        together = self.strategy == "stacked" or (
            self.strategy == "auto" and stack_pays([probe, probe], n_samples_of(data.X))
        )
        outputs = np.asarray(data.all_tasks.task_outputs)
        row_of = {mask.tobytes(): row for row, mask in enumerate(self.masks_)}
        # Multiclass tasks stack only with those of as many classes.
        batches: dict[Any, list[int]] = {}
        for first, masks in ((True, reference), (False, asked)):
            for mask in masks:
                row = row_of.pop(mask.tobytes(), None)
                if row is not None:
                    own = outputs[mask]
                    alike = OutputLayout(own).only is not None
                    kind = (len(own),) if alike else tuple(own.tolist())
                    batches.setdefault((not first, len(own), kind), []).append(row)
        for m in range(n_parts):
            for (_, size, _), rows in sorted(batches.items()):
                missing = np.array([row for row in rows if not self.measured_[row, m]], dtype=int)
                bytes_of_net = 16 * n_weights + 8 * size * len(data.table.codes)
                n_nets = int(np.clip(_BYTES // bytes_of_net, 1, _MOST_NETS))
                if not together and self.n_jobs in (None, 1):
                    n_nets = 1
                for start in range(0, len(missing), n_nets):
                    yield m, missing[start : start + n_nets]

    # -- measuring -----------------------------------------------------------------------------

    def _measure(
        self,
        net: MultiTaskNet,
        data: TrainingData,
        rows: NDArray[np.intp],
        m: int,
        part: tuple[NDArray, NDArray, int],
        scorable: NDArray[np.bool_],
    ) -> None:
        train, test, seed = part
        of_train = data.take(train, net.class_weight)
        tasks = [np.flatnonzero(self.masks_[row]) for row in rows]
        place = np.cumsum(data.all_tasks.learnable) - 1  # among the tasks that are learned
        nets, _ = fit_many(
            [clone(net) for _ in rows],
            [of_train.select(place[t]) for t in tasks],
            [seed] * len(rows),
            strategy=self.strategy,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            description=f"groups of {len(tasks[0])}, held-out part {m}",
        )
        seen = data.take(test)
        proba = predict_many(nets, TaskDataset(seen.X))
        for row, of_net, t in zip(rows, proba, tasks, strict=True):
            own = place[t]
            of_tasks = None if of_train.class_weight is None else of_train.class_weight[own]
            scores = self._score(of_net, seen.select(own), of_tasks)
            self.scores_[row, t, m] = np.where(scorable[t], scores, np.nan)
        self.measured_[rows, m] = True
        self.n_trained_ += len(rows)

    def _score(
        self, proba: NDArray, seen: TrainingData, class_weight: NDArray | None
    ) -> NDArray[np.float64]:
        """Scores (n_tasks,) of probabilities (n_samples, n_outputs)."""
        table, weight = seen.table, seen.sample_weight
        if self.scoring == "loss":
            return held_out_loss(proba, table, class_weight, weight)
        of_classes = table.layout.of_classes(proba)
        classes = [np.arange(len(c)) for c in table.classes]
        labels = np.where(table.codes == MISSING, np.nan, table.codes)
        kwargs: dict[str, Any] = {"classes": classes, "average": None, "sample_weight": weight}
        if self.scoring == "roc_auc":
            return np.asarray(multitask_roc_auc_score(labels, of_classes, **kwargs))
        if self.scoring == "f1":
            half = np.full(table.n_tasks, 0.5)
            predicted = table.layout.decide(proba, half, np.zeros(table.n_tasks, dtype=bool))
            return np.asarray(multitask_f1_score(labels, predicted, **kwargs))
        scores = np.full(table.n_tasks, np.nan)
        for t, p in enumerate(of_classes):  # a callable sees one task
            known = table.codes[:, t] != MISSING
            if known.any():
                try:
                    scores[t] = self._call_scoring(
                        table.classes[t][table.codes[known, t]],
                        p[known],
                        None if weight is None else weight[known],
                    )
                except Exception as error:
                    # It scored an example: what it cannot score is this part, and no more is lost.
                    warnings.warn(
                        f"{self.scoring!r} cannot score {task_label(table.names, t)} on a "
                        f"held-out part, which is left out: {type(error).__name__}: {error}",
                        UndefinedMetricWarning,
                        stacklevel=2,
                    )
        return scores

    def _summarise(self) -> None:
        """Gains of what was measured; rows that were not are left out."""
        kept = self.measured_.any(axis=1)
        self.masks_, self.scores_ = self.masks_[kept], self.scores_[kept]
        self.measured_ = self.measured_[kept]
        self.scores_[np.broadcast_to(~self.measured_[:, None], self.scores_.shape)] = np.nan
        sizes = self.masks_.sum(axis=1)
        ref = np.full(self.scores_.shape[1:], np.nan)
        if self.relative_to_ == "all":
            for row in np.flatnonzero((self.masks_ == self.learnable_).all(axis=1)):
                ref = self.scores_[row]
        else:
            rows = np.flatnonzero(sizes == 1)
            tasks = self.masks_[rows].argmax(axis=1)
            ref[tasks] = self.scores_[rows, tasks]
        gains = ref - self.scores_
        gains = gains / np.maximum(ref, _EPS) if self.scoring_ == "loss" else -gains
        self.gains_, self.gains_std_ = _mean_and_std(gains)

    # -- files ---------------------------------------------------------------------------------

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
        names = getattr(self, "task_names_in_", None)
        texts = {"relative_to": self.relative_to_, "scoring": self.scoring_}
        texts["interrupted"] = str(self.interrupted_)
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if names is not None:
            arrays["task_names_in_"] = np.asarray(names, dtype=str)
        if hasattr(self, "n_features_in_"):
            arrays["n_features_in_"] = np.array(self.n_features_in_)
        arrays["seed_"], arrays["n_trained_"] = np.array(self.seed_), np.array(self.n_trained_)
        arrays["conditions"] = np.array(list(self.conditions_.items()))
        arrays["texts"] = np.array(list(texts.items()))
        save_arrays(path_of(path, "The path of GroupGains.save"), *_FILE, arrays)

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
            not hold. `scoring` is that of the file, which holds no callable: pass it again to
            measure more (None stands for it until then). `relative_to` is that of the file if not
            given; with another one, gains are computed anew from the scores, NaN where the
            reference was not measured.

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
        try:
            found = load_arrays(path, *_FILE)
            read = _checked_arrays(found)
            texts = dict(found["texts"].tolist())
            conditions = dict(found["conditions"].tolist())
            seed, n_trained = int(found["seed_"]), int(found["n_trained_"])
            scoring, interrupted = texts["scoring"], texts["interrupted"] == "True"
            relative_to = texts["relative_to"]
            names = found.get("task_names_in_")
            n_features = int(found["n_features_in_"]) if "n_features_in_" in found else None
            if names is not None and names.shape != read["masks_"].shape[1:]:
                raise ValueError(f"{names.size} names of tasks")
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{path} is no file that GroupGains.save wrote, or is damaged: {error}"
            ) from error
        gains = cls(estimator, **{"scoring": scoring, "relative_to": relative_to, **params})
        if "scoring" not in params and scoring == "a callable":
            gains.scoring = None
        else:
            gains._validate_params()
            asked = gains.scoring if isinstance(gains.scoring, str) else _key(gains, "scoring")
            if asked != conditions["the 'scoring' parameter"]:
                raise ValueError(
                    f"The 'scoring' parameter of GroupGains must be what {path} was measured with, "
                    f"{scoring!r}. Got {gains.scoring!r}."
                )
        gains.scoring_, gains.interrupted_ = scoring, interrupted
        gains.relative_to_ = gains.relative_to
        gains.__dict__.update(read)
        gains.seed_, gains.n_trained_, gains.conditions_ = seed, n_trained, conditions
        gains.n_tasks_ = gains.masks_.shape[1]
        if names is not None:
            gains.task_names_in_ = names.astype(object)
        if n_features is not None:
            gains.n_features_in_ = n_features
        if gains.relative_to != relative_to:
            gains._summarise()
        return gains

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags


def _checked_arrays(found: dict[str, NDArray]) -> dict[str, NDArray]:
    """The measurements of a file, if they fit together."""
    read = {name: found[name] for name in _ARRAYS}
    n_groups, n_tasks, n_parts = read["scores_"].shape
    shapes: dict[str, tuple[int, ...]] = {
        "masks_": (n_groups, n_tasks),
        "gains_": (n_groups, n_tasks),
    }
    shapes |= {"gains_std_": (n_groups, n_tasks), "measured_": (n_groups, n_parts)}
    shapes["learnable_"] = (n_tasks,)
    for name, array in read.items():
        kind = "b" if name in ("masks_", "measured_", "learnable_") else "f"
        if array.shape != shapes.get(name, array.shape) or array.dtype.kind != kind:
            raise ValueError(f"{name} is of shape {array.shape} and {array.dtype}")
    return read


def held_out_loss(
    proba: NDArray,
    table: TaskTable,
    class_weight: NDArray | None,
    sample_weight: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Loss of each task, as `MultiTaskLoss` would have it of these samples as one batch.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_outputs)
    table : TaskTable
    class_weight : ndarray of shape (n_tasks, max_n_classes), or None
    sample_weight : ndarray of shape (n_samples,), or None

    Returns
    -------
    loss : ndarray of shape (n_tasks,)
        Σ_b s_b c_b (−log p_b) / Σ_b s_b over the samples b with a label, p_b being the
        probability of the true label, c_b its class weight, s_b the sample weight; NaN without
        any.
    """
    codes = np.maximum(table.codes, 0).astype(np.intp)
    p = table.layout.likelihood(proba, codes).astype(np.float64)
    weight = (table.codes != MISSING).astype(np.float64)
    if sample_weight is not None:
        weight *= sample_weight[:, None]
    loss = -np.log(np.clip(p, _EPS, 1 - _EPS)) * weight
    if class_weight is not None:
        loss *= class_weight[np.arange(table.n_tasks), codes]
    total = weight.sum(axis=0)
    return np.divide(loss.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0)


def _reference(relative_to: str, learnable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks of the groups that gains are relative to, of tasks that there is a net for."""
    if relative_to == "all":
        return learnable[None]
    return np.eye(len(learnable), dtype=bool)[learnable]


def _mean_and_std(values: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Over the last axis, of what is not NaN; the n - 1 standard deviation, NaN of a single one."""
    known = ~np.isnan(values)
    n = known.sum(axis=-1)
    mean = np.where(n > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(n, 1), np.nan)
    squared = np.where(known, values - mean[..., None], 0) ** 2
    variance = squared.sum(axis=-1) / np.maximum(n - 1, 1)
    return mean, np.where(n > 1, np.sqrt(variance), np.nan)


def _check_same(before: dict[str, str], now: dict[str, str]) -> None:
    for what, value in now.items():
        if before.get(what) != value:
            raise ValueError(
                "With warm_start=True, what GroupGains measured before must still hold, but "
                f"{what} differs. Fit with warm_start=False to measure anew."
            )


def _as_arrays(X: Any) -> Any:
    """Checked inputs in a form whose hash says what they hold; every sample of a Dataset."""
    if isinstance(X, Tensor):
        return X.numpy()
    if isinstance(X, dict):
        return {key: _as_arrays(value) for key, value in X.items()}
    if sparse.issparse(X):
        return X.shape, X.data, X.indices, X.indptr
    if not isinstance(X, Dataset):
        return X
    with local_seed(0):  # a sample may be drawn at random (augmented)
        return [joblib.hash(fingerprint(X[i])) for i in range(n_samples_of(X))]


def _key(estimator: Any, name: str) -> str:
    """What a parameter is, in a form that can be compared and saved."""
    try:
        return key_of(getattr(estimator, name))
    except TypeError as error:
        raise ValueError(
            f"The '{name}' parameter of {type(estimator).__name__} cannot be compared with that of "
            f"another fit: {error}."
        ) from error


def _key_of_net(net: MultiTaskNet) -> str:
    """What decides what a net learns."""
    params = net.get_params(deep=False)
    counted = sorted(set(params) - {"verbose", "device", "random_state"})
    try:
        return key_of([(name, params[name]) for name in counted])
    except TypeError as error:
        raise ValueError(
            "The 'estimator' parameter of GroupGains holds what cannot be compared with another "
            f"fit: {error}."
        ) from error
