"""UK Biobank's bulk zips, made up with the layout of the real ones."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mapping_files import (
    MYO,
    regions,
    samples,
    t1_truth_ms,
    write_dicom,
    write_dicom_series,
    write_image,
)
from popscan.io.dicom import Dicom
from popscan.io.ukb import Ukb
from popscan.io.ukb_files import BulkFile
from popscan.io.ukb_manifest import listed_images
from popscan.io.zipped import ZipArchive
from popscan.protocol import load as load_source
from popscan.protocols import get_protocol
from popscan.records import Scan, SubjectError
from popscan.relaxometry.simulate import SHMOLLI, inversion_times_ms
from ukb_files import Image, bulk_name, manifest, series, short_axis, write_zip

EID = "1000012"


def stack(slices=4, frames=6, brightness=1):
    """An oblique short-axis stack whose every voxel is known."""
    apex = np.array([-1.0, 1.0, -1.0]) / np.sqrt(3)
    row = np.array([-1.0, -1.0, 0.0]) / np.sqrt(2)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * 1.8, np.cross(apex, row) * 1.8
    affine[:3, 2], affine[:3, 3] = apex * 10.0, [5.0, -10.0, 20.0]
    x, y, z, t = np.indices((12, 10, slices, frames))
    array = (brightness * (100 * z + 10 * t + 2 * x + y % 2)).astype(np.int16)
    return Scan(array=array, affine=affine, spacing_mm=(1.8, 1.8, 10.0))


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return short_axis(stack(), eid=EID)


def long_axis(name="CINE_segmented_LAX_4Ch"):
    """A four-chamber plane: through the axis of `stack`."""
    scan = stack(slices=1)
    affine = scan.affine.copy()
    affine[:3, 1], affine[:3, 2] = scan.affine[:3, 2] * 0.18, -scan.affine[:3, 1] * 5
    return series(
        Scan(**{**vars(scan), "affine": affine}), 0, eid=EID, instance=2, number=2, name=name
    )


def load(*paths, views=("sax",), protocol=None):
    return Ukb(protocol).load([str(path) for path in paths], views=views)


def reason(*paths, **options):
    with pytest.raises(SubjectError) as caught:
        load(*paths, **options)
    return caught.value.reason


# ------------------------------------------------------------------------------- finding


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(root, protocol=None):
    problems: list[str] = []
    source = Ukb(protocol)
    visits = source.find(root, problems=problems)
    short = {
        f"{v.sub}_{v.ses}": [path.removeprefix(f"{root}/") for path in v.paths] for v in visits
    }
    return short, problems, source.notes


@pytest.mark.parametrize(
    "place", ["{}", "20209/{}", "Bulk/Heart MRI/Short axis/10/{}", "{}".replace("{}", "x/{}")]
)
def test_zips_are_found_loose_by_field_and_as_on_the_platform(tmp_path, place):
    names = [bulk_name(EID, 20209), bulk_name(EID, 20209, 3), bulk_name("2000023", 20209)]
    touch(tmp_path, *(place.format(name) for name in names))
    visits, problems, _ = found(tmp_path)
    assert sorted(visits) == ["sub-1000012_ses-2", "sub-1000012_ses-3", "sub-2000023_ses-2"]
    assert problems == []


def test_fields_of_the_protocol_are_one_visit_and_others_are_noted(tmp_path):
    touch(tmp_path, *(bulk_name(EID, field) for field in (20208, 20209, 20210, 20214)))
    touch(
        tmp_path, bulk_name("1000023", 20213), "ukb.bulk", "wrong.zip", "a/" + bulk_name(EID, 20208)
    )
    visits, problems, notes = found(tmp_path)
    assert visits == {"sub-1000012_ses-2": [bulk_name(EID, 20208), bulk_name(EID, 20209)]}
    assert len(problems) == 2
    assert "another copy" in problems[0]
    assert "1 zips not named" in problems[1]
    assert "20210 aortic distensibility (1), 20213 blood flow (1), 20214 T1 maps" in notes[0]
    assert notes[0].endswith("1 visits have no other bulk file")
    brains, _, _ = found(tmp_path, get_protocol("brain_t1"))
    assert brains == {}


def test_files_of_views_that_are_not_read_are_not_needed():
    paths = [bulk_name(EID, 20208), bulk_name(EID, 20209)]
    assert Ukb().needed(paths, ["sax"]) == paths[1:]
    assert Ukb().needed(paths, ["4ch"]) == paths[:1]
    assert BulkFile.of("1000012_20209_2.zip") is None


# ------------------------------------------------------------------------------- reading


def test_reading_from_the_zip_is_reading_what_is_unpacked(tmp_path, images):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images)
    from_zip = load(path).scans["sax"]
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    unpacked = Dicom().load([str(tmp_path / "unpacked")], views=["sax"]).scans["sax"]
    np.testing.assert_array_equal(from_zip.array, unpacked.array)
    np.testing.assert_array_equal(from_zip.affine, unpacked.affine)
    np.testing.assert_array_equal(from_zip.frame_times_ms, unpacked.frame_times_ms)
    assert from_zip.meta == unpacked.meta
    assert from_zip.array.shape == (12, 10, 4, 6)
    assert from_zip.spacing_mm[2] == pytest.approx(10.0)
    assert from_zip.meta["n_series"] == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, "unpacked"]


def test_long_axis_field_is_read_where_it_is_wanted_and_left_shut_where_not(tmp_path, images):
    sax = write_zip(tmp_path / bulk_name(EID, 20209), images)
    lax = write_zip(tmp_path / bulk_name(EID, 20208), long_axis())
    assert set(load(lax, sax, views=("sax", "2ch", "3ch", "4ch")).scans) >= {"sax"}
    lax.write_bytes(b"no zip")
    assert load(lax, sax).notes == ()
    both = load(lax, sax, views=("sax", "4ch"))
    assert set(both.scans) == {"sax"}
    assert both.notes == ("field 20208 was not read: not_a_zip",)
    assert reason(lax, views=("sax", "4ch")) == "view_missing"


def test_of_several_acquisitions_the_latest_that_can_be_read_is_taken(tmp_path, images):
    first = write_zip(tmp_path / bulk_name(EID, 20209, array=0), images)
    again = short_axis(stack(brightness=2), eid=EID)
    second = write_zip(tmp_path / bulk_name(EID, 20209, array=1), again)
    both = load(first, second)
    assert both.scans["sax"].array.max() == 2 * load(first).scans["sax"].array.max()
    assert both.notes == ("field 20209: 2 acquisitions, array 1 is read",)
    second.write_bytes(second.read_bytes()[:2000])
    old = load(first, second)
    np.testing.assert_array_equal(old.scans["sax"].array, load(first).scans["sax"].array)
    assert "array 0 is read; later ones were not: zip_truncated" in old.notes[0]
    write_zip(second, again[:3])
    assert "array 0 is read; later ones were not: no_cine" in load(first, second).notes[0]
    first.write_bytes(b"PK\x03\x04")
    assert reason(first, second) == "no_cine"


def test_brain_is_read_from_its_nifti_zip(tmp_path):
    import nibabel as nib

    volume = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    data = nib.Nifti1Image(volume, np.diag([-1.0, 1.0, 1.0, 1.0])).to_bytes()
    import gzip

    path = tmp_path / bulk_name(EID, 20252)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("T1/T1_brain.nii.gz", b"not to be read")
        archive.writestr("T1/T1.nii.gz", gzip.compress(data))
    loaded = load(path, views=("t1w",), protocol=get_protocol("brain_t1"))
    np.testing.assert_array_equal(loaded.scans["t1w"].array[..., 0], volume)
    assert loaded.scans["t1w"].view == "t1w"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("T1/T1_brain.nii.gz", gzip.compress(data))
    assert reason(path, views=("t1w",), protocol=get_protocol("brain_t1")) == "view_missing"


# ------------------------------------------------------------------------------- manifest


@pytest.mark.parametrize("name", ["manifest.cvs", "manifest.csv", "Manifest.CSV", ""])
@pytest.mark.parametrize("header", ["filename,patientid,series,date", "FILENAME;Date", ""])
def test_manifests_in_any_state_change_nothing(tmp_path, images, name, header):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images, name=name,
                     listing=manifest(images, header=header))  # fmt: skip
    loaded = load(path)
    assert loaded.notes == ()
    assert loaded.scans["sax"].array.shape == (12, 10, 4, 6)
    assert listed_images(manifest(images, header=header)) == {i.name.lower() for i in images}


def test_images_that_the_manifest_lists_and_the_zip_lacks_are_noted(tmp_path, images):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images[:-2], listing=manifest(images))
    assert load(path).notes == (
        "field 20209: 2 of 30 images that its manifest lists are missing",
    )  # fmt: skip


def test_senseless_manifests_are_ignored(tmp_path, images):
    blanks = "\n" * 10**6 + " " * 10**6 + "a" * 10**6
    for listing in ("\x00\xff,;\n" * 50, "", ",".join(["x"] * 10_000), blanks):
        path = write_zip(tmp_path / bulk_name(EID, 20209), images, listing=listing)
        assert load(path).notes == ()


# ------------------------------------------------------------------------------- traps


def rewritten(path, change):
    """Write the zip again with changed entries."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        change(archive, entries)
        for info, data in entries:
            archive.writestr(info, data)


