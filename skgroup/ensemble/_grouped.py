"""`GroupedMTLClassifier`: groups, a specialist for each, and their weighted ensemble."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.pipeline import make_pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skgroup._compat import (
    HasMethods,
    Interval,
    Options,
    RealNotInt,
    StrOptions,
    _fit_context,
    _routing_enabled,
    forget_fit,
)
from skgroup._estimators import check_parameters, named_steps, steps_of
from skgroup._html import GroupsReprMixin
from skgroup._random import draw_seeds
from skgroup.cluster import Clusterings, FuzzyKMeans
from skgroup.cluster.clusterings import check_numbers
from skgroup.cluster.memberships import check_membership
from skgroup.ensemble._baselines import AllTasks, SingleTasks
from skgroup.ensemble._candidates import (
    ALL_TASKS,
    GROUP,
    SINGLE_TASK,
    Candidate,
    all_tasks,
    single_tasks,
    specialists,
    train,
)
from skgroup.ensemble._groupers import (
    base_net,
    check_n_groups,
    check_relation,
    numbers_of_groups,
    of_learnable,
    read_groups,
    rows_of_one,
    set_random_state,
)
from skgroup.ensemble._serving import Mixture, learn_mixture
from skgroup.ensemble._threshold import decides, tune_thresholds
from skgroup.ensemble._trial import (
    known_groups,
    may_be_kept,
    try_epochs,
    try_grouper,
    try_nets,
    try_stack,
)
from skgroup.metrics.splits import count_splits, held_out_splits
from skgroup.relations import TaskGrouper
from skgroup.selection import GroupSelector
from skgroup.tasks import BINARY, MISSING, TaskTable, take_tasks, task_label
from skgroup.training import MultiTaskNet
from skgroup.training.classifier import TaskClassifierMixin
from skgroup.training.costs import count_nets
from skgroup.training.data import TaskDataset, check_inputs, labels_of, take_samples
from skgroup.training.engine import STRATEGIES, predict_in_pieces, task_weights
from skgroup.training.training_data import TrainingData

__all__ = ["GroupedMTLClassifier"]

_DEFAULT_N_GROUPS = 3
_SEVERAL = (2, 3, 4)
#: Samples that a `predict_nonlinearity` of the user's is tried on.
_N_TRIED = 256


class GroupedMTLClassifier(GroupsReprMixin, TaskClassifierMixin, BaseEstimator):
    """Learn which tasks belong together, train a specialist for each group, predict with all.

    The grouper gives each task i a membership w_ij in each group j. The specialist of group j is
    a net trained on the loss Σ_i w_ij · L_i; a task is predicted by Σ_j w_ij · P_j, P_j being the
    specialists' probabilities (Hadamard ensemble [1]_).

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What specialists are clones of; `MultiTaskNet()` if None.
    grouper : estimator, Pipeline or array-like of shape (n_tasks, n_groups), default=None
        Anything whose `fit(X, Y)` leaves `membership_`, or `labels_` of tasks (scikit-learn's
        clusterers), in its last step; or the memberships themselves. None is
        `make_pipeline(TaskGrouper(estimator, output="isometric"), FuzzyKMeans(n_groups))`, of
        which the data maps are not kept: a grouper that is given keeps them.
    n_groups : int, sequence of int, "several" or None, default=None
        Number of groups where `grouper` is None; 1 is plain multi-task learning. None is 3, or
        the number of tasks if there are fewer. With several numbers, the specialists of each
        serve side by side; "several" is those of 2, 3 and 4 that are fewer than the tasks.
    n_mtl_nets : int, default=0
        Nets on all tasks that serve beside the specialists. The first is the net that made the
        data maps, where the grouper starts with a `TaskGrouper` with `source="mtl"` (and that net
        has seen the same samples as the others: not with several splits and `refit=False`).
    stl_nets : bool, default=False
        Whether a single-task net of each task serves it too.
    serving : {"membership", "learned"}, default="membership"
        How nets are weighted in a prediction. "membership": specialists by the task's membership
        (or by the `serving_weights_` that the grouper sets); each number of groups, the all-tasks
        nets together and the single-task nets count the same. "learned": how much each of these
        ways counts for a task makes the labels of held-out samples most likely, pulled towards
        "membership" the more the fewer positives the task has; where there is one way alone, how
        much each of its nets counts.
    threshold : float in (0, 1) or "tuned", default=0.5
        A binary task's positive class is predicted where its probability is above this. "tuned"
        chooses a threshold a task on held-out samples, pulled towards 0.5 where positives are
        few. Where nothing says which class is the positive one, it is 0.5, with a warning.
    threshold_scoring : str or scorer of scikit-learn, default="f1"
        What tuned thresholds maximise. A scorer sees the labels of a task as 0 and 1.
    cv : float, int, splitter, iterable of (train, test) or None, default=0.2
        The held-out samples of "learned" and "tuned": a share of the samples, drawn once; or
        cross-fitting by so many (shuffled) folds, 5 if None, or by these splits. A sample that
        holds the only label of a class stays with the training part.
    refit : bool, default=True
        Whether nets, trained without the held-out samples, are trained again on all samples to
        serve. False serves with the nets that `cv` has trained, those of all splits side by side:
        less training, and for several splits more nets to average, each from less data. With a
        single split the groups too are found without the held-out samples; otherwise on all
        samples. Nets of a split train for more epochs than nets of all samples, such that they
        see as many samples in all; only a single split without refit trains for fewer.
    min_membership : float, default=0.0
        In [0, 1]. A specialist leaves out the tasks whose share of membership in its group is
        below this (or zero), and the serving weights left are scaled to sum to 1. Every task
        stays in the group that serves it most, and every group keeps its strongest task.
    specialist_init : {"fresh", "relation"}, default="fresh"
        What specialists start from: new weights, or those of the multi-task net that made the
        data maps in the grouper. "relation" wants a `TaskGrouper` with `source="mtl"` and the
        module of `estimator`, and the relation as the first step of the grouper. Recommended, with
        half of the epochs (`specialist_epochs`): cheaper than "fresh", better on the digits tasks
        and no worse on CIFAR-10 (`benchmarks/warm_start.py`).
    specialist_epochs : int, default=None
        Epochs of the specialists; those of the estimator if None.
    strategy : {"auto", "stacked", "sequential"}, default="auto"
        How the specialists train: all at once with stacked parameters, one after another, or
        whichever is faster. What they learn is the same to rounding.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks, which F1, thresholds and class weights speak of; see
        `MultiTaskNet`. None is what the estimator has.
    n_jobs : int, default=None
        Processes for training the specialists (joblib).
    random_state : int, RandomState or None, default=None
        Determines the specialists, and whatever `random_state` in the grouper is None. If None,
        the `random_state` of the estimator determines the specialists.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    grouper_ : estimator or None
        The fitted grouper; None where memberships were given, or with a single group.
    membership_ : ndarray of shape (n_tasks, n_groups)
        Memberships as the grouper gives them; 0 for a task of a single class, of which nothing is
        learned: it is predicted by that class, and no group holds it.
    serving_weights_ : ndarray of shape (n_tasks, n_candidates)
        How much each candidate net counts in a task's prediction; rows sum to 1. The candidates
        are the specialists, one a group, then the all-tasks nets, then the single-task nets; all
        of them for each split, where the nets of several splits serve.
    candidate_names_ : ndarray of shape (n_candidates,) of str
        What each of them is.
    candidates_ : list of MultiTaskNet, one a candidate
    candidate_tasks_ : list of ndarray of int, one a candidate
        The tasks that each has a head for.
    specialists_ : list of MultiTaskNet, one a group
        The first of `candidates_`; of each split, where the nets of several splits serve.
    specialist_tasks_ : list of ndarray of int, one a group
        The tasks that each specialist has a head for.
    thresholds_ : ndarray of shape (n_tasks,)
        Of binary tasks, on the probability of the positive class; NaN for others.
    class_shares_ : dict
        For a task that no net serves (a grouper with `serving_weights_` may leave tasks out of
        all groups): its columns of probabilities, and the shares of its classes in `Y` that are
        predicted there, with a warning in `fit`. Usually empty.
    classes_ : list of ndarray of shape (n_classes,), or one ndarray if `y` was 1-D
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    See Also
    --------
    GroupedMTLClassifier.mtl, GroupedMTLClassifier.stl, GroupedMTLClassifier.mtl_ensemble :
        The baselines.
    GroupedMTLClassifier.portfolio : All kinds of nets, with learned serving weights.

    Notes
    -----
    `sample_weight` weighs the samples of the specialists and of the relation in the grouper;
    with scikit-learn's metadata routing enabled, of the steps that request it.

    The defaults are the method of the paper: four nets. `portfolio` is not the default, as it
    trains many times as many. It is what to use where that is affordable and nothing is known of
    the tasks: on five data sets it was better than the paper's method on all, and near the best
    of nine ways of up to the same cost on each, while which of these is best differs from set to
    set (`benchmarks/evidence.py`). On none it was clearly better than all of them, though: a
    large ensemble of multi-task nets, or single-task nets, with tuned thresholds come close where
    they suit the data. What tuned thresholds gained it in F1: .049 on yeast, .021 on
    CIFAR-10, .010 on the digits and on Census-Income, and nothing (-.005) on Tox21.

    What is learned is how much each *way* to train counts, not each net: weights for single nets
    followed the noise of the held-out samples and scored less on saved predictions.

    The number of groups is not chosen automatically: no criterion on the data maps alone
    (silhouette, Xie-Beni, partition coefficient, stability) led to better groups than the best
    fixed number, on digits and yeast (`benchmarks/number_of_groups.py`).

    References
    ----------
    .. [1] A. Sherif, A. Abid, M. Elattar, M. ElHelw, "STG-MTL: scalable task grouping for
       multi-task learning using data maps", 2024, doi:10.1088/2632-2153/ad4e04.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import GroupedMTLClassifier, MultiTaskNet
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> net = MultiTaskNet(max_epochs=20, lr=0.01)
    >>> clf = GroupedMTLClassifier(net, n_groups=2, random_state=0).fit(X, Y)
    >>> clf.predict(X[:5]).shape, clf.membership_.shape
    ((5, 3), (3, 2))
    >>> bool(clf.score(X, Y) > 0.9)
    True
    """

    class_shares_: dict[int, tuple[slice, NDArray[np.float32]]]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "grouper": [HasMethods(["fit"]), "array-like", None],
        "n_groups": [
            Interval(Integral, 1, None, closed="left"),
            "array-like",
            StrOptions({"several"}),
            None,
        ],
        "n_mtl_nets": [Interval(Integral, 0, None, closed="left")],
        "stl_nets": ["boolean"],
        "serving": [StrOptions({"membership", "learned"})],
        "threshold": [Interval(Real, 0, 1, closed="neither"), StrOptions({"tuned"})],
        "threshold_scoring": [StrOptions(set(get_scorer_names())), callable],
        "cv": ["cv_object", Interval(RealNotInt, 0, 1, closed="neither")],
        "refit": ["boolean"],
        "min_membership": [Interval(Real, 0, 1, closed="both")],
        "specialist_init": [StrOptions({"fresh", "relation"})],
        "specialist_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "strategy": [StrOptions(set(STRATEGIES))],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        grouper: Any = None,
        *,
        n_groups: Any = None,
        n_mtl_nets: int = 0,
        stl_nets: bool = False,
        serving: str = "membership",
        threshold: Any = 0.5,
        threshold_scoring: Any = "f1",
        cv: Any = 0.2,
        refit: bool = True,
        min_membership: float = 0.0,
        specialist_init: str = "fresh",
        specialist_epochs: int | None = None,
        strategy: str = "auto",
        pos_label: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.grouper = grouper
        self.n_groups = n_groups
        self.n_mtl_nets = n_mtl_nets
        self.stl_nets = stl_nets
        self.serving = serving
        self.threshold = threshold
        self.threshold_scoring = threshold_scoring
        self.cv = cv
        self.refit = refit
        self.min_membership = min_membership
        self.specialist_init = specialist_init
        self.specialist_epochs = specialist_epochs
        self.strategy = strategy
        self.pos_label = pos_label
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # -- baselines -----------------------------------------------------------------------------

    @classmethod
    def mtl(cls, estimator: MultiTaskNet | None = None, **params: Any) -> GroupedMTLClassifier:
        """One net for all tasks: plain multi-task learning."""
        return cls(estimator, AllTasks(), **params)

    @classmethod
    def stl(cls, estimator: MultiTaskNet | None = None, **params: Any) -> GroupedMTLClassifier:
        """One net a task: single-task learning."""
        return cls(estimator, SingleTasks(), **params)

    @classmethod
    def mtl_ensemble(
        cls, n_nets: int, estimator: MultiTaskNet | None = None, **params: Any
    ) -> GroupedMTLClassifier:
        """The mean of `n_nets` multi-task nets: what as many specialists cost, without groups."""
        return cls(estimator, AllTasks(n_nets), **params)

    @classmethod
    def portfolio(
        cls, estimator: MultiTaskNet | None = None, **params: Any
    ) -> GroupedMTLClassifier:
        """Specialists of 2, 3 and 4 groups, ten all-tasks nets and single-task nets, with serving
        weights and thresholds learned by cross-fitting on 5 folds, whose nets all serve; `params`
        override these. That is 96 nets and 5 for each task (`count_nets`)."""
        own: dict[str, Any] = {
            "n_mtl_nets": 10,
            "stl_nets": True,
            "serving": "learned",
            "threshold": "tuned",
            "cv": 5,
            "refit": False,
        }
        if params.get("grouper") is None:
            own["n_groups"] = "several"
        return cls(estimator, **(own | params))

    def count_nets(self, n_tasks: int) -> dict[str, int]:
        """How many nets `fit` will train.

        Parameters
        ----------
        n_tasks : int
            Columns of `Y`.

        Returns
        -------
        counts : dict of str to int
            "relation": nets that find the groups; "held-out": nets trained without held-out
            samples, to learn serving weights or thresholds, and trained again; "candidates": nets
            that serve (and what they start from), those of the relation that serve not counted
            again; "total". At most so many where the grouper chooses at most `n_groups`. Where the
            grouper does not say how many groups it finds, those of the last `fit` count.

        Raises
        ------
        ValueError
            If a parameter is not right, if a step of the grouper holds a net and does not say how
            many it trains, or, before `fit`, if the grouper does not say how many groups it finds.
        """
        self._validate_params()
        if not isinstance(n_tasks, Integral) or n_tasks < 1:
            raise ValueError(f"n_tasks must be an int >= 1. Got {n_tasks!r}.")
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        grouper = self._check_grouper(net, int(n_tasks))
        n_relation, last, n_groups = 0, None, 0
        if hasattr(grouper, "fit"):
            last = steps_of(grouper)[-1]
            of_grouper = count_nets(grouper, n_tasks)
            if np.isnan(of_grouper):
                raise ValueError(
                    "How many nets the 'grouper' parameter of GroupedMTLClassifier trains must be "
                    f"said by a method count_nets of its steps. Got {grouper!r}."
                )
            n_relation = int(of_grouper)
        if last is None:
            n_groups = grouper.shape[1]
        elif isinstance(last, AllTasks | SingleTasks):
            n_groups = n_tasks if isinstance(last, SingleTasks) else last.n_nets
        else:
            n_groups = sum(value for _, _, value in numbers_of_groups(last, n_tasks))
        if not n_groups:
            n_groups = np.shape(getattr(self, "membership_", np.empty((0, 0))))[1]
        if not n_groups:
            raise ValueError(
                f"The number of groups that {type(last).__name__} finds is known only after fit."
            )
        n_all = n_groups + self.n_mtl_nets + (n_tasks if self.stl_nets else 0)
        reused = int(self.n_mtl_nets > 0 and base_net(grouper) is not None)
        n_splits = 0
        if self.serving == "learned" or isinstance(self.threshold, str):
            n_splits = count_splits(self.cv)
        starts = int(self.specialist_init == "relation" and not self.n_mtl_nets)
        of_splits = n_splits * (n_all + starts)  # as no relation knows the nets of a split
        counts = {"relation": n_relation, "held-out": of_splits, "candidates": n_all - reused}
        if n_splits and not self.refit:
            counts["held-out"] = 0
            counts["candidates"] = n_all - reused if n_splits == 1 else of_splits
        return counts | {"total": sum(counts.values())}

    # -- fitting -------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GroupedMTLClassifier:
        """Group the tasks and train the specialists.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`: ints, bools or strings, NaN or None where a label is missing. May be
            left out where `X` is a torch Dataset that yields labels.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : GroupedMTLClassifier

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right; if there are more
            groups than tasks, or the grouper leaves none (what follows a relation of this package
            is tried on a made-up one); if specialists may leave tasks out and the module cannot be
            built for some of the tasks; if `strategy="stacked"` cannot be.
        KeyboardInterrupt
            If interrupted. After any error an earlier fit stays as it was.
        """
        net, grouper, data, y = self._check(X, y, sample_weight)
        of_all = data.all_tasks
        state = net.random_state if self.random_state is None else self.random_state
        grouper_seed, specialists_seed, others_seed, split_seed = draw_seeds(state, 4)
        tuned = isinstance(self.threshold, str)
        splits: list[Any] = []
        if self.serving == "learned" or tuned:
            splits = held_out_splits(self.cv, data.table, split_seed)
        # F1 has a computation of its own, for all tasks at once.
        scorer = None if self.threshold_scoring == "f1" else get_scorer(self.threshold_scoring)
        weighted = sample_weight is not None
        if tuned and scorer is not None and not decides(scorer, weighted=weighted):
            raise ValueError(
                "The 'threshold_scoring' parameter of GroupedMTLClassifier must be a scorer of "
                "predicted classes, which thresholds decide, called as scorer(estimator, X, y"
                f"{', sample_weight=...' * weighted}), and return a number. Got "
                f"{self.threshold_scoring!r}."
            )
        self._try(net, grouper, data, y, splits)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_tasks(of_all)

        whole = data
        once = self._trains_once(splits)
        if once:
            samples = splits[0][0]
            data = whole.take(samples, net.class_weight)
            X, y = take_samples(X, samples), None if y is None else take_samples(y, samples)
            sample_weight = data.sample_weight
        self.grouper_ = None
        if hasattr(grouper, "fit"):
            if self.random_state is not None or self.grouper is None:
                set_random_state(grouper, grouper_seed)
            self.grouper_ = grouper.fit(X, y, **self._grouper_params(grouper, sample_weight))
            if self.grouper is None:
                # Numbers of each sample and task, which nobody has asked to be kept.
                del steps_of(self.grouper_)[0].data_map_
        candidates, prior, ways = self._plan(grouper, net, whole, specialists_seed, others_seed)
        mixture = Mixture(whole.table.task_outputs, [c.tasks for c in candidates])
        base = None if self.grouper_ is None else base_net(self.grouper_, fitted=True)

        of_split: list[list[MultiTaskNet]] = []
        held_out: list[tuple[list[MultiTaskNet], TaskDataset]] = []
        for i, (trained_on, test) in enumerate(splits):
            part = data if once else whole.take(trained_on, net.class_weight)
            nets = self._train(
                net,
                candidates,
                part,
                base=base if once else None,
                stretch=1.0 if once else len(whole.table.codes) / len(part.table.codes),
                what=f"split {i}: ",
            )
            held_out.append((nets, TaskDataset(take_samples(whole.X, test))))
            if not self.refit:
                of_split.append(nets)
        serving = of_split or [self._train(net, candidates, data, base=base)]
        self.serving_weights_ = prior
        self._learn_shares(whole.table)
        if held_out:
            seen = whole.take(np.concatenate([test for _, test in splits]))
            if self.serving == "learned":
                self.serving_weights_ = learn_mixture(
                    mixture, _of_splits(held_out), prior, ways, seen.table, seen.sample_weight
                )
            if tuned:
                mixed = mixture.predict(
                    _of_splits(held_out), self.serving_weights_, len(seen.table.codes)
                )
                self.thresholds_ = tune_thresholds(mixed, seen.table, scorer, seen.sample_weight)
                # What no net serves has one probability for all samples.
                unserved = [t for t in self.class_shares_ if seen.table.layout.kinds[t] is BINARY]
                self.thresholds_[unserved] = 0.5
        if not tuned:
            self.thresholds_ = np.full(whole.table.n_tasks, np.nan)
            self.thresholds_[whole.table.layout.tasks_of(BINARY)] = float(self.threshold)
        if self.threshold != 0.5:
            self._decide_at_half(whole.table)
        n_groups = self.membership_.shape[1]
        self.specialists_ = [net for nets in serving for net in nets[:n_groups]]
        self.specialist_tasks_ = [c.tasks for c in candidates[:n_groups]] * len(serving)
        self.candidates_ = [net for nets in serving for net in nets]
        self.candidate_tasks_ = [c.tasks for c in candidates] * len(serving)
        names = [c.name for c in candidates]
        if len(serving) > 1:
            names = [f"split {i}: {name}" for i in range(len(serving)) for name in names]
            self.serving_weights_ = np.tile(self.serving_weights_ / len(serving), len(serving))
        self.candidate_names_ = np.array(names, dtype=object)
        if whole.whole is not None:
            self._scatter(of_all)
        return self

    def _scatter(self, table: TaskTable) -> None:
        """From the tasks that are learned to all tasks of `Y`; no group holds the others."""
        tasks = np.flatnonzero(table.learnable)
        for name in ("membership_", "serving_weights_"):
            found = getattr(self, name)
            setattr(self, name, np.zeros((table.n_tasks, found.shape[1])))
            getattr(self, name)[tasks] = found
        of_learned = self.thresholds_
        at_half = self.threshold if not isinstance(self.threshold, str) else 0.5
        self.thresholds_ = np.full(table.n_tasks, float(at_half))
        self.thresholds_[tasks] = of_learned
        self.specialist_tasks_ = [tasks[own] for own in self.specialist_tasks_]
        self.candidate_tasks_ = [tasks[own] for own in self.candidate_tasks_]
        self.class_shares_ = {int(tasks[t]): shares for t, shares in self.class_shares_.items()}

    def _check(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[MultiTaskNet, Any, TrainingData, Any]:
        """The net, the grouper, the checked data and, for the grouper, the labels of the tasks that
        are learned."""
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        if self.pos_label is not None:
            net.set_params(pos_label=self.pos_label)
        data = net._check_data(X, y, sample_weight)
        table = data.all_tasks
        grouper = self._check_grouper(net, table.n_tasks, table.names, table.learnable)
        if self.specialist_init == "relation":
            check_relation(grouper, net)
        if data.whole is not None:
            grouper = of_learnable(grouper, table)
            y = take_tasks(labels_of(X) if y is None else y, table.learnable)
        return net, grouper, data, y

    def _trains_once(self, splits: list[Any]) -> bool:
        """Whether all that trains, trains on one part of the samples."""
        return len(splits) == 1 and not self.refit

    def _try(
        self,
        net: MultiTaskNet,
        grouper: Any,
        data: TrainingData,
        y: Any,
        splits: list[Any],
    ) -> None:
        """Refuse what cannot be built, or leaves no groups, before the grouper trains."""
        tried = clone(net)
        tried._prepare(data, seed=0)
        if net.predict_nonlinearity != "auto":
            some = np.arange(min(_N_TRIED, len(data.table.codes)))
            proba = tried._flat_proba(TaskDataset(take_samples(data.X, some)))
            mixture = Mixture(data.table.task_outputs, [np.arange(data.table.n_tasks)])
            mixture.predict([(0, slice(None), proba)], np.ones((data.table.n_tasks, 1)), len(some))
        if self.grouper is not None and hasattr(grouper, "fit"):
            n_samples = len(splits[0][0] if self._trains_once(splits) else data.table.codes)
            try_grouper(grouper, data.table.n_tasks, n_samples, y)
        n_tasks, base = data.table.n_tasks, base_net(grouper)
        of_all, every = base or net, np.arange(len(data.table.codes))
        parts = [part for part, _ in splits] + ([] if splits and not self.refit else [every])
        for part in {len(part): part for part in parts}.values():
            stretch = 1.0 if self._trains_once(splits) else len(every) / len(part)
            plans = self._epochs(net, of_all, stretch)
            if not self.n_mtl_nets and self.specialist_init != "relation":
                del plans[ALL_TASKS]
            try_epochs(plans.values(), data, part)
        kept = known_groups(grouper, n_tasks, self.min_membership)
        if kept is None:
            kept = may_be_kept(n_tasks)
        single = np.eye(n_tasks, dtype=bool)
        try_nets(net, data, kept, start=base if self.specialist_init == "relation" else None)
        if self.stl_nets:
            try_nets(net, data, single)
        if self.strategy != "stacked":
            return
        try_stack(net, data, kept, GROUP)
        reused = base is not None and (not splits or self._trains_once(splits))
        if self.n_mtl_nets > int(reused):
            try_stack(base or net, data, np.ones((n_tasks, 1), dtype=bool), ALL_TASKS)
        if self.stl_nets:
            try_stack(net, data, single, SINGLE_TASK)

    def _decide_at_half(self, table: TaskTable) -> None:
        """Thresholds are those of positive classes: tasks of which none is known get 0.5."""
        unknown = np.flatnonzero(table.positive_unknown)
        if len(unknown) == 0:
            return
        self.thresholds_[unknown] = 0.5
        warnings.warn(
            "Nothing says which class of these tasks is the positive one, so that their threshold "
            "is 0.5; set the 'pos_label' parameter: "
            f"{', '.join(task_label(table.names, t) for t in unknown)}.",
            UserWarning,
            stacklevel=4,
        )

    def _learn_shares(self, table: TaskTable) -> None:
        """What is predicted of tasks that no net serves: how frequent their classes are."""
        self.class_shares_ = {}
        unserved = np.flatnonzero(~(self.serving_weights_ > 0).any(axis=1))
        layout = table.layout
        for t in unserved:
            columns = layout.columns_of([int(t)])
            shares = layout.kinds[t].shares(table.codes[:, t], len(table.classes[t]))
            self.class_shares_[int(t)] = (slice(columns[0], columns[-1] + 1), shares)
        if len(unserved):
            names = unserved if table.names is None else table.names[unserved]
            warnings.warn(
                "No group holds these tasks, so that their predicted probabilities are the shares "
                f"of their classes in Y, the same for every sample: {', '.join(map(str, names))}.",
                UserWarning,
                stacklevel=5,
            )

    def _plan(
        self, given: Any, net: MultiTaskNet, data: TrainingData, seed: int, others_seed: int
    ) -> tuple[list[Candidate], NDArray[np.float64], NDArray[np.intp]]:
        """The candidates, specialists first; what they count without a look at labels,
        (n_tasks, n_candidates); and which way to group the tasks each belongs to."""
        table = data.table
        found = given if self.grouper_ is None else steps_of(self.grouper_)[-1]
        groups = read_groups(found, table.n_tasks, self.min_membership)
        self.membership_ = groups.membership
        of_task = task_weights(net, data)
        candidates = specialists(groups, of_task, seed)
        # Each way to group the tasks counts the same.
        weights, ways = [groups.serving], [groups.clustering]
        if self.n_mtl_nets:
            candidates += all_tasks(int(self.n_mtl_nets), of_task, others_seed)
            weights.append(np.full((table.n_tasks, self.n_mtl_nets), 1 / self.n_mtl_nets))
            ways.append(np.full(self.n_mtl_nets, ways[-1].max() + 1))
        if self.stl_nets:
            candidates += single_tasks(table, others_seed + 1)
            weights.append(np.eye(table.n_tasks))
            ways.append(np.full(table.n_tasks, ways[-1].max() + 1))
        return candidates, rows_of_one(np.hstack(weights)), np.concatenate(ways)

    def _train(
        self,
        net: MultiTaskNet,
        candidates: list[Candidate],
        data: TrainingData,
        *,
        base: MultiTaskNet | None = None,
        stretch: float = 1.0,
        what: str = "",
    ) -> list[MultiTaskNet]:
        plans = self._epochs(net, base_net(self.grouper_) or net, stretch)
        return train(
            candidates,
            data,
            {kind: clone(of).set_params(max_epochs=epochs) for kind, (of, epochs) in plans.items()},
            base=base,
            relation=self.specialist_init == "relation",
            what=what,
            strategy=self.strategy,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def _epochs(
        self, net: MultiTaskNet, of_all: MultiTaskNet, stretch: float = 1.0
    ) -> dict[str, tuple[MultiTaskNet, int]]:
        """What the nets of each kind are clones of, and how many epochs they train."""
        epochs = net.max_epochs if self.specialist_epochs is None else self.specialist_epochs
        return {
            GROUP: (net, int(epochs * stretch)),
            ALL_TASKS: (of_all, int(of_all.max_epochs * stretch)),
            SINGLE_TASK: (net, int(net.max_epochs * stretch)),
        }

    def _check_grouper(
        self, net: MultiTaskNet, n_tasks: int, task_names: Any = None, learnable: Any = True
    ) -> Any:
        """The grouper, unfitted, or the memberships: checked as far as can be before training."""
        if self.grouper is not None and self.n_groups is not None:
            raise ValueError(
                "The 'n_groups' parameter of GroupedMTLClassifier counts the groups of the default "
                f"grouper and must be None beside a 'grouper'. Got {self.n_groups}; set the number "
                "of groups in the grouper instead."
            )
        if self.grouper is None:
            return self._default_grouper(net, n_tasks)
        if not hasattr(self.grouper, "fit"):
            return check_membership(
                self.grouper,
                n_tasks,
                name="The given membership",
                all_tasks=learnable,
                task_names=task_names,
            )
        grouper = clone(self.grouper)
        steps = list(steps_of(grouper))
        check_parameters(grouper)
        if isinstance(steps[-1], GroupSelector):
            steps[-1].check(n_tasks, task_names)
        for owner, name, value in numbers_of_groups(steps[-1], n_tasks):
            check_n_groups(name, value, owner, n_tasks)
        return grouper

    def _default_grouper(self, net: MultiTaskNet, n_tasks: int) -> Any:
        """The grouper that `n_groups` stands for; memberships where there is one group."""
        wanted = self.n_groups
        if isinstance(wanted, str):
            wanted = [k for k in _SEVERAL if k < n_tasks] or [1]
        several = not (wanted is None or isinstance(wanted, Integral))
        if wanted is None:
            wanted = min(_DEFAULT_N_GROUPS, n_tasks)
        owner = type(self).__name__
        numbers = check_numbers(wanted, "n_groups", owner) if several else [int(wanted)]
        for k in numbers:
            check_n_groups("n_groups", k, owner, n_tasks)
        if numbers == [1]:
            return np.ones((n_tasks, 1))
        clusterer = Clusterings(FuzzyKMeans(), numbers) if several else FuzzyKMeans(numbers[0])
        relation = TaskGrouper(clone(net), output="isometric", verbose=self.verbose)
        return make_pipeline(relation, clusterer)

    def _grouper_params(self, grouper: Any, sample_weight: Any) -> dict[str, Any]:
        """What `fit` of the grouper is given beside X and Y."""
        if sample_weight is None:
            return {}
        if _routing_enabled():
            if self.grouper is None:
                relation, clusterer = steps_of(grouper)
                relation.set_fit_request(sample_weight=True)
                clusterer.set_fit_request(sample_weight=False)
                return {"sample_weight": sample_weight}
            routed = process_routing(self, "fit", sample_weight=sample_weight)
            return routed.grouper.fit
        steps = list(named_steps(grouper))
        # What trains nets on the samples; else the first step, which alone gets the samples.
        given = [prefix for prefix, step in steps if hasattr(step, "count_nets")]
        if not given and has_fit_parameter(steps[0][1], "sample_weight"):
            given = [steps[0][0]]
        elif not given:
            warnings.warn(
                f"{type(steps[0][1]).__name__} takes no sample_weight: groups are found without "
                "weights of samples.",
                UserWarning,
                stacklevel=2,
            )
        return {f"{prefix}sample_weight": sample_weight for prefix in given}

    # -- predicting ----------------------------------------------------------------------------

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "candidates_")
        dataset = TaskDataset(check_inputs(self, X, reset=False))
        learned = np.flatnonzero(self.constant_codes_ == MISSING)
        own = [np.searchsorted(learned, tasks) for tasks in self.candidate_tasks_]
        mixture = Mixture(self.task_outputs_, own)
        pieces = predict_in_pieces(self.candidates_, dataset)
        proba = mixture.predict(pieces, self.serving_weights_[learned], len(dataset))
        for columns, shares in self.class_shares_.values():
            proba[:, columns] = shares
        return proba

    # -- metadata ------------------------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Who gets `sample_weight`; see scikit-learn's user guide on metadata routing."""
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        if hasattr(self.grouper, "fit"):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(grouper=self.grouper, method_mapping=mapping)
        return router


def _of_splits(
    held_out: list[tuple[list[MultiTaskNet], TaskDataset]],
) -> Iterator[tuple[int, slice, NDArray[np.float32]]]:
    """Predictions of the samples held out of each split, one split after the other."""
    n_before = 0
    for nets, dataset in held_out:
        for c, rows, proba in predict_in_pieces(nets, dataset):
            yield c, slice(n_before + rows.start, n_before + rows.stop), proba
        n_before += len(dataset)
