"""Ingest: from what a source read to one checked scan per view. Pure functions, no files."""

from popscan.ingest.checks import check_kspace, check_scan
from popscan.ingest.preparing import prepare

__all__ = ["check_kspace", "check_scan", "prepare"]
