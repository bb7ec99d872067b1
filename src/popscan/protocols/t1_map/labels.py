"""Regions of a map: those of a short-axis cine, with its codes, so that its labels can be used."""

from __future__ import annotations

from popscan.protocol import LabelSet, Structure

RV, MYO, LV = 1, 2, 3
LABELS = LabelSet(
    structures=(
        Structure(name="rv_blood", code=RV, title="Right-ventricular blood", colour="#0072b2",
                  words="the right-ventricular blood"),
        Structure(name="wall", code=MYO, title="Myocardium of the left ventricle", colour="#009e73",
                  words="the myocardium"),
        Structure(name="lv_blood", code=LV, title="Left-ventricular blood", colour="#d55e00",
                  words="the left-ventricular blood"),
    )
)  # fmt: skip
