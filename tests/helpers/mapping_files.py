"""BIDS folders of inversion-recovery images: a ring of wall around blood, with a known T1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from popscan.relaxometry.simulate import SHMOLLI, inversion_signal, inversion_times_ms

SPACING_MM = 1.8
AFFINE = np.diag([-SPACING_MM, -SPACING_MM, 8.0, 1.0])
RV, MYO, LV = 1, 2, 3


def regions(n: int = 44) -> np.ndarray:
    """Labels (x, y, 1): blood in a ring of wall, the right ventricle beside it."""
    x, y = np.mgrid[:n, :n] - n / 2.0
    radius = np.hypot(x - 2, y)
    labels = np.where(radius < 8, LV, np.where(radius < 14, MYO, 0))
    beside = (np.hypot(x + 11, y) < 9) & (labels == 0)
    return np.where(beside, RV, labels).astype(np.uint8)[..., None]


def t1_truth_ms(labels: np.ndarray, *, wall_ms: float, blood_ms: float) -> np.ndarray:
    """T1 of every voxel; what is around has that of fat."""
    return np.where(labels == MYO, wall_ms, np.where(labels == 0, 350.0, blood_ms)).astype(float)


def samples(t1_ms: np.ndarray, *, noise: float = 3.0, seed: int = 1) -> np.ndarray:
    """Signed samples (7, x, y, z) of ShMOLLI, with noise."""
    clean = inversion_signal(SHMOLLI, t1_ms=t1_ms, m0=400.0)
    return clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)


def write_image(path: Path, array: np.ndarray, side: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    if side is not None:
        Path(str(path).replace(".nii.gz", ".json")).write_text(json.dumps(side))


def write_raw(
    folder: Path,
    sub: str,
    signed: np.ndarray,
    *,
    phase: bool = False,
    times_ms: Sequence[float] | None = None,
    name: str = "ShMOLLI_192i",
) -> None:
    """One file per inversion, magnitude and (if asked) phase."""
    times = inversion_times_ms(SHMOLLI) if times_ms is None else times_ms
    for number, (image, time) in enumerate(zip(signed, times, strict=True), start=1):
        part = "_part-mag" if phase else ""
        stem = folder / sub / "anat" / f"{sub}_inv-{number}{part}_IRT1.nii.gz"
        side = {"InversionTime": float(time) / 1000.0, "SeriesDescription": name}
        write_image(stem, np.abs(image).astype(np.float32), side)
        if phase:
            other = Path(str(stem).replace("part-mag", "part-phase"))
            write_image(other, np.where(image < 0, -2.0, 1.14).astype(np.float32))


def write_regions(folder: Path, sub: str, labels: np.ndarray) -> None:
    write_image(folder / sub / "anat" / f"{sub}_desc-manual_dseg.nii.gz", labels)


def write_dicom(
    path: Path,
    pixels: np.ndarray,
    *,
    series: int = 1,
    instance: int = 1,
    kind: str = "M",
    place_mm: float = 0.0,
    **tags: object,
) -> None:
    """One single-frame MR image (row, column), 12 bits of 16."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.Manufacturer, data.PatientID = "MR", "SIEMENS", "someone"
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series {series}"])
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    data.SeriesNumber, data.InstanceNumber = series, instance
    data.ImageType = ["ORIGINAL", "PRIMARY", kind]
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, place_mm]
    data.PixelSpacing, data.SliceThickness = [SPACING_MM, SPACING_MM], 8
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    for name, value in tags.items():
        if value is not None:
            setattr(data, name, value)
    data.PixelData = np.asarray(pixels, dtype=np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_dicom_series(
    folder: Path,
    signed: np.ndarray,
    *,
    times_ms: Sequence[float | None],
    phase: bool = True,
    name: str = "ShMOLLI_192i",
    comment: str = "",
    series: int = 1,
    place_mm: float = 0.0,
) -> None:
    """A magnitude series (n, x, y, 1), and a phase series beside it."""
    for number, (image, time) in enumerate(zip(signed, times_ms, strict=True), start=1):
        tags = {"InversionTime": time, "SeriesDescription": name, "place_mm": place_mm}
        tags["ImageComments"] = comment or None
        plane, stem = image[..., 0].T, f"s{series}_{number}"
        write_dicom(folder / f"{stem}_m.dcm", np.abs(plane), series=series, instance=number, **tags)
        if phase:
            stored = np.where(plane < 0, 1024 - 200, 3072 - 200)
            write_dicom(
                folder / f"{stem}_p.dcm", stored, series=series + 1, instance=number, kind="P",
                RescaleSlope=2, RescaleIntercept=-4096, **tags,
            )  # fmt: skip
