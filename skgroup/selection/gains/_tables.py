"""Tables of gains as others publish them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skgroup.exceptions import FileFormatError
from skgroup.selection.gains._masks import check_gains, check_masks
from skgroup.store import path_of, read_regular


def read_gain_tables(masks: Any, **gains: Any) -> Bunch:
    """Read tables of gains that others measured, as those published with MTG-Net [1]_.

    Each file is a text of numbers between spaces, tabs or commas, one line a group and one
    column a task, without a header.

    Parameters
    ----------
    masks : str or Path
        The file of the groups: 1 where a task is in the group, else 0.
    **gains : str or Path
        Files of what the tasks gain in these groups, in the same order of lines, by any names:
        `validation=`, `test=`, also what some method predicts. What stands where a task is absent
        (0, NaN, nothing between two commas) is not looked at.

    Returns
    -------
    tables : Bunch
        `masks`, ndarray of bool, of shape (n_groups, n_tasks), and of the same shape, under the
        name of each of `gains`, a float64 ndarray, NaN for absent tasks. As they are for
        `MTGNet().fit(tables.masks, tables.validation)` and
        `GroupSelector().fit(tables.validation, masks=tables.masks)`.

    Raises
    ------
    FileFormatError
        A ValueError: if a file holds something else than numbers in lines of one length, a mask
        something else than 0 and 1 or no task, or gains of another shape or not finite where a
        task is present. The message names file and place.
    OSError
        If there is no file, or it cannot be read.

    References
    ----------
    .. [1] X. Song et al., "Efficient and effective multi-task grouping via meta learning on task
       combinations", NeurIPS 2022; tables of Taskonomy, ETTm1 and MIMIC-III at
       github.com/ShawnKS/MTG-Net.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from skgroup.selection import read_gain_tables
    >>> with TemporaryDirectory() as folder:
    ...     x, y = Path(folder, "x.csv"), Path(folder, "val_y.csv")
    ...     _ = x.write_text("1,0\\n0,1\\n1,1\\n")
    ...     _ = y.write_text("0.0 0.0\\n0.0 0.0\\n0.1 -0.2\\n")
    ...     tables = read_gain_tables(x, validation=y)
    >>> tables.masks.sum(axis=1)
    array([1, 1, 2])
    >>> tables.validation
    array([[ 0. ,  nan],
           [ nan,  0. ],
           [ 0.1, -0.2]])
    """
    tables = Bunch(masks=_read(masks, "masks", check_masks))
    for name, path in gains.items():
        values = _read(path, "gains", lambda numbers: check_gains(numbers, tables.masks))
        tables[name] = np.where(tables.masks, values, np.nan)
    return tables


def _read(path: Any, what: str, check: Callable[[NDArray[np.float64]], Any]) -> Any:
    """What `check` makes of the numbers of a file."""
    file = path_of(path, "A path of read_gain_tables")
    data = read_regular(file)
    try:
        lines = [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
        if not lines:
            raise ValueError("it is empty")
        numbers = np.loadtxt(
            lines,
            comments=None,
            delimiter="," if "," in lines[0] else None,
            converters=lambda entry: float(entry) if entry.strip() else np.nan,
            encoding="utf-8",
            ndmin=2,
        )
        return check(numbers)
    except ValueError as error:
        raise FileFormatError(
            f"{file} must be a table of {what}, a line of numbers a group and no header: {error}"
        ) from error
