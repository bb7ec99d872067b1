"""k-space whose header, unit or completeness is not as usual: read rightly or refused by name."""

from __future__ import annotations

import h5py
import ismrmrd
import numpy as np
import pytest

from kspace_files import (
    FLAG_NOISE,
    KIND,
    ONE,
    PLAIN,
    Phantom,
    centroid,
    cine,
    header,
    line,
    radial,
    write,
    write_fastmri,
    write_matlab,
)
from popscan.config.kspace import KSpaceInput
from popscan.io.ismrmrd import read_ismrmrd
from popscan.io.kspace_complete import broken_off
from popscan.io.kspace_formats import read_any_kspace
from popscan.recon import reconstruct
from popscan.records import SubjectError


def reason_of(path, **rules) -> str:
    with pytest.raises(SubjectError) as caught:
        read_any_kspace(path, view="sax", rules=KSpaceInput(coils=0, **rules))
    return caught.value.reason


def assert_in_place(kspace, phantom, *, method="zero_filled", atol=0.03):
    scan = reconstruct(kspace, method=method)
    for place, _ in phantom.blobs:
        expected = np.linalg.inv(scan.affine) @ [*(place * [-1, -1, 1]), 1.0]
        z = round(expected[2])
        assert expected[2] == pytest.approx(z, abs=1e-3)
        measured = centroid(scan.array[:, :, z, 0], expected[:2])
        np.testing.assert_allclose(measured, expected[:2], atol=atol)


@pytest.mark.parametrize("oversampling", [1, 2])
@pytest.mark.parametrize("matrix", [(31, 24), (32, 23), (33, 25)])
def test_odd_matrices_have_their_centre_at_half(tmp_path, matrix, oversampling):
    phantom = Phantom(matrix=matrix, oversampling=oversampling)
    path = write(tmp_path / "a.h5", header(phantom), cine(phantom))
    assert_in_place(read_ismrmrd(path, rules=PLAIN), phantom)


def test_readouts_without_the_oversampling_of_their_header(tmp_path):
    """Read as the middle of k-space they would be images of twice the size."""
    path = write(tmp_path / "a.h5", header(Phantom()), cine(Phantom(oversampling=1)))
    assert reason_of(path) == "encoding_limit"


def cut(steps, *, phase=2, slices=(0, 1, 2), repetition=False):
    lines = cine(Phantom())
    kept = []
    for one in lines:
        index = one.idx
        if index.phase == phase and index.slice in slices and index.kspace_encode_step_1 >= steps:
            continue
        if repetition:
            index.repetition, index.phase = index.phase, 0
            one.acquisition_time_stamp = 1000 * index.slice + 20 * index.repetition
        kept.append(one)
    return kept


@pytest.mark.parametrize("slices", [(0, 1, 2), (1,)])
@pytest.mark.parametrize("steps", [1, 11])
def test_cardiac_phases_with_few_of_their_lines_are_missing(tmp_path, steps, slices):
    path = write(tmp_path / "a.h5", header(Phantom()), cut(steps, slices=slices))
    assert reason_of(path) == "missing_frames"


@pytest.mark.parametrize(("steps", "slices"), [(5, (0, 1, 2)), (5, (2,)), (0, (0,))])
def test_last_repetition_that_was_broken_off_is_left_out(tmp_path, steps, slices):
    lines = cut(steps, slices=slices, repetition=True)
    kspace = read_ismrmrd(write(tmp_path / "a.h5", header(Phantom()), lines), rules=PLAIN)
    assert kspace.data.shape[4] == 2
    n_left = steps * len(slices) + 24 * (3 - len(slices))
    left = kspace.meta["acquisition"]["left_out"]
    assert left == f"{n_left} lines of the last repetition, which was broken off"
    assert_in_place(kspace, Phantom())
    first = cut(5, phase=0, repetition=True)
    assert reason_of(write(tmp_path / "b.h5", header(Phantom()), first)) == "missing_frames"


def test_lines_taken_twice_do_not_make_the_others_few(tmp_path):
    lines = cine(Phantom())
    for one in cine(Phantom()) + cine(Phantom()):
        if one.idx.phase:
            one.idx.average = 1
            lines.append(one)
    kspace = read_ismrmrd(write(tmp_path / "a.h5", header(Phantom()), lines), rules=PLAIN)
    assert_in_place(kspace, Phantom())


def test_few_lines_are_few_against_the_usual():
    usual = np.full((4, 20), 30) + np.random.default_rng(0).integers(-8, 9, (4, 20))
    usual[:, 0] = 120  # with all calibration lines
    assert not broken_off(usual).any()


def test_noise_scans_of_other_coils_do_not_whiten(tmp_path, rng):
    noise = []
    for _ in range(10):
        values = rng.normal(size=(6, 64)) + 1j * rng.normal(size=(6, 64))
        one = ismrmrd.Acquisition.from_array(values.astype(np.complex64))
        one.set_flag(FLAG_NOISE)
        noise.append(one)
    path = write(tmp_path / "a.h5", header(Phantom()), noise + cine(Phantom()))
    done = read_ismrmrd(path, rules=KSpaceInput(coils=0)).meta["acquisition"]
    assert done["prewhitened"] is False
    assert done["left_out"] == "10 noise scans of other coils"


