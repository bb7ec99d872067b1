"""What the checks find of spoilt labels and images, and what they flag that is clean. No network.

    python benchmarks/qc.py --out DIR [--part NAME ...] [--rows] [--seconds N] [--fit]

Labels are given: experts' of ACDC's 70 patients on their images (end-diastole and end-systole),
of Sunnybrook (LV and wall), and true ones of digital hearts (whole cines). Each is judged clean,
and spoilt in the manners of `qc_spoilt.py`; digital hearts also with every fault that ``simulate``
makes, with the labels that they should have, and patients with the corruption suite at severity 5.

An error *matters* if the LVEF is off by more than 5 points or a volume (LV or RV, at end-diastole
or end-systole, or the wall at end-diastole) by more than 10% of the true one. Labels that are
spoilt so little that nothing is off by as much are counted apart.

ACDC's training patients and the first digital hearts are the *development* part, on which limits
and weights are chosen; its 14 validation patients, Sunnybrook and further hearts are the *report*
part. Printed are shares with 95% intervals of Wilson, or drawn by patient where results of one
hang together; which checks find what, and which raise each false alarm. Rows are kept below
``--out``: a run that was stopped goes on, ``--rows`` judges them with today's limits and trees.
``--fit`` fits the trees of the check `label_risk` and writes them to ``--trees``: by default the
file that is shipped, which is written only where every case of the development part was judged.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from base import sunnybrook
from popscan.arrays.corruptions import CORRUPTIONS, corrupt
from popscan.arrays.morphology import bounding_box
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc import CHECKS, Context
from popscan.protocols.cine_sax.qc.label_risk import label_signs
from popscan.protocols.cine_sax.simulate.faults import FAULTS, blur_labels
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.training.observe import labelled_part
from popscan.qc.model import Verdict
from popscan.qc.runner import run_checks
from popscan.records import Scan
from qc_campaign import DEVELOPMENT, show, with_label_risk
from qc_label_fit import FILE, show_fit
from qc_spoilt import PLAIN, SPOILT, Heart, Labels
from segmentation import acdc_cases

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
PARTS = ("training", "validation", "sunnybrook", "simulated", "simulated_more")
#: Digital hearts of a part: how many, and their seed.
HEARTS = {"simulated": (12, 411), "simulated_more": (6, 412)}
FRAMES = {"simulated": 12, "simulated_more": 16}
#: So many hearts of the report part have each fault that ``simulate`` makes.
WITH_FAULT = 3
CLEAN = "clean"
#: Times that a second observer redraws labels (the image is a little worse), and by how much.
REDRAWN, OBSERVER_MM = 2, 0.8
#: Around the heart, of cases on which nothing but signs is computed.
NEAR_VOXELS = 30
LVEF_POINTS, VOLUME_PCT = 5.0, 10.0
VOLUMES = ("lvedv_ml", "lvesv_ml", "rvedv_ml", "rvesv_ml", "walledv_ml")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A scan with true labels; `of` says which structures these have."""

    unit: str
    scan: Scan
    truth: Labels
    volumes: tuple[str, ...] = VOLUMES
    fault: str = ""


def volumes(ctx: Context) -> dict[str, float]:
    """Return volumes, the wall's at end-diastole, and the LVEF of labels; NaN where undefined."""
    found = {}
    for name, label in (("lv", Label.LV), ("rv", Label.RV), ("wall", Label.MYO)):
        for phase, t in zip(("ed", "es"), ctx.phases, strict=True):
            value = np.nan if t is None else float(ctx.curves_ml[label][t])
            found[f"{name}{phase}v_ml"] = value
    ed = found["lvedv_ml"]
    found["lvef_pct"] = 100.0 * (ed - found["lvesv_ml"]) / ed if ed > 0 else np.nan
    return found


def patients(data: Path, part: str) -> Iterator[Case]:
    """Yield ACDC's patients: those that the shipped bundle was trained on, or the others."""
    about = yaml.safe_load((SHIPPED / "model.yaml").read_text(encoding="utf-8"))
    held_out = set(about["validation"]["subjects"])
    for case in acdc_cases(data / "acdc"):
        if (case.unit in held_out) == (part == "validation"):
            own = labelled_part(case)
            yield Case(unit=case.unit, scan=own.scan, truth=own.labels.array)


