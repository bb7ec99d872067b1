"""ISMRMRD files: geometry, times and lines of a phantom at known places; what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess

import h5py
import ismrmrd
import numpy as np
import pytest

from kspace_files import (
    FLAG_NOISE,
    KIND,
    NORMAL,
    ONE,
    PLAIN,
    READ,
    Phantom,
    centroid,
    cine,
    header,
    line,
    radial,
    write,
)
from popscan.config.kspace import KSpaceInput
from popscan.io import read_kspace, write_kspace
from popscan.io.ismrmrd import read_ismrmrd
from popscan.recon import reconstruct
from popscan.records import SubjectError

LIMIT = f"{ONE}encodingLimits__kspace_encoding_step_1__"


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom()


@pytest.fixture(scope="module")
def path(phantom, tmp_path_factory):
    return write(tmp_path_factory.mktemp("ismrmrd") / "a.h5", header(phantom), cine(phantom))


def test_blobs_lie_where_they_are_in_the_patient(path, phantom):
    kspace = read_ismrmrd(path, rules=PLAIN)
    assert kspace.spacing_mm == (8.0, 9.0, 10.0)
    assert kspace.data.shape == (3, 32, 24, 3, 3)
    assert kspace.mask.all()
    scan = reconstruct(kspace, method="zero_filled")
    for place, _ in phantom.blobs:
        expected = np.linalg.inv(scan.affine) @ [*(place * [-1, -1, 1]), 1.0]
        x, y = np.round(expected[:2]).astype(int)
        z = int(scan.array[x, y, :, 0].argmax())
        assert z == pytest.approx(expected[2], abs=1e-4)
        measured = centroid(scan.array[:, :, z, 0], expected[:2])
        np.testing.assert_allclose(measured, expected[:2], atol=0.01)  # 0.1 mm


def test_times_and_scanner_come_from_the_headers_and_no_person_does(path):
    kspace = read_ismrmrd(path, view="sax", rules=PLAIN)
    np.testing.assert_allclose(kspace.frame_times_ms, [10.0, 50.0, 90.0])  # ticks of 2.5 ms
    assert kspace.meta["manufacturer"] == "SIEMENS"
    assert kspace.meta["field_strength_t"] == 1.494
    assert kspace.meta["slice_thickness_mm"] == 8.0
    assert "Doe" not in str(kspace.meta)


def test_unknown_vendor_has_no_times_unless_the_tick_is_given(tmp_path, phantom):
    made = header(phantom, acquisitionSystemInformation__systemVendor="ACME")
    path = write(tmp_path / "a.h5", made, cine(phantom))
    assert read_ismrmrd(path).frame_times_ms is None
    times = read_ismrmrd(path, rules=KSpaceInput(tick_ms=1.0)).frame_times_ms
    np.testing.assert_allclose(times, [4.0, 20.0, 36.0])


def test_order_of_lines_does_not_matter(tmp_path, path, phantom):
    lines = cine(phantom)
    shuffled = [lines[i] for i in np.random.default_rng(1).permutation(len(lines))]
    other = read_ismrmrd(write(tmp_path / "a.h5", header(phantom), shuffled), rules=PLAIN)
    one = read_ismrmrd(path, rules=PLAIN)
    np.testing.assert_array_equal(other.data, one.data)
    np.testing.assert_array_equal(other.affine, one.affine)


def test_samples_are_those_of_the_analytic_k_space(path, phantom):
    kspace = read_ismrmrd(path, rules=PLAIN)
    whole = Phantom(oversampling=1)
    expected = np.stack([whole.readout(step - 12, 1, 2) for step in range(24)], axis=2)
    # Orthonormal transforms of the same image: with half the samples each is larger by this.
    scale = np.vdot(expected, kspace.data[..., 1, 2]).real / np.vdot(expected, expected).real
    assert scale == pytest.approx(2**0.5, rel=1e-3)
    error = np.abs(kspace.data[..., 1, 2] / scale - expected).max() / np.abs(expected).max()
    assert error < 2e-3  # the phantom's tails beyond the cut


def test_averages_and_lines_taken_twice_are_averaged(tmp_path, path, phantom):
    twice = cine(phantom)
    for number, one in enumerate(cine(phantom)):
        one.idx.average = 1
        one.data[:] *= 3
        if number % 2:
            twice.append(one)
    averaged = read_ismrmrd(write(tmp_path / "a.h5", header(phantom), twice), rules=PLAIN)
    once = read_ismrmrd(path, rules=PLAIN)
    np.testing.assert_allclose(
        averaged.data[:, :, 1::2], 2 * once.data[:, :, 1::2], atol=1e-6 * abs(once.data).max()
    )
    np.testing.assert_array_equal(averaged.data[:, :, ::2], once.data[:, :, ::2])


def test_partial_fourier_and_undersampling_leave_rows_empty(tmp_path, phantom):
    lines = cine(phantom, steps=lambda t: range(8 + t % 2, 24, 2))
    for one in lines:  # the converter counts from the first acquired line
        one.idx.kspace_encode_step_1 -= 8
    made = header(phantom, **{f"{LIMIT}maximum": 15, f"{LIMIT}center": 4})
    kspace = read_ismrmrd(write(tmp_path / "a.h5", made, lines), rules=PLAIN)
    expected = np.zeros((24, 3), dtype=bool)
    expected[8::2, ::2], expected[9::2, 1] = True, True
    np.testing.assert_array_equal(kspace.mask, expected)
    assert (kspace.data.any(axis=(0, 1, 3)) == expected).all()


def test_asymmetric_echo_is_put_in_its_place(tmp_path, path, phantom):
    lines = [
        line(phantom, step, z, t, data=phantom.readout(step - 12, z, t)[:, 16:], center_sample=16)
        for z in range(3)
        for t in range(3)
        for step in range(24)
    ]
    kspace = read_ismrmrd(write(tmp_path / "a.h5", header(phantom), lines), rules=PLAIN)
    whole = read_ismrmrd(path, rules=PLAIN)
    assert not kspace.data[:, :8].any()
    assert kspace.data[:, 8:].any(axis=(0, 2, 3, 4)).all()
    error = np.abs(kspace.data[:, 10:] - whole.data[:, 10:]).max() / np.abs(whole.data).max()
    assert error < 0.01


def test_echoes_that_end_early_hold_nothing_behind(tmp_path, phantom):
    lines = cine(phantom)
    for one in lines:
        one.discard_post = 16
    kspace = read_ismrmrd(write(tmp_path / "a.h5", header(phantom), lines), rules=PLAIN)
    assert not kspace.data[:, 24:].any()
    assert kspace.data[:, :24].any(axis=(0, 2, 3, 4)).all()


@pytest.mark.parametrize("coils", [0, 2])
def test_samples_that_are_to_be_discarded_may_hold_anything(tmp_path, phantom, coils):
    rules = KSpaceInput(coils=coils, prewhiten=False)
    read = []
    for spoilt in (False, True):
        lines = cine(phantom)
        for one in lines:
            one.discard_pre, one.discard_post = 3, 5
            if spoilt:
                one.data[:, :3], one.data[:, -5:] = np.nan, 1e30
        path = write(tmp_path / f"{spoilt}.h5", header(phantom), lines)
        read.append(read_ismrmrd(path, rules=rules).data)
    np.testing.assert_array_equal(*read)


def test_noise_scans_whiten_the_coils(tmp_path, rng):
    phantom = Phantom(n_coils=4, n_frames=1)
    factor = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)) + 2 * np.eye(4)

    def noise(n):
        return factor @ (rng.normal(size=(4, n)) + 1j * rng.normal(size=(4, n)))

    lines = [line(phantom, 0, 0, 0, data=noise(256)) for _ in range(30)]
    for one in lines:
        one.set_flag(FLAG_NOISE)
    lines += [
        line(phantom, s, z, 0, data=noise(64)) for z in range(3) for s in range(24)
    ]  # no signal at all
    path = write(tmp_path / "a.h5", header(phantom), lines)
    white = read_ismrmrd(path, rules=KSpaceInput(coils=0))
    assert white.meta["acquisition"]["prewhitened"]
    flat = white.data.reshape(4, -1)
    covariance = flat @ flat.conj().T / flat.shape[1]
    np.testing.assert_allclose(covariance / covariance[0, 0], np.eye(4), atol=0.12)
    raw = read_ismrmrd(path, rules=PLAIN).data.reshape(4, -1)
    assert np.abs(np.corrcoef(raw) - np.eye(4)).max() > 0.3
    assert np.mean(np.abs(flat) ** 2) == pytest.approx(np.mean(np.abs(raw) ** 2), rel=0.1)


def test_compression_keeps_the_image(tmp_path):
    phantom = Phantom(n_coils=10)
    path = write(tmp_path / "a.h5", header(phantom), cine(phantom))
    few = read_ismrmrd(path, rules=KSpaceInput(coils=4))
    assert few.data.shape[0] == 4
    assert few.meta["acquisition"]["energy_kept"] > 0.999
    all_coils = reconstruct(read_ismrmrd(path, rules=PLAIN), method="zero_filled").array
    error = reconstruct(few, method="zero_filled").array - all_coils
    assert np.linalg.norm(error) < 0.01 * np.linalg.norm(all_coils)


def test_real_time_repetitions_are_frames(tmp_path, phantom):
    lines = cine(phantom)
    for one in lines:
        one.idx.repetition, one.idx.phase = one.idx.phase, 0
        one.acquisition_time_stamp = 1000 * one.idx.slice + 20 * one.idx.repetition
    kspace = read_ismrmrd(write(tmp_path / "a.h5", header(phantom), lines))
    np.testing.assert_allclose(kspace.frame_times_ms, [0.0, 50.0, 100.0])
    assert kspace.meta["acquisition"]["frames_are"] == "repetition"


def test_segments_are_shots_where_slices_agree(tmp_path, path, phantom):
    assert read_ismrmrd(path, rules=PLAIN).shots is None  # counts nothing
    lines = cine(phantom)
    for one in lines:
        one.idx.segment = one.idx.kspace_encode_step_1 % 4
    kspace = read_ismrmrd(write(tmp_path / "a.h5", header(phantom), lines), rules=PLAIN)
    np.testing.assert_array_equal(kspace.shots, np.repeat(np.arange(24)[:, None] % 4, 3, axis=1))
    lines[0].idx.segment += 1
    assert read_ismrmrd(write(tmp_path / "b.h5", header(phantom), lines), rules=PLAIN).shots is None


def change(**fields):
    def apply(lines):
        for key, value in fields.items():
            setattr(lines[-1].idx if hasattr(lines[-1].idx, key) else lines[-1], key, value)

    return apply


def turned(lines):
    for one in lines:
        if one.idx.slice == 2:
            one.read_dir[:], one.phase_dir[:] = one.phase_dir[:], [-v for v in one.read_dir]


def moved(by):
    def apply(lines):
        for one in lines:
            if one.idx.slice == 2:
                one.position[:] = np.array(one.position) + by

    return apply


def put(value):
    def apply(lines):
        for one in lines if value == 0 else lines[7:8]:
            one.data[:] = value

    return apply


def fewer_coils(lines):
    lines[5] = line(Phantom(n_coils=2), 3, 2, 0)


def unplaced(lines):
    for one in lines:
        one.read_dir[:] = one.phase_dir[:] = one.slice_dir[:] = one.position[:] = [0, 0, 0]


REFUSED = [
    ("encoding_limit", {f"{LIMIT}maximum": 30}, None),
    ("encoding_limit", {f"{LIMIT}center": 2}, None),
    ("encoding_limit", {}, change(kspace_encode_step_1=24)),
    ("encoding_limit", {f"{ONE}encodedSpace__matrixSize__x": 48}, None),
    ("unsupported_trajectory", {f"{ONE}trajectory": ismrmrd.xsd.trajectoryType.EPI}, None),
    ("three_d_kspace", {f"{ONE}encodedSpace__matrixSize__z": 8}, None),
    ("three_d_kspace", {}, change(kspace_encode_step_2=1)),
    ("several_contrasts", {}, change(contrast=1)),
    ("phases_and_repetitions", {}, change(repetition=1)),
    ("coil_count_differs", {}, fewer_coils),
    ("mixed_slices", {}, turned),
    ("mixed_slices", {}, moved(20 * READ)),
    ("mixed_slices", {}, change(slice=1)),
    ("irregular_slices", {}, moved(5 * NORMAL)),
    ("slice_distance_unknown", {}, unplaced),
    ("missing_frames", {}, lambda lines: lines.__delitem__(slice(0, 24))),
    ("reversed_readout", {}, lambda lines: lines[0].set_flag(ismrmrd.ACQ_IS_REVERSE)),
    ("non_finite_kspace", {}, put(np.nan)),
    ("empty_kspace", {}, put(0)),
    ("bad_header", {f"{ONE}encodedSpace__matrixSize__y": 0}, None),
]


@pytest.mark.parametrize(("reason", "changes", "spoil"), REFUSED)
def test_what_is_not_understood_is_refused_by_name(tmp_path, phantom, reason, changes, spoil):
    lines = cine(phantom)
    if spoil is not None:
        spoil(lines)
    path = write(tmp_path / "a.h5", header(phantom, **changes), lines)
    with pytest.raises(SubjectError) as caught:
        read_ismrmrd(path)
    assert caught.value.reason == reason
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "left_out", ["<kspace_encoding_step_1>.*?</kspace_encoding_step_1>", "<center>.*?</center>"]
)
def test_a_centre_that_is_not_given_is_not_guessed(tmp_path, phantom, left_out):
    whole = write(tmp_path / "a.h5", header(phantom), cine(phantom))
    below = [line for line in cine(phantom) if line.idx.kspace_encode_step_1 < 14]
    part = write(tmp_path / "b.h5", header(phantom), below)  # partial Fourier
    expected = read_ismrmrd(whole).data
    for path in (whole, part):
        with h5py.File(path, "r+") as file:
            text = file["dataset/xml"][0].decode()
            changed = re.sub(f"({left_out})", "", text, count=1, flags=re.DOTALL)
            assert changed != text
            file["dataset/xml"][0] = changed
    np.testing.assert_array_equal(read_ismrmrd(whole).data, expected)
    with pytest.raises(SubjectError) as caught:
        read_ismrmrd(part)
    assert caught.value.reason == "encoding_limit"


def test_torn_and_hostile_files(tmp_path, path):
    data = path.read_bytes()
    for keep in (0.2, 0.6, 0.97):
        (tmp_path / "torn.h5").write_bytes(data[: int(len(data) * keep)])
        with pytest.raises(SubjectError) as caught:
            read_ismrmrd(tmp_path / "torn.h5")
        assert caught.value.reason == "truncated_file"
    for number, spoil in enumerate(SPOILT):
        copy = tmp_path / f"{number}.h5"
        shutil.copy(path, copy)
        with h5py.File(copy, "r+") as file:
            spoil(file)
        with pytest.raises(SubjectError) as caught:
            read_ismrmrd(copy)
        assert caught.value.reason in {"bad_header", "kspace_too_large"}


def _xml(change):
    def spoil(file):
        text = bytes(file["dataset/xml"][0])
        file["dataset/xml"][0] = change(text)

    return spoil


def _link(file):
    del file["dataset/xml"]
    file["dataset/xml"] = h5py.ExternalLink("other.h5", "/dataset/xml")


def _huge(file):
    text = bytes(file["dataset/xml"][0]).replace(b"<x>64</x>", b"<x>8000</x>")
    file["dataset/xml"][0] = text.replace(b"<y>24</y>", b"<y>8000</y>").replace(
        b"<maximum>23</maximum>", b"<maximum>7999</maximum>"
    )


SPOILT = [
    _xml(lambda text: text[: len(text) // 2]),
    _xml(lambda text: b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + text),
    _xml(lambda text: b"<a>" * 100_000),
    _xml(lambda text: b""),
    _link,
    _huge,
    lambda file: file["dataset"].__delitem__("data"),
]


@pytest.mark.skipif(
    shutil.which("ismrmrd_generate_cartesian_shepp_logan") is None,
    reason="needs Debian's ismrmrd-tools",
)
def test_file_of_the_formats_own_tools(tmp_path):
    path = tmp_path / "tool.h5"
    command = ["ismrmrd_generate_cartesian_shepp_logan", "-m", "64", "-c", "4", "-r", "2", "-C"]
    subprocess.run([*command, "-n", "0.001", "-o", path], check=True, capture_output=True)
    kspace = read_ismrmrd(path, rules=KSpaceInput(coils=0))
    assert kspace.data.shape == (4, 64, 64, 1, 2)
    assert kspace.spacing_mm == (300 / 64, 300 / 64, 6.0)
    assert kspace.meta["acquisition"]["prewhitened"]
    assert kspace.meta["orientation_known"] is False
    image = reconstruct(kspace, method="zero_filled").array[:, :, 0, 0]
    with h5py.File(path) as file:  # (y, x), and its coil maps
        truth = file["dataset/phantom"][0]["real"].T
        maps = file["dataset/csm"][0]
        weights = np.sqrt((maps["real"] ** 2 + maps["imag"] ** 2).sum(axis=0)).T
    assert np.corrcoef(image.ravel(), np.abs(truth * weights).ravel())[0, 1] > 0.99


@pytest.mark.data
def test_real_ismrmrd_file(data_dir):
    path = data_dir / "kspace" / "ismrmrd_grappa2" / "grappa2_1rep.h5"
    kspace = read_ismrmrd(path)
    assert kspace.data.shape == (4, 256, 256, 1, 1)
    assert kspace.spacing_mm == (1.0, 1.0, 5.0)
    assert int(kspace.mask.sum()) == 142
    assert kspace.mask[::2].all()
    scan = reconstruct(kspace, method="cg_sense")
    assert np.isfinite(scan.array).all()
    assert scan.array.max() > 0


@pytest.mark.parametrize("unit", [1.0, 32.0])
def test_golden_angle_gives_the_same_places(tmp_path, unit):
    phantom = Phantom(matrix=(32, 32), fov_mm=(256.0, 256.0), n_frames=2)
    path = write(tmp_path / "a.h5", header(phantom, **KIND), radial(phantom, unit=unit))
    kspace = read_ismrmrd(path, rules=PLAIN)
    assert kspace.data.shape == (3, 64, 30, 3, 2)
    assert (kspace.matrix, kspace.spacing_mm) == ((32, 32), (8.0, 8.0, 10.0))
    assert np.abs(kspace.trajectory).max() <= 0.5
    write_kspace(tmp_path / "own.h5", kspace)
    back = read_kspace(tmp_path / "own.h5")
    np.testing.assert_array_equal(back.trajectory, kspace.trajectory)
    np.testing.assert_array_equal(back.data, kspace.data)
    assert back.matrix == kspace.matrix
    scan = reconstruct(back, method="cg_nufft")
    for place, _ in phantom.blobs:
        expected = np.linalg.inv(scan.affine) @ [*(place * [-1, -1, 1]), 1.0]
        x, y = np.round(expected[:2]).astype(int)
        z = int(scan.array[x, y, :, 0].argmax())
        assert z == pytest.approx(expected[2], abs=1e-4)
        measured = centroid(scan.array[:, :, z, 0], expected[:2])
        np.testing.assert_allclose(measured, expected[:2], atol=0.03)  # 0.25 mm


def test_off_the_grid_without_its_points_or_with_odd_ones(tmp_path):
    phantom = Phantom(matrix=(16, 16), n_frames=1)
    spiral = {f"{ONE}trajectory": ismrmrd.xsd.trajectoryType.SPIRAL}
    for changes, options, reason in [
        (KIND, {"with_points": False}, "trajectory_missing"),
        (spiral, {"with_points": False}, "trajectory_missing"),
        (KIND, {"unit": 1000.0}, "bad_trajectory"),
        (KIND, {"unit": np.nan}, "bad_trajectory"),
    ]:
        lines = radial(phantom, n_spokes=4, **options)
        path = write(tmp_path / "a.h5", header(phantom, **changes), lines)
        with pytest.raises(SubjectError) as caught:
            read_ismrmrd(path)
        assert caught.value.reason == reason


def test_discarded_samples_of_spokes_may_hold_anything(tmp_path, phantom):
    read = []
    for spoilt in (False, True):
        made = []
        for one in radial(phantom):
            one.discard_pre = 4
            if spoilt:
                one.data[:, :4] = np.nan
                one.traj[:4] = np.nan
            made.append(one)
        head = header(phantom, encoding__0__trajectory=ismrmrd.xsd.trajectoryType.GOLDENANGLE)
        path = write(tmp_path / f"{spoilt}.h5", head, made)
        read.append(read_ismrmrd(path, rules=PLAIN))
    np.testing.assert_array_equal(read[0].data, read[1].data)
    np.testing.assert_array_equal(read[0].trajectory, read[1].trajectory)
