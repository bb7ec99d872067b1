"""Which acquisitions of an ISMRMRD file are lines of the image, and where each of them belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.io.ismrmrd_header import Encoding
from popscan.io.kspace_complete import broken_off, require_complete
from popscan.records import SubjectError

Integers = NDArray[np.int64]


def _flag(number: int) -> np.uint64:
    return np.uint64(1 << (number - 1))


#: Bits of an acquisition's flags, by their numbers in the format.
NOISE, CALIBRATION, CALIBRATION_AND_IMAGE, REVERSED = (_flag(n) for n in (19, 20, 21, 22))
#: What is no line of the image: navigators, phase correction, feedback, dummy scans, corrections of
#: the surface coils and of phase.
_OTHER = np.bitwise_or.reduce([_flag(n) for n in (23, 24, 26, 27, 28, 29, 30, 31)])
_DIRECTIONS = ("position", "read_dir", "phase_dir", "slice_dir")
_COUNTERS = ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast",
             "phase", "repetition", "set", "segment")  # fmt: skip
_FIELDS = ("flags", "number_of_samples", "active_channels", "center_sample", "discard_pre",
           "discard_post", "encoding_space_ref", "trajectory_dimensions", "sample_time_us",
           "acquisition_time_stamp", "physiology_time_stamp", *_DIRECTIONS)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The acquisitions that make the image; one entry per line in each array.

    Attributes
    ----------
    rows
        Their numbers in the file.
    noise_rows
        Those of noise scans.
    step, slice, frame
        Phase-encoding step as counted in the file; slice and frame, from 0 without gaps.
    n_slices, n_frames, n_coils
        How many there are.
    n_samples, centre, before, after
        Samples of a readout, the one at the centre of k-space, and how many are to be discarded at
        its ends.
    heads
        The header fields of each, by name.
    time_axis
        Counter that counts the frames: ``phase`` or ``repetition``.
    left_out
        What was left aside -> how many acquisitions.
    """

    rows: Integers
    noise_rows: Integers
    step: Integers
    slice: Integers
    frame: Integers
    n_slices: int
    n_frames: int
    n_coils: int
    n_samples: Integers
    centre: Integers
    before: Integers
    after: Integers
    heads: Mapping[str, NDArray[Any]]
    time_axis: str
    left_out: Mapping[str, int]


def choose_lines(heads: NDArray[Any], encoding: Encoding, *, name: str) -> Lines:
    """Sort the acquisitions of a file.

    Parameters
    ----------
    heads : structured ndarray, shape (n,)
        Headers of all acquisitions.
    encoding
        What the file's header says.
    name
        Of the file, for messages.

    Raises
    ------
    SubjectError
        ``bad_header``, ``no_samples``, ``coil_count_differs``, ``three_d_kspace``,
        ``several_contrasts``, ``phases_and_repetitions``, ``reversed_readout`` or
        ``missing_frames``.
    """
    columns = _columns(heads, name)
    flags = columns["flags"]
    noise = (flags & NOISE) > 0
    other = ~noise & ((flags & _OTHER) > 0)
    foreign = ~noise & ~other & (columns["encoding_space_ref"] > 0)
    separate = ~noise & ~other & ~foreign & ((flags & CALIBRATION) > 0)
    separate &= (flags & CALIBRATION_AND_IMAGE) == 0
    if encoding.calibration == "embedded":
        separate[:] = False
    lines = ~(noise | other | foreign | separate)
    if not lines.any():
        raise SubjectError("no_samples", f"{name}: none of {len(heads)} acquisitions is a line")
    chosen = {key: values[lines] for key, values in columns.items()}
    _refuse(chosen, encoding, name)
    axis = _time_axis(chosen, name)
    unfinished = np.zeros(len(heads), dtype=bool)
    if axis == "repetition":
        unfinished[np.flatnonzero(lines)[_unfinished(chosen, encoding)]] = True
        lines &= ~unfinished
        chosen = {key: values[lines] for key, values in columns.items()}
    slices, n_slices = _dense(chosen["slice"])
    frames, n_frames = _dense(chosen[axis])
    _require_all(slices, frames, n_slices, n_frames, name)
    require_complete(
        _counts(chosen, encoding, slices * n_frames + frames).reshape(n_slices, n_frames), name=name
    )
    n_coils = int(chosen["active_channels"][0])
    deaf = noise & (columns["active_channels"] != n_coils)
    left = {
        "lines of the last repetition, which was broken off": unfinished,
        "noise scans of other coils": deaf,
        "navigators, corrections and dummy scans": other,
        "of a further encoding space": foreign,
        "separate calibration lines": separate,
    }
    return Lines(
        rows=np.flatnonzero(lines),
        noise_rows=np.flatnonzero(noise & ~deaf),
        step=chosen["kspace_encode_step_1"],
        slice=slices,
        frame=frames,
        n_slices=n_slices,
        n_frames=n_frames,
        n_coils=n_coils,
        n_samples=chosen["number_of_samples"],
        centre=chosen["center_sample"],
        before=chosen["discard_pre"],
        after=chosen["discard_post"],
        heads=chosen,
        time_axis=axis,
        left_out={what: int(which.sum()) for what, which in left.items() if which.any()},
    )


