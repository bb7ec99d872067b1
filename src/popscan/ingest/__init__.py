"""Ingest: from what a source read to one checked scan per view. Pure functions, no files."""

from popscan.ingest.checks import check_kspace, check_scan
from popscan.ingest.orientation import standard_orientation

METHODS = {"standard": "popscan.ingest.checks:check_scan"}

__all__ = ["METHODS", "check_kspace", "check_scan", "standard_orientation"]
