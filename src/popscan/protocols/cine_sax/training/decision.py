"""Where a network should decide between cavity and wall, so that volumes are right on average.

Overlap is what networks are trained for; the border that is best for it need not be the one whose
volumes are unbiased. Here log-odds are added to the score of the left ventricle's cavity before the
most likely label is taken (a change of the prior: Saerens et al., Neural Computation 2002;
Menon et al., ICLR 2021). One number moves the border between cavity and wall alone: what the
cavity gains the wall loses. It is a network's own: others lean otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from popscan.protocols.cine_sax.labels import STRUCTURES, Label

Floats = NDArray[np.float64]

#: Structure that the log-odds are added to.
STRUCTURE = STRUCTURES[Label.LV]
#: Log-odds that are tried.
GRID = tuple(np.round(np.arange(-0.5, 1.01, 0.1), 1).tolist())


def cavity_errors(probabilities: torch.Tensor, truth: NDArray[np.uint8]) -> Floats:
    """Return the relative error of the cavity's volume at every entry of `GRID`.

    Parameters
    ----------
    probabilities
        Of every slice on the scan's grid, (t * z, label, x, y), without temperature or offset.
    truth
        Labels (x, y, z, t).

    Returns
    -------
    The mean over the frames that have a cavity in truth; NaN where none has.
    """
    lv, n_frames = int(Label.LV), truth.shape[3]
    p = probabilities.float().clamp_min(1e-7)
    others = torch.cat([p[:, :lv], p[:, lv + 1 :]], dim=1).amax(dim=1)
    needed = (others / p[:, lv]).log_().reshape(n_frames, -1).numpy()
    true = (truth == lv).sum(axis=(0, 1, 2)).astype(float)
    found = np.array([np.count_nonzero(needed < offset, axis=1) for offset in GRID], dtype=float)
    known = true > 0
    if not known.any():
        return np.full(len(GRID), np.nan)
    return np.asarray((found[:, known] / true[known] - 1.0).mean(axis=1))


def unbiased_offset(errors: Sequence[ArrayLike]) -> float:
    """Return the log-odds at which the mean error over patients is 0, within `GRID`.

    Parameters
    ----------
    errors
        Of each patient, as `cavity_errors` gives them. Patients with NaN are left out; without any
        the offset is 0.

    Examples
    --------
    >>> unbiased_offset([np.array(GRID) - 0.25])
    0.25
    """
    table = np.array([np.asarray(e, dtype=float) for e in errors]).reshape(-1, len(GRID))
    table = table[np.isfinite(table).all(axis=1)]
    if not len(table):
        return 0.0
    # A volume never falls as its log-odds rise, so the mean does not either.
    return round(float(np.interp(0.0, table.mean(axis=0), GRID)), 3)
