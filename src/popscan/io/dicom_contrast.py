"""How an image was made, as far as its header says.

Cine, perfusion, scouts of the inversion time and the magnitude of flow lie in the same planes of a
visit, and may all be gradient echoes with short echo times. Names of series are chosen by people
and are not used.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pydicom

from popscan.io.dicom_kind import many

CONTRAST_TAGS = (
    "SequenceName", "SequenceVariant", "ScanOptions", "InversionTime", "FlipAngle",
    "ScanningSequence", "MRVelocityEncodingSequence", "PulseSequenceName",
)  # fmt: skip
#: Flip angles of one protocol differ less than this factor (limits of power change them).
_FLIP_FACTOR = 1.5
#: Variants that are options of any protocol: oversampling, and none.
_OPTIONS = frozenset({"OSP", "NONE", ""})
#: End of a sequence's name that counts what changes with heart rate and breath-hold.
_COUNT = re.compile(r"_\d+$")
_VELOCITY = re.compile(r"_v\d+(?:in|ap|rl|fh|_?through)?$")


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What a header says of how an image was made; empty and NaN where it does not.

    Attributes
    ----------
    sequence
        Name of the sequence, without counts; compared, and never written.
    variants
        ``SequenceVariant`` without options.
    prepared
        Whether the magnetisation is inverted before the image, or velocity is encoded: no plain
        cine.
    flip_deg
        Flip angle.
    """

    sequence: str = ""
    variants: frozenset[str] = frozenset()
    prepared: bool = False
    flip_deg: float = math.nan

    def is_like(self, other: Contrast) -> bool:
        """Whether both can be of one kind; what a header does not say speaks for it."""
        if self.prepared != other.prepared:
            return False
        if self.sequence and other.sequence and self.sequence != other.sequence:
            return False
        if self.variants and other.variants and self.variants != other.variants:
            return False
        low, high = sorted((self.flip_deg, other.flip_deg))
        return not high > _FLIP_FACTOR * low  # NaN compares false: of one kind.


#: Where nothing is said.
NO_CONTRAST = Contrast()


def contrast_of(data: pydicom.Dataset) -> Contrast:
    """Read how an image was made."""
    name = _COUNT.sub("", str(data.get("SequenceName") or "").strip().lstrip("*").lower())
    options = {*_words(data, "ScanOptions"), *_words(data, "ScanningSequence")}
    inverted = any(word == "IR" or word.startswith("IR_") for word in options)
    encoded = bool(_VELOCITY.search(name) or data.get("MRVelocityEncodingSequence"))
    return Contrast(
        sequence=name,
        variants=frozenset(_words(data, "SequenceVariant")) - _OPTIONS,
        prepared=inverted or encoded or above_0(data, "InversionTime") > 0,
        flip_deg=above_0(data, "FlipAngle") or math.nan,
    )


def _words(data: pydicom.Dataset, tag: str) -> list[str]:
    return [str(value).strip().upper() for value in many(data.get(tag))]


def above_0(data: pydicom.Dataset, tag: str) -> float:
    """Return a finite number above 0, or 0."""
    try:
        number = float(data.get(tag) or 0)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
