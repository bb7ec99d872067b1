"""What a protocol's visit is held against in another protocol of the same study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from popscan.columns import Column
from popscan.protocol_parts import Where, load
from popscan.records import LabelMap


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How far two protocols' values of one quantity may lie apart by measurement alone.

    Attributes
    ----------
    column
        Biomarker of the protocol that declares the limit.
    other
        Its name in the other protocol; empty for the same.
    low, high
        Limits of own less other: in the biomarker's unit, or in percent.
    in_pct
        Whether they are percent of the mean of both.
    """

    column: str
    low: float
    high: float
    other: str = ""
    in_pct: bool = False

    @property
    def second(self) -> str:
        """Name in the other protocol."""
        return self.other or self.column


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What one protocol has of a visit.

    Attributes
    ----------
    labels
        As segmentation left them.
    affine : ndarray, shape (4, 4)
        Voxel to RAS mm.
    meta
        Of the scan.
    values
        Biomarkers.
    """

    labels: LabelMap
    affine: Any
    meta: Mapping[str, Any]
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """How a protocol's visits stand to those of another protocol.

    Attributes
    ----------
    of
        Name of the other protocol.
    limits
        Of quantities that both measure; a visit beyond one of them is to be looked at.
    source
        Where the limits come from, as it follows "limits from".
    measure
        ``(own: Visit, other: Visit) -> column -> value``: numbers that need the labels of both;
        NaN where one cannot be known. Empty for none.
    dictionary
        What these columns mean.
    version
        Raised when `measure` gives other numbers.
    """

    of: str
    limits: tuple[Limit, ...] = ()
    source: str = ""
    measure: Where = ""
    dictionary: Where = ""
    version: str = "1"

    def facts(self) -> dict[str, object]:
        """Return what tables of a joined study hang on: another one, and they are made again."""
        limits = [asdict(limit) for limit in self.limits]
        return {"of": self.of, "version": self.version, "source": self.source, "limits": limits}

    def columns(self) -> Mapping[str, Column]:
        """Return what the columns of `measure` mean."""
        found: Mapping[str, Column] = load(self.dictionary) if self.dictionary else {}
        return found
