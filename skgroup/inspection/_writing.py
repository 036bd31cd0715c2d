"""How names and numbers are written in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

#: Longer names are cut in the middle.
_LONGEST = 30
#: Widths of what numbers are written with.
MINUS = "\N{MINUS SIGN}"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_WIDTHS = {".": 0.32, MINUS: 0.84, "+": 0.84}


def short(name: str, longest: int = _LONGEST) -> str:
    """A name, cut in the middle if it is long."""
    if len(name) <= longest:
        return name
    head = longest * 2 // 3
    return name[:head] + "…" + name[len(name) - (longest - head - 1) :]


def listed(names: Iterable[str], most: int) -> str:
    """Names with commas, and how many more there are than `most`."""
    names = list(names)
    if len(names) <= most + 1:  # the last one is no longer than to say that it is left out
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def power_of(limit: float) -> int:
    """The power of ten that numbers of sizes up to `limit` are best divided by to be read; 0 of
    those that are read as they are."""
    return int(np.floor(np.log10(limit))) if limit > 0 and not 0.01 <= limit < 1000 else 0


def times(power: int) -> str:
    """What a power of ten is written as behind the name of a quantity."""
    return f" (\N{MULTIPLICATION SIGN}10{str(power).translate(_RAISED)})" if power else ""


def format_of(limit: float) -> Callable[[float], str]:
    """How to write numbers of sizes up to about `limit`, with two digits that count."""
    digits = int(np.clip(1 - np.floor(np.log10(limit)), 0, 9)) if limit > 0 else 2

    def write(value: float) -> str:
        if np.isnan(value):
            return ""
        text = f"{value:.{digits}f}" if digits <= 4 else f"{value:.1e}" if value else "0"
        if float(text) == 0:
            text = text.lstrip("-")
        return text.replace("-", MINUS)

    return write


def labels_of(values: NDArray, limit: float) -> NDArray[np.str_]:
    """Numbers written for cells, nothing for NaN."""
    write = format_of(limit)
    labels = [write(v) for v in values.ravel()]
    return np.array(labels, dtype=str).reshape(values.shape)


def text_width(text: str) -> float:
    """Width of a written number, in sizes of its letters."""
    return sum(_WIDTHS.get(letter, 0.64) for letter in text)
