"""Scan one participant of the digital population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.fourier import centred_fft, centred_ifft
from popscan.records import KSpace, LabelMap, PopscanError, Scan
from popscan.simulate.coils import coil_maps, noise_mixing
from popscan.simulate.faults import FAULTS, blur_labels, corrupt_motion
from popscan.simulate.render import Grid, Rendering, render
from popscan.simulate.sampling import sampling_mask
from popscan.simulate.scanners import SCANNERS, Scanner
from popscan.simulate.seeds import rng_for
from popscan.simulate.subject import Anatomy, anatomy_for, number
from popscan.simulate.tissue import Tissue, tissue_signals


@dataclass(frozen=True, kw_only=True)
class SimulatedSubject:
    """What a simulated scan session yields.

    Attributes
    ----------
    scan
        Images. Without k-space: as the scanner would show them, with noise and shading. With
        k-space: the fully sampled reference, magnitude of ``object x root sum of squares of the
        coil maps``, with a fifth of the noise, in the units of the k-space.
    kspace
        Undersampled multi-coil k-space, or None.
    labels
        Reference labels of all frames on the scan's grid.
    truth
        Exact values of the continuous heart: ``lvedv_ml``, ``lvesv_ml``, ``lvsv_ml``,
        ``lvef_pct``, ``lvm_g``, ``rvedv_ml``, ``rvesv_ml``, ``rvsv_ml``, ``rvef_pct``,
        ``hr_bpm``, ``co_l_min``, ``ed_time_ms``, ``es_time_ms``.
    """

    scan: Scan
    kspace: KSpace | None
    labels: LabelMap
    truth: dict[str, float]


def simulate_subject(
    row: Mapping[str, Any],
    *,
    seed: int,
    kspace: bool = True,
    matrix: tuple[int, int] = (128, 128),
    spacing_mm: tuple[float, float] = (2.2, 2.2),
    frames: int = 16,
    slices: int | None = None,
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

    Deterministic in `row`, `seed` and the options: the same call returns the same bytes.

    Parameters
    ----------
    row
        A row of `popscan.simulate.population.sample_population` (values may be text).
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
        Scan, k-space, labels, truth; with the row's ``fault`` applied.

    Raises
    ------
    PopscanError
        If the row or an option cannot be used.
    """
    who = str(row["participant_id"])
    scanner = _scanner(row)
    fault = _fault(row)
    anatomy = anatomy_for(row, rng=rng_for(seed, who, "anatomy"))
    rng = rng_for(seed, who, "plan")
    grid = _plan(
        anatomy,
        matrix=matrix,
        spacing_mm=spacing_mm,
        slices=slices,
        slice_distance_mm=slice_distance_mm,
        slice_thickness_mm=slice_thickness_mm,
        breath_hold_sd_mm=breath_hold_sd_mm,
        tilt_sd_deg=tilt_sd_deg,
        fine=fine,
        beside=fault == "truncated",
        rng=rng,
    )
    signals = tissue_signals(
        field_strength_t=scanner.field_strength_t,
        flip_deg=scanner.flip_deg,
        tr_ms=scanner.tr_ms,
        contrast_loss=number(row, "truth_contrast_loss", 0.0),
    )
    reference = tissue_signals(
        field_strength_t=scanner.field_strength_t, flip_deg=scanner.flip_deg, tr_ms=scanner.tr_ms
    )
    signals = signals * np.float32(scanner.gain / reference[Tissue.LV_BLOOD])
    rendering = render(
        anatomy,
        grid,
        scanner=scanner,
        signals=signals,
        phases=np.arange(frames) / frames,
        rng=rng_for(seed, who, "texture"),
    )
    if fault == "motion":
        moved = corrupt_motion(
            rendering.spectrum, spacing_mm=spacing_mm[1], rng=rng_for(seed, who, "motion")
        )
        rendering = replace(rendering, spectrum=moved)
    level = scanner.noise if noise is None else noise
    level *= scanner.gain * number(row, "truth_noise_factor", 1.0)
    maps = coil_maps(anatomy.torso, grid.centres_mm(), coils=coils)
    labels = blur_labels(
        rendering.labels,
        spacing_mm=spacing_mm,
        noise_mm=number(row, "truth_label_noise_mm", 0.0),
        rng=rng_for(seed, who, "observer"),
    )
    common: dict[str, Any] = {
        "affine": grid.affine,
        "spacing_mm": (*map(float, spacing_mm), float(slice_distance_mm)),
        "frame_times_ms": np.arange(frames) * anatomy.rr_ms / frames,
        "view": "sax",
        "meta": {
            "manufacturer": scanner.manufacturer,
            "field_strength_t": scanner.field_strength_t,
            "rr_ms": round(anatomy.rr_ms, 3),
            "slice_thickness_mm": float(slice_thickness_mm),
            "flip_angle_deg": scanner.flip_deg,
            "repetition_time_ms": scanner.tr_ms,
            "orientation_known": True,
        },
    }
    image_rng = rng_for(seed, who, "image noise")
    raw = None
    if kspace:
        mask = sampling_mask(
            matrix[1],
            frames,
            acceleration=acceleration,
            acs_lines=acs_lines,
            pattern=pattern,
            rng=rng_for(seed, who, "sampling"),
        )
        data = acquire(
            rendering.spectrum,
            maps,
            mask=mask,
            noise=level,
            mixing=noise_mixing(anatomy.torso, coils=coils),
            rng=rng_for(seed, who, "k-space noise"),
        )
        raw = KSpace(data=data, mask=mask, **common)
        array = _reference_image(rendering, maps, noise=level / 5, rng=image_rng)
    else:
        array = _scanner_image(rendering, maps, scanner=scanner, noise=level, rng=image_rng)
    result = SimulatedSubject(
        scan=Scan(array=array, **common),
        kspace=raw,
        labels=LabelMap(
            array=np.ascontiguousarray(labels.transpose(2, 3, 1, 0)), frames=tuple(range(frames))
        ),
        truth=truth_of(anatomy),
    )
    return damage(result, fault=fault, rng=rng_for(seed, who, "fault"))


