"""Laws of the population average."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from popscan.atlas import (
    ALL,
    Partial,
    Prepared,
    Template,
    group_counts,
    measures,
    reduce,
)
from popscan.atlas import map_subjects as map_any
from popscan.protocols.cine_sax import PROTOCOL
from popscan.protocols.cine_sax.atlas import _resampled_labels, heart_grid, prepare
from popscan.protocols.cine_sax.labels import Label
from popscan.records import PopscanError, SubjectError
from popscan.stages.atlas.members import read_members

SPACING = (2.5, 2.5, 8.0)
SHAPE = (72, 64, 14)
STEPS = (12, 4)
GRID = heart_grid(spacing_mm=6.0)
REGIONS = PROTOCOL.atlas.regions
NAMES = [region.name for region in REGIONS]


def map_subjects(subjects, template, **options):
    return map_any(subjects, template, regions=REGIONS, **options)


def make_heart(*, scale=1.0, turn_deg=0.0, shift=(0.0, 0.0), wall=9.0):
    """Image and labels of an ellipsoidal heart in a short-axis stack, base first."""
    points = np.indices(SHAPE) * np.reshape(SPACING, (3, 1, 1, 1))
    centre = np.array([95.0 + shift[0], 80.0 + shift[1], 40.0])
    x, y, z = (p - c for p, c in zip(points, centre, strict=True))
    a = np.deg2rad(turn_deg)
    x, y = (np.cos(a) * x + np.sin(a) * y) / scale, (np.cos(a) * y - np.sin(a) * x) / scale
    z = z / scale

    def inside(offset, radii):
        return sum(((p - o) / r) ** 2 for p, o, r in zip((x, y, z), offset, radii, strict=True)) < 1

    below = z > -30
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[inside((-34, -4, -12), (24, 30, 44)) & below] = Label.RV
    labels[inside((0, 0, -10), (23 + wall, 23 + wall, 52 + wall)) & below] = Label.MYO
    labels[inside((0, 0, -10), (23, 23, 52)) & below] = Label.LV
    grey = np.array([40, 200, 90, 220], dtype=np.float32)
    return grey[labels], labels


def make_prepared(**options):
    image, labels = make_heart(**options)
    return prepare(image, labels, affine=np.diag([*SPACING, 1.0]), spacing_mm=SPACING, grid=GRID)


@pytest.fixture(scope="module")
def cohort():
    """Six hearts of different size, place and wall: three women, three men."""
    sizes = (0.92, 1.0, 1.1, 0.95, 1.04, 1.15)
    return [
        (
            f"sub-{i}",
            ["female" if i < 3 else "male"],
            make_prepared(
                scale=size, turn_deg=12 * i - 30, shift=(3 * i - 8, 5 - 2 * i), wall=8 + i % 3
            ),
        )
        for i, size in enumerate(sizes)
    ]


@pytest.fixture(scope="module")
def rounds(cohort):
    """Templates of the rigid and of one demons round, and the partial of the latter."""
    first = reduce([map_subjects(cohort, None)])
    partial = map_subjects(cohort, first[ALL], n_demons_iterations=STEPS)
    return first, partial, reduce([partial], first[ALL])


def volume_ml(array, grid=GRID):
    return float(array.sum(dtype=np.float64)) * grid.spacing_mm**3 / 1000


def test_preparing_keeps_volumes_and_centres_the_lv():
    _, labels = make_heart(scale=1.05, turn_deg=40, shift=(10, -5))
    prepared = make_prepared(scale=1.05, turn_deg=40, shift=(10, -5))
    for row, label in enumerate((Label.RV, Label.MYO, Label.LV)):
        acquired = np.count_nonzero(labels == label) * np.prod(SPACING) / 1000
        assert volume_ml(prepared.labels[row]) == pytest.approx(acquired, rel=0.08)
    cavity = prepared.labels[2]
    points = np.indices(GRID.shape).reshape(3, -1) * GRID.spacing_mm
    centre = points @ cavity.ravel() / cavity.sum()
    np.testing.assert_allclose(centre, GRID.centre_mm, atol=2.0)
    assert prepared.labels.min() >= 0
    assert prepared.labels.sum(axis=0).max() <= 1 + 1e-6
    assert prepared.coverage == 1.0


def test_preparing_takes_turns_and_shifts_out():
    plain, moved = make_prepared(), make_prepared(turn_deg=50, shift=(12, 9))
    difference = np.abs(plain.labels - moved.labels).sum() / plain.labels.sum()
    assert difference < 0.12


def test_base_first_or_last_gives_the_same_heart():
    image, labels = make_heart()
    upright = make_prepared()
    flipped = prepare(
        image[:, :, ::-1],
        labels[:, :, ::-1],
        affine=np.diag([*SPACING, 1.0]),
        spacing_mm=SPACING,
        grid=GRID,
    )
    np.testing.assert_allclose(flipped.labels, upright.labels, atol=1e-3)
    np.testing.assert_allclose(flipped.image, upright.image, atol=1e-3)


def test_the_world_is_found_again():
    """The grid voxel at the LV centre lies at the LV centre of the scan."""
    image, labels = make_heart(turn_deg=20)
    affine = np.array([[-2.5, 0, 0, 90], [0, -2.5, 0, 50], [0, 0, -8, 30], [0, 0, 0, 1.0]])
    prepared = prepare(image, labels, affine=affine, spacing_mm=SPACING, grid=GRID)
    expected = affine @ [*np.argwhere(labels == Label.LV).mean(axis=0), 1]
    voxel = np.append(np.array(GRID.centre_mm) / GRID.spacing_mm, 1)
    np.testing.assert_allclose(prepared.to_world @ voxel, expected, atol=1e-9)


def test_intensities_are_normalised_and_unseen_voxels_marked():
    image, labels = make_heart()
    options = {"affine": np.eye(4), "spacing_mm": SPACING, "grid": GRID}
    plain = prepare(image, labels, **options)
    scaled = prepare(5 * image + 300, labels, **options)
    np.testing.assert_allclose(scaled.image, plain.image, atol=1e-4)
    assert not plain.inside.all()
    assert not plain.image[~plain.inside].any()


def faulty(fault):
    image, labels = make_heart()
    if fault == "missing_structure":
        labels[labels == Label.RV] = 0
    elif fault == "non_finite_image":
        image[3, 3, 3] = np.nan
    elif fault == "constant_image":
        image[:] = 7
    elif fault == "shape_mismatch":
        image = image[:-1]
    else:
        labels[:4], labels[-4:] = Label.RV, Label.MYO
    return image, labels


@pytest.mark.parametrize(
    "fault",
    [
        "missing_structure",
        "non_finite_image",
        "constant_image",
        "shape_mismatch",
        "outside_atlas_grid",
    ],
)
def test_unusable_subjects_fail_with_a_reason(fault):
    image, labels = faulty(fault)
    with pytest.raises(SubjectError) as caught:
        prepare(image, labels, affine=np.eye(4), spacing_mm=SPACING, grid=GRID)
    assert caught.value.reason == fault


def test_the_atlas_of_identical_subjects_is_the_subject():
    one = make_prepared()
    subjects = [(f"sub-{i}", ["female"], one) for i in range(3)]
    first = reduce([map_subjects(subjects, None)])
    second = reduce([map_subjects(subjects, first[ALL])], first[ALL])
    for template in (first[ALL], first["female"], second[ALL]):
        np.testing.assert_allclose(template.probabilities, one.labels, atol=2e-6)
        np.testing.assert_allclose(template.image[one.inside], one.image[one.inside], atol=2e-6)
        assert np.isnan(template.image[~one.inside]).all()
        np.testing.assert_allclose(template.image_sd[one.inside], 0, atol=2e-3)
        assert not template.mean_displacement_mm.any()


def test_any_split_into_shards_gives_the_same_bytes(cohort, rounds):
    first, _, second = rounds
    one_by_one = [map_subjects([one], first[ALL], n_demons_iterations=STEPS) for one in cohort]
    pairs = [one_by_one[i] + one_by_one[j] for i, j in ((3, 0), (5, 1), (4, 2))]
    for partials in (one_by_one, list(reversed(one_by_one)), pairs):
        built = reduce(iter(partials), first[ALL])
        assert sorted(built) == ["all", "female", "male"]
        for group, template in second.items():
            for key, array in template.to_arrays().items():
                assert array.tobytes() == built[group].to_arrays()[key].tobytes(), (group, key)


def test_the_order_within_a_shard_does_not_matter(cohort):
    forward, backward = (map_subjects(order, None) for order in (cohort, cohort[::-1]))
    for key, array in forward.to_arrays().items():
        assert array.tobytes() == backward.to_arrays()[key].tobytes(), key


def test_registration_brings_the_hearts_together(cohort, rounds):
    first, registered, second = rounds
    rigid = map_subjects(cohort, first[ALL], n_demons_iterations=(0,))
    for before, after in zip(rigid.rows(NAMES), registered.rows(NAMES), strict=True):
        assert before["mean_displacement_mm"] == 0
        for structure in ("dice_rv", "dice_lv"):
            assert after[structure] > before[structure] - 0.01
    gain = np.mean(registered.values, axis=0) - np.mean(rigid.values, axis=0)
    assert gain[:3].sum() > 0.1
    # Less of the average is neither one structure nor the other.
    doubt = [
        np.minimum(t.probabilities, 1 - t.probabilities).sum() for t in (first[ALL], second[ALL])
    ]
    assert doubt[1] < 0.95 * doubt[0]


def test_the_template_has_the_mean_shape_of_its_group(cohort, rounds):
    """Guimond's correction: volumes of the average are averages of the volumes."""
    _, _, second = rounds
    for group, template in second.items():
        members = [p for _, names, p in cohort if group in (*names, ALL)]
        for row, structure in enumerate(("rv", "myo", "lv")):
            expected = np.mean([volume_ml(p.labels[row]) for p in members])
            assert template.volumes_ml(NAMES)[structure] == pytest.approx(expected, rel=0.06)


