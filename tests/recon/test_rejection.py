"""Lines of k-space in the wrong phase: found and left out, and none where nothing is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from popscan.arrays.beats import Beat, beat_numbers, late, seen_in
from popscan.arrays.fourier import centred_fft, centred_ifft
from popscan.config.reconstruct import LineRejection
from popscan.io.kspace import read_kspace, write_kspace
from popscan.recon import reconstruct
from popscan.recon.acquired import acquired
from popscan.recon.rejection import inconsistent_lines, without
from popscan.records import SubjectError
from popscan.stages.reconstruct.task import rejected

from .conftest import beating_disc, encode, lattice, smooth_maps

SHAPE, N_FRAMES, N_BEATS = (48, 48), 12, 8


def cine(*, acceleration=1, beats=(), coils=6, noise=0.01, seed=3):
    """K-space of a beating disc, acquired in beats; its image, and what was spoilt (ky, t)."""
    rng = np.random.default_rng(seed)
    image, maps = beating_disc(SHAPE, N_FRAMES), smooth_maps(coils, SHAPE)
    if acceleration == 1:
        mask = np.ones((SHAPE[1], N_FRAMES), bool)
    else:
        mask = lattice(SHAPE[1], N_FRAMES, acceleration, 8)
    kspace = encode(image, maps, mask, noise=noise, rng=rng)
    numbers = beat_numbers(mask, N_BEATS, order="interleaved")
    spectrum = centred_fft(np.moveaxis(image[:, :, 0], -1, 0), axes=(1, 2))
    data, spoilt = kspace.data.copy(), np.zeros(mask.shape, bool)
    for k, beat in enumerate(beats):
        for t in range(N_FRAMES):
            hit = numbers[:, t] == k
            if beat.regular or not hit.any():
                continue
            seen = centred_ifft(seen_in(spectrum, beat, frame=t), axes=(0, 1))
            own = centred_ifft(spectrum[t], axes=(0, 1))
            change = centred_fft(maps * (seen - own), axes=(1, 2))
            data[:, :, hit, 0, t] += change[:, :, hit]
            spoilt[hit, t] = True
    return replace(kspace, data=data, shots=numbers), image, spoilt


def late_beats(*which):
    return [late(N_FRAMES, 4) if k in which else Beat() for k in range(N_BEATS)]


@pytest.mark.parametrize("acceleration", [1, 3])
def test_late_shots_are_found_and_no_others(acceleration):
    kspace, _, spoilt = cine(acceleration=acceleration, beats=late_beats(1, 6))
    found = inconsistent_lines(kspace)
    assert found.basis == "shots"
    np.testing.assert_array_equal(found.lines[:, 0], spoilt)
    assert found.share[0] == pytest.approx(spoilt.sum() / kspace.mask.sum())


@pytest.mark.parametrize(
    ("acceleration", "which"), [(1, (3, 4)), (1, (7, 0)), (3, (4, 5)), (1, (1, 3))]
)
def test_neighbouring_late_shots_do_not_explain_each_other(acceleration, which):
    kspace, _, spoilt = cine(acceleration=acceleration, beats=late_beats(*which))
    found = inconsistent_lines(kspace)
    np.testing.assert_array_equal(found.lines[:, 0], spoilt)
    assert not found.doubtful.any()


@pytest.mark.parametrize(("acceleration", "which"), [(1, (0, 1, 2)), (3, (3, 4)), (1, (0, 3, 6))])
def test_late_shots_are_found_or_the_slice_is_in_doubt(acceleration, which):
    kspace, _, spoilt = cine(acceleration=acceleration, beats=late_beats(*which))
    same, about = rejected(kspace, LineRejection(action="report"))
    found = inconsistent_lines(kspace)
    assert same is kspace
    assert about["slices_in_doubt"] == found.doubtful.sum()
    if found.doubtful[0]:
        assert np.isnan(about["lines_found_pct"])
        assert without(kspace, found) is kspace
    else:
        np.testing.assert_array_equal(found.lines[:, 0], spoilt)


def test_a_counter_within_heartbeats_puts_the_slice_in_doubt_and_loses_no_line():
    kspace, _, _ = cine(beats=late_beats(1, 6))
    place = np.broadcast_to((np.arange(SHAPE[1]) // N_BEATS)[:, np.newaxis], kspace.mask.shape)
    found = inconsistent_lines(replace(kspace, shots=place.astype(np.int64)))
    assert found.doubtful.all()
    assert not found.lines.any()


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6])
def test_shots_that_hold_whole_frames_are_not_judged(frames):
    kspace, _, _ = cine()
    shots = np.broadcast_to(np.arange(N_FRAMES) // frames, kspace.mask.shape)
    found = inconsistent_lines(replace(kspace, shots=shots.astype(np.int64)))
    assert not found.lines.any()
    assert found.basis == ""
    assert "of a frame" in found.why


def test_more_shots_than_can_be_judged_are_not():
    kspace, _, _ = cine()
    shots = np.broadcast_to(np.arange(SHAPE[1])[:, np.newaxis], kspace.mask.shape)
    found = inconsistent_lines(replace(kspace, shots=shots.astype(np.int64)))
    assert found.basis == ""
    assert "shots" in found.why


@pytest.mark.parametrize("action", ["report", "leave_out"])
def test_k_space_without_calibration_lines_is_not_judged_and_not_lost(action):
    kspace, _, _ = cine()
    mask = np.zeros_like(kspace.mask)
    mask[1::2] = True
    bare = replace(kspace, mask=mask, shots=np.where(mask, kspace.shots, -1))
    same, about = rejected(bare, LineRejection(action=action))
    assert same is bare
    assert np.isnan(about["lines_found_pct"])
    assert "no coil maps" in about["lines_judged_by"]


@pytest.mark.parametrize("threshold", [-1, -0.1])
def test_thresholds_below_0_are_refused(threshold):
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        LineRejection(threshold=threshold)


@pytest.mark.parametrize("acceleration", [1, 3])
@pytest.mark.parametrize("seed", [3, 4])
def test_nothing_is_found_in_clean_data_and_its_image_stays_the_same(acceleration, seed):
    kspace, _, _ = cine(acceleration=acceleration, seed=seed)
    found = inconsistent_lines(kspace)
    assert not found.lines.any()
    assert without(kspace, found) is kspace


def test_pure_noise_and_a_body_that_stands_still_are_left_alone():
    kspace, _, _ = cine(acceleration=3)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((*kspace.data.shape, 2)) @ [1, 1j]
    empty = replace(kspace, data=(noise * (kspace.data != 0)).astype(np.complex64))
    still = replace(kspace, data=np.repeat(cine()[0].data[..., :1], N_FRAMES, axis=4),
                    mask=np.ones((SHAPE[1], N_FRAMES), bool), shots=cine()[0].shots)  # fmt: skip
    for one in (empty, still):
        assert not inconsistent_lines(one).lines.any()


@pytest.mark.parametrize("method", ["cs_tv", "kt_sense", "cg_sense"])
def test_leaving_late_shots_out_makes_the_image_better(method):
    kspace, image, _ = cine(beats=late_beats(1, 6))

    def error(one):
        found = reconstruct(one, method=method).array
        return float(np.linalg.norm(found - image))

    left = without(kspace, inconsistent_lines(kspace))
    assert error(left) < 0.7 * error(kspace)


def test_lines_that_no_frame_has_do_not_fold_the_mean_of_kt_sense():
    kspace, image, _ = cine()
    mask = kspace.mask.copy()
    mask[::3] = False
    mask[20:28] = True
    found = reconstruct(replace(kspace, mask=mask), method="kt_sense").array
    full = reconstruct(kspace, method="kt_sense").array
    assert np.linalg.norm(found - image) < 2.5 * np.linalg.norm(full - image)


def test_one_line_of_every_frame_is_judged_where_shots_are_not_known():
    kspace, _, spoilt = cine(beats=late_beats(2))
    found = inconsistent_lines(replace(kspace, shots=None))
    assert found.basis == "lines"
    assert not (found.lines[:, 0] & ~spoilt).any()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda k: replace(k, shots=None), "shots are not known"),
        (lambda k: replace(k, data=k.data[:3]), "coils"),
        (lambda k: replace(k, data=k.data[..., :4], mask=k.mask[:, :4], shots=k.shots[:, :4]),
         "frames"),
        (lambda k: replace(k, trajectory=np.zeros((2, 4, 4, 1, 4), np.float32)), "off the grid"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_not(change, why):
    kspace, _, _ = cine(acceleration=3, beats=late_beats(1))
    found = inconsistent_lines(change(kspace))
    assert found.basis == ""
    assert why in found.why
    assert not found.lines.any()
    assert np.isnan(found.share).all()


def test_lines_left_out_are_not_in_the_image_and_maps_still_use_them():
    kspace, _, _ = cine(acceleration=3)
    out = np.zeros((SHAPE[1], 1, N_FRAMES), bool)
    out[20:28] = True  # the whole centre
    left = replace(kspace, left_out=out)
    used = acquired(left)
    assert not used.data[:, :, 20:28].any()
    assert used.for_maps is not None
    assert used.for_maps[:, :, 20:28].any()
    for method in ("cg_sense", "cs_tv"):
        options = {"prewhiten": True} if method == "cg_sense" else {}
        assert np.isfinite(reconstruct(left, method=method, **options).array).all()


def test_a_frame_of_which_nothing_is_left_is_refused():
    kspace, _, _ = cine(acceleration=3)
    out = np.zeros((SHAPE[1], 1, N_FRAMES), bool)
    out[:, 0, 5] = True
    with pytest.raises(SubjectError) as error:
        acquired(replace(kspace, left_out=out))
    assert error.value.reason == "no_acquired_lines"
    assert "frame 5" in str(error.value)


def test_the_stage_leaves_lines_out_reports_them_or_refuses_the_scan():
    kspace, _, spoilt = cine(acceleration=3, beats=late_beats(1, 6))
    n = int(spoilt.sum())
    left, about = rejected(kspace, LineRejection())
    assert left.left_out is not None
    assert about["lines_left_out"] == n
    assert about["lines_found_pct"] == pytest.approx(100 * n / kspace.mask.sum())
    assert sum(about["lines_found_by_frame"]) == n
    same, about = rejected(kspace, LineRejection(action="report"))
    assert same is kspace
    assert about["lines_left_out"] == 0
    assert about["lines_found_worst_pct"] > 20
    with pytest.raises(SubjectError) as error:
        rejected(kspace, LineRejection(fail_above_pct=20))
    assert error.value.reason == "too_many_lines_left_out"
    _, about = rejected(replace(kspace, shots=None), LineRejection())
    assert np.isnan(about["lines_found_pct"])
    assert "not known" in about["lines_judged_by"]


def test_shots_are_kept_in_files(tmp_path):
    kspace, _, _ = cine(acceleration=3)
    write_kspace(tmp_path / "a.h5", kspace)
    np.testing.assert_array_equal(read_kspace(tmp_path / "a.h5").shots, kspace.shots)
    write_kspace(tmp_path / "b.h5", replace(kspace, shots=None))
    assert read_kspace(tmp_path / "b.h5").shots is None
    write_kspace(tmp_path / "c.h5", replace(kspace, shots=np.full_like(kspace.shots, -1)))
    with pytest.raises(SubjectError) as error:
        read_kspace(tmp_path / "c.h5")
    assert error.value.reason == "bad_header"
