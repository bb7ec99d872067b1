"""Regressions and reference ranges against known coefficients and degenerate designs."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from popscan.associate.models import DICTIONARY, associate
from popscan.associate.ranges import age_band, reference_ranges
from popscan.records import PopscanError


@pytest.fixture
def cohort(rng):
    n = 240
    table = pd.DataFrame(
        {
            "age_years": rng.uniform(40, 80, n),
            "sex": np.where(np.arange(n) % 5 < 3, "female", "male"),
            "bsa_m2": rng.normal(1.85, 0.2, n),
        }
    )
    noise = rng.normal(0, 4 + 0.1 * table["age_years"], n)
    table["lvedv_ml"] = (
        90 - 0.5 * table["age_years"] + 20 * (table["sex"] == "male") + 30 * table["bsa_m2"] + noise
    )
    return table


def test_estimates_and_hc3_errors_are_statsmodels(cohort):
    found = associate(cohort, outcomes=["lvedv_ml"]).set_index("term")
    fit = smf.ols("lvedv_ml ~ age_years + C(sex) + bsa_m2", cohort).fit(cov_type="HC3", use_t=True)
    for ours, theirs in {"age_years": "age_years", "sex[male vs female]": "C(sex)[T.male]"}.items():
        assert found.loc[ours, "estimate"] == pytest.approx(fit.params[theirs])
        assert found.loc[ours, "se"] == pytest.approx(fit.bse[theirs])
        # Student's t with degrees of freedom that statsmodels does not have (test_linear.py)
        freedom, t = found.loc[ours, "df"], abs(fit.tvalues[theirs])
        assert 100 < freedom < fit.df_resid
        assert found.loc[ours, "p"] == pytest.approx(2 * stats.t.sf(t, freedom))
        low = fit.params[theirs] - stats.t.ppf(0.975, freedom) * fit.bse[theirs]
        assert found.loc[ours, "ci_low"] == pytest.approx(low)
    assert found.loc["age_years", "unit"] == "mL per years"
    assert found["n"].eq(240).all()
    assert set(found.reset_index().columns) == set(DICTIONARY)


def test_rows_in_any_order_give_the_same_table(cohort):
    first = associate(cohort, outcomes=["lvedv_ml"])
    second = associate(cohort.sample(frac=1, random_state=3), outcomes=["lvedv_ml"])
    pd.testing.assert_frame_equal(first, second, rtol=1e-9)


def test_unit_of_a_term_scales_its_estimate_alone(cohort):
    metres = cohort.assign(age_years=cohort["age_years"] / 10)
    first = associate(cohort, outcomes=["lvedv_ml"]).set_index("term")
    second = associate(metres, outcomes=["lvedv_ml"]).set_index("term")
    assert second.loc["age_years", "estimate"] == pytest.approx(
        10 * first.loc["age_years", "estimate"]
    )
    assert second.loc["bsa_m2", "p"] == pytest.approx(first.loc["bsa_m2", "p"])


def test_missing_values_are_dropped_and_counted(cohort):
    cohort.loc[:9, "bsa_m2"] = np.nan
    cohort.loc[10:14, "sex"] = "unknown"
    cohort.loc[15:16, "lvedv_ml"] = np.nan
    found = associate(cohort, outcomes=["lvedv_ml"])
    assert found["n"].eq(240 - 17).all()
    assert found["n_dropped"].eq(17).all()


def test_degenerate_designs_are_rows_with_notes(cohort):
    cohort["twice"] = 2 * cohort["age_years"]
    cohort["constant"] = 1.0
    cohort["empty"] = np.nan
    found = associate(
        cohort,
        outcomes=["lvedv_ml", "constant", "empty", "absent"],
        terms=["age_years", "twice", "constant", "empty", "absent"],
    )
    good = found[found["outcome"] == "lvedv_ml"].set_index("term")
    assert "collinear with age_years" in good.loc["twice", "note"]
    assert "cannot be distinguished from twice" in good.loc["age_years", "note"]
    assert "does not vary" in good.loc["constant", "note"]
    assert "no subject has a value" in good.loc["empty", "note"]
    assert "not in the table" in good.loc["absent", "note"]
    assert good.loc[["twice", "constant", "empty", "absent"], "estimate"].isna().all()
    assert np.isfinite(good.loc["age_years", "estimate"])
    rest = found[found["outcome"] != "lvedv_ml"]
    assert rest["estimate"].isna().all()
    assert rest["note"].ne("").all()


@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_subjects_are_rows_with_notes(cohort, n):
    found = associate(cohort.iloc[:n], outcomes=["lvedv_ml"])
    assert len(found)
    assert found["estimate"].isna().all()
    assert found["note"].ne("").all()


def test_single_sex_keeps_the_other_terms(cohort):
    found = associate(cohort[cohort["sex"] == "female"], outcomes=["lvedv_ml"]).set_index("term")
    assert "only female" in found.loc["sex", "note"]
    assert np.isfinite(found.loc["age_years", "estimate"])
    assert "not adjusted for sex" in found.loc["age_years", "note"]


def test_rare_levels_are_merged_and_told(cohort):
    cohort["site"] = ["a"] * 120 + ["b"] * 112 + ["c"] * 4 + ["d"] * 4
    found = associate(cohort, outcomes=["lvedv_ml"], terms=["age_years", "site"])
    assert set(found["term"]) == {"intercept", "age_years", "site[b vs a]", "site[other vs a]"}
    assert found["note"].str.contains("merged as other \\(c, d\\)").all()


def test_q_is_bh_over_all_terms_of_all_outcomes(cohort, rng):
    cohort["lvm_g"] = rng.normal(100, 10, len(cohort))
    found = associate(cohort, outcomes=["lvedv_ml", "lvm_g"])
    explains = found[found["term"] != "intercept"]
    np.testing.assert_allclose(explains["q"], stats.false_discovery_control(explains["p"]))
    assert found.loc[found["term"] == "intercept", "q"].isna().all()


def test_unknown_error_is_refused(cohort):
    with pytest.raises(PopscanError, match="HC3"):
        associate(cohort, outcomes=["lvedv_ml"], robust="HC9")


def test_no_outcomes_is_an_empty_table(cohort):
    assert associate(cohort, outcomes=[]).empty


def test_ranges_of_a_known_distribution_and_small_strata(rng):
    table = pd.DataFrame(
        {
            "sex": ["female"] * 4000 + ["male"] * 7,
            "age_years": [55.0] * 4007,
            "lvedv_ml": np.concatenate([rng.normal(120, 20, 4000), np.full(7, 150.0)]),
        }
    )
    found = reference_ranges(table, outcomes=["lvedv_ml"], seed=1).set_index("sex")
    women = found.loc["female"]
    assert women["age_band"] == "50-59"
    assert women["lower"] == pytest.approx(120 - 1.96 * 20, abs=4)
    assert women["lower_ci_low"] < women["lower"] < women["lower_ci_high"]
    assert women["upper_ci_low"] < women["upper"] < women["upper_ci_high"]
    assert "too few" in found.loc["male", "note"]
    assert np.isnan(found.loc["male", "mean"])
    assert found.loc["male", "n"] == 7


def test_ranges_need_their_strata_and_bands_name_unknown_ages():
    with pytest.raises(PopscanError, match="scanner"):
        reference_ranges(pd.DataFrame({"x": [1.0]}), outcomes=["x"], by=["scanner"])
    bands = age_band(pd.Series([9.0, 10.0, np.nan, 71.2]))
    assert list(bands) == ["00-09", "10-19", "unknown", "70-79"]


def test_ranges_without_strata_describe_everybody(cohort):
    found = reference_ranges(cohort, outcomes=["lvedv_ml"], by=[])
    assert len(found) == 1
    assert found["n"].iloc[0] == 240


@pytest.mark.parametrize("missing", [None, "n/a", "unknown", float("nan")])
@pytest.mark.parametrize("dtype", ["object", "str"])
def test_a_word_that_is_missing_costs_one_row(cohort, missing, dtype):
    words = np.where(np.arange(len(cohort)) % 2, "Siemens", "Philips").astype(object)
    words[17] = missing
    table = cohort.assign(vendor=pd.Series(words, dtype=dtype))
    found = associate(table, outcomes=["lvedv_ml"], terms=["age_years", "sex", "vendor"])
    kept = table.drop(index=17)
    fit = smf.ols("lvedv_ml ~ age_years + C(sex) + C(vendor)", kept).fit()
    assert found["n"].eq(239).all()
    estimate = found.set_index("term")["estimate"]
    assert estimate["age_years"] == pytest.approx(fit.params["age_years"])
    assert estimate["vendor[Siemens vs Philips]"] == pytest.approx(
        fit.params["C(vendor)[T.Siemens]"]
    )


def test_visits_of_a_subject_are_not_independent(cohort, rng):
    """Errors are those of leaving out one subject after the other, each with all visits."""
    of = np.repeat(np.arange(120), 2)
    shared = rng.normal(0, 20, 120)[of]
    table = cohort.assign(sub=[f"sub-{i}" for i in of], lvedv_ml=cohort["lvedv_ml"] + shared)
    table["age_years"] = table["age_years"].iloc[of * 2].to_numpy()
    found = associate(table, outcomes=["lvedv_ml"], cluster="sub").set_index("term")
    formula = "lvedv_ml ~ age_years + C(sex) + bsa_m2"
    slope = smf.ols(formula, table).fit().params["age_years"]
    without = [smf.ols(formula, table[of != i]).fit().params["age_years"] for i in range(120)]
    se = np.sqrt(119 / 120 * ((np.array(without) - slope) ** 2).sum())
    assert found.loc["age_years", "se"] == pytest.approx(se)
    freedom = found.loc["age_years", "df"]
    assert 30 < freedom < 119
    p = 2 * stats.t.sf(abs(slope) / se, freedom)
    assert found.loc["age_years", "p"] == pytest.approx(p)
    reach = stats.t.ppf(0.975, freedom) * se
    assert found.loc["age_years", "ci_low"] == pytest.approx(slope - reach)
    alone = associate(table, outcomes=["lvedv_ml"]).set_index("term")
    assert found.loc["age_years", "estimate"] == pytest.approx(alone.loc["age_years", "estimate"])
    assert found.loc["age_years", "se"] > 1.2 * alone.loc["age_years", "se"]
    assert found["robust"].eq("cluster").all()
    assert found["note"].str.contains("240 visits of 120 subjects: errors by subject").all()
    assert not found["note"].str.contains("few").any()


def test_few_subjects_with_many_visits_get_no_estimate_or_a_caution(cohort):
    table = cohort.assign(sub=[f"sub-{i % 10}" for i in range(240)])
    few = associate(table, outcomes=["lvedv_ml"], cluster="sub", min_n=20)
    assert few["estimate"].isna().all()
    assert few["note"].str.contains("too few: 10 subjects").any()
    cautious = associate(table, outcomes=["lvedv_ml"], cluster="sub", min_n=5)
    assert cautious["note"].str.contains("10 are few for that").all()


def test_one_visit_each_is_as_without_subjects(cohort):
    table = cohort.assign(sub=[f"sub-{i}" for i in range(len(cohort))])
    pd.testing.assert_frame_equal(
        associate(table, outcomes=["lvedv_ml"], cluster="sub"),
        associate(cohort, outcomes=["lvedv_ml"]),
    )


def test_a_term_that_is_lost_is_named_in_every_row(cohort):
    table = cohort.assign(site="A", empty=np.nan)
    found = associate(
        table, outcomes=["lvedv_ml"], terms=["age_years", "site", "empty", "absent"]
    ).set_index("term")
    kept = found["note"][["intercept", "age_years"]]
    assert kept.eq("not adjusted for site, empty, absent").all()


@pytest.mark.parametrize(("few", "most"), [(2, 0.06), (5, 0.08)])
def test_a_rare_yes_no_term_is_no_chance_finding(few, most):
    """With n - k degrees of freedom 20% and 7% of these are significant."""
    rng, found = np.random.default_rng(4), []
    for _ in range(300):
        table = pd.DataFrame(
            {"brain_ml": rng.normal(size=60), "age_years": rng.normal(60, 8, 60),
             "treated": (np.arange(60) < few).astype(float)}
        )  # fmt: skip
        rows = associate(table, outcomes=["brain_ml"], terms=["age_years", "treated"])
        found.append(rows.set_index("term").loc["treated", "p"] <= 0.05)
    assert np.mean(found) <= most


def test_a_term_of_one_subject_has_no_error():
    """HC3 is 0 / 0 there: what came of rounding was significant in 13% of studies."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame(
        {"brain_ml": rng.normal(size=60), "age_years": rng.normal(60, 8, 60),
         "treated": (np.arange(60) == 7).astype(float)}
    )  # fmt: skip
    rows = associate(table, outcomes=["brain_ml"], terms=["age_years", "treated"])
    row = rows.set_index("term").loc["treated"]
    assert np.isfinite(row["estimate"])
    assert np.isnan(row[["se", "p", "ci_low", "ci_high"]].astype(float)).all()
    assert "rests on one subject" in row["note"]
    assert np.isfinite(rows.set_index("term").loc["age_years", "p"])


