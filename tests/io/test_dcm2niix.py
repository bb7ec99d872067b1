"""The DICOM reader beside dcm2niix: the same values, places and order of time."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np
import pydicom
import pytest

from mapping_files import regions, samples, t1_truth_ms, write_dicom_series
from popscan.io.dicom import Dicom
from popscan.io.sources import get_source
from popscan.protocols import get_protocol
from popscan.records import Scan
from popscan.relaxometry.simulate import SHMOLLI, inversion_times_ms

APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)


def converted(folder: Path, out: Path) -> list[nibabel.Nifti1Image]:
    """Convert with dcm2niix, with the values that RescaleSlope gives; one image a file."""
    out.mkdir()
    options = ["-z", "n", "-p", "n", "-b", "n", "-f", "%s_%e"]
    done = subprocess.run(
        [dcm2niix.bin, *options, "-o", out, folder], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [nibabel.load(path) for path in sorted(out.glob("*.nii"))]


def as_scanners_number(
    files: Sequence[Path], *, by_slice: bool = False, step_ms: float = 0.0
) -> None:
    """Number the images by frame and slice (or by slice and frame), as scanners do."""
    read = {path: pydicom.dcmread(path) for path in files}
    places = sorted({float(data.SliceLocation) for data in read.values()}, reverse=True)
    at: dict[float, list[float]] = {}
    for data in read.values():
        at.setdefault(float(data.SliceLocation), []).append(float(data.TriggerTime))
    for path, data in read.items():
        place = float(data.SliceLocation)
        z, t = places.index(place), sorted(at[place]).index(float(data.TriggerTime))
        data.InstanceNumber = 1 + (z * len(at[place]) + t if by_slice else t * len(places) + z)
        data.TemporalPositionIdentifier = t + 1
        data.NumberOfTemporalPositions = len(at[place])
        if step_ms:
            data.TriggerTime = t * step_ms
        data.save_as(path)


def canonical(image: nibabel.Nifti1Image) -> tuple[np.ndarray, np.ndarray]:
    """Values and affine with axes nearest to R, A, S: rows may be stored in either direction."""
    turned = nibabel.as_closest_canonical(image)
    return np.asarray(turned.dataobj), turned.affine


def assert_same(scan: Scan, image: nibabel.Nifti1Image) -> None:
    ours, affine = canonical(nibabel.Nifti1Image(scan.array, scan.affine))
    theirs, other = canonical(image)
    np.testing.assert_allclose(affine, other, atol=2e-3)
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize(
    ("maker", "by_slice", "up"),
    [
        ("SIEMENS", False, True),
        ("SIEMENS", False, False),
        ("GE MEDICAL SYSTEMS", False, True),
        ("GE MEDICAL SYSTEMS", True, False),
    ],
)
def test_a_cine_stack(tmp_path, write_stack, maker, by_slice, up):
    tags = {"Manufacturer": maker, "PixelSpacing": [1.25, 1.75]}
    step = APEX if up else -APEX
    files = write_stack(tmp_path / "s", tags=tags, slices=5, step=step)
    as_scanners_number(files, by_slice=by_slice)
    scan = Dicom().load([str(tmp_path / "s")]).scans["sax"]
    (image,) = converted(tmp_path / "s", tmp_path / "out")
    assert image.shape == scan.array.shape
    assert_same(scan, image)


def test_values_with_slope_and_intercept(tmp_path, write_stack):
    tags = {"Manufacturer": "SIEMENS", "RescaleSlope": 2.5, "RescaleIntercept": -100}
    as_scanners_number(write_stack(tmp_path / "s", tags=tags))
    scan = Dicom().load([str(tmp_path / "s")]).scans["sax"]
    assert scan.array.min() == -100
    (image,) = converted(tmp_path / "s", tmp_path / "out")
    assert_same(scan, image)


def test_slices_that_are_series_of_their_own(tmp_path, write_stack):
    files = write_stack(tmp_path / "s", tags={"Manufacturer": "SIEMENS"}, one_series=False)
    as_scanners_number(files)
    scan = Dicom().load([str(tmp_path / "s")]).scans["sax"]
    images = converted(tmp_path / "s", tmp_path / "out")
    assert len(images) == scan.array.shape[2] == 4
    for image in images:
        where = np.linalg.inv(scan.affine) @ image.affine[:, 3]
        z = round(float(where[2]))
        affine = scan.affine.copy()
        affine[:3, 3] += z * affine[:3, 2]
        # A lone slice has the thickness for its distance.
        theirs = image.affine.copy()
        theirs[:3, 2] = np.sign(theirs[:3, 2] @ affine[:3, 2]) * affine[:3, 2]
        assert_same(
            replace(scan, array=scan.array[:, :, z : z + 1], affine=affine),
            nibabel.Nifti1Image(np.asarray(image.dataobj), theirs),
        )


def test_times_of_frames(tmp_path, write_stack):
    """Philips' frames become a file each, with its trigger time in the name."""
    files = write_stack(tmp_path / "s", tags={"Manufacturer": "Philips Medical Systems"})
    as_scanners_number(files, step_ms=37.0)
    scan = Dicom().load([str(tmp_path / "s")]).scans["sax"]
    images = converted(tmp_path / "s", tmp_path / "out")
    named = {float((re.findall(r"_t(\d+)", i.get_filename()) or ["0"])[0]): i for i in images}
    assert len(named) == len(images) == 6
    np.testing.assert_array_equal(scan.frame_times_ms, sorted(named))
    for t, time_ms in enumerate(sorted(named)):
        assert_same(replace(scan, array=scan.array[..., t : t + 1]), named[time_ms])


def test_a_series_for_a_t1_map(tmp_path):
    truth = t1_truth_ms(regions(), wall_ms=1150.0, blood_ms=1700.0)
    signed, times = np.round(samples(truth)), inversion_times_ms(SHMOLLI).tolist()
    write_dicom_series(tmp_path / "s", signed, times_ms=times, phase=False)
    scan = get_source("dicom", get_protocol("t1_map")).load([str(tmp_path / "s")]).scans["t1"]
    (image,) = converted(tmp_path / "s", tmp_path / "out")
    # dcm2niix keeps the order of numbers; ours is that of times.
    assert times != sorted(times)
    by_time = np.asarray(image.dataobj)[..., np.argsort(times)]
    assert scan.meta["relaxation"]["times_ms"] == sorted(times)
    assert_same(scan, nibabel.Nifti1Image(by_time, image.affine))
