"""Biomarkers: labels -> numbers with units. Which, the protocol says.

Here is what protocols share: body size.
"""
