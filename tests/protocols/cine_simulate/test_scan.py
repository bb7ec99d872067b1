"""A simulated session: geometry, truth, determinism, k-space, biases, faults."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.arrays.beats import Beat
from popscan.arrays.fourier import centred_fft, centred_ifft
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.acquisition import acquire, white_noise
from popscan.protocols.cine_sax.simulate.beats import drawn_beats, struck_spectrum
from popscan.protocols.cine_sax.simulate.faults import FAULTS, blur_labels, corrupt_motion
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import SimulatedSubject, simulate_subject
from popscan.records import PopscanError

SMALL = {"matrix": (72, 72), "spacing_mm": (3.0, 3.0), "coils": 4}


def row_of(**changes) -> dict:
    row = sample_population(2, seed=8, conditions={}).iloc[1].to_dict()
    return {**row, **changes}


def session(*, seed: int = 3, frames: int = 2, kspace: bool = False, **changes) -> SimulatedSubject:
    options = {k: changes.pop(k) for k in list(changes) if k in OPTIONS}
    return simulate_subject(
        row_of(**changes), seed=seed, frames=frames, kspace=kspace, **{**SMALL, **options}
    )


OPTIONS = {
    "matrix",
    "spacing_mm",
    "coils",
    "noise",
    "acceleration",
    "acs_lines",
    "slices",
    "slices_above",
}


@pytest.fixture(scope="module")
def plain() -> SimulatedSubject:
    return session()


@pytest.fixture(scope="module")
def raw() -> SimulatedSubject:
    return session(kspace=True, frames=6)


def air(subject: SimulatedSubject) -> np.ndarray:
    """Voxels far outside the body: in front of its right side, in the slices nearest the apex."""
    return subject.scan.array[:12, :8, -2:]


def dice(a, b) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_a_stack_may_begin_in_the_atria(plain):
    high = session(slices_above=2, matrix=(40, 40))
    more = high.scan.array.shape[2] - plain.scan.array.shape[2]
    assert more == 2
    assert not high.labels.array[:, :, :2].any()
    labels, image = high.labels.array[..., 0], high.scan.array[..., 0]
    first = int(np.flatnonzero((labels == Label.LV).any(axis=(0, 1)))[0])
    blood = np.median(image[labels == Label.LV])
    above = image[:, :, first - 2][labels[:, :, first] == Label.LV]
    assert np.median(above) > 0.6 * blood, "blood of an atrium"


def test_shapes_types_times_and_meta(plain):
    scan, labels = plain.scan, plain.labels
    assert scan.array.dtype == np.float32
    assert scan.array.shape == labels.array.shape
    assert scan.array.shape[:2] == (72, 72)
    assert 9 <= scan.array.shape[2] <= 15
    assert labels.array.dtype == np.uint8
    assert labels.frames == (0, 1)
    assert set(np.unique(labels.array)) == {0, 1, 2, 3}
    assert np.isfinite(scan.array).all()
    assert scan.view == "sax"
    rr_ms = 60000 / row_of()["hr_bpm"]
    np.testing.assert_allclose(scan.frame_times_ms, [0, rr_ms / 2])
    assert scan.meta["rr_ms"] == pytest.approx(rr_ms, abs=0.01)
    assert scan.meta["slice_thickness_mm"] == 8.0


def test_axes_point_where_the_records_say(plain):
    axes = plain.scan.affine[:3, :3] / np.array(plain.scan.spacing_mm)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(-1)
    left, back, apex = axes.T
    assert left[0] < -0.5  # RAS: minus x is the patient's left
    assert back[1] < 0  # to the back,
    assert back[2] < 0  # and down
    assert apex[0] < -0.3
    assert apex[1] > 0.3
    assert apex[2] < -0.2


def test_the_heart_lies_in_the_image_as_anatomy_has_it(plain):
    ed = plain.labels.array[..., 0]
    where = {label: np.argwhere(ed == label).mean(axis=0) for label in Label}
    assert where[Label.RV][0] < where[Label.LV][0] - 5  # right ventricle to the right
    areas = (ed == Label.LV).sum(axis=(0, 1))
    levels = np.flatnonzero(areas)
    assert areas[levels[1]] > 3 * areas[levels[-1]]  # widest at the base, the apex last
    # bright blood, grey myocardium
    image = plain.scan.array[..., 0]
    assert image[ed == Label.LV].mean() > 1.8 * image[ed == Label.MYO].mean()


def test_label_volumes_are_near_the_truth():
    """Partial volume and slice distance leave a few percent each, and little on average."""
    people = sample_population(10, seed=21, conditions={})
    errors = []
    for row in people.to_dict("records"):
        s = simulate_subject(row, seed=2, frames=1, kspace=False, matrix=(88, 88), coils=1)
        ml = np.prod(s.scan.spacing_mm) / 1000
        counted = [float((s.labels.array == label).sum()) * ml for label in (1, 2, 3)]
        truth = [s.truth["rvedv_ml"], s.truth["lvm_g"] / 1.05, s.truth["lvedv_ml"]]
        errors.append(np.array(counted) / truth - 1)
    assert np.abs(errors).max() < 0.12
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03


def test_truth_is_the_rows(plain):
    row = row_of()
    for name in ("lvedv_ml", "lvesv_ml", "lvm_g", "rvedv_ml", "rvesv_ml"):
        assert plain.truth[name] == row[f"truth_{name}"]
    assert plain.truth["lvef_pct"] == pytest.approx(row["truth_lvef_pct"], abs=1e-3)
    assert plain.truth["co_l_min"] == pytest.approx(row["truth_lvsv_ml"] * row["hr_bpm"] / 1000)


def test_same_row_and_seed_same_bytes_even_from_text(raw):
    again = simulate_subject(
        {name: str(value) for name, value in row_of().items()}, seed=3, frames=6, **SMALL
    )
    assert again.scan.array.tobytes() == raw.scan.array.tobytes()
    assert again.kspace.data.tobytes() == raw.kspace.data.tobytes()
    assert again.labels.array.tobytes() == raw.labels.array.tobytes()


def test_seed_and_participant_change_the_shape_but_not_the_truth(plain):
    other, namesake = session(seed=4), session(participant_id="sub-9999")
    assert other.truth == plain.truth == namesake.truth
    for one in (other, namesake):
        assert one.scan.array.shape != plain.scan.array.shape or not np.array_equal(
            one.labels.array, plain.labels.array
        )


def test_full_sampling_without_noise_reconstructs_the_reference():
    s = session(kspace=True, acceleration=1.0, noise=0.0)
    assert s.kspace.mask.all()
    image = centred_ifft(s.kspace.data, axes=(1, 2))
    combined = np.sqrt((np.abs(image) ** 2).sum(axis=0))
    np.testing.assert_allclose(combined, s.scan.array, atol=1e-3 * s.scan.array.max())


def test_full_sampling_with_noise_differs_by_the_noise():
    clean = session(kspace=True, acceleration=1.0, noise=0.0)
    noisy = session(kspace=True, acceleration=1.0, noise=0.05)
    gain = {"Alder": 420.0, "Birch": 1500.0, "Cedar": 800.0}[clean.scan.meta["manufacturer"]]
    residual = noisy.kspace.data - clean.kspace.data
    assert residual.real.std() == pytest.approx(0.05 * gain, rel=0.03)
    assert residual.imag.std() == pytest.approx(0.05 * gain, rel=0.03)


def test_kspace_has_zeros_where_nothing_was_acquired(raw):
    k = raw.kspace
    assert k.data.dtype == np.complex64
    assert k.data.shape == (4, 72, 72, raw.scan.array.shape[2], 6)
    assert k.mask.sum(axis=0).tolist() == [18] * 6
    seen = np.abs(k.data).sum(axis=(0, 1, 3)) > 0
    np.testing.assert_array_equal(seen, k.mask)
    np.testing.assert_array_equal(k.affine, raw.scan.affine)


def noise_in_air(subject: SimulatedSubject) -> float:
    """What two frames differ by where nothing moves."""
    return float((air(subject)[..., 1] - air(subject)[..., 0]).std())


def test_worse_image_quality_is_more_noise_and_nothing_else(plain):
    worse = session(truth_noise_factor=4.0)
    assert noise_in_air(worse) == pytest.approx(4 * noise_in_air(plain), rel=0.05)
    np.testing.assert_array_equal(worse.labels.array, plain.labels.array)


def test_image_quality_bias_costs_its_group_signal_to_noise():
    bias = {"attribute": "race", "group": "Black", "kind": "image_quality", "strength": 1.0}
    people = sample_population(
        8,
        seed=8,
        conditions={},
        bias=bias,
        races={"White": 1, "Black": 1},
        allocation="quota",
        sites={"site-01": "Alder 1.5T"},
    )
    snr: dict[str, list[float]] = {"White": [], "Black": []}
    for row in people.to_dict("records"):
        s = simulate_subject(row, seed=1, frames=2, kspace=False, **SMALL)
        blood = s.scan.array[s.labels.array == Label.LV].mean()
        snr[row["race"]].append(blood / noise_in_air(s))
    assert max(snr["Black"]) < 0.6 * min(snr["White"])


def test_lost_contrast_shows_in_the_image(plain):
    flat = session(truth_contrast_loss=0.6)
    ed = plain.labels.array[..., 0]

    def ratio(s: SimulatedSubject) -> float:
        image = s.scan.array[..., 0]
        return float(image[ed == Label.LV].mean() / image[ed == Label.MYO].mean())

    assert ratio(flat) < 0.7 * ratio(plain)
    np.testing.assert_array_equal(flat.labels.array, plain.labels.array)


def test_a_fat_layer_costs_signal_to_noise(plain):
    fat = session(truth_extra_fat_mm=25.0)
    assert fat.truth == plain.truth
    signal = [s.scan.array[s.labels.array == Label.LV].mean() for s in (fat, plain)]
    assert signal[0] < 0.85 * signal[1]
    # The filter that evens out shading evens out the noise's level too, so compare with that.
    assert noise_in_air(fat) > 0.9 * noise_in_air(plain)


def test_label_noise_moves_the_contours_but_not_the_truth(plain):
    noisy = session(truth_label_noise_mm=3.0)
    assert noisy.truth == plain.truth
    np.testing.assert_array_equal(noisy.scan.array, plain.scan.array)
    score = dice(noisy.labels.array == Label.LV, plain.labels.array == Label.LV)
    assert 0.6 < score < 0.97


def test_label_noise_grows_with_its_size(plain):
    labels = plain.labels.array.transpose(3, 2, 0, 1)

    def score(noise_mm: float) -> float:
        rng = np.random.default_rng(0)
        drawn = blur_labels(labels, spacing_mm=(3.0, 3.0), noise_mm=noise_mm, rng=rng)
        return dice(drawn == Label.MYO, labels == Label.MYO)

    assert score(0.0) == 1.0
    assert score(0.0) > score(1.5) > score(5.0)


def test_motion_ghosts_the_image_and_leaves_labels(plain):
    moved = session(fault="motion")
    np.testing.assert_array_equal(moved.labels.array, plain.labels.array)
    assert air(moved).mean() > 1.2 * air(plain).mean()


@pytest.mark.parametrize("kspace", [False, True])
def test_missing_slices_are_gone_from_one_end(plain, kspace):
    cut = session(fault="missing_slices", kspace=kspace)
    lost = plain.scan.array.shape[2] - cut.scan.array.shape[2]
    assert lost >= 4
    ends = [cut.scan.affine @ (0, 0, z, 1) for z in (0, cut.scan.array.shape[2] - 1)]
    old = [plain.scan.affine @ (0, 0, z, 1) for z in (0, plain.scan.array.shape[2] - 1)]
    assert sum(np.allclose(a, b) for a, b in zip(ends, old, strict=True)) == 1
    assert cut.labels.array.shape == cut.scan.array.shape
    volume = [(s.labels.array[..., 0] == Label.LV).sum() for s in (cut, plain)]
    assert volume[0] < 0.95 * volume[1]
    if kspace:
        assert cut.kspace.data.shape[3] == cut.scan.array.shape[2]


def test_wrong_metadata_lies_about_the_spacing_only(plain):
    wrong = session(fault="wrong_metadata")
    factor = wrong.scan.spacing_mm[0] / 3.0
    assert factor in (0.5, 2.0)
    assert wrong.scan.spacing_mm[2] == 10.0
    np.testing.assert_array_equal(wrong.scan.array, plain.scan.array)
    lengths = np.linalg.norm(wrong.scan.affine[:3, :3], axis=0)
    np.testing.assert_allclose(lengths, wrong.scan.spacing_mm)


def test_missing_frames_end_the_cine_early(raw):
    short = session(fault="missing_frames", kspace=True, frames=6)
    assert short.scan.array.shape[3] == 2
    assert short.labels.frames == (0, 1)
    assert short.kspace.mask.shape == (72, 2)
    np.testing.assert_array_equal(short.scan.array, raw.scan.array[..., :2])
    np.testing.assert_array_equal(short.scan.frame_times_ms, raw.scan.frame_times_ms[:2])


def test_a_truncated_field_of_view_cuts_the_heart(plain):
    cut = session(fault="truncated")
    volume = [(s.labels.array[..., 0] > 0).sum() for s in (cut, plain)]
    assert 0 < volume[0] < 0.9 * volume[1]
    assert cut.labels.array[0].any()  # the heart reaches the border


def test_corrupt_values_are_not_numbers():
    bad = session(fault="corrupt_values", kspace=True)
    assert np.isnan(bad.scan.array).any()
    assert np.isnan(bad.kspace.data).any()


def test_every_fault_yields_a_session():
    for fault in FAULTS:
        s = session(fault=fault, slices=4)
        assert s.scan.array.shape == s.labels.array.shape


@pytest.mark.parametrize(
    "changes",
    [
        {"scanner": "Dogwood 9T"},
        {"fault": "gremlins"},
        {"truth_lvedv_ml": "large"},
        {"truth_lvedv_ml": 20.0},
        {"height_cm": float("nan")},
        {"matrix": (8, 8)},
    ],
)
def test_impossible_rows_are_told(changes):
    with pytest.raises(PopscanError):
        session(**changes)


@pytest.mark.parametrize("fault", ["late_beats", "breath"])
def test_faults_of_beats_strike_their_lines_only_and_not_the_reference(fault):
    options = {"kspace": True, "slices": 2, "frames": 4, "noise": 0.0, "acceleration": 1.0}
    plain, bad = session(**options), session(fault=fault, **options)
    np.testing.assert_array_equal(plain.scan.array, bad.scan.array)
    np.testing.assert_array_equal(plain.labels.array, bad.labels.array)
    assert plain.kspace is not None
    assert bad.kspace is not None
    changed = (plain.kspace.data != bad.kspace.data).any(axis=(0, 1, 4))  # (ky, z)
    beat = np.arange(72) % 8
    for z in range(2):
        struck = {int(b) for b in beat[changed[:, z]]}
        assert 1 <= len(struck) <= 4
        assert all(changed[beat == b, z].mean() > 0.8 for b in struck)


def test_beats_contradict_the_coils_and_lines_of_the_object_do_not():
    """Only what no object explains, seen by the same coils, can be found in k-space."""
    rng = np.random.default_rng(0)
    spectrum = centred_fft(white_noise(rng, (4, 1, 24, 24)), axes=(2, 3))
    maps = (0.2 + rng.random((3, 1, 24, 24))).astype(np.complex64)
    full, plain = np.ones((24, 4), bool), np.eye(3, dtype=np.complex64)

    def unexplained(seen: np.ndarray, beats: list[list[Beat]]) -> float:
        data = acquire(seen, maps, mask=full, noise=0.0, mixing=plain, rng=rng, beats=beats)
        of_coils = centred_ifft(data[:, :, :, 0], axes=(1, 2))
        own = maps[:, 0, :, :, np.newaxis]
        image = (own * of_coils).sum(axis=0) / (own**2).sum(axis=0)
        return float(np.linalg.norm(own * image - of_coils) / np.linalg.norm(of_coils))

    assert unexplained(spectrum, []) < 1e-5
    assert unexplained(corrupt_motion(spectrum, spacing_mm=2.0, rng=rng), []) < 1e-5
    for fault in ("late_beats", "breath"):
        drawn = drawn_beats(fault, frames=4, slices=1, spacing_mm=(2.0, 2.0), rng=rng)
        assert unexplained(struck_spectrum(spectrum, drawn), []) < 1e-5
        assert unexplained(spectrum, drawn) > 0.05
