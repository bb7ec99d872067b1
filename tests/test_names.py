"""Names of subjects as people type them."""

from __future__ import annotations

import pytest

from popscan.config import Config
from popscan.names import name_list, names_of_lines, resolve_units
from popscan.records import PopscanError
from popscan.yamlfile import parse_yaml

UNITS = ["sub-1000012_ses-2", "sub-1000013_ses-2", "sub-0008", "sub-0010", "sub-12", "sub-012"]


@pytest.mark.parametrize(
    ("named", "units"),
    [
        (1000012, ["sub-1000012_ses-2"]),
        ([1000013, "sub-1000012"], ["sub-1000012_ses-2", "sub-1000013_ses-2"]),
        ("1000012,sub-0010", ["sub-1000012_ses-2", "sub-0010"]),
        ("0008", ["sub-0008"]),
        ("sub-012", ["sub-012"]),
        ("012", ["sub-012"]),
        ("1000012_ses-2", ["sub-1000012_ses-2"]),
    ],
)
def test_numbers_lists_and_bare_names_are_understood(named, units):
    Config(subjects=named)
    assert resolve_units(name_list(named), UNITS, where="subjects") == units


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (8, r"8 is ambiguous, since numbers lose leading zeros; write one of sub-0008, sub-0010"),
        (10, r"10 is ambiguous.*sub-0010"),
        (12, r"12 is ambiguous.*sub-012, sub-12"),
        ([7, "sub-99"], r"not in the study: 7, sub-99"),
    ],
)
def test_ambiguous_and_unknown_names_stop(named, message):
    with pytest.raises(PopscanError, match=message):
        resolve_units(name_list(named), UNITS, where="subjects")


@pytest.mark.parametrize("named", [1.5, True, [2.0], {"a": 1}])
def test_other_types_are_refused(named):
    with pytest.raises(ValueError, match="subjects"):
        Config(subjects=named)


@pytest.mark.parametrize("text", ["0012", "[sub-1, 0010]", "{007: x}", "-017", "12:30", "0_12"])
def test_numbers_that_yaml_reads_in_another_base_are_refused(text):
    """0012 would be 10, and sub-10 be run in place of sub-0012."""
    with pytest.raises(PopscanError, match=r"config: line 1: .*in base (8|60).*in quotes"):
        parse_yaml(f"subjects: {text}", where="config")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("'0012'", "0012"), ("0.5", 0.5), ("0x1f", 31), ("08", "08"), ("10", 10)],
)
def test_other_numbers_and_quoted_names_stay(text, value):
    assert parse_yaml(f"subjects: {text}", where="config") == {"subjects": value}


@pytest.mark.parametrize(
    "lines",
    [
        ["sub-1 ses-2", "sub-2"],
        ["participant_id\tsession_id\treason", "sub-1\tses-2\tmoved, twice", "sub-2\t\t"],
        ["age,session_id,participant_id", "50,2,sub-1", "", "60,,sub-2"],
        ["sub-1,ses-2,", "\tsub-2"],
        ["participant_id\tsession_id", "sub-1\t2", "sub-2\tn/a"],
        ["age;session_id;participant_id", "50,5;2;sub-1", ";;sub-2"],
    ],
)
def test_lists_that_name_a_visit_do_not_mean_the_whole_subject(lines):
    assert names_of_lines(lines) == ["sub-1_ses-2", "sub-2"]


@pytest.mark.parametrize(
    ("lines", "strange"),
    [
        (["sub-1,sub-2"], "sub-1,sub-2"),
        (["sub-1 who moved", "sub-2"], "sub-1 who moved"),
        (["participant_id\tsession_id", "sub-1\t", "\tses-2"], "ses-2"),
        (["participant_id,age", "n/a,50"], "n/a,50"),
    ],
)
def test_a_line_that_is_not_understood_is_nobody_rather_than_left_aside(lines, strange):
    assert strange in names_of_lines(lines)
    with pytest.raises(PopscanError, match=f"not in the study: {strange}"):
        resolve_units(names_of_lines(lines), ["sub-1", "sub-2"], where="--file")
