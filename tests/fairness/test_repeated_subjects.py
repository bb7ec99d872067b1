"""Subjects with several units: counted once, and never taken for independent ones."""

import numpy as np
import pandas as pd
import pytest

from popscan.fairness.audit import audit
from popscan.fairness.gap_words import gap_sentence
from popscan.fairness.suppress import share
from popscan.stats.intervals import wilson
from popscan.stats.means import Rows
from popscan.stats.power import detectable_proportion, detectable_share


def _visits(n_group, n_reference, visits):
    """Attributes of two sexes of which every subject has as many visits."""
    n = n_group + n_reference
    sub = np.repeat(np.arange(n), visits)
    sex = np.where(sub < n_group, "female", "male")
    index = [f"u{i:04d}" for i in range(len(sub))]
    return pd.DataFrame({"sub": [f"s{k:03d}" for k in sub], "sex": sex}, index=index)


def _long(people, values):
    return pd.DataFrame(
        {"unit": people.index, "stage": "qc", "outcome": "qc_fail", "value": values,
         "better_is": "lower", "kind": "binary"}
    )  # fmt: skip


def test_notes_count_subjects_not_visits():
    people = _visits(6, 14, 2)
    people.loc[people["sub"] == "s010", "sex"] = None
    found = audit(_long(people, np.arange(40.0)), people, attributes_to_test=["sex"],
                  cluster="sub", n_boot=20)  # fmt: skip
    notes = " ".join(found.notes)
    assert "sex was not recorded for 1 of 20 subjects" in notes
    assert "sex: female, missing have fewer than 10 subjects" in notes


def test_a_group_without_events_has_the_power_of_its_subjects(rng):
    people = _visits(20, 200, 2)
    values = np.zeros(440)
    values[rng.choice(np.arange(40, 440), 8, replace=False)] = 1
    gap = audit(_long(people, values), people, attributes_to_test=["sex"], cluster="sub",
                n_boot=100).gaps.iloc[0]  # fmt: skip
    # Nobody of 20 is what a share of 8% gives once in five times: less cannot be shown
    assert gap["min_detectable_gap"] > 0.1


def test_power_of_equal_visits_is_that_of_subjects():
    own, other = np.array([0, 0, 1, 1] * 5), np.array([0, 1, 1, 0] * 20)
    once = detectable_proportion(20, 40, 80, alpha=0.05)
    thrice = [
        Rows(totals=3.0 * part[:, None], counts=np.full((len(part), 1), 3.0))
        for part in (own, other)
    ]
    assert detectable_share(*thrice, alpha=0.05) == pytest.approx(once)


def test_power_of_unrelated_visits_is_that_of_units(rng):
    parts = [
        Rows(totals=rng.binomial(4, 0.3, n)[:, None].astype(float), counts=np.full((n, 1), 4.0))
        for n in (50, 200)
    ]
    found = detectable_share(*parts, alpha=0.05)
    assert found == pytest.approx(detectable_proportion(200, 240, 800, alpha=0.05), rel=0.15)


def _subjects(events, visits):
    return Rows(totals=np.array(events, float)[:, None], counts=np.full((len(events), 1), visits))


def test_power_of_groups_with_unequal_visits_is_that_of_their_subjects():
    """With one design effect for both, 20 subjects of ten visits looked like 110 subjects."""
    often = _subjects([10] * 2 + [0] * 18, 10.0)
    once = _subjects([1] * 100 + [0] * 900, 1.0)
    expected = detectable_proportion(20, 100, 1000, alpha=0.05)
    assert detectable_share(often, once, alpha=0.05) == pytest.approx(expected)
    often = _subjects([10] * 100 + [0] * 900, 10.0)
    once = _subjects([1] * 2 + [0] * 18, 1.0)
    assert detectable_share(once, often, alpha=0.05) == pytest.approx(expected)


def test_shared_intervals_of_shares_are_those_of_subjects(rng):
    people = _visits(60, 60, 4)
    per_subject = np.repeat((rng.random(120) < 0.4).astype(float), 4)  # all visits agree
    found = audit(_long(people, per_subject), people, attributes_to_test=["sex"], cluster="sub",
                  n_boot=500)  # fmt: skip
    shown = share({"groups": found.groups, "gaps": found.gaps})
    for name, middle in (("groups", "mean"), ("gaps", "gap")):
        exact = getattr(found, name)
        wide = shown[name]["ci_high"] - shown[name]["ci_low"]
        assert (wide > 0.95 * (exact["ci_high"] - exact["ci_low"])).all(), middle
    assert (shown["gaps"]["min_detectable_gap"] > 0.9 * found.gaps["min_detectable_gap"]).all()


@pytest.mark.parametrize("share_of_all", [0.0, 1.0])
def test_a_share_that_nobody_or_everybody_has_is_as_sure_as_its_subjects_are_many(share_of_all):
    """20 subjects of four visits without an event are no 80 subjects, and not known exactly."""
    people = _visits(20, 200, 4)
    values = np.full(880, share_of_all)
    values[80:120] = 1 - share_of_all
    found = audit(_long(people, values), people, attributes_to_test=["sex"], cluster="sub",
                  n_boot=100)  # fmt: skip
    exact = found.groups.set_index("group").loc["female"]
    expected = wilson(int(20 * share_of_all), 20, alpha=0.05)
    assert (exact["ci_low"], exact["ci_high"]) == pytest.approx(expected)
    shown = share({"groups": found.groups, "gaps": found.gaps})["groups"]
    row = shown.set_index("group").loc["female"]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected, rel=0.01)
    assert "n_subjects" not in shown


