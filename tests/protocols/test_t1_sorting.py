"""Series of T1 mapping are named by times of one sequence, and maps only where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.protocols.t1_map.sorting import find
from popscan.sorting.facts import THUMB, Facts

MOLLI = (100.0, 180.0, 260.0, 1000.0, 1080.0, 1900.0, 2800.0)
SCOUT = tuple(np.linspace(100.0, 1000.0, 16))


def facts(**changes) -> Facts:
    """One plane through the heart."""
    made = Facts(
        place="a", subject="s", session="s", dicom=True, n_images=1, n_slices=1, n_frames=1,
        matrix=(192, 192), spacing_mm=(1.8, 1.8), slice_mm=8.0, row=np.array([1.0, 0, 0]),
        column=np.array([0.0, 1, 0]), normal=np.array([0.0, 0, 1]), centre_mm=np.zeros(3),
        thumb=np.zeros((2, THUMB, THUMB), np.uint8), median=1000.0, high=2000.0, echo_ms=1.1,
        repetition_ms=280.0,
    )  # fmt: skip
    return replace(made, **changes)


MOLLI_SERIES = facts(n_images=7, n_frames=7, inversion_ms=MOLLI, prepared=True)
MAP = facts(derived=True, echo_ms=np.nan, repetition_ms=np.nan)


def names(*series: Facts) -> list[str]:
    return [found[0].name if found else "" for found in find(series)]


def test_a_mapping_sequence_and_its_map_are_named():
    assert names(MOLLI_SERIES, MAP) == ["t1_inversions", "t1_map"]
    one_each = [facts(inversion_ms=(time,), prepared=True) for time in MOLLI]
    assert names(*one_each, MAP) == ["t1_inversions"] * 7 + ["t1_map"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"repetition_ms": 700.0, "echo_ms": 3.0},
        {"n_frames": 2, "n_images": 2, "inversion_ms": (300.0, 310.0)},
    ],
)
def test_late_enhancement_beside_a_mapping_sequence_is_none(changes):
    late = facts(**({"inversion_ms": (300.0,), "prepared": True} | changes))
    assert names(late, MOLLI_SERIES) == ["", "t1_inversions"]


def test_late_enhancement_is_none_beside_single_images_of_another_sequence():
    one_each = [facts(inversion_ms=(time,), prepared=True) for time in MOLLI]
    late = facts(inversion_ms=(300.0,), prepared=True, echo_ms=3.0, repetition_ms=700.0)
    assert names(late, *one_each) == ["", *["t1_inversions"] * 7]
    blank = [replace(one, echo_ms=np.nan, repetition_ms=np.nan) for one in one_each]
    assert names(*blank) == [""] * 7  # nothing says that they belong together


def test_a_scout_of_inversion_times_is_none_and_spoils_none():
    scout = facts(n_images=16, n_frames=16, inversion_ms=SCOUT, prepared=True)
    assert names(scout) == [""]
    assert names(scout, MOLLI_SERIES, MAP) == ["", "t1_inversions", "t1_map"]


def test_images_that_are_not_computed_are_no_maps():
    assert names(MOLLI_SERIES, replace(MAP, derived=False)) == ["t1_inversions", ""]
    phase = replace(MAP, derived=False, signed=True)
    for other in ({"echo_ms": 1.1}, {"repetition_ms": 379.0}, {"dicom": False}):
        assert names(MOLLI_SERIES, replace(phase, **other)) == ["t1_inversions", ""]


def test_a_map_that_its_header_calls_a_phase_image_has_no_times():
    shmolli = replace(MAP, derived=False, signed=True, n_frames=2, n_images=2)
    assert names(MOLLI_SERIES, shmolli) == ["t1_inversions", "t1_map"]


def test_of_several_maps_of_a_plane_none_is_the_t1_map():
    other = replace(MAP, median=450.0, high=900.0)  # T2 in 0.1 ms, T1*, proton density
    assert names(MOLLI_SERIES, MAP, other) == ["t1_inversions", "", ""]
    aside = {"centre_mm": np.array([0.0, 0.0, 20.0])}
    second = [replace(MOLLI_SERIES, **aside), replace(MAP, **aside)]
    expected = ["t1_inversions", "t1_map"] * 2
    assert names(MOLLI_SERIES, MAP, *second) == expected
