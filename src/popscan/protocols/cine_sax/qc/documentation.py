"""The page that lists the checks of a short-axis cine and of its references."""

from __future__ import annotations

from popscan.protocols.cine_sax.qc.reference import reference_checks
from popscan.protocols.cine_sax.qc.table import CHECKS
from popscan.qc.documentation import checks_table

_REFERENCES = """
## References

Where a source has reference labels, these are held against the image and the segmentation when they
are scored (table `reference_checks`; `reference_verdict` beside every score). Their limits were set
on 70 patients with expert labels, none of whom fails, and find a patient of the Sunnybrook Cardiac
Data whose outer contours belong elsewhere. They exclude no subject: a wrong reference says
nothing of the subject.

"""


def documentation() -> str:
    """Return the checks as Markdown tables: name, unit, meaning, limits, source."""
    return checks_table(CHECKS) + _REFERENCES + checks_table(reference_checks())
