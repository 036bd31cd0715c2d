"""Soft tasks: binary ones whose labels are probabilities of the second class."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from skgroup.tasks._binary import Binary
from skgroup.tasks._regression import reals_of


class Soft(Binary):
    """Binary tasks whose labels are probabilities: the classes are 0 and 1, a label is the
    probability of 1, and its code says which of the two is the likelier.

    A label p counts as two: 1 with weight p and 0 with weight 1 - p.
    """

    name = "soft"
    reads_values = True

    def log_likelihood(self, logits: Tensor, truth: Tensor) -> Tensor:
        return -F.softplus(logits) + self._smoothed(truth) * logits

    def loss(self, logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        return -(weight * self.log_likelihood(logits, truth)).sum((-2, -1))

    def confidence(self, logits: Tensor, truth: Tensor) -> Tensor:
        # What the two distributions share: the probability of the label, where it is 0 or 1.
        return torch.sigmoid(logits).sub_(truth).abs_().neg_().add_(1)

    def expected_confidence(self, logits: Tensor) -> Tensor:
        # A net says nothing of how far probabilities will be from its own.
        return torch.full_like(logits, torch.nan)

    def shares(self, truth: NDArray, n_classes: int) -> NDArray[np.float32]:
        return np.array([np.nanmean(truth)], dtype=np.float32)


SOFT = Soft()


def to_probabilities(
    column: NDArray, missing: NDArray[np.bool_], label: str
) -> NDArray[np.float64]:
    """The probabilities of one soft task, NaN where one is missing.

    Raises
    ------
    ValueError
        If it holds what is no probability.
    """
    rule = (
        f"{label} of Y is a soft task by 'task_types', which must hold probabilities of its class "
        "1, numbers in [0, 1], NaN where one is missing"
    )
    observed = reals_of(column[~missing])
    if observed is None:
        value = next(v for v in column[~missing].tolist() if reals_of(np.array([v])) is None)
        raise ValueError(
            f"{rule}. Got {value!r}. Probabilities of more than two classes are given as a soft "
            "task a class, or as a row a class whose sample_weight they are."
        )
    wrong = observed[~((observed >= 0) & (observed <= 1))]
    if len(wrong):
        raise ValueError(f"{rule}. Got {wrong[0]:g}.")
    probabilities = np.full(len(column), np.nan)
    probabilities[~missing] = observed
    return probabilities
