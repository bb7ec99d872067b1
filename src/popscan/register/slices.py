"""Stacks registered slice by slice, without motion through the plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.register.warp import Warp


def to_slices(stacks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return stacks (n, ..., x, y, z) as slices (n z, ..., x, y)."""
    slices = np.moveaxis(stacks, -1, 1)
    return np.ascontiguousarray(slices.reshape(-1, *slices.shape[2:]))


def of_slices(warp: Warp, n_stacks: int, slice_distance_mm: float) -> Warp:
    """Join the transforms of slices, (n z, x, y, 2), to those of stacks, (n, x, y, z, 3).

    The third component is 0; matrices of rigid and affine methods are dropped, for slices have
    each their own.
    """

    def joined(field: NDArray[np.floating] | None) -> NDArray[np.floating] | None:
        if field is None:
            return None
        stacks = np.moveaxis(field.reshape(n_stacks, -1, *field.shape[1:]), 1, -2)
        return np.concatenate([stacks, np.zeros_like(stacks[..., :1])], axis=-1)

    def joined_samples(fields: NDArray[np.floating] | None) -> NDArray[np.floating] | None:
        if fields is None:
            return None
        parts = [joined(part) for part in np.moveaxis(fields, 1, 0)]
        return np.stack([part for part in parts if part is not None], axis=1)

    displacement = joined(warp.displacement_mm)
    assert displacement is not None
    return Warp(
        displacement_mm=displacement,
        inverse_mm=joined(warp.inverse_mm),
        velocity_mm=joined(warp.velocity_mm),
        sd_mm=joined(warp.sd_mm),
        velocity_samples_mm=joined_samples(warp.velocity_samples_mm),
        spacing_mm=(*warp.spacing_mm, slice_distance_mm),
    )
