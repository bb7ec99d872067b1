"""Whether images suffice for a study: quality control, expected Dice, width of intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from popscan.config import Biomarkers, Segment
from popscan.methods import resolve
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.qc import run_checks
from popscan.records import LabelMap, Scan
from popscan.stages.biomarkers.task import measure
from popscan.stages.segment.task import labelling
from popscan.stages.segment.uncertainty import samples_of

if TYPE_CHECKING:
    from popscan.segment.bundle import Bundle

#: Verdicts, the better ones first; what cannot be assessed says nothing against an image.
_VERDICTS = ("pass", "review", "fail")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What images must reach.

    Attributes
    ----------
    verdict
        The worst verdict that a check may have, of those not in `unchecked`.
    unchecked
        Checks that say nothing of the image's quality (number of frames).
    expected_dice
        Lowest expected Dice that a structure may have, mean over frames.
    widths
        Biomarker -> largest width of its interval, in its unit.
    """

    verdict: str = "review"
    unchecked: tuple[str, ...] = ()
    expected_dice: float = 0.0
    widths: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found on images.

    Attributes
    ----------
    labels
        The segmentation.
    biomarkers
        Numbers with the ends of their intervals, and the expected Dice of every structure.
    reasons
        Names of the checks, structures and biomarkers that are not good enough; none if all are.
    """

    labels: LabelMap
    biomarkers: Mapping[str, float]
    reasons: tuple[str, ...]


def judge(
    scan: Scan,
    *,
    protocol: Protocol,
    bundle: Bundle,
    segment: Segment,
    biomarkers: Biomarkers,
    limits: Limits,
    thresholds: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[bool, Judged]:
    """Segment and measure images as a study does, and hold what comes of it against limits.

    Parameters
    ----------
    scan
        Images, as reconstructed.
    protocol, bundle, segment, biomarkers
        As the study has them.
    limits
        What they must reach.
    thresholds
        Of checks, in place of the defaults: config ``qc.thresholds``.

    Returns
    -------
    passed, judged
        An expected Dice or an interval that the bundle cannot give counts as not good enough where
        there is a limit for it.
    """
    found = labelling(protocol, segment, bundle)(scan)
    labels = LabelMap(array=found.labels, frames=tuple(range(found.labels.shape[3])))
    samples = samples_of(found, scan, protocol=protocol, bundle=bundle, section=segment)
    method = resolve(protocol.biomarkers.methods, biomarkers.method, "biomarkers")
    values = measure(method, labels, scan=scan, options=biomarkers.model_dump())
    if protocol.biomarkers.interval_values:
        values |= load_place(protocol.biomarkers.interval_values)(
            values, samples=samples, level=biomarkers.interval_level,
            method=biomarkers.interval_method,
        )  # fmt: skip
    dice = {
        f"expected_dice_{name}": float(found.values.get(f"expected_dice_{name}", math.nan))
        for name in protocol.labels.codes
    }
    about = {**found.values, "base": samples.get("base", {})}
    shared = load_place(protocol.quality.context)(scan, found.labels, from_segmentation=about)
    worse = _VERDICTS[_VERDICTS.index(limits.verdict) + 1 :]
    reasons = [
        check.name
        for check in run_checks(load_place(protocol.quality.checks), shared, thresholds=thresholds)
        if check.verdict in worse and check.name not in limits.unchecked
    ]
    if limits.expected_dice > 0:
        reasons += [name for name, value in dice.items() if not value >= limits.expected_dice]
    reasons += [name for name, most in limits.widths.items() if not _width(values, name) <= most]
    judged = Judged(labels=labels, biomarkers={**values, **dice}, reasons=tuple(reasons))
    return not reasons, judged


def _width(values: Mapping[str, float], name: str) -> float:
    """Return the width of a biomarker's interval; NaN without one."""
    stem, _, unit = name.rpartition("_")
    low, high = (values.get(f"{stem}_{end}_{unit}", math.nan) for end in ("low", "high"))
    return high - low
