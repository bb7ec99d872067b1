"""Sections of what is made of all subjects together: atlas, statistics, fairness, report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from popscan.config.predictions import StudyPredictions
from popscan.config.section import ColumnName, Distinct, Section


def of_several(intersections: list[list[str]]) -> list[list[str]]:
    """Return combinations of attributes, or raise ValueError where one is of fewer than two."""
    for combined in intersections:
        if len(set(combined)) < 2 or len(set(combined)) < len(combined):
            raise ValueError(f"two different attributes or more are expected, not {combined}")
    return intersections


class Atlas(Section):
    """Population averages."""

    enabled: bool = Field(default=True, description="Build atlases.")
    groups: Distinct[ColumnName] = Field(
        default=["sex"],
        description="Attributes of which every group gets an atlas: columns of the cohort table, "
        "decoded by fairness.codings, or age_band, bmi_class.",
    )
    intersections: Distinct[list[ColumnName]] = Field(
        default=[], description="Combinations of two attributes or more: [[sex, bmi_class]]."
    )
    iterations: int = Field(
        default=3, ge=1, le=10, description="Rounds: the first is rigid, the others deform."
    )
    registration: Literal["demons", "ffd", "svf"] = Field(
        default="demons",
        description="How the rounds after the first register (docs/registration.md).",
    )
    spacing_mm: float = Field(default=3.0, gt=0, le=50, description="Voxel size of the atlas.")
    min_group: int = Field(default=5, ge=2, description="Smallest group that gets an atlas.")
    n_phases: int = Field(
        default=0,
        ge=0,
        le=40,
        description="Phases of averages over the cycle, from series of many frames; 0: none.",
    )
    effects: Distinct[ColumnName] = Field(
        default=["age_years", "sex", "bsa_m2"],
        description="Columns on the right-hand side of the maps of local volume, of the cohort "
        "table or biomarkers as measured (never harmonised); [] for no maps.",
    )
    biomarkers: Distinct[ColumnName] = Field(
        default=[],
        description="Biomarkers, as measured, that get a map of their own, adjusted for `effects`.",
    )
    min_n: int = Field(default=20, ge=5, description="Fewest subjects of such a map.")
    max_map_subjects: int = Field(
        default=5000, ge=20, description="Maps of larger studies use a random part of this size."
    )
    subject_maps: bool = Field(
        default=False,
        description="Write z-scores and log-Jacobian of every subject as NIfTI, too.",
    )
    max_growth_pct: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Subjects that join are registered to the averages that are there until the "
        "study has grown by more; results then depend on how it grew, and atlas.json and the "
        "report say of how many subjects these averages are. 0: every change registers all "
        "subjects again.",
    )

    @field_validator("intersections")
    @classmethod
    def _of_several(cls, intersections: list[list[str]]) -> list[list[str]]:
        return of_several(intersections)

    @model_validator(mode="after")
    def _adjusted_for_others(self) -> Atlas:
        if both := [name for name in self.biomarkers if name in self.effects]:
            raise ValueError(f"biomarkers: {both[0]} is among effects; it cannot be adjusted for")
        return self


class Associate(Section):
    """Regression of biomarkers on covariates, and reference ranges."""

    outcomes: Distinct[ColumnName] = Field(
        default=[], description="Biomarker columns; by default those that the protocol follows."
    )
    terms: Distinct[ColumnName] = Field(
        default=["age_years", "sex", "bsa_m2"], description="Columns on the right-hand side."
    )
    min_n: int = Field(default=20, ge=5, description="Fewest complete rows of a regression.")


class Harmonise(Section):
    """Biomarkers harmonised between sites or scanners by ComBat, beside the values as measured."""

    by: ColumnName = Field(
        default="", description="Column with the site or scanner; empty: nothing is harmonised."
    )
    preserve: Distinct[ColumnName] | None = Field(
        default=None,
        description="Covariates whose effects are kept, such as [age_years, sex]; [] for none. "
        "Must be given with `by`. Nothing else enters the fit: effects of other attributes that "
        "differ between sites are partly removed, and the report says so.",
    )
    columns: Distinct[ColumnName] = Field(
        default=[], description="Biomarkers; by default those of associate and fairness."
    )
    min_site: int = Field(default=10, ge=3, description="Fewest subjects of a site.")
    small_sites: Literal["leave", "pool"] = Field(
        default="leave",
        description="Subjects of smaller sites have no harmonised value (leave), or these sites "
        "are treated as one (pool).",
    )

    @model_validator(mode="after")
    def _preserved_is_stated(self) -> Harmonise:
        if self.by and self.preserve is None:
            raise ValueError("preserve: state whose effects are kept ([] for none), beside `by`")
        if self.by and self.by in (self.preserve or ()):
            raise ValueError(f"preserve: {self.by} is what is harmonised")
        return self


class Fairness(Section):
    """Comparison of every stage's outcome between groups."""

    attributes: Distinct[ColumnName] = Field(
        default=["sex", "race"],
        description="Columns to compare by: of the cohort table, or age_band, bmi_class.",
    )
    intersections: Distinct[list[ColumnName]] = Field(
        default=[["sex", "race"]], description="Combinations of two attributes or more."
    )

    @field_validator("intersections")
    @classmethod
    def _of_several(cls, intersections: list[list[str]]) -> list[list[str]]:
        return of_several(intersections)

    reference: dict[ColumnName, str] = Field(
        default={}, description="Attribute -> reference group; default: the largest group."
    )
    codings: dict[
        ColumnName,
        Literal["ukb_21000", "ukb_21000_detailed", "ukb_31", "ixi_ethnic"] | dict[str, str],
    ] = Field(
        default={},
        description="How to decode a column's values: ukb_21000 (UK Biobank ethnic background, top "
        "level), ukb_21000_detailed, ukb_31 (sex), ixi_ethnic, or a mapping code -> category.",
    )
    age_bands_years: Distinct[float] = Field(
        default=[0, 45, 55, 65, 75], description="Lower limits of the bands of age_band."
    )
    biomarkers: Distinct[ColumnName] = Field(
        default=[],
        description="Biomarkers that are compared, measured against references and followed "
        "along the pipeline; by default those that the protocol names.",
    )
    adjust_for: Distinct[ColumnName] = Field(
        default=["age_years", "bsa_m2"],
        description="Confounders of the adjusted gaps and of the ledger's last step: columns of "
        "the cohort table, or bsa_m2, bmi_kg_m2. What a study lacks is named and left out.",
    )
    adjust_methods: Distinct[
        Literal["regression", "ancova", "standardisation", "mixed", "matching"]
    ] = Field(
        default=["regression", "standardisation"],
        description="Ways of adjusting, each a row of the table of adjusted gaps.",
    )
    adjust_block: ColumnName = Field(
        default="", description="Column with the random effect of method mixed (site, scanner)."
    )

    @model_validator(mode="after")
    def _mixed_has_blocks(self) -> Fairness:
        if "mixed" in self.adjust_methods and not self.adjust_block:
            raise ValueError("adjust_methods: mixed needs adjust_block, the random effect's column")
        return self

    quality: ColumnName = Field(
        default="dice_mean",
        description="Outcome that stands for true quality where QC's exclusions are compared at "
        "equal quality (needs references).",
    )
    ledger: bool = Field(
        default=True,
        description="Split the gap of each biomarker along the pipeline, where references exist.",
    )
    predictions: StudyPredictions = Field(
        default=StudyPredictions(),
        description="Predictions that are audited with the study: equalised odds, calibration "
        "within groups, other thresholds.",
    )
    min_group: int = Field(default=10, ge=2, description="Smaller groups are shown as too few.")
    n_boot: int = Field(default=1000, ge=100, le=1_000_000, description="Bootstrap draws.")
    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="1 - confidence level: 0.05, not 0.95."
    )
    correction: Literal["holm", "bh"] = Field(
        default="holm", description="Correction for multiplicity over the family."
    )
    roles: dict[str, Literal["protected", "technical"]] = Field(
        default={},
        description="Column -> its role: protected (whom the audit is about: sex, race, age) or "
        "technical (how images were made: site, scanner, manufacturer, field strength). By default "
        "the name decides; protected where it says nothing. Technical attributes are summarised.",
    )
    family: Literal["role", "all", "attribute", "stage", "outcome"] = Field(
        default="role",
        description="Tests that are corrected together: those of protected and those of technical "
        "attributes (role), all of the audit, or those of one attribute, stage or outcome.",
    )


