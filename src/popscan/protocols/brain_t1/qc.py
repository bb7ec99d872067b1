"""Checks of T1-weighted brains: the image, and what the labels say.

Limits were set on 23 brains of two sites with automatic labels, nearly all of which should pass
or be looked at; `fail` is left for what cannot be right. Every limit can be replaced in the config.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.brain_t1 import qc_space as space
from popscan.protocols.brain_t1.biomarkers import measure
from popscan.protocols.brain_t1.labels import GROUPS, LABELS, RIGHT
from popscan.qc import image as common
from popscan.qc.context import ScanContext
from popscan.qc.model import Limit, Measured, Spec, not_assessed

Better = Literal["high", "low", "outside"]
_CODE = {group.name: code for code, group in enumerate(GROUPS, start=1)}
_CORTEX = tuple(g.name for g in GROUPS if g.name.endswith("_grey") and g.paired)
_FLUID = ("lateral_ventricle", "ventricles_3_4", "csf")
#: Large enough that their asymmetry says something about the segmentation.
_ASYMMETRIC = tuple(
    g.name for g in GROUPS if g.paired and g.name not in ("lateral_ventricle", "amygdala")
)
#: Fewer voxels than this have no typical intensity.
_LEAST = 50


class Context(ScanContext):
    """A volume, its labels, and what several checks need of them."""

    @cached_property
    def volume(self) -> NDArray[np.float32]:
        """Intensities (x, y, z)."""
        return self.image[..., 0]

    @cached_property
    def groups(self) -> NDArray[np.uint8]:
        """Labels (x, y, z) without sides; all background where there are none."""
        if self.labels is None:
            return np.zeros(self.scan.array.shape[:3], dtype=np.uint8)
        labels = self.labels[..., 0]
        return np.where(labels > RIGHT, labels - RIGHT, labels).astype(np.uint8)

    @cached_property
    def numbers(self) -> Mapping[str, float]:
        """Biomarkers of the labels."""
        labels = self.labels if self.labels is not None else np.zeros_like(self.image, np.uint8)
        return measure(labels, spacing_mm=self.spacing_mm)

    def inside(self, *names: str) -> NDArray[np.bool_]:
        """Where one of the groups is."""
        return np.isin(self.groups, [_CODE[name] for name in names])

    @cached_property
    def white(self) -> NDArray[np.bool_]:
        """Cerebral white matter, its outermost voxels left out."""
        return ndimage.binary_erosion(self.inside("cerebral_white"))

    @cached_property
    def cerebrum(self) -> NDArray[np.bool_]:
        """All that is labelled but cerebellum and brainstem."""
        return (self.groups > 0) & ~self.inside("brainstem", "cerebellum_grey", "cerebellum_white")

    @cached_property
    def levels(self) -> tuple[float, float]:
        """Median intensity of cerebral white matter and of the cortex; NaN without either."""
        grey = self.inside(*_CORTEX)
        return _median(self.volume, self.white), _median(self.volume, grey)


def _median(volume: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    return float(np.median(volume[mask])) if np.count_nonzero(mask) >= _LEAST else math.nan


def voxel_size_mm(ctx: Context) -> Measured:
    """Largest of the three voxel spacings."""
    words = " x ".join(f"{s:g}" for s in ctx.spacing_mm)
    return Measured(max(ctx.spacing_mm), f"voxels of {words} mm")


def voxel_aspect(ctx: Context) -> Measured:
    """Ratio of the largest to the smallest voxel spacing."""
    return Measured(max(ctx.spacing_mm) / min(ctx.spacing_mm), "largest over smallest spacing")


def field_of_view_mm(ctx: Context) -> Measured:
    """Smallest side of the field of view."""
    sides = [n * s for n, s in zip(ctx.volume.shape, ctx.spacing_mm, strict=True)]
    return Measured(min(sides), f"field of view {' x '.join(f'{s:.0f}' for s in sides)} mm")


def brain_margin_mm(ctx: Context) -> Measured:
    """Distance from what is labelled to the nearest border of the image, but the lower one."""
    hit = np.argwhere(ctx.groups > 0)
    if not len(hit):
        return Measured(math.nan, "nothing is labelled")
    low, high = hit.min(axis=0), np.array(ctx.groups.shape) - 1 - hit.max(axis=0)
    low[2] = max(low[2], high[2])  # The neck goes on below.
    gaps = np.minimum(low, high) * np.asarray(ctx.spacing_mm)
    axis = int(gaps.argmin())
    return Measured(float(gaps.min()), f"nearest along {('x', 'y', 'z')[axis]}")


def grey_white_contrast_pct(ctx: Context) -> Measured:
    """Difference of white and cortical grey matter over the mean of both medians."""
    white, grey = ctx.levels
    if math.isnan(white) or math.isnan(grey) or white + grey <= 0:
        return Measured(math.nan, "white or grey matter is missing")
    return Measured(200.0 * (white - grey) / (white + grey), f"medians {white:.4g} and {grey:.4g}")


def noise_pct(ctx: Context) -> Measured:
    """Noise within white matter over its median: from differences of neighbouring voxels.

    Half of the squared difference of independent neighbours is the variance; the median absolute
    difference is not moved by vessels and borders. Interpolation makes it smaller.
    """
    white, _ = ctx.levels
    both = ctx.white[1:] & ctx.white[:-1]
    if math.isnan(white) or white <= 0 or np.count_nonzero(both) < _LEAST:
        return Measured(math.nan, "too little white matter")
    steps = np.abs(np.diff(ctx.volume, axis=0)[both])
    return Measured(100.0 * float(np.median(steps)) / 0.954 / white, "within white matter")


def bias_left_pct(ctx: Context) -> Measured:
    """How far white matter's brightness still varies over the head: 95th over 5th percentile.

    Of medians in blocks of about 20 mm, less 1; after the correction of the bias field.
    """
    size = [max(1, round(20.0 / s)) for s in ctx.spacing_mm]
    blocks = np.argwhere(ctx.white) // size
    if len(blocks) < _LEAST:
        return Measured(math.nan, "too little white matter")
    keys = np.ravel_multi_index(tuple(blocks.T), tuple(blocks.max(axis=0) + 1))
    values = ctx.volume[ctx.white]
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    parts = np.split(values, np.flatnonzero(np.diff(keys)) + 1)
    medians = [float(np.median(part)) for part in parts if len(part) >= _LEAST]
    if len(medians) < 4:
        return Measured(math.nan, "too little white matter")
    low, high = np.percentile(medians, (5, 95))
    return Measured(
        100.0 * float(high / low - 1) if low > 0 else math.nan, f"{len(medians)} blocks"
    )


def edge_width_mm(ctx: Context) -> Measured:
    """Width of the border between grey and white matter: contrast over the mean gradient there.

    Motion and coarse voxels make it wide.
    """
    white, grey = ctx.levels
    border = ndimage.binary_dilation(ctx.inside("cerebral_white")) & ctx.inside(*_CORTEX)
    if math.isnan(white) or math.isnan(grey) or np.count_nonzero(border) < _LEAST:
        return Measured(math.nan, "white or grey matter is missing")
    parts = np.gradient(ctx.volume, *ctx.spacing_mm)
    slope = float(np.median(np.sqrt(sum(part**2 for part in parts))[border]))
    return Measured(abs(white - grey) / slope if slope > 0 else math.nan, "grey-white border")


def brain_ml(ctx: Context) -> Measured:
    """Volume of the brain."""
    return Measured(ctx.numbers["brain_ml"], "all labelled tissue")


def icv_ml(ctx: Context) -> Measured:
    """Intracranial volume."""
    value = ctx.numbers["icv_ml"]
    return Measured(value, "all that is labelled" if value == value else "nothing is labelled")


def ventricles_icv_pct(ctx: Context) -> Measured:
    """Ventricles as a share of the intracranial volume."""
    return Measured(ctx.numbers["ventricles_icv_pct"], "all ventricles")


def missing_structures(ctx: Context) -> Measured:
    """Structures without a voxel, of those that every brain has."""
    absent = [name for name in LABELS.codes if not ctx.numbers[f"{name}_ml"] > 0]
    return Measured(float(len(absent)), f"missing: {', '.join(absent[:6])}" if absent else "none")


def asymmetry_pct(ctx: Context) -> Measured:
    """Largest difference of left and right over their mean, of the larger paired structures."""
    found = {name: abs(ctx.numbers[f"{name}_asymmetry_pct"]) for name in _ASYMMETRIC}
    known = {name: value for name, value in found.items() if value == value}
    if not known:
        return Measured(math.nan, "no paired structure")
    worst = max(known, key=known.__getitem__)
    return Measured(known[worst], worst)


def brain_pieces_pct(ctx: Context) -> Measured:
    """Labelled voxels that are not connected with the largest piece."""
    pieces, n = ndimage.label(ctx.groups > 0)
    if not n:
        return Measured(math.nan, "nothing is labelled")
    sizes = np.bincount(pieces.ravel())[1:]
    return Measured(100.0 * float(1 - sizes.max() / sizes.sum()), f"{n} pieces")


def mid_plane_agreement(ctx: Context) -> Measured:
    """Share of voxels whose mirror image has the same label: how well sides are separated."""
    return _of_record(ctx, "mid_plane_agreement")


def implied_dice(ctx: Context) -> Measured:
    """Dice that the network expects of itself, mean over the structures."""
    return _of_record(ctx, "implied_dice_mean")


def ood(ctx: Context) -> Measured:
    """Distance of the scan from the model's training scans, 1 for the farthest of them."""
    value = ctx.from_segmentation.get("ood_score")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return not_assessed("the model bundle has no detector")
    return Measured(float(value), "of the segmentation")