def test_distances_are_told_per_subject(cohort, rounds):
    _, partial, _ = rounds
    rows = partial.rows(NAMES)
    assert [row["unit"] for row in rows] == [unit for unit, _, _ in cohort]
    for row in rows:
        assert row["min_jacobian"] > 0
        assert row["dice_lv"] > 0.85
        assert 0 < row["mean_displacement_mm"] < 15
        assert row["rms_intensity"] < 0.5
    unregistered = map_subjects(cohort, None).rows(NAMES)
    assert all(np.isnan(row["dice_lv"]) for row in unregistered)


def test_small_groups_are_not_built_but_counted(cohort):
    partials = [map_subjects(cohort[:4], None)]
    assert group_counts(partials) == {"all": 4, "female": 3, "male": 1}
    assert sorted(reduce(partials, min_subjects=2)) == ["all", "female"]
    assert reduce(partials, min_subjects=9) == {}


def test_partials_and_templates_survive_a_file(rounds, cohort):
    def through_file(arrays):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        buffer.seek(0)
        return np.load(buffer, allow_pickle=False)

    first, partial, second = rounds
    again = Partial.from_arrays(through_file(partial.to_arrays()))
    rebuilt = reduce([again], first[ALL])["male"].to_arrays()
    template = Template.from_arrays(through_file(second["male"].to_arrays())).to_arrays()
    prepared = Prepared.from_arrays(through_file(cohort[0][2].to_arrays())).to_arrays()
    for key, array in second["male"].to_arrays().items():
        np.testing.assert_array_equal(rebuilt[key], array)
        np.testing.assert_array_equal(template[key], array)
    for key, array in cohort[0][2].to_arrays().items():
        np.testing.assert_array_equal(prepared[key], array)


