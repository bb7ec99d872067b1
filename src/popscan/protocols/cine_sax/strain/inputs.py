"""What is tracked of a short-axis cine, and what cannot be tracked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.motion import is_periodic
from popscan.protocols.cine_sax.cycle import is_cycle_ms, positions
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.volumes import phase_frames
from popscan.records import LabelMap, NotApplicable, Scan, SubjectError

Floats = NDArray[np.float64]

#: What is registered: intensities, labels as grey levels, or the mean of both.
Source = Literal["labels", "images", "both"]

#: Grey levels of background, RV, wall and LV cavity.
LEVELS = np.array([0.4, 0.8, 0.0, 1.0], np.float32)
#: Largest part of the cycle without a frame, and how many usual steps it may be of few frames.
MAX_GAP, _STEPS = 0.12, 1.5
#: Room around the heart, in mm, that a field needs to carry its outline.
_MARGIN_MM = 15.0


@dataclass(frozen=True, kw_only=True)
class Cropped:
    """The part of a scan that holds the heart, end-diastole first.

    Attributes
    ----------
    image : ndarray of float32, shape (x, y, z, t)
        0 and 1 at the 1st and 99th percentile.
    labels : ndarray of uint8, shape (x, y, z, t)
    corner
        Indices of its first voxel in the scan.
    es
        Frame of end-systole, counted from end-diastole.
    at : ndarray, shape (t,)
        Time of each frame after end-diastole as a share of the cycle.
    period_ms
        Length of the cycle.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    corner: tuple[int, int]
    es: int
    at: Floats
    period_ms: float


def covered_cycle(scan: Scan, labels: LabelMap, *, min_frames: int) -> tuple[Floats, float]:
    """Check that a cine and its labels cover one cycle.

    Returns
    -------
    at : ndarray, shape (t,)
        Positions of the frames as shares of the cycle.
    period_ms : float
        Length of the cycle.

    Raises
    ------
    NotApplicable
        ``too_few_frames``, ``unknown_cycle``, ``cycle_not_closed``.
    SubjectError
        ``shape_mismatch``, ``unlabelled_frames``, ``missing_structure``.
    """
    if scan.array.shape != labels.array.shape:
        raise SubjectError(
            "shape_mismatch",
            f"images of shape {scan.array.shape} and labels of shape {labels.array.shape}: "
            "expected one grid",
        )
    n_frames = scan.array.shape[3]
    if n_frames < min_frames:
        raise NotApplicable(
            "too_few_frames", f"{n_frames} frames: motion over the cycle needs {min_frames} or more"
        )
    if missing := sorted(set(range(n_frames)) - set(labels.frames)):
        raise SubjectError(
            "unlabelled_frames", f"frames {_few(missing)} have no labels: expected all {n_frames}"
        )
    for code, name in ((Label.MYO, "myocardium"), (Label.LV, "LV cavity")):
        there = (labels.array == code).any(axis=(0, 1, 2))
        if not there.all():
            frames = _few(np.flatnonzero(~there).tolist())
            raise SubjectError("missing_structure", f"no {name} is labelled in frames {frames}")
    at, period_ms = positions(
        n_frames, rr_ms=_number(scan.meta.get("rr_ms")), frame_times_ms=_times(scan)
    )
    if not is_cycle_ms(period_ms):
        raise NotApplicable(
            "unknown_cycle", "neither frame times nor RR interval give the length of a heart cycle"
        )
    volumes = np.count_nonzero(labels.array == Label.LV, axis=(0, 1, 2))
    if not is_periodic(volumes):
        raise NotApplicable(
            "cycle_not_closed",
            f"the LV cavity has {volumes[-1]} voxels in the last frame and {volumes[0]} in the "
            "first, more than between other frames: the frames do not cover a whole cycle",
        )
    steps = np.diff(at, append=1.0)
    if steps.max() > max(MAX_GAP, _STEPS * float(np.median(steps))):
        raise NotApplicable(
            "cycle_not_closed",
            f"{100 * steps.max():.0f}% of the cycle of {period_ms:.0f} ms has no frame: what the "
            "heart does in it is not known",
        )
    return at, period_ms


def cropped(scan: Scan, labels: LabelMap, *, min_frames: int) -> Cropped:
    """Check a cine and its labels, and cut out the heart.

    Raises
    ------
    NotApplicable
        ``too_few_frames``, ``unknown_cycle``, ``cycle_not_closed``.
    SubjectError
        ``shape_mismatch``, ``unlabelled_frames``, ``missing_structure``, ``heart_at_edge``,
        ``non_finite_image``.
    """
    at, period_ms = covered_cycle(scan, labels, min_frames=min_frames)
    n_frames = scan.array.shape[3]
    box = _box(labels.array, scan.spacing_mm)
    phases = phase_frames(labels.array, frame_labels=scan.meta.get("frame_labels"))
    image = np.roll(scan.array[box], -phases["ED"], axis=3).astype(np.float32)
    if not np.isfinite(image).all():
        raise SubjectError("non_finite_image", "the image holds NaN or infinite values")
    low, high = np.percentile(image, (1, 99))
    scaled = (image - low) / max(float(high - low), 1e-6)
    return Cropped(
        image=np.clip(scaled, -0.5, 2.0).astype(np.float32),
        labels=np.roll(labels.array[box], -phases["ED"], axis=3),
        corner=(box[0].start, box[1].start),
        es=(phases["ES"] - phases["ED"]) % n_frames,
        at=np.roll(at - at[phases["ED"]], -phases["ED"]) % 1.0,
        period_ms=period_ms,
    )


def tracked_images(part: Cropped, slices: Sequence[int], *, source: Source) -> NDArray[np.float32]:
    """Return the images (x, y, z, t) that are registered, of some slices."""
    labels = part.labels[:, :, list(slices)]
    levels = ndimage.gaussian_filter(LEVELS[labels], (0.8, 0.8, 0, 0))
    if source == "labels":
        return levels
    image = part.image[:, :, list(slices)]
    return image if source == "images" else ((image + levels) / 2).astype(np.float32)


def _box(labels: NDArray[np.uint8], spacing_mm: Sequence[float]) -> tuple[slice, slice]:
    """Return the box around the heart; its left ventricle must not touch the scan's border."""
    left = ((labels == Label.LV) | (labels == Label.MYO)).any(axis=(2, 3))
    if left[[0, -1]].any() or left[:, [0, -1]].any():
        raise SubjectError(
            "heart_at_edge", "the left ventricle touches the border of the image: it may be cut off"
        )
    at = np.argwhere((labels != Label.BACKGROUND).any(axis=(2, 3)))
    margin = np.ceil(_MARGIN_MM / np.asarray(spacing_mm[:2])).astype(int)
    low = np.maximum(at.min(axis=0) - margin, 0)
    high = np.minimum(at.max(axis=0) + 1 + margin, labels.shape[:2])
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _times(scan: Scan) -> list[float] | None:
    return None if scan.frame_times_ms is None else [float(t) for t in scan.frame_times_ms]


def _few(frames: Sequence[int]) -> str:
    shown = ", ".join(str(t + 1) for t in frames[:5])
    return shown + (" ..." if len(frames) > 5 else "")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
