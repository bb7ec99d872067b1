"""The words every other module speaks: subjects, scans, label maps, statuses, records.

Nothing here touches a file, and nothing here imports another popscan module.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PopscanError(Exception):
    """Something a user can cause and can mend: shown as a message, never as a traceback."""


class SubjectError(PopscanError):
    """One subject cannot be processed; the others can.

    Parameters
    ----------
    reason
        Short machine-readable code, lower case with underscores, e.g. ``truncated_file``.
        Failures are counted by it, so it never holds a path or a number.
    message
        One sentence for a person: what was found, where, and what was expected.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotApplicable(SubjectError):
    """The stage has nothing to do for this subject (no k-space, no reference labels)."""


class Status(StrEnum):
    """What a stage says of a subject. For every stage the counts add up to all subjects."""

    OK = "ok"
    FAILED = "failed"
    EXCLUDED = "excluded"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not_applicable"


_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def check_identifier(text: str, *, what: str = "subject") -> str:
    r"""Return `text` if it is safe as an identifier and as a folder name.

    Letters, digits and ``. _ + -`` only, starting with a letter or digit, at most 64 long, no
    ``..``: so neither a path (``../x``) nor a line break can hide in one.

    Raises
    ------
    PopscanError
        If it is not; the message shows the identifier with escapes.

    Examples
    --------
    >>> check_identifier("sub-0001")
    'sub-0001'
    >>> check_identifier("../etc")
    Traceback (most recent call last):
    popscan.records.PopscanError: subject identifier '../etc' is not allowed: ...
    """
    if not _IDENTIFIER.fullmatch(text) or ".." in text:
        raise PopscanError(
            f"{what} identifier {text!r} is not allowed: use letters, digits and . _ + - only, "
            "start with a letter or digit, no '..', at most 64 characters"
        )
    return text


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One subject's visit: the unit that is planned, run and accounted for.

    Attributes
    ----------
    sub, ses
        BIDS labels with their prefixes (``sub-0001``, ``ses-01``); `ses` is empty for a study
        without visits.
    row
        The subject's row of the cohort table, as text, by column name.
    sources
        Raw inputs (files or folders) of this subject as found by the plan.
    """

    sub: str
    ses: str = ""
    row: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Identifier of the visit, e.g. ``sub-0001_ses-01``; the key of every record."""
        return f"{self.sub}_{self.ses}" if self.ses else self.sub

    @property
    def folder(self) -> str:
        """Relative folder of the visit below ``derivatives/``."""
        return f"{self.sub}/{self.ses}" if self.ses else self.sub


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One acquisition in memory.

    Attributes
    ----------
    array : ndarray, shape (x, y, z, t)
        Intensities, float32 or int16, finite. Where axes 0 to 2 point, the protocol says; axis 3
        holds the frames in order of time, one for a series without time axis.
    affine : ndarray, shape (4, 4)
        Voxel index to RAS+ millimetres (the NIfTI convention), of the first three axes.
    spacing_mm : tuple of 3 floats
        Distance between voxel centres along x, y, z; z is the slice distance measured from slice
        positions, not the slice thickness.
    frame_times_ms : ndarray, shape (t,), or None
        Time of each frame; None where the source does not say.
    view
        Which series of the protocol this is, or ``other``.
    meta
        What else is known and not personal (JSON-able): ``manufacturer``, ``field_strength_t``,
        ``slice_thickness_mm``, ``frame_labels`` (a name for each frame), ``orientation_known`` ...
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    frame_times_ms: NDArray[np.float64] | None = None
    view: str = "sax"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KSpace:
    """Multi-coil k-space in memory: on the grid, or off it with a trajectory.

    Attributes
    ----------
    data : ndarray of complex64, shape (coil, kx, ky, z, t)
        Centred k-space (DC at ``n // 2``); kx is the fully sampled readout; samples that were not
        acquired are 0. Axes become x, y, z, t of the image after a centred inverse FFT over kx, ky.
        Off the grid kx counts the samples of a readout (spoke, spiral arm), ky the readouts.
    mask : ndarray of bool, shape (ky, t)
        Which phase-encoding lines (readouts) were acquired in each frame.
    trajectory : ndarray of float32, shape (2, kx, ky, z, t), or None
        Off the grid: where each sample lies along x and y of the image, in cycles per pixel, from
        -0.5 to 0.5.
    matrix : tuple of 2 ints, or None
        Off the grid: sides of the image along x and y.
    shots : ndarray of int, shape (ky, t), or None
        In which shot (heartbeat) of the acquisition each line was acquired, in their order in
        time; -1 where none was. None: not known.
    left_out : ndarray of bool, shape (ky, z, t), or None
        Acquired lines that methods leave out of the image; coil maps may use them.
    affine, spacing_mm, frame_times_ms, view, meta
        As in `Scan`, of the image that will be reconstructed.
    """

    data: NDArray[np.complex64]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    frame_times_ms: NDArray[np.float64] | None = None
    view: str = "sax"
    meta: Mapping[str, Any] = field(default_factory=dict)
    trajectory: NDArray[np.float32] | None = None
    matrix: tuple[int, int] | None = None
    shots: NDArray[np.int64] | None = None
    left_out: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """Labels of a scan: a reference (expert, simulated truth) or a segmentation.

    Attributes
    ----------
    array : ndarray of uint8, shape (x, y, z, t)
        Codes of the protocol's label set on the grid of the scan, 0 for background; frames that
        nobody labelled are 0 everywhere and are not in `frames`.
    frames
        Indices of the frames that are labelled.
    """

    array: NDArray[np.uint8]
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Arrays:
    """Named arrays that are written as one file; `arrays` holds no objects."""

    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a stage's work on one subject yields, before anything is written.

    Attributes
    ----------
    files
        What to write: name within the subject's stage folder -> object that the stage's writer
        knows (a `Scan`, a `LabelMap`, `Arrays`, a dict for JSON).
    values
        One flat row of numbers and words for the study's tables; undefined numbers are NaN.
    rows
        Long-form rows where a stage yields several per subject (the checks of QC).
    status, reason, message
        `Status.OK` unless the stage itself decides otherwise (QC excludes).
    """

    files: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()
    status: Status = Status.OK
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one stage says of one subject: exactly one per subject and stage, always.

    Attributes
    ----------
    unit, stage, status, reason, message
        Who, which stage, what became of it; `reason` is a short code, `message` a sentence.
    fingerprint
        Hash of everything the result depends on; equal fingerprints mean nothing to redo.
    digest
        Hash of what the stage put out; downstream fingerprints contain it.
    files
        Relative path of each output -> its size in bytes.
    removed
        Relative path of each output that the study does not store any more (config section
        ``storage``) -> SHA-256 of its content, so that `digest` can still be verified.
    packed
        Those of `removed` that lie in the shard's archive (`popscan.archive`) -> size in bytes.
    values, rows
        As in `Outcome`.
    seconds, peak_mb, cores, gpus, finished
        What it cost: time of loading, work and writing, largest memory, cores that the job was
        given, GPUs that it used; and when it ended (ISO 8601, UTC). Never part of a digest.
    """

    unit: str
    stage: str
    status: Status
    reason: str = ""
    message: str = ""
    fingerprint: str = ""
    digest: str = ""
    files: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    peak_mb: float = 0.0
    cores: float = 1.0
    gpus: float = 0.0
    finished: str = ""
    removed: Mapping[str, str] = field(default_factory=dict)
    packed: Mapping[str, int] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Relative paths of all that was put out, stored or removed, sorted."""
        return tuple(sorted({*self.files, *self.removed}))

    @property
    def gone(self) -> tuple[str, ...]:
        """Relative paths of what was removed and lies in no archive: it has to be made again."""
        return tuple(name for name in self.removed if name not in self.packed)
