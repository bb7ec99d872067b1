"""What the header of a NIfTI file says of geometry and time, and where it contradicts itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from popscan.arrays.geometry import orthonormal_affine
from popscan.protocols.cine_sax.cycle import is_cycle_ms
from popscan.records import SubjectError

_TIME_UNIT_MS = {"sec": 1000.0, "msec": 1.0, "usec": 1e-3}
_LENGTH_UNIT_MM = {"meter": 1000.0, "mm": 1.0, "micron": 1e-3}
#: Steps of sform and pixdim that differ by more than this contradict each other.
_CONFLICT_PCT = 1.0
#: Codes of NIfTI-1 for images that were brought to an atlas, sizes and all.
_STANDARD_SPACES = {3: "Talairach", 4: "MNI 152"}
#: sform and qform that are turned further against each other do not mean the same sides.
_TURNED_DEG = 45.0


def image_geometry(
    path: Path, header: nib.Nifti1Header
) -> tuple[NDArray[np.float64], tuple[float, float, float], dict[str, Any]]:
    """Affine at right angles (voxel -> RAS), spacing in mm, and notes for meta.

    The header's unit of length counts (metre, micron; no unit is mm). A coded sform is preferred,
    as NIfTI-1 has it, unless all of its steps are 1 while pixdim has others: that is a default
    which a tool left, and no measurement. Where sform and pixdim disagree by more than 1%, the
    notes hold ``sform_spacing_mm`` and ``pixdim_spacing_mm`` (of x, y, z as stored) and
    ``spacing_conflict_pct``; the step of z does not count where there is one plane, which has no
    neighbour. Where sform and qform are turned by more than 45 degrees against each other, or are
    mirror images, ``orientation_conflict_deg``. A code of the form used that stands for an atlas is
    named in ``standard_space``. Quality control judges all three.

    Raises
    ------
    SubjectError
        ``bad_header`` where the affine is not finite or flat.
    """
    scale = _length_unit_mm(header)
    zooms = np.abs(np.asarray(header["pixdim"][1:4], dtype=float)) * scale
    affine, known = _header_affine(header, scale)
    n_steps = 2 if int(header["dim"][3]) == 1 else 3
    notes = _conflict(header, affine, zooms, n_steps=n_steps)
    form = "sform_code" if header["sform_code"] > 0 else "qform_code"
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(steps, scale, rtol=1e-4) and _conflict(header, affine, zooms, n_steps=3):
        affine, known = _qform_affine(header, scale)
        form = "qform_code"
    try:
        affine, spacing_mm, shear_deg = orthonormal_affine(affine)
    except ValueError as error:
        raise SubjectError("bad_header", f"{path}: damaged affine ({error})") from error
    notes["orientation_known"] = known
    notes |= _turned(header, scale)
    if (code := int(header[form])) in _STANDARD_SPACES:
        notes["standard_space"] = _STANDARD_SPACES[code]
    if shear_deg > np.degrees(1e-4):
        notes["affine_shear_deg"] = round(shear_deg, 4)
    return affine, spacing_mm, notes


def _length_unit_mm(header: nib.Nifti1Header) -> float:
    try:
        unit = header.get_xyzt_units()[0]
    except (KeyError, HeaderDataError):
        return 1.0
    return _LENGTH_UNIT_MM.get(unit, 1.0)


def _turned(header: nib.Nifti1Header, scale: float) -> dict[str, Any]:
    """Return a note on an sform and a qform that are turned far or mirrored; else none.

    Alignment turns by less, and mirrors nothing. Mirror images count as 180 degrees.
    """
    if header["sform_code"] <= 0 or header["qform_code"] <= 0:
        return {}
    with np.errstate(all="ignore"):
        forms = [np.asarray(header.get_sform(), dtype=float), _qform_affine(header, scale)[0]]
        sform, qform = (form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in forms)
        between = sform @ qform.T
        mirrored = np.linalg.det(sform) * np.linalg.det(qform) < 0
    cosine = -1.0 if mirrored else (float(np.trace(between)) - 1.0) / 2.0
    if not cosine < math.cos(math.radians(_TURNED_DEG)):  # NaN: refused as a damaged affine.
        return {}
    return {"orientation_conflict_deg": round(math.degrees(math.acos(max(-1.0, cosine))), 1)}


def _conflict(
    header: nib.Nifti1Header,
    affine: NDArray[np.float64],
    zooms: NDArray[np.float64],
    *,
    n_steps: int,
) -> dict[str, Any]:
    """Return notes on an sform whose first steps are not those of pixdim; none where they agree."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    first, stated = steps[:n_steps], zooms[:n_steps]
    usable = np.isfinite([*first, *stated]).all() and (first > 0).all() and (stated > 0).all()
    if header["sform_code"] <= 0 or not usable:
        return {}
    percent = 100.0 * float(np.max(np.abs(first / stated - 1.0)))
    if percent <= _CONFLICT_PCT:
        return {}
    return {
        "sform_spacing_mm": [round(float(step), 4) for step in steps],
        "pixdim_spacing_mm": [round(float(step), 4) for step in zooms],
        "spacing_conflict_pct": round(percent, 1),
    }


