"""How much of the volumes at end-diastole and end-systole is expected beyond the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from popscan.columns import Column
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.volumes import find_phases

if TYPE_CHECKING:  # networks are not needed to say what the columns mean
    from popscan.segment.samples import Tally

#: Chambers whose volumes are looked at.
CHAMBERS = (Label.LV, Label.RV)
PHASES = ("ed", "es")


def column(label: Label, phase: str) -> str:
    """Return the name of a column.

    Examples
    --------
    >>> column(Label.RV, "es")
    'rvesv_missed_pct'
    """
    return f"{STRUCTURES[label]}{phase}v_missed_pct"


#: Columns that `missed_volumes` returns.
DICTIONARY: Mapping[str, Column] = {
    column(label, phase): Column(
        "%",
        f"share of the {STRUCTURES[label].upper()}'s voxels at {phase.upper()} that the network "
        "expects outside of what is labelled so, of those that are",
    )
    for label in CHAMBERS
    for phase in PHASES
}


def missed_volumes(
    tally: Tally, labels: NDArray[np.uint8], *, frame_labels: Sequence[str] | None = None
) -> dict[str, float]:
    """Return how much of each chamber the network expects outside of its labels, at ED and ES.

    The sum of a chamber's probability over the voxels with another label, divided by the voxels
    with the chamber's own: a whole slice that is left out in doubt counts as well as a border.

    Parameters
    ----------
    tally
        Of the segmentation, per slice.
    labels
        Labels (x, y, z, t).
    frame_labels
        Names of the frames, where ED and ES are named.

    Returns
    -------
    dict
        Percent by `column`; NaN without the phase, or without a labelled voxel in it.
    """
    curve = np.count_nonzero(labels == Label.LV, axis=(0, 1, 2)).astype(float)
    found = find_phases(np.where(curve > 0, curve, np.nan), frame_labels=frame_labels)
    frames = tally.by_frame(labels.shape[2]).expected
    values = dict.fromkeys(DICTIONARY, math.nan)
    for phase, t in zip(PHASES, found, strict=True):
        for label in CHAMBERS if t is not None else ():
            own, everywhere = frames[t][label].sum(), frames[t][:, label].sum()
            outside = everywhere - frames[t][label, label]
            values[column(label, phase)] = float(100.0 * outside / own) if own > 0 else math.nan
    return values
