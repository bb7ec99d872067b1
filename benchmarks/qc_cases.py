"""Results with known truth for `qc_truth.py`: scans, damaged scans and damaged labels.

Every scan is segmented once. What came of it is kept in a file per scan below the folder given, so
that a run that was stopped goes on, and limits and checks are judged again without a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from base import Pair, sunnybrook
from base import simulated as digital
from popscan.arrays.corruptions import CORRUPTIONS, corrupt
from popscan.protocols.cine_sax.biomarkers import measure
from popscan.protocols.cine_sax.frame import base_is_first
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.training.observe import labelled_part
from popscan.records import Scan
from popscan.segment import Bundle
from popscan.stages.segment.uncertainty import base_doubt
from segmentation import acdc_cases

PARTS = ("validation", "training", "simulated", "sunnybrook")
#: Of the looks in which a scan may be damaged, the network sees each so many-th. Where a part has
#: few, slices are lost or moved with their labels: it segments slice by slice, with one neighbour
#: on each side.
EACH_LOOK = {"validation": 2, "sunnybrook": 2, "training": 7, "simulated": 0}
SEVERITIES = (2, 4)
CLEAN = "as it is"
Labels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Result:
    """Labels of a scan, what the segmentation says of itself, and the true volumes.

    `kind` is what was done to the scan (or to its labels, ``labels: ...``); `of` says which
    structures the truth has.
    """

    unit: str
    part: str
    kind: str
    scan: Scan
    labels: Labels
    record: Mapping[str, Any]
    truth: Mapping[str, float]
    of: tuple[Label, ...]


def pairs(part: str, data: Path, held_out: set[str], *, simulated: int) -> Iterator[Pair]:
    """Yield the scans of a part as they are, at ED and ES."""
    if part == "simulated":
        yield from digital(simulated)
    elif part == "sunnybrook":
        yield from sunnybrook(data)
    else:
        for case in acdc_cases(data / "acdc"):
            if (case.unit in held_out) == (part == "validation"):
                own = labelled_part(case)
                yield Pair(
                    unit=case.unit, part=part, look=CLEAN, scan=own.scan, truth=own.labels.array
                )


# --- damage to scans -----------------------------------------------------------------------------


def _rows(pair: Pair) -> list[int]:
    """Return the slices with LV at ED, from base to apex."""
    held = np.flatnonzero((pair.truth[..., 0] == Label.LV).any(axis=(0, 1))).tolist()
    return held if base_is_first(pair.truth[..., 0]) else held[::-1]


def _kept(pair: Pair, lost: list[int]) -> Pair:
    """Return a stack without some slices; those left close up, as in a file that lacks them."""
    order = [z for z in range(pair.truth.shape[2]) if z not in lost]
    scan = replace(pair.scan, array=pair.scan.array[:, :, order])
    return replace(pair, scan=scan, truth=pair.truth[:, :, order])


def _from_base(pair: Pair, n: int) -> Pair:
    """Leave out the first `n` slices with LV and all that lie above."""
    rows = _rows(pair)
    above = range(rows[0]) if rows[0] < rows[-1] else range(rows[0] + 1, pair.truth.shape[2])
    return _kept(pair, [*above, *rows[:n]])


def _from_apex(pair: Pair, n: int) -> Pair:
    rows = _rows(pair)
    below = range(rows[-1] + 1, pair.truth.shape[2]) if rows[0] < rows[-1] else range(rows[-1])
    return _kept(pair, [*below, *rows[-n:]])


def _doubled(pair: Pair, rng: np.random.Generator) -> Pair:
    """Write a slice of the middle over its neighbour."""
    rows = _rows(pair)
    at = int(rng.integers(1, len(rows) - 1))
    array, truth = pair.scan.array.copy(), pair.truth.copy()
    array[:, :, rows[at]] = array[:, :, rows[at - 1]]
    truth[:, :, rows[at]] = truth[:, :, rows[at - 1]]
    return replace(pair, scan=replace(pair.scan, array=array), truth=truth)


def _slipped(pair: Pair, rng: np.random.Generator) -> Pair:
    """Shift a third of the slices by 8 to 16 mm in plane, with their truth."""
    array, truth = pair.scan.array.copy(), pair.truth.copy()
    for z in range(truth.shape[2]):
        if rng.random() < 1 / 3:
            angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(8, 16) / pair.scan.spacing_mm[0]
            step = [round(size * np.cos(angle)), round(size * np.sin(angle))]
            array[:, :, z] = np.roll(array[:, :, z], step, axis=(0, 1))
            truth[:, :, z] = np.roll(truth[:, :, z], step, axis=(0, 1))
    return replace(pair, scan=replace(pair.scan, array=array), truth=truth)


def _mistriggered(pair: Pair, rng: np.random.Generator) -> Pair:
    """Exchange ED and ES in a quarter of the slices: their cycle began elsewhere."""
    rows = _rows(pair)
    chosen = rng.choice(rows, max(1, len(rows) // 4), replace=False)
    array, truth = pair.scan.array.copy(), pair.truth.copy()
    array[:, :, chosen] = array[:, :, chosen, ::-1]
    truth[:, :, chosen] = truth[:, :, chosen, ::-1]
    return replace(pair, scan=replace(pair.scan, array=array), truth=truth)


#: What goes wrong between scanner and file, done to image and labels alike.
ACQUISITION: Mapping[str, Callable[[Pair, np.random.Generator], Pair]] = {
    "stack lacks 1 basal slice": lambda p, _: _from_base(p, 1),
    "stack lacks 2 basal slices": lambda p, _: _from_base(p, 2),
    "stack lacks 2 apical slices": lambda p, _: _from_apex(p, 2),
    "stack lacks a middle slice": lambda p, r: _kept(p, [_rows(p)[int(r.integers(2, 5))]]),
    "slice doubled": _doubled,
    "slices slipped": _slipped,
    "slices mistriggered": _mistriggered,
}


def looks(pair: Pair, number: int) -> Iterator[Pair]:
    """Yield a scan damaged in every manner."""
    for k, name in enumerate(CORRUPTIONS):
        severity = SEVERITIES[(number + k) % len(SEVERITIES)]
        array = corrupt(pair.scan.array, name, severity=severity)
        yield replace(pair, look=f"{name} {severity}", scan=replace(pair.scan, array=array))
    for name, damage in ACQUISITION.items():
        yield replace(damage(pair, np.random.default_rng(number)), look=name)


# --- damage to labels ----------------------------------------------------------------------------


def _basal_rows(labels: Labels, t: int) -> tuple[list[int], int]:
    """Return the slices with LV from base to apex, and the step towards the base."""
    held = np.flatnonzero((labels[..., t] == Label.LV).any(axis=(0, 1))).tolist()
    first = base_is_first(labels[..., t])
    return (held if first else held[::-1]), (-1 if first else 1)


def _slice_added(labels: Labels) -> Labels | None:
    """Repeat the most basal slice at ES in the slice above, if the stack has one."""
    rows, up = _basal_rows(labels, 1)
    if not rows or not 0 <= rows[0] + up < labels.shape[2]:
        return None
    out = labels.copy()
    out[:, :, rows[0] + up, 1] = labels[:, :, rows[0], 1]
    return out


def _slice_lost(labels: Labels) -> Labels | None:
    rows, _ = _basal_rows(labels, 0)
    if len(rows) < 2:
        return None
    out = labels.copy()
    out[:, :, rows[0], 0] = 0
    return out


def _rv_leak(labels: Labels) -> Labels:
    """Let the RV grow by three pixels over what is not labelled."""
    grown = ndimage.binary_dilation(labels == Label.RV, iterations=3, structure=_plane())
    return np.where(grown & (labels == 0), np.uint8(Label.RV), labels)


def _wall_thickened(labels: Labels) -> Labels:
    """Let the wall grow by a pixel into the cavity, at both phases."""
    kept = ndimage.binary_erosion(labels == Label.LV, structure=_plane())
    return np.where((labels == Label.LV) & ~kept, np.uint8(Label.MYO), labels)


def _plane() -> NDArray[np.bool_]:
    return ndimage.generate_binary_structure(2, 1)[..., None, None]


def _swapped(labels: Labels) -> Labels:
    codes = np.arange(256, dtype=np.uint8)
    codes[[Label.LV, Label.RV]] = Label.RV, Label.LV
    return codes[labels]


def _frame_lost(labels: Labels) -> Labels:
    """Label end-systole in the apical half alone."""
    rows, _ = _basal_rows(labels, 1)
    out = labels.copy()
    out[:, :, rows[: len(rows) // 2], 1] = 0
    return out


SPOILT: Mapping[str, Callable[[Labels], Labels | None]] = {
    "labels: basal slice more at ES": _slice_added,
    "labels: basal slice less at ED": _slice_lost,
    "labels: RV leaks": _rv_leak,
    "labels: wall too thick": _wall_thickened,
    "labels: LV and RV exchanged": _swapped,
    "labels: half a frame lost": _frame_lost,
}


# --- results -------------------------------------------------------------------------------------


class NotKept(Exception):
    """No earlier run kept what the network makes of a scan, and it is not to be asked."""


def results(
    part: str, data: Path, bundle: Bundle, kept: Path, *, simulated: int, every: int, ask: bool
) -> Iterator[Result]:
    """Yield the results of all scans of a part, with the network only where `kept` lacks one.

    Of training patients each `every`-th is taken. Without `ask` scans that `kept` lacks are left
    out.
    """
    held_out = set(bundle.about["validation"]["subjects"])
    found = pairs(part, data, held_out, simulated=simulated)
    for number, pair in enumerate(islice(found, 0, None, every if part == "training" else 1)):
        try:
            labels, record = _segmented(pair, bundle, kept, ask=ask)
        except NotKept:
            continue
        clean = Result(
            unit=pair.unit, part=part, kind=CLEAN, scan=pair.scan, labels=labels, record=record,
            truth=volumes(pair.truth, pair.scan), of=pair.of,
        )  # fmt: skip
        yield clean
        for name, spoil in SPOILT.items():
            if (spoilt := spoil(labels)) is not None:
                yield replace(clean, kind=name, labels=spoilt)
        step = EACH_LOOK[part]
        if step not in (1, 2):
            yield from _moved(replace(pair, truth=labels), clean, number)
        for look in islice(looks(pair, number), number % step, None, step) if step else ():
            try:
                labels, record = _segmented(look, bundle, kept, ask=ask)
            except NotKept:
                continue
            yield replace(clean, kind=look.look, scan=look.scan, labels=labels, record=record)


def _moved(pair: Pair, clean: Result, number: int) -> Iterator[Result]:
    """Yield results of stacks whose slices were lost or moved, labels and all, three each."""
    names = list(ACQUISITION)
    for k in range(3):
        name = names[(3 * number + k) % len(names)]
        moved = ACQUISITION[name](pair, np.random.default_rng(number))
        yield replace(clean, kind=name, scan=moved.scan, labels=moved.truth)


def volumes(labels: Labels, scan: Scan) -> dict[str, float]:
    names = list(scan.meta["frame_labels"])
    return measure(labels, spacing_mm=scan.spacing_mm, frame_labels=names)


def _segmented(
    pair: Pair, bundle: Bundle, kept: Path, *, ask: bool
) -> tuple[Labels, dict[str, Any]]:
    """Return labels and what segmentation says, from the file of an earlier run if there is one."""
    path = kept / pair.part / f"{pair.unit}__{pair.look.replace(' ', '_')}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            if str(file["bundle"]) == bundle.digest:
                return file["labels"], json.loads(str(file["record"]))
    if not ask:
        raise NotKept(path.name)
    found = segment(pair.scan, bundle=bundle)
    doubt = {
        side: {name: curve.tolist() for name, curve in curves.items()}
        for side, curves in base_doubt(found, pair.scan).items()
    }
    record = {**found.values, "base": doubt}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, labels=found.labels, record=json.dumps(record), bundle=bundle.digest)
    return found.labels, record


def errors(result: Result) -> dict[str, float]:
    """Return the error of the LVEF in points and of every volume in percent and mL."""
    own = volumes(result.labels, result.scan)
    found = {"lvef_points": own["lvef_pct"] - result.truth["lvef_pct"]}
    for label in (k for k in STRUCTURES if k in result.of and k is not Label.MYO):
        for phase in ("edv", "esv"):
            name = f"{STRUCTURES[label]}{phase}"
            off = own[f"{name}_ml"] - result.truth[f"{name}_ml"]
            found[f"{name}_pct"] = 100.0 * off / result.truth[f"{name}_ml"]
            found[f"{name}_ml"] = off
    return found
