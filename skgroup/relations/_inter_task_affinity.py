"""`InterTaskAffinity`: what a step for one task does to the losses of the others."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skgroup._compat import Interval, StrOptions, _fit_context
from skgroup.relations._affinity import MAX_MEMORY, NetAffinityMixin, TaskProbe
from skgroup.relations.effect import Effect
from skgroup.store import CHECKPOINT
from skgroup.training import MultiTaskNet


class InterTaskAffinity(NetAffinityMixin):
    """Inter-task affinity of TAG: how a step for one task changes the losses of the others.

    While one net trains on all tasks, every `every`-th training step is preceded by a look
    ahead, on its batch: for each task i, the shared parameters θ take a step of gradient descent
    for the loss of task i alone, θ'_i = θ − η ∇L_i(θ), the heads staying as they are, and

        Z[i, j] = 1 − L_j(θ'_i) / L_j(θ)

    is recorded for every task j ([1]_, eq. 1-2). The affinity is the mean of Z over the recorded
    steps; positive where training on i helps j. Training itself goes on as without. With `masks`,
    so is what a step for the summed loss of a set of tasks does to each task.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        The net to train; `MultiTaskNet()` if None.
    masks : {"all", "pairs"}, array-like of shape (n_sets, n_tasks), list or dict, default=None
        Sets of tasks whose effect is measured beside that of single tasks: all 2^n_tasks − 1 of at
        most 10 tasks; single tasks and pairs; or these, one row of 0 and 1 a set, or by name, as
        `[["cat", "dog"], ["cat"]]`. A set takes one step, for the sum of the losses of its tasks,
        as the authors' code does of orders above 1.
    every : int, default=10
        Record at the first training step and at each `every`-th after it.
    method : {"lookahead", "gradient"}, default="lookahead"
        "lookahead" takes the steps. "gradient" is their first-order form
        Z[i, j] ≈ η ∇L_i · ∇L_j / L_j, several times faster.
    momentum : float in [0, 1), default=0.0
        The step is θ'_i = θ − η (m b + ∇L_i), b being the running sum of gradients of the
        training loss at earlier steps, b ← m b + ∇L (torch's SGD momentum, whatever the
        optimizer of the net). The authors' code for CelebA does so with m = 0.9; the paper's
        equation has m = 0.
    scale_by_lr : bool, default=False
        Divide Z by η, as the authors' code does and the paper does not. Matters where the
        learning rate changes while the net trains.
    max_memory : int, default=2**30
        Bytes, about, that the work on one batch may take: two copies of the shared parameters
        and one of the activations for each task or set that is worked on at a time. Where all do
        not fit, they are worked on in turns, at least one at a time. With `method="gradient"`,
        turns cost further backward passes.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. If None, that of the estimator.
    random_state : int, RandomState or None, default=None
        Determines the net. If None, the `random_state` of the estimator does.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    affinity_ : ndarray of shape (n_tasks, n_tasks)
        [i, j]: effect of training on task i upon the loss of task j, a share of that loss
        (divided by η with `scale_by_lr`). 0, with a warning, for a pair without any recorded
        batch in which both tasks have labels.
    n_steps_ : ndarray of shape (n_tasks, n_tasks) of int
        Recorded steps that each pair is the mean of.
    masks_ : ndarray of bool, of shape (n_sets, n_tasks)
        The sets, where `masks` was given; without tasks of a single class.
    set_affinity_ : ndarray of shape (n_sets, n_tasks)
        [s, j]: effect of a step for all tasks of set s upon the loss of task j, a member or not.
        Where some of its tasks have no label in a batch, the step there is for the others.
    epoch_affinity_ : ndarray of shape (n_epochs, n_tasks + n_sets, n_tasks)
        The mean in each epoch, of single tasks and then of sets; NaN where nothing was recorded.
        `of_epochs` makes a relation of some of them.
    epoch_n_steps_ : ndarray of shape (n_epochs, n_tasks + n_sets, n_tasks) of int
    estimator_ : MultiTaskNet
        The trained net.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    Notes
    -----
    η is the learning rate of the net's optimizer at that step (of each parameter, where groups
    of parameters differ; `scale_by_lr` then divides by the largest). The lookahead is plain
    gradient descent with that rate, whatever the optimizer of the net.

    Losses are of logits: a `predict_nonlinearity` of the net changes no affinity.

    The loss of a task is the net's: class weights, sample weights, the mean over the observed
    labels of the batch, of numbers in standard deviations; but without `task_weight`. Forward
    passes before and after the step have the same dropout masks (those of the training step, where
    torch draws the same numbers for a batched module: on the CPU, but for dropout inside of
    attention) and, like the training step, the batch's own statistics in batch normalisation, whose
    running statistics they leave alone.

    Shared parameters are those that the module gives as `shared_parameters` (method or
    attribute); else all outside of its `skgroup.nn.LinearHeads`.

    The authors' code drops what it recorded after the epoch of the best validation loss, b:
    `of_epochs(last=b)`.

    The steps of all tasks and sets are one batched computation (`torch.func.vmap`). Modules with
    convolutions, which that would slow down, and modules that cannot be batched take them one
    after another, with the same result to rounding.

    A gain table of groups: `GroupSelector().fit(affinity.set_affinity_, masks=affinity.masks_)`
    scores each member of a group by the effect of the whole group's step, its own part included
    (as the effects that the paper compares), where `GroupSelector().fit(affinity.affinity_)` takes
    the mean effect of the others.

    References
    ----------
    .. [1] C. Fifty, E. Amid, Z. Zhao, T. Yu, R. Anil, C. Finn, "Efficiently identifying task
       groupings for multi-task learning", NeurIPS 2021, arXiv:2109.04617.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.relations import InterTaskAffinity
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> affinity = InterTaskAffinity(MultiTaskNet(max_epochs=20), random_state=2).fit(X, Y)
    >>> affinity.affinity_.shape
    (3, 3)
    >>> bool(affinity.affinity_[0, 1] > affinity.affinity_[0, 2])
    True

    The first five epochs alone:

    >>> affinity.of_epochs(last=5).affinity_.shape
    (3, 3)

    What a step for tasks 0 and 1 together does, and one for tasks 1 and 2:

    >>> affinity.set_params(masks=[[1, 1, 0], [0, 1, 1]]).fit(X, Y).set_affinity_.shape
    (2, 3)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "masks": [StrOptions({"all", "pairs"}), "array-like", dict, None],
        "every": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"lookahead", "gradient"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "scale_by_lr": ["boolean"],
        "max_memory": [Interval(Integral, 1, None, closed="left")],
        "checkpoint": CHECKPOINT,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        *,
        masks: Any = None,
        every: int = 10,
        method: str = "lookahead",
        momentum: float = 0.0,
        scale_by_lr: bool = False,
        max_memory: int = MAX_MEMORY,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.masks = masks
        self.every = every
        self.method = method
        self.momentum = momentum
        self.scale_by_lr = scale_by_lr
        self.max_memory = max_memory
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _effect(self) -> Effect:
        by_rate = ", divided by the learning rate" * self.scale_by_lr
        return Effect(
            name="inter-task affinity",
            meaning=(
                "mean share of the training loss of task j that one training step for task i "
                f"alone takes off{by_rate}"
            ),
            unit=f"share of the training loss of task j, a step{by_rate}",
        )

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> InterTaskAffinity:
        """Train the net and record the affinities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None

        Returns
        -------
        self : InterTaskAffinity

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, or if the module does
            not say which of its parameters are shared.
        """
        one_step = lookahead_gains if self.method == "lookahead" else first_order_gains

        def measure(probe: TaskProbe) -> Tensor:
            gains = one_step(probe)
            # A learning rate of 0 (warm-up) tells nothing: 0 / 0 does not count.
            return gains / probe.learning_rate if self.scale_by_lr else gains

        self._fit_net(X, y, sample_weight, measure, momentum=float(self.momentum))
        return self


