"""Numbers of long-axis planes of digital hearts against their truth, beside the short axis.

    python benchmarks/long_axis.py --subjects 40 --seed 1

Each heart of the digital population is imaged at clinical resolution (1.8 mm, planes 6 mm thick, 25
frames) in a two- and a four-chamber plane, and in a short-axis stack (8 mm slices every 10 mm).
Labels are what fills most of a pixel; what a network or a person adds to the errors is not in
them, but for the rows with noise, whose outlines wander by 1 mm (SD). Printed: error against the
heart's closed form, mean ± SD over hearts, and the mean of its size. Then what each part of the
biplane method costs: planes 60 degrees apart as patients' are, 90 as the formula takes them, and
planes that hit the long axis.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from biomarkers import show
from popscan.protocols.cine_lax.biomarkers import measure
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.biomarkers.sax import measure as measure_stack
from popscan.protocols.cine_sax.simulate.faults import blur_labels
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject as short_axis
from popscan.protocols.cine_sax.simulate.seeds import rng_for

PIXEL_MM = 1.8
MATRIX = 160
#: Column -> the true value that it is held against.
NAMES = {
    "lvedv_ml": "LVEDV (mL)", "lvesv_ml": "LVESV (mL)", "lvef_pct": "LVEF (points)",
}  # fmt: skip
ENDINGS = {
    "": "biplane, discs", "_al": "biplane, area-length", "_4ch": "4ch alone", "_2ch": "2ch alone",
}  # fmt: skip
OTHERS = {
    "lav_max_ml": "LA largest, biplane area-length (mL)",
    "lav_max_discs_ml": "LA largest, biplane discs (mL)",
    "lav_max_4ch_ml": "LA largest, 4ch alone (mL)",
    "lav_min_ml": "LA smallest, biplane area-length (mL)",
    "laef_pct": "LA emptying fraction (points)",
    "rav_max_ml": "RA largest, 4ch (mL)",
    "raef_pct": "RA emptying fraction (points)",
    "mapse_mm": "MAPSE (mm)",
    "lv_length_ed_mm": "LV length at ED (mm)",
    "long_axis_shortening_pct": "long-axis shortening (points)",
}
Measured = Callable[[Mapping[str, Any]], tuple[Mapping[str, float], Mapping[str, float]]]


def long_axis(*, seed: int, noise_mm: float = 0.0, **planes: Any) -> Measured:
    """Return a function that measures a participant in long-axis planes: values, truth."""

    def run(row: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
        made = simulate_subject(
            row, seed=seed, matrix=(MATRIX, MATRIX), spacing_mm=(PIXEL_MM, PIXEL_MM), frames=25,
            **planes,
        )  # fmt: skip
        codes = made.labels.array
        if noise_mm:
            drawn = blur_labels(
                codes.transpose(3, 2, 0, 1), spacing_mm=(PIXEL_MM, PIXEL_MM), noise_mm=noise_mm,
                rng=rng_for(seed, str(row["participant_id"]), "outlines"),
            )  # fmt: skip
            codes = np.ascontiguousarray(drawn.transpose(2, 3, 1, 0))
        return measure(codes, meta=made.scan.meta), made.truth

    return run


def stack(*, seed: int) -> Measured:
    """Return a function that measures a participant in the short axis: values, truth."""

    def run(row: Mapping[str, Any]) -> tuple[Mapping[str, float], Mapping[str, float]]:
        made = short_axis(
            row, seed=seed, kspace=False, matrix=(MATRIX, MATRIX),
            spacing_mm=(PIXEL_MM, PIXEL_MM), frames=25,
        )  # fmt: skip
        values = measure_stack(
            made.labels.array, spacing_mm=made.scan.spacing_mm,
            frame_times_ms=made.scan.frame_times_ms,
        )  # fmt: skip
        return values, made.truth

    return run


def errors(rows: list[dict[str, Any]], run: Measured) -> dict[str, list[float]]:
    """Return column -> error of each heart; columns of one plane are held against the whole."""
    out: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values, truth = run(row)
        for column, value in values.items():
            plain = column
            for ending in ("_al", "_4ch", "_2ch", "_discs"):
                plain = plain.replace(ending, "")
            if plain in truth and isinstance(value, float):
                out[column].append(value - truth[plain])
    return out


def cell(values: list[float]) -> str:
    """Mean ± SD."""
    return f"{np.mean(values):+.1f} ± {np.std(values, ddof=1):.1f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--subjects", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = [row.to_dict() for _, row in sample_population(
        options.subjects, seed=options.seed).iterrows()]  # fmt: skip
    seed = options.seed
    usual = errors(rows, long_axis(seed=seed))
    noisy = errors(rows, long_axis(seed=seed, noise_mm=1.0))
    short = errors(rows, stack(seed=seed))
    table = {}
    for ending, words in ENDINGS.items():
        columns = {c.replace("_ml", f"{ending}_ml").replace("_pct", f"{ending}_pct"): t
                   for c, t in NAMES.items()}  # fmt: skip
        table[words] = {title: cell(usual[column]) for column, title in columns.items()}
    table["biplane, discs, outlines 1 mm"] = {t: cell(noisy[c]) for c, t in NAMES.items()}
    table["short axis, slices added up"] = {t: cell(short[c]) for c, t in NAMES.items()}
    show(f"Left ventricle, error of {len(rows)} hearts", pd.DataFrame(table).T)
    more = {
        title: {
            "true labels": cell(usual[column]), "outlines 1 mm": cell(noisy[column]),
            "mean size of the error": f"{np.mean(np.abs(usual[column])):.1f}",
        }
        for column, title in OTHERS.items()
    }  # fmt: skip
    show("Atria and valve", pd.DataFrame(more).T)
    exact = {"offset_sd_mm": 0.0, "tilt_sd_deg": 0.0, "breath_hold_sd_mm": 0.0}
    cases = {
        "as patients' planes": {},
        "60 degrees apart, on the axis": exact,
        "90 degrees apart, on the axis": {**exact, "turn_deg": {"4ch": 0.0, "2ch": -90.0}},
    }
    shown = {**NAMES, "lav_max_ml": "LA largest (mL)", "mapse_mm": "MAPSE (mm)"}
    parts = {}
    for words, planes in cases.items():
        off = errors(rows, long_axis(seed=seed, **planes)) if planes else usual
        parts[words] = {title: cell(off[column]) for column, title in shown.items()}
    show("What the planes' position costs (biplane)", pd.DataFrame(parts).T)


if __name__ == "__main__":
    main()
