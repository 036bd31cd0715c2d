"""`GroupedMTLClassifier`: groups, a specialist for each, and their weighted ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from skgroup._compat import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    _fit_context,
    _routing_enabled,
)
from skgroup._validation import check_membership, forget_fit, one_hot
from skgroup.cluster import FuzzyKMeans
from skgroup.ensemble._baselines import AllTasks, SingleTasks
from skgroup.relations import TaskGrouper
from skgroup.training import MultiTaskNet
from skgroup.training._classifier import TaskClassifierMixin
from skgroup.training._data import TaskDataset, check_inputs
from skgroup.training._many import STRATEGIES, fit_many, predict_many
from skgroup.training._random import draw_seeds
from skgroup.training._training_data import TrainingData

__all__ = ["GroupedMTLClassifier"]

_DEFAULT_N_GROUPS = 3


class GroupedMTLClassifier(TaskClassifierMixin, BaseEstimator):
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
        `make_pipeline(TaskGrouper(estimator), FuzzyKMeans(n_groups))`.
    n_groups : int, default=None
        Number of groups where `grouper` is None; 1 is plain multi-task learning. None is 3, or
        the number of tasks if there are fewer.
    serving : {"membership"}, default="membership"
        How specialists are weighted in a prediction: by the task's membership (or by the
        `serving_weights_` that the grouper sets).
    min_membership : float, default=0.0
        In [0, 1]. A specialist leaves out the tasks whose share of membership in its group is
        below this (or zero), and the serving weights left are scaled to sum to 1. Every task
        stays in the group that serves it most, and every group keeps its strongest task.
    specialist_init : {"fresh", "relation"}, default="fresh"
        What specialists start from: new weights, or those of the multi-task net that made the
        data maps in the grouper. "relation" wants a `TaskGrouper` with `source="mtl"` and the
        module of `estimator`. With half of the epochs (`specialist_epochs`) it was both cheaper
        and better than "fresh" on the digits tasks (`benchmarks/warm_start.py`).
    specialist_epochs : int, default=None
        Epochs of the specialists; those of the estimator if None.
    strategy : {"auto", "stacked", "sequential"}, default="auto"
        How the specialists train: all at once with stacked parameters, one after another, or
        whichever is faster. What they learn is the same to rounding.
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
        Memberships as the grouper gives them.
    serving_weights_ : ndarray of shape (n_tasks, n_groups)
        How much each specialist counts in a task's prediction; rows sum to 1.
    specialists_ : list of MultiTaskNet, one a group
        Each trained on the tasks that `specialist_tasks_` gives.
    specialist_tasks_ : list of ndarray of int, one a group
        The tasks that each specialist has a head for.
    classes_ : list of ndarray of shape (n_classes,), or one ndarray if `y` was 1-D
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    See Also
    --------
    GroupedMTLClassifier.mtl, GroupedMTLClassifier.stl, GroupedMTLClassifier.mtl_ensemble :
        The baselines.

    Notes
    -----
    `sample_weight` weighs the samples of the specialists and of a `TaskGrouper` in the grouper;
    with scikit-learn's metadata routing enabled, of the steps that request it.

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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "grouper": [HasMethods(["fit"]), "array-like", None],
        "n_groups": [Interval(Integral, 1, None, closed="left"), None],
        "serving": [StrOptions({"membership"})],
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
        n_groups: int | None = None,
        serving: str = "membership",
        min_membership: float = 0.0,
        specialist_init: str = "fresh",
        specialist_epochs: int | None = None,
        strategy: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.grouper = grouper
        self.n_groups = n_groups
        self.serving = serving
        self.min_membership = min_membership
        self.specialist_init = specialist_init
        self.specialist_epochs = specialist_epochs
        self.strategy = strategy
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

    # -- fitting -------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GroupedMTLClassifier:
        """Group the tasks and train the specialists.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`: ints, bools or strings, NaN or None where a label is missing.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : GroupedMTLClassifier

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, or if there are more
            groups than tasks.
        """
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        data = net._check_data(X, y, sample_weight)
        n_tasks = data.table.n_tasks
        grouper = self._check_grouper(net, n_tasks)
        if self.specialist_init == "relation":
            _check_relation(grouper, net)
        state = net.random_state if self.random_state is None else self.random_state
        grouper_seed, specialists_seed = draw_seeds(state, 2)
        # A module or an optimizer that cannot be built shows before the grouper trains.
        clone(net)._prepare(data, seed=0)
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_tasks(data.table)

        self.grouper_ = None
        if hasattr(grouper, "fit"):
            if self.random_state is not None or self.grouper is None:
                _set_random_state(grouper, grouper_seed)
            self.grouper_ = grouper.fit(X, y, **self._grouper_params(grouper, sample_weight))
        found = grouper if self.grouper_ is None else _steps(self.grouper_)[-1]
        self.membership_, serving = _memberships(found, n_tasks)
        kept = _kept(self.membership_, serving, self.min_membership)
        self.serving_weights_ = np.where(kept, serving, 0.0)
        self.serving_weights_ /= self.serving_weights_.sum(axis=1, keepdims=True)
        self._fit_specialists(net, data, kept, specialists_seed)
        return self

    def _check_grouper(self, net: MultiTaskNet, n_tasks: int) -> Any:
        """The grouper, unfitted, or the memberships: checked as far as can be before training."""
        if self.grouper is not None and self.n_groups is not None:
            raise ValueError(
                "The 'n_groups' parameter of GroupedMTLClassifier counts the groups of the default "
                f"grouper and must be None beside a 'grouper'. Got {self.n_groups}; set the number "
                "of groups in the grouper instead."
            )
        if self.grouper is None:
            n_groups = min(_DEFAULT_N_GROUPS, n_tasks) if self.n_groups is None else self.n_groups
            _check_n_groups("n_groups", n_groups, "GroupedMTLClassifier", n_tasks)
            if n_groups == 1:
                return np.ones((n_tasks, 1))
            relation = TaskGrouper(clone(net), verbose=self.verbose)
            return make_pipeline(relation, FuzzyKMeans(n_groups))
        if not hasattr(self.grouper, "fit"):
            return check_membership(self.grouper, n_tasks, name="The given membership")
        grouper = clone(self.grouper)
        steps = list(_steps(grouper))
        for step in steps:
            if hasattr(step, "_parameter_constraints"):
                step._validate_params()
        for name in ("n_clusters", "n_groups"):
            if isinstance(value := getattr(steps[-1], name, None), Integral):
                _check_n_groups(name, int(value), type(steps[-1]).__name__, n_tasks)
        return grouper

    def _grouper_params(self, grouper: Any, sample_weight: Any) -> dict[str, Any]:
        """What `fit` of the grouper is given beside X and Y."""
        if sample_weight is None:
            return {}
        if _routing_enabled():
            if self.grouper is None:
                relation, clusterer = _steps(grouper)
                relation.set_fit_request(sample_weight=True)
                clusterer.set_fit_request(sample_weight=False)
                return {"sample_weight": sample_weight}
            routed = process_routing(self, "fit", sample_weight=sample_weight)
            return routed.grouper.fit
        return {
            f"{prefix}sample_weight": sample_weight
            for prefix, step in _named_steps(grouper)
            if isinstance(step, TaskGrouper)
        }

    def _fit_specialists(
        self, net: MultiTaskNet, data: TrainingData, kept: NDArray[np.bool_], seed: int
    ) -> None:
        n_groups = kept.shape[1]
        of_task = net._check_task_weight(data.table.n_tasks)
        self.specialist_tasks_ = [np.flatnonzero(kept[:, j]) for j in range(n_groups)]
        epochs = net.max_epochs if self.specialist_epochs is None else self.specialist_epochs
        nets = []
        for j, tasks in enumerate(self.specialist_tasks_):
            weight = self.membership_[tasks, j]
            # A group of tasks that weigh nothing is served all the same.
            weight = weight * of_task[tasks] if of_task[tasks].any() else weight
            nets.append(clone(net).set_params(task_weight=weight, max_epochs=epochs))
        # Seeds follow what the groups hold, not their order or that of the tasks.
        seeds = np.empty(n_groups, dtype=np.int64)
        columns = self.membership_[data.table.canonical_tasks()].round(6)
        seeds[np.lexsort(columns[::-1])] = draw_seeds(seed, n_groups)
        self.specialists_, _ = fit_many(
            nets,
            [data.select(tasks) for tasks in self.specialist_tasks_],
            seeds.tolist(),
            start=self._start,
            strategy=self.strategy,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            description="specialists",
        )

    def _start(self, specialist: MultiTaskNet, data: TrainingData) -> None:
        """Give a specialist its first weights."""
        if self.specialist_init == "relation":
            base = next(s for s in _steps(self.grouper_) if isinstance(s, TaskGrouper)).estimator_
            specialist.load_tasks(base, data.tasks)

    # -- predicting ----------------------------------------------------------------------------

    def _flat_proba(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "specialists_")
        dataset = TaskDataset(check_inputs(self, X, reset=False))
        of_specialists = predict_many(self.specialists_, dataset)
        outputs = np.asarray(self.task_outputs_)
        task_of_output = np.repeat(np.arange(self.n_tasks_), outputs)
        proba = np.zeros((len(dataset), len(task_of_output)), dtype=np.float32)
        for j, tasks in enumerate(self.specialist_tasks_):
            columns = np.flatnonzero(np.isin(task_of_output, tasks))
            weight = self.serving_weights_[task_of_output[columns], j].astype(np.float32)
            proba[:, columns] += weight * of_specialists[j]
        # Weights that sum to 1 only to rounding must not carry a probability past 1.
        return np.clip(proba, 0.0, 1.0, out=proba)

    # -- metadata ------------------------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Who gets `sample_weight`; see scikit-learn's user guide on metadata routing."""
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        if hasattr(self.grouper, "fit"):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(grouper=self.grouper, method_mapping=mapping)
        return router


def _check_n_groups(name: str, value: int, owner: str, n_tasks: int) -> None:
    if value > n_tasks:
        raise ValueError(
            f"The '{name}' parameter of {owner} must be at most the number of tasks, {n_tasks}. "
            f"Got {value} instead."
        )


def _check_relation(grouper: Any, net: MultiTaskNet) -> None:
    """Whether specialists can start from the net that makes the data maps."""
    bases = [
        step.estimator or MultiTaskNet()
        for step in (_steps(grouper) if hasattr(grouper, "fit") else [])
        if isinstance(step, TaskGrouper) and step.source == "mtl"
    ]
    rule = "The 'specialist_init' parameter of GroupedMTLClassifier can be 'relation' only "
    if not bases:
        raise ValueError(rule + "where the grouper has a TaskGrouper with source='mtl'.")

    def architecture(of_net: MultiTaskNet) -> str:
        return f"{of_net.module} with {of_net.get_params_for('module')}"

    if architecture(bases[0]) != architecture(net):
        raise ValueError(
            rule + "where the TaskGrouper's estimator has the module of the specialists. Got "
            f"{architecture(bases[0])} there and {architecture(net)} here."
        )


def _named_steps(grouper: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Estimators of a grouper, those of nested pipelines too, with the prefix of their names."""
    if not isinstance(grouper, Pipeline):
        yield prefix, grouper
        return
    for name, step in grouper.steps:
        yield from _named_steps(step, f"{prefix}{name}__")


def _steps(grouper: Any) -> list[Any]:
    return [step for _, step in _named_steps(grouper)]


def _memberships(found: Any, n_tasks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Memberships and serving weights of a fitted grouper, or of an array of memberships."""
    if isinstance(found, np.ndarray):
        membership = found
    elif hasattr(found, "membership_"):
        name = f"membership_ of {type(found).__name__}"
        membership = check_membership(found.membership_, n_tasks, name=name)
    elif hasattr(found, "labels_"):
        if len(found.labels_) != n_tasks:
            raise ValueError(
                f"{type(found).__name__} clustered {len(found.labels_)} rows, but Y has {n_tasks} "
                "tasks. A clusterer groups tasks only behind a relation: "
                f"make_pipeline(TaskGrouper(), {type(found).__name__}(...))."
            )
        membership = one_hot(found.labels_)
    else:
        raise ValueError(
            "The 'grouper' parameter must be an estimator that sets 'membership_' or 'labels_' in "
            f"fit (a Pipeline: its last step). {type(found).__name__} sets neither."
        )
    serving = getattr(found, "serving_weights_", None)
    if serving is None:
        return membership, membership
    name = f"serving_weights_ of {type(found).__name__}"
    serving = np.array(serving, dtype=np.float64)
    if serving.shape != membership.shape or not (serving >= 0).all():
        raise ValueError(
            f"{name} must be >= 0 and of the shape of membership_, {membership.shape}."
        )
    if not (serving > 0).any(axis=1).all() or (serving > 0)[membership == 0].any():
        raise ValueError(f"{name} must serve every task, by groups that the task is a member of.")
    return membership, serving


def _kept(
    membership: NDArray[np.float64], serving: NDArray[np.float64], min_membership: float
) -> NDArray[np.bool_]:
    """Which tasks the specialist of each group has a head for."""
    share = membership / membership.sum(axis=1, keepdims=True)
    kept = share >= min_membership
    kept |= serving == serving.max(axis=1, keepdims=True)
    kept |= membership == membership.max(axis=0, keepdims=True)
    return kept & (membership > 0)


def _set_random_state(grouper: Any, seed: int) -> None:
    """Seed what has no seed of its own, anywhere in the grouper."""
    params = grouper.get_params(deep=True)
    unset = sorted(
        key
        for key, value in params.items()
        if value is None and (key == "random_state" or key.endswith("__random_state"))
    )
    grouper.set_params(**dict(zip(unset, draw_seeds(seed, len(unset)), strict=True)))
