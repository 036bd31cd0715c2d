"""Files: lines that are added whole, tables that are replaced whole, or not at all."""

from skgroup.store._arrays import load_arrays, save_arrays
from skgroup.store._atomic import replaced_file
from skgroup.store._lines import LineFile
from skgroup.store._paths import path_of, read_regular

__all__ = ["LineFile", "load_arrays", "path_of", "read_regular", "replaced_file", "save_arrays"]
