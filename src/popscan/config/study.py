"""Sections of what goes into a study: its images, cohort table and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from popscan.cells import MISSING_VALUES
from popscan.config.flow import FlowInput
from popscan.config.kspace import KSpaceInput
from popscan.config.mapping import MappingInput
from popscan.config.section import ColumnName, Distinct, Limits, Section


class Source(Section):
    """Where raw scans come from."""

    kind: Literal["simulated", "acdc", "dicom", "bids", "kspace", "ukb"] = Field(
        default="simulated",
        description="simulated: the digital population; acdc: patientNNN folders with Info.cfg; "
        "dicom: one folder per subject, any file names below it; bids: sub-*/[ses-*/] NIfTI; "
        "kspace: raw k-space of ISMRMRD, BART, fastMRI, CMRxRecon (docs/kspace.md); "
        "ukb: UK Biobank's bulk zips as they are delivered (docs/ukb.md).",
    )
    root: str = Field(default="", description="Folder of the raw data (not used by simulated).")
    participants: str = Field(
        default="",
        description="Cohort table (TSV, BIDS participants.tsv), or a field table of UK Biobank "
        "(docs/ukb.md). Empty: participants.tsv in root "
        "if it is there, else every subject found in root.",
    )
    views: Distinct[str] = Field(
        default=[],
        description="Views to ingest, of the protocol's series; by default those that it needs.",
    )
    max_tilt_deg: float = Field(
        default=5.0,
        ge=0,
        le=10,
        description="dicom, ukb: slices that continue the short-axis stack belong to it while they "
        "are tilted against it by no more than this; beyond it they are left out, and QC reviews.",
    )

    labels: str = Field(
        default="",
        description="bids: whose reference labels to use where one image has several label files: "
        "a folder below derivatives, or a part of the file's name. Empty: several are a problem, "
        "and none is used.",
    )
    label_codes: dict[Annotated[int, Field(ge=0, le=65535)], str] = Field(
        default={},
        description="Code in the reference label files -> name of a structure of the protocol, or "
        "background, e.g. {1: liver, 2: background}. Empty: the protocol's own codes.",
    )
    kspace: KSpaceInput = Field(
        default=KSpaceInput(), description="kspace: how raw k-space is read (below)."
    )
    mapping: MappingInput = Field(
        default=MappingInput(),
        description="Protocols of relaxation times: how their images are read (below).",
    )
    flow: FlowInput = Field(
        default=FlowInput(),
        description="Protocols of flow: how their images are read (below).",
    )


def source_kind(options: Mapping[str, object]) -> str:
    """Return the kind of the study's source from the sections that a stage was given."""
    return Source.of(options).kind


class Simulate(Section):
    """The digital population (source kind `simulated`)."""

    n_subjects: int = Field(default=24, ge=1, le=1_000_000, description="Number of subjects.")
    kspace: bool = Field(default=True, description="Simulate multi-coil k-space, not images.")
    matrix: int = Field(default=128, ge=48, le=512, description="In-plane matrix size.")
    spacing_mm: float = Field(default=2.2, gt=0, le=20, description="In-plane pixel spacing in mm.")
    n_frames: int = Field(default=12, ge=2, le=1000, description="Frames per scan.")
    n_coils: int = Field(default=6, ge=1, le=256, description="Receive coils.")
    acceleration: float = Field(
        default=3.0, ge=1, le=64, description="k-space undersampling factor."
    )
    allocation: Literal["random", "quota"] = Field(
        default="random",
        description="random: the first subjects stay as they are when there are more; quota: "
        "sexes, races, faults in rounded exact shares, for small populations.",
    )
    bias: list[dict[str, Any]] = Field(
        default=[],
        description="Known biases: mappings with attribute, group, kind (image_quality, "
        "label_noise, contrast, fat_layer) and strength (0 to 1).",
    )
    faults: dict[str, float] = Field(
        default={},
        description="Known faults and the share of subjects that has each: motion, "
        "missing_slices, missing_frames, wrong_metadata, truncated, corrupt_values, late_beats, "
        "breath.",
    )


class Cohort(Section):
    """How the cohort table is read."""

    sex_codes: dict[str, str] = Field(
        default={},
        description="Study's own sex codes -> female, male or unknown, beside the usual ones "
        "(f, m, female, male, and UK Biobank's 0, 1).",
    )
    missing_values: list[str] = Field(
        default=list(MISSING_VALUES),
        description="Cells that mean not recorded in any column, beside an empty one, n/a and nan; "
        "case does not matter. NA and none mean it among numbers; among words they are groups, "
        "unless listed here (or, for NA, if the table has NA among numbers, as R writes it).",
    )
    categorical: list[ColumnName] = Field(
        default=[],
        description="Columns of numbers that are codes of categories, never slopes. Whole numbers "
        "in columns called site, centre, center, hospital or scanner are codes without it.",
    )
    special_codes: dict[ColumnName, list[float]] = Field(
        default={},
        description="Column -> numbers that mean not recorded (UK Biobank's -1 and -3), also among "
        "words and codes of categories; an empty list keeps all. In other columns a few negative "
        "codes (-1, -3, -7, -9, -10, ...) among values from 0, and 99, 999, ... far above all "
        "others, count as missing, and a note says so.",
    )
    ukb_fields: dict[ColumnName, Annotated[int, Field(ge=1)]] = Field(
        default={},
        description="Attribute -> UK Biobank field, where source.participants is a field table, "
        "e.g. {hba1c: 30750}; sex, age, ethnic background, centre, body size and others need no "
        "mention (docs/ukb.md).",
    )
    reference_group: dict[ColumnName, str] = Field(
        default={},
        description="Column -> group: those whose slopes adjust biomarkers for the size of a body "
        "part (residual method), as healthy controls {group: NOR}; by default all who are "
        "analysed. Protocols without such biomarkers don't use it.",
    )
    exclude: str = Field(
        default="",
        description="TSV of subjects to leave out (participant_id, [session_id], reason), or UK "
        "Biobank's list of withdrawn participants (an eid per line); an empty session_id, or none, "
        "means all visits. What the study holds of them is removed "
        "(docs/withdrawal.md).",
    )
    plausible: dict[ColumnName, Limits] = Field(
        default={
            "age_years": [0, 120],
            "height_cm": [100, 230],
            "weight_kg": [25, 300],
            "bmi_kg_m2": [10, 90],
            "hr_bpm": [20, 250],
        },
        description="Column -> smallest and largest value that can be right; others (a weight of "
        "0 or 710 kg) count as missing, and the report says how many there were.",
    )


class Storage(Section):
    """What of each subject stays on disk once all stages that read it are done (docs/storage.md).

    No result depends on it: what is needed later is made again.
    """

    keep: Literal["all", "labels", "tables"] = Field(
        default="all",
        description="all: every file; labels: label maps (of segmentation, and references) and "
        "small JSON files, no images, k-space and maps; tables: records and tables only.",
    )
    archives: bool = Field(
        default=False,
        description="Pack what is kept into one zip per stage and shard, archives/STAGE/SHARD.zip, "
        "in place of files of every subject: for disks that count files. Simulated raw data are "
        "not packed but made again.",
    )


class Plan(Section):
    """How subjects are grouped into jobs."""

    shard_size: int = Field(default=64, ge=1, description="Subjects per job.")
    max_failed_fraction: float = Field(
        default=0.5, ge=0, le=1, description="A job fails when a larger share of its shard fails."
    )
    max_failed_min: int = Field(
        default=5, ge=1, description="... and at least this many subjects failed."
    )
