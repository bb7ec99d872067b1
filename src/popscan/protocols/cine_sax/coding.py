"""How label files of others are coded, where they hold the same structures in other codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.label_codes import (
    codes_by_anatomy,
    codes_in,
    coding_text,
    own_codes_fit,
)
from popscan.protocols.cine_sax.labels import STRUCTURES


def likely_codes(array: NDArray[np.integer]) -> str | None:
    """Name the coding that labels seem to have, where it is not popscan's.

    The LV cavity is what the wall encloses: the share of its in-plane outline that touches the wall
    is looked at for every two of the codes (`popscan.protocols.cine_sax.label_codes`).

    Parameters
    ----------
    array : ndarray, shape (x, y, z, t)
        Codes of any program.

    Returns
    -------
    str or None
        As the config wants it, e.g. ``{1: lv, 2: myo, 3: rv}``; None where popscan's own codes fit,
        where none fits clearly, or where there are not two or three codes.
    """
    own = {int(label): name for label, name in STRUCTURES.items()}
    if own_codes_fit(array) and set(codes_in(array)) <= set(own):
        return None
    codes = codes_by_anatomy(array)
    if codes is None or all(own.get(code) == name for code, name in codes.items()):
        return None
    return coding_text(codes)


def coding_problem(array: NDArray[np.integer]) -> tuple[str, str] | None:
    """Return the coding that labels seem to have and why, as `likely_codes`."""
    likely = likely_codes(array)
    if likely is None:
        return None
    return likely, (
        "the outline of what is coded 3 (LV cavity) does not run along what is coded 2 (myocardium)"
    )
