"""A page of its own in the report's dress: what is not the report of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popscan.disk import write_atomic
from popscan.report.blocks import Section
from popscan.report.pages import render_page


def write_page(
    path: Path, *, name: str, kind: str, description: str, sections: Sequence[Section]
) -> Path:
    """Write one self-contained HTML page; the same sections give the same bytes.

    Parameters
    ----------
    path
        The file; its folder must exist.
    name, kind
        What the page is on, and what it is (``experiment``).
    description
        One sentence below the title.
    sections
        Its content; all text in it is escaped.
    """
    html = render_page(
        "single.html.j2",
        name=name,
        kind=kind,
        description=description,
        people="",
        sections=list(sections),
    )
    write_atomic(path, html.encode())
    return path
