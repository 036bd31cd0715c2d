"""Mixtures of nets as torch modules: what `mix` and `to_shares` do, in tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from skgroup._compat import BaseSearchCV
from skgroup.ensemble._encoded_tasks import MemberOutputs
from skgroup.ensemble._shares import FLOOR
from skgroup.tasks import OutputLayout
from skgroup.training.classifier import TaskPredictorMixin
from skgroup.training.deployed import (
    Columns,
    LayoutModule,
    affine_columns,
    outputs_module,
    reading_outputs,
)


class Mixture(LayoutModule):
    """Weighted outputs of several modules, each of some of the tasks; see `mix`.

    Parameters
    ----------
    parts : sequence of torch.nn.Module
        Each gives (batch, n_outputs of its tasks).
    tasks : sequence of ndarray of int, one a part
    weights : ndarray of shape (n_tasks, n_parts)
    layout : OutputLayout
        Of all tasks.
    logits : bool, default=False
        Whether these are what is mixed.
    fixed : iterable of (slice, ndarray), default=()
        Outputs that no part serves, and what stands there.
    """

    source: Tensor
    weight: Tensor
    of_classes: Tensor
    is_fixed: Tensor
    fixed: Tensor

    def __init__(
        self,
        parts: Sequence[nn.Module],
        tasks: Sequence[NDArray[np.intp]],
        weights: NDArray[np.float64],
        layout: OutputLayout,
        *,
        logits: bool = False,
        fixed: Iterable[tuple[slice, NDArray[np.float32]]] = (),
    ) -> None:
        super().__init__(layout)
        self.parts, self.logits = nn.ModuleList(parts), logits
        columns = [layout.columns_of(of_part) for of_part in tasks]
        # Each output is a sum over the parts that serve it, of which some outputs have fewer.
        place = np.concatenate(columns)
        part = np.repeat(np.arange(len(parts)), [len(of_part) for of_part in columns])
        width = np.bincount(place, minlength=layout.n_outputs).max()
        source = np.zeros((layout.n_outputs, width), dtype=np.int64)
        weight = np.zeros((layout.n_outputs, width), dtype=np.float32)
        order = np.argsort(place, kind="stable")
        place, part = place[order], part[order]
        rank = np.arange(len(place)) - np.searchsorted(place, place)
        source[place, rank] = order
        weight[place, rank] = weights[layout.task_of_output[place], part]
        shares = np.zeros(layout.n_outputs, dtype=np.float32)
        is_fixed = np.zeros(layout.n_outputs, dtype=bool)
        for of_task, values in fixed:
            shares[of_task], is_fixed[of_task] = values, True
        self.register_buffer("source", torch.from_numpy(source))
        self.register_buffer("weight", torch.from_numpy(weight))
        self.register_buffer("of_classes", torch.from_numpy(layout.of_classes_alone))
        self.register_buffer("is_fixed", torch.from_numpy(is_fixed))
        self.register_buffer("fixed", torch.from_numpy(shares))

    def forward(self, x: Any) -> Tensor:
        """Outputs (batch, n_outputs) of a batch."""
        every = torch.cat([part(x) for part in self.parts], dim=1)
        mixed = (every[..., self.source] * self.weight).sum(-1)
        if self.logits:
            mixed = self.layout.probability(mixed)
        else:
            mixed = torch.where(self.of_classes, mixed.clamp(0.0, 1.0), mixed)
        return torch.where(self.is_fixed, self.fixed, mixed)


class MappedMember(LayoutModule):
    """A member of a portfolio on the scale of the observed shares; see `to_shares`.

    Parameters
    ----------
    fits : sequence of (torch.nn.Module, Columns)
        Each fit, whose outputs the columns turn into those of the member's tasks in the
        portfolio; the mean of them counts.
    maps : ndarray of shape (n_outputs, 2)
        Slopes and intercepts.
    layout : OutputLayout
        Of the member's tasks.
    """

    maps: Tensor
    of_classes: Tensor
    of_several: Tensor

    def __init__(
        self,
        fits: Sequence[tuple[nn.Module, Columns]],
        maps: NDArray[np.float64],
        layout: OutputLayout,
    ) -> None:
        super().__init__(layout)
        self.fits = nn.ModuleList(nn.Sequential(*fit) for fit in fits)
        several = np.array([not kind.single_output for kind in layout.kinds], dtype=bool)
        self.register_buffer("maps", torch.from_numpy(maps.copy()))
        self.register_buffer("of_classes", torch.from_numpy(layout.of_classes_alone))
        self.register_buffer("of_several", torch.from_numpy(several[layout.task_of_output]))

    def forward(self, x: Any) -> Tensor:
        """Outputs (batch, n_outputs) of a batch."""
        outputs = torch.stack([fit(x) for fit in self.fits]).mean(0)
        # In float64, as log-odds of float32 probabilities near 1 are rough.
        odds = torch.logit(outputs.double().clamp(FLOOR, 1 - FLOOR))
        odds = self.maps[:, 0] * odds + self.maps[:, 1]
        # Probabilities of several classes, divided by their sum, are a softmax of their logarithms.
        logits = torch.where(self.of_several, F.logsigmoid(odds), odds)
        logits = torch.where(self.of_classes, logits, outputs.double())
        return self.layout.probability(logits).float()


def refuse_other_members(fits: Mapping[str, Sequence[Any]], owner: str, *, named: bool) -> None:
    """Refuse a portfolio with members that are no nets.

    Parameters
    ----------
    fits : mapping of str to sequence of fitted estimators
        Those of each member.
    owner : str
        The name of the portfolio's class.
    named : bool
        Whether the members were given, and so can be dropped.

    Raises
    ------
    TypeError
        If some member is no net.
    """
    others = [
        name
        for name, of_member in fits.items()
        if not all(isinstance(best_of(fit), TaskPredictorMixin) for fit in of_member)
    ]
    if others:
        drop = ", ".join(f"{name}='drop'" for name in others)
        without = f"set_params({drop})" if named else "'members' of nets alone"
        raise TypeError(
            f"All members of {owner} must be nets, or estimators of nets, to become a torch "
            f"module. These are not: {', '.join(map(repr, others))}. Fit again with {without}, or "
            "deploy the estimator itself (joblib); scikit-learn's own become ONNX by skl2onnx."
        )


def best_of(fitted: Any) -> Any:
    """The estimator that a fitted search has found; others as they are."""
    while isinstance(fitted, BaseSearchCV) and hasattr(fitted, "best_estimator_"):
        fitted = fitted.best_estimator_
    return fitted


def member_fit(fitted: Any, outputs: MemberOutputs, label: str) -> tuple[nn.Module, Columns]:
    """The module of a fitted member, and how its outputs become those of the portfolio."""
    fitted = best_of(fitted)
    module = outputs_module(fitted)
    reader = reading_outputs(fitted)
    n_outputs = int(sum(fitted.task_outputs_))
    return module, affine_columns(lambda probes: outputs.read(reader, probes, label), n_outputs)
