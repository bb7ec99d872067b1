"""Brain scans as people really have them: which give other numbers, and which of those pass.

    python benchmarks/brain_inputs.py [--data ../shared/data] [--subjects NAME ...]
        [--only WORD ...] [--out TABLE.tsv] [--seconds N]

Makes variants of T1-weighted scans (headers that are wrong or silent, other contrasts, cut, masked,
resampled, spoilt), writes each as a BIDS folder, and sends it through the source, ingest,
segmentation, checks and biomarkers of the protocol. Prints for each the volumes beside those of the
plain scan, whether left and right are exchanged, the status and the verdict. `wrong` are volumes
more than 10% off, or exchanged sides; `passed` those that no check sees beyond what it sees of the
plain scan. Variants whose right numbers are other than the plain scan's are marked.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from popscan.ingest import prepare
from popscan.io.bids import Bids
from popscan.io.references import usable_references
from popscan.protocols import get_protocol
from popscan.protocols.brain_t1.biomarkers import measure
from popscan.protocols.brain_t1.labels import GROUPS, from_muse, without_sides
from popscan.protocols.brain_t1.qc import CHECKS, Context
from popscan.protocols.brain_t1.segmentation import segment
from popscan.qc import run_checks, verdict
from popscan.records import SubjectError
from popscan.segment import load_bundle
from popscan.segment.bundle import Bundle

BUNDLE = Path(__file__).parents[1] / "resources" / "models" / "brain_t1"
PROTOCOL = get_protocol("brain_t1")
#: Volumes that are compared.
VOLUMES = ("icv_ml", "brain_ml", "grey_ml", "white_ml", "ventricles_ml", "hippocampus_ml")
#: Made first, where the time is limited.
_FIRST = (
    "plain", "template_code_1", "t2_as_t1", "uncoded_lps", "skull_stripped_tight",
    "cropped_top_blank_15mm", "mp2rage_inv2", "voxels_times_0.9", "enhanced_1.8", "back_to_front",
    "rotated_90_axial", "slices_times_0.8", "mp2rage_uni", "padded_minus_1000", "clipped_at_white",
    "cropped_side_blank_12mm", "slices_interleaved", "slices_5mm", "t1_map_as_t1", "ct_as_t1",
    "grey_probability_as_t1", "phantom", "thorax", "negative_in_head", "mirrored_both_forms",
    "cropped_cerebellum_blank", "defaced_into_brain", "offset_1000", "motion_strong", "bias_8",
    "lesion_half", "sagittal_slices_times_1.2", "voxels_times_1.1", "pd_as_t1", "blurred_6mm",
    "noise_strong", "slices_exchanged", "upside_down", "rotated_identity_sagittal",
)  # fmt: skip
_CODE = {group.name: code for code, group in enumerate(GROUPS, start=1)}
_SIDED = tuple(f"{g.name}_asymmetry_pct" for g in GROUPS if g.paired)
Image = nib.Nifti1Image


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A subject's scan in RAS order, its groups without sides, and its FLAIR where it has one."""

    name: str
    volume: NDArray[np.float32]
    groups: NDArray[np.uint8]
    affine: NDArray[np.float64]
    folder: Path


def plain_of(data: Path, name: str) -> Plain:
    """Read a subject of the data."""
    image = nib.as_closest_canonical(nib.load(data / "brain" / name / f"anat/{name}_T1w.nii.gz"))
    labels = data / "brain/derivatives/dlmuse" / name / f"anat/{name}_dseg.nii.gz"
    codes = np.asarray(nib.as_closest_canonical(nib.load(labels)).dataobj)
    return Plain(
        name=name,
        volume=np.asarray(image.dataobj, dtype=np.float32),
        groups=without_sides(from_muse(codes)),
        affine=np.asarray(image.affine),
        folder=data,
    )


def stored(
    volume: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    sform: int = 1,
    qform: int = 1,
    zooms: tuple[float, ...] = (),
    unit: str = "mm",
) -> Image:
    """Return a NIfTI image with these codes; `zooms` replaces the steps that pixdim has."""
    image = Image(volume, affine)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    image.header.set_xyzt_units(unit, "sec")
    if zooms:
        image.header["pixdim"][1:4] = zooms
    if not sform:
        image.header["sform_code"] = 0
    return image


