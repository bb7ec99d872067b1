"""Missing values beside gaps, intervals within what an outcome can be, smallest gaps by power."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.fairness.audit import audit
from popscan.fairness.findings import sentences
from popscan.fairness.gap_words import gap_sentence
from popscan.fairness.missingness import missing_columns
from popscan.fairness.ranges import odd_values, possible_range
from popscan.fairness.story import adjusted_sentences
from popscan.fairness.suppress import share
from popscan.fairness.words import decimals
from popscan.stats.power import detectable_proportion


def run(outcomes, groups, **options):
    return audit(outcomes, groups, attributes_to_test=["sex"], **options)


def table(values, outcome, *, better_is="higher"):
    names = [f"sub-{i:04d}" for i in range(len(values))]
    return pd.DataFrame(
        {"unit": names, "stage": "segment", "outcome": outcome, "value": values,
         "better_is": better_is, "kind": "continuous"}
    )  # fmt: skip


def people(groups):
    return pd.DataFrame({"sex": groups}, index=[f"sub-{i:04d}" for i in range(len(groups))])


def test_bounds_are_those_of_the_worst_and_the_best_case():
    group, reference = np.array([0.9, 0.8, np.nan, np.nan]), np.array([0.7, 0.7, 0.7, np.nan])
    values = np.concatenate([group, reference])
    row = missing_columns(
        group,
        reference,
        extremes=np.array([np.nanmin(values), np.nanmax(values)]),
        bounds=np.array([0.0, 1.0]),
    )
    assert (row["missing_pct"], row["missing_reference_pct"]) == (50, 25)
    filled = [
        np.nan_to_num(group, nan=a).mean() - np.nan_to_num(reference, nan=1 - a).mean()
        for a in (0.0, 1.0)
    ]
    assert (row["bound_low"], row["bound_high"]) == pytest.approx(tuple(filled))
    assert row["sign_open"]
    unbounded = missing_columns(
        group,
        reference,
        extremes=np.array([np.nanmin(values), np.nanmax(values)]),
        bounds=np.array([-np.inf, np.inf]),
    )
    assert unbounded["bound_low"] == pytest.approx((0.85 + 0.7) / 2 - (3 * 0.7 + 0.9) / 4)


def test_an_advantage_of_a_group_of_which_half_is_missing_is_never_said_alone():
    rng = np.random.default_rng(5)
    female = np.repeat([True, False], 150)
    values = rng.normal(60, 10, 300)
    values[female & (values < 60)] = np.nan  # the worse half of one group has no value
    result = run(table(values, "rating"), people(np.where(female, "female", "male")), n_boot=200)
    row = result.gaps.iloc[0]
    assert row["p_adj"] < 0.05
    assert row["sign_open"]
    said = gap_sentence(row)
    assert "to their disadvantage among those with a value" in said  # the reference has the gaps
    assert "could turn the sign" in said
    assert "% missing" in said
    shared = share({"groups": result.groups, "gaps": result.gaps})["gaps"]
    assert not {"missing_pct", "missing_reference_pct", "bound_low", "bound_high"} & set(shared)
    assert "could turn the sign" in gap_sentence(shared.iloc[0])


def test_few_missing_values_need_no_caution():
    rng = np.random.default_rng(6)
    values = rng.normal(60, 10, 400) + np.repeat([8.0, 0.0], 200)
    values[[3, 250]] = np.nan
    result = run(table(values, "rating"), people(np.repeat(["female", "male"], 200)), n_boot=200)
    row = result.gaps.iloc[0]
    assert not row["sign_open"]
    assert "could turn" not in gap_sentence(row)
    assert "(n = 199, < 1% missing)" in gap_sentence(row)


@pytest.mark.parametrize("seed", range(4))
def test_intervals_lie_where_the_outcome_can(seed):
    rng = np.random.default_rng(seed)
    n = 12
    distances = rng.exponential(1.0, 2 * n)
    distances[-1] = 60.0  # one failed segmentation in the reference
    dice = np.clip(1 - distances / 20, 0, 1)
    groups = people(np.repeat(["female", "male"], n))
    outcomes = pd.concat(
        [table(dice, "dice_myo"), table(distances, "msd_mm_myo", better_is="lower")]
    )
    result = run(outcomes, groups, n_boot=300, min_group=5)
    for _, row in result.groups.iterrows():
        low, high = possible_range(row["outcome"], row["kind"])
        assert low <= row["ci_low"] <= row["mean"] <= row["ci_high"] <= high
    means = result.groups.set_index(["outcome", "group"])
    for _, row in result.gaps.iterrows():
        base = means.loc[(row["outcome"], row["reference"])]
        own = means.loc[(row["outcome"], row["group"])]
        assert row["ci_low"] <= row["gap"] <= row["ci_high"]
        if row["outcome"] == "dice_myo":
            assert row["ci_low"] >= -1
            assert row["ci_high"] <= 1
        else:  # neither mean can be below 0
            assert row["ci_low"] >= -base["ci_high"] - 1e-9
            assert row["ci_high"] <= own["ci_high"] + 1e-9
            # Student's interval of the reference's mean, times three, is the farthest
            se = distances[n:].std(ddof=1) / np.sqrt(n)
            assert base["ci_high"] <= base["mean"] + 3.01 * stats.t.ppf(0.975, n - 1) * se


def test_a_score_in_percent_keeps_its_scale():
    values = np.r_[np.full(15, 88.0), np.full(15, 91.0)] + np.arange(30) % 5
    result = run(table(values, "dice_lv"), people(np.repeat(["a", "b"], 15)), n_boot=200)
    assert result.groups["mean"].between(85, 96).all()
    assert (result.groups["ci_low"] < result.groups["mean"]).all()
    assert (result.groups["ci_high"] > result.groups["mean"]).all()


@pytest.mark.parametrize(
    ("n", "events", "m"), [(20, 0, 200), (12, 0, 11), (30, 3, 60), (25, 22, 40)]
)
def test_the_smallest_gap_of_a_proportion_is_found_four_times_of_five(n, events, m):
    gap = detectable_proportion(n, events, m, alpha=0.05)
    base = (events + 0.5) / (m + 1)
    risk = base + gap if base < 0.5 else base - gap
    rng = np.random.default_rng(1)
    x, y = rng.binomial(n, risk, 600), rng.binomial(m, base, 600)
    p = [stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue for a, b in zip(x, y, strict=True)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.8, abs=0.06)


def test_a_group_without_events_has_no_tiny_detectable_gap():
    failed = np.zeros(60)
    failed[45] = 1.0
    outcome = table(failed, "qc_fail", better_is="lower").assign(kind="binary")
    groups = people(np.repeat(["female", "male"], [20, 40]))
    row = run(outcome, groups, n_boot=100).gaps.iloc[0]
    spread = 2.8 * failed[20:].std(ddof=1) / np.sqrt(40)  # what the spread alone would say: .07
    assert row["min_detectable_gap"] > 3 * spread
    assert row["min_detectable_gap_corrected"] >= row["min_detectable_gap"]


def test_confounders_hide_nothing_where_the_gap_hardly_changes():
    row = {
        "attribute": "sex", "stage": "s", "outcome": "rating", "kind": "continuous",
        "group": "female", "reference": "male", "method": "regression",
        "adjusted_for": "age_years, bsa_m2", "gap_raw": 2.28, "gap": 2.30, "ci_low": 0.8,
        "ci_high": 3.8, "p": 0.003, "p_adj": 0.003, "explained_pct": -0.9, "p_change": 0.001,
        "note": "",
    }  # fmt: skip
    told = " ".join(adjusted_sentences(pd.DataFrame([row])))
    assert "hide" not in told
    assert "Adjusted for age and body surface area (regression)" in told
    more = row | {"gap": 3.4, "explained_pct": -49.0}
    assert "hide part of it" in " ".join(adjusted_sentences(pd.DataFrame([more])))
    noise = more | {"p_change": 0.3}
    assert "hide" not in " ".join(adjusted_sentences(pd.DataFrame([noise])))


def test_a_group_that_is_too_small_for_some_outcomes_is_not_called_too_small_for_all():
    rng = np.random.default_rng(8)
    groups = people(np.repeat(["female", "male", "other"], [40, 40, 3]))
    dice = 0.8 + 0.05 * rng.random(83) + np.repeat([0.1, 0.0, 0.0], [40, 40, 3])
    rare = np.where(np.arange(83) % 16 == 0, rng.normal(150, 9, 83), np.nan)
    result = run(pd.concat([table(dice, "dice_lv"), table(rare, "lvedv_ml")]), groups, n_boot=100)
    said = sentences(result.gaps)
    never = next(s for s in said if "nothing can be concluded about" in s)
    assert "about other: too few subjects (10 are needed)" in never
    assert "female" not in never
    assert any("some outcomes could not be compared" in s and "men (1 of 2)" in s for s in said)


def test_lopsided_intervals_are_said_with_both_ends():
    row = pd.Series(
        {"attribute": "sex", "outcome": "qc_fail", "kind": "binary", "group": "female",
         "reference": "male", "n": 12, "n_reference": 11, "gap": 0.07, "ci_low": -0.23,
         "ci_high": 0.37, "p": 0.9, "p_adj": 1.0, "direction": "worse", "note": ""}
    )  # fmt: skip
    said = gap_sentence(row)
    assert "23 percentage points lower to 37 percentage points higher (95% CI)" in said
    assert "excluded" not in said
    apart = gap_sentence(
        pd.Series(
            {**row, "ci_low": -0.48, "ci_high": -0.16, "gap": -0.3, "p": 0.01, "p_adj": 0.1,
             "n_tests": 152}
        )
    )  # fmt: skip
    assert "not significant after correcting for 152 comparisons (adjusted p = 0.1)" in apart


def test_no_sentence_claims_more_than_its_interval(rng):
    """Both limits are in every sentence, none is excluded, and zero only where it lies outside."""
    for _ in range(200):
        low, high = np.sort(rng.normal(0, 10, 2).round(1))
        p, p_adj = np.sort(rng.random(2))
        row = pd.Series(
            {"attribute": "sex", "outcome": "msd_mm_myo", "kind": "continuous", "n": 12,
             "group": "female", "reference": "male", "n_reference": 11,
             "gap": (low + high) / 2, "ci_low": low, "ci_high": high, "p": p, "p_adj": p_adj,
             "direction": "worse", "note": ""}
        )  # fmt: skip
        said = gap_sentence(row)
        figures = [float(text) for text in re.findall(r"-?\d+(?:\.\d+)?", said)]
        rounding = 0.51 * 10.0 ** -decimals(max(abs(low), abs(high)))
        for limit in (low, high):
            near = [f for f in figures if abs(abs(f) - abs(limit)) <= rounding]
            assert near or ("equal" in said and abs(limit) <= rounding), said
        assert "be excluded" not in said
        assert ("excludes zero" in said) <= (low > 0 or high < 0)
        assert ("no evidence" in said) <= (low <= 0 <= high), said
        assert (" is " in said.split(":")[0] and "higher" in said.split(":")[0]) <= (p_adj <= 0.05)


def test_adjusted_gaps_of_scores_lie_where_gaps_can(rng):
    from popscan.fairness.adjusted import adjusted_gaps

    groups = people(np.repeat(["female", "male"], 12))
    groups["age_years"] = rng.normal(60, 8, 24)
    dice = np.where(rng.random(24) < 0.3, 0.0, 1.0)  # as scattered as a score can be
    found = adjusted_gaps(
        table(dice, "dice_myo"), groups, attributes_to_test=["sex"],
        adjust_for=["age_years"], methods=["regression", "standardisation", "matching"],
        min_group=5,
    )  # fmt: skip
    known = found[found["ci_low"].notna()]
    assert len(known)
    assert (known["ci_low"] >= -1).all()
    assert (known["ci_high"] <= 1).all()


@pytest.mark.parametrize(("smallest", "impossible"), [(1.35, True), (0.35, False)])
def test_a_difference_that_cannot_be_is_not_called_detectable(smallest, impossible):
    row = pd.Series(
        {"attribute": "sex", "outcome": "dice_mean", "kind": "continuous", "group": "female",
         "reference": "male", "n": 3, "n_reference": 4, "gap": -0.07, "ci_low": -1.0,
         "ci_high": 0.89, "p": 0.9, "p_adj": 1.0, "direction": "worse", "note": "",
         "min_detectable_gap": smallest}
    )  # fmt: skip
    said = gap_sentence(row)
    assert ("too small to say what difference would have been found" in said) == impossible
    assert ("a true difference of 35 points" in said) != impossible
    assert "135" not in said


@pytest.mark.parametrize(
    ("outcome", "kind", "values", "said"),
    [
        ("lvedv_ml", "continuous", [100.0, -5.0, 120.0], "1 of 3 values are below 0"),
        ("dice_mean", "continuous", [0.9, -0.1, 0.8], "1 of 3 values are outside 0 to 1"),
        ("lvef_pct", "continuous", [60.0, 6e9, np.nan], "1 of 2 values are above 100"),
        ("lvedv_ml", "continuous", [100.0, 100.0, np.nan], "all values are equal"),
        ("dice_mean", "continuous", [90.0, 95.0, 99.0], ""),
        ("dice_mean", "continuous", [0.9, 0.95, 1.05], "1 of 3 values are outside 0 to 1"),
        ("dice_mean", "continuous", [0.9, 0.8, 1.3, 40.0], "2 of 4 values are outside 0 to 1"),
        ("lvedv_ml_error", "continuous", [-5.0, 3.0, 1.0], ""),
        ("aorta_offset_ml", "continuous", [-5.0, 3.0, 1.0], ""),
        ("aorta_net_ml", "continuous", [-5.0, 3.0, 1.0], ""),
        ("qc_fail", "binary", [0.0, 0.0, 0.0], ""),
        ("lvedv_ml", "continuous", [np.nan, np.nan, np.nan], ""),
    ],
)
def test_outcomes_that_cannot_be_or_do_not_vary_are_named(outcome, kind, values, said):
    notes = odd_values([{"outcome": outcome, "kind": kind}], np.array(values)[:, None])
    assert len(notes) == bool(said)
    assert all(note.startswith(f"{outcome}: ") and said in note for note in notes)
