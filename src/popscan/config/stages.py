"""Sections of the study itself and of the stages that every subject goes through."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from popscan.cells import MISSING_VALUES
from popscan.config.kspace import KSpaceInput
from popscan.config.section import ColumnName, Section
from popscan.records import PopscanError, check_identifier

#: Code of a structure in a label file.
Code = Annotated[int, Field(ge=0, le=65_535)]


class Study(Section):
    """What the study is called and where its results go."""

    name: str = Field(
        default="demo",
        description="Name of the study and of its results folder.",
        # For Snakemake, which reads the JSON schema only; as `check_identifier`.
        json_schema_extra={"pattern": r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"},
    )
    results: str = Field(default="results", description="Folder that holds all studies' results.")
    seed: int = Field(default=1, ge=0, description="Seed of every random choice of the study.")
    part_of: str = Field(
        default="",
        description="Name of the study of several protocols that this is a part of; set by "
        "popscan.",
    )

    @property
    def title(self) -> str:
        """Name for the pages: a part has that of its study before its own."""
        return f"{self.part_of}: {self.name}" if self.part_of else self.name

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str) -> str:
        try:
            return check_identifier(name, what="study")
        except PopscanError as error:
            raise ValueError(str(error)) from error


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
    views: list[str] = Field(
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
        "background, e.g. {1: lv, 2: myo, 3: rv}. Empty: the protocol's own codes.",
    )
    kspace: KSpaceInput = Field(
        default=KSpaceInput(), description="kspace: how raw k-space is read (below)."
    )


class Simulate(Section):
    """The digital population (source kind `simulated`)."""

    n_subjects: int = Field(default=24, ge=1, description="Number of subjects.")
    kspace: bool = Field(default=True, description="Simulate multi-coil k-space, not images.")
    matrix: int = Field(default=128, ge=48, le=512, description="In-plane matrix size.")
    spacing_mm: float = Field(default=2.2, gt=0, description="In-plane pixel spacing in mm.")
    n_frames: int = Field(default=12, ge=2, description="Frames per scan.")
    n_coils: int = Field(default=6, ge=1, description="Receive coils.")
    acceleration: float = Field(default=3.0, ge=1, description="k-space undersampling factor.")
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
        "missing_slices, missing_frames, wrong_metadata, truncated, corrupt_values.",
    )


#: Smallest and largest value of a column.
Limits = Annotated[list[float], Field(min_length=2, max_length=2)]


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
        description="Column -> numbers that mean not recorded (UK Biobank's -1 and -3); an empty "
        "list keeps all. In other columns a few negative codes (-1, -3, -7, -9, -10, ...) among "
        "values from 0, and 99, 999, ... far above all others, count as missing, and a note says "
        "so.",
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


class Plan(Section):
    """How subjects are grouped into jobs."""

    shard_size: int = Field(default=64, ge=1, description="Subjects per job.")
    max_failed_fraction: float = Field(
        default=0.5, ge=0, le=1, description="A job fails when a larger share of its shard fails."
    )
    max_failed_min: int = Field(
        default=5, ge=1, description="... and at least this many subjects failed."
    )


class Variant(Section):
    """One way of doing a stage: a method with its options."""

    method: str = Field(description="Name in the stage's method table.")
    options: dict[str, Any] = Field(default={}, description="Keyword options of the method.")


class Retrospective(Section):
    """K-space simulated from the images of an image study, to compare methods."""

    acceleration: float = Field(default=4.0, ge=1, le=64, description="Net undersampling.")
    pattern: Literal["lattice", "random", "gaussian"] = Field(
        default="random", description="Which lines are left out; every frame has its own."
    )
    centre_lines: int = Field(
        default=16, ge=1, le=512, description="Fully sampled lines in the centre of k-space."
    )
    coils: int = Field(default=8, ge=1, le=64, description="Simulated coils.")
    noise: float = Field(
        default=0.01, ge=0, le=1, description="SD of noise in each coil, relative to tissue."
    )
    phase: bool = Field(
        default=True,
        description="Add a smooth background phase; without, k-space is symmetric, which real "
        "k-space is not.",
    )
    oversampled: float = Field(
        default=1.0,
        ge=1,
        le=4,
        description="Phase-encoding field of view relative to the image's: above 1 the margin "
        "that archives cut off is encoded, too.",
    )


class Reconstruct(Section):
    """K-space to images."""

    use: str = Field(default="cg_sense", description="Variant that later stages read.")
    variants: dict[str, Variant] = Field(
        default={
            "cg_sense": Variant(method="cg_sense"),
            "zero_filled": Variant(method="zero_filled"),
        },
        description="Variants by name; all are run and scored where a reference exists.",
    )
    retrospective: Retrospective | None = Field(
        default=None,
        description="For image studies: simulate k-space from the images, undersample it and "
        "reconstruct it, so that variants can be compared (docs/reconstruction.md). The images "
        "are the reference; all later stages use the reconstruction.",
    )


class Segment(Section):
    """Images to labels."""

    method: str = Field(
        default="", description="Name in the protocol's method table; by default its first choice."
    )
    model: str = Field(
        default="",
        description="Bundle: a folder, or a name in resources/models; by default the protocol's.",
    )
    flips: bool = Field(default=False, description="Average over in-plane flips (slower).")
    largest_component: bool = Field(
        default=True, description="Keep only the largest 3D component of each structure."
    )
    mend: bool = Field(
        default=True,
        description="Repair anatomically impossible slices: detached pieces and holes.",
    )
    base: bool = Field(
        default=True,
        description="Decide by evidence (wall, image, motion, neighbours) in which slice the left "
        "ventricle ends at its base, and remove labels above; doubtful slices widen the intervals.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it runs.")
    batch_slices: int = Field(
        default=0, ge=0, description="Slices in one batch; 0: 8 on a CPU, 128 on a GPU."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="What the networks compute in; auto: bfloat16 where the processor or GPU has "
        "it, twice as fast. A few border voxels differ, so on a cluster of unlike nodes name one.",
    )
    dropout_samples: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Draws of Monte-Carlo dropout per member of the model, for uncertainty beside "
        "that of members and flips; labels do not change. Each costs one more pass.",
    )
    dropout_rate: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the channels that a draw silences."
    )
    uncertainty_maps: bool = Field(
        default=False,
        description="Write maps of entropy and mutual information per voxel, as large as the scan.",
    )
    reference_images: bool = Field(
        default=True,
        description="Where the source has reference images (simulated k-space), segment them too: "
        "the bias ledger then separates segmentation from reconstruction. Twice the work.",
    )


class Qc(Section):
    """Quality control."""

    thresholds: dict[str, dict[str, Any]] = Field(
        default={},
        description="Check name -> {review: .., fail: ..}, in place of the defaults; "
        "docs/qc.md lists the checks.",
    )
    overrides: str = Field(
        default="",
        description="TSV of manual QC overrides (participant_id, [session_id], "
        "verdict, reason, name, [date]); docs/qc.md says how.",
    )


class Biomarkers(Section):
    """Labels to numbers."""

    method: str = Field(
        default="", description="Name in the protocol's method table; by default its first choice."
    )
    cycle_ms: Limits = Field(
        default=[300, 2000],
        description="Shortest and longest heart cycle that is believed, in ms (30 to 200 beats a "
        "minute); outside of it heart rate, cardiac output and index stay empty.",
    )
    between_slices: Literal["discs", "interpolated"] = Field(
        default="discs",
        description="How volumes and mass follow from slices: discs sums area times distance; "
        "interpolated interpolates the labels' shapes between slices. Intervals are fitted for "
        "discs.",
    )
    interval_level: float = Field(
        default=0.9,
        gt=0.5,
        lt=1,
        description="Share of subjects whose expert value the intervals of volumes, mass and "
        "ejection fraction are meant to hold.",
    )
    interval_method: Literal["auto", "tolerance", "student", "conformal"] = Field(
        default="auto",
        description="auto: conformal where a bundle was calibrated on 40 patients or more, else "
        "tolerance; tolerance: wide enough for 9 of 10 sets of calibration patients of the "
        "bundle's size; student: on average over such sets, so too narrow for half of them; "
        "conformal: without assumption, but of 14 patients at most for level 0.93.",
    )