def hearts(part: str, *, fault: str = "") -> Iterator[Case]:
    """Yield digital hearts of a part, all with one fault or none."""
    n, seed = HEARTS[part]
    for i, row in enumerate(sample_population(n, seed=seed).to_dict("records")):
        made = simulate_subject(
            {**row, "fault": fault}, seed=seed, kspace=False, spacing_mm=(1.8, 1.8),
            frames=FRAMES[part], slice_distance_mm=(8.0, 10.0)[i % 2],
            slice_thickness_mm=(7.0, 8.0)[i % 2],
        )  # fmt: skip
        yield Case(
            unit=f"{part}{i:02d}", scan=made.scan, truth=made.labels.array, fault=fault,
        )  # fmt: skip


def cases(part: str, data: Path) -> Iterator[Case]:
    """Yield the cases of a part, clean."""
    if part in HEARTS:
        yield from hearts(part)
    elif part == "sunnybrook":
        for pair in sunnybrook(data):
            names = ("lvedv_ml", "lvesv_ml")
            yield Case(unit=pair.unit, scan=pair.scan, truth=pair.truth, volumes=names)
    else:
        yield from patients(data, part)


def errors(own: Mapping[str, float], truth: Mapping[str, float], case: Case) -> dict[str, float]:
    """Return the error of the LVEF in points, and of volumes in percent."""
    return {
        "lvef_points": own["lvef_pct"] - truth["lvef_pct"],
        **{k: 100.0 * (own[k] - truth[k]) / truth[k] for k in case.volumes},
    }


def matters(off: Mapping[str, float]) -> bool:
    """Return whether errors matter; a number that there is not does."""
    limits = {name: LVEF_POINTS if name == "lvef_points" else VOLUME_PCT for name in off}
    return any(not abs(value) <= limits[name] for name, value in off.items())


