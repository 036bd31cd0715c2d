"""Fitted estimators as plain torch modules, which `torch.export` and ONNX take."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skgroup.tasks import KINDS, MISSING, REGRESSION, OutputLayout, join_outputs
from skgroup.training._scaling import RobustScaling, robustly_scaled
from skgroup.training.data import as_float

if TYPE_CHECKING:
    from skgroup.training._net import MultiTaskNet
    from skgroup.training.classifier import TaskPredictorMixin

__all__ = [
    "OUTPUTS",
    "Columns",
    "DeployedTasks",
    "LayoutModule",
    "NetOutputs",
    "affine_columns",
    "outputs_module",
    "reading_outputs",
]

OUTPUTS = ("probability", "prediction")


class LayoutModule(nn.Module):
    """A module that knows where tasks stand in outputs, on whatever device it is."""

    _here: Tensor

    def __init__(self, layout: OutputLayout) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("_here", torch.zeros(1), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self.layout = self.layout.to(self._here.device)
        return self


class Columns(nn.Module):
    """Columns of outputs, each scaled and shifted: (batch, n_columns) of (batch, n_outputs).

    Parameters
    ----------
    index : array-like of int of shape (n_columns,)
        The output that each column is made of.
    scale, shift : array-like of float of shape (n_columns,)
    """

    index: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, index: Any, scale: Any, shift: Any) -> None:
        super().__init__()
        self.register_buffer("index", torch.as_tensor(np.asarray(index, dtype=np.int64)))
        self.register_buffer("scale", torch.as_tensor(np.asarray(scale, dtype=np.float32)))
        self.register_buffer("shift", torch.as_tensor(np.asarray(shift, dtype=np.float32)))

    def forward(self, outputs: Tensor) -> Tensor:
        """Columns (batch, n_columns) of outputs (batch, n_outputs)."""
        return outputs[..., self.index] * self.scale + self.shift


def affine_columns(read: Callable[[NDArray[np.float32]], NDArray], n_outputs: int) -> Columns:
    """The columns that a function of arrays makes, each of a single output: it is asked what it
    makes of zeros and of ones."""
    probes = np.vstack([np.zeros((1, n_outputs)), np.eye(n_outputs)]).astype(np.float32)
    made = np.asarray(read(probes), dtype=np.float64)
    shift, slopes = made[0], made[1:] - made[0]
    index = np.abs(slopes).argmax(axis=0)
    return Columns(index, slopes[index, np.arange(slopes.shape[1])], shift)


class NetOutputs(LayoutModule):
    """A fitted net with all that stands around its module: scaling of features in front, the mean
    over members and probabilities behind.

    Parameters
    ----------
    module : torch.nn.Module
        Copied, on the CPU, to predict.
    scaling : RobustScaling or None
    nonlinearity : callable, "auto" or None
    layout : OutputLayout
    logits : bool
        Give the logits of the probabilities.
    """

    median: Tensor
    factor: Tensor
    incomplete: Tensor | None

    def __init__(
        self,
        module: nn.Module,
        scaling: RobustScaling | None,
        nonlinearity: Any,
        layout: OutputLayout,
        *,
        logits: bool,
    ) -> None:
        super().__init__(layout)
        self.module = _copy_of(getattr(module, "_orig_mod", module))  # of torch.compile
        self.scaled = scaling is not None
        if scaling is not None:
            self.register_buffer("median", scaling.median.cpu())
            self.register_buffer("factor", scaling.factor.cpu())
            # torch.export keeps no empty tensors.
            incomplete = scaling.incomplete.cpu() if len(scaling.incomplete) else None
            self.register_buffer("incomplete", incomplete)
        self.nonlinearity, self.logits = nonlinearity, logits

    def forward(self, x: Any) -> Tensor:
        """Probabilities or logits (batch, n_outputs) of a batch."""
        x = as_float(x, keep_ints=isinstance(x, dict))
        if self.scaled:
            x = robustly_scaled(x, self.median, self.factor, self.incomplete)
        try:
            output = self.module(**x) if isinstance(x, dict) else self.module(x)
        except Exception as error:
            if _is_exporting():
                error.add_note(
                    f"The module {type(self.module).__name__} of MultiTaskNet cannot be exported "
                    "as it is: no step of its forward may hang on the numbers in a batch, but by "
                    "torch.where and the like."
                )
            raise
        output = join_outputs(output).float()
        if self.nonlinearity == "auto":
            of = self.layout.mean_logits if self.logits else self.layout.mean_probability
            return of(output)
        probability = output if self.nonlinearity is None else self.nonlinearity(output)
        probability = probability.mean(1) if probability.dim() == 3 else probability
        return self.layout.logits(probability) if self.logits else probability

    @classmethod
    def of_net(cls, net: MultiTaskNet, layout: OutputLayout, *, logits: bool) -> NetOutputs:
        """That of a fitted net."""
        return cls(net.module_, net.scaling_, net.predict_nonlinearity, layout, logits=logits)


class DeployedTasks(LayoutModule):
    """What a fitted estimator predicts, as one module; see `to_module` of estimators.

    Attributes
    ----------
    task_names : list of str or int
        Names of the tasks, positions where they have none.
    task_types : list of str
        "binary", "multiclass", "regression" or "soft".
    classes : list of list or None
        The labels of each task in the order of their codes; None of a regression task.
    columns : list of slice
        Where the probabilities, or the prediction, of each task stand.
    feature_names : list of str or None
        The columns of a batch, in this order, where `X` had names in `fit`.
    output : {"probability", "prediction"}
    metadata : dict of str to str
        All of these as JSON, for `metadata_props` of ONNX or `extra_files` of `torch.export.save`.
    """

    threshold: Tensor
    first_is_positive: Tensor

    def __init__(self, estimator: TaskPredictorMixin, output: str) -> None:
        learned = np.flatnonzero(estimator.constant_codes_ == MISSING)
        types = list(estimator.task_types_)
        super().__init__(OutputLayout(estimator.task_outputs_, [types[t] for t in learned]))
        n_tasks = len(types)
        names = getattr(estimator, "task_names_in_", None)
        self.task_names = list(range(n_tasks)) if names is None else list(names)
        self.task_types, self.output = types, output
        features = getattr(estimator, "feature_names_in_", None)
        self.feature_names = None if features is None else list(features)
        self.classes = [
            None if name == REGRESSION.name else of_task.tolist()
            for of_task, name in zip(estimator.task_classes_, types, strict=True)
        ]
        self.outputs = outputs_module(estimator)
        threshold = np.broadcast_to(getattr(estimator, "thresholds_", 0.5), n_tasks)[learned]
        first_is_positive = estimator.positive_codes_[learned] == 0
        self.register_buffer("threshold", torch.as_tensor(threshold.astype(np.float32)))
        self.register_buffer("first_is_positive", torch.as_tensor(first_is_positive))
        sources, stops = _sources(estimator, self.layout, learned, decided=output == "prediction")
        self.columns = [
            slice(start, stop) for start, stop in zip([0, *stops[:-1]], stops, strict=True)
        ]
        self.made = Columns(*sources)
        self.of_codes = output == "prediction" and REGRESSION.name not in types

    @property
    def metadata(self) -> dict[str, str]:
        facts = {
            "task_names": self.task_names,
            "task_types": self.task_types,
            "classes": self.classes,
            "columns": [[of_task.start, of_task.stop] for of_task in self.columns],
            "feature_names": self.feature_names,
            "output": self.output,
        }
        return {key: json.dumps(value, default=str) for key, value in facts.items()}

    def forward(self, x: Any) -> Tensor:
        """Probabilities, or predictions, (batch, n_columns) of a batch."""
        outputs = self.outputs(x)
        if self.output == "prediction":
            codes = self.layout.decide_tensor(outputs, self.threshold, self.first_is_positive)
            # A module cannot refuse what the estimator refuses: NaN where it takes none.
            codes = torch.where(outputs.isnan().any(dim=1, keepdim=True), MISSING, codes)
            outputs = torch.cat([codes.to(outputs.dtype), outputs], dim=1)
        made = self.made(outputs)
        return made.long() if self.of_codes else made


def _sources(
    estimator: TaskPredictorMixin,
    layout: OutputLayout,
    learned: NDArray[np.intp],
    *,
    decided: bool,
) -> tuple[NDArray[np.float64], list[int]]:
    """Where each column comes from, with scale and shift, (3, n_columns), and where the columns of
    each task end. Codes (batch, n_learned) stand in front of outputs where these are `decided`."""
    n_codes = len(learned) if decided else 0
    places = {int(t): i for i, t in enumerate(learned)}
    sources: list[tuple[float, float, float]] = []
    stops = []
    scaling = estimator.target_scaling_
    for t, name in enumerate(estimator.task_types_):
        of_classes = KINDS[name].has_classes
        if t not in places:  # a single class, or number, is predicted
            code = int(estimator.constant_codes_[t])
            value = code if of_classes else estimator.task_classes_[t][code]
            sources.append((0, 0.0, float(value)))
        elif not of_classes:
            start = n_codes + layout.starts[places[t]]
            sources.append((start, float(scaling.scale[t]), float(scaling.location[t])))
        elif decided:
            sources.append((places[t], 1.0, 0.0))
        else:
            start = layout.starts[places[t]]
            sources.extend((start + k, 1.0, 0.0) for k in range(layout.task_outputs[places[t]]))
        stops.append(len(sources))
    return np.array(sources).T, stops


def outputs_module(estimator: TaskPredictorMixin, *, logits: bool = False) -> nn.Module:
    """What a fitted estimator gives before it is read as predictions of tasks, as a module: the
    outputs (batch, n_outputs) of the tasks that are learned, or their logits."""
    return estimator._outputs_module(logits=logits)


def reading_outputs(estimator: TaskPredictorMixin) -> Any:
    """A copy whose `predict` and `predict_proba` read outputs (n_samples, n_outputs), given as
    `X`, as if these were its own."""
    reader = copy.copy(estimator)
    reader.__dict__["_flat_proba"] = lambda outputs: outputs
    return reader


def _copy_of(module: nn.Module) -> nn.Module:
    """A copy on the CPU. Weights of nets that were trained as a stack share its memory, which a
    copy would hold whole."""
    alone: dict[int, Any] = {}
    for p in module.parameters():
        alone[id(p)] = nn.Parameter(_alone(p), requires_grad=False)
    alone |= {id(b): _alone(b) for b in module.buffers()}
    return copy.deepcopy(module, alone).cpu()


def _alone(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _is_exporting() -> bool:
    # torch 2.6 has no word for exporting alone.
    return bool(getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)())


def check_output(output: Any, among: Sequence[str] = OUTPUTS) -> None:
    """Refuse what is none of these."""
    if output not in among:
        raise ValueError(
            f"The 'output' parameter of to_module must be one of {list(among)}. Got {output!r}."
        )
