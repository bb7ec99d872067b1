"""Signs of exchanged codes and of two units in one column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popscan.stats.mixed import alike_notes, mixed_notes

RNG = np.random.default_rng(4)
N = 200
SEX = np.where(np.arange(N) % 2, "female", "male")
HEIGHT = np.where(SEX == "male", 177.0, 163.0) + RNG.normal(0, 7, N)
WEIGHT = np.where(SEX == "male", 84.0, 71.0) + RNG.normal(0, 13, N)


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"sex": SEX, "height_cm": HEIGHT, "weight_kg": WEIGHT, **columns})


def test_an_ordinary_table_has_no_notes():
    crp = np.exp(RNG.normal(0, 1.5, N))  # skewed, over three decades
    dice = np.clip(RNG.normal(0.9, 0.05, N), 0, 1)
    codes = np.where(np.arange(N) < 5, 999.0, 1.0)
    people = table(crp_mg_l=crp, dice=dice, codes=codes, change=RNG.normal(0, 1, N))
    assert mixed_notes(people, columns=list(people.columns[1:])) == []
    heavy = table(weight_kg=WEIGHT * 1.55)  # a cohort of the obese, BMI about 42
    assert mixed_notes(heavy, columns=["weight_kg"]) == []


def test_exchanged_codes_of_sex_show_in_heights():
    people = table(sex=np.where(SEX == "male", "female", "male"))
    (note,) = mixed_notes(people)
    assert note.startswith("sex: those read as female are taller")
    assert mixed_notes(people.head(12)) == []  # six of each say nothing


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_weights_in_pounds_show_in_the_body_mass_index(share):
    pounds = np.arange(N) < share * N
    (note,) = mixed_notes(table(weight_kg=np.where(pounds, WEIGHT / 0.4536, WEIGHT)))
    assert note.startswith("weight_kg: ")
    assert note.endswith("are these weights in pounds?")


@pytest.mark.parametrize("factor", [100.0, 1000.0, 1 / 60])
@pytest.mark.parametrize("count", [3, 60, 197])
def test_a_column_in_two_units_is_noted(factor, count):
    volume = RNG.normal(150, 20, N)
    mixed = np.where(np.arange(N) < count, volume * factor, volume)
    (note,) = mixed_notes(table(lvedv_ml=mixed), columns=["lvedv_ml"])
    assert note.startswith("lvedv_ml: its values lie in two ranges, ")
    assert f"a factor of {max(factor, 1 / factor):g}?" in note


@pytest.mark.parametrize("count", [2, 100])
def test_zeros_far_below_all_others_are_noted(count):
    zeros = np.arange(N) < count
    (note,) = mixed_notes(
        table(lvedv_ml=np.where(zeros, 0.0, RNG.normal(150, 20, N))), columns=["lvedv_ml"]
    )
    assert note.startswith(f"lvedv_ml: {count} values are exactly 0")
    drinks = np.where(zeros, 0.0, RNG.exponential(5, N))
    assert mixed_notes(table(drinks=drinks, smokes=zeros.astype(float)), columns=["drinks"]) == []


@pytest.mark.parametrize("huge", [1e9, 1e30])
def test_values_that_no_measurement_gives_are_noted(huge):
    volume = np.where(np.arange(N) < 4, huge, RNG.normal(150, 20, N))
    (note,) = mixed_notes(table(lvedv_ml=volume), columns=["lvedv_ml"])
    assert "in two ranges, 196 and 4 of them" in note


@pytest.mark.parametrize(
    ("units", "words"),
    [
        (["sub-A", "sub-a", "sub-b"], "sub-A and sub-a differ only in upper and lower case"),
        (["sub-005", "sub-5", "sub-50"], "sub-005 and sub-5 differ only in leading zeros"),
    ],
)
def test_identifiers_that_are_nearly_alike(units, words):
    (note,) = alike_notes(units)
    assert words in note
    assert alike_notes(units[1:]) == []


@pytest.mark.parametrize(("code", "n", "told"), [(99, 5, True), (99, 2, False), (77, 5, False)])
def test_nines_that_stand_alone_above_all_values_are_named(code, n, told):
    scores = pd.DataFrame({"score": [*np.linspace(20, 80, 40), *[code] * n]})
    notes = mixed_notes(scores, columns=["score"])
    expected = [
        f"score: {n} values are exactly {code}, and apart from such codes none is above 80; if "
        f"{code} means not "
        f"measured, set cohort.special_codes: {{score: [{code}]}}."
    ]
    assert notes == (expected if told else [])
    full = pd.DataFrame({"score": [*range(101), 99, 99]})
    assert mixed_notes(full, columns=["score"]) == []


def test_columns_whose_codes_the_config_lists_have_no_note_on_codes():
    values = np.concatenate([np.linspace(20, 80, 150), np.repeat([99.0, 0.0], 10)])
    people = pd.DataFrame({"score": values, "other": values})
    for names in ((), ("score",), ("score", "other")):
        decided = {name: [99, 0.0] for name in names}
        notes = mixed_notes(people, columns=["score", "other"], decided=decided)
        for name in people:
            named = [note for note in notes if note.startswith(f"{name}: ")]
            assert bool(named) == (name not in names)


@pytest.mark.parametrize(
    ("codes", "advice"),
    [([], []), ([-1], ["[-1, 0]", "[-1, 99]"]), ([99], ["[99, 0]"]), ([0, -1], ["[0, -1, 99]"])],
)
def test_one_listed_code_does_not_silence_notes_on_others(codes, advice):
    people = pd.DataFrame({"x": [*np.linspace(40, 60, 150), *[99.0] * 3, *[0.0] * 3]})
    notes = mixed_notes(people, columns=["x"], decided={"x": codes})
    assert [note.partition("special_codes: ")[2] for note in notes] == [
        f"{{x: {listed}}}." for listed in advice
    ]
