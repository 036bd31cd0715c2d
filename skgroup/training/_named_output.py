"""Predictions with the names of tasks, classes and samples, as pandas has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def index_of(X: Any) -> Any:
    """The names of the samples, where `X` is a frame of pandas; else None."""
    return X.index if hasattr(X, "iloc") else None


def named_labels(
    labels: list[NDArray], names: NDArray[np.object_] | None, index: Any, *, is_1d: bool
) -> Any:
    """A DataFrame with a column a task, each in its own type; a Series of a single one."""
    import pandas as pd

    if is_1d:
        return pd.Series(labels[0], index=index, name=None if names is None else names[0])
    frame = pd.DataFrame(dict(enumerate(labels)), index=index)
    return frame if names is None else frame.set_axis(names, axis=1)


def named_proba(
    proba: Any,
    classes: list[NDArray],
    names: NDArray[np.object_] | None,
    index: Any,
    *,
    is_1d: bool,
) -> Any:
    """What `predict_proba` gives, as a DataFrame, or a dict of DataFrames by task."""
    import pandas as pd

    if is_1d:
        return pd.DataFrame(proba, index=index, columns=classes[0])
    if isinstance(proba, np.ndarray):
        return pd.DataFrame(proba, index=index, columns=names)
    keys = list(range(len(classes)) if names is None else names)
    items = proba if isinstance(proba, dict) else dict(zip(keys, proba, strict=True))
    return {
        key: pd.DataFrame(of_task, index=index, columns=classes[keys.index(key)])
        for key, of_task in items.items()
    }
