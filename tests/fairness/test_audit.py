"""Laws of the audit: order, names and reference change what they may and nothing else."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from popscan.fairness import dictionary
from popscan.fairness.audit import audit
from popscan.records import PopscanError

OPTIONS = {"attributes_to_test": ["sex", "race"], "n_boot": 200, "seed": 3, "test": "welch"}


def long(units, outcome, values, *, better_is="higher", stage="segment"):
    return pd.DataFrame(
        {"unit": units, "stage": stage, "outcome": outcome, "value": values, "better_is": better_is}
    )


@pytest.fixture
def people(rng):
    n = 240
    return pd.DataFrame(
        {
            "sex": rng.choice(["female", "male"], n, p=[0.45, 0.55]),
            "race": rng.choice(["White", "Black", "Asian", None], n, p=[0.7, 0.18, 0.09, 0.03]),
        },
        index=[f"sub-{i:03d}" for i in range(n)],
    )


@pytest.fixture
def outcomes(people, rng):
    n = len(people)
    dice = 1 - rng.beta(2, 20, n) - 0.05 * (people["race"] == "Black").to_numpy()
    fails = (rng.random(n) < 0.1).astype(float)
    return pd.concat(
        [
            long(people.index, "dice_lv", dice),
            long(people.index, "qc_fail", fails, better_is="lower", stage="qc"),
            long(people.index[:180], "lvedv_ml", rng.normal(150, 20, 180), better_is="neither"),
        ]
    )


def test_numbers_of_groups_are_numpys(people, outcomes):
    groups = audit(outcomes, people, **OPTIONS).groups
    row = groups[(groups["group"] == "female") & (groups["outcome"] == "dice_lv")].iloc[0]
    dice = outcomes[outcomes["outcome"] == "dice_lv"].set_index("unit")["value"]
    women = dice[people.index[people["sex"] == "female"]]
    assert row["mean"] == pytest.approx(women.mean())
    assert row["sd"] == pytest.approx(women.std())
    assert row["median"] == pytest.approx(women.median())
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    assert row["n"] == len(women)


def test_every_unit_is_counted_once_per_attribute_and_outcome(people, outcomes):
    groups = audit(outcomes, people, intersections=[["sex", "race"]], **OPTIONS).groups
    sums = groups.groupby(["attribute", "outcome"])[["n", "n_missing"]].sum().sum(axis=1)
    assert (sums == len(people)).all()
    assert set(groups["attribute"]) == {"sex", "race", "sex x race"}
    assert "missing" in set(groups.loc[groups["attribute"] == "race", "group"])


def test_columns_are_those_of_the_dictionaries(people, outcomes):
    result = audit(outcomes, people, **OPTIONS)
    assert list(result.groups) == list(dictionary.GROUPS)
    assert list(result.gaps) == list(dictionary.GAPS)
    assert list(result.summary) == list(dictionary.SUMMARY)


def test_order_of_rows_changes_nothing(people, outcomes):
    first = audit(outcomes, people, **OPTIONS)
    shuffled = audit(
        outcomes.sample(frac=1, random_state=1).sort_values("outcome", kind="stable"),
        people.sample(frac=1, random_state=2),
        **OPTIONS,
    )
    by = ["attribute", "group", "outcome"]
    pd.testing.assert_frame_equal(
        first.groups.sort_values(by, ignore_index=True),
        shuffled.groups.sort_values(by, ignore_index=True),
        rtol=1e-7,
    )
    left, right = (
        r.gaps.sort_values(by, ignore_index=True).drop(columns=["p", "p_adj", "significant"])
        for r in (first, shuffled)
    )
    pd.testing.assert_frame_equal(left, right, rtol=1e-7)


def test_renaming_groups_changes_names_alone(people, outcomes):
    names = {"female": "zebra", "male": "aardvark"}
    first = audit(outcomes, people, reference={"sex": "male"}, **OPTIONS)
    second = audit(
        outcomes,
        people.assign(sex=people["sex"].map(names)),
        reference={"sex": "aardvark"},
        **OPTIONS,
    )
    renamed = first.gaps.replace({"group": names, "reference": names})
    pd.testing.assert_frame_equal(renamed, second.gaps)


def test_swapping_the_reference_negates_the_gap(people, outcomes):
    options = OPTIONS | {"attributes_to_test": ["sex"], "test": "mean"}
    one = audit(outcomes, people, reference={"sex": "male"}, **options).gaps
    two = audit(outcomes, people, reference={"sex": "female"}, **options).gaps
    a = one[one["attribute"] == "sex"].reset_index(drop=True)
    b = two[two["attribute"] == "sex"].reset_index(drop=True)
    np.testing.assert_allclose(a["gap"], -b["gap"])
    np.testing.assert_allclose(a["ci_low"], -b["ci_high"])
    np.testing.assert_allclose(a["ci_high"], -b["ci_low"])
    np.testing.assert_allclose(a["ratio"], 1 / b["ratio"])
    np.testing.assert_allclose(a["p"], b["p"])
    np.testing.assert_allclose(a["hedges_g"], -b["hedges_g"])
    np.testing.assert_allclose(a["cliffs_delta"], -b["cliffs_delta"])


def test_an_injected_gap_is_found_and_none_elsewhere(people, outcomes):
    gaps = audit(outcomes, people, alpha=1e-3, **(OPTIONS | {"n_boot": 2000})).gaps
    hit = gaps[(gaps["group"] == "Black") & (gaps["outcome"] == "dice_lv")].iloc[0]
    assert hit["ci_low"] < -0.05 < hit["ci_high"]
    assert hit["p_adj"] < 0.05
    assert hit["direction"] == "worse"


def test_outcomes_on_another_scale_scale_the_gap(people, outcomes):
    scaled = outcomes.assign(value=outcomes["value"] * 100, kind="continuous")
    one = audit(outcomes.assign(kind="continuous"), people, **OPTIONS).gaps
    two = audit(scaled, people, **OPTIONS).gaps
    np.testing.assert_allclose(two["gap"], 100 * one["gap"])
    np.testing.assert_allclose(two["ci_low"], 100 * one["ci_low"])
    np.testing.assert_allclose(two["p"], one["p"])
    np.testing.assert_allclose(two["hedges_g"], one["hedges_g"])


def test_binary_outcomes_have_closed_forms(people, outcomes):
    gaps = audit(outcomes, people, **OPTIONS).gaps
    row = gaps[(gaps["attribute"] == "sex") & (gaps["outcome"] == "qc_fail")].iloc[0]
    assert row["kind"] == "binary"
    assert row["test"] in ("chi-squared", "fisher exact")
    assert row["ci_method"] == "newcombe"
    fails = outcomes[outcomes["outcome"] == "qc_fail"].set_index("unit")["value"]
    table = pd.crosstab(people["sex"], fails)
    assert row["p"] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


def test_small_groups_are_counted_not_described_nor_tested(people, outcomes):
    result = audit(outcomes, people, min_group=50, **OPTIONS)
    small = result.groups[result.groups["too_few"]]
    assert len(small)
    assert small["mean"].isna().all()
    untested = result.gaps[result.gaps["n"] < 50]
    assert untested["p"].isna().all()
    assert untested["gap"].isna().all()
    assert untested["note"].str.startswith("too few").all()
    assert any("fewer than 50" in note for note in result.notes)


def test_an_outcome_without_variation_is_no_test(people, outcomes):
    flat = long(people.index, "ingest_failed", 0.0, better_is="lower", stage="ingest")
    one = audit(outcomes, people, **OPTIONS).gaps
    two = audit(pd.concat([outcomes, flat]), people, **OPTIONS).gaps
    rows = two[two["outcome"] == "ingest_failed"]
    assert rows["p"].isna().all()
    assert (rows["gap"].dropna() == 0).all()
    merged = one.merge(two, on=["attribute", "group", "outcome"])
    np.testing.assert_allclose(merged["p_adj_x"], merged["p_adj_y"])


def test_repeating_every_scan_changes_no_cluster_interval(people, outcomes):
    once = audit(outcomes, people, **OPTIONS).gaps
    visits = [
        (people.assign(sub=people.index).set_index(people.index + f"_ses-{k}"),
         outcomes.assign(unit=outcomes["unit"] + f"_ses-{k}"))
        for k in range(3)
    ]  # fmt: skip
    twice = audit(
        pd.concat([o for _, o in visits]),
        pd.concat([p for p, _ in visits]),
        cluster="sub",
        **OPTIONS,
    ).gaps
    keep = once["kind"] == "continuous"
    for column in ("gap", "ci_low", "ci_high", "p", "min_detectable_gap"):
        np.testing.assert_allclose(
            once.loc[keep, column], twice.loc[keep, column], rtol=1e-6, atol=1e-9
        )


def test_empty_inputs_give_empty_tables(people, outcomes):
    assert audit(outcomes.iloc[:0], people, **OPTIONS).gaps.empty
    nobody = audit(outcomes, people.iloc[:0], **OPTIONS)
    assert nobody.groups.empty
    assert "not in the attributes table: 240" in nobody.notes[0]


def test_summary_measures_by_hand(rng):
    people = pd.DataFrame({"g": ["a"] * 50 + ["b"] * 50}, index=[f"u{i:03d}" for i in range(100)])
    dice = np.concatenate([np.full(50, 0.9), np.full(50, 0.8)])
    row = audit(long(people.index, "dice", dice), people, attributes_to_test=["g"]).summary.iloc[0]
    assert (row["worst_group"], row["best_group"]) == ("b", "a")
    assert row["max_gap"] == pytest.approx(0.1)
    assert row["sd_groups"] == pytest.approx(0.05)
    assert row["ser"] == pytest.approx(2.0)
    assert row["equity_scaled"] == pytest.approx(0.85 / 1.1)
    assert row["p"] < 1e-9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": {"sex": "martian"}}, "martian"),
        ({"correction": "bonf"}, "correction"),
        ({"family": "mine"}, "family"),
        ({"attributes_to_test": ["shoe"]}, "shoe"),
        ({"cluster": "sub"}, "sub"),
    ],
)
def test_unknown_options_are_refused(people, outcomes, change, message):
    with pytest.raises(PopscanError, match=message):
        audit(outcomes, people, **(OPTIONS | change))


def test_bad_outcome_tables_are_refused(people, outcomes):
    with pytest.raises(PopscanError, match="better_is"):
        audit(outcomes.assign(better_is="up"), people, **OPTIONS)
    with pytest.raises(PopscanError, match="no column value"):
        audit(outcomes.drop(columns="value"), people, **OPTIONS)
    with pytest.raises(PopscanError, match="several rows of"):
        audit(pd.concat([outcomes, outcomes.iloc[:1]]), people, **OPTIONS)
    with pytest.raises(PopscanError, match="several rows"):
        audit(outcomes, pd.concat([people, people.iloc[:1]]), **OPTIONS)
