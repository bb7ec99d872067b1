"""Strain of digital hearts against their analytic motion, and what has none."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from heart_labels import AXES, Stack, digital_heart
from popscan.protocols.cine_sax.aha import aha_segments
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.motion import material_points, strain_at
from popscan.protocols.cine_sax.strain.bullseye import Plot, bullseye
from popscan.protocols.cine_sax.strain.deform import curves_of
from popscan.protocols.cine_sax.strain.dictionary import DICTIONARY, ROWS
from popscan.protocols.cine_sax.strain.follow import tissue_slices
from popscan.protocols.cine_sax.strain.intervals import CALIBRATION, POSTERIOR
from popscan.protocols.cine_sax.strain.measure import measure_motion
from popscan.protocols.cine_sax.strain.numbers import peak
from popscan.protocols.cine_sax.strain.quality import segmented_mm
from popscan.protocols.cine_sax.strain.wall import wall_of
from popscan.records import LabelMap, NotApplicable, Scan, SubjectError

STACK = Stack(spacing_mm=(2.0, 2.0, 10.0), shape=(78, 70, 11))
N_FRAMES = 8
HEART = digital_heart(4)


def cine(heart=HEART, stack: Stack = STACK, n_frames: int = N_FRAMES) -> tuple[Scan, LabelMap]:
    """Labels of a beating heart, and an image of three grey levels."""
    labels = np.stack([stack.labels(heart, t / n_frames) for t in range(n_frames)], axis=-1)
    levels = np.array([0.4, 0.8, 0.0, 1.0], np.float32)
    scan = Scan(
        array=levels[labels],
        affine=stack.affine,
        spacing_mm=stack.spacing_mm,
        frame_times_ms=np.arange(n_frames) * 900.0 / n_frames,
        meta={"rr_ms": 900.0},
    )
    return scan, LabelMap(array=labels, frames=tuple(range(n_frames)))


@pytest.fixture(scope="module")
def beating() -> tuple[Scan, LabelMap]:
    return cine()


@pytest.fixture(scope="module")
def moved(beating):
    return measure_motion(*beating)


def truth(phase: float) -> tuple[float, float]:
    """Mean strain of the wall's points, in percent."""
    labels = STACK.labels(HEART)
    segments = aha_segments(labels, spacing_mm=STACK.spacing_mm, affine=STACK.affine)
    wall = wall_of(labels, segments, spacing_mm=STACK.spacing_mm)
    index = np.ones((*wall.points_mm.shape[:-1], 4))
    index[..., :2] = wall.points_mm / STACK.spacing_mm[:2]
    index[..., 2] = wall.slices[:, None, None]
    points = (index @ STACK.to_heart.T)[..., :3].reshape(-1, 3)
    depth, _, share = material_points(HEART, points).T
    inside = (depth > -0.2) & (depth < 1.2) & (share > 0) & (share < 0.85)
    strain = strain_at(HEART, points[inside], phase=phase)
    return 100 * strain.circumferential.mean(), 100 * strain.radial.mean()


def test_global_strain_is_near_the_analytic_one(moved):
    around, across = truth(HEART.es_phase)
    assert moved.values["gcs_peak_pct"] == pytest.approx(around, abs=2.0)
    assert moved.values["grs_peak_pct"] == pytest.approx(across, abs=8.0)
    assert moved.values["gcs_peak_low_pct"] < moved.values["gcs_peak_pct"]
    assert moved.values["slices_followed"] == 1.0


def test_times_rates_and_displacements_are_a_hearts(moved):
    values = moved.values
    end_systole_ms = HEART.es_phase * 900.0
    for short, sign in (("gcs", -1), ("grs", 1)):
        assert abs(values[f"{short}_peak_time_ms"] - end_systole_ms) < 900.0 / N_FRAMES
        assert sign * values[f"{short}_systolic_rate_per_s"] > 0.3
        assert sign * values[f"{short}_diastolic_rate_per_s"] < -0.3
    assert 2 < values["radial_displacement_peak_mm"] < 12
    assert values["longitudinal_displacement_peak_mm"] == pytest.approx(
        HEART.shortening_mm, abs=0.4 * HEART.shortening_mm
    )
    assert np.isnan(values["torsion_peak_deg_cm"])  # labels hold no mark of rotation


def test_every_column_and_row_is_described(moved):
    assert list(moved.values) == list(DICTIONARY)
    assert [set(row) for row in moved.rows] == [set(ROWS)] * 16
    assert [row["segment"] for row in moved.rows] == list(range(1, 17))
    around = [row["circumferential_peak_pct"] for row in moved.rows]
    assert max(around) < -5
    assert moved.fields["displacement_mm"].dtype == np.float16
    assert moved.values["fields_mb"] < 1


