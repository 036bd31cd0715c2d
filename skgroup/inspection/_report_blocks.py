"""What a report is made of: blocks that show themselves as text, Markdown and HTML."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from skgroup._tables import html_table, markdown_table, markdown_text, text_table
from skgroup.inspection._panels import import_pyplot

#: Letters of a line of text, where no table is wider.
_WIDTH = 88
#: Dots an inch of pictures.
_DPI = 100


class Block:
    """A part of a section."""

    def to_text(self) -> str:
        raise NotImplementedError

    def to_markdown(self, files: Mapping[str, str]) -> str:
        """`files`: where the pictures are, by their names; those that are nowhere are left out."""
        raise NotImplementedError

    def to_html(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Block):
    """A paragraph."""

    text: str

    def to_text(self) -> str:
        return textwrap.fill(self.text, _WIDTH)

    def to_markdown(self, files: Mapping[str, str]) -> str:
        return markdown_text(self.text)

    def to_html(self) -> str:
        return f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Items(Block):
    """Labelled texts below each other."""

    items: Sequence[tuple[str, str]]

    def to_text(self) -> str:
        return "\n".join(
            textwrap.fill(f"- {label} {text}", _WIDTH, subsequent_indent="  ")
            for label, text in self.items
        )

    def to_markdown(self, files: Mapping[str, str]) -> str:
        return "\n".join(
            f"- **{markdown_text(label)}** {markdown_text(text)}" for label, text in self.items
        )

    def to_html(self) -> str:
        items = "".join(
            f"<li><b>{escape(label)}</b> {escape(text)}</li>" for label, text in self.items
        )
        return f"<ul>{items}</ul>"


@dataclass(frozen=True)
class Call(Block):
    """What is not known, and the code by which it would be."""

    text: str
    code: str

    def to_text(self) -> str:
        return f"{textwrap.fill(self.text, _WIDTH)}\n\n{textwrap.indent(self.code, '    ')}"

    def to_markdown(self, files: Mapping[str, str]) -> str:
        return f"{markdown_text(self.text)}\n\n```python\n{self.code}\n```"

    def to_html(self) -> str:
        return f"<p>{escape(self.text)}</p><pre>{escape(self.code)}</pre>"


@dataclass(frozen=True)
class Table(Block):
    """Cells below a head, and a note on them."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def to_text(self) -> str:
        note = f"\n{textwrap.fill(self.note, _WIDTH)}" if self.note else ""
        return text_table(self.head, self.rows) + note

    def to_markdown(self, files: Mapping[str, str]) -> str:
        head, *rows = [[markdown_text(cell) for cell in row] for row in (self.head, *self.rows)]
        note = f"\n\n{markdown_text(self.note)}" if self.note else ""
        return markdown_table(head, rows) + note

    def to_html(self) -> str:
        head, *rows = [[escape(cell) for cell in row] for row in (self.head, *self.rows)]
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return html_table(head, rows) + note


@dataclass(frozen=True)
class Picture(Block):
    """A figure.

    Attributes
    ----------
    name : str
        Of its file, among the pictures of a report.
    caption : str
        What it shows, for those too who do not see it.
    draw : callable
        Returns the matplotlib Figure.
    """

    name: str
    caption: str
    draw: Callable[[], Any]

    def png(self) -> bytes:
        """The picture as a file; drawn anew in each call, and closed."""
        plt = import_pyplot("A report with pictures")
        from PIL import Image

        with plt.ioff():
            figure = self.draw()
            data = io.BytesIO()
            figure.savefig(data, format="png", dpi=_DPI)
            plt.close(figure)
        # With a palette a picture has a third of the bytes.
        with Image.open(data) as image, io.BytesIO() as small:
            image.convert("RGB").quantize(256).save(small, format="png", optimize=True)
            return small.getvalue()

    def to_text(self) -> str:
        return ""

    def to_markdown(self, files: Mapping[str, str]) -> str:
        if self.name not in files:
            return ""
        caption = markdown_text(self.caption)
        return f"![{caption}]({quote(files[self.name])})\n\n{caption}"

    def to_html(self) -> str:
        caption = escape(self.caption)
        try:
            data = base64.b64encode(self.png()).decode()
        except ImportError as error:
            return f"<p>{caption} (Not drawn. {escape(str(error))})</p>"
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]

    def to_text(self) -> str:
        shown = [block.to_text() for block in self.blocks]
        return "\n\n".join([f"{self.title}\n{'-' * len(self.title)}", *filter(None, shown)])

    def to_markdown(self, files: Mapping[str, str]) -> str:
        shown = [block.to_markdown(files) for block in self.blocks]
        return "\n\n".join([f"## {markdown_text(self.title)}", *filter(None, shown)])

    def to_html(self) -> str:
        return f"<h2>{escape(self.title)}</h2>" + "".join(b.to_html() for b in self.blocks)

    @property
    def pictures(self) -> list[Picture]:
        return [block for block in self.blocks if isinstance(block, Picture)]
