"""Options of the stage variants, in the config: ``stages: {variants: {enabled: true}}``."""

from __future__ import annotations

from pydantic import Field

from popscan.config import Section


class Options(Section):
    """Segment and measure every reconstruction; off unless enabled (docs/reconstruction.md)."""

    enabled: bool = Field(
        default=False,
        description="Whether the stage runs. It costs a segmentation per variant and subject.",
    )
