"""k-space files: round trips, only acquired lines stored, hostile files, foreign formats."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from popscan.io import read_cfl, read_kspace, read_kspace_mat, write_kspace
from popscan.records import KSpace, PopscanError, SubjectError


@pytest.fixture
def kspace() -> KSpace:
    rng = np.random.default_rng(0)
    mask = rng.random((16, 5)) < 0.4
    mask[8] = True
    data = rng.normal(size=(3, 8, 16, 2, 5)) + 1j * rng.normal(size=(3, 8, 16, 2, 5))
    data = data.astype(np.complex64) * mask[None, None, :, None, :]
    return KSpace(
        data=data,
        mask=mask,
        affine=np.diag([-1.5, -1.5, 9.0, 1.0]),
        spacing_mm=(1.5, 1.5, 9.0),
        frame_times_ms=np.arange(5) * 40.0,
        meta={"rr_ms": 800.0, "coils": 3},
    )


def test_round_trip_to_the_byte(tmp_path, kspace):
    write_kspace(tmp_path / "a.h5", kspace)
    back = read_kspace(tmp_path / "a.h5")
    np.testing.assert_array_equal(back.data, kspace.data)
    np.testing.assert_array_equal(back.mask, kspace.mask)
    np.testing.assert_array_equal(back.affine, kspace.affine)
    np.testing.assert_array_equal(back.frame_times_ms, kspace.frame_times_ms)
    assert back.data.dtype == np.complex64
    assert (back.spacing_mm, back.view, back.meta) == (kspace.spacing_mm, "sax", kspace.meta)
    write_kspace(tmp_path / "b.h5", back)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_only_acquired_lines_are_stored(tmp_path, kspace):
    write_kspace(tmp_path / "a.h5", kspace)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["lines"].shape == (int(kspace.mask.sum()), 3, 8, 2)
        first = np.flatnonzero(kspace.mask[:, 0])[0]
        np.testing.assert_array_equal(file["lines"][0], kspace.data[:, :, first, :, 0])
    assert (tmp_path / "a.h5").stat().st_size < kspace.data.nbytes * 0.7


def test_times_may_be_unknown(tmp_path, kspace):
    write_kspace(tmp_path / "a.h5", replace(kspace, frame_times_ms=None))
    assert read_kspace(tmp_path / "a.h5").frame_times_ms is None


def reason(path) -> str:
    with pytest.raises(SubjectError) as caught:
        read_kspace(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_damaged_and_foreign_files(tmp_path, kspace):
    assert reason(tmp_path / "gone.h5") == "file_missing"
    write_kspace(tmp_path / "a.h5", kspace)
    data = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(data[: len(data) // 2])
    assert reason(tmp_path / "a.h5") == "truncated_file"
    (tmp_path / "b.h5").write_bytes(b"no HDF5" * 100)
    assert reason(tmp_path / "b.h5") == "not_kspace"
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = 3
    assert reason(tmp_path / "c.h5") == "not_kspace"


def test_links_out_of_the_file_are_not_followed(tmp_path, kspace):
    secret = tmp_path / "secret.h5"
    write_kspace(secret, kspace)
    for name, link in {
        "external": h5py.ExternalLink(str(secret), "/mask"),
        "soft": h5py.SoftLink("/lines"),
    }.items():
        path = tmp_path / f"{name}.h5"
        write_kspace(path, kspace)
        with h5py.File(path, "r+") as file:
            del file["mask"]
            file["mask"] = link
        assert reason(path) == "bad_header"


def test_claims_without_data_are_refused(tmp_path, kspace):
    for name, shape in {"lines": (10, 100000, 100000, 100), "mask": (100000, 100000)}.items():
        path = tmp_path / f"{name}.h5"
        write_kspace(path, kspace)
        with h5py.File(path, "r+") as file:
            dtype = file[name].dtype
            del file[name]
            file.create_dataset(name, shape=shape, dtype=dtype, chunks=True)
        assert reason(path) == "bad_header"


def test_lines_that_do_not_fit_the_mask(tmp_path, kspace):
    write_kspace(tmp_path / "a.h5", kspace)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["mask"][:, 0] = True
    assert reason(tmp_path / "a.h5") == "bad_header"


def test_writer_checks_shapes(tmp_path, kspace):
    with pytest.raises(ValueError, match="mask"):
        write_kspace(tmp_path / "a.h5", replace(kspace, mask=kspace.mask.T))


def test_cfl(tmp_path):
    values = (np.arange(24) + 1j * np.arange(24)[::-1]).astype(np.complex64).reshape(2, 3, 4)
    (tmp_path / "a.hdr").write_text("# Dimensions\n2 3 4 1 1 \n# Command\nnothing\n")
    values.ravel(order="F").tofile(tmp_path / "a.cfl")
    for name in ("a", "a.cfl", "a.hdr"):
        np.testing.assert_array_equal(read_cfl(tmp_path / name), values)
    (tmp_path / "a.hdr").write_text("# Dimensions\n2 3 5\n")
    with pytest.raises(PopscanError, match="do not hold"):
        read_cfl(tmp_path / "a")
    with pytest.raises(PopscanError, match="pair"):
        read_cfl(tmp_path / "b")


def test_mat_needs_a_complex_variable(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["raw"] = np.zeros(3)
        file["good"] = np.array([1 + 2j, 3])
    with pytest.raises(PopscanError, match="complex"):
        read_kspace_mat(tmp_path / "a.mat")
    with pytest.raises(PopscanError, match="other"):
        read_kspace_mat(tmp_path / "a.mat", name="other")
    np.testing.assert_array_equal(read_kspace_mat(tmp_path / "a.mat", name="good"), [1 + 2j, 3])


@pytest.mark.data
def test_real_brain_kspace(data_dir):
    full = read_kspace_mat(data_dir / "kspace" / "brain_16coil_full.mat")
    assert full.shape == (16, 1, 96, 96)
    energy = np.sum(np.abs(full[:, 0]) ** 2, axis=0)
    peak = np.array(np.unravel_index(energy.argmax(), energy.shape))
    assert np.all(np.abs(peak - 48) <= 2)
    under = read_cfl(data_dir / "kspace" / "brain_8coil_us.cfl")
    assert under.shape == (1, 180, 230, 8)
    assert np.mean(under[..., 0] != 0) == pytest.approx(0.13, abs=0.01)
