"""Laws of strain that hold whatever the heart: mirrors, times, shifts, and who turns which way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from heart_labels import Stack, digital_heart
from popscan.motion import evenly
from popscan.protocols.cine_sax.aha import aha_segments
from popscan.protocols.cine_sax.strain.deform import curves_of
from popscan.protocols.cine_sax.strain.measure import measure_motion
from popscan.protocols.cine_sax.strain.numbers import finer
from popscan.protocols.cine_sax.strain.quality import segmented_mm
from popscan.protocols.cine_sax.strain.shift import heart_shifts, held_in_place
from popscan.protocols.cine_sax.strain.wall import wall_of
from popscan.records import LabelMap, NotApplicable, Scan, SubjectError

STACK = Stack(spacing_mm=(2.5, 2.5, 14.0), shape=(60, 54, 8))
HEART = digital_heart(4)
N_FRAMES = 8
LEVELS = np.array([0.4, 0.8, 0.0, 1.0], np.float32)
QUICK = {"n_iterations": (15, 8)}


def scan_of(labels: np.ndarray, image: np.ndarray | None = None) -> tuple[Scan, LabelMap]:
    scan = Scan(
        array=LEVELS[labels] if image is None else image,
        affine=STACK.affine,
        spacing_mm=STACK.spacing_mm,
        frame_times_ms=np.arange(labels.shape[3]) * 900.0 / labels.shape[3],
        meta={"rr_ms": 900.0},
    )
    return scan, LabelMap(array=labels, frames=tuple(range(labels.shape[3])))


def flipped(scan: Scan, labels: LabelMap, axis: int) -> tuple[Scan, LabelMap]:
    """The same heart in the body, in an array whose axis counts the other way."""
    affine = scan.affine.copy()
    affine[:, 3] += affine[:, axis] * (scan.array.shape[axis] - 1)
    affine[:, axis] *= -1
    return (
        replace(scan, array=np.flip(scan.array, axis).copy(), affine=affine),
        replace(labels, array=np.flip(labels.array, axis).copy()),
    )


@pytest.fixture(scope="module")
def beating() -> tuple[Scan, LabelMap]:
    phases = np.arange(N_FRAMES) / N_FRAMES
    return scan_of(np.stack([STACK.labels(HEART, p) for p in phases], axis=-1))


@pytest.fixture(scope="module")
def values(beating) -> dict[str, float]:
    return dict(measure_motion(*beating, options=QUICK).values)


def outline_strain(scan: Scan, labels: LabelMap) -> np.ndarray:
    """Strain of each frame's outlines, (circumferential and radial, t, 17): no registration."""
    first = labels.array[..., 0]
    segments = aha_segments(first, spacing_mm=scan.spacing_mm, affine=scan.affine)
    wall = wall_of(first, segments, spacing_mm=scan.spacing_mm)
    drawn = segmented_mm(wall, labels.array, spacing_mm=scan.spacing_mm)
    curves = curves_of(wall, drawn, reference=0)
    return np.stack([curves.circumferential, curves.radial])


@pytest.mark.parametrize("axis", [0, 2])
def test_a_mirrored_array_has_the_same_strain_in_the_same_segments(beating, values, axis):
    mirrored = flipped(*beating, axis)
    straight = outline_strain(*beating)
    assert np.nanmin(straight[0]) < -0.1
    assert np.allclose(outline_strain(*mirrored), straight, atol=1e-6, equal_nan=True)
    again = measure_motion(*mirrored, options=QUICK).values
    # Demons average odd numbers of voxels from one end only.
    assert again["gcs_peak_pct"] == pytest.approx(values["gcs_peak_pct"], abs=1.0)


def test_without_an_orientation_strain_has_no_segments(beating, values):
    scan, labels = beating
    lost = replace(scan, meta={**scan.meta, "orientation_known": False})
    found = measure_motion(lost, labels, options=QUICK)
    assert found.values["gcs_peak_pct"] == values["gcs_peak_pct"]
    assert all(np.isnan(found.values[name]) for name in found.values if "_aha" in name)
    assert [row["segment"] for row in found.rows] == list(range(1, 17))
    assert all(np.isnan(row["radial_peak_pct"]) for row in found.rows)


def test_any_frame_may_come_first(beating, values):
    scan, labels = beating
    rolled = (
        replace(scan, array=np.roll(scan.array, 3, axis=3)),
        replace(labels, array=np.roll(labels.array, 3, axis=3)),
    )
    again = measure_motion(*rolled, options=QUICK).values
    assert again["gcs_peak_pct"] == pytest.approx(values["gcs_peak_pct"], abs=1e-6)
    assert again["gcs_peak_time_ms"] == pytest.approx(values["gcs_peak_time_ms"], abs=1e-6)


