"""T1-weighted brains as they come in: orientation, field of view, defacing, bias field, labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.cuts import axis_codes, to_ras
from popscan.arrays.geometry import spacing_from_affine
from popscan.arrays.intensity import content_box
from popscan.protocols.brain_t1.labels import LABELS, RIGHT, from_muse
from popscan.records import LabelMap, Scan, SubjectError
from popscan.register.itk import one_thread, to_image

#: A field of view of less along any axis (mm) holds no brain.
LEAST_FIELD_MM = 120.0
#: The bias field is smooth: it is estimated on voxels of about this size.
_BIAS_VOXEL_MM = 6.0
_BIAS_ITERATIONS = (30, 30, 20)
#: Codes that MUSE has and popscan's label maps have not.
_ONLY_MUSE = (22, 99)
#: Voxels brighter than this share of the 99th percentile are looked at.
_INSIDE = 0.1
#: Share of neighbours with one value from which on an image is none: T1 images of 200 grey values
#: have up to 0.09, of 16 grey values 0.35, label maps 0.7 and more.
_LABEL_LIKE = 0.55
#: Voxels whose intensity is at most this share of the 99th percentile count as air.
_AIR = 0.02


def prepare(
    scan: Scan, labels: LabelMap | None = None
) -> tuple[Scan, LabelMap | None, dict[str, Any]]:
    """Bring a volume into RAS orientation and take its bias field out.

    Parameters
    ----------
    scan
        A volume (x, y, z, 1). Only the first series (``t1w``) is corrected for its bias field.
    labels
        Reference labels on its grid, in the codes of MUSE or of `LABELS`.

    Returns
    -------
    scan
        Axes towards right, front and top; nothing is resampled.
    labels
        In the codes of `LABELS`.
    values
        ``orientation_found`` (``LPS`` ...), ``air_share`` and ``face_removed`` (voxels that are
        exactly 0, and whether a block of them lies where the face ought to be: 1 or 0),
        ``clipped_pct`` (voxels of the head at the largest value),
        ``bias_field_pct`` (how far it varies over the head: 98th over 2nd percentile, less 1).

    Raises
    ------
    SubjectError
        ``not_a_volume``, ``field_of_view_too_small``, ``labels_for_image``, ``bad_labels``,
        ``bias_field_failed``.
    """
    if scan.array.shape[3] != 1:
        raise SubjectError(
            "not_a_volume", f"{scan.view}: {scan.array.shape[3]} frames; one volume expected"
        )
    found = axis_codes(scan.affine)
    turned = _turned(scan)
    _check_field(turned)
    values: dict[str, Any] = {"orientation_found": found}
    if labels is not None:
        array, _ = to_ras(labels.array, scan.affine)
        labels = replace(labels, array=coded(array))
    if scan.view != "t1w":
        return turned, labels, values
    box = content_box(turned.array[..., 0])
    volume = turned.array[..., 0][box]
    _check_intensities(scan.view, volume)
    values |= defacing(volume)
    values["clipped_pct"] = clipped_pct(volume)
    corrected, field = without_bias(volume, turned.spacing_mm)
    low, high = np.percentile(field[_head(volume)], (2, 98))
    values["bias_field_pct"] = round(100.0 * float(high / low - 1.0), 2)
    array = np.array(turned.array, dtype=np.float32)  # what was put around the scan stays
    array[..., 0][box] = corrected
    meta = {**turned.meta, "clipped_pct": values["clipped_pct"]}
    return replace(turned, array=array, meta=meta), labels, values


def _turned(scan: Scan) -> Scan:
    array, affine = to_ras(scan.array, scan.affine)
    return replace(scan, array=array, affine=affine, spacing_mm=spacing_from_affine(affine))


def _check_field(scan: Scan) -> None:
    sides = [n * s for n, s in zip(scan.array.shape[:3], scan.spacing_mm, strict=True)]
    if min(sides) < LEAST_FIELD_MM:
        raise SubjectError(
            "field_of_view_too_small",
            f"{scan.view}: {' x '.join(f'{side:.0f}' for side in sides)} mm; "
            f"{LEAST_FIELD_MM:g} mm expected along every axis",
        )


def _check_intensities(view: str, volume: NDArray[Any]) -> None:
    """Refuse labels and masks that go by the name of an image: neighbours are equal in them."""
    low = volume.min()  # of the air, where it has been masked: with an offset it is not 0
    inside = (volume > low) & (volume > _INSIDE * np.percentile(volume[volume > low], 99))
    both = inside[1:] & inside[:-1]
    if not both.any():
        return
    equal = float((volume[1:] == volume[:-1])[both].mean())
    if equal > _LABEL_LIKE:
        raise SubjectError(
            "labels_for_image",
            f"{view}: {100 * equal:.0f}% of neighbouring voxels have exactly the same value, as in "
            "a mask or a label map; an image of intensities expected",
        )


def clipped_pct(volume: NDArray[Any]) -> float:
    """Return the share of the head's voxels that have the largest value of all (%).

    Where a conversion cut values off, the brightest tissue has no texture any more.
    """
    head = volume > _INSIDE * np.percentile(volume, 99)
    n = int(np.count_nonzero(head))
    return round(100.0 * float(np.count_nonzero(volume == volume.max())) / n, 2) if n else 0.0


def coded(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return reference labels in the codes of `LABELS`, whichever of the two they have.

    Codes from 22 to 99 are MUSE's alone, and no brain is without white matter, which is among
    them. Without any of those and with codes of the right side the labels are popscan's own.

    Raises
    ------
    SubjectError
        ``bad_labels`` where a code is neither's, or it is unclear whose they are.
    """
    codes = [int(c) for c in np.unique(array) if c]
    low, high = _ONLY_MUSE
    if any(low <= code <= high for code in codes):
        return from_muse(array)
    if set(codes) <= set(LABELS.names) and any(code > RIGHT for code in codes):
        return np.asarray(array, dtype=np.uint8)
    raise SubjectError(
        "bad_labels",
        f"codes {codes[:10]}: neither whole-brain labels of MUSE (with codes 22 to 99) nor "
        "popscan's own",
    )


