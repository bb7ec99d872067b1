"""The variants of a brain scan that `brain_inputs.py` makes, by name and kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_spoilt import (
    Image,
    Plain,
    bare,
    bias,
    brain_of,
    clipped,
    cropped,
    ct,
    defaced,
    enhanced,
    flair,
    grey_map,
    head_of,
    in_template,
    interleaved,
    lesion,
    mirrored_sform,
    moved,
    mp2rage,
    noisy,
    resampled,
    ringing,
    same_values,
    scaled,
    sform_ones,
    shuffled,
    sphere,
    stored,
    thorax,
    tilted,
    tissue_image,
    without_skull,
)

Files = dict[str, Image]


def one(image: Image, name: str = "T1w") -> Files:
    """Return a folder of one file."""
    return {name: image}


def variants(p: Plain) -> Iterator[tuple[str, str, Callable[[], Files]]]:
    """Yield name, kind and maker of every variant.

    Kinds: ``same`` (the right numbers are the plain scan's), ``part`` (not all of the brain is
    there), ``none`` (it is no T1-weighted brain in its own space: there is no right number).
    """
    v, a = p.volume, p.affine
    las = np.diag([-1.0, 1, 1, 1])
    n = v.shape

    def flipped(axis: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(np.flip(v, axis))

    yield "plain", "same", lambda: one(stored(v, a))
    yield "uncoded_ras", "same", lambda: one(stored(v, a, sform=0, qform=0))
    yield "uncoded_las", "same", lambda: one(stored(flipped(0), a, sform=0, qform=0))
    yield "uncoded_lps", "same", lambda: one(stored(v[::-1, ::-1], a, sform=0, qform=0))
    yield (
        "uncoded_psr",
        "same",
        lambda: one(stored(v.transpose(1, 2, 0)[::-1], a, sform=0, qform=0)),
    )
    yield "mirrored_both_forms", "same", lambda: one(stored(flipped(0), a))
    yield "mirrored_sform_only", "same", lambda: one(mirrored_sform(v, a, las))
    yield "mirrored_sform_qform_uncoded", "same", lambda: one(stored(flipped(0), a, qform=0))
    yield "rotated_identity_sagittal", "same", lambda: one(stored(v.transpose(1, 2, 0), a))
    yield "rotated_identity_coronal", "same", lambda: one(stored(v.transpose(0, 2, 1), a))
    yield "rotated_90_axial", "same", lambda: one(stored(np.rot90(v, 1, (0, 1)), a))
    yield "upside_down", "same", lambda: one(stored(flipped(2), a))
    yield "back_to_front", "same", lambda: one(stored(flipped(1), a))
    yield "tilted_20_in_header", "same", lambda: one(stored(v, tilted(a, 20)))
    yield (
        "tilted_30_not_in_header",
        "same",
        lambda: one(stored(ndimage.rotate(v, 30, axes=(1, 2), order=1), a)),
    )
    yield (
        "microns_declared",
        "same",
        lambda: one(stored(v, scaled(a, (1000, 1000, 1000)), unit="micron")),
    )
    yield "microns_called_mm", "same", lambda: one(stored(v, scaled(a, (1000,) * 3)))
    for factor in (0.5, 0.8, 0.9, 0.95, 1.1, 1.25):
        yield f"voxels_times_{factor}", "same", lambda f=factor: one(stored(v, scaled(a, (f,) * 3)))
    yield "slices_times_0.8", "same", lambda: one(stored(v, scaled(a, (1, 1, 0.8))))
    yield "slices_times_1.2", "same", lambda: one(stored(v, scaled(a, (1, 1, 1.2))))
    yield "sagittal_slices_times_0.83", "same", lambda: one(stored(v, scaled(a, (0.83, 1, 1))))
    yield "sagittal_slices_times_1.2", "same", lambda: one(stored(v, scaled(a, (1.2, 1, 1))))
    yield "sform_ones", "same", lambda: one(sform_ones(v, a))
    yield "flair_as_t1", "none", lambda: one(same_values(flair(p)))
    yield (
        "t2_as_t1",
        "none",
        lambda: one(stored(tissue_image(p, {"white": 0.35, "grey": 0.55, "fluid": 1.0}), a)),
    )
    yield (
        "pd_as_t1",
        "none",
        lambda: one(stored(tissue_image(p, {"white": 0.75, "grey": 0.9, "fluid": 0.95}), a)),
    )
    yield (
        "t1_map_as_t1",
        "none",
        lambda: one(
            stored(tissue_image(p, {"white": 0.85, "grey": 1.4, "fluid": 3.5}, rest=0.6), a)
        ),
    )
    yield "ct_as_t1", "none", lambda: one(stored(ct(p), a))
    yield "negative", "none", lambda: one(stored(v.max() - v, a))
    yield (
        "negative_in_head",
        "none",
        lambda: one(
            stored(
                np.where(head_of(v), np.percentile(v, 99.5) - v, 0).clip(0).astype(np.float32), a
            )
        ),
    )
    yield "enhanced_1.2", "same", lambda: one(stored(enhanced(p, 1.2), a))
    yield "enhanced_1.8", "same", lambda: one(stored(enhanced(p, 1.8), a))
    yield "skull_stripped", "same", lambda: one(stored(without_skull(p), a))
    yield "skull_stripped_tight", "same", lambda: one(stored(without_skull(p, grow=0), a))
    yield "skull_stripped_no_csf", "part", lambda: one(stored(bare(p), a))
    yield "defaced", "same", lambda: one(stored(defaced(p), a))
    yield "defaced_into_brain", "part", lambda: one(stored(defaced(p, deep=True), a))
    yield "template_code_4", "none", lambda: one(stored(*in_template(p), sform=4, qform=4))
    yield "template_code_1", "none", lambda: one(stored(*in_template(p)))
    yield (
        "template_by_name",
        "none",
        lambda: one(stored(*in_template(p), sform=2, qform=0), "space-MNI152NLin2009cAsym_T1w"),
    )
    yield "slices_3mm", "same", lambda: one(stored(*resampled(p, (2, 2, 3))))
    yield "slices_5mm", "same", lambda: one(stored(*resampled(p, (2, 2, 5))))
    yield "voxels_3mm", "same", lambda: one(stored(*resampled(p, (3, 3, 3))))
    yield "voxels_1mm", "same", lambda: one(stored(*resampled(p, (1, 1, 1))))
    yield "cropped_top_15mm", "part", lambda: one(cropped(p, 2, top=15))
    yield "cropped_top_blank_15mm", "part", lambda: one(cropped(p, 2, top=15, blank=True))
    yield "cropped_cerebellum", "part", lambda: one(cropped(p, 2, bottom=40))
    yield "cropped_cerebellum_blank", "part", lambda: one(cropped(p, 2, bottom=40, blank=True))
    yield "cropped_side_blank_12mm", "part", lambda: one(cropped(p, 0, top=12, blank=True))
    yield "half_of_the_slices_blank", "part", lambda: one(cropped(p, 1, top=80, blank=True))
    yield "padded_zeros", "same", lambda: one(stored(np.pad(v, 20), a))
    yield "padded_nan", "same", lambda: one(stored(np.pad(v, 12, constant_values=np.nan), a))
    yield "padded_minus_1000", "same", lambda: one(stored(np.pad(v, 12, constant_values=-1000), a))
    yield "offset_1000", "same", lambda: one(stored(v + 1000, a))
    yield "scaled_1e-6", "same", lambda: one(stored(v * np.float32(1e-6), a))
    yield "clipped_at_white", "same", lambda: one(stored(clipped(p), a))
    yield (
        "sixteen_levels",
        "same",
        lambda: one(
            stored((np.rint(15 * np.clip(v / np.percentile(v, 99.5), 0, 1))).astype(np.uint8), a)
        ),
    )
    yield "bias_3", "same", lambda: one(stored(v * bias(n, 3), a))
    yield "bias_8", "same", lambda: one(stored(v * bias(n, 8), a))
    yield "ringing", "same", lambda: one(stored(ringing(v, 0.5), a))
    yield "motion_mild", "same", lambda: one(stored(moved(v, lines=0.15, shift=1), a))
    yield "motion_strong", "same", lambda: one(stored(moved(v, lines=0.4, shift=3), a))
    yield "noise_strong", "same", lambda: one(stored(noisy(v, 0.2), a))
    yield "blurred_6mm", "same", lambda: one(stored(ndimage.gaussian_filter(v, 1.3), a))
    yield "normalised_copy_beside", "same", lambda: {
        "run-1_T1w": stored(v * bias(n, 2), a), "rec-norm_run-1_T1w": stored(v, a)
    }  # fmt: skip
    yield "second_run_moved_head", "same", lambda: {
        "run-1_T1w": stored(v, a), "run-2_T1w": stored(moved(v, lines=0.4, shift=3), a)
    }  # fmt: skip
    yield "one_frame_4d", "same", lambda: one(stored(v[..., None], a))
    yield "two_frames_4d", "same", lambda: one(stored(np.stack([v, v], 3), a))
    yield "complex", "same", lambda: one(stored(v.astype(np.complex64), a))
    yield "brain_mask_as_t1", "none", lambda: one(stored(brain_of(p).astype(np.uint8), a))
    yield "labels_as_t1", "none", lambda: one(stored(p.groups, a))
    yield "grey_probability_as_t1", "none", lambda: one(stored(grey_map(p), a))
    yield "phantom", "none", lambda: one(stored(sphere(p), a))
    yield (
        "noise_only",
        "none",
        lambda: one(
            stored(np.abs(np.random.default_rng(1).normal(0, 50, n)).astype(np.float32), a)
        ),
    )
    yield "thorax", "none", lambda: one(thorax(p))
    yield "mp2rage_uni", "same", lambda: one(stored(mp2rage(p, "uni"), a))
    yield "mp2rage_inv1", "none", lambda: one(stored(mp2rage(p, "inv1"), a))
    yield "mp2rage_inv2", "none", lambda: one(stored(mp2rage(p, "inv2"), a))
    yield (
        "mp2rage_all_named_t1w",
        "same",
        lambda: {
            f"acq-mp2rage_{part}_T1w": stored(mp2rage(p, key), a)
            for part, key in (("inv-1", "inv1"), ("inv-2", "inv2"), ("uni", "uni"))
        },
    )
    yield "slices_exchanged", "same", lambda: one(stored(shuffled(v), a))
    yield "slices_interleaved", "same", lambda: one(stored(interleaved(v), a))
    yield "lesion_half", "same", lambda: one(stored(lesion(p), a))
