"""The digital heart in long-axis planes: one heart with the short axis, atria of known volume."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.protocols.cine_lax.labels import LA, LV, MYO, RA, RV
from popscan.protocols.cine_lax.planes import planes_of
from popscan.protocols.cine_lax.simulate.scan import heart_of, simulate_subject, truth
from popscan.protocols.cine_lax.simulate.tissue import LABEL_OF, tissue_at
from popscan.protocols.cine_sax.orientation import name_plane
from popscan.protocols.cine_sax.simulate.anatomy import heart_tissue
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.records import PopscanError

ROWS = [row.to_dict() for _, row in sample_population(4, seed=3).iterrows()]
_LPS = np.diag([-1.0, -1.0, 1.0])


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.37, 0.6])
def test_volumes_of_the_sampled_heart_are_those_of_the_formula(phase):
    anatomy, atria = heart_of(ROWS[0], seed=3)
    state = anatomy.heart.at(phase)
    step = 1.5
    axis = np.arange(-120, 120, step, dtype=np.float32)
    down = np.arange(-70, 130, step, dtype=np.float32)
    labels = LABEL_OF[tissue_at(state, atria, *np.meshgrid(axis, axis, down, indexing="ij"))]
    volume = np.bincount(labels.ravel(), minlength=6) * step**3 / 1000
    assert volume[LV] == pytest.approx(state.lv_ml, rel=0.01)
    assert volume[RV] == pytest.approx(state.rv_ml, rel=0.01)
    assert volume[MYO] == pytest.approx(anatomy.heart.myocardium_ml, rel=0.015)
    assert volume[LA] == pytest.approx(atria.left.volume_ml(state), rel=0.015)
    assert volume[RA] == pytest.approx(atria.right.volume_ml(state), rel=0.015)


def test_below_the_base_it_is_the_heart_of_the_short_axis():
    anatomy, atria = heart_of(ROWS[1], seed=3)
    state = anatomy.heart.at(0.3)
    rng = np.random.default_rng(0)
    points = rng.uniform(-70, 110, (3, 40_000)).astype(np.float32)
    own, short = tissue_at(state, atria, *points), heart_tissue(state, *points)
    w = points[2] - anatomy.heart.slope[0] * points[0] - anatomy.heart.slope[1] * points[1]
    below = w > state.base_mm + 0.01
    np.testing.assert_array_equal(own[below], short[below])
    assert set(np.unique(LABEL_OF[own[~below]])) <= {0, LA, RA}


def test_planes_are_those_that_patients_have():
    for row in ROWS:
        anatomy, _ = heart_of(row, seed=3)
        made = simulate_subject(row, seed=3, matrix=(16, 16), spacing_mm=(17.0, 17.0), frames=1)
        for plane in planes_of(made.scan.meta, made.scan.array.shape):
            named = name_plane(
                _LPS @ plane.normal, _LPS @ plane.affine[:3, 3], axis=_LPS @ anatomy.axes[:, 2]
            )
            assert named.view == plane.view


def test_what_a_view_shows_and_that_a_seed_gives_the_same_bytes():
    options = {"seed": 3, "matrix": (64, 64), "spacing_mm": (4.0, 4.0), "frames": 2}
    made, again = (simulate_subject(ROWS[2], **options) for _ in range(2))
    assert made.scan.array.tobytes() == again.scan.array.tobytes()
    assert made.labels.array.tobytes() == again.labels.array.tobytes()
    two, four = (set(np.unique(made.labels.array[:, :, k])) for k in (0, 1))
    assert {LV, MYO, LA} <= two
    assert RA not in two
    assert {LV, MYO, RV, LA, RA} <= four
    alone = simulate_subject(ROWS[2], views=("4ch",), **options)
    np.testing.assert_array_equal(alone.labels.array[:, :, 0], made.labels.array[:, :, 1])
    with pytest.raises(PopscanError, match="kspace"):
        simulate_subject(ROWS[2], kspace=True, **options)


def test_the_truth_is_that_of_the_short_axis_and_the_atria():
    anatomy, atria = heart_of(ROWS[3], seed=3)
    exact = truth(anatomy, atria)
    assert exact["lvedv_ml"] == ROWS[3]["truth_lvedv_ml"]
    systole = anatomy.heart.at(anatomy.heart.es_phase)
    assert exact["lav_max_ml"] == pytest.approx(atria.left.volume_ml(systole))
    assert exact["mapse_mm"] == pytest.approx(systole.base_mm)
    assert exact["laef_pct"] == pytest.approx(100 * (1 - atria.left.min_ml / atria.left.max_ml))