def link(archive, entries):
    info = zipfile.ZipInfo("1.dcm")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def inner_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.dcm", b"x")
    return stream.getvalue()


TRAPS = {
    "zip_unsafe_name": lambda a, e: a.writestr("../../outside.dcm", b"x"),
    "zip_link": link,
    "zip_duplicate_name": lambda a, e: a.writestr(e[0][0].filename, b"x"),
    "zip_nested": lambda a, e: a.writestr("inner.zip", inner_zip()),
    "zip_too_large": lambda a, e: a.writestr("zeros.dcm", b"\0" * (80 * 2**20)),
    "zip_method": lambda a, e: a.writestr("a.dcm", b"x", compress_type=zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("code", TRAPS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_trap_in_a_zip_is_refused_with_its_own_reason(tmp_path, images, code):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images)
    rewritten(path, TRAPS[code])
    assert reason(path) == code


@pytest.mark.parametrize("name", ["/etc/x.dcm", "C:\\x.dcm", "a\\..\\..\\x.dcm", "a/../../x.dcm"])
def test_names_that_leave_the_folder_are_refused(tmp_path, images, name):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images[:1])
    rewritten(path, lambda a, e: a.writestr(name, b"x"))
    assert reason(path) == "zip_unsafe_name"


def test_archive_under_another_ending_is_nested(tmp_path, images):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images)
    rewritten(path, lambda a, e: a.writestr("9.dcm", inner_zip()))
    assert reason(path) == "zip_nested"


