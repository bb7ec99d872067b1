"""The front page of a study of several protocols: who is where, and the way to each report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from popscan.names import subject_of
from popscan.records import Status
from popscan.report.blocks import Bullets, Card, Cards, Cell, Column, Section, Table, Text
from popscan.report.differing import differing_visits
from popscan.report.names import name_of
from popscan.report.single import write_page
from popscan.report.text import plural


@dataclass(frozen=True, kw_only=True)
class Part:
    """One protocol of the study.

    Attributes
    ----------
    name, title
        Of the protocol.
    n_subjects, n_analysed
        Of its part.
    sentences
        What the audit of its part says first.
    """

    name: str
    title: str
    n_subjects: int
    n_analysed: int
    sentences: Sequence[str] = field(default_factory=tuple)


def write_front_page(
    path: Path,
    *,
    name: str,
    parts: Sequence[Part],
    ledger: pd.DataFrame,
    subjects: pd.DataFrame,
    conflicts: Sequence[str] = (),
    agreement: pd.DataFrame | None = None,
    visits: pd.DataFrame | None = None,
    pages: Mapping[tuple[str, str], str] | None = None,
) -> Path:
    """Write the page.

    Parameters
    ----------
    path
        ``report/index.html`` of the study; its folder must exist.
    name
        Of the study.
    parts
        In the order of the config.
    ledger, subjects
        The joined tables (`popscan.study.joined`).
    conflicts
        Sentences on attributes that differ between parts.
    agreement
        Table of biomarkers that two protocols have (`popscan.study.agreeing`).
    visits
        Visits held against the limits of measurement (`popscan.study.agreeing_visits`).
    pages
        Protocol and unit -> page of a subject.
    """
    units = _counted(subjects)
    one, many = units.removesuffix("s"), units.capitalize()
    sections = [
        Section(
            ident="protocols",
            title="Protocols",
            lead="Each has a report of its own; names lead there.",
            blocks=[_cards(parts, subjects), *_warned(conflicts), _overview(parts, units=units)],
        ),
        Section(
            ident="together",
            title=f"{many} across protocols",
            lead=f"In how many, and in which, of the protocols a {one} is analysed.",
            blocks=[_together(parts, subjects, units=units)],
        ),
        Section(
            ident="stages",
            title=f"Every {one} at every stage",
            lead=f"Each row adds up to the number of {units} in the study: {len(subjects)}.",
            blocks=[_stages(ledger), _reasons(ledger, units=units)],
        ),
        *_agreement(agreement),
        *differing_visits(visits, pages or {}),
        *_audits(parts),
    ]
    titles = ", ".join(part.title for part in parts)
    return write_page(
        path,
        name=name,
        kind="study of several protocols",
        description=f"{len(subjects)} {units}, {len(parts)} protocols: {titles}.",
        sections=sections,
    )


def _cards(parts: Sequence[Part], subjects: pd.DataFrame) -> Cards:
    n, counts = len(subjects), subjects["n_analysed"]
    none = int((counts == 0).sum())
    people = subjects["unit"].astype(str).map(subject_of).nunique()
    units = _counted(subjects)
    return Cards(
        cards=[
            Card(
                value=str(n),
                label=units,
                note=f"of {plural(people, 'subject')}" if people < n else "",
            ),
            Card(value=str(int((counts == len(parts)).sum())), label="analysed in all protocols"),
            Card(value=str(int((counts > 0).sum())), label="analysed in at least one"),
            Card(value=str(none), label="analysed in none", tone="warn" if none else ""),
        ]
    )


def _warned(conflicts: Sequence[str]) -> list[Text]:
    return [Text(text=sentence, tone="warn") for sentence in conflicts]


def _overview(parts: Sequence[Part], *, units: str) -> Table:
    return Table(
        caption="Protocols of the study",
        columns=[
            Column(title="protocol"),
            Column(title="what it measures"),
            Column(title=units, numeric=True),
            Column(title="analysed", numeric=True),
        ],
        rows=[
            [
                Cell(text=part.name, href=f"../{part.name}/report/index.html"),
                Cell(text=part.title),
                _number(part.n_subjects),
                _number(part.n_analysed),
            ]
            for part in parts
        ],
    )


def _counted(subjects: pd.DataFrame) -> str:
    """Return what a table of units counts: visits where a subject has several."""
    units = subjects["unit"].astype(str)
    return "visits" if units.map(subject_of).nunique() < len(units) else "subjects"


def _together(parts: Sequence[Part], subjects: pd.DataFrame, *, units: str) -> Table:
    flags = [f"{part.name}_analysed" for part in parts]
    many = units.capitalize()
    counts = subjects.groupby(flags, sort=False).size().sort_index(ascending=False)
    keys = [key if isinstance(key, tuple) else (key,) for key in counts.index]
    return Table(
        caption=f"{many} by the protocols in which they are analysed",
        columns=[
            *(Column(title=part.name) for part in parts),
            Column(title=units, numeric=True),
        ],
        rows=[
            [*(Cell(text="analysed" if flag else "no") for flag in key), _number(int(count))]
            for key, count in zip(keys, counts, strict=True)
        ],
    )


def _stages(ledger: pd.DataFrame) -> Table:
    counts = ledger.groupby(["protocol", "stage", "status"], sort=False).size()
    order = ledger[["protocol", "stage"]].drop_duplicates().itertuples(index=False)
    statuses = [str(status) for status in Status]
    return Table(
        caption="Statuses by protocol and stage",
        columns=[
            Column(title="stage"),
            Column(title="protocol"),
            *(Column(title=status.replace("_", " "), numeric=True) for status in statuses),
        ],
        rows=[
            [
                Cell(text=str(stage)),
                Cell(text=str(protocol)),
                *(_number(int(counts.get((protocol, stage, s), 0))) for s in statuses),
            ]
            for protocol, stage in order
        ],
    )


def _reasons(ledger: pd.DataFrame, *, units: str) -> Table:
    ended = [str(Status.FAILED), str(Status.EXCLUDED)]
    lost = ledger[ledger["status"].isin(ended) | (ledger["reason"] == "no_images")]
    names = ["reason", "protocol", "stage", "status"]
    counts = lost.groupby(names, sort=False).size().rename("n").reset_index()
    return Table(
        caption=f"Why {units} were lost",
        columns=[
            *(Column(title=name) for name in names),
            Column(title=units, numeric=True),
        ],
        rows=[
            [*(Cell(text=str(row[name])) for name in names), _number(int(row["n"]))]
            for row in counts.to_dict("records")
        ],
        note="" if len(counts) else "No subject failed or was excluded.",
    )


def _agreement(table: pd.DataFrame | None) -> list[Section]:
    """Biomarkers that two protocols have: bias, limits, and who is outside them."""
    if table is None or table.empty:
        return []
    titles = ("biomarker", "protocols", "subjects", "bias", "limits of agreement", "outside")
    rows = [
        [
            Cell(text=_both_names(str(row["column"]), str(row["second_column"]))),
            Cell(text=f"{row['second']} less {row['first']}"),
            _number(int(row["n"])),
            Cell(text=f"{row['bias']:.1f}"),
            Cell(text=f"{row['loa_low']:.1f} to {row['loa_high']:.1f}"),
            Cell(text=str(row["outside"]) or "nobody"),
        ]
        for row in table.to_dict("records")
    ]
    return [
        Section(
            ident="agreement",
            title="One number by two protocols",
            lead="Where two protocols measure one quantity. Outside: subjects whose difference "
            "lies beyond the limits of all others; look at their images first.",
            blocks=[
                Table(
                    caption="Agreement between protocols (Bland and Altman)",
                    columns=[Column(title=title) for title in titles],
                    rows=rows,
                )
            ],
        )
    ]


def _both_names(first: str, second: str) -> str:
    """Title of a biomarker, and that of its equal in the second protocol where it has another."""
    titles = list(dict.fromkeys(name_of(name).full() for name in (first, second)))
    return " and ".join(titles)


def _audits(parts: Sequence[Part]) -> list[Section]:
    blocks = [
        block
        for part in parts
        if part.sentences
        for block in (Text(text=f"{part.title}:"), Bullets(items=list(part.sentences)))
    ]
    if not blocks:
        return []
    return [
        Section(
            ident="audit",
            title="Differences between groups",
            lead="What the audit of each protocol says first; the rest is in its report.",
            blocks=blocks,
        )
    ]


def _number(value: int) -> Cell:
    return Cell(text=str(value), sort=value)
