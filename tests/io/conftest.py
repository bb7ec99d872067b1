"""Small scans, and DICOM series written with pydicom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from popscan.records import Scan

#: Text that must never leave a header.
PERSONAL = {
    "PatientName": "Doe^Jane",
    "PatientID": "NHS-4711-0815",
    "PatientBirthDate": "19640229",
    "PatientSex": "F",
    "PatientAge": "061Y",
    "PatientAddress": "Secretstreet",
    "OtherPatientIDs": "OTHER-ID-99",
    "InstitutionName": "Hushhospital",
    "InstitutionAddress": "Hushroad",
    "StationName": "HUSHSTATION",
    "ReferringPhysicianName": "Referrer^Rita",
    "PerformingPhysicianName": "Performer^Paul",
    "OperatorsName": "Operator^Otto",
    "AccessionNumber": "ACC123456",
    "StudyDescription": "Studyofjanedoe",
    "SeriesDescription": "Seriesofjanedoe",
    "PatientComments": "Commentaboutjane",
    "ImageComments": "Imageofjane",
    "DeviceSerialNumber": "SERIAL-777",
    "StudyID": "STUDYID-5",
    "StudyDate": "20240117",
    "EthnicGroup": "Ethnicsecret",
}

#: Short-axis planes of a textbook heart, LPS: rows to the left, columns posterior and inferior.
ROW = np.array([0.7, 0.7, 0.0]) / np.linalg.norm([0.7, 0.7, 0.0])
APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
COLUMN = np.cross(APEX, ROW)
COLUMN = COLUMN if COLUMN[2] < 0 else -COLUMN


@pytest.fixture
def personal() -> dict[str, str]:
    """Personal fields of every DICOM file that `write_stack` writes."""
    return dict(PERSONAL)


@pytest.fixture
def scan() -> Scan:
    """An oblique scan whose every voxel differs."""
    rng = np.random.default_rng(3)
    affine = np.eye(4)
    affine[:3, 0] = -ROW * [1, 1, -1] * 1.5
    affine[:3, 1] = -COLUMN * [1, 1, -1] * 1.25
    affine[:3, 2] = APEX * [-1, -1, 1] * 8.0
    affine[:3, 3] = [10.5, -20.25, 30.125]
    return Scan(
        array=rng.integers(0, 2000, (9, 7, 4, 5)).astype(np.int16),
        affine=affine,
        spacing_mm=(1.5, 1.25, 8.0),
        frame_times_ms=np.array([0.0, 31.5, 63.0, 94.5, 126.0]),
        meta={"manufacturer": "ACME", "rr_ms": 850.0, "frame_labels": None},
    )


def picture(z: int, t: int, rows: int, columns: int) -> np.ndarray:
    """Stored pixels of slice z and frame t: 1000 z + 50 t + what stands for (row, column)."""
    place = np.arange(rows)[:, None] * 2 + np.arange(columns)[None] % 2
    return (1000 * z + 50 * t + place).astype(np.uint16)


def write_dicom(path: Path, pixels: np.ndarray, **tags: Any) -> FileDataset:
    """Write one image; `tags` are set last, None removes a tag."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = MRImageStorage
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Modality = "MR"
    data.Manufacturer = "ACME Medical"
    data.MagneticFieldStrength = 1.5
    data.SliceThickness = 6
    data.NominalInterval = 800
    data.EchoTime = 1.5
    data.ScanningSequence = "GR"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 0
    data.Rows, data.Columns = pixels.shape
    data.PixelData = pixels.astype("<u2").tobytes()
    for name, value in {**PERSONAL, **tags}.items():
        if value is None:
            if name in data:
                delattr(data, name)
        else:
            setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return data


@pytest.fixture
def write_stack() -> Callable[..., list[Path]]:
    """Write a short-axis stack, files in a shuffled order with telling-nothing names."""

    def write(
        folder: Path,
        *,
        slices: int = 4,
        frames: int = 6,
        shape: tuple[int, int] = (10, 8),
        distance_mm: float = 9.0,
        row: np.ndarray = ROW,
        column: np.ndarray = COLUMN,
        step: np.ndarray = APEX,
        origin: tuple[float, float, float] = (-50.0, -40.0, 60.0),
        series: str = "1.2.3.4",
        one_series: bool = True,
        skip: tuple[tuple[int, int], ...] = (),
        positions: list[float] | None = None,
        tags: dict[str, Any] | None = None,
        level: int = 0,
        seed: int = 0,
        ending: str = "",
    ) -> list[Path]:
        along = positions or [z * distance_mm for z in range(slices)]
        order = [(z, t) for z in range(len(along)) for t in range(frames) if (z, t) not in skip]
        np.random.default_rng(seed).shuffle(order)
        files = []
        for number, (z, t) in enumerate(order):
            path = folder / f"x{seed}_{number:04d}{ending}"
            position = np.array(origin) + step * along[z]
            own = {
                "ImageOrientationPatient": [round(v, 6) for v in (*row, *column)],
                "ImagePositionPatient": [round(v, 4) for v in position],
                "PixelSpacing": [1.25, 1.25],
                "SliceLocation": 1000 - 3 * along[z],
                "TriggerTime": t * 40.0 + z * 0.5,
                "InstanceNumber": number + 1,
                "SeriesNumber": 1,
                "AcquisitionNumber": 1,
                "AcquisitionTime": "100000",
                "ContentTime": "100000",
                "SeriesInstanceUID": series if one_series else f"{series}.{z}",
                "StudyInstanceUID": "1.2.3",
                "FrameOfReferenceUID": "1.2.9",
            }
            pixels = picture(z, t, *shape) + np.uint16(level)
            write_dicom(path, pixels, **{**own, **(tags or {})})
            files.append(path)
        return files

    return write


@pytest.fixture
def edit_dicom() -> Callable[[Path, Callable[[Dataset], None]], None]:
    """Change a file that was written."""

    def edit(path: Path, change: Callable[[Dataset], None]) -> None:
        data = pydicom.dcmread(path)
        change(data)
        data.save_as(path)

    return edit
