"""What the columns of verdicts and checks mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, text

VERDICTS: Mapping[str, Column] = {
    "verdict_auto": text("verdict of the checks: pass, review or fail"),
    "verdict": text("final verdict, a person's override applied"),
    "failed": text("checks that failed"),
    "review": text("checks that ask for a look"),
    "override_reason": text("why a person overrode the verdict", "qc.overrides"),
    "override_by": text("who", "qc.overrides"),
    "override_date": text("when", "qc.overrides"),
}
CHECKS: Mapping[str, Column] = {
    "check": text("name of the check"),
    "kind": text("image or segmentation"),
    "value": Column("unit_of_value", "what was measured; empty where it could not be"),
    "threshold": Column("unit_of_value", "limits in words", kind="text"),
    "unit_of_value": text("unit of value and threshold"),
    "verdict": text("pass, review, fail or not_assessed"),
    "message": text("in a sentence"),
}
#: Checks of a reference, all of one kind.
REFERENCE_CHECKS: Mapping[str, Column] = {k: v for k, v in CHECKS.items() if k != "kind"}
