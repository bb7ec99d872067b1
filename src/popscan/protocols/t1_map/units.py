"""In which unit a ready-made map of relaxation times is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.records import SubjectError

#: Factor to ms.
UNITS = {"ms": 1.0, "s": 1000.0}
_WORDS = {
    "ms": "ms", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
    "s": "s", "sec": "s", "second": "s", "seconds": "s",
}  # fmt: skip
#: Median of the values above 0 that a map of the heart can have, in ms.
PLAUSIBLE_MS = {"t1": (50.0, 2500.0), "t2": (5.0, 250.0)}


def in_ms(
    values: NDArray[Any], *, judged: NDArray[Any], view: str, asked: str, stated: str
) -> tuple[NDArray[np.float64], str]:
    """Return a map in ms, and the unit that it was in.

    Parameters
    ----------
    values
        The map; 0 and NaN for no value.
    judged
        Those of its values that lie in regions: outside, some maps hold noise, or the largest
        number there is. Without any, all values are judged.
    view
        Its view, ``t1...`` or ``t2...``.
    asked
        Unit by the config, or ``auto``.
    stated
        Unit by the sidecar; empty where it says none.

    Raises
    ------
    SubjectError
        ``map_unit`` where the values cannot be in that unit, or (``auto``, nothing stated) in none
        that is known; ``empty_map`` without a value above 0.
    """
    array = np.nan_to_num(np.asarray(values, dtype=float))
    positive = array[array > 0]
    if not positive.size:
        raise SubjectError("empty_map", f"{view}: the map has no value above 0")
    known = judged[judged > 0]
    overall = float(np.median(positive))
    middle = float(np.median(known)) if known.size else overall
    low, high = PLAUSIBLE_MS["t2" if view.startswith("t2") else "t1"]
    fitting = [unit for unit, factor in UNITS.items() if low <= middle * factor <= high]
    # Rates, 1 / T1 in 1/s, are near T1 in s within the heart, and not in fat.
    if "s" in fitting and not low <= overall * UNITS["s"] <= high:
        fitting.remove("s")
    named = asked if asked != "auto" else _WORDS.get(stated.strip().lower(), "")
    if asked == "auto" and stated and not named:
        raise SubjectError("map_unit", f"{view}: unit {stated[:20]!r} in the sidecar; s or ms")
    unit = named or (fitting[0] if len(fitting) == 1 else "")
    if not unit or unit not in fitting:
        as_what = f"in {unit}" if unit else "in s or ms"
        raise SubjectError(
            "map_unit",
            f"{view}: median {middle:.4g} cannot be a map {as_what} ({low:g} to {high:g} ms "
            "expected); set source.mapping.unit or factor",
        )
    return np.maximum(array, 0.0) * UNITS[unit], unit
