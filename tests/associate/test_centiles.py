"""Smooth centiles: known distributions, order, intervals, small groups, scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from popscan.associate.centile_tables import centile_table, shareable, z_scores
from popscan.associate.centiles import CENTILES, MIN_ANY, fit_curves, position, spline_design
from popscan.associate.published import compare_published


def people(rng: np.random.Generator, n: int) -> pd.DataFrame:
    age = rng.uniform(45, 75, n)
    sex = np.where(np.arange(n) % 2, "male", "female")
    sd = 12 + 0.2 * (age - 45)
    value = 150 - 0.8 * (age - 45) + 20 * (sex == "male") + sd * rng.standard_normal(n)
    return pd.DataFrame(
        {"participant_id": [f"p{i}" for i in range(n)], "age_years": age, "sex": sex, "v_ml": value}
    )


def truth(age: float, centile: float, *, male: bool) -> float:
    sd = 12 + 0.2 * (age - 45)
    return 150 - 0.8 * (age - 45) + 20 * male + sd * norm.ppf(centile / 100)


@pytest.fixture(scope="module")
def fitted() -> tuple[pd.DataFrame, dict]:
    table = people(np.random.default_rng(3), 900)
    curves = {}
    for sex in ("female", "male"):
        part = table[table["sex"] == sex]
        one, note = fit_curves(part["v_ml"].to_numpy(), part["age_years"].to_numpy(), seed=1)
        curves["v_ml", sex] = (one, note, len(part))
    return table, curves


def test_centiles_of_a_known_distribution(fitted: tuple[pd.DataFrame, dict]) -> None:
    table = centile_table(fitted[1])
    inside = table[table["age_years"].between(50, 70)]
    exact = np.array(
        [
            truth(a, c, male=s == "male")
            for a, c, s in zip(inside["age_years"], inside["centile"], inside["sex"], strict=True)
        ]
    )
    error = inside["value"] - exact
    middle = inside["centile"].between(25, 75)
    assert error[middle].abs().max() < 4.5
    assert error[~middle].abs().max() < 11
    held = (inside["ci_low"] <= exact) & (exact <= inside["ci_high"])
    with_interval = inside["ci_low"].notna()
    assert set(inside.loc[with_interval, "centile"]) == {25.0, 50.0, 75.0}
    assert held[with_interval].mean() > 0.7
    assert (inside["n_near"] > 50).all()


def test_curves_never_cross(fitted: tuple[pd.DataFrame, dict]) -> None:
    for one, _, _ in fitted[1].values():
        assert (np.diff(one.at(np.linspace(40, 80, 50)), axis=2) >= 0).all()


def test_scores_are_standard_normal_and_have_intervals(fitted: tuple[pd.DataFrame, dict]) -> None:
    table, curves = fitted
    table = table.head(300).assign(
        v_low_ml=lambda t: t["v_ml"] - 2, v_high_ml=lambda t: t["v_ml"] + 2
    )
    own = z_scores(table, curves, age="age_years", sex="sex", keep=["participant_id"])
    assert own["z"].mean() == pytest.approx(0, abs=0.15)
    assert own["z"].std() == pytest.approx(1, abs=0.12)
    ends = own[["z_low", "z_high"]]
    # Of 450 people, the quartiles are the last centiles that are sure.
    assert (ends.isna() | (ends.abs() < 0.68)).all(axis=None)
    inner = ends.notna().all(axis=1)
    assert inner.mean() > 0.25
    assert (own["z_low"] <= own["z"])[inner].all()
    assert (own["z"] <= own["z_high"])[inner].all()
    wide = z_scores(
        table, curves, age="age_years", sex="sex", keep=["participant_id"],
        ends={"v_ml": ("v_low_ml", "v_high_ml")},
    )  # fmt: skip
    widths = (wide["z_high"] - wide["z_low"]) > (own["z_high"] - own["z_low"])
    both = inner & wide[["z_low", "z_high"]].notna().all(axis=1)
    assert both.mean() > 0.15
    assert widths[both].mean() > 0.95
    assert wide["centile"].between(0, 100).all()


def test_everybody_has_a_row_and_nobody_is_scored_where_there_are_no_others(
    fitted: tuple[pd.DataFrame, dict],
) -> None:
    table, curves = fitted
    odd = table.head(5).copy()
    odd["age_years"] = [20.0, 99.0, np.nan, 60.0, 60.0]
    odd["sex"] = ["female", "male", "female", "", "male"]
    odd.loc[odd.index[4], "v_ml"] = np.nan
    scores = z_scores(odd, curves, age="age_years", sex="sex", keep=["participant_id"])
    assert sorted(scores["participant_id"]) == sorted(odd["participant_id"])
    assert scores[["z", "z_low", "z_high", "centile"]].isna().all(axis=None)
    notes = scores.set_index("participant_id").loc[odd["participant_id"], "note"].tolist()
    assert notes[2:] == ["no age", "no sex, or one without curves", "no value"]
    assert all("of the reference" in note for note in notes[:2])
    # One who stands alone is a part of the reference, and still has no score.
    alone = pd.concat([table, odd.head(1)], ignore_index=True)
    women = alone[alone["sex"] == "female"]
    one, note = fit_curves(women["v_ml"].to_numpy(), women["age_years"].to_numpy(), draws=0)
    own = z_scores(
        alone, {("v_ml", "female"): (one, note, len(women))}, age="age_years", sex="sex", keep=[]
    )
    assert own["note"].str.startswith("fewer than 10 subjects").sum() >= 1


def test_what_is_shared_gives_away_no_subject() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(100, 10, 45)
    one, note = fit_curves(values, rng.uniform(60, 64, 45), draws=0)
    table = centile_table({("v_ml", "all"): (one, note, 45)})
    assert table["age_years"].between(60, 64).all()
    outer = table[table["centile"] == 97.5]["value"].iloc[0]
    assert np.abs(values - outer).min() < 1e-4  # one subject's value, as it is
    shared = shareable(table)
    assert set(shared["centile"]) == {25.0, 50.0, 75.0}
    assert (np.abs(values[:, None] - shared["value"].to_numpy()).min(axis=0) > 1e-4).all()


def test_the_grid_stays_within_the_ages() -> None:
    rng = np.random.default_rng(4)
    one, note = fit_curves(rng.normal(100, 10, 300), rng.uniform(48.5, 72.5, 300), draws=0)
    table = centile_table({("v_ml", "all"): (one, note, 300)})
    assert sorted(set(table["age_years"])) == [50.0, 55.0, 60.0, 65.0, 70.0]


def test_position_among_centiles() -> None:
    centiles = norm.ppf(np.array(CENTILES) / 100) * 10 + 100
    values = np.array([70.0, 81.0, 95.0, 100.0, 112.0, 140.0, np.nan])
    found = position(np.tile(centiles, (7, 1)), values)
    np.testing.assert_allclose(found[:-1], (values[:-1] - 100) / 10, atol=0.12)
    assert np.isnan(found[-1])
    flat = position(np.full((1, 7), 5.0), np.array([5.0]))
    assert np.isfinite(flat).all()


def test_small_groups_have_no_numbers() -> None:
    table = people(np.random.default_rng(0), 2 * MIN_ANY - 2)
    one, note = fit_curves(table["v_ml"].to_numpy()[::2], table["age_years"].to_numpy()[::2])
    assert one is None
    assert note == f"too few: {MIN_ANY - 1} subjects, {MIN_ANY} needed"
    row = centile_table({("v_ml", "female"): (one, note, MIN_ANY - 1)}).iloc[0]
    assert np.isnan(row["value"])
    assert row["note"] == note
    scores = z_scores(
        table, {("v_ml", "female"): (None, note, 0)}, age="age_years", sex="sex", keep=[]
    )
    assert scores["z"].isna().all()


def test_ages_with_few_people_near_are_empty() -> None:
    rng = np.random.default_rng(1)
    age = np.concatenate([rng.uniform(45, 60, 100), [80.0, 81.0]])
    one, note = fit_curves(rng.normal(100, 10, 102), age, draws=0)
    table = centile_table({("v_ml", "all"): (one, note, 102)}, min_near=10)
    assert table.loc[table["age_years"] == 50, "value"].notna().all()
    assert table.loc[table["age_years"] == 75, "value"].isna().all()
    assert table.loc[table["age_years"] == 50, "ci_low"].isna().all()


def test_a_spline_is_straight_beyond_its_knots() -> None:
    design = spline_design(np.linspace(0, 100, 201), (20.0, 40.0, 60.0, 80.0))
    bend = np.abs(np.diff(design, n=2, axis=0)).max(axis=1)
    x = np.linspace(0, 100, 201)[1:-1]
    assert bend[(x < 19.5) | (x > 80.5)].max() < 1e-12
    assert bend[(x > 30) & (x < 70)].max() > 1e-5


def test_published_ranges_beside_a_table() -> None:
    rng = np.random.default_rng(2)
    table = people(rng, 800)
    table["v_ml"] = rng.normal(100, 10, 800)
    published = pd.DataFrame(
        {
            "outcome": ["v_ml"] * 2, "sex": ["female", "male"], "mean": 100.0, "sd": [10.0, 5.0],
            "low": [80.4, 90.2], "high": [119.6, 109.8], "age_from": 50, "age_to": 64,
            "source": "s",
        }
    )  # fmt: skip
    found = compare_published(table, published, outcomes=["v_ml"], age="age_years", sex="sex")
    female, male = found.to_dict("records")
    assert female["n"] == ((table["sex"] == "female") & table["age_years"].between(50, 65)).sum()
    assert female["outside_low_pct"] < 5 < female["outside_high_pct"]
    assert male["outside_pct"] == pytest.approx(32, abs=9)
    assert abs(female["shift_sd"]) < 0.25


def test_a_value_that_many_share_stands_in_their_middle() -> None:
    rng = np.random.default_rng(6)
    scar = np.where(rng.uniform(size=400) < 0.6, 0.0, rng.gamma(2, 3, 400))
    ages = rng.uniform(50, 70, 400)
    one, _ = fit_curves(scar, ages, draws=0)
    assert one is not None
    share = norm.cdf(position(one.at(np.array([60.0]))[0], np.array([0.0])))
    assert share[0] == pytest.approx(0.3, abs=0.06)  # half of the 60% without any
    full, _ = fit_curves(-scar, ages, draws=0)
    assert full is not None
    share = norm.cdf(position(full.at(np.array([60.0]))[0], np.array([0.0])))
    assert share[0] == pytest.approx(0.7, abs=0.06)


def test_scores_beyond_the_outermost_centile_are_open_on_that_side() -> None:
    """The tail of a skewed measurement: 4 SD of its logarithm would be a z of 8.6, as if known."""
    rng = np.random.default_rng(0)
    ages, values = rng.uniform(50, 70, 300), np.exp(rng.normal(0, 0.5, 300))
    one, note = fit_curves(values, ages, draws=100)
    table = pd.DataFrame(
        {"participant_id": list("abc"), "age_years": 60.0, "v": np.exp(0.5 * np.array([4, -3, 0]))}
    )
    found = z_scores(
        table, {("v", "all"): (one, note, 300)}, age="age_years", sex="", keep=["participant_id"]
    )
    high, low, middle = found.to_dict("records")
    assert (high["centile"], low["centile"]) == (97.5, 2.5)
    assert np.isnan([high["z_high"], low["z_low"]]).all()
    assert high["z_low"] <= 1.96 < 4
    assert low["z_high"] >= -1.96 > -3
    assert all(row["note"].startswith("beyond the 2.5 to 97.5%") for row in (high, low))
    assert middle["note"] == note
    assert middle["z_low"] <= 0 <= middle["z_high"]


def test_outer_centiles_of_few_people_have_no_interval(rng):
    """Intervals of the 2.5% centile of 120 people hold the true one in two of three tables."""
    ages = rng.uniform(40.0, 80.0, 300)
    one, note = fit_curves(100.0 + rng.normal(size=300), ages, draws=50)
    table = centile_table({("x", "all"): (one, note, 300)})
    known = table.groupby("centile")["ci_low"].count() > 0
    assert known[known].index.tolist() == [25.0, 50.0, 75.0]
    assert table["value"].notna().all()


@pytest.mark.parametrize(("n", "last"), [(90, None), (120, 0.0), (300, 0.675), (1100, 1.645)])
def test_scores_have_no_interval_where_the_curves_have_none(n, last, rng):
    """An end of an interval lies within the centiles that have one, or is empty."""
    ages = rng.uniform(40.0, 80.0, n)
    one, note = fit_curves(100.0 + rng.normal(size=n), ages, draws=50)
    people = pd.DataFrame({"age_years": 60.0, "x": 100.0 + np.linspace(-3, 3, 61)})
    found = z_scores(people, {("x", "all"): (one, note, n)}, age="age_years", sex="", keep=[])
    assert found["z"].notna().all()
    ends = found[["z_low", "z_high"]]
    if last is None:
        assert ends.isna().all(axis=None)
        return
    assert ends.abs().max(axis=None) <= last + 1e-3
    assert ends.notna().any(axis=1).sum() > 20
    assert (found["z_low"].isna() | (found["z_low"] <= found["z"])).all()
    assert (found["z_high"].isna() | (found["z_high"] >= found["z"])).all()
