"""Reconstruction of k-space off the grid (radial, spiral): CG-SENSE with a NUFFT.

Barnett AH, Magland J, af Klinteberg L. A parallel nonuniform fast Fourier transform library based
on an "exponential of semicircle" kernel. SIAM J Sci Comput 41:C479-C504, 2019 (finufft).
"""

from __future__ import annotations

from typing import Literal

import finufft
import numpy as np
from numpy.typing import NDArray

from popscan.methods import Count, NotNegative
from popscan.recon.acquired import Acquired, acquired, as_scan
from popscan.recon.coils import walsh_maps
from popscan.recon.sense import conjugate_gradients
from popscan.records import KSpace, Scan, SubjectError

Complex = NDArray[np.complexfloating]
Points = NDArray[np.float32]
#: Accuracy of the transform, near that of single precision.
_ACCURACY = 1e-4
#: Rounds of the iteration for density weights.
_N_DENSITY = 8


class Nufft:
    """Fourier transform of images at given points of k-space, orthonormal on a full grid.

    Parameters
    ----------
    points : ndarray of float32, shape (2, n)
        Cycles per pixel, from -0.5 to 0.5.
    matrix
        Sides of the images, whose origin is the pixel ``n // 2``.
    """

    def __init__(self, points: Points, matrix: tuple[int, int]) -> None:
        self._at = [np.ascontiguousarray(2 * np.pi * k, dtype=np.float32) for k in points]
        self._plans: dict[tuple[int, int], finufft.Plan] = {}
        self.matrix = matrix
        self._scale = np.float32(1 / np.sqrt(matrix[0] * matrix[1]))

    def apply(self, images: Complex) -> Complex:
        """Return samples (n_images, n) of images (n_images, x, y)."""
        return self._run(2, images, (len(images), len(self._at[0])))

    def adjoint(self, samples: Complex) -> Complex:
        """Return images (n_images, x, y) of samples (n_images, n)."""
        return self._run(1, samples, (len(samples), *self.matrix))

    def _run(self, kind: int, values: Complex, shape: tuple[int, ...]) -> Complex:
        plan = self._plans.get((kind, len(values)))
        if plan is None:
            plan = finufft.Plan(
                kind, self.matrix, len(values), _ACCURACY, -1 if kind == 2 else 1,
                dtype="complex64", nthreads=1,
            )  # fmt: skip
            plan.setpts(*self._at)
            self._plans[kind, len(values)] = plan
        out: NDArray[np.complex64] = plan.execute(_single(values))
        return out.reshape(shape) * self._scale


def _single(values: Complex) -> NDArray[np.complex64]:
    return np.ascontiguousarray(values, dtype=np.complex64)


def density_weights(points: Points, matrix: tuple[int, int]) -> NDArray[np.float32]:
    """Return weights that make dense and sparse parts of k-space count equally.

    Pipe JG, Menon P. Sampling density compensation in MRI: rationale and an iterative numerical
    solution. Magn Reson Med 41:179-186, 1999; without an assumption on the trajectory.

    Parameters
    ----------
    points : ndarray, shape (2, n)
        Cycles per pixel.
    matrix
        Sides of the image.

    Returns
    -------
    ndarray of float32, shape (n,)
        With the weights the point at the image's origin comes back as it was.
    """
    # On a grid twice as fine neighbours in k-space are those within half a field of view.
    wide = (2 * matrix[0], 2 * matrix[1])
    transform = Nufft(points, wide)
    window = np.outer(*(np.hanning(n + 1)[:-1] for n in wide)).astype(np.float32)
    weights = np.ones((1, points.shape[1]), dtype=np.complex64)
    for _ in range(_N_DENSITY):
        blurred = transform.apply(window * transform.adjoint(weights))
        weights = _single(weights / np.maximum(np.abs(blurred), 1e-6))
    out = np.abs(weights[0])
    return (out * np.float32(matrix[0] * matrix[1] / out.sum())).astype(np.float32)


def cg_nufft(
    kspace: KSpace,
    *,
    n_iterations: Count = 15,
    lam: NotNegative = 0.03,
    tolerance: NotNegative = 5e-3,
    prior: Literal["zero", "temporal_mean"] = "temporal_mean",
    calibration_width: Count = 24,
) -> Scan:
    """Solve the parallel-imaging equations of each frame off the grid by conjugate gradients.

    Minimises ``|E x - y|^2 + lam |x - x0|^2`` per slice and frame, the first weighted by the
    density of samples, with E the coil maps and the Fourier transform at the trajectory's points
    (Pruessmann et al., Magn Reson Med 46:638-651, 2001).

    Parameters
    ----------
    kspace
        What was acquired; the grid is a trajectory, too.
    n_iterations
        At most so many conjugate-gradient steps per frame.
    lam
        Weight of the distance to x0, without unit; as in `popscan.recon.sense.cg_sense`.
    tolerance
        A frame is done once its residual is below this fraction of the right-hand side.
    prior
        x0: ``zero``, or ``temporal_mean``, the image of all frames' samples, which golden angles
        spread evenly.
    calibration_width
        Diameter, in samples of a full grid, of the centre that coil maps come from.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t); a slice without any sample is 0.

    Raises
    ------
    SubjectError
        ``bad_trajectory`` if it does not fit the samples, and those of
        `popscan.recon.acquired.acquired`.
    """
    used = acquired(kspace, cartesian=False)
    matrix, trajectory = _off_grid(kspace, used)
    n_z, n_t = used.data.shape[3:]
    magnitude = np.zeros((*matrix, n_z, n_t), dtype=np.float32)
    empty = []
    for z in range(n_z):
        frames = [_frame(used, trajectory, z, t) for t in range(n_t)]
        if not any(samples.shape[1] for _, samples in frames):
            empty.append(z)
            continue
        magnitude[:, :, z] = _slice_images(
            frames,
            matrix,
            n_iterations,
            lam=lam,
            tolerance=tolerance,
            prior=prior,
            calibration_width=calibration_width,
        )
    info = {"method": "cg_nufft", "lam": lam, "prior": prior, "empty_slices": empty}
    return as_scan(kspace, magnitude, used, info)


