"""Pages of single subjects, and the page on which people judge them: made on demand."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from popscan.opened import OpenedStudy
from popscan.protocols import protocol_of
from popscan.qc.overrides import tidy_overrides
from popscan.records import PopscanError, SubjectError
from popscan.registry import read_registry
from popscan.report.context import FlaggedSubject, StudyContext
from popscan.report.pages import write_subject
from popscan.report.subject import SubjectTables
from popscan.stages.atlas.subject_report import UnusualPlaces
from popscan.stages.motion.report import subject_figures
from popscan.stages.report.flagged import units_to_look_at, with_pictures
from popscan.study.overrides import read_overrides
from popscan.study.tables import read_table

#: Most subjects on one page of reviews: each takes about 0.3 MB.
MAX_REVIEWED = 300


def visits(study: OpenedStudy, names: Sequence[str]) -> list[str]:
    """Return the units that names mean: a unit, or all visits of a subject.

    Raises
    ------
    PopscanError
        Listing the names that no unit has, with similar ones.
    """
    units = list(dict.fromkeys(map(str, read_table(study.root, "ledger")["unit"])))
    known: dict[str, list[str]] = {}
    for unit in units:
        for name in {unit, unit.partition("_ses-")[0]}:
            for spelling in (name, name.removeprefix("sub-")):
                known.setdefault(spelling, []).append(unit)
    absent = [name for name in names if name not in known]
    if absent:
        near = difflib.get_close_matches(absent[0], list(known), n=3)
        raise PopscanError(
            f"{study.root}: no subject {', '.join(absent[:10])}"
            + (f"; did you mean {', '.join(near)}?" if near else "")
        )
    return list(dict.fromkeys(unit for name in names for unit in known[name]))


def write_pages(study: OpenedStudy, names: Sequence[str]) -> list[Path]:
    """Write a page of each subject below ``report/subjects`` and return the files.

    Parameters
    ----------
    study
        The study.
    names
        Units, or subjects of which every visit gets its page.
    """
    units = visits(study, names)
    context = subject_context(study, units)
    folder = study.root / "report" / "subjects"
    folder.mkdir(parents=True, exist_ok=True)
    tables = SubjectTables.of(context)
    return [write_subject(context, tables, subject, folder) for subject in pictured(study, units)]


def subject_context(study: OpenedStudy, units: Sequence[str]) -> StudyContext:
    """Return what pages of subjects need of a study."""
    ledger = read_table(study.root, "ledger")
    checks = read_table(study.root, "qc_checks")
    cost = study.root / "tables" / "cost.parquet"
    if cost.is_file() and len(ledger):
        cost_rows = read_table(study.root, "cost")[["unit", "stage", "seconds"]]
        ledger = ledger.merge(cost_rows, on=["unit", "stage"], how="left")
    return StudyContext(
        name=str(study.config["study"]["name"]),
        protocol=protocol_of(study.config),
        ledger=ledger,
        qc_checks=checks[checks["unit"].isin(units)] if len(checks) else checks,
        biomarkers=read_table(study.root, "biomarkers"),
        with_pages=_order(study, units),
    )


def _order(study: OpenedStudy, units: Sequence[str]) -> list[str]:
    """Return the units that have a page: those of the report, then others by name."""
    limit = int(study.config["report"]["max_flagged_pages"])
    flagged = units_to_look_at(study.root, limit=limit)
    there = {path.stem for path in (study.root / "report" / "subjects").glob("*.html")}
    return [*flagged, *sorted({*units, *there} - set(flagged))]


def pictured(study: OpenedStudy, units: Sequence[str]) -> list[FlaggedSubject]:
    """Return the subjects with verdict, reasons, and images where they have any."""
    qc = read_table(study.root, "qc")
    ledger = read_table(study.root, "ledger")
    rows = {str(row["unit"]): row for row in qc.to_dict("records")} if len(qc) else {}
    failed = ledger[ledger["status"] == "failed"].groupby("unit", sort=False)
    lost = {
        str(unit): [
            f"{row['stage']}: {row['reason']}: {row['message']}" for row in part.to_dict("records")
        ]
        for unit, part in failed
    }
    figures = subject_figures(study.root, protocol_of(study.config))
    shards = read_registry(study.root / "plan" / "registry.tsv")
    places = UnusualPlaces(study.root, study.config)
    return [
        replace(
            _subject(study, unit, rows.get(unit, {}), lost.get(unit, [])),
            figures=[
                *([figures[unit]] if unit in figures else []),
                *places.of(unit, shards.get(unit, "")),
            ],
        )
        for unit in units
    ]


def _subject(
    study: OpenedStudy, unit: str, row: Mapping[Hashable, object], lost: Sequence[str]
) -> FlaggedSubject:
    checks = f"{row.get('failed') or ''} {row.get('review') or ''}".split()
    verdict = str(row.get("verdict") or ("failed" if lost else "not judged"))
    subject = FlaggedSubject(unit=unit, verdict=verdict, reasons=[*lost, *checks])
    try:
        return with_pictures(study.shard_of(unit), subject)
    except SubjectError as error:
        return replace(subject, reasons=[*subject.reasons, f"no picture: {error}"])


def write_review(
    study: OpenedStudy,
    *,
    names: Sequence[str] = (),
    verdicts: Sequence[str] = ("fail", "review"),
    limit: int = MAX_REVIEWED,
    out: Path | None = None,
) -> tuple[Path, int, int]:
    """Write the page for judging subjects by eye.

    Parameters
    ----------
    study
        The study.
    names
        Whom to judge; by default those with one of `verdicts`, the gravest first.
    verdicts
        Automatic or overridden verdicts that are judged.
    limit
        Most subjects.
    out
        The file; ``report/review.html`` of the study by default.

    Returns
    -------
    tuple of Path, int, int
        The file, how many subjects it shows, and how many were left out by `limit`.

    Raises
    ------
    PopscanError
        If there is nobody to judge.
    """
    from popscan.report.review import review_page

    units = visits(study, names) if names else _by_verdict(study, verdicts)
    if not units:
        raise PopscanError(f"{study.root}: no subject has the verdict {' or '.join(verdicts)}")
    shown = units[:limit]
    context = subject_context(study, shown)
    path = out or study.root / "report" / "review.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    review_page(path, context, _pictures_of(study, shown), earlier=_earlier(study))
    return path, len(shown), len(units) - len(shown)


def _pictures_of(study: OpenedStudy, units: Sequence[str]) -> Iterator[FlaggedSubject]:
    """Yield one subject after the other: pictures of all would fill the memory."""
    for unit in units:
        yield pictured(study, [unit])[0]


def _by_verdict(study: OpenedStudy, verdicts: Sequence[str]) -> list[str]:
    qc = read_table(study.root, "qc")
    if not len(qc):
        return []
    parts = [qc.loc[qc["verdict"] == verdict, "unit"] for verdict in verdicts]
    return [str(unit) for unit in pd.concat(parts)]


def _earlier(study: OpenedStudy) -> pd.DataFrame:
    """Return the overrides that the study's config names; they are refused if they are gone.

    A page without them would save a file without them.
    """
    path = str(study.config.get("qc", {}).get("overrides") or "")
    if not path:
        return pd.DataFrame(columns=["unit", "verdict", "reason", "name", "date"])
    return tidy_overrides(read_overrides(Path(path)))
