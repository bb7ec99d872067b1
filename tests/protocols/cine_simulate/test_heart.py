"""The heart's closed-form volumes against counted points, and the laws of its motion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.heart import Heart, profile, profile_integral
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.subject import NUMBERS, heart_for
from popscan.protocols.cine_sax.simulate.tissue import LABEL_OF, Tissue


def some_heart(seed: int = 0, condition: str = "healthy") -> Heart:
    conditions = {} if condition == "healthy" else {condition: 1.0}
    row = sample_population(1, seed=seed, conditions=conditions).iloc[0]
    values = {name: float(row[name]) for name in NUMBERS}
    return heart_for(values, condition=condition, rng=np.random.default_rng(seed))


def counted_ml(heart: Heart, phase: float, step_mm: float = 1.25) -> dict[Label, float]:
    u = np.arange(-115, 75, step_mm, dtype=np.float32) + np.float32(0.31)
    v = np.arange(-85, 85, step_mm, dtype=np.float32) + np.float32(0.17)
    w = np.arange(-35, 150, step_mm, dtype=np.float32) + np.float32(0.43)
    points = np.meshgrid(u, v, w, indexing="ij")
    labels = LABEL_OF[heart_tissue(heart.at(phase), *points)]
    return {label: float((labels == label).sum()) * step_mm**3 / 1000 for label in Label}


@pytest.mark.parametrize(
    ("seed", "condition"), [(1, "healthy"), (2, "hypertrophic"), (3, "infarct")]
)
def test_counted_volumes_are_the_analytic_ones_at_every_phase(seed, condition):
    heart = some_heart(seed, condition)
    for phase in (0.0, heart.es_phase, 0.7):
        state = heart.at(phase)
        counted = counted_ml(heart, phase)
        assert counted[Label.LV] == pytest.approx(state.lv_ml, rel=0.005)
        assert counted[Label.RV] == pytest.approx(state.rv_ml, rel=0.005)
        assert counted[Label.MYO] == pytest.approx(heart.lvm_g / 1.05, rel=0.005)


def test_volumes_at_end_diastole_and_end_systole_are_the_parameters():
    heart = some_heart()
    assert heart.at(0.0).lv_ml == pytest.approx(heart.lvedv_ml)
    assert heart.at(1.0).lv_ml == pytest.approx(heart.lvedv_ml)
    assert heart.at(heart.es_phase).lv_ml == pytest.approx(heart.lvesv_ml)
    assert heart.at(heart.es_phase).rv_ml == pytest.approx(heart.rvesv_ml)


def test_filling_falls_to_end_systole_and_rises_after_it():
    heart = some_heart()
    before = [heart.filled(p) for p in np.linspace(0, heart.es_phase, 50)]
    after = [heart.filled(p) for p in np.linspace(heart.es_phase, 0.9999, 80)]
    assert np.all(np.diff(before) <= 1e-12)
    assert np.all(np.diff(after) >= -1e-12)
    assert min(before + after) == pytest.approx(0.0, abs=1e-12)
    assert max(before + after) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("belly", [0.15, 0.2, 0.28])
@pytest.mark.parametrize("taper", [1.5, 2.0])
def test_profile_integral_is_the_integral_of_the_profile(belly, taper):
    def area(s: float) -> float:
        return float(profile(np.array(s), belly=belly, taper=taper))

    found, _ = quad(area, 0, 1, points=[belly])
    assert profile_integral(belly=belly, taper=taper) == pytest.approx(found, abs=1e-6)


def test_half_an_ellipsoid_of_revolution_has_its_textbook_volume():
    # belly 0 and taper 2 make half a prolate ellipsoid: 2/3 of the enclosing cylinder.
    assert profile_integral(belly=0.0, taper=2.0) == pytest.approx(2 / 3)


def test_systole_shortens_thickens_and_keeps_the_apex():
    heart = some_heart()
    diastole, systole = heart.at(0.0), heart.at(heart.es_phase)
    assert systole.base_mm > 5
    assert systole.wall_mm > 1.2 * diastole.wall_mm
    ends = [s.base_mm + s.epi_length_mm for s in (diastole, systole)]
    assert ends[0] == pytest.approx(ends[1])


@pytest.mark.parametrize("condition", ["healthy", "dilated", "hypertrophic", "infarct"])
def test_the_wall_has_no_hole(condition):
    """Nobody walks from the cavity to the outside without crossing myocardium."""
    for seed in range(6):
        heart = some_heart(seed, condition)
        for phase in (0.0, heart.es_phase):
            state = heart.at(phase)
            theta = np.linspace(0, 2 * np.pi, 90, endpoint=False, dtype=np.float32)[:, None]
            rho = np.arange(0, 60, 0.5, dtype=np.float32)
            # The level of the belly, where the slope and the bend move things least.
            level = np.float32(state.base_mm + 0.35 * state.epi_length_mm)
            u, v = rho * np.cos(theta), rho * np.sin(theta)
            labels = LABEL_OF[heart_tissue(state, u, v, np.full_like(u, level))]
            inside = np.cumsum(labels == Label.MYO, axis=1)
            for ray, passed in zip(labels, inside, strict=True):
                last = np.flatnonzero(ray == Label.LV).max(initial=-1)
                beyond = np.flatnonzero((ray != Label.LV) & (ray != Label.MYO))
                assert (passed[beyond] > 0).all()
                assert last < beyond.min()


def test_papillaries_and_trabeculae_count_as_cavity():
    assert LABEL_OF[Tissue.PAPILLARY] == Label.LV
    assert LABEL_OF[Tissue.LV_TRABECULA] == Label.LV
    assert LABEL_OF[Tissue.RV_TRABECULA] == Label.RV
    assert LABEL_OF[Tissue.RV_WALL] == Label.BACKGROUND
    assert LABEL_OF[Tissue.ATRIUM] == Label.BACKGROUND