def test_frames_at_unequal_times_peak_when_they_do(beating, values):
    scan, labels = beating
    times = 900.0 * (np.arange(N_FRAMES) / N_FRAMES) ** 1.3
    uneven = measure_motion(replace(scan, frame_times_ms=times), labels, options=QUICK).values
    expected = 900.0 * (values["gcs_peak_time_ms"] / 900.0) ** 1.3
    assert uneven["gcs_peak_time_ms"] == pytest.approx(expected, abs=30.0)
    assert uneven["gcs_peak_pct"] == pytest.approx(values["gcs_peak_pct"], abs=0.5)


def test_frames_of_half_the_rr_interval_are_no_cycle(beating):
    scan, labels = beating
    with pytest.raises(NotApplicable) as refused:
        measure_motion(replace(scan, meta={"rr_ms": 1800.0}), labels)
    assert refused.value.reason == "cycle_not_closed"


def test_a_heart_that_moves_as_a_whole_has_no_strain(beating):
    first = beating[1].array[..., 0]
    away = np.rint(4 * np.sin(np.pi * np.arange(N_FRAMES) / N_FRAMES) ** 2).astype(int)
    labels = np.stack([np.roll(first, (d, -d), axis=(0, 1)) for d in away], axis=-1)
    found = measure_motion(*scan_of(labels), options=QUICK)
    for name in (n for n in found.values if n.endswith("_peak_pct")):
        assert found.values[name] == pytest.approx(0.0, abs=1e-3, nan_ok=True), name
    field = found.fields["displacement_mm"]
    assert np.allclose(field[4, :, 5, 5], np.array([4, -4]) * 2.5)  # and its way is kept


def test_shifts_are_those_of_the_heart_and_leave_the_rest():
    labels = np.zeros((20, 22, 2, 3), np.uint8)
    labels[5:10, 6:12] = 3
    labels[..., 0, 1] = np.roll(labels[..., 0, 0], (2, -3), axis=(0, 1))
    labels[..., 1, 1] = 0  # not seen in this frame: as the other slice
    shifts = heart_shifts(labels, [0, 1])
    assert shifts[:, 0].tolist() == [[0, 0], [2, -3], [0, 0]]
    assert shifts[1, 1].tolist() == [2, -3]
    still = held_in_place(labels.astype(np.float32), shifts)
    assert np.array_equal(still[..., 0, 1], still[..., 0, 0])


def test_a_track_that_did_nothing_is_refused(beating):
    scan, labels = beating
    blank = replace(scan, array=np.ones_like(scan.array))
    with pytest.raises(SubjectError) as refused:
        measure_motion(blank, labels, source="images", options=QUICK)
    assert refused.value.reason == "track_off_contours"


def test_a_track_too_stiff_for_the_wall_is_refused(beating):
    with pytest.raises(SubjectError, match="thickens") as refused:
        measure_motion(*beating, method="affine")
    assert refused.value.reason == "track_off_contours"


@pytest.mark.parametrize("axes", [(0,), (2,)])
def test_torsion_is_positive_counter_clockwise_as_seen_from_the_apex(beating, axes):
    first = beating[1].array[..., 0]
    labels = np.repeat(first[..., np.newaxis], N_FRAMES, axis=3)
    # The apex turns by 8 degrees against the base, by the right hand about base to apex.
    x, y, z = (STACK.affine[:3, axis] for axis in range(3))
    hand = np.sign(np.cross(x, y) @ z)  # the stack's slices count from base to apex
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=first.shape[:2]), 1.5)
    image = np.empty(labels.shape, np.float32)
    for (slice_, t), beat in np.ndenumerate(
        np.broadcast_to(np.sin(np.pi * np.arange(N_FRAMES) / N_FRAMES) ** 2, (8, N_FRAMES))
    ):
        at = np.argwhere((first[..., slice_] == 3) | (first[..., slice_] == 2))
        middle = at.mean(axis=0) if len(at) else np.zeros(2)
        angle = np.deg2rad(hand * 8.0 * beat * slice_ / 7)
        back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        image[..., slice_, t] = ndimage.affine_transform(
            texture, back, offset=middle - back @ middle, order=1, mode="nearest"
        )
    given = scan_of(labels, image)
    for axis in axes:
        given = flipped(*given, axis)
    found = measure_motion(*given, source="images", options={"n_iterations": (40, 20)}).values
    assert 0.3 < found["torsion_peak_deg_cm"] < 2.0  # 8 degrees over 9.8 cm, smoothed


def test_finer_curves_go_through_the_frames():
    for curve in (np.cos(np.pi * np.arange(8)), np.random.default_rng(1).normal(size=9)):
        assert np.allclose(finer(curve)[::8], curve)


def test_evenly_places_a_periodic_curve_in_time():
    at = np.sort(np.random.default_rng(2).uniform(size=24))
    at -= at[0]
    even = evenly(np.cos(2 * np.pi * at), at=at)
    assert np.allclose(even, np.cos(2 * np.pi * np.arange(24) / 24), atol=0.02)
    same = np.random.default_rng(3).normal(size=(5, 2))
    assert np.array_equal(evenly(same, at=np.arange(5) / 5), same)
