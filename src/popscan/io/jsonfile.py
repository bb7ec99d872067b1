"""JSON files: sorted keys, NaN written as null, nothing hostile read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from popscan.records import PopscanError

#: No file that popscan reads as JSON is longer than this.
MAX_BYTES = 64 * 2**20


def plain(value: Any) -> Any:
    """Return `value` in JSON's own types; NaN and infinities become None.

    Raises
    ------
    TypeError
        If something in it has no JSON form.
    """
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def json_text(data: Any) -> str:
    """JSON text of `data`: sorted keys, one space of indentation, a final line break."""
    text = json.dumps(plain(data), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def write_json(path: str | Path, data: Any) -> None:
    """Write `data`; equal data gives equal bytes. Undefined numbers (NaN) are written as null."""
    Path(path).write_text(json_text(data), encoding="utf-8", newline="\n")


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    PopscanError
        If it is missing, too long, or not JSON.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PopscanError(f"{path}: longer than {MAX_BYTES} bytes, no JSON of popscan's is")
        text = path.read_bytes().decode("utf-8-sig")
        data = json.loads(text)
        # Half of a pair of surrogates is text that no file can hold.
        return _printable(data) if "\\ud" in text.lower() else data
    except FileNotFoundError as error:
        raise PopscanError(f"{path}: no such file") from error
    except OSError as error:
        raise PopscanError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise PopscanError(f"{path}: not a JSON file ({type(error).__name__})") from error
