"""A scan as its protocol wants it: checked, in its orientation, with what else it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popscan.ingest.checks import check_scan
from popscan.protocol import Protocol, load
from popscan.records import LabelMap, Scan


def prepare(
    protocol: Protocol, scan: Scan, labels: LabelMap | None
) -> tuple[Scan, LabelMap | None, Mapping[str, Any]]:
    """Check a scan, bring it into the protocol's orientation, and do what else it asks for.

    Parameters
    ----------
    protocol
        Of the study.
    scan, labels
        As a source read them; labels on the grid of the scan.

    Returns
    -------
    scan, labels, values
        `values` are further columns of the participants table.

    Raises
    ------
    SubjectError
        As `check_scan`, and what the protocol's own functions raise.
    """
    scan = check_scan(scan, series=protocol.series)
    if protocol.orientation:
        scan, labels = load(protocol.orientation)(scan, labels)
    if not protocol.ingest:
        return scan, labels, {}
    prepared: tuple[Scan, LabelMap | None, Mapping[str, Any]] = load(protocol.ingest)(scan, labels)
    return prepared
