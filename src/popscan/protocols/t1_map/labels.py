"""Regions of a map: those of a short-axis cine, with its codes, so that its labels can be used."""

from __future__ import annotations

from popscan.protocol import LabelSet, Structure

RV, MYO, LV = 1, 2, 3
LABELS = LabelSet(
    structures=(
        Structure(name="rv", code=RV, title="Right-ventricular blood", colour="#0072b2",
                  words="the right-ventricular blood"),
        Structure(name="myo", code=MYO, title="Myocardium", colour="#009e73",
                  words="the myocardium"),
        Structure(name="lv", code=LV, title="Left-ventricular blood", colour="#d55e00",
                  words="the left-ventricular blood"),
    )
)  # fmt: skip
