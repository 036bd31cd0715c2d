"""Files that are replaced as a whole, or stay as they were."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from skgroup.store._paths import check_regular


@contextlib.contextmanager
def replaced_file(path: Path, *, to_disk: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` once all is written and on the disk.

    If anything fails before, an interruption too, `path` is as it was. The new file has the mode
    of the old one; behind a link, the file that it leads to is replaced. Without `to_disk`, the
    disk is not waited for: a killed process leaves a whole file, a loss of power may not.

    Raises
    ------
    FileFormatError
        If `path` is a folder, a pipe, a device.
    OSError
        If it cannot be written.
    """
    target = Path(os.path.realpath(path))
    old = check_regular(target)
    if old and not os.access(target, os.W_OK):
        raise PermissionError(f"{path} is write-protected.")
    part = target.parent / f".skgroup-{secrets.token_hex(8)}.part"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(part, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            if to_disk:
                os.fsync(file.fileno())
        if old:
            os.chmod(part, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(part, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(part)):
            # It speaks of no file, or of one that the user does not know.
            raise OSError(error.errno, f"{path} could not be written ({error.strerror})") from error
        raise
    if to_disk:
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too, where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
