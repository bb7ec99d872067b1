"""What quality control finds of results that are wrong, and what it flags that is right.

    python benchmarks/qc_truth.py --out DIR [--model DIR] [--part NAME ...] [--fit] [--rows|--kept]

A result is *wrong* if its LVEF is off by more than 5 points, or a volume (LV or RV, ED or ES) by
more than 15% of the true one and more than `LEAST_ML`. Results are those of `qc_cases.py`: ACDC
validation patients, digital hearts and Sunnybrook (LV alone), as they are and damaged (the
corruption suite; stacks that lack slices; slices slipped, doubled, mistriggered), their labels
damaged; and every second training patient, said apart: the network has seen them.

Patients are parted in two halves by a digest of their names, all that is made of one on one side.
Weights of the check `error_risk` (``--fit`` prints them) and limits are chosen on the *development*
half alone; what is claimed is the *report* half. Printed are the shares with 95% intervals of
Wilson (results of one patient hang together, so they are too narrow), by part and by kind of
damage, per check what it finds, finds alone, and flags in vain; and the *true failures*: results
that are wrong and pass, whose 90% interval of what is wrong excludes the truth (`qc_silent.py`).

Everything is kept below ``--out``: a run that was stopped goes on, and with ``--rows`` the table
of an earlier run is judged with today's limits, without images.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from popscan.protocols.cine_sax.qc import CHECKS, check
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.evidence import signs
from popscan.protocols.cine_sax.qc.risk import WEIGHTS, contributions, risk
from popscan.qc.model import Spec, Verdict
from popscan.segment import Bundle, load_bundle
from popscan.stats.intervals import wilson
from qc_cases import CLEAN, PARTS, Result, errors, results, volumes
from qc_fit import show_fit
from qc_silent import outside, share_by_patient, silent

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
LVEF_POINTS = 5.0
VOLUME_PCT = 15.0
#: A volume is not wrong by less: 15% of a cavity of 20 mL is within what two experts differ.
LEAST_ML = 10.0
_FLAGS = (Verdict.REVIEW, Verdict.FAIL)


def half(unit: str) -> str:
    """Return on which side a patient is: development or report."""
    odd = hashlib.sha256(unit.encode()).digest()[0] % 2
    return "development" if odd else "report"


def wrong(off: Mapping[str, float], *, least_ml: float = LEAST_ML) -> bool:
    """Tell whether errors, as of `qc_cases.errors`, make a result wrong; NaN does."""
    known = [name for name in off if name == "lvef_points" or name.endswith("v_pct")]
    return any(too_far(off, name, least_ml=least_ml) for name in known)


def too_far(off: Mapping[str, float], name: str, *, least_ml: float = LEAST_ML) -> bool:
    """Tell whether one of the errors, ``lvef_points`` or of a volume in percent, is too large."""
    if name == "lvef_points":
        return not abs(off[name]) <= LVEF_POINTS
    small = abs(off[f"{name.removesuffix('_pct')}_ml"]) <= least_ml
    return not (abs(off[name]) <= VOLUME_PCT or small)


def judged(result: Result, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row: who, the errors, which mislead, the value of every check and of every sign.

    `about` is the bundle's `model.yaml`: its calibration makes the intervals.
    """
    off = errors(result)
    beyond = outside(volumes(result.labels, result.scan), result.truth, result.record, about)
    checks = check(result.scan, result.labels, from_segmentation=result.record)
    return {
        "unit": result.unit,
        "part": result.part,
        "kind": result.kind,
        "half": half(result.unit),
        "wrong": wrong(off),
        "strictly": wrong(off, least_ml=0.0),
        **off,
        **{f"misled {k}": beyond[k] and too_far(off, k) for k in beyond if k in off},
        **{f"value {c.name}": c.value for c in checks},
        **{f"assessed {c.name}": c.verdict is not Verdict.NOT_ASSESSED for c in checks},
        **{
            f"sign {k}": v
            for k, v in signs(
                Context(result.scan, result.labels, from_segmentation=result.record)
            ).items()
        },
    }


