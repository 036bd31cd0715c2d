"""Which paths are taken, and what they must lead to."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from skgroup.exceptions import FileFormatError


def path_of(path: Any, name: str) -> Path:
    """A path from a str or a path-like of str, "~" being the home of the user.

    Parameters
    ----------
    path : object
    name : str
        What the message calls it: "The 'results' parameter of compare".

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If it is empty, or holds a null character.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path (a str or a pathlib.Path). Got {path!r}.")
    if not text or "\0" in text:
        raise ValueError(f"{name} must be a path. Got {path!r}.")
    return Path(os.path.expanduser(text))


def check_regular(path: Path) -> bool:
    """Whether there is a file.

    Raises
    ------
    FileFormatError
        If there is a folder, a pipe (which to open would wait for ever), a device.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise FileFormatError(f"{path} is {kind}.")
    return True


def read_regular(path: Path) -> bytes:
    """What a file holds.

    Raises
    ------
    FileFormatError
        If there is something else than a file.
    OSError
        If there is nothing, or it cannot be read.
    """
    check_regular(path)
    return path.read_bytes()