def _scanner(row: Mapping[str, Any]) -> Scanner:
    name = str(row.get("scanner", ""))
    if name not in SCANNERS:
        raise PopscanError(f"unknown scanner {name!r}: known are {sorted(SCANNERS)}")
    return SCANNERS[name]


def _fault(row: Mapping[str, Any]) -> str:
    fault = row.get("fault", "")
    fault = "" if fault is None or fault != fault else str(fault)
    if fault and fault not in FAULTS:
        raise PopscanError(f"unknown fault {fault!r}: known are {sorted(FAULTS)}")
    return fault


def truth_of(anatomy: Anatomy) -> dict[str, float]:
    """Exact biomarkers of a heart."""
    heart = anatomy.heart
    lv, rv = heart.lvedv_ml - heart.lvesv_ml, heart.rvedv_ml - heart.rvesv_ml
    hr_bpm = 60000.0 / anatomy.rr_ms
    return {
        "lvedv_ml": heart.lvedv_ml,
        "lvesv_ml": heart.lvesv_ml,
        "lvsv_ml": lv,
        "lvef_pct": 100 * lv / heart.lvedv_ml,
        "lvm_g": heart.lvm_g,
        "rvedv_ml": heart.rvedv_ml,
        "rvesv_ml": heart.rvesv_ml,
        "rvsv_ml": rv,
        "rvef_pct": 100 * rv / heart.rvedv_ml,
        "hr_bpm": hr_bpm,
        "co_l_min": lv * hr_bpm / 1000,
        "ed_time_ms": 0.0,
        "es_time_ms": heart.es_phase * anatomy.rr_ms,
    }


