"""Options of the stage stopping, in the config: ``stages: {stopping: {enabled: true}}``."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from popscan.config import Section

Seconds = Annotated[float, Field(gt=0, le=600)]


class Options(Section):
    """Quality-aware stopping of radial scans; off unless enabled (docs/reconstruction.md)."""

    enabled: bool = Field(default=False, description="Whether the stage runs.")
    looks_s: list[Seconds] = Field(
        default=[2.0, 4.0, 6.0, 8.0, 10.0, 12.0],
        min_length=1,
        max_length=50,
        description="Seconds per slice at which a scan may end; the last is its full length.",
    )
    tr_ms: float = Field(default=2.8, gt=0, le=100, description="Time per spoke.")
    n_phases: int = Field(
        default=25,
        ge=1,
        le=200,
        description="Phases of a beat among which spokes are divided, at least the frames there "
        "are; for spokes that a scanner acquired, the frames themselves.",
    )
    per_beat: int = Field(
        default=13, ge=1, le=1000, description="Spokes per beat of each phase, where simulated."
    )
    coils: int = Field(default=8, ge=1, le=64, description="Simulated coils.")
    noise: float = Field(
        default=0.01, ge=0, le=1, description="SD of simulated noise in each coil, of tissue."
    )
    verdict: Literal["pass", "review", "fail"] = Field(
        default="review", description="The worst verdict that a check may have."
    )
    unchecked: list[str] = Field(
        default=[], description="Checks that do not count, since they say nothing of quality."
    )
    expected_dice: float = Field(
        default=0.0, ge=0, le=1, description="Lowest expected Dice of a structure; 0: no limit."
    )
    widths: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Biomarker -> largest width of its interval, in its unit."
    )
    options: dict[str, Any] = Field(
        default={"prior": "zero"}, description="Keyword arguments of `cg_nufft`."
    )

    @field_validator("looks_s")
    @classmethod
    def _rising(cls, looks_s: list[float]) -> list[float]:
        if any(b <= a for a, b in pairwise(looks_s)):
            raise ValueError(f"rising numbers are expected; found {looks_s}")
        return looks_s
