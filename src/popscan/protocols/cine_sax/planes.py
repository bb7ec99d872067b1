"""How planes of a cine exam lie to the heart: angles about its axis, and where it beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def angle_between_planes_deg(first: ArrayLike, second: ArrayLike) -> float:
    """Angle between two planes (or axes) given by unit vectors whose sign means nothing."""
    cosine = abs(float(np.dot(np.asarray(first, dtype=float), np.asarray(second, dtype=float))))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


def angle_about_axis_deg(normal: ArrayLike, axis: ArrayLike) -> float:
    """Angle in [0, 180) of the line in which a plane cuts the planes across an axis.

    Parameters
    ----------
    normal : array_like, shape (3,)
        Unit normal of a plane that holds the axis, about; its sign means nothing. LPS.
    axis : array_like, shape (3,)
        Unit vector, e.g. of the left ventricle from base to apex. LPS.

    Returns
    -------
    float
        0 toward the patient's left, 90 toward anterior and superior.
    """
    axis = np.asarray(axis, dtype=float)
    left = np.array([1.0, 0.0, 0.0])
    first = left - (left @ axis) * axis
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    line = np.cross(axis, np.asarray(normal, dtype=float))
    return float(np.degrees(np.arctan2(line @ second, line @ first)) % 180.0)


def circular_distance_deg(first: float, second: float, *, period: float = 180.0) -> float:
    """Distance of two angles modulo `period`."""
    difference = abs(first - second) % period
    return min(difference, period - difference)


def beat_amplitude(array: NDArray[Any]) -> Floats:
    """How much each voxel changes once per heart beat.

    Parameters
    ----------
    array : ndarray, shape (..., t)
        A cine; with fewer than 3 frames the result is 0 everywhere.

    Returns
    -------
    ndarray, shape (...)
        Magnitude of the first harmonic over time.

    References
    ----------
    Lin et al., Automated detection of left ventricle in 4D MR images, MICCAI 2006.
    """
    n_frames = array.shape[-1]
    if n_frames < 3:
        return np.zeros(array.shape[:-1])
    wave = np.exp(-2j * np.pi * np.arange(n_frames) / n_frames)
    return np.abs(array.astype(np.float32, copy=False) @ wave.astype(np.complex64)).astype(float)


def heart_centre_mm(array: NDArray[Any], affine: ArrayLike, *, share: float = 0.01) -> Floats:
    """Centre in RAS of what beats in a stack: the most beating voxels of each slice, averaged.

    Parameters
    ----------
    array : ndarray, shape (x, y, z, t)
        A short-axis cine.
    affine : array_like, shape (4, 4)
        Voxel -> RAS.
    share
        Fraction of each slice's voxels that counts.

    Returns
    -------
    ndarray, shape (3,)
        NaN if nothing beats.
    """
    amplitude = beat_amplitude(array)
    floor = np.quantile(amplitude, 1 - share, axis=(0, 1), keepdims=True)
    weight = np.where(amplitude >= floor, amplitude, 0.0)
    total = float(weight.sum())
    if not total > 0:
        return np.full(3, np.nan)
    axes: Sequence[NDArray[np.intp]] = [np.arange(n) for n in weight.shape]
    centre = [
        float(np.sum(weight.sum(axis=tuple(a for a in range(3) if a != axis)) * index) / total)
        for axis, index in enumerate(axes)
    ]
    return (np.asarray(affine, dtype=float) @ np.array([*centre, 1.0]))[:3]
