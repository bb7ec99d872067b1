"""A population whose hearts follow published reference ranges.

Heart size and function by sex follow `REFERENCE` of `reference` (Petersen et al. 2017). Volumes and
mass depend on body surface area (Mosteller) within each sex, volumes
fall with age in both sexes, mass in men only, ejection fraction stays (same paper; the slopes are
rounded). The right ventricle's stroke volume is the left's, but for 3%, as there is one
circulation. Body size is that of middle-aged British adults, rounded.

**Race has no effect on body or heart here.** It is recorded, as a study records it; any gap
between groups that a pipeline shows was injected by a bias switch, or is chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from popscan.protocols.cine_sax.simulate.faults import apply_bias, check_faults, parse_bias
from popscan.protocols.cine_sax.simulate.reference import CONDITIONS, RACES, REFERENCE
from popscan.protocols.cine_sax.simulate.scanners import SCANNERS
from popscan.records import PopscanError

#: Columns that a study would know; all others are hidden truth.
PUBLIC_COLUMNS = (
    "participant_id",
    "sex",
    "age_years",
    "race",
    "height_cm",
    "weight_kg",
    "hr_bpm",
    "site",
    "scanner",
)

_DRAWS = [
    "sex",
    "age",
    "race",
    "height",
    "bmi",
    "hr",
    "site",
    "condition",
    "severity",
    "lvedv",
    "lvef",
    "lvm",
    "rvedv",
    "rvsv",
    "fault",
    "missing",
]


def sample_population(
    n: int,
    *,
    seed: int,
    bias: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    faults: Mapping[str, float] | None = None,
    female_share: float = 0.52,
    age_years: tuple[float, float] = (45.0, 75.0),
    races: Mapping[str, float] | None = None,
    race_missing: float = 0.0,
    conditions: Mapping[str, float] | None = None,
    sites: Mapping[str, str] | None = None,
    allocation: str = "random",
) -> pd.DataFrame:
    """Draw participants.

    With random allocation the first participants stay as they are when `n` grows.

    Parameters
    ----------
    n
        Number of participants, named sub-0001 onwards.
    seed
        Seed; the same call returns the same table.
    bias
        One or several bias switches: `popscan.protocols.cine_sax.simulate.faults.Bias`.
    faults
        Rate of each fault: `popscan.protocols.cine_sax.simulate.faults.FAULTS`.
    female_share
        Share of women.
    age_years
        Range of the (uniform) age.
    races
        Share of each recorded race; None: `RACES`. Normalised to 1.
    race_missing
        Share of participants whose race was not recorded (empty).
    conditions
        Share of each condition of `CONDITIONS`; None: those there; ``{}``: all healthy.
    sites
        Site name -> scanner name, equally frequent; None: one site per scanner.
    allocation
        ``random``: every attribute is drawn; ``quota``: sexes, races, conditions, sites and
        faults come in the asked numbers, rounded, in random order.

    Returns
    -------
    DataFrame
        One row each: `PUBLIC_COLUMNS`, then hidden ``fault`` and ``truth_*`` columns. Empty with
        the same columns for ``n = 0``.

    Raises
    ------
    PopscanError
        For an unknown option value.
    """
    if n < 0 or allocation not in ("random", "quota"):
        raise PopscanError(f"cannot sample {n} participants by allocation {allocation!r}")
    races = dict(RACES if races is None else races)
    conditions = dict(CONDITIONS if conditions is None else conditions)
    sites = sites or {f"site-{i + 1:02d}": name for i, name in enumerate(SCANNERS)}
    _check_names(conditions, CONDITIONS, "condition")
    _check_names(dict.fromkeys(sites.values(), 0.0), SCANNERS, "scanner")
    rng = np.random.default_rng(np.random.SeedSequence([int(seed), 0x706F70]))
    # Row by row, so that a larger population begins with the smaller one.
    draw = dict(zip(_DRAWS, np.clip(rng.random((n, len(_DRAWS))), 1e-9, 1 - 1e-9).T, strict=True))
    if allocation == "quota":
        for name in ("sex", "race", "condition", "site", "fault"):
            draw[name] = (rng.permutation(n) + 0.5) / max(n, 1)
    people = pd.DataFrame({"participant_id": [f"sub-{i + 1:04d}" for i in range(n)]})
    people["sex"] = _pick(draw["sex"], {"female": female_share, "male": 1 - female_share})
    people["age_years"] = np.round(age_years[0] + draw["age"] * (age_years[1] - age_years[0]), 1)
    people["race"] = _pick(draw["race"], races)
    people.loc[draw["missing"] < race_missing, "race"] = ""
    body = _body(people, draw)
    people = people.assign(**{name: np.round(values, 1) for name, values in body.items()})
    people["hr_bpm"] = np.round(np.clip(63 + 9 * ndtri(draw["hr"]), 45, 105), 0)
    people["site"] = _pick(draw["site"], dict.fromkeys(sites, 1.0))
    people["scanner"] = people["site"].map(sites)
    rates = check_faults(faults)
    people["fault"] = _pick(draw["fault"], {**rates, "": 1 - sum(rates.values())})
    people["truth_condition"] = _pick(
        draw["condition"], {**conditions, "healthy": 1 - sum(conditions.values())}
    )
    people = people.assign(**_hearts(people, draw))
    people["truth_noise_factor"] = 1.0
    people["truth_contrast_loss"] = 0.0
    people["truth_extra_fat_mm"] = 0.0
    people["truth_label_noise_mm"] = 0.0
    groups = {
        "sex": ("female", "male"), "race": [*races], "site": [*sites],
        "scanner": [*sites.values()], "truth_condition": [*conditions, "healthy"],
    }  # fmt: skip
    return apply_bias(people, parse_bias(bias), groups=groups)


def _check_names(found: Mapping[str, float], known: Mapping[str, Any], what: str) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise PopscanError(f"unknown {what} {unknown}: known are {sorted(known)}")


def _pick(draw: NDArray[np.float64], shares: Mapping[str, float]) -> NDArray[np.object_]:
    """Turn uniform draws into categories by their shares."""
    weights = np.array(list(shares.values()), float)
    if (weights < -1e-9).any() or weights.sum() <= 0:
        raise PopscanError(f"shares {dict(shares)} must be at least 0 and not all 0")
    edges = np.cumsum(np.maximum(weights, 0)) / weights.sum()
    at = np.minimum(np.searchsorted(edges, draw, side="right"), len(weights) - 1)
    return np.array(list(shares), object)[at]


def _by_sex(people: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Look up the reference value of each participant's sex: shape (k, n)."""
    table = {sex: getattr(ref, name) for sex, ref in REFERENCE.items()}
    width = np.size(table["female"])
    return np.array([table[sex] for sex in people["sex"]], float).reshape(len(people), width).T


