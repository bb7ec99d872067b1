"""Quality control of a short-axis cine and its labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.qc.context import Context
from popscan.qc.model import Check, Measured, Spec, Verdict, with_thresholds
from popscan.qc.table import CHECKS
from popscan.records import Scan

_WORSE = {Verdict.NOT_ASSESSED: 0, Verdict.PASS: 1, Verdict.REVIEW: 2, Verdict.FAIL: 3}


def outcome(name: str, spec: Spec, measured: Measured) -> Check:
    """Hold what a check measured against its limits, and say it in words."""
    value = float(measured.value)
    if not measured.assessed:
        found, said = Verdict.NOT_ASSESSED, f"not assessed: {measured.note}"
    elif math.isnan(value):
        found, said = spec.judge(value), f"could not be measured: {measured.note}"
    else:
        found = spec.judge(value)
        said = f"{value:.4g} {spec.unit}: {measured.note}"
    return Check(
        name=name,
        kind=spec.kind,
        value=value if measured.assessed else math.nan,
        threshold=spec.threshold,
        unit=spec.unit,
        verdict=found,
        message=said,
    )


def check(
    scan: Scan,
    labels: NDArray[np.uint8] | None = None,
    *,
    frames: Sequence[int] | None = None,
    told: Mapping[str, Any] | None = None,
    thresholds: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Run every check of `CHECKS` on one scan.

    Parameters
    ----------
    scan
        Short-axis scan, array (x, y, z, t).
    labels : ndarray of uint8, shape of the scan, or None
        Segmentation; without one the checks that need it are not assessed.
    frames
        Indices of the frames that ought to be labelled; all by default. Give
        `LabelMap.frames` for references of ED and ES only.
    told
        What the segmentation says of itself: the values of its record.
    thresholds
        Check name -> ``{"review": .., "fail": ..}`` in place of the defaults.

    Returns
    -------
    list of Check
        One per entry of `CHECKS`, in its order, always. A value that could not be measured is
        `Verdict.REVIEW`; a check that does not apply to this scan (a volume curve of two frames)
        is `Verdict.NOT_ASSESSED`.

    Raises
    ------
    SubjectError
        If labels and scan differ in shape.
    PopscanError
        If `thresholds` name an unknown check or level, or hold no numbers.
    """
    specs = with_thresholds(CHECKS, thresholds or {})
    context = Context(scan, labels, frames=frames, told=told)
    return [outcome(name, spec, spec.measure(context)) for name, spec in specs.items()]


def verdict(checks: Iterable[Check]) -> str:
    """Return the worst verdict among the checks: ``pass``, ``review`` or ``fail``.

    Checks that were not assessed do not count; if none was assessed, a person has to look
    (``review``), since nothing speaks for the scan.
    """
    worst = max((c.verdict for c in checks), key=_WORSE.__getitem__, default=Verdict.NOT_ASSESSED)
    return str(Verdict.REVIEW if worst is Verdict.NOT_ASSESSED else worst)


def reasons(checks: Iterable[Check]) -> str:
    """Name the checks that did not pass, the worst first, separated by commas; empty if all did."""
    flagged = [c for c in checks if c.verdict in (Verdict.REVIEW, Verdict.FAIL)]
    flagged.sort(key=lambda c: c.verdict is not Verdict.FAIL)
    return ", ".join(f"{c.name} ({c.verdict})" for c in flagged)
