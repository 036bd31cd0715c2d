"""Binary tasks: two classes, one output, the logit of the second class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from skgroup.tasks._kind import INSIDE, Kind, check_smoothing, shares_of_classes


class Binary(Kind):
    """Tasks of two classes: the output is the logit, or probability, of the second class.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        In the loss, a label is its class with a share of 1 - ε, and each of the two with ε / 2.
    """

    name = "binary"
    single_output = True
    has_two_classes = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self._smoothing = check_smoothing(label_smoothing)

    def n_outputs(self, n_classes: int) -> int:
        return 1

    def n_classes(self, n_outputs: int) -> int:
        return 2

    def balanced_weights(
        self, counts: NDArray[np.float64], positive: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        # The positive class weighs n_negative / n_positive, the other one 1. Where nothing says
        # which it is, the second stands for it: the ratio of the two is the same.
        tasks = np.arange(len(counts))
        positive = np.where(positive < 0, 1, positive)
        weights = np.ones_like(counts)
        n_positive, n_negative = counts[tasks, positive], counts[tasks, 1 - positive]
        met = (n_positive > 0) & (n_negative > 0)
        weights[tasks[met], positive[met]] = n_negative[met] / n_positive[met]
        return weights

    def log_likelihood(self, logits: Tensor, truth: Tensor) -> Tensor:
        # +1 for the second class, -1 for the first, 0 (no gradient) for a missing label.
        sign = torch.where(truth < 0, 0, 2 * truth - 1)
        of_label = F.logsigmoid(logits * sign)
        if not self._smoothing:
            return of_label
        # log(1 - p) is log p - z, and the other way round.
        return of_label - self._smoothing / 2 * (logits * sign)

    def loss(self, logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        is_second = self._smoothed((truth > 0).to(logits.dtype))
        if logits.dim() == 2:
            return F.binary_cross_entropy_with_logits(logits, is_second, weight, reduction="sum")
        loss = F.binary_cross_entropy_with_logits(logits, is_second, weight, reduction="none")
        return loss.sum((-2, -1))

    def _smoothed(self, probability: Tensor) -> Tensor:
        if not self._smoothing:
            return probability
        return probability * (1 - self._smoothing) + self._smoothing / 2

    def confidence(self, logits: Tensor, truth: Tensor) -> Tensor:
        # p where the code is 1 and 1 - p where it is 0, in one pass each and in place.
        return torch.sigmoid(logits).add_(truth).sub_(1).abs_()

    def expected_confidence(self, logits: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        return p * p + (1 - p) * (1 - p)

    def probability(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def logits(self, probability: Tensor) -> Tensor:
        return torch.logit(probability.clamp(*INSIDE))

    def likelihood(self, probability: NDArray, codes: NDArray[np.intp]) -> NDArray:
        return np.where(codes > 0, probability, 1 - probability)

    def decide(self, probability: Any, threshold: Any, first_is_positive: Any) -> Any:
        is_second = (1 - probability <= threshold) & first_is_positive
        return is_second | ((probability > threshold) & ~first_is_positive)

    def of_classes(self, probability: NDArray) -> NDArray:
        return np.hstack([1 - probability, probability])

    def of_outputs(self, of_classes: NDArray) -> NDArray:
        return of_classes[:, 1:]

    def events(self, codes: NDArray[np.integer], n_outputs: int) -> NDArray[np.bool_]:
        return codes[:, None] == 1

    def rescaled(self, probability: NDArray) -> NDArray:
        return probability

    def scored_classes(self, n_classes: int, positive: int) -> NDArray[np.intp]:
        return np.array([positive] if positive >= 0 else [], dtype=np.intp)

    def shares(self, truth: NDArray, n_classes: int) -> NDArray[np.float32]:
        return shares_of_classes(truth, n_classes)[1:]


BINARY = Binary()
