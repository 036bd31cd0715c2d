"""`GradientCosineAffinity`: the angle between the gradients of tasks."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from skgroup._compat import Interval, _fit_context
from skgroup.relations._affinity import MAX_MEMORY, NetAffinityMixin, TaskProbe
from skgroup.training import MultiTaskNet


class GradientCosineAffinity(NetAffinityMixin):
    """Cosine of the gradients of tasks, the "CS" baseline of TAG.

    While one net trains on all tasks, at every `every`-th training step and before its update,

        C[i, j] = ∇L_i · ∇L_j / (‖∇L_i‖ ‖∇L_j‖)

    of the gradients of the tasks' losses for the shared parameters. The affinity is its mean over
    the recorded steps. Other than `InterTaskAffinity` it does not know how large gradients are.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        The net to train; `MultiTaskNet()` if None.
    every : int, default=10
        Record at the first training step and at each `every`-th after it.
    max_memory : int, default=2**30
        Bytes, about, that the work on one batch may take; where the gradients of all tasks do
        not fit, they are worked on in turns, which costs further backward passes.
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
    estimator_ : MultiTaskNet
        The trained net.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    Notes
    -----
    Losses and shared parameters are those of `InterTaskAffinity`.

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
        "every": [Interval(Integral, 1, None, closed="left")],
        "max_memory": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        *,
        every: int = 10,
        max_memory: int = MAX_MEMORY,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.every = every
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GradientCosineAffinity:
        """Train the net and record the cosines.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : GradientCosineAffinity

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, or if the module does
            not say which of its parameters are shared.
        """
        self._fit_net(X, y, sample_weight, cosines, max_memory=int(self.max_memory))
        np.clip(self.affinity_, -1, 1, out=self.affinity_)
        np.fill_diagonal(self.affinity_, 1.0)
        return self


def cosines(probe: TaskProbe) -> Tensor:
    """Cosines of the tasks' gradients on the batch, (n_tasks, n_tasks); NaN where undefined."""
    gram = probe.gram()
    norm = gram.diagonal().sqrt()
    return probe.defined(gram / (norm[:, None] * norm))