def test_without_draws_there_is_no_standard_error(moved):
    assert np.isnan(moved.values["gcs_peak_se_pct"])
    assert np.isnan(moved.values["grs_peak_se_pct"])


def test_bayesian_tracking_has_standard_errors_that_its_intervals_follow(beating, moved):
    drawn = measure_motion(
        *beating, method="bayesian", options={"n_steps": 5, "n_samples": 6}
    ).values
    for short in ("gcs", "grs"):
        error = drawn[f"{short}_peak_se_pct"]
        low, high = (drawn[f"{short}_peak_{end}_pct"] for end in ("low", "high"))
        assert 0.2 < error < 20
        assert low < drawn[f"{short}_peak_pct"] < high
        least = CALIBRATION[f"{short}_peak_pct"][1]  # what the labels may be wrong by stays in it
        assert high - low >= 2 * max(POSTERIOR[f"{short}_peak_pct"] * error, least) - 1e-9
    around, _ = truth(HEART.es_phase)
    assert drawn["gcs_peak_pct"] == pytest.approx(around, abs=3.0)
    assert list(drawn) == list(moved.values)


def test_tissue_is_followed_through_the_stack(beating):
    _, labels = beating
    slices = tissue_slices(labels.array, reference=0, base_first=True)
    z = np.arange(labels.array.shape[2])
    held = np.isfinite(slices[0])
    assert np.allclose(slices[0, held], z[held])
    es = round(HEART.es_phase * N_FRAMES)
    points = np.stack([np.zeros(11), np.zeros(11), STACK.points()[2, 0, 0]], axis=1)
    state = HEART.at(es / N_FRAMES)
    share = points[:, 2] / HEART.at(0).epi_length_mm
    truly = z + (state.base_mm + share * state.epi_length_mm - points[:, 2]) / 10.0
    ring = [zz for zz in z if np.isfinite(slices[es, zz]) and 0.1 < share[zz] < 0.7]
    assert len(ring) >= 4
    assert np.abs(slices[es, ring] - truly[ring]).max() < 0.4  # slices
    assert slices[es, ring].mean() > np.mean(ring)  # towards the apex


def test_without_the_apex_tissue_is_not_followed(beating):
    _, labels = beating
    cut = labels.array[:, :, :5]
    assert np.isnan(tissue_slices(cut, reference=0, base_first=True)).all()
    turned = tissue_slices(labels.array[:, :, ::-1], reference=0, base_first=False)
    straight = tissue_slices(labels.array, reference=0, base_first=True)
    assert np.allclose(turned[:, ::-1], 10 - straight, equal_nan=True)


def test_points_that_only_turn_have_no_strain(beating):
    _, labels = beating
    first = labels.array[..., 0]
    segments = aha_segments(first, spacing_mm=STACK.spacing_mm, affine=STACK.affine)
    wall = wall_of(first, segments, spacing_mm=STACK.spacing_mm)
    middle = wall.points_mm.mean(axis=(1, 2), keepdims=True)
    turned = []
    for degrees in (0.0, 8.0):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        turned.append(middle + (wall.points_mm - middle) @ np.array([[c, s], [-s, c]]))
    curves = curves_of(wall, np.stack(turned), reference=0)
    assert np.nanmax(np.abs(curves.circumferential)) < 1e-9
    assert np.nanmax(np.abs(curves.radial)) < 1e-9
    assert np.allclose(curves.rotation_deg[1], 8.0)
    grown = curves_of(
        wall, np.stack([wall.points_mm, middle + 0.8 * (wall.points_mm - middle)]), reference=0
    )
    assert np.allclose(grown.circumferential[1, 0], -0.2)
    assert np.allclose(grown.radial[1, 0], -0.2)


def test_outlines_of_labels_have_sub_voxel_radii():
    heart, stack = digital_heart(1), Stack(spacing_mm=(1.5, 1.5, 8.0))
    labels = stack.labels(heart)
    segments = aha_segments(labels, spacing_mm=stack.spacing_mm, affine=stack.affine)
    wall = wall_of(labels, segments, spacing_mm=stack.spacing_mm)
    for row, z in enumerate(wall.slices):
        x, y = wall.points_mm[row, :, 0].T
        inside = 0.5 * abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
        counted = (labels[:, :, z] == Label.LV).sum() * 1.5 * 1.5
        assert inside == pytest.approx(counted, rel=0.08)
    again = segmented_mm(wall, labels[..., np.newaxis], spacing_mm=stack.spacing_mm)
    assert np.allclose(again[0], wall.points_mm)


