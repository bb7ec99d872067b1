"""Whether a scan can be worked with at all: what no later stage could make sense of is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.dtypes import image_dtype
from popscan.arrays.geometry import spacing_from_affine
from popscan.protocol import Series
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import KSpace, Scan, SubjectError

#: Beyond it sums of squares overflow, and no scanner stores it: the scaling was damaged.
MAX_VALUE = 1e15
#: Below it lengths are in m, or the header is damaged: microscopy of mice has 0.05 mm.
MIN_SPACING_MM = 0.02
#: View of a series that is none of the protocol's.
OTHER = "other"


def check_scan(
    scan: Scan,
    *,
    series: Sequence[Series] | None = None,
    max_spacing_mm: float = 40.0,
) -> Scan:
    """Return the scan with int16 or float32 values, or say why it cannot be used.

    Parameters
    ----------
    scan
        As read from a source.
    series
        The protocol's: which views there are, and how many slices and frames each needs; those of
        the default protocol where none are given.
    max_spacing_mm
        Largest spacing that is believed.

    Raises
    ------
    SubjectError
        ``wrong_dimensions``, ``bad_dtype``, ``bad_view``, ``bad_spacing``, ``bad_affine``,
        ``one_slice``, ``too_few_slices``, ``too_few_frames``, ``bad_frame_times``, ``nan_values``,
        ``huge_values`` or ``constant_image``.
    """
    array = np.asarray(scan.array)
    if array.ndim != 4 or 0 in array.shape:
        raise SubjectError(
            "wrong_dimensions",
            f"{scan.view}: an array (x, y, z, t) is expected, found shape {array.shape}",
        )
    try:
        array = image_dtype(array)
    except TypeError as error:
        raise SubjectError("bad_dtype", f"{scan.view}: {error}") from error
    if min(array.shape[:2]) < 2:
        raise SubjectError("wrong_dimensions", f"{scan.view}: planes of {array.shape[:2]} pixels")
    one = _series_of(scan.view, series)
    _check_grid(scan.view, scan.affine, scan.spacing_mm, max_spacing_mm)
    _check_counts(one, array.shape[2], array.shape[3])
    _check_times(scan.view, scan.frame_times_ms, array.shape[3])
    _check_values(scan.view, array)
    return replace(scan, array=array, spacing_mm=_floats(scan.spacing_mm))


def check_kspace(
    kspace: KSpace,
    *,
    series: Sequence[Series] | None = None,
    max_spacing_mm: float = 40.0,
) -> KSpace:
    """Return k-space as it is, or say why it cannot be used; options as in `check_scan`.

    Raises
    ------
    SubjectError
        As `check_scan`, and ``no_samples`` where a frame has no acquired line.
    """
    data, mask = np.asarray(kspace.data), np.asarray(kspace.mask)
    if data.ndim != 5 or 0 in data.shape or mask.shape != (data.shape[2], data.shape[4]):
        raise SubjectError(
            "wrong_dimensions",
            f"{kspace.view}: data (coil, kx, ky, z, t) and mask (ky, t) are expected, "
            f"found {data.shape} and {mask.shape}",
        )
    one = _series_of(kspace.view, series)
    _check_grid(kspace.view, kspace.affine, kspace.spacing_mm, max_spacing_mm)
    _check_counts(one, data.shape[3], data.shape[4])
    _check_times(kspace.view, kspace.frame_times_ms, data.shape[4])
    empty = np.flatnonzero(~mask.any(axis=0))
    if empty.size:
        raise SubjectError(
            "no_samples", f"{kspace.view}: no line acquired in frames {_listed(empty + 1)}"
        )
    _check_values(kspace.view, data)
    return kspace


def _series_of(view: str, series: Sequence[Series] | None) -> Series:
    """Return what the protocol says of a view."""
    if series is None:
        series = get_protocol(DEFAULT).series
    for one in series:
        if one.view == view:
            return one
    if view == OTHER:
        return Series(view=OTHER, title="other", required=False)
    names = ", ".join([*(one.view for one in series), OTHER])
    raise SubjectError("bad_view", f"view {view!r}: one of {names} expected")


def _check_grid(view: str, affine: NDArray[Any], spacing_mm: Any, max_spacing_mm: float) -> None:
    spacing = np.asarray(spacing_mm, dtype=float)
    within = (spacing >= MIN_SPACING_MM) & (spacing <= max_spacing_mm)
    good = spacing.shape == (3,) and bool(np.all(within))
    if not good:
        raise SubjectError(
            "bad_spacing",
            f"{view}: spacing {tuple(spacing.tolist())} mm; three numbers from "
            f"{MIN_SPACING_MM:g} to {max_spacing_mm:g} expected",
        )
    affine = np.asarray(affine, dtype=float)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise SubjectError("bad_affine", f"{view}: a finite 4 x 4 affine is expected")
    if not np.allclose(spacing_from_affine(affine), spacing, rtol=0.01):
        raise SubjectError(
            "bad_spacing",
            f"{view}: spacing {tuple(spacing.tolist())} mm, but the affine says "
            f"{tuple(round(s, 4) for s in spacing_from_affine(affine))}",
        )


def _check_counts(series: Series, n_slices: int, n_frames: int) -> None:
    if n_slices < series.min_slices:
        reason = "one_slice" if n_slices == 1 else "too_few_slices"
        raise SubjectError(
            reason,
            f"{series.view}: {n_slices} slice(s); a stack of at least {series.min_slices} expected",
        )
    if n_frames < series.min_frames:
        raise SubjectError(
            "too_few_frames",
            f"{series.view}: {n_frames} frame(s); at least {series.min_frames} expected",
        )
    if series.dimensions == 3 and n_frames > 1 and series.view != OTHER:
        raise SubjectError(
            "wrong_dimensions", f"{series.view}: {n_frames} frames; one volume expected"
        )


def _check_times(view: str, times: NDArray[Any] | None, n_frames: int) -> None:
    if times is None:
        return
    times = np.asarray(times, dtype=float)
    if times.shape != (n_frames,):
        raise SubjectError("bad_frame_times", f"{view}: {times.size} times for {n_frames} frames")
    if not np.isfinite(times).all() or np.any(np.diff(times) <= 0):
        raise SubjectError("bad_frame_times", f"{view}: frame times must increase, all finite")


def _check_values(view: str, array: NDArray[Any]) -> None:
    if array.dtype.kind in "fc":
        finite = np.isfinite(array)
        if not finite.all():
            n_bad = int(array.size - np.count_nonzero(finite))
            # Slice and frame are the last two axes of images and of k-space.
            bad = ~finite.all(axis=tuple(range(array.ndim - 2)))
            slices, frames = (np.flatnonzero(bad.any(axis=a)) + 1 for a in (1, 0))
            raise SubjectError(
                "nan_values",
                f"{view}: {n_bad} of {array.size} values are NaN or infinite "
                f"(slices {_listed(slices)}; frames {_listed(frames)})",
            )
        parts = (array.real, array.imag) if array.dtype.kind == "c" else (array,)
        largest = max(float(max(part.max(), -part.min())) for part in parts)
        if largest > MAX_VALUE:
            raise SubjectError(
                "huge_values", f"{view}: values up to {largest:.3g}; up to {MAX_VALUE:g} expected"
            )
    if np.all(array == array.flat[0]):
        raise SubjectError("constant_image", f"{view}: every value is {array.flat[0]}")


def _listed(numbers: NDArray[Any], *, most: int = 8) -> str:
    shown = ", ".join(str(n) for n in numbers[:most].tolist())
    return shown + (f" and {numbers.size - most} more" if numbers.size > most else "")


def _floats(spacing_mm: Any) -> tuple[float, float, float]:
    x, y, z = (float(s) for s in spacing_mm)
    return (x, y, z)


def number_of(value: object) -> float | None:
    """Return a finite number, also of text like ``"850"``; None for anything else.

    Examples
    --------
    >>> number_of("850"), number_of(True), number_of([1]), number_of(float("nan"))
    (850.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def known_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `meta` that is known not to be personal, and of the type it should have.

    Names on `META_KEYS` only. What is neither is left out: a text where milliseconds are expected
    says nothing.
    """
    known = {key: value for key, value in meta.items() if key in META_KEYS}
    for key in _POSITIVE & known.keys():
        number = number_of(known[key])
        if number is not None and number > 0:
            whole = type(known[key]) is int
            known[key] = known[key] if whole else number
        else:
            del known[key]
    for key in _TEXTS & known.keys():
        if isinstance(known[key], str):
            known[key] = known[key][:_MAX_TEXT]
        else:
            del known[key]
    for key, kind in _LISTS.items():
        value = known.get(key)
        if key in known and not (isinstance(value, list) and all(type(v) is kind for v in value)):
            del known[key]
    return known


_MAX_TEXT = 64
_POSITIVE = frozenset(
    {
        "echo_time_ms",
        "field_strength_t",
        "flip_angle_deg",
        "frame_time_factor",
        "heart_rate_bpm",
        "n_frames_acquired",
        "orientation_conflict_deg",
        "repetition_time_ms",
        "rr_ms",
        "slice_thickness_mm",
        "spacing_conflict_pct",
        "stated_step_mm",
    }
)
_TEXTS = frozenset(
    {
        "frame_order",
        "frame_time_unit_assumed",
        "manufacturer",
        "model",
        "rr_unit_assumed",
        "standard_space",
    }
)
_LISTS: Mapping[str, type] = {
    "frame_index": int,
    "frame_labels": str,
    "pixdim_spacing_mm": float,
    "sform_spacing_mm": float,
}
#: Everything that may stand in ``Scan.meta`` of a scan from outside; anything else is dropped.
META_KEYS = frozenset(
    {
        "affine_shear_deg",
        "echo_time_ms",
        "field_strength_t",
        "flip_angle_deg",
        "frame_index",
        "frame_labels",
        "frame_order",
        "frame_time_factor",
        "frame_time_unit_assumed",
        "heart_rate_bpm",
        "manufacturer",
        "model",
        "n_frames_acquired",
        "orientation_conflict_deg",
        "orientation_known",
        "pixdim_spacing_mm",
        "repetition_time_ms",
        "rr_ms",
        "rr_unit_assumed",
        "sform_spacing_mm",
        "slice_thickness_mm",
        "spacing_conflict_pct",
        "standard_space",
        "stated_step_mm",
    }
)


def header_conflicts(metas: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what contradicts itself in the headers of files that make one scan; the worst of each.

    Parameters
    ----------
    metas
        ``Scan.meta`` of each file.
    """
    found: dict[str, Any] = {}
    for meta in metas:
        for number, keys in _CONFLICTS.items():
            if meta.get(number, 0) > found.get(number, 0):
                found |= {key: meta[key] for key in (number, *keys) if key in meta}
    return found


_CONFLICTS: Mapping[str, tuple[str, ...]] = {
    "spacing_conflict_pct": ("sform_spacing_mm", "pixdim_spacing_mm"),
    "orientation_conflict_deg": (),
}
