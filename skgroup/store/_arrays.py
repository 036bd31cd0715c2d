"""Tables of arrays in a file (NumPy's npz, nothing pickled) that says what it holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skgroup.exceptions import FileFormatError
from skgroup.store._atomic import replaced_file
from skgroup.store._paths import read_regular

_HEADER = "skgroup"


def save_arrays(path: Path, kind: str, version: int, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays, none of objects; an old file is replaced by a whole one, or stays.

    Parameters
    ----------
    path : Path
    kind : str
        What the file holds.
    version : int
        Of how it holds it.
    arrays : dict of str to ndarray
    """
    with replaced_file(path) as file:
        np.savez_compressed(file, **{_HEADER: np.array([kind, str(version)])}, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path, kind: str, version: int) -> dict[str, NDArray]:
    """Read what `save_arrays` wrote.

    Raises
    ------
    FileFormatError
        If the file is damaged, of another kind or of another version.
    OSError
        If there is none, or it cannot be read.
    """
    data = read_regular(path)
    # Damage shows as any of zipfile's, zlib's, struct's and NumPy's errors.
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
        header = arrays.pop(_HEADER).tolist()
    except KeyError:
        raise FileFormatError(f"{path} holds no {kind}.") from None
    except Exception as error:
        raise FileFormatError(f"{path} holds no {kind}, or is damaged ({error}).") from error
    if header != [kind, str(version)]:
        raise FileFormatError(
            f"{path} must hold {kind} of version {version}. Its header is {header}."
        )
    return arrays
