"""Finished fits in a file, each under a key that says what was fitted on what."""

from __future__ import annotations

import math
import warnings
from typing import Any

from skgroup.comparison._groupings import are_groups
from skgroup.exceptions import FileFormatError, NotWrittenWarning
from skgroup.store import LineFile, path_of


class FitStore:
    """A file with a line of JSON a fit, written as soon as the fit is finished.

    Parameters
    ----------
    path : path-like or None
        None keeps nothing.
    scorings : dict of str to str
        What each scoring is called in the file, by its name.

    Attributes
    ----------
    records : dict of str to dict
        The finished fits by their keys, with their scores by what the scorings are called.
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

    def __init__(self, path: Any, scorings: dict[str, str]) -> None:
        self._scorings = scorings
        self.records: dict[str, dict[str, Any]] = {}
        self.unwritten: list[dict[str, Any]] = []
        self._file = None
        if path is None:
            return
        path = path_of(path, "The 'results' parameter of compare")
        self._path = path
        self._file = LineFile(path, "results of compare", 2)
        try:
            for number, record in self._file.read():
                if not _is_whole(record):
                    raise FileFormatError(f"Line {number} of {path} is no record of a fit.")
                (nets,) = _floats([record["nets"]])
                scores = {key: _floats(of_tasks) for key, of_tasks in record["scores"].items()}
                self._keep({**record, "scores": scores, "nets": nets})
        except FileFormatError as error:
            raise FileFormatError(
                "The 'results' parameter of compare must be the path of a new file or of one that "
                f"compare has written. {error}"
            ) from error

    def _keep(self, record: dict[str, Any]) -> None:
        before = self.records.get(record["key"], {"scores": {}})  # by other scorings
        scores = {**before["scores"], **record["scores"]}
        self.records[record["key"]] = {**record, "scores": scores}

    def find(self, key: str, n_tasks: int) -> dict[str, Any] | None:
        """The record of a fit, with its scores by the names of scorings; None if there is none
        with a score of each.

        Raises
        ------
        FileFormatError
            If it does not hold so many scores.
        """
        record = self.records.get(key)
        if record is None or not set(self._scorings.values()) <= set(record["scores"]):
            return None
        scores = {name: record["scores"][called] for name, called in self._scorings.items()}
        for of_tasks in scores.values():
            if len(of_tasks) != n_tasks:
                raise FileFormatError(
                    f"The 'results' parameter of compare: a record in {self._path} must hold "
                    f"{n_tasks} scores. Got {len(of_tasks)}, under the key {key!r}."
                )
        return {**record, "scores": scores}

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
        """Keep a record; its "key" says what of, its "scores" are lists of floats by the names of
        scorings.

        Where the file cannot be written (a full disk) it is kept in memory, with a warning, and
        written with a later one if that can be.
        """
        if self._file is None:
            return
        record = {
            **record,
            "scores": {self._scorings[name]: of for name, of in record["scores"].items()},
        }
        self._keep(record)
        scores = {called: _finite(of_tasks) for called, of_tasks in record["scores"].items()}
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
        and isinstance(scores, dict)
        and all(isinstance(of_tasks, list) for of_tasks in scores.values())
        and all(s is None or _is_number(s) for of_tasks in scores.values() for s in of_tasks)
        and _is_number(seconds)
        and seconds >= 0
        and are_groups(record.get("groups"))
        and "nets" in record
        and (record["nets"] is None or (_is_number(record["nets"]) and record["nets"] >= 0))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _floats(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]


def _finite(values: list[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
