"""The section of segmentation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from popscan.config.section import Section


class Segment(Section):
    """Images to labels."""

    method: str = Field(
        default="", description="Name in the protocol's method table; by default its first choice."
    )
    model: str = Field(
        default="",
        description="Bundle: a folder, or a name in resources/models; by default the protocol's.",
    )
    flips: bool | Literal["doubtful"] = Field(
        default=False,
        description="Average over in-plane flips: true, three more passes of every slice; "
        "doubtful, one more of each slice that the network doubts (two in five; as false where a "
        "volume is seen whole); false, none.",
    )
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
    samples: int = Field(
        default=16,
        ge=2,
        le=200,
        description="Segmentations that a network with latent variables draws (method "
        "probabilistic); other methods draw none.",
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
