"""`MTGNet`: a small net that predicts the gains of all groups from a few measured ones."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor

from skgroup._compat import Interval, StrOptions
from skgroup._random import draw_seeds, local_seed
from skgroup._state import StoredState
from skgroup.selection.gains._attention import Attention
from skgroup.selection.gains._best_epochs import BestEpochs
from skgroup.selection.gains._gain_predictor import GainPredictor
from skgroup.selection.gains._masks import all_groups, check_gains, check_masks

#: Groups predicted at once.
_BLOCK = 4096


class MTGNet(StoredState, GainPredictor):
    """Predict gains by self-attention among the learned embeddings of a group's tasks.

    Each task has an embedding, the tasks of a group attend to each other (absent ones are
    masked), and a linear head reads one gain off each present task: the idea of MTG-Net [1]_.
    Trained with Adam on the L1 loss over present tasks.

    `MTGNet()` is a smaller and more regular net of this package. `MTGNet.published()` is the one
    of the source, trained as its authors train it.

    Parameters
    ----------
    embedding_dim : int, default=16
    network : {"plain", "published"}, default="plain"
        "plain" is this package's: residual branches without normalisation, a perceptron of twice
        the width with one bias, first predictions near 0, and gains in units of `scale_`.
        "published" is the authors': after each residual branch a layer normalisation, attention
        logits divided by 0.2 (beside the root of the width), biases everywhere, a perceptron as
        wide as the embedding, and gains as they are.
    n_layers : int, default=1
        Blocks of attention and a two-layer perceptron, both residual.
    n_heads : int, default=1
        Attention heads; `embedding_dim` must be a multiple. The authors use one (with more, their
        code mixes tasks and heads).
    dropout : float in [0, 1), default=0.5
        On what each residual branch adds. The authors' code names a rate, but applies none.
    n_nets : int, default=5
        The prediction is the mean of so many nets, which differ in their random numbers and
        train as one stack. The authors have 1.
    n_best_epochs : int, default=None
        A net's prediction is the mean of those with its weights after so many epochs: those of
        lowest training loss (the authors' 2). None: those of the last epoch alone.
    max_epochs : int, default=100
    patience : int, default=None
        A net stops after so many epochs in a row without a new lowest training loss. The authors
        watch that loss, no held-out one. None: never.
    batch_size : int, default=128
        Groups a step.
    lr : float, default=0.01
    weight_decay : float, default=0.0
        Of Adam: times the weights, added to the gradient.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained nets, each parameter with a first axis of `n_nets` (times `n_best_epochs`).
    task_order_ : ndarray of shape (n_tasks,)
        The tasks in the order in which the nets see them. It depends on the gains alone, so
        that a permutation of the tasks permutes the predictions.
    scale_ : float
        What the nets learn is gains divided by it: the mean absolute gain in measured groups of
        two tasks and more; 1 for the published network.
    train_loss_ : ndarray of shape (n_epochs, n_nets)
        L1 loss, in units of gains, of each epoch as it trained; NaN after a net's last epoch.
    n_features_in_ : int
        Number of tasks.

    See Also
    --------
    skgroup.selection.HigherOrderApproximation : Needs all pairs, learns nothing.
    skgroup.selection.read_gain_tables : Published gains to learn from.

    Notes
    -----
    The defaults were tuned on the validation gains of the published ETTm1 table (7 tasks, 127
    groups). The mean of several nets and dropout each raised the correlation with gains that were
    not trained on.

    On the test gains of that table `MTGNet()` is closer and steadier than `MTGNet.published()`,
    whose nets often stop near their random start; the published network trained as ours is as
    close. It is closer than `HigherOrderApproximation` from as many measured groups, but no
    closer than the mean of each task's measured gains, and groups chosen by its predictions are
    no better than those chosen among the measured groups alone
    (`benchmarks/gain_predictors.py`). Look at both on your own table before relying on it.

    The authors' code stores the weights of a good epoch where another one's loss stands, so that
    it does not always keep the two best epochs; here they are the best.

    References
    ----------
    .. [1] X. Song et al., "Efficient and effective multi-task grouping via meta learning on task
       combinations", NeurIPS 2022, section 4, and the code at github.com/ShawnKS/MTG-Net.

    Examples
    --------
    >>> import numpy as np
    >>> from skgroup.selection import MTGNet
    >>> masks = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    >>> gains = np.where(masks, 0.1 * (masks.sum(axis=1, keepdims=True) - 1), np.nan)
    >>> net = MTGNet(max_epochs=20, random_state=0).fit(masks, gains)
    >>> net.predict([[1, 1, 1], [0, 1, 1]]).shape
    (2, 3)
    >>> net.suggest(3, masks, gains)  # singles and pairs were measured
    array([[ True,  True,  True]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "network": [StrOptions({"plain", "published"})],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "n_nets": [Interval(Integral, 1, None, closed="left")],
        "n_best_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        embedding_dim: int = 16,
        *,
        network: str = "plain",
        n_layers: int = 1,
        n_heads: int = 1,
        dropout: float = 0.5,
        n_nets: int = 5,
        n_best_epochs: int | None = None,
        max_epochs: int = 100,
        patience: int | None = None,
        batch_size: int = 128,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.embedding_dim = embedding_dim
        self.network = network
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dropout = dropout
        self.n_nets = n_nets
        self.n_best_epochs = n_best_epochs
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.random_state = random_state

    @classmethod
    def published(cls, embedding_dim: int = 64, **params: Any) -> MTGNet:
        """MTG-Net as published: the authors' network, trained with their settings.

        One net of two layers without dropout, all groups in a step, Adam with a learning rate of
        7e-3 and a weight decay of 5e-4, until the training loss has not fallen for 5 epochs; the
        mean of the predictions of its two best epochs.

        Parameters
        ----------
        embedding_dim : int, default=64
            As in the paper; the authors' code has 128 unless told otherwise.
        **params
            Further parameters, and other values of those above.

        Returns
        -------
        net : MTGNet
        """
        recipe: dict[str, Any] = {"network": "published", "n_layers": 2, "dropout": 0.0}
        recipe |= {"n_nets": 1, "n_best_epochs": 2, "max_epochs": 10_000, "patience": 5}
        recipe |= {"batch_size": 25_000, "lr": 7e-3, "weight_decay": 5e-4}
        return cls(embedding_dim, **{**recipe, **params})

    def _validate_params(self) -> None:
        super()._validate_params()
        if self.embedding_dim % self.n_heads:
            raise ValueError(
                "The 'embedding_dim' parameter of MTGNet must be a multiple of 'n_heads' = "
                f"{self.n_heads}. Got {self.embedding_dim} instead."
            )
        # A net that stops has trained for one epoch more than it waits.
        sure = {"max_epochs": self.max_epochs, "patience + 1": (self.patience or np.inf) + 1}
        fewest = min(sure, key=lambda name: sure[name])
        if self.n_best_epochs is not None and self.n_best_epochs > sure[fewest]:
            raise ValueError(
                f"The 'n_best_epochs' parameter of MTGNet must be at most {fewest} = "
                f"{sure[fewest]}. Got {self.n_best_epochs} instead."
            )

    def _fit(self, masks: NDArray[np.bool_], gains: NDArray[np.float64]) -> dict[str, Any]:
        unseen = np.flatnonzero(~masks.any(axis=0))
        if len(unseen):
            raise ValueError(
                f"MTGNet needs a group with each task to learn from. Got none with task {unseen[0]}"
                "."
            )
        order = _canonical_order(masks, gains)
        several = masks & (masks.sum(axis=1, keepdims=True) > 1)
        scale = 1.0
        if self.network == "plain" and several.any():
            scale = float(np.abs(gains[several]).mean()) or 1.0
        with local_seed(draw_seeds(self.random_state, 1)[0]):
            module = Attention(
                self.n_nets,
                masks.shape[1],
                self.embedding_dim,
                self.n_layers,
                self.n_heads,
                self.dropout,
                published=self.network == "published",
            )
            losses = self._train(
                module,
                torch.from_numpy(masks[:, order]),
                torch.from_numpy(np.where(masks, gains / scale, 0)[:, order]).float(),
            )
        return {
            "module_": module,
            "task_order_": order,
            "scale_": scale,
            "train_loss_": losses * scale,
        }

    def _train(self, module: Attention, masks: Tensor, gains: Tensor) -> NDArray[np.float32]:
        """Make of new nets those to predict with; the loss of each epoch and net."""
        optimizer = torch.optim.Adam(
            module.parameters(), lr=self.lr, weight_decay=self.weight_decay
        )
        kept = BestEpochs(module, self.n_nets, self.n_best_epochs or 1)
        lowest, waited = torch.full((self.n_nets,), torch.inf), torch.zeros(self.n_nets)
        running = torch.ones(self.n_nets, dtype=torch.bool)
        losses: list[Tensor] = []
        for epoch in range(self.max_epochs):
            total, n_entries = torch.zeros(self.n_nets), 0
            for batch in torch.randperm(len(masks)).split(self.batch_size):
                optimizer.zero_grad()
                present = masks[batch]
                error = ((module(present) - gains[batch]).abs() * present).sum(dim=(1, 2))
                (error / present.sum())[running].sum().backward()
                optimizer.step()
                total, n_entries = total + error.detach(), n_entries + int(present.sum())
            loss = total / n_entries
            losses.append(loss.where(running, torch.nan))
            # Without a number of best epochs, the last is the best.
            badness = loss if self.n_best_epochs else torch.full_like(loss, -epoch)
            kept.update(module, badness, running)
            waited = torch.where(loss < lowest, 0, waited + 1)
            lowest = lowest.minimum(loss)
            running = running & (waited < (self.patience or torch.inf))
            if not running.any():
                break
        kept.move_into(module)
        module.eval()
        if not kept.complete or not all(torch.isfinite(p).all() for p in module.parameters()):
            raise ValueError(
                "The training of MTGNet has diverged: its weights are not finite. A lower 'lr' "
                f"than {self.lr} may help."
            )
        return torch.stack(losses).numpy()

    def _predict(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        seen = torch.from_numpy(masks[:, self.task_order_])
        with torch.no_grad():
            parts = [self.module_(part).double().mean(dim=0) for part in seen.split(_BLOCK)]
        gains = np.empty(masks.shape)
        gains[:, self.task_order_] = torch.cat(parts).numpy() * self.scale_
        return gains

    def suggest(
        self, pool: Any, masks: Any = None, gains: Any = None, n_suggestions: int = 1
    ) -> NDArray[np.bool_]:
        """The groups to measure next.

        First the groups of one task and the group of all tasks. Then the tasks take turns: the
        one whose turn it is gets the group that it is in and that has its largest predicted
        |gain|, predicted by a clone of this estimator that is trained on what was measured. The
        tasks that lose most in the group of all tasks come first.

        Parameters
        ----------
        pool : int or array-like of shape (n_pool, n_tasks)
            The number of tasks, for all groups of them, or the groups to choose from.
        masks : array-like of shape (n_groups, n_tasks), default=None
            The groups measured so far.
        gains : array-like of shape (n_groups, n_tasks), default=None
            Their gains.
        n_suggestions : int, default=1
            How many to suggest at once. All come from the same predictions; the fewer, the more
            each can learn from those before it.

        Returns
        -------
        suggested : ndarray of bool, of shape (<= n_suggestions, n_tasks)
            Not yet measured, all different, in the order to measure them. Fewer than asked for
            where nothing was measured that more could be chosen from (some task is in no measured
            group), or the pool is exhausted.

        Raises
        ------
        ValueError
            If an argument is not right, or `pool` is a number of tasks above 16.
        """
        self._validate_params()
        if isinstance(n_suggestions, bool) or not isinstance(n_suggestions, Integral):
            raise ValueError(f"n_suggestions must be an int. Got {n_suggestions!r}.")
        if n_suggestions < 1:
            raise ValueError(f"n_suggestions must be >= 1. Got {n_suggestions}.")
        candidates = all_groups(pool) if isinstance(pool, Integral) else pool
        candidates = check_masks(candidates, name="pool")
        n_tasks = candidates.shape[1]
        if (masks is None) != (gains is None):
            raise ValueError("masks and gains must be given both or neither.")
        measured = np.zeros((0, n_tasks), dtype=bool)
        if masks is not None:
            measured = check_masks(masks, n_tasks)
            gains = check_gains(gains, measured)
        _, first = np.unique(candidates, axis=0, return_index=True)
        candidates = candidates[np.sort(first)]
        known = {mask.tobytes() for mask in measured}
        candidates = candidates[[mask.tobytes() not in known for mask in candidates]]
        sizes = candidates.sum(axis=1)
        start = (sizes == 1) | (sizes == n_tasks)
        # By size, and in the order of the pool, singles come first.
        chosen = np.flatnonzero(start)[np.argsort(sizes[start], kind="stable")][:n_suggestions]
        selected = [candidates[chosen]]
        n_left = int(n_suggestions) - len(chosen)
        candidates = candidates[~start]
        if n_left and len(candidates) and measured.any(axis=0).all():
            predicted = clone(self).fit(measured, gains).predict(candidates)
            strength = np.where(candidates, np.abs(predicted), -np.inf)
            of_measured = measured.sum(axis=1)
            together = of_measured == n_tasks
            turns = np.arange(n_tasks)
            if together.any() and gains is not None:
                turns = np.argsort(gains[together].mean(axis=0), kind="stable")
            turn = int(((of_measured > 1) & ~together).sum())
            for _ in range(min(n_left, len(candidates))):
                # A task with no group left gives its turn to the next.
                order = np.roll(turns, -turn)
                left = np.isfinite(strength[:, order]).any(axis=0)
                skipped = int(left.argmax())
                best = int(strength[:, order[skipped]].argmax())
                selected.append(candidates[[best]])
                strength[best] = -np.inf
                turn += skipped + 1
        return np.concatenate(selected)


def _canonical_order(masks: NDArray[np.bool_], gains: NDArray[np.float64]) -> NDArray[np.intp]:
    """The tasks in an order that depends on nothing but what was measured of them."""
    # Adding 0 makes of -0.0 what it equals.
    columns = np.vstack([np.where(masks, gains, 0.0) + 0.0, masks])
    return np.lexsort(columns[::-1])
