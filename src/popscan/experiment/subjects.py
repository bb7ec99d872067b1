"""Slices of some of an experiment's subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from popscan.train.packs import Pack

#: Group -> its subjects' units.
Units = Mapping[str, Sequence[str]]


def restrict(pack: Pack, units: Sequence[str]) -> Pack:
    """Return the slices of some subjects."""
    keep = np.isin(pack.unit, list(units))
    names = ("images", "labels", "unit", "frame", "slice_index", "usable")
    parts = {name: getattr(pack, name)[keep] for name in names}
    values = {name: column[keep] for name, column in pack.attributes.items()}
    return replace(pack, **parts, attributes=values)
