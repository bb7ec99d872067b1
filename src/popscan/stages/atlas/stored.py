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

#: Name of the digest of subjects beside a round's templates.
_MADE_FROM = "made_from"


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

    parts = split_arrays(load_arrays(path))
    parts.pop("", None)  # what `save_templates` says of them
    return {group: Template.from_arrays(arrays) for group, arrays in parts.items()}


def save_templates(path: Path, templates: Mapping[str, Template], *, made_from: str) -> None:
    """Write the templates of one round, and a digest of the subjects that they are made of."""
    arrays = joined_arrays([(name, one.to_arrays()) for name, one in sorted(templates.items())])
    save_arrays(path, {**arrays, _MADE_FROM: np.array(made_from)})


def read_made_from(path: Path) -> tuple[int, str]:
    """Return how many subjects the average of all in a round's templates is of, and their digest.

    0 where there is no average of all.
    """
    from popscan.atlas import ALL

    with np.load(path, allow_pickle=False) as stored:  # the averages themselves stay unread
        count = f"{ALL}|n_subjects"
        n_subjects = int(stored[count]) if count in stored.files else 0
        return n_subjects, str(stored[_MADE_FROM]) if _MADE_FROM in stored.files else ""
