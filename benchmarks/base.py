"""What deciding where the left ventricle ends by evidence changes, by region of the stack.

    python benchmarks/base.py [--model DIR] [--decision 0] [--part NAME ...] [--fit] [--every N]

Each scan is segmented once; before and after come from the same labels, so nothing else differs.

- validation: the ACDC patients that the bundle names as such; no parameter was chosen on them.
- training: the other ACDC patients, clean and with their appearance changed (the network has seen
  them, so only what the change does to the base says anything).
- simulated: digital hearts whose stack reaches above the valve, base known exactly, at ED and ES.
- sunnybrook: another vendor, contours of the LV at ED and ES.

``--fit`` prints the weights of the signs fitted on the training patients and simulated hearts, and
how well they do on each patient left out: where the constants of
`popscan.protocols.cine_sax.base_evidence` come from.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage, optimize

from popscan.arrays.corruptions import corrupt
from popscan.arrays.intensity import black_and_white
from popscan.arrays.metrics import dice
from popscan.protocols.cine_sax.base import Base, find_base, remove_above
from popscan.protocols.cine_sax.base_evidence import EVIDENCE, INTERCEPT, WEIGHTS, slice_evidence
from popscan.protocols.cine_sax.biomarkers import measure
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.regions import slice_regions
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.training.observe import labelled_part
from popscan.records import Scan
from popscan.segment import Bundle, load_bundle
from robustness import contoured
from segmentation import acdc_cases, decided_at

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
SEED = 777
QUANTITIES = ("lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvesv_ml", "rvef_pct")
#: Share of the most basal slices that are taken to be above the base, before any sign is seen.
PRIOR = 0.15
_NAMES = ["ED", "ES"]
_WHEN = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A scan's ED and ES with truth; `of` says which structures the truth has."""

    unit: str
    part: str
    look: str
    scan: Scan
    truth: NDArray[np.uint8]
    of: tuple[Label, ...] = tuple(STRUCTURES)


def _gamma(array: NDArray, power: float) -> NDArray[np.float32]:
    low, high = map(float, black_and_white(array))
    return (np.clip((array - low) / (high - low), 0, None) ** power).astype(np.float32)


def _equalised(array: NDArray) -> NDArray[np.float32]:
    levels = np.quantile(array, np.linspace(0, 1, 257)) + np.arange(257) * 1e-3
    return np.interp(array, levels, np.linspace(0, 1, 257)).astype(np.float32)


def _sharpened(array: NDArray) -> NDArray[np.float32]:
    smooth = ndimage.gaussian_filter(array.astype(np.float32), (1.5, 1.5, 0, 0))
    return (array + 1.5 * (array - smooth)).astype(np.float32)


#: Looks that a scanner may have; all but the first are changes of the image.
LOOKS: dict[str, Callable[[NDArray], NDArray]] = {
    "as it is": lambda a: a,
    "gamma 0.45": lambda a: _gamma(a, 0.45),
    "gamma 2": lambda a: _gamma(a, 2.0),
    "equalised": _equalised,
    "sharpened": _sharpened,
    **{
        f"{name} {severity}": lambda a, n=name, s=severity: corrupt(a, n, severity=s)
        for name, severity in (
            ("noise", 3), ("blur", 4), ("resolution", 4), ("bias_field", 5), ("ghosting", 5),
        )
    },
}  # fmt: skip


def acdc(data: Path, bundle: Bundle, part: str, *, every: int = 1) -> Iterator[Pair]:
    """Yield validation patients as they are, or (each so many-th of) the others in every look."""
    number = -1
    held_out = set(bundle.about["validation"]["subjects"])
    for case in acdc_cases(data / "acdc"):
        if (case.unit in held_out) != (part == "validation"):
            continue
        number += 1
        if part == "training" and number % every:
            continue
        pair = labelled_part(case)
        for look, change in LOOKS.items():
            if part == "training" or look == "as it is":
                scan = replace(pair.scan, array=change(pair.scan.array))
                yield Pair(unit=case.unit, part=part, look=look, scan=scan, truth=pair.labels.array)


