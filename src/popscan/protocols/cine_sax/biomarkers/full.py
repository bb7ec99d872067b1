"""Everything that a subject's labels give: volumes and mass, function over the cycle, the wall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike

from popscan.arrays import morphology
from popscan.columns import Column
from popscan.protocols.cine_sax import volumes
from popscan.protocols.cine_sax.biomarkers.dictionary import DICTIONARY
from popscan.protocols.cine_sax.biomarkers.function import FUNCTION_DICTIONARY, cycle_function
from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.biomarkers.wall import WALL_DICTIONARY, wall_by_segment
from popscan.protocols.cine_sax.cycle import CYCLE_MS
from popscan.protocols.cine_sax.labels import Label

#: Columns beside those of `DICTIONARY`: many, so that reports list them apart.
DETAILS: Mapping[str, Column] = {**FUNCTION_DICTIONARY, **WALL_DICTIONARY}
#: Columns that `measure_all` returns, in its order.
ALL: Mapping[str, Column] = {**DICTIONARY, **DETAILS}


def measure_all(
    labels: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    affine: ArrayLike | None = None,
    orientation_known: bool = True,
    frame_times_ms: Sequence[float] | None = None,
    rr_ms: float | None = None,
    height_cm: float = math.nan,
    weight_kg: float = math.nan,
    frame_labels: Sequence[str] | None = None,
    frames: Sequence[int] | None = None,
    smoothing_share: float = volumes.PHASE_SMOOTHING_SHARE,
    cycle_ms: Sequence[float] = CYCLE_MS,
    between_slices: volumes.BetweenSlices = "discs",
) -> dict[str, float | str]:
    """Measure one subject: every column of `ALL`, in its order.

    Parameters as of `popscan.protocols.cine_sax.biomarkers.sax.measure`, `affine` as of
    `popscan.protocols.cine_sax.aha.aha_segments`, `orientation_known` as of `wall_by_segment`.
    """
    values: dict[str, float | str] = {}
    basic = measure(
        labels,
        spacing_mm=spacing_mm,
        frame_times_ms=frame_times_ms,
        rr_ms=rr_ms,
        height_cm=height_cm,
        weight_kg=weight_kg,
        frame_labels=frame_labels,
        frames=frames,
        smoothing_share=smoothing_share,
        cycle_ms=cycle_ms,
        between_slices=between_slices,
    )
    values |= basic
    values |= cycle_function(
        volumes.volume_curves_ml(
            labels, spacing_mm=spacing_mm, frames=frames, between_slices=between_slices
        ),
        frame_times_ms=frame_times_ms,
        rr_ms=rr_ms,
        bsa_m2=basic["bsa_m2"],
        cycle_ms=cycle_ms,
    )
    phases = {name: basic[f"{name}_frame"] for name in ("ed", "es")}
    values |= wall_by_segment(
        morphology.check_labels(labels, largest=max(Label)),
        phases={k: None if math.isnan(v) else int(v) for k, v in phases.items()},
        spacing_mm=morphology.check_spacing(spacing_mm),
        affine=affine,
        orientation_known=orientation_known,
    )
    return {name: values[name] for name in ALL}
