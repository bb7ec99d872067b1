"""Numbers of a visit that need the labels of two protocols."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from popscan.columns import UNIT, Column, text
from popscan.jsontext import canonical_json
from popscan.protocol import Beside, Visit, load
from popscan.records import Subject, SubjectError
from popscan.registry import read_registry
from popscan.store import Store
from popscan.study.agreeing import own_columns
from popscan.study.context import ShardContext
from popscan.study.reading import read_digests, scan_and_labels

log = logging.getLogger(__name__)

#: A row of a table.
Row = Mapping[Hashable, object]
#: Columns of the table `together`, before those that protocols declare.
TOGETHER: Mapping[str, Column] = {
    **UNIT,
    "first": text("protocol"),
    "second": text("protocol that is held against it"),
    "reason": text("short code of why nothing was measured; empty where it was"),
    "inputs": text("digest of what was read; a visit in which nothing changed is not read again"),
}


class Part:
    """Files of one protocol's part.

    Parameters
    ----------
    root, protocol
        ``results/STUDY/PROTOCOL``, and its name.
    """

    def __init__(self, root: Path, protocol: str) -> None:
        self.root, self.protocol = root, protocol
        self._shards: dict[str, ShardContext] = {}

    @cached_property
    def registry(self) -> dict[str, str]:
        """Unit -> shard."""
        return read_registry(self.root / "plan" / "registry.tsv")

    def context(self, unit: str) -> ShardContext:
        """Return where a visit's files are; visits of one shard share its journals."""
        if unit not in self.registry:
            raise SubjectError("not_planned", f"{self.protocol}: no shard holds {unit}")
        shard = self.registry[unit]
        if shard not in self._shards:
            self._shards.clear()  # one shard at a time: they come in the registry's order
            options = {"protocol": self.protocol}
            self._shards[shard] = ShardContext(store=Store(self.root), shard=shard, options=options)
        return self._shards[shard]


def together(
    parts: Mapping[str, Path],
    biomarkers: pd.DataFrame,
    *,
    beside: Mapping[str, Sequence[Beside]],
    earlier: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Measure each visit that two protocols analysed with the labels of both.

    Parameters
    ----------
    parts
        Protocol -> ``results/STUDY/PROTOCOL``.
    biomarkers
        One row per visit: ``unit``, and ``PROTOCOL_COLUMN`` of each protocol; a visit that a
        protocol did not analyse has NaN in all of them.
    beside
        Protocol -> what it declares.
    earlier
        The table as it was written before.

    Returns
    -------
    DataFrame
        A row per visit and pair of protocols; empty where no protocol declares such numbers. A
        visit whose files cannot be read, or of which the numbers cannot be made, has the reason,
        and NaN.
    """
    kept = {
        (str(row["unit"]), str(row["second"]), str(row["inputs"])): row
        for row in ([] if earlier is None else earlier.to_dict("records"))
        if not row["reason"]
    }
    rows: list[Row] = []
    columns = dict.fromkeys(TOGETHER)
    for name, declared in beside.items():
        for one in declared:
            if not one.measure or one.of not in parts:
                continue
            columns |= dict.fromkeys(one.columns())
            first, second = Part(parts[one.of], one.of), Part(parts[name], name)
            own = [own_columns(biomarkers, part, parts) for part in (one.of, name)]
            both = [biomarkers[list(columns)].notna().any(axis=1) for columns in own]
            for values in biomarkers[both[0] & both[1]].to_dict("records"):
                pair = [_numbers(values, columns) for columns in own]
                rows.append(_row(str(values["unit"]), pair, (first, second), one, kept))
    return pd.DataFrame(rows, columns=list(columns))


def dictionary(beside: Mapping[str, Sequence[Beside]]) -> Mapping[str, Column]:
    """Return what all columns of `together` mean."""
    found = dict(TOGETHER)
    for declared in beside.values():
        for one in declared:
            found |= one.columns()
    return found


def _row(
    unit: str,
    own: Sequence[Mapping[str, float]],
    parts: tuple[Part, Part],
    one: Beside,
    kept: Mapping[tuple[str, str, str], Row],
) -> Row:
    row: dict[Hashable, object] = {
        "unit": unit,
        "first": parts[0].protocol,
        "second": parts[1].protocol,
    }
    nothing: dict[Hashable, object] = dict.fromkeys(one.columns(), math.nan)
    try:
        digests = [read_digests(part.context(unit), _subject(unit)) for part in parts]
        facts = canonical_json([one.version, one.measure, digests, own])
        inputs = hashlib.sha256(facts.encode()).hexdigest()[:16]
        before = kept.get((unit, parts[1].protocol, inputs))
        if before is not None and set(nothing) <= set(before):
            return before
        other, visit = (_visit(part, unit, v) for part, v in zip(parts, own, strict=True))
        found: dict[Hashable, object] = load(one.measure)(visit, other)
    except SubjectError as error:
        return {**row, "reason": error.reason, "inputs": "", **nothing}
    except (LookupError, ValueError, ArithmeticError):
        log.exception("%s: %s beside %s", unit, parts[1].protocol, parts[0].protocol)
        return {**row, "reason": "unexpected_error", "inputs": "", **nothing}
    return {**row, "reason": "", "inputs": inputs, **nothing, **found}


def _numbers(row: Row, columns: Mapping[str, str]) -> dict[str, float]:
    """Return a visit's values of one protocol, under the names that it has for them."""
    found = {own: row[column] for column, own in columns.items()}
    return {k: float(v) for k, v in found.items() if isinstance(v, int | float)}


def _subject(unit: str) -> Subject:
    sub, _, ses = unit.partition("_ses-")
    return Subject(sub=sub, ses=f"ses-{ses}" if ses else "")


def _visit(part: Part, unit: str, values: Mapping[str, float]) -> Visit:
    scan, labels = scan_and_labels(part.context(unit), _subject(unit), voxels=False)
    return Visit(labels=labels, affine=scan.affine, meta=scan.meta, values=values)