class Rca(Section):
    """Predicted Dice without a reference, by reverse classification accuracy."""

    enabled: bool = Field(default=False, description="Predict every subject's Dice.")
    references: str = Field(
        default="auto",
        description="Where reference cases come from: study (its labelled subjects), simulated "
        "(of the digital population), auto (study where it has labels, else simulated), or "
        "the rca/references.npz of another study.",
    )
    n_references: int = Field(default=8, ge=1, description="Reference cases.")
    n_registered: int = Field(
        default=4,
        ge=1,
        description="Of these, how many (the most similar) a subject is carried to.",
    )
    balance_by: Distinct[ColumnName] = Field(
        default=["sex"],
        description="Draw equal numbers of reference cases from each group of these attributes "
        "(as in atlas.groups).",
    )
    phases: Distinct[str] = Field(
        default=[], description="Phases that are judged; by default the protocol's first."
    )
    affine: bool = Field(
        default=False,
        description="Register by an affine transform first: slower, for organs far off.",
    )
    inplane_mm: float = Field(default=4.0, gt=0, le=50, description="Voxels of the crops in-plane.")
    along_mm: float = Field(
        default=8.0, gt=0, le=50, description="Voxels of the crops across slices."
    )
    low_dice: float = Field(
        default=0.7, gt=0, lt=1, description="True Dice below which a segmentation counts as poor."
    )


