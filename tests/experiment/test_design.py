"""The grid: counts add up, compositions nest, tests are apart, what cannot be is reported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from popscan.config import Experiment
from popscan.experiment.design import (
    Trial,
    baseline,
    first_visits,
    group_counts,
    needed,
    problems,
    split_groups,
    training_subjects,
    trial_section,
    trials,
)
from popscan.records import PopscanError, check_identifier


def section(**keys) -> dict:
    given = {"attribute": "sex", "groups": ["f", "m"], "shares_pct": [0, 50], "seeds": [1, 2]}
    return Experiment.model_validate(given | keys).model_dump()


@given(n_groups=st.integers(2, 5), share=st.floats(0, 100), n_train=st.integers(1, 500))
def test_counts_add_up_and_others_share_alike(n_groups, share, n_train):
    groups = [f"g{i}" for i in range(n_groups)]
    counts = group_counts(groups, share_pct=share, n_train=n_train)
    assert sum(counts.values()) == n_train
    assert abs(counts["g0"] - n_train * share / 100) <= 0.5 + 1e-9
    others = [counts[g] for g in groups[1:]]
    assert max(others) - min(others) <= 1


def test_the_grid_is_every_cell_once_and_arms_may_keep_to_some_shares():
    arms = {"none": {}, "fair": {"reweigh": True, "shares_pct": [50]}}
    grid = trials(section(mitigations=arms, architectures={"a": {}, "b": {}}))
    assert len(grid) == len(set(grid)) == 2 * (2 * 2 + 1 * 2)
    assert {t.share_pct for t in grid if t.mitigation == "fair"} == {50.0}


@given(st.text(max_size=80), st.floats(0, 100), st.integers(0, 2**31))
def test_names_of_trials_are_safe_as_files(arm, share, seed):
    name = Trial(architecture="unet", mitigation=arm, share_pct=share, seed=seed).name
    assert check_identifier(name.replace("..", "."), what="trial")
    assert "/" not in name


def test_another_arm_changes_nothing_for_a_trial():
    one = section(mitigations={"none": {}})
    two = section(mitigations={"none": {}, "fair": {"reweigh": True}}, seeds=[1, 2, 3])
    trial = trials(one)[0]
    assert trial_section(one, trial) == trial_section(two, trial)


def test_the_baseline_is_the_first_arm_that_does_nothing():
    arms = {"crop": {"crop_px": 32}, "plain": {"shares_pct": [50]}, "none": {}}
    assert baseline(section(mitigations=arms)["mitigations"]) == "plain"
    assert baseline(section(mitigations={"crop": {"crop_px": 32}})["mitigations"]) == ""


def test_needed_counts_the_largest_composition_and_the_test():
    assert needed(section(n_train=10, n_test=3)) == {"f": 5 + 3, "m": 10 + 3}


@given(st.integers(0, 2**31), st.lists(st.sampled_from([0, 10, 25, 50, 100]), min_size=2))
def test_compositions_of_a_seed_nest_and_never_touch_the_test(seed, shares):
    members = {"f": [f"f{i}" for i in range(30)], "m": [f"m{i}" for i in range(30)]}
    sets = split_groups(members, wanted={"f": 25, "m": 25}, n_test=5, seed=seed)
    assert [len(units) for units in sets["test"].values()] == [5, 5]
    before: set[str] = set()
    for share in sorted(shares):
        chosen = training_subjects(sets["pool"], ["f", "m"], share_pct=share, n_train=20, seed=seed)
        assert sum(map(len, chosen.values())) == 20
        for group in "fm":
            assert not set(chosen[group]) & set(sets["test"][group])
        assert before <= set(chosen["f"])
        before = set(chosen["f"])


def test_nobody_with_several_visits_is_in_training_and_test():
    units = [f"sub-{i:02d}_ses-{j}" for i in range(30) for j in (1, 2, 3)]
    # The third visit is in another group, as with scanners.
    given = {"f": [u for u in units if u[-1] != "3"], "m": [u for u in units if u[-1] == "3"]}
    given["m"] += [f"sub-{i}" for i in range(50, 70)]
    members, left_out = first_visits(given)
    assert left_out == 60
    assert members["f"] == [u for u in units if u.endswith("_ses-1")]
    sets = split_groups(members, wanted={"f": 20, "m": 10}, n_test=5, seed=0)
    people = [u.partition("_")[0] for part in sets.values() for us in part.values() for u in us]
    assert len(people) == len(set(people)) == 50


def test_too_few_subjects_are_counted_out():
    with pytest.raises(PopscanError, match=r"too few subjects of f \(f: 3 usable, 8 needed; m: 9"):
        split_groups(
            {"f": list("abc"), "m": list("defghijkl")}, wanted={"f": 8, "m": 9}, n_test=3, seed=0
        )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"groups": ["f"]}, "experiment.groups"),
        ({"shares_pct": [120]}, "experiment.shares_pct: 120"),
        ({"seeds": []}, "experiment.seeds"),
        ({"mitigations": {"a": {"shares_pct": [-1]}}}, "mitigations.a.shares_pct: -1"),
        ({"mitigations": {"a": {"crop_px": 999}}}, "mitigations.a.crop_px: 999"),
    ],
)
def test_problems_name_their_key(keys, told):
    assert any(told in text for text in problems(section(**keys)))


def test_a_group_named_twice_is_refused_on_reading():
    with pytest.raises(ValidationError, match="f is there twice"):
        section(groups=["f", "f"])


def test_a_good_section_has_no_problem():
    assert problems(section()) == []


def test_the_same_images_under_two_names_are_one_subject():
    """A copy in the test set of what was trained on would be segmented far too well."""
    given = {"f": ["sub-1", "sub-2_ses-1", "sub-3"], "m": ["sub-4", "sub-5"]}
    images = {"sub-1": "a", "sub-2_ses-1": "b", "sub-3": "c", "sub-4": "a", "sub-5": ""}
    assert first_visits(given, images) == ({"f": ["sub-1", "sub-2_ses-1", "sub-3"],
                                            "m": ["sub-5"]}, 1)  # fmt: skip
    assert first_visits(given) == (given, 0)
    # Chains: a visit that is left out still stands for its subject and its images.
    chain = {"f": ["sub-1", "sub-2_ses-1", "sub-2_ses-2"]}
    names = {"sub-1": "a", "sub-2_ses-1": "a", "sub-2_ses-2": "b"}
    assert first_visits(chain, names) == ({"f": ["sub-1"]}, 2)
