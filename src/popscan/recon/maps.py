"""Coil maps of a slice, by either way of estimating them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from popscan.recon import coils
from popscan.recon.espirit import espirit_maps

MapMethod = Literal["espirit", "walsh"]


def coil_maps(
    average: NDArray[np.complex64],
    *,
    method: MapMethod,
    width: int,
    support_threshold: float = 0.0,
) -> tuple[NDArray[np.complex64], tuple[int, int]]:
    """Return the coil maps of a slice (coil, x, y) and the size of the centre they come from."""
    images, block = coils.low_resolution_images(average, width=width)
    if method == "walsh":
        found = coils.walsh_maps(images)
    else:
        found, _ = espirit_maps(coils.centre_of(average, block), average.shape[1:])
    if support_threshold > 0:
        found = found * coils.support(images, threshold=support_threshold)
    return found, block