def _plan(
    anatomy: Anatomy,
    *,
    matrix: tuple[int, int],
    spacing_mm: tuple[float, float],
    slices: int | None,
    slice_distance_mm: float,
    slice_thickness_mm: float,
    breath_hold_sd_mm: float,
    tilt_sd_deg: float,
    fine: tuple[int, int],
    beside: bool,
    rng: np.random.Generator,
) -> Grid:
    """Place the stack: nearly along the heart's short axis, from above the base past the apex."""
    if min(matrix) < 16 or min(*spacing_mm, slice_distance_mm, slice_thickness_mm) <= 0:
        raise PopscanError("a simulated scan needs at least 16 x 16 voxels of positive size")
    tilt = np.deg2rad(rng.normal(0, tilt_sd_deg, 2))
    w = anatomy.axes @ np.array([np.tan(tilt[0]), np.tan(tilt[1]), 1.0])
    axes = _nearest_frame(anatomy.axes, w)
    heart = anatomy.heart
    top = -slice_distance_mm * (0.5 + rng.random())
    bottom = heart.length_mm + heart.apex_wall_mm
    count = slices or int(np.ceil((bottom - top) / slice_distance_mm)) + 1
    # The heart seldom lies in the very middle of the field of view; the right ventricle and the
    # chest wall in front of it want room.
    off = rng.normal(0, 7, 2) + (-12.0, 0.0)
    if beside:
        off = off + (0.5 * matrix[0] * spacing_mm[0], 0.0)
    corner = [off[k] - spacing_mm[k] * (matrix[k] - 1) / 2 for k in range(2)]
    affine = np.eye(4)
    affine[:3, :3] = axes * (*spacing_mm, slice_distance_mm)
    affine[:3, 3] = anatomy.base_mm + axes @ (*corner, top)
    return Grid(
        affine=affine,
        shape=(*matrix, count),
        thickness_share=slice_thickness_mm / slice_distance_mm,
        fine=fine,
        shifts_mm=rng.normal(0, breath_hold_sd_mm, (count, 3)) * (0.4, 0.6, 1.0),
    )


def _nearest_frame(axes: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the axes so that the third is along `w`, keeping the first two as near as can be."""
    w = w / np.linalg.norm(w)
    u = axes[:, 0] - (axes[:, 0] @ w) * w
    u /= np.linalg.norm(u)
    return np.stack([u, np.cross(u, w), w], axis=1)


def _combined(maps: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Root sum of squares of the coil maps: shape (z, x, y)."""
    return np.sqrt(np.sum(maps.real**2 + maps.imag**2, axis=0))


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    """Complex white noise, standard deviation 1 in each of the real and imaginary parts."""
    return rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]


