"""The one typed definition of a study's config.

The JSON schema in ``workflow/schemas`` and the reference in ``config/README.md`` are exported from
here (``popscan schema``), so a key that is not defined here is an error everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from popscan.records import PopscanError, check_identifier


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Study(Section):
    """What the study is called and where its results go."""

    name: str = Field(default="demo", description="Name of the study and of its results folder.")
    results: str = Field(default="results", description="Folder that holds all studies' results.")
    seed: int = Field(default=1, ge=0, description="Seed of every random choice of the study.")

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str) -> str:
        try:
            return check_identifier(name, what="study")
        except PopscanError as error:
            raise ValueError(str(error)) from error


class Source(Section):
    """Where raw scans come from."""

    kind: Literal["simulated", "acdc", "dicom", "bids"] = Field(
        default="simulated",
        description="simulated: the digital population; acdc: patientNNN folders with Info.cfg; "
        "dicom: one folder per subject, any file names below it; bids: sub-*/[ses-*/] NIfTI.",
    )
    root: str = Field(default="", description="Folder of the raw data (not used by simulated).")
    participants: str = Field(
        default="",
        description="Cohort table (TSV, BIDS participants.tsv). Empty: participants.tsv in root "
        "if it is there, else every subject found in root.",
    )
    views: list[str] = Field(
        default=["sax"], description="Views to ingest: sax, 2ch, 3ch, 4ch, rvot."
    )


class Simulate(Section):
    """The digital population (source kind `simulated`)."""

    n_subjects: int = Field(default=24, ge=1, description="Number of subjects.")
    kspace: bool = Field(default=True, description="Simulate multi-coil k-space, not images.")
    matrix: int = Field(default=128, ge=48, le=512, description="In-plane matrix size.")
    spacing_mm: float = Field(default=2.2, gt=0, description="In-plane pixel spacing in mm.")
    n_frames: int = Field(default=12, ge=2, description="Cardiac phases per scan.")
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
    exclude: str = Field(
        default="",
        description="TSV of subjects to leave out (participant_id, [session_id], reason).",
    )
    plausible: dict[str, Limits] = Field(
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


class Segment(Section):
    """Images to labels."""

    method: str = Field(default="bundle", description="Name in the stage's method table.")
    model: str = Field(
        default="cine_sax", description="Bundle: a folder, or a name in resources/models."
    )
    flips: bool = Field(default=False, description="Average over in-plane flips (slower).")
    largest_component: bool = Field(
        default=True, description="Keep only the largest 3D component of each structure."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it runs.")
    batch_slices: int = Field(default=8, ge=1, description="Slices in one batch.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="What the networks compute in; auto: bfloat16 where the processor or GPU has "
        "it, twice as fast. A few border voxels differ, so on a cluster of unlike nodes name one.",
    )
    reference_images: bool = Field(
        default=True,
        description="Where the source has reference images (simulated k-space), segment them too: "
        "the bias ledger then tells segmentation from reconstruction. Twice the work.",
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
        description="TSV in which a person overrides verdicts (participant_id, verdict, reason, "
        "name).",
    )


class Biomarkers(Section):
    """Labels to numbers."""

    method: str = Field(default="cine_sax", description="Name in the stage's method table.")


class Atlas(Section):
    """Population averages."""

    enabled: bool = Field(default=True, description="Build atlases.")
    groups: list[str] = Field(
        default=["sex"], description="Attributes of which every group gets an atlas."
    )
    iterations: int = Field(
        default=3, ge=1, le=10, description="Rounds: the first is rigid, the others demons."
    )
    spacing_mm: float = Field(default=3.0, gt=0, description="Voxel size of the atlas.")
    min_group: int = Field(default=5, ge=2, description="Smallest group that gets an atlas.")


class Associate(Section):
    """Regression of biomarkers on covariates, and reference ranges."""

    outcomes: list[str] = Field(
        default=["lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvesv_ml", "rvef_pct"],
        description="Biomarker columns.",
    )
    terms: list[str] = Field(
        default=["age_years", "sex", "bsa_m2"], description="Columns on the right-hand side."
    )
    min_n: int = Field(default=20, ge=5, description="Fewest complete rows of a regression.")


class Fairness(Section):
    """Comparison of every stage's outcome between groups."""

    attributes: list[str] = Field(
        default=["sex", "race"],
        description="Columns to compare by: of the cohort table, or age_band, bmi_class.",
    )
    intersections: list[list[str]] = Field(
        default=[["sex", "race"]], description="Combinations of attributes."
    )
    reference: dict[str, str] = Field(
        default={}, description="Attribute -> reference group; default: the largest group."
    )
    codings: dict[str, str | dict[str, str]] = Field(
        default={},
        description="Column -> how its codes read: ukb_21000 (UK Biobank ethnic background, top "
        "level), ukb_21000_detailed, ukb_31 (sex), ixi_ethnic, or a mapping code -> category.",
    )
    age_bands_years: list[float] = Field(
        default=[0, 45, 55, 65, 75], description="Lower limits of the bands of age_band."
    )
    biomarkers: list[str] = Field(
        default=["lvedv_ml", "lvesv_ml", "lvef_pct", "lvm_g", "rvedv_ml", "rvef_pct"],
        description="Biomarkers that are compared, measured against references and followed "
        "along the pipeline.",
    )
    adjust_for: list[str] = Field(
        default=["age_years", "bsa_m2"],
        description="Confounders of the adjusted gaps and of the ledger's last step: columns of "
        "the cohort table, or bsa_m2, bmi_kg_m2. What a study lacks is named and left out.",
    )
    adjust_methods: list[
        Literal["regression", "ancova", "standardisation", "mixed", "matching"]
    ] = Field(
        default=["regression", "standardisation"],
        description="Ways of adjusting, each a row of the table of adjusted gaps.",
    )
    adjust_block: str = Field(
        default="", description="Column with the random effect of method mixed (site, scanner)."
    )
    quality: str = Field(
        default="dice_mean",
        description="Outcome that stands for true quality where QC's exclusions are compared at "
        "equal quality (needs references).",
    )
    ledger: bool = Field(
        default=True,
        description="Split the gap of each biomarker along the pipeline, where references exist.",
    )
    min_group: int = Field(default=10, ge=2, description="Smaller groups are shown as too few.")
    n_boot: int = Field(default=1000, ge=100, description="Bootstrap draws.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="1 - confidence level.")
    correction: Literal["holm", "bh"] = Field(
        default="holm", description="Correction for multiplicity over the family."
    )
    family: Literal["all", "attribute", "stage", "outcome"] = Field(
        default="all",
        description="Tests that are corrected together: all of the audit, or those of one "
        "attribute, stage or outcome.",
    )


class Report(Section):
    """The study's HTML report."""

    max_flagged_pages: int = Field(
        default=200, ge=0, description="Most pages of flagged subjects that are written."
    )
    min_cell: int = Field(
        default=5, ge=1, description="Smallest cell that may appear in what is shared."
    )


class Config(Section):
    """A study's config."""

    study: Study = Study()
    source: Source = Source()
    simulate: Simulate = Simulate()
    cohort: Cohort = Cohort()
    plan: Plan = Plan()
    reconstruct: Reconstruct = Reconstruct()
    segment: Segment = Segment()
    qc: Qc = Qc()
    biomarkers: Biomarkers = Biomarkers()
    atlas: Atlas = Atlas()
    associate: Associate = Associate()
    fairness: Fairness = Fairness()
    report: Report = Report()
    subjects: str | list[str] = Field(
        default="",
        description="Run only these (comma-separated or a list of sub-* or sub-*_ses-*); "
        "given on the command line: --config subjects=sub-0001,sub-0002.",
    )


def json_schema() -> dict[str, Any]:
    """JSON schema of the config, for Snakemake's ``validate`` and for editors."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def parse_section(name: str, data: Any) -> Any:
    """Read one section of a config.

    Raises
    ------
    PopscanError
        If there is no such section.
    pydantic.ValidationError
        If `data` does not fit it.
    """
    field = Config.model_fields.get(name)
    if field is None or not isinstance(field.annotation, type):
        raise PopscanError(f"no config section {name!r}; there are {sorted(Config.model_fields)}")
    return field.annotation.model_validate(data)
