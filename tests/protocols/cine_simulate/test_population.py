"""The population against published ranges, and its switches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.protocols.cine_sax.simulate.faults import FAULTS
from popscan.protocols.cine_sax.simulate.population import PUBLIC_COLUMNS, sample_population
from popscan.protocols.cine_sax.simulate.reference import REFERENCE
from popscan.records import PopscanError


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return sample_population(6000, seed=11)


@pytest.fixture(scope="module")
def reference_like(people) -> pd.DataFrame:
    """Those whom the reference cohort would have included."""
    bmi = people.weight_kg / (people.height_cm / 100) ** 2
    return people[(people.truth_condition == "healthy") & (bmi < 30)]


@pytest.mark.parametrize("sex", ["male", "female"])
@pytest.mark.parametrize(
    "name", ["lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvesv_ml", "rvef_pct"]
)
def test_means_and_spreads_are_the_published_ones(reference_like, sex, name):
    found = reference_like.loc[reference_like.sex == sex, f"truth_{name}"]
    mean, sd = getattr(REFERENCE[sex], name)
    assert found.mean() == pytest.approx(mean, abs=0.15 * sd)
    assert found.std() == pytest.approx(sd, rel=0.2)


def test_hearts_grow_with_the_body_and_shrink_with_age(reference_like):
    men = reference_like[reference_like.sex == "male"]
    bsa = np.sqrt(men.height_cm * men.weight_kg / 3600)
    assert 0.35 < np.corrcoef(bsa, men.truth_lvedv_ml)[0, 1] < 0.65
    assert 0.40 < np.corrcoef(bsa, men.truth_lvm_g)[0, 1] < 0.70
    assert -0.4 < np.corrcoef(men.age_years, men.truth_lvedv_ml)[0, 1] < -0.1
    assert abs(np.corrcoef(men.age_years, men.truth_lvef_pct)[0, 1]) < 0.06


def test_both_ventricles_pump_the_same(people):
    ratio = people.truth_rvsv_ml / people.truth_lvsv_ml
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert ratio.std() < 0.04


def test_every_heart_is_a_heart(people):
    assert (people.truth_lvesv_ml > 0).all()
    assert (people.truth_lvedv_ml > people.truth_lvesv_ml).all()
    assert (people.truth_rvedv_ml > people.truth_rvesv_ml).all()
    expected = 100 * (1 - people.truth_lvesv_ml / people.truth_lvedv_ml)
    np.testing.assert_allclose(people.truth_lvef_pct, expected, atol=1e-3)


def test_conditions_look_like_themselves():
    by = sample_population(
        900, seed=2, conditions={"dilated": 0.3, "hypertrophic": 0.3, "rv_dilated": 0.2}
    ).groupby("truth_condition")
    mean = by[["truth_lvedv_ml", "truth_lvef_pct", "truth_lvm_g", "truth_rvedv_ml"]].mean()
    assert mean.loc["dilated", "truth_lvef_pct"] < 40
    assert mean.loc["dilated", "truth_lvedv_ml"] > 1.4 * mean.loc["healthy", "truth_lvedv_ml"]
    assert mean.loc["hypertrophic", "truth_lvm_g"] > 1.5 * mean.loc["healthy", "truth_lvm_g"]
    assert mean.loc["rv_dilated", "truth_rvedv_ml"] > 1.3 * mean.loc["healthy", "truth_rvedv_ml"]


def test_same_seed_same_people_and_more_people_begin_with_them():
    pd.testing.assert_frame_equal(sample_population(9, seed=4), sample_population(9, seed=4))
    pd.testing.assert_frame_equal(
        sample_population(9, seed=4), sample_population(30, seed=4).head(9)
    )
    assert not sample_population(9, seed=4).equals(sample_population(9, seed=5))


def test_race_changes_nothing_but_itself():
    one = sample_population(50, seed=1, races={"White": 1.0})
    two = sample_population(50, seed=1, races={"Black": 0.5, "Asian": 0.5})
    assert set(two.race) == {"Black", "Asian"}
    pd.testing.assert_frame_equal(one.drop(columns="race"), two.drop(columns="race"))


def test_columns_and_the_empty_population():
    none = sample_population(
        0, seed=1, bias={"attribute": "race", "group": "Black", "kind": "contrast", "strength": 1.0}
    )
    some = sample_population(3, seed=1)
    assert len(none) == 0
    assert list(none.columns) == list(some.columns)
    assert tuple(some.columns[: len(PUBLIC_COLUMNS)]) == PUBLIC_COLUMNS
    assert all(c == "fault" or c.startswith("truth_") for c in some.columns[len(PUBLIC_COLUMNS) :])
    assert list(some.participant_id) == ["sub-0001", "sub-0002", "sub-0003"]


def test_quotas_are_exact():
    people = sample_population(
        40,
        seed=1,
        female_share=0.5,
        races={"White": 0.5, "Black": 0.5},
        faults={"motion": 0.1, "missing_slices": 0.05},
        allocation="quota",
    )
    assert (people.sex == "female").sum() == 20
    assert (people.race == "Black").sum() == 20
    assert people.fault.value_counts().to_dict() == {"": 34, "motion": 4, "missing_slices": 2}


def test_fault_rates_are_kept():
    people = sample_population(4000, seed=1, faults=dict.fromkeys(FAULTS, 0.05))
    shares = people.fault.value_counts(normalize=True)
    for fault in FAULTS:
        assert shares[fault] == pytest.approx(0.05, abs=0.015)


def test_race_can_be_missing():
    people = sample_population(2000, seed=1, race_missing=0.1)
    assert (people.race == "").mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "column", "unbiased", "biased"),
    [
        ("image_quality", "truth_noise_factor", 1.0, 2.5),
        ("contrast", "truth_contrast_loss", 0.0, 0.3),
        ("fat_layer", "truth_extra_fat_mm", 0.0, 12.5),
        ("label_noise", "truth_label_noise_mm", 0.0, 1.5),
    ],
)
def test_bias_marks_its_group_only(kind, column, unbiased, biased):
    bias = {"attribute": "race", "group": "Black", "kind": kind, "strength": 0.5}
    people = sample_population(300, seed=1, bias=bias, races={"White": 0.5, "Black": 0.5})
    hit = people.race == "Black"
    assert people.loc[hit, column].unique() == pytest.approx([biased])
    assert people.loc[~hit, column].unique() == pytest.approx([unbiased])
    plain = sample_population(300, seed=1, races={"White": 0.5, "Black": 0.5})
    pd.testing.assert_frame_equal(people.drop(columns=column), plain.drop(columns=column))


@pytest.mark.parametrize(
    "options",
    [
        {"bias": {"attribute": "race", "group": "Black", "kind": "ugly", "strength": 0.5}},
        {"bias": {"attribute": "race", "group": "Black", "kind": "contrast", "strength": 2}},
        {"bias": {"attribute": "race", "group": "B", "kind": "contrast", "size": 1}},
        {"bias": {"attribute": "shoe", "group": "B", "kind": "contrast", "strength": 1}},
        {"faults": {"gremlins": 0.1}},
        {"faults": {"motion": 0.7, "truncated": 0.7}},
        {"faults": {"motion": -0.1}},
        {"conditions": {"cold": 0.1}},
        {"sites": {"site-01": "Dogwood 9T"}},
        {"allocation": "alphabetical"},
        {"races": {"White": -1.0}},
    ],
)
def test_impossible_wishes_are_told(options):
    with pytest.raises(PopscanError):
        sample_population(5, seed=1, **options)
