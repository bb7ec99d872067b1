"""Where the tissue of a slice is at other times: the base descends, the planes stay.

Muscle keeps its volume. The wall between the apex and a plane of tissue is therefore as large in
every frame, which says through how much of the stack that plane has moved: no long-axis view is
needed, but the apex must be in the stack, and it is taken to stay.

Bistoquet A, Oshinski J, Skrinjar O. Myocardial deformation recovery from cine MRI using a nearly
incompressible biventricular model. Med Image Anal 2008;12:69-85, doi:10.1016/j.media.2007.10.009.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.labels import Label

Floats = NDArray[np.float64]


def tissue_slices(labels: NDArray[np.uint8], *, reference: int, base_first: bool) -> Floats:
    """Return in which slice the tissue of every slice lies in every frame.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
        `Label` values.
    reference
        Frame in which the tissue lies in its own slice.
    base_first
        Whether slice 0 lies at the base.

    Returns
    -------
    ndarray, shape (t, z)
        Fractional slice numbers; NaN where the tissue has left the stack, and everywhere if the
        last slice at the apex still has a cavity in the reference frame.
    """
    areas = np.count_nonzero(labels == Label.MYO, axis=(0, 1)).astype(np.float64)
    cavity = (labels[..., reference] == Label.LV).any(axis=(0, 1))
    if base_first:
        areas, cavity = areas[::-1], cavity[::-1]
    # From here on slices count from the apex; edges lie half a slice before and behind each.
    n_slices, n_frames = areas.shape
    if cavity[0]:
        return np.full((n_frames, n_slices), np.nan)
    edges = np.arange(n_slices + 1) - 0.5
    below = np.concatenate([np.zeros((1, n_frames)), np.cumsum(areas, axis=0)])
    amount = below[:-1, reference] + areas[:, reference] / 2
    out = np.full((n_frames, n_slices), np.nan)
    for t in range(n_frames):
        rises = np.diff(below[:, t]) > 0
        rising = np.flatnonzero(np.append(rises, False) | np.insert(rises, 0, False))
        inside = (areas[:, reference] > 0) & (amount <= below[-1, t])
        out[t, inside] = np.interp(amount[inside], below[rising, t], edges[rising])
    return n_slices - 1 - out[:, ::-1] if base_first else out
