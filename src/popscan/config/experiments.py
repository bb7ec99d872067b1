"""The section of trainings on purposely unbalanced data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from popscan.config.section import Distinct, Section


class Architecture(Section):
    """A network by name with its arguments."""

    architecture: str = Field(
        default="dynunet",
        description="unet, dynunet, basic_unet, fcn, deepmedic or swin_unetr.",
    )
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
        default=0, ge=0, description="Side of the square around the organ that is seen; 0: all."
    )
    crop_by: Literal["reference", "cascade"] = Field(
        default="reference",
        description="What finds a test subject's organ: its reference labels, or a network "
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
        default="", description="Attribute that defines the groups; empty for no experiment."
    )
    groups: Distinct[str] = Field(
        default=[],
        description="Two or more of its values. The share of the first is varied, the others "
        "share the rest equally.",
    )
    shares_pct: Distinct[float] = Field(
        default=[0, 25, 50, 75, 100], description="Shares of the first group in training, %."
    )
    n_train: int = Field(default=40, ge=1, description="Subjects of every training.")
    n_test: int = Field(default=20, ge=2, description="Test subjects of each group.")
    seeds: Distinct[int] = Field(
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
    n_held_out: int = Field(
        default=0,
        ge=0,
        description="Recipes that reconstruct: further subjects of each training's composition, on "
        "which its threshold is chosen.",
    )
    flagged_pct: float = Field(
        default=5.0, gt=0, lt=100, description="Of the held-out subjects, how many it flags, %."
    )
    train_on: dict[str, str] = Field(
        default={},
        description="Column -> value of the subjects that may be trained on (diagnosis: healthy); "
        "the others are tested alone. Empty for all.",
    )
    audit: Distinct[str] = Field(
        default=[],
        description="Recipes that classify or reconstruct: further attributes by whose groups "
        "their errors are compared.",
    )
    occlusion: bool = Field(
        default=False,
        description="Recipes that classify: fill each structure of the test subjects with its mean "
        "intensity in training and measure what the prediction loses.",
    )
    field_px: int = Field(
        default=128,
        ge=16,
        description="Side of the images, in pixels of the recipe's spacing; of volumes, of the "
        "cube around the labels.",
    )
    slice_distance_mm: float = Field(
        default=10.0,
        gt=0,
        le=100,
        description="Of simulated subjects in stacks of slices, with two frames of the cycle.",
    )
    data_jobs: int = Field(default=1, ge=1, description="Jobs that prepare the subjects.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the networks are trained."
    )
    keep_weights: bool = Field(
        default=False, description="Keep every training's weights, not its scores alone."
    )
