"""Volumes that stand on a slice which nobody can be sure of: how much, and with it and without.

Segmentation says per frame how much of each structure lies in doubtful slices at the base, counted
as ventricle (``kept``) or not (``removed``); see `popscan.protocols.cine_sax.base`. Where the stack
seems to end too early it also says how large a further slice would be (``beyond``; see
`popscan.protocols.cine_sax.beyond`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from popscan.columns import Column
from popscan.protocols.cine_sax.biomarkers.sax import MYOCARDIAL_DENSITY_G_ML

#: ``kept``, ``removed`` and ``beyond`` -> structure -> mL in every frame.
Doubt = Mapping[str, Mapping[str, Sequence[float]]]

_STRUCTURES = ("rv", "myo", "lv")
_SOURCE = "popscan.protocols.cine_sax.base"
#: Column -> structure and phase that it is about.
_PARTS = {
    "lvedv_doubtful_ml": ("lv", 0),
    "lvesv_doubtful_ml": ("lv", 1),
    "lvm_doubtful_g": ("myo", 0),
    "rvedv_doubtful_ml": ("rv", 0),
    "rvesv_doubtful_ml": ("rv", 1),
}
#: Columns that `doubtful_amounts` returns, in its order.
DOUBT_DICTIONARY: Mapping[str, Column] = {
    name: Column(
        name.rsplit("_", 1)[1].replace("ml", "mL"),
        f"part of {name.replace('_doubtful', '')} in slices of which it is undecided whether they "
        "belong to the ventricle, counted or not; the interval holds both",
        _SOURCE,
    )
    for name in _PARTS
}


def doubtful_amounts(doubt: Doubt, *, ed: int | None, es: int | None) -> dict[str, float]:
    """Return the columns of `DOUBT_DICTIONARY`; NaN where segmentation decided nothing.

    Examples
    --------
    >>> doubt = {"kept": {"lv": [9.0, 0.0]}, "removed": {"lv": [0.0, 4.0]}}
    >>> doubtful_amounts(doubt, ed=0, es=1)["lvesv_doubtful_ml"]
    4.0
    """
    amounts = {}
    for name, (structure, phase) in _PARTS.items():
        frame = (ed, es)[phase]
        sides = [_at(doubt, side, structure, frame) for side in ("kept", "removed")]
        factor = MYOCARDIAL_DENSITY_G_ML if name.endswith("_g") else 1.0
        amounts[name] = factor * sum(sides) if doubt else math.nan
    return amounts


def _at(doubt: Doubt, side: str, structure: str, frame: int | None) -> float:
    curve = doubt.get(side, {}).get(structure, ())
    return math.nan if frame is None else float(curve[frame]) if len(curve) else 0.0


def shifts(
    values: Mapping[str, float], doubt: Doubt, *, ed: int | None, es: int | None
) -> dict[str, tuple[float, float]]:
    """Return by how much each quantity may fall and rise as doubtful slices are counted or not.

    Parameters
    ----------
    values
        Estimates, as from `popscan.protocols.cine_sax.biomarkers.measure`.
    doubt
        Empty where segmentation decided nothing.
    ed, es
        Frames of end-diastole and end-systole.

    Returns
    -------
    dict
        Quantity -> a number <= 0 and one >= 0. The slices of a phase count together, for all
        structures; ED and ES are independent, but for a slice beyond the stack: the base is
        higher at ED, so what is missing at ES is missing at ED, too. Empty without doubt or
        without a phase.
    """
    if not doubt or ed is None or es is None:
        return {}
    lowest: dict[str, float] = {}
    highest: dict[str, float] = {}
    options = (("kept", -1.0), ("removed", 1.0))
    changes: list[list[dict[str, float]]] = [
        [{}, *({s: sign * _at(doubt, side, s, t) for s in _STRUCTURES} for side, sign in options)]
        for t in (ed, es)
    ]
    further = [{s: _at(doubt, "beyond", s, t) for s in _STRUCTURES} for t in (ed, es)]
    unseen: list[tuple[dict[str, float], dict[str, float]]] = [({}, {})]
    unseen += [(further[0], {}), (further[0], further[1])]
    for (at_ed, at_es), (more_ed, more_es) in itertools.product(
        itertools.product(*changes), unseen
    ):
        for name, value in _changed(values, _sum(at_ed, more_ed), _sum(at_es, more_es)).items():
            change = value - values[name]
            if math.isfinite(change):
                lowest[name] = min(lowest.get(name, 0.0), change)
                highest[name] = max(highest.get(name, 0.0), change)
    return {name: (lowest[name], highest[name]) for name in lowest}


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {s: one.get(s, 0.0) + other.get(s, 0.0) for s in _STRUCTURES}


def _changed(
    values: Mapping[str, float], at_ed: Mapping[str, float], at_es: Mapping[str, float]
) -> dict[str, float]:
    """Return the quantities with some mL more at ED and ES."""
    changed = {"lvm_g": values["lvm_g"] + MYOCARDIAL_DENSITY_G_ML * at_ed.get("myo", 0.0)}
    for side in ("lv", "rv"):
        edv = values[f"{side}edv_ml"] + at_ed.get(side, 0.0)
        esv = values[f"{side}esv_ml"] + at_es.get(side, 0.0)
        changed |= {
            f"{side}edv_ml": edv,
            f"{side}esv_ml": esv,
            f"{side}sv_ml": edv - esv,
            f"{side}ef_pct": 100.0 * (edv - esv) / edv if edv > 0 else math.nan,
        }
    return changed
