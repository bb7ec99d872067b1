"""What the columns of the audit's tables mean: column -> what it means."""

from __future__ import annotations

from popscan.columns import Column, flag, text

_WHERE = {
    "attribute": text("attribute or intersection by which units are grouped"),
    "stage": text("stage of the pipeline that the outcome comes from"),
    "outcome": text("what is compared"),
    "better_is": text("whether higher or lower is better: higher, lower or neither"),
    "kind": text("continuous, or binary (0 or 1; the mean is then a proportion)"),
}

OUTCOMES: dict[str, Column] = {
    "unit": text("the subject's visit"),
    "stage": text("stage of the pipeline that the outcome comes from"),
    "outcome": text("what is compared"),
    "value": Column(
        "outcome", "its value in this unit; 0 or 1 where binary, empty where undefined"
    ),
    "better_is": text("whether higher or lower is better: higher, lower or neither"),
    "kind": text("continuous, or binary (0 or 1)"),
    # Only where predictions are among the outcomes.
    "applies": flag("whether the outcome concerns the unit, as sensitivity concerns positives"),
}

GROUPS: dict[str, Column] = {
    **_WHERE,
    "group": text("group; 'missing' holds those whose attribute was not recorded"),
    "n_units": Column("units", "units of the group that the outcome concerns"),
    "n": Column("units", "units of the group with a value"),
    "n_missing": Column("units", "units of the group without a value"),
    "n_subjects": Column("subjects", "subjects of the group with a value in any unit"),
    "n_subjects_with": Column("subjects", "of a yes/no outcome: those with 1 in any unit"),
    "n_subjects_without": Column("subjects", "of a yes/no outcome: those with 0 in any unit"),
    "mean": Column("outcome", "mean (a proportion for binary outcomes)"),
    "ci_low": Column("outcome", "lower limit of the mean's interval"),
    "ci_high": Column("outcome", "upper limit of the mean's interval"),
    "ci_method": text("how the interval was made"),
    "sd": Column("outcome", "standard deviation (n - 1)"),
    "median": Column("outcome", "median"),
    "median_ci_low": Column("outcome", "lower limit of the median's bootstrap interval"),
    "median_ci_high": Column("outcome", "upper limit of the median's bootstrap interval"),
    "q05": Column("outcome", "5th percentile"),
    "q25": Column("outcome", "25th percentile"),
    "q75": Column("outcome", "75th percentile"),
    "q95": Column("outcome", "95th percentile"),
    "is_reference": flag("whether others are compared with this group"),
    "too_few": flag("fewer units with a value than the minimum: counted, not described or tested"),
}

GAPS: dict[str, Column] = {
    **_WHERE,
    "group": text("group that is compared"),
    "reference": text("group it is compared with"),
    "n": Column("units", "units of the group with a value"),
    "n_reference": Column("units", "units of the reference with a value"),
    "counted": text("what n counts: subjects, or visits of subjects who have several"),
    "n_subjects": Column("subjects", "subjects of the group with a value in any unit"),
    "n_subjects_reference": Column("subjects", "the same of the reference"),
    "gap": Column(
        "outcome", "mean of the group minus mean of the reference (risk difference if binary)"
    ),
    "ci_low": Column("outcome", "lower limit of the gap's interval"),
    "ci_high": Column("outcome", "upper limit of the gap's interval"),
    "ci_method": text("how the interval was made"),
    "ratio": Column("", "mean of the group over mean of the reference (risk ratio if binary)"),
    "ratio_ci_low": Column("", "lower limit of the ratio's interval"),
    "ratio_ci_high": Column("", "upper limit of the ratio's interval"),
    "direction": text("whether the group fares worse or better, as far as the outcome says"),
    "test": text("test of no difference"),
    "p": Column("", "its two-sided p value"),
    "p_adj": Column("", "p corrected over the family of tests"),
    "family": text("family over which p was corrected"),
    "significant": flag("whether p_adj is at most alpha"),
    "hedges_g": Column("SD", "standardised difference of means, corrected for small samples"),
    "cliffs_delta": Column(
        "", "probability that a unit of the group is higher, minus that it is lower"
    ),
    "min_detectable_gap": Column("outcome", "smallest true gap found with 80% power at alpha"),
    "min_detectable_gap_corrected": Column("outcome", "the same at alpha over the family's size"),
    "note": text("why there is no test, or with what caution to read it"),
    "n_tests": Column("", "tests of the family"),
    "role": text("of the attribute: protected (sex, race, age) or technical (site, scanner)"),
    "missing_pct": Column("%", "share of the group without a value"),
    "missing_reference_pct": Column("%", "share of the reference without a value"),
    "bound_low": Column(
        "outcome",
        "gap of all units if missing values were the group's lowest and the "
        "reference's highest possible (Horowitz and Manski 2000)",
    ),
    "bound_high": Column("outcome", "gap of all units in the opposite case"),
    "sign_open": flag(
        "whether those without a value are so many, or so unevenly spread, that "
        "they could turn the gap's sign",
    ),
}

SUMMARY: dict[str, Column] = {
    **_WHERE,
    "n_groups": Column("groups", "groups large enough to be described"),
    "n_too_few": Column("groups", "groups that are not"),
    "n": Column("units", "units with a value, in all groups"),
    "overall": Column("outcome", "mean over all units with a value"),
    "worst_group": text("group with the worst mean (the lowest where nothing is worse)"),
    "worst": Column("outcome", "its mean"),
    "best_group": text("group with the best mean (the highest where nothing is better)"),
    "best": Column("outcome", "its mean"),
    "max_gap": Column(
        "outcome",
        "largest minus smallest group mean; groups that differ by chance alone "
        "make it positive too: compare with max_gap_by_chance",
    ),
    "max_gap_ci_low": Column("outcome", "lower limit of its percentile interval (biased upward)"),
    "max_gap_ci_high": Column("outcome", "upper limit of its percentile interval (biased upward)"),
    "max_gap_by_chance": Column("outcome", "its mean if all groups had the same true mean"),
    "sd_groups": Column(
        "outcome", "standard deviation across group means (each group counts once)"
    ),
    "sd_groups_by_chance": Column("outcome", "its mean if all groups had the same true mean"),
    "ser": Column(
        "", "skewed error ratio: largest over smallest group error, for outcomes in 0..1"
    ),
    "ser_ci_low": Column("", "lower limit of its percentile interval"),
    "ser_ci_high": Column("", "upper limit of its percentile interval"),
    "equity_scaled": Column(
        "outcome",
        "overall / (1 + sum of group distances from it), outcomes in 0..1 where higher is better",
    ),
    "equity_scaled_ci_low": Column("outcome", "lower limit of its percentile interval"),
    "equity_scaled_ci_high": Column("outcome", "upper limit of its percentile interval"),
    "test": text("test that all groups are equal"),
    "p": Column("", "its p value"),
    "p_adj": Column("", "p corrected over all rows of this table (of the same role)"),
    "role": text("of the attribute: protected or technical"),
}
