"""Rates of ejection and filling against the digital heart's analytic curve, beside plain splines.

    python benchmarks/function.py --subjects 15 --seed 1

Volumes of random hearts at 20, 25, 30 and 50 frames, with noise of single frames as a share of
LVEDV, and with one frame whose volume is 40% too small or 30% too large. For each rate: mean and SD
of the relative error in percent, share of intervals (90%) that hold the truth. The peer, in the
same run, is scipy's periodic cubic spline through the same samples.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

from biomarkers import random_hearts, show
from popscan.biomarkers.filling import GRID, measure_exact
from popscan.protocols.cine_sax.biomarkers.function import cycle_function
from popscan.protocols.cine_sax.simulate.heart import Heart

RR_MS = 900.0
RATES = {"peak_ejection": "ejection", "peak_filling_early": "early", "peak_filling_late": "late"}
AT = np.arange(GRID) / GRID


def exact(heart: Heart) -> tuple[float, float, float]:
    """Rates of the heart's own curve, in mL/s."""
    stroke = heart.lvedv_ml - heart.lvesv_ml
    one = measure_exact(
        np.array([heart.at(p).lv_ml for p in AT]), stroke * heart._filled.derivative()(AT)
    )
    seconds = RR_MS / 1000
    return one.emptying_rate / seconds, one.early_rate / seconds, one.late_rate / seconds


def peer(volumes: np.ndarray) -> tuple[float, float, float]:
    """Rates of the interpolating periodic spline."""
    at = np.arange(volumes.size + 1) / volumes.size
    spline = CubicSpline(at, np.append(volumes, volumes[0]), bc_type="periodic")
    one = measure_exact(spline(AT), spline(AT, 1))
    seconds = RR_MS / 1000
    return one.emptying_rate / seconds, one.early_rate / seconds, one.late_rate / seconds


def rows(hearts: list[Heart], *, seed: int, repeats: int) -> pd.DataFrame:
    """Errors of both by frames, noise and bad frames."""
    rng = np.random.default_rng(seed)
    table = {}
    for frames in (20, 25, 30, 50):
        at = np.arange(frames) / frames
        for noise, bad in ((0.0, 0), (0.0, 1), (0.01, 0), (0.01, 1), (0.02, 0)):
            ours: list[list[float]] = []
            theirs: list[list[float]] = []
            held: list[list[bool]] = []
            for heart in hearts:
                truth = exact(heart)
                clean = np.array([heart.at(p).lv_ml for p in at])
                for _ in range(repeats):
                    lv = clean + rng.normal(0, noise * heart.lvedv_ml, frames)
                    if bad:
                        lv[rng.integers(frames)] *= rng.choice([0.6, 1.3])
                    found = cycle_function(
                        {"lv": lv, "rv": lv}, frame_times_ms=at * RR_MS, rr_ms=RR_MS, bsa_m2=2.0
                    )
                    value = [float(found[f"lv_{stem}_ml_s"]) for stem in RATES]
                    ours.append([100 * (v / t - 1) for v, t in zip(value, truth, strict=True)])
                    theirs.append([100 * (v / t - 1) for v, t in zip(peer(lv), truth, strict=True)])
                    held.append(
                        [
                            float(found[f"lv_{stem}_low_ml_s"])
                            <= t
                            <= float(found[f"lv_{stem}_high_ml_s"])
                            for stem, t in zip(RATES, truth, strict=True)
                        ]
                    )
            mean, sd = np.nanmean(ours, axis=0), np.nanstd(ours, axis=0)
            other, spread = np.nanmean(theirs, axis=0), np.nanstd(theirs, axis=0)
            name = f"{frames} frames, noise {100 * noise:g}%" + (", 1 bad frame" if bad else "")
            table[name] = {
                **{word: f"{mean[k]:.1f} ± {sd[k]:.1f}" for k, word in enumerate(RATES.values())},
                **{
                    f"{word}, held %": f"{100 * np.mean(held, axis=0)[k]:.0f}"
                    for k, word in enumerate(RATES.values())
                },
                **{
                    f"{word}, spline": f"{other[k]:.1f} ± {spread[k]:.1f}"
                    for k, word in enumerate(RATES.values())
                },
            }
    return pd.DataFrame(table).T


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    hearts = [heart for heart, _ in random_hearts(options.subjects, seed=options.seed)]
    found = rows(hearts, seed=options.seed, repeats=options.repeats)
    show("Error of rates in %, mean ± SD; intervals of 90% that hold the truth", found)


if __name__ == "__main__":
    main()