def _off_grid(kspace: KSpace, used: Acquired) -> tuple[tuple[int, int], Points]:
    """Matrix and trajectory of a k-space, of the grid where it has none."""
    shape = used.data.shape[1:]
    if kspace.trajectory is None:
        n_x, n_y = shape[:2]
        sides = [(np.arange(n, dtype=np.float32) - n // 2) / n for n in (n_x, n_y)]
        grid = np.stack(np.meshgrid(*sides, indexing="ij")).astype(np.float32)
        points = np.broadcast_to(grid[..., np.newaxis, np.newaxis], (2, *shape))
        return (n_x, n_y), points
    if kspace.matrix is None or kspace.trajectory.shape != (2, *shape):
        raise SubjectError(
            "bad_trajectory",
            f"a trajectory of {kspace.trajectory.shape} for samples of {shape}, images of "
            f"{kspace.matrix}",
        )
    return kspace.matrix, kspace.trajectory


def _frame(used: Acquired, trajectory: Points, z: int, t: int) -> tuple[Points, Complex]:
    """Points (2, n) and samples (coil, n) of one frame; what is 0 in all coils is none."""
    samples = used.data[..., z, t].reshape(used.data.shape[0], -1)
    points = trajectory[..., z, t].reshape(2, -1)
    there = samples.any(axis=0)
    return points[:, there], samples[:, there]


def _slice_images(
    frames: list[tuple[Points, Complex]],
    matrix: tuple[int, int],
    n_iterations: int,
    *,
    lam: float,
    tolerance: float,
    prior: str,
    calibration_width: int,
) -> NDArray[np.float32]:
    """Magnitudes (x, y, t) of a slice."""
    points = np.concatenate([p for p, _ in frames], axis=1)
    samples = np.concatenate([s for _, s in frames], axis=1)
    every = _Encoding(points, matrix)
    every.maps = _maps(every, samples, calibration_width)

    def solve(encoding: _Encoding, data: Complex, start: Complex | None) -> Complex:
        right = encoding.adjoint(data if start is None else data - encoding.apply(start))
        change, _, _ = conjugate_gradients(
            lambda image: encoding.normal(image[0])[np.newaxis] + np.float32(lam) * image,
            right[np.newaxis],
            n_iterations=n_iterations,
            tolerance=tolerance,
        )
        return change[0] if start is None else change[0] + start

    several = prior == "temporal_mean" and len(frames) > 1
    start = solve(every, samples, None) if several else None
    out = np.zeros((*matrix, len(frames)), dtype=np.float32)
    for t, (at, data) in enumerate(frames):
        if at.shape[1]:
            own = every if len(frames) == 1 else _Encoding(at, matrix, every.maps)
            out[..., t] = np.abs(solve(own, data, start))
    return out


class _Encoding:
    """Coil maps, then the transform at the points; adjoint and normal with density weights."""

    def __init__(
        self, points: Points, matrix: tuple[int, int], maps: Complex | None = None
    ) -> None:
        self.points = points
        self.transform = Nufft(points, matrix)
        self.weights = density_weights(points, matrix)
        self.maps = np.ones((1, *matrix), dtype=np.complex64) if maps is None else maps

    def apply(self, image: Complex) -> Complex:
        return self.transform.apply(image * self.maps)

    def adjoint(self, samples: Complex) -> Complex:
        images = self.transform.adjoint(samples * self.weights)
        return np.asarray((images * self.maps.conj()).sum(axis=0))

    def normal(self, image: Complex) -> Complex:
        return self.adjoint(self.apply(image))


def _maps(every: _Encoding, samples: Complex, width: int) -> NDArray[np.complex64]:
    """Coil maps from the middle of k-space of all frames together."""
    if samples.shape[0] == 1:
        return np.ones((1, *every.transform.matrix), dtype=np.complex64)
    # Each axis of a full grid of n samples spans one cycle per pixel.
    away = np.sqrt(
        sum((k * n) ** 2 for k, n in zip(every.points, every.transform.matrix, strict=True))
    )
    window = np.cos(np.pi / 2 * np.minimum(2 * away / width, 1.0)) ** 2
    images = every.transform.adjoint(samples * (every.weights * window.astype(np.float32)))
    return walsh_maps(images.astype(np.complex64))
