"""A file of lines of JSON that several processes may add to."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skgroup.exceptions import FileFormatError
from skgroup.store._paths import check_regular

_MARK = b'{"skgroup": '
#: What file systems without locks answer; there, what is appended at once is whole all the same.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class LineFile:
    """A file with a header of its own and a line of JSON a record.

    Records are only ever added, each as a whole line that is on the disk before `append` returns.
    A line that was cut off, as a killed process leaves it, does not count. What others wrote
    stays: the file is open and locked only for the moment of reading or adding, and one of
    another kind is never changed.

    Parameters
    ----------
    path : Path
    kind : str
        What the file holds, for its header.
    version : int
        Of the records.
    """

    def __init__(self, path: Path, kind: str, version: int) -> None:
        self.path = path
        self._kind = {"skgroup": kind, "version": version}
        self._header = json.dumps(self._kind).encode() + b"\n"

    def read(self) -> list[tuple[int, dict[str, Any]]]:
        """All records with the numbers of their lines; none if there is no file, or an empty one.

        Raises
        ------
        FileFormatError
            If there is something else than a file of this kind and version.
        OSError
            If it cannot be read.
        """
        if not check_regular(self.path):
            return []
        with _opened(self.path, os.O_RDONLY) as handle:
            content = _content(handle, os.fstat(handle).st_size)
        self._check_header(content)
        lines = content[len(self._header) :].split(b"\n")
        records = ((number, self._record(line, number)) for number, line in enumerate(lines, 2))
        return [(number, record) for number, record in records if record is not None]

    def begin(self) -> None:
        """Make the file, with its header, if it is not there; find out whether it can be written.

        Raises
        ------
        FileFormatError
            If there is something else than a file of this kind and version.
        OSError
            If it cannot be written.
        """
        self._add(b"")

    def append(self, record: dict[str, Any]) -> None:
        """Add a record, of values that JSON has.

        Raises
        ------
        FileFormatError
            If there is something else than a file of this kind and version.
        OSError
            If it cannot be written, as on a full disk. What the file held stays, and is readable.
        """
        self._add(json.dumps(record, allow_nan=False).encode() + b"\n")

    def _add(self, line: bytes) -> None:
        check_regular(self.path)
        try:
            with _opened(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as handle:
                size = os.fstat(handle).st_size
                start = _content(handle, min(size, len(self._header)))
                self._check_header(start)
                missing = self._header[len(start) :]
                if not missing and line:
                    os.lseek(handle, size - 1, os.SEEK_SET)
                    # What was cut off must not run into this line.
                    missing = b"" if os.read(handle, 1) == b"\n" else b"\n"
                if missing + line:
                    _append(handle, size, missing + line)
        except OSError as error:
            message = f"{self.path} could not be written ({error.strerror})"
            raise OSError(error.errno, message) from error

    def _check_header(self, content: bytes) -> None:
        first, newline, _ = content.partition(b"\n")
        if first + newline == self._header:
            return
        if not content or (len(content) > len(_MARK) and self._header.startswith(content)):
            return  # it was cut off before there was any record
        try:
            header = json.loads(first)
        except ValueError:
            header = None
        if isinstance(header, dict) and header.get("skgroup") == self._kind["skgroup"]:
            raise FileFormatError(
                f"{self.path} is of version {header.get('version')!r}, and not of version "
                f"{self._kind['version']}, which this release of skgroup reads and writes."
            )
        raise FileFormatError(f"{self.path} holds something else, and stays as it is.")

    def _record(self, line: bytes, number: int) -> dict[str, Any] | None:
        try:
            record = json.loads(line)
        except ValueError:
            if not line.strip(b" \t\r\0") or line.startswith(b"{"):
                return None  # cut off
            record = None
        if not isinstance(record, dict):
            raise FileFormatError(f"Line {number} of {self.path} is damaged: {line[:60]!r}.")
        return record


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A file, open and locked: others read it at the same time, but one alone writes."""
    handle = os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with _locked(handle, shared=not flags & os.O_RDWR):
            yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(handle: int, *, shared: bool) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        # A byte far behind the end: the content stays readable for all.
        far: Any = msvcrt
        os.lseek(handle, 2**31 - 2, os.SEEK_SET)
        far.locking(handle, far.LK_LOCK, 1)
        try:
            yield
        finally:
            os.lseek(handle, 2**31 - 2, os.SEEK_SET)
            far.locking(handle, far.LK_UNLCK, 1)
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    yield  # closing the file ends the lock


def _content(handle: int, size: int) -> bytes:
    """The first bytes of a file."""
    os.lseek(handle, 0, os.SEEK_SET)
    parts = []
    while size > 0 and (part := os.read(handle, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _append(handle: int, size: int, data: bytes) -> None:
    """Add data to a locked file of so many bytes; if that fails, take back what was added."""
    try:
        written = os.write(handle, data)
        while written < len(data):  # a full disk takes a part, and refuses the next
            written += os.write(handle, data[written:])
        os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise
