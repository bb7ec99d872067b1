"""Brain T1 as a protocol: labels, sides, ingest, numbers, checks, frame, digital brains."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from popscan.arrays.cuts import axis_codes
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.protocols.brain_t1 import labels as brain
from popscan.protocols.brain_t1.biomarkers import DICTIONARY, SUMS, measure
from popscan.protocols.brain_t1.digital import simulate_subject
from popscan.protocols.brain_t1.frame import brain_frame, brain_grid, grid_affine, prepare
from popscan.protocols.brain_t1.ingest import coded, defacing
from popscan.protocols.brain_t1.ingest import prepare as ingest
from popscan.protocols.brain_t1.population import BIASES, sample_population
from popscan.protocols.brain_t1.qc import CHECKS, Context
from popscan.protocols.brain_t1.regions import REGIONS
from popscan.protocols.brain_t1.segmentation import remove_islands, segment
from popscan.protocols.brain_t1.sides import find_mid_plane, with_sides
from popscan.qc import run_checks
from popscan.records import LabelMap, PopscanError, Scan, SubjectError
from popscan.segment import load_bundle
from popscan.segment.ood import has_detector
from popscan.study.adjusted import adjusted_columns

DATA = Path(os.environ.get("POPSCAN_DATA", "../shared/data")) / "brain"


@pytest.fixture(scope="module")
def people():
    return sample_population(60, seed=4)


@pytest.fixture(scope="module")
def digital(people):
    return simulate_subject(people.iloc[0].to_dict(), seed=4, spacing_mm=3.0)


@pytest.fixture(scope="module")
def numbers(digital):
    return measure(digital.labels.array, spacing_mm=digital.scan.spacing_mm)


def as_muse(labels):
    """Back to one MUSE code per structure."""
    table = np.zeros(256, np.uint8)
    for code, group in enumerate(brain.GROUPS, start=1):
        table[code] = group.left[0]
        if group.paired:
            table[code + brain.RIGHT] = group.right[0]
    return table[labels]


def test_protocol_is_known_and_whole():
    protocol = get_protocol("brain_t1")
    assert protocol.view == "t1w"
    assert not protocol.has_time
    for where in protocol.places().values():
        assert load(where) is not None
    dictionary = load(protocol.biomarkers.dictionary)
    columns = {*dictionary, *adjusted_columns(protocol)}
    assert {outcome.name for outcome in protocol.outcomes} <= columns
    for one in protocol.adjustments:
        assert {one.by, *one.columns} <= set(dictionary)


def test_every_structure_is_in_one_region_of_the_atlas():
    names = [name for region in REGIONS for name in region.structures]
    assert sorted(names) == sorted(brain.LABELS.codes)


def test_every_muse_code_belongs_to_one_group_and_side():
    codes = [c for g in brain.GROUPS for c in (*g.left, *g.right)]
    assert len(codes) == len(set(codes)) > 130
    for group in brain.GROUPS:
        assert len(group.left) == len(group.right) or not group.paired
    found = brain.from_muse(np.array([0, 47, 48, 168, 169, 35]))
    names = [brain.LABELS.names.get(int(c), "") for c in found]
    assert names == [
        "", "hippocampus_right", "hippocampus_left", "parietal_grey_right", "parietal_grey_left",
        "brainstem",
    ]  # fmt: skip
    with pytest.raises(SubjectError, match="not MUSE's"):
        brain.from_muse(np.array([47, 99]))


def test_reference_labels_are_read_in_either_coding(digital):
    own = digital.labels.array
    np.testing.assert_array_equal(coded(own), own)
    np.testing.assert_array_equal(coded(as_muse(own)), own)
    for odd in ([1, 2, 3], [211], [7]):
        with pytest.raises(SubjectError) as caught:
            coded(np.array(odd, np.uint8))
        assert caught.value.reason == "bad_labels"


def test_sides_of_a_turned_brain(digital):
    labels = digital.labels.array[..., 0]
    # A roll of 10 degrees and off the middle: shear along x, which keeps the codes.
    turned = np.zeros((labels.shape[0] + 24, *labels.shape[1:]), np.uint8)
    for z in range(labels.shape[2]):
        start = 12 + round(0.17 * (z - labels.shape[2] / 2))
        turned[start : start + labels.shape[0], :, z] = labels[:, :, z]
    plane = find_mid_plane(brain.without_sides(turned))
    assert plane is not None
    assert plane.along_z == pytest.approx(0.17, abs=0.03)
    found = with_sides(brain.without_sides(turned), plane)
    assert np.count_nonzero(found != turned) < 0.01 * np.count_nonzero(turned)
    assert find_mid_plane(np.zeros((5, 5, 5), np.uint8)) is None


def test_ingest_turns_to_ras_and_takes_the_bias_out(people):
    made = simulate_subject(people.iloc[3].to_dict(), seed=4, spacing_mm=9.0)
    scan, truth = made.scan, made.labels
    shape = scan.array.shape[:3]
    field = np.exp(0.5 * np.linspace(-1, 1, shape[1]))[None, :, None]
    volume = scan.array[..., 0] * field
    # As a sagittal acquisition stores it: axes P, S, R.
    stored = np.ascontiguousarray(volume.transpose(1, 2, 0)[::-1])
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[1, 0], affine[2, 1], affine[0, 2] = -9.0, 9.0, 9.0
    affine[:3, 3] = scan.affine[:3, 3]
    affine[1, 3] = scan.affine[1, 3] + 9.0 * (shape[1] - 1)
    raw = replace(scan, array=stored[..., None].astype(np.float32), affine=affine)
    muse = as_muse(truth.array[..., 0]).transpose(1, 2, 0)[::-1]
    found, labels, values = ingest(raw, LabelMap(array=muse[..., None], frames=(0,)))
    assert values["orientation_found"] == "PSR"
    assert axis_codes(found.affine) == "RAS"
    np.testing.assert_allclose(found.affine, scan.affine)
    np.testing.assert_array_equal(labels.array, truth.array)
    white = truth.array[..., 0] % brain.RIGHT == 19
    before, after = (np.std(v[white]) / np.mean(v[white]) for v in (volume, found.array[..., 0]))
    assert after < 0.7 * before
    assert values["bias_field_pct"] > 40


def test_ingest_refuses_what_is_no_volume_of_a_head(digital):
    scan = digital.scan
    with pytest.raises(SubjectError) as caught:
        ingest(replace(scan, array=np.repeat(scan.array, 2, axis=3)))
    assert caught.value.reason == "not_a_volume"
    with pytest.raises(SubjectError) as caught:
        ingest(replace(scan, array=scan.array[:20]))
    assert caught.value.reason == "field_of_view_too_small"


def test_a_removed_face_is_seen(digital):
    volume = digital.scan.array[..., 0]
    assert defacing(volume)["face_removed"] == 0
    cut = volume.copy()
    cut[:, int(0.65 * cut.shape[1]) :, : cut.shape[2] // 2] = 0
    assert defacing(cut)["face_removed"] == 1


def test_numbers_add_up(people, digital, numbers):
    assert list(numbers) == list(DICTIONARY)
    counts = np.bincount(digital.labels.array.ravel(), minlength=256)
    voxel = 0.027
    for code, name in brain.LABELS.names.items():
        assert numbers[f"{name}_ml"] == pytest.approx(counts[code] * voxel)
    assert numbers["grey_ml"] + numbers["white_ml"] < numbers["brain_ml"] < numbers["icv_ml"]
    for name, (groups, _) in SUMS.items():
        assert numbers[name] == pytest.approx(sum(numbers[f"{g}_ml"] for g in groups))
    assert numbers == digital.truth
    assert numbers["icv_ml"] == pytest.approx(people.iloc[0]["truth_icv_ml"], rel=0.03)
    left, right = numbers["thalamus_left_ml"], numbers["thalamus_right_ml"]
    assert numbers["thalamus_asymmetry_pct"] == pytest.approx(200 * (left - right) / (left + right))


def test_of_nothing_there_are_no_ratios():
    values = measure(np.zeros((6, 6, 6, 1), np.uint8), spacing_mm=(2, 2, 2))
    assert values["brain_ml"] == 0
    assert np.isnan(
        [values["icv_ml"], values["brain_icv_pct"], values["thalamus_asymmetry_pct"]]
    ).all()


def test_checks_pass_a_brain_and_see_faults(digital):
    digital = replace(digital, scan=replace(digital.scan, meta={"clipped_pct": 0.0}))
    good = {"mid_plane_agreement": 0.6, "implied_dice_mean": 0.9, "ood_score": 0.6}
    whole = {
        c.name: str(c.verdict)
        for c in run_checks(
            CHECKS, Context(digital.scan, digital.labels.array, from_segmentation=good)
        )
    }
    assert set(whole) == set(CHECKS)
    assert {whole[n] for n in CHECKS if n not in ("voxel_size_mm", "asymmetry_pct")} == {"pass"}
    broken = digital.labels.array.copy()
    codes = brain.LABELS.codes
    broken[np.isin(broken, [codes["thalamus_left"], codes["brainstem"]])] = 0
    broken[:, : broken.shape[1] // 2][broken[:, : broken.shape[1] // 2] == codes["csf"]] = 0
    broken[2:6, 2:6, -6:-2] = codes["csf"]
    rng = np.random.default_rng(1)
    noisy = digital.scan.array + rng.normal(0, 400, digital.scan.array.shape).astype(np.float32)
    poor = {"mid_plane_agreement": 0.1, "implied_dice_mean": 0.3}
    found = {
        c.name: str(c.verdict)
        for c in run_checks(
            CHECKS, Context(replace(digital.scan, array=noisy), broken, from_segmentation=poor)
        )
    }
    for name in ("noise_pct", "mid_plane_agreement", "implied_dice"):
        assert found[name] == "fail"
    for name in ("missing_structures", "asymmetry_pct"):
        assert found[name] in ("review", "fail")
    nothing = run_checks(CHECKS, Context(digital.scan, np.zeros_like(digital.labels.array)))
    assert str(next(c for c in nothing if c.name == "brain_ml").verdict) == "fail"


def test_islands_become_what_is_around_them():
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[2:28, 2:28, 2:28] = 19
    labels[5:12, 5:12, 5:12] = 5
    labels[20, 20, 20] = 5
    labels[0, 0, 0] = 21
    assert remove_islands(labels) >= 1
    assert labels[20, 20, 20] == 19
    assert np.count_nonzero(labels == 5) == 343


def test_frame_brings_brains_of_any_size_to_one(people):
    grid = brain_grid(spacing_mm=6.0)
    centres = []
    for index in (1, 2):
        made = simulate_subject(people.iloc[index].to_dict(), seed=4, spacing_mm=4.0)
        found = prepare(
            made.scan.array[..., 0],
            made.labels.array[..., 0],
            affine=made.scan.affine,
            spacing_mm=made.scan.spacing_mm,
            grid=grid,
        )
        assert found.coverage > 0.98
        assert found.labels.shape == (len(REGIONS), *grid.shape)
        names = [region.name for region in REGIONS]
        deep, stem = (found.labels[names.index(name)] for name in ("deep_grey", "brainstem"))
        place = [np.argwhere(t > 0.5).mean(axis=0) * 6.0 for t in (deep, stem)]
        centres.append(np.array(place))
        assert place[1][2] < place[0][2]
    assert np.abs(centres[0] - centres[1]).max() < 8
    assert np.allclose(grid_affine(grid) @ [*(np.array(grid.centre_mm) / 6.0), 1], [0, 0, 0, 1])
    with pytest.raises(SubjectError, match="no voxel is labelled"):
        brain_frame(np.zeros((9, 9, 9), np.uint8), spacing_mm=(2.0, 2.0, 2.0))
    with pytest.raises(PopscanError, match="1 to 10 mm"):
        brain_grid(spacing_mm=0.1)


def test_digital_population_ages_and_its_biases_are_known(people):
    assert np.corrcoef(people["age_years"], people["truth_atrophy_pct"])[0, 1] > 0.7
    young, old = (
        measure(
            simulate_subject(
                {**row, "sex": "male", "truth_icv_ml": 1500}, seed=4, spacing_mm=4.0
            ).labels.array,
            spacing_mm=(4.0, 4.0, 4.0),
        )
        for row in (
            {"participant_id": "sub-x", "truth_atrophy_pct": 1.0},
            {"participant_id": "sub-x", "truth_atrophy_pct": 12.0},
        )
    )
    assert old["ventricles_ml"] > 1.5 * young["ventricles_ml"]
    for name in ("brain_ml", "hippocampus_ml", "grey_ml"):
        assert old[name] < 0.97 * young[name]
    assert people.equals(sample_population(90, seed=4).head(60))
    with pytest.raises(PopscanError, match="truth_atrophy_pct"):
        simulate_subject({"participant_id": "sub-1", "truth_icv_ml": 1500}, seed=1)
    with pytest.raises(PopscanError, match=r"simulate\.kspace"):
        simulate_subject(people.iloc[0].to_dict(), seed=1, kspace=True)


def test_biases_of_the_digital_population_do_what_they_say():
    def of(kind, **keys):
        return {"attribute": "site", "group": "B", "kind": kind, "strength": 1.0} | keys

    site = of("site", attribute="diagnosis", group="dementia")
    several = [of(k) for k in BIASES if k != "site"]
    people = sample_population(300, seed=1, bias=[site, *several])
    assert (people["site"].eq("B") == people["diagnosis"].eq("dementia")).all()
    plain = sample_population(300, seed=1)
    assert 0.4 < plain["site"].eq("B").mean() < 0.6
    same = ["sex", "age_years", "diagnosis", "truth_icv_ml", "truth_atrophy_pct"]
    assert people[same].equals(plain[same])
    quota = sample_population(20, seed=1, allocation="quota", faults={"motion": 0.1})
    assert quota["sex"].value_counts().to_dict() == {"female": 10, "male": 10}
    assert quota["diagnosis"].eq("dementia").sum() == 5
    assert quota["fault"].eq("motion").sum() == 2
    row = plain[plain["diagnosis"] == "healthy"].iloc[0].to_dict()
    row |= {"truth_atrophy_pct": 3.0}
    changed = people[people["site"] == "B"].iloc[0]
    truths = ("noise", "contrast_loss", "deep_brightness", "thinning_mm")
    images = {}
    for name in ("", *truths):
        one = row if not name else {**row, f"truth_{name}": changed[f"truth_{name}"]}
        made = simulate_subject(one, seed=1, spacing_mm=4.0)
        volume, groups = made.scan.array[..., 0], brain.without_sides(made.labels.array[..., 0])
        codes = {g.name: c for c, g in enumerate(brain.GROUPS, start=1)}
        images[name] = {
            "white": volume[groups == codes["cerebral_white"]].mean(),
            "frontal": volume[groups == codes["frontal_grey"]].mean(),
            "putamen": volume[groups == codes["putamen"]].mean(),
            "air": volume[:3].std(),
            "grey_ml": made.truth["grey_ml"],
        }
    base = images[""]
    assert images["noise"]["air"] == pytest.approx(4 * base["air"], rel=0.1)
    assert images["contrast_loss"]["frontal"] > 1.1 * base["frontal"]
    assert images["deep_brightness"]["putamen"] > 1.1 * base["putamen"]
    assert images["deep_brightness"]["frontal"] == pytest.approx(base["frontal"], rel=0.01)
    assert images["thinning_mm"]["grey_ml"] < 0.9 * base["grey_ml"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bias": [{"attribute": "site", "group": "B", "kind": "fat", "strength": 1}]}, "'fat'"),
        (
            {"bias": [{"attribute": "race", "group": "B", "kind": "contrast", "strength": 1}]},
            "race",
        ),
        ({"bias": [{"attribute": "sex", "group": "B", "kind": "site", "strength": 2}]}, "strength"),
        ({"faults": {"missing_frames": 0.1}}, "missing_frames"),
        ({"faults": {"motion": 1.1}}, "at most 1"),
        ({"allocation": "even"}, "even"),
    ],
)
def test_a_digital_population_that_cannot_be_is_refused(keys, message):
    with pytest.raises(PopscanError, match=message):
        sample_population(3, seed=1, **keys)


def test_faults_of_a_digital_brain_strike(people):
    row = people.iloc[2].to_dict()
    good = simulate_subject(row, seed=4, spacing_mm=6.0)
    cut = simulate_subject({**row, "fault": "truncated"}, seed=4, spacing_mm=6.0)
    assert cut.truth == good.truth
    with pytest.raises(SubjectError) as caught:
        ingest(cut.scan, cut.labels)
    assert caught.value.reason == "field_of_view_too_small"
    moved = simulate_subject({**row, "fault": "motion"}, seed=4, spacing_mm=6.0)
    assert not np.allclose(moved.scan.array, good.scan.array)
    np.testing.assert_array_equal(moved.labels.array, good.labels.array)


def test_same_seed_same_brain(people):
    row = people.iloc[5].to_dict()
    first, second = (simulate_subject(row, seed=4, spacing_mm=6.0) for _ in range(2))
    np.testing.assert_array_equal(first.scan.array, second.scan.array)


def test_shipped_bundle_labels_what_the_protocol_needs(repo_root):
    """It is read, small, and honest: its validation subjects are none of its training."""
    folder = repo_root / "resources" / "models" / "brain_t1"
    bundle = load_bundle(folder, "cpu", labels=get_protocol("brain_t1").network_codes)
    assert sum(f.stat().st_size for f in folder.iterdir()) < 4_000_000
    about = bundle.about["validation"]
    assert about["mean_dice"] > 0.85
    assert not any(bundle.was_trained_on(name) for name in about["subjects"])
    assert bundle.was_trained_on("sub-A02")


def test_a_scan_unlike_the_training_scans_is_warned_of_and_reviewed(repo_root, digital):
    """A digital brain is no patient: the shipped detector says so, and QC asks for a look."""
    bundle = load_bundle(repo_root / "resources" / "models" / "brain_t1", "cpu")
    assert has_detector(bundle.training)
    values = segment(digital.scan, bundle=bundle).values
    assert values["ood_score"] > 1
    assert "unlike the training scans" in values["input_warning"]
    context = Context(digital.scan, digital.labels.array, from_segmentation=values)
    found = {c.name: str(c.verdict) for c in run_checks(CHECKS, context)}
    assert found["ood"] == "review"
    without = Context(digital.scan, digital.labels.array, from_segmentation={})
    assert {c.name: str(c.verdict) for c in run_checks(CHECKS, without)}["ood"] == "not_assessed"


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="real brains are absent")
@pytest.mark.parametrize("subject", ["sub-A13"])
def test_real_labels_are_told_apart_by_the_plane(subject):
    import nibabel as nib

    file = DATA / "derivatives/dlmuse" / subject / "anat" / f"{subject}_dseg.nii.gz"
    image = nib.as_closest_canonical(nib.load(file))
    truth = coded(np.asarray(image.dataobj).astype(np.uint8))
    merged = brain.without_sides(truth)
    found = with_sides(merged, find_mid_plane(merged))
    assert np.count_nonzero(found != truth) < 0.01 * np.count_nonzero(truth)
    for name in ("hippocampus_left", "putamen_right", "frontal_grey_left"):
        code = brain.LABELS.codes[name]
        a, b = found == code, truth == code
        assert 2 * np.count_nonzero(a & b) / (a.sum() + b.sum()) > 0.97
    scan = Scan(
        array=truth[..., None].astype(np.float32), affine=image.affine, spacing_mm=(2.0, 2.0, 2.0)
    )
    values = measure(truth[..., None], spacing_mm=scan.spacing_mm)
    assert 800 < values["brain_ml"] < 1700
