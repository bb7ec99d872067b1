"""The structures of a short-axis cine in label arrays."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class Label(IntEnum):
    """Structures of a short-axis cine, coded as in the ACDC challenge."""

    BACKGROUND = 0
    RV = 1
    MYO = 2
    LV = 3


#: Foreground structures in the order in which tables list them, with their names in columns.
STRUCTURES: Mapping[Label, str] = {Label.RV: "rv", Label.MYO: "myo", Label.LV: "lv"}
