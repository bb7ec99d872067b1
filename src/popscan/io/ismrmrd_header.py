"""The XML header of an ISMRMRD file, as far as popscan needs it.

Inati SJ, Naegele JD, Zwart NR, et al. ISMRM Raw data format: a proposed standard for MRI raw
datasets. Magn Reson Med 77:411-421, 2017. Nothing of a person is read from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from popscan.records import SubjectError
from popscan.yamlfile import shorten

#: Proton: MHz per tesla.
_GYROMAGNETIC_MHZ_T = 42.577478
#: No header is longer, and none is deeper.
MAX_XML_BYTES = 16 * 2**20
#: Largest side of a matrix that is believed.
MAX_MATRIX = 8192


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What an ISMRMRD header says of the first encoding space.

    Attributes
    ----------
    trajectory
        ``cartesian``, ``epi``, ``radial``, ``goldenangle``, ``spiral`` or ``other``.
    matrix, fov_mm
        Of the encoded space, along readout, first and second phase encoding.
    recon_matrix, recon_fov_mm
        Of the space that is to be reconstructed.
    line_limits
        Smallest, largest and central first phase-encoding step; None where the header has none.
    step_2_max
        Largest second phase-encoding step; 0 in 2D.
    calibration
        How calibration lines were acquired: ``embedded``, ``separate``, ...; empty if not given.
    n_encodings
        How many encoding spaces the header has.
    vendor
        The manufacturer, as the header writes it.
    meta
        Keys of ``Scan.meta``.
    """

    trajectory: str
    matrix: tuple[int, int, int]
    fov_mm: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov_mm: tuple[float, float, float]
    line_limits: tuple[int, int, int] | None
    step_2_max: int
    calibration: str
    n_encodings: int
    vendor: str
    meta: Mapping[str, Any]


def parse_header(xml: bytes, *, name: str) -> Encoding:
    """Read an ISMRMRD header.

    Parameters
    ----------
    xml
        The text.
    name
        Of the file, for messages.

    Raises
    ------
    SubjectError
        ``bad_header`` if it is no such header, or says what cannot be.
    """
    if len(xml) > MAX_XML_BYTES or b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise SubjectError("bad_header", f"{name}: an ISMRMRD header has no such length or DTD")
    try:
        root = _Node(ElementTree.fromstring(xml))
        encodings = root.all("encoding")
        if not encodings:
            raise ValueError("no encoding")
        return _encoding(root, encodings[0], len(encodings))
    except (ElementTree.ParseError, ValueError, OverflowError, RecursionError) as error:
        raise SubjectError(
            "bad_header", f"{name}: not an ISMRMRD header ({shorten(error)})"
        ) from error


class _Node:
    """An element whose children are named without their namespace."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element

    def all(self, name: str) -> list[_Node]:
        """Children of this name."""
        return [_Node(e) for e in self._element if str(e.tag).rpartition("}")[2] == name]

    def get(self, path: str) -> _Node | None:
        """Follow names, the first child of each; None where one is missing."""
        node: _Node | None = self
        for name in path.split("/"):
            there = node.all(name) if node is not None else []
            node = there[0] if there else None
        return node

    def text(self, path: str, default: str = "") -> str:
        """Text of an element."""
        node = self.get(path)
        return default if node is None else (node._element.text or "").strip()

    def number(self, path: str, default: float = math.nan) -> float:
        """Return a number, `default` where there is none."""
        text = self.text(path)
        return float(text) if text else default


def _encoding(root: _Node, node: _Node, n_encodings: int) -> Encoding:
    limits = node.get("encodingLimits/kspace_encoding_step_1")
    if limits is not None and not limits.text("center"):
        limits = None  # a centre that is not given is not 0
    return Encoding(
        trajectory=node.text("trajectory").lower(),
        matrix=_matrix(node, "encodedSpace"),
        fov_mm=_fov(node, "encodedSpace"),
        recon_matrix=_matrix(node, "reconSpace"),
        recon_fov_mm=_fov(node, "reconSpace"),
        line_limits=None
        if limits is None
        else (
            int(limits.number("minimum", 0)),
            int(limits.number("maximum", 0)),
            int(limits.number("center", 0)),
        ),
        step_2_max=int(node.number("encodingLimits/kspace_encoding_step_2/maximum", 0)),
        calibration=node.text("parallelImaging/calibrationMode").lower(),
        n_encodings=n_encodings,
        vendor=root.text("acquisitionSystemInformation/systemVendor"),
        meta=_meta(root, node),
    )


def _matrix(node: _Node, space: str) -> tuple[int, int, int]:
    sides = [node.number(f"{space}/matrixSize/{axis}") for axis in "xyz"]
    if not all(1 <= side <= MAX_MATRIX and side == int(side) for side in sides):
        raise ValueError(f"matrix of {space}: {sides}; 1 to {MAX_MATRIX} expected")
    return int(sides[0]), int(sides[1]), int(sides[2])


def _fov(node: _Node, space: str) -> tuple[float, float, float]:
    x, y, z = (node.number(f"{space}/fieldOfView_mm/{axis}") for axis in "xyz")
    if not all(0 < side < 1e5 for side in (x, y)):
        raise ValueError(f"field of view of {space}: {x} x {y} mm")
    return x, y, z


def _meta(root: _Node, node: _Node) -> dict[str, Any]:
    """Return what is known of scanner and sequence and says nothing of a person."""
    system, sequence = "acquisitionSystemInformation", "sequenceParameters"
    field = root.number(f"{system}/systemFieldStrength_T")
    if not field > 0:
        field = root.number("experimentalConditions/H1resonanceFrequency_Hz") / 1e6
        field = round(field / _GYROMAGNETIC_MHZ_T, 2)
    numbers = {
        "field_strength_t": field,
        "echo_time_ms": root.number(f"{sequence}/TE"),
        "repetition_time_ms": root.number(f"{sequence}/TR"),
        "flip_angle_deg": root.number(f"{sequence}/flipAngle_deg"),
        "slice_thickness_mm": node.number("encodedSpace/fieldOfView_mm/z"),
    }
    texts = {
        "manufacturer": root.text(f"{system}/systemVendor"),
        "model": root.text(f"{system}/systemModel"),
    }
    return {
        **{key: text[:64] for key, text in texts.items() if text},
        **{key: value for key, value in numbers.items() if value > 0 and math.isfinite(value)},
    }
