"""Named arrays of the atlas in npz files."""

from __future__ import annotations

import io as stdio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from popscan.disk import write_atomic
from popscan.npzfile import read_npz

if TYPE_CHECKING:
    from popscan.atlas import Template

Arrays = Mapping[str, NDArray[Any]]


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as npz, whole or not at all; no object arrays."""
    buffer = stdio.BytesIO()
    np.savez(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})
    write_atomic(path, buffer.getvalue())


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote; damaged files are named."""
    return read_npz(path)


def joined_arrays(parts: Sequence[tuple[str, Arrays]]) -> dict[str, NDArray[Any]]:
    """Join several sets of arrays under their names."""
    return {f"{name}|{key}": value for name, arrays in parts for key, value in arrays.items()}


def split_arrays(arrays: Arrays) -> dict[str, dict[str, NDArray[Any]]]:
    """Split what `joined_arrays` joined, in the same order."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for name, value in arrays.items():
        part, _, key = name.rpartition("|")
        parts.setdefault(part, {})[key] = value
    return parts


def read_templates(path: Path) -> dict[str, Template]:
    """Read the templates of one round, by group."""
    from popscan.atlas import Template

    return {group: Template.from_arrays(a) for group, a in split_arrays(load_arrays(path)).items()}
