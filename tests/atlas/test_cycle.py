"""Laws of the average over the cycle, and of hearts in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.atlas import Partial, Template, map_subjects, reduce
from popscan.atlas.cycle import Cycle
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.atlas import heart_grid, prepare
from popscan.protocols.cine_sax.atlas_cycle import cycle_of, frames_of, systole_of
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import LabelMap, SubjectError

GRID = heart_grid(spacing_mm=6.0)
REGIONS = get_protocol("cine_sax").atlas.regions
N_PHASES = 6


@pytest.fixture(scope="module")
def made():
    """Four simulated hearts over a cycle: scans and true labels."""
    people = sample_population(4, seed=9).to_dict("records")
    return [
        simulate_subject(
            row, seed=9, kspace=False, matrix=(72, 72), spacing_mm=(3.0, 3.0), frames=8,
            slice_distance_mm=10.0, slice_thickness_mm=8.0,
        )
        for row in people
    ]  # fmt: skip


def phases_of(labels: LabelMap) -> dict[str, int]:
    volumes = (labels.array == Label.LV).sum(axis=(0, 1, 2))
    return {"ED": int(volumes.argmax()), "ES": int(volumes.argmin())}


@pytest.fixture(scope="module")
def subjects(made):
    prepared = []
    for number, one in enumerate(made):
        phases = phases_of(one.labels)
        still = prepare(
            one.scan.array[..., phases["ED"]], one.labels.array[..., phases["ED"]],
            affine=one.scan.affine, spacing_mm=one.scan.spacing_mm, grid=GRID,
        )  # fmt: skip
        cycle = cycle_of(one.scan, one.labels, phases=phases, n_phases=N_PHASES, grid=GRID)
        prepared.append(
            (f"sub-{number}", ["even" if number % 2 else "odd"], replace(still, cycle=cycle))
        )
    return prepared


def volume_ml(array) -> float:
    return float(np.sum(array, dtype=np.float64)) * GRID.spacing_mm**3 / 1000


def test_phases_meet_at_end_diastole_and_end_systole():
    at = np.array([0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9])
    for ed, es in ((0, 3), (5, 1)):
        frames = frames_of(at, ed=ed, es=es, n_phases=9)
        assert frames[0] == ed
        assert frames[systole_of(9)] == es
        assert len(frames) == 9
    assert systole_of(2) == 1


def test_the_first_phase_is_the_subject_at_end_diastole(subjects):
    for _, _, prepared in subjects:
        cycle = prepared.cycle
        box = tuple(
            slice(c, c + n) for c, n in zip(cycle.corner, cycle.image.shape[1:], strict=True)
        )
        np.testing.assert_allclose(cycle.labels[0] / 250, prepared.labels[(..., *box)], atol=3e-3)
        outside = prepared.labels.copy()
        outside[(..., *box)] = 0
        assert not outside.any()


def test_rigid_average_has_the_mean_volume_in_every_phase(subjects):
    partial = map_subjects(subjects, None, regions=REGIONS, with_cycle=True)
    template = reduce([partial])["all"]
    curve = template.cycle.volumes_ml(["rv", "myo", "lv"], voxel_ml=0.216)["lv"]
    expected = np.mean(
        [[volume_ml(phase[2] / 250) for phase in p.cycle.labels] for _, _, p in subjects], axis=0
    )
    np.testing.assert_allclose(curve, expected, rtol=1e-3)
    assert int(np.argmin(curve)) == systole_of(N_PHASES)
    assert int(np.argmax(curve)) == 0


def test_deformed_average_keeps_the_motion(subjects):
    """Ejection fraction of the average is the subjects', and its first phase the average at ED."""
    first = reduce([map_subjects(subjects, None, regions=REGIONS)])["all"]
    partial = map_subjects(subjects, first, regions=REGIONS, with_cycle=True)
    template = reduce([partial], first)["all"]
    curve = template.cycle.volumes_ml(["rv", "myo", "lv"], voxel_ml=0.216)["lv"]
    own = [[volume_ml(phase[2]) for phase in p.cycle.labels] for _, _, p in subjects]
    ejected = np.mean([(v[0] - min(v)) / v[0] for v in own])
    assert (curve[0] - min(curve)) / curve[0] == pytest.approx(ejected, abs=0.05)
    np.testing.assert_allclose(template.cycle.probabilities[0], template.probabilities, atol=0.02)


def test_any_split_gives_the_same_bytes_through_files(subjects):
    first = reduce([map_subjects(subjects, None, regions=REGIONS)])["all"]
    whole = map_subjects(subjects, first, regions=REGIONS, with_cycle=True)
    parts = [map_subjects([one], first, regions=REGIONS, with_cycle=True) for one in subjects]
    stored = [Partial.from_arrays(part.to_arrays()) for part in parts[::-1]]
    one, several = reduce([whole], first), reduce(stored, first)
    for group in ("all", "odd", "even"):
        for name, array in one[group].to_arrays().items():
            assert array.tobytes() == several[group].to_arrays()[name].tobytes(), (group, name)
    again = Template.from_arrays(one["all"].to_arrays())
    assert again.cycle.n_subjects == 4


def test_subjects_without_a_cycle_are_in_the_average_alone(subjects):
    some = [(u, g, replace(p, cycle=None) if u == "sub-0" else p) for u, g, p in subjects]
    template = reduce([map_subjects(some, None, regions=REGIONS, with_cycle=True)])["all"]
    assert (template.n_subjects, template.cycle.n_subjects) == (4, 3)
    assert reduce([map_subjects(subjects, None, regions=REGIONS)])["all"].cycle is None


def test_nothing_labelled_is_an_empty_box():
    empty = Cycle.of_maps(np.zeros((2, 3, 5, 5, 5)), np.zeros((2, 5, 5, 5)))
    assert empty.image.shape == (2, 0, 0, 0)


def shorter(one, frames):
    scan = replace(one.scan, array=one.scan.array[..., frames], frame_times_ms=None)
    count = scan.array.shape[3]
    return scan, LabelMap(array=one.labels.array[..., frames], frames=tuple(range(count)))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda one: shorter(one, slice(0, 1)), "too_few_frames"),
        (lambda one: shorter(one, [0, 3]), "too_few_frames"),
        (lambda one: (one.scan, without_wall(one.labels)), "missing_structure"),
        (lambda one: (replace(one.scan, frame_times_ms=None, meta={}), one.labels),
         "unknown_cycle"),
        (lambda one: (half_of(one.scan), one.labels), "cycle_not_closed"),
    ],
)  # fmt: skip
def test_what_covers_no_cycle_is_left_out_with_a_reason(made, spoil, reason):
    scan, labels = spoil(made[0])
    with pytest.raises(SubjectError) as refused:
        cycle_of(scan, labels, phases=phases_of(labels), n_phases=N_PHASES, grid=GRID)
    assert refused.value.reason == reason


def without_wall(labels: LabelMap) -> LabelMap:
    array = labels.array.copy()
    array[..., 4][array[..., 4] == Label.MYO] = Label.BACKGROUND
    return replace(labels, array=array)


def half_of(scan):
    """The same frames as the first part of a much longer beat."""
    return replace(scan, meta={**scan.meta, "rr_ms": 1.6 * float(scan.meta["rr_ms"])})
