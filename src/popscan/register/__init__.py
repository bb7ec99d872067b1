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

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan import methods
from popscan.records import PopscanError, SubjectError
from popscan.register.demons import register_demons
from popscan.register.fields import (
    compose_fields,
    invert_field,
    jacobian_determinant,
    warp_image,
    warp_labels,
    warp_sharply,
    warper,
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
    "linear": "popscan.register.linear:linear",
    "demons": "popscan.register.classic:demons",
    "ffd": "popscan.register.classic:ffd",
    "svf": "popscan.register.svf:svf",
    "bayesian": "popscan.register.bayesian:bayesian",
    "voxelmorph": "popscan.register.learned:voxelmorph",
    "gradirn": "popscan.register.learned:gradirn",
    "vr_net": "popscan.register.learned:vr_net",
    "biomechanics": "popscan.register.biomechanics:biomechanics",
}

#: Methods that need a model, trained on images.
LEARNED = ("voxelmorph", "gradirn", "vr_net")
#: All methods that need a model.
MODELLED = (*LEARNED, "biomechanics")


def models_of(method: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return what a result of a method depends on beside its options: the model's digest."""
    if method not in MODELLED:
        return {}
    from popscan.register.learned import model_digest

    return {"model_digest": model_digest(str(options.get("model", "")))}


def without_uncertainty(method: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the method and options that give nearly the same transforms, and no uncertainty.

    For results of which only the transform is used: it is many times as fast.
    """
    if method != "bayesian":
        return method, dict(options)
    known = inspect.signature(methods.resolve(METHODS, "svf", "register")).parameters
    return "svf", {name: value for name, value in options.items() if name in known}


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
        For an unknown method or option, one that is out of range, or labels for a method that takes
        none.
    SubjectError
        ``bad_spacing``, ``bad_shape``, ``shape_mismatch``, ``non_finite_image``, ``bad_image``,
        ``registration_failed``.
    """
    function = methods.resolve(METHODS, method, "register")
    chosen = {name: value for name, value in options.items() if name not in RESERVED}
    methods.check_options(function, chosen, reserved=RESERVED)
    _check_values(method, function, options)
    pairs = check_pairs(
        fixed,
        moving,
        spacing_mm=spacing_mm,
        moving_spacing_mm=moving_spacing_mm,
        least_voxels=(2, 2, 1) if in_plane else None,
    )
    if not in_plane or len(pairs.spacing_mm) == 2:
        return _run(
            method,
            function,
            pairs.fixed,
            moving=pairs.moving,
            spacing_mm=pairs.spacing_mm,
            options=options,
        )
    options |= {
        name: to_slices(np.asarray(options[name], dtype=np.float32))
        for name in ("fixed_labels", "moving_labels", "stiffness")
        if options.get(name) is not None and np.ndim(options[name]) > 1
    }
    slices = _run(
        method,
        function,
        to_slices(pairs.fixed),
        moving=to_slices(pairs.moving),
        spacing_mm=pairs.spacing_mm[:2],
        options=options,
    )
    return of_slices(slices, len(pairs.fixed), pairs.spacing_mm[2])


def _check_values(method: str, function: Callable[..., Warp], options: Mapping[str, Any]) -> None:
    """Refuse labels that a method would not see, and lengths and factors that are none."""
    for name in ("fixed_labels", "moving_labels"):
        if options.get(name) is not None and name not in inspect.signature(function).parameters:
            raise PopscanError(f"method {method}: there is no use of {name}; svf takes labels")
    for name, value in options.items():
        if not name.endswith(("_mm", "_factors")) or name == "spacing_mm":
            continue
        least = 0.0 if name == "smoothing_mm" else 1.0 if name.endswith("_factors") else 1e-3
        if not np.all(np.asarray(value, dtype=np.float64) >= least):
            raise PopscanError(
                f"method {method}: option {name!r} is {value!r}: expected {least:g} or more"
            )


def _run(
    method: str,
    function: Callable[..., Warp],
    fixed: NDArray[np.float32],
    *,
    moving: NDArray[np.float32],
    spacing_mm: Sequence[float],
    options: Mapping[str, Any],
) -> Warp:
    try:
        return function(fixed, moving, spacing_mm=tuple(spacing_mm), **options)
    except RuntimeError as error:
        if "SimpleITK" not in str(error):
            raise  # torch's own, of a GPU perhaps: no subject's fault
        # No mass, too few voxels for its filters.
        reason = " ".join(str(error).split())[-200:]
        raise SubjectError(
            "registration_failed",
            f"method {method} cannot register images of {fixed.shape[1:]} voxels: {reason}",
        ) from error


__all__ = [
    "LEARNED",
    "METHODS",
    "MODELLED",
    "RESERVED",
    "Frame",
    "Warp",
    "check_frame",
    "check_pairs",
    "compose_fields",
    "frame_to_frame",
    "invert_field",
    "jacobian_determinant",
    "models_of",
    "register",
    "register_demons",
    "register_rigid",
    "resample_affine",
    "warp_image",
    "warp_labels",
    "warp_sharply",
    "warper",
    "without_uncertainty",
]
