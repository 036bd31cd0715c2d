"""Measured gains in a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skgroup.exceptions import FileFormatError
from skgroup.store import load_arrays, save_arrays

#: What the file is of, and the version of its form.
_FORMAT = ("gains of GroupGains", 1)
_ARRAYS = ("masks_", "gains_", "gains_std_", "scores_", "measured_", "learnable_")


def write_gains(path: Path, fitted: Mapping[str, Any]) -> None:
    """Write fitted attributes, by their names."""
    arrays = {name: fitted[name] for name in _ARRAYS}
    if "task_names_in_" in fitted:
        arrays["task_names_in_"] = np.asarray(fitted["task_names_in_"], dtype=str)
    for name in ("n_features_in_", "seed_", "n_trained_", "interrupted_"):
        if name in fitted:
            arrays[name] = np.array(fitted[name])
    scoring = fitted["scoring_"]
    arrays["scoring_"] = np.array(scoring if isinstance(scoring, str) else list(scoring.items()))
    arrays["conditions"] = np.array(list(fitted["conditions_"].items()))
    save_arrays(path, *_FORMAT, arrays)


def read_gains(path: Path) -> dict[str, Any]:
    """The attributes that `write_gains` wrote; FileFormatError if that is not what is there."""
    try:
        arrays = load_arrays(path, *_FORMAT)
        fitted: dict[str, Any] = _check_shapes({name: arrays[name] for name in _ARRAYS})
        fitted["conditions_"] = dict(arrays["conditions"].tolist())
        fitted["seed_"], fitted["n_trained_"] = int(arrays["seed_"]), int(arrays["n_trained_"])
        scoring = arrays["scoring_"].tolist()
        fitted["scoring_"] = scoring if isinstance(scoring, str) else dict(scoring)
        fitted["interrupted_"] = bool(arrays["interrupted_"])
        fitted["n_tasks_"] = fitted["masks_"].shape[1]
        if "task_names_in_" in arrays:
            fitted["task_names_in_"] = arrays["task_names_in_"].astype(object)
            if fitted["task_names_in_"].shape != (fitted["n_tasks_"],):
                raise ValueError(f"{arrays['task_names_in_'].size} names of tasks")
        if "n_features_in_" in arrays:
            fitted["n_features_in_"] = int(arrays["n_features_in_"])
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path} is no file that GroupGains.save wrote, or is damaged: {error}"
        ) from error
    return fitted


def _check_shapes(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """The arrays, if they fit together."""
    n_groups, n_tasks, n_parts = arrays["scores_"].shape
    shapes: dict[str, tuple[int, ...]] = {
        "masks_": (n_groups, n_tasks),
        "gains_": (n_groups, n_tasks),
        "gains_std_": (n_groups, n_tasks),
        "measured_": (n_groups, n_parts),
        "learnable_": (n_tasks,),
    }
    for name, array in arrays.items():
        kind = "b" if name in ("masks_", "measured_", "learnable_") else "f"
        if array.shape != shapes.get(name, array.shape) or array.dtype.kind != kind:
            raise ValueError(f"{name} is of shape {array.shape} and {array.dtype}")
    return arrays
