"""The page of one flagged subject: overlays, volume curve, checks, history."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.report.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    Figure,
    Heading,
    Table,
    nothing,
    reason_cell,
)
from popscan.report.context import FlaggedSubject, StudyContext
from popscan.report.figures.base import image_tag, png_uri
from popscan.report.figures.curve import volume_curve
from popscan.report.figures.loop import frame_loop
from popscan.report.figures.overlays import slice_grid
from popscan.report.neighbours import Others, resembling
from popscan.report.text import DASH, measured, number, plural, shorten, stage_title, title_of
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import study_units

_TONES = {
    "pass": "good", "ok": "good", "review": "warn", "excluded": "warn", "fail": "bad",
    "failed": "bad",
}  # fmt: skip


def _overlays(subject: FlaggedSubject) -> list[Block]:
    image = subject.image
    if image is None or image.ndim != 4 or not image.size:
        return nothing("There is no image of this subject to show.")
    labels = subject.labels
    if labels is not None and labels.shape != image.shape:
        labels = None
    blocks: list[Block] = []
    for frame in range(image.shape[3]):
        names = subject.frame_names
        name = names[frame] if frame < len(names) else f"frame {frame + 1}"
        sheet = slice_grid(
            image, labels, frame=frame, outlines=subject.outlines, spacing_mm=subject.spacing_mm
        )
        blocks.append(
            Figure(
                markup=image_tag(
                    png_uri(sheet),
                    alt=f"{plural(image.shape[2], 'slice')} of {subject.unit} at {name}"
                    + (" with label contours" if labels is not None else " without labels"),
                    width_px=sheet.width,
                    height_px=sheet.height,
                ),
                caption=f"{name}: slices from the first to the last. "
                + (subject.legend if labels is not None else "There are no labels."),
            )
        )
    return blocks


def _curves(subject: FlaggedSubject) -> dict[str, NDArray[np.float64]]:
    given = subject.volume_curve_ml
    if given is None:
        return {}
    named: Mapping[str, NDArray] = given if isinstance(given, Mapping) else {"volume": given}
    curves = {}
    for name, values in named.items():
        curve = np.asarray(values, dtype=float).ravel()
        if np.isfinite(curve).any():
            curves[str(name)] = np.where(np.isfinite(curve), curve, np.nan)
    return curves


def curve_figure(subject: FlaggedSubject) -> list[Block]:
    """Return the volumes in every frame."""
    curves = _curves(subject)
    if not curves:
        return nothing("There is no volume curve: no frame has a measured volume.")
    times = subject.frame_times_ms
    longest = max(len(curve) for curve in curves.values())
    if times is not None and (len(times) != longest or len({len(c) for c in curves.values()}) > 1):
        times = None
    return [
        Figure(
            markup=volume_curve(curves, times, structures=subject.structures),
            caption="Volume (mL) in every frame.",
        )
    ]


class RowsByUnit:
    """Rows of a table by unit: few units are read, of perhaps very many.

    Parameters
    ----------
    table
        Any with ``unit``; without it, nobody has rows.
    units
        Whose rows are read, where that is known beforehand; all by default.
    """

    def __init__(self, table: pd.DataFrame, units: Collection[str] = ()) -> None:
        self._table = table
        self._places: dict[str, NDArray[np.intp]] = {}
        if "unit" not in table or not len(table):
            return
        names = words(table["unit"])
        rows = np.flatnonzero(names.isin(list(units))) if units else np.arange(len(table))
        groups = table.iloc[rows].groupby(names.iloc[rows], sort=False).indices
        self._places = {str(unit): rows[places] for unit, places in groups.items()}

    def get(self, unit: str) -> pd.DataFrame | None:
        """Return the rows of a unit; None if it has none."""
        places = self._places.get(unit)
        return None if places is None else self._table.iloc[places]


@dataclass(frozen=True, kw_only=True)
class SubjectTables:
    """Rows of the study's tables by unit, found once for all pages."""

    checks: RowsByUnit
    ledger: RowsByUnit
    biomarkers: RowsByUnit
    others: Others

    @classmethod
    def of(cls, context: StudyContext) -> SubjectTables:
        """Index the tables of a study."""
        checks = context.qc_checks if context.flagged_checks is None else context.flagged_checks
        outcomes = [one.name for one in context.protocol.outcomes]
        return cls(
            checks=RowsByUnit(checks, context.with_pages),
            ledger=RowsByUnit(context.ledger, context.with_pages),
            biomarkers=RowsByUnit(context.biomarkers, context.with_pages),
            others=Others(context.biomarkers, study_units(context), outcomes),
        )


