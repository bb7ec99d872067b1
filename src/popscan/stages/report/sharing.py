"""What leaves in ``share/``: the audit's tables and a report, from columns that are allowed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config.analyses import Fairness, Report, Share
from popscan.report.columns import SharedColumns, shared_columns
from popscan.report.context import Compared, StudyContext
from popscan.stages.fairness.report import audit_tables_of, with_audit
from popscan.stages.fairness.tables import confounding_table
from popscan.study import dictionary
from popscan.study.cohort import first_visits
from popscan.study.tables import write_table

log = logging.getLogger(__name__)


def write_share(
    study_root: Path,
    context: StudyContext,
    attributes: pd.DataFrame,
    *,
    fairness: Fairness,
    report: Report,
    share: Share,
    only: Collection[str] = (),
) -> Path:
    """Write ``share/tables`` and ``share/index.html`` anew.

    Parameters
    ----------
    study_root
        The study; its tables must have been written.
    context
        What the internal report shows.
    attributes
        What is known of every unit, indexed by unit.
    fairness, report, share
        Config sections.
    only
        Sections of the report; all by default.

    Returns
    -------
    Path
        ``share/index.html``.
    """
    from popscan.report import render_study

    columns = allowed_columns(attributes, fairness=fairness, share=share)
    folder = study_root / "share"
    shutil.rmtree(folder, ignore_errors=True)
    tables = _allowed_tables(study_root, attributes, columns, fairness, report)
    safe = _write_tables(folder, tables, report, share, alpha=fairness.alpha)
    notes = [*columns.notes(), *left_out(tables, safe)]
    for note in notes:
        log.warning("%s", note)
    shared = with_audit(_without_audit(context), safe, alpha=fairness.alpha)
    counted = tables.get("gaps", pd.DataFrame())
    lines = _with_openings(shared.sentences, safe.get("gaps"), counted, alpha=fairness.alpha)
    return render_study(
        replace(
            shared,
            sentences=lines,
            compared=comparisons(counted, alpha=fairness.alpha),
            limits=[*shared.limits, *notes],
        ),
        folder,
        share=True,
        min_cell=report.min_cell,
        rounding=share.rounding,
        columns=columns,
        only=only,
    )


def left_out(tables: Mapping[str, pd.DataFrame], safe: Mapping[str, pd.DataFrame]) -> list[str]:
    """Say of which outcomes nothing at all is shared by an attribute.

    Parameters
    ----------
    tables
        The audit's tables.
    safe
        What of them is shared (`popscan.fairness.suppress.share`).

    Returns
    -------
    list of str
        One sentence per attribute; no counts.
    """
    whole, shown = (
        [(str(a), str(o)) for a, o in zip(table["attribute"], table["outcome"], strict=True)]
        if len(table) else []
        for table in (found.get("groups", pd.DataFrame()) for found in (tables, safe))
    )  # fmt: skip
    missing: dict[str, list[str]] = {}
    for attribute, outcome in sorted(set(whole) - set(shown), key=whole.index):
        missing.setdefault(attribute, []).append(outcome)
    return [
        f"Nothing is shared by {attribute} of {_few(outcomes)}: groups or events are too few, "
        "or what else is shown would reveal how many they are."
        for attribute, outcomes in missing.items()
    ]


def _few(outcomes: Sequence[str], *, most: int = 6) -> str:
    """Join names; beyond `most` of them the rest is counted."""
    if len(outcomes) <= most:
        return ", ".join(outcomes)
    return f"{', '.join(outcomes[:most])} and {len(outcomes) - most} more outcomes"


def _without_audit(context: StudyContext) -> StudyContext:
    """Leave out all tables of the audit, and whoever was flagged."""
    names = [f.name for f in fields(context) if f.name.startswith("fairness_")]
    nothing: dict[str, Any] = {name: pd.DataFrame() for name in names}
    return replace(context, flagged=(), **nothing)


def allowed_columns(attributes: pd.DataFrame, *, fairness: Fairness, share: Share) -> SharedColumns:
    """Return the columns of the cohort table that this study may share."""
    audited = [*fairness.attributes, *(name for names in fairness.intersections for name in names)]
    return shared_columns(
        attributes, columns=share.columns, attributes=audited, confirmed=share.columns_confirmed
    )


def comparisons(gaps: pd.DataFrame, *, alpha: float) -> Compared:
    """Count the comparisons of the audit, also those that may not be shown."""
    if gaps.empty:
        return Compared()
    p = pd.to_numeric(gaps["p_adj"], errors="coerce")
    return Compared(
        made=len(gaps),
        tested=int(pd.to_numeric(gaps["p"], errors="coerce").notna().sum()),
        significant=int((p <= alpha).sum()),
        attributes=gaps["attribute"].nunique(),
    )


def _allowed_tables(
    study_root: Path,
    attributes: pd.DataFrame,
    columns: SharedColumns,
    fairness: Fairness,
    report: Report,
) -> dict[str, pd.DataFrame]:
    """Tables of the audit by shared attributes alone."""
    smallest = max(fairness.min_group, report.min_cell)
    tables: dict[str, pd.DataFrame] = dict(audit_tables_of(study_root))
    if len(tables["confounding"]):
        once, _ = first_visits(attributes)
        section = fairness.model_copy(update={"min_group": smallest})
        tables["confounding"] = confounding_table(once, section, min_cell=report.min_cell)
    return {name: columns.rows(table) for name, table in tables.items()}


def _write_tables(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    report: Report,
    share: Share,
    *,
    alpha: float,
) -> dict[str, Any]:
    """Hide small cells and write what is left to ``share/tables``."""
    from popscan.fairness.suppress import share as without_small_cells

    safe = without_small_cells(
        tables, min_cell=report.min_cell, rounding=share.rounding, alpha=alpha
    )
    for name, table in safe.items():
        write_table(folder, f"fairness_{name}", table, dictionary.of(f"fairness_{name}"))
    return safe


def _with_openings(
    sentences: Sequence[str], shown: pd.DataFrame | None, whole: pd.DataFrame, *, alpha: float
) -> list[str]:
    """Count the comparisons that were made, not those whose groups may be shown."""
    from popscan.fairness.findings import openings

    if shown is None or whole.empty:
        return list(sentences)
    first, right = openings(shown, alpha=alpha), openings(whole, alpha=alpha)
    rest = [sentence for sentence in sentences if sentence not in first]
    left = len(whole) - len(shown)
    hidden = "Comparisons that rest on groups or events too few to be shared are left out."
    return [*right, *([hidden] if left else []), *rest]
