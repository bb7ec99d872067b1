"""Data dictionaries of the study's tables: column -> unit, meaning, source."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from popscan.protocol import Protocol, load
from popscan.protocols import DEFAULT, get_protocol

Entry = Mapping[str, str]


def entry(unit: str, meaning: str, source: str = "popscan") -> dict[str, str]:
    """One column's entry."""
    return {"unit": unit, "meaning": meaning, "source": source}


_UNIT = {"unit": entry("", "the subject's visit: sub-* or sub-*_ses-*; key of every table")}
_REFERENCE_VERDICT = entry(
    "",
    "whether the reference fits image and segmentation: pass, review or fail; those that fail are "
    "in no mean",
)
_COHORT = {
    "sub": entry("", "subject", "cohort table"),
    "ses": entry("", "visit; empty without visits", "cohort table"),
    "sex": entry("", "female, male or unknown", "cohort table"),
    "race": entry("", "race or ethnicity as recorded by the study", "cohort table"),
    "age_years": entry("years", "age at the scan", "cohort table"),
    "height_cm": entry("cm", "body height", "cohort table, else the source"),
    "weight_kg": entry("kg", "body weight", "cohort table, else the source"),
    "scanner": entry("", "scanner", "cohort table"),
    "site": entry("", "site", "cohort table"),
    "group": entry("", "diagnostic group", "source"),
    "n_slices": entry("", "slices of the stack", "ingest"),
    "n_frames": entry("", "frames", "ingest"),
    "pixel_spacing_mm": entry("mm", "in-plane pixel spacing", "ingest"),
    "slice_distance_mm": entry("mm", "distance between slice centres", "ingest"),
    "manufacturer": entry("", "scanner manufacturer", "ingest"),
    "field_strength_t": entry("T", "main field", "ingest"),
    "views": entry("", "views found", "ingest"),
    "images_left_out": entry("", "images of these views that are not used", "ingest"),
    "ingest_notes": entry("", "what the reader left aside or assumed", "ingest"),
    "reference_problem": entry(
        "", "short code of why reference labels that are there are not used", "ingest"
    ),
    "reference_message": entry("", "the same in a sentence", "ingest"),
    "images_left_out_reason": entry("", "why, and how many of each", "ingest"),
}
_RECORD = {
    "stage": entry("", "stage of the pipeline"),
    "status": entry("", "ok, failed, excluded, skipped or not_applicable"),
    "reason": entry("", "short code of why"),
    "message": entry("", "why, in a sentence"),
}
_ACCOUNT = {name: column for name, column in _RECORD.items() if name != "stage"}
_COST = {
    "stage": entry("", "stage of the pipeline"),
    "seconds": entry("s", "loading, work and writing of this subject"),
    "peak_mb": entry("MB", "largest memory of the worker up to this subject"),
    "cores": entry("", "cores that the job was given"),
    "gpus": entry("", "GPUs that the job used"),
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
    "frame": entry("", "index of the frame"),
    "dice": entry("", "Dice overlap with the reference; empty where both are empty"),
    "hd95_mm": entry(
        "mm", "95th percentile of the symmetric surface distance; empty where either is empty"
    ),
    "msd_mm": entry("mm", "mean symmetric surface distance; empty where either is empty"),
    "volume_ml": entry("mL", "volume of the segmentation"),
    "reference_volume_ml": entry("mL", "volume of the reference"),
    "seen_in_training": entry("", "whether the model was trained on this subject"),
    "correct_pct": entry("%", "of the reference's voxels of the structure, labelled so"),
    "flipped_pct": entry(
        "%", "of the reference's voxels, labelled as another structure", "Achara et al."
    ),
    "missed_pct": entry("%", "of the reference's voxels, labelled as background"),
    "spurious_pct": entry("%", "of the labelled voxels, background in the reference"),
    "taken_pct": entry("%", "of the labelled voxels, another structure in the reference"),
    "reference_verdict": _REFERENCE_VERDICT,
}
_IMAGE_SCORES = {
    "variant": entry("", "reconstruction variant"),
    "nrmse": entry("", "root mean square error in the region of the heart, relative"),
    "psnr_db": entry("dB", "peak signal to noise ratio in the region of the heart"),
    "ssim": entry("", "structural similarity in the region of the heart"),
}
_REFERENCE = {
    "source": entry(
        "",
        "reference_labels: measured on the reference labels; reference_image: on what the model "
        "makes of the reference image",
    ),
    "seen_in_training": entry("", "whether the model was trained on this subject"),
    "reference_verdict": _REFERENCE_VERDICT,
}
_ATLAS_REST = {
    "atlas_dice_mean": entry("", "mean over the structures"),
    "atlas_rms_intensity": entry("", "root mean square difference from the atlas's intensities"),
    "atlas_min_jacobian": entry("", "smallest Jacobian of the displacement; 0 or less: it folds"),
}
_PREDICTED_REST = {
    "best_reference": entry("", "reference case that the segmentation suited best"),
    "similarity": entry("", "correlation of the images with it, after registration"),
    "n_references": entry("", "reference cases that the segmentation was carried to"),
}
#: Key, unit, meaning, source of what segmentation says of each structure.
_OF_STRUCTURE = (
    (
        "mean_entropy_{}",
        "nats",
        "mean entropy of the calibrated probabilities, {}",
        "popscan",
    ),
    (
        "mean_information_{}",
        "nats",
        "mean mutual information of members, flips and dropout, {}; empty for one sample",
        "Houlsby et al. 2011, arXiv:1112.5745",
    ),
    (
        "flip_risk_{}",
        "0 to 1",
        "mean doubt of which structure a voxel is, given that it is one, {}",
        "Achara et al.",
    ),
    (
        "volume_spread_{}_pct",
        "%",
        "spread of the samples' volumes over all frames, of their mean, {}",
        "popscan",
    ),
    (
        "expected_dice_{}",
        "",
        "Dice to expect without a reference, {}, mean over frames; empty where the model "
        "bundle was not calibrated",
        "popscan.segment.expected",
    ),
    (
        "expected_dice_{}_lowest",
        "",
        "the same, lowest frame, {}",
        "popscan.segment.expected",
    ),
)
_SEGMENTATION_REST = {
    "n_frames_without_heart": entry("frames", "frames in which nothing was found"),
    "n_components_removed": entry("", "islands that the clean-up took away, over all frames"),
    "n_slices_mended": entry("", "slices that broke a law of anatomy and were mended, all frames"),
    "seen_in_training": entry("", "whether the model was trained on this scan"),
    "seen_by": entry(
        "",
        "images: the scan is one of the training; name: so is the subject's name, and the model "
        "bundle has no digests of its images; name, other images: the name only, not counted",
    ),
    "n_slices_above_base": entry(
        "", "slices above the base of the LV that lost their labels, all frames"
    ),
    "n_frames_base_doubtful": entry(
        "frames", "frames in which it is undecided whether a basal slice belongs to the LV"
    ),
    "ood_score": entry(
        "",
        "distance from the training scans in the network's features and the tissues' intensities, "
        "in units of the farthest training subject; above 1 the scan is unlike all of them; empty "
        "where the model bundle has no detector",
        "popscan.segment.ood",
    ),
    "ood_slices": entry(
        "slices", "slice positions that are unlike the training slices", "popscan.segment.ood"
    ),
    "input_warning": entry(
        "",
        "spacing and contrast far outside of what the model was trained for, images unlike those",
    ),
}
_BIOMARKER_EXTRA = {
    "qc_verdict": entry("", "final QC verdict"),
    "analysed": entry("", "whether the subject is in the study's analyses"),
}


