"""Multiclass tasks: k classes, k outputs, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from skgroup.tasks._kind import INSIDE, Kind, check_smoothing, shares_of_classes


class Multiclass(Kind):
    """Tasks of more than two classes: an output a class.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        In the loss, a label is its class with a share of 1 - ε, and each of k classes with ε / k.
    """

    name = "multiclass"
    single_output = False

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self._smoothing = check_smoothing(label_smoothing)

    def n_outputs(self, n_classes: int) -> int:
        return n_classes

    def n_classes(self, n_outputs: int) -> int:
        return n_outputs

    def balanced_weights(
        self, counts: NDArray[np.float64], positive: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        # Class k weighs n / (n_classes · n_k).
        n_classes = np.sum(~np.isnan(counts), axis=1, keepdims=True)
        total = np.nansum(counts, axis=1, keepdims=True)
        return np.divide(total, n_classes * counts, out=np.ones_like(counts), where=counts > 0)

    def log_likelihood(self, logits: Tensor, truth: Tensor) -> Tensor:
        log_probability = F.log_softmax(logits, dim=-1)
        of_label = _of_label(log_probability, truth)
        if not self._smoothing:
            return of_label
        there = logits > -torch.inf  # not what a task of fewer classes is filled up with
        of_all = log_probability.masked_fill(~there, 0.0).sum(-1) / there.sum(-1)
        of_all = of_all.masked_fill(truth < 0, 0.0)
        return (1 - self._smoothing) * of_label + self._smoothing * of_all

    def confidence(self, logits: Tensor, truth: Tensor) -> Tensor:
        return _of_label(F.log_softmax(logits, dim=-1), truth).exp()

    def expected_confidence(self, logits: Tensor) -> Tensor:
        return (2 * F.log_softmax(logits, dim=-1)).exp().sum(-1)

    def probability(self, logits: Tensor) -> Tensor:
        return F.log_softmax(logits, dim=-1).exp()

    def logits(self, probability: Tensor) -> Tensor:
        return torch.log(probability.clamp(*INSIDE))

    def likelihood(self, probability: NDArray, codes: NDArray[np.intp]) -> NDArray:
        code = np.maximum(codes, 0)[..., None]
        return np.take_along_axis(probability, code, axis=-1)[..., 0]

    def decide(self, probability: Any, threshold: Any, first_is_positive: Any) -> Any:
        return probability.argmax(-1)

    def of_classes(self, probability: NDArray) -> NDArray:
        return probability

    def of_outputs(self, of_classes: NDArray) -> NDArray:
        return of_classes

    def events(self, codes: NDArray[np.integer], n_outputs: int) -> NDArray[np.bool_]:
        events: NDArray[np.bool_] = codes[:, None] == np.arange(n_outputs)
        return events

    def rescaled(self, probability: NDArray) -> NDArray:
        return probability / probability.sum(axis=1, keepdims=True)

    def scored_classes(self, n_classes: int, positive: int) -> NDArray[np.intp]:
        return np.arange(n_classes)

    def shares(self, truth: NDArray, n_classes: int) -> NDArray[np.float32]:
        return shares_of_classes(truth, n_classes)


def _of_label(log_probability: Tensor, truth: Tensor) -> Tensor:
    """That of the true class, (..., n_tasks); 0 where the label is missing."""
    code = truth[..., None].long()
    picked = torch.gather(log_probability, -1, code.clamp(min=0)).squeeze(-1)
    return picked.masked_fill(code.squeeze(-1) < 0, 0.0)


MULTICLASS = Multiclass()
