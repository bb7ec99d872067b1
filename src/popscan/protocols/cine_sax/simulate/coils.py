"""Receive coils: complex sensitivities of loops around the torso, and their correlated noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.simulate.torso import Torso

#: Straight pieces of a loop in the Biot-Savart sum.
_PIECES = 10

#: The body for which noise levels are stated: of average size, its heart in its usual place.
REFERENCE_TORSO = Torso(
    half_width_mm=158.0, half_depth_mm=108.0, fat_mm=11.0, wall_mm=17.0, heart_mm=(-32.0, 40.0, 0.0)
)


def loop_layout(
    torso: Torso, *, coils: int, gap_mm: float = 22.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place loops in rings around the torso.

    Parameters
    ----------
    torso
        The body they lie on: thicker fat puts them further from the heart.
    coils
        Number of loops, at least 1.
    gap_mm
        Distance from the skin to the loop's plane.

    Returns
    -------
    centres, normals : ndarrays, shape (coils, 3)
        RAS millimetres about the torso's axis, and inward unit normals.
    """
    rings = 1 if coils < 4 else 2
    turn = np.arange(coils) // rings * (2 * np.pi / max(-(-coils // rings), 1))
    ring = np.arange(coils) % rings
    # More of them in front on the left, where the heart is; the second ring is turned by half.
    angle = turn + np.pi / 2 + 0.35 + ring * np.pi / max(coils // rings, 1)
    a, b = torso.half_width_mm + gap_mm, torso.half_depth_mm + gap_mm
    height = torso.heart_mm[2] + np.where(rings == 1, 0.0, np.where(ring == 0, 55.0, -55.0))
    centres = np.stack([a * np.cos(angle), b * np.sin(angle), height], axis=1)
    inward = np.stack([-np.cos(angle) / a, -np.sin(angle) / b, np.zeros(coils)], axis=1)
    return centres, inward / np.linalg.norm(inward, axis=1, keepdims=True)


def coil_maps(
    torso: Torso,
    points_mm: NDArray[np.floating],
    *,
    coils: int,
    loop_radius_mm: float = 75.0,
) -> NDArray[np.complex64]:
    """Sensitivity of each loop at points of the patient.

    The field of a current in each loop (Biot-Savart, the loop as a polygon), received in the
    plane transverse to the main field (feet to head): ``Bx - i By``. By reciprocity (Hoult and
    Richards, 1976) this is the complex sensitivity. Scaled so that the root sum of
    squares is 1 at the heart of `REFERENCE_TORSO`: in a larger body, or under more fat, the heart
    gives less signal.

    Parameters
    ----------
    torso
        Where the loops lie.
    points_mm : ndarray, shape (..., 3)
        RAS millimetres.
    coils, loop_radius_mm
        Number and radius of the loops.

    Returns
    -------
    ndarray of complex64, shape (coils, ...)
        Sensitivities.
    """
    middle = np.asarray(REFERENCE_TORSO.heart_mm, float)[None]
    there = _fields(REFERENCE_TORSO, middle, coils, loop_radius_mm)
    scale = np.sqrt(np.sum(np.abs(there) ** 2))
    return (_fields(torso, points_mm, coils, loop_radius_mm) / np.float32(scale)).astype("c8")


def _fields(
    torso: Torso, points: NDArray[np.floating], coils: int, loop_radius_mm: float
) -> NDArray[np.complex64]:
    """Sum the Biot-Savart law over the pieces of each loop; arbitrary common scale."""
    centres, normals = loop_layout(torso, coils=coils)
    angle = (np.arange(_PIECES) + 0.5) * 2 * np.pi / _PIECES
    place = np.ascontiguousarray(points, np.float32).reshape(-1, 3) / np.float32(100)
    length2 = np.sum(place * place, axis=1, keepdims=True)
    out = np.empty((coils, len(place)), np.complex64)
    for c, normal in enumerate(normals):
        across = np.array([-normal[1], normal[0], 0.0])
        up = np.array([0.0, 0.0, 1.0])
        round_ = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * up
        along = np.cos(angle)[:, None] * up - np.sin(angle)[:, None] * across
        at = ((centres[c] + loop_radius_mm * round_) / 100).astype(np.float32)
        step = along.astype(np.float32)
        apart2 = length2 - 2 * place @ at.T + np.sum(at * at, axis=1)
        weight = np.maximum(apart2, np.float32(0.02)) ** np.float32(-1.5)
        # x and y of step x (place - at), which are linear in the place.
        bx = place[:, 2:] * step[:, 1] - place[:, 1:2] * step[:, 2]
        bx += at[:, 1] * step[:, 2] - at[:, 2] * step[:, 1]
        by = place[:, :1] * step[:, 2] - place[:, 2:] * step[:, 0]
        by += at[:, 2] * step[:, 0] - at[:, 0] * step[:, 2]
        out[c] = np.sum(bx * weight, axis=1) - 1j * np.sum(by * weight, axis=1)
    return out.reshape(coils, *points.shape[:-1])


def noise_mixing(torso: Torso, *, coils: int, coupling: float = 0.25) -> NDArray[np.complex64]:
    """Cholesky factor of the coils' noise correlation (neighbours share noise).

    Parameters
    ----------
    torso, coils
        The layout, as in `coil_maps`.
    coupling
        Correlation of two loops at the same place; it falls off over 120 mm.

    Returns
    -------
    ndarray of complex64, shape (coils, coils)
        Lower-triangular ``L`` with unit-power rows; ``L @ white`` has the coils' correlation.
    """
    centres, _ = loop_layout(torso, coils=coils)
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    correlation = coupling * np.exp(-((apart / 120.0) ** 2))
    np.fill_diagonal(correlation, 1.0)
    return np.linalg.cholesky(correlation).astype(np.complex64)