@pytest.mark.parametrize(
    "unit", [2 * np.pi, 0.125, 1 / 1.25, 1 / 2.0, 1000 / 8],
    ids=["radians per pixel", "per mm of 8", "per mm of 1.25", "per mm of 2", "per m"],
)  # fmt: skip
def test_trajectories_in_other_units_are_refused(tmp_path, unit):
    phantom = Phantom(matrix=(32, 32), fov_mm=(256.0, 256.0), n_frames=1)
    path = write(tmp_path / "a.h5", header(phantom, **KIND), radial(phantom, unit=unit))
    assert reason_of(path) == "bad_trajectory"


@pytest.mark.parametrize("unit", [1.0, 32.0])
@pytest.mark.parametrize("wanted_mm", [192.0, 240.0])
def test_spokes_of_a_field_of_view_that_is_no_square(tmp_path, unit, wanted_mm):
    phantom = Phantom(matrix=(32, 32), fov_mm=(256.0, 256.0), n_frames=2)
    changes = {**KIND, f"{ONE}reconSpace__fieldOfView_mm__y": wanted_mm}
    path = write(tmp_path / "a.h5", header(phantom, **changes), radial(phantom, unit=unit))
    kspace = read_ismrmrd(path, rules=PLAIN)
    assert kspace.matrix == (32, round(wanted_mm / 8))
    assert_in_place(kspace, phantom, method="cg_nufft")


def test_spokes_counted_along_each_side_of_the_field_of_view(tmp_path):
    phantom = Phantom(matrix=(32, 32), fov_mm=(256.0, 256.0), n_frames=2)
    lines = radial(phantom, unit=32.0)
    for one in lines:
        one.traj[:, 1] *= 24 / 32
    changes = {**KIND, f"{ONE}reconSpace__fieldOfView_mm__y": 192.0}
    path = write(tmp_path / "a.h5", header(phantom, **changes), lines)
    assert_in_place(read_ismrmrd(path, rules=PLAIN), phantom, method="cg_nufft")


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """The phantom's k-space (c, x, y, z, t)."""
    phantom = Phantom()
    lines = [
        [[phantom.readout(step - 12, z, t) for step in range(24)] for z in range(3)]
        for t in range(3)
    ]
    return np.array(lines).transpose(3, 4, 2, 1, 0).astype(np.complex64)


GIVEN = {"axes": "c x y z t", "spacing_mm": [8, 9, 10]}


@pytest.mark.parametrize("lost", [np.s_[..., 1, 1], np.s_[..., 1, :], np.s_[:, :, :14, 1, 2]])
def test_arrays_in_which_a_slice_lacks_a_frame(tmp_path, samples, lost):
    """Reconstruction would fill it with the mean of all frames, in which no heart beats."""
    values = samples.copy()
    values[lost] = 0
    write_matlab(tmp_path / "a.mat", "raw", values)
    assert reason_of(tmp_path / "a.mat", **GIVEN) == "missing_frames"


def test_arrays_whose_slices_have_samplings_of_their_own(tmp_path, samples):
    values = samples.copy()
    for z in range(3):
        for t in range(3):
            values[:, :, [row for row in range(24) if (row + z + t) % 3 and abs(row - 12) > 4],
                   z, t] = 0  # fmt: skip
    write_matlab(tmp_path / "a.mat", "raw", values)
    kspace = read_any_kspace(tmp_path / "a.mat", view="sax", rules=KSpaceInput(coils=0, **GIVEN))
    for z in range(3):
        there = kspace.data[:, :, :, z].any(axis=(0, 1))
        np.testing.assert_array_equal(there, values[:, :, :, z].any(axis=(0, 1)))


def test_matlab_arrays_of_other_names_have_no_usual_order(tmp_path, samples):
    values = samples.transpose(1, 2, 3, 0, 4)  # x y z c t
    write_matlab(tmp_path / "a.mat", "raw", values)
    given = {"spacing_mm": [8, 9, 10]}
    assert reason_of(tmp_path / "a.mat", **given) == "axes_unknown"


@pytest.mark.parametrize("part", [np.s_[:, 16:48], np.s_[:, :, 2:22]])
def test_fastmri_of_other_sides_than_its_header(tmp_path, samples, part):
    write_fastmri(tmp_path / "a.h5", samples[..., 0][part], Phantom())
    assert reason_of(tmp_path / "a.h5", spacing_mm=[1, 1, 10]) == "encoding_limit"


def test_asymmetric_echoes_are_no_cut_readouts(tmp_path):
    phantom = Phantom()
    lines = [
        line(phantom, step, z, t, data=phantom.readout(step - 12, z, t)[:, 20:], center_sample=12)
        for z in range(3) for t in range(3) for step in range(24)
    ]  # fmt: skip
    path = write(tmp_path / "a.h5", header(phantom), lines)
    with h5py.File(path) as file:
        assert file["dataset/data"].shape == (216,)
    assert_in_place(read_ismrmrd(path, rules=PLAIN), phantom, atol=0.1)
