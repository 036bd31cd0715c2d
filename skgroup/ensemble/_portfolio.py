"""`PortfolioClassifier`: any classifiers side by side, weighed for each task."""

from __future__ import annotations

import math
import pickle
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from joblib import delayed
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skgroup._compat import (
    Interval,
    Options,
    RealNotInt,
    StrOptions,
    _BaseComposition,
    _check_sample_weight,
    _fit_context,
    _routing_enabled,
    forget_fit,
)
from skgroup._estimators import pos_label_of
from skgroup._random import draw_seeds
from skgroup.ensemble._grouped import GroupedMTLClassifier
from skgroup.ensemble._groupers import set_random_state
from skgroup.ensemble._members import (
    EncodedTasks,
    Member,
    check_member,
    flat_probabilities,
    try_member,
    weight_parameter,
)
from skgroup.ensemble._serving import learn_serving_weights
from skgroup.ensemble._shares import learn_shares, to_shares
from skgroup.ensemble._threshold import decides, tune_thresholds
from skgroup.metrics.splits import Split, count_splits, held_out_splits
from skgroup.tasks import BINARY, MISSING, OutputLayout, TaskTable, check_tasks, task_label
from skgroup.training import MultiTaskNet
from skgroup.training.classifier import TaskClassifierMixin
from skgroup.training.costs import count_nets
from skgroup.training.data import labels_of, n_samples_of, take_samples
from skgroup.training.processes import in_parallel

#: Trees of the forests among the default members.
_N_TREES = 300
#: Small trees of some of the features: as good as large ones, and a fraction of a forest's time.
_BOOSTING: dict[str, Any] = {"max_leaf_nodes": 7, "max_features": 0.2, "early_stopping": False}
#: Parts of the samples, and how many at least, that a forecast trains on.
_FORECAST_FROM = (16, 8)
_FEWEST = 50
_RULE = (
    "The 'members' parameter of PortfolioClassifier must be a non-empty list of (name, classifier) "
    "pairs"
)


