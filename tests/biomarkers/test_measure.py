"""Biomarkers: hand-computed cases, analytic shapes, laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.biomarkers import body
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax import biomarkers
from popscan.protocols.cine_sax.biomarkers.full import measure_all
from popscan.protocols.cine_sax.biomarkers.rate import heart_rate_bpm
from popscan.protocols.cine_sax.biomarkers.thickness import slice_thickness_mm
from popscan.protocols.cine_sax.labels import Label
from popscan.records import PopscanError

nan = math.nan


def heart(
    *, lv_mm: list[float], wall_mm: float = 8.0, spacing_mm: tuple = (1.5, 1.5, 8.0), n: int = 48
) -> np.ndarray:
    """Ellipsoidal LV (semi-axes r, r, 2r) in a wall, an RV ball beside it, one r per frame."""
    shape = (n, n, 14)
    x, y, z = np.meshgrid(
        *((np.arange(k) - (k - 1) / 2) * s for k, s in zip(shape, spacing_mm, strict=True)),
        indexing="ij",
    )
    labels = np.zeros((*shape, len(lv_mm)), np.uint8)
    for t, r in enumerate(lv_mm):
        outer = r + wall_mm
        labels[np.hypot(np.hypot(x + 20, y), z) < r, t] = Label.RV
        labels[(x**2 + y**2) / outer**2 + z**2 / (2 * r + wall_mm) ** 2 < 1, t] = Label.MYO
        labels[(x**2 + y**2) / r**2 + z**2 / (2 * r) ** 2 < 1, t] = Label.LV
    return labels


BEAT = [24.0, 22.0, 18.0, 20.0]


def test_hand_computed() -> None:
    labels = np.zeros((10, 10, 2, 2), np.uint8)
    labels[2:6, 2:7, :, 0] = Label.LV  # 40 voxels of 1 mL
    labels[2:6, 2:4, :, 1] = Label.LV  # 16
    labels[7, :5, 0, :] = Label.MYO  # 5 in both
    labels[9, :10, :, 0] = Label.RV  # 20
    labels[9, :5, :, 1] = Label.RV  # 10
    values = biomarkers.measure(
        labels, spacing_mm=(10.0, 10.0, 10.0), rr_ms=800.0, height_cm=180.0, weight_kg=80.0
    )
    expected = {
        "lvedv_ml": 40, "lvesv_ml": 16, "lvsv_ml": 24, "lvef_pct": 60, "lvm_g": 5.25,
        "lvm_es_g": 5.25, "rvedv_ml": 20, "rvesv_ml": 10, "rvsv_ml": 10, "rvef_pct": 50,
        "lvedvi_ml_m2": 20, "lvesvi_ml_m2": 8, "lvsvi_ml_m2": 12, "lvmi_g_m2": 2.625,
        "rvedvi_ml_m2": 10, "rvesvi_ml_m2": 5, "rvsvi_ml_m2": 5, "bsa_m2": 2, "bmi_kg_m2": 24.6914,
        "hr_bpm": 75, "co_l_min": 1.8, "ci_l_min_m2": 0.9, "ed_frame": 0, "es_frame": 1,
        "n_slices_lv": 2, "n_frames_measured": 2,
    }  # fmt: skip
    assert {k: values[k] for k in expected} == pytest.approx(expected, rel=1e-4)
    assert math.isnan(values["wall_thickness_mean_mm"])  # the wall does not enclose the cavity


def test_every_column_is_in_the_dictionary_and_explained() -> None:
    values = biomarkers.measure(heart(lv_mm=BEAT), spacing_mm=(1.5, 1.5, 8.0))
    assert list(values) == list(biomarkers.DICTIONARY)
    assert all(isinstance(value, float) for value in values.values())
    for name, column in biomarkers.DICTIONARY.items():
        assert name == name.lower()
        assert all(column), name


def test_ellipsoid_volumes_and_function() -> None:
    spacing = (1.0, 1.0, 4.0)
    labels = np.concatenate(
        [heart(lv_mm=[r], spacing_mm=spacing, n=72) for r in (22.0, 16.0)], axis=3
    )
    # The stack of 14 x 4 mm covers 56 mm of the 2 r = 44 mm semi-axis on both sides only in part:
    # compare with the solid cut off at the stack's ends.
    half = 28.0

    def cut(r: float) -> float:
        a = min(half, 2 * r)
        return 2 * math.pi * r**2 * (a - a**3 / (12 * r**2)) / 1000

    values = biomarkers.measure(labels, spacing_mm=spacing)
    assert values["lvedv_ml"] == pytest.approx(cut(22.0), rel=0.01)
    assert values["lvesv_ml"] == pytest.approx(cut(16.0), rel=0.015)
    ef = 100 * (1 - cut(16.0) / cut(22.0))
    assert values["lvef_pct"] == pytest.approx(ef, abs=0.5)


def test_nothing_labelled_is_nan_not_zero() -> None:
    values = biomarkers.measure(np.zeros((8, 8, 3, 4), np.uint8), spacing_mm=(1, 1, 8))
    assert values.pop("n_frames_measured") == 0.0
    assert all(math.isnan(value) for value in values.values())


def test_one_frame_has_no_ejection_fraction() -> None:
    frame = heart(lv_mm=[24.0])
    unnamed = biomarkers.measure(frame, spacing_mm=(1.5, 1.5, 8.0))
    assert math.isnan(unnamed["lvedv_ml"])
    named = biomarkers.measure(frame, spacing_mm=(1.5, 1.5, 8.0), frame_labels=["ED"])
    assert named["lvedv_ml"] > 50
    assert named["wall_thickness_mean_mm"] > 5
    assert math.isnan(named["lvef_pct"])
    assert math.isnan(named["lvesv_ml"])


def test_missing_structure_leaves_the_others() -> None:
    labels = heart(lv_mm=BEAT)
    labels[labels == Label.RV] = 0
    values = biomarkers.measure(labels, spacing_mm=(1.5, 1.5, 8.0))
    assert math.isnan(values["rvedv_ml"])
    assert math.isnan(values["rvef_pct"])
    assert values["lvef_pct"] > 20


def test_a_frame_without_lv_is_not_end_systole() -> None:
    labels = heart(lv_mm=BEAT)
    full = biomarkers.measure(labels, spacing_mm=(1.5, 1.5, 8.0))
    labels[..., 1] = 0
    values = biomarkers.measure(labels, spacing_mm=(1.5, 1.5, 8.0))
    assert values["es_frame"] == 2
    assert values["lvef_pct"] == full["lvef_pct"]


@settings(deadline=None, max_examples=12)
@given(
    flips=st.lists(st.sampled_from([0, 1, 2]), unique=True),
    shift=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    roll=st.integers(0, 3),
)
def test_flips_and_translations_change_nothing(flips: list, shift: tuple, roll: int) -> None:
    labels = heart(lv_mm=BEAT)
    before = biomarkers.measure(labels, spacing_mm=(1.5, 1.5, 8.0))
    padded = np.pad(labels, ((4, 4), (4, 4), (0, 0), (0, 0)))
    moved = np.roll(np.flip(np.roll(padded, shift, axis=(0, 1)), axis=flips), roll, axis=3)
    after = biomarkers.measure(moved, spacing_mm=(1.5, 1.5, 8.0))
    for name in set(before) - {"ed_frame", "es_frame", "wall_thickness_max_mm"}:
        assert after[name] == pytest.approx(before[name], rel=1e-6, nan_ok=True), name
    assert after["ed_frame"] == (before["ed_frame"] + roll) % 4


@settings(deadline=None, max_examples=12)
@given(factor=st.floats(0.5, 2.0))
def test_volumes_scale_with_spacing_and_ef_does_not(factor: float) -> None:
    labels = heart(lv_mm=BEAT)
    one = biomarkers.measure(labels, spacing_mm=(1.5, 1.5, 8.0))
    other = biomarkers.measure(labels, spacing_mm=(1.5 * factor, 1.5 * factor, 8.0 * factor))
    assert other["lvedv_ml"] == pytest.approx(one["lvedv_ml"] * factor**3)
    assert other["lvm_g"] == pytest.approx(one["lvm_g"] * factor**3)
    assert other["lvef_pct"] == pytest.approx(one["lvef_pct"])
    assert other["wall_thickness_mean_mm"] == pytest.approx(one["wall_thickness_mean_mm"] * factor)


@pytest.mark.parametrize("spacing", [1.0, 1.5, 2.0])
def test_annulus_thickness(spacing: float, rng: np.random.Generator) -> None:
    axis = (np.arange(80) - 40) * spacing
    errors = []
    for _ in range(20):
        radius, wall = rng.uniform(14, 26), rng.uniform(6, 12)
        centre = rng.uniform(-1, 1, 2) * spacing
        r = np.hypot(axis[:, None] - centre[0], axis[None, :] - centre[1])
        labels = np.select([r < radius, r < radius + wall], [Label.LV, Label.MYO], 0)
        mean, sectors = slice_thickness_mm(labels.astype(np.uint8), spacing_mm=(spacing, spacing))
        errors.append(mean - wall)
        assert np.abs(sectors - wall).max() < 0.5 * spacing
    assert abs(np.mean(errors)) < 0.1 * spacing
    assert np.abs(errors).max() < 0.3 * spacing


def test_thick_sector_is_found() -> None:
    axis = np.arange(-40.0, 40.0)
    r = np.hypot(axis[:, None], axis[None, :])
    outer = np.where(axis[:, None] > abs(axis[None, :]), 36.0, 28.0)
    labels = np.select([r < 20, r < outer], [Label.LV, Label.MYO], 0).astype(np.uint8)
    mean, sectors = slice_thickness_mm(labels, spacing_mm=(1.0, 1.0))
    assert 8.0 < mean < 12.0
    assert np.nanmax(sectors) == pytest.approx(16.0, abs=1.0)
    assert np.nanmin(sectors) == pytest.approx(8.0, abs=0.5)


@pytest.mark.parametrize(
    ("height", "weight"), [(nan, 80), (180, nan), (0, 80), (180, -1), (math.inf, 80)]
)
def test_body_size_unknown_is_nan(height: float, weight: float) -> None:
    assert math.isnan(body.bsa_m2(height, weight))
    assert math.isnan(body.bmi_kg_m2(height, weight))


def test_heart_rate() -> None:
    times = np.arange(25) * 40.0
    assert heart_rate_bpm(frame_times_ms=times) == pytest.approx(60.0)
    assert heart_rate_bpm(rr_ms=600.0, frame_times_ms=times) == pytest.approx(100.0)
    assert heart_rate_bpm(rr_ms=nan, frame_times_ms=times) == pytest.approx(60.0)
    for unusable in (None, [0.0, 300.0], [0.0] * 25, times[::-1], [nan] * 25):
        assert math.isnan(heart_rate_bpm(frame_times_ms=unusable))


def test_bad_labels_are_refused() -> None:
    with pytest.raises(PopscanError, match="x, y, z, t"):
        biomarkers.measure(np.zeros((4, 4, 4)), spacing_mm=(1, 1, 1))


def test_methods_resolve() -> None:
    module, _, function = get_protocol("cine_sax").biomarkers.methods["cine_sax"].partition(":")
    assert (module, function) == (measure_all.__module__, measure_all.__name__)
