"""References of a whole cycle are scored at end-diastole and end-systole."""

from __future__ import annotations

import numpy as np

from popscan.protocols.cine_sax.labels import Label
from popscan.records import LabelMap
from popscan.stages.score.task import name_phases


def cycle(volumes) -> LabelMap:
    array = np.zeros((10, 1, 1, len(volumes)), dtype=np.uint8)
    for frame, volume in enumerate(volumes):
        array[:volume, 0, 0, frame] = Label.LV
    return LabelMap(array=array, frames=tuple(range(len(volumes))))


def test_whole_cycle_is_reduced_to_largest_and_smallest_cavity():
    reference, names = name_phases(cycle([8, 9, 4, 2, 6]), None)
    assert reference.frames == (1, 3)
    assert names == ["", "ED", "", "ES", ""]


def test_a_frame_without_a_cavity_is_no_end_systole():
    reference, names = name_phases(cycle([8, 9, 0, 2, 6]), None)
    assert reference.frames == (1, 3)
    assert names == ["", "ED", "", "ES", ""]


def test_named_frames_and_short_references_are_kept():
    two = cycle([9, 3])
    assert name_phases(two, None) == (two, None)
    five = cycle([8, 9, 4, 2, 6])
    assert name_phases(five, ["ED", "ES"]) == (five, ["ED", "ES"])
