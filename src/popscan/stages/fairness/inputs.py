"""What the fairness audit of a study is made of, from the study's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from popscan.config import Atlas, Fairness, Rca, Reconstruct, Source
from popscan.protocols import protocol_of
from popscan.records import Status
from popscan.scored import counted
from popscan.stages import stages_of
from popscan.stages.reconstruct.columns import rejections
from popscan.stages.stopping.columns import scan_lengths
from popscan.stages.variants.columns import variant_scores
from popscan.stats.harmonise_account import harmonised_name
from popscan.study.harmonised import and_harmonised
from popscan.study.study import Study
from popscan.study.tables import read_table

if TYPE_CHECKING:
    from popscan.fairness.prediction_outcomes import Prediction

#: Columns of the table of atlas distances that the audit compares.
_ATLAS_OUTCOMES = (
    "unit", "atlas_distance_mm", "atlas_own_distance_mm", "atlas_others_distance_mm",
    "atlas_dice_mean",
)  # fmt: skip

#: Columns of the table of checks, in very many rows, that the audit compares.
_OF_CHECKS = ("unit", "check", "verdict")


@dataclass(frozen=True, kw_only=True)
class AuditInputs:
    """What the audit of a study is made of.

    Attributes
    ----------
    outcomes
        Long table of every stage's outcomes.
    attributes
        Everybody in the study, by unit.
    ledger
        Statuses as they count in the end: QC with a person's overrides applied.
    stages
        Stages that a subject passes on the way to the analyses, in order.
    measured, reference
        Biomarkers of who is analysed, and of the truth or the reference labels.
    reference_is_true
        Whether `reference` is the simulator's truth, free of error.
    steps
        Step of the pipeline -> biomarkers after it, for the bias ledger.
    qc
        Final verdicts.
    predictions
        Classifiers and regressions; their outcomes are among `outcomes`.
    notes
        Sentences on what of the predictions is of nobody, and who has none.
    """

    outcomes: pd.DataFrame
    attributes: pd.DataFrame
    ledger: pd.DataFrame
    stages: tuple[str, ...]
    measured: pd.DataFrame
    reference: pd.DataFrame
    steps: Mapping[str, pd.DataFrame]
    qc: pd.DataFrame
    reference_is_true: bool = False
    predictions: tuple[Prediction, ...] = ()
    notes: tuple[str, ...] = ()


def audit_inputs(study: Study) -> AuditInputs:
    """Bring together what the audit compares, from the study's tables."""
    from popscan.fairness.outcomes import outcomes_table
    from popscan.fairness.prediction_outcomes import prediction_outcomes
    from popscan.study.predictions import study_predictions

    study_root, options = study.root, study.options
    section = Fairness.of(options)
    kind = Source.of(options, or_defaults=True).kind
    with_atlas = Atlas.of(options, or_defaults=True).enabled
    measured = study.biomarkers
    reference = reference_biomarkers(study_root, simulated=kind == "simulated")
    distances = study.table("atlas_distances") if with_atlas else pd.DataFrame()
    columns = and_harmonised([n for n in section.biomarkers if n in measured], measured)
    better = {one.name: one.better for one in protocol_of(options).outcomes}
    better |= {harmonised_name(name): better[name] for name in [*better]}
    outcomes = outcomes_table(
        ledger=pd.concat([study.ledger, *_failed_besides(study, with_atlas)], ignore_index=True),
        scores=study.table("scores"),
        recon_scores=_in_use(study.table("recon_scores"), options),
        variant_scores=variant_scores(study),
        scan_lengths=scan_lengths(study),
        line_rejection=rejections(study),
        segmentation=study.table("segmentation"),
        qc=study.verdicts,
        qc_checks=study.table("qc_checks", columns=_OF_CHECKS, coded=_OF_CHECKS),
        biomarkers=measured,
        biomarker_columns=columns,
        better=better,
        truth=reference,
        atlas=distances[[name for name in _ATLAS_OUTCOMES if name in distances]],
        analysed=pd.Series(True, index=measured["unit"]) if "unit" in measured else None,
    )
    if Rca.of(options, or_defaults=True).enabled:
        outcomes = pd.concat([outcomes, _predicted(study_root)], ignore_index=True)
    predictions, notes = study_predictions(section.predictions, study.attributes)
    if predictions:
        more = prediction_outcomes(predictions, study.attributes.index)
        outcomes = pd.concat([outcomes, more], ignore_index=True)
    return AuditInputs(
        outcomes=outcomes,
        attributes=study.attributes,
        ledger=study.ledger,
        stages=tuple(stage for stage in stages_of(kind) if stage != "score"),
        measured=measured,
        reference=reference,
        steps=ledger_steps(study_root, reference, simulated=kind == "simulated"),
        qc=study.verdicts,
        reference_is_true=kind == "simulated",
        predictions=tuple(predictions),
        notes=tuple(notes),
    )


