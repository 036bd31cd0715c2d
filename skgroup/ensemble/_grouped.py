"""`GroupedMTLClassifier` and kin: groups, a specialist for each, and their weighted ensemble."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from torch import nn

from skgroup._compat import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    _routing_enabled,
    forget_fit,
    only_watched,
)
from skgroup._estimators import (
    check_groups_a_table,
    check_parameters,
    named_steps,
    set_random_state,
    steps_of,
)
from skgroup._fit_parts import FitPart
from skgroup._html import GroupsReprMixin
from skgroup.cluster import FuzzyKMeans
from skgroup.cluster.memberships import HardLabelsMixin, read_membership
from skgroup.ensemble._baselines import AllTasks, SingleTasks
from skgroup.ensemble._deployed import Mixture
from skgroup.ensemble._groupers import (
    Groups,
    base_net,
    check_n_groups,
    check_relation,
    number_of_groups,
    of_learnable,
    read_groups,
)
from skgroup.ensemble._serving import (
    check_mixing,
    check_serving,
    given_serving,
    mix,
    serving_weights,
)
from skgroup.ensemble._specialists import plan_specialists, train_specialists
from skgroup.ensemble._trial import (
    known_groups,
    may_be_kept,
    try_grouper,
    try_nets,
    try_stack,
)
from skgroup.relations import TaskGrouper
from skgroup.selection import GroupSelector
from skgroup.store import CHECKPOINT, RunningFit, handed_on, running_fit
from skgroup.tasks import AUTO, REGRESSION, TaskTable, names_in_groups, take_tasks
from skgroup.training import MultiTaskNet
from skgroup.training.classifier import (
    TaskClassifierMixin,
    TaskPredictorMixin,
    TaskRegressorMixin,
)
from skgroup.training.costs import count_nets
from skgroup.training.data import TaskDataset, check_inputs, labels_of, take_samples
from skgroup.training.deployed import outputs_module
from skgroup.training.engine import (
    STRATEGIES,
    build_net,
    check_callbacks_travel,
    check_data,
    predict_in_pieces,
    predict_many,
    task_weights,
)
from skgroup.training.processes import N_JOBS
from skgroup.training.training_data import TrainingData, takes_checked_data

_DEFAULT_N_GROUPS = 3
#: Samples that a `predict_nonlinearity` of the user's is tried on.
_N_TRIED = 256


class GroupedMTLEstimator(GroupsReprMixin, HardLabelsMixin, TaskPredictorMixin, BaseEstimator):
    """Learn which tasks belong together, of whatever kinds, and train a specialist for each group.

    `GroupedMTLClassifier` for tables that hold regression tasks beside tasks with classes. A column
    of floats that are not all whole numbers is a regression task, unless the `task_types` of the
    estimator says otherwise.

    Parameters
    ----------
    estimator, grouper, n_groups, min_membership, specialist_init, specialist_epochs, strategy, \
            serving, mixing, pos_label, n_jobs, random_state, checkpoint, verbose
        See `GroupedMTLClassifier`.

    Attributes
    ----------
    classes_ : list of ndarray of shape (n_classes,)
        None in place of the classes of a regression task.
    task_types_ : tuple of str
        The kind of each task: "binary", "multiclass" or "regression".
    target_scaling_ : TargetScaling
        Mean and standard deviation of each regression task: `location` and `scale`, (n_tasks,).
    grouper_, membership_, labels_, group_names_, serving_weights_, specialists_, \
            specialist_tasks_, class_shares_, n_tasks_, task_names_in_, n_features_in_
        See `GroupedMTLClassifier`.

    See Also
    --------
    GroupedMTLClassifier : Of tasks with classes alone.
    GroupedMTLRegressor : Of regression tasks alone.

    Notes
    -----
    `predict` gives each task in its own type: float64, or objects where labels are strings.
    `predict_proba` gives a dict of the tasks with classes, by name. `score` is the mean over tasks
    of F1, or R² of a regression task, for searches; it is no score to report.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import GroupedMTLEstimator, MultiTaskNet
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] + 10, X[:, 1] > 0])
    >>> net = MultiTaskNet(max_epochs=40)
    >>> est = GroupedMTLEstimator(net, n_groups=2, random_state=0).fit(X, Y)
    >>> est.task_types_
    ('binary', 'regression', 'binary')
    >>> sorted(est.predict_proba(X[:5]))
    [0, 2]
    >>> bool(est.score(X, Y) > 0.9)
    True
    """

    #: What `task_types="auto"` of the net stands for.
    _reads: ClassVar[str] = AUTO
    #: The relation and the specialists.
    _n_fit_parts: ClassVar[int] = 2

    class_shares_: dict[int, tuple[slice, NDArray[np.float32]]]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "grouper": [HasMethods(["fit"]), "array-like", dict, None],
        "n_groups": [Interval(Integral, 1, None, closed="left"), None],
        "min_membership": [Interval(Real, 0, 1, closed="both")],
        "specialist_init": [StrOptions({"fresh", "relation"})],
        "specialist_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "strategy": [StrOptions(set(STRATEGIES))],
        "serving": [StrOptions({"membership", "uniform", "hard"}), "array-like"],
        "mixing": [StrOptions({"probability", "logit"})],
        "n_jobs": N_JOBS,
        "random_state": ["random_state"],
        "checkpoint": CHECKPOINT,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        grouper: Any = None,
        *,
        n_groups: int | None = None,
        min_membership: float = 0.0,
        specialist_init: str = "fresh",
        specialist_epochs: int | None = None,
        strategy: str = "auto",
        serving: Any = "membership",
        mixing: str = "probability",
        pos_label: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        checkpoint: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.grouper = grouper
        self.n_groups = n_groups
        self.min_membership = min_membership
        self.specialist_init = specialist_init
        self.specialist_epochs = specialist_epochs
        self.strategy = strategy
        self.serving = serving
        self.mixing = mixing
        self.pos_label = pos_label
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose

    # -- baselines -----------------------------------------------------------------------------

    @classmethod
    def mtl(cls, estimator: MultiTaskNet | None = None, **params: Any) -> Self:
        """One net for all tasks: plain multi-task learning."""
        return cls(estimator, n_groups=1, **_without_groups(params))

    @classmethod
    def stl(cls, estimator: MultiTaskNet | None = None, **params: Any) -> Self:
        """One net a task: single-task learning."""
        return cls(estimator, SingleTasks(), **_without_groups(params))

    @classmethod
    def mtl_ensemble(
        cls, n_nets: int, estimator: MultiTaskNet | None = None, **params: Any
    ) -> Self:
        """The mean of `n_nets` multi-task nets: what as many specialists cost, without groups."""
        if not isinstance(n_nets, Integral) or isinstance(n_nets, bool) or n_nets < 1:
            raise ValueError(
                f"n_nets of mtl_ensemble must be an int of at least 1. Got {n_nets!r}."
            )
        return cls(estimator, AllTasks(n_nets), **_without_groups(params))

    def count_nets(self, n_tasks: int) -> dict[str, int]:
        """How many nets `fit` will train.

        Parameters
        ----------
        n_tasks : int
            Columns of `Y`.

        Returns
        -------
        counts : dict of str to int
            "relation": nets that find the groups; "specialists"; "total". At most so many where
            the grouper chooses at most `n_groups`. Where the grouper does not say how many groups
            it finds, those of the last `fit` count.

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
        names = getattr(self, "task_names_in_", names_in_groups(self.grouper, n_tasks))
        grouper = self._check_grouper(net, int(n_tasks), names)
        if not hasattr(grouper, "fit"):
            n_relation, n_groups = 0.0, grouper.shape[1]
        else:
            n_relation = count_nets(grouper, n_tasks)
            n_groups = self._count_groups(grouper, n_tasks)
        if np.isnan(n_relation):
            raise ValueError(
                f"How many nets the 'grouper' parameter of {type(self).__name__} trains must be "
                f"said by a method count_nets of its steps. Got {grouper!r}."
            )
        total = int(n_relation) + n_groups
        return {"relation": int(n_relation), "specialists": n_groups, "total": total}

    def _count_groups(self, grouper: Any, n_tasks: int) -> int:
        last = steps_of(grouper)[-1]
        if number := number_of_groups(last, n_tasks):
            return number[1]
        if hasattr(self, "membership_"):
            return self.membership_.shape[1]
        raise ValueError(
            f"The number of groups that {type(last).__name__} finds is known only after fit."
        )

    # -- fitting -------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Group the tasks and train the specialists.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`: ints, bools or strings, NaN or None where a label is missing. May be
            left out where `X` is a torch Dataset that yields labels.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None

        Returns
        -------
        self : the estimator

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right; if there are more
            groups than tasks, or the grouper leaves none (what follows a relation of this package
            is tried on a made-up one); if specialists may leave tasks out and the module cannot be
            built for some of the tasks; if `strategy="stacked"` cannot be; if weights given as
            `serving` do not fit the tasks, or the groups, as far as these are known. Before the
            specialists train, if they do not fit the groups that are found.
        KeyboardInterrupt
            If interrupted. After any error an earlier fit stays as it was.
        """
        net, grouper, data, y, serving = self._check(X, y, sample_weight)
        self._try(net, grouper, data, y)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_tasks(data.all_tasks)
        self.target_scaling_ = data.all_tasks.target_scaling(data.all_weight)

        checkpoint = net.checkpoint if self.checkpoint is None else self.checkpoint
        with running_fit(checkpoint, self, data) as running:
            state = net.random_state if self.random_state is None else self.random_state
            grouper_seed, specialists_seed = running.draw_seeds(state, 2)
            self.grouper_ = None
            if hasattr(grouper, "fit"):
                weight = None if sample_weight is None else data.weight
                X = data.alone() if takes_checked_data(steps_of(grouper)[0]) else X
                of_grouper = (grouper, X, y, weight, grouper_seed, running.child("grouper"))
                self.grouper_ = running.stage("grouper", partial(self._fit_grouper, *of_grouper))
            grouped = grouper if self.grouper_ is None else steps_of(self.grouper_)[-1]
            groups = read_groups(grouped, data.table.n_tasks, self.min_membership)
            weights = serving_weights(serving, groups, data.table.names)
            planned = plan_specialists(groups, task_weights(net, data), specialists_seed)
            # Rows of all tasks of Y: no group holds those that are not learned.
            learned = self._learned
            self.membership_ = self._rows_of_all(groups.membership)
            given, names = self._given_groups(self.n_tasks_, data.all_tasks.names, self._is_learned)
            if names is not None:
                self.group_names_ = names[(given[learned] > 0).any(axis=0)]
            relation = self.specialist_init == "relation"
            part = FitPart.of(self).part("specialists", len(planned), ordered=False)
            with part.running():
                self.specialists_ = train_specialists(
                    planned,
                    self._specialist(net),
                    data,
                    base=base_net(self.grouper_, fitted=True) if relation else None,
                    group_names=getattr(self, "group_names_", None),
                    strategy=self.strategy,
                    n_jobs=self.n_jobs,
                    verbose=self.verbose,
                    checkpoint=running.child("specialists"),
                    part=part,
                )
        self.serving_weights_ = self._rows_of_all(weights)
        self.specialist_tasks_ = [learned[one.tasks] for one in planned]
        self._mixes_logits = self.mixing == "logit"
        self._learn_shares(data.table, learned)
        return self

    def _fit_grouper(
        self, grouper: Any, X: Any, y: Any, weight: Any, seed: int, checkpoint: RunningFit
    ) -> Any:
        if self.random_state is not None or self.grouper is None:
            set_random_state(grouper, seed)
        params = self._grouper_params(grouper, weight)
        part = FitPart.of(self).part("relation")
        with handed_on(grouper, checkpoint), part.handed_to(grouper), part.running():
            fitted = grouper.fit(X, y, **params)
        if self.grouper is None:
            # Numbers of each sample and task, which nobody has asked to be kept.
            del steps_of(fitted)[0].data_map_
        return fitted

    def _rows_of_all(self, of_learned: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.zeros((self.n_tasks_, of_learned.shape[1]))
        rows[self._learned] = of_learned
        return rows

    def _check(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[MultiTaskNet, Any, TrainingData, Any, Any]:
        """The net, the grouper, the checked data, for the grouper the labels of the tasks that are
        learned, and the rule of the serving weights, or weights of these tasks."""
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        if self.pos_label is not None:
            net.set_params(pos_label=self.pos_label)
        if isinstance(net.task_types, str) and net.task_types == AUTO:
            net.set_params(task_types=self._reads)
        check_callbacks_travel([net], self.n_jobs)
        data = check_data(net, X, y, sample_weight)
        table = data.all_tasks
        self._check_kinds(table)
        grouper = self._check_grouper(net, table.n_tasks, table.names, table.learnable)
        if self.specialist_init == "relation":
            check_relation(grouper, net)
        check_mixing(self.mixing, table.has_classes & table.learnable, type(self).__name__)
        _, group_names = self._given_groups(table.n_tasks, table.names, table.learnable)
        serving = given_serving(self.serving, grouper, table, self.min_membership, group_names)
        if data.whole is not None:
            grouper = of_learnable(grouper, table)
            y = take_tasks(labels_of(X) if y is None else y, table.learnable)
        return net, grouper, data, y, serving

    def _try(self, net: MultiTaskNet, grouper: Any, data: TrainingData, y: Any) -> None:
        """Refuse what cannot be built, or leaves no groups, before the grouper trains."""
        n_tasks, n_samples = data.table.n_tasks, len(data.table.codes)
        tried = build_net(clone(net), data, seed=0)
        if net.predict_nonlinearity != "auto":
            some = np.arange(min(_N_TRIED, n_samples))
            (proba,) = predict_many([tried], TaskDataset(take_samples(data.X, some)))
            pieces, weights = [(0, slice(None), proba)], np.ones((n_tasks, 1))
            mix(data.table.layout, [np.arange(n_tasks)], weights, pieces, len(some))
        if self.grouper is not None and hasattr(grouper, "fit"):
            try_grouper(grouper, n_tasks, n_samples, y)
        specialist = self._specialist(net)
        if specialist.max_epochs != net.max_epochs:
            build_net(clone(specialist).set_params(task_weight=None), data, seed=0)
        kept = known_groups(grouper, n_tasks, self.min_membership)
        if kept is None:
            kept = may_be_kept(n_tasks)
        start = base_net(grouper) if self.specialist_init == "relation" else None
        try_nets(net, data, kept, start=start)
        if self.strategy == "stacked":
            if not only_watched(self):
                raise ValueError(
                    f"The 'strategy' parameter of {type(self).__name__} must not be 'stacked' "
                    "where callbacks other than scikit-learn's ProgressBar are set, which may look "
                    "into nets or end their training."
                )
            try_stack(net, data, kept)

    def _specialist(self, net: MultiTaskNet) -> MultiTaskNet:
        """What specialists are clones of."""
        if self.specialist_epochs is None:
            return net
        return clone(net).set_params(max_epochs=self.specialist_epochs)

    def _learn_shares(self, table: TaskTable, learned: NDArray[np.intp]) -> None:
        """What is predicted of tasks that no specialist serves: how frequent their classes are."""
        self.class_shares_ = {}
        unserved = np.flatnonzero(~(self.serving_weights_[learned] > 0).any(axis=1))
        layout = table.layout
        for t in unserved:
            columns = layout.columns_of([int(t)])
            shares = layout.kinds[t].shares(table.truth(int(t)), len(table.classes[t]))
            self.class_shares_[int(learned[t])] = (slice(columns[0], columns[-1] + 1), shares)
        if len(unserved):
            names = learned[unserved] if table.names is None else table.names[unserved]
            warnings.warn(
                "No group holds these tasks, so that their predicted probabilities are the shares "
                "of their classes in Y (of a regression task its mean), the same for every sample: "
                f"{', '.join(map(str, names))}.",
                UserWarning,
                stacklevel=5,
            )

    def _check_grouper(
        self, net: MultiTaskNet, n_tasks: int, task_names: Any = None, learnable: Any = True
    ) -> Any:
        """The grouper, unfitted, or the memberships: checked as far as can be before training."""
        if self.grouper is not None and self.n_groups is not None:
            raise ValueError(
                f"The 'n_groups' parameter of {type(self).__name__} counts the groups of the "
                f"default grouper and must be None beside a 'grouper'. Got {self.n_groups}; set "
                "the number of groups in the grouper instead."
            )
        if self.grouper is None:
            return self._default_grouper(net, n_tasks)
        if not hasattr(self.grouper, "fit"):
            return self._given_groups(n_tasks, task_names, learnable)[0]
        grouper = clone(self.grouper)
        steps = list(steps_of(grouper))
        check_groups_a_table(grouper, type(self).__name__)
        check_parameters(grouper)
        if isinstance(steps[-1], GroupSelector):
            steps[-1].check(n_tasks, task_names)
        if isinstance(grouper, AllTasks | SingleTasks):
            return grouper.of_tasks(n_tasks)
        if number := number_of_groups(steps[-1], n_tasks):
            check_n_groups(*number, type(steps[-1]).__name__, n_tasks)
        return grouper

    def _given_groups(
        self, n_tasks: int, task_names: NDArray[np.object_] | None, learnable: Any
    ) -> tuple[Any, NDArray[np.object_] | None]:
        """Memberships that are given, and the names of their groups; None where there are none."""
        if self.grouper is None or hasattr(self.grouper, "fit"):
            return None, None
        owner = f"The 'grouper' parameter of {type(self).__name__}"
        return read_membership(
            self.grouper, n_tasks, owner=owner, task_names=task_names, all_tasks=learnable
        )

    def _default_grouper(self, net: MultiTaskNet, n_tasks: int) -> Any:
        """The grouper that `n_groups` stands for; memberships where there is one group."""
        n_groups = min(_DEFAULT_N_GROUPS, n_tasks) if self.n_groups is None else int(self.n_groups)
        check_n_groups("n_groups", n_groups, type(self).__name__, n_tasks)
        if n_groups == 1:
            return AllTasks().of_tasks(n_tasks)
        relation = TaskGrouper(clone(net), output="isometric", verbose=self.verbose)
        return make_pipeline(relation, FuzzyKMeans(n_groups))

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

    @property
    def _predicted_at_a_time(self) -> int:
        return self.specialists_[0].prediction_batch_size

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "specialists_")
        dataset = TaskDataset(
            check_inputs(self, X, reset=False, missing=self.specialists_[0].scaling_ is not None)
        )
        learned, tasks = self._learned, self._places()
        logits = self._mixes_logits
        pieces = predict_in_pieces(self.specialists_, dataset, logits=logits)
        weights = self.serving_weights_[learned]
        proba = mix(self._layout, tasks, weights, pieces, len(dataset), logits=logits)
        for columns, shares in self.class_shares_.values():
            proba[:, columns] = shares
        return proba

    def _places(self) -> list[NDArray[np.intp]]:
        """Where the tasks of each specialist stand among those that are learned."""
        return [np.searchsorted(self._learned, of_net) for of_net in self.specialist_tasks_]

    def _outputs_module(self, *, logits: bool = False) -> nn.Module:
        return Mixture(
            [outputs_module(net, logits=self._mixes_logits) for net in self.specialists_],
            self._places(),
            self.serving_weights_[self._learned],
            self._layout,
            logits=self._mixes_logits,
            fixed=self.class_shares_.values(),
        )

    def _for_task(self, task: int) -> Self:
        serves = self.serving_weights_[task] > 0
        serves[0] |= not serves.any()
        alone = copy.copy(self)
        nets = np.flatnonzero(serves)
        alone.specialists_ = [self.specialists_[j] for j in nets]
        alone.specialist_tasks_ = [self.specialist_tasks_[j] for j in nets]
        alone.serving_weights_ = self.serving_weights_[:, nets]
        return alone

    def with_serving(self, serving: Any = None, mixing: str | None = None) -> Self:
        """The same specialists, combined in another way: nothing is trained.

        Parameters
        ----------
        serving, mixing
            As in the constructor. What is left out stays as it is.

        Returns
        -------
        combined : fitted estimator
            A copy that shares the specialists and predicts as if `fit` had been given these
            parameters.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If a parameter is not right, or does not fit the groups.
        """
        check_is_fitted(self, "specialists_")
        combined = copy.copy(self)
        serving = self.serving if serving is None else serving
        mixing = self.mixing if mixing is None else mixing
        combined.serving, combined.mixing = serving, mixing
        combined._validate_params()
        learned = self._learned
        has_classes = np.array([self.task_types_[t] != REGRESSION.name for t in learned])
        check_mixing(mixing, has_classes, type(self).__name__)
        names = getattr(self, "task_names_in_", None)
        if not isinstance(serving, str):
            group_names = getattr(self, "group_names_", None)
            serving = check_serving(serving, names, self._is_learned, group_names)[learned]
        grouped = self.membership_[learned]
        if self.grouper_ is not None:
            grouped = steps_of(self.grouper_)[-1]
        groups = read_groups(grouped, len(learned), 0.0)
        kept = np.stack([np.isin(learned, of_net) for of_net in self.specialist_tasks_], axis=1)
        groups = Groups(groups.membership, kept, np.where(kept, groups.serving, 0.0))
        names = None if names is None else names[learned]
        combined.serving_weights_ = self._rows_of_all(serving_weights(serving, groups, names))
        combined._mixes_logits = mixing == "logit"
        return combined

    # -- metadata ------------------------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Who gets `sample_weight`; see scikit-learn's user guide on metadata routing."""
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        if hasattr(self.grouper, "fit"):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(grouper=self.grouper, method_mapping=mapping)
        return router


