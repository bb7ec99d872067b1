"""Sections of the stages that every subject goes through."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from popscan.config.section import Limits, Section
from popscan.records import PopscanError, check_identifier

#: Code of a structure in a label file.
Code = Annotated[int, Field(ge=0, le=65_535)]


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

    @field_validator("variants")
    @classmethod
    def _variants_are_parts_of_names(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        """Refuse names that files cannot have: a slash would be a folder."""
        for name in variants:
            try:
                check_identifier(name, what="variant")
            except PopscanError as error:
                raise ValueError(str(error)) from error
        return variants

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="cpu",
        description="Where methods run that can use a GPU. Its results differ by rounding, and "
        "are not made anew where this alone changes.",
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
        description="Decide by evidence (wall, image, motion, neighbours) in which slice the "
        "structures end at the top of a stack, and remove labels above; doubtful slices "
        "widen the intervals.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it runs.")
    batch_slices: int = Field(
        default=0, ge=0, le=100_000, description="Slices in one batch; 0: 8 on a CPU, 128 on a GPU."
    )
    batch_subjects: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Subjects whose slices share batches; 0: 1 on a CPU, where it gains nothing, "
        "4 on a GPU.",
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
        description="Shortest and longest cycle that is believed, in ms (30 to 200 beats a "
        "minute); outside of it the rate stays empty, and what is measured per minute.",
    )

    @field_validator("cycle_ms")
    @classmethod
    def _cycle_in_ms(cls, cycle_ms: list[float]) -> list[float]:
        """Refuse seconds: no beat, not a mouse's either, has a longest cycle below 20 ms."""
        if cycle_ms[1] < 20 or cycle_ms[0] <= 0:
            raise ValueError(f"ms above 0 are expected (300 to 2000); {cycle_ms} looks like s")
        return cycle_ms

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
