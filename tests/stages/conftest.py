"""A study's collected tables, as `collect` writes them, with a bias put in by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plain_table import plain_table
from popscan.protocols import get_protocol
from popscan.stages import stages_of

CONFIG = {
    "study": {"seed": 3},
    "source": {"kind": "simulated"},
    "atlas": {"enabled": True},
    "cohort": {},
    "fairness": {
        "n_boot": 300,
        "adjust_for": ["age_years", "bsa_m2", "shoe_size"],
        "biomarkers": [outcome.name for outcome in get_protocol("cine_sax").outcomes],
    },
}


def write_study(root: Path, n: int = 300, *, seed: int = 1) -> dict[str, pd.DataFrame]:
    """Write the tables of a study in which women's hearts are segmented 6 mL too small.

    QC excludes whoever has a Dice under 0.8, and one of ten women besides; a person takes one
    exclusion back.
    """
    rng = np.random.default_rng(seed)
    units = np.array([f"sub-{i:04d}" for i in range(n)])
    women = rng.random(n) < 0.5
    people = pd.DataFrame(
        {
            "unit": units,
            "sub": units,
            "ses": "",
            "sex": np.where(women, "female", "male"),
            "race": rng.choice(["White", "Black", "Asian"], n, p=[0.8, 0.17, 0.03]),
            "age_years": rng.normal(60, 8, n).round(1),
            "height_cm": rng.normal(171, 7, n) - 12.0 * women,
            "weight_kg": rng.normal(80, 10, n) - 10.0 * women,
        }
    )
    people.loc[[0, 1], "weight_kg"] = [0.0, 710.0]
    lost = rng.random(n) < 0.03
    truth = rng.normal(160, 20, n) - 30 * women
    on_labels = truth - 1 + rng.normal(0, 1, n)
    on_image = on_labels - 6 * women + rng.normal(0, 2, n)
    measured = on_image + rng.normal(0, 2, n)
    dice = np.clip(1 - rng.beta(2, 16, n) - 0.02 * women, 0, 1)
    fail = (dice < 0.8) | (women & (rng.random(n) < 0.1))
    taken_back = int(np.flatnonzero(fail & ~lost)[0])
    verdict = np.where(fail, "fail", np.where(dice < 0.84, "review", "pass"))
    final = verdict.copy()
    final[taken_back] = "pass"
    seen = ~lost
    ledger = []
    for stage in stages_of("simulated"):
        status = np.full(n, "ok", dtype=object)
        if stage == "ingest":
            status[lost] = "failed"
        elif stage != "simulate":
            status[lost] = "skipped"
        if stage == "qc":
            status[fail & seen] = "excluded"
        ledger.append(
            pd.DataFrame(
                {"unit": units, "stage": stage, "status": status, "reason": "", "message": ""}
            )
        )
    biomarkers = pd.DataFrame(
        {
            "unit": units, "lvedv_ml": measured, "lvef_pct": rng.normal(60, 5, n),
            "qc_verdict": final, "analysed": final != "fail",
        }
    )[seen]  # fmt: skip
    references = [
        pd.DataFrame(
            {"unit": units, "source": source, "seen_in_training": False, "lvedv_ml": values,
             "lvef_pct": biomarkers["lvef_pct"].reindex(range(n))}
        )[seen]
        for source, values in (("reference_labels", on_labels), ("reference_image", on_image))
    ]  # fmt: skip
    tables = {
        "participants": people,
        "ledger": pd.concat(ledger, ignore_index=True),
        "truth": pd.DataFrame({"unit": units, "lvedv_ml": truth, "lvef_pct": 60.0}),
        "biomarkers": biomarkers,
        "reference_biomarkers": pd.concat(references, ignore_index=True),
        "qc": pd.DataFrame({"unit": units, "verdict": final, "verdict_auto": verdict})[seen],
        "qc_checks": pd.DataFrame(
            {"unit": units, "check": "snr", "verdict": np.where(dice < 0.84, "review", "pass")}
        )[seen],
        "scores": pd.DataFrame(
            {"unit": np.repeat(units[seen], 2), "structure": np.tile(["lv", "rv"], seen.sum()),
             "frame": 0, "phase": "ED", "dice": np.repeat(dice[seen], 2), "hd95_mm": 5.0,
             "seen_in_training": False}
        ),
        "recon_scores": pd.DataFrame(
            {"unit": units, "variant": "cg_sense", "psnr_db": rng.normal(30, 2, n) - women,
             "ssim": 0.9}
        )[seen],
        "segmentation": pd.DataFrame({"unit": units, "mean_entropy_lv": 0.2 - 0.1 * dice})[seen],
        "atlas_distances": pd.DataFrame(
            {"unit": units, "atlas_distance_mm": rng.gamma(9, 0.3, n), "atlas_dice_mean": 0.9}
        )[seen & (final != "fail")],
    }  # fmt: skip
    for name, table in tables.items():
        plain_table(root, name, table)
    return tables


@pytest.fixture(scope="session")
def write_study_tables() -> Callable[..., dict[str, pd.DataFrame]]:
    """Return the function that writes a study's tables to a folder."""
    return write_study


@pytest.fixture(scope="session")
def audit_config() -> dict:
    """Return the config sections that the audit is given."""
    return CONFIG
