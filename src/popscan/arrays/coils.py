"""Receive coils and phase for images that come without: simulated, smooth, seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ring_maps(
    shape: tuple[int, int],
    *,
    coils: int,
    rng: np.random.Generator,
    distance: tuple[float, float] = (1.2, 1.8),
) -> NDArray[np.complex64]:
    """Return the sensitivities of coils on a ring around the field of view.

    The field of each falls off with the distance and turns its phase around it, as that of a long
    wire does (birdcage model).

    Parameters
    ----------
    shape
        Grid (x, y).
    coils
        How many; their places on the ring are drawn.
    rng
        Source of the places and of the common phase of each coil.
    distance
        Range of the distance of the coils from the centre, in halves of the field of view.

    Returns
    -------
    ndarray of complex64, shape (coil, x, y)
        Squares add up to 1 at each pixel; one coil is 1 everywhere.
    """
    if coils == 1:
        return np.ones((1, *shape), np.complex64)
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    angles = 2 * np.pi * (np.arange(coils) + rng.uniform(-0.2, 0.2, coils) + rng.random()) / coils
    radius = rng.uniform(*distance, size=coils)
    at_x = (radius * np.cos(angles)).astype(np.float32)[:, None, None]
    at_y = (radius * np.sin(angles)).astype(np.float32)[:, None, None]
    apart_x, apart_y = x[None, :, None] - at_x, y[None, None, :] - at_y
    turn = rng.uniform(0, 2 * np.pi, coils).astype(np.float32)[:, None, None]
    # 1 / r with the phase of the angle around the wire.
    field = (apart_x - 1j * apart_y) / (apart_x**2 + apart_y**2) * np.exp(1j * turn)
    return (field / np.sqrt(np.sum(np.abs(field) ** 2, axis=0))).astype(np.complex64)


def smooth_phase(
    shape: tuple[int, int], *, rng: np.random.Generator, strength_rad: float = 2.0
) -> NDArray[np.complex64]:
    """Return a smooth background phase of unit magnitude.

    Parameters
    ----------
    shape
        Grid (x, y).
    rng
        Source of its coefficients.
    strength_rad
        Standard deviation of the coefficients of a polynomial of third order over the field of
        view, in radians.

    Returns
    -------
    ndarray of complex64, shape (x, y)
    """
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    powers = np.arange(4)
    weights = rng.normal(0, strength_rad, (4, 4)) / (1 + powers[:, None] + powers)
    weights[powers[:, None] + powers > 3] = 0
    angle = np.polynomial.polynomial.polygrid2d(x, y, weights)
    angle = angle + rng.uniform(0, 2 * np.pi)
    return np.exp(1j * angle).astype(np.complex64)
