"""Harmonisation between sites: known shifts and scales go, effects that are preserved stay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.associate.models import associate
from popscan.records import PopscanError
from popscan.stats.harmonise import POOLED, Harmonised, harmonise
from popscan.stats.harmonise_account import harmonised_name

pytest.importorskip("combatlearn", reason="pip install 'popscan[harmonise]'")

SHIFT = {"a": 0.0, "b": 12.0, "c": -7.0}
SCALE = {"a": 1.0, "b": 1.5, "c": 0.8}
NAMES = ["lvedv_ml", "lvef_pct", "lvm_g"]


def people(n: int = 900, *, seed: int = 3) -> pd.DataFrame:
    """Three sites of different age and sex; every measurement depends on both."""
    rng = np.random.default_rng(seed)
    site = rng.choice(list(SHIFT), n, p=[0.5, 0.3, 0.2])
    age = rng.normal(60, 7, n) + 4 * (site == "b")
    male = rng.random(n) < np.where(site == "c", 0.7, 0.4)
    table = pd.DataFrame(
        {"site": site, "age_years": age, "sex": np.where(male, "male", "female")},
        index=[f"sub-{i:04d}" for i in range(n)],
    )
    for k, name in enumerate(NAMES):
        biology = 100 - 0.6 * (k + 1) * (age - 60) + 9 * (k + 1) * male
        noise = rng.normal(0, 10, n)
        shift, scale = (pd.Series(site).map(one).to_numpy() for one in (SHIFT, SCALE))
        table[name] = biology + shift + scale * noise
        table[f"true_{name}"] = biology + noise
    return table


def of(table: pd.DataFrame, **options: object) -> Harmonised:
    given = {"columns": NAMES, "site": "site", "preserve": ["age_years", "sex"]} | options
    return harmonise(table, **given)  # type: ignore[arg-type]


def slopes(table: pd.DataFrame, values: pd.Series) -> np.ndarray:
    """Effects of age and of male sex by least squares without sites."""
    design = np.column_stack(
        [np.ones(len(table)), table["age_years"], table["sex"] == "male"]
    ).astype(float)
    return np.linalg.lstsq(design, values.to_numpy(dtype=float), rcond=None)[0][1:]


def test_shifts_and_scales_go_and_effects_stay() -> None:
    table = people()
    found = of(table)
    assert found.refused == ""
    assert found.preserved == ("age_years", "sex")
    assert found.n_fitted == len(table)
    account = found.account.set_index(["outcome", "site"])
    for k, name in enumerate(NAMES):
        after = found.values[harmonised_name(name)]
        whole = account.loc[(name, "all")]
        assert whole["site_share_before_pct"] > 15
        assert whole["site_share_after_pct"] < 0.5
        for site in "bc":
            row, base = account.loc[(name, site)], account.loc[(name, "a")]
            assert row["shift"] - base["shift"] == pytest.approx(SHIFT[site], abs=2.5)
            assert row["scale"] / base["scale"] == pytest.approx(SCALE[site], rel=0.15)
        age, sex = slopes(table, after)
        assert age == pytest.approx(-0.6 * (k + 1), abs=0.15)
        assert sex == pytest.approx(9 * (k + 1), abs=2.0)
        error = (after - table[f"true_{name}"]).std()
        assert error < 0.25 * (table[name] - table[f"true_{name}"]).std()


def test_one_measurement_is_location_and_scale_in_closed_form() -> None:
    """Without a second measurement nothing is shrunk: least squares, then each site's mean, SD."""
    table = people(300)
    after = of(table, columns=["lvedv_ml"]).values["lvedv_harmonised_ml"].to_numpy()
    y = table["lvedv_ml"].to_numpy()
    dummies = pd.get_dummies(table["site"]).to_numpy(dtype=float)
    beside = np.column_stack([table["age_years"], table["sex"] == "male"]).astype(float)
    beta = np.linalg.lstsq(np.hstack([dummies, beside]), y, rcond=None)[0]
    residual = y - np.hstack([dummies, beside]) @ beta
    centre = dummies.mean(axis=0) @ beta[:3] + beside @ beta[3:]
    pooled = np.sqrt((residual**2).mean())
    z = (y - centre) / pooled
    expected = np.empty_like(y)
    for k in range(3):
        at = dummies[:, k] == 1
        expected[at] = (z[at] - z[at].mean()) / z[at].std(ddof=1) * pooled + centre[at]
    np.testing.assert_allclose(after, expected, rtol=1e-6)


def test_what_is_not_named_does_not_enter() -> None:
    table = people(300)
    first = of(table, preserve=["age_years"], guard=["sex"])
    swapped = table.assign(sex=np.random.default_rng(0).permutation(table["sex"]))
    second = of(swapped, preserve=["age_years"], guard=["sex"])
    pd.testing.assert_frame_equal(first.values, second.values)
    assert any("sex, which is not preserved" in note for note in first.notes)
    assert not any("sex, which is not preserved" in note for note in of(table).notes)


@pytest.mark.parametrize("how", ["preserve", "guard"])
def test_a_site_that_is_an_attribute_is_not_separable(how: str) -> None:
    table = people(300)
    table["sex"] = np.where(table["site"] == "c", "male", "female")
    options = {"preserve": ["age_years", "sex"]} if how == "preserve" else {
        "preserve": ["age_years"], "guard": ["sex"]
    }  # fmt: skip
    found = of(table, **options)
    assert "site and sex are not separable: site explains 100% of sex" in found.refused
    assert found.values.empty
    assert list(found.account["outcome"]) == NAMES
    assert found.account["note"].str.contains("not separable").all()


