"""What a section is built of, before any HTML: cards, figures, tables, lists, notes.

Sections choose words and numbers; one template turns blocks into HTML. Text in blocks is plain
and is escaped by the template; only `markupsafe.Markup` made by `popscan.report.figures` is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

from popscan.report.text import shorten, title_of

#: A reason's code, not words.
_CODE = re.compile(r"[a-z][a-z0-9_]{0,60}")


@dataclass(frozen=True, kw_only=True)
class Card:
    """One key number; `tone` is ``good``, ``warn``, ``bad`` or empty."""

    value: str
    label: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class Cards:
    """A row of key numbers."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture that carries its own text alternative, and what it shows.

    Two `half` figures in a row stand side by side.
    """

    kind: ClassVar[str] = "figure"
    markup: Markup
    caption: str
    half: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table.

    `sort` is what sorting compares (the text by default), `tone` colours a badge, `markup` is a
    small drawing, `href` a link within the report, `heat` and `ink` the colours of a heat cell;
    `code` sets a machine name as it is, where other cells show its title; `hint` is shown on hover.
    """

    text: str = ""
    sort: float | str | None = None
    tone: str = ""
    markup: Markup | None = None
    href: str = ""
    heat: str = ""
    ink: str = ""
    code: bool = False
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table; `numeric` columns are set right-aligned.

    `hint` explains the title; `markup` (the scale of a column of intervals) stands below it.
    """

    title: str
    numeric: bool = False
    hint: str = ""
    markup: Markup | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a caption; the first column holds the row's heading.

    `groups` maps the index of a row to a heading that is set above it, `asides` to a remark
    below that heading. A `sortable` table is sorted and filtered in the browser, one with `groups`
    within each of them; every table can be downloaded as it is shown.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    sortable: bool = True
    groups: dict[int, str] = field(default_factory=dict)
    asides: dict[int, str] = field(default_factory=dict)
    dense: bool = False


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph; `tone` is empty, ``empty`` (nothing there), ``warn`` or ``key``."""

    kind: ClassVar[str] = "text"
    text: str
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"
    items: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text set as it is."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One thumbnail with its words and its page."""

    image: str
    alt: str
    title: str
    note: str = ""
    tone: str = ""
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Thumbnails side by side."""

    kind: ClassVar[str] = "gallery"
    caption: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Details:
    """Blocks that open on demand (and always in print)."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: Sequence[Block]


Block = Cards | Figure | Table | Text | Heading | Bullets | Code | Gallery | Details


@dataclass(frozen=True, kw_only=True)
class Section:
    """One numbered section of the report.

    `summary` is the line that a closed section shows; the lead or the first sentence by default.
    """

    ident: str
    title: str
    lead: str = ""
    blocks: Sequence[Block] = ()
    summary: str = ""

    @property
    def line(self) -> str:
        """The line that a closed section shows."""
        if self.summary or self.lead:
            return self.summary or self.lead
        for block in self.blocks:
            if isinstance(block, Text):
                return block.text
            if isinstance(block, Cards):
                return ", ".join(f"{card.value} {card.label}" for card in block.cards) + "."
            if isinstance(block, Figure | Table):
                return block.caption.partition(". ")[0].removesuffix(".") + "."
        return ""


def nothing(why: str) -> list[Block]:
    """Return the one sentence of a section that has nothing to show."""
    return [Text(text=why, tone="empty")]


def reason_cell(reason: str) -> Cell:
    """Return a reason by its title; its code, as docs/reasons.md lists it, on hover.

    Examples
    --------
    >>> reason_cell("truncated_file").text, reason_cell("truncated_file").hint
    ('Truncated file', 'truncated_file')
    """
    code = reason if _CODE.fullmatch(reason) else ""
    return Cell(text=shorten(title_of(reason, unit=False), 120), hint=code)