def on_grid(labels: Labels, like: NDArray[Any]) -> Labels:
    """Return labels cut or padded to another's grid, about the middle."""
    out = np.zeros((*like.shape[:3], labels.shape[3]), dtype=np.uint8)
    here, there = [], []
    for n, m in zip(labels.shape[:3], out.shape[:3], strict=True):
        size = min(n, m)
        here.append(slice((n - size) // 2, (n - size) // 2 + size))
        there.append(slice((m - size) // 2, (m - size) // 2 + size))
    out[tuple(there)] = labels[tuple(here)]
    return out


def heart_of(case: Case, other: Case, number: int) -> Heart:
    """Return what the manners of spoiling need."""
    phases = [t or 0 for c in (case, other) for t in Context(c.scan, c.truth).phases]
    return Heart(
        labels=case.truth, spacing_mm=case.scan.spacing_mm, ed=phases[0], es=phases[1],
        other=on_grid(other.truth[..., phases[2:]], case.truth),
        rng=np.random.default_rng([20, number]),
    )  # fmt: skip


def redrawn(case: Case, rng: np.random.Generator) -> Labels:
    """Return the labels as a second observer would draw them."""
    box = bounding_box(case.truth > 0, margin=12)
    drawn = blur_labels(
        case.truth[box].transpose(3, 2, 0, 1), spacing_mm=case.scan.spacing_mm[:2],
        noise_mm=OBSERVER_MM, rng=rng,
    )  # fmt: skip
    out = np.zeros_like(case.truth)
    out[box] = drawn.transpose(2, 3, 1, 0)
    return out


def judged(
    case: Case, labels: Labels, truth: Mapping[str, float], *, checked: bool
) -> dict[str, Any]:
    """Return errors, whether they matter, every sign and, where `checked`, every check."""
    ctx = Context(case.scan, labels)
    off = errors(volumes(ctx), truth, case)
    checks = run_checks(CHECKS, ctx) if checked else []
    return {
        "matters": matters(off), **off,
        **{f"value {c.name}": c.value for c in checks},
        **{f"assessed {c.name}": c.verdict is not Verdict.NOT_ASSESSED for c in checks},
        **{f"sign {k}": v for k, v in label_signs(ctx).items()},
    }  # fmt: skip


def around_heart(case: Case) -> Case:
    """Return end-diastole and end-systole alone, cut in plane to what is near the heart."""
    ctx = Context(case.scan, case.truth)
    box, frames = bounding_box(case.truth > 0, margin=NEAR_VOXELS), [ctx.ed, ctx.es]
    meta = {**case.scan.meta, "frame_labels": ["ED", "ES"]}
    array = case.scan.array[box][..., frames]
    scan = replace(case.scan, array=array, frame_times_ms=None, meta=meta)
    return replace(case, scan=scan, truth=np.ascontiguousarray(case.truth[box][..., frames]))


def variants(case: Case, other: Case, number: int, part: str) -> Iterator[dict[str, Any]]:
    """Yield rows: a case clean, its labels spoilt, and its image damaged."""
    whole = part not in DEVELOPMENT
    truth = volumes(Context(case.scan, case.truth))
    yield {"kind": CLEAN, "of": "clean", **judged(case, case.truth, truth, checked=True)}
    case = case if whole else around_heart(case)
    heart = heart_of(case, other, number)
    for k, (kind, spoil) in enumerate(SPOILT.items()):
        if not whole and kind in PLAIN and (k + number) % 3:
            continue
        labels = spoil(heart)
        if labels is not None and not np.array_equal(labels, case.truth):
            yield {"kind": kind, "of": "labels", **judged(case, labels, truth, checked=whole)}
    for k in range(REDRAWN):
        array = corrupt(case.scan.array, ("noise", "blur")[k % 2], severity=1, seed=number)
        drawn = redrawn(case, np.random.default_rng([21, number, k]))
        worse = replace(case, scan=replace(case.scan, array=array))
        yield {"kind": "redrawn", "of": "redrawn", **judged(worse, drawn, truth, checked=whole)}
    for name in CORRUPTIONS if whole and part not in HEARTS else ():
        array = corrupt(case.scan.array, name, severity=5)
        worse = replace(case, scan=replace(case.scan, array=array))
        yield {"kind": name, "of": "image", **judged(worse, case.truth, truth, checked=True)}


def rows_of(part: str, data: Path, kept: Path, until: float) -> bool:
    """Judge everything of a part that `kept` lacks; return whether it was finished in time."""
    done = set()
    if kept.exists():
        done = {row["unit"] for row in kept_rows(kept)}
    before: Case | None = None
    for number, case in enumerate(cases(part, data)):
        other, before = before or case, case
        if case.unit in done:
            continue
        if time.monotonic() > until:
            return False
        who = {"unit": case.unit, "part": part}
        _keep(kept, [{**who, **row} for row in variants(case, other, number, part)])
    for fault in FAULTS if part in HEARTS and part not in DEVELOPMENT else ():
        for case in islice(hearts(part, fault=fault), WITH_FAULT):
            name = f"{case.unit} {fault}"
            if name in done:
                continue
            if time.monotonic() > until:
                return False
            truth = volumes(Context(case.scan, case.truth))
            row = judged(case, case.truth, truth, checked=True)
            _keep(kept, [{"unit": name, "part": part, "kind": fault, "of": "image", **row}])
    return True


def _keep(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(rows, default=float) + "\n")


def kept_rows(path: Path) -> list[dict[str, Any]]:
    """Return what earlier runs kept: a line per unit, the first where two runs judged one.

    A torn last line is left out.
    """
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    by_unit: dict[str, list[dict[str, Any]]] = {}
    for rows in map(json.loads, lines):
        by_unit.setdefault(rows[0]["unit"], rows)
    return [row for rows in by_unit.values() for row in rows]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="folder of acdc/ and sunnybrook/")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True, help="folder for the rows")
    parser.add_argument("--rows", action="store_true", help="judge the rows of an earlier run")
    parser.add_argument("--fit", action="store_true", help="fit label_risk, development part")
    parser.add_argument("--seconds", type=float, default=np.inf, help="stop after so many")
    parser.add_argument("--trees", type=Path, default=FILE, help="file that --fit writes")
    given = parser.parse_args()
    data = given.data or Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    given.out.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + given.seconds
    parts = given.part or PARTS
    for part in () if given.rows else parts:
        whole = rows_of(part, data, given.out / f"{part}.jsonl", until)
        if whole:
            (given.out / f"{part}.whole").touch()
        print(f"{part}: {'whole' if whole else 'stopped, a part'}", flush=True)
    lacking = [p for p in DEVELOPMENT if not (given.out / f"{p}.whole").exists() or p not in parts]
    if given.fit and lacking and given.trees == FILE:
        parser.error(f"--fit: not all of {', '.join(lacking)} was judged; name another --trees")
    kept = (kept_rows(given.out / f"{part}.jsonl") for part in parts)
    rows = pd.DataFrame([row for found in kept for row in found])
    rows = rows.assign(patient=rows["unit"].str.split().str[0])
    if given.fit:
        show_fit(rows[rows["part"].isin(DEVELOPMENT)].reset_index(drop=True), given.trees)
    show(with_label_risk(rows))


if __name__ == "__main__":
    main()
