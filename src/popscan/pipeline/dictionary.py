"""Data dictionaries of the study's tables: column -> unit, meaning, source."""

from __future__ import annotations

from collections.abc import Mapping

Entry = Mapping[str, str]


def entry(unit: str, meaning: str, source: str = "popscan") -> dict[str, str]:
    """One column's entry."""
    return {"unit": unit, "meaning": meaning, "source": source}


_UNIT = {"unit": entry("", "the subject's visit: sub-* or sub-*_ses-*; key of every table")}
_COHORT = {
    "sub": entry("", "subject", "cohort table"),
    "ses": entry("", "visit; empty without visits", "cohort table"),
    "sex": entry("", "female, male or unknown", "cohort table"),
    "race": entry("", "race or ethnicity as recorded by the study", "cohort table"),
    "age_years": entry("years", "age at the scan", "cohort table"),
    "height_cm": entry("cm", "body height", "cohort table, else the source"),
    "weight_kg": entry("kg", "body weight", "cohort table, else the source"),
    "hr_bpm": entry("1/min", "heart rate", "cohort table"),
    "scanner": entry("", "scanner", "cohort table"),
    "site": entry("", "site", "cohort table"),
    "group": entry("", "diagnostic group", "source"),
    "n_slices": entry("", "slices of the short-axis stack", "ingest"),
    "n_frames": entry("", "cardiac phases", "ingest"),
    "pixel_spacing_mm": entry("mm", "in-plane pixel spacing", "ingest"),
    "slice_distance_mm": entry("mm", "distance between slice centres", "ingest"),
    "manufacturer": entry("", "scanner manufacturer", "ingest"),
    "field_strength_t": entry("T", "main field", "ingest"),
    "views": entry("", "views found", "ingest"),
}
_RECORD = {
    "stage": entry("", "stage of the pipeline"),
    "status": entry("", "ok, failed, excluded, skipped or not_applicable"),
    "reason": entry("", "short code of why"),
    "message": entry("", "why, in a sentence"),
}
_COST = {
    "stage": entry("", "stage of the pipeline"),
    "seconds": entry("s", "loading, work and writing of this subject"),
    "peak_mb": entry("MB", "largest memory of the worker up to this subject"),
    "finished": entry("", "when, UTC"),
}
_QC = {
    "verdict_auto": entry("", "verdict of the checks: pass, review or fail"),
    "verdict": entry("", "final verdict, a person's override applied"),
    "failed": entry("", "checks that failed"),
    "review": entry("", "checks that ask for a look"),
    "override_reason": entry("", "why a person overrode the verdict", "qc.overrides"),
    "override_by": entry("", "who", "qc.overrides"),
}
_CHECKS = {
    "check": entry("", "name of the check"),
    "kind": entry("", "image or segmentation"),
    "value": entry("unit_of_value", "what was measured; empty where it could not be"),
    "threshold": entry("unit_of_value", "limits in words"),
    "unit_of_value": entry("", "unit of value and threshold"),
    "verdict": entry("", "pass, review, fail or not_assessed"),
    "message": entry("", "in a sentence"),
}
_SCORES = {
    "structure": entry("", "rv, myo or lv"),
    "frame": entry("", "index of the frame"),
    "phase": entry("", "ED or ES where known"),
    "dice": entry("", "Dice overlap with the reference; empty where both are empty"),
    "hd95_mm": entry("mm", "95th percentile of the symmetric surface distance"),
    "msd_mm": entry("mm", "mean symmetric surface distance"),
    "volume_ml": entry("mL", "volume of the segmentation"),
    "reference_volume_ml": entry("mL", "volume of the reference"),
    "seen_in_training": entry("", "whether the model was trained on this subject"),
}
_IMAGE_SCORES = {
    "variant": entry("", "reconstruction variant"),
    "nrmse": entry("", "root mean square error in the region of the heart, relative"),
    "psnr_db": entry("dB", "peak signal to noise ratio in the region of the heart"),
    "ssim": entry("", "structural similarity in the region of the heart"),
}
_BIOMARKER_EXTRA = {
    "qc_verdict": entry("", "final QC verdict"),
    "analysed": entry("", "whether the subject is in the study's analyses"),
}


def of(table: str) -> dict[str, Entry]:
    """Return the dictionary of a table; unknown tables have only the unit."""
    own: Mapping[str, Entry] = {
        "participants": _COHORT,
        "ledger": _RECORD,
        "cost": _COST,
        "qc": _QC,
        "qc_checks": _CHECKS,
        "scores": _SCORES,
        "recon_scores": _IMAGE_SCORES,
        "biomarkers": {**biomarkers(), **_BIOMARKER_EXTRA},
        "truth": {},
        "associations": _statistics("associations"),
        "reference_ranges": _statistics("reference_ranges"),
        "fairness_groups": _statistics("fairness_groups"),
        "fairness_gaps": _statistics("fairness_gaps"),
        "fairness_summary": _statistics("fairness_summary"),
    }.get(table, {})  # type: ignore[assignment]
    return {**_UNIT, **own}


def biomarkers() -> dict[str, Entry]:
    """Return the dictionary of the biomarkers, from the stage that measures them."""
    from popscan.biomarkers import DICTIONARY

    return {name: entry(c.unit, c.meaning, c.source) for name, c in DICTIONARY.items()}


def _statistics(table: str) -> dict[str, Entry]:
    """Return the dictionary of a table of associate or fairness, from the package that makes it."""
    from popscan.associate import models, ranges
    from popscan.fairness import dictionary as fairness

    packages: dict[str, Mapping[str, tuple[str, str]]] = {
        "associations": models.DICTIONARY,
        "reference_ranges": ranges.DICTIONARY,
        "fairness_groups": fairness.GROUPS,
        "fairness_gaps": fairness.GAPS,
        "fairness_summary": fairness.SUMMARY,
    }
    return {name: entry(unit, meaning) for name, (unit, meaning) in packages[table].items()}