def loop_figure(subject: FlaggedSubject, *, slices: int = 3, size_px: int = 240) -> list[Block]:
    """Return the loop over the frames, with contours; nothing where there is no image."""
    image, labels = subject.loop, subject.loop_labels
    if image is None or image.ndim != 4 or not image.size:
        return []
    if labels is not None and labels.shape != image.shape:
        labels = None
    frames = image.shape[3]
    markup = frame_loop(
        image,
        labels,
        outlines=subject.outlines,
        spacing_mm=subject.spacing_mm,
        slices=slices,
        size_px=size_px,
        alt=f"{plural(frames, 'frame')} of some slices of {subject.unit}",
    )
    what = f"{plural(frames, 'frame')}; slices between the first and the last with labels."
    return [Figure(markup=markup, caption=f"{what} {subject.legend if labels is not None else ''}")]


def reasons_in_words(subject: FlaggedSubject) -> list[str]:
    """Return why a subject is to be looked at: names of checks become titles."""
    return [shorten(str(reason)) for reason in subject.reasons]


#: Messages of checks begin with their value.
_VALUE_AGAIN = re.compile(r"[-−+]?\d")


def check_sentences(tables: SubjectTables, unit: str) -> list[str]:
    """Return what every check found that did not pass, the failed ones first."""
    mine = complete(
        _known(tables.checks.get(unit)),
        "check", "value", "threshold", "unit_of_value", "verdict", "message",
    )  # fmt: skip
    texts = ("check", "threshold", "unit_of_value", "verdict", "message")
    sentences: dict[str, list[str]] = {"fail": [], "review": []}
    for value, check, limits, unit_of_value, verdict, message in zip(
        numbers(mine["value"]), *(words(mine[c]) for c in texts), strict=True
    ):
        if verdict not in sentences:
            continue
        title = title_of(check, unit=False)
        limits_text = f" (limits: {shorten(limits, 60)})" if limits else ""
        found = f": {measured(value)} {unit_of_value}".rstrip() if math.isfinite(value) else ""
        text = f"{title}{found}{limits_text}. "
        if _VALUE_AGAIN.match(message):
            message = message.partition(": ")[2] or message
        message = message[:1].upper() + message[1:]
        sentences[verdict].append(f"{'Failed' if verdict == 'fail' else 'To review'}. {text}"
                                  + shorten(message))  # fmt: skip
    return [sentence.strip() for verdict in ("fail", "review") for sentence in sentences[verdict]]