def table_of(given: argparse.Namespace, bundle: Bundle, data: Path) -> pd.DataFrame:
    """Return the rows of all results, and keep them."""
    rows: list[dict[str, Any]] = []
    for part in given.part or PARTS:
        for one in results(
            part, data, bundle, given.out / "results", simulated=given.simulated,
            every=given.every, ask=not given.kept,
        ):  # fmt: skip
            rows.append(judged(one, bundle.about))
        print(f"{part}: {len(rows)} results", flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(given.out / "qc_truth.tsv", sep="\t", index=False)
    return table


def flags(rows: pd.DataFrame, specs: Mapping[str, Spec] = CHECKS) -> pd.DataFrame:
    """Return which check flags which row, with the limits of `specs` (today's by default)."""
    known = [name for name in specs if f"value {name}" in rows]
    return pd.DataFrame(
        {
            name: [
                bool(seen) and specs[name].judge(float(value)) in _FLAGS
                for value, seen in zip(rows[f"value {name}"], rows[f"assessed {name}"], strict=True)
            ]
            for name in known
        },
        index=rows.index,
    )


def with_risk(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the value of `error_risk` by today's weights."""
    values = [
        risk(contributions({name: row[f"sign {name}"] for name in WEIGHTS}))
        for row in rows.to_dict("records")
    ]
    return rows.assign(**{"value error_risk": values, "assessed error_risk": True})


def share(k: int, n: int) -> str:
    """Return a share with its count and 95% interval."""
    if n == 0:
        return "none"
    low, high = wilson(k, n, alpha=0.05)
    return f"{k} of {n} ({100 * k / n:.0f}%, {100 * low:.0f} to {100 * high:.0f})"


def rates(rows: pd.DataFrame, flagged: Sequence[bool] | pd.Series, *, by: str = "wrong") -> str:
    """Return how many wrong results are flagged, and how many right ones."""
    hit, bad = np.asarray(flagged, dtype=bool), rows[by].to_numpy(dtype=bool)
    found, vain = share(int((hit & bad).sum()), int(bad.sum())), int((hit & ~bad).sum())
    return f"wrong found {found}; right flagged {share(vain, int((~bad).sum()))}"


def per_check(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return the checks that flag anything: what they find, find alone, and flag in vain."""
    bad = rows["wrong"].to_numpy(dtype=bool)
    alone = table.sum(axis=1) == 1
    found = pd.DataFrame(
        {
            "wrong": table[bad].sum(),
            "wrong, alone": table[bad & alone].sum(),
            "right": table[~bad].sum(),
            "right, alone": table[~bad & alone].sum(),
        }
    )
    found = found[(found["wrong"] > 0) | (found["right"] > 0)]
    return found.sort_values(["wrong", "right"], ascending=[False, True]).to_string()


def show(rows: pd.DataFrame) -> None:
    """Print everything: both halves, by part, by kind; per check on the development half."""
    table = flags(rows)
    hit = table.any(axis=1)
    rows["set"] = rows["part"].where(rows["kind"] == CLEAN, rows["part"] + ", damaged")
    for side in ("development", "report"):
        own = rows["half"] == side
        print(f"\n== {side}: {rates(rows[own], hit[own])} ==")
        print(f"  by 15% alone, whatever the mL: {rates(rows[own], hit[own], by='strictly')}")
        seen = own & (rows["part"] != "training")
        print(f"  without training patients: {rates(rows[seen], hit[seen])}")
        for key in ("set", "kind"):
            for name, part in rows[own].groupby(key, sort=False):
                print(f"  {name}: {rates(part, hit[part.index])}")
    own = rows["half"] == "development"
    print(f"\n== per check, development half ==\n{per_check(rows[own], table[own])}")
    print(true_failures(rows, hit.to_numpy()))
    missed = rows[rows["wrong"].astype(bool) & ~hit]
    off = ["lvef_points", *(c for c in missed if c.endswith("v_pct") and " " not in c)]
    hidden = pd.Series(silent(rows, hit.to_numpy()), index=rows.index)
    shown = missed[["unit", "half", "part", "kind", *off]].round(1).assign(misled=hidden)
    print(f"\n== wrong and passed: {len(missed)} ==\n{shown.to_string()}")


def true_failures(rows: pd.DataFrame, flagged: NDArray[np.bool_]) -> str:
    """Return how many results are wrong, pass, and exclude the truth from their intervals."""
    hidden, damaged = silent(rows, flagged), rows["kind"].str.startswith("labels: ").to_numpy()
    clean = (rows["kind"] == CLEAN).to_numpy()
    lines = ["\n== true failures: wrong, passed, and the truth outside of the 90% interval =="]
    for name, own in (
        ("all results", np.ones(len(rows), dtype=bool)),
        ("undamaged scans", clean),
        ("damaged scans", ~clean & ~damaged),
        ("damaged labels", damaged),
    ):
        seen = own & ~flagged
        lines.append(
            f"  {name}: {share_by_patient(rows[own], hidden[own])}; "
            f"of those that pass {share_by_patient(rows[seen], hidden[seen])}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--data", type=Path, default=None, help="folder of acdc/ and sunnybrook/")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--simulated", type=int, default=14, help="digital hearts")
    parser.add_argument("--every", type=int, default=2, help="take every n-th training patient")
    parser.add_argument("--out", type=Path, required=True, help="folder for results and rows")
    parser.add_argument("--rows", action="store_true", help="judge the rows of an earlier run")
    parser.add_argument("--kept", action="store_true", help="leave out scans not segmented yet")
    parser.add_argument("--fit", action="store_true", help="fit error_risk, development half")
    given = parser.parse_args()
    if given.rows:
        rows = pd.read_csv(given.out / "qc_truth.tsv", sep="\t")
    else:
        torch.set_num_threads(min(2, os.cpu_count() or 1))
        data = given.data or Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
        given.out.mkdir(parents=True, exist_ok=True)
        rows = table_of(given, load_bundle(given.model, "auto"), data)
    if given.fit:
        show_fit(rows[rows["half"] == "development"], flags)
    show(with_risk(rows))


if __name__ == "__main__":
    main()
