"""The section of reconstruction."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from popscan.config.section import Section
from popscan.records import PopscanError, check_identifier


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


class LineRejection(Section):
    """Lines of segmented series that were acquired in the wrong phase, after a late trigger."""

    action: Literal["report", "leave_out"] = Field(
        default="leave_out",
        description="leave_out: methods reconstruct the other lines as undersampling; report: "
        "lines are counted, and used as before.",
    )
    threshold: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="A shot (or line) is found where another phase explains it better than its "
        "own by this share of the distance between the two; higher finds fewer.",
    )
    fail_above_pct: float = Field(
        default=30.0,
        gt=0,
        le=100,
        description="A scan of which this share of the lines or more is found in a slice fails "
        "(too_many_lines_left_out): which of them are right is not known.",
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
    line_rejection: LineRejection | None = Field(
        default=None,
        description="Find lines of k-space that were acquired in the wrong phase "
        "(docs/reconstruction.md); {} for the defaults.",
    )
    retrospective: Retrospective | None = Field(
        default=None,
        description="For image studies: simulate k-space from the images, undersample it and "
        "reconstruct it, so that variants can be compared (docs/reconstruction.md). The images "
        "are the reference; all later stages use the reconstruction.",
    )
