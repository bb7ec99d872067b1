"""From stored phase to velocity, with what the header leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from popscan.flow import stored_velocity
from popscan.protocols.flow_2d.analysis import MAGNITUDE, VELOCITY
from popscan.protocols.flow_2d.cycle import cycle_of
from popscan.records import LabelMap, Scan, SubjectError

#: The brightest share of the magnitude is shown as bright as the fastest velocity.
_BRIGHTEST = 99.5


def prepare(
    scan: Scan, labels: LabelMap | None = None
) -> tuple[Scan, LabelMap | None, dict[str, Any]]:
    """Turn stored phase into velocity; aliasing and background stay as they were acquired.

    Parameters
    ----------
    scan
        Magnitude and stored phase, (x, y, 2, t), as `popscan.io.flow_words.packed` has them.
    labels
        Vessels on its grid, the same for both; or None.

    Returns
    -------
    scan
        Magnitude (scaled so that pictures show both: its 99.5th percentile is the encoding), and
        velocity in cm/s.
    labels
        As they were.
    values
        ``venc_cm_s``, ``venc_by``, ``phase_stored_as``, ``times_by``, ``covered_pct``.

    Raises
    ------
    SubjectError
        ``bad_magnitude``, ``bad_phase``, ``bad_venc``, ``bad_sidecar``.
    """
    facts = scan.meta.get("flow")
    if not isinstance(facts, Mapping) or scan.array.shape[2] != 2:
        raise SubjectError("bad_sidecar", f"{scan.view}: no image of magnitude and phase")
    venc = float(facts["venc_cm_s"])
    light = np.asarray(scan.array[:, :, MAGNITUDE], dtype=float)
    if light.min() < 0 or not light.max() > light.min():
        raise SubjectError(
            "bad_magnitude",
            f"{scan.view}: magnitude from {light.min():.4g} to {light.max():.4g}; values from 0 up "
            "expected: are magnitude and phase exchanged?",
        )
    velocity, kind = stored_velocity(
        scan.array[:, :, VELOCITY], venc_cm_s=venc, kind=str(facts.get("phase_kind", "auto"))
    )
    top = float(np.percentile(light, _BRIGHTEST)) or float(light.max())
    array = np.stack([light * (venc / top), velocity], axis=2).astype(np.float32)
    cycle = cycle_of(array.shape[3], meta=scan.meta, frame_times_ms=scan.frame_times_ms)
    values = {
        "venc_cm_s": venc, "venc_by": str(facts.get("venc_by", "")), "phase_stored_as": kind,
        "times_by": cycle.by, "covered_pct": round(cycle.covered_pct, 1),
    }  # fmt: skip
    return replace(scan, array=array), labels, values