def of(table: str, protocol: Protocol | None = None) -> dict[str, Entry]:
    """Return the dictionary of a table; unknown tables have only the unit.

    Parameters
    ----------
    table
        Its name.
    protocol
        The study's; by default the default protocol.
    """
    if table in _STATISTICS:
        return _statistics(table)
    protocol = protocol or get_protocol(DEFAULT)
    made = {
        "participants": participants, "scores": scores, "atlas_distances": atlas_distances,
        "predicted_dice": predicted_dice, "predicted_dice_structures": predicted_structures,
        "segmentation": segmentation, "biomarkers": biomarkers, "truth": biomarkers,
        "reference_biomarkers": biomarkers,
    }  # fmt: skip
    tables: dict[str, Mapping[str, Entry]] = {
        "ledger": _RECORD,
        "cost": _COST,
        "qc": _QC,
        "qc_checks": _CHECKS,
        "recon_scores": _IMAGE_SCORES,
        "reference_checks": {k: v for k, v in _CHECKS.items() if k != "kind"},
        "atlas_subjects": _ACCOUNT,
        "visibility_subjects": _ACCOUNT,
        "visibility_map_subjects": _ACCOUNT,
    }
    more = {"biomarkers": _BIOMARKER_EXTRA, "reference_biomarkers": _REFERENCE}
    own = made[table](protocol) if table in made else tables.get(table, {})
    return {**_UNIT, **own, **more.get(table, {})}


def participants(protocol: Protocol) -> dict[str, Entry]:
    """Return the dictionary of the participants table."""
    return {**_COHORT, **{name: entry(*column) for name, column in protocol.columns.items()}}


