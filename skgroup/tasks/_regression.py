"""Regression tasks: numbers, one output, the standardised prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from skgroup.tasks._kind import Kind

#: Losses of standardised residuals, by their names.
LOSSES: dict[str, Callable[..., Tensor]] = {
    "squared_error": F.mse_loss,
    "absolute_error": F.l1_loss,
    "huber": F.huber_loss,  # squared up to one standard deviation, absolute beyond; halved
}


_STEEPNESS = 2 * math.pi / math.sqrt(3)
#: Numbers farther from the mean, in standard deviations, are not learned: squares stay finite.
FARTHEST = 1e9
_LARGEST = float(np.finfo(np.float64).max)


class Regression(Kind):
    """Tasks of numbers: the output is the prediction in standard deviations from the mean.

    What other kinds read in codes, it reads in the standardised numbers. The codes of its tasks
    are 0 where there is a number, and -1 where there is none.

    A threshold makes a binary task of it. The confidence is the chance that three thresholds,
    drawn around the mean, have prediction and truth on the same side, each of them: errors count
    most near the mean, as a classifier errs most near its boundary.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Of standardised residuals; "huber" is half of the squared one up to 1, and linear beyond.
    """

    name = "regression"
    single_output = True
    has_classes = False
    reads_values = True

    def __init__(self, loss: str = "squared_error") -> None:
        if loss not in LOSSES:
            raise ValueError(
                f"The 'regression_loss' parameter must be one of {list(LOSSES)}. Got {loss!r}."
            )
        self._loss = loss

    def n_outputs(self, n_classes: int) -> int:
        return 1

    def n_classes(self, n_outputs: int) -> int:
        return 1

    def balanced_weights(
        self, counts: NDArray[np.float64], positive: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        return np.ones_like(counts)

    def log_likelihood(self, logits: Tensor, truth: Tensor) -> Tensor:
        # Up to constants, of errors that are spread as the loss takes them to be.
        return -LOSSES[self._loss](logits, truth.expand_as(logits), reduction="none")

    def confidence(self, logits: Tensor, truth: Tensor) -> Tensor:
        # Chosen by measurement, benchmarks/regression_maps.py: (1 - |F(p) - F(y)|)^3, F of the
        # logistic distribution with half the standard deviation of the task.
        gap = torch.sigmoid(_STEEPNESS * logits).sub_(torch.sigmoid(_STEEPNESS * truth))
        return gap.abs_().neg_().add_(1).pow_(3).clamp_(min=torch.finfo(gap.dtype).tiny)

    def expected_confidence(self, logits: Tensor) -> Tensor:
        return torch.full_like(logits, torch.nan)

    def probability(self, logits: Tensor) -> Tensor:
        return logits

    def logits(self, probability: Tensor) -> Tensor:
        return probability

    def likelihood(self, probability: NDArray, codes: NDArray[np.intp]) -> NDArray:
        return np.full_like(probability, np.nan)

    def decide(self, probability: Any, threshold: Any, first_is_positive: Any) -> Any:
        return 0 * (probability > 0)

    def of_classes(self, probability: NDArray) -> NDArray:
        return probability

    def of_outputs(self, of_classes: NDArray) -> NDArray:
        return of_classes

    def events(self, codes: NDArray[np.integer], n_outputs: int) -> NDArray[np.bool_]:
        return np.ones((len(codes), n_outputs), dtype=bool)

    def rescaled(self, probability: NDArray) -> NDArray:
        return probability

    def scored_classes(self, n_classes: int, positive: int) -> NDArray[np.intp]:
        return np.array([], dtype=np.intp)

    def shares(self, truth: NDArray, n_classes: int) -> NDArray[np.float32]:
        return np.zeros(1, dtype=np.float32)  # the mean


REGRESSION = Regression()


@dataclass(frozen=True)
class TargetScaling:
    """Means and standard deviations of regression tasks: training sees standardised numbers.

    Attributes
    ----------
    location, scale : ndarray of shape (n_tasks,)
        0 and 1 of tasks with classes.
    known : ndarray of shape (n_tasks,) of bool
        Where two different numbers were there to tell.
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    known: NDArray[np.bool_]

    @classmethod
    def of(
        cls, values: NDArray[np.float64] | None, n_tasks: int, sample_weight: Any = None
    ) -> TargetScaling:
        """Of numbers (n_samples, n_tasks), NaN where there is none; those with weight, of samples
        or of labels, count."""
        location, scale, known = np.zeros(n_tasks), np.ones(n_tasks), np.zeros(n_tasks, dtype=bool)
        if values is None:
            return cls(location, scale, known)
        weight = np.ones(len(values)) if sample_weight is None else sample_weight
        weight = np.broadcast_to(weight.T, values.T.shape).T
        counted = ~np.isnan(values) & (weight > 0)
        there = counted.any(axis=0)
        numbers = np.where(counted, values, 0.0)[:, there]
        share = np.where(counted, weight / weight.max(), 0.0)[:, there]
        share /= share.sum(axis=0)
        # Squares of large numbers are beyond floats, and those of small ones 0.
        largest = np.abs(numbers).max(axis=0)
        largest[largest == 0] = 1.0
        mean = (share * (numbers / largest)).sum(axis=0)
        spread = np.where(counted[:, there], numbers / largest - mean, 0.0)
        sd = np.sqrt((share * spread**2).sum(axis=0)) * largest
        location[there] = mean * largest
        known[there] = sd > np.finfo(float).eps * largest
        scale[there] = np.where(known[there], sd, 1.0)
        return cls(location, scale, known)

    def select(self, tasks: NDArray) -> TargetScaling:
        """That of some tasks only."""
        return TargetScaling(self.location[tasks], self.scale[tasks], self.known[tasks])

    def completed(self, other: TargetScaling) -> TargetScaling:
        """With that of other samples, where too few numbers were there to tell."""
        return TargetScaling(
            np.where(self.known, self.location, other.location),
            np.where(self.known, self.scale, other.scale),
            self.known | other.known,
        )

    def standardised(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Numbers in standard deviations from the mean; 0 where there is none."""
        with np.errstate(over="ignore"):
            of_training: NDArray[np.float32] = np.nan_to_num(
                (values - self.location) / self.scale, nan=0.0
            ).astype(np.float32)
        return of_training

    def numbers(self, standardised: NDArray) -> NDArray[np.float64]:
        """The way back."""
        back: NDArray[np.float64] = standardised.astype(np.float64) * self.scale + self.location
        return back


def to_numbers(column: NDArray, missing: NDArray[np.bool_], label: str) -> NDArray[np.float64]:
    """The numbers of one task, NaN where one is missing.

    Raises
    ------
    ValueError
        If it holds what is no finite number.
    """
    observed = column[~missing]
    found = reals_of(observed)
    if found is None:
        value = next(v for v in observed.tolist() if not isinstance(v, Real))
        raise ValueError(
            f"{label} of Y is a regression task, which must hold numbers. Got {value!r}, a "
            f"{type(value).__name__}. That it is one is said by 'task_types', or by an estimator "
            "of regression tasks alone (…Regressor)."
        )
    if not np.isfinite(found).all():
        raise ValueError(
            f"{label} of Y is a regression task, which must hold finite numbers, NaN where one is "
            "missing. It holds infinity."
        )
    numbers = np.full(len(column), np.nan)
    numbers[~missing] = found
    return numbers


def looks_continuous(observed: NDArray) -> bool:
    """Whether labels are floats that are not all whole numbers."""
    if observed.dtype.kind not in "fO":
        return False
    found = reals_of(observed)
    if found is None:
        return False
    found = found[np.isfinite(found)]
    return bool((found != np.floor(found)).any())


def reals_of(observed: NDArray) -> NDArray[np.float64] | None:
    """Numbers (bools too) as floats; None where some are none."""
    if observed.dtype.kind == "O" and all(
        issubclass(of, Real | np.bool_) for of in set(map(type, observed))
    ):
        try:
            return observed.astype(np.float64)
        except OverflowError:  # ints that no float can hold
            return np.array([np.inf if abs(v) > _LARGEST else float(v) for v in observed])
    return observed.astype(np.float64) if observed.dtype.kind in "biuf" else None
