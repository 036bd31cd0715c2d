"""A table of cells as text, as Markdown and as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

#: What Markdown reads as more than itself within a line.
_MARKED = re.compile(r"([\\`*_\[\]|~$])")


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines with columns of equal width."""
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in GitHub's Markdown, of cells that `markdown_text` has escaped already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in HTML, of cells that are escaped already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _MARKED.sub(r"\\\1", escape(" ".join(text.split()), quote=False))
