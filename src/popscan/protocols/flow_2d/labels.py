"""Vessels, and where blood flows in them."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.protocol import LabelSet, Structure

AORTA, DESCENDING, PULMONARY = 1, 2, 3
LABELS = LabelSet(
    structures=(
        Structure(name="aorta", code=AORTA, title="Ascending aorta", colour="#d55e00",
                  words="the ascending aorta"),
        Structure(name="desc_aorta", code=DESCENDING, title="Descending aorta", colour="#e69f00",
                  words="the descending aorta"),
        Structure(name="pulmonary", code=PULMONARY, title="Pulmonary trunk", colour="#0072b2",
                  words="the pulmonary trunk"),
    )
)  # fmt: skip
#: Vessel -> whether its blood flows towards the head (1) or the feet (-1).
TO_HEAD: Mapping[str, int] = {"aorta": 1, "desc_aorta": -1, "pulmonary": 1}
