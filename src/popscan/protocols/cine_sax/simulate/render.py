"""From anatomy to noise-free complex images and labels on the scan's grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.fourier import centred_fft
from popscan.protocols.cine_sax.simulate.anatomy import Points, heart_tissue
from popscan.protocols.cine_sax.simulate.heart import HeartState
from popscan.protocols.cine_sax.simulate.plan import Grid
from popscan.protocols.cine_sax.simulate.scanners import Scanner
from popscan.protocols.cine_sax.simulate.subject import Anatomy
from popscan.protocols.cine_sax.simulate.tissue import LABEL_OF, Tissue, bssfp_signal
from popscan.protocols.cine_sax.simulate.torso import torso_tissue

#: ``(state, u, v, w) -> tissue codes``: what lies at points in heart coordinates.
Classifier = Callable[[HeartState, Points, Points, Points], NDArray[np.uint8]]

_LEFT_BLOOD = [Tissue.LV_BLOOD, Tissue.ATRIUM, Tissue.VESSEL]


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], *, width: tuple[float, ...]
) -> NDArray[np.float32]:
    """Random field of mean 0 and standard deviation 1, smooth over `width` samples per axis."""
    # A wide field is drawn coarsely and enlarged: filtering it at full size would take seconds.
    step = [max(1, int(w // 2)) for w in width]
    coarse = [-(-n // s) + 2 for n, s in zip(shape, step, strict=True)]
    sigma = [w / s for w, s in zip(width, step, strict=True)]
    field = ndimage.gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), sigma)
    for axis, (n, s) in enumerate(zip(shape, step, strict=True)):
        at = np.arange(n, dtype=np.float32) / s
        low = at.astype(int)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        field = np.take(field, low, axis) * (1 - share) + np.take(field, low + 1, axis) * share
    field -= field.mean()
    return field / max(float(field.std()), 1e-6)


def render(
    anatomy: Anatomy,
    grid: Grid,
    *,
    scanner: Scanner,
    signals: NDArray[np.float32],
    phases: NDArray[np.float64],
    saturate: bool = False,
    classify: Classifier = heart_tissue,
    label_of: NDArray[np.uint8] = LABEL_OF,
    rng: np.random.Generator,
) -> tuple[NDArray[np.complex64], NDArray[np.uint8]]:
    """Image the beating heart at each phase.

    The torso is classified once, the heart at every phase, within its bounding box only.

    Parameters
    ----------
    anatomy, grid
        What is imaged, and where.
    scanner
        For its off-resonance and repetition time.
    signals : ndarray, shape (len(Tissue),)
        Signal per tissue.
    phases : ndarray, shape (t,)
        Share of the RR interval of each frame.
    saturate
        Whether saturation slabs silence the body towards both ends of the y axis, so that what
        lies beyond the field of view does not fold into it when lines are skipped.
    classify, label_of
        What lies where in the heart, and the label of each tissue code.
    rng
        Source of texture, background phase, off-resonance and flow.

    Returns
    -------
    spectrum : ndarray of complex64, shape (t, z, kx, ky)
        Noise-free centred k-space of the object before any coil, cropped from a finer grid, so
        that it rings as a real one.
    labels : ndarray of uint8, shape (t, z, x, y)
        The structure that fills most of each voxel.
    """
    per, _ = grid.fine
    points = grid.points_mm()
    static = torso_tissue(anatomy.torso, points[0], points[1], points[2])
    _vessels(static, rng)
    heart_points = _heart_coordinates(anatomy, points)
    box = _bounding_box(anatomy, heart_points, per, classify)
    background = _average(static, np.broadcast_to(signals, (grid.shape[2], signals.size)))
    shading = _shading(anatomy, grid, points, scanner=scanner, saturate=saturate, rng=rng)
    flow = _flow(rng, len(phases), grid.shape[2])
    inside = tuple(p[box] for p in heart_points)
    torso_inside = static[box]
    nx, ny, nz = grid.shape
    labels = np.zeros((len(phases), nz, nx, ny), np.uint8)
    spectrum = np.empty((len(phases), nz, nx, ny), np.complex64)
    plane = (box[0], box[2], box[3])
    wide, high = (slice(s.start // per, s.stop // per) for s in box[2:])
    voxels = (box[0], wide, high)
    for t, phase in enumerate(phases):
        state = anatomy.heart.at(float(phase))
        tissue = classify(state, *inside)
        labels[t][voxels] = majority_label(tissue, per, label_of)
        np.copyto(tissue, torso_inside, where=tissue == 0)
        image = background.copy()
        image[plane] = _average(tissue, _frame_signals(signals, flow[t])[box[0]])
        spectrum[t] = crop_spectrum(image * shading, (nx, ny), per)
    return spectrum, labels


def _heart_coordinates(
    anatomy: Anatomy, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    away = [points[axis] - np.float32(anatomy.base_mm[axis]) for axis in range(3)]
    turn = anatomy.axes.astype(np.float32)
    u, v, w = (away[0] * turn[0, k] + away[1] * turn[1, k] + away[2] * turn[2, k] for k in range(3))
    return u, v, w


def _bounding_box(
    anatomy: Anatomy,
    heart_points: tuple[NDArray[np.float32], ...],
    per: int,
    classify: Classifier,
) -> tuple[slice, slice, slice, slice]:
    """Box of fine points that the heart reaches in any phase, of whole voxels."""
    seen = np.zeros(heart_points[0].shape, bool)
    thin = (slice(None), slice(None), slice(None, None, 4), slice(None, None, 4))
    for phase in (0.0, anatomy.heart.es_phase / 2, anatomy.heart.es_phase):
        state = anatomy.heart.at(phase)
        seen[thin] |= classify(state, *(p[thin] for p in heart_points)) > 0
    if not seen.any():
        return (slice(0, 0), slice(None), slice(0, 0), slice(0, 0))
    out = []
    for axis in (0, 2, 3):
        others = tuple(a for a in range(4) if a != axis)
        found = np.flatnonzero(seen.any(axis=others))
        low, high = found[0], found[-1] + 1
        if axis:  # between the thinned points and phases the heart may reach a little further
            low = max(low // per - 6, 0) * per
            high = min((-(-high // per) + 6) * per, seen.shape[axis])
        out.append(slice(int(low), int(high)))
    return (out[0], slice(None), out[1], out[2])


def majority_label(
    tissue: NDArray[np.uint8], per: int, label_of: NDArray[np.uint8] = LABEL_OF
) -> NDArray[np.uint8]:
    """Reduce fine tissues (z, through, x, y) to the label that fills most of each voxel."""
    fine = label_of[tissue]
    n_labels = int(label_of.max()) + 1
    nz, through, nx, ny = fine.shape
    counts = np.zeros((n_labels, nz, nx // per, ny // per), np.uint8)
    for label in range(n_labels):
        same = (fine == label).view(np.uint8)
        through_sum = sum(same[:, k] for k in range(through))
        for i in range(per):
            for j in range(per):
                counts[label] += through_sum[:, i::per, j::per]
    first, last = counts.argmax(axis=0), n_labels - 1 - counts[::-1].argmax(axis=0)
    # Ties are common with few points; were the lower label to win them all, cavities would shrink.
    odd = np.indices(first.shape).sum(axis=0) % 2 == 1
    return np.where(odd, first, last).astype(np.uint8)


def _average(tissue: NDArray[np.uint8], signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean signal through each slice: (z, through, x, y) to (z, x, y)."""
    out = np.empty((tissue.shape[0], *tissue.shape[2:]), np.float32)
    for z, lookup in enumerate(signals):
        out[z] = sum(np.take(lookup, layer) for layer in tissue[z]) * np.float32(1 / len(tissue[z]))
    return out


