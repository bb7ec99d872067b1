"""Section of the report on whether intervals hold the references as often as they should."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.config import Fairness, Report, Share
from popscan.fairness.coverage import too_narrow
from popscan.report.context import Extra
from popscan.report.sections.common import Options
from popscan.report.text import listing, title_of
from popscan.study.tables import read_table

_SHOWN = ["biomarker", "n", "n_covered", "n_outside", "half_width"]
_INTERVAL = ["coverage_pct", "coverage_low_pct", "coverage_high_pct", "nominal_pct"]


def coverage_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show how many intervals hold their reference; None without references or intervals.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    config
        The whole config.
    """
    table = read_table(study_root, "interval_coverage")
    if table.empty or "n_covered" not in table:
        return None
    whole = table["attribute"].fillna("") == ""
    masked = Options(
        share=True,
        minimum=Report.of(config, or_defaults=True).min_cell,
        rounding=Share.of(config, or_defaults=True).rounding,
    )
    groups = table[~whole][["attribute", "group", *_SHOWN, *_INTERVAL]]
    level = Fairness.of(config, or_defaults=True).alpha
    tables = [("Intervals that hold the reference.", table[whole][[*_SHOWN, *_INTERVAL]])]
    if len(groups):
        tables.append(("The same by group.", groups))
    return Extra(
        ident="interval-coverage",
        title="Do the intervals hold the reference?",
        lead="Subjects with reference labels that the model was not trained on and that QC let "
        "pass; limits of the share are exact (Clopper-Pearson).",
        sentences=[
            *coverage_sentences(table, Options()),
            *said_of_groups(table, Options(), level=level),
        ],
        shared_sentences=coverage_sentences(table, masked),
        tables=tables,
        shared_tables=[("Intervals that hold the reference.", table[whole][_SHOWN[:-1]])],
        headline=coverage_sentences(table, Options()),
        shared_headline=coverage_sentences(table, masked),
        notes=[
            "Coverage by group is also an outcome of the fairness audit (interval coverage of a "
            "biomarker). There the gaps are tested and corrected for multiplicity."
        ],
        shared=True,
    )


def coverage_sentences(table: pd.DataFrame, options: Options) -> list[str]:
    """Return for which biomarkers the intervals are too narrow; nothing for none.

    Parameters
    ----------
    table
        ``interval_coverage``.
    options
        How counts are written.
    """
    rows = too_narrow(table, overall=True).to_dict("records")
    if not rows:
        return []
    parts = [
        f"{title_of(row['biomarker'], unit=False)} in {options.count(row['n_covered'])} of "
        f"{options.count(row['n'])}"
        for row in rows
    ]
    return [
        f"The {rows[0]['nominal_pct']:.0f}% intervals hold the reference less often than "
        f"they should, beyond what chance explains: {listing(parts)} subjects."
    ]


def said_of_groups(table: pd.DataFrame, options: Options, *, level: float) -> list[str]:
    """Return in which groups the intervals are too narrow, where they are not for all.

    How many groups fall short at `level` before correction alone is in a sentence of its own.
    """
    everywhere = set(too_narrow(table, overall=True)["biomarker"])
    rows = too_narrow(table, overall=False)
    sentences = [
        f"In the group {row['group']} ({title_of(row['attribute'], unit=False)}) the intervals of "
        f"{title_of(row['biomarker'], unit=False)} hold the reference in "
        f"{options.count(row['n_covered'])} of {options.count(row['n'])} subjects: they are too "
        "narrow there."
        for row in rows.to_dict("records")
        if row["biomarker"] not in everywhere
    ]
    if "p" not in table:  # of an earlier version
        return sentences
    by_group = table[(table["attribute"].fillna("") != "") & ~table["biomarker"].isin(everywhere)]
    n = int((by_group["p"].astype(float) <= level).sum()) - len(sentences)
    if n > 0:
        sentences.append(
            f"In {n} of {len(by_group)} combinations of group and biomarker the intervals hold the "
            "reference significantly less often than they should before correction for that "
            f"number, not after; {level / 2 * len(by_group):.1f} would be expected by chance at "
            "most. Which they are is in the table."
        )
    return sentences
