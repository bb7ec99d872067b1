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
    mend: bool = Field(
        default=True,
        description="Make slices possible that no heart has: pieces and holes within a slice.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it runs.")
    batch_slices: int = Field(default=8, ge=1, description="Slices in one batch.")
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
    interval_level: float = Field(
        default=0.9,
        gt=0.5,
        lt=1,
        description="Share of subjects whose expert value the intervals of volumes, mass and "
        "ejection fraction are meant to hold.",
    )
    interval_method: Literal["student", "conformal"] = Field(
        default="student",
        description="student: steady with the few patients that bundles are calibrated on; "
        "conformal: without assumption, but of 14 patients at most for level 0.93.",
    )


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
    codings: dict[
        str, Literal["ukb_21000", "ukb_21000_detailed", "ukb_31", "ixi_ethnic"] | dict[str, str]
    ] = Field(
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


class Rca(Section):
    """Predicted Dice without a reference, by reverse classification accuracy."""

    enabled: bool = Field(default=False, description="Predict every subject's Dice.")
    references: str = Field(
        default="auto",
        description="Where reference cases come from: study (its labelled subjects), simulated "
        "(hearts of the digital population), auto (study where it has labels, else simulated), or "
        "the rca/references.npz of another study.",
    )
    n_references: int = Field(default=8, ge=1, description="Reference cases.")
    n_registered: int = Field(
        default=4,
        ge=1,
        description="Of these, how many (the most similar) a subject is carried to.",
    )
    balance_by: list[str] = Field(
        default=["sex"], description="Columns of whose groups the references are alike many."
    )
    phases: list[Literal["ED", "ES"]] = Field(
        default=["ED"], min_length=1, description="Phases of the heart that are judged."
    )
    affine: bool = Field(
        default=False,
        description="Register by an affine transform first: slower, for hearts far off.",
    )
    inplane_mm: float = Field(default=4.0, gt=0, description="Voxels of the crops in-plane.")
    along_mm: float = Field(default=8.0, gt=0, description="Voxels of the crops along the heart.")
    low_dice: float = Field(
        default=0.7, gt=0, lt=1, description="True Dice below which a segmentation counts as poor."
    )


class Visibility(Section):
    """Whether sex, race, scanner can be told from what the pipeline sees."""

    enabled: bool = Field(default=False, description="Ask it.")
    attributes: list[str] = Field(
        default=[], description="Columns of the cohort table; empty: those of fairness.attributes."
    )
    sources: list[Literal["biomarkers", "labels", "heart", "image", "latent"]] = Field(
        default=["biomarkers", "labels", "heart", "image", "latent"],
        description="What attributes are looked for in.",
    )
    adjust_for: list[str] = Field(
        default=["age_years", "height_cm", "weight_kg"],
        description="What is taken out of the features for the adjusted area (body size).",
    )
    n_folds: int = Field(default=5, ge=2, description="Folds of the cross-validation.")
    n_components: int = Field(
        default=50, ge=1, description="Principal components, at most, of each source of features."
    )
    n_permutations: int = Field(default=200, ge=0, description="Permutations of the labels.")
    max_subjects: int = Field(
        default=4000,
        ge=20,
        description="Larger studies are sampled: it costs nothing in the answer.",
    )
    n_maps: int = Field(
        default=24, ge=0, description="Subjects of which attribution maps are averaged; 0: no maps."
    )
    baseline_model: str = Field(
        default="",
        description="A model trained on balanced groups, as segment.model: what is held constant "
        "in the partial correlation of attributions; empty: the image's edges.",
    )


class Report(Section):
    """The study's HTML report."""

    max_flagged_pages: int = Field(
        default=200, ge=0, description="Most pages of flagged subjects that are written."
    )
    min_cell: int = Field(
        default=5, ge=1, description="Smallest cell that may appear in what is shared."
    )


class Architecture(Section):
    """A network by name with its arguments."""

    architecture: str = Field(default="dynunet", description="unet, dynunet or basic_unet.")
    architecture_arguments: dict[str, Any] = Field(
        default={"channels": [16, 32, 64, 128, 256]}, description="What it takes: channels, ..."
    )


class ExperimentMitigation(Section):
    """What one arm of an experiment does for its groups; the defaults do nothing."""

    sampling: Literal["", "stratified", "oversampling"] = Field(
        default="",
        description="How groups enter a batch: stratified, oversampling, or as they are.",
    )
    reweigh: bool = Field(default=False, description="Importance reweighing of the groups' losses.")
    dro_step: float = Field(default=0.0, ge=0, description="Step of Group DRO; 0 for none.")
    dro_adjustment: float = Field(
        default=0.0, ge=0, description="Generalisation adjustment C of Group DRO."
    )
    adversary: float = Field(
        default=0.0, ge=0, description="Weight of a reversed classifier of the attribute."
    )
    classifier: float = Field(
        default=0.0, ge=0, description="Weight of a classifier of the attribute trained along."
    )
    crop_px: int = Field(
        default=0, ge=0, description="Side of the square around the heart that is seen; 0: all."
    )
    crop_by: Literal["reference", "cascade"] = Field(
        default="reference",
        description="What finds a test subject's heart: its reference labels, or a network "
        "trained on the same subjects without cropping.",
    )
    group_steps: int = Field(
        default=0, ge=0, description="Steps of fine-tuning for each group on its own; 0 for none."
    )
    shares_pct: list[float] = Field(
        default=[], description="Run only at these shares; empty for all of them."
    )


class Experiment(Section):
    """Trainings on unbalanced data; with an attribute, they are run instead of the study."""

    attribute: str = Field(
        default="", description="Attribute that tells the groups apart; empty for no experiment."
    )
    groups: list[str] = Field(
        default=[],
        description="Two or more of its values. The share of the first is varied, the others "
        "share the rest alike.",
    )
    shares_pct: list[float] = Field(
        default=[0, 25, 50, 75, 100], description="Shares of the first group in training, %."
    )
    n_train: int = Field(default=40, ge=1, description="Subjects of every training.")
    n_test: int = Field(default=20, ge=2, description="Test subjects of each group.")
    seeds: list[int] = Field(
        default=[1, 2, 3], description="Each is another draw of subjects and another start."
    )
    recipe: str | dict[str, Any] = Field(
        default={}, description="What all trainings share: a recipe's name or file, or its fields."
    )
    architectures: dict[str, Architecture] = Field(
        default={}, description="Networks by name; empty: the recipe's own."
    )
    mitigations: dict[str, ExperimentMitigation] = Field(
        default={"none": ExperimentMitigation()},
        description="Arms by name; one of them should do nothing, to compare with: the first that "
        "does.",
    )
    field_px: int = Field(
        default=128, ge=16, description="Side of the images, in pixels of the recipe's spacing."
    )
    slice_distance_mm: float = Field(
        default=10.0, gt=0, description="Of simulated subjects; frames are ED and near ES."
    )
    data_jobs: int = Field(default=1, ge=1, description="Jobs that prepare the subjects.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the networks are trained."
    )
    keep_weights: bool = Field(
        default=False, description="Keep every training's weights, not its scores alone."
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
    rca: Rca = Rca()
    visibility: Visibility = Visibility()
    report: Report = Report()
    experiment: Experiment = Experiment()
    subjects: str | list[str] = Field(
        default="",
        description="Run only these (comma-separated or a list of sub-* or sub-*_ses-*); "
        "given on the command line: --config subjects=sub-0001,sub-0002.",
    )


class AuditedTable(Section):
    """The table that `popscan audit` reads: one row per subject (or visit)."""

    description: str = Field(default="", description="A sentence for the head of the report.")
    rename: dict[str, str] = Field(
        default={}, description="Column -> its name in results; a unit at the end (_mm3) is read."
    )
    outcomes: dict[str, Literal["higher", "lower", "neither"]] = Field(
        default={}, description="Column -> which way it is good; these are compared between groups."
    )


class TableConfig(Section):
    """The config of `popscan audit`: a table of people and outcomes, no pipeline."""

    study: Study = Study(name="table")
    table: AuditedTable = AuditedTable()
    cohort: Cohort = Cohort()
    associate: Associate = Associate()
    fairness: Fairness = Fairness()
    report: Report = Report()


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
