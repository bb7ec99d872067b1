"""What leaves in ``share/``: the audit's tables and a report, from columns that are allowed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config.analyses import Fairness, Report, Share
from popscan.pipeline import dictionary
from popscan.pipeline.audit_report import audit_tables_of, with_audit
from popscan.pipeline.cohort import first_visits
from popscan.pipeline.fairness import confounding_table
from popscan.pipeline.tables import write_table
from popscan.report.columns import SharedColumns, shared_columns
from popscan.report.context import StudyContext

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
    for note in columns.notes():
        log.warning("%s", note)
    folder = study_root / "share"
    shutil.rmtree(folder, ignore_errors=True)
    tables = _allowed_tables(study_root, attributes, columns, fairness, report)
    safe = _write_tables(folder, tables, report, share, alpha=fairness.alpha)
    shared = with_audit(replace(context, flagged=()), safe, alpha=fairness.alpha)
    return render_study(
        replace(shared, limits=[*shared.limits, *columns.notes()]),
        folder,
        share=True,
        min_cell=report.min_cell,
        rounding=share.rounding,
        columns=columns,
        only=only,
    )


def allowed_columns(attributes: pd.DataFrame, *, fairness: Fairness, share: Share) -> SharedColumns:
    """Return the columns of the cohort table that this study may share."""
    audited = [*fairness.attributes, *(name for names in fairness.intersections for name in names)]
    return shared_columns(
        attributes, columns=share.columns, attributes=audited, confirmed=share.columns_confirmed
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
        tables["confounding"] = confounding_table(once, section)
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

    safe = without_small_cells(tables, min_cell=report.min_cell)
    for name, table in safe.items():
        write_table(folder, f"fairness_{name}", table, dictionary.of(f"fairness_{name}"))
    return safe
