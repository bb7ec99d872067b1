"""A term that models go without is named above their estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.associate.models import associate
from popscan.report.blocks import Table
from popscan.report.context import StudyContext
from popscan.report.sections.associations import associations
from popscan.report.sections.common import Options
from popscan.stages.associate.job import regressions


@pytest.fixture
def people(rng) -> pd.DataFrame:
    n = 80
    return pd.DataFrame(
        {
            "unit": [f"sub-{i // 2:02d}_ses-{i % 2}" for i in range(n)],
            "sub": [f"sub-{i // 2:02d}" for i in range(n)],
            "age_years": rng.normal(60, 8, n),
            "sex": rng.choice(["female", "male"], n),
            "site": "A",
            "lvedv_ml": rng.normal(150, 20, n),
            "lvef_pct": rng.normal(60, 5, n),
        }
    )


def caption(people: pd.DataFrame, terms: list[str]) -> str:
    found = associate(people, outcomes=["lvedv_ml", "lvef_pct"], terms=terms)
    context = StudyContext(name="x", participants=people, biomarkers=people, associations=found)
    blocks = associations(context, Options())
    assert isinstance(blocks[0], Table)
    return blocks[0].caption


def test_all_terms_are_held_equal(people):
    assert caption(people, ["age_years", "sex"]).endswith(
        "adjusted for the other terms of its model."
    )


def test_a_lost_term_is_named(people):
    told = caption(people, ["age_years", "site", "shoe_size"])
    assert told.endswith("; not adjusted for site, shoe_size.")


def test_a_term_that_one_model_lost_is_named_with_it(people):
    some = people.assign(vendor=np.where(np.arange(80) % 4 < 2, "GE", "Siemens"))
    some.loc[some["vendor"] == "GE", "lvef_pct"] = np.nan
    assert caption(some, ["age_years", "vendor"]).endswith("; not adjusted for vendor (LVEF (%)).")


def test_ranges_are_of_one_visit_and_errors_by_subject(people):
    found, ranges = regressions(people, outcomes=["lvedv_ml"], terms=["sex"], min_n=20, seed=1)
    assert found["n"].eq(80).all()
    assert found["robust"].eq("cluster").all()
    assert ranges["n"].sum() == 40
    assert ranges["note"].str.endswith("the first analysed visit of each subject").all()
    first = people.iloc[::2].groupby("sex")["lvedv_ml"].median().to_dict()
    shown = ranges.set_index("sex")["median"].dropna().to_dict()
    assert shown == pytest.approx({sex: first[sex] for sex in shown})
    once, _ = regressions(people.iloc[::2], outcomes=["lvedv_ml"], terms=["sex"], min_n=20, seed=1)
    assert once["robust"].eq("HC3").all()
