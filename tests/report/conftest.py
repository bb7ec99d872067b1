"""A made-up study of any size, plausible in every table, with names that try to break out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.report import FlaggedSubject, StudyContext

EVIL = "<script>alert('x')</script>"
RACES = ("White", "Black", "South Asian", "Mixed", "Chinese")
BIOMARKERS = {
    "lvedv_ml": (143, 118, 22, "LV end-diastolic volume"),
    "lvesv_ml": (60, 47, 13, "LV end-systolic volume"),
    "lvef_pct": (58, 61, 5.5, "LV ejection fraction"),
    "lvm_g": (103, 71, 17, "LV mass at end-diastole"),
    "rvedv_ml": (160, 124, 26, "RV end-diastolic volume"),
    "rvef_pct": (54, 58, 6, "RV ejection fraction"),
    "wall_thickness_mm": (7.4, 6.2, 1.0, "Mean wall thickness at end-diastole"),
    "co_l_min": (5.4, 4.7, 0.9, "Cardiac output"),
}


def units_of(n: int) -> list[str]:
    return [f"sub-{i + 1:04d}_ses-01" for i in range(n)]


def participants(n: int, rng: np.random.Generator) -> pd.DataFrame:
    sex = np.array(["female", "male"], dtype=object)[rng.integers(0, 2, n)]
    sex[rng.random(n) < 0.02] = "unknown"
    height = np.where(sex == "female", 163, 176) + rng.normal(0, 7, n)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i + 1:04d}" for i in range(n)],
            "session_id": "ses-01",
            "sex": sex,
            "age_years": np.round(rng.normal(58, 9, n), 1),
            "height_cm": np.where(rng.random(n) < 0.03, np.nan, np.round(height)),
            "weight_kg": np.round(24 * (height / 100) ** 2 + rng.normal(0, 10, n), 1),
            "race": rng.choice([*RACES, ""], n, p=[0.62, 0.14, 0.1, 0.06, 0.03, 0.05]),
            "scanner": rng.choice(["Siemens 1.5 T", "Philips 3 T", "GE 1.5 T"], n),
            "truth_lvedv_ml": rng.normal(130, 10, n),
        }
    )


def ledger(n: int, rng: np.random.Generator) -> pd.DataFrame:
    stages = {"ingest": 0.4, "reconstruct": 2.1, "segment": 6.0, "qc": 0.3, "biomarkers": 0.15}
    reasons = {
        "ingest": "truncated_file",
        "reconstruct": "no_coil_maps",
        "segment": "empty_segmentation",
        "qc": "qc_fail",
        "biomarkers": "no_cavity",
    }
    rows = []
    for unit in units_of(n):
        gone = ""
        for stage, seconds in stages.items():
            status, reason, message, spent = "ok", "", "", seconds * rng.lognormal(0, 0.3)
            if gone:
                status, reason, spent = "skipped", gone, 0.0
            elif rng.random() < (0.08 if stage == "qc" else 0.02):
                status = "excluded" if stage == "qc" else "failed"
                reason = gone = reasons[stage]
                message = f"{unit}: {reason.replace('_', ' ')} & <b>not</b> what was expected"
            rows.append(
                {
                    "unit": unit,
                    "stage": stage,
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "seconds": spent,
                    "peak_mb": 300 + 900 * (stage == "segment") + rng.normal(0, 10),
                }
            )
    return pd.DataFrame(rows)


def qc_tables(
    units: list[str], excluded: set[str], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = {
        "slice_count": ("image", 10.5, 1.2, "≥ 8", "slices"),
        "snr": ("image", 34, 8, "15", ""),
        "field_of_view": ("image", 340, 20, "250", "mm"),
        "components": ("segmentation", 1.1, 0.3, "1", ""),
        "holes": ("segmentation", 2, 2, "20", "voxels"),
        "volume_curve_jumps": ("segmentation", 6, 3, "25", "%"),
        "lv_inside_myo": ("segmentation", 0.99, 0.01, "0.9", ""),
    }
    rows, verdicts = [], []
    for unit in units:
        worst = "pass"
        for name, (kind, mean, sd, threshold, unit_of_value) in names.items():
            verdict = "pass"
            if unit in excluded and name == "components":
                verdict = "fail"
            elif rng.random() < 0.02:
                verdict = "review"
            worst = max(worst, verdict, key=("pass", "review", "fail").index)
            rows.append((unit, name, kind, rng.normal(mean, sd), threshold, unit_of_value, verdict))
        verdicts.append((unit, worst))
    columns = ["unit", "check", "kind", "value", "threshold", "unit_of_value", "verdict"]
    checks = pd.DataFrame(rows, columns=columns)
    checks["message"] = np.where(checks["verdict"] == "pass", "", "outside of what is expected")
    qc = pd.DataFrame(verdicts, columns=["unit", "verdict_auto"])
    qc["verdict"] = qc["verdict_auto"]
    qc["override_reason"] = ""
    qc["override_by"] = ""
    if (qc["verdict_auto"] == "review").any():
        first = qc.index[qc["verdict_auto"] == "review"][0]
        qc.loc[first, ["verdict", "override_reason", "override_by"]] = ["pass", "looks fine", "A."]
    return checks, qc


def biomarkers(
    units: list[str], sex: pd.Series, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    female = (sex == "female").to_numpy()
    values: dict[str, object] = {"unit": units}
    for column, (male, fem, sd, _) in BIOMARKERS.items():
        values[column] = np.where(female, fem, male) + rng.normal(0, sd, len(units))
    table = pd.DataFrame(values)
    if len(table):
        table.loc[0, "co_l_min"] = np.nan
    dictionary = pd.DataFrame(
        [
            {"column": c, "unit": c.split("_", 1)[1], "meaning": v[3], "source": "short axis"}
            for c, v in BIOMARKERS.items()
        ]
    )
    ranges = pd.DataFrame(
        [
            {"column": c, "sex": s, "low": m - 2 * v[2], "high": m + 2 * v[2], "source": "a cohort"}
            for c, v in BIOMARKERS.items()
            if c.startswith(("lv", "rv"))
            for s, m in (("male", v[0]), ("female", v[1]))
        ]
    )
    return table, dictionary, ranges


def scores(units: list[str], rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for i, unit in enumerate(units):
        for structure, level in (("lv", 0.94), ("myo", 0.87), ("rv", 0.89)):
            for phase, drop in (("ED", 0.0), ("ES", 0.03)):
                dice = 1 - (1 - level + drop) * rng.lognormal(0, 0.45)
                rows.append((unit, structure, phase, dice, 30 * (1 - dice) + 2, i % 4 == 0))
    columns = ["unit", "structure", "phase", "dice", "hd95_mm", "seen_in_training"]
    return pd.DataFrame(rows, columns=columns)


def associations(n: int, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for outcome, (male, fem, sd, _) in BIOMARKERS.items():
        effects = {"Intercept": male, "sex (male)": male - fem, "age_years": -0.01 * sd}
        effects["bsa_m2"] = 1.4 * sd
        for term, estimate in effects.items():
            half = 2 * sd / np.sqrt(n) * (0.08 if term == "age_years" else 1.4)
            p = float(np.exp(-2 * (estimate / half) ** 2))
            rows.append((outcome, term, estimate, estimate - half, estimate + half, p, p, n))
    columns = ["outcome", "term", "estimate", "ci_low", "ci_high", "p", "q", "n"]
    return pd.DataFrame(rows, columns=columns)


def fairness(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    outcomes = {
        "dice_lv": ("segment", 0.93, 0.03, "higher"),
        "dice_myo": ("segment", 0.86, 0.04, "higher"),
        "dice_rv": ("segment", 0.88, 0.05, "higher"),
        "qc_fail": ("qc", 0.08, 0.27, "lower"),
        "lvef_pct": ("biomarkers", 59, 6, "neither"),
    }
    attributes = {
        "sex": {"female": 480, "male": 500, "unknown": 14},
        "race": {"White": 610, "Black": 140, "South Asian": 95, "Mixed": 55, "Chinese": 3},
        "sex x race": {"female x White": 300, "female x Black": 70, "male x Black": 70},
    }
    groups, gaps, summary = [], [], []
    for attribute, sizes in attributes.items():
        reference = next(iter(sizes))
        for outcome, (stage, mean, sd, better) in outcomes.items():
            for group, n in sizes.items():
                worse = 0.35 if better == "lower" else -0.35
                shift = sd * (worse * group.endswith("Black") + rng.normal(0, 0.05))
                half = 2 * sd / np.sqrt(n)
                few = n < 10
                groups.append(
                    {
                        "attribute": attribute, "group": group, "stage": stage,
                        "outcome": outcome, "n": n, "n_missing": int(n * 0.06),
                        "mean": np.nan if few else mean + shift,
                        "median": np.nan if few else mean + shift + 0.1 * sd, "sd": sd,
                        "ci_low": mean + shift - half, "ci_high": mean + shift + half,
                        "too_few": few,
                    }
                )  # fmt: skip
                if group == reference or few:
                    continue
                p = float(np.exp(-2 * (shift / half) ** 2))
                gaps.append(
                    {
                        "attribute": attribute, "outcome": outcome, "group": group,
                        "reference": reference, "gap": shift, "ci_low": shift - half,
                        "ci_high": shift + half, "p": p, "p_adj": min(1.0, 3 * p),
                        "test": "mann_whitney", "significant": 3 * p < 0.05,
                        "better_is": better, "n": n, "n_reference": sizes[reference],
                        "min_detectable_gap": 1.4 * half,
                    }
                )  # fmt: skip
            summary.append(
                {"attribute": attribute, "outcome": outcome, "sd_of_means": 0.2 * sd,
                 "worst_group": list(sizes)[1], "ser": 1.2}
            )  # fmt: skip
    return pd.DataFrame(groups), pd.DataFrame(gaps), pd.DataFrame(summary)


def heart(
    rng: np.random.Generator, *, slices: int = 10, size: int = 96
) -> tuple[np.ndarray, np.ndarray]:
    """Image (x, y, z, 2) and labels of rings that shrink towards the apex and in systole."""
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    image = np.zeros((size, size, slices, 2), dtype=np.float32)
    labels = np.zeros(image.shape, dtype=np.uint8)
    for z in range(slices):
        for frame, shrink in enumerate((1.0, 0.72)):
            taper = np.sqrt(max(0.05, 1 - ((z - 1) / slices) ** 2))
            inner, outer = 13 * taper * shrink, 13 * taper * shrink + 6 * (1.2 if frame else 1)
            r = np.hypot(x - 50, y - 52)
            right = np.hypot((x - 28) / 1.1, y - 48) < 15 * taper * (0.85 if frame else 1)
            body = np.hypot((x - 48) / 1.2, y - 48) < 40
            plane = 60.0 * body
            labels[right & (r > outer), z, frame] = Label.RV
            labels[r < outer, z, frame] = Label.MYO
            labels[r < inner, z, frame] = Label.LV
            plane[labels[:, :, z, frame] == Label.RV] = 220
            plane[labels[:, :, z, frame] == Label.LV] = 240
            plane[labels[:, :, z, frame] == Label.MYO] = 90
            image[:, :, z, frame] = plane + rng.normal(0, 9, plane.shape)
    return image, labels


def flagged_subjects(
    qc: pd.DataFrame, rng: np.random.Generator, limit: int
) -> Iterator[FlaggedSubject]:
    bad = qc[qc["verdict"] != "pass"].sort_values("verdict", kind="stable")
    for i, (unit, verdict) in enumerate(zip(bad["unit"], bad["verdict"], strict=True)):
        if i >= limit:
            return
        image, labels = heart(rng)
        t = np.linspace(0, 1, 25)
        curve = 95 + 45 * np.cos(2 * np.pi * t)
        curve[7] = np.nan
        yield FlaggedSubject(
            unit=unit,
            verdict=verdict,
            reasons=("components: 3 pieces of LV cavity", "volume curve jumps"),
            image=None if i == 1 else image,
            labels=None if i == 2 else labels,
            spacing_mm=(1.5, 1.5, 9.0),
            volume_curve_ml={"lv": curve, "rv": 1.15 * curve + 5},
            frame_times_ms=None if i == 3 else t * 850,
        )


def atlas_pictures(rng: np.random.Generator) -> dict[str, dict[str, object]]:
    atlas: dict[str, dict[str, object]] = {}
    for group, n in (("female", 480), ("male", 500)):
        images, labels = heart(rng)
        image, label = images[..., 0], labels[..., 0]
        atlas[group] = {
            "mean": image,
            "p_rv": 0.97 * (label == Label.RV),
            "p_myo": 0.97 * (label == Label.MYO),
            "p_lv": 0.97 * (label == Label.LV),
            "n": n,
            "spacing_mm": (1.5, 1.5, 9.0),
        }
    return atlas


def build(n: int = 60, *, seed: int = 1, flagged: int = 6) -> StudyContext:
    """Return a plausible study of `n` subjects."""
    rng = np.random.default_rng(seed)
    people, records = participants(n, rng), ledger(n, rng)
    arrived = records[(records["stage"] == "qc") & records["status"].isin(["ok", "excluded"])]
    excluded = set(arrived.loc[arrived["status"] == "excluded", "unit"])
    checks, qc = qc_tables(list(arrived["unit"]), excluded, rng)
    done = records[(records["stage"] == "biomarkers") & (records["status"] == "ok")]
    units = list(done["unit"])
    sex = people["sex"].set_axis(units_of(n))[units].reset_index(drop=True)
    values, dictionary, ranges = biomarkers(units, sex, rng)
    groups, gaps, summary = fairness(rng)
    variants = [
        {"unit": u, "variant": v, "nrmse": e, "psnr_db": 20 - 20 * np.log10(e), "ssim": 1 - 2 * e}
        for u in units
        for v, level in (("zero_filled", 0.16), ("cg_sense", 0.05))
        for e in [level * rng.lognormal(0, 0.15)]
    ]
    return StudyContext(
        name="Heart study West",
        description="A made-up study of volunteers scanned at three sites.",
        participants=people,
        ledger=records,
        study_costs=pd.DataFrame({"stage": ["atlas", "fairness"], "seconds": [400.0, 12.0]}),
        cost_rates=pd.DataFrame(
            {
                "stage": ["ingest", "segment"],
                "core_hours_per_1000": [0.25, 1.5],
                "gpu_hours_per_1000": [0.0, 0.75],
                "startup_s": [np.nan, 4.0],
            }
        ),
        qc_checks=checks,
        qc=qc,
        biomarkers=values,
        biomarker_dictionary=dictionary,
        reference_ranges=ranges,
        scores=scores(units, rng),
        recon_scores=pd.DataFrame(variants),
        associations=associations(max(n, 4), rng),
        fairness_groups=groups,
        fairness_gaps=gaps,
        fairness_summary=summary,
        sentences=(
            "Dice of the RV is 1.8 points lower (95% interval 0.9 to 2.7) for Black than for "
            "White subjects; the data are compatible with -1.1 to 2.7 points.",
            "No gap by sex remains after correction.",
        ),
        atlas=atlas_pictures(rng),
        provenance={
            "popscan_version": "0.1.0",
            "software": {"numpy": "2.4.6", "torch": "2.9"},
            "seed": 7,
            "models": {"cine_sax": {"digest": "9f2c51aa"}},
            "command": "/home/someone/popscan report --study west",
            "finished": "2026-01-01T00:00:00Z",
        },
        config_text="study: west\nsubjects: [sub-0007]\n",
        model_cards={"cine_sax": "# Card\nTrained on 56 patients."},
        limits=("Reference labels exist for a subset only.",),
        flagged=list(flagged_subjects(qc, rng, flagged)),
    )


def hostile(context: StudyContext) -> StudyContext:
    """Return the study with texts that try to be markup, paths, formulas or very long."""
    people = context.participants.copy()
    people.loc[0, "race"] = EVIL
    people.loc[1, "race"] = "Ελληνίδα 日本 $\\frac{1}{"
    records = context.ledger.copy()
    records["message"] = records["message"].astype(object)
    records.loc[records["status"] == "failed", "message"] = EVIL + " " + "very long reason " * 400
    records.loc[records["status"] == "failed", "reason"] = "x" * 300
    qc = context.qc.copy()
    qc.loc[0, "unit"] = f"../../{EVIL}"
    qc.loc[0, "verdict"] = "fail"
    image, labels = heart(np.random.default_rng(0), slices=3, size=48)
    image[:, :, 1] = np.nan
    bad = FlaggedSubject(
        unit=f"../../{EVIL}", verdict=EVIL, reasons=(EVIL, "x" * 3000), image=image, labels=labels
    )
    gaps = context.fairness_gaps.copy()
    gaps.loc[0, "group"] = EVIL
    return replace(
        context,
        name=f"Study {EVIL}",
        description='"><img src=x onerror=alert(1)>',
        participants=people,
        ledger=records,
        qc=qc,
        fairness_gaps=gaps,
        sentences=[EVIL, "{{ 7 * 7 }}"],
        config_text="</code></pre>" + EVIL,
        provenance={EVIL: EVIL, "list": [EVIL]},
        model_cards={EVIL: EVIL},
        limits=[EVIL],
        atlas={EVIL: context.atlas["male"]},
        flagged=[bad, *list(context.flagged)[:2]],
    )


@pytest.fixture(scope="session")
def make_context() -> Callable[..., StudyContext]:
    """Return the builder of made-up studies."""
    return build


@pytest.fixture(scope="session")
def make_hostile() -> Callable[[StudyContext], StudyContext]:
    """Return the function that fills a study with hostile text."""
    return hostile


class TableReader(HTMLParser):
    """Collects the tables of a page: caption, header and rows as text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._where = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append(("", []))
        elif tag == "tr" and self.tables:
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self._where = tag
            self.tables[-1][1][-1].append("")
        elif tag == "caption":
            self._where = tag
        elif tag == "svg":
            self._where = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "caption"):
            self._where = ""

    def handle_data(self, data: str) -> None:
        if self._where == "caption":
            caption, rows = self.tables[-1]
            self.tables[-1] = (caption + data, rows)
        elif self._where:
            self.tables[-1][1][-1][-1] += data


def read(html: str, match: str) -> list[pd.DataFrame]:
    reader = TableReader()
    reader.feed(html)
    found = []
    for caption, (header, *rows) in reader.tables:
        if match in caption or any(match in title for title in header):
            body = [row for row in rows if len(row) == len(header)]
            table = pd.DataFrame(body, columns=[title.strip() for title in header])
            for column in table:
                numeric = pd.to_numeric(table[column].str.replace(",", ""), errors="coerce")
                if numeric.notna().all():
                    table[column] = numeric
            found.append(table)
    return found


@pytest.fixture(scope="session")
def read_tables() -> Callable[[str, str], list[pd.DataFrame]]:
    """Return the function that reads a page's tables whose caption or header holds a text."""
    return read
