"""Registration toolkit: arrays in, arrays out, on SimpleITK.

Images have shape (x, y, z); points are in millimetres from the centre of voxel 0, along the array
axes (index times spacing). Transforms pull back: they map a point of the fixed image to the point
of the moving image that shows the same anatomy, as resampling needs it. Affine ones are 4 x 4
matrices, free ones displacement fields of shape (x, y, z, 3) in mm: ``T(p) = p + field(p)``.

All filters run on one thread: the same input gives the same bytes, and a shard's job uses no more
than the core it asked for.

`register` runs any method of `METHODS` on a batch of pairs and returns a `Warp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from popscan import methods
from popscan.register.demons import register_demons
from popscan.register.fields import (
    compose_fields,
    invert_field,
    jacobian_determinant,
    warp_image,
    warp_labels,
)
from popscan.register.frames import Frame, check_frame, frame_to_frame
from popscan.register.pairs import check_pairs
from popscan.register.rigid import register_rigid, resample_affine
from popscan.register.slices import of_slices, to_slices
from popscan.register.warp import Warp

#: Method name -> function; strings, so that a method's imports load only once it is chosen.
#: Each takes ``(fixed, moving, *, spacing_mm, ...)``, images of shape (n, x, y) or (n, x, y, z),
#: one pair per entry of the first axis and one spacing per other axis, and returns a `Warp` of n
#: transforms. What cannot be registered is a `SubjectError`, as `check_pairs` says.
METHODS = {
    "rigid": "popscan.register.classic:rigid",
    "affine": "popscan.register.classic:affine",
    "demons": "popscan.register.classic:demons",
    "ffd": "popscan.register.classic:ffd",
    "svf": "popscan.register.svf:svf",
}
#: Keyword arguments of methods that are no options of a config.
RESERVED = methods.RESERVED | {"spacing_mm", "fixed_labels", "moving_labels"}


def register(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    method: str,
    spacing_mm: Sequence[float],
    moving_spacing_mm: Sequence[float] | None = None,
    in_plane: bool = False,
    **options: Any,
) -> Warp:
    """Register moving images to fixed ones by a method of `METHODS`.

    Parameters
    ----------
    fixed, moving : array_like, shape (n, x, y) or (n, x, y, z)
        One pair per entry of the first axis.
    method
        Its name.
    spacing_mm, moving_spacing_mm
        Voxel distances, one per axis; those of `moving` must be the same.
    in_plane
        Register the slices of stacks (n, x, y, z) each on its own: nothing moves through the
        plane. One slice is enough.
    options
        The method's own; also ``fixed_labels``, ``moving_labels`` where it takes labels.

    Returns
    -------
    Warp
        One transform per pair.

    Raises
    ------
    PopscanError
        For an unknown method or option.
    SubjectError
        ``bad_spacing``, ``bad_shape``, ``shape_mismatch``, ``non_finite_image``.
    """
    function = methods.resolve(METHODS, method, "register")
    chosen = {name: value for name, value in options.items() if name not in RESERVED}
    methods.check_options(function, chosen, reserved=RESERVED)
    pairs = check_pairs(
        fixed,
        moving,
        spacing_mm=spacing_mm,
        moving_spacing_mm=moving_spacing_mm,
        least_voxels=(2, 2, 1) if in_plane else None,
    )
    if not in_plane or len(pairs.spacing_mm) == 2:
        warp: Warp = function(pairs.fixed, pairs.moving, spacing_mm=pairs.spacing_mm, **options)
        return warp
    options |= {
        name: to_slices(np.asarray(options[name], dtype=np.float32))
        for name in ("fixed_labels", "moving_labels")
        if options.get(name) is not None
    }
    slices: Warp = function(
        to_slices(pairs.fixed), to_slices(pairs.moving), spacing_mm=pairs.spacing_mm[:2], **options
    )
    return of_slices(slices, len(pairs.fixed), pairs.spacing_mm[2])


__all__ = [
    "METHODS",
    "RESERVED",
    "Frame",
    "Warp",
    "check_frame",
    "check_pairs",
    "compose_fields",
    "frame_to_frame",
    "invert_field",
    "jacobian_determinant",
    "register",
    "register_demons",
    "register_rigid",
    "resample_affine",
    "warp_image",
    "warp_labels",
]