def _reference_image(
    rendering: Rendering, maps: NDArray[np.complex64], *, noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    image = centred_ifft(rendering.spectrum, axes=(2, 3)) * _combined(maps)
    image += np.float32(noise) * _noise(rng, image.shape)
    return np.ascontiguousarray(np.abs(image).transpose(2, 3, 1, 0), dtype=np.float32)


def _scanner_image(
    rendering: Rendering,
    maps: NDArray[np.complex64],
    *,
    scanner: Scanner,
    noise: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    spectrum = rendering.spectrum
    received = _combined(maps)
    image = centred_ifft(spectrum, axes=(2, 3)) * received
    image += np.float32(noise) * _noise(rng, image.shape)
    if scanner.smoothing:
        window = [
            1 - scanner.smoothing * np.sin(np.pi * (np.arange(n) - n // 2) / n) ** 2
            for n in image.shape[2:]
        ]
        spectrum = centred_fft(image, axes=(2, 3))
        spectrum *= (window[0][:, None] * window[1]).astype(np.float32)
        image = centred_ifft(spectrum, axes=(2, 3))
    magnitude = np.abs(image) / np.maximum(received, 0.05) ** np.float32(scanner.evenness)
    return np.ascontiguousarray(magnitude.transpose(2, 3, 1, 0), dtype=np.float32)


def acquire(
    spectrum: NDArray[np.complex64],
    maps: NDArray[np.complex64],
    *,
    mask: NDArray[np.bool_],
    noise: float,
    mixing: NDArray[np.complex64],
    rng: np.random.Generator,
) -> NDArray[np.complex64]:
    """Receive an object's k-space with coils, noise and undersampling.

    Parameters
    ----------
    spectrum : ndarray, shape (t, z, kx, ky)
        Centred k-space of the object.
    maps : ndarray, shape (coil, z, x, y)
        Coil sensitivities.
    mask : ndarray of bool, shape (ky, t)
        Acquired lines.
    noise
        Standard deviation of the real and of the imaginary part of each coil's noise.
    mixing : ndarray, shape (coil, coil)
        Factor of the noise correlation.
    rng
        Source of the noise.

    Returns
    -------
    ndarray of complex64, shape (coil, kx, ky, z, t)
        Samples; 0 where not acquired.
    """
    frames, slices, nx, ny = spectrum.shape
    coils = len(maps)
    image = centred_ifft(spectrum, axes=(2, 3))
    out = np.zeros((coils, nx, ny, slices, frames), np.complex64)
    for t in range(frames):
        lines = np.flatnonzero(mask[:, t])
        received = centred_fft(image[t] * maps, axes=(2, 3))[..., lines]
        white = _noise(rng, (coils, received[0].size))
        received += np.float32(noise) * (mixing @ white).reshape(received.shape)
        frame = out[..., t]
        frame[:, :, lines] = received.transpose(0, 2, 3, 1)
    return out


def damage(
    subject: SimulatedSubject, *, fault: str, rng: np.random.Generator
) -> SimulatedSubject:
    """Apply the faults that strike after the acquisition.

    ``motion`` and ``truncated`` happen before it and change nothing here.
    """
    scan, raw, labels = subject.scan, subject.kspace, subject.labels
    if fault == "missing_frames":
        count = scan.array.shape[3]
        return _subset(subject, frames=slice(0, max(2, int(0.45 * count))))
    if fault == "missing_slices":
        count = scan.array.shape[2]
        lost = min(4, count - 2)
        at_base = bool(rng.integers(2))
        return _subset(subject, slices=slice(lost, None) if at_base else slice(0, count - lost))
    if fault == "wrong_metadata":
        factor = float(rng.choice([0.5, 2.0]))
        affine = scan.affine.copy()
        affine[:3, :2] *= factor
        dx, dy, dz = scan.spacing_mm
        wrong: dict[str, Any] = {"affine": affine, "spacing_mm": (dx * factor, dy * factor, dz)}
        return replace(
            subject,
            scan=replace(scan, **wrong),
            kspace=None if raw is None else replace(raw, **wrong),
        )
    if fault == "corrupt_values":
        array = scan.array.copy()
        array[..., array.shape[2] // 2, -1] = np.nan
        if raw is not None:
            data = raw.data.copy()
            lines = np.flatnonzero(raw.mask[:, -1])
            data[0, :, lines[0], data.shape[3] // 2, -1] = np.nan
            raw = replace(raw, data=data)
        return replace(subject, scan=replace(scan, array=array), kspace=raw, labels=labels)
    return subject


def _subset(
    subject: SimulatedSubject,
    *,
    slices: slice = slice(None),
    frames: slice = slice(None),
) -> SimulatedSubject:
    """Keep a range of slices and frames of everything."""
    scan, raw, labels = subject.scan, subject.kspace, subject.labels
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (slices.start or 0)
    assert scan.frame_times_ms is not None
    common: dict[str, Any] = {"affine": affine, "frame_times_ms": scan.frame_times_ms[frames]}
    kept = np.ascontiguousarray(labels.array[:, :, slices, frames])
    if raw is not None:
        raw = replace(
            raw,
            data=np.ascontiguousarray(raw.data[:, :, :, slices, frames]),
            mask=raw.mask[:, frames],
            **common,
        )
    return replace(
        subject,
        scan=replace(scan, array=np.ascontiguousarray(scan.array[:, :, slices, frames]), **common),
        kspace=raw,
        labels=LabelMap(array=kept, frames=tuple(range(kept.shape[3]))),
    )
