"""Arrays of k-space in the layouts of fastMRI, CMRxRecon and BART, and what lies beside them."""

from __future__ import annotations

import json
import shutil
import subprocess

import h5py
import numpy as np
import pytest

from kspace_files import Phantom, write_fastmri, write_matlab
from popscan.config.kspace import KSpaceInput
from popscan.io.bart import read_cfl
from popscan.io.kspace_formats import read_any_kspace
from popscan.recon import reconstruct
from popscan.records import SubjectError

PLAIN = KSpaceInput(coils=0)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom()


@pytest.fixture(scope="module")
def samples(phantom) -> np.ndarray:
    """The phantom's k-space (c, x, y, z, t), readout oversampled twice."""
    lines = [
        [[phantom.readout(step - 12, z, t) for step in range(24)] for z in range(3)]
        for t in range(3)
    ]
    return np.array(lines).transpose(3, 4, 2, 1, 0).astype(np.complex64)


def read(path, **rules):
    return read_any_kspace(path, view="sax", rules=KSpaceInput(coils=0, **rules))


def assert_cut(kspace, samples: np.ndarray) -> None:
    """Whether it is the k-space of the middle half of the readout."""
    assert kspace.data.shape == (3, 32, 24, 3, 3)
    expected = samples[:, ::2] * np.sqrt(2)  # half the field of view: every other sample
    assert np.abs(kspace.data - expected).max() < 0.01 * np.abs(expected).max()


def test_cmrxrecon(tmp_path, samples):
    path = tmp_path / "cine_sax.mat"
    write_matlab(path, "kspace_full", samples.transpose(1, 2, 0, 3, 4))
    side = {"spacing_mm": [8, 9, 10], "readout_oversampling": 2, "frame_times_ms": [0, 40, 80.5]}
    path.with_suffix(".json").write_text(json.dumps({**side, "RepetitionTime": 0.003}))
    kspace = read(path)
    assert_cut(kspace, samples)
    assert kspace.spacing_mm == (8.0, 9.0, 10.0)
    np.testing.assert_array_equal(kspace.frame_times_ms, [0, 40, 80.5])
    assert kspace.meta["orientation_known"] is False
    again = read(path, frame_step_ms=50, spacing_mm=[1, 1, 1])
    assert again.spacing_mm == (8.0, 9.0, 10.0), "the sidecar wins"


def test_cmrxrecon_of_one_combined_coil(tmp_path, samples):
    path = tmp_path / "cine_sax.mat"
    write_matlab(path, "kspace_single_full", samples[0])
    kspace = read(path, spacing_mm=[8, 9, 10], frame_step_ms=40)
    np.testing.assert_array_equal(kspace.data, samples[:1])
    np.testing.assert_array_equal(kspace.frame_times_ms, [0, 40, 80])


def test_fastmri_brings_its_pixels_but_not_its_slice_distance(tmp_path, samples, phantom):
    path = tmp_path / "a.h5"
    write_fastmri(path, samples[..., 0], phantom)
    with pytest.raises(SubjectError) as caught:
        read(path)
    assert caught.value.reason == "slice_distance_unknown"
    kspace = read(path, spacing_mm=[1, 1, 10])
    assert kspace.spacing_mm == (8.0, 9.0, 10.0)
    assert kspace.meta["field_strength_t"] == 1.494
    expected = samples[:, ::2, ..., :1] * np.sqrt(2)
    assert np.abs(kspace.data - expected).max() < 0.01 * np.abs(expected).max()
    assert "0123" not in str(kspace.meta)


def test_affine_of_a_sidecar_places_the_image(tmp_path, samples):
    path = tmp_path / "a.mat"
    write_matlab(path, "raw", samples)
    affine = np.diag([-8.0, -9.0, 10.0, 1.0])
    path.with_suffix(".json").write_text(
        json.dumps({"axes": "c x y z t", "affine": affine.tolist()})
    )
    kspace = read(path)
    np.testing.assert_array_equal(kspace.affine, affine)
    assert kspace.spacing_mm == (8.0, 9.0, 10.0)
    assert "orientation_known" not in kspace.meta