def _body(people: pd.DataFrame, draw: Mapping[str, NDArray]) -> dict[str, NDArray[np.float64]]:
    mean, sd = _by_sex(people, "height_cm")
    height = mean + sd * np.clip(ndtri(draw["height"]), -2.8, 2.8)
    mean, sd = _by_sex(people, "bmi_kg_m2")
    # Log-normal: body mass index has a long upper tail.
    spread = np.sqrt(np.log1p((sd / mean) ** 2))
    bmi = mean * np.exp(spread * np.clip(ndtri(draw["bmi"]), -2.3, 2.8) - spread**2 / 2)
    return {"height_cm": height, "weight_kg": bmi * (height / 100) ** 2}


def _hearts(people: pd.DataFrame, draw: Mapping[str, NDArray]) -> dict[str, NDArray[np.float64]]:
    """Volumes, mass and function of each participant."""
    z = {name: np.clip(ndtri(draw[name]), -2.5, 2.5) for name in ("lvedv", "lvef", "lvm", "rvedv")}
    height, weight = people["height_cm"].to_numpy(float), people["weight_kg"].to_numpy(float)
    size = np.sqrt(height * weight / 3600) - _by_sex(people, "bsa_m2")[0]
    age = people["age_years"].to_numpy(float) - 60
    slope, yearly = _by_sex(people, "ml_per_m2")[0], _by_sex(people, "ml_per_year")[0]
    mean, sd = _by_sex(people, "lvedv_ml")
    expected = slope * size + yearly * age
    edv = np.maximum(mean + expected + 0.84 * sd * z["lvedv"], 0.45 * mean)
    mean, sd = _by_sex(people, "lvef_pct")
    ef = (mean + sd * z["lvef"]) / 100
    mean, sd = _by_sex(people, "lvm_g")
    heavy, ageing = _by_sex(people, "g_per_m2")[0], _by_sex(people, "g_per_year")[0]
    own = 0.82 * sd * (0.6 * z["lvedv"] + 0.8 * z["lvm"])
    mass = np.maximum(mean + heavy * size + ageing * age + own, 0.5 * mean)
    edv, ef, mass, rv_factor = _disease(people, draw["severity"], edv, ef, mass)
    healthy_sv = edv * ef
    mean, sd = _by_sex(people, "rvedv_ml")
    left, left_sd = _by_sex(people, "lvedv_ml")
    # Against the stroke volume, not the left ventricle's size: a dilated left heart does not
    # make a large right one.
    filled = healthy_sv / (_by_sex(people, "lvef_pct")[0] / 100)
    rv_edv = mean + sd * (0.88 * (filled - left) / left_sd + 0.45 * z["rvedv"])
    rv_sv = healthy_sv * (1 + 0.03 * ndtri(draw["rvsv"]))
    rv_edv = np.clip(rv_edv * rv_factor, rv_sv / 0.72, rv_sv / 0.20)
    values = {
        "lvedv_ml": edv,
        "lvesv_ml": edv * (1 - ef),
        "lvm_g": mass,
        "rvedv_ml": rv_edv,
        "rvesv_ml": rv_edv - rv_sv,
    }
    out = {f"truth_{name}": np.round(value, 2) for name, value in values.items()}
    for side in ("lv", "rv"):
        whole, rest = out[f"truth_{side}edv_ml"], out[f"truth_{side}esv_ml"]
        out[f"truth_{side}sv_ml"] = np.round(whole - rest, 2)
        out[f"truth_{side}ef_pct"] = np.round(100 * (1 - rest / whole), 3)
    return out


