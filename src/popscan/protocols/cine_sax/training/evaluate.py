"""How good a model of short-axis cines is: cases segmented at their own resolution and scored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.segmentation.contrast import measure_input
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.segment.bundle import Bundle
from popscan.segment.known import hash_identifier, subject_of
from popscan.segment.result import Segmentation
from popscan.segment.scores import score_segmentation
from popscan.train.evaluate import mean_dice
from popscan.train.packs import Case

#: Myocardial density, g/mL.
_DENSITY = 1.05


def score_case(
    case: Case, *, bundle: Bundle, **options: Any
) -> tuple[list[dict[str, Any]], Segmentation]:
    """Segment one case and return its score rows, with its attributes, and the segmentation."""
    scan, labels = case.scan, case.labels
    found = segment(scan, bundle=bundle, **options)
    rows = score_segmentation(
        case.unit,
        found.labels,
        labels,
        scan.spacing_mm,
        bundle=bundle,
        structures=STRUCTURES,
        frame_labels=scan.meta.get("frame_labels"),
    )
    return [row | dict(case.attributes) for row in rows], found


def score_cases(cases: Iterable[Case], *, bundle: Bundle, **options: Any) -> pd.DataFrame:
    """Return the score rows of all cases; `options` go to `segment`."""
    rows = [row for case in cases for row in score_case(case, bundle=bundle, **options)[0]]
    return pd.DataFrame(rows)


def volume_errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Return per subject the differences (found - reference) in volumes, EF and mass.

    Columns ``lvedv_ml, lvesv_ml, lvef_pct, lvm_g, rvedv_ml, rvef_pct``. Only subjects with frames
    named ED and ES have them.
    """
    rows = []
    for unit, part in scores.groupby("unit"):
        keyed = part.set_index(["structure", "phase"])
        if not {(s, p) for s in STRUCTURES.values() for p in ("ED", "ES")} <= set(keyed.index):
            continue
        found, truth = (
            _biomarkers(keyed[column]) for column in ("volume_ml", "reference_volume_ml")
        )
        rows.append({"unit": unit} | {k: found[k] - truth[k] for k in found})
    return pd.DataFrame(rows)


def _biomarkers(volume: Mapping[Any, float] | pd.Series) -> dict[str, float]:
    lv, rv = STRUCTURES[Label.LV], STRUCTURES[Label.RV]
    ed, es = float(volume[lv, "ED"]), float(volume[lv, "ES"])
    rv_ed, rv_es = float(volume[rv, "ED"]), float(volume[rv, "ES"])
    return {
        "lvedv_ml": ed,
        "lvesv_ml": es,
        "lvef_pct": 100 * (ed - es) / ed if ed else float("nan"),
        "lvm_g": float(volume[STRUCTURES[Label.MYO], "ED"]) * _DENSITY,
        "rvedv_ml": rv_ed,
        "rvef_pct": 100 * (rv_ed - rv_es) / rv_ed if rv_ed else float("nan"),
    }


def _range(values: Sequence[float]) -> list[float]:
    return [round(min(values), 3), round(max(values), 3)]


def input_range(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Return the range of what `measure_input` measures of the training scans.

    What is not known of any (contrast, where no case has both blood and muscle) is left out.
    """
    measured = [measure_input(c.scan, c.labels.array, c.labels.frames) for c in cases]
    columns = {k: [v for m in measured for v in m[k] if math.isfinite(v)] for k in measured[0]}
    return {name: _range(values) for name, values in columns.items() if values}


def _subjects(scores: pd.DataFrame) -> list[str]:
    """Return whose visits the score rows are of, sorted."""
    return sorted({subject_of(unit) for unit in scores["unit"]})


def summarise(
    scores: pd.DataFrame, *, stratum: str, salt: str, name_validation: bool = False
) -> dict[str, Any]:
    """Return a bundle's validation section from score rows: plain numbers, rounded.

    Their subjects are reported like the training subjects: their number, and salted hashes.

    Parameters
    ----------
    scores
        Rows of `score_cases`.
    stratum
        Attribute column by which scores are also given; the list is empty where there is none.
    salt
        For the hashed identifiers.
    name_validation
        Whether to list the identifiers themselves too (``subjects``).
    """
    subjects = _subjects(scores)
    by_structure = [
        {
            "structure": structure,
            "phase": phase,
            "dice_mean": round(float(part["dice"].mean()), 4),
            "dice_median": round(float(part["dice"].median()), 4),
            "dice_lowest": round(float(part["dice"].min()), 4),
            "hd95_mm": round(float(part["hd95_mm"].mean()), 2),
            "without_distance": int((part["hd95_mm"].isna() & part["dice"].notna()).sum()),
            "msd_mm": round(float(part["msd_mm"].mean()), 3),
        }
        for (structure, phase), part in scores.groupby(["structure", "phase"])
    ]
    by_stratum = [
        {"stratum": str(name), "subjects": len(_subjects(part))}
        | {"dice_mean": round(mean_dice(part), 4)}
        | {
            s: round(float(part.loc[part["structure"] == s, "dice"].mean()), 4)
            for s in STRUCTURES.values()
        }
        for name, part in (scores.groupby(stratum) if stratum in scores.columns else ())
    ]
    errors = volume_errors(scores)
    volumes = [
        {
            "quantity": name,
            "bias": round(float(errors[name].mean()), 2),
            "mean_absolute": round(float(errors[name].abs().mean()), 2),
        }
        for name in errors.columns
        if name != "unit"
    ]
    return {
        "n_subjects": len(subjects),
        "sha256": sorted(hash_identifier(subject, salt=salt) for subject in subjects),
        **({"subjects": subjects} if name_validation else {}),
        "mean_dice": round(mean_dice(scores), 4),
        "by_structure": by_structure,
        "by_stratum": by_stratum,
        "volumes": volumes,
    }


def measure(
    cases: Sequence[Case],
    *,
    bundle: Bundle,
    flips: bool,
    salt: str,
    stratum: str,
    name_validation: bool,
) -> dict[str, Any]:
    """Return a bundle's validation section; parameters as for `summarise`.

    With `flips` mirrorings are averaged.
    """
    scores = score_cases(cases, bundle=bundle, flips=flips)
    section = summarise(scores, stratum=stratum, salt=salt, name_validation=name_validation)
    return {"validation": section | {"flips": flips}}
