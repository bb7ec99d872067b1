"""The table of precision: who is paired with whom, groups, intervals."""

import numpy as np
import pandas as pd
import pytest

from popscan.associate.precision import (
    DICTIONARY,
    interval_columns,
    pairs_of,
    precision_table,
)
from popscan.stats.visits import in_order, order_note


def visits(n: int = 30, *, shift: float = 0.0, noise: float = 1.0, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    true = rng.normal(60, 8, n)
    parts = [
        pd.DataFrame(
            {
                "sub": [f"sub-{i:02d}" for i in range(n)],
                "ses": ses,
                "sex": ["female", "male"] * (n // 2),
                "lvef_pct": true + rng.normal(0, noise, n) + shift * (ses == "ses-10"),
            }
        )
        for ses in ("ses-10", "ses-2")
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(
        lvef_low_pct=table["lvef_pct"] - 3, lvef_high_pct=table["lvef_pct"] + 3
    ).sample(frac=1, random_state=seed)


def test_visits_are_ordered_by_their_numbers() -> None:
    """ses-2 is before ses-10, in whatever order the rows stand."""
    found = precision_table(visits(shift=5.0, noise=0.1), outcomes=["lvef_pct"])
    assert found.loc[0, "bias"] == pytest.approx(5.0, abs=0.2)


def test_groups_are_measured_apart() -> None:
    table = visits(60)
    male = table["sex"] == "male"
    rng = np.random.default_rng(1)
    table.loc[male, "lvef_pct"] += rng.normal(0, 6, male.sum())
    found = precision_table(table, outcomes=["lvef_pct"], by=["sex"]).set_index("group")
    assert found["n_subjects"].to_dict() == {"all": 60, "female": 30, "male": 30}
    assert found.loc["male", "sd_within_low"] > found.loc["female", "sd_within_high"]
    assert list(found.reset_index().columns.sort_values()) == sorted(DICTIONARY)


def test_a_small_group_says_its_size_only() -> None:
    found = precision_table(visits(12), outcomes=["lvef_pct"], by=["sex"], min_group=10)
    small = found[found["group"] == "female"].iloc[0]
    assert small["n_subjects"] == 6
    assert np.isnan(small["sd_within"])
    assert "fewer than 10" in small["note"]


def test_intervals_of_the_two_visits() -> None:
    wide = precision_table(visits(noise=0.1), outcomes=["lvef_pct"]).iloc[0]
    assert (wide["n_intervals"], wide["overlap_pct"], wide["within_interval_pct"]) == (30, 100, 100)
    apart = precision_table(visits(shift=7.0, noise=0.1), outcomes=["lvef_pct"]).iloc[0]
    assert (apart["overlap_pct"], apart["within_interval_pct"]) == (0, 0)
    # 5 points apart: the intervals overlap, but root(3^2 + 3^2) = 4.2 is exceeded.
    between = precision_table(visits(shift=5.0, noise=0.1), outcomes=["lvef_pct"]).iloc[0]
    assert (between["overlap_pct"], between["within_interval_pct"]) == (100, 0)


def test_who_has_one_visit_counts_for_nothing() -> None:
    table = visits(10)
    once = pd.DataFrame({"sub": ["sub-90"], "ses": ["ses-2"], "lvef_pct": [500.0]})
    found = precision_table(pd.concat([table, once]), outcomes=["lvef_pct"]).iloc[0]
    assert found["n_subjects"] == 10
    assert found["mean"] < 100


def test_nobody_has_two_visits() -> None:
    table = visits(10)
    found = precision_table(table[table["ses"] == "ses-2"], outcomes=["lvef_pct"])
    assert found.empty
    assert list(found.columns) == list(DICTIONARY)


def test_a_visit_without_a_value_makes_no_pair() -> None:
    table = visits(10)
    table.loc[(table["sub"] == "sub-03") & (table["ses"] == "ses-2"), "lvef_pct"] = np.nan
    assert precision_table(table, outcomes=["lvef_pct"]).loc[0, "n_pairs"] == 9
    assert len(pairs_of(table.sort_values(["sub", "ses"]), "lvef_pct")) == 10


def test_columns_that_are_not_there_are_left_out() -> None:
    found = precision_table(visits(10), outcomes=["rvef_pct", "lvef_pct"], by=["race"])
    assert found["outcome"].tolist() == ["lvef_pct"]
    assert interval_columns("lvedv_ml") == ("lvedv_low_ml", "lvedv_high_ml")


def test_a_study_without_visits_has_an_order():
    for nothing in (None, float("nan"), ""):
        table = pd.DataFrame({"sub": ["sub-2", "sub-1"], "ses": [nothing, nothing]})
        assert in_order(table).empty
    several = pd.DataFrame({"sub": ["sub-1"] * 3, "ses": ["ses-10", None, "ses-2"]})
    assert list(in_order(several)["ses"].fillna("")) == ["", "ses-2", "ses-10"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["ses-2", "ses-10"], False),
        (["ses-v1", "ses-V2"], False),
        (["ses-20201103", "ses-20201201"], False),
        (["ses-2020-11-03", "ses-2020-12-01"], False),
        (["ses-1month", "ses-1week"], True),
        (["ses-month6", "ses-year1"], True),
        (["ses-01.12.2020", "ses-03.11.2020"], True),
        (["ses-baseline", "ses-followup"], True),
    ],
)
def test_an_order_that_names_leave_open_is_said(names: list[str], said: bool) -> None:
    """One week after one month turned the sign of every bias around, without a word."""
    visits = in_order(pd.DataFrame({"sub": ["a", "a"], "ses": names[::-1]}))
    assert visits["ses"].tolist() == names
    assert bool(order_note(visits)) == said
    assert order_note(visits, order=names) == ""


def test_pairs_of_other_visits_are_named() -> None:
    """Without its ses-2, a subject's pair is ses-10 and the follow-up of years later."""
    first = visits(30)
    late = first[first["ses"] == "ses-10"].assign(ses="ses-20")
    late["lvef_pct"] -= 10.0
    table = pd.concat([first, late], ignore_index=True)
    lost = (table["ses"] == "ses-2") & table["sub"].isin(["sub-01", "sub-02", "sub-03"])
    found = precision_table(table[~lost], outcomes=["lvef_pct"])
    note = found.loc[0, "note"]
    assert note == "pairs of different visits: ses-2 and ses-10 (27), ses-10 and ses-20 (3)"
    assert precision_table(table, outcomes=["lvef_pct"]).loc[0, "note"] == ""


@pytest.mark.parametrize("lacking", [np.nan, None, ""])
def test_pairs_of_a_visit_without_a_session_are_named(lacking) -> None:
    """A visit without a session stopped the table, or left a hole in its sentence."""
    table = visits(30)
    late = table["sub"].isin(["sub-01", "sub-02"]) & (table["ses"] == "ses-10")
    table["ses"] = table["ses"].astype(object).mask(late, lacking)
    note = precision_table(table, outcomes=["lvef_pct"]).loc[0, "note"]
    assert note.startswith("pairs of different visits: ses-2 and ses-10 (28), ")
    pairs, order = note.split("; ")
    assert "no session" in pairs
    assert pairs.endswith(" (2)")
    assert sorted(order.removeprefix("visits in the order of their names: ").split(", ")) == [
        "no session", "ses-10", "ses-2",
    ]  # fmt: skip


def test_a_scan_that_was_filed_twice_is_named() -> None:
    table = visits(30).set_index(["sub", "ses"]).sort_index()
    for sub in ("sub-04", "sub-05"):
        table.loc[(sub, "ses-2")] = table.loc[(sub, "ses-10")].to_numpy()
    found = precision_table(table.reset_index(), outcomes=["lvef_pct"])
    assert "exactly equal pairs: 2 of 30" in found.loc[0, "note"]
    whole = table.reset_index().assign(lvef_pct=lambda t: t["lvef_pct"].round())
    assert precision_table(whole, outcomes=["lvef_pct"]).loc[0, "note"] == ""


def _visits(first, second):
    n = len(first)
    subjects = [f"sub-{k:02d}" for k in range(n)] * 2
    sessions = ["ses-1"] * n + ["ses-2"] * n
    return pd.DataFrame({"sub": subjects, "ses": sessions, "x_ml": [*first, *second]})


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_numbers_that_were_carried_over_are_no_perfect_repeatability(decimals):
    """An ICC of 1 and a deviation of 0 stood without a word where values repeat among people."""
    first = np.round(np.random.default_rng(0).uniform(40, 60, 60), decimals)
    (row,) = precision_table(_visits(first, first), outcomes=["x_ml"]).to_dict("records")
    assert row["icc"] == 1
    assert "all 60 pairs are exactly equal" in row["note"]
    second = first.copy()
    second[0] += 1
    (row,) = precision_table(_visits(first, second), outcomes=["x_ml"]).to_dict("records")
    assert "all 60" not in row["note"]


@pytest.mark.parametrize("factor", [0.1, 1000.0])
def test_visits_in_two_units_are_named(factor):
    rng = np.random.default_rng(1)
    first = rng.uniform(100, 200, 40)
    second = first + rng.normal(0, 3, 40)
    (row,) = precision_table(_visits(first, second * factor), outcomes=["x_ml"]).to_dict("records")
    assert "times the first" in row["note"]
    assert "another unit" in row["note"]
    for other in (second, first * np.exp(rng.normal(0, 1.5, 40)), second - 150):
        (row,) = precision_table(_visits(first, other), outcomes=["x_ml"]).to_dict("records")
        assert "another unit" not in row["note"]


def test_of_many_visits_a_few_are_named_and_dates_never() -> None:
    """157 scan dates stood in every row of the table, and in the shared notes."""
    days = [f"ses-{day:02d}{month:02d}2021" for month in range(1, 9) for day in range(1, 20)]
    note = order_note(pd.DataFrame({"sub": "a", "ses": days}))
    assert note == "visits in the order of their names: ses-########"
    days = ["ses-1-2-2020", "ses-03.11.20"]
    note = order_note(pd.DataFrame({"sub": "a", "ses": days}))
    assert note.endswith(": ses-#-#-####, ses-##.##.##")
    words = [f"ses-{letter}" for letter in "abcdefgh"]
    note = order_note(pd.DataFrame({"sub": "a", "ses": words}))
    assert note.endswith(": ses-a, ses-b, ses-c, ses-d, ses-e and 3 more")


def test_pairs_of_dates_name_no_date() -> None:
    table = visits(30)
    names = np.where(table["ses"] == "ses-2", "ses-2020-11-03", "ses-2021-11-04")
    table["ses"] = np.where(table["sub"] == "sub-05", [f"{n}x" for n in names], names)
    note = precision_table(table, outcomes=["lvef_pct"]).loc[0, "note"]
    assert note.startswith("pairs of different visits: ses-####-##-## and ses-####-##-## (29)")
    assert "2020" not in note
