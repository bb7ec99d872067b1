"""JSON text that is equal for equal data, and text that every file can hold."""

from __future__ import annotations

import json
from pathlib import Path

from popscan.records import Status


def canonical_json(data: object) -> str:
    """JSON text that is equal for equal data: sorted keys, no spaces, NaN allowed."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), default=_plain)


def printable(text: str) -> str:
    r"""Text that UTF-8 can hold: a file name that was not UTF-8 leaves lone surrogates in messages.

    Examples
    --------
    >>> printable("M\udcfcller.dcm")
    'M?ller.dcm'
    """
    return text.encode("utf-8", "replace").decode()


def _plain(value: object) -> object:
    """JSON form of NumPy scalars and arrays, paths and tuples."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (Path, Status)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