def test_encrypted_zip_is_refused(tmp_path, images):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images[:2], name="")
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1  # the flag that an encrypting packer sets
    path.write_bytes(data)
    assert reason(path) == "zip_encrypted"


@pytest.mark.parametrize("keep", [0, 3, 30, 0.3, 0.99, -1])
def test_truncated_zip_is_refused(tmp_path, images, keep):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images)
    data = path.read_bytes()
    n = int(len(data) * keep) if isinstance(keep, float) else keep
    path.write_bytes(data[:n])
    assert reason(path) == "zip_truncated"


def test_what_is_no_zip_and_what_is_gone(tmp_path):
    path = tmp_path / bulk_name(EID, 20209)
    assert reason(path) == "file_missing"
    path.write_bytes(b"<html>403 Forbidden</html>")
    assert reason(path) == "not_a_zip"
    path.unlink()
    write_zip(path, [], name="")
    assert reason(path) == "no_files"


def test_directory_that_promises_too_much_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / bulk_name(EID, 20209)
    path.write_bytes(
        b"PK\x03\x04" + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 9, 60_000, 9, 9, 0)
    )
    assert reason(path) == "zip_too_large"
    end64 = b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, 10**9, 10**9, 10**12, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, 4, 1)
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    path.write_bytes(b"PK\x03\x04" + end64 + locator + end)
    assert reason(path) == "zip_too_large"


def test_flipped_bytes_never_raise_anything_else(tmp_path, images):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images)
    data, rng = path.read_bytes(), np.random.default_rng(1)
    ends = list(range(len(data) - 3000, len(data), 60)) + list(range(0, 3000, 300))
    outcomes = set()
    for at in ends:
        torn = bytearray(data)
        torn[at : at + 8] = rng.integers(0, 256, 8, dtype=np.uint8).tobytes()
        path.write_bytes(torn)
        try:
            outcomes.add(load(path).scans["sax"].array.shape[:2])
        except SubjectError as error:
            outcomes.add(error.reason)
    assert (12, 10) in outcomes
    assert len(outcomes) > 2


def test_damaged_entry_is_one_damaged_image(tmp_path, images):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images, name="")
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[7].header_offset
    data = bytearray(path.read_bytes())
    data[start + 400 : start + 440] = b"\xff" * 40
    path.write_bytes(data)
    assert reason(path) == "missing_frames"


def test_what_was_read_is_kept_within_its_limit(tmp_path, images, monkeypatch):
    path = write_zip(tmp_path / bulk_name(EID, 20209), images)
    whole = load(path).scans["sax"]
    monkeypatch.setattr("popscan.io.zipped.KEPT_BYTES", 5000)
    np.testing.assert_array_equal(load(path).scans["sax"].array, whole.array)
    with ZipArchive(path) as archive:
        for name in archive.names:
            archive.read(name)
        assert sum(map(len, archive._kept.values())) <= 5000


# ------------------------------------------------------------------------------- T1 maps

T1 = get_protocol("t1_map")
WALL_MS, BLOOD_MS = 960.0, 1550.0


