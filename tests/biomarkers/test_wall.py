"""The wall by segment: analytic thickness of round hearts, sums, reasons, laws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.helpers.heart_labels import Stack, digital_heart

from popscan.protocols.cine_sax.aha import SEGMENTS
from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.biomarkers.wall import (
    WALL_DICTIONARY,
    mean_thickness_mm,
    segmented_wall,
    wall_by_segment,
)
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.heart import Heart, profile

STACK = Stack()
RINGS = range(1, 17)


def round_heart() -> Heart:
    """A heart whose every slice is two circles about one centre."""
    return replace(
        digital_heart(1), shape_modes=(), wall_modes=(), bend_mm=(0.0, 0.0), slope=(0.0, 0.0)
    )


def frames(heart: Heart, stack: Stack = STACK) -> np.ndarray:
    return np.stack([stack.labels(heart, p) for p in (0.0, heart.es_phase)], axis=-1)


def measured(labels: np.ndarray, stack: Stack = STACK, **phases: int | None) -> dict:
    return wall_by_segment(
        labels, phases={"ed": 0, "es": 1} | phases, spacing_mm=stack.spacing_mm,
        affine=stack.affine,
    )  # fmt: skip


@pytest.fixture(scope="module")
def uneven() -> tuple[np.ndarray, dict]:
    labels = frames(digital_heart(2))
    return labels, measured(labels)


def true_thickness_mm(heart: Heart, phase: float, depth_mm: float) -> float:
    """Outer less inner radius of a round heart at a depth below the base at end-diastole."""
    state = heart.at(phase)
    kind = {"belly": heart.belly, "taper": heart.taper}
    level = depth_mm - state.base_mm
    outer = state.epi_area_mm2 * profile(np.array(level / state.epi_length_mm), **kind)
    inner = state.endo_area_mm2 * profile(np.array(level / state.endo_length_mm), **kind)
    return float(np.sqrt(outer / np.pi) - np.sqrt(inner / np.pi))


@pytest.mark.parametrize("frame", [0, 1])
def test_thickness_of_a_round_heart_is_that_of_its_circles(frame: int) -> None:
    heart = round_heart()
    phase = (0.0, heart.es_phase)[frame]
    labels = STACK.labels(heart, phase)
    wall = segmented_wall(labels, spacing_mm=STACK.spacing_mm, affine=STACK.affine)
    depth = STACK.points()[2, 0, 0]
    for level, members in {"basal": (1, 6), "mid": (7, 12), "apical": (13, 16)}.items():
        slices = [z for z, one in enumerate(wall.segments.levels) if one == level]
        lengths = [np.sqrt((labels[:, :, z] == Label.MYO).sum()) for z in slices]
        # A cavity of a voxel or two has no smooth outline.
        lengths = [
            n * ((labels[:, :, z] == Label.LV).sum() > 3)
            for n, z in zip(lengths, slices, strict=True)
        ]
        truths = [true_thickness_mm(heart, phase, depth[z]) for z in slices]
        truth = np.average(truths, weights=lengths)
        values = [
            mean_thickness_mm(wall.thickness_mm[wall.segment == s])
            for s in range(members[0], members[1] + 1)
        ]
        assert np.mean(values) == pytest.approx(truth, abs=0.25), level
        assert np.ptp(values) < 0.6


def test_masses_and_cavities_add_up_to_the_whole(uneven: tuple[np.ndarray, dict]) -> None:
    labels, found = uneven
    whole = measure(labels, spacing_mm=STACK.spacing_mm, frame_labels=["ED", "ES"])
    mass = np.nansum([found[f"mass_aha{s:02d}_g"] for s in SEGMENTS]) + found["mass_unassigned_g"]
    assert mass == pytest.approx(whole["lvm_g"])
    assert found["mass_unassigned_g"] > 1
    for phase, volume in (("ed", "lvedv_ml"), ("es", "lvesv_ml")):
        parts = [found[f"cavity_{phase}_aha{s:02d}_ml"] for s in RINGS]
        total = sum(parts) + found[f"cavity_{phase}_unassigned_ml"]
        assert total == pytest.approx(whole[volume])


def test_max_is_above_mean_and_the_wall_thickens(uneven: tuple[np.ndarray, dict]) -> None:
    _, found = uneven
    for phase in ("ed", "es"):
        for s in RINGS:
            mean = found[f"wall_{phase}_aha{s:02d}_mm"]
            assert mean < found[f"wall_{phase}_max_aha{s:02d}_mm"] < mean + 2.5
        means = [found[f"wall_{phase}_aha{s:02d}_mm"] for s in RINGS]
        assert min(means) < found[f"wall_{phase}_global_mm"] < max(means)
    assert 30 < found["wall_thickening_pct"] < 120


def test_sphericity_is_that_of_the_heart_on_average_over_positions() -> None:
    heart = round_heart()
    state = heart.at(0.0)
    truth = 2 * math.sqrt(state.endo_area_mm2 / math.pi) / state.endo_length_mm
    errors = []
    for distance in (7.0, 7.5, 8.0, 8.5, 9.0):
        stack = Stack(spacing_mm=(1.5, 1.5, distance), shape=(104, 104, 15))
        labels = np.stack([stack.labels(heart)] * 2, axis=-1)
        areas = (labels[..., 0] == Label.LV).sum(axis=(0, 1)) * 2.25
        found = 2 * math.sqrt(areas.max() / math.pi) / ((areas > 0).sum() * distance)
        errors.append(found / truth - 1)
        assert abs(errors[-1]) < 0.1
    assert abs(np.mean(errors)) < 0.05


@pytest.mark.parametrize("flips", [(True, False, False), (False, True, True)])
def test_mirrored_arrays_have_the_same_segments(
    flips: tuple[bool, bool, bool], uneven: tuple[np.ndarray, dict]
) -> None:
    labels, before = uneven
    axes = [axis for axis, flip in enumerate(flips) if flip]
    matrix = np.diag([-1.0 if f else 1.0 for f in flips] + [1.0])
    matrix[:3, 3] = [(n - 1) if f else 0.0 for n, f in zip(STACK.shape, flips, strict=True)]
    found = wall_by_segment(
        np.flip(labels, axes), phases={"ed": 0, "es": 1}, spacing_mm=STACK.spacing_mm,
        affine=STACK.affine @ matrix,
    )  # fmt: skip
    for name, column in WALL_DICTIONARY.items():
        if column.kind == "number":
            assert found[name] == pytest.approx(before[name], rel=0.02, abs=0.05, nan_ok=True), name


def test_reasons() -> None:
    labels = frames(digital_heart(2))
    found = measured(labels, ed=None)
    assert found["wall_ed_reason"] == "no_frame"
    assert found["wall_es_reason"] == ""
    assert math.isnan(found["wall_thickening_pct"])
    labels[labels == Label.RV] = 0
    found = measured(labels)
    assert found["wall_ed_reason"] == "missing_structure"
    assert math.isnan(found["mass_aha01_g"])
    assert found["sphericity_ed"] > 0
    assert list(found) == list(WALL_DICTIONARY)


def test_without_an_orientation_there_are_no_segments_but_a_wall() -> None:
    labels = frames(digital_heart(2))
    known = measured(labels)
    found = wall_by_segment(
        labels, phases={"ed": 0, "es": 1}, spacing_mm=STACK.spacing_mm, affine=STACK.affine,
        orientation_known=False,
    )  # fmt: skip
    for phase in ("ed", "es"):
        assert found[f"wall_{phase}_reason"] == "orientation_unknown"
        assert found[f"wall_{phase}_global_mm"] == known[f"wall_{phase}_global_mm"]
        assert found[f"sphericity_{phase}"] == known[f"sphericity_{phase}"]
    named = [name for name in found if "_aha" in name or "unassigned" in name]
    assert len(named) > 100
    assert all(math.isnan(float(found[name])) for name in named)
