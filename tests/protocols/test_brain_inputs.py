"""Brain scans that are not what their name says: whose sides, sizes or grey values are others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from popscan.io.bids import Bids
from popscan.io.bids_names import space_named
from popscan.protocols import get_protocol
from popscan.protocols.brain_t1.biomarkers import DICTIONARY, SIDED, measure
from popscan.protocols.brain_t1.digital import simulate_subject
from popscan.protocols.brain_t1.ingest import prepare
from popscan.protocols.brain_t1.population import sample_population
from popscan.protocols.brain_t1.qc import CHECKS, Context
from popscan.protocols.brain_t1.segmentation import segment
from popscan.qc import run_checks
from popscan.records import Scan, SubjectError
from popscan.segment import load_bundle
from popscan.stages.ingest.notes import header_notes


@pytest.fixture(scope="module")
def digital():
    person = sample_population(5, seed=4).iloc[0].to_dict()
    made = simulate_subject(person, seed=4, spacing_mm=3.0)
    return replace(made, scan=replace(made.scan, meta={}))


def verdicts(scan, labels):
    return {c.name: str(c.verdict) for c in run_checks(CHECKS, Context(scan, labels))}


def read(folder: Path, volume: np.ndarray, *, name="T1w", sform=1, qform=1, affine=None) -> Scan:
    affine = np.diag([3.0, 3.0, 3.0, 1.0]) if affine is None else affine
    image = nib.Nifti1Image(volume, affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    path = folder / "sub-1" / "anat" / f"sub-1_{name}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    source = Bids(get_protocol("brain_t1"))
    return source.load(source.find(folder)[0].paths, views=("t1w",)).scans["t1w"]


def test_without_a_code_of_orientation_no_side_has_a_number(digital, tmp_path):
    labels, spacing = digital.labels.array, digital.scan.spacing_mm
    known = measure(labels, spacing_mm=spacing)
    unknown = measure(labels, spacing_mm=spacing, orientation_known=False)
    assert list(unknown) == list(DICTIONARY)
    for name, value in unknown.items():
        if name in SIDED:
            assert np.isnan(value)
        else:
            assert value == known[name]
    assert {"hippocampus_left_ml", "hippocampus_asymmetry_pct"} <= set(SIDED)
    assert "hippocampus_ml" not in SIDED
    volume = digital.scan.array[..., 0]
    for sform, verdict in ((1, "pass"), (0, "review")):
        scan = read(tmp_path, volume, sform=sform, qform=0)
        checks = verdicts(replace(digital.scan, meta=scan.meta), labels)
        assert checks["orientation_unknown"] == verdict


@pytest.mark.parametrize(
    ("name", "sform", "space"),
    [
        ("T1w", 4, "MNI 152"),
        ("T1w", 3, "Talairach"),
        ("T1w", 2, ""),
        ("space-MNI152NLin2009cAsym_T1w", 1, "MNI152NLin2009cAsym"),
        ("space-orig_T1w", 1, ""),
        ("space-fsnative_T1w", 1, ""),
    ],
)
def test_an_image_in_the_space_of_an_atlas_asks_for_review(digital, tmp_path, name, sform, space):
    scan = read(tmp_path, digital.scan.array[..., 0], name=name, sform=sform)
    assert scan.meta.get("standard_space", "") == space
    assert bool(header_notes(scan)) == bool(space)
    checks = verdicts(replace(digital.scan, meta=scan.meta), digital.labels.array)
    assert checks["standard_space"] == ("review" if space else "pass")


def test_space_is_read_off_a_name():
    assert space_named(Path("sub-1_space-MNI_T1w.nii.gz")) == "MNI"
    for own in ("sub-1_T1w.nii.gz", "sub-1_space-T1w_T1w.nii.gz", "sub-1_space-Native_T1w.nii"):
        assert space_named(Path(own)) == ""


@pytest.mark.parametrize(
    ("own", "atlas"), [("desc-preproc", "space-MNI"), ("space-individual", "space-Talairach")]
)
def test_the_image_in_the_subjects_own_space_is_read_whatever_its_name(
    digital, tmp_path, own, atlas
):
    volume = digital.scan.array[..., 0]
    read(tmp_path, volume, name=f"{own}_T1w")
    scan = read(tmp_path, volume * 2, name=f"{atlas}_T1w", sform=4)
    assert scan.array.max() == pytest.approx(volume.max(), rel=1e-3)
    assert "standard_space" not in scan.meta


def test_the_code_of_the_form_that_is_used_counts(digital, tmp_path):
    volume = digital.scan.array[..., 0]
    image = nib.Nifti1Image(volume, np.diag([3.0, 3.0, 3.0, 1.0]))
    image.set_sform(np.eye(4), 4)  # an identity that nobody filled in: the qform is used
    image.set_qform(np.diag([3.0, 3.0, 3.0, 1.0]), 1)
    image.header["pixdim"][1:4] = 3.0
    path = tmp_path / "sub-1" / "anat" / "sub-1_T1w.nii"
    path.parent.mkdir(parents=True)
    nib.save(image, path)
    source = Bids(get_protocol("brain_t1"))
    scan = source.load(source.find(tmp_path)[0].paths, views=("t1w",)).scans["t1w"]
    assert scan.spacing_mm == pytest.approx((3, 3, 3))
    assert "standard_space" not in scan.meta


@pytest.mark.parametrize(
    ("origin", "verdict"),
    [((-90, -126, -72), "review"), ((-98, -134, -72), "review"), ((-90.3, -126, -72), "pass")],
)
def test_the_grid_of_an_atlas_is_recognised(digital, origin, verdict):
    affine = digital.scan.affine.copy()
    affine[:3, 3] = origin
    scan = replace(digital.scan, affine=affine)
    assert verdicts(scan, digital.labels.array)["standard_space"] == verdict


def as_scan(digital, volume):
    return replace(digital.scan, array=volume[..., None].astype(np.float32))


def test_masks_and_label_maps_are_no_images(digital):
    volume, labels = digital.scan.array[..., 0], digital.labels.array[..., 0]
    for wrong in (labels > 0, labels, np.where(labels > 0, labels + 40.0, 0)):
        with pytest.raises(SubjectError) as caught:
            prepare(as_scan(digital, wrong))
        assert caught.value.reason == "labels_for_image"
    coarse = np.rint(15 * np.clip(volume / np.percentile(volume, 99.5), 0, 1))
    masked = np.where(labels > 0, volume, 0)
    for right in (volume, coarse, masked, masked + 32768):
        prepare(as_scan(digital, right))


def test_bright_tissue_that_was_cut_off_asks_for_review(digital):
    volume = digital.scan.array[..., 0]
    white = digital.labels.array[..., 0] % 100 == 19
    level = float(np.median(volume[white]))
    for top, verdict in ((volume.max() + 1, "pass"), (0.95 * level, "review")):
        scan, _, values = prepare(as_scan(digital, np.minimum(volume, top)))
        assert scan.meta["clipped_pct"] == values["clipped_pct"]
        assert verdicts(scan, digital.labels.array)["clipped_pct"] == verdict


@pytest.mark.parametrize(
    ("factors", "wrong"),
    [
        ((1, 1, 1), False),
        ((1.05, 1, 1), False),
        ((1.4, 1, 1), True),
        ((0.83, 1, 1), True),
        ((1, 1, 0.7), True),
        ((1, 1, 1.2), True),
        ((1, 1.4, 1), True),
        ((1, 0.75, 1), True),
    ],
)
def test_voxels_of_a_wrong_size_along_one_axis_change_the_proportions(digital, factors, wrong):
    spacing = tuple(3.0 * f for f in factors)
    scan = replace(digital.scan, spacing_mm=spacing, affine=np.diag([*spacing, 1.0]))
    checks = verdicts(scan, digital.labels.array)
    found = {checks["height_width_ratio"], checks["length_width_ratio"]}
    assert found == {"pass"} if not wrong else "review" in found


def test_a_nod_of_the_head_does_not_change_its_proportions(digital):
    ratios = []
    for degrees in (0, 25):
        turned = ndimage.rotate(
            np.pad(digital.labels.array[..., 0], 12), degrees, axes=(1, 2), order=0, reshape=False
        )
        scan = replace(digital.scan, array=turned[..., None].astype(np.float32))
        found = run_checks(CHECKS, Context(scan, turned[..., None]))
        ratios.append(next(c.value for c in found if c.name == "height_width_ratio"))
    assert ratios[1] == pytest.approx(ratios[0], rel=0.02)


@pytest.mark.parametrize(("axis", "mm"), [(2, 0), (2, 12), (1, 15), (0, 12)])
def test_a_brain_that_was_cut_off_asks_for_review(digital, axis, mm):
    labels = digital.labels.array.copy()
    stop = np.argwhere(labels[..., 0])[:, axis].max() + 1 - mm // 3
    keep = [slice(None)] * 4
    keep[axis] = slice(stop, None)
    labels[tuple(keep)] = 0
    expected = "review" if mm else "pass"
    assert verdicts(digital.scan, labels)["cut_end_pct"] == expected


def test_labels_that_go_on_into_blank_planes_do_not_hide_a_cut(digital):
    labels, volume = digital.labels.array, digital.scan.array.copy()
    top = np.argwhere(labels[..., 0])[:, 2].max() + 1
    volume[:, :, top - 4 :] = 0
    scan = replace(digital.scan, array=volume)
    assert verdicts(scan, labels)["cut_end_pct"] == "review"
    stripped = replace(digital.scan, array=np.where(labels > 0, digital.scan.array, 0))
    assert verdicts(stripped, labels)["cut_end_pct"] == "pass"


@pytest.mark.parametrize("value", [0.0, -1000.0])
def test_a_margin_around_the_scan_changes_nothing(digital, repo_root, value):
    """Scans are padded to cubes: labels, volumes and checks are those of the scan itself."""
    bundle = load_bundle(repo_root / "resources" / "models" / "brain_t1", "cpu")
    noise = np.random.default_rng(3).normal(0, 2, digital.scan.array.shape)
    scan = replace(digital.scan, array=(digital.scan.array + noise).astype(np.float32))
    margin = ((9, 4), (0, 12), (5, 0), (0, 0))
    padded = replace(scan, array=np.pad(scan.array, margin, constant_values=value))
    found = []
    for one in (scan, padded):
        ready, _, values = prepare(one)
        found.append((segment(ready, bundle=bundle), values))
    (plain, plain_values), (other, other_values) = found
    inner = tuple(slice(a, -b if b else None) for a, b in margin)
    np.testing.assert_array_equal(other.labels[inner], plain.labels)
    assert np.count_nonzero(other.labels) == np.count_nonzero(plain.labels) > 1000
    assert other.values == plain.values
    assert other_values == plain_values