def _head(volume: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the voxels of the head: brighter than air, the largest piece."""
    bright = volume > _threshold(volume)
    pieces, n = ndimage.label(bright)
    if n < 2:
        return np.asarray(bright)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == int(sizes.argmax()))


def _threshold(volume: NDArray[Any]) -> float:
    """Return Otsu's threshold between head and air."""
    image = sitk.OtsuThresholdImageFilter()
    image.SetInsideValue(0)
    image.SetOutsideValue(1)
    with one_thread():
        image.Execute(to_image(volume, (1.0, 1.0, 1.0)))
    return float(image.GetThreshold())


def defacing(volume: NDArray[Any]) -> dict[str, float]:
    """Say whether the face was taken away.

    Programs that deface put zeros where the face was, so that air in front of and below the brain
    has no noise any more. ``air_share`` is the share of voxels that are exactly 0, and
    ``face_removed`` is 1 where they are most of the front lower eighth of the head's box and that
    is far more than in the lower back.
    """
    zero = volume == 0
    values = {"air_share": round(float(zero.mean()), 4), "face_removed": 0.0}
    head = np.argwhere(volume > _AIR * np.percentile(volume, 99))
    if not len(head):
        return values
    low, high = head.min(axis=0), head.max(axis=0) + 1
    box = zero[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    _, y, z = (n // 2 for n in box.shape)
    front, back = box[:, y + y // 2 :, :z], box[:, : y // 2, :z]
    if front.size and back.size:
        gone, kept = float(front.mean()), float(back.mean())
        values["face_removed"] = float(gone > 0.4 and gone > 1.5 * kept)
    return values


def without_bias(
    volume: NDArray[Any], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a volume without its bias field, and the field.

    N4 (Tustison et al. 2010, doi:10.1109/TMI.2010.2046908) as SimpleITK has it, on one thread, on
    voxels of about 6 mm, in the mask of Otsu's threshold.

    Raises
    ------
    SubjectError
        ``bias_field_failed`` where N4 gives up or the field is not finite.
    """
    image = to_image(volume, spacing_mm)
    shrink = [max(1, round(_BIAS_VOXEL_MM / s)) for s in spacing_mm]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(_BIAS_ITERATIONS)
    n4.SetConvergenceThreshold(1e-3)
    try:
        with one_thread():
            mask = sitk.OtsuThreshold(image, 0, 1, 200)
            n4.Execute(sitk.Shrink(image, shrink), sitk.Shrink(mask, shrink))
            log_field = n4.GetLogBiasFieldAsImage(image)
    except RuntimeError as error:
        raise SubjectError("bias_field_failed", f"N4 gave up: {_last_line(error)}") from error
    field = np.exp(sitk.GetArrayFromImage(log_field).T)
    if not np.isfinite(field).all() or float(field.min()) <= 0:
        raise SubjectError("bias_field_failed", "the bias field found is not finite or positive")
    corrected = (np.asarray(volume, dtype=np.float32) / field).astype(np.float32)
    return corrected, field.astype(np.float32)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200]
