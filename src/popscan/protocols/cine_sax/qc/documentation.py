"""The page that lists the checks of a short-axis cine and of its references."""

from __future__ import annotations

from popscan.protocols.cine_sax.qc.reference import reference_checks
from popscan.protocols.cine_sax.qc.table import CHECKS
from popscan.qc.documentation import checks_table

_ORDER = """
## Order of slices

The limit of `slice_order` was chosen on 56 training patients of ACDC. Stacks that are flagged as
they are, and wrong orders that are found (`benchmarks/slice_order.py`): two inner neighbours
exchanged; an outermost slice and its neighbour; even before odd; the second half first; sorted as
1, 10, 2.

| stacks | as they are | inner | outermost | even, odd | halves | 1, 10, 2 |
|---|---|---|---|---|---|---|
| ACDC, chosen on | 1 of 56 | 368 of 372 | 43 of 112 | 56 of 56 | 54 of 56 | 27 of 27 |
| ACDC, validation | 1 of 14 | 85 of 86 | 10 of 28 | 14 of 14 | 14 of 14 | 6 of 6 |
| Sunnybrook | 0 of 3 | 24 of 24 | 3 of 6 | 3 of 3 | 3 of 3 | 3 of 3 |
| slices 18 mm apart | 0 of 1 | 3 of 3 | 1 of 2 | 1 of 1 | 1 of 1 | - |
| digital hearts | 0 of 24 | 242 of 245 | 16 of 48 | 24 of 24 | 24 of 24 | 24 of 24 |

Of 18 patients on whom the limit was not chosen one is flagged (95% interval 1% to 26%): too few to
promise a rate. Most exchanges at the ends of a stack pass, and a stack that is turned round as a
whole always does.
"""

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
    return checks_table(CHECKS) + _ORDER + _REFERENCES + checks_table(reference_checks())