def t1_images(folder, *, series=1, wall_ms=WALL_MS) -> list[Image]:
    """Field 20214 of one slice: raw images with phase, the scanner's map, and its parameters."""
    truth = t1_truth_ms(regions(), wall_ms=wall_ms, blood_ms=BLOOD_MS)
    name = "ShMOLLI_192i_SAX_b2s_SAX_b2s_SAX_b2s"
    write_dicom_series(
        folder, samples(truth), times_ms=inversion_times_ms(SHMOLLI), name=name, series=series
    )
    for number, ending in enumerate(("T1MAP", "FITPARAMS"), 2):
        write_dicom(
            folder / f"{ending}.dcm", np.rint(truth[..., 0].T), series=series + number,
            SeriesDescription=f"{name}_{ending}",
        )  # fmt: skip
    files = sorted(folder.glob("*.dcm"))
    return [Image(name=path.name, series=name, data=path.read_bytes()) for path in files]


@pytest.fixture
def t1_zip(tmp_path):
    images = t1_images(tmp_path / "unpacked")
    return write_zip(tmp_path / "bulk" / bulk_name(EID, 20214), images)


def load_t1(*paths, **mapping):
    return Ukb(T1).load([str(path) for path in paths], views=("t1",), mapping=mapping)


@pytest.mark.parametrize("use", ["raw", "map"])
def test_t1_maps_out_of_the_zip_are_those_of_the_unpacked_folder(tmp_path, t1_zip, use):
    loaded = load_t1(t1_zip, use=use)
    folder = load_source("popscan.io.mapping_dicom:DicomMaps")(T1)
    unpacked = folder.load([str(tmp_path / "unpacked")], mapping={"use": use})
    ours, theirs = loaded.scans["t1"], unpacked.scans["t1"]
    np.testing.assert_array_equal(ours.array, theirs.array)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    assert ours.meta == theirs.meta
    assert ours.meta["relaxation"]["kind"] == use
    if use == "map":
        np.testing.assert_allclose(ours.array[regions() == MYO], WALL_MS)


def test_regions_beside_the_zip_are_those_of_the_array_that_is_read(tmp_path, t1_zip):
    later = t1_zip.with_name(bulk_name(EID, 20214, 2, 1))
    write_zip(later, t1_images(tmp_path / "later", series=11, wall_ms=1100.0))
    for path in (t1_zip, later):
        write_image(Path(str(path).replace(".zip", "_dseg.nii.gz")), regions())
    visits, problems, notes = found(tmp_path / "bulk", T1)
    (names,) = visits.values()
    assert [name.removesuffix(".gz")[-8:] for name in names] == [
        "_2_0.zip", "_2_1.zip", "dseg.nii", "dseg.nii",
    ]  # fmt: skip
    assert (problems, notes) == ([], [])
    paths = [str(tmp_path / "bulk" / name) for name in names]
    assert Ukb(T1).needed(paths, ["t1"]) == paths
    loaded = load_t1(*paths, use="map")
    labels = loaded.labels["t1"].array[..., 0]
    assert np.allclose(loaded.scans["t1"].array[..., 0][labels == MYO], 1100.0)
    assert any("regions of array 0 are of images that are not read" in n for n in loaded.notes)


def test_regions_of_another_grid_do_not_cost_the_images(t1_zip):
    drawn = Path(str(t1_zip).replace(".zip", "_dseg.nii.gz"))
    write_image(drawn, regions(20))
    loaded = load_t1(t1_zip, drawn)
    assert loaded.labels == {}
    assert loaded.label_problems["t1"].reason == "label_mismatch"
    assert "t1" in loaded.scans


def test_regions_without_their_zip_are_no_visit_and_are_said(tmp_path):
    touch(tmp_path, f"{EID}_20214_2_0_dseg.nii.gz", "notes_dseg.nii.gz")
    visits, problems, _ = found(tmp_path, T1)
    assert visits == {}
    assert [p.rsplit(": ", 1)[1] for p in problems] == ["regions without a bulk file"]
    # No view of cines takes them.
    assert found(tmp_path) == ({}, [], [])


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda data: data[: len(data) // 2], {"zip_truncated", "zip_damaged", "not_a_zip"}),
        (lambda data: b"", {"zip_truncated", "not_a_zip"}),
    ],
)
def test_a_damaged_t1_zip_has_a_reason(t1_zip, spoil, expected):
    t1_zip.write_bytes(spoil(t1_zip.read_bytes()))
    with pytest.raises(SubjectError) as caught:
        load_t1(t1_zip)
    assert caught.value.reason in expected


def test_a_t1_zip_without_inversion_times_or_map_says_so(tmp_path):
    images = [image for image in t1_images(tmp_path / "x") if "FITPARAMS" in image.name]
    path = write_zip(tmp_path / bulk_name(EID, 20214), images)
    with pytest.raises(SubjectError, match="called a T1 map") as caught:
        load_t1(path)
    assert caught.value.reason == "no_times"