def _disease(
    people: pd.DataFrame,
    severity: NDArray[np.float64],
    edv: NDArray[np.float64],
    ef: NDArray[np.float64],
    mass: NDArray[np.float64],
) -> tuple[NDArray[np.float64], ...]:
    """Change size and function of those with a condition; the ranges are typical of ACDC."""
    kind = people["truth_condition"].to_numpy(object)
    rv_factor = np.ones(len(people))
    dilated, thick = kind == "dilated", kind == "hypertrophic"
    hurt, right = kind == "infarct", kind == "rv_dilated"
    edv = np.where(dilated, edv * (1.5 + 0.5 * severity), edv)
    ef = np.where(dilated, 0.36 - 0.18 * severity, ef)
    mass = np.where(dilated, mass * (1.4 + 0.3 * severity), mass)
    edv = np.where(thick, edv * 0.92, edv)
    ef = np.where(thick, np.minimum(ef + 0.06, 0.74), ef)
    mass = np.where(thick, mass * (1.6 + 0.6 * severity), mass)
    edv = np.where(hurt, edv * (1.1 + 0.25 * severity), edv)
    ef = np.where(hurt, 0.48 - 0.16 * severity, ef)
    rv_factor = np.where(right, 1.4 + 0.4 * severity, rv_factor)
    return edv, ef, mass, rv_factor
