"""What a kind of task answers for; each kind is a file beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

#: Probabilities that have finite logits in float32.
INSIDE = (1e-7, 1 - 1e-7)


class Kind(ABC):
    """A kind of task; every method takes all tasks of the kind at once.

    What a net puts out for them comes as one block: of shape (..., n_tasks) where a task of the
    kind has a single output, else (..., n_tasks, width), filled up with -inf for tasks of fewer
    outputs. Codes (..., n_tasks) are positions of labels in the classes of their task, -1 where a
    label is missing. Tensors are logits in training, arrays are probabilities afterwards; of tasks
    of numbers, both are predictions in standard deviations from the mean.

    Attributes
    ----------
    name : str
        As in `task_types`.
    single_output : bool
        Whether a net has one output for each task of the kind.
    has_classes : bool
        Whether what it predicts are classes, else numbers.
    has_two_classes : bool
        Whether these are two, of which one may be the positive class, with a threshold.
    reads_values : bool
        Whether what training compares outputs with, its truth, are numbers (standardised, or
        probabilities; 0 where one is missing), else the codes of classes.
    """

    name: str
    single_output: bool
    has_classes: bool = True
    has_two_classes: bool = False
    reads_values: bool = False

    @abstractmethod
    def n_outputs(self, n_classes: int) -> int:
        """Outputs of a net for a task of so many classes."""

    @abstractmethod
    def n_classes(self, n_outputs: int) -> int:
        """Classes of a task of so many outputs."""

    @abstractmethod
    def balanced_weights(
        self, counts: NDArray[np.float64], positive: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Class weights (n_tasks, width) of `class_weight="balanced"`, from how often each class
        was met (n_tasks, width), NaN beyond the classes of a task. Weights of classes that were
        not met, or are not there, are not used."""

    # -- training: tensors of logits -----------------------------------------------------------

    @abstractmethod
    def log_likelihood(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Log-probability of the true labels, (..., n_tasks), up to constants of the kind; where a
        label is missing, a finite value."""

    def loss(self, logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """The loss summed over samples and tasks, (...,), with weights (..., batch, n_tasks) that
        are 0 where a label is missing: −log p of the true labels, where a kind has no other."""
        return -(weight * self.log_likelihood(logits, truth)).sum((-2, -1))

    @abstractmethod
    def confidence(self, logits: Tensor, truth: Tensor) -> Tensor:
        """What a data map records, (..., n_tasks), in (0, 1] and 1 where a prediction is right:
        the probability of the true label, where there are classes."""

    @abstractmethod
    def expected_confidence(self, logits: Tensor) -> Tensor:
        """The confidence to be expected if the net's own beliefs hold, (..., n_tasks); NaN of a
        kind whose nets say nothing of it."""

    @abstractmethod
    def probability(self, logits: Tensor) -> Tensor:
        """Probabilities, of the shape of the logits."""

    @abstractmethod
    def logits(self, probability: Tensor) -> Tensor:
        """Logits that have these probabilities."""

    # -- serving: arrays of probabilities ------------------------------------------------------

    @abstractmethod
    def likelihood(self, probability: NDArray, codes: NDArray[np.intp]) -> NDArray:
        """Probability of the true labels (n_samples, n_tasks); of code 0 where one is missing."""

    @abstractmethod
    def decide(self, probability: Any, threshold: Any, first_is_positive: Any) -> Any:
        """Predicted codes (n_samples, n_tasks), or whether they are 1, by thresholds (n_tasks,) on
        positive classes; of arrays, and of tensors."""

    @abstractmethod
    def of_classes(self, probability: NDArray) -> NDArray:
        """Probabilities of all classes (n_samples, n_classes) from the outputs of one task."""

    @abstractmethod
    def of_outputs(self, of_classes: NDArray) -> NDArray:
        """Probabilities as outputs of one task from those of all classes: the way back."""

    @abstractmethod
    def events(self, codes: NDArray[np.integer], n_outputs: int) -> NDArray[np.bool_]:
        """Whether what each output is the probability of is the case, (n_samples, n_outputs), for
        observed codes (n_samples,) of one task."""

    @abstractmethod
    def rescaled(self, probability: NDArray) -> NDArray:
        """Outputs of one task, changed each for itself, as probabilities that fit together."""

    @abstractmethod
    def scored_classes(self, n_classes: int, positive: int) -> NDArray[np.intp]:
        """Codes of the classes whose F1 counts for a task with this positive class (negative where
        nothing says which it is)."""

    @abstractmethod
    def shares(self, truth: NDArray, n_classes: int) -> NDArray[np.float32]:
        """How frequent the classes of one task are, as outputs, from its codes or values
        (n_samples,): what serves a task that no net serves."""


def check_smoothing(label_smoothing: Any) -> float:
    """The share of a label that smoothing gives to all classes alike."""
    is_number = isinstance(label_smoothing, Real) and not isinstance(label_smoothing, bool)
    if not is_number or not 0 <= label_smoothing < 1:
        raise ValueError(
            f"The 'label_smoothing' parameter must be a number in [0, 1). Got {label_smoothing!r}."
        )
    return float(label_smoothing)


def shares_of_classes(codes: NDArray[np.integer], n_classes: int) -> NDArray[np.float32]:
    """Shares (n_classes,) of the classes among observed codes."""
    counts = np.bincount(codes[codes >= 0], minlength=n_classes)
    return (counts / counts.sum()).astype(np.float32)