def test_peak_of_a_known_curve():
    t = np.arange(16) / 16
    found = peak(-0.1 * (1 - np.cos(2 * np.pi * t)), sign=-1.0, period_ms=800.0)
    assert found["peak"] == pytest.approx(-0.2)
    assert found["time_ms"] == pytest.approx(400.0)
    assert found["systolic"] == pytest.approx(-0.1 * 2 * np.pi / 0.8, rel=0.01)
    assert found["diastolic"] == pytest.approx(0.1 * 2 * np.pi / 0.8, rel=0.01)


def test_bullseye_names_segments_and_what_is_missing():
    drawn = str(bullseye([Plot(title="A < B", values={1: -20.0}, full=-30.0)]))
    assert "A &lt; B" in drawn
    assert drawn.count("<path") == 16
    assert "1 basal anterior: -20.0 %" in drawn
    assert drawn.count("not measured") == 15
    assert ">-30 %<" in drawn  # what the darkest colour stands for


def test_bullseyes_wrap_and_long_titles_stay_on_their_own_plot():
    """Two of 260 pixels in one drawing shrank to 7-pixel letters on a phone."""
    name = "Black, Black British, Caribbean or African women"
    plots = [Plot(title=f"{name} (n = 4): {kind}", values={}, full=1.0) for kind in ("a", "b")]
    drawn = str(bullseye(plots))
    assert drawn.count("<svg") == 2
    titles = re.findall(r'font-weight="bold">([^<]*)<', drawn)
    assert len(titles) >= 4
    assert max(map(len, titles)) <= 32
    assert str(bullseye([])) == "<div></div>"


def without(labels: LabelMap, frame: int, code: Label) -> LabelMap:
    array = labels.array.copy()
    array[..., frame][array[..., frame] == code] = 0
    return replace(labels, array=array)


def shorter(scan: Scan, labels: LabelMap, keep: slice) -> tuple[Scan, LabelMap]:
    array = labels.array[..., keep]
    times = scan.frame_times_ms[keep]
    return (
        replace(scan, array=scan.array[..., keep], frame_times_ms=times),
        LabelMap(array=array, frames=tuple(range(array.shape[3]))),
    )


BAD = {
    "one frame": (lambda s, m: shorter(s, m, slice(0, 1)), NotApplicable, "too_few_frames"),
    "another grid": (
        lambda s, m: (replace(s, array=s.array[1:]), m),
        SubjectError,
        "shape_mismatch",
    ),
    "two frames labelled": (
        lambda s, m: (s, replace(m, frames=(0, 3))),
        SubjectError,
        "unlabelled_frames",
    ),
    "no myocardium in a frame": (
        lambda s, m: (s, without(m, 3, Label.MYO)),
        SubjectError,
        "missing_structure",
    ),
    "heart at the edge": (
        lambda s, m: (replace(s, array=s.array[40:]), replace(m, array=m.array[40:])),
        SubjectError,
        "heart_at_edge",
    ),
    "no time": (
        lambda s, m: (replace(s, frame_times_ms=None, meta={}), m),
        NotApplicable,
        "unknown_cycle",
    ),
    "NaN": (
        lambda s, m: (replace(s, array=np.full_like(s.array, np.nan)), m),
        SubjectError,
        "non_finite_image",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_tracked_has_no_strain_but_a_reason(beating, case):
    damage, kind, reason = BAD[case]
    with pytest.raises(kind) as refused:
        measure_motion(*damage(*beating))
    assert refused.value.reason == reason
    assert isinstance(refused.value, NotApplicable) == (kind is NotApplicable)


def test_half_a_cycle_is_not_taken_for_a_whole_one():
    scan, labels = cine(n_frames=24)
    with pytest.raises(NotApplicable) as refused:
        measure_motion(*shorter(scan, labels, slice(0, 10)))
    assert refused.value.reason == "cycle_not_closed"


def test_a_track_that_leaves_the_outlines_is_refused(beating):
    with pytest.raises(SubjectError) as refused:
        # So stiff a field cannot follow a beating heart.
        measure_motion(
            *beating, options={"smoothing_mm": 30.0, "n_iterations": (1,)}, max_contour_mm=1.5
        )
    assert refused.value.reason == "track_off_contours"


def test_axes_of_the_helper_are_a_short_axis():
    assert np.allclose(AXES.T @ AXES, np.eye(3))
