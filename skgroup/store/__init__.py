"""What is kept: keys of what was fitted on what, whole lines and tables, and running fits."""

from skgroup.store._arrays import load_arrays, save_arrays
from skgroup.store._atomic import replaced_file
from skgroup.store._checkpoint import (
    CHECKPOINT,
    NOT_KEPT,
    CheckpointFolder,
    RunningFit,
    handed_on,
    running_fit,
)
from skgroup.store._identity import fingerprint, key_of
from skgroup.store._lines import LineFile
from skgroup.store._paths import path_of, read_regular

__all__ = [
    "CHECKPOINT",
    "NOT_KEPT",
    "CheckpointFolder",
    "LineFile",
    "RunningFit",
    "fingerprint",
    "handed_on",
    "key_of",
    "load_arrays",
    "path_of",
    "read_regular",
    "replaced_file",
    "running_fit",
    "save_arrays",
]
