"""K-space files, MATLAB's and BART's, contours, and facts of simulated subjects."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from popscan.io.bart import read_cfl
from popscan.io.contours import find_contours, read_polygon
from popscan.io.kspace import read_kspace, read_kspace_mat, write_kspace
from popscan.io.simulated import write_simulated
from popscan.records import KSpace, LabelMap, Scan

NAN, INF = float("nan"), float("inf")
REASONS = {"bad_header", "truncated_file", "not_kspace", "file_missing"}


def healthy() -> KSpace:
    rng = np.random.default_rng(1)
    data = rng.normal(size=(2, 8, 6, 3, 4)) + 1j * rng.normal(size=(2, 8, 6, 3, 4))
    mask = np.ones((6, 4), bool)
    mask[1] = False
    data[:, :, 1] = 0
    return KSpace(
        data=data.astype(np.complex64),
        mask=mask,
        affine=np.diag([2.0, 2.0, 10.0, 1.0]),
        spacing_mm=(2.0, 2.0, 10.0),
        frame_times_ms=np.arange(4) * 200.0,
        meta={"rr_ms": 800.0},
    )


@pytest.fixture
def path(tmp_path) -> Path:
    write_kspace(tmp_path / "k.h5", healthy())
    return tmp_path / "k.h5"


def replace(path: Path, name: str, make) -> None:
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        make(file, name)


def dataset(value, **options):
    return lambda file, name: file.create_dataset(name, data=value, **options)


FAULTS = {
    "missing": lambda file, name: None,
    "text": dataset("text"),
    "texts": dataset([b"a", b"b"]),
    "scalar": dataset(3.0),
    "empty": dataset(np.zeros((0,))),
    "1D": dataset(np.ones(7)),
    "7D": dataset(np.ones((1,) * 7)),
    "integers": dataset(np.ones((4, 4), int)),
    "NaN": dataset(np.full((4, 4), NAN)),
    "compound": dataset(np.zeros(3, [("a", "f4"), ("b", "S3"), ("c", "i2")])),
    "ragged": lambda file, name: file.create_dataset(name, (3,), dtype=h5py.vlen_dtype(np.int32)),
    "group": lambda file, name: file.create_group(name),
    "soft link to itself": lambda file, name: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
    "link to a file": lambda file, name: file.__setitem__(
        name, h5py.ExternalLink("/etc/passwd", "/a")
    ),
    "stored elsewhere": lambda file, name: file.create_dataset(
        name, (4, 4), "f8", external=[("/etc/passwd", 0, 128)]
    ),
    "a million million": lambda file, name: file.create_dataset(
        name, (10**6, 10**6), "f8", chunks=(1, 1024)
    ),
    "never written": lambda file, name: file.create_dataset(name, (4, 4), "f8"),
    "references": lambda file, name: file.create_dataset(name, (2,), dtype=h5py.ref_dtype),
    "opaque": dataset(np.void(b"abc")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["lines", "mask", "affine", "spacing_mm", "frame_times_ms"])
def test_dataset_of_another_kind(path, end, name, fault):
    replace(path, name, FAULTS[fault])
    ended = end(read_kspace, path)
    assert ended.reason in {"", *REASONS}
    if fault not in ("missing", "NaN", "integers"):
        assert ended.refused


@pytest.mark.parametrize(
    "value", [NAN, INF, "x", 3, b"\xff", [1, 2], json.dumps([1]), "{", "[" * 5000, "null"]
)
@pytest.mark.parametrize("name", ["format", "view", "meta"])
def test_attribute_of_another_kind(path, end, name, value):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    assert end(read_kspace, path).reason in {"", *REASONS}


@pytest.mark.parametrize("name", ["format", "view", "meta"])
def test_attribute_missing(path, end, name):
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
    assert end(read_kspace, path).reason in REASONS


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_truncated(path, end, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert end(read_kspace, path).reason in REASONS


@pytest.mark.parametrize("seed", range(40))
def test_bits_flipped(path, end, seed):
    rng = np.random.default_rng([seed, 5])
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, 3000, rng.integers(1, 4)):
        data[place] ^= 1 << rng.integers(8)
    path.write_bytes(bytes(data))
    ended = end(read_kspace, path)
    assert ended.reason in {"", *REASONS}


# --------------------------------------------------------------------------- other k-space files


@pytest.mark.parametrize("fault", FAULTS)
def test_matlab_variable_of_another_kind(tmp_path, end, fault):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        FAULTS[fault](file, "raw")
    assert end(read_kspace_mat, path).refused


@pytest.mark.parametrize(
    "text",
    ["", "# Dimensions\n", "# Dimensions\nx y\n", "# Dimensions\n2 2\n", "# Dimensions\n-2 -2\n",
     "# Dimensions\n" + "9 " * 5000, "# Dimensions\n1000000 1000000\n", "# Dimensions\n1.5\n",
     "# Dimensions\n0\n", "# Dimensions\n" + "9" * 5000 + "\n", "\0" * 100],
    ids=range(11),
)  # fmt: skip
def test_bart_header(tmp_path, end, text):
    (tmp_path / "a.hdr").write_text(text)
    (tmp_path / "a.cfl").write_bytes(bytes(24))
    assert end(read_cfl, tmp_path / "a").refused


def test_bart_header_that_is_no_text(tmp_path, end):
    (tmp_path / "a.hdr").write_bytes(b"\xff\xfe\0")
    (tmp_path / "a.cfl").write_bytes(bytes(24))
    assert end(read_cfl, tmp_path / "a").refused


# --------------------------------------------------------------------------------------- contours

POLYGONS = {
    "": True, "\n\n": True, "1 2\n3 4\n": True, "1 2\n3 4\n5 6 7\n": True, "a b\nc d\ne f\n": True,
    "1,2\n3,4\n5,6\n": True, "1 2\n3 4\n5 nan\n": True, "1 2\n3 4\n5 inf\n": True,
    "1 2\n3 4\n5 1e999\n": True, "1\n2\n3\n": True, "1 2\n3 4\n5 6\n": False,
    "1.5\t2.5\n3 4\n\n5 6": False, "1e1 2e1\n3 4\n5 6\n": False, "\0" * 30: True,
    "1 2\n" * 250_000: False, "1 2\n" * 300_000: True, "９ 1\n2 2\n3 3\n": True,
    "1_0 2\n3 4\n5 6\n": True,
}  # fmt: skip


@pytest.mark.parametrize("text", POLYGONS, ids=range(len(POLYGONS)))
def test_contour(tmp_path, end, text):
    path = tmp_path / "IM-0001-0048-icontour-manual.txt"
    path.write_text(text)
    ended = end(read_polygon, path)
    assert (ended.reason == "bad_contour") is POLYGONS[text], ended


@pytest.mark.parametrize("data", [b"\xff\xfe1\0", b"1 2\n3 4\n5 \xe9\n"])
def test_contour_bytes(tmp_path, end, data):
    (tmp_path / "a.txt").write_bytes(data)
    assert end(read_polygon, tmp_path / "a.txt").reason == "bad_contour"


@pytest.mark.parametrize(
    "name",
    ["x.txt", "icontour-manual.txt", "IM-" + "9" * 200 + "-icontour-manual.txt", "-.txt"],
)
def test_name_of_a_contour(tmp_path, end, name):
    (tmp_path / name).write_text("1 2\n3 4\n5 6\n")
    ended = end(find_contours, tmp_path)
    assert ended.reason in {"", "contours_missing"}


# ------------------------------------------------------------------------------ simulated subjects


@pytest.fixture
def simulated(tmp_path) -> Path:
    folder = tmp_path / "raw" / "sub-1"
    affine = np.diag([-2.0, -2.0, 10.0, 1.0])
    array = np.random.default_rng(0).integers(0, 99, (6, 5, 3, 4)).astype(np.int16)
    scan = Scan(array=array, affine=affine, spacing_mm=(2.0, 2.0, 10.0))
    labels = np.zeros((6, 5, 3, 4), np.uint8)
    labels[2:4, 2:4] = 3
    label_map = LabelMap(array=labels, frames=(0, 1, 2, 3))
    write_simulated(folder, scan=scan, labels=label_map, truth={"lvedv_ml": 120.0})
    return folder


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '{"a": {}}', '{"a": [1]}', '{"a": true}', '{"a": 1e999}',
     '{"a": NaN}', '{"a": ' + "9" * 4000 + "}", '{"a": "\\ud800"}', "[" * 100_000,
     '{"a": 1, "a": 2}', "{" + '"x": 1,' * 20000 + '"y": 2}', '{"": 1}'],
    ids=range(16),
)  # fmt: skip
def test_truth_of_a_simulated_subject(simulated, end, text):
    from popscan.io.simulated import Simulated

    (simulated / "truth.json").write_text(text)
    ended = end(Simulated().load, [str(simulated)])
    assert ended.reason in {"", "bad_sidecar"}
    if not ended.refused:
        assert all(isinstance(v, (str, float)) for v in ended.value.extra.values())