#: What the intensities around the organ are called in the config: in general, and in cine studies.
ORGAN = ("organ", "heart")


class Visibility(Section):
    """Whether sex, race, scanner can be predicted from what the pipeline sees."""

    enabled: bool = Field(default=False, description="Ask it.")
    attributes: Distinct[ColumnName] = Field(
        default=[], description="Columns of the cohort table; empty: those of fairness.attributes."
    )
    sources: Distinct[Literal["biomarkers", "labels", "organ", "heart", "image", "latent"]] = Field(
        default=["biomarkers", "labels", "organ", "image", "latent"],
        description="What attributes are looked for in: biomarkers, label map, intensities of the "
        "organ (cine: heart) and of the whole image, features of the segmentation network.",
    )
    adjust_for: Distinct[ColumnName] = Field(
        default=["age_years", "height_cm", "weight_kg"],
        description="What is taken out of the features for the adjusted area (body size), among "
        "subjects who have all of it.",
    )
    n_folds: int = Field(default=5, ge=2, le=1000, description="Folds of the cross-validation.")
    n_components: int = Field(
        default=50, ge=1, description="Principal components, at most, of each source of features."
    )
    n_permutations: int = Field(
        default=200,
        ge=0,
        le=1_000_000,
        description="Number of label permutations. If none reaches the observed AUC, more are "
        "drawn so that p can fall below the corrected threshold.",
    )
    max_subjects: int = Field(
        default=4000,
        ge=20,
        description="Larger studies are randomly subsampled; this barely changes the result.",
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


class Share(Section):
    """What leaves in ``share/`` (docs/sharing.md); the smallest cell is ``report.min_cell``."""

    columns: list[ColumnName] | None = Field(
        default=None,
        description="Columns of the cohort table that may be shown; default: the attributes of "
        "fairness.attributes, age_band, sex, scanner, site. Columns that look like dates, "
        "identifiers, names or free text are refused.",
    )
    columns_confirmed: Distinct[ColumnName] = Field(
        default=[],
        description="Columns of share.columns that are shown although they look like dates, "
        "identifiers, names or free text.",
    )
    rounding: int = Field(
        default=5,
        ge=3,
        description="Base to which all counts are rounded; proportions and intervals are computed "
        "from rounded counts. Below 3, a count of one table subtracted from that of another would "
        "give a hidden one within 2.",
    )
