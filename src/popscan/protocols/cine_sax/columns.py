"""What the columns mean that only this protocol's segmentation and simulation write."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column
from popscan.protocols.cine_sax.missed import DICTIONARY as _MISSED

SEGMENTATION: Mapping[str, Column] = {
    "n_frames_without_heart": Column("frames", "frames in which nothing was found"),
    "n_slices_above_base": Column(
        "", "slices above the base of the LV that lost their labels, all frames"
    ),
    "n_frames_base_doubtful": Column(
        "frames", "frames in which it is undecided whether a basal slice belongs to the LV"
    ),
    **_MISSED,
}
TRUTH: Mapping[str, Column] = {
    "ed_time_ms": Column("ms", "end-diastole, after the R wave"),
    "es_time_ms": Column("ms", "end-systole, after the R wave"),
}