def test_an_empty_shard_adds_nothing(cohort, rounds):
    first, partial, second = rounds
    empty = map_subjects([], first[ALL])
    assert empty.rows(NAMES) == []
    again = Partial.from_arrays(empty.to_arrays())
    built = reduce([again, partial, empty], first[ALL])
    np.testing.assert_array_equal(built[ALL].probabilities, second[ALL].probabilities)
    assert map_subjects([], None, grid=GRID).groups == {}
    with pytest.raises(PopscanError, match="needs the atlas grid"):
        map_subjects([], None)


def test_what_does_not_add_up_is_refused(cohort):
    partial = map_subjects(cohort[:1], None)
    with pytest.raises(PopscanError, match="counted twice in the atlas: sub-0"):
        reduce([partial, partial])
    with pytest.raises(PopscanError, match="twice in one shard"):
        map_subjects([cohort[0], cohort[0]], None)
    with pytest.raises(PopscanError, match="found none"):
        reduce([])
    other = replace(partial, grid=replace(GRID, spacing_mm=5.0), units=("x",))
    with pytest.raises(PopscanError, match="different grids"):
        reduce([partial, other])
    with pytest.raises(PopscanError, match="1 to 10 mm"):
        heart_grid(spacing_mm=0.1)


@pytest.mark.parametrize("absent", [(Label.RV,), (Label.LV,), (Label.RV, Label.LV, Label.MYO)])
def test_structure_without_a_voxel_has_no_membership_anywhere(absent):
    """Where there is no surface to measure from, nothing may be near one."""
    _, labels = make_heart()
    labels[np.isin(labels, absent)] = Label.BACKGROUND
    if not labels.any():
        labels[36, 32, 7] = 9  # no structure: only gives the map an extent
    matrix = np.eye(4)  # the grid begins at a corner of the box around the heart
    matrix[:3, 3] = [
        s * (i.min() - np.ceil(15 / s)) for i, s in zip(labels.nonzero(), SPACING, strict=True)
    ]
    memberships = _resampled_labels(labels, matrix, SPACING, GRID)
    rows = {Label.RV: 0, Label.MYO: 1, Label.LV: 2}
    for label in absent:
        assert memberships[rows[label]].max() == 0
    assert np.isfinite(memberships).all()


