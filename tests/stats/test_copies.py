"""One scan under two names stands out by its numbers; coincidences do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.stats.coincidence import chance_of_equal_rows
from popscan.stats.copies import same_rows_notes

COLUMNS = [f"m{k}" for k in range(6)]


def table(n: int = 300, *, decimals: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    values = rng.normal(100, 20, (n, len(COLUMNS))).round(decimals)
    return pd.DataFrame(values, columns=COLUMNS).assign(
        unit=[f"sub-{k:03d}_ses-1" for k in range(n)]
    )


def test_copies_are_named_by_subject_and_by_visit():
    people = table()
    assert same_rows_notes(people, COLUMNS) == []
    people.loc[7, COLUMNS] = people.loc[250, COLUMNS]
    people.loc[30, COLUMNS] = people.loc[31, COLUMNS]
    people.loc[31, "unit"] = "sub-030_ses-2"
    apart, visits = same_rows_notes(people, COLUMNS)
    assert "different subjects: sub-007_ses-1 and sub-250_ses-1." in apart
    assert "several visits: sub-030_ses-1 and sub-030_ses-2." in visits


def test_missing_numbers_and_coarse_ones_are_no_copies():
    people = table()
    people.loc[[3, 4], COLUMNS] = np.nan
    people.loc[[5, 6], COLUMNS[:4]] = np.nan
    people.loc[[5, 6], COLUMNS[4:]] = 1.0
    assert same_rows_notes(people, COLUMNS) == []
    coarse = table(2000)
    coarse[COLUMNS] = (coarse[COLUMNS] / 10).round()
    (note,) = same_rows_notes(coarse, COLUMNS)
    assert "agree in all of 6 compared measurements" in note
    assert "was not decided" in note
    assert same_rows_notes(people, COLUMNS[:3]) == []
    assert same_rows_notes(people.iloc[:0], COLUMNS) == []


@pytest.mark.parametrize(("n", "decimals"), [(300, 0), (20_000, 1), (100_000, 1)])
def test_a_copy_among_coarse_values_is_found_at_any_size(n, decimals):
    """In 100,000 rows with steps of 0.1 no copy was ever reported, without a word."""
    rng = np.random.default_rng(n)
    columns = [f"m{k}" for k in range(20)]
    people = pd.DataFrame(rng.normal(100, 20, (n, 20)).round(decimals), columns=columns)
    people["unit"] = [f"sub-{k:06d}" for k in range(n)]
    assert same_rows_notes(people, columns) == []
    people.loc[7, columns] = people.loc[250, columns]
    (note,) = same_rows_notes(people, columns)
    assert "different subjects: sub-000007 and sub-000250." in note


def test_further_columns_decide_where_the_first_are_too_coarse():
    """Eight columns of whole tens agree by chance; of two equal rows, one pair is a copy."""
    rng = np.random.default_rng(4)
    columns = [f"m{k}" for k in range(32)]
    people = pd.DataFrame(rng.normal(100, 20, (3000, 32)).round(-1), columns=columns)
    people["unit"] = [f"sub-{k:04d}" for k in range(3000)]
    people.loc[2, columns[:8]] = people.loc[9, columns[:8]]
    people.loc[7, columns] = people.loc[250, columns]
    (note,) = same_rows_notes(people, columns)
    assert "different subjects: sub-0007 and sub-0250." in note
    (note,) = same_rows_notes(people, columns[:8])
    assert "sub-0002 and sub-0009" in note
    assert "not decided" in note


def test_derived_columns_say_nothing_new():
    """Sums, ratios and logarithms of three coarse columns made chance look like copies."""
    rng = np.random.default_rng(3)
    a, b, c = rng.normal(150, 20, (3, 4000)).round(-1)
    made = {"a": a, "b": b, "c": c, "d": a - b, "e": 100 * a / b, "f": np.log(c), "g": a * c / b}
    people = pd.DataFrame({**made, "h": a + b + c}).assign(
        unit=[f"sub-{k:04d}" for k in range(4000)]
    )
    (note,) = same_rows_notes(people, list("abcdefgh"))
    assert note.startswith("Visits of ")
    assert "not decided" in note


def test_missing_values_are_no_evidence():
    """Two rows of four numbers are equal in four columns, not in eight."""
    rng = np.random.default_rng(8)
    values = rng.normal(100, 20, (2000, 8)).round(-1)
    values[:300, 4:] = np.nan
    columns = [f"m{k}" for k in range(8)]
    people = pd.DataFrame(values, columns=columns).assign(unit=[f"s{k}" for k in range(2000)])
    assert all("not decided" in note for note in same_rows_notes(people, columns))


def test_visits_of_a_subject_that_hardly_change_are_no_copies():
    rng = np.random.default_rng(9)
    columns = [f"m{k}" for k in range(6)]
    first = rng.normal(100, 20, (2000, 6))
    visits = [(first + rng.normal(0, 0.4, first.shape)).round() for _ in range(2)]
    people = pd.DataFrame(np.concatenate(visits), columns=columns)
    people["unit"] = [f"sub-{k:04d}_ses-{v}" for v in (1, 2) for k in range(2000)]
    assert all("not decided" in note for note in same_rows_notes(people, columns))


@pytest.mark.parametrize(("step", "n_columns"), [(10, 4), (10, 6), (20, 8)])
def test_equal_pairs_are_expected_as_often_as_seen(step, n_columns):
    rng = np.random.default_rng(n_columns)
    common = rng.normal(0, 15, (5000, 1))
    values = ((100 + common + rng.normal(0, 15, (5000, n_columns))) / step).round()
    keys = pd.DataFrame(values).groupby(list(range(n_columns))).ngroup().to_numpy()
    seen = (np.bincount(keys) * (np.bincount(keys) - 1) / 2).sum()
    chance = chance_of_equal_rows(values, keys, np.arange(5000))
    expected = chance.log10_expected(np.ones(n_columns, dtype=bool), apart=True)
    assert expected == pytest.approx(np.log10(seen), abs=0.5)


def test_many_copies_are_counted():
    people = pd.concat([table(20), table(20).assign(unit=[f"sub-x{k}" for k in range(20)])])
    (note,) = same_rows_notes(people.reset_index(drop=True), COLUMNS)
    assert "; and 17 more." in note