def lookahead_gains(probe: TaskProbe) -> Tensor:
    """Z[s, j] = 1 − L_j(θ'_s) / L_j(θ) of the batch, (n_steps, n_tasks); NaN where undefined."""
    gains = []
    for _, gradients in probe.gradients(probe.columns_of_step):
        moved = {}
        for name, gradient in gradients.items():
            rate = probe.rates[name]
            moved[name] = torch.sub(probe.start[name].detach(), gradient, alpha=rate)
            if name in probe.buffer:
                moved[name].sub_(probe.buffer[name], alpha=rate * probe.momentum)
        gains.append(probe.gains_at(moved))
    return probe.defined(torch.cat(gains))


def first_order_gains(probe: TaskProbe) -> Tensor:
    """η (m b + g_s) · g_j / L_j of the batch, (n_steps, n_tasks); NaN where undefined."""
    gains = probe.of_steps(probe.gram(probe.rates))
    if probe.buffer:
        along = torch.zeros_like(probe.losses)
        for tasks, gradients in probe.gradients():
            for name, gradient in gradients.items():
                rate = probe.rates[name] * probe.momentum
                along[tasks].addmv_(gradient.flatten(1), probe.buffer[name].flatten(), alpha=rate)
        gains = gains + along
    return probe.defined(gains / probe.losses)
