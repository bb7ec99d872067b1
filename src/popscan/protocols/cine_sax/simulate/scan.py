"""Scan one participant of the digital population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.beats import Beat, beat_numbers
from popscan.arrays.sampling import sampling_mask
from popscan.protocols.cine_sax.simulate.acquisition import acquire, reference_image, scanner_image
from popscan.protocols.cine_sax.simulate.beats import (
    BEAT_FAULTS,
    N_BEATS,
    drawn_beats,
    struck_spectrum,
)
from popscan.protocols.cine_sax.simulate.coils import coil_maps, noise_mixing
from popscan.protocols.cine_sax.simulate.faults import FAULTS, blur_labels, corrupt_motion
from popscan.protocols.cine_sax.simulate.plan import plan_stack
from popscan.protocols.cine_sax.simulate.render import render
from popscan.protocols.cine_sax.simulate.scanners import SCANNERS, Scanner
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.session import SimulatedSubject, damage, truth_of
from popscan.protocols.cine_sax.simulate.subject import anatomy_for, number
from popscan.protocols.cine_sax.simulate.tissue import Tissue, tissue_signals
from popscan.records import KSpace, LabelMap, PopscanError, Scan

__all__ = ["SimulatedSubject", "simulate_subject"]


def simulate_subject(
    row: Mapping[str, Any],
    *,
    seed: int,
    kspace: bool = True,
    matrix: tuple[int, int] = (128, 128),
    spacing_mm: tuple[float, float] = (2.2, 2.2),
    frames: int = 16,
    slices: int | None = None,
    slices_above: int = 0,
    slice_distance_mm: float = 10.0,
    slice_thickness_mm: float = 8.0,
    coils: int = 8,
    acceleration: float = 4.0,
    acs_lines: int = 8,
    pattern: str = "lattice",
    noise: float | None = None,
    breath_hold_sd_mm: float = 1.0,
    tilt_sd_deg: float = 3.0,
    fine: tuple[int, int] = (2, 3),
) -> SimulatedSubject:
    """Simulate one participant's short-axis cine.

    Deterministic in `row`, `seed` and the options: the same call returns the same bytes. With
    k-space, saturation slabs darken both ends of the y axis, as one would set them to keep the
    body beyond the field of view from folding in; the heart is the same either way.

    Parameters
    ----------
    row
        A row of `sample_population` in `population` (values may be text).
    seed
        Seed of the study.
    kspace
        Whether to make multi-coil k-space too.
    matrix, spacing_mm
        In-plane voxels and their size.
    frames
        Cardiac frames over the RR interval; the first is end-diastole.
    slices
        Number of slices; None: as many as cover the heart, and a little more.
    slices_above
        How many slices higher than usual the stack begins, in the atria.
    slice_distance_mm, slice_thickness_mm
        Distance of the slices' centres, and how much each slice averages.
    coils
        Receive coils.
    acceleration, acs_lines, pattern
        Net undersampling, calibration lines, pattern: see `sampling_mask`.
    noise
        Standard deviation of a coil's noise relative to blood at the heart; None: the scanner's.
    breath_hold_sd_mm
        Standard deviation of the patient's position between the slices' breath-holds.
    tilt_sd_deg
        Standard deviation of the scan plane's tilt against the heart's true short axis.
    fine
        Sampling points per voxel in-plane (each way) and through the slice.

    Returns
    -------
    SimulatedSubject
        Scan, k-space, labels, truth; with the row's ``fault`` applied. Faults of single beats
        strike the k-space where there is one, and the scan, its reference, stays as it should be.

    Raises
    ------
    PopscanError
        If the row or an option cannot be used.
    """
    who, scanner, fault = str(row["participant_id"]), scanner_of(row), checked_fault(row)

    def stream(purpose: str) -> np.random.Generator:
        return rng_for(seed, who, purpose)

    anatomy = anatomy_for(row, rng=stream("anatomy"))
    grid = plan_stack(
        anatomy,
        matrix=matrix,
        spacing_mm=spacing_mm,
        slices=slices,
        slices_above=slices_above,
        slice_distance_mm=slice_distance_mm,
        slice_thickness_mm=slice_thickness_mm,
        breath_hold_sd_mm=breath_hold_sd_mm,
        tilt_sd_deg=tilt_sd_deg,
        fine=fine,
        beside=fault == "truncated",
        rng=stream("plan"),
    )
    signals = signals_of(scanner, contrast_loss=number(row, "truth_contrast_loss", 0.0))
    spectrum, labels = render(
        anatomy,
        grid,
        scanner=scanner,
        signals=signals,
        phases=np.arange(frames) / frames,
        saturate=kspace,
        rng=stream("texture"),
    )
    if fault == "motion":
        spectrum = corrupt_motion(spectrum, spacing_mm=spacing_mm[1], rng=stream("motion"))
    beats: list[list[Beat]] = []
    if fault in BEAT_FAULTS:
        beats = drawn_beats(
            fault, frames=frames, slices=spectrum.shape[1], spacing_mm=spacing_mm,
            rng=stream("beats"),
        )  # fmt: skip
    maps = coil_maps(anatomy.torso, grid.centres_mm(), coils=coils)
    level = scanner.noise if noise is None else noise
    level *= scanner.gain * number(row, "truth_noise_factor", 1.0)
    common: dict[str, Any] = {
        "affine": grid.affine,
        "spacing_mm": (*map(float, spacing_mm), float(slice_distance_mm)),
        "frame_times_ms": np.arange(frames) * anatomy.rr_ms / frames,
        "view": "sax",
        "meta": scan_meta(scanner, rr_ms=anatomy.rr_ms, slice_thickness_mm=slice_thickness_mm),
    }
    raw = None
    if kspace:
        mask = sampling_mask(
            matrix[1],
            frames,
            acceleration=acceleration,
            acs_lines=acs_lines,
            pattern=pattern,
            rng=stream("sampling"),
        )
        mixing = noise_mixing(anatomy.torso, coils=coils)
        data = acquire(
            spectrum, maps, mask=mask, noise=level, mixing=mixing, rng=stream("k-space noise"),
            beats=beats,
        )  # fmt: skip
        shots = beat_numbers(mask, N_BEATS, order="interleaved")
        raw = KSpace(data=data, mask=mask, shots=shots, **common)
        array = reference_image(spectrum, maps, noise=level / 5, rng=stream("image noise"))
    else:
        array = scanner_image(
            struck_spectrum(spectrum, beats),
            maps,
            scanner=scanner,
            noise=level,
            rng=stream("image noise"),
        )
    drawn = blur_labels(
        labels,
        spacing_mm=spacing_mm,
        noise_mm=number(row, "truth_label_noise_mm", 0.0),
        rng=stream("observer"),
    )
    drawn = np.ascontiguousarray(drawn.transpose(2, 3, 1, 0))
    result = SimulatedSubject(
        scan=Scan(array=array, **common),
        kspace=raw,
        labels=LabelMap(array=drawn, frames=tuple(range(frames))),
        truth=truth_of(anatomy),
    )
    return damage(result, fault=fault, rng=stream("fault"))


def signals_of(scanner: Scanner, *, contrast_loss: float) -> NDArray[np.float32]:
    """Signal per tissue, in units in which the scanner's usual blood has its gain."""
    sequence = {
        "field_strength_t": scanner.field_strength_t,
        "flip_deg": scanner.flip_deg,
        "tr_ms": scanner.tr_ms,
    }
    blood = tissue_signals(**sequence)[Tissue.LV_BLOOD]
    signals = tissue_signals(**sequence, contrast_loss=contrast_loss)
    return signals * np.float32(scanner.gain / blood)


def scan_meta(scanner: Scanner, *, rr_ms: float, slice_thickness_mm: float) -> dict[str, Any]:
    """Return what a simulated scan's header says."""
    return {
        "manufacturer": scanner.manufacturer,
        "field_strength_t": scanner.field_strength_t,
        "rr_ms": round(rr_ms, 3),
        "slice_thickness_mm": float(slice_thickness_mm),
        "flip_angle_deg": scanner.flip_deg,
        "repetition_time_ms": scanner.tr_ms,
        "orientation_known": True,
    }


def scanner_of(row: Mapping[str, Any]) -> Scanner:
    """Return the scanner of a participant's row."""
    name = str(row.get("scanner", ""))
    if name not in SCANNERS:
        raise PopscanError(f"unknown scanner {name!r}: known are {sorted(SCANNERS)}")
    return SCANNERS[name]


def checked_fault(row: Mapping[str, Any]) -> str:
    """Return the fault of a participant's row, empty for none."""
    fault = row.get("fault", "")
    fault = "" if fault is None or fault != fault else str(fault)
    if fault and fault not in FAULTS:
        raise PopscanError(f"unknown fault {fault!r}: known are {sorted(FAULTS)}")
    return fault
