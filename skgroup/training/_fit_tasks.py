"""What callbacks of scikit-learn (`set_callbacks`, from 1.9 on) hear of the training of a net."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skorch.callbacks import Callback
from torch import Tensor

from skgroup._compat import whole_fit
from skgroup._fit_parts import FitPart
from skgroup.tasks import TaskTable
from skgroup.training._loop import StopTraining
from skgroup.training.classifier import decode
from skgroup.training.training_data import TrainingData


@contextmanager
def telling(net: Any, data: TrainingData) -> Iterator[list[Callback]]:
    """Let them hear of the training of a net in the block; callbacks of skorch's that tell them of
    its epochs, if there are any to be told."""
    told: dict[str, Any] = {
        "X": lambda: named_inputs(data),
        "y": lambda: labels_of_table(data.all_tasks),
    }
    weight = data.all_weight
    if weight is not None:
        told["metadata"] = {"sample_weight": weight}
    with whole_fit(net, net.max_epochs, lambda: told) as whole:
        yield [EpochTasks(whole, told)] if whole.is_heard else []


class EpochTasks(Callback):
    """Tells callbacks of scikit-learn of each epoch."""

    #: It has no state for a checkpoint.
    only_tells = True

    def __init__(self, whole: FitPart, told: dict[str, Any]) -> None:
        self.whole, self.told = whole, told

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.epoch_ = self.whole.part("epoch")
        self.epoch_.begin(**self.told)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if self.epoch_.end(**self.told, reconstruction_attributes=net.state_now):
            raise StopTraining


def named_inputs(data: TrainingData) -> Any:
    """The inputs; with the names of their columns, as a DataFrame, where these have some."""
    names = data.inputs.get("feature_names_in_")
    if names is None or not isinstance(data.X, Tensor | np.ndarray):
        return data.X
    try:
        import pandas as pd

        return pd.DataFrame(np.asarray(data.X), columns=names)
    except ImportError:  # they are from polars, then
        import polars as pl

        return pl.DataFrame(np.asarray(data.X), schema=list(names))


def labels_of_table(table: TaskTable) -> NDArray:
    """The labels of a table, as `Y` held them; NaN or None where one is missing."""
    labels = decode(np.maximum(table.codes, 0), table.classes, table.values)
    missing = table.codes < 0
    if missing.any():
        if labels.dtype.kind != "f":
            whole = labels.dtype.kind in "iub"
            labels = labels.astype(np.float64 if whole else object)
        labels[missing] = np.nan if labels.dtype.kind == "f" else None
    return labels[:, 0] if table.is_1d else labels
