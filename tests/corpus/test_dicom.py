"""DICOM of others: values, bytes and pixels that are odd, torn or hostile."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

ROW = np.array([0.7, 0.7, 0.0]) / np.linalg.norm([0.7, 0.7, 0.0])
APEX = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
COLUMN = np.cross(APEX, ROW)
COLUMN = COLUMN if COLUMN[2] < 0 else -COLUMN
SLICES, FRAMES, ROWS, COLUMNS = 3, 6, 10, 8


def write(path: Path, z: int, t: int) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"{z} {t}"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.Manufacturer = "MR", "ACME"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    data.MagneticFieldStrength, data.SliceThickness, data.EchoTime = 1.5, 6, 1.5
    data.NominalInterval, data.ScanningSequence = 800, "GR"
    data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID = "x", "1.2.3", "1.2.3.4"
    data.FrameOfReferenceUID, data.SeriesNumber, data.AcquisitionNumber = "1.2.9", 1, 1
    data.InstanceNumber, data.TriggerTime = 1 + z * FRAMES + t, t * 130.0
    data.AcquisitionTime = data.ContentTime = "100000"
    data.ImageOrientationPatient = [round(v, 6) for v in (*ROW, *COLUMN)]
    data.ImagePositionPatient = [round(v, 4) for v in np.array([-50, -40, 60]) + APEX * z * 9.0]
    data.PixelSpacing, data.Rows, data.Columns = [1.25, 1.25], ROWS, COLUMNS
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    pixels = 100 * z + 20 * t + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    data.PixelData = pixels.astype("<u2").tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dicom") / "sub-1"
    folder.mkdir()
    for z in range(SLICES):
        for t in range(FRAMES):
            write(folder / f"i{z}{t}", z, t)
    return folder


@pytest.fixture
def folder(healthy, tmp_path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "raw" / "sub-1"))


def sane(ended) -> None:
    """A value is finite, and its frames and slices are those that are said."""
    if ended.refused:
        return
    for content in ended.value.files.values():
        if hasattr(content, "frame_times_ms"):
            assert np.isfinite(content.array).all()
            assert np.isfinite(content.affine).all()
            times = content.frame_times_ms
            assert times is None or (np.diff(times) > 0).all()


def test_the_healthy_one_is_read(folder, ingest, cine):
    scan = cine(ingest("dicom", folder))
    assert sorted(scan.array.shape) == sorted((COLUMNS, ROWS, SLICES, FRAMES))
    assert scan.spacing_mm == pytest.approx((1.25, 1.25, 9.0))
    assert np.allclose(scan.frame_times_ms, np.arange(FRAMES) * 130.0)
    assert scan.array.max() == 200 + 100 + ROWS * COLUMNS - 1


# ---------------------------------------------------------------------------- values of elements

ODD = {
    "DS": [b"", b"abc", b"NaN", b"inf", b"1e400", b"-1", b"0", b"1,5", b"1\\2\\3\\4\\5\\6\\7",
           b"\xff\xfe", b"9" * 64],
    "IS": [b"", b"abc", b"-1", b"0", b"1.5", b"99999999999999999999", b"1\\2", b"\xff"],
    "US": [b"", b"\0", b"\0\0", b"\xff\xff", b"\1\0\2\0"],
    "UI": [b"", b"abc", b"1.2.3", b"1" * 200, b"\xff\xfe"],
    "CS": [b"", b"DERIVED\\SECONDARY\\P", b"\xff" * 20, b"A" * 500],
    "LO": [b"", b"\xff\xfe\\x", b"a\\b\\c", b"x" * 5000],
    "TM": [b"", b"abc", b"999999", b"10:00:00"],
}  # fmt: skip
TAGS = {
    "ImagePositionPatient": "DS", "ImageOrientationPatient": "DS", "PixelSpacing": "DS",
    "SliceThickness": "DS", "TriggerTime": "DS", "EchoTime": "DS", "NominalInterval": "IS",
    "MagneticFieldStrength": "DS", "RescaleSlope": "DS", "RescaleIntercept": "DS",
    "InstanceNumber": "IS", "SeriesNumber": "IS", "AcquisitionNumber": "IS",
    "NumberOfFrames": "IS", "Rows": "US", "Columns": "US", "BitsAllocated": "US",
    "BitsStored": "US", "HighBit": "US", "PixelRepresentation": "US", "SamplesPerPixel": "US",
    "SeriesInstanceUID": "UI", "FrameOfReferenceUID": "UI", "SOPInstanceUID": "UI",
    "ImageType": "CS", "PhotometricInterpretation": "CS", "Modality": "CS", "Manufacturer": "LO",
    "PatientID": "LO", "AcquisitionTime": "TM", "ContentTime": "TM",
}  # fmt: skip
LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT"}


def with_value(data: bytes, keyword: str, vr: str, value: bytes) -> bytes:
    """Return a file's bytes with an element's value replaced (or put in) as it stands."""
    tag = pydicom.tag.Tag(keyword)
    value = value + (b"" if len(value) % 2 == 0 else b" " if vr != "UI" else b"\0")
    element = struct.pack("<HH", tag.group, tag.element) + vr.encode()
    element += struct.pack("<H", len(value)) + value
    start = 132
    start += 12 + struct.unpack_from("<I", data, start + 8)[0]  # the group of the file's own meta
    place = start
    while place < len(data):
        group, number = struct.unpack_from("<HH", data, place)
        if data[place + 4 : place + 6] in LONG:
            end = place + 12 + struct.unpack_from("<I", data, place + 8)[0]
        else:
            end = place + 8 + struct.unpack_from("<H", data, place + 6)[0]
        if (group, number) == (tag.group, tag.element):
            return data[:place] + element + data[end:]
        if (group, number) > (tag.group, tag.element):
            break
        place = end
    return data[:place] + element + data[place:]


CASES = [
    pytest.param(keyword, vr, value, id=f"{keyword}={value[:9]!r}")
    for keyword, vr in TAGS.items()
    for value in ODD[vr]
]


@pytest.mark.parametrize(("keyword", "vr", "value"), CASES)
def test_value_of_an_element_in_all_files(folder, ingest, keyword, vr, value):
    for path in folder.iterdir():
        path.write_bytes(with_value(path.read_bytes(), keyword, vr, value))
    sane(ingest("dicom", folder))


@pytest.mark.parametrize(("keyword", "vr", "value"), CASES[::3])
def test_value_of_an_element_in_one_file(folder, ingest, keyword, vr, value):
    """One odd file of 18: never a stack that has lost a slice without a word."""
    path = folder / "i12"
    path.write_bytes(with_value(path.read_bytes(), keyword, vr, value))
    ended = ingest("dicom", folder)
    sane(ended)
    if not ended.refused:
        values = ended.value.values
        whole = (values["n_slices"], values["n_frames"]) == (SLICES, FRAMES)
        assert whole or int(values.get("images_left_out", 0)) > 0, values


# ---------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.14, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("all_files", [True, False])
def test_truncated(folder, ingest, share, all_files):
    for path in folder.iterdir() if all_files else [folder / "i12"]:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
    ended = ingest("dicom", folder)
    sane(ended)
    if all_files and share < 0.9:
        assert ended.refused


@pytest.mark.parametrize("seed", range(60))
def test_bits_flipped(folder, ingest, seed):
    rng = np.random.default_rng([seed, 3])
    for path in sorted(folder.iterdir()) if seed % 2 else [folder / "i12"]:
        data = bytearray(path.read_bytes())
        for place in rng.integers(128, len(data), rng.integers(1, 5)):
            data[place] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(data))
    sane(ingest("dicom", folder))


def edit(folder: Path, change) -> None:
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        change(data)
        data.save_as(path)


def nested(depth: int) -> Dataset:
    item = Dataset()
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Sequence([item])
        item = outer
    return item


def _set(**values):
    def change(data):
        for name, value in values.items():
            setattr(data, name, value)

    return change


CHANGES = {
    "no pixels": lambda d: d.__delattr__("PixelData"),
    "few pixels": _set(PixelData=b"\1\2"),
    "many pixels": _set(PixelData=bytes(10**6)),
    "65535 x 65535": _set(Rows=65535, Columns=65535),
    "a million million frames": _set(NumberOfFrames=10**9, Rows=65535, Columns=65535),
    "8 bits": _set(BitsAllocated=8, BitsStored=8, HighBit=7),
    "1 bit": _set(BitsAllocated=1, BitsStored=1, HighBit=0),
    "64 bits": _set(BitsAllocated=64, BitsStored=64, HighBit=63),
    "more bits stored than there are": _set(BitsStored=40, HighBit=39),
    "colours": _set(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0),
    "palette": _set(PhotometricInterpretation="PALETTE COLOR"),
    "slope NaN": _set(RescaleSlope="NaN", RescaleIntercept="0"),
    "slope 0": _set(RescaleSlope=0, RescaleIntercept=0),
    "slope huge": _set(RescaleSlope=1e38, RescaleIntercept=1e38),
    "one position": _set(ImagePositionPatient=[0, 0, 0]),
    "far away": _set(ImagePositionPatient=[1e30, 0, 0]),
    "flat axes": _set(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
    "zero axes": _set(ImageOrientationPatient=[0] * 6),
    "tiny pixels": _set(PixelSpacing=[1e-30, 1e-30]),
    "huge pixels": _set(PixelSpacing=[1e30, 1e30]),
    "one trigger time": _set(TriggerTime=0),
    "negative interval": _set(NominalInterval=-800),
    "other patients": lambda d: setattr(d, "PatientID", str(d.InstanceNumber)),
    "one UID": _set(SOPInstanceUID="1.2.3"),
    "a CT": _set(Modality="CT"),
    "nested deeply": _set(ReferencedSeriesSequence=Sequence([nested(60)])),
    "empty per-frame groups": _set(PerFrameFunctionalGroupsSequence=Sequence([]), NumberOfFrames=5),
    "per-frame groups of nothing": _set(
        PerFrameFunctionalGroupsSequence=Sequence([Dataset()] * 5), NumberOfFrames=5
    ),
    "more frames than groups": _set(
        PerFrameFunctionalGroupsSequence=Sequence([Dataset()] * 2), NumberOfFrames=50
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change(folder, ingest, name):
    edit(folder, CHANGES[name])
    sane(ingest("dicom", folder))


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", "1.2.3", "", "x"],
)
def test_pixels_said_to_be_compressed(folder, ingest, syntax):
    for path in folder.iterdir():
        data = path.read_bytes()
        old = b"1.2.840.10008.1.2.1\0"
        assert data.count(old) == 1
        path.write_bytes(data.replace(old, syntax.encode().ljust(len(old), b"\0")[: len(old)]))
    sane(ingest("dicom", folder))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("DICOMDIR", b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\0\0\0\0"),
        ("notes.txt", b"hello"),
        (".hidden", b"\xff" * 100),
        ("._i00", b"\0\5\26\7" + bytes(100)),
        ("empty", b""),
        ("long", b"\x08\x00\x05\x00" + b"\xff" * 1000),
        ("html", b"<html>" * 100),
        ("undefined", b"\0" * 128 + b"DICM" + b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" * 200),
    ],
)
def test_strangers_beside_the_images_change_nothing(folder, ingest, cine, name, content):
    before = cine(ingest("dicom", folder))
    (folder / name).write_bytes(content)
    after = cine(ingest("dicom", folder))
    assert np.array_equal(before.array, after.array)


def test_nothing_but_strangers(tmp_path, ingest):
    folder = tmp_path / "raw" / "sub-1"
    folder.mkdir(parents=True)
    assert ingest("dicom", folder).refused
    for number in range(5):
        (folder / f"{number}").write_bytes(bytes(number * 100))
    assert ingest("dicom", folder).refused