def test_one_group_of_many_that_has_its_own_site_is_not_separable() -> None:
    table = people(300)
    race = np.where(table["site"] == "c", "Asian", np.where(np.arange(300) % 3, "White", "Black"))
    found = of(table.assign(race=race), guard=["race"])
    assert "site and race are not separable" in found.refused


def test_covariates_that_together_give_the_site_are_not_separable() -> None:
    table = people(300)
    table["x"] = np.random.default_rng(1).normal(size=300)
    table["y"] = table["x"] * 10 + (table["site"] == "b")
    found = of(table, preserve=["x", "y"])
    assert "not separable" in found.refused


def test_a_site_of_one_has_no_value_and_harms_no_other() -> None:
    table = people(300)
    alone = table.copy()
    alone.iloc[0, alone.columns.get_loc("site")] = "mobile"
    found = of(alone)
    assert found.values.iloc[0].isna().all()
    assert found.values.iloc[1:].notna().all().all()
    assert any("fewer than 10 subjects have no harmonised value: mobile (1)" in n
               for n in found.notes)  # fmt: skip
    pd.testing.assert_frame_equal(found.values.iloc[1:], of(table.iloc[1:]).values)


def test_small_sites_are_pooled_where_asked() -> None:
    table = people(300)
    table.iloc[:12, table.columns.get_loc("site")] = ["d", "e"] * 6
    found = of(table, pool_small=True)
    assert POOLED in set(found.account["site"])
    assert found.values.notna().all().all()
    assert any("were pooled as one: d (6), e (6)" in note for note in found.notes)
    left = of(table)
    assert left.values.iloc[:12].isna().all().all()


def test_missing_values_stay_missing_and_are_counted() -> None:
    table = people(300)
    table.iloc[3, table.columns.get_loc("lvedv_ml")] = np.nan
    table.iloc[4, table.columns.get_loc("age_years")] = np.nan
    table.iloc[5, table.columns.get_loc("site")] = ""
    found = of(table)
    assert found.n_fitted == 297
    assert found.values.iloc[3].isna().tolist() == [True, False, False]
    assert found.values.iloc[4:6].isna().all().all()
    assert found.values.drop(table.index[3:6]).notna().all().all()
    assert "No harmonised value without site: 1 row." in found.notes
    assert "No harmonised value without age_years or sex: 1 row." in found.notes


def test_a_measurement_that_a_site_lacks_does_not_take_the_others_with_it() -> None:
    table = people(300)
    table.loc[table["site"] == "c", "lvm_g"] = np.nan
    table["flat_ml"] = np.where(table["site"] == "a", 1.0, np.arange(300))
    found = of(table, columns=[*NAMES, "flat_ml"])
    assert list(found.values) == ["lvedv_harmonised_ml", "lvef_harmonised_pct"]
    notes = found.account.set_index("outcome")["note"]
    assert notes["lvm_g"] == "too few values at a site"
    assert notes["flat_ml"] == "fewer than two different values at a site"


def test_later_visits_are_transformed_and_not_fitted() -> None:
    table = people(300)
    both = pd.concat([table, table.assign(lvedv_ml=table["lvedv_ml"] + 50)])
    rows = np.arange(600) < 300
    found = of(both, fit_rows=rows)
    pd.testing.assert_frame_equal(found.values.iloc[:300], of(table).values)
    assert (found.values.iloc[300:, 0] > found.values.iloc[:300, 0].to_numpy()).all()


def test_one_site_is_refused_and_wrong_names_are_errors() -> None:
    table = people(100).assign(site="a")
    assert of(table).refused == "fewer than two sites with enough subjects"
    with pytest.raises(PopscanError, match="no column 'scanner'"):
        of(table, site="scanner")
    with pytest.raises(PopscanError, match="site cannot be preserved"):
        of(table, preserve=["site"])


def test_the_same_table_gives_the_same_bytes() -> None:
    first, second = of(people(200)), of(people(200))
    assert first.values.to_numpy().tobytes() == second.values.to_numpy().tobytes()
    pd.testing.assert_frame_equal(first.account, second.account)


@pytest.mark.parametrize("unlike", [False, True])
def test_preserving_what_differs_between_sites_makes_tests_too_sure(unlike: bool) -> None:
    """Tests on harmonised values take the sites' shifts for known, which is noted."""
    ratios, noted = [], set()
    for seed in range(10):
        rng = np.random.default_rng(seed)
        site = rng.integers(0, 5, 200)
        share = np.linspace(0.1, 0.9, 5)[site] if unlike else 0.5
        table = pd.DataFrame(
            {"site": [f"s{k}" for k in site], "age_years": rng.normal(60, 8, 200),
             "sex": np.where(rng.random(200) < share, "female", "male")}
        )  # fmt: skip
        for name in NAMES:
            table[name] = rng.normal(size=200) + rng.normal(0, 0.5, 5)[site]
        made = of(table)
        noted |= {"which is preserved: standard errors" in " ".join(made.notes)}
        joined = table.join(made.values)
        errors = []
        for terms in (["sex"], ["sex", "site"]):
            rows = associate(joined, outcomes=list(made.values), terms=terms)
            errors.append(rows.loc[rows["term"].str.startswith("sex"), "se"].to_numpy())
        ratios += (errors[1] / errors[0]).tolist()
    assert noted == {unlike}
    assert np.mean(ratios) == pytest.approx(1.24 if unlike else 1.01, abs=0.06)
