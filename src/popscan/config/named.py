"""The section of the study itself: its name, folder and seed; little enough for every job."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from popscan.config.section import Section
from popscan.records import PopscanError, check_identifier


class Study(Section):
    """What the study is called and where its results go."""

    name: str = Field(
        default="demo",
        description="Name of the study and of its results folder.",
        # For Snakemake, which reads the JSON schema only; as `check_identifier`.
        json_schema_extra={"pattern": r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"},
    )
    results: str = Field(
        default="results", min_length=1, description="Folder that holds all studies' results."
    )
    seed: int = Field(
        default=1, ge=0, lt=2**63, description="Seed of every random choice of the study."
    )
    part_of: str = Field(
        default="",
        description="Name of the study of several protocols that this is a part of; set by "
        "popscan.",
    )

    @property
    def title(self) -> str:
        """Name for the pages: a part has that of its study before its own."""
        return f"{self.part_of}: {self.name}" if self.part_of else self.name

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str) -> str:
        try:
            return check_identifier(name, what="study")
        except PopscanError as error:
            raise ValueError(str(error)) from error


def study_seed(options: Mapping[str, object]) -> int:
    """Return the study's seed from the sections that a stage was given."""
    return Study.of(options).seed
