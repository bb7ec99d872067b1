"""Laws of every protocol's common space: the same for hearts and for brains."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from popscan.atlas import ALL, map_subjects, reduce
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.protocols.brain_t1 import digital, population
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.rca.atlas import predict_dice
from popscan.rca.references import Pose, make_reference
from popscan.records import PopscanError
from popscan.report.figures.atlas import atlas_figure

STEPS = (4, 2)
SPACING_MM = {"cine_sax": 6.0, "brain_t1": 6.0}


@cache
def scans(name):
    """Three subjects at the phase that is averaged: image, labels, affine, spacing."""
    if name == "brain_t1":
        people = population.sample_population(3, seed=2).to_dict("records")
        made = [digital.simulate_subject(one, seed=2, spacing_mm=4.0) for one in people]
    else:
        people = sample_population(3, seed=5, allocation="quota").to_dict("records")
        made = [
            simulate_subject(one, seed=5, kspace=False, matrix=(80, 80), spacing_mm=(3.2, 3.2),
                             frames=2, fine=(2, 2))
            for one in people
        ]  # fmt: skip
    return [(one.scan, one.labels) for one in made]


@pytest.fixture(scope="module", params=["cine_sax", "brain_t1"])
def cohort(request):
    """Protocol, its frame, and three prepared subjects: two women, one man."""
    protocol = get_protocol(request.param)
    frame = protocol.atlas
    grid = load(frame.grid)(spacing_mm=SPACING_MM[request.param])
    subjects = []
    for i, (scan, labels) in enumerate(scans(request.param)):
        prepared = load(frame.prepare)(
            scan.array[..., 0],
            labels.array[..., 0],
            affine=scan.affine,
            spacing_mm=scan.spacing_mm,
            grid=grid,
        )
        subjects.append((f"sub-{i}", ["sex=male" if i == 2 else "sex=female"], prepared))
    return protocol, frame, subjects


def arrays(templates):
    return {
        (group, key): array
        for group, one in templates.items()
        for key, array in one.to_arrays().items()
    }


def test_memberships_are_of_the_regions_and_never_add_up_to_more_than_one(cohort):
    _, frame, subjects = cohort
    for _, _, prepared in subjects:
        assert prepared.labels.shape == (len(frame.regions), *prepared.grid.shape)
        assert prepared.labels.min() >= 0
        assert prepared.labels.sum(axis=0).max() <= 1 + 1e-5
        assert (prepared.labels.max(axis=(1, 2, 3)) > 0.3).all()
        assert prepared.coverage > 0.9


def test_the_atlas_of_one_subject_is_the_subject(cohort):
    _, frame, subjects = cohort
    one = subjects[0][2]
    first = reduce([map_subjects(subjects[:1], None, regions=frame.regions)])
    again = reduce([map_subjects(subjects[:1], first[ALL], regions=frame.regions)], first[ALL])
    for template in (first[ALL], again[ALL], again["sex=female"]):
        np.testing.assert_allclose(template.probabilities, one.labels, atol=2e-6)
        np.testing.assert_allclose(template.image[one.inside], one.image[one.inside], atol=2e-6)


def test_order_and_shards_do_not_change_a_byte(cohort):
    _, frame, subjects = cohort
    options = {"regions": frame.regions, "n_demons_iterations": STEPS}
    first = reduce([map_subjects(subjects, None, **options)])
    whole = arrays(reduce([map_subjects(subjects[::-1], first[ALL], **options)], first[ALL]))
    shards = [map_subjects(part, first[ALL], **options) for part in (subjects[2:], subjects[:2])]
    split = arrays(reduce(iter(shards), first[ALL]))
    assert {group for group, _ in whole} == {"all", "sex=female", "sex=male"}
    assert whole.keys() == split.keys()
    for key, array in whole.items():
        assert array.tobytes() == split[key].tobytes(), key


def test_registration_brings_subjects_together(cohort):
    _, frame, subjects = cohort
    first = reduce([map_subjects(subjects, None, regions=frame.regions)])
    names = [region.name for region in frame.regions]
    dice = {
        steps: np.mean(
            [
                [row[f"dice_{name}"] for name in names]
                for row in map_subjects(
                    subjects, first[ALL], regions=frame.regions, n_demons_iterations=steps
                ).rows(names)
            ]
        )
        for steps in ((0,), (12, 4))
    }
    assert dice[12, 4] > dice[0,]


def test_the_report_shows_the_protocols_cuts(cohort):
    _, frame, subjects = cohort
    template = reduce([map_subjects(subjects, None, regions=frame.regions)])[ALL]
    pictures = {
        "mean": template.image,
        **{f"p_{r.name}": p for r, p in zip(frame.regions, template.probabilities, strict=True)},
        "n": 3,
        "spacing_mm": template.grid.spacing,
    }
    one = atlas_figure({ALL: pictures}, frame, alt="all", count=str)
    assert one.count("<img") == 1
    assert one == atlas_figure({ALL: pictures}, frame, alt="all", count=str)
    turned = replace(frame, cuts=tuple(replace(cut, upward=not cut.upward) for cut in frame.cuts))
    assert one != atlas_figure({ALL: pictures}, turned, alt="all", count=str)


def test_a_reference_judges_itself_to_be_perfect_and_a_spoilt_one_worse(cohort):
    protocol, _, _ = cohort
    pose = Pose.of(protocol)
    coarse = {"inplane_mm": 5.0, "along_mm": 6.0}
    grid = load(protocol.crops.grid)(**coarse)
    references = [
        make_reference(
            f"ref-{i}", "", scan.array[..., 0], labels.array[..., 0],
            spacing_mm=scan.spacing_mm, grid=grid, pose=pose,
        )
        for i, (scan, labels) in enumerate(scans(protocol.name)[:2])
    ]  # fmt: skip
    scan, labels = scans(protocol.name)[0]
    options = {"spacing_mm": scan.spacing_mm, "grid": grid, "pose": pose, "n_iterations": (4, 2)}
    right = predict_dice(scan.array[..., 0], labels.array[..., 0], references, **options)
    assert right.best == "ref-0"
    assert list(right.dice) == list(protocol.labels.codes)
    assert np.mean(list(right.dice.values())) > 0.97
    shifted = np.roll(labels.array[..., 0], 4, axis=1)
    wrong = predict_dice(scan.array[..., 0], shifted, references, **options)
    assert np.mean(list(wrong.dice.values())) < np.mean(list(right.dice.values())) - 0.1
    # A structure that is not there at all leaves the rest to be judged, in some pose.
    first = protocol.labels.codes[next(iter(protocol.labels.codes))]
    lacking = np.where(labels.array[..., 0] == first, 0, labels.array[..., 0]).astype(np.uint8)
    found = predict_dice(scan.array[..., 0], lacking, references[:1], **options)
    assert found.dice[next(iter(protocol.labels.codes))] == 0


def test_a_pose_without_labels_is_some_centre_and_the_axes_of_another(cohort):
    protocol, _, _ = cohort
    scan, labels = scans(protocol.name)[0]
    pose = Pose.of(protocol)
    like = pose.frame(labels.array[..., 0], spacing_mm=scan.spacing_mm)
    nothing = np.zeros((9, 7, 5), np.uint8)
    found = pose.fallback(nothing, spacing_mm=(1.0, 2.0, 3.0), like=like)
    np.testing.assert_allclose(found.centre_mm, [4, 6, 6])
    np.testing.assert_array_equal(found.axes, like.axes)
    with pytest.raises(PopscanError, match="no frame for rca"):
        Pose.of(replace(protocol, crops=None))


def test_regions_and_cuts_that_do_not_exist_are_refused(cohort):
    protocol, frame, _ = cohort
    odd = replace(frame.regions[0], structures=("nowhere",))
    with pytest.raises(PopscanError, match="no structure nowhere"):
        replace(protocol, atlas=replace(frame, regions=(odd, *frame.regions[1:])))
    cut = replace(frame.cuts[0], region="nowhere")
    with pytest.raises(PopscanError, match="no region 'nowhere'"):
        replace(protocol, atlas=replace(frame, cuts=(cut,)))
