"""Plain values of a recipe, checked key by key and number by number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from popscan.records import PopscanError
from popscan.yamlfile import shorten, shown


def known_keys(cls: type, values: object, *, where: str) -> dict[str, Any]:
    """Return `values` if it is a mapping with keys that are fields of `cls`.

    Raises
    ------
    PopscanError
        If not; the message lists the fields.
    """
    if not isinstance(values, dict):
        raise PopscanError(f"{where}: a mapping of keys to values is expected, not {shown(values)}")
    known = {f.name for f in fields(cls)}
    if unknown := sorted(shorten(key) for key in values if key not in known):
        raise PopscanError(
            f"{where}: unknown keys {', '.join(unknown[:10])}; known are {', '.join(sorted(known))}"
        )
    return dict(values)


def kept_as_written(value: Any, parsed: Any, *, where: str) -> Any:
    """Return `parsed`, of its keys those of `value`; whole numbers stay as they were written."""
    if isinstance(value, dict) and isinstance(parsed, dict):
        return {
            k: kept_as_written(v, parsed[k], where=f"{where}: {shown(k)}") for k, v in value.items()
        }
    if isinstance(value, (list, tuple)) and isinstance(parsed, (list, tuple)):
        kept = [kept_as_written(v, p, where=where) for v, p in zip(value, parsed, strict=True)]
        return type(parsed)(kept)
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise PopscanError(f"{where}: a finite number is expected; found {parsed}")
    return value if type(value) is int and isinstance(parsed, float) else parsed


def truths(given: Mapping[str, Any], parsed: Mapping[str, Any]) -> list[str]:
    """Keys whose number is a truth value: ``yes`` would be 1, and an average that never moves."""
    found = []
    for key, value in given.items():
        if isinstance(value, bool) and not isinstance(parsed.get(key), bool):
            found.append(key)
        elif isinstance(value, Mapping) and isinstance(parsed.get(key), Mapping):
            found += [f"{key}.{name}" for name in truths(value, parsed[key])]
    return found