def _known(rows: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame() if rows is None else rows


def check_table(tables: SubjectTables, unit: str) -> list[Block]:
    """Return every check of a subject, the failed ones first."""
    mine = complete(
        _known(tables.checks.get(unit)),
        "unit", "check", "kind", "value", "threshold", "unit_of_value", "verdict", "message",
    )  # fmt: skip
    if not len(mine):
        return nothing("No check has been made of this subject.")
    rank = {"fail": 0, "review": 1}
    mine = mine.assign(rank=words(mine["verdict"]).map(rank).fillna(2)).sort_values(
        "rank", kind="stable"
    )
    names = ("check", "kind", "threshold", "unit_of_value", "verdict", "message")
    rows = []
    for value, check, kind, threshold, unit_of_value, verdict, message in zip(
        numbers(mine["value"]), *(words(mine[c]) for c in names), strict=True
    ):
        limit = pd.to_numeric(threshold, errors="coerce")
        rows.append(
            [
                Cell(text=title_of(check, unit=False)),
                Cell(text=kind),
                Cell(text=measured(value)),
                Cell(text=unit_of_value if math.isfinite(value) else ""),
                Cell(text=verdict.replace("_", " ") or "unknown", tone=_TONES.get(verdict, "")),
                Cell(text=(threshold if pd.isna(limit) else measured(limit)) or DASH),
                Cell(text=shorten(message)),
            ]
        )
    columns = [
        Column(title="Check"), Column(title="Kind"), Column(title="Value", numeric=True),
        Column(title="Unit"), Column(title="Verdict"), Column(title="Limits"),
        Column(title="Message"),
    ]  # fmt: skip
    return [Table(caption="Every check of this subject.", columns=columns, rows=rows, dense=True)]


def _history(tables: SubjectTables, unit: str) -> list[Block]:
    mine = complete(
        _known(tables.ledger.get(unit)),
        "unit", "stage", "status", "reason", "message", "seconds",
    )  # fmt: skip
    if not len(mine):
        return nothing("The ledger has no record of this subject.")
    rows = [
        [Cell(text=stage_title(stage)),
         Cell(text=status.replace("_", " "), tone=_TONES.get(status, "")),
         reason_cell(reason), Cell(text=shorten(message)),
         Cell(text=number(seconds))]
        for stage, status, reason, message, seconds in zip(
            *(words(mine[c]) for c in ("stage", "status", "reason", "message")),
            numbers(mine["seconds"]), strict=True,
        )
    ]  # fmt: skip
    columns = [Column(title=t) for t in ("Stage", "Status", "Reason", "Message")]
    columns.append(Column(title="Seconds", numeric=True))
    return [Table(caption="What every stage recorded.", columns=columns, rows=rows, sortable=False)]


def _values(tables: SubjectTables, unit: str) -> list[Block]:
    table = tables.biomarkers.get(unit)
    if table is None:
        return nothing("This subject has no biomarkers.")
    row = table.iloc[-1]
    rows = [
        [Cell(text=title_of(str(column))), Cell(text=number(row[column]))]
        for column in table.columns
        if column != "unit" and pd.api.types.is_numeric_dtype(table[column])
    ]
    columns = [Column(title="Biomarker"), Column(title="Value", numeric=True)]
    return [Table(caption="Biomarkers of this subject.", columns=columns, rows=rows, dense=True)]


def subject_blocks(
    tables: SubjectTables, subject: FlaggedSubject, *, pages: Mapping[str, str] | None = None
) -> list[Block]:
    """Return everything the page of one subject shows.

    Parameters
    ----------
    tables
        Of the study.
    subject
        With its images.
    pages
        Unit -> file of those who have a page, for links; none by default.
    """
    unit = subject.unit
    why = check_sentences(tables, unit)
    others = [reason for reason in reasons_in_words(subject) if not why or ":" in reason]
    blocks: list[Block] = [Bullets(items=[*others, *why])] if others or why else []
    loop = loop_figure(subject)
    blocks += [Heading(text="Loop over the frames"), *loop] if loop else []
    blocks += [Heading(text="Volume curve"), *curve_figure(subject)]
    blocks += [Heading(text="Labels over images"), *_overlays(subject)]
    if subject.figures:
        blocks.append(Heading(text="Motion"))
        blocks += [Figure(markup=markup, caption=caption) for markup, caption in subject.figures]
    near = resembling(tables.others, unit, pages or {})
    blocks += [Heading(text="Among the others"), *near] if near else []
    blocks += [Heading(text="Checks"), *check_table(tables, unit)]
    blocks += [Heading(text="Biomarkers"), *_values(tables, unit)]
    blocks += [Heading(text="Stages"), *_history(tables, unit)]
    return blocks