def swapped(samples):
    return np.fft.ifftshift(samples, axes=(1, 2))


def spoilt(value):
    def spoil(samples):
        out = samples.copy()
        out[0, 5, 5] = value
        return out if value else out * 0

    return spoil


GOOD = {"axes": "c x y z t", "spacing_mm": [8, 9, 10]}
REFUSED = [
    ("not_centred", GOOD, swapped),
    ("non_finite_kspace", GOOD, spoilt(np.nan)),
    ("empty_kspace", GOOD, spoilt(0)),
    ("axes_unknown", {**GOOD, "axes": "c x y z"}, None),
    ("axes_unknown", {**GOOD, "axes": "c x x z t"}, None),
    ("axes_unknown", {**GOOD, "axes": "1 x y z t"}, None),
    ("axes_unknown", {**GOOD, "axes": ""}, lambda samples: samples[..., 0]),
    ("spacing_unknown", {**GOOD, "spacing_mm": []}, None),
    ("slice_distance_unknown", {**GOOD, "spacing_mm": [8, 9]}, None),
    ("bad_sidecar", {**GOOD, "spacing_mm": [8, 9, -1]}, None),
    ("bad_sidecar", {**GOOD, "affine": [1, 2]}, None),
    ("bad_frame_times", {**GOOD, "frame_times_ms": [0, 1]}, None),
]


@pytest.mark.parametrize(("reason", "side", "spoil"), REFUSED)
def test_what_is_not_known_is_not_guessed(tmp_path, samples, reason, side, spoil):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = samples if spoil is None else spoil(samples)
    path.with_suffix(".json").write_text(json.dumps(side))
    with pytest.raises(SubjectError) as caught:
        read(path)
    assert caught.value.reason == reason
    assert str(tmp_path) in str(caught.value)


def test_files_without_k_space(tmp_path, samples):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros((4, 4, 4))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = file["y"] = samples
    (tmp_path / "c.h5").write_bytes(b"no HDF5")
    for name in "abc":
        with pytest.raises(SubjectError) as caught:
            read(tmp_path / f"{name}.h5")
        assert caught.value.reason == "not_kspace"


def test_packed_claims_are_not_unpacked(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", (40, 1000, 1000), "<c8", chunks=(1, 1000, 1000),
                            compression="gzip")  # fmt: skip
        file["kspace"][0] = 0
    with pytest.raises(SubjectError) as caught:
        read(path, axes="c x y", spacing_mm=[1, 1, 1])
    assert caught.value.reason == "bad_header"


