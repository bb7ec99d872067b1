"""Reference labels that are odd, torn or of another grid: the image stays."""

from __future__ import annotations

import gzip
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


# -------------------------------------------------------------------------------------- labels


def labelled(folder: Path, plain: bytes, array: np.ndarray, **options) -> None:
    put(folder, plain)
    image = nib.Nifti1Image(array, options.get("affine", AFFINE), **options.get("init", {}))
    image.to_filename(folder / "sub-1_sax_dseg.nii.gz")


def good_labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:7, 2:7, 1:3, 0] = 2
    labels[3:6, 3:6, 1:3, 0] = 3
    return labels


ODD_LABELS = {
    "code 9": lambda a: np.where(a == 3, 9, a),
    "code 255": lambda a: np.where(a == 3, 255, a),
    "code 500": lambda a: np.where(a == 3, 500, a.astype(np.int16)),
    "code -1": lambda a: np.where(a == 3, -1, a.astype(np.int16)),
    "halves": lambda a: a * np.float32(0.5),
    "NaN": lambda a: np.where(a == 3, np.float32("nan"), a),
    "infinite": lambda a: np.where(a == 3, np.float32("inf"), a),
    "huge": lambda a: np.where(a == 3, np.float32(1e30), a),
    "empty": lambda a: a * 0,
    "all one": lambda a: a * 0 + 1,
    "one frame": lambda a: a[..., :1],
    "3D": lambda a: a[..., 0],
    "too many frames": lambda a: np.concatenate([a, a], axis=3),
    "other matrix": lambda a: a[:-1],
    "fewer slices": lambda a: a[:, :, :-1],
    "transposed": lambda a: a.transpose(1, 0, 2, 3),
    "2D": lambda a: a[:, :, 0, 0],
    "5D": lambda a: a[..., None, None] + np.zeros((1, 1, 1, 1, 1, 2), np.uint8),
    "complex": lambda a: a.astype(np.complex64),
    "colours": lambda a: np.stack([a] * 3, axis=-1).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[
        ..., 0
    ],
}


@pytest.mark.parametrize("name", ODD_LABELS)
def test_odd_labels_do_not_lose_the_image(folder, plain, ingest, cine, name):
    """Bad labels cost the reference, not the subject."""
    labelled(folder, plain, ODD_LABELS[name](good_labels()))
    assert cine(ingest("bids", folder)).array.size == np.prod(SHAPE)


@pytest.mark.parametrize("data", [b"", b"x" * 400, b"\x1f\x8b\x08", raw_bytes()[:600]])
def test_torn_labels_do_not_lose_the_image(folder, plain, ingest, cine, data):
    put(folder, plain)
    (folder / "sub-1_sax_dseg.nii.gz").write_bytes(data)
    assert cine(ingest("bids", folder)).array.size == np.prod(SHAPE)


@pytest.mark.parametrize(
    "text", ['{"frames": "all"}', '{"frames": [99]}', '{"frames": [-1]}', '{"frames": [true]}', "{"]
)
def test_sidecar_of_labels(folder, plain, ingest, cine, text):
    labelled(folder, plain, good_labels())
    (folder / "sub-1_sax_dseg.json").write_text(text)
    assert cine(ingest("bids", folder)).array.size == np.prod(SHAPE)
