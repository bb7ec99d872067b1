"""The page for judging subjects by eye; what it saves is the table of overrides."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from popscan.disk import write_atomic
from popscan.report.blocks import Block, Bullets, Details
from popscan.report.context import FlaggedSubject, StudyContext
from popscan.report.pages import render_page
from popscan.report.subject import (
    SubjectTables,
    check_sentences,
    check_table,
    curve_figure,
    loop_figure,
    reasons_in_words,
)

#: Offered as reasons by a key each; any other may be typed.
REASONS = (
    "images and contours are good",
    "contours are wrong",
    "motion or wrong triggering",
    "artefact or noise",
    "slices are missing or cut off",
    "wrong view or wrong subject",
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One subject on the page."""

    unit: str
    verdict: str
    blocks: list[Block]


def review_page(
    path: Path,
    context: StudyContext,
    subjects: Iterable[FlaggedSubject],
    *,
    earlier: pd.DataFrame | None = None,
) -> Path:
    """Write the page.

    Parameters
    ----------
    path
        The file; its folder must exist.
    context
        Name, checks, ledger and biomarkers of the study.
    subjects
        Whom to judge, with their images; consumed one by one.
    earlier
        Overrides that there are, ``unit, verdict, reason, name, date`` as text: the page saves
        them with the new ones, unless they are judged anew.

    Returns
    -------
    Path
        The file.
    """
    tables = SubjectTables.of(context)
    rows = [] if earlier is None else earlier.to_dict("records")
    html = render_page(
        "review.html.j2",
        scripts=("report.js", "review.js"),
        study=context.name,
        reasons=REASONS,
        subjects=[
            Judged(unit=one.unit, verdict=one.verdict, blocks=_blocks(tables, one))
            for one in subjects
        ],
        earlier=json.dumps(rows),
    )
    write_atomic(path, html.encode())
    return path


def _blocks(tables: SubjectTables, subject: FlaggedSubject) -> list[Block]:
    sentences = check_sentences(tables, subject.unit) or reasons_in_words(subject)
    blocks: list[Block] = [*loop_figure(subject, slices=6, size_px=150)]
    blocks += [Bullets(items=sentences)] if sentences else []
    blocks += curve_figure(subject)
    blocks.append(Details(summary="All checks", blocks=check_table(tables, subject.unit)))
    return blocks