def _columns(heads: NDArray[Any], name: str) -> dict[str, NDArray[Any]]:
    """Return what is needed of the headers, numbers as int64."""
    there = heads.dtype.names or ()
    lacking = [key for key in (*_FIELDS, "idx") if key not in there]
    if not lacking:
        counters = heads["idx"].dtype.names or ()
        lacking = [key for key in _COUNTERS if key not in counters]
    if lacking:
        raise SubjectError("bad_header", f"{name}: acquisitions without {', '.join(lacking)}")
    columns = {key: heads[key] for key in _FIELDS}
    columns |= {key: heads["idx"][key] for key in _COUNTERS}
    return {
        key: values.astype(np.uint64 if key == "flags" else np.int64)
        if values.dtype.kind in "ui"
        else values.astype(float)
        for key, values in columns.items()
    }


def _refuse(lines: Mapping[str, NDArray[Any]], encoding: Encoding, name: str) -> None:
    """Refuse by name what is not understood."""
    coils = np.unique(lines["active_channels"])
    if len(coils) > 1:
        raise SubjectError(
            "coil_count_differs",
            f"{name}: lines of {', '.join(map(str, coils[:8]))} coils; one number expected",
        )
    if coils[0] < 1 or lines["number_of_samples"].min() < 1:
        raise SubjectError("bad_header", f"{name}: acquisitions without coils or samples")
    if encoding.matrix[2] > 1 or encoding.step_2_max > 0 or lines["kspace_encode_step_2"].any():
        raise SubjectError(
            "three_d_kspace",
            f"{name}: a second phase-encoding direction ({encoding.matrix[2]} partitions): 3D "
            "k-space is not read, stacks of slices are",
        )
    for counter in ("contrast", "set"):
        if len(np.unique(lines[counter])) > 1:
            raise SubjectError(
                "several_contrasts",
                f"{name}: {len(np.unique(lines[counter]))} values of {counter}; one expected",
            )
    if (lines["flags"] & REVERSED).any():
        raise SubjectError(
            "reversed_readout",
            f"{name}: readouts in both directions, without the correction that they need",
        )


def _time_axis(lines: Mapping[str, NDArray[Any]], name: str) -> str:
    """Say which counter counts the frames."""
    n_phases = len(np.unique(lines["phase"]))
    n_repetitions = len(np.unique(lines["repetition"]))
    if n_phases > 1 and n_repetitions > 1:
        raise SubjectError(
            "phases_and_repetitions",
            f"{name}: {n_phases} cardiac phases in {n_repetitions} repetitions; one series of "
            "frames expected",
        )
    return "repetition" if n_repetitions > 1 else "phase"


def _dense(counter: Integers) -> tuple[Integers, int]:
    values, index = np.unique(counter, return_inverse=True)
    return index.astype(np.int64), len(values)


def _counts(lines: Mapping[str, NDArray[Any]], encoding: Encoding, place: Integers) -> Integers:
    """Return how many lines each place (a slice's frame, from 0 without gaps) has.

    On the grid, those that were acquired twice count once; off it, each is a readout of its own.
    """
    if encoding.trajectory == "cartesian":
        step = lines["kspace_encode_step_1"]
        place = np.unique(np.stack([place, step], axis=1), axis=0)[:, 0]
    return np.bincount(place).astype(np.int64)


def _unfinished(lines: Mapping[str, NDArray[Any]], encoding: Encoding) -> NDArray[np.bool_]:
    """Say which lines are of a last repetition that was broken off in some slice."""
    slices, n_slices = _dense(lines["slice"])
    frames, n_frames = _dense(lines["repetition"])
    if n_slices * n_frames > slices.size:
        return np.zeros(slices.size, dtype=bool)
    place = np.concatenate([slices * n_frames + frames, [n_slices * n_frames]])
    step = np.append(lines["kspace_encode_step_1"], 0)
    counts = _counts({"kspace_encode_step_1": step}, encoding, place)[:-1]
    short = broken_off(counts.reshape(n_slices, n_frames))
    return np.asarray((frames == n_frames - 1) & bool(short[:, -1].any()))


def _require_all(
    slices: Integers, frames: Integers, n_slices: int, n_frames: int, name: str
) -> None:
    """Refuse a stack in which a slice lacks a frame."""
    if n_slices * n_frames > slices.size:
        raise SubjectError(
            "missing_frames",
            f"{name}: {slices.size} lines for {n_slices} slices of {n_frames} frames",
        )
    there = np.zeros((n_slices, n_frames), dtype=bool)
    there[slices, frames] = True
    if not there.all():
        bare = [f"slice {z + 1}: {int(row.sum())}" for z, row in enumerate(there) if not row.all()]
        raise SubjectError(
            "missing_frames",
            f"{name}: {n_frames} frames per slice expected; {', '.join(bare[:8])}",
        )