def scores(protocol: Protocol) -> dict[str, Entry]:
    """Return the dictionary of the scores of a segmentation."""
    phases = " or ".join(protocol.phase_names) or "empty"
    return {
        "structure": entry("", _either(protocol)),
        "phase": entry("", f"{phases} where known"),
        **_SCORES,
    }


def atlas_distances(protocol: Protocol) -> dict[str, Entry]:
    """Return the dictionary of the distances to the atlas."""
    organ = protocol.words.organ
    return {
        "atlas_distance_mm": entry(
            "mm",
            f"mean displacement that takes the atlas of all to this {organ}, within the {organ}",
        ),
        **{
            f"atlas_dice_{name}": entry(
                "", f"Dice of {words} with the atlas, after registration to it"
            )
            for name, words in protocol.labels.words.items()
        },
        **_ATLAS_REST,
    }


def predicted_dice(protocol: Protocol) -> dict[str, Entry]:
    """Return the dictionary of predicted Dice, a row per subject."""
    return {
        "predicted_dice": entry("", "predicted Dice, mean over structures and phases"),
        **{
            f"predicted_dice_{name}": entry("", f"predicted Dice of {words}, mean over phases")
            for name, words in protocol.labels.words.items()
        },
        **_PREDICTED_REST,
    }


def predicted_structures(protocol: Protocol) -> dict[str, Entry]:
    """Return the dictionary of predicted Dice, a row per subject, phase and structure."""
    phases = " or ".join(protocol.phase_names) or "empty"
    return {
        "phase": entry("", f"{phases}: as found on the segmentation"),
        "structure": entry("", _either(protocol)),
        "predicted_dice": entry("", "Dice predicted by reverse classification accuracy"),
    }


def segmentation(protocol: Protocol) -> dict[str, Entry]:
    """Return the dictionary of what the segmentation says of itself."""
    per_structure = {
        key.format(name): entry(unit, meaning.format(words), source)
        for name, words in protocol.labels.words.items()
        for key, unit, meaning, source in _OF_STRUCTURE
    }
    return {**per_structure, **_SEGMENTATION_REST}


def _either(protocol: Protocol) -> str:
    names = list(protocol.labels.codes)
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def biomarkers(protocol: Protocol) -> dict[str, Entry]:
    """Return the dictionary of the biomarkers, and of their intervals."""
    columns = dict(load(protocol.biomarkers.dictionary))
    if protocol.biomarkers.intervals:
        columns |= load(protocol.biomarkers.intervals)
    return {name: entry(*column) for name, column in columns.items()}


#: Table -> dictionary in the package that makes it.
_STATISTICS = {
    "interval_coverage": "popscan.fairness.coverage:DICTIONARY",
    "associations": "popscan.associate.models:DICTIONARY",
    "reference_ranges": "popscan.associate.ranges:DICTIONARY",
    "fairness_outcomes": "popscan.fairness.dictionary:OUTCOMES",
    "fairness_outcomes_applies": "popscan.fairness.dictionary:APPLIES",
    "fairness_predictions": "popscan.fairness.predictions:DICTIONARY",
    "fairness_calibration": "popscan.fairness.prediction_curves:CALIBRATION",
    "fairness_thresholds": "popscan.fairness.prediction_curves:THRESHOLDS",
    "fairness_groups": "popscan.fairness.dictionary:GROUPS",
    "fairness_gaps": "popscan.fairness.dictionary:GAPS",
    "fairness_summary": "popscan.fairness.dictionary:SUMMARY",
    "fairness_adjusted": "popscan.fairness.adjusted:DICTIONARY",
    "fairness_confounding": "popscan.fairness.confounding:DICTIONARY",
    "fairness_pairs": "popscan.fairness.pairs:DICTIONARY",
    "fairness_funnel": "popscan.fairness.funnel:DICTIONARY",
    "fairness_exclusion": "popscan.fairness.adjusted:DICTIONARY",
    "fairness_agreement": "popscan.fairness.agreement:DICTIONARY",
    "fairness_ledger": "popscan.fairness.ledger:DICTIONARY",
    "rca_validity": "popscan.fairness.rca:DICTIONARY",
    "visibility": "popscan.visibility.tables:DICTIONARY",
    "visibility_attributions": "popscan.visibility.attribution:DICTIONARY",
}


def _statistics(table: str) -> dict[str, Entry]:
    """Return the dictionary of a table of associate or fairness, from the package that makes it."""
    module, _, name = _STATISTICS[table].partition(":")
    told: Mapping[str, tuple[str, str]] = getattr(importlib.import_module(module), name)
    return {column: entry(unit, meaning) for column, (unit, meaning) in told.items()}
