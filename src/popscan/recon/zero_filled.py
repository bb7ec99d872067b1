"""Zero-filled reconstruction: what was not acquired counts as 0."""

from __future__ import annotations

import numpy as np

from popscan.arrays.fourier import centred_ifft
from popscan.recon.acquired import acquired, as_scan
from popscan.records import KSpace, Scan


def zero_filled(kspace: KSpace) -> Scan:
    """Transform each coil and combine the coils as the root of their sum of squares.

    The baseline of every other method: it aliases as soon as lines are missing.

    Parameters
    ----------
    kspace
        What was acquired.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t).

    Raises
    ------
    SubjectError
        For a k-space that cannot be used, see `popscan.recon.acquired.acquired`.
    """
    used = acquired(kspace)
    _, n_x, n_y, n_z, n_t = used.data.shape
    magnitude = np.empty((n_x, n_y, n_z, n_t), dtype=np.float32)
    for z in range(n_z):
        coils = centred_ifft(used.data[:, :, :, z], axes=(1, 2))
        magnitude[:, :, z] = np.sqrt(np.sum(coils.real**2 + coils.imag**2, axis=0))
    return as_scan(kspace, magnitude, used, {"method": "zero_filled"})