@pytest.mark.parametrize("visits", [1, 2])
def test_a_term_far_from_0_has_the_errors_of_the_centred_term(rng, visits):
    """A date as a number: what rounding does to it must not reach errors or who has a say."""
    n = 60
    person = np.repeat(np.arange(n), visits)
    table = pd.DataFrame(
        {
            "sub": person,
            "age_years": rng.normal(60, 8, n)[person],
            "date": 1.5e9 + 1e7 * rng.normal(size=n * visits),
            "rare": (person == 3).astype(float),
            "lvedv_ml": rng.normal(140, 20, n * visits),
        }
    )
    terms = ["age_years", "date", "rare"]

    def rows(of):
        found = associate(of, outcomes=["lvedv_ml"], terms=terms, cluster="sub")
        return found.set_index("term")

    far, near = rows(table), rows(table.assign(date=table["date"] - table["date"].mean()))
    for column in ("se", "df", "p"):
        assert far.loc[terms, column].to_numpy() == pytest.approx(
            near.loc[terms, column].to_numpy(), rel=1e-4, nan_ok=True
        )
    assert np.isfinite(far.loc[["age_years", "date"], "se"]).all()
    assert np.isnan(far.loc["rare", ["se", "df", "p"]].astype(float)).all()
    assert "one subject" in far.loc["rare", "note"]


