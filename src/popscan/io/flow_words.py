"""Words of phase-contrast flow in sidecars: velocity encoding, unit of phase, and what is packed.

BIDS has no key for the velocity encoding, and dcm2niix writes none
(github.com/rordenlab/dcm2niix/issues/1001, closed until a key is agreed on): people add one by
hand, under the names here. All are taken as cm/s; beyond what can be they are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from popscan.flow.checks import VENC_CM_S
from popscan.ingest.checks import number_of
from popscan.records import LabelMap, Scan, SubjectError

#: Keys of sidecars, without case and underscores; DICOM's own name is the second.
_VENC_KEYS = frozenset(
    {
        "velocityencoding", "velocityencodingmaximumvalue", "venc", "venccms", "encodingvelocity",
        "phaseencodingvelocity", "maximumvelocity",
    }
)  # fmt: skip
#: Name of a sequence that says it, as Siemens does: ``fl2d1_v150in``.
_SEQUENCE = re.compile(r"_v(\d{1,3}(?:\.\d+)?)_?(in|through|ap|rl|fh|)$", re.IGNORECASE)
#: Two that differ by more are not the same encoding.
_SAME = 0.02
#: ``Units`` of a sidecar -> kind of phase (see `popscan.flow.stored_velocity`).
_UNITS: Mapping[str, str] = {
    "rad": "radians", "radian": "radians", "radians": "radians", "mrad": "milliradians",
    "deg": "degrees", "degree": "degrees", "degrees": "degrees",
    "cm/s": "cm_s", "cm s-1": "cm_s", "mm/s": "mm_s", "mm s-1": "mm_s", "m/s": "m_s",
    "m s-1": "m_s",
}  # fmt: skip


def sidecar_venc(side: Mapping[str, Any]) -> dict[str, float]:
    """Return every velocity encoding that a sidecar gives, in cm/s, by its key.

    Values that are no number above 0 count as not there; of a list every entry counts.

    Raises
    ------
    SubjectError
        ``no_phase`` where a sequence's name says that the velocity lies in the plane.
    """
    found: dict[str, float] = {}
    for key, given in side.items():
        if str(key).lower().replace("_", "") not in _VENC_KEYS:
            continue
        for place, value in enumerate(given if isinstance(given, list) else [given]):
            number = number_of(value)
            if number is not None and number > 0:
                found[f"{key} {place + 1}" if isinstance(given, list) else str(key)] = number
    name = side.get("SequenceName")
    match = _SEQUENCE.search(name) if isinstance(name, str) else None
    if match and match[2].lower() in ("ap", "rl", "fh"):
        raise SubjectError(
            "no_phase", f"SequenceName {name}: velocity along the plane, through it is expected"
        )
    # A number below all encodings is a version of the sequence.
    if match and float(match[1]) >= VENC_CM_S[0]:
        found["SequenceName"] = float(match[1])
    return found


def one_venc(found: Mapping[str, float], asked: float) -> tuple[float, str]:
    """Return the one velocity encoding in cm/s, and who says so.

    Parameters
    ----------
    found
        By the files, by key or tag.
    asked
        By the config; 0 where it says none.

    Raises
    ------
    SubjectError
        ``no_venc``, ``conflicting_venc``.
    """
    every = {**({"source.flow.venc_cm_s": asked} if asked else {}), **found}
    if not every:
        raise SubjectError(
            "no_venc",
            "neither sidecar nor header gives the velocity encoding (VelocityEncoding, in cm/s); "
            "set source.flow.venc_cm_s",
        )
    if max(every.values()) > (1.0 + _SAME) * min(every.values()):
        listed = ", ".join(f"{key} {value:g}" for key, value in sorted(every.items())[:6])
        raise SubjectError(
            "conflicting_venc",
            f"velocity encodings {listed}; one in cm/s expected, through the plane",
        )
    by = next(iter(every))
    return every[by], by


def unit_kind(stated: object, asked: str) -> str:
    """Return the kind of phase that config or sidecar says, else ``auto``.

    Raises
    ------
    SubjectError
        ``bad_phase`` where they contradict each other.
    """
    by_sidecar = _UNITS.get(str(stated or "").strip().lower(), "auto")
    if "auto" in (by_sidecar, asked):
        return asked if by_sidecar == "auto" else by_sidecar
    if by_sidecar != asked:
        raise SubjectError(
            "bad_phase", f"Units of the sidecar: {by_sidecar}; source.flow.phase: {asked}"
        )
    return by_sidecar


def packed(magnitude: Scan, phase: Scan, facts: Mapping[str, Any]) -> Scan:
    """Return magnitude and stored phase as one scan: index 0 and 1 of the third axis.

    Parameters
    ----------
    magnitude, phase
        Of one plane, (x, y, 1, t) each; place and times are the magnitude's.
    facts
        What becomes ``meta["flow"]``.

    Raises
    ------
    SubjectError
        ``several_planes``, ``frame_mismatch``.
    """
    for what, scan in (("magnitude", magnitude), ("phase", phase)):
        if scan.array.shape[2] != 1:
            raise SubjectError(
                "several_planes", f"{what}: {scan.array.shape[2]} slices; one plane expected"
            )
    same = magnitude.array.shape == phase.array.shape
    if not same or not np.allclose(
        magnitude.affine, phase.affine, atol=0.1 * min(magnitude.spacing_mm)
    ):
        raise SubjectError(
            "frame_mismatch",
            f"magnitude {magnitude.array.shape}, phase {phase.array.shape}; the same plane and "
            "frames expected",
        )
    both = np.concatenate(
        [scan.array.astype(np.float32) for scan in (magnitude, phase)], axis=2
    )  # fmt: skip
    meta = {**magnitude.meta, "flow": dict(facts)}
    return Scan(**{**vars(magnitude), "array": both, "meta": meta})


def single(scan: Scan) -> Scan:
    """Return a packed scan's plane alone, on whose grid regions were drawn."""
    return Scan(**{**vars(scan), "array": scan.array[:, :, :1]})


def packed_labels(labels: LabelMap, scan: Scan) -> LabelMap:
    """Return regions of the plane for both images of a packed scan.

    Regions of one frame are those of every frame; ``frames`` of what is returned says only one
    then.

    Raises
    ------
    SubjectError
        ``label_mismatch`` for another number of frames.
    """
    n, drawn = scan.array.shape[3], labels.array.shape[3]
    if drawn not in (1, n):
        raise SubjectError(
            "label_mismatch", f"regions of {drawn} frames; 1 or {n}, as the images, expected"
        )
    array = np.repeat(labels.array, 2, axis=2)
    if drawn == 1 and n > 1:
        array = np.repeat(array, n, axis=3)
    return LabelMap(array=array, frames=tuple(range(n)) if drawn == 1 else labels.frames)
