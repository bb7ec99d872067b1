"""Quality control: scan and labels -> named checks -> pass, review or fail.

`CHECKS` defines every check (unit, meaning, default limits); `METHODS` names the ways to run them;
`DICTIONARY` explains the columns of the tables.
"""

from __future__ import annotations

from popscan.qc.cine_sax import check, reasons, verdict
from popscan.qc.dictionary import CHECK_DICTIONARY, DICTIONARY, documentation
from popscan.qc.model import Check, Spec, Verdict, threshold_problems
from popscan.qc.overrides import apply_overrides, override_problems, parse_overrides
from popscan.qc.reference import check_reference, reference_checks
from popscan.qc.table import CHECKS

#: Method -> where it lives; its options are its keyword-only arguments.
METHODS: dict[str, str] = {"cine_sax": "popscan.qc.cine_sax:check"}

__all__ = [
    "CHECKS",
    "CHECK_DICTIONARY",
    "DICTIONARY",
    "METHODS",
    "Check",
    "Spec",
    "Verdict",
    "apply_overrides",
    "check",
    "check_reference",
    "documentation",
    "override_problems",
    "parse_overrides",
    "reasons",
    "reference_checks",
    "threshold_problems",
    "verdict",
]
