"""Receive coils: complex sensitivities of loops around the torso, and their correlated noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.simulate.torso import Torso


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

    The field of a loop on and near its axis, ``(3 (n.d) d - n) / (|d|^2 + a^2)^(3/2)`` with the
    loop's radius ``a`` keeping it finite at the loop itself, received in the plane transverse to
    the main field (feet to head): ``Bx - i By``. By reciprocity (Hoult and Richards 1976) this is
    the complex sensitivity. Scaled so that the root sum of squares is 1 at the heart's centre.

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
    centres, normals = loop_layout(torso, coils=coils)

    def field(points: NDArray) -> NDArray[np.complex64]:
        out = np.empty((coils, *points.shape[:-1]), np.complex64)
        for c in range(coils):
            offset = (points - centres[c]).astype(np.float32)
            far2 = np.sum(offset * offset, axis=-1) + np.float32(loop_radius_mm**2)
            along = offset @ normals[c].astype(np.float32)
            bx = 3 * along * offset[..., 0] / far2 - np.float32(normals[c, 0])
            by = 3 * along * offset[..., 1] / far2 - np.float32(normals[c, 1])
            out[c] = (bx - 1j * by) / far2**1.5
        return out

    at_heart = field(np.asarray(torso.heart_mm, float)[None])
    scale = float(np.sqrt(np.sum(np.abs(at_heart) ** 2)))
    return (field(points_mm) / np.float32(scale)).astype(np.complex64)


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
