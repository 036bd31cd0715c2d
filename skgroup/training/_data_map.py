"""Data maps: how sure of each training sample's true label a net was, and how steadily."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor

from skgroup.training._layout import OutputLayout

__all__ = ["DataMapRecorder"]


class DataMapRecorder(Callback):
    """Records data maps from the training steps' own forward passes.

    For each task and sample, μ_e = (1/e) Σ_{i≤e} p_i and σ_e = sqrt((1/e) Σ_{i≤e} (p_i − μ_e)²),
    p_i being the probability of the true label that the training step of epoch i computed, in
    train mode and before its update (Swayamdipta et al. 2020, "Dataset Cartography", eq. 1-2).

    Where a label is missing, the probability that the net expects of it stands in: Σ_k p_k² over
    the classes of the task. A sample that was not trained on so far has μ = σ = 0 for every task.

    Parameters
    ----------
    snapshot_epochs : collection of int
        Epochs, counted from 1, after which to hand out the maps. If training ends earlier, they
        are handed out at its end.
    on_snapshot : callable
        Called as `on_snapshot(epoch, mean, std)`, tensors of shape (n_samples, n_tasks).
    """

    def __init__(
        self, snapshot_epochs: Collection[int], on_snapshot: Callable[[int, Tensor, Tensor], None]
    ) -> None:
        self.snapshot_epochs = snapshot_epochs
        self.on_snapshot = on_snapshot

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        codes = X.target["codes"]
        device = net.criterion_.task_weight.device
        self.layout_ = OutputLayout(net.task_outputs_, device)
        self.complete_ = bool((codes >= 0).all())
        self.probability_ = torch.zeros(codes.shape, device=device)
        self.mean_ = torch.zeros_like(self.probability_)
        self.square_ = torch.zeros_like(self.probability_)
        self.visited_ = torch.zeros(len(codes), dtype=torch.bool, device=device)
        self.visits_ = torch.zeros(len(codes), device=device)
        self.epoch_ = self.recorded_ = 0

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, y_pred: Any = None, **kwargs: Any
    ) -> None:
        if not training:
            return
        target = batch[1]
        logits = y_pred.detach()
        codes = target["codes"].to(logits.device)
        index = target["index"].to(logits.device)
        p = self.layout_.true_log_probability(logits, codes).exp()
        if not self.complete_:
            p = torch.where(codes < 0, self.layout_.expected_probability(logits), p)
        self.probability_[index] = p.float()
        self.visited_[index] = True

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        # Welford's update, all samples and tasks at once: sums of squares would cancel.
        self.epoch_ += 1
        self.visits_ += self.visited_
        seen = self.visited_[:, None]
        delta = torch.where(seen, self.probability_ - self.mean_, 0)
        self.mean_ += delta / self.visits_.clamp(min=1)[:, None]
        self.square_ += delta * torch.where(seen, self.probability_ - self.mean_, 0)
        self.visited_.zero_()
        if self.epoch_ in self.snapshot_epochs:
            self._hand_out()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.recorded_ < self.epoch_ < max(self.snapshot_epochs):
            self._hand_out()

    def _hand_out(self) -> None:
        self.recorded_ = self.epoch_
        variance = self.square_ / self.visits_.clamp(min=1)[:, None]
        self.on_snapshot(self.epoch_, self.mean_, variance.clamp_(min=0).sqrt_())
