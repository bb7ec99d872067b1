"""Made-up bulk files of UK Biobank, laid out as its public documentation and users describe them.

``EID_FIELD_INSTANCE_ARRAY.zip`` holds, flat, a DICOM file per image, named by its UID, and
``manifest.cvs``. Every slice of a short-axis cine is a series of its own
(``CINE_segmented_SAX_b1`` ...), beside series that are none of the stack. Run as a script it writes
such zips: ``python tests/helpers/ukb_files.py FOLDER --subjects 3 --frames 50 --slices 10``.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.records import Scan

FIRST_EID = 1000012
_ROOT = "1.3.12.2.1107.5.2.18.41754"
_FLIP = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class Image:
    """One DICOM file: name in the zip, series, content."""

    name: str
    series: str
    data: bytes


def short_axis(scan: Scan, *, eid: str, instance: int = 2, csa_bytes: int = 0) -> list[Image]:
    """Return the images of field 20209: a series per slice, and a derived copy of one of them."""
    images = []
    for z in range(scan.array.shape[2]):
        images += series(scan, z, eid=eid, instance=instance, number=5 + z,
                         name=f"CINE_segmented_SAX_b{z + 1}", csa_bytes=csa_bytes)  # fmt: skip
    middle = scan.array.shape[2] // 2
    return images + series(
        scan, middle, eid=eid, instance=instance, number=90, name="CINE_segmented_SAX_InlineVF",
        kind="DERIVED", csa_bytes=csa_bytes,
    )  # fmt: skip


def series(
    scan: Scan,
    z: int,
    *,
    eid: str,
    instance: int,
    number: int,
    name: str,
    kind: str = "ORIGINAL",
    csa_bytes: int = 0,
) -> list[Image]:
    """Return one slice over the cycle as a DICOM series."""
    frames = scan.array.shape[3]
    step = 900.0 / frames
    study = f"{_ROOT}.{eid}.{instance}"
    directions = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    row, column = directions[:, 0] * _FLIP, directions[:, 1] * _FLIP
    place = (scan.affine @ [0, 0, z, 1])[:3] * _FLIP
    images = []
    for t in range(frames):
        uid = f"{study}.{number}.{t + 1}"
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = uid
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(uid, {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, uid
        data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.{number}"
        data.FrameOfReferenceUID = f"{study}.0"
        data.ImageType = [kind, "PRIMARY" if kind == "ORIGINAL" else "SECONDARY", "M", "ND"]
        data.Modality, data.Manufacturer = "MR", "SIEMENS"
        data.ManufacturerModelName, data.MagneticFieldStrength = "Aera", 1.5
        data.PatientID = data.PatientName = f"UKB{eid}"
        data.StudyDate = data.AcquisitionDate = "20150102"
        data.AcquisitionTime = f"10{number % 60:02d}{t % 60:02d}.000000"
        data.SeriesDescription, data.SeriesNumber = name, number
        data.InstanceNumber, data.TriggerTime = t + 1, round(t * step, 2)
        data.NominalInterval, data.CardiacNumberOfImages = 900, frames
        data.SliceThickness, data.SpacingBetweenSlices = 8, float(scan.spacing_mm[2])
        data.ImagePositionPatient = [round(float(v), 5) for v in place]
        data.ImageOrientationPatient = [round(float(v), 6) for v in (*row, *column)]
        data.PixelSpacing = [float(scan.spacing_mm[1]), float(scan.spacing_mm[0])]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelRepresentation = 0
        pixels = np.clip(np.rint(scan.array[:, :, z, t].T), 0, 4095).astype("<u2")
        data.Rows, data.Columns = pixels.shape
        if csa_bytes:  # the vendor's private header is about as long as the image
            data.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
            data.add_new(0x00291010, "OB", _csa(csa_bytes))
        data.PixelData = pixels.tobytes()
        stream = io.BytesIO()
        data.save_as(stream, enforce_file_format=True)
        images.append(Image(name=f"{uid}.dcm", series=name, data=stream.getvalue()))
    return images


def _csa(n_bytes: int) -> bytes:
    return np.random.default_rng(7).integers(0, 40, n_bytes).astype(np.uint8).tobytes()


def manifest(images: Iterable[Image], *, header: str = "filename,patientid,series,date") -> str:
    """Return a manifest whose dates hold a comma that nobody quoted."""
    lines = [f"{i.name},UKB,{i.series},Jan 2, 2015 10:31:22 AM" for i in images]
    return "\n".join([*([header] if header else []), *lines]) + "\n"


def write_zip(
    path: Path, images: Iterable[Image], *, listing: str | None = None, name: str = "manifest.cvs"
) -> Path:
    """Write a bulk file; the same images give the same bytes."""
    images = list(images)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for image in images:
            archive.writestr(_entry(image.name), image.data)
        text = manifest(images) if listing is None else listing
        if name:
            archive.writestr(_entry(name), text)
    return path


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(2015, 1, 2, 10, 31, 22))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def bulk_name(eid: str, field: int, instance: int = 2, array: int = 0) -> str:
    """Return the name of a bulk file."""
    return f"{eid}_{field}_{instance}_{array}.zip"


def write_field_table(path: Path, rows: Iterable[dict[str, object]]) -> Path:
    """Write a study's field table, as ukbconv or the platform's table exporter would."""
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def main() -> None:
    """Write zips of simulated hearts."""
    simulation = get_protocol("cine_sax").simulation
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--matrix", type=int, default=208)
    options = parser.parse_args()
    people = load(simulation.population)(options.subjects, seed=1).to_dict("records")
    for number, person in enumerate(people):
        eid = str(FIRST_EID + number)
        made = load(simulation.subject)(
            person, seed=1, matrix=(options.matrix,) * 2, spacing_mm=(1.83, 1.83),
            frames=options.frames, slices=options.slices, kspace=False,
        )  # fmt: skip
        images = short_axis(scaled(made.scan), eid=eid, csa_bytes=60_000)
        print(write_zip(options.folder / bulk_name(eid, 20209), images))


def scaled(scan: Scan) -> Scan:
    """Return a scan whose values fill the 12 bits that a scanner stores."""
    array = np.asarray(scan.array, dtype=np.float32)
    array = (array - array.min()) * (4000.0 / max(float(np.ptp(array)), 1e-6))
    return Scan(**{**vars(scan), "array": array})


if __name__ == "__main__":
    main()