def test_a_shared_gap_of_visits_without_any_event_has_no_interval():
    people = _visits(20, 200, 4)
    found = audit(_long(people, np.zeros(880)), people, attributes_to_test=["sex"], cluster="sub",
                  n_boot=100)  # fmt: skip
    gap = share({"groups": found.groups, "gaps": found.gaps})["gaps"].iloc[0]
    assert gap["gap"] == 0
    assert gap[["ci_low", "ci_high", "min_detectable_gap"]].isna().all()


def test_shared_power_of_a_group_without_events():
    people = _visits(40, 200, 1)
    values = np.zeros(240)
    values[40:50] = 1
    found = audit(_long(people, values), people, attributes_to_test=["sex"], n_boot=50)
    shown = share({"groups": found.groups, "gaps": found.gaps})["gaps"]
    exact = found.gaps["min_detectable_gap"].iloc[0]
    assert shown["min_detectable_gap"].iloc[0] == pytest.approx(exact, rel=0.1)


def test_one_subject_with_many_events_is_not_shared():
    people = _visits(20, 40, 6)
    values = np.zeros(360)
    values[:6] = 1  # all visits of one woman
    values[120:180] = 1
    found = audit(
        _long(people, values), people, attributes_to_test=["sex"], cluster="sub", n_boot=50
    )
    shown = share({"groups": found.groups, "gaps": found.gaps})
    assert shown["gaps"].empty
    assert "female" not in set(shown["groups"]["group"])
    assert not any(name.startswith("n_subjects") for name in shown["groups"])


def test_a_group_of_few_subjects_with_many_visits_is_not_shared():
    people = _visits(3, 40, 4)
    found = audit(
        _long(people, np.arange(172.0)).assign(kind="continuous"), people,
        attributes_to_test=["sex"], cluster="sub", n_boot=50,
    )  # fmt: skip
    assert "female" not in set(share({"groups": found.groups})["groups"]["group"])


def _three_groups():
    """Visits of 30 women, 30 men, and two others with six visits each."""
    sub = np.r_[np.repeat(np.arange(60), 2), np.repeat([60, 61], 6)]
    sex = np.where(sub < 30, "female", np.where(sub < 60, "male", "other"))
    index = [f"u{i:04d}" for i in range(len(sub))]
    people = pd.DataFrame(
        {"sub": [f"s{k:03d}" for k in sub], "sex": sex, "site": np.where(sub % 2, "A", "B")},
        index=index,
    )
    return people, (np.arange(len(sub)) % 3 == 0).astype(float)


def test_a_group_of_few_subjects_is_not_what_the_others_leave():
    people, values = _three_groups()
    found = audit(_long(people, values), people, attributes_to_test=["sex", "site"], cluster="sub",
                  intersections=[["sex", "site"]], n_boot=50)  # fmt: skip
    shown = share({"groups": found.groups, "gaps": found.gaps})["groups"]
    sex = shown[shown["attribute"] == "sex"]["group"].tolist()
    assert "other" not in sex
    assert len(sex) == 1  # two are hidden together
    crossed = shown[shown["attribute"] == "sex x site"]["group"].tolist()
    assert not [name for name in crossed if name.startswith("other")]
    for site in ("A", "B"):
        assert sum(name.endswith(site) for name in crossed) < 2


def test_sentences_say_how_many_subjects_visits_are_of():
    people, values = _three_groups()
    found = audit(_long(people, values), people, attributes_to_test=["sex"], cluster="sub",
                  n_boot=50)  # fmt: skip
    text = gap_sentence(found.gaps[found.gaps["group"] == "male"].iloc[0])
    assert "men (n = 60 visits of 30 subjects)" in text
    row = found.gaps[found.gaps["group"] == "male"].iloc[0]
    few = gap_sentence(row.where(row.index != "n_subjects", 1))
    assert "men (n = 60 visits of 1 subject)" in few
    assert "men (n = 1 visit of 1 subject)" in gap_sentence(
        row.where(~row.index.isin(["n", "n_subjects"]), 1)
    )
    once = audit(_long(people, values), people, attributes_to_test=["sex"], n_boot=50).gaps
    assert "men (n = 60)" in gap_sentence(once[once["group"] == "male"].iloc[0])
    gaps = share({"groups": found.groups, "gaps": found.gaps}, min_cell=2)["gaps"]
    assert not {"n_subjects", "n_subjects_reference"} & set(gaps)
    assert "n = 60 visits)" in gap_sentence(gaps[gaps["group"] == "male"].iloc[0])


def test_outcomes_of_one_name_at_two_stages_keep_their_own_shares(rng):
    people = pd.DataFrame({"sex": np.repeat(["female", "male"], 100)},
                          index=[f"u{i:03d}" for i in range(200)])  # fmt: skip
    first, second = (rng.random(200) < share_ for share_ in (0.2, 0.6))
    parts = [
        _long(people, values.astype(float)).assign(stage=stage, outcome="flagged")
        for stage, values in (("qc", first), ("rca", second))
    ]
    found = audit(pd.concat(parts), people, attributes_to_test=["sex"], n_boot=50)
    tables = {"groups": found.groups, "gaps": found.gaps, "summary": found.summary}
    shown = share(tables)
    for name, column in (("gaps", "gap"), ("summary", "worst")):
        exact = tables[name].set_index("stage")[column]
        shared = shown[name].set_index("stage")[column]
        for stage in ("qc", "rca"):
            assert shared[stage] == pytest.approx(exact[stage], abs=0.06)
