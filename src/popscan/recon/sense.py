"""CG-SENSE: iterative parallel imaging with coil maps estimated from the data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.fourier import centred_ifft
from popscan.methods import Count, NotNegative
from popscan.recon import coils
from popscan.recon.acquired import acquired, as_scan
from popscan.recon.maps import coil_maps
from popscan.recon.operators import Sense
from popscan.recon.prepared import average_for_maps, white
from popscan.records import KSpace, Scan

Complex = NDArray[np.complexfloating]


def cg_sense(
    kspace: KSpace,
    *,
    n_iterations: Count = 30,
    lam: NotNegative = 0.03,
    tolerance: NotNegative = 5e-3,
    prior: Literal["zero", "temporal_mean"] = "temporal_mean",
    maps: Literal["espirit", "walsh"] = "espirit",
    calibration_width: Count = 20,
    support_threshold: NotNegative = 0.0,
    prewhiten: bool = False,
) -> Scan:
    """Solve the parallel-imaging equations of each frame by conjugate gradients.

    Minimises ``|E x - y|^2 + lam |x - x0|^2`` per slice and frame, with E the coil maps, Fourier
    transform and sampling (Pruessmann et al., Magn Reson Med 46:638-651, 2001).

    Parameters
    ----------
    kspace
        What was acquired; regular, random and partial-Fourier Cartesian sampling all do.
    n_iterations
        At most so many conjugate-gradient steps per slice.
    lam
        Weight of the distance to x0, without unit: E has a norm of at most 1, so 1 weighs x0 as
        much as fully sampled data, and data of acceleration R have a mean weight of 1/R. More
        means less noise; with ``zero`` also more aliasing, with ``temporal_mean`` less motion.
    tolerance
        A frame is done once its residual is below this fraction of the right-hand side.
    prior
        x0: ``zero`` (Tikhonov), or ``temporal_mean``, the image of the k-space averaged over
        time, which interleaved sampling fills, so that only motion is left to be found. Of a
        single frame that average is the frame itself, solved twice (iterated Tikhonov).
    maps
        How coil maps are estimated from the centre of the averaged k-space
        (`popscan.recon.espirit`, or `popscan.recon.coils.walsh_maps`, which costs less).
    calibration_width
        Largest side, in samples, of that centre.
    support_threshold
        Coil maps are 0 where the coils see less than this fraction of their largest signal; 0
        keeps every pixel.
    prewhiten
        Decorrelate the coils' noise first (see `popscan.recon.noise`).

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t); a slice without any sample is 0.

    Raises
    ------
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`) and
        ``no_calibration_lines``.
    """
    used = acquired(kspace)
    used = white(used) if prewhiten else used
    data = used.data
    _, n_x, n_y, n_z, n_t = data.shape
    magnitude = np.zeros((n_x, n_y, n_z, n_t), dtype=np.float32)
    steps, residuals, blocks, empty = [0], [0.0], [], []
    for z in range(n_z):
        samples = np.ascontiguousarray(np.moveaxis(data[:, :, :, z], -1, 0))
        if not samples.any():
            empty.append(z)
            continue
        whole = average_for_maps(used, z)
        average = coils.temporal_average(samples) if whole is None else whole
        found, block = coil_maps(
            average, method=maps, width=calibration_width, support_threshold=support_threshold
        )
        solve = partial(_solve, maps=found, lam=lam, n_iterations=n_iterations, tolerance=tolerance)
        start = solve(average[np.newaxis], None)[0] if prior == "temporal_mean" else None
        image, n_steps, residual = solve(samples, start)
        magnitude[:, :, z] = np.moveaxis(np.abs(image), 0, -1)
        steps.append(n_steps)
        residuals.append(residual)
        blocks.append(block)
    info = {
        "method": "cg_sense",
        "lam": lam,
        "prior": prior,
        "maps": maps,
        "prewhitened": prewhiten,
        "n_iterations": max(steps),
        "relative_residual": float(f"{max(residuals):.3g}"),
        "calibration_block": list(min(blocks)),
        "empty_slices": empty,
    }
    return as_scan(kspace, magnitude, used, info)


def _solve(
    data: NDArray[np.complex64],
    start: Complex | None,
    *,
    maps: NDArray[np.complex64],
    lam: float,
    n_iterations: int,
    tolerance: float,
) -> tuple[Complex, int, float]:
    """Solve all frames (t, coil, kx, ky) of a slice, near the image `start` (1, x, y)."""
    mask = np.asarray(data.any(axis=1))
    axes: tuple[int, ...] = (2, 3)
    if (mask.any(axis=1) == mask.all(axis=1)).all():
        # Whole readouts: transform them once, and the problem falls apart into columns.
        data, axes = centred_ifft(data, axes=(2,)), (3,)
    encoding = Sense(maps, mask, axes=axes)
    right_hand_side = encoding.adjoint(data)
    if start is not None:
        start = np.broadcast_to(start, right_hand_side.shape)
        right_hand_side = right_hand_side - encoding.normal(start)
    change, n_steps, residual = conjugate_gradients(
        lambda image: encoding.normal(image) + np.float32(lam) * image,
        right_hand_side,
        n_iterations=n_iterations,
        tolerance=tolerance,
    )
    return (change if start is None else start + change), n_steps, residual


def conjugate_gradients(
    normal: Callable[[Complex], Complex],
    right_hand_side: Complex,
    *,
    n_iterations: int,
    tolerance: float,
) -> tuple[Complex, int, float]:
    """Solve ``normal(x) = right_hand_side`` for a batch of independent systems, from 0.

    Parameters
    ----------
    normal
        A Hermitian, positive (semi)definite operator that treats each entry of axis 0 alone.
    right_hand_side : ndarray of complex, shape (t, ...)
        One system per entry of axis 0.
    n_iterations
        At most so many steps.
    tolerance
        A system stops changing once its residual norm is below this fraction of the norm of its
        right-hand side.

    Returns
    -------
    solution : ndarray, shape (t, ...)
        0 for systems whose right-hand side is 0.
    n_steps : int
        Steps made.
    residual : float
        Largest relative residual norm left.
    """
    wide = (slice(None), *([np.newaxis] * (right_hand_side.ndim - 1)))
    solution = np.zeros_like(right_hand_side)
    residual = right_hand_side.copy()
    direction = residual.copy()
    energy = _energies(residual, residual)
    target = tolerance**2 * energy
    scale = np.where(energy > 0, energy, 1.0)
    n_steps = 0
    while n_steps < n_iterations and (energy > target).any():
        active = energy > target
        image = normal(direction)
        curvature = _energies(direction, image)
        active &= curvature > 0
        if not active.any():
            break
        step = np.where(active, energy / np.where(active, curvature, 1.0), 0.0)
        solution += step.astype(np.float32)[wide] * direction
        residual -= step.astype(np.float32)[wide] * image
        updated = _energies(residual, residual)
        ratio = np.where(active, updated / np.where(active, energy, 1.0), 0.0)
        direction *= ratio.astype(np.float32)[wide]
        direction += residual
        energy = updated
        n_steps += 1
    return solution, n_steps, float(np.sqrt((energy / scale).max()))


def _energies(a: Complex, b: Complex) -> NDArray[np.float64]:
    # Real part of <a, b> per system, summed in double precision.
    product = (a.real * b.real + a.imag * b.imag).reshape(a.shape[0], -1)
    return product.sum(axis=1, dtype=np.float64)
