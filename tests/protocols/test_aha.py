"""Segments of the wall: digital hearts whose septum is known, in any orientation of the array."""

from __future__ import annotations

import numpy as np
import pytest

from heart_labels import Stack, digital_heart
from popscan.protocols.cine_sax.aha import SEGMENTS, aha_segments, segment_at
from popscan.protocols.cine_sax.insertion import find_insertion
from popscan.protocols.cine_sax.labels import Label
from popscan.records import SubjectError

POSES = [
    Stack(),
    Stack(turn_deg=67.0),
    Stack(turn_deg=200.0),
    Stack(flips=(True, False, False)),
    Stack(flips=(False, False, True)),
    Stack(turn_deg=-35.0, flips=(False, True, True)),
    Stack(turn_deg=120.0, flips=(True, True, True)),
]


def true_angles_deg(stack: Stack, heart) -> np.ndarray:
    """Angle of every voxel from the septum's true middle, positive towards anterior."""
    labels = stack.labels(heart)
    u, v, _ = stack.points()
    angles = np.full(stack.shape, np.nan)
    for z in range(stack.shape[2]):
        left = np.isin(labels[:, :, z], (Label.LV, Label.MYO))
        if left.any():
            x, y = u[:, :, z] - u[:, :, z][left].mean(), v[:, :, z] - v[:, :, z][left].mean()
            # From septum to anterior the angle grows against v (inferior): clockwise from u to -v.
            angles[:, :, z] = (np.rad2deg(np.arctan2(y, x) - heart.rv_angle) + 180) % 360 - 180
    return angles


@pytest.mark.parametrize(
    "stack", POSES, ids=lambda s: f"{s.turn_deg:g}-{''.join(map(str, map(int, s.flips)))}"
)
def test_segments_follow_the_septum_in_any_orientation(stack):
    heart = digital_heart(3)
    labels = stack.labels(heart)
    found = aha_segments(labels, spacing_mm=stack.spacing_mm, affine=stack.affine)
    truth = true_angles_deg(stack, heart)
    for z, level in enumerate(found.levels):
        if level not in ("basal", "mid", "apical"):
            continue
        wall = labels[:, :, z] == Label.MYO
        right = segment_at(truth[:, :, z][wall], level) == found.array[:, :, z][wall]
        assert right.mean() > 0.85, (z, level)
    assert found.base_first == (not stack.flips[2])


def test_the_first_segment_is_anterior_and_behind_the_insertion():
    stack, heart = Stack(), digital_heart(5)
    found = aha_segments(stack.labels(heart), spacing_mm=stack.spacing_mm, affine=stack.affine)
    _, v, _ = stack.points()
    centre = v[found.array > 0].mean()
    assert v[found.array == 1].mean() < centre - 10  # v grows to inferior
    assert v[found.array == 4].mean() > centre + 10
    u = stack.points()[0]
    assert u[found.array == 14].mean() < u[found.array == 16].mean() - 10  # septal, lateral
    for z, points in found.insertions.items():
        anterior = found.anterior[z]
        assert (points.anterior_mm - points.inferior_mm) @ anterior > 0


def test_insertions_are_where_the_digital_heart_has_them():
    stack, heart = Stack(spacing_mm=(1.0, 1.0, 8.0), shape=(156, 156, 13)), digital_heart(1)
    labels = stack.labels(heart)
    seen = 0
    for z in range(13):
        points = find_insertion(labels[:, :, z], spacing_mm=stack.spacing_mm)
        level_mm = stack.points()[2, 0, 0, z]
        if points is None or not 10 < level_mm < 50:
            continue
        seen += 1
        middle = np.arctan2(points.middle[1], points.middle[0])
        off = np.rad2deg((middle - heart.rv_angle + np.pi) % (2 * np.pi) - np.pi)
        assert abs(off) < 10
        half = np.rad2deg(heart.rv_half_width * (1 - 0.3 * level_mm / heart.at(0).rv_length_mm))
        # The cavity tapers to nothing at its ends, so the last degrees hold no voxel.
        assert 2 * half - 45 < points.arc_deg < 2 * half + 10
    assert seen >= 4


