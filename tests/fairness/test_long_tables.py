"""Outcomes of very many rows: words that come as categories give what words give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.ledger import bias_ledger
from popscan.fairness.outcomes import outcomes_table


@pytest.fixture
def checks(rng) -> pd.DataFrame:
    n = 60
    return pd.DataFrame(
        {
            "unit": rng.permutation([f"sub-{i:02d}" for i in range(20)] * 3),
            "check": np.repeat(["noise", "extent", "absent"], n // 3),
            "verdict": rng.choice(["pass", "fail", "not_assessed"], n),
        }
    )


def test_checks_as_categories_are_those_of_words(checks):
    coded = checks.astype({"unit": "category", "check": "category"})
    kept = [table[table["check"] != "absent"] for table in (checks, coded)]
    plain, categories = (outcomes_table(qc_checks=table) for table in kept)
    pd.testing.assert_frame_equal(plain, categories)
    assert plain["outcome"].cat.categories.tolist() == ["check_extent", "check_noise"]
    unknown = coded.assign(unit=coded["unit"].where(coded["unit"] != "sub-03"))
    assert len(outcomes_table(qc_checks=unknown)) == len(
        outcomes_table(qc_checks=unknown.astype({"unit": str, "check": str}))
    )


def test_outcomes_of_the_same_and_of_other_units_keep_their_rows(rng):
    everybody = [f"sub-{i}" for i in range(6)]
    first = pd.DataFrame({"unit": everybody, "psnr_db": rng.normal(size=6), "ssim": np.arange(6.0)})
    second = pd.DataFrame({"unit": [*everybody[3:], "sub-9"], "entropy": rng.normal(size=4)})
    table = outcomes_table(recon_scores=first, segmentation=second)
    for measure, source in (("psnr_db", first), ("ssim", first), ("entropy", second)):
        rows = table[table["outcome"] == measure].set_index("unit")["value"]
        assert dict(rows) == dict(zip(source["unit"], source[measure], strict=True))


def test_a_ledger_of_biomarkers_that_lack_other_units_is_that_of_each_alone(rng):
    n = 120
    people = pd.DataFrame(
        {"sex": rng.choice(["f", "m"], n), "age_years": rng.normal(60, 8, n)},
        index=pd.Index([f"sub-{i:03d}" for i in range(n)], name="unit"),
    )
    truth = pd.DataFrame(rng.normal(50, 5, (n, 3)), columns=["a_ml", "b_ml", "c_ml"])
    measured = truth + rng.normal(0, 1, truth.shape)
    measured.loc[::9, "b_ml"] = np.nan
    steps = {
        name: table.assign(unit=people.index).sample(frac=1, random_state=1)
        for name, table in (("truth", truth), ("segmentation", measured))
    }
    options = {"attributes_to_test": ["sex"], "adjust_for": ["age_years"], "n_boot": 50}

    def ledger(biomarkers: list[str]) -> pd.DataFrame:
        return bias_ledger(steps, people, biomarkers=biomarkers, correction="none", **options)

    together = ledger(["a_ml", "b_ml", "c_ml"])
    alone = pd.concat([ledger([name]) for name in ("a_ml", "b_ml", "c_ml")], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)
    assert together["n"].nunique() > 1
