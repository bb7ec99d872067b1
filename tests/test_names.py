"""Names of subjects as people type them."""

from __future__ import annotations

import pytest

from popscan.config import Config
from popscan.names import name_list, resolve_units
from popscan.records import PopscanError

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
