"""NIfTI of others: headers, bytes and sidecars that are odd, torn or hostile."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

NAN, INF = float("nan"), float("inf")
SHAPE = (9, 8, 4, 12)
TURN = np.linalg.qr(np.array([[-1.0, -0.7, 0.6], [1.0, -0.7, 0.6], [0.1, 0.8, 0.9]]))[0]
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN * [1.5, 1.25, 8.0]


def header_and_pixels() -> tuple[nib.Nifti1Header, np.ndarray]:
    array = np.random.default_rng(1).integers(0, 900, SHAPE).astype(np.int16)
    image = nib.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 70.0
    image.set_qform(AFFINE, code="scanner")
    image.set_sform(AFFINE, code="scanner")
    image.header["vox_offset"] = 352
    image.header["magic"] = b"n+1"
    return image.header, array


def raw_bytes() -> bytes:
    header, array = header_and_pixels()
    return header.binaryblock + b"\0\0\0\0" + array.tobytes(order="F")


@pytest.fixture(scope="module")
def plain() -> bytes:
    return raw_bytes()


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "raw" / "sub-1"
    path.mkdir(parents=True)
    return path


def put(folder: Path, data: bytes, *, name: str = "sub-1_sax.nii.gz") -> None:
    packed = gzip.compress(data, 1, mtime=0) if name.endswith(".gz") else data
    (folder / name).write_bytes(packed)


def test_the_healthy_one_is_read(folder, plain, ingest, cine):
    put(folder, plain)
    scan = cine(ingest("bids", folder))
    assert sorted(scan.array.shape) == sorted(SHAPE)
    assert np.allclose(sorted(scan.spacing_mm), [1.25, 1.5, 8.0], atol=1e-4)
    assert scan.frame_times_ms is not None
    assert np.allclose(scan.frame_times_ms, np.arange(12) * 70.0)


# ------------------------------------------------------------------------------------- headers

FIELDS = {
    "dim[0]": ("<h", 40, [0, 1, 2, 3, 5, 7, 8, -1, 32767]),
    "dim[1]": ("<h", 42, [0, 1, 8, -9, 32767]),
    "dim[3]": ("<h", 46, [0, 1, 5, -4, 32767]),
    "dim[4]": ("<h", 48, [0, 1, 13, -12, 32767]),
    "dim[5]": ("<h", 50, [0, 2, -1, 32767]),
    "datatype": (
        "<h", 70,
        [0, 1, 2, 8, 16, 32, 64, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, 9999],
    ),
    "bitpix": ("<h", 72, [0, 8, -16, 32767]),
    "pixdim[0]": ("<f", 76, [0, -1, 5, NAN]),
    "pixdim[1]": ("<f", 80, [0, -1.5, NAN, INF, 1e30, 1e-30]),
    "pixdim[3]": ("<f", 88, [0, -8, NAN, INF, 1e30]),
    "pixdim[4]": ("<f", 92, [0, -70, NAN, INF, 1e30, 1e-30]),
    "vox_offset": ("<f", 108, [0, 351.5, 348, -352, NAN, INF, 1e9, 1e30]),
    "scl_slope": ("<f", 112, [0, -1, NAN, INF, 1e38, 1e-38]),
    "scl_inter": ("<f", 116, [NAN, INF, 1e38, -1e38]),
    "xyzt_units": ("<B", 123, [0, 1, 3, 7, 9, 10, 18, 24, 26, 32, 63, 255]),
    "qform_code": ("<h", 252, [0, -1, 99]),
    "sform_code": ("<h", 254, [0, -1, 99]),
    "quatern_b": ("<f", 256, [NAN, INF, 5, -1]),
    "srow_x[0]": ("<f", 280, [NAN, INF, 0, 1e30, -1.5]),
    "srow_x[3]": ("<f", 292, [NAN, INF, 1e30]),
    "srow_z[2]": ("<f", 320, [NAN, 0, 1e-30, 1e30]),
    "magic": ("<I", 344, [0, 0x0031696E, 0x00326E6E, 0xFFFFFFFF]),
    "sizeof_hdr": ("<i", 0, [0, 349, 540, -1, 1543569408]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [pytest.param(name, v, id=f"{name}={v}") for name, (_, _, vs) in FIELDS.items() for v in vs],
)
def test_header_field(folder, plain, ingest, field, value):
    form, offset, _ = FIELDS[field]
    data = bytearray(plain)
    struct.pack_into(form, data, offset, value)
    put(folder, bytes(data))
    ended = ingest("bids", folder)
    if ended.refused:
        return
    (scan,) = (v for v in ended.value.files.values() if hasattr(v, "frame_times_ms"))
    assert np.isfinite(scan.array).all()
    assert np.isfinite(scan.affine).all()
    assert 0 < min(scan.spacing_mm) <= max(scan.spacing_mm) <= 40
    if scan.frame_times_ms is not None:
        assert np.isfinite(scan.frame_times_ms).all()


@pytest.mark.parametrize("shape", [(32767,) * 3, (32767, 32767, 1, 1), (1, 1, 1, 1), (2, 2, 2, 2)])
@pytest.mark.parametrize("name", ["sub-1_sax.nii", "sub-1_sax.nii.gz"])
def test_header_that_promises_another_image(folder, plain, ingest, shape, name):
    data = bytearray(plain)
    struct.pack_into(f"<{len(shape) + 1}h", data, 40, len(shape), *shape)
    put(folder, bytes(data), name=name)
    ended = ingest("bids", folder)
    if shape[0] > 9:
        assert ended.reason in {"bad_header", "truncated_file"}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dims", [(10**6, 10**6, 1), (2**31, 2, 2), (2**62, 4, 4), (-5, 4, 4)])
def test_second_format_that_promises_a_million_million_voxels(folder, ingest, dims, order):
    data = bytearray(540)
    struct.pack_into(f"{order}i8s", data, 0, 540, b"n+2\0\r\n\x1a\n")
    struct.pack_into(f"{order}hh8q", data, 12, 4, 16, 3, *dims, 1, 1, 1, 1)
    put(folder, bytes(data) + bytes(4000))
    assert ingest("bids", folder).reason in {"bad_header", "truncated_file", "wrong_dimensions"}


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8", "<u1", "<i8"])
def test_the_same_values_in_every_type_give_the_same_scan(folder, plain, ingest, cine, dtype):
    array = header_and_pixels()[1] % 200
    image = nib.Nifti1Image(array.astype(dtype), AFFINE, dtype=dtype[1:])
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 70.0
    if dtype[0] == ">":
        big = image.header.as_byteswapped(">")
        big["vox_offset"], big["magic"] = 352, b"n+1"
        put(folder, big.binaryblock + b"\0\0\0\0" + array.astype(dtype).tobytes(order="F"))
    else:
        image.to_filename(folder / "sub-1_sax.nii.gz")
    scan = cine(ingest("bids", folder))
    assert sorted(np.unique(scan.array)) == sorted(np.unique(array))
    assert scan.array.sum(dtype=float) == array.sum(dtype=float)


# --------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.99, 0.999])
@pytest.mark.parametrize("name", ["sub-1_sax.nii", "sub-1_sax.nii.gz"])
def test_truncated(folder, plain, ingest, share, name):
    put(folder, plain, name=name)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * share)])
    assert ingest("bids", folder).reason in {"truncated_file", "not_an_image"}


@pytest.mark.parametrize("seed", range(60))
def test_bits_flipped_in_the_header(folder, plain, ingest, seed):
    rng = np.random.default_rng([seed, 1])
    data = bytearray(plain)
    for place in rng.integers(0, 352, rng.integers(1, 6)):
        data[place] ^= 1 << rng.integers(8)
    put(folder, bytes(data), name=("sub-1_sax.nii", "sub-1_sax.nii.gz")[seed % 2])
    ended = ingest("bids", folder)
    if not ended.refused:
        assert ended.value.values["n_frames"] >= 1


@pytest.mark.parametrize("seed", range(30))
def test_bits_flipped_in_compressed_bytes_are_found(folder, plain, ingest, seed):
    rng = np.random.default_rng([seed, 2])
    put(folder, plain)
    path = folder / "sub-1_sax.nii.gz"
    data = bytearray(path.read_bytes())
    data[rng.integers(10, len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(bytes(data))
    assert ingest("bids", folder).reason in {"truncated_file", "bad_header", "not_an_image"}


@pytest.mark.parametrize(
    "content",
    [
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00" + bytes(20),
        b"<html>404</html>" * 30,
        bytes(348),
        b"\xff" * 5000,
        b"/annex/objects/MD5E-s123--abc.nii.gz\n",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        gzip.compress(gzip.compress(raw_bytes())),
        gzip.compress(b""),
        gzip.compress(raw_bytes()) + gzip.compress(b"more"),
        gzip.compress(raw_bytes() + bytes(200 * 2**20), 9),
        gzip.compress(raw_bytes()) + b"garbage after the end",
    ],
    ids=range(12),
)
def test_content_of_another_kind(folder, ingest, content):
    (folder / "sub-1_sax.nii.gz").write_bytes(content)
    ingest("bids", folder)


def test_folder_and_dead_link_in_place_of_a_file(folder, ingest):
    (folder / "sub-1_sax.nii.gz").mkdir()
    assert ingest("bids", folder).refused
    (folder / "sub-1_sax.nii.gz").rmdir()
    (folder / "sub-1_sax.nii.gz").symlink_to(folder / "nowhere")
    assert ingest("bids", folder).refused


def test_plain_bytes_under_a_compressed_name(folder, plain, ingest, cine):
    (folder / "sub-1_sax.nii.gz").write_bytes(plain)
    assert cine(ingest("bids", folder)).array.size == np.prod(SHAPE)


def test_compressed_bytes_under_a_plain_name(folder, plain, ingest, cine):
    (folder / "sub-1_sax.nii").write_bytes(gzip.compress(plain))
    assert cine(ingest("bids", folder)).array.size == np.prod(SHAPE)


# ------------------------------------------------------------------------------------ sidecars

ODD = ["text", "", None, True, [], {}, [1, "a"], {"a": 1}, -1, 0, 1e308, 10**30, "NaN", [None]]
KEYS = [
    "RRInterval", "HeartRate", "Manufacturer", "ManufacturersModelName", "MagneticFieldStrength",
    "SliceThickness", "EchoTime", "frame_times_ms", "spacing_mm", "view", "meta",
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize("key", KEYS)
def test_sidecar_value(folder, plain, ingest, key, value):
    put(folder, plain)
    (folder / "sub-1_sax.json").write_text(json.dumps({key: value}))
    ended = ingest("bids", folder)
    assert ended.reason in {"", "bad_sidecar", "bad_frame_times", "bad_view"}, ended


@pytest.mark.parametrize("value", ODD, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize(
    "key", ["rr_ms", "heart_rate_bpm", "manufacturer", "field_strength_t", "frame_labels"]
)
def test_sidecar_meta_value(folder, plain, ingest, key, value):
    put(folder, plain)
    (folder / "sub-1_sax.json").write_text(json.dumps({"meta": {key: value}}))
    ended = ingest("bids", folder)
    assert ended.reason in {"", "bad_sidecar"}, ended


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "3",
        "[]",
        "[1]",
        '"x"',
        "{",
        "{}",
        '{"a": 1, "a": 2}',
        '{"HeartRate": NaN}',
        '{"HeartRate": Infinity}',
        '{"HeartRate": -Infinity, "RRInterval": 1e999}',
        '{"HeartRate": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"meta": ' + "[" * 990 + "]" * 990 + "}",
        '{"frame_times_ms": [0, 70]}',
        '{"frame_times_ms": [0, 70, 60, 1, 2, 3, 4, 5, 6, 7, 8, 9]}',
        '{"frame_times_ms": "0 1 2 3 4 5 6 7 8 9 10 11"}',
        '{"frame_times_ms": [[0], [1]]}',
        '{"spacing_mm": [1, 1]}',
        '{"spacing_mm": [NaN, 1, 1]}',
        '{"spacing_mm": [1e308, 1, 1]}',
        "\ufeff{}",
        "{'HeartRate': 60}",
        '{"Manufacturer": "\\ud800"}',
        '{"\\u0000": 1}',
    ],
    ids=range(26),
)
def test_sidecar_text(folder, plain, ingest, text):
    put(folder, plain)
    (folder / "sub-1_sax.json").write_text(text)
    ended = ingest("bids", folder)
    assert ended.reason in {"", "bad_sidecar", "bad_frame_times"}, ended


@pytest.mark.parametrize("data", [b"\xff\xfe{\0}\0", b'{"a": "\xe9"}', bytes(100)])
def test_sidecar_bytes(folder, plain, ingest, data):
    put(folder, plain)
    (folder / "sub-1_sax.json").write_bytes(data)
    assert ingest("bids", folder).reason == "bad_sidecar"