class GroupedMTLClassifier(TaskClassifierMixin, GroupedMTLEstimator):
    """Learn which tasks belong together, train a specialist for each group, predict with all.

    The grouper gives each task i a membership w_ij in each group j. The specialist of group j is
    a net trained on the loss Σ_i w_ij · L_i; a task is predicted by Σ_j w_ij · P_j, P_j being the
    specialists' probabilities (Hadamard ensemble [1]_).

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        What specialists are clones of; `MultiTaskNet()` if None.
    grouper : estimator, Pipeline, array-like or dict, default=None
        Anything whose `fit(X, Y)` leaves `membership_`, or `labels_` of tasks (scikit-learn's
        clusterers), in its last step; or the memberships themselves, of shape (n_tasks, n_groups);
        or a partition: the group of each task, (n_tasks,), or a dict of group to the names of its
        tasks (positions where `Y` has no names), of which one may be in several groups, to equal
        shares. None is
        `make_pipeline(TaskGrouper(estimator, output="isometric"), FuzzyKMeans(n_groups))`, of which
        the data maps are not kept: a grouper that is given keeps them.
    n_groups : int or None, default=None
        Number of groups where `grouper` is None; 1 is plain multi-task learning. None is 3, or
        the number of tasks if there are fewer.
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
    serving : {"membership", "uniform", "hard"} or array-like of shape (n_tasks, n_groups), \
            default="membership"
        What the specialists count in a task's prediction: its memberships (or what the grouper
        sets as its `serving_weights_`), equally much, the strongest of these alone, or weights that
        are given, rows of a DataFrame matched by the names of tasks. Specialists that leave the
        task out do not count, and rows are scaled to sum to 1. Changes no training:
        `with_serving` has a fitted classifier predict in another way.
    mixing : {"probability", "logit"}, default="probability"
        What is averaged with these weights. The authors' code mixes logits (those of the
        probabilities, where the net has members or a `predict_nonlinearity`); numbers are averaged
        either way.
    pos_label : label, dict of label by task, or None, default=None
        The positive class of binary tasks, which F1 and class weights speak of; see
        `MultiTaskNet`. None is what the estimator has.
    n_jobs : int, default=None
        Processes for training the specialists (joblib, or a cluster by its `parallel_config`).
    random_state : int, RandomState or None, default=None
        Determines the specialists, and whatever `random_state` in the grouper is None. If None,
        the `random_state` of the estimator determines the specialists.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. Of it, the grouper is kept when it is fitted,
        specialists when they are finished, and the state of those that train. Steps of the grouper
        that have no `checkpoint` of their own have their part of it. If None, that of the
        estimator.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    grouper_ : estimator or None
        The fitted grouper; None where memberships are known without one: given, a single group,
        or the baselines.
    membership_ : ndarray of shape (n_tasks, n_groups)
        Memberships as the grouper gives them; 0 for a task of a single class, of which nothing is
        learned: it is predicted by that class, and no group holds it; a group of such tasks
        alone is left out.
    labels_ : ndarray of shape (n_tasks,)
        The group that each task belongs to most (of several, which serves it most); -1 where no
        group holds it.
    group_names_ : ndarray of shape (n_groups,) of str
        Where the given `grouper` names the groups: the keys of a dict, labels that are strings, the
        columns of a DataFrame.
    serving_weights_ : ndarray of shape (n_tasks, n_groups)
        How much each specialist counts in a task's prediction, see `serving`. Rows sum to 1.
    specialists_ : list of MultiTaskNet, one a group
    specialist_tasks_ : list of ndarray of int, one a group
        The tasks that each specialist has a head for.
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
    PortfolioClassifier : Several kinds of nets and other classifiers, weighed for each task.

    Notes
    -----
    Callbacks of the estimator, which are skorch's, hear of the nets of the relation and of each
    specialist, see `MultiTaskNet`. Those of scikit-learn (`set_callbacks`, from 1.9 on) hear of a
    tree: relation and specialists, each net and its epochs, stacked or in processes too, of the
    nets that `max_propagation_depth` reaches. `ScoringMonitor` scores the fitted estimator; set on
    the net, each net after each epoch. Nets train as a stack beside a `ProgressBar`, one after
    another beside callbacks that may look into them or end their training.

    `sample_weight` weighs the samples of the specialists and of the relation in the grouper;
    with scikit-learn's metadata routing enabled, of the steps that request it.

    The defaults are the method of the paper: four nets.

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

    _of_numbers, _of_any = "GroupedMTLRegressor", "GroupedMTLEstimator"


class GroupedMTLRegressor(TaskRegressorMixin, GroupedMTLEstimator):
    """Learn which regression tasks belong together, and train a specialist for each group.

    `GroupedMTLClassifier` for tasks that are numbers, ints too: specialists minimise squared errors
    in standard deviations of each task, and predictions come back in its units.

    Parameters
    ----------
    estimator, grouper, n_groups, min_membership, specialist_init, specialist_epochs, strategy, \
            serving, n_jobs, random_state, checkpoint, verbose
        See `GroupedMTLClassifier`.

    Attributes
    ----------
    target_scaling_ : TargetScaling
        Mean and standard deviation of each task: `location` and `scale`, (n_tasks,).
    grouper_, membership_, labels_, group_names_, serving_weights_, specialists_, \
            specialist_tasks_, class_shares_, n_tasks_, task_names_in_, n_features_in_
        See `GroupedMTLClassifier`.

    See Also
    --------
    GroupedMTLEstimator : Of tasks of several kinds.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import GroupedMTLRegressor, MultiTaskNet
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0], X[:, 0] + X[:, 1], 100 * X[:, 2]])
    >>> net = MultiTaskNet(max_epochs=40)
    >>> reg = GroupedMTLRegressor(net, n_groups=2, random_state=0).fit(X, Y)
    >>> reg.predict(X[:5]).shape
    (5, 3)
    >>> bool(reg.score(X, Y) > 0.9)
    True
    """

    _of_any = "GroupedMTLEstimator"
    _reads = REGRESSION.name
    mixing = "probability"  # numbers have no logits
    pos_label = None

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        grouper: Any = None,
        *,
        n_groups: int | None = None,
        min_membership: float = 0.0,
        specialist_init: str = "fresh",
        specialist_epochs: int | None = None,
        strategy: str = "auto",
        serving: Any = "membership",
        n_jobs: int | None = None,
        random_state: Any = None,
        checkpoint: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.grouper = grouper
        self.n_groups = n_groups
        self.min_membership = min_membership
        self.specialist_init = specialist_init
        self.specialist_epochs = specialist_epochs
        self.strategy = strategy
        self.serving = serving
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose


def _without_groups(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a baseline, which has its groups already."""
    for name in ("grouper", "n_groups"):
        if name in params:
            raise TypeError(f"A baseline has its groups: {name!r} cannot be given.")
    return params
