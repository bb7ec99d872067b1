"""What the columns of the participants, the ledger and the costs mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import UNIT, Column, text
from popscan.protocol import Protocol

_COHORT: Mapping[str, Column] = {
    "sub": text("subject", "cohort table"),
    "ses": text("visit; empty without visits", "cohort table"),
    "sex": text("female, male or unknown", "cohort table"),
    "race": text("race or ethnicity as recorded by the study", "cohort table"),
    "age_years": Column("years", "age at the scan", "cohort table"),
    "height_cm": Column("cm", "body height", "cohort table, else the source"),
    "weight_kg": Column("kg", "body weight", "cohort table, else the source"),
    "scanner": text("scanner", "cohort table"),
    "site": text("site", "cohort table"),
    "group": text("diagnostic group", "source"),
    "n_slices": Column("", "slices of the stack", "ingest"),
    "n_frames": Column("", "frames", "ingest"),
    "pixel_spacing_mm": Column("mm", "in-plane pixel spacing", "ingest"),
    "slice_distance_mm": Column("mm", "distance between slice centres", "ingest"),
    "manufacturer": text("scanner manufacturer", "ingest"),
    "field_strength_t": Column("T", "main field", "ingest"),
    "views": text("views found", "ingest"),
    "images_left_out": Column("", "images of these views that are not used", "ingest"),
    "ingest_notes": text("what the reader left aside or assumed", "ingest"),
    "reference_problem": text(
        "short code of why reference labels that are there are not used", "ingest"
    ),
    "reference_message": text("the same in a sentence", "ingest"),
    "images_left_out_reason": text("why, and how many of each", "ingest"),
}
_STAGE = {"stage": text("stage of the pipeline")}
_RECORD: Mapping[str, Column] = {
    "status": text("ok, failed, excluded, skipped or not_applicable"),
    "reason": text("short code of why"),
    "message": text("why, in a sentence"),
}
#: What became of a subject at a stage.
ACCOUNT: Mapping[str, Column] = {**UNIT, **_RECORD}
LEDGER: Mapping[str, Column] = {**UNIT, **_STAGE, **_RECORD}
COST: Mapping[str, Column] = {
    **UNIT,
    **_STAGE,
    "seconds": Column("s", "loading, work and writing of this subject"),
    "peak_mb": Column("MB", "largest memory of the worker up to this subject"),
    "cores": Column("", "cores that the job was given"),
    "gpus": Column("", "GPUs that the job used"),
    "finished": text("when, UTC"),
}


def participants(protocol: Protocol) -> dict[str, Column]:
    """Return the data dictionary of the participants table."""
    return {**UNIT, **_COHORT, **protocol.columns}
