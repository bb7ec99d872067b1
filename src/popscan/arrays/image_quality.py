"""How close an image is to a reference: NRMSE, PSNR, SSIM, HFEN; pure functions of two scans.

A reconstruction's gain is arbitrary (it depends on how the coil maps are scaled), so one factor
per scan is fitted by least squares before anything is compared, unless set otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.metrics import structural_similarity

from popscan.records import Scan, SubjectError

_SSIM_WINDOW = 7
_HFEN_SIGMA_PX = 1.5


def fitted_gain(
    image: ArrayLike, reference: ArrayLike, roi: NDArray[np.bool_] | None = None
) -> float:
    """Return the factor of `image` that brings it nearest to `reference` (least squares).

    NaN if `image` is 0 everywhere in `roi`.
    """
    values, target = _selected(image, reference, roi)
    energy = float(np.vdot(values, values))
    return float(np.vdot(values, target)) / energy if energy > 0 else float("nan")


def nrmse(image: ArrayLike, reference: ArrayLike, roi: NDArray[np.bool_] | None = None) -> float:
    """Return the root mean square error divided by the reference's root mean square.

    0 is perfect, 1 is what an empty image gets; NaN if the reference is 0 everywhere in `roi`.
    """
    values, target = _selected(image, reference, roi)
    energy = float(np.vdot(target, target))
    if energy == 0:
        return float("nan")
    return float(np.sqrt(np.vdot(values - target, values - target) / energy))


def psnr_db(image: ArrayLike, reference: ArrayLike, roi: NDArray[np.bool_] | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB; the peak is the reference's largest value.

    Infinite for equal images, NaN if the reference has no positive value in `roi`.
    """
    values, target = _selected(image, reference, roi)
    peak = float(target.max(initial=0.0))
    if peak <= 0:
        return float("nan")
    mean_square = float(np.mean((values - target) ** 2))
    return float("inf") if mean_square == 0 else float(10 * np.log10(peak**2 / mean_square))


def ssim(image: ArrayLike, reference: ArrayLike, roi: NDArray[np.bool_] | None = None) -> float:
    """Return the mean structural similarity of the slices (Wang et al. 2004).

    Parameters
    ----------
    image, reference : ndarray, shape (x, y) or (x, y, ...)
        Compared slice by slice in x, y with a window of 7; the data range is that of the whole
        reference.
    roi : ndarray of bool, optional
        Broadcastable to the images: average over these pixels only. Windows at its border still
        see the pixels beyond it.

    Returns
    -------
    float
        1 is perfect; NaN for a constant reference, an empty `roi` or slices below 7 x 7.
    """
    x = np.asarray(image, dtype=np.float64)
    y = np.asarray(reference, dtype=np.float64)
    _check_shapes(x, y)
    span = float(y.max() - y.min())
    if span == 0 or min(x.shape[:2]) < _SSIM_WINDOW:
        return float("nan")
    mask = np.ones(x.shape, dtype=bool) if roi is None else np.broadcast_to(roi, x.shape)
    if not mask.any():
        return float("nan")
    flat = (*x.shape[:2], -1)
    total = 0.0
    for a, b, inside in zip(
        np.moveaxis(x.reshape(flat), 2, 0),
        np.moveaxis(y.reshape(flat), 2, 0),
        np.moveaxis(mask.reshape(flat), 2, 0),
        strict=True,
    ):
        if inside.any():
            _, local = structural_similarity(
                a, b, win_size=_SSIM_WINDOW, data_range=span, full=True
            )
            total += float(local[inside].sum())
    return total / int(mask.sum())


def hfen(image: ArrayLike, reference: ArrayLike, roi: NDArray[np.bool_] | None = None) -> float:
    """Return the high-frequency error norm: how much of the edges is lost or added.

    Both images pass a Laplacian of a Gaussian (standard deviation 1.5 pixels) slice by slice, then
    as `nrmse` (Ravishankar and Bresler, IEEE TMI 30:1028-1041, 2011). NaN for a reference without
    edges in `roi`.
    """
    x, y = (np.asarray(a, dtype=np.float64) for a in (image, reference))
    _check_shapes(x, y)
    return nrmse(_edges(x), _edges(y), roi)


def _edges(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Laplacian of a Gaussian over the first two axes alone."""
    sigma = (_HFEN_SIGMA_PX, _HFEN_SIGMA_PX, *(0.0,) * (array.ndim - 2))
    along_x = ndimage.gaussian_filter(array, sigma, order=(2, *(0,) * (array.ndim - 1)))
    along_y = ndimage.gaussian_filter(array, sigma, order=(0, 2, *(0,) * (array.ndim - 2)))
    return np.asarray(along_x + along_y)


def score_image(
    scan: Scan, reference: Scan, *, roi: NDArray[np.bool_] | None = None, fit_gain: bool = True
) -> dict[str, float]:
    """Compare a scan with a reference on the same grid.

    Parameters
    ----------
    scan, reference
        Arrays of shape (x, y, z, t).
    roi : ndarray of bool, shape (x, y, z, t) or broadcastable, optional
        Compare within it only (the organ); by default everywhere.
    fit_gain
        Multiply `scan` by the factor that fits `reference` best before comparing.

    Returns
    -------
    dict
        ``nrmse``, ``psnr_db``, ``ssim``, ``hfen``; NaN where undefined (empty `roi`, empty image).

    Raises
    ------
    SubjectError
        ``shape_mismatch`` if the two differ in shape.
    """
    image = np.asarray(scan.array, dtype=np.float64)
    target = np.asarray(reference.array, dtype=np.float64)
    _check_shapes(image, target)
    if roi is not None and roi.ndim == image.ndim - 1:
        roi = roi[..., np.newaxis]
    if fit_gain:
        gain = fitted_gain(image, target, roi)
        if np.isnan(gain):
            return dict.fromkeys(("nrmse", "psnr_db", "ssim", "hfen"), float("nan"))
        image = image * gain
    return {
        "nrmse": nrmse(image, target, roi),
        "psnr_db": psnr_db(image, target, roi),
        "ssim": ssim(image, target, roi),
        "hfen": hfen(image, target, roi),
    }


def _check_shapes(image: NDArray[np.float64], reference: NDArray[np.float64]) -> None:
    if image.shape != reference.shape:
        raise SubjectError(
            "shape_mismatch",
            f"image of shape {image.shape} cannot be compared with a reference of shape "
            f"{reference.shape}: expected the same grid",
        )


def _selected(
    image: ArrayLike, reference: ArrayLike, roi: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = np.asarray(image, dtype=np.float64)
    y = np.asarray(reference, dtype=np.float64)
    _check_shapes(x, y)
    if roi is None:
        return x.ravel(), y.ravel()
    mask = np.broadcast_to(roi, x.shape)
    return x[mask], y[mask]