def bart(folder, *command) -> None:
    subprocess.run(["bart", *command], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs Debian's bart")
def test_files_of_bart(tmp_path):
    bart(tmp_path, "phantom", "-x", "48", "-s", "5", "-k", "one")
    bart(tmp_path, "fft", "-i", "-u", "3", "one", "truth")
    bart(tmp_path, "scale", "2", "one", "two")
    bart(tmp_path, "join", "10", "one", "two", "cine")
    kspace = read(tmp_path / "cine.cfl", spacing_mm=[2, 2, 8], frame_step_ms=30)
    assert kspace.data.shape == (5, 48, 48, 1, 2)
    image = reconstruct(kspace, method="zero_filled").array[:, :, 0]
    bart(tmp_path, "rss", "8", "truth", "rss")
    truth = np.fromfile(tmp_path / "rss.cfl", "<c8").reshape((48, 48), order="F").real
    np.testing.assert_allclose(image[..., 0], truth, atol=1e-5 * truth.max())
    np.testing.assert_allclose(image[..., 1], 2 * image[..., 0], rtol=1e-4)
    bart(tmp_path, "phantom", "-3", "-x", "16", "-k", "volume")
    for name, reason in {"volume": "three_d_kspace", "one": "spacing_unknown"}.items():
        with pytest.raises(SubjectError) as caught:
            read(tmp_path / f"{name}.cfl")
        assert caught.value.reason == reason
    data = (tmp_path / "cine.cfl").read_bytes()
    (tmp_path / "cine.cfl").write_bytes(data[:-8])
    with pytest.raises(SubjectError) as caught:
        read(tmp_path / "cine.cfl", spacing_mm=[2, 2, 8])
    assert caught.value.reason == "truncated_file"


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs Debian's bart")
def test_radial_files_of_bart(tmp_path):
    bart(tmp_path, "traj", "-r", "-G", "-x", "64", "-y", "40", "a_traj")
    bart(tmp_path, "phantom", "-s", "4", "-k", "-t", "a_traj", "a_kspace")
    bart(tmp_path, "phantom", "-s", "4", "-x", "64", "coils")
    bart(tmp_path, "rss", "8", "coils", "rss")
    kspace = read(tmp_path / "a_kspace.cfl", spacing_mm=[2, 2, 8])
    assert (kspace.data.shape, kspace.matrix) == ((4, 64, 40, 1, 1), (64, 64))
    image = reconstruct(kspace, method="cg_nufft").array[:, :, 0, 0]
    truth = np.fromfile(tmp_path / "rss.cfl", "<c8").reshape((64, 64), order="F").real
    assert np.corrcoef(image.ravel(), truth.ravel())[0, 1] > 0.9
    points = np.fromfile(tmp_path / "a_traj.cfl", "<c8")
    (points / 64).astype("<c8").tofile(
        tmp_path / "a_traj.cfl"
    )  # cycles per pixel: of which matrix?
    with pytest.raises(SubjectError) as caught:
        read(tmp_path / "a_kspace.cfl", spacing_mm=[2, 2, 8])
    assert caught.value.reason == "bad_trajectory"
    (tmp_path / "a_traj.cfl").unlink()
    with pytest.raises(SubjectError) as caught:
        read(tmp_path / "a_kspace.cfl", spacing_mm=[2, 2, 8])
    assert caught.value.reason == "trajectory_missing"  # spokes are no rows of a grid


@pytest.mark.data
def test_real_brains_and_what_compression_costs(data_dir):
    folder = data_dir / "kspace"
    rules = {"axes": "x y z c", "spacing_mm": [2, 2, 5]}
    full = read(folder / "brain_16coil_full.mat", **rules)
    assert full.data.shape == (16, 96, 96, 1, 1)
    fewer = read_any_kspace(
        folder / "brain_16coil_full.mat", view="sax", rules=KSpaceInput(coils=12, **rules)
    )
    images = [reconstruct(k, method="zero_filled").array for k in (full, fewer)]
    assert np.linalg.norm(images[1] - images[0]) < 0.01 * np.linalg.norm(images[0])
    under = read(folder / "brain_8coil_us.cfl", spacing_mm=[1, 1, 5])
    assert under.data.shape == (8, 180, 230, 1, 1)
    assert np.mean(under.data[0] != 0) == pytest.approx(0.13, abs=0.01)


def test_lines_of_partial_fourier_without_their_empty_rows_are_not_centred(tmp_path, samples):
    """A cine as CMRxRecon has it, whose first quarter of lines was cut off."""
    cut = samples[:, :, 6:]
    path = tmp_path / "cine_sax.mat"
    write_matlab(path, "kspace_full", cut.transpose(1, 2, 0, 3, 4))
    with pytest.raises(SubjectError) as refused:
        read(path, spacing_mm=(2.0, 2.0, 8.0))
    assert refused.value.reason == "not_centred"


def test_stems_of_bart_may_hold_dots(tmp_path):
    for name, value in (("heart", 1.0), ("heart.1", 2.0)):
        (tmp_path / f"{name}.hdr").write_text("# Dimensions\n4 4 1 \n")
        np.full(16, value, "<c8").tofile(tmp_path / f"{name}.cfl")
    assert (read_cfl(tmp_path / "heart.1.cfl") == 2).all()
    assert (read_cfl(tmp_path / "heart.1.hdr") == 2).all()
    assert (read_cfl(tmp_path / "heart.1") == 2).all()
    assert (read_cfl(tmp_path / "heart") == 1).all()
