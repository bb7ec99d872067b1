"""Ledger, funnel, adjusted gaps and agreement on pipelines whose bias was put in by hand."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.fairness import adjusted, agreement, funnel, ledger, pairs, story
from popscan.records import PopscanError

TEST = {"attributes_to_test": ["g"]}


@pytest.fixture
def people(rng):
    n = 400
    return pd.DataFrame(
        {
            "g": np.where(np.arange(n) < 160, "a", "b"),
            "age_years": rng.normal(55, 8, n) + np.where(np.arange(n) < 160, 6, 0),
            "site": rng.choice(["s1", "s2"], n),
        },
        index=pd.Index([f"u{i:03d}" for i in range(n)], name="unit"),
    )


def chain(people, rng):
    """Truth with a gap of -5; segmentation adds -2 in group a; QC loses the largest of b."""
    in_a = (people["g"] == "a").to_numpy()
    truth = rng.normal(150, 15, len(people)) - 5 * in_a
    measured = truth + rng.normal(0, 3, len(people)) - 2 * in_a
    analysed = in_a | (measured < 165)
    frame = pd.DataFrame({"unit": people.index, "lvedv_ml": truth})
    return {
        "truth": frame,
        "segmentation": frame.assign(lvedv_ml=measured),
        "qc": frame.assign(lvedv_ml=measured)[analysed],
    }


def test_contributions_add_up_to_the_final_gap(people, rng):
    steps = chain(people, rng)
    found = ledger.bias_ledger(steps, people, biomarkers=["lvedv_ml"], n_boot=300, **TEST)
    parts = found[found["step"] != ledger.TOTAL]
    assert parts["contribution"].sum() == pytest.approx(parts["gap"].iloc[-1])
    total = found[found["step"] == ledger.TOTAL].iloc[0]
    assert total["contribution"] == pytest.approx(parts["contribution"].iloc[1:].sum())
    assert list(found["step"]) == ["truth", "segmentation", "qc", ledger.TOTAL]
    by_hand = steps["qc"].set_index("unit")["lvedv_ml"].groupby(people["g"]).mean()
    assert parts["gap"].iloc[-1] == pytest.approx(by_hand["a"] - by_hand["b"])


def test_the_ledger_finds_where_bias_was_put(people, rng):
    found = ledger.bias_ledger(
        chain(people, rng), people, biomarkers=["lvedv_ml"], n_boot=2000, alpha=1e-3, **TEST
    ).set_index("step")
    step = found.loc["segmentation"]
    assert step["ci_low"] < -2 < step["ci_high"]
    assert step["p"] < 1e-4
    assert step["from_exclusions"] == pytest.approx(0.0, abs=1e-9)
    assert found.loc["qc", "from_values"] == pytest.approx(0.0, abs=1e-9)
    assert found.loc["qc", "from_exclusions"] > 1.0
    # The paired change is known far better than the gap itself
    width = step["ci_high"] - step["ci_low"]
    assert width < 0.6 * (step["gap_ci_high"] - step["gap_ci_low"])


def test_the_adjusted_step_is_ancova(people, rng):
    steps = chain(people, rng)
    for table in steps.values():
        table["lvedv_ml"] -= 0.8 * people["age_years"].reindex(table["unit"]).to_numpy()
    found = ledger.bias_ledger(
        steps, people, biomarkers=["lvedv_ml"], adjust_for=["age_years"], n_boot=300, **TEST
    ).set_index("step")
    outcome = (
        steps["qc"]
        .rename(columns={"lvedv_ml": "value"})
        .assign(stage="bio", outcome="lvedv_ml", better_is="neither")
    )
    expected = adjusted.adjusted_gaps(
        outcome, people, adjust_for=["age_years"], methods=["ancova"], **TEST
    ).iloc[0]
    row = found.loc["adjustment for age_years"]
    assert row["gap"] == pytest.approx(expected["gap"])
    half = (row["gap_ci_high"] - row["gap_ci_low"]) / 2
    assert half == pytest.approx(1.96 * expected["se"], rel=0.25)


def test_swapping_the_reference_negates_the_ledger(people, rng):
    steps = chain(people, rng)
    options = {"biomarkers": ["lvedv_ml"], "n_boot": 200, **TEST}
    one = ledger.bias_ledger(steps, people, reference={"g": "a"}, **options)
    two = ledger.bias_ledger(steps, people, reference={"g": "b"}, **options)
    np.testing.assert_allclose(one["contribution"], -two["contribution"])
    np.testing.assert_allclose(one["ci_low"], -two["ci_high"])


def test_the_ledger_refuses_or_explains_what_it_cannot_do(people, rng):
    steps = chain(people, rng)
    with pytest.raises(PopscanError, match="two steps"):
        ledger.bias_ledger({"truth": steps["truth"]}, people, biomarkers=["lvedv_ml"], **TEST)
    doubled = {**steps, "qc": pd.concat([steps["qc"], steps["qc"].iloc[:1]])}
    with pytest.raises(PopscanError, match="twice"):
        ledger.bias_ledger(doubled, people, biomarkers=["lvedv_ml"], **TEST)
    small = ledger.bias_ledger(steps, people, biomarkers=["lvedv_ml"], min_group=300, **TEST)
    assert small["note"].str.startswith("too few").all()
    none = ledger.bias_ledger(steps, people, biomarkers=["absent"], **TEST)
    assert none["gap"].isna().all()


def ledger_rows(people, lost):
    """Records of two stages; `lost` are excluded at the second."""
    first = pd.DataFrame({"unit": people.index, "stage": "ingest", "status": "ok"})
    first.loc[:3, "status"] = "failed"
    second = first.assign(stage="qc", status=np.where(lost, "excluded", "ok"))
    second.loc[:3, "status"] = "skipped"
    return pd.concat([first, second])


def test_the_funnel_adds_up_and_tests_like_scipy(people, rng):
    lost = rng.random(len(people)) < np.where(people["g"] == "a", 0.3, 0.1)
    rows = ledger_rows(people, lost)
    found = funnel.funnel(rows, people, stages=["ingest", "qc"], **TEST)
    for group, part in found.groupby("group"):
        by_stage = part.set_index("stage")
        assert by_stage.loc["ingest", "n_entered"] == (people["g"] == group).sum()
        left = by_stage.loc["ingest", "n_entered"] - by_stage.loc["ingest", "n_lost"]
        assert by_stage.loc["qc", "n_entered"] == left
        assert by_stage.loc[funnel.ALL, "n_lost"] == by_stage["n_lost"].iloc[:2].sum()
    row = found[(found["group"] == "a") & (found["stage"] == "qc")].iloc[0]
    mine, theirs = (
        found[(found["group"] == g) & (found["stage"] == "qc")].iloc[0] for g in ("a", "b")
    )
    table = [[r["n_lost"], r["n_entered"] - r["n_lost"]] for r in (mine, theirs)]
    assert row["p"] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


def test_the_funnel_names_an_unknown_stage(people):
    rows = ledger_rows(people, np.zeros(len(people), bool))
    with pytest.raises(PopscanError, match="segment"):
        funnel.funnel(rows, people, stages=["ingest", "segment"], **TEST)


def test_exclusion_at_equal_quality_separates_bad_scans_from_bad_qc():
    rng = np.random.default_rng(5)
    n = 1500
    people = pd.DataFrame(
        {"g": rng.choice(["a", "b"], n, p=[0.4, 0.6])}, index=[f"u{i:04d}" for i in range(n)]
    )
    in_a = (people["g"] == "a").to_numpy()
    quality = pd.Series(0.9 - 0.03 * in_a + rng.normal(0, 0.03, n), index=people.index)
    chance = 1 / (1 + np.exp(-(-2 - 60 * (quality - 0.9))))
    fair = pd.Series((rng.random(n) < chance).astype(float), index=people.index)
    unfair = fair.where(~(in_a & (rng.random(n) < 0.2)), 1.0)
    for excluded, biased in ((fair, False), (unfair, True)):
        found = funnel.exclusion_at_equal_quality(excluded, quality, people, **TEST)
        row = found[found["method"] == "standardisation"].iloc[0]
        assert row["gap_raw"] > 0.15
        assert (row["ci_low"] > 0) == biased


def long(people, values, **more):
    columns = {"stage": "s", "outcome": "dice", "better_is": "higher"} | more
    return pd.DataFrame({"unit": people.index, "value": values}).assign(**columns)


def test_a_confounder_that_is_the_group_gives_no_estimate(people, rng):
    table = people.assign(own=people["g"].map({"a": "x", "b": "y"}))
    found = adjusted.adjusted_gaps(
        long(people, rng.normal(size=len(people))),
        table,
        adjust_for=["own"],
        methods=["regression", "matching"],
        **TEST,
    )
    assert found["gap"].isna().all()
    assert found["note"].str.contains("cannot be distinguished").all()
    assert np.isfinite(found["gap_raw"]).all()


def test_age_explains_a_gap_that_is_ages(people, rng):
    dice = 0.95 - 0.004 * (people["age_years"] - 55) + rng.normal(0, 0.005, len(people))
    found = adjusted.adjusted_gaps(
        long(people, dice), people, adjust_for=["age_years"], methods=["regression"], **TEST
    ).iloc[0]
    assert found["gap_raw"] < -0.01
    assert found["explained_pct"] == pytest.approx(100, abs=12)


def test_missing_confounders_are_dropped_and_counted(people, rng):
    people.iloc[:7, people.columns.get_loc("age_years")] = np.nan
    found = adjusted.adjusted_gaps(
        long(people, rng.normal(size=len(people))), people, adjust_for=["age_years", "site"], **TEST
    ).iloc[0]
    assert found["n_dropped"] == 7
    assert found["n"] + found["n_reference"] == len(people) - 7


def test_subjects_without_a_block_are_a_block_of_the_mixed_model(people, rng):
    people["scanner"] = pd.Series(rng.choice(["a", "b", "c"], len(people)), people.index)
    people.iloc[:9, people.columns.get_loc("scanner")] = None
    row = adjusted.adjusted_gaps(
        long(people, rng.normal(size=len(people))), people, adjust_for=["age_years"],
        methods=["mixed"], block="scanner", **TEST,
    ).iloc[0]  # fmt: skip
    assert np.isfinite(row["gap"])
    assert row["n"] + row["n_reference"] == len(people)


def test_unknown_adjustments_are_refused(people):
    with pytest.raises(PopscanError, match="regression"):
        adjusted.adjusted_gaps(long(people, 1.0), people, adjust_for=[], methods=["magic"], **TEST)
    with pytest.raises(PopscanError, match="shoe_size"):
        adjusted.adjusted_gaps(long(people, 1.0), people, adjust_for=["shoe_size"], **TEST)


def test_bland_altman_by_hand():
    people = pd.DataFrame({"g": ["a"] * 4}, index=list("wxyz"))
    truth = pd.DataFrame({"unit": list("wxyz"), "truth_ef_pct": [50.0, 55.0, 60.0, 65.0]})
    measured = pd.DataFrame({"unit": list("wxyz"), "ef_pct": [51.0, 54.0, 63.0, 66.0]})
    row = agreement.bland_altman(
        measured, truth, people, biomarkers=["ef_pct"], min_group=3, **TEST
    ).iloc[0]
    difference = np.array([1.0, -1.0, 3.0, 1.0])
    assert row["bias"] == pytest.approx(1.0)
    assert row["sd"] == pytest.approx(difference.std(ddof=1))
    assert row["loa_high"] == pytest.approx(1.0 + 1.96 * difference.std(ddof=1))
    mean = (measured["ef_pct"] + truth["truth_ef_pct"]) / 2
    assert row["slope"] == pytest.approx(np.polyfit(mean, difference, 1)[0])


def test_errors_of_the_measurement_are_no_proportional_bias():
    rng = np.random.default_rng(4)
    units = [f"u{i:04d}" for i in range(1000)]
    people = pd.DataFrame({"g": "a"}, index=units)
    truth = pd.DataFrame({"unit": units, "lvedv_ml": rng.normal(150, 20, 1000)})
    for slope in (0.0, -0.2):
        error = rng.normal(0, 10, 1000) + slope * (truth["lvedv_ml"] - 150)
        measured = truth.assign(lvedv_ml=truth["lvedv_ml"] + error)
        row = agreement.bland_altman(
            measured, truth, people, biomarkers=["lvedv_ml"], against="reference", **TEST
        ).iloc[0]
        assert row["slope_ci_low"] < slope < row["slope_ci_high"]
        assert (row["p_slope"] < 1e-6) == (slope != 0)
        assert row["slope_against"] == "reference"
    with pytest.raises(PopscanError, match="mean, reference"):
        agreement.bland_altman(truth, truth, people, biomarkers=[], against="truth", **TEST)


def test_bland_altman_finds_the_group_with_more_bias_and_scatter(people, rng):
    in_a = (people["g"] == "a").to_numpy()
    truth = rng.normal(150, 20, len(people))
    error = rng.normal(0, np.where(in_a, 8, 4)) - 5 * in_a
    frame = pd.DataFrame({"unit": people.index, "lvedv_ml": truth})
    row = (
        agreement.bland_altman(
            frame.assign(lvedv_ml=truth + error), frame, people, biomarkers=["lvedv_ml"], **TEST
        )
        .set_index("group")
        .loc["a"]
    )
    assert row["bias_gap"] == pytest.approx(-5, abs=2.5)
    assert row["p_bias_gap_adj"] < 1e-3
    assert row["sd_ratio"] == pytest.approx(2, rel=0.3)
    assert row["p_sd_ratio"] < 1e-3


def test_all_pairs_has_every_pair_once(people, rng):
    table = people.assign(g=rng.choice(list("abcd"), len(people)))
    found = pairs.all_pairs(long(people, rng.normal(size=len(people))), table, **TEST)
    assert len(found) == 6
    assert (found["p_adj"] >= found["p"]).all()
    assert found["p_kruskal"].nunique() == 1


def test_ledger_and_funnel_are_told_in_sentences(people, rng):
    found = ledger.bias_ledger(
        chain(people, rng), people, biomarkers=["lvedv_ml"], n_boot=300, **TEST
    )
    (said,) = story.ledger_sentences(found)
    total = found[found["step"] == ledger.TOTAL].iloc[0]
    assert "LV end-diastolic volume, a minus b" in said
    shown = re.search(r"changes the gap by ([+-][\d.]+) mL", said)
    assert shown
    assert float(shown[1]) == pytest.approx(total["contribution"], abs=0.051)
    lost = (people["g"] == "a").to_numpy() & (np.arange(len(people)) % 3 == 0)
    rows = funnel.funnel(ledger_rows(people, lost), people, stages=["ingest", "qc"], **TEST)
    told = story.funnel_sentences(rows)
    assert any(s.startswith("At qc,") and "more" in s for s in told)
    nobody = funnel.funnel(
        ledger_rows(people, np.zeros(len(people), bool)), people, stages=["ingest", "qc"], **TEST
    )
    assert "No evidence that a group" in story.funnel_sentences(nobody)[0]


def few_events(n, n_events, n_reference, n_events_reference):
    """People of group a and reference b, and who of them had the event."""
    units = [f"u{i:03d}" for i in range(n + n_reference)]
    people = pd.DataFrame(
        {"g": ["a"] * n + ["b"] * n_reference, "age_years": np.arange(n + n_reference) % 17},
        index=units,
    )
    event = np.r_[np.arange(n) < n_events, np.arange(n_reference) < n_events_reference]
    return people, pd.Series(event.astype(float), index=units)


@pytest.mark.parametrize("n_events", [0, 12])
def test_a_group_without_events_or_with_nothing_else_has_no_adjusted_gap(n_events):
    people, event = few_events(12, n_events, 400, 20)
    found = adjusted.adjusted_gaps(
        long(people, event, kind="binary", better_is="lower"),
        people,
        adjust_for=["age_years"],
        methods=["unadjusted", "regression", "standardisation"],
        **TEST,
    )
    assert found["p"].isna().all()
    assert found["gap_raw"].to_numpy() == pytest.approx(n_events / 12 - 0.05)
    assert found["note"].str.startswith("too few events for a model").all()


def test_exclusions_of_a_group_that_has_none_are_not_told_as_a_finding(rng):
    people, excluded = few_events(12, 0, 400, 20)
    quality = pd.Series(rng.normal(0.9, 0.03, len(people)), index=people.index)
    found = funnel.exclusion_at_equal_quality(excluded, quality, people, **TEST)
    assert found["p"].isna().all()
    (said,) = story.exclusion_sentences(found)
    assert "could not be compared" in said
    assert "too few events" in said


def test_events_are_counted_by_subject():
    people, event = few_events(60, 10, 400, 40)
    people["sub"] = np.arange(len(people)) // 5
    options = {"adjust_for": ["age_years"], **TEST}
    outcome = long(people, event, kind="binary")
    assert np.isfinite(adjusted.adjusted_gaps(outcome, people, **options)["p"]).all()
    by_subject = adjusted.adjusted_gaps(outcome, people, cluster="sub", **options)
    assert by_subject["note"].str.startswith("too few events").all()  # 10 visits of 2 subjects
