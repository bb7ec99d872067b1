"""Identifiers are safe as folder names, or refused."""

from __future__ import annotations

import pytest

from popscan.records import PopscanError, Subject, check_identifier


@pytest.mark.parametrize("name", ["sub-0001", "1000123", "SC-HF-I-6", "a.b_c+d"])
def test_usual_identifiers_pass(name):
    assert check_identifier(name) == name


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "a\nb", "a b", "..", ".hidden", "-rf", "a..b", "é", "x" * 65, "a\0"]
)
def test_unsafe_identifiers_are_refused_with_their_text(name):
    with pytest.raises(PopscanError, match="not allowed"):
        check_identifier(name)


def test_unit_and_folder_of_visits():
    assert Subject(sub="sub-1").unit == "sub-1"
    visit = Subject(sub="sub-1", ses="ses-2")
    assert (visit.unit, visit.folder) == ("sub-1_ses-2", "sub-1/ses-2")
