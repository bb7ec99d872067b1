"""Fairness along the pipeline: who is lost, what QC does, agreement, where a gap arises."""

from __future__ import annotations

from popscan.report.blocks import Section, nothing
from popscan.report.context import StudyContext
from popscan.report.sections.agreement import agreement
from popscan.report.sections.common import Options
from popscan.report.sections.ledger import ledger
from popscan.report.sections.losses import exclusion, funnel


def section(context: StudyContext, options: Options) -> Section:
    """Return funnel, exclusion at equal quality, agreement and bias ledger by group."""
    parts = (funnel, exclusion, agreement, ledger)
    blocks = [block for part in parts for block in part(context, options)]
    return Section(
        ident="fairness-pipeline",
        title="Fairness along the pipeline",
        lead="Where groups differ: who is lost, how well they are measured, and which step adds to "
        "the gap."
        if blocks
        else "",
        blocks=blocks
        or nothing("No group was followed along the pipeline: no audit, or no group was recorded."),
    )