def test_segments_are_all_there_and_add_up_to_the_wall():
    stack, heart = Stack(), digital_heart(2)
    labels = stack.labels(heart)
    found = aha_segments(labels, spacing_mm=stack.spacing_mm, affine=stack.affine)
    volumes = found.volumes_ml(stack.spacing_mm)
    assert list(volumes) == list(SEGMENTS) == list(range(1, 18))
    assert all(volumes[s] > 0 for s in range(1, 17))
    defined = [z for z, level in enumerate(found.levels) if level not in ("outside", "undefined")]
    wall_ml = (labels[:, :, defined] == Label.MYO).sum() * np.prod(stack.spacing_mm) / 1000
    assert np.nansum(list(volumes.values())) == pytest.approx(wall_ml)
    basal = [volumes[s] for s in range(1, 7)]
    assert max(basal) < 2.5 * min(basal)


def opened(stack: Stack, labels: np.ndarray, z: int) -> np.ndarray:
    """Labels with a part of the wall of one slice taken away."""
    array, x = labels.copy(), np.arange(stack.shape[0])
    cut = array[:, :, z] == Label.MYO
    cut &= (x > np.argwhere(cut)[:, 0].mean() + 8)[:, None]
    array[:, :, z][cut] = Label.BACKGROUND
    return array


def test_an_open_ring_at_the_base_has_no_segments_and_says_why():
    stack, heart = Stack(), digital_heart(2)
    labels = stack.labels(heart)
    whole = aha_segments(labels, spacing_mm=stack.spacing_mm, affine=stack.affine)
    first = whole.levels.index("basal")
    found = aha_segments(
        opened(stack, labels, first), spacing_mm=stack.spacing_mm, affine=stack.affine
    )
    assert found.levels[first] == "undefined"
    assert "of the cavity" in found.reasons[first]
    assert not found.array[:, :, first].any()


def test_open_rings_between_others_move_no_level():
    stack, heart = Stack(), digital_heart(2)
    labels = stack.labels(heart)
    whole = aha_segments(labels, spacing_mm=stack.spacing_mm, affine=stack.affine).levels
    rings = [z for z, level in enumerate(whole) if level in ("basal", "mid", "apical")]
    for z in rings[1:-1]:
        levels = aha_segments(
            opened(stack, labels, z), spacing_mm=stack.spacing_mm, affine=stack.affine
        ).levels
        assert levels == (*whole[:z], "undefined", *whole[z + 1 :])


def test_without_an_affine_the_axes_are_those_of_a_scan():
    stack, heart = Stack(), digital_heart(4)
    labels = stack.labels(heart)
    known = aha_segments(labels, spacing_mm=stack.spacing_mm, affine=stack.affine)
    assumed = aha_segments(labels, spacing_mm=stack.spacing_mm)
    assert np.array_equal(known.array, assumed.array)


def test_what_cannot_be_divided_is_refused():
    stack, heart = Stack(), digital_heart(4)
    labels = stack.labels(heart)
    without = np.where(labels == Label.RV, 0, labels)
    with pytest.raises(SubjectError, match="no RV") as missing:
        aha_segments(without, spacing_mm=stack.spacing_mm)
    assert missing.value.reason == "missing_structure"
    few = labels.copy()
    few[:, :, [z for z in range(13) if z not in (4, 5)]] = 0
    with pytest.raises(SubjectError) as short:
        aha_segments(few, spacing_mm=stack.spacing_mm)
    assert short.value.reason == "too_few_slices"
    apart = np.where(labels == Label.RV, 0, labels)
    apart[:2, :2] = Label.RV
    with pytest.raises(SubjectError) as lost:
        aha_segments(apart, spacing_mm=stack.spacing_mm)
    assert lost.value.reason == "no_rv_insertion"


@pytest.mark.parametrize("level", ["basal", "mid", "apical"])
def test_borders_belong_to_a_segment_of_their_level_whatever_rounding_does(level):
    first, last = {"basal": (1, 6), "mid": (7, 12), "apical": (13, 16)}[level]
    starts = np.array([120.0, 135.0, -60.0, 180.0, -180.0])
    for angle in (starts, np.nextafter(starts, 1000), np.nextafter(starts, -1000)):
        found = segment_at(angle, level)
        assert ((found >= first) & (found <= last)).all()