def _header_affine(header: nib.Nifti1Header, scale: float) -> tuple[NDArray[np.float64], bool]:
    """Affine of the header in mm, and whether the header knows the orientation at all."""
    if header["sform_code"] > 0:
        affine = np.asarray(header.get_sform(), dtype=float)
        affine[:3] *= scale
        return affine, True
    return _qform_affine(header, scale)


def _qform_affine(header: nib.Nifti1Header, scale: float) -> tuple[NDArray[np.float64], bool]:
    """Affine of qform and pixdim; without a coded qform pixdim alone, at no known orientation."""
    zooms = np.abs(np.asarray(header["pixdim"][1:4], dtype=float)) * scale
    if header["qform_code"] <= 0:
        return np.diag([*zooms, 1.0]), False
    quaternion = np.array([float(header[f"quatern_{k}"]) for k in "bcd"])
    # Rounding can make b, c, d longer than a unit quaternion allows; nibabel refuses those.
    length = float(np.linalg.norm(quaternion))
    if length > 1:
        quaternion /= length
    real = np.sqrt(max(0.0, 1.0 - float(quaternion @ quaternion)))
    rotation = nib.quaternions.quat2mat([real, *quaternion])
    handed = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * zooms * [1.0, 1.0, handed]
    affine[:3, 3] = [float(header[f"qoffset_{k}"]) * scale for k in "xyz"]
    return affine, True


def header_times_ms(header: nib.Nifti1Header) -> tuple[list[float] | None, dict[str, Any]]:
    """Evenly spaced frame times where the header gives a step, and notes for meta.

    A step without a unit of time is taken in the one unit, seconds or milliseconds, in which its
    frames last as long as a heartbeat (`popscan.protocols.cine_sax.cycle`); the note is
    ``frame_time_unit_assumed``. None where there is no such unit, or no step.
    """
    dim, step = header["dim"], float(header["pixdim"][4])
    if dim[0] < 4 or dim[4] < 2 or not np.isfinite(step) or step <= 0:
        return None, {}
    n_frames = int(dim[4])
    try:
        unit = str(header.get_xyzt_units()[1])
    except (KeyError, HeaderDataError):
        unit = "unknown"
    notes: dict[str, Any] = {}
    if unit not in _TIME_UNIT_MS:
        possible = [u for u in ("sec", "msec") if is_cycle_ms(step * n_frames * _TIME_UNIT_MS[u])]
        # A step of exactly 1 is what joining frames leaves, whatever lay between them.
        if unit != "unknown" or len(possible) != 1 or step == 1.0:
            return None, {}
        unit = possible[0]
        notes["frame_time_unit_assumed"] = unit
    return (np.arange(n_frames) * step * _TIME_UNIT_MS[unit]).tolist(), notes
