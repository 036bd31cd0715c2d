"""Finished fits in a file, each under a key that says what was fitted on what."""

from __future__ import annotations

import math
import warnings
from typing import Any

from skgroup.exceptions import FileFormatError, NotWrittenWarning
from skgroup.store import LineFile, path_of


class FitStore:
    """A file with a line of JSON a fit, written as soon as the fit is finished.

    Parameters
    ----------
    path : path-like or None
        None keeps nothing.

    Attributes
    ----------
    records : dict of str to dict
        The finished fits by their keys.
    unwritten : list of dict
        Those that are not in the file, because it could not be written.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path.
    FileFormatError
        If there is something else than a file of `compare`, or a record is damaged.
    OSError
        If the file cannot be read.
    """

    def __init__(self, path: Any) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.unwritten: list[dict[str, Any]] = []
        self._file = None
        if path is None:
            return
        path = path_of(path, "The 'results' parameter of compare")
        self._path = path
        self._file = LineFile(path, "results of compare", 1)
        try:
            for number, record in self._file.read():
                if not _is_whole(record):
                    raise FileFormatError(f"Line {number} of {path} is no record of a fit.")
                nets, *scores = _floats([record["nets"], *record["scores"]])
                self.records[record["key"]] = {**record, "scores": scores, "nets": nets}
        except FileFormatError as error:
            raise FileFormatError(
                "The 'results' parameter of compare must be the path of a new file or of one that "
                f"compare has written. {error}"
            ) from error

    def find(self, key: str, n_scores: int) -> dict[str, Any] | None:
        """The record of a fit; None if there is none.

        Raises
        ------
        FileFormatError
            If it does not hold so many scores.
        """
        record = self.records.get(key)
        if record is not None and len(record["scores"]) != n_scores:
            raise FileFormatError(
                f"The 'results' parameter of compare: a record in {self._path} must hold "
                f"{n_scores} scores. Got {len(record['scores'])}, under the key {key!r}."
            )
        return record

    def begin(self) -> None:
        """Find out whether the file can be written, before there is anything to lose."""
        if self._file is None:
            return
        try:
            self._file.begin()
        except OSError as error:
            raise OSError(
                error.errno, f"The 'results' parameter of compare: {error.strerror}"
            ) from error

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record; its "key" says what of, its "scores" are floats.

        Where the file cannot be written (a full disk) it is kept in memory, with a warning, and
        written with a later one if that can be.
        """
        self.records[record["key"]] = record
        if self._file is None:
            return
        scores = [float(s) if math.isfinite(s) else None for s in record["scores"]]
        nets = record["nets"] if math.isfinite(record["nets"]) else None
        first = not self.unwritten
        self.unwritten.append({**record, "scores": scores, "nets": nets})
        try:
            while self.unwritten:
                self._file.append(self.unwritten[0])
                del self.unwritten[0]
        except (OSError, FileFormatError) as error:
            if first:
                warnings.warn(
                    "The 'results' parameter of compare: a fit is kept in memory alone, and "
                    f"written with a later one if that can be. {error}",
                    NotWrittenWarning,
                    stacklevel=4,
                )


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record holds what `add` wrote."""
    scores: Any = record.get("scores")
    seconds: Any = record.get("seconds")
    return (
        isinstance(record.get("key"), str)
        and isinstance(scores, list)
        and all(score is None or _is_number(score) for score in scores)
        and _is_number(seconds)
        and seconds >= 0
        and "nets" in record
        and (record["nets"] is None or (_is_number(record["nets"]) and record["nets"] >= 0))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _floats(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]