def _failed_besides(study: Study, with_atlas: bool) -> list[pd.DataFrame]:
    """Account of the atlas, where it lost somebody: whom it fails is an outcome, too."""
    account = study.table("atlas_subjects") if with_atlas else pd.DataFrame()
    if "status" not in account or not (account["status"] == str(Status.FAILED)).any():
        return []
    return [account.assign(stage="atlas")]


def _predicted(study_root: Path) -> pd.DataFrame:
    """Predicted Dice as an outcome of the stage rca."""
    predicted = read_table(study_root, "predicted_dice")
    if "predicted_dice" not in predicted:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "unit": predicted["unit"],
            "stage": "rca",
            "outcome": "predicted_dice",
            "value": predicted["predicted_dice"].astype(float),
            "better_is": "higher",
            "kind": "continuous",
        }
    )


def _in_use(scores: pd.DataFrame, options: Mapping[str, object]) -> pd.DataFrame:
    """Scores of the reconstruction that later stages read; others are for comparing methods."""
    if "variant" not in scores:
        return scores
    used = Reconstruct.of(options, or_defaults=True).use
    return scores[scores["variant"] == used].drop(columns="variant")


def reference_biomarkers(study_root: Path, *, simulated: bool) -> pd.DataFrame:
    """Return true biomarkers: of the simulator, or of reference labels that count."""
    if simulated:
        return read_table(study_root, "truth")
    return _of_source(study_root, "reference_labels")


def _of_source(study_root: Path, source: str) -> pd.DataFrame:
    """Biomarkers of references by what they were measured on, of those that count."""
    table = read_table(study_root, "reference_biomarkers")
    if "source" not in table:
        return pd.DataFrame()
    chosen = counted(table[table["source"] == source])
    trust = ["source", "seen_in_training", "reference_verdict"]
    return chosen.drop(columns=trust, errors="ignore").reset_index(drop=True)


def ledger_steps(
    study_root: Path, reference: pd.DataFrame, *, simulated: bool
) -> dict[str, pd.DataFrame]:
    """Return biomarkers after each step of the pipeline, of whoever has a reference.

    Parameters
    ----------
    study_root
        The study.
    reference
        Truth (simulated studies) or biomarkers of reference labels.
    simulated
        Whether the truth comes before the reference labels, which are an image grid's view of it.

    Returns
    -------
    dict
        In order: ``truth``, ``measurement on true labels`` or ``reference labels``; then
        ``segmentation`` (of reference images where there are any), ``reconstruction``,
        ``QC exclusion``. Empty without a reference.
    """
    biomarkers = read_table(study_root, "biomarkers")
    if reference.empty or biomarkers.empty:
        return {}
    of_images = _of_source(study_root, "reference_image")
    steps: dict[str, pd.DataFrame] = {}
    if simulated:
        steps["truth"] = reference
        on_labels = _of_source(study_root, "reference_labels")
        if len(on_labels):
            steps["measurement on true labels"] = on_labels
    else:
        steps["reference labels"] = reference
    labelled = biomarkers[biomarkers["unit"].isin(reference["unit"])]
    if len(of_images):
        steps["segmentation of reference images"] = of_images
        steps["reconstruction"] = labelled
    else:
        steps["segmentation"] = labelled
    steps["QC exclusion"] = labelled[labelled["analysed"].astype(bool)]
    return steps
