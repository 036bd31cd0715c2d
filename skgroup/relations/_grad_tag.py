"""`GradTAG`: gains of any group of tasks from the linearised net of all tasks."""

from __future__ import annotations

import math
from itertools import combinations
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skgroup._compat import Interval, _fit_context, forget_fit
from skgroup._fit_parts import FitPart, part_of_fit
from skgroup._random import draw_seeds
from skgroup._state import StoredState
from skgroup.metrics.splits import count_splits, held_out_splits
from skgroup.relations._affinity import AffinityMixin, with_constant
from skgroup.relations._linearised import linearise
from skgroup.relations._subset_fits import SubsetFits
from skgroup.relations.effect import GAIN_IN_GROUPS, Effect
from skgroup.store import CHECKPOINT, RunningFit, running_fit
from skgroup.tasks import (
    MISSING,
    as_masks,
    check_masks,
    task_label,
    weights_of_labels,
)
from skgroup.training import MultiTaskNet
from skgroup.training.engine import build_net, check_data, train_net
from skgroup.training.progress import EpochProgress
from skgroup.training.training_data import TrainingData

#: Losses nearer to 0 than this count as this.
_SMALLEST = float(np.finfo(np.float32).eps)


class GradTAG(StoredState, AffinityMixin):
    """Estimate what tasks gain in any group, from one net of all tasks (Grad-TAG).

    A net is trained on all tasks. Around its shared parameters θ its logits are taken as linear,
    z(θ + P w) ≈ z(θ) + w · Pᵀ∇z(θ), where P is a random projection to few dimensions [1]_. Training
    on a group S alone is then a small regression with the logits as offset,

        w_S = argmin_w  mean over t ∈ S of L_t(z + w · Pᵀ∇z)  +  α/2 ‖w‖²,

    logistic of binary tasks, multinomial of multiclass ones, least squares of regression tasks.
    Thousands of groups are fitted at once. The gain of a task in S is (L_{t} − L_S) / L_{t} of
    its held-out losses, as `GroupGains` measures it by training nets.

    `predict(masks)` gives the gains of groups, and `GroupSelector` takes the fitted estimator as
    it is; `affinity_` and `transform` sum them up for each pair of tasks.

    Parameters
    ----------
    estimator : MultiTaskNet, default=None
        The net to train; `MultiTaskNet()` if None. Its `task_weight` counts in the groups too.
    projection_dim : int, default=200
        Dimensions of the random subspace in which the shared parameters move.
    alpha : float, default=0.01
        Penalty of a move. Large values keep predicted gains small.
    n_subsets : int, default=None
        Random groups that `affinity_` is the mean of; 20 times the number of tasks if None.
    subset_size : int, default=None
        Tasks in each of them; a third of the tasks, from 2 to 10, if None.
    cv : float, int, splitter or iterable of (train, test), default=0.2
        Samples that the net is not trained on and losses are of: a share, drawn once; a number of
        folds; or the splits. Gains are means over the splits, each of which trains a net.
    max_memory : int, default=2**28
        Bytes, about, that projected gradients may take, in training as afterwards, and as many for
        the work on them: 4 times `projection_dim` times the number of logits for a sample (and
        member of a net of members). Of more samples than fit, some are drawn at random.
    checkpoint : path, CheckpointFolder or None, default=None
        Folder in which `fit` keeps what it has done, for fits that take long enough to be cut off:
        started again after its process was killed, the same `fit` goes on and ends with the same
        numbers. See `skgroup.store.CheckpointFolder`. If None, that of the estimator.
    random_state : int, RandomState or None, default=None
        Determines splits, nets, projections, subsets and samples. If None, the `random_state` of
        the estimator does.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    affinity_ : ndarray of shape (n_tasks, n_tasks)
        [i, j]: mean gain of task j in the random groups that hold i and j; a pair that is in none
        counts as a group. 0 on the diagonal, and for tasks of a single class.
    subsets_ : ndarray of bool, of shape (n_subsets, n_tasks)
        The random groups.
    losses_alone_ : ndarray of shape (n_tasks, n_splits)
        Held-out loss of each task after a fit to it alone; NaN where no label is held out.
    estimators_ : list of MultiTaskNet
        The trained net of each split.
    fits_ : list
        What `predict` goes by, one a split.
    n_tasks_ : int
    task_names_in_ : ndarray of shape (n_tasks,) of str
        Column names, where `Y` was a DataFrame.
    n_features_in_ : int

    See Also
    --------
    InterTaskAffinity : TAG, of pairs, while the net trains.
    skgroup.selection.ETAP : From affinities and a few measured groups.

    Notes
    -----
    Losses, missing labels, weights of classes and samples, and shared parameters are those of
    `InterTaskAffinity`. Nets are linearised as they predict, without dropout.

    The source moves the net by P w_S and measures it; here its logits are those of the linear
    function, so that a group costs no pass through the net.

    Beside measured gains, those that `predict` gives were far closer than means of `affinity_` over
    the members of a group, which lose how larger groups differ (`benchmarks/gradient_gains.py`):
    let a selector choose by the former, as `skgroup.selection.GradTAGGrouping` does.

    No gradient is ever computed: a dimension of all projected gradients is a directional
    derivative of the logits, one pass through the net for all tasks.

    References
    ----------
    .. [1] D. Li, A. Sharma, H. R. Zhang, "Scalable multitask learning using gradient-based
       estimation of task affinity", KDD 2024, arXiv:2409.06091.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup import MultiTaskNet
    >>> from skgroup.relations import GradTAG
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> Y = np.column_stack([X[:, 0] > 0, X[:, 0] > 0.1, X[:, 1] > 0])
    >>> grad_tag = GradTAG(MultiTaskNet(max_epochs=5), projection_dim=50, random_state=0)
    >>> gains = grad_tag.fit(X, Y).predict([[1, 1, 0], [1, 0, 1]])
    >>> bool(gains[0, 0] > gains[1, 0])
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [MultiTaskNet, None],
        "projection_dim": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "n_subsets": [Interval(Integral, 1, None, closed="left"), None],
        "subset_size": [Interval(Integral, 2, None, closed="left"), None],
        "cv": ["cv_object", Interval(Real, 0, 1, closed="neither")],
        "max_memory": [Interval(Integral, 1, None, closed="left")],
        "checkpoint": CHECKPOINT,
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    #: A net a split.
    _n_fit_parts = None

    def __init__(
        self,
        estimator: MultiTaskNet | None = None,
        *,
        projection_dim: int = 200,
        alpha: float = 0.01,
        n_subsets: int | None = None,
        subset_size: int | None = None,
        cv: Any = 0.2,
        max_memory: int = 2**28,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.projection_dim = projection_dim
        self.alpha = alpha
        self.n_subsets = n_subsets
        self.subset_size = subset_size
        self.cv = cv
        self.max_memory = max_memory
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _effect(self) -> Effect:
        return GAIN_IN_GROUPS

    def _known(self) -> NDArray[np.bool_]:
        return ~np.eye(self.n_tasks_, dtype=bool)

    def count_nets(self, n_tasks: int) -> int:
        """Nets that `fit` trains: one a split, whatever the number of tasks."""
        return count_splits(self.cv)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GradTAG:
        """Train the net and linearise it.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or what else `MultiTaskNet` takes
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            The task table `Y`.
        sample_weight : array-like of shape (n_samples,) or (n_samples, n_tasks), default=None

        Returns
        -------
        self : GradTAG

        Raises
        ------
        ValueError
            Before any training, if a parameter or the data are not right, `projection_dim` is too
            large for `max_memory`, no label of some task is held out, the module does not say which
            of its parameters are shared, or it has an operation without a forward-mode derivative.
        """
        net = MultiTaskNet() if self.estimator is None else clone(self.estimator)
        data = check_data(net, X, y, sample_weight)
        checkpoint = net.checkpoint if self.checkpoint is None else self.checkpoint
        with running_fit(checkpoint, self, data) as running:
            return self._fit(net, data, running)

    def _fit(self, net: MultiTaskNet, data: TrainingData, running: RunningFit) -> GradTAG:
        table = data.all_tasks
        state = net.random_state if self.random_state is None else self.random_state
        (seed,) = running.draw_seeds(state, 1)
        of_curvature = 4 * data.table.n_tasks * int(self.projection_dim) ** 2
        if of_curvature > self.max_memory:
            raise ValueError(
                "The 'projection_dim' parameter of GradTAG must be small enough for the second "
                "derivatives of all tasks, 4 * n_tasks * projection_dim² bytes, to fit into "
                f"'max_memory', {self.max_memory}. Got {self.projection_dim}, for "
                f"{data.table.n_tasks} tasks: {of_curvature} bytes."
            )
        splits = held_out_splits(self.cv, data.table, seed, owner="GradTAG")
        self._check_held_out(data, splits)
        of_affinity, *of_splits = draw_seeds(seed, 1 + len(splits))
        subsets = self._draw_subsets(data.table.n_tasks, of_affinity)
        nets = [clone(net) for _ in splits]
        parts = [
            (data.take(train, net.class_weight), data.take(test, net.class_weight))
            for train, test in splits
        ]
        names = [f"relation, split {k}" for k in range(len(nets))]
        for trained, (train, _), of_split, name in zip(nets, parts, of_splits, names, strict=True):
            with part_of_fit(name):
                build_net(trained, train, of_split)
        first = parts[0][0].take(np.arange(1))
        linearise(nets[0], nets[0].dataset_of(first), [0])  # whether it can be
        forget_fit(self)
        self.__dict__.update(data.inputs)
        self._learn_names(table)
        of_parts = [running.child(f"split{m}") for m in range(len(splits))]
        total = sum(net.max_epochs for net in nets)
        with tqdm(total=total, desc="Grad-TAG", unit="epoch", disable=not self.verbose) as bar:
            progress = [EpochProgress(bar)] if self.verbose else []
            for trained, (train, _), of_part, name in zip(
                nets, parts, of_parts, names, strict=True
            ):
                kept, part = of_part.child("net"), FitPart.of(self).part(name)
                train_net(trained, train, progress, kept, part)
        self.estimators_ = nets
        of_fits = zip(nets, parts, of_splits, of_parts, strict=True)
        self.fits_ = [self._linearise(*of_fit) for of_fit in of_fits]
        one = torch.eye(data.table.n_tasks, dtype=torch.bool)
        losses = [
            fits.losses(one).diagonal().where((fits.held_out.share > 0).any(0), torch.nan)
            for fits in self.fits_
        ]
        self.losses_alone_ = np.full((table.n_tasks, len(splits)), np.nan)
        self.losses_alone_[table.learnable] = torch.stack(losses, 1).double().numpy()
        self.subsets_ = np.zeros((len(subsets), table.n_tasks), dtype=bool)
        self.subsets_[:, table.learnable] = subsets
        self.affinity_ = with_constant(self._mean_gains(subsets), table.learnable)
        return self

    def predict(self, masks: Any) -> NDArray[np.float64]:
        """Gains of any groups.

        Parameters
        ----------
        masks : array-like of shape (n_groups, n_tasks), of bool or of 0 and 1, or groups by name
            As `[["cat", "dog"], ["cat"]]`, or a dict of such lists.

        Returns
        -------
        gains : ndarray of shape (n_groups, n_tasks)
            Shares of the held-out loss that are saved; NaN for absent tasks. A task of a single
            class gains nothing, and does nothing to others.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If a group is empty, or the number of tasks is not that of `fit`.
        """
        check_is_fitted(self)
        check_is_fitted(
            self,
            "fits_",
            msg="This %(name)s was trimmed and keeps nothing to predict from: fit it.",
        )
        names = getattr(self, "task_names_in_", None)
        checked = check_masks(as_masks(masks, self.n_tasks_, names), self.n_tasks_)
        gains = np.where(checked, 0.0, np.nan)
        several = checked[:, self.learnable_]
        rows = several.any(axis=1)
        learned = gains[:, self.learnable_]
        learned[rows] = np.where(several[rows], self._gains(several[rows]), np.nan)
        gains[:, self.learnable_] = learned
        return gains

    def trim(self) -> GradTAG:
        """Forget labels and projected gradients of the training samples, and keep the rest.

        Nothing more can be predicted then; `affinity_`, `losses_alone_` and the nets stay.

        Returns
        -------
        self : GradTAG
            Without `fits_`.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        """
        check_is_fitted(self)
        self.__dict__.pop("fits_", None)
        return self

    def _gains(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Gains in groups of learnable tasks; of no meaning where a task is absent."""
        alone = self.losses_alone_[self.learnable_].T
        wanted = torch.from_numpy(masks)
        losses = np.stack([fits.losses(wanted).double().numpy() for fits in self.fits_])
        gains = (alone[:, None] - losses) / np.maximum(alone, _SMALLEST)[:, None]
        mean: NDArray[np.float64] = np.nanmean(gains, axis=0)
        return mean

    def _mean_gains(self, subsets: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean gain of each task beside each other one, (n_learnable, n_learnable)."""
        together = subsets.T.astype(int) @ subsets
        first, second = np.nonzero(np.triu(together == 0, k=1))
        one = np.eye(len(together), dtype=bool)
        subsets = np.vstack([subsets, one[first] | one[second]])
        if not len(subsets):
            return np.zeros((1, 1))
        gains = np.where(subsets, self._gains(subsets), 0.0)
        together = subsets.T.astype(int) @ subsets
        affinity: NDArray[np.float64] = (subsets.T @ gains) / together
        np.fill_diagonal(affinity, 0.0)
        return affinity

    def _check_held_out(self, data: TrainingData, splits: Any) -> None:
        codes = data.table.codes
        codes = np.where(weights_of_labels(data.weight, len(codes)) > 0, codes, MISSING)
        held_out = np.array([(codes[test] != MISSING).any(axis=0) for _, test in splits])
        missing = np.flatnonzero(~held_out.any(axis=0))
        if len(missing):
            label = task_label(data.table.names, int(missing[0]))
            raise ValueError(
                f"The 'cv' parameter of GradTAG holds out no label of {label}. Got {self.cv!r}."
            )

    def _draw_subsets(self, n_tasks: int, seed: int) -> NDArray[np.bool_]:
        """Different random groups, or all where there are no more than are wanted."""
        size = self.subset_size
        if size is None:
            size = min(n_tasks, max(2, min(10, n_tasks // 3)))
        elif size > n_tasks > 1:
            raise ValueError(
                "The 'subset_size' parameter of GradTAG must be at most the number of tasks that "
                f"are learned, {n_tasks}. Got {size}."
            )
        n_subsets = 20 * n_tasks if self.n_subsets is None else int(self.n_subsets)
        if n_tasks == 1:
            return np.empty((0, 1), dtype=bool)
        if math.comb(n_tasks, size) <= n_subsets:
            drawn = np.array(list(combinations(range(n_tasks), size)))
        else:
            rng, drawn = np.random.RandomState(seed), np.empty((0, size), dtype=np.intp)
            while len(drawn) < n_subsets:
                order = rng.rand(n_subsets, n_tasks).argsort(axis=1)[:, :size]
                drawn = np.vstack([drawn, np.sort(order, axis=1)])
                _, first = np.unique(drawn, axis=0, return_index=True)
                drawn = drawn[np.sort(first)][:n_subsets]
        masks = np.zeros((len(drawn), n_tasks), dtype=bool)
        np.put_along_axis(masks, drawn, True, axis=1)
        return masks

    def _linearise(
        self,
        net: MultiTaskNet,
        parts: tuple[TrainingData, TrainingData],
        seed: int,
        running: RunningFit,
    ) -> SubsetFits:
        of_samples, *of_columns = draw_seeds(seed, 1 + int(self.projection_dim))
        most = {"max_memory": int(self.max_memory) // 2, "sample_seed": of_samples}
        train, held_out = (
            linearise(
                net, net.dataset_of(part), of_columns, **most, running=running.child(f"part{k}")
            )
            for k, part in enumerate(parts)
        )
        given = net.loss_weights_["task_weight"]
        weight = np.ones(train.layout.n_tasks) if given is None else given
        task_weight = torch.as_tensor(weight, dtype=torch.float32)
        return SubsetFits(
            train, held_out, float(self.alpha), task_weight, int(self.max_memory) // 2
        )
