"""One scan under two names stands out by its numbers; coincidences do not."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
    assert same_rows_notes(coarse, COLUMNS) == []
    assert same_rows_notes(people, COLUMNS[:3]) == []
    assert same_rows_notes(people.iloc[:0], COLUMNS) == []


def test_many_copies_are_counted():
    people = pd.concat([table(20), table(20).assign(unit=[f"sub-x{k}" for k in range(20)])])
    (note,) = same_rows_notes(people.reset_index(drop=True), COLUMNS)
    assert "; and 17 more." in note
