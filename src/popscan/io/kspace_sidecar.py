"""What stands beside an array of k-space that holds none of its own geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from popscan.config.kspace import KSpaceInput
from popscan.io.jsonfile import read_json
from popscan.records import PopscanError, SubjectError
from popscan.yamlfile import shorten


@dataclass(frozen=True, kw_only=True)
class Described:
    """An array's rules, with what its sidecar adds.

    Attributes
    ----------
    rules
        Keys of ``source.kspace``; the sidecar's own win.
    affine : ndarray, shape (4, 4), or None
        Voxel to RAS of the image.
    frame_times_ms : ndarray, shape (t,), or None
        Time of each frame.
    """

    rules: KSpaceInput
    affine: NDArray[np.float64] | None = None
    frame_times_ms: NDArray[np.float64] | None = None


def describe_array(path: Path, rules: KSpaceInput) -> Described:
    """Read the JSON file of an array's name, if it is there; other keys of it are left alone.

    Raises
    ------
    SubjectError
        ``bad_sidecar`` if it cannot be read or a value of it cannot be.
    """
    side = path.with_suffix(".json")
    if not side.is_file():
        return Described(rules=rules)
    try:
        given: Any = read_json(side)
        if not isinstance(given, dict):
            raise ValueError("an object is expected")
        known = {key: given[key] for key in KSpaceInput.model_fields if key in given}
        affine = _numbers(given, "affine", (4, 4))
        return Described(
            rules=KSpaceInput.model_validate({**rules.model_dump(), **known}),
            affine=affine,
            frame_times_ms=_numbers(given, "frame_times_ms", (-1,)),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SubjectError("bad_sidecar", f"{side}: {where}: {first['msg']}") from error
    except (PopscanError, ValueError, TypeError) as error:
        raise SubjectError("bad_sidecar", f"{side}: {shorten(error)}") from error


def _numbers(given: dict[str, Any], key: str, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    if given.get(key) is None:
        return None
    values = np.array(given[key], dtype=float).reshape(shape)
    if not np.isfinite(values).all():
        raise ValueError(f"{key}: finite numbers expected")
    return values