def simulated(n: int) -> Iterator[Pair]:
    """Yield digital hearts at ED and ES, half of them with slices 8 mm apart."""
    for i, row in enumerate(sample_population(n, seed=SEED).to_dict("records")):
        case = simulate_subject(
            {**row, "fault": ""}, seed=SEED, kspace=False, spacing_mm=(1.8, 1.8), frames=10,
            slice_distance_mm=(8.0, 10.0)[i % 2], slice_thickness_mm=(7.0, 8.0)[i % 2],
        )  # fmt: skip
        cavity = (case.labels.array == Label.LV).sum(axis=(0, 1, 2))
        yield _two_frames(
            f"sim{i:02d}", "simulated", case.scan, case.labels.array,
            [int(cavity.argmax()), int(cavity.argmin())],
        )  # fmt: skip


def sunnybrook(data: Path) -> Iterator[Pair]:
    """Yield the patients of another vendor; ED is the labelled frame with more cavity."""
    for name, case in contoured(data / "sunnybrook").items():
        frames = sorted(
            case.labels.frames, key=lambda t: -(case.labels.array[..., t] == Label.LV).sum()
        )[:2]
        pair = _two_frames(name, "sunnybrook", case.scan, case.labels.array, frames)
        yield replace(pair, of=(Label.LV,))


def _two_frames(
    unit: str, part: str, scan: Scan, truth: NDArray[np.uint8], frames: list[int]
) -> Pair:
    meta = {**scan.meta, "frame_labels": _NAMES}
    reduced = replace(scan, array=scan.array[..., frames], frame_times_ms=None, meta=meta)
    return Pair(unit=unit, part=part, look="as it is", scan=reduced, truth=truth[..., frames])


def decided(pair: Pair, bundle: Bundle) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Base, Any]:
    """Return the labels before and after the step, the decision, and the tally."""
    found = segment(pair.scan, bundle=bundle, base=False)
    assert found.tally is not None
    end = find_base(
        found.labels, pair.scan.array, found.tally.expected,
        spacing_mm=pair.scan.spacing_mm, pixel_mm2=found.tally.pixel_mm2,
    )  # fmt: skip
    after = found.labels.copy()
    remove_above(after, end)
    return found.labels, after, end, found.tally


