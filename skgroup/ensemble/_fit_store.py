"""Finished fits in a file, each under a key that says what was fitted on what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skgroup.training._identity import fingerprint, key_of

__all__ = ["FitStore", "fingerprint", "key_of"]


class FitStore:
    """A file with a line of JSON a fit, written as soon as the fit is finished.

    Parameters
    ----------
    path : path-like or None
        None keeps nothing.

    Raises
    ------
    ValueError
        If there is a file that holds other things.
    OSError
        If the file cannot be written.
    """

    def __init__(self, path: Any) -> None:
        self.path = None if path is None else Path(path)
        self.records: dict[str, dict[str, Any]] = {}
        if self.path is None:
            return
        with self.path.open("a+b") as file:
            file.seek(0)
            lines = file.read().splitlines(keepends=True)
            good = 0
            for i, line in enumerate(lines):
                whole = line.endswith(b"\n")
                if i == len(lines) - 1 and not whole:
                    break  # an interruption cut it off
                self._read(line)
                good += len(line)
            file.truncate(good)

    def _read(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            key, record["scores"] = record["key"], _floats(record["scores"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                "The 'results' parameter of compare must be the path of a new file or of one that "
                f"compare has written. {self.path} holds something else."
            ) from None
        self.records[key] = record

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record; its "key" says what of, its "scores" are floats."""
        self.records[record["key"]] = record
        if self.path is None:
            return
        scores = [None if s != s else float(s) for s in record["scores"]]
        with self.path.open("a") as file:
            file.write(json.dumps({**record, "scores": scores}) + "\n")


def _floats(scores: list[float | None]) -> list[float]:
    return [float("nan") if s is None else float(s) for s in scores]
