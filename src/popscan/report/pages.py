"""From a study's context to HTML pages that need nothing but a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

import popscan
from popscan.disk import write_atomic
from popscan.records import PopscanError, check_identifier
from popscan.report.blocks import Section
from popscan.report.columns import SharedColumns
from popscan.report.context import FlaggedSubject, StudyContext
from popscan.report.figures.base import png_uri
from popscan.report.figures.overlays import thumbnail
from popscan.report.names import readable, readable_svg
from popscan.report.people import people_index
from popscan.report.sections import (
    along,
    atlas,
    attrition,
    biomarkers,
    cohort,
    cost,
    extra,
    fairness,
    methods,
    overview,
    qc,
    quality,
    reconstruction,
)
from popscan.report.sections.common import Options
from popscan.report.sections.qc import FlaggedPage
from popscan.report.share import shareable
from popscan.report.subject import SubjectTables, subject_blocks


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("popscan.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"readable": readable, "readable_svg": readable_svg}
    return environment


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def render_page(
    template: str, *, scripts: Sequence[str] = ("report.js", "zoom.js"), **values: object
) -> str:
    """Return one self-contained page: its style and `scripts` are in it."""
    script = "".join(_source(name) for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            style=_source("style.css"),
            script=script,
            script_hash=f"sha256-{digest}",
            version=popscan.__version__,
            **values,
        )
    )


def page_name(unit: str) -> str:
    """Return the file name of a subject's page: the unit, or a safe stand-in with its hash."""
    try:
        return f"{check_identifier(unit)}.html"
    except PopscanError:
        stem = re.sub(r"[^A-Za-z0-9]+", "-", unit).strip("-")[:40] or "subject"
        return f"{stem}-{hashlib.sha256(unit.encode()).hexdigest()[:12]}.html"


def write_subject(
    context: StudyContext, tables: SubjectTables, subject: FlaggedSubject, folder: Path
) -> Path:
    """Write the page of one subject into an existing folder and return the file."""
    path = folder / page_name(subject.unit)
    pages = {unit: page_name(unit) for unit in context.with_pages}
    before, after = _beside(list(pages.items()), subject.unit)
    html = render_page(
        "subject.html.j2",
        study=context.name,
        subject=subject,
        before=before,
        after=after,
        blocks=subject_blocks(tables, subject, pages=pages),
    )
    write_atomic(path, html.encode())
    return path


def _beside(
    pages: Sequence[tuple[str, str]], unit: str
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """Return unit and file of the pages before and behind a subject's."""
    at = next((i for i, (name, _) in enumerate(pages) if name == unit), None)
    if at is None:
        return None, None
    return (
        pages[at - 1] if at else None,
        pages[at + 1] if at + 1 < len(pages) else None,
    )


def _write_subjects(
    context: StudyContext,
    flagged: Iterable[FlaggedSubject],
    folder: Path,
    *,
    options: Options,
    max_pages: int,
) -> list[FlaggedPage]:
    """Write one page per flagged subject, one at a time; return what the index needs of each."""
    pages: dict[str, FlaggedPage] = {}
    tables = SubjectTables.of(context)
    for subject in flagged:
        before = pages.get(subject.unit)
        if before is None and len(pages) >= max_pages:
            break
        if before is not None:
            # Flagged twice (a failed stage, then QC): one page with all reasons.
            reasons = dict.fromkeys([*before.reasons, *subject.reasons])
            subject = replace(subject, reasons=tuple(reasons))
        folder.mkdir(parents=True, exist_ok=True)
        name = write_subject(context, tables, subject, folder).name
        picture = ""
        pictured = sum(bool(page.thumbnail) for page in pages.values())
        has_image = subject.image is not None and subject.image.ndim == 4 and subject.image.size
        if subject.image is not None and has_image and pictured < options.max_thumbnails:
            picture = png_uri(
                thumbnail(
                    subject.image,
                    subject.labels,
                    outlines=subject.outlines,
                    spacing_mm=subject.spacing_mm,
                )
            )
        pages[subject.unit] = FlaggedPage(
            unit=subject.unit,
            verdict=subject.verdict,
            reasons=tuple(subject.reasons),
            thumbnail=picture,
            href=f"subjects/{name}",
        )
    return list(pages.values())


def build_sections(
    context: StudyContext, options: Options, pages: Sequence[FlaggedPage]
) -> list[Section]:
    """Return the sections in order; each is there even when it has nothing to show."""
    return [
        overview.section(context, options),
        cohort.section(context, options),
        attrition.section(context, options),
        reconstruction.reconstruction(context, options),
        quality.segmentation(context, options),
        qc.section(context, options, pages),
        biomarkers.section(context, options),
        atlas.section(context, options),
        *extra.of_protocol(context, options),
        fairness.section(context, options),
        along.section(context, options),
        *extra.sections(context, options),
        cost.section(context, options),
        methods.methods(context, options),
        methods.limits(context, options),
    ]


def render_study(
    context: StudyContext,
    out_dir: Path | str,
    *,
    share: bool = False,
    min_cell: int = 5,
    rounding: int = 5,
    columns: SharedColumns | None = None,
    max_thumbnails: int = 24,
    max_subject_pages: int = 200,
    only: Collection[str] = (),
) -> Path:
    """Write the report of a study.

    The same context gives the same bytes: no time but those in `context.provenance` is written.

    Parameters
    ----------
    context
        The study; any part may be missing.
    out_dir
        Folder for ``index.html`` and ``subjects/*.html``; made if it does not exist.
    share
        Leave out whatever could point to a person: identifiers, messages, thumbnails, subject
        pages, the config, counts and groups below `min_cell`.
    min_cell
        Smallest count that a shared report shows.
    rounding
        Base to which a shared report rounds counts.
    columns
        Columns of the cohort table that a shared report may show; see
        `popscan.report.columns.shared_columns`.
    max_thumbnails, max_subject_pages
        Most thumbnails on the index, most pages of flagged subjects.
    only
        Sections to show, by their `ident`; all by default.

    Returns
    -------
    pathlib.Path
        The written ``index.html``.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        share=share, minimum=min_cell, rounding=rounding, max_thumbnails=max_thumbnails,
        alpha=context.alpha,
    )  # fmt: skip
    if share:
        context = shareable(context, minimum=min_cell, base=rounding, columns=columns)
    pages = _write_subjects(
        context, context.flagged, folder / "subjects", options=options, max_pages=max_subject_pages
    )
    options = replace(options, links={page.unit: page.href for page in pages})
    html = render_page(
        "index.html.j2",
        name=context.name,
        description=context.description,
        share=share,
        min_cell=min_cell,
        people="" if share else people_index(context, pages),
        sections=[
            section
            for section in build_sections(context, options, pages)
            if not only or section.ident in only
        ],
    )
    index = folder / "index.html"
    write_atomic(index, html.encode())
    return index
