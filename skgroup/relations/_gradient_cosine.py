"""`GradientCosineAffinity`: the angle between the gradients of tasks."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skgroup._compat import Interval, StrOptions, _fit_context
from skgroup.relations._affinity import MAX_MEMORY, NetAffinityMixin, TaskProbe
from skgroup.relations.effect import Effect
from skgroup.store import CHECKPOINT
from skgroup.training import MultiTaskNet


class GradientCosineAffinity(NetAffinityMixin):
    """Cosine of the gradients of tasks, the "CS" baseline of TAG.

    While one net trains on all tasks, at every `every`-th training step and before its update,

        C[i, j] = ∇L_i · ∇L_j / (‖∇L_i‖ ‖∇L_j‖)

    of the gradients of the tasks' losses for the shared parameters. The affinity is its mean over
    the recorded steps. Other than `InterTaskAffinity` it does not know how large gradients are.
    With `masks`, so are the cosines of the gradient of the summed loss of a set of tasks to that of
    each task.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        The net to train; `MultiTaskNet()` if None.
    masks : {"all", "pairs"}, array-like of shape (n_sets, n_tasks), list or dict, default=None
        Sets of tasks beside single tasks: all 2^n_tasks − 1 of at most 10 tasks; single tasks and
        pairs; or these, one row of 0 and 1 a set, or by name, as `[["cat", "dog"], ["cat"]]`.
    weights_only : bool, default=False
        Leave out biases and shared parameters of a single dimension (scales and shifts of
        normalisation), as the authors' code does and the paper does not say.
    every : int, default=10
        Record at the first training step and at each `every`-th after it.
    max_memory : int, default=2**30
        Bytes, about, that the work on one batch may take; where the gradients of all tasks do
        not fit, they are worked on in turns, which costs further backward passes.
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
        Symmetric, from -1 to 1, with ones on the diagonal. 0, with a warning, for a pair without
        any recorded batch in which both tasks have labels and a gradient.
    n_steps_ : ndarray of shape (n_tasks, n_tasks) of int
        Recorded steps that each pair is the mean of.
    masks_ : ndarray of bool, of shape (n_sets, n_tasks)
        The sets, where `masks` was given; without tasks of a single class.
    set_affinity_ : ndarray of shape (n_sets, n_tasks)
        [s, j]: mean cosine of the gradients of all tasks of set s together and of task j, a member
        or not. Where some of them have no label in a batch, the gradient there is of the others.
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
    Losses and shared parameters are those of `InterTaskAffinity`. The authors record every step.

    `GroupSelector().fit(affinity.set_affinity_, masks=affinity.masks_)` takes the cosines of sets
    as a gain table of groups: how nearly the step of the whole group goes where its member's does,
    1 for a task alone. Within tasks they followed measured gains better than the
    affinities of pairs did (``benchmarks/README.md``).

    References
    ----------
    .. [1] C. Fifty, E. Amid, Z. Zhao, T. Yu, R. Anil, C. Finn, "Efficiently identifying task
       groupings for multi-task learning", NeurIPS 2021, arXiv:2109.04617, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.relations import GradientCosineAffinity
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> affinity = GradientCosineAffinity(MultiTaskNet(max_epochs=5), random_state=2).fit(X, Y)
    >>> bool(affinity.affinity_[0, 1] > affinity.affinity_[0, 2])
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "masks": [StrOptions({"all", "pairs"}), "array-like", dict, None],
        "weights_only": ["boolean"],
        "every": [Interval(Integral, 1, None, closed="left")],
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
        weights_only: bool = False,
        every: int = 10,
        max_memory: int = MAX_MEMORY,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.masks = masks
        self.weights_only = weights_only
        self.every = every
        self.max_memory = max_memory
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _effect(self) -> Effect:
        return Effect(
            name="cosine of gradients",
            meaning="mean cosine of the gradients of tasks i and j for the shared parameters",
            unit="cosine, from -1 to 1",
            rows="task i",
            columns="task j",
            directed=False,
            bound=1.0,
        )

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GradientCosineAffinity:
        """Train the net and record the cosines.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None

        Returns
        -------
        self : GradientCosineAffinity

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, or if the module does
            not say which of its parameters are shared, or `weights_only` leaves none.
        """
        self._fit_net(X, y, sample_weight, cosines, weights_only=self.weights_only)
        return self

    def _summarise(self, expected: NDArray[np.bool_], *, stacklevel: int) -> None:
        np.clip(self.epoch_affinity_, -1, 1, out=self.epoch_affinity_)
        super()._summarise(expected, stacklevel=stacklevel + 1)
        np.fill_diagonal(self.affinity_, 1.0)


def cosines(probe: TaskProbe) -> Tensor:
    """Cosines of steps' and tasks' gradients, (n_steps, n_tasks); NaN where undefined."""
    gram = probe.gram()
    inner = probe.of_steps(gram)
    of_step = (inner * probe.steps).sum(1).sqrt()
    return probe.defined(inner / (of_step[:, None] * gram.diagonal().sqrt()))