class PortfolioClassifier(TaskClassifierMixin, _BaseComposition):
    """Train several classifiers, and learn for each task how much each of them counts.

    What to use when nothing is known of the tasks: which way to learn them is best differs from
    one set of tasks to the next, and from task to task. Predictions for held-out samples decide:
    each member's probabilities are brought to the scale of the observed shares of classes, the
    weights of members make held-out labels most likely, and the thresholds of binary tasks are
    tuned on what the weighted members give. A member that fails is named in a warning, and the
    others serve without it.

    Parameters
    ----------
    members : list of (str, classifier), default=None
        Named classifiers with `predict_proba`, as in scikit-learn's stacking: `MultiTaskNet`,
        `GroupedMTLClassifier`, any classifier of scikit-learn, pipelines and searches of these;
        "drop" in place of one leaves it out. Estimators of this package learn all tasks and read
        missing labels; others learn all tasks at once where they can and no label is missing,
        else a clone of them learns each task on the samples that have a label of it. None is
        `MultiTaskNet()`, extra trees and a random forest of 300 trees each, and, where X is not
        sparse, histogram boosting; for images, Datasets and dicts of arrays `MultiTaskNet()` and
        `GroupedMTLClassifier()`.
    cv : int, float, splitter, iterable of (train, test) or None, default=5
        The held-out samples: cross-fitting by so many shuffled folds, 5 if None, or by these
        splits; or a share of the samples, drawn once. A sample that holds the only label of a
        class stays with the training part. Beside shuffled folds, forests of scikit-learn with
        bootstrap samples (100 trees or more) are trained once, and judged by their out-of-bag
        predictions.
    threshold : float in (0, 1) or "tuned", default="tuned"
        A binary task's positive class is predicted where its probability is above this. "tuned"
        chooses a threshold a task on held-out samples, pulled towards the one of the best F1 that
        the probabilities promise where positives are few. Where nothing says which class is the
        positive one, it is 0.5.
    threshold_scoring : str or scorer of scikit-learn, default="f1"
        What tuned thresholds maximise. A scorer sees the labels of a task as 0 and 1.
    refit : bool, default=True
        Whether members are trained again on all samples to serve. False serves with those that
        `cv` has trained, by the mean over the splits of their probabilities (which
        `share_maps_` are then applied to): less training, each on less data.
    n_jobs : int, default=None
        Processes for training members and splits side by side (joblib).
    random_state : int, RandomState or None, default=None
        Determines the folds, and whatever `random_state` in the members is None.
    verbose : int, default=0
        1 shows a progress bar over the trainings.

    Attributes
    ----------
    members_ : list of classifier, one a member
        Those that serve, without the dropped and the failed ones; a list of classifiers, one a
        split, in place of each where `refit=False`. A member that learned each task alone has its
        classifiers in `estimators_`.
    member_names_ : ndarray of shape (n_members,) of str
    serving_weights_ : ndarray of shape (n_tasks, n_members)
        How much each member counts in a task's prediction; rows sum to 1, but for 0 of a task of
        a single class, which is predicted by that class.
    share_maps_ : ndarray of shape (n_members, n_outputs, 2)
        Slope (at least 0.1) and intercept that bring the log-odds of a member's probabilities to
        the scale of the observed shares; an output a binary task, and one a class of other tasks.
    thresholds_ : ndarray of shape (n_tasks,)
        Of binary tasks, on the probability of the positive class; NaN for others.
    classes_ : list of ndarray of shape (n_classes,), or one ndarray if `y` was 1-D
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int
        Where `X` has features.

    See Also
    --------
    GroupedMTLClassifier : The paper's method, one way among the members.
    sklearn.ensemble.StackingClassifier : Of a single task, with a model of the members.

    Notes
    -----
    Members see encoded labels: 0, 1, ... in the order of `classes_`, but 1 for the positive class
    of a binary task (whatever `pos_label` members name: the first one counts for all). What they
    say of classes, as `class_weight`, speaks of these. `X` is handed to members as it is, so that
    a pipeline may fill in missing values.

    A member may balance classes or not, and be over-confident or not. So each is brought, a task
    at a time, to one scale by a monotone map, Platt scaling on log-odds; then the weights of
    members for task t maximise the (class-balanced) likelihood of the held-out labels, pulled
    towards equal weights by as much as two samples of the rarest class would.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skgroup import MultiTaskNet, PortfolioClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] * X[:, 2] > 0])
    >>> members = [
    ...     ("net", MultiTaskNet(max_epochs=60, lr=0.02)), ("linear", LogisticRegression())
    ... ]
    >>> clf = PortfolioClassifier(members, random_state=0).fit(X, Y)
    >>> clf.serving_weights_.shape
    (2, 2)
    >>> bool(clf.serving_weights_[1, 0] > 0.9)  # no linear model learns a product
    True
    >>> clf.get_params()["linear__C"]
    1.0
    """

    _of_numbers, _of_any = "GroupedMTLRegressor", "GroupedMTLEstimator"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "members": [list, None],
        "cv": ["cv_object", Interval(RealNotInt, 0, 1, closed="neither")],
        "threshold": [Interval(Real, 0, 1, closed="neither"), StrOptions({"tuned"})],
        "threshold_scoring": [StrOptions(set(get_scorer_names())), callable],
        "refit": ["boolean"],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        members: list[tuple[str, Any]] | None = None,
        *,
        cv: Any = 5,
        threshold: Any = "tuned",
        threshold_scoring: Any = "f1",
        refit: bool = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.members = members
        self.cv = cv
        self.threshold = threshold
        self.threshold_scoring = threshold_scoring
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # -- parameters ----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator and, if `deep`, the members by name and their parameters.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        params : dict
        """
        params: dict[str, Any] = self._get_params("members", deep=deep)
        return params

    def set_params(self, **params: Any) -> PortfolioClassifier:
        """Set parameters, members by name ("drop" leaves one out) or parameters of theirs.

        Parameters
        ----------
        **params
            E.g. `cv=3`, `forest="drop"` or `forest__n_estimators=500`.

        Returns
        -------
        self : PortfolioClassifier
        """
        self._set_params("members", **params)
        return self

    def _named_members(self, X: Any = None) -> dict[str, Any]:
        """Unfitted clones by name, without those that are dropped, checked one by one."""
        if self.members is None:
            return _default_members(X)
        if not _are_pairs(self.members):
            raise ValueError(f"{_RULE}. Got {self.members!r}.")
        self._validate_names([name for name, _ in self.members])
        named = {name: member for name, member in self.members if not _dropped(member)}
        if not named:
            raise ValueError(f"{_RULE} of which some are not dropped. Got {self.members!r}.")
        for name, member in named.items():
            check_member(name, member)
        return {name: clone(member) for name, member in named.items()}

    def forecast(
        self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> dict[str, float]:
        """About how many seconds `fit` will take for each member, in one process.

        Each member is trained on two small parts of the samples, a sixteenth and an eighth (50
        samples at least); the times of larger parts are taken to follow a power of their size.

        Parameters
        ----------
        X, y, sample_weight, groups
            As `fit` takes them.

        Returns
        -------
        seconds : dict of float by the name of the member
            NaN for a member that fails on so few samples.
        """
        self._validate_params()
        # Seeds of its own, so that those of `fit` are what they would have been.
        plan = clone(self).set_params(random_state=0)._plan(X, y, sample_weight, groups)
        n_samples = len(plan.tasks.table.codes)
        order = np.random.default_rng(0).permutation(n_samples)
        sizes = [max(n_samples // k, min(n_samples, _FEWEST)) for k in _FORECAST_FROM]
        forecast = {}
        for member in plan.members:
            small, large = (_seconds(member, plan.X, plan.tasks, order[:n]) for n in sizes)
            steps = np.log(sizes[1] / sizes[0])
            power = np.clip(np.log(large / small) / steps, 0, 2) if steps else 1.0
            of_parts = [
                n_samples if split is None else len(split[0])
                for job, split in self._jobs(plan.members, plan.splits)
                if job is member
            ]
            forecast[member.name] = float(sum(large * (n / sizes[1]) ** power for n in of_parts))
        return forecast

    def count_nets(self, n_tasks: int) -> float:
        """How many nets `fit` will train.

        Parameters
        ----------
        n_tasks : int
            Columns of `Y`. Default members are taken to be those for tables.

        Returns
        -------
        n_nets : float
            NaN if it is not known, as of a member that searches.
        """
        self._validate_params()
        times = count_splits(self.cv) + bool(self.refit)
        return times * sum(count_nets(m, n_tasks) for m in self._named_members().values())

    # -- fitting -------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> PortfolioClassifier:
        """Train the members on parts of the samples, weigh them on the others, train them again.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else all members take
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`: ints, bools or strings, NaN or None where a label is missing. May be
            left out where `X` is a torch Dataset that yields labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Given to every member, and counted in serving weights and thresholds.
        groups : array-like of shape (n_samples,), default=None
            Samples of the same group are held out together.

        Returns
        -------
        self : PortfolioClassifier

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right; if a member is no
            classifier, has no `predict_proba`, or takes no weights where there are some.
        Exception
            What the first member has raised, if all members fail.
        KeyboardInterrupt
            If interrupted. After any error an earlier fit stays as it was.
        """
        plan = self._plan(X, y, sample_weight, groups)
        X, tasks, table = plan.X, plan.tasks, plan.table
        forget_fit(self)
        if not isinstance(X, Dataset | dict):
            validate_data(self, X, skip_check_array=True)
        self._learn_tasks(table)
        fitted, proba = self._cross_fit(plan)
        self.members_ = list(fitted.values())
        self.member_names_ = np.array(list(fitted), dtype=object)
        samples = plan.held_out
        weight = None if plan.sample_weight is None else plan.sample_weight[samples]
        self._weigh(proba, tasks.learned.take(samples), weight, plan.scorer)
        self._decide_at_half(table)
        return self

    def _plan(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> _Plan:
        """Everything checked, and nothing trained."""
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        X = _indexable(X)
        pos_label = pos_label_of(dict(self.members or ())) if _are_pairs(self.members) else None
        table = check_tasks(y, pos_label=pos_label)
        self._check_kinds(table)
        named = self._named_members(X)
        sample_weight, groups = self._check_samples(X, table, sample_weight, groups)
        scorer = self._check_scorer(weighted=sample_weight is not None)
        split_seed, *seeds = draw_seeds(self.random_state, 1 + len(named))
        tasks = EncodedTasks.of(table, y)
        members = self._prepare_members(named, tasks, sample_weight, groups, seeds)
        owner = type(self).__name__
        splits = held_out_splits(self.cv, table, split_seed, owner=owner, groups=groups)
        for member in members:
            try_member(member, X, tasks)
        return _Plan(X, table, tasks, members, splits, sample_weight, scorer)

    def _check_samples(
        self, X: Any, table: TaskTable, sample_weight: Any, groups: Any
    ) -> tuple[NDArray | None, NDArray | None]:
        n_samples = len(table.codes)
        if n_samples_of(X) != n_samples:
            raise ValueError(
                "X and Y must have the same number of samples. Got X with "
                f"{n_samples_of(X)} and Y with {n_samples}."
            )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, table.codes, dtype=np.float64, ensure_non_negative=True
            )
            counted = table.codes[sample_weight > 0].astype(np.float64)
            counted[counted == MISSING] = np.nan
            single = [len(np.unique(c[c == c])) < 2 for c in counted.T] & table.learnable
            if single.any():
                raise ValueError(
                    "sample_weight is refused: every task needs samples of two classes whose "
                    "weight is above 0. There is a single class, or none, of "
                    f"{', '.join(task_label(table.names, t) for t in np.flatnonzero(single))}."
                )
        if groups is not None:
            groups = np.asarray(groups)
            if groups.shape != (n_samples,):
                raise ValueError(
                    f"groups must be of shape (n_samples,) = ({n_samples},). Got {groups.shape}."
                )
        return sample_weight, groups

    def _check_scorer(self, *, weighted: bool) -> Any:
        """The scorer of thresholds; None for F1, which is computed for all tasks at once."""
        if self.threshold != "tuned" or self.threshold_scoring == "f1":
            return None
        scorer = get_scorer(self.threshold_scoring)
        if not decides(scorer, weighted=weighted):
            raise ValueError(
                "The 'threshold_scoring' parameter of PortfolioClassifier must be a scorer of "
                "predicted classes, which thresholds decide, called as scorer(estimator, X, y"
                f"{', sample_weight=...' * weighted}), and return a number. Got "
                f"{self.threshold_scoring!r}."
            )
        return scorer

    def _prepare_members(
        self,
        named: dict[str, Any],
        tasks: EncodedTasks,
        sample_weight: NDArray | None,
        groups: NDArray | None,
        seeds: list[int],
    ) -> list[Member]:
        """Seeded members, and what `fit` of each is given."""
        random_folds = (self.cv is None or isinstance(self.cv, Integral)) and groups is None
        random_folds &= bool(self.refit)
        routed: Any = {}
        if _routing_enabled() and self.members is not None:
            routed = process_routing(self, "fit", sample_weight=sample_weight, groups=groups)
        members = []
        for (name, estimator), seed in zip(named.items(), seeds, strict=True):
            set_random_state(estimator, seed)
            positive = [p for p in estimator.get_params() if p.rpartition("__")[2] == "pos_label"]
            estimator.set_params(**dict.fromkeys(positive))
            params: dict[str, NDArray] = {}
            if routed:
                params = dict(routed[name].fit)
            elif sample_weight is not None:
                key = weight_parameter(estimator)
                if key is None:
                    raise ValueError(
                        f"Member {name!r} of PortfolioClassifier must take sample_weight in fit, "
                        f"as sample_weight is given. {estimator!r} does not (in a pipeline: its "
                        "last step)."
                    )
                params = {key: sample_weight}
            members.append(Member.of(name, estimator, tasks, params, random_folds))
        return members

    def _cross_fit(self, plan: _Plan) -> tuple[dict[str, Any], NDArray[np.float32]]:
        """Fitted members by name, and their probabilities (n_members, n_held_out, n_outputs) for
        the held-out samples of one split after the other; without those that failed."""
        jobs = self._jobs(plan.members, plan.splits)
        sent: list[str] = []
        failed: dict[str, Exception] = {}

        def calls() -> Iterator[Any]:
            for member, split in jobs:
                if member.name not in failed:
                    sent.append(member.name)
                    yield delayed(_try_fit)(member, plan.X, plan.tasks, split)

        fits: dict[str, list[Any]] = {member.name: [] for member in plan.members}
        proba: dict[str, list[NDArray]] = {member.name: [] for member in plan.members}
        with tqdm(total=len(jobs), desc="members", unit="fit", disable=not self.verbose) as bar:
            for i, (fitted, of_part) in enumerate(in_parallel(calls(), self.n_jobs)):
                bar.update()
                if isinstance(fitted, Exception):
                    failed.setdefault(sent[i], fitted)
                    continue
                fits[sent[i]].append(fitted)
                proba[sent[i]] += [] if of_part is None else [of_part]
        left = [member for member in plan.members if member.name not in failed]
        if not left:
            raise next(iter(failed.values()))
        if failed:
            warnings.warn(
                "These members of PortfolioClassifier failed, and the others serve without them: "
                f"{'; '.join(f'{n!r}: {type(e).__name__}: {e}' for n, e in failed.items())}",
                FitFailedWarning,
                stacklevel=5,
            )
        held_out = [
            proba[m.name][0][plan.held_out] if m.out_of_bag else np.concatenate(proba[m.name])
            for m in left
        ]
        serving = {m.name: fits[m.name][-1] if self.refit else fits[m.name] for m in left}
        return serving, np.stack(held_out)

    def _jobs(
        self, members: list[Member], splits: list[Split]
    ) -> list[tuple[Member, Split | None]]:
        """What is fitted: each member on the training part of each split, and on all samples
        (None); on these alone where it predicts out of the bag."""
        every = [*splits, None] if self.refit else splits
        return [(m, s) for s in every for m in members if s is None or not m.out_of_bag]

    def _weigh(
        self,
        proba: NDArray[np.float32],
        table: TaskTable,
        sample_weight: NDArray[np.float64] | None,
        scorer: Any,
    ) -> None:
        """Learn maps, serving weights and thresholds from held-out probabilities of the tasks that
        are learned, (n_members, n_samples, n_outputs)."""
        layout, n_members = table.layout, len(proba)
        self.share_maps_ = np.stack([learn_shares(p, table, sample_weight) for p in proba])
        mapped = np.stack(
            [to_shares(p, maps, layout) for p, maps in zip(proba, self.share_maps_, strict=True)]
        )
        true = np.stack([layout.likelihood(p, table.codes) for p in mapped], axis=2)
        true = np.where(table.codes[:, :, None] == MISSING, np.float32(1), true).transpose(1, 0, 2)
        prior = np.full((table.n_tasks, n_members), 1 / n_members)
        weights = learn_serving_weights(true, prior, table, sample_weight)
        self.thresholds_ = np.full(self.n_tasks_, np.nan)
        learned = self.constant_codes_ == MISSING
        self.serving_weights_ = np.zeros((self.n_tasks_, n_members))
        self.serving_weights_[learned] = weights
        binary = np.append(
            np.flatnonzero(learned)[layout.tasks_of(BINARY)], np.flatnonzero(~learned)
        )
        self.thresholds_[binary] = 0.5 if self.threshold == "tuned" else float(self.threshold)
        if self.threshold == "tuned":
            mixed = _mix(mapped, weights, layout)
            self.thresholds_[learned] = tune_thresholds(mixed, table, scorer, sample_weight)

    def _decide_at_half(self, table: TaskTable) -> None:
        """Thresholds are those of positive classes: tasks of which none is known get 0.5."""
        unknown = np.flatnonzero(table.positive_unknown & table.learnable)
        if self.threshold == 0.5 or len(unknown) == 0:
            return
        self.thresholds_[unknown] = 0.5
        warnings.warn(
            "Nothing says which class of these tasks is the positive one, so that their threshold "
            "is 0.5; encode it as 1, let the labels be an ordered categorical, or set the "
            "'pos_label' parameter of a member: "
            f"{', '.join(task_label(table.names, t) for t in unknown)}.",
            UserWarning,
            stacklevel=4,
        )

    # -- predicting ----------------------------------------------------------------------------

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "members_")
        X = _indexable(X)
        # Of a single dimension, members know a better word.
        if not isinstance(X, Dataset | dict) and getattr(X, "ndim", 2) > 1:
            validate_data(self, X, reset=False, skip_check_array=True)
        learned = self.constant_codes_ == MISSING
        layout = self._layout
        mapped = []
        for name, member, maps in zip(
            self.member_names_, self.members_, self.share_maps_, strict=True
        ):
            fits = member if isinstance(member, list) else [member]
            proba = [flat_probabilities(fit, X, learned, layout, name) for fit in fits]
            mapped.append(to_shares(np.mean(proba, axis=0), maps, layout))
        mixed = _mix(np.stack(mapped), self.serving_weights_[learned], layout)
        # Members know the positive class as code 1.
        flipped = layout.starts[self.positive_codes_[learned] == 0]
        mixed[:, flipped] = 1 - mixed[:, flipped]
        return mixed

    # -- metadata ------------------------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Who gets `sample_weight` and `groups`; see scikit-learn's user guide on metadata
        routing."""
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        for name, member in self.members or ():
            if not _dropped(member):
                mapping = MethodMapping().add(caller="fit", callee="fit")
                router.add(**{name: member}, method_mapping=mapping)
        if hasattr(self.cv, "split"):
            mapping = MethodMapping().add(caller="fit", callee="split")
            router.add(splitter=self.cv, method_mapping=mapping)
        return router

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if _are_pairs(self.members):
            of_members = [
                get_tags(m).input_tags for _, m in self.members or () if hasattr(m, "fit")
            ]
            tags.input_tags.sparse = all(t.sparse for t in of_members)
            # Others fail, and are left out.
            tags.input_tags.allow_nan = any(t.allow_nan for t in of_members)
        return tags


@dataclass(frozen=True)
class _Plan:
    """What `fit` has made of its parameters and data before anything trains."""

    X: Any
    table: TaskTable
    tasks: EncodedTasks
    members: list[Member]
    splits: list[Split]
    sample_weight: NDArray[np.float64] | None
    scorer: Any

    @property
    def held_out(self) -> NDArray[np.intp]:
        """Samples in the order in which the splits hold them out."""
        return np.concatenate([test for _, test in self.splits])


def _seconds(member: Member, X: Any, tasks: EncodedTasks, samples: NDArray[np.intp]) -> float:
    """How long a member trains on some samples."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            member.fit(X, tasks, samples)
    except Exception:  # so few samples may lack a class
        return math.nan
    return time.perf_counter() - start


def _indexable(X: Any) -> Any:
    """What samples can be taken of; all else is left to the members."""
    if X is None:
        raise ValueError("X must hold samples. Got None.")
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError(f"Complex data not supported: X must hold real numbers. Got {X!r}.")
    if isinstance(X, Dataset | Tensor) or (isinstance(X, dict) and not sparse.issparse(X)):
        return X
    return indexable(X)[0]


def _default_members(X: Any) -> dict[str, Any]:
    """Few members of different kinds for tables, nets alone for what trees do not take."""
    if X is None or (not isinstance(X, Dataset | dict) and getattr(X, "ndim", 2) == 2):
        members: dict[str, Any] = {
            "net": MultiTaskNet(),
            "extra_trees": ExtraTreesClassifier(_N_TREES),
            "random_forest": RandomForestClassifier(_N_TREES),
        }
        if not sparse.issparse(X):  # which boosting does not take
            members["boosting"] = HistGradientBoostingClassifier(**_BOOSTING)
        return members
    return {"net": MultiTaskNet(), "groups": GroupedMTLClassifier()}


def _dropped(member: Any) -> bool:
    return isinstance(member, str) and member == "drop"


def _are_pairs(members: Any) -> bool:
    return bool(members) and all(
        isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)
        for pair in members
    )


def _try_fit(
    member: Member, X: Any, tasks: EncodedTasks, split: Split | None
) -> tuple[Any, NDArray[np.float32] | None]:
    """A fitted member and its held-out probabilities, if there are any, or the error."""
    try:
        if split is None:
            return (
                member.fit_out_of_bag(X, tasks)
                if member.out_of_bag
                else (member.fit(X, tasks), None)
            )
        fitted = member.fit(X, tasks, split[0])
        held_out = take_samples(X, split[1])
        learnable, layout = tasks.table.learnable, tasks.learned.layout
        return fitted, flat_probabilities(fitted, held_out, learnable, layout, member.name)
    except Exception as error:  # whatever a member may raise
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # one that cannot come back from a process
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return error, None


def _mix(
    proba: NDArray[np.float32], weights: NDArray[np.float64], layout: OutputLayout
) -> NDArray[np.float32]:
    """Weighted probabilities (n_samples, n_outputs) of members (n_members, n_samples, n_outputs),
    by weights (n_tasks, n_members)."""
    of_outputs = weights[layout.task_of_output].astype(np.float32)
    # Weights that sum to 1 only to rounding must not carry a probability past 1.
    return np.clip(np.einsum("mno,om->no", proba, of_outputs), 0, 1)
