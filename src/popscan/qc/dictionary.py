"""Data dictionary of the QC tables, and the page that lists the checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from popscan.qc.model import Spec
from popscan.qc.reference import reference_checks
from popscan.qc.table import CHECKS


class Column(NamedTuple):
    """One column of a table: its unit, what it means, and where the definition comes from."""

    unit: str
    meaning: str
    source: str


_HERE = "popscan.qc"

#: Columns of the long table: one row per subject and check.
CHECK_DICTIONARY: Mapping[str, Column] = {
    "check": Column("name", "Which check; the key of its thresholds in the config", _HERE),
    "kind": Column("word", "image or segmentation: what the check judges", _HERE),
    "value": Column("see unit_of_value", "Measured value; NaN where it could not be", _HERE),
    "threshold": Column("see unit_of_value", "Limits for review and fail, in words", _HERE),
    "unit_of_value": Column("unit", "Unit of value and threshold", _HERE),
    "verdict": Column(
        "word", "pass, review, fail, or not_assessed where the check does not apply", _HERE
    ),
    "message": Column("text", "The finding in words", _HERE),
}

#: Columns of the table of verdicts: one row per subject.
VERDICT_DICTIONARY: Mapping[str, Column] = {
    "verdict": Column("word", "Final verdict: a person's where given, else the automatic", _HERE),
    "verdict_auto": Column("word", "Automatic verdict: the worst of all checks", _HERE),
    "override_reason": Column("text", "Why a person overrode the verdict; else empty", _HERE),
    "override_by": Column("name", "Who overrode the verdict; else empty", _HERE),
    "override_date": Column("date", "When, as the person wrote it; else empty", _HERE),
}

#: Every check as a column of a wide table: its value, with unit, meaning and source.
VALUE_DICTIONARY: Mapping[str, Column] = {
    name: Column(spec.unit, f"{spec.meaning} (limits: {spec.threshold})", spec.source)
    for name, spec in CHECKS.items()
}

#: All columns of QC tables.
DICTIONARY: Mapping[str, Column] = {
    **CHECK_DICTIONARY,
    **VERDICT_DICTIONARY,
    **{f"qc_{name}": column for name, column in VALUE_DICTIONARY.items()},
}


def documentation() -> str:
    """Return the checks as Markdown tables: name, unit, meaning, limits, source."""
    return _table(CHECKS) + _REFERENCES + _table(reference_checks())


_REFERENCES = """
## References

Where a source has reference labels, these are held against the image and the segmentation when they
are scored (table `reference_checks`; `reference_verdict` beside every score). Their limits were set
on 70 patients with expert labels, none of whom fails, and find a patient of the Sunnybrook Cardiac
Data whose outer contours belong elsewhere. They exclude nobody: a wrong reference says nothing of
the subject.

"""


def _table(specs: Mapping[str, Spec]) -> str:
    lines = [
        "| check | judges | unit | measures | review | fail | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, spec in specs.items():
        review, fail = spec.limit_words("review"), spec.limit_words("fail")
        lines.append(
            f"| `{name}` | {spec.kind} | {spec.unit} | {spec.meaning} | {review} | {fail} "
            f"| {spec.source} |"
        )
    return "\n".join(lines) + "\n"
