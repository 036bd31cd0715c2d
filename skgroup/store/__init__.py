"""What is kept: keys of what was fitted on what, and files of whole lines and whole tables."""

from skgroup.store._arrays import load_arrays, save_arrays
from skgroup.store._atomic import replaced_file
from skgroup.store._identity import fingerprint, key_of
from skgroup.store._lines import LineFile
from skgroup.store._paths import path_of, read_regular

__all__ = [
    "LineFile",
    "fingerprint",
    "key_of",
    "load_arrays",
    "path_of",
    "read_regular",
    "replaced_file",
    "save_arrays",
]
