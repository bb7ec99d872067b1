"""What a protocol measures of a tracked series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Numbers, long-form rows and fields of one subject.

    Attributes
    ----------
    values
        One flat row; undefined is NaN.
    rows
        Long-form rows, of segments or regions.
    fields
        Name -> array, as `popscan.motion.fields_of` makes them; written as they are.
    """

    values: Mapping[str, float]
    rows: tuple[Mapping[str, Any], ...] = ()
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
