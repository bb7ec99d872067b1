"""K-space simulated from images, to compare methods where there is no raw data.

What it cannot show: Shimron E, Tamir JI, Wang K, Lustig M. Implicit data crimes: machine learning
bias arising from misuse of public data. PNAS 119:e2117203119, 2022. Images from archives were
interpolated (zero-filled), filtered, combined from coils and stripped of their phase, all of which
makes undersampling look more harmless than it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.coils import ring_maps, smooth_phase
from popscan.arrays.fourier import centred_fft
from popscan.arrays.sampling import sampling_mask
from popscan.records import KSpace, PopscanError, Scan, SubjectError

#: Percentile of the magnitudes that noise is relative to.
_BRIGHT_PCT = 99.0


def simulated_kspace(
    scan: Scan,
    *,
    acceleration: float,
    pattern: str = "random",
    centre_lines: int = 16,
    coils: int = 8,
    noise: float = 0.01,
    phase: bool = True,
    oversampled: float = 1.0,
    seed: int = 0,
) -> KSpace:
    """Receive an image series by simulated coils, with noise, and leave lines out.

    Parameters
    ----------
    scan
        Magnitudes (x, y, z, t), finite; y becomes the phase-encoding axis.
    acceleration
        Net, the central lines included.
    pattern
        As for `popscan.arrays.sampling.sampling_mask`; every frame draws its own lines.
    centre_lines
        Fully sampled lines in the centre.
    coils
        How many.
    noise
        Standard deviation of the real and of the imaginary part in each coil, relative to the
        brightest tissue.
    phase
        Whether each slice gets a smooth background phase. Without, k-space is symmetric, and
        methods that know of real images are flattered.
    oversampled
        Phase-encoding field of view relative to the image's, at least 1: with more, the empty
        margin that archives cut off is encoded too, and lines are as many more.
    seed
        Of coils, phase, lines and noise.

    Returns
    -------
    KSpace
        On the scan's grid (wider along y with `oversampled`), with its times and meta.

    Raises
    ------
    SubjectError
        ``bad_image`` for an image that is empty or not finite, ``too_few_lines`` for a matrix too
        small for the acceleration.
    """
    array = np.asarray(scan.array, dtype=np.float32)
    if not np.isfinite(array).all() or not array.any():
        raise SubjectError("bad_image", "the image is empty or holds values that are not finite")
    rng = np.random.default_rng(seed)
    n_x, n_y, n_z, n_t = array.shape
    wide = max(n_y, 2 * round(n_y * oversampled / 2) + n_y % 2)
    margin = (wide - n_y) // 2
    try:
        mask = sampling_mask(
            wide, n_t, acceleration=acceleration, acs_lines=centre_lines, pattern=pattern, rng=rng
        )
    except PopscanError as error:
        raise SubjectError("too_few_lines", f"{wide} lines: {error}") from error
    data = np.zeros((coils, n_x, wide, n_z, n_t), dtype=np.complex64)
    maps = ring_maps((n_x, wide), coils=coils, rng=rng)
    spread = noise * float(np.percentile(array, _BRIGHT_PCT))
    for z in range(n_z):
        turn = smooth_phase((n_x, wide), rng=rng) if phase else np.ones((1, 1), np.complex64)
        for t in range(n_t):
            image = np.pad(array[:, :, z, t], ((0, 0), (margin, wide - n_y - margin))) * turn
            samples = centred_fft(maps * image, axes=(1, 2))[..., mask[:, t]]
            samples = samples + np.float32(spread) * _white(samples.shape, rng)
            data[:, :, mask[:, t], z, t] = samples
    affine = np.array(scan.affine, dtype=float)
    affine[:3, 3] -= margin * affine[:3, 1]
    return KSpace(
        data=data, mask=mask, affine=affine, spacing_mm=scan.spacing_mm,
        frame_times_ms=scan.frame_times_ms, view=scan.view, meta=dict(scan.meta),
    )  # fmt: skip


def cropped(scan: Scan, like: Scan) -> Scan:
    """Cut the margin that `oversampled` added along y off a reconstruction."""
    from dataclasses import replace

    extra = scan.array.shape[1] - like.array.shape[1]
    if not extra:
        return scan
    first = extra // 2
    array = np.ascontiguousarray(scan.array[:, first : first + like.array.shape[1]])
    return replace(scan, array=array, affine=like.affine)


def _white(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex64]:
    return rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
