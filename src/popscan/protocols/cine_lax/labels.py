"""Structures of long-axis planes, with the codes of ukbb_cardiac's four-chamber labels."""

from __future__ import annotations

from popscan.protocol import LabelSet, Structure

LV, MYO, RV, LA, RA = 1, 2, 3, 4, 5
LABELS = LabelSet(
    structures=(
        Structure(name="lv", code=LV, title="LV cavity", colour="#ff6a33", on_white="#c1440e",
                  words="the LV"),
        Structure(name="myo", code=MYO, title="LV myocardium", colour="#f0e442",
                  on_white="#8a6d00", words="the myocardium"),
        Structure(name="rv", code=RV, title="RV cavity", colour="#56b4e9", on_white="#0072b2",
                  words="the RV"),
        Structure(name="la", code=LA, title="Left atrium", colour="#cc79a7", on_white="#a3467b",
                  words="the left atrium"),
        Structure(name="ra", code=RA, title="Right atrium", colour="#009e73", on_white="#00704f",
                  words="the right atrium"),
    )
)  # fmt: skip
