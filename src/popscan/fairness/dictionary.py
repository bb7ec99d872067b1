"""What the columns of the audit's tables mean: column -> (unit, meaning)."""

from __future__ import annotations

_WHERE = {
    "attribute": ("", "attribute or intersection by which units are grouped"),
    "stage": ("", "stage of the pipeline that the outcome comes from"),
    "outcome": ("", "what is compared"),
    "better_is": ("", "which way the outcome is good: higher, lower or neither"),
    "kind": ("", "continuous, or binary (0 or 1; the mean is then a proportion)"),
}

OUTCOMES: dict[str, tuple[str, str]] = {
    "unit": ("", "the subject's visit"),
    "stage": ("", "stage of the pipeline that the outcome comes from"),
    "outcome": ("", "what is compared"),
    "value": ("outcome", "its value in this unit; 0 or 1 where binary, empty where undefined"),
    "better_is": ("", "which way the outcome is good: higher, lower or neither"),
    "kind": ("", "continuous, or binary (0 or 1)"),
}
#: Further column of the outcomes where predictions are among them.
APPLIES: dict[str, tuple[str, str]] = {
    "applies": ("", "whether the outcome concerns the unit, as sensitivity concerns positives"),
}

GROUPS: dict[str, tuple[str, str]] = {
    **_WHERE,
    "group": ("", "group; 'missing' holds those whose attribute was not recorded"),
    "n_units": ("units", "units of the group that the outcome concerns"),
    "n": ("units", "units of the group with a value"),
    "n_missing": ("units", "units of the group without a value"),
    "mean": ("outcome", "mean (a proportion for binary outcomes)"),
    "ci_low": ("outcome", "lower limit of the mean's interval"),
    "ci_high": ("outcome", "upper limit of the mean's interval"),
    "ci_method": ("", "how the interval was made"),
    "sd": ("outcome", "standard deviation (n - 1)"),
    "median": ("outcome", "median"),
    "median_ci_low": ("outcome", "lower limit of the median's bootstrap interval"),
    "median_ci_high": ("outcome", "upper limit of the median's bootstrap interval"),
    "q05": ("outcome", "5th percentile"),
    "q25": ("outcome", "25th percentile"),
    "q75": ("outcome", "75th percentile"),
    "q95": ("outcome", "95th percentile"),
    "is_reference": ("", "whether others are compared with this group"),
    "too_few": ("", "fewer units with a value than the minimum: counted, not described or tested"),
}

GAPS: dict[str, tuple[str, str]] = {
    **_WHERE,
    "group": ("", "group that is compared"),
    "reference": ("", "group it is compared with"),
    "n": ("units", "units of the group with a value"),
    "n_reference": ("units", "units of the reference with a value"),
    "gap": ("outcome", "mean of the group minus mean of the reference (risk difference if binary)"),
    "ci_low": ("outcome", "lower limit of the gap's interval"),
    "ci_high": ("outcome", "upper limit of the gap's interval"),
    "ci_method": ("", "how the interval was made"),
    "ratio": ("", "mean of the group over mean of the reference (risk ratio if binary)"),
    "ratio_ci_low": ("", "lower limit of the ratio's interval"),
    "ratio_ci_high": ("", "upper limit of the ratio's interval"),
    "direction": ("", "whether the group fares worse or better, as far as the outcome says"),
    "test": ("", "test of no difference"),
    "p": ("", "its two-sided p value"),
    "p_adj": ("", "p corrected over the family of tests"),
    "family": ("", "family over which p was corrected"),
    "significant": ("", "whether p_adj is at most alpha"),
    "hedges_g": ("SD", "standardised difference of means, corrected for small samples"),
    "cliffs_delta": ("", "probability that a unit of the group is higher, minus that it is lower"),
    "min_detectable_gap": ("outcome", "smallest true gap found with 80% power at alpha"),
    "min_detectable_gap_corrected": ("outcome", "the same at alpha over the family's size"),
    "note": ("", "why there is no test, or with what caution to read it"),
    "n_tests": ("", "tests of the family"),
    "role": ("", "of the attribute: protected (sex, race, age) or technical (site, scanner)"),
    "missing_pct": ("%", "share of the group without a value"),
    "missing_reference_pct": ("%", "share of the reference without a value"),
    "bound_low": (
        "outcome",
        "gap of all units if missing values were the group's lowest and the "
        "reference's highest possible (Horowitz and Manski 2000)",
    ),
    "bound_high": ("outcome", "gap of all units in the opposite case"),
    "sign_open": (
        "",
        "whether those without a value are so many, or so unevenly spread, that "
        "they could turn the gap's sign",
    ),
}

SUMMARY: dict[str, tuple[str, str]] = {
    **_WHERE,
    "n_groups": ("groups", "groups large enough to be described"),
    "n_too_few": ("groups", "groups that are not"),
    "n": ("units", "units with a value, in all groups"),
    "overall": ("outcome", "mean over all units with a value"),
    "worst_group": ("", "group with the worst mean (the lowest where nothing is worse)"),
    "worst": ("outcome", "its mean"),
    "best_group": ("", "group with the best mean (the highest where nothing is better)"),
    "best": ("outcome", "its mean"),
    "max_gap": ("outcome", "largest minus smallest group mean; groups that differ by chance alone "
                "make it positive too: compare with max_gap_by_chance"),
    "max_gap_ci_low": ("outcome", "lower limit of its percentile interval (biased upward)"),
    "max_gap_ci_high": ("outcome", "upper limit of its percentile interval (biased upward)"),
    "max_gap_by_chance": ("outcome", "its mean if all groups had the same true mean"),
    "sd_groups": ("outcome", "standard deviation across group means (each group counts once)"),
    "sd_groups_by_chance": ("outcome", "its mean if all groups had the same true mean"),
    "ser": ("", "skewed error ratio: largest over smallest group error, for outcomes in 0..1"),
    "ser_ci_low": ("", "lower limit of its percentile interval"),
    "ser_ci_high": ("", "upper limit of its percentile interval"),
    "equity_scaled": ("outcome", "overall / (1 + sum of group distances from it), outcomes in "
                      "0..1 where higher is better"),
    "equity_scaled_ci_low": ("outcome", "lower limit of its percentile interval"),
    "equity_scaled_ci_high": ("outcome", "upper limit of its percentile interval"),
    "test": ("", "test that all groups are alike"),
    "p": ("", "its p value"),
    "p_adj": ("", "p corrected over all rows of this table (of the same role)"),
    "role": ("", "of the attribute: protected or technical"),
}  # fmt: skip
