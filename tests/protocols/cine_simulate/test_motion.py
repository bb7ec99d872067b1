"""The digital heart's motion: it carries its own wall, and its derivatives are those of its map."""

from __future__ import annotations

import numpy as np
import pytest

from heart_labels import digital_heart
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.heart import Heart
from popscan.protocols.cine_sax.simulate.motion import (
    deformation_gradients,
    displacements_mm,
    material_points,
    positions_mm,
    strain_at,
)
from popscan.protocols.cine_sax.simulate.tissue import Tissue

CASES = [(1, "healthy"), (2, "hypertrophic"), (3, "infarct"), (4, "dilated")]
PHASES = (0.15, 0.37, 0.6)


def wall_points(heart: Heart, n: int = 400, seed: int = 0) -> np.ndarray:
    """Points of the wall at end-diastole, away from its surfaces."""
    rng = np.random.default_rng(seed)
    low, high = (0.05, -np.pi, 0.05), (0.95, np.pi, 0.8)
    return positions_mm(heart, rng.uniform(low, high, (n, 3)), phase=0.0)


@pytest.mark.parametrize(("seed", "condition"), CASES)
def test_wall_stays_wall_at_every_phase(seed, condition):
    heart = digital_heart(seed, condition)
    points = wall_points(heart)
    for phase in (0.0, *PHASES):
        moved = points + displacements_mm(heart, points, phase=phase)
        tissue = heart_tissue(heart.at(phase), *moved.astype(np.float32).T)
        assert (tissue == Tissue.MYOCARDIUM).mean() > 0.995


@pytest.mark.parametrize(("seed", "condition"), CASES)
def test_points_of_both_surfaces_stay_on_them(seed, condition):
    heart = digital_heart(seed, condition)
    rng = np.random.default_rng(seed)
    for depth, inner, outer in (
        (0.0, {Tissue.LV_BLOOD, Tissue.LV_TRABECULA, Tissue.PAPILLARY}, {Tissue.MYOCARDIUM}),
        (1.0, {Tissue.MYOCARDIUM}, set(Tissue) - {Tissue.MYOCARDIUM}),
    ):
        material = rng.uniform((depth, -np.pi, 0.05), (depth, np.pi, 0.7), (300, 3))
        for phase in PHASES:
            for step, tissues in ((-0.02, inner), (0.02, outer)):
                near = material + (step, 0.0, 0.0)
                points = positions_mm(heart, near, phase=phase).astype(np.float32)
                found = heart_tissue(heart.at(phase), *points.T)
                assert np.isin(found, list(tissues)).mean() > 0.99


def test_material_points_are_found_again_at_any_phase():
    heart = digital_heart(5)
    points = wall_points(heart)
    material = material_points(heart, points)
    for phase in PHASES:
        moved = positions_mm(heart, material, phase=phase)
        again = material_points(heart, moved, phase=phase)
        off = again - material
        off[:, 1] = np.angle(np.exp(1j * off[:, 1]))  # full turns are none
        assert np.abs(off).max() < 1e-9


def test_nothing_moves_at_end_diastole_and_one_beat_later():
    heart = digital_heart(6)
    points = wall_points(heart)
    for phase in (0.0, 1.0):
        assert np.abs(displacements_mm(heart, points, phase=phase)).max() < 1e-9
        strain = strain_at(heart, points, phase=phase)
        assert np.abs(strain.circumferential).max() < 1e-9
        assert np.abs(strain.radial).max() < 1e-9


@pytest.mark.parametrize(("seed", "condition"), CASES)
def test_deformation_gradient_is_that_of_finite_differences(seed, condition):
    heart, step = digital_heart(seed, condition), 1e-4
    points = wall_points(heart, 60)
    for phase in PHASES:
        analytic = deformation_gradients(heart, points, phase=phase)
        for axis in range(3):
            shift = step * np.eye(3)[axis]
            ends = [
                points + sign * shift + displacements_mm(heart, points + sign * shift, phase=phase)
                for sign in (1, -1)
            ]
            numeric = (ends[0] - ends[1]) / (2 * step)
            # The outline has a kink in its second derivative at the widest level.
            assert np.quantile(np.abs(numeric - analytic[:, :, axis]), 0.98) < 1e-5


def test_strain_is_the_change_of_short_lines():
    heart, step, phase = digital_heart(7), 1e-3, 0.37
    points = wall_points(heart, 60)
    found = strain_at(heart, points, phase=phase)
    material = material_points(heart, points)
    beside = positions_mm(heart, material + (0, step, 0), phase=0.0) - points
    along = beside[:, :2] / np.linalg.norm(beside[:, :2], axis=1, keepdims=True)
    for direction, strain in (
        (along, found.circumferential),
        (np.stack([along[:, 1], -along[:, 0]], axis=1), found.radial),
    ):
        line = np.column_stack([direction, np.zeros(len(points))]) * step
        moved = points + line + displacements_mm(heart, points + line, phase=phase)
        moved -= points + displacements_mm(heart, points, phase=phase)
        assert np.allclose(np.linalg.norm(moved[:, :2], axis=1) / step - 1, strain, atol=2e-3)


def test_a_healthy_heart_shortens_around_and_along_and_thickens():
    heart = digital_heart(8)
    found = strain_at(heart, wall_points(heart), phase=heart.es_phase)
    assert -0.35 < found.circumferential.mean() < -0.08
    assert 0.1 < found.radial.mean() < 1.2
    assert -0.35 < found.longitudinal.mean() < -0.03
    # Muscle keeps its volume as a whole; single points need not.
    assert np.mean(found.volume) == pytest.approx(1.0, abs=0.06)


def test_an_infarct_thickens_less_where_it_lies():
    heart = digital_heart(3, "infarct")
    angle, strength = heart.akinesia
    assert strength > 0
    around = np.linspace(0.2, 0.6, 9)
    for depth in (0.3, 0.7):
        radial = [
            strain_at(
                heart,
                positions_mm(heart, [(depth, angle + turn, s) for s in around], phase=0.0),
                phase=heart.es_phase,
            ).radial.mean()
            for turn in (0.0, np.pi)
        ]
        assert radial[0] < radial[1]
