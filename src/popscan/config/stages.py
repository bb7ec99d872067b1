"""Sections of what is done with labels: quality control and biomarkers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from popscan.config.section import Limits, Section


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
