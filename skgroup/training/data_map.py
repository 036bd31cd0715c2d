"""Data maps: how sure of each training sample's true label a net was, and how steadily."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor

from skgroup.tasks import OutputLayout

__all__ = ["DataMapRecorder"]

#: Logits that are turned into probabilities at a time, few enough to stay in the cache.
_CHUNK = 2**16


class DataMapRecorder(Callback):
    """Records data maps from the training steps' own forward passes.

    For each task and sample, μ_e = (1/e) Σ_{i≤e} p_i and σ_e = sqrt((1/e) Σ_{i≤e} (p_i − μ_e)²),
    p_i being the probability of the true label that the training step of epoch i computed, in
    train mode and before its update (Swayamdipta et al. 2020, "Dataset Cartography", eq. 1-2). Of
    a regression task, p_i is the confidence in (0, 1] that `TaskGrouper` tells of; of a soft label
    it is 1 minus how far the predicted probability is from it.

    Where a label is missing, the probability that the net expects of it stands in: Σ_k p_k² over
    the classes of the task, and of a regression or soft task the mean over its samples of the
    epoch. A sample that was not trained on so far has μ = σ = 0 for every task.

    Parameters
    ----------
    snapshot_epochs : collection of int
        Epochs, counted from 1, after which to hand out the maps. If training ends earlier, they
        are handed out at its end.
    on_snapshot : callable
        Called as `on_snapshot(epoch, mean, std)`, tensors of shape (n_samples, n_tasks) that
        training goes on to overwrite.
    ddof : int, default=0
        Taken off the number of epochs that squared deviations are divided by.
    """

    def __init__(
        self,
        snapshot_epochs: Collection[int],
        on_snapshot: Callable[[int, Tensor, Tensor], None],
        *,
        ddof: int = 0,
    ) -> None:
        self.snapshot_epochs = snapshot_epochs
        self.on_snapshot = on_snapshot
        self.ddof = ddof

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        device = next(net.module_.parameters()).device
        values = X.target.get("values")
        values = None if values is None else values.to(device)
        self.begin(net._layout.to(device), X.target["codes"].to(device), values)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, y_pred: Any = None, **kwargs: Any
    ) -> None:
        if training:
            if net.predict_nonlinearity != "auto" or y_pred.dim() == 3:
                # No logits, or those of members, whose mean probability counts.
                y_pred = self.layout_.logits(net._probability(self.layout_, y_pred.detach()))
            self.record(*net.of_all_processes(batch[1]["index"], y_pred.detach()))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.end_epoch()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.end()

    def state_dict(self) -> dict[str, Any]:
        """What was recorded so far, and handed out, for a recording that goes on."""
        names = ("logits_", "mean_", "square_", "visited_", "visits_", "epoch_", "recorded_")
        recorded = {name: vars(self).get(name) for name in names}
        return recorded | {"handed_out": getattr(self.on_snapshot, "__dict__", None)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        for name in state.keys() - {"handed_out"}:
            setattr(self, name, state[name])
        if state["handed_out"]:
            for name, value in state["handed_out"].items():
                setattr(self.on_snapshot, name, value)

    def begin(self, layout: OutputLayout, codes: Tensor, values: Tensor | None = None) -> None:
        """Start a recording of the tasks whose labels are `codes`, (n_samples, n_tasks), and of
        whose regression tasks the standardised numbers are `values`."""
        device = codes.device
        self.layout_ = layout
        self.codes_, self.values_ = codes, values
        self.missing_ = bool((codes < 0).any())
        n_samples = len(codes)
        self.logits_ = torch.zeros(n_samples, self.layout_.n_outputs, device=device)
        self.mean_ = torch.zeros(codes.shape, device=device)
        self.square_ = torch.zeros(codes.shape, device=device)
        self.visited_ = torch.zeros(n_samples, dtype=torch.bool, device=device)
        self.visits_ = torch.zeros(n_samples, device=device)
        self.epoch_ = self.recorded_ = 0

    def record(self, index: Tensor, logits: Tensor) -> None:
        """Put away the logits (batch, n_outputs) of the samples `index`.

        One pass over all of them at the end of the epoch turns them into probabilities more
        cheaply than many passes over small batches.
        """
        index = index.to(self.logits_.device)
        self.logits_.index_copy_(0, index, logits.detach().to(self.logits_.dtype))
        self.visited_.index_fill_(0, index, True)

    def end_epoch(self) -> None:
        """Turn the logits into probabilities and update mean and spread."""
        self.epoch_ += 1
        self.visits_ += self.visited_
        # Usually all samples were visited in every epoch. Else, the share of one that was not
        # is zero: it keeps its mean and spread.
        regular = bool((self.visits_ == self.epoch_).all())
        share: Any = 1 / self.epoch_
        if not regular:
            share = (self.visited_ / self.visits_.clamp(min=1))[:, None]
        expected = self._mean_confidence() if self.missing_ and self.values_ is not None else None
        for rows in self._chunks():
            logits, codes = self.logits_[rows], self.codes_[rows]
            p = self._confidence(rows)
            if self.missing_:
                stands_in = self.layout_.expected_probability(logits)
                if expected is not None:
                    stands_in = torch.where(stands_in.isnan(), expected, stands_in)
                p = torch.where(codes < 0, stands_in, p)
            # Welford's update: sums of squares would cancel.
            delta = p.sub_(self.mean_[rows])
            if regular:
                self.mean_[rows].add_(delta, alpha=share)
                self.square_[rows].addcmul_(delta, delta, value=1 - share)
            else:
                delta.mul_(self.visited_[rows, None])
                self.mean_[rows].addcmul_(delta, share[rows])
                self.square_[rows].addcmul_(delta.square_(), 1 - share[rows])
        self.visited_.zero_()
        if self.epoch_ in self.snapshot_epochs:
            self._hand_out()

    def _chunks(self) -> Iterator[slice]:
        n_rows = max(1, _CHUNK // self.logits_.shape[1])
        for start in range(0, len(self.logits_), n_rows):
            yield slice(start, start + n_rows)

    def _confidence(self, rows: slice) -> Tensor:
        values = None if self.values_ is None else self.values_[rows]
        return self.layout_.true_probability(self.logits_[rows], self.codes_[rows], values)

    def _mean_confidence(self) -> Tensor:
        """Mean over the observed samples of the epoch, (n_tasks,)."""
        total, count = torch.zeros(2, self.codes_.shape[1], device=self.codes_.device)
        for rows in self._chunks():
            counted = (self.codes_[rows] >= 0) & self.visited_[rows, None]
            total += (self._confidence(rows) * counted).sum(0)
            count += counted.sum(0)
        return total / count.clamp(min=1)

    def end(self) -> None:
        """Hand out what training that ended early has left."""
        if self.recorded_ < self.epoch_ < max(self.snapshot_epochs):
            self._hand_out()
        # Several times the maps, which recorders bring back from other processes.
        del self.codes_, self.values_, self.logits_, self.mean_, self.square_

    def _hand_out(self) -> None:
        self.recorded_ = self.epoch_
        # Into the logits, which the next epoch writes anew: fresh memory would cost more than
        # the arithmetic.
        std = self.logits_[:, : self.mean_.shape[1]]
        torch.div(self.square_, (self.visits_ - self.ddof).clamp(min=1)[:, None], out=std)
        self.on_snapshot(self.epoch_, self.mean_, std.sqrt_())
