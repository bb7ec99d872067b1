"""Options of the stage motion, in the config: ``stages: {motion: {enabled: true}}``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from popscan.config import Section


class Options(Section):
    """Tracking over the cycle; off unless it is enabled (docs/motion.md)."""

    enabled: bool = Field(default=False, description="Whether the stage runs.")
    source: Literal["labels", "images", "both"] = Field(
        default="labels",
        description="What is registered: labels as grey levels, intensities, or the mean of both.",
    )
    method: str = Field(default="demons", description="Of `popscan.register.METHODS`.")
    options: dict[str, object] = Field(
        default_factory=dict, description="Keyword arguments of the method."
    )
    n_harmonics: int = Field(
        default=6, ge=1, le=50, description="Oscillations per cycle that curves keep."
    )
    min_frames: int = Field(default=8, ge=3, description="Series of fewer frames are left out.")
    max_contour_mm: float = Field(
        default=2.5, gt=0, description="Mean distance of tracked from segmented outlines."
    )
    max_closing_mm: float = Field(
        default=4.0,
        gt=0,
        description="Mean distance of outlines, after steps round the cycle, from their start.",
    )
    max_folding_share: float = Field(
        default=0.02, ge=0, le=1, description="Share of the wall in which the field may fold."
    )
    store_fields: bool = Field(default=True, description="Whether displacements are written.")

    @model_validator(mode="after")
    def _images_for_the_network(self) -> Self:
        if self.source == "images" or self.method == "demons":
            return self
        from popscan.register import LEARNED  # Loads SimpleITK, which a config seldom needs.

        if self.method in LEARNED:
            raise ValueError(
                f"method {self.method}: its network was trained on images; source: images is "
                f"expected, found {self.source}"
            )
        return self
