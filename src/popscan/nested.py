"""Mappings within mappings, as YAML and JSON give them. The Snakefile imports it: nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping


def mapping_at(config: Mapping[str, object], *keys: str) -> Mapping[str, object]:
    """Return the mapping that stands below these keys; empty where there is none."""
    inside: object = config
    for key in keys:
        inside = inside.get(key) if isinstance(inside, Mapping) else None
    return inside if isinstance(inside, Mapping) else {}
