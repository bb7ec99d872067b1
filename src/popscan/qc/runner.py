"""Run the checks of a protocol on one scan, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from popscan.qc.model import Check, Measured, Spec, Verdict, with_thresholds

_WORSE = {Verdict.NOT_ASSESSED: 0, Verdict.PASS: 1, Verdict.REVIEW: 2, Verdict.FAIL: 3}


def outcome(name: str, spec: Spec, measured: Measured) -> Check:
    """Hold what a check measured against its limits, and say it in words."""
    value = float(measured.value)
    if not measured.assessed:
        found, message = Verdict.NOT_ASSESSED, f"not assessed: {measured.note}"
    elif math.isnan(value):
        found, message = spec.judge(value), f"could not be measured: {measured.note}"
    else:
        found = spec.judge(value)
        message = f"{value:.4g} {spec.unit}: {measured.note}"
    return Check(
        name=name,
        kind=spec.kind,
        value=value if measured.assessed else math.nan,
        threshold=spec.threshold,
        unit=spec.unit,
        verdict=found,
        message=message,
    )


def run_checks(
    specs: Mapping[str, Spec],
    context: Any,
    *,
    thresholds: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Run every check on one scan.

    Parameters
    ----------
    specs
        Check name -> its definition.
    context
        What the checks' measures take: a scan, its labels, what they share.
    thresholds
        Check name -> ``{"review": .., "fail": ..}`` in place of the defaults.

    Returns
    -------
    list of Check
        One per entry of `specs`, in its order, always. A value that could not be measured is
        `Verdict.REVIEW`; a check that does not apply to this scan is `Verdict.NOT_ASSESSED`.

    Raises
    ------
    PopscanError
        If `thresholds` name an unknown check or level, or hold no numbers.
    """
    chosen = with_thresholds(specs, thresholds or {})
    return [outcome(name, spec, spec.measure(context)) for name, spec in chosen.items()]


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
