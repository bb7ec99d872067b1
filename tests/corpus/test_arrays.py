"""Arrays of another study or of an earlier run (``.npz``): read right, or named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from popscan.npzfile import read_npz
from popscan.protocols import get_protocol
from popscan.stages.atlas.stored import load_arrays
from popscan.stages.rca.task import _foreign
from popscan.train.packs import read_pack


def healthy() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, unit=np.array(["a", "b"]), image=np.arange(600.0).reshape(2, 300))
    return stream.getvalue()


def member(data: bytes, name: str = "a.npy") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def npy(text: str, data: bytes = b"") -> bytes:
    header = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + data


CONTENTS = [
    b"", b"PK\3\4", b"x" * 500, b"\x93NUMPY\1\0", member(b""), member(b"text"), member(npy("{")),
    member(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}")),
    member(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\x80\4.")),
    member(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-5,)}")),
    member(npy("{'descr': '<f8', 'fortran_order': False, 'shape': 3}")),
    member(npy("{'descr': 'what', 'fortran_order': False, 'shape': (1,)}")),
    member(npy("__import__('os').system('true')")), member(npy("(" * 110)),
    healthy()[:-30], healthy()[:100], healthy()[40:],
]  # fmt: skip


def _of_another_study(path):
    return _foreign(path, path.with_name("out.npz"), protocol=get_protocol("cine_sax"))


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
@pytest.mark.parametrize(
    "reader", [read_npz, load_arrays, read_pack, _of_another_study],
    ids=["npz", "atlas", "pack", "references"],
)  # fmt: skip
def test_content_of_another_kind_is_named(tmp_path, end, reader, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    assert str(path) in end(reader, path).message


@pytest.mark.parametrize("seed", range(25))
def test_flipped_bits_are_found(tmp_path, end, seed):
    rng = np.random.default_rng([seed, 9])
    data = bytearray(healthy())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path = tmp_path / "a.npz"
    path.write_bytes(bytes(data))
    ended = end(read_npz, path)
    if not ended.refused and "image" in ended.value:
        assert np.array_equal(ended.value["image"], np.arange(600.0).reshape(2, 300))


def test_the_healthy_one_is_read_and_a_missing_one_named(tmp_path, end):
    (tmp_path / "a.npz").write_bytes(healthy())
    assert list(read_npz(tmp_path / "a.npz")["unit"]) == ["a", "b"]
    assert end(read_npz, Path(tmp_path / "none.npz")).refused
