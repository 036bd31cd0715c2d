"""`PortfolioEstimator`, what all portfolios are: estimators side by side, weighed for each task."""

from __future__ import annotations

import copy
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.utils.data import Dataset

from skgroup._compat import (
    Interval,
    RealNotInt,
    StrOptions,
    _BaseComposition,
    _fit_context,
    _routing_enabled,
    forget_fit,
)
from skgroup._estimators import pos_label_of, set_random_state, weight_parameter
from skgroup._fit_parts import FitPart
from skgroup._random import draw_seeds
from skgroup.ensemble._default_members import default_members
from skgroup.ensemble._deployed import MappedMember, Mixture, member_fit, refuse_other_members
from skgroup.ensemble._encoded_tasks import EncodedTasks, MemberOutputs
from skgroup.ensemble._grouped import GroupedMTLEstimator
from skgroup.ensemble._members import (
    Member,
    check_member,
    try_member,
)
from skgroup.ensemble._plan import Plan, check_all_learned
from skgroup.ensemble._serving import learn_weights, mix
from skgroup.ensemble._shares import learn_shares, to_shares
from skgroup.ensemble._threshold import decides, tune_thresholds
from skgroup.metrics.splits import count_splits, held_out_splits
from skgroup.store import CHECKPOINT, RunningFit, running_fit
from skgroup.tasks import (
    AUTO,
    KINDS,
    OutputLayout,
    TargetScaling,
    TaskTable,
    check_tasks,
    check_weights,
    task_label,
    weights_of_labels,
    weights_of_tasks,
    without_weightless,
)
from skgroup.training.classifier import TaskPredictorMixin
from skgroup.training.costs import count_nets
from skgroup.training.data import labels_of, n_samples_of
from skgroup.training.deployed import Columns
from skgroup.training.processes import N_JOBS


