"""Golden-angle spokes as a scanner collects them, taken from fully sampled k-space.

Winkelmann S, Schaeffter T, Koehler T, Eggers H, Doessel O. An optimal radial profile order based on
the golden ratio for time-resolved MRI. IEEE Trans Med Imaging 26:68-76, 2007.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.fourier import centred_ifft
from popscan.recon.nufft import Nufft
from popscan.records import KSpace, SubjectError

#: Angle between consecutive spokes, radians (111.2 degrees).
GOLDEN_ANGLE = np.pi * (np.sqrt(5.0) - 1.0) / 2.0


def spoke_angles(
    n_spokes: int, phases: NDArray[np.integer], *, n_phases: int, per_beat: int
) -> NDArray[np.float64]:
    """Return the angle of each phase's spokes, in the order in which they are collected.

    Spokes follow each other by the golden angle through all beats; every beat gives each phase the
    next `per_beat` of them.

    Parameters
    ----------
    n_spokes
        Spokes of each phase.
    phases
        Numbers of the phases wanted, from 0, below `n_phases`.
    n_phases
        Phases into which a beat is divided.
    per_beat
        Spokes that a phase gets of every beat.

    Returns
    -------
    ndarray, shape (n_spokes, phase)
        Radians, not reduced to a turn.
    """
    beat, within = np.divmod(np.arange(n_spokes), per_beat)
    first = beat[:, np.newaxis] * n_phases + np.asarray(phases)[np.newaxis]
    return (first * per_beat + within[:, np.newaxis]) * GOLDEN_ANGLE


def golden_angle_kspace(
    full: KSpace,
    *,
    n_spokes: int,
    n_phases: int = 25,
    per_beat: int = 13,
    noise: float = 0.0,
    seed: int = 0,
) -> KSpace:
    """Collect radial golden-angle k-space of what fully sampled k-space shows.

    Parameters
    ----------
    full
        Every line of every frame was acquired; pixels are square.
    n_spokes
        Spokes of each frame; the first ones do not change where there are more.
    n_phases, per_beat
        As in `spoke_angles`. The frames of `full` are taken as phases spread evenly over the beat.
    noise
        Standard deviation that is added to the real and the imaginary part of each sample.
    seed
        Of the noise.

    Raises
    ------
    SubjectError
        ``not_fully_sampled`` where lines are missing, ``bad_kspace_shape`` for more frames than
        phases.
    """
    n_coils, n_x, n_y, n_z, n_t = full.data.shape
    if full.trajectory is not None or not full.mask.all():
        raise SubjectError("not_fully_sampled", "spokes are taken from fully sampled k-space only")
    if n_t > n_phases:
        raise SubjectError(
            "bad_kspace_shape", f"{n_t} frames; at most {n_phases}, as phases, are expected"
        )
    phases = np.arange(n_t) * n_phases // n_t
    angles = spoke_angles(n_spokes, phases, n_phases=n_phases, per_beat=per_beat)
    width = max(n_x, n_y)
    along = (np.arange(width) - width // 2) / width
    directions = np.stack([np.cos(angles), np.sin(angles)])
    points = (along[:, np.newaxis, np.newaxis] * directions[:, np.newaxis]).astype(np.float32)
    data = np.zeros((n_coils, width, n_spokes, n_z, n_t), dtype=np.complex64)
    for t in range(n_t):
        transform = Nufft(points[..., t].reshape(2, -1), (n_x, n_y))
        for z in range(n_z):
            images = centred_ifft(full.data[..., z, t], axes=(1, 2))
            data[..., z, t] = transform.apply(images).reshape(n_coils, width, n_spokes)
    if noise:
        # Spoke after spoke, so that the first ones stay as they are where there are more.
        rng = np.random.default_rng(seed)
        shape = (n_coils, width, n_z, n_t, 2)
        for spoke in range(n_spokes):
            white = rng.standard_normal(shape, dtype=np.float32).view(np.complex64)[..., 0]
            data[:, :, spoke] += np.float32(noise) * white
    trajectory = np.broadcast_to(points[:, :, :, np.newaxis], (2, width, n_spokes, n_z, n_t))
    return replace(
        full, data=data, mask=np.ones((n_spokes, n_t), dtype=bool),
        trajectory=np.ascontiguousarray(trajectory), matrix=(n_x, n_y),
        meta={**full.meta, "simulated_phases": n_phases},
    )  # fmt: skip


def first_spokes(kspace: KSpace, n_spokes: int) -> KSpace:
    """Return what the first spokes of every frame hold: a shorter scan.

    Parameters
    ----------
    kspace
        Off the grid, spokes in the order in which they were collected.
    n_spokes
        At least 1 and at most as many as there are.

    Raises
    ------
    SubjectError
        ``bad_trajectory`` without a trajectory, ``too_few_lines`` for a number out of range.
    """
    if kspace.trajectory is None:
        raise SubjectError("bad_trajectory", "spokes are counted in k-space with a trajectory only")
    there = kspace.mask.shape[0]
    if not 1 <= n_spokes <= there:
        raise SubjectError("too_few_lines", f"{n_spokes} spokes of {there}: 1 to {there} expected")
    return replace(
        kspace, data=kspace.data[:, :, :n_spokes], mask=kspace.mask[:n_spokes],
        trajectory=kspace.trajectory[:, :, :n_spokes],
    )  # fmt: skip