def _flow(rng: np.random.Generator, frames: int, slices: int) -> NDArray[np.float32]:
    """Relative change of the blood's signal by frame and slice, left and right (in-flow)."""
    out = np.stack(
        [smooth_field(rng, (frames, slices), width=(2.0, 1.5)) for _ in range(2)], axis=-1
    )
    return 1 + 0.06 * np.clip(out, -2.5, 2.5)


def _frame_signals(signals: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.repeat(signals[None], len(flow), axis=0)
    out[:, _LEFT_BLOOD] *= flow[:, :1]
    out[:, [Tissue.RV_BLOOD]] *= flow[:, 1:]
    return out


def _vessels(static: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Scatter vessels through lung and liver, in place."""
    nz, _, nx, ny = static.shape
    field = smooth_field(rng, (nz, nx, ny), width=(0.2, 2.0, 2.0))[:, None]
    static[(static == Tissue.LUNG) & (field > 2.4)] = Tissue.VESSEL
    static[(static == Tissue.LIVER) & (field < -2.0)] = Tissue.VESSEL


def _shading(
    anatomy: Anatomy,
    grid: Grid,
    points: NDArray[np.float32],
    *,
    scanner: Scanner,
    saturate: bool,
    rng: np.random.Generator,
) -> NDArray[np.complex64]:
    """Factor that multiplies the object: texture, bands, smooth phase."""
    per, _ = grid.fine
    nx, ny, nz = grid.shape
    shape = (nz, nx * per, ny * per)
    grain = smooth_field(rng, shape, width=(0.3, 1.2 * per, 1.2 * per))
    cloud = smooth_field(rng, shape, width=(0.8, 9.0 * per, 9.0 * per))
    texture = 1 + 0.05 * grain + 0.05 * cloud
    phase = 0.5 * smooth_field(rng, shape, width=(2.0, 22.0 * per, 22.0 * per))
    spread = smooth_field(rng, shape, width=(2.0, 16.0 * per, 16.0 * per))
    hertz = scanner.field_spread_hz * spread + _vein_dip(anatomy, points, scanner)
    table = np.linspace(-400, 400, 801)
    band = np.abs(
        bssfp_signal(
            0.9,
            1200.0,
            100.0,
            flip_deg=scanner.flip_deg,
            tr_ms=scanner.tr_ms,
            off_resonance_hz=table,
        )
    )
    profile = np.interp(hertz, table, band / band[400])
    if saturate:
        edge = np.minimum(np.arange(shape[2]) + 0.5, shape[2] - np.arange(shape[2]) - 0.5)
        profile *= np.sin(0.5 * np.pi * np.clip(edge / (0.07 * shape[2]), 0, 1)) ** 2
    return (texture * profile * np.exp(1j * phase)).astype(np.complex64)


def _vein_dip(
    anatomy: Anatomy, points: NDArray[np.float32], scanner: Scanner
) -> NDArray[np.float32]:
    """Off-resonance below the lateral wall, next to lung and vein, where bands show first."""
    at = anatomy.base_mm + anatomy.axes @ np.array([34.0, 24.0, 45.0])
    middle = points.shape[2] // 2
    away2 = sum((points[axis, :, middle] - np.float32(at[axis])) ** 2 for axis in range(3))
    return np.float32(60.0 * scanner.field_strength_t) * np.exp(-away2 / np.float32(2 * 22.0**2))


def crop_spectrum(
    image: NDArray[np.complex64], shape: tuple[int, int], per: int
) -> NDArray[np.complex64]:
    """Return the k-space that a scan of coarser voxels acquires of a finely sampled object.

    Parameters
    ----------
    image : ndarray, shape (z, x * per, y * per)
        The object; `per` fine points fill one voxel.
    shape
        Voxels of the scan along x and y.
    per
        Fine points per voxel and axis.

    Returns
    -------
    ndarray of complex64, shape (z, kx, ky)
        Centred k-space, scaled so that its image has the object's intensities.
    """
    spectrum = centred_fft(image, axes=(1, 2))
    for axis, n in ((1, shape[0]), (2, shape[1])):
        fine = n * per
        first = fine // 2 - n // 2
        spectrum = np.take(spectrum, range(first, first + n), axis=axis)
        # Fine points straddle the voxel's centre; the ramp moves the samples onto it.
        offset = (per - 1) / 2 - fine // 2 + per * (n // 2)
        ramp = np.exp(2j * np.pi * (np.arange(n) - n // 2) * offset / fine)
        spectrum = spectrum * ramp.astype(np.complex64).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
    return (spectrum / np.float32(per)).astype(np.complex64)