def test_every_outcome_has_the_same_reference_level():
    """Two values missing made the other sex the reference, and the sign the opposite."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {"sex": ["female"] * 30 + ["male"] * 30, "age_years": rng.normal(50, 8, 60),
         "whole": rng.normal(size=60), "lacking": rng.normal(size=60)}
    )  # fmt: skip
    table.loc[:3, "lacking"] = np.nan
    found = associate(table, outcomes=["whole", "lacking"], terms=["age_years", "sex"])
    named = found[found["term"].str.startswith("sex")]["term"]
    assert named.tolist() == ["sex[male vs female]"] * 2
    alone = table[table["sex"] == "male"].assign(lacking=1.0)
    both = pd.concat([table, alone], ignore_index=True)
    only = associate(both, outcomes=["whole"], terms=["age_years", "sex"])
    assert "sex[female vs male]" in set(only["term"])


def test_rare_levels_of_one_outcome_do_not_change_the_reference():
    """Merged first, `other` was the largest: site[A vs other] beside site[B vs A]."""
    rng = np.random.default_rng(0)
    small = [name for k in range(10) for name in [f"x{k}"] * 4]
    table = pd.DataFrame({"site": ["A"] * 30 + small + ["B"] * 25})
    table["y1"] = rng.normal(0, 1, len(table))
    table["y2"] = table["y1"].where(~table["site"].str.startswith("x"))
    table["y3"] = table["y1"].where(table["site"] != "A")
    table["y4"] = table["y1"].where((table["site"] != "A") | (table.index < 3))
    found = associate(table, outcomes=["y1", "y2", "y3", "y4"], terms=["site"])
    named = found[found["term"] != "intercept"].groupby("outcome")["term"].agg(list).to_dict()
    assert named["y1"] == ["site[B vs A]", "site[other vs A]"]
    assert named["y2"] == ["site[B vs A]"]
    assert named["y3"] == named["y4"] == ["site[other vs B]"]
    notes = found.set_index(["outcome", "term"])["note"]
    for outcome in ("y3", "y4"):
        assert "reference of site is B: of A, the most" in notes[outcome, "site[other vs B]"]
    assert "reference of" not in notes["y1", "site[B vs A]"]


def test_a_level_that_is_named_other_is_no_reference():
    table = pd.DataFrame({"race": ["other"] * 30 + ["a"] * 20 + ["b"] * 10})
    table["y"] = np.random.default_rng(0).normal(size=60)
    found = associate(table, outcomes=["y"], terms=["race"])
    assert found["term"].tolist() == ["intercept", "race[b vs a]", "race[other vs a]"]
