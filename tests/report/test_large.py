"""A report of very many subjects: densities, and what is looked up once for all pages."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from popscan.report import neighbours, people
from popscan.report.context import StudyContext
from popscan.report.figures.density import MANY, OUTLIERS, farthest
from popscan.report.figures.distributions import Violins, thinned, violins
from popscan.report.figures.fairness import AgreementPanel, agreements
from popscan.report.neighbours import Others
from popscan.report.subject import RowsByUnit
from popscan.report.tidy import coded, words
from popscan.report.units import status_matrix


def panel(n: int, rng: np.random.Generator) -> AgreementPanel:
    points = {group: rng.normal(size=(n, 2)) for group in ("a", "b")}
    points["a"][7] = 0.0, 40.0
    return AgreementPanel(
        title="LVEF",
        unit="%",
        limits={"a": (0.0, -2.0, 2.0), "b": (0.1, -2.0, 2.0)},
        points=points,
        units={group: [f"sub-{group}{i}" for i in range(n)] for group in points},
    )


def test_many_points_are_a_density_with_the_outliers_named(rng):
    few = agreements([panel(100, rng)], name="x")
    many = agreements([panel(MANY, rng)], name="x", links={"sub-a7": "subjects/sub-a7.html"})
    assert "<image" not in few
    assert few.count('class="pt"') == 200
    assert many.count("<image") == 1
    assert many.count('class="pt"') == 2 * OUTLIERS
    assert 'data-u="sub-a7" href="subjects/sub-a7.html"' in many
    assert len(many) < 1.5 * len(few)


def test_the_outliers_are_the_farthest():
    assert farthest(np.array([0.0, 5.0, 1.0, 9.0]), 2).tolist() == [1, 3]


def test_violins_of_many_draw_their_ends_and_the_same_outline(rng):
    values = rng.normal(size=MANY + 1)
    ends = np.sort(values[thinned(values)])
    expected = np.sort(values)
    assert ends.tolist() == [*expected[:OUTLIERS], *expected[-OUTLIERS:]]
    item = Violins(
        title="LVEF", groups={"all": values}, ranges={}, units={"all": list(map(str, values))}
    )
    assert violins([item], name="x", alt="").count('class="pt"') == 2 * OUTLIERS


def slow_nearest(table: pd.DataFrame, unit: str, columns: list[str]) -> list[tuple[str, float]]:
    scaled = table[columns] / table[columns].std()
    mine = scaled[table["unit"] == unit].iloc[-1]
    enough = max(1, int(mine.notna().sum()) // 2)
    found = []
    for name, row in zip(table["unit"], scaled.itertuples(index=False), strict=True):
        squares = (pd.Series(row, index=columns) - mine) ** 2
        if name != unit and squares.notna().sum() >= enough:
            found.append((name, float(np.sqrt(squares.mean()))))
    return sorted(found, key=lambda pair: pair[1])[:5]


def test_whom_a_subject_resembles_is_what_a_search_of_all_finds(rng):
    columns = ["a_ml", "b_ml", "c_ml"]
    table = pd.DataFrame(rng.normal(size=(60, 3)), columns=columns)
    table = table.mask(rng.uniform(size=table.shape) < 0.2)
    table.insert(0, "unit", [f"sub-{i:02d}" for i in range(60)])
    table.loc[59, "unit"] = "sub-03"  # twice: the last row counts
    others = Others(table, ["sub-03_ses-1", "sub-04", "sub-03_ses-2"], [*columns, "absent"])
    assert others.visits("sub-03_ses-1") == ["sub-03_ses-2"]
    for unit in ("sub-00", "sub-03", "sub-31"):
        near = others.nearest(unit)
        expected = slow_nearest(table, unit, columns)
        assert near["unit"].tolist() == [name for name, _ in expected]
        np.testing.assert_allclose(near["distance"], [d for _, d in expected])
        here = table["unit"] == unit
        mine = table[here].iloc[-1]
        for column, place in others.places(unit).items():
            known = table.loc[~here, column].dropna()
            assert place == pytest.approx(100 * (known < mine[column]).mean())
        assert set(others.places(unit)) == {c for c in columns if np.isfinite(mine[c])}
    assert others.nearest("nobody").empty
    assert others.places("nobody") == {}
    assert Others(pd.DataFrame(), [], columns).columns == []


@pytest.mark.parametrize("units", [(), ("sub-2", "sub-1", "sub-9")])
def test_rows_of_few_units_are_those_of_all(units):
    table = pd.DataFrame({"unit": ["sub-1", "sub-2", "sub-1"], "value": [1, 2, 3]})
    rows = RowsByUnit(table, units)
    assert rows.get("sub-1")["value"].tolist() == [1, 3]
    assert rows.get("sub-2")["value"].tolist() == [2]
    assert rows.get("sub-9") is None
    assert RowsByUnit(pd.DataFrame()).get("sub-1") is None


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_categories_are_the_words_of_a_column(dtype):
    column = pd.Series(["a", " a", None, "n/a", "b"], dtype=dtype, index=[3, 4, 5, 6, 7])
    found = coded(column, missing="unknown")
    assert isinstance(found.dtype, pd.CategoricalDtype)
    assert found.astype(str).tolist() == words(column, missing="unknown").tolist()
    assert found.index.tolist() == column.index.tolist()


def test_what_is_kept_of_a_study_is_that_of_its_own_tables():
    def context(status: str) -> StudyContext:
        ledger = pd.DataFrame({"unit": ["sub-1"], "stage": ["ingest"], "status": [status]})
        return StudyContext(ledger=ledger)

    first = context("ok")
    assert status_matrix(first).loc["sub-1", "ingest"] == "ok"
    assert status_matrix(context("failed")).loc["sub-1", "ingest"] == "failed"
    assert status_matrix(first).loc["sub-1", "ingest"] == "ok"


def test_of_very_many_subjects_the_unflagged_are_left_out_of_the_index(monkeypatch):
    units = [f"sub-{i}" for i in range(6)]
    ledger = pd.DataFrame({"unit": units, "stage": "biomarkers", "status": "ok"})
    qc = pd.DataFrame({"unit": units, "verdict": ["pass"] * 4 + ["review", "pass"]})
    context = StudyContext(ledger=ledger, qc=qc)
    whole = people.people_index(context, []).splitlines()
    monkeypatch.setattr(people, "MOST", 3)
    head, *lines = people.people_index(context, []).splitlines()
    assert "others" not in json.loads(whole[0])
    assert json.loads(head)["others"] == 3
    assert lines == [whole[1], whole[2], whole[5]]


def test_few_are_looked_at_closely_of_very_many_and_the_same_are_nearest(rng, monkeypatch):
    columns = [f"{name}_ml" for name in "abcdef"]
    table = pd.DataFrame(rng.normal(1e6, 1.0, size=(4000, 6)).round(1), columns=columns)
    table = table.mask(rng.uniform(size=table.shape) < 0.3)
    table.loc[100:120] = table.loc[200:220].to_numpy()  # ties: the first rows come first
    table.loc[3] = np.nan
    table.insert(0, "unit", [f"sub-{i:04d}" for i in range(4000)])
    units = [f"sub-{i:04d}" for i in (*range(0, 4000, 97), 3, 100, 110, 200, 210)]
    found = [Others(table, units, columns).nearest(unit) for unit in units]
    monkeypatch.setattr(neighbours, "_FEW", 10_000)
    for unit, near in zip(units, found, strict=True):
        pd.testing.assert_frame_equal(near, Others(table, units, columns).nearest(unit))
