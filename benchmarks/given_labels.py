"""Wrong numbers that pass where labels or images were mixed up, for protocols with given labels.

    python benchmarks/given_labels.py --subjects 16 --seed 1

Digital hearts in long-axis planes, vessels with analytic flow, and T1 maps of a ring of wall are
spoilt in the ways in which files get mixed up: labels of another frame, moved, mirrored, of another
subject, with exchanged codes, images of another visit. Every case goes through ingest, QC and
biomarkers. Printed for each case: how many results are refused, how many are wrong (a number off by
more than `LIMITS` from what right files give), how many of these pass QC, and which checks ask for
a review; for right files, which checks ask for one though nothing is wrong.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import pandas as pd

from biomarkers import show
from given_cases import Case, flow_cases, lax_cases, planes, t1_cases
from popscan.ingest import prepare
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.qc import run_checks, verdict
from popscan.records import LabelMap, Scan, SubjectError
from popscan.segment.given import given_labels

#: Protocol -> column -> difference that matters: of the right value, or absolute ("abs").
LIMITS: Mapping[str, Mapping[str, tuple[float, str]]] = {
    "cine_lax": {
        "lvedv_ml": (0.1, "share"), "lvef_pct": (5.0, "abs"), "lav_max_ml": (0.1, "share"),
        "rav_max_ml": (0.1, "share"), "mapse_mm": (2.0, "abs"),
    },
    "flow_2d": {
        "aorta_net_ml": (0.1, "share"), "desc_aorta_net_ml": (0.1, "share"),
        "aorta_peak_cm_s": (0.1, "share"), "aorta_regurgitant_pct": (5.0, "abs"),
    },
    "t1_map": {"wall_t1_ms": (0.03, "share"), "lv_blood_t1_ms": (0.03, "share")},
}  # fmt: skip


def outcome(protocol: str, scan: Scan, labels: LabelMap) -> tuple[dict[str, float], list[str], str]:
    """Return biomarkers, names of checks that do not pass, and why it was refused if it was."""
    parts = get_protocol(protocol)
    try:
        ready, given, _ = prepare(parts, scan, labels)
        coded = given_labels(ready, given=given).labels
        context = load(parts.quality.context)(ready, coded)
        checks = run_checks(load(parts.quality.checks), context)
        measure = load(parts.biomarkers.methods[parts.biomarkers.method])
        known = {
            "image": ready.array, "spacing_mm": ready.spacing_mm, "affine": ready.affine,
            "meta": ready.meta, "frame_times_ms": ready.frame_times_ms,
        }  # fmt: skip
        names = measure.__code__.co_varnames[: measure.__code__.co_argcount
                                             + measure.__code__.co_kwonlyargcount]  # fmt: skip
        values = measure(coded, **{k: v for k, v in known.items() if k in names})
    except SubjectError as error:
        return {}, [], error.reason
    flagged = [c.name for c in checks if str(c.verdict) in ("review", "fail")]
    assert bool(flagged) == (verdict(checks) != "pass")
    return values, flagged, ""


def is_wrong(protocol: str, values: Mapping[str, float], right: Mapping[str, float]) -> bool:
    """Whether a number is given that is off by more than matters; a missing one is not wrong."""
    for column, (limit, kind) in LIMITS[protocol].items():
        value, true = values.get(column, math.nan), right.get(column, math.nan)
        if not math.isfinite(value):
            continue
        if not math.isfinite(true) or abs(value - true) > limit * (
            abs(true) if kind == "share" else 1.0
        ):
            return True
    return False


def tally(protocol: str, visits: Iterator[Iterator[Case]]) -> pd.DataFrame:
    """Count outcomes by case; numbers are held against those of the first case of a visit."""
    rows: dict[str, Counter[str]] = {}
    reviews: dict[str, Counter[str]] = {}
    for visit in visits:
        right: dict[str, float] | None = None
        for case in visit:
            values, flagged, reason = outcome(protocol, case.scan, case.labels)
            if right is None:
                right = values
            row, named = (kept.setdefault(case.name, Counter()) for kept in (rows, reviews))
            wrong = is_wrong(protocol, values, right)
            row.update(
                {
                    "n": 1, "refused": int(bool(reason)), "wrong": int(wrong),
                    "wrong, passed": int(wrong and not flagged),
                    "right, flagged": int(bool(flagged) and not wrong),
                }
            )  # fmt: skip
            named.update([reason] if reason else flagged)
    table = pd.DataFrame(rows).T
    table["by"] = [", ".join(f"{k} {n}" for k, n in reviews[name].most_common(4)) for name in rows]
    return table


def lax_visits(n: int, seed: int) -> Iterator[Iterator[Case]]:
    """Digital hearts in long-axis planes, each with the next one as the other subject."""
    people = [row.to_dict() for _, row in sample_population(n + 1, seed=seed).iterrows()]
    for own, other in pairwise(people):
        scan, labels = planes(own, seed)
        tilted = planes(own, seed, tilt_sd_deg=15.0, offset_sd_mm=8.0)
        yield lax_cases(scan, labels, planes(other, seed), tilted)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protocols", nargs="+", default=list(LIMITS), choices=list(LIMITS))
    options = parser.parse_args()
    n, seed = options.subjects, options.seed
    made: Mapping[str, Callable[[], Iterator[Iterator[Case]]]] = {
        "cine_lax": lambda: lax_visits(n, seed),
        "flow_2d": lambda: (flow_cases(100 * seed + k) for k in range(n)),
        "t1_map": lambda: (t1_cases(100 * seed + k) for k in range(n)),
    }
    for protocol in options.protocols:
        show(f"{protocol}: {n} visits", tally(protocol, made[protocol]()))


if __name__ == "__main__":
    main()
