"""Methods for periodic motion in a body that hardly moves."""

from __future__ import annotations

import torch
from torch import Tensor

from popscan.methods import Count, CountOrZero, NotNegative
from popscan.recon.kt import FLOOR, LAM, N_ITERATIONS, SPREAD_PX, kt_prior, kt_solved
from popscan.recon.maps import MapMethod
from popscan.recon.prepared import Slice, solved
from popscan.recon.sharing import shared_views
from popscan.records import KSpace, Scan, SubjectError


def view_sharing(
    kspace: KSpace,
    *,
    reach_frames: CountOrZero | None = None,
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Fill the samples that a frame lacks from the frames nearest in time.

    The baseline of every method for series: where nothing moves it is exact.

    Parameters
    ----------
    kspace
        What was acquired; frames should differ in their samples.
    reach_frames
        How many frames away samples may come from; None for any.
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        ``cpu``, ``cuda`` or ``auto``.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t).

    Raises
    ------
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`),
        ``single_frame`` and ``no_calibration_lines``.
    """
    require_series(kspace, "view_sharing")

    def solve(one: Slice) -> Tensor:
        return shared_images(one, reach=reach_frames)

    info = {"method": "view_sharing", "reach_frames": reach_frames}
    return solved(kspace, solve, info=info, maps=maps, calibration_width=calibration_width,
                  prewhiten=prewhiten, device=device)  # fmt: skip


def low_rank_sparse(
    kspace: KSpace,
    *,
    lam_low_rank: NotNegative = 0.01,
    lam_sparse: NotNegative = 0.01,
    n_iterations: Count = 20,
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Split a series into a background of low rank and motion that is sparse in temporal frequency.

    Minimises ``|E (L + S) - y|^2 / 2 + lam_low_rank |L|_* + lam_sparse |F_t S|_1`` per slice
    (Otazo R, Candes E, Sodickson DK. Low-rank plus sparse matrix decomposition for accelerated
    dynamic MRI. Magn Reson Med 73:1125-1136, 2015).

    Parameters
    ----------
    kspace
        What was acquired; frames should differ in their samples.
    lam_low_rank
        What is taken off the singular values of the background, relative to the largest one of
        the zero-filled series.
    lam_sparse
        What is taken off the motion's temporal frequencies (orthonormal transform), relative to
        the slice's brightest tissue.
    n_iterations
        Proximal gradient steps.
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        ``cpu``, ``cuda`` or ``auto``.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t).

    Raises
    ------
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`),
        ``single_frame`` and ``no_calibration_lines``.
    """
    require_series(kspace, "low_rank_sparse")

    def solve(one: Slice) -> Tensor:
        right = one.encoding.adjoint(one.data)
        whole = shared_images(one)
        threshold = lam_low_rank * float(_singular(right)[0].max().sqrt())
        sparse = torch.zeros_like(whole)
        for _ in range(n_iterations):
            low_rank = singular_shrunk(whole - sparse, threshold)
            sparse = _frequency_shrunk(whole - low_rank, lam_sparse)
            both = low_rank + sparse
            whole = both + (right - one.encoding.normal(both))
        return whole

    info = {
        "method": "low_rank_sparse", "lam_low_rank": lam_low_rank, "lam_sparse": lam_sparse,
        "n_iterations": n_iterations,
    }  # fmt: skip
    return solved(kspace, solve, info=info, maps=maps, calibration_width=calibration_width,
                  prewhiten=prewhiten, device=device)  # fmt: skip


def kt_sense(
    kspace: KSpace,
    *,
    lam: NotNegative = LAM,
    n_iterations: Count = N_ITERATIONS,
    spread_px: CountOrZero = SPREAD_PX,
    floor: NotNegative = FLOOR,
    maps: MapMethod = "espirit",
    calibration_width: Count = 20,
    prewhiten: bool = False,
    device: str = "cpu",
) -> Scan:
    """Let each pixel move only in the temporal frequencies in which its surroundings seem to.

    The temporal spectrum of the series with views shared is the prior of the signal's size in each
    pixel and frequency, as the training images are in k-t SENSE (Tsao J, Boesiger P, Pruessmann
    KP. k-t BLAST and k-t SENSE. Magn Reson Med 50:1031-1042, 2003); here for any sampling, by
    conjugate gradients: ``|E F^H M z - (y - E x0)|^2 + lam |z|^2``, where M is that size, F the
    temporal Fourier transform, x0 its mean over time, and ``x0 + F^H M z`` the result.

    Parameters
    ----------
    kspace
        What was acquired; frames should differ in their samples.
    lam
        Noise relative to the signal's size (squared): more means smoother in time.
    n_iterations
        Steps of conjugate gradients.
    spread_px
        The prior of a pixel is the largest one so many pixels around it.
    floor
        Least prior anywhere, relative to its largest value.
    maps, calibration_width, prewhiten
        As for `popscan.recon.sense.cg_sense`.
    device
        ``cpu``, ``cuda`` or ``auto``.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t).

    Raises
    ------
    SubjectError
        For a k-space that cannot be used (see `popscan.recon.acquired.acquired`),
        ``single_frame`` and ``no_calibration_lines``.
    """
    require_series(kspace, "kt_sense")

    def solve(one: Slice) -> Tensor:
        prior = kt_prior(
            one.data, one.mask, one.encoding, over_time=one.over_time, spread_px=spread_px,
            floor=floor,
        )  # fmt: skip
        return kt_solved(
            one.encoding.adjoint(one.data), one.encoding, guess=prior.still, size=prior.size,
            lam=lam, n_iterations=n_iterations,
        )  # fmt: skip

    info = {"method": "kt_sense", "lam": lam, "n_iterations": n_iterations,
            "spread_px": spread_px, "floor": floor}  # fmt: skip
    return solved(kspace, solve, info=info, maps=maps, calibration_width=calibration_width,
                  prewhiten=prewhiten, device=device)  # fmt: skip


def require_series(kspace: KSpace, method: str) -> None:
    """Refuse single frames (``single_frame``)."""
    if kspace.data.ndim == 5 and kspace.data.shape[4] == 1:
        raise SubjectError(
            "single_frame", f"method {method} is for series of frames: the k-space has one frame"
        )


def shared_images(one: Slice, *, reach: int | None = None) -> Tensor:
    """Return the coil-combined images (1, t, x, y) of the k-space with views shared."""
    filled, present = shared_views(one.data, one.mask, reach=reach)
    return one.encoding.with_mask(present).adjoint(filled)


def _singular(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared singular values (z, t), left vectors (z, t, t) of matrices (t, pixel)."""
    flat = images.flatten(2)
    values, vectors = torch.linalg.eigh(flat @ flat.mH)
    return values.clamp(min=0), vectors


def singular_shrunk(images: Tensor, threshold: float) -> Tensor:
    """Return series (z, t, x, y) with their singular values moved towards 0 by `threshold`."""
    squares, vectors = _singular(images)
    sizes = squares.sqrt()
    keep = ((sizes - threshold).clamp(min=0) / sizes.clamp(min=1e-20)).to(vectors.dtype)
    projection = (vectors * keep[:, None]) @ vectors.mH
    return (projection @ images.flatten(2)).unflatten(2, images.shape[2:])


def _frequency_shrunk(images: Tensor, threshold: float) -> Tensor:
    spectrum = torch.fft.fft(images, dim=1, norm="ortho")
    size = spectrum.abs()
    keep = (size - threshold).clamp(min=0) / size.clamp(min=1e-20)
    return torch.fft.ifft(spectrum * keep, dim=1, norm="ortho")