def test_the_average_is_unbiased(cohort, rounds):
    """Registered to their own average, subjects disagree with it in all directions, not in one."""
    _, _, second = rounds
    organ = second[ALL].probabilities.sum(axis=0) > 0.5
    again = map_subjects(cohort, second[ALL], n_demons_iterations=STEPS)
    mean = again.groups[ALL].displacement_mm[organ] / again.groups[ALL].n_subjects
    column = list(measures(NAMES)).index("mean_displacement_mm")
    single_mm = again.values[:, column].mean()
    assert np.linalg.norm(mean, axis=-1).mean() < 0.3 * single_mm
    assert np.abs(mean.mean(axis=0)).max() < 0.1 * single_mm


def test_a_start_from_one_subject_ends_at_the_average(cohort, rounds):
    """The template that was registered to is forgotten: starting from the largest heart, too."""
    largest = reduce([map_subjects(cohort[-1:], None)])[ALL]
    template = largest
    for _ in range(3):
        sums = map_subjects(cohort, template, n_demons_iterations=STEPS)
        template = reduce([sums], template)[ALL]
    usual = rounds[2][ALL].volumes_ml(NAMES)
    for name, volume in template.volumes_ml(NAMES).items():
        biased = largest.volumes_ml(NAMES)[name] / usual[name] - 1
        assert abs(volume / usual[name] - 1) < max(0.03, 0.25 * abs(biased))


def test_another_method_builds_the_same_atlas(cohort, rounds):
    first, partial, _ = rounds
    by_velocity = map_subjects(cohort[:2], first[ALL], method="svf")
    rows = dict(zip(by_velocity.units, by_velocity.rows(NAMES), strict=True))
    for row in partial.rows(NAMES)[:2]:
        other = rows[row["unit"]]
        assert other["dice_myo"] > row["dice_myo"] - 0.05
        assert other["min_jacobian"] > 0


def test_further_visits_are_measured_and_not_averaged(cohort, rounds, tmp_path):
    """A subject with five visits would weigh five times, and one subject alone make a group."""
    first = rounds[0]
    visit = ("sub-0_ses-2", None, cohort[5][2])
    once = map_subjects(cohort[:3], first[ALL], n_demons_iterations=STEPS)
    twice = map_subjects([*cohort[:3], visit], first[ALL], n_demons_iterations=STEPS)
    assert {g: s.n_subjects for g, s in twice.groups.items()} == {"all": 3, "female": 3}
    np.testing.assert_array_equal(twice.groups[ALL].labels, once.groups[ALL].labels)
    assert np.isfinite(twice.values[list(twice.units).index("sub-0_ses-2")]).all()
    table = {"unit": ["a_ses-1", "a_ses-2"], "sex": ["female", "female"]}
    pd.DataFrame({**table, "|counted": [True, False]}).to_parquet(tmp_path / "members.parquet")
    assert read_members(tmp_path / "members.parquet", {"atlas": {"groups": ["sex"]}}) == {
        "a_ses-1": ["sex=female"],
        "a_ses-2": None,
    }
