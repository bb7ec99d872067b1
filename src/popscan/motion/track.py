"""Track the frames of a series: against one of them, and round the cycle from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError
from popscan.register import (
    Warp,
    compose_fields,
    jacobian_determinant,
    register,
    without_uncertainty,
)
from popscan.register.velocities import integrate

Field = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Track:
    """Displacements of the points of one frame, by two estimates that share no registration.

    Attributes
    ----------
    direct_mm, chained_mm : ndarray of float32, shape (t, z, x, y, 2)
        From the reference to every frame: registered with it directly; and by steps from frame to
        frame, forwards and backwards round the cycle, averaged such that the cycle closes.
    closing_mm : ndarray of float32, shape (z, x, y, 2)
        What the steps forwards leave after a whole cycle; 0 for a perfect track.
    reference
        Its frame.
    spacing_mm
        Of the voxels within a slice.
    velocity_samples_mm : ndarray of float32, shape (samples, t - 1, z, i, j, 2), optional
        Where the method says how far off it may be: velocities that are as probable as its model
        says, of the direct registrations of all frames but the reference.
    """

    direct_mm: Field
    chained_mm: Field
    closing_mm: Field
    reference: int
    spacing_mm: tuple[float, float]
    velocity_samples_mm: Field | None = None

    def samples(self) -> Iterator[Field]:
        """Yield probable displacements (t, z, x, y, 2) in mm; none where the method has none.

        A sample belongs to the same random numbers in every frame and slice, so that errors go
        together: independent ones would average out, as those of tracking do not.
        """
        drawn = () if self.velocity_samples_mm is None else self.velocity_samples_mm
        n_frames, *_, axes = shape = self.direct_mm.shape
        others = [t for t in range(n_frames) if t != self.reference]
        for velocity in drawn:
            flat = velocity.reshape(-1, *velocity.shape[2:])
            moved = integrate(flat, shape[2:4], spacing_mm=self.spacing_mm).displacement_mm
            one = np.zeros(shape, np.float32)
            one[others] = moved.reshape(len(others), *shape[1:4], axes)
            yield one


def folds(displacement_mm: ArrayLike, *, spacing_mm: Sequence[float]) -> NDArray[np.bool_]:
    """Return where displacements (..., x, y, 2) do not keep the order of points."""
    field = np.asarray(displacement_mm)
    flat = field.reshape(-1, *field.shape[-3:])
    volume = np.stack([jacobian_determinant(one, spacing_mm=spacing_mm[:2]) for one in flat])
    return np.asarray(volume.reshape(field.shape[:-1]) <= 0)


def track_cycle(
    images: ArrayLike,
    *,
    reference: int,
    spacing_mm: Sequence[float],
    method: str = "demons",
    options: Mapping[str, Any] | None = None,
) -> Track:
    """Track a series over one cycle.

    Parameters
    ----------
    images : array_like, shape (x, y, z, t)
        Finite intensities of about 0 to 1, of one cycle: the first frame follows the last.
    reference
        Frame whose points are tracked.
    spacing_mm
        Voxel distances along x and y (further ones are ignored).
    method, options
        Of `popscan.register.METHODS`; every slice is registered by itself, within its plane.

    Returns
    -------
    Track

    Raises
    ------
    SubjectError
        ``too_few_frames`` for fewer than three, and those of `popscan.register.register`.
    """
    array = np.asarray(images, dtype=np.float32)
    n_frames = array.shape[3]
    if n_frames < 3:
        raise SubjectError("too_few_frames", f"{n_frames} frames: motion needs three or more")
    stack = np.moveaxis(array, (2, 3), (1, 0))  # t, z, x, y
    plane = (float(spacing_mm[0]), float(spacing_mm[1]))
    chosen = dict(options or {})
    others = [t for t in range(n_frames) if t != reference]
    direct = np.zeros((*stack.shape, 2), np.float32)
    fixed = np.broadcast_to(stack[reference], stack[others].shape)
    warp = _registered(fixed, stack[others], plane, method, chosen)
    direct[others] = warp.displacement_mm.reshape(direct[others].shape)
    drawn = warp.velocity_samples_mm
    if drawn is not None:
        apart = drawn.reshape(len(others), stack.shape[1], *drawn.shape[1:])
        drawn = np.asarray(np.moveaxis(apart, 2, 0), dtype=np.float32)
    onwards = _registered(
        stack, np.roll(stack, -1, axis=0), plane, *without_uncertainty(method, chosen)
    )
    steps, back = (
        np.asarray(one.displacement_mm, dtype=np.float32).reshape(*stack.shape, 2)
        for one in (onwards, onwards.inverse())
    )
    forwards = _chain(np.roll(steps, -reference, axis=0), plane)
    backwards = _chain(np.roll(back, -reference, axis=0)[::-1], plane)[::-1]
    share = (np.arange(n_frames + 1) / n_frames).astype(np.float32)[:, None, None, None, None]
    closed = ((1 - share) * forwards + share * backwards)[:n_frames]
    return Track(
        direct_mm=direct,
        chained_mm=np.roll(closed, reference, axis=0),
        closing_mm=forwards[-1],
        reference=reference,
        spacing_mm=plane,
        velocity_samples_mm=drawn,
    )


def _registered(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    spacing_mm: tuple[float, float],
    method: str,
    options: Mapping[str, Any],
) -> Warp:
    """Register all slices of all frames, (t, z, x, y), as one batch of pairs."""
    shape = fixed.shape
    return register(
        fixed.reshape(-1, *shape[2:]),
        moving.reshape(-1, *shape[2:]),
        method=method,
        spacing_mm=spacing_mm,
        **options,
    )


def _chain(steps: Field, spacing_mm: tuple[float, float]) -> Field:
    """Compose steps one after the other: (t, ...) to (t + 1, ...), beginning with no motion."""
    out = np.zeros((len(steps) + 1, *steps.shape[1:]), np.float32)
    for t, step in enumerate(steps):
        for z, one in enumerate(step):
            out[t + 1, z] = compose_fields(out[t, z], one, spacing_mm=spacing_mm)
    return out
