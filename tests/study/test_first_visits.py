"""The first visit of a subject is that of the smallest number, not the first word."""

from __future__ import annotations

import pandas as pd

from popscan.experiment.design import first_visits as of_groups
from popscan.names import natural
from popscan.study.cohort import first_visits


def test_the_second_visit_is_before_the_tenth():
    units = ["sub-1_ses-10", "sub-1_ses-2", "sub-2_ses-3", "sub-2_ses-03b", "sub-10"]
    people = pd.DataFrame({"sub": ["sub-1", "sub-1", "sub-2", "sub-2", "sub-10"]}, index=units)
    kept, sentences = first_visits(people)
    assert kept.index.tolist() == ["sub-1_ses-2", "sub-2_ses-3", "sub-10"]
    assert sentences[0].startswith("2 repeated visits")
    everyone, nothing = first_visits(kept)
    assert everyone is kept
    assert nothing == []
    assert of_groups({"a": units[:2], "b": units[2:3]}) == (
        {"a": ["sub-1_ses-2"], "b": ["sub-2_ses-3"]},
        1,
    )


def test_names_of_any_letters_have_a_place():
    names = ["run-²", "run-10", "run-2", "Größe-٣", "run-" + "9" * 400]
    assert sorted(names, key=natural)[1:3] == ["run-2", "run-10"]
