"""Biomarkers: labels -> numbers with units. Which, the protocol says.

Here is what protocols share: columns of data dictionaries, body size.
"""

from __future__ import annotations

from popscan.biomarkers.columns import Column

__all__ = ["Column"]
