"""The report's figures from Python: each a function of tables, each with its caption.

>>> import popscan
>>> study = popscan.open_study("results/demo")  # doctest: +SKIP
>>> study.figures("biomarkers")[0].save("biomarkers.svg")  # doctest: +SKIP
>>> from popscan import figures
>>> figures.biomarkers(study.table("biomarkers"), study.subjects)  # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.protocol import Protocol
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError
from popscan.report.blocks import Block, Details, Figure, Section
from popscan.report.context import StudyContext
from popscan.report.names import plain, readable_svg
from popscan.report.sections import along, qc, quality
from popscan.report.sections import attrition as attrition_section
from popscan.report.sections import biomarkers as biomarkers_section
from popscan.report.sections import cohort as cohort_section
from popscan.report.sections import cost as cost_section
from popscan.report.sections import fairness as fairness_section
from popscan.report.sections.common import Options
from popscan.report.sections.reconstruction import reconstruction as reconstruction_section
from popscan.stages.report.provenance import Provenance

_POINT = re.compile(r'<a class="pt"[^>]*><title>.*?</title>(.*?)</a>', re.DOTALL)
_Make = Callable[[StudyContext, Options], Section]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure: SVG that a notebook shows, and what it shows in words."""

    svg: str
    caption: str

    def _repr_html_(self) -> str:
        return f"<figure>{self.svg}<figcaption>{self.caption}</figcaption></figure>"

    def save(self, path: str | Path) -> Path:
        """Write the figure as an SVG file."""
        target = Path(path)
        text = self.svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        # What only a page in a browser has: links and titles of points.
        text = re.sub(
            r'<a class="pt"[^>]*><title>.*?</title>(.*?)</a>', r"\1", text, flags=re.DOTALL
        )
        target.write_text(text, encoding="utf-8")
        return target


def _walk(blocks: Sequence[Block]) -> Iterator[Figure]:
    for block in blocks:
        if isinstance(block, Figure) and "<svg" in block.markup:
            yield block
        elif isinstance(block, Details):
            yield from _walk(block.blocks)


def drawings(section: Section) -> list[Drawing]:
    """Return the figures of a section of the report."""
    return [
        Drawing(svg=str(readable_svg(figure.markup)), caption=plain(figure.caption))
        for figure in _walk(section.blocks)
    ]


def _draw(make: _Make, protocol: Protocol | None, tables: Mapping[str, Any]) -> list[Drawing]:
    given = {name: table for name, table in tables.items() if table is not None}
    people = given.get("participants")
    if people is not None and "unit" not in people and people.index.name == "unit":
        given["participants"] = people.reset_index()
    context = StudyContext(protocol=protocol or get_protocol(DEFAULT), **given)
    return drawings(make(context, Options()))


def cohort(participants: pd.DataFrame, *, protocol: Protocol | None = None) -> list[Drawing]:
    """Draw the attributes of a cohort by sex; ``participants`` needs ``unit``."""
    return _draw(cohort_section.section, protocol, {"participants": participants})


def attrition(ledger: pd.DataFrame, *, protocol: Protocol | None = None) -> list[Drawing]:
    """Draw who is left after each stage; ``unit, stage, status, reason``."""
    return _draw(attrition_section.section, protocol, {"ledger": ledger})


def reconstruction(
    recon_scores: pd.DataFrame, *, protocol: Protocol | None = None
) -> list[Drawing]:
    """Draw NRMSE, PSNR and SSIM by variant; ``unit, variant, nrmse, psnr_db, ssim``."""
    return _draw(reconstruction_section, protocol, {"recon_scores": recon_scores})


def segmentation(scores: pd.DataFrame, *, protocol: Protocol | None = None) -> list[Drawing]:
    """Draw Dice by structure and phase; ``unit, structure, phase, dice``."""
    return _draw(quality.segmentation, protocol, {"scores": scores})


def checks(
    qc_checks: pd.DataFrame,
    verdicts: pd.DataFrame | None = None,
    *,
    protocol: Protocol | None = None,
) -> list[Drawing]:
    """Draw the checks that did not pass everyone; ``unit, check, kind, value, verdict``."""
    tables = {"qc_checks": qc_checks, "qc": verdicts}
    return _draw(lambda c, o: qc.section(c, o, ()), protocol, tables)


def biomarkers(
    biomarkers: pd.DataFrame,
    participants: pd.DataFrame | None = None,
    *,
    reference_ranges: pd.DataFrame | None = None,
    associations: pd.DataFrame | None = None,
    protocol: Protocol | None = None,
) -> list[Drawing]:
    """Draw distributions of biomarkers by sex, and associations where they are given.

    Parameters
    ----------
    biomarkers
        ``unit`` and a column per biomarker.
    participants
        ``unit`` (column or index) and ``sex``; without it all stand together.
    reference_ranges
        ``column, sex, low, high, source``.
    associations
        ``outcome, term, estimate, ci_low, ci_high, p, q, n``.
    protocol
        Order and units; that of the heart by default.
    """
    tables = {
        "biomarkers": biomarkers, "participants": participants,
        "reference_ranges": reference_ranges, "associations": associations,
    }  # fmt: skip
    return _draw(biomarkers_section.section, protocol, tables)


def gaps(
    fairness_gaps: pd.DataFrame,
    fairness_groups: pd.DataFrame,
    *,
    protocol: Protocol | None = None,
) -> list[Drawing]:
    """Draw gaps between groups: the tables ``fairness_gaps`` and ``fairness_groups``."""
    tables = {"fairness_gaps": fairness_gaps, "fairness_groups": fairness_groups}
    return _draw(fairness_section.section, protocol, tables)


def pipeline(*, protocol: Protocol | None = None, **tables: pd.DataFrame) -> list[Drawing]:
    """Draw losses, agreement and gaps along the pipeline.

    Tables are named as in a study: ``fairness_funnel``, ``fairness_agreement`` (with
    ``agreement_points`` and ``participants`` for its points), ``fairness_ledger``,
    ``fairness_exclusion``.
    """
    return _draw(along.section, protocol, tables)


def cost(ledger: pd.DataFrame, *, protocol: Protocol | None = None) -> list[Drawing]:
    """Draw what the stages cost; ``unit, stage, status, seconds, peak_mb``."""
    return _draw(cost_section.section, protocol, {"ledger": ledger})


def of_study(root: Path, config: Mapping[str, object], facts: Provenance) -> list[Section]:
    """Return the sections of a finished study's report, as the report shows them."""
    from popscan.report.pages import build_sections
    from popscan.stages.report.job import study_context

    context = study_context(root, config, facts)
    return build_sections(context, Options(), ())


def section_of(sections: Sequence[Section], ident: str) -> Section:
    """Return the section with a name.

    Raises
    ------
    PopscanError
        If there is none; the message lists those that there are.
    """
    for section in sections:
        if section.ident == ident:
            return section
    names = ", ".join(section.ident for section in sections)
    raise PopscanError(f"{ident}: no such section of the report; there are {names}")