class PortfolioEstimator(TaskPredictorMixin, _BaseComposition):
    """Train several estimators, and learn for each task, of whatever kind, how much each counts.

    `PortfolioClassifier` for tables that hold regression tasks beside tasks with classes. A column
    of floats that are not all whole numbers is a regression task, unless `task_types` says
    otherwise.

    Parameters
    ----------
    members : list of (str, estimator), default=None
        Named estimators; "drop" in place of one leaves it out. `MultiTaskNet`,
        `GroupedMTLEstimator` and `PortfolioEstimator` learn all tasks; what else is a classifier
        (with `predict_proba`) learns the tasks with classes, and a regressor the regression tasks.
        As in `PortfolioClassifier`, others than estimators of this package learn all of these at
        once where they can and no label is missing, else one each. None is `MultiTaskNet()` and
        the other default members of `PortfolioClassifier` and `PortfolioRegressor`, for the kinds
        that there are.
    task_types : str, sequence of str or dict, default="auto"
        The kind of all tasks, of each, or by task; see `MultiTaskNet`. Members are told.
    cv, threshold, threshold_scoring, refit, checkpoint, n_jobs, random_state, verbose
        See `PortfolioClassifier`. Thresholds are those of binary tasks.

    Attributes
    ----------
    members_ : list of estimator, one a member
        Those that serve, without the dropped and the failed ones; a list of estimators, one a
        split, in place of each where `refit=False`. A member that learned each task alone has its
        estimators in `estimators_`.
    member_names_ : ndarray of shape (n_members,) of str
    member_tasks_ : list of ndarray of int, one a member
        The tasks that each member is given.
    serving_weights_ : ndarray of shape (n_tasks, n_members)
        How much each member counts in a task's prediction; rows sum to 1, but for 0 of a task of
        a single class or number, which is predicted. 0 where the task is none of the member's.
    share_maps_ : ndarray of shape (n_members, n_outputs, 2)
        See `PortfolioClassifier`; (1, 0) of regression tasks, which have no map.
    thresholds_ : ndarray of shape (n_tasks,)
        Of binary tasks, on the probability of the positive class; NaN for others.
    classes_ : list of ndarray of shape (n_classes,)
        None in place of the classes of a regression task.
    task_types_ : tuple of str
        The kind of each task: "binary", "multiclass" or "regression".
    target_scaling_ : TargetScaling
        Mean and standard deviation of each regression task: `location` and `scale`, (n_tasks,).
    n_tasks_, task_names_in_, n_features_in_
        See `PortfolioClassifier`.

    See Also
    --------
    PortfolioClassifier : Of tasks with classes alone.
    PortfolioRegressor : Of regression tasks alone.

    Notes
    -----
    Kinds of tasks are decided once, on the whole table. Members see the numbers of regression
    tasks in their units, and encoded labels of the others; their weights are learned as in
    `PortfolioClassifier` and `PortfolioRegressor`.

    `predict` gives each task in its own type: float64, or objects where labels are strings.
    `predict_proba` gives a dict of the tasks with classes, by name. `score` is the mean over tasks
    of F1, or R² of a regression task, for searches; it is no score to report.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression, Ridge
    >>> from skgroup import MultiTaskNet, PortfolioEstimator
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 1] * X[:, 2]])
    >>> members = [
    ...     ("net", MultiTaskNet(max_epochs=60, lr=0.02)),
    ...     ("logistic", LogisticRegression()),
    ...     ("ridge", Ridge()),
    ... ]
    >>> est = PortfolioEstimator(members, random_state=0).fit(X, Y)
    >>> est.serving_weights_ > 0
    array([[ True,  True, False],
           [ True, False,  True]])
    >>> est.task_types_, sorted(est.predict_proba(X[:5]))
    (('binary', 'regression'), [0])
    """

    #: The members.
    _n_fit_parts: ClassVar[int] = 1
    #: What members are, and whether they learn tasks with classes, and regression tasks.
    _sort: ClassVar[str] = "estimator"
    _sorts: ClassVar[tuple[bool, bool]] = (True, True)
    #: Beside the net, of what is no table.
    _grouped: ClassVar[type[GroupedMTLEstimator]] = GroupedMTLEstimator

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "members": [list, None],
        "cv": ["cv_object", Interval(RealNotInt, 0, 1, closed="neither")],
        "threshold": [Interval(Real, 0, 1, closed="neither"), StrOptions({"tuned"})],
        "threshold_scoring": [StrOptions(set(get_scorer_names())), callable],
        "refit": ["boolean"],
        "checkpoint": CHECKPOINT,
        "n_jobs": N_JOBS,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        members: list[tuple[str, Any]] | None = None,
        *,
        task_types: Any = AUTO,
        cv: Any = 5,
        threshold: Any = "tuned",
        threshold_scoring: Any = "f1",
        refit: bool = True,
        checkpoint: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.members = members
        self.task_types = task_types
        self.cv = cv
        self.threshold = threshold
        self.threshold_scoring = threshold_scoring
        self.refit = refit
        self.checkpoint = checkpoint
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

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members by name ("drop" leaves one out) or parameters of theirs.

        Parameters
        ----------
        **params
            E.g. `cv=3`, `forest="drop"` or `forest__n_estimators=500`.

        Returns
        -------
        self : the estimator
        """
        self._set_params("members", **params)
        return self

    def _named_members(self, X: Any = None, table: TaskTable | None = None) -> dict[str, Any]:
        """Unfitted clones by name, without those that are dropped, checked one by one."""
        if self.members is None:
            has_classes = self._sorts if table is None else table.has_classes[table.learnable]
            return default_members(
                X,
                classes=self._sorts[0] and any(has_classes),
                numbers=self._sorts[1] and not all(has_classes),
                grouped=self._grouped,
            )
        rule = (
            f"The 'members' parameter of {type(self).__name__} must be a non-empty list of "
            f"(name, {self._sort}) pairs"
        )
        if not _are_pairs(self.members):
            raise ValueError(f"{rule}. Got {self.members!r}.")
        self._validate_names([name for name, _ in self.members])
        named = {name: member for name, member in self.members if not _dropped(member)}
        if not named:
            raise ValueError(f"{rule} of which some are not dropped. Got {self.members!r}.")
        for name, member in named.items():
            check_member(self._label(name), member, self._sorts)
        return {name: clone(member) for name, member in named.items()}

    def _label(self, name: str) -> str:
        """Who a member is, for messages."""
        return f"Member {name!r} of {type(self).__name__}"

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
        return clone(self)._plan(X, y, sample_weight, groups).forecast()

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
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Train the members on parts of the samples, weigh them on the others, train them again.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else all members take
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`: ints, bools, strings or the numbers of regression tasks, NaN or None
            where a label is missing. May be left out where `X` is a torch Dataset that yields
            labels.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None
            Weights of samples, or of labels as in `MultiTaskNet`: given to every member, of which
            those that know nothing of tasks are then fitted one a task, with its column; and
            counted in serving weights and thresholds.
        groups : array-like of shape (n_samples,), default=None
            Samples of the same group are held out together.

        Returns
        -------
        self : the estimator

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right; if a member is of another
            sort, is a classifier without `predict_proba`, or takes no weights where there are
            some; if no member learns a task.
        Exception
            What the first member has raised, if all members fail, or all that learn a task.
        KeyboardInterrupt
            If interrupted. After any error an earlier fit stays as it was.
        """
        with running_fit(self.checkpoint, self, X, y, sample_weight, groups) as running:
            return self._fit(X, y, sample_weight, groups, running)

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any, running: RunningFit) -> Self:
        state = self.random_state
        if state is None:
            (state,) = running.draw_seeds(None, 1)
        plan = self._plan(X, y, sample_weight, groups, state)
        table = plan.table
        forget_fit(self)
        if not isinstance(plan.X, Dataset | dict):
            validate_data(self, plan.X, skip_check_array=True)
        self._learn_tasks(table)
        self.target_scaling_ = plan.scaling
        part = FitPart.of(self)
        members, fitted, predicted = plan.cross_fit(self.n_jobs, self.verbose, running, part)
        self.members_ = fitted
        self.member_names_ = np.array([member.name for member in members], dtype=object)
        self.member_tasks_ = [np.flatnonzero(member.learns) for member in members]
        samples = plan.held_out
        weight = weights_of_tasks(plan.sample_weight, table.learnable)
        weight = None if weight is None else weight[samples]
        # Soft labels count as pairs of hard ones.
        held_out, weight, rows = plan.tasks.learned.take(samples).hardened(weight)
        self._weigh([outputs[rows] for outputs in predicted], held_out, weight, plan.scorer)
        self._decide_at_half(table)
        return self

    def _plan(self, X: Any, y: Any, sample_weight: Any, groups: Any, random_state: Any = 0) -> Plan:
        """Everything checked, and nothing trained."""
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        X = _indexable(X)
        pos_label = pos_label_of(dict(self.members or ())) if _are_pairs(self.members) else None
        table = check_tasks(y, pos_label=pos_label, task_types=self.task_types)
        self._check_kinds(table)
        named = self._named_members(X, table)
        table, sample_weight, groups = self._check_samples(X, table, sample_weight, groups)
        scorer = self._check_scorer(weighted=sample_weight is not None)
        split_seed, *seeds = draw_seeds(random_state, 1 + len(named))
        tasks = EncodedTasks.of(table, y)
        scaling = table.target_scaling(sample_weight)
        members = self._prepare_members(named, tasks, scaling, sample_weight, groups, seeds)
        owner = type(self).__name__
        check_all_learned(members, table, owner)
        splits = held_out_splits(self.cv, table, split_seed, owner=owner, groups=groups)
        for member in members:
            try_member(member, X)
        refit = bool(self.refit)
        return Plan(owner, X, table, tasks, scaling, members, splits, refit, sample_weight, scorer)

    def _check_kinds(self, table: TaskTable) -> None:
        if self.threshold != "tuned" and not table.has_classes.any():
            raise ValueError(
                f"The 'threshold' parameter of {type(self).__name__} is of binary tasks. "
                f"{task_label(table.names, 0)} of Y, as all others, is a regression task. Got "
                f"{self.threshold!r}: leave it as it is."
            )

    def _check_samples(
        self, X: Any, table: TaskTable, sample_weight: Any, groups: Any
    ) -> tuple[TaskTable, NDArray | None, NDArray | None]:
        """The table without labels of weight 0, checked weights and groups."""
        n_samples = len(table.codes)
        if n_samples_of(X) != n_samples:
            raise ValueError(
                "X and Y must have the same number of samples. Got X with "
                f"{n_samples_of(X)} and Y with {n_samples}."
            )
        if sample_weight is not None:
            sample_weight = check_weights(sample_weight, table)
            table = without_weightless(table, sample_weight)
            counted = weights_of_labels(sample_weight, n_samples) > 0
            met = [(table.of_class(k) * counted).any(axis=0) for k in range(table.width)]
            scaling = table.target_scaling(sample_weight)
            several = np.where(table.has_classes, np.sum(met, axis=0) > 1, scaling.known)
            single = ~several & table.learnable
            if single.any():
                raise ValueError(
                    "sample_weight is refused: every task needs samples of two classes, or with "
                    "two numbers, whose weight is above 0. There is a single one, or no class or "
                    "number at all, of "
                    f"{', '.join(task_label(table.names, t) for t in np.flatnonzero(single))}."
                )
        if groups is not None:
            groups = np.asarray(groups)
            if groups.shape != (n_samples,):
                raise ValueError(
                    f"groups must be of shape (n_samples,) = ({n_samples},). Got {groups.shape}."
                )
        return table, sample_weight, groups

    def _check_scorer(self, *, weighted: bool) -> Any:
        """The scorer of thresholds; None for F1, which is computed for all tasks at once."""
        if self.threshold != "tuned" or self.threshold_scoring == "f1":
            return None
        scorer = get_scorer(self.threshold_scoring)
        if not decides(scorer, weighted=weighted):
            raise ValueError(
                f"The 'threshold_scoring' parameter of {type(self).__name__} must be a scorer of "
                "predicted classes, which thresholds decide, called as scorer(estimator, X, y"
                f"{', sample_weight=...' * weighted}), and return a number. Got "
                f"{self.threshold_scoring!r}."
            )
        return scorer

    def _prepare_members(
        self,
        named: dict[str, Any],
        tasks: EncodedTasks,
        scaling: TargetScaling,
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
                        f"{self._label(name)} must take sample_weight in fit, as sample_weight is "
                        f"given. {estimator!r} does not (in a pipeline: its last step)."
                    )
                params = {key: sample_weight}
            members.append(
                Member.of(name, self._label(name), estimator, tasks, scaling, params, random_folds)
            )
        return members

    def _weigh(
        self,
        predicted: list[NDArray[np.float32]],
        table: TaskTable,
        sample_weight: NDArray[np.float64] | None,
        scorer: Any,
    ) -> None:
        """Learn maps, serving weights and thresholds from held-out outputs of each member,
        (n_samples, n_outputs of its tasks), and the labels of the tasks that are learned."""
        layout, learned = table.layout, self._learned
        tasks = [self._places(of_member) for of_member in self.member_tasks_]
        self.share_maps_ = np.tile([1.0, 0.0], (len(predicted), layout.n_outputs, 1))
        mapped = []
        for maps, of_member, part in zip(self.share_maps_, tasks, predicted, strict=True):
            own = table.select(of_member)
            columns = layout.columns_of(of_member)
            of_own = weights_of_tasks(sample_weight, of_member)
            maps[columns] = learn_shares(part, own, of_own)
            mapped.append(to_shares(part, maps[columns], own.layout))
        scaling = self.target_scaling_.select(learned)
        weights = learn_weights(mapped, tasks, table, scaling, sample_weight)
        self.serving_weights_ = np.zeros((self.n_tasks_, len(predicted)))
        self.serving_weights_[learned] = weights
        self.thresholds_ = np.full(self.n_tasks_, np.nan)
        self._learn_thresholds(mapped, tasks, table, sample_weight, scorer)

    def _learn_thresholds(
        self,
        mapped: list[NDArray[np.float32]],
        tasks: list[NDArray[np.intp]],
        table: TaskTable,
        sample_weight: NDArray[np.float64] | None,
        scorer: Any,
    ) -> None:
        learned = self._learned
        binary = np.array([KINDS[name].has_two_classes for name in self.task_types_])
        tuned = self.threshold == "tuned"
        self.thresholds_[binary] = 0.5 if tuned else float(self.threshold)
        if tuned and binary[learned].any():
            mixed = self._mixed(mapped, tasks, table.layout)
            self.thresholds_[learned] = tune_thresholds(mixed, table, scorer, sample_weight)

    def _places(self, tasks: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where tasks stand among those that are learned; the others are left out."""
        return np.flatnonzero(np.isin(self._learned, tasks))

    def _mixed(
        self, mapped: list[NDArray[np.float32]], tasks: list[NDArray[np.intp]], layout: OutputLayout
    ) -> NDArray[np.float32]:
        """The weighted outputs (n_samples, n_outputs) of members."""
        pieces = ((m, slice(None), part) for m, part in enumerate(mapped))
        weights = self.serving_weights_[self._learned]
        return mix(layout, tasks, weights, pieces, len(mapped[0]))

    def _decide_at_half(self, table: TaskTable) -> None:
        """Thresholds are those of positive classes: tasks of which none is known get 0.5."""
        unknown = np.flatnonzero(table.positive_unknown & table.learnable)
        if len(unknown) == 0 or self.threshold == 0.5:
            return
        self.thresholds_[unknown] = 0.5
        warnings.warn(
            "Nothing says which class of these tasks is the positive one, so that their threshold "
            "is 0.5; encode it as 1, let the labels be an ordered categorical, or set the "
            "'pos_label' parameter of a member: "
            f"{', '.join(task_label(table.names, t) for t in unknown)}.",
            UserWarning,
            stacklevel=5,
        )

    # -- predicting ----------------------------------------------------------------------------

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "members_")
        X = _indexable(X)
        # Of a single dimension, members know a better word.
        if not isinstance(X, Dataset | dict) and getattr(X, "ndim", 2) > 1:
            validate_data(self, X, reset=False, skip_check_array=True)
        layout, learned = self._layout, self._learned
        tasks = [self._places(of_member) for of_member in self.member_tasks_]
        mapped = []
        for m, (name, member) in enumerate(zip(self.member_names_, self.members_, strict=True)):
            fits = member if isinstance(member, list) else [member]
            outputs = self._outputs_of(self.member_tasks_[m])
            parts = [outputs.read(fit, X, self._label(name)) for fit in fits]
            maps = self.share_maps_[m, layout.columns_of(tasks[m])]
            mapped.append(to_shares(np.mean(parts, axis=0), maps, outputs.layout))
        mixed = self._mixed(mapped, tasks, layout)
        # Members know the positive class as code 1.
        flipped = layout.starts[self.positive_codes_[learned] == 0]
        mixed[:, flipped] = 1 - mixed[:, flipped]
        return mixed

    def _outputs_module(self, *, logits: bool = False) -> nn.Module:
        layout, learned = self._layout, self._learned
        tasks = [self._places(of_member) for of_member in self.member_tasks_]
        fits = {
            name: member if isinstance(member, list) else [member]
            for name, member in zip(self.member_names_, self.members_, strict=True)
        }
        refuse_other_members(fits, type(self).__name__, named=self.members is not None)
        parts = []
        for m, (name, of_member) in enumerate(fits.items()):
            outputs = self._outputs_of(self.member_tasks_[m])
            modules = [member_fit(fit, outputs, self._label(name)) for fit in of_member]
            maps = self.share_maps_[m, layout.columns_of(tasks[m])]
            parts.append(MappedMember(modules, maps, outputs.layout))
        mixed = Mixture(parts, tasks, self.serving_weights_[learned], layout)
        scale, shift = np.ones(layout.n_outputs), np.zeros(layout.n_outputs)
        flipped = layout.starts[self.positive_codes_[learned] == 0]
        scale[flipped], shift[flipped] = -1.0, 1.0
        return nn.Sequential(mixed, Columns(np.arange(layout.n_outputs), scale, shift))

    def _for_task(self, task: int) -> Self:
        serves = self.serving_weights_[task] > 0
        serves[0] |= not serves.any()
        alone = copy.copy(self)
        members = np.flatnonzero(serves)
        alone.members_ = [self.members_[m] for m in members]
        alone.member_tasks_ = [self.member_tasks_[m] for m in members]
        alone.member_names_ = self.member_names_[members]
        alone.share_maps_ = self.share_maps_[members]
        alone.serving_weights_ = self.serving_weights_[:, members]
        return alone

    def _outputs_of(self, tasks: NDArray[np.intp]) -> MemberOutputs:
        """How predictions of a member that learned these tasks are read."""
        places = self._places(tasks)
        layout, learned = self._layout, self._learned
        return MemberOutputs(
            tuple(self.task_types_[t] for t in tasks),
            np.isin(tasks, learned),
            OutputLayout(
                [layout.task_outputs[i] for i in places], [layout.task_types[i] for i in places]
            ),
            self.target_scaling_.select(learned[places]),
        )

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


def _indexable(X: Any) -> Any:
    """What samples can be taken of; all else is left to the members."""
    if X is None:
        raise ValueError("X must hold samples. Got None.")
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError(f"Complex data not supported: X must hold real numbers. Got {X!r}.")
    if isinstance(X, Dataset | Tensor) or (isinstance(X, dict) and not sparse.issparse(X)):
        return X
    return indexable(X)[0]


def _dropped(member: Any) -> bool:
    return isinstance(member, str) and member == "drop"


def _are_pairs(members: Any) -> bool:
    return bool(members) and all(
        isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)
        for pair in members
    )
