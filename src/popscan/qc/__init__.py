"""Quality control: scan and labels -> named checks -> pass, review or fail.

Which checks there are, the protocol says (`popscan.protocol.Quality`); here is what they are made
of and how they are run.
"""

from __future__ import annotations

from popscan.qc.context import ScanContext
from popscan.qc.model import (
    Check,
    Measured,
    Spec,
    Verdict,
    not_assessed,
    order_problems,
    threshold_problems,
)
from popscan.qc.overrides import apply_overrides, override_problems, parse_overrides
from popscan.qc.runner import reasons, run_checks, verdict

__all__ = [
    "Check",
    "Measured",
    "ScanContext",
    "Spec",
    "Verdict",
    "apply_overrides",
    "not_assessed",
    "order_problems",
    "override_problems",
    "parse_overrides",
    "reasons",
    "run_checks",
    "threshold_problems",
    "verdict",
]