def _of_record(ctx: Context, key: str) -> Measured:
    value = ctx.from_segmentation.get(key)
    if not isinstance(value, (int, float)):
        return Measured(
            math.nan, "the segmentation does not say", assessed=key in ctx.from_segmentation
        )
    return Measured(float(value), "of the segmentation")


def _meaning(measured: Callable[..., Measured]) -> str:
    lines = (measured.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")
    return lines.strip().rstrip(".")


def _spec(
    kind: Literal["image", "segmentation"],
    check: Callable[..., Measured],
    unit: str,
    bad: Better,
    review: Limit,
    fail: Limit,
) -> Spec:
    return Spec(
        measure=check,
        kind=kind,
        unit=unit,
        meaning=_meaning(check),
        bad=bad,
        review=review,
        fail=fail,
        source="own definition; limits set on 23 brains of two sites",
    )


_image = partial(_spec, "image")
_labels = partial(_spec, "segmentation")

CHECKS: dict[str, Spec] = {
    "non_finite_pct": _image(common.non_finite_pct, "%", "high", 0.0, 0.0),
    "voxel_size_mm": _image(voxel_size_mm, "mm", "outside", (0.5, 2.2), (0.2, 5.0)),
    "voxel_aspect": _image(voxel_aspect, "ratio", "high", 2.0, 6.0),
    **common.GEOMETRY,
    "orientation_unknown": _image(space.orientation_unknown, "", "high", 0.0, None),
    "standard_space": _image(space.standard_space, "", "high", 0.0, None),
    "clipped_pct": _image(space.clipped_pct, "%", "high", 2.0, None),
    "field_of_view_mm": _image(field_of_view_mm, "mm", "low", 150.0, 120.0),
    "brain_margin_mm": _image(brain_margin_mm, "mm", "low", 4.0, 0.5),
    "grey_white_contrast_pct": _image(grey_white_contrast_pct, "%", "low", 12.0, 3.0),
    "noise_pct": _image(noise_pct, "%", "high", 10.0, 25.0),
    "bias_left_pct": _image(bias_left_pct, "%", "high", 50.0, 120.0),
    "edge_width_mm": _image(edge_width_mm, "mm", "high", 6.0, None),
    "brain_ml": _labels(brain_ml, "mL", "outside", (850.0, 1800.0), (500.0, 2300.0)),
    "icv_ml": _labels(icv_ml, "mL", "outside", (1050.0, 2050.0), (700.0, 2600.0)),
    # 18 training subjects: 0.73 to 0.85 and 1.12 to 1.37; the five others lie within, too.
    "height_width_ratio": _labels(space.height_width_ratio, "ratio", "outside", (0.69, 0.92), None),
    "length_width_ratio": _labels(space.length_width_ratio, "ratio", "outside", (1.0, 1.5), None),
    # 22 scans as they are: up to 8.4; cut off 10 mm below the top: 21 and more.
    "cut_end_pct": _labels(space.cut_end_pct, "%", "high", 12.0, None),
    "ventricles_icv_pct": _labels(ventricles_icv_pct, "%", "outside", (0.4, 12.0), (0.05, 30.0)),
    "missing_structures": _labels(missing_structures, "structures", "high", 0.0, 4.0),
    "asymmetry_pct": _labels(asymmetry_pct, "%", "high", 40.0, 120.0),
    "brain_pieces_pct": _labels(brain_pieces_pct, "%", "high", 0.5, 10.0),
    "mid_plane_agreement": _labels(mid_plane_agreement, "share", "low", 0.4, 0.15),
    # 23 T1 images have 0.83 and more; 16 FLAIR images of such people, read as T1, 0.78 and less.
    "implied_dice": _labels(implied_dice, "Dice", "low", 0.85, 0.78),
    # 1 is the farthest training subject, judged by what was fitted without it.
    "ood": _labels(ood, "ratio", "high", 1.0, None),
}