def errors(pair: Pair, labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return errors of the quantities that the truth has, and Dice by region."""
    names, spacing = list(pair.scan.meta["frame_labels"]), pair.scan.spacing_mm
    one, other = (measure(a, spacing_mm=spacing, frame_labels=names) for a in (labels, pair.truth))
    prefixes = {Label.LV: ("lve", "lvs"), Label.MYO: ("lvm",), Label.RV: ("rv",)}
    wanted = tuple(p for k in pair.of for p in prefixes[k])
    row = {q: one[q] - other[q] for q in QUANTITIES if q.startswith(wanted)}
    overlaps: dict[str, list[float]] = {}
    for t in range(2):
        regions = np.array(slice_regions(pair.truth[..., t]))
        # A slice above the base is of the base: that is where it does harm.
        regions[regions == "outside"] = "base"
        for region in ("base", "mid", "apex"):
            where = regions == region
            overlaps.setdefault(f"dice {region}", []).extend(
                dice(labels[:, :, where, t], pair.truth[:, :, where, t], k) for k in pair.of
            )
        overlaps.setdefault("dice", []).extend(
            dice(labels[..., t], pair.truth[..., t], k) for k in pair.of
        )
    return row | {name: float(np.nanmean(values)) for name, values in overlaps.items()}


def signs(pair: Pair, labels: NDArray[np.uint8], tally: Any) -> list[dict[str, Any]]:
    """Return the signs of the basal slices, the base first, and whether they are ventricle."""
    evidence = slice_evidence(
        labels, pair.scan.array, tally.expected, spacing_mm=pair.scan.spacing_mm
    )
    truth, cavity = ((a == Label.LV).sum(axis=(0, 1)) for a in (pair.truth, labels))
    rows = []
    for z, t in np.argwhere(np.isfinite(evidence["open"])):
        if truth[z, t] and cavity[z, t] < 0.3 * truth[z, t]:
            continue  # a slice that was mostly missed says nothing of the base
        inside = {"ventricle": bool(truth[z, t] >= 0.5 * cavity[z, t])}
        who = {"unit": pair.unit, "part": pair.part, "look": pair.look}
        rows.append(who | inside | {name: evidence[name][z, t] for name in EVIDENCE})
    return rows


def fit(rows: pd.DataFrame, *, ridge: float = 0.01) -> NDArray[np.float64]:
    """Return intercept and weights: a logistic model whose signs can only speak against.

    Slices above and below the base weigh `PRIOR` and the rest, real and simulated hearts the same.
    """
    y, x = rows["ventricle"].to_numpy(), rows[list(EVIDENCE)].to_numpy()
    groups = rows.groupby([rows["part"], rows["ventricle"]])["ventricle"].transform("size")
    weight = np.where(y, 1 - PRIOR, PRIOR) / groups.to_numpy()
    weight /= weight.sum()

    def loss(p: NDArray[np.float64]) -> float:
        s = p[0] - x @ p[1:]
        return float(
            (weight * np.logaddexp(0, np.where(y, -s, s))).sum()
            + 0.5 * ridge * ((p[1:] / 5) ** 2).sum()
        )

    start = np.r_[INTERCEPT, WEIGHTS]
    bounds = [(None, None), *[(0, None)] * len(EVIDENCE)]
    return np.asarray(optimize.minimize(loss, start, bounds=bounds, method="L-BFGS-B").x)


def show_fit(rows: pd.DataFrame) -> None:
    """Print the fitted weights and the errors of the rule in use, and of each patient left out."""
    names = ["intercept", *EVIDENCE]
    print("\n== weights ==")
    print("in use:  ", dict(zip(names, (INTERCEPT, *WEIGHTS), strict=True)))
    print("fitted:  ", dict(zip(names, fit(rows).round(2).tolist(), strict=True)))
    x, y = rows[list(EVIDENCE)].to_numpy(), rows["ventricle"].to_numpy()
    scores = {"in use": INTERCEPT - x @ np.array(WEIGHTS), "left out": np.zeros(len(rows))}
    for unit in rows.loc[~y, "unit"].unique():
        own = (rows["unit"] == unit).to_numpy()
        p = fit(rows[~own])
        scores["left out"][own] = p[0] - x[own] @ p[1:]
    rest = ~rows["unit"].isin(rows.loc[~y, "unit"]).to_numpy()
    p = fit(rows)
    scores["left out"][rest] = p[0] - x[rest] @ p[1:]
    for part in rows["part"].unique():
        for name, score in scores.items():
            own = (rows["part"] == part).to_numpy()
            above, below = own & ~y, own & y
            print(
                f"{part}, {name}: {int((score[above] < 0).sum())} of {above.sum()} slices above "
                f"the base removed, {int((score[below] < 0).sum())} of {below.sum()} below"
            )


def summary(rows: pd.DataFrame) -> str:
    """Return mean absolute errors, bias and Dice, before and after."""
    cells: dict[str, dict[str, float]] = {}
    for name in (*QUANTITIES, "dice", "dice base", "dice mid", "dice apex"):
        if name not in rows:
            continue
        for when in ("before", "after"):
            values = rows.loc[rows["when"] == when, name]
            row = cells.setdefault(name, {})
            if name.startswith("dice"):
                row[f"{when}: mean"] = values.mean()
            else:
                row[f"{when}: bias"] = values.mean()
                row[f"{when}: mean abs."] = values.abs().mean()
    frame = pd.DataFrame(cells).T.dropna(how="all")
    order = [f"{when}: {kind}" for kind in ("bias", "mean abs.", "mean") for when in _WHEN]
    return frame[[c for c in order if c in frame]].round(4).to_string(na_rep="")


def by_look(rows: pd.DataFrame) -> str:
    """Return the bias of the quantities and the Dice in every look, after the step."""
    names = [name for name in (*QUANTITIES, "dice") if name in rows]
    return rows.groupby("look", sort=False)[names].mean().round(2).to_string()


def observed(pair: Pair, bundle: Bundle, *, fitting: bool) -> dict[str, list[dict[str, Any]]]:
    """Return a scan's errors before and after, and its signs where they are fitted."""
    before, after, end, tally = decided(pair, bundle)
    rows = []
    for when, labels in (("before", before), ("after", after)):
        which = {"unit": pair.unit, "part": pair.part, "look": pair.look, "when": when}
        counts = {"removed": end.n_slices_removed, "doubtful": end.n_frames_doubtful}
        rows.append(which | counts | errors(pair, labels))
    wanted = fitting and pair.part in ("training", "simulated")
    return {"rows": rows, "signs": signs(pair, before, tally) if wanted else []}


def kept_scans(folder: Path | None) -> dict[str, dict[str, Any]]:
    """Return what an earlier run with the same options left in a folder."""
    if folder is None or not (folder / "scans.jsonl").exists():
        return {}
    lines = (folder / "scans.jsonl").read_text(encoding="utf-8").splitlines()
    return {scan["key"]: scan for scan in map(json.loads, lines)}


def keep_scan(folder: Path | None, scan: dict[str, Any]) -> None:
    """Add a scan to the folder."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "scans.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(scan, default=float) + "\n")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--decision", type=float, help="log-odds of the LV instead of the bundle's")
    parser.add_argument("--data", type=Path, default=None, help="folder of acdc/ and sunnybrook/")
    parts = ("validation", "training", "simulated", "sunnybrook")
    parser.add_argument("--part", action="append", choices=parts)
    parser.add_argument("--simulated", type=int, default=16, help="digital hearts")
    parser.add_argument("--every", type=int, default=1, help="every so many-th training patient")
    parser.add_argument("--fit", action="store_true", help="fit the weights (training, simulated)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="then stop and print")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the rows; an earlier run is gone on"
    )
    given = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    data = given.data or Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    bundle = decided_at(load_bundle(given.model, "auto"), given.decision)
    done = kept_scans(given.out)
    begun = time.monotonic()
    for part in given.part or parts:
        pairs = {
            "validation": lambda: acdc(data, bundle, "validation"),
            "training": lambda: acdc(data, bundle, "training", every=given.every),
            "simulated": lambda: simulated(given.simulated),
            "sunnybrook": lambda: sunnybrook(data),
        }[part]()
        for pair in pairs:
            if time.monotonic() - begun > given.seconds:
                print(f"{part}: stopped after {given.seconds:g} s; what follows is of a part")
                break
            key = f"{part} {pair.unit} {pair.look}"
            if key not in done:
                done[key] = {"key": key, **observed(pair, bundle, fitting=given.fit)}
                keep_scan(given.out, done[key])
    rows = [row for scan in done.values() for row in scan["rows"]]
    seen = [sign for scan in done.values() for sign in scan["signs"]]
    table = pd.DataFrame(rows)
    table["set"] = table["part"].where(table["look"] == "as it is", table["part"] + ", other looks")
    for name, own in table.groupby("set", sort=False):
        after = own[own["when"] == "after"]
        print(
            f"\n== {name}: {len(after)} scans of {after['unit'].nunique()}; slices removed in "
            f"{(after['removed'] > 0).sum()}, base doubtful in {(after['doubtful'] > 0).sum()} =="
        )
        print(summary(own))
        if after["look"].nunique() > 1:
            print(f"bias by look:\n{by_look(after)}")
    if given.fit:
        show_fit(pd.DataFrame(seen))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.out / "base.tsv", sep="\t", index=False)


if __name__ == "__main__":
    main()