def scaled(affine: NDArray[np.float64], factors: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return an affine whose steps are other than they were."""
    out = affine.copy()
    out[:3, :3] = out[:3, :3] * np.asarray(factors)
    return out


def head_of(volume: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the head, holes filled."""
    mask = ndimage.binary_closing(volume > 0.12 * np.percentile(volume, 99), iterations=2)
    return np.asarray(ndimage.binary_fill_holes(mask))


def brain_of(plain: Plain) -> NDArray[np.bool_]:
    """Return the brain with the fluid around it."""
    return np.asarray(ndimage.binary_fill_holes(plain.groups > 0))


def tissue_image(plain: Plain, levels: dict[str, float], *, rest: float = 0.5) -> NDArray[Any]:
    """Return another contrast: levels of white, grey, fluid, of the head's rest and of air.

    Texture is the plain scan's, so that it is no cartoon.
    """
    fluid = np.isin(
        plain.groups, [_CODE[n] for n in ("lateral_ventricle", "ventricles_3_4", "csf")]
    )
    white = np.isin(
        plain.groups,
        [_CODE[n] for n in ("cerebral_white", "corpus_callosum", "cerebellum_white", "brainstem")],
    )
    grey = (plain.groups > 0) & ~fluid & ~white
    head = head_of(plain.volume)
    out = np.where(head, rest * plain.volume / np.percentile(plain.volume[head], 50), 0.0)
    for name, mask in (("fluid", fluid), ("white", white), ("grey", grey)):
        own = plain.volume[mask]
        texture = (plain.volume[mask] - np.median(own)) / max(1.0, np.percentile(own, 90))
        out[mask] = levels[name] * (1 + 0.25 * texture)
    out = ndimage.gaussian_filter(out, 0.4)
    noise = np.random.default_rng(3).normal(0, 0.015, (2, *out.shape))
    return (1000 * np.hypot(out + noise[0], noise[1])).astype(np.float32)


def without_skull(plain: Plain, grow: int = 1) -> NDArray[np.float32]:
    """Return the scan with all but the brain set to 0."""
    mask = ndimage.binary_dilation(brain_of(plain), iterations=grow)
    return np.where(mask, plain.volume, 0).astype(np.float32)


def resampled(plain: Plain, steps: tuple[float, float, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the scan with other voxels: means over thicker ones, as a scanner measures them."""
    old = np.linalg.norm(plain.affine[:3, :3], axis=0)
    ratio = np.asarray(steps) / old
    smooth = ndimage.gaussian_filter(plain.volume, np.where(ratio > 1, 0.4 * ratio, 0))
    shape = np.floor(np.asarray(plain.volume.shape) / ratio).astype(int)
    out = ndimage.affine_transform(smooth, np.diag(ratio), output_shape=tuple(shape), order=1)
    affine = plain.affine.copy()
    affine[:3, :3] = affine[:3, :3] * ratio
    return out.astype(np.float32), affine


def in_template(plain: Plain) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the scan on the grid of MNI152 at 2 mm, with the brain stretched to its size."""
    hit = np.argwhere(brain_of(plain))
    low, high = hit.min(axis=0), hit.max(axis=0)
    # Extent of the template's brain with fluid (mm), and its middle on the template's grid.
    extent, middle = np.array([148.0, 186.0, 158.0]), np.array([45.0, 54.0, 40.0])
    ratio = (high - low + 1) / (extent / 2.0)
    offset = (low + high) / 2.0 - ratio * middle
    out = ndimage.affine_transform(
        plain.volume, np.diag(ratio), offset=offset, output_shape=(91, 109, 91), order=1
    )
    affine = np.array([[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]], float)
    return out[::-1].astype(np.float32), affine


def moved(volume: NDArray[np.float32], *, lines: float, shift: float) -> NDArray[np.float32]:
    """Return a scan whose head moved: part of its k-space lines are of the shifted head."""
    k = np.fft.fftn(volume)
    rng = np.random.default_rng(5)
    other = np.fft.fftn(
        ndimage.rotate(np.roll(volume, round(shift), axis=2), 2 * shift, axes=(1, 2),
                       reshape=False, order=1)
    )  # fmt: skip
    n = volume.shape[1]
    starts = rng.random(n // 4) < lines
    taken = np.repeat(starts, 4)
    taken = np.pad(taken, (0, n - len(taken)))
    k[:, taken] = other[:, taken]
    return np.abs(np.fft.ifftn(k)).astype(np.float32)


def ringing(volume: NDArray[np.float32], keep: float) -> NDArray[np.float32]:
    """Return a scan of which only the middle of k-space was measured along two axes."""
    k = np.fft.fftshift(np.fft.fftn(volume))
    for axis in (0, 1):
        n = volume.shape[axis]
        lost = np.abs(np.arange(n) - n // 2) > keep * n / 2
        k[(slice(None),) * axis + (lost,)] = 0
    return np.abs(np.fft.ifftn(np.fft.ifftshift(k))).astype(np.float32)


def bias(shape: tuple[int, ...], strength: float) -> NDArray[np.float32]:
    """Return a smooth field from 1 to `strength`."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    field = 0.5 * (axes[1] + axes[2] * axes[0] + 1)
    return np.asarray(strength ** np.clip(field, 0, 1), dtype=np.float32)


def enhanced(plain: Plain, level: float) -> NDArray[np.float32]:
    """Return a scan after contrast agent: veins, dura and a ring of the skin are bright."""
    brain = brain_of(plain)
    white = float(np.median(plain.volume[plain.groups == _CODE["cerebral_white"]]))
    rim = ndimage.binary_dilation(brain, iterations=1) & ~brain
    rng = np.random.default_rng(7)
    vessels = ndimage.gaussian_filter(rng.normal(size=brain.shape), 1.2)
    sulci = ndimage.binary_dilation(plain.groups == _CODE["csf"]) & brain
    bright = rim | (sulci & (vessels > 1.3 * vessels.std()))
    middle = np.zeros_like(brain)
    hit = np.argwhere(brain)
    x, z = int(hit[:, 0].mean()), hit[:, 2].max()
    middle[x - 2 : x + 3, hit[:, 1].min() : hit[:, 1].max(), z - 2 : z + 2] = True
    lateral = ndimage.binary_erosion(plain.groups == _CODE["lateral_ventricle"])
    plexus = lateral & (vessels > 1.0 * vessels.std())
    out = np.where(bright | middle | plexus, level * white, plain.volume)
    return ndimage.gaussian_filter(out, 0.4).astype(np.float32)


def sphere(plain: Plain) -> NDArray[np.float32]:
    """Return a phantom: a ball of water with a few inserts."""
    shape = plain.volume.shape
    axes = np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")
    radius = np.sqrt(sum(a**2 for a in axes))
    out = np.where(radius < 42, 800.0, 0.0)
    for k in range(8):
        at = 22 * np.array([math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)])
        out[(np.hypot(axes[0] - at[0], axes[1] - at[1]) < 6) & (radius < 40)] = 200 + 100 * k
    noise = np.random.default_rng(2).normal(0, 12, (2, *shape))
    return np.hypot(out + noise[0], noise[1]).astype(np.float32)


def flair(plain: Plain) -> Image | None:
    """Return the subject's FLAIR, or that of the first subject."""
    for name in (plain.name, "sub-A01"):
        path = plain.folder / "brain" / name / f"anat/{name}_FLAIR.nii.gz"
        if path.exists():
            return nib.load(path)
    return None


def thorax(plain: Plain) -> Image:
    """Return a PET of another organ, on its own grid."""
    values = np.fromfile(plain.folder / "pet_thorax" / "FDG_g1.v", dtype="<f4")
    volume = ndimage.zoom(values.reshape((155, 155, 15), order="F"), (1, 1, 4), order=1)
    return stored(volume.astype(np.float32), np.diag([3.129, 3.129, 3.0, 1.0]))


Files = dict[str, Image]
#: Variants whose right numbers are not those of the plain scan, or of which there are none.
OTHER_TRUTH = {"no_brain"}


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
    yield "mirrored_sform_only", "same", lambda: one(_mirrored_sform(v, a, las))
    yield "mirrored_sform_qform_uncoded", "same", lambda: one(stored(flipped(0), a, qform=0))
    yield "rotated_identity_sagittal", "same", lambda: one(stored(v.transpose(1, 2, 0), a))
    yield "rotated_identity_coronal", "same", lambda: one(stored(v.transpose(0, 2, 1), a))
    yield "rotated_90_axial", "same", lambda: one(stored(np.rot90(v, 1, (0, 1)), a))
    yield "upside_down", "same", lambda: one(stored(flipped(2), a))
    yield "back_to_front", "same", lambda: one(stored(flipped(1), a))
    yield "tilted_20_in_header", "same", lambda: one(stored(v, _tilted(a, 20)))
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
    yield "sform_ones", "same", lambda: one(_sform_ones(v, a))
    yield "flair_as_t1", "none", lambda: one(_same_values(flair(p)))
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
    yield "ct_as_t1", "none", lambda: one(stored(_ct(p), a))
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
    yield "skull_stripped_no_csf", "part", lambda: one(stored(_bare(p), a))
    yield "defaced", "same", lambda: one(stored(_defaced(p), a))
    yield "defaced_into_brain", "part", lambda: one(stored(_defaced(p, deep=True), a))
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
    yield "cropped_top_15mm", "part", lambda: one(_cropped(p, 2, top=15))
    yield "cropped_top_blank_15mm", "part", lambda: one(_cropped(p, 2, top=15, blank=True))
    yield "cropped_cerebellum", "part", lambda: one(_cropped(p, 2, bottom=40))
    yield "cropped_cerebellum_blank", "part", lambda: one(_cropped(p, 2, bottom=40, blank=True))
    yield "cropped_side_blank_12mm", "part", lambda: one(_cropped(p, 0, top=12, blank=True))
    yield "half_of_the_slices_blank", "part", lambda: one(_cropped(p, 1, top=80, blank=True))
    yield "padded_zeros", "same", lambda: one(stored(np.pad(v, 20), a))
    yield "padded_nan", "same", lambda: one(stored(np.pad(v, 12, constant_values=np.nan), a))
    yield "padded_minus_1000", "same", lambda: one(stored(np.pad(v, 12, constant_values=-1000), a))
    yield "offset_1000", "same", lambda: one(stored(v + 1000, a))
    yield "scaled_1e-6", "same", lambda: one(stored(v * np.float32(1e-6), a))
    yield "clipped_at_white", "same", lambda: one(stored(_clipped(p), a))
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
    yield "noise_strong", "same", lambda: one(stored(_noisy(v, 0.2), a))
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
    yield "grey_probability_as_t1", "none", lambda: one(stored(_grey_map(p), a))
    yield "phantom", "none", lambda: one(stored(sphere(p), a))
    yield (
        "noise_only",
        "none",
        lambda: one(
            stored(np.abs(np.random.default_rng(1).normal(0, 50, n)).astype(np.float32), a)
        ),
    )
    yield "thorax", "none", lambda: one(thorax(p))
    yield "mp2rage_uni", "same", lambda: one(stored(_mp2rage(p, "uni"), a))
    yield "mp2rage_inv1", "none", lambda: one(stored(_mp2rage(p, "inv1"), a))
    yield "mp2rage_inv2", "none", lambda: one(stored(_mp2rage(p, "inv2"), a))
    yield (
        "mp2rage_all_named_t1w",
        "same",
        lambda: {
            f"acq-mp2rage_{part}_T1w": stored(_mp2rage(p, key), a)
            for part, key in (("inv-1", "inv1"), ("inv-2", "inv2"), ("uni", "uni"))
        },
    )
    yield "slices_exchanged", "same", lambda: one(stored(_shuffled(v), a))
    yield "slices_interleaved", "same", lambda: one(stored(_interleaved(v), a))
    yield "lesion_half", "same", lambda: one(stored(_lesion(p), a))


def _mirrored_sform(v: NDArray[Any], a: NDArray[Any], las: NDArray[Any]) -> Image:
    image = stored(v, a)
    sform = las @ a
    image.set_sform(sform, code=1)
    return image


def _sform_ones(v: NDArray[Any], a: NDArray[Any]) -> Image:
    image = stored(v, a)
    sform = np.eye(4)
    sform[:3, 3] = a[:3, 3]
    zooms = image.header["pixdim"][1:4].copy()
    image.set_sform(sform, code=1)
    image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = zooms
    return image


def _same_values(image: Image | None) -> Image:
    if image is None:
        raise SubjectError("no_images", "no FLAIR in the data")
    return stored(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def _tilted(affine: NDArray[Any], degrees: float) -> NDArray[Any]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1.0]])
    return np.asarray(turn @ affine)


def _ct(p: Plain) -> NDArray[np.float32]:
    head, brain = head_of(p.volume), brain_of(p)
    skull = ndimage.binary_dilation(brain, iterations=4) & ~ndimage.binary_dilation(brain) & head
    out = np.where(head, 20.0, -1000.0)
    levels = tissue_image(p, {"white": 0.030, "grey": 0.037, "fluid": 0.008}, rest=0.02)
    out = np.where(brain, levels, out)
    out[skull] = 1000
    noise = np.random.default_rng(4).normal(0, 4, out.shape)
    return (ndimage.gaussian_filter(out, 0.4) + noise).astype(np.float32)


def _bare(p: Plain) -> NDArray[np.float32]:
    tissue = (p.groups > 0) & (p.groups != _CODE["csf"])
    return np.where(ndimage.binary_fill_holes(tissue), p.volume, 0).astype(np.float32)


def _defaced(p: Plain, *, deep: bool = False) -> NDArray[np.float32]:
    out = p.volume.copy()
    hit = np.argwhere(brain_of(p))
    low, high = hit.min(axis=0), hit.max(axis=0)
    y = high[1] - (12 if deep else 0)
    z = low[2] + (high[2] - low[2]) * (0.55 if deep else 0.35)
    out[:, int(y if deep else (low[1] + high[1]) / 2 + 20) :, : int(z)] = 0
    if not deep:
        mask = ndimage.binary_dilation(brain_of(p), iterations=2)
        out = np.where(mask, p.volume, out)
    return out


def _cropped(
    p: Plain, axis: int, *, top: float = 0, bottom: float = 0, blank: bool = False
) -> Image:
    """Cut planes off, so that so many mm of the brain are gone; or set them to 0."""
    hit = np.argwhere(brain_of(p))[:, axis]
    step = float(np.linalg.norm(p.affine[:3, axis]))
    start = int(hit.min() + bottom / step) if bottom else 0
    stop = int(hit.max() - top / step) + 1 if top else p.volume.shape[axis]
    keep = [slice(None)] * 3
    keep[axis] = slice(start, stop)
    if blank:
        out = np.zeros_like(p.volume)
        out[tuple(keep)] = p.volume[tuple(keep)]
        return stored(out, p.affine)
    affine = p.affine.copy()
    affine[:3, 3] += affine[:3, axis] * start
    return stored(p.volume[tuple(keep)], affine)


def _clipped(p: Plain) -> NDArray[np.uint8]:
    white = float(np.median(p.volume[p.groups == _CODE["cerebral_white"]]))
    return np.clip(255 * p.volume / (0.95 * white), 0, 255).astype(np.uint8)


def _noisy(v: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(6).normal(0, share * np.percentile(v, 99), (2, *v.shape))
    return np.hypot(v + noise[0], noise[1]).astype(np.float32)


def _grey_map(p: Plain) -> NDArray[np.float32]:
    names = [g.name for g in GROUPS if g.name.endswith("_grey")]
    mask = np.isin(p.groups, [_CODE[n] for n in names])
    return ndimage.gaussian_filter(mask.astype(np.float32), 0.7)


def _mp2rage(p: Plain, part: str) -> NDArray[Any]:
    rng = np.random.default_rng(9)
    if part == "uni":
        flat = p.volume / bias(p.volume.shape, 1.0)
        out = 4095 * np.clip(flat / np.percentile(flat, 99.5), 0, 1)
        air = ~head_of(p.volume)
        out[air] = rng.uniform(0, 4095, int(air.sum()))
        return out.astype(np.int16)
    if part == "inv1":
        return tissue_image(p, {"white": 0.5, "grey": 0.15, "fluid": 0.7}, rest=0.4)
    return tissue_image(p, {"white": 0.95, "grey": 0.9, "fluid": 0.7}, rest=0.9)


def _shuffled(v: NDArray[np.float32]) -> NDArray[np.float32]:
    out = v.copy()
    middle = v.shape[2] // 2
    out[:, :, middle : middle + 20] = v[:, :, middle : middle + 20][:, :, ::-1]
    return out


def _interleaved(v: NDArray[np.float32]) -> NDArray[np.float32]:
    order = [*range(0, v.shape[2], 2), *range(1, v.shape[2], 2)]
    return np.ascontiguousarray(v[:, :, order])


def _lesion(p: Plain) -> NDArray[np.float32]:
    hit = np.argwhere(brain_of(p))
    centre = hit.mean(axis=0) + [16, 6, 8]
    axes = np.meshgrid(*[np.arange(n) for n in p.volume.shape], indexing="ij")
    near = sum((x - c) ** 2 for x, c in zip(axes, centre, strict=True)) < 11**2
    fluid = float(np.median(p.volume[p.groups == _CODE["lateral_ventricle"]]))
    return np.where(near & brain_of(p), fluid, p.volume).astype(np.float32)


def run(files: Files, root: Path, bundle: Bundle, keep: Path | None = None) -> dict[str, Any]:
    """Send one visit through the protocol; return its status, verdict and numbers.

    `keep` is a file for the prepared volume, the labels and what the segmentation says of itself.
    """
    folder = root / "sub-X1" / "anat"
    folder.mkdir(parents=True)
    for name, image in files.items():
        nib.save(image, folder / f"sub-X1_{name}.nii.gz")
    found = Bids(PROTOCOL).find(root)[0]
    try:
        loaded = Bids(PROTOCOL).load(found.paths, views=("t1w",))
        usable_references(loaded, protocol=PROTOCOL)
        scan, _, values = prepare(PROTOCOL, loaded.scans["t1w"], None)
        labelled = segment(scan, bundle=bundle)
    except SubjectError as error:
        return {"status": "failed", "reason": error.reason, "message": str(error)[-120:]}
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
        said = {k: v for k, v in labelled.values.items() if isinstance(v, (int, float))}
        np.savez_compressed(
            keep, volume=scan.array[..., 0].astype(np.float32), labels=labelled.labels[..., 0],
            spacing=np.asarray(scan.spacing_mm), affine=scan.affine,
            names=np.array(list(said)), values=np.array(list(said.values()), float),
        )  # fmt: skip
    context = Context(scan, labelled.labels, from_segmentation=labelled.values)
    checks = run_checks(CHECKS, context)
    return {
        "status": "ok",
        "verdict": str(verdict(checks)),
        "failed": " ".join(c.name for c in checks if c.verdict == "fail"),
        "review": " ".join(c.name for c in checks if c.verdict == "review"),
        **{f"check_{c.name}": c.value for c in checks},
        **{k: v for k, v in values.items() if k != "orientation_found"},
        **measure(labelled.labels, spacing_mm=scan.spacing_mm),
    }


def compared(row: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Return how far the numbers of a variant are from those of the plain scan."""
    if row["status"] != "ok" or plain["status"] != "ok":
        return {}
    off = {f"off_{n}": round(100 * (row[n] / plain[n] - 1), 1) for n in VOLUMES}
    own, other = (np.array([r[n] for n in _SIDED]) for r in (row, plain))
    both = np.isfinite(own) & np.isfinite(other)
    sides = float(own[both] @ other[both] / np.linalg.norm(own[both]) / np.linalg.norm(other[both]))
    new = {*f"{row['failed']} {row['review']}".split()}
    old = {*f"{plain['failed']} {plain['review']}".split()}
    worst = max(abs(v) for v in off.values())
    return {
        **off, "worst": worst, "sides": round(sides, 2), "wrong": worst > 10 or sides < -0.3,
        "new": " ".join(sorted(new - old)),
        "passed": not new - old and (row["verdict"] == plain["verdict"]),
    }  # fmt: skip


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--subjects", nargs="*", default=["sub-A04", "sub-B04"])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=math.inf)
    args = parser.parse_args()
    bundle = load_bundle(BUNDLE, "cpu")
    rows: list[dict[str, Any]] = []
    done: set[tuple[str, str]] = set()
    if args.out and args.out.exists():
        rows = pd.read_csv(args.out, sep="\t").to_dict("records")
        done = {(row["subject"], row["variant"]) for row in rows}
    start = time.monotonic()
    for name in args.subjects:
        plain = plain_of(args.data, name)
        kept = [r for r in rows if r["subject"] == name and r["variant"] == "plain"]
        base = {k: ("" if v != v and k in ("failed", "review") else v)
                for k, v in kept[0].items()} if kept else None  # fmt: skip
        known = list(variants(plain))
        known.sort(key=lambda v: _FIRST.index(v[0]) if v[0] in _FIRST else len(_FIRST))
        for variant, kind, make in known:
            wanted = not args.only or variant == "plain" or any(w in variant for w in args.only)
            if not wanted or (name, variant) in done or time.monotonic() - start > args.seconds:
                continue
            with tempfile.TemporaryDirectory() as root:
                try:
                    keep = args.out and args.out.parent / "kept" / f"{name}_{variant}.npz"
                    row = run(make(), Path(root), bundle, keep)
                except SubjectError as error:
                    row = {"status": "failed", "reason": error.reason}
            base = row if base is None else base
            row = {"subject": name, "variant": variant, "kind": kind, **row, **compared(row, base)}
            rows.append(row)
            keys = ("status", "reason", "verdict", "worst", "sides", "new")
            shown = [f"{k}={row.get(k)}" for k in keys if row.get(k) not in (None, "")]
            print(name, variant, *shown, flush=True)
            if args.out:
                pd.DataFrame(rows).to_csv(args.out, sep="\t", index=False)


if __name__ == "__main__":
    main()
