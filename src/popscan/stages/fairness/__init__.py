"""The stage fairness: every stage's outcome by group."""

from __future__ import annotations

from popscan.stages.description import Stage, Table

#: Table of the audit -> what its columns mean.
_AUDIT = {
    "outcomes": "popscan.fairness.dictionary:OUTCOMES",
    "predictions": "popscan.fairness.predictions:DICTIONARY",
    "calibration": "popscan.fairness.prediction_curves:CALIBRATION",
    "thresholds": "popscan.fairness.prediction_curves:THRESHOLDS",
    "groups": "popscan.fairness.dictionary:GROUPS",
    "gaps": "popscan.fairness.dictionary:GAPS",
    "summary": "popscan.fairness.dictionary:SUMMARY",
    "adjusted": "popscan.fairness.adjusted:DICTIONARY",
    "confounding": "popscan.fairness.confounding:DICTIONARY",
    "pairs": "popscan.fairness.pairs:DICTIONARY",
    "funnel": "popscan.fairness.funnel:DICTIONARY",
    "exclusion": "popscan.fairness.adjusted:DICTIONARY",
    "agreement": "popscan.fairness.agreement:DICTIONARY",
    "ledger": "popscan.fairness.ledger:DICTIONARY",
}

STAGE = Stage(
    name="fairness",
    version="13",
    uses=("stats",),
    sections=(
        "study",
        "fairness",
        "cohort",
        "source",
        "atlas",
        "rca",
        "reconstruct",
        "harmonise",
        "associate",
    ),
    per="study",
    reads=("collect", "atlas"),
    tables={
        "interval_coverage": Table(of="job", columns="popscan.fairness.coverage:DICTIONARY"),
        **{f"fairness_{name}": Table(of="job", columns=where) for name, where in _AUDIT.items()},
    },
    report="popscan.stages.fairness.coverage:coverage_section",
)
