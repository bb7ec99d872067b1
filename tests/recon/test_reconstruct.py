"""Reconstruction: what every method must satisfy, and what CG-SENSE adds."""

from dataclasses import replace

import numpy as np
import pytest

from popscan.arrays.image_quality import score_image
from popscan.recon import LEARNED, METHODS, reconstruct
from popscan.records import PopscanError, Scan, SubjectError

#: All but the learned ones, which need a model: tests/recon/test_networks.py.
EVERY_METHOD = pytest.mark.parametrize("method", sorted(set(METHODS) - set(LEARNED)))


def as_reference(image, kspace):
    return Scan(array=image, affine=kspace.affine, spacing_mm=kspace.spacing_mm)


def error(scan, image):
    return score_image(scan, as_reference(image, scan))["nrmse"]


@EVERY_METHOD
def test_full_sampling_gives_the_image_back(cine, encoder, method):
    image, maps, mask = cine
    kspace = encoder(image, maps, np.ones_like(mask))
    scan = reconstruct(kspace, method=method)
    assert scan.array.dtype == np.float32
    assert scan.array.shape == image.shape
    assert error(scan, image) < 0.02


@EVERY_METHOD
def test_geometry_times_and_meta_are_kept(cine, encoder, method):
    kspace = encoder(*cine)
    scan = reconstruct(kspace, method=method)
    np.testing.assert_array_equal(scan.affine, kspace.affine)
    np.testing.assert_array_equal(scan.frame_times_ms, kspace.frame_times_ms)
    assert (scan.spacing_mm, scan.view) == (kspace.spacing_mm, kspace.view)
    assert scan.meta["manufacturer"] == "analytic"
    assert scan.meta["reconstruction"]["method"] == method
    assert scan.meta["reconstruction"]["acceleration"] == pytest.approx(
        cine[2].size / cine[2].sum(), abs=1e-3
    )


@EVERY_METHOD
def test_the_same_input_gives_the_same_bytes_and_is_untouched(cine, encoder, method):
    kspace = encoder(*cine)
    before = kspace.data.copy()
    first, second = (reconstruct(kspace, method=method).array for _ in range(2))
    assert first.tobytes() == second.tobytes()
    np.testing.assert_array_equal(kspace.data, before)


@EVERY_METHOD
def test_the_scale_of_the_data_scales_the_image(cine, encoder, method):
    kspace = encoder(*cine)
    scaled = reconstruct(replace(kspace, data=kspace.data * np.complex64(1000j)), method=method)
    plain = reconstruct(kspace, method=method)
    np.testing.assert_allclose(scaled.array, 1000 * plain.array, rtol=1e-2, atol=1.0)


@EVERY_METHOD
def test_a_dead_coil_is_dropped_and_noted(cine, encoder, method):
    kspace = encoder(*cine)
    with_dead = np.insert(kspace.data, 2, 0, axis=0)
    scan = reconstruct(replace(kspace, data=with_dead), method=method)
    assert scan.meta["reconstruction"]["dropped_coils"] == [2]
    np.testing.assert_allclose(
        scan.array, reconstruct(kspace, method=method).array, rtol=1e-3, atol=1e-4
    )


@EVERY_METHOD
def test_samples_outside_the_mask_are_ignored(cine, encoder, method):
    kspace = encoder(*cine)
    missing = ~cine[2][np.newaxis, np.newaxis, :, np.newaxis]
    spoiled = replace(kspace, data=(kspace.data + missing).astype(np.complex64))
    np.testing.assert_array_equal(
        reconstruct(spoiled, method=method).array, reconstruct(kspace, method=method).array
    )


def damaged(kspace, fault):
    data, mask = kspace.data.copy(), kspace.mask.copy()
    if fault == "non_finite_kspace":
        data[0, 3, 20, 0, 1] = np.nan
    elif fault == "no_acquired_lines":
        mask[:, 2] = False
    elif fault == "empty_kspace":
        data[:] = 0
    else:
        mask = mask[:-1]
    return replace(kspace, data=data, mask=mask)


@EVERY_METHOD
@pytest.mark.parametrize(
    "fault", ["non_finite_kspace", "no_acquired_lines", "empty_kspace", "bad_kspace_shape"]
)
def test_unusable_data_fail_the_subject_with_a_reason(cine, encoder, method, fault):
    with pytest.raises(SubjectError) as caught:
        reconstruct(damaged(encoder(*cine), fault), method=method)
    assert caught.value.reason == fault


def test_unknown_methods_and_options_are_named(cine, encoder):
    kspace = encoder(*cine)
    with pytest.raises(PopscanError, match=r"known methods: .*cg_sense, .*zero_filled"):
        reconstruct(kspace, method="magic")
    with pytest.raises(PopscanError, match=r"known options: .*lam"):
        reconstruct(kspace, method="cg_sense", lambda_=1.0)


def test_cg_sense_unfolds_what_zero_filling_aliases(cine, encoder):
    image, maps, mask = cine
    kspace = encoder(image, maps, mask)
    zero_filled = error(reconstruct(kspace, method="zero_filled"), image)
    sense = error(reconstruct(kspace, method="cg_sense"), image)
    assert zero_filled > 0.1
    assert sense < 0.3 * zero_filled


def test_the_temporal_mean_helps_where_frames_alone_are_too_few(cine, encoder, rng):
    image, maps, _ = cine
    mask = np.zeros((40, 4), dtype=bool)
    for t in range(4):
        mask[t::4, t] = True
    kspace = encoder(image, maps, mask, noise=0.02, rng=rng)
    alone, shared = (
        error(reconstruct(kspace, method="cg_sense", lam=0.02, prior=prior), image)
        for prior in ("zero", "temporal_mean")
    )
    assert shared < 0.8 * alone


def test_partial_readouts_are_taken_as_not_acquired(cine, encoder):
    image, maps, mask = cine
    kspace = encoder(image, maps, mask)
    partial = kspace.data.copy()
    partial[:, :12] = 0
    scan = reconstruct(replace(kspace, data=partial), method="cg_sense")
    zero_filled = reconstruct(replace(kspace, data=partial), method="zero_filled")
    assert error(scan, image) < 0.7 * error(zero_filled, image)


def test_a_slice_without_samples_is_empty_and_noted(cine, encoder):
    image, maps, mask = cine
    kspace = encoder(np.repeat(image, 2, axis=2), maps, mask)
    kspace.data[:, :, :, 1] = 0
    scan = reconstruct(kspace, method="cg_sense")
    assert scan.meta["reconstruction"]["empty_slices"] == [1]
    assert not scan.array[:, :, 1].any()
    assert scan.array[:, :, 0].any()


def test_without_a_sampled_centre_there_are_no_coil_maps(cine, encoder):
    image, maps, mask = cine
    sparse = np.zeros_like(mask)
    sparse[::4] = True
    with pytest.raises(SubjectError) as caught:
        reconstruct(encoder(image, maps, sparse), method="cg_sense")
    assert caught.value.reason == "no_calibration_lines"


@EVERY_METHOD
def test_nan_where_nothing_was_acquired_is_no_damage(cine, encoder, method):
    kspace = encoder(*cine)
    data = np.where(cine[2][np.newaxis, np.newaxis, :, np.newaxis], kspace.data, np.nan)
    spoilt = replace(kspace, data=data.astype(np.complex64))
    np.testing.assert_array_equal(
        reconstruct(spoilt, method=method).array, reconstruct(kspace, method=method).array
    )
