"""The report reads what the audit and the regressions really write."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from popscan.associate.models import associate
from popscan.associate.ranges import reference_ranges
from popscan.fairness.attributes import attributes_table
from popscan.fairness.audit import audit
from popscan.fairness.findings import sentences
from popscan.fairness.outcomes import outcomes_table
from popscan.report import StudyContext, render_study


def with_real_statistics(context: StudyContext) -> StudyContext:
    """Return the study with audit and associations computed from its own tables."""
    units = context.participants["participant_id"] + "_ses-01"
    people = context.participants.assign(unit=units)
    people["race"] = people["race"].replace("", "missing")
    attributes = attributes_table(people)
    outcomes = outcomes_table(
        ledger=context.ledger,
        scores=context.scores,
        qc=context.qc,
        qc_checks=context.qc_checks,
        biomarkers=context.biomarkers,
        biomarker_columns=["lvef_pct", "lvedv_ml"],
    )
    result = audit(
        outcomes,
        attributes,
        attributes_to_test=["sex", "race", "age_band"],
        intersections=[("sex", "race")],
        n_boot=50,
        seed=1,
    )
    table = people.merge(context.biomarkers, on="unit")
    table["bsa_m2"] = (table["height_cm"] * table["weight_kg"] / 3600) ** 0.5
    names = ["lvedv_ml", "lvef_pct", "lvm_g"]
    return replace(
        context,
        participants=attributes.reset_index(),
        biomarkers=context.biomarkers.merge(table[["unit", "bsa_m2"]], on="unit"),
        associations=associate(table, outcomes=names),
        reference_ranges=reference_ranges(table, outcomes=names, by=["sex"], seed=1),
        fairness_groups=result.groups,
        fairness_gaps=result.gaps,
        fairness_summary=result.summary,
        sentences=[*sentences(result.gaps), *result.notes],
    )


def test_every_gap_and_association_is_shown(make_context, tmp_path, read_tables):
    context = with_real_statistics(make_context(150, flagged=0))
    html = render_study(context, tmp_path).read_text(encoding="utf-8")
    shown = sum(len(table) for table in read_tables(html, "Gaps by"))
    known = context.fairness_gaps["gap"].notna()
    assert shown == known.sum() > 50
    assert "Too few to compare" in html
    few = context.fairness_gaps[~known].iloc[0]
    assert f"{few['group']} ({few['n']:.0f})" in html.replace("&amp;", "&")
    rows = sum(len(table) for table in read_tables(html, "Change of each biomarker"))
    real = context.associations.query("term != 'intercept'")
    assert rows == real["estimate"].notna().sum() > 0
    groups = sum(len(table) for table in read_tables(html, "Outcomes by"))
    assert groups == len(context.fairness_groups)
    assert "social categories" in html


def test_the_same_for_sharing(make_context, tmp_path, read_tables):
    context = with_real_statistics(make_context(150, flagged=0))
    html = render_study(context, tmp_path, share=True).read_text(encoding="utf-8")
    for table in read_tables(html, "Gaps by"):
        n = pd.to_numeric(table["n"].astype(str), errors="coerce")
        assert (n >= 5).all()
        assert (n % 5 == 0).all()
    assert "sub-" not in html
