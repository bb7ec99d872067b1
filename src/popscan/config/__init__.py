"""The one typed definition of a study's config.

The JSON schema in ``workflow/schemas`` and the reference in ``config/README.md`` are exported from
here (``popscan schema``), so a key that is not defined here is an error everywhere.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, StrictInt

from popscan.config.analyses import Associate, Atlas, Fairness, Rca, Report, Share, Visibility
from popscan.config.experiments import Experiment
from popscan.config.predictions import PredictedColumn
from popscan.config.section import ColumnName, Section
from popscan.config.stages import (
    Biomarkers,
    Cohort,
    Plan,
    Qc,
    Reconstruct,
    Segment,
    Simulate,
    Source,
    Study,
)
from popscan.records import PopscanError

__all__ = [
    "Associate", "Atlas", "Cohort", "Config", "Experiment", "Fairness", "Plan", "Rca", "Report",
    "Source", "Study", "TableConfig", "Visibility", "json_schema", "parse_section",
]  # fmt: skip


class Config(Section):
    """A study's config."""

    study: Study = Study()
    source: Source = Source()
    simulate: Simulate = Simulate()
    cohort: Cohort = Cohort()
    plan: Plan = Plan()
    reconstruct: Reconstruct = Reconstruct()
    segment: Segment = Segment()
    qc: Qc = Qc()
    biomarkers: Biomarkers = Biomarkers()
    atlas: Atlas = Atlas()
    associate: Associate = Associate()
    fairness: Fairness = Fairness()
    rca: Rca = Rca()
    visibility: Visibility = Visibility()
    report: Report = Report()
    share: Share = Share()
    experiment: Experiment = Experiment()
    subjects: str | StrictInt | list[str | StrictInt] = Field(
        default="",
        description="Run only these (comma-separated or a list of sub-* or sub-*_ses-*); "
        "given on the command line: --config subjects=sub-0001,sub-0002. Numbers (1000012) are "
        "understood; names with leading zeros need sub-, since numbers lose them.",
    )
    allow_replace: bool = Field(
        default=False,
        description="Let another source or cohort replace the results that the study's folder "
        "holds; given on the command line, once: --config allow_replace=true.",
    )


class AuditedTable(Section):
    """The table that `popscan audit` reads: one row per subject (or visit)."""

    description: str = Field(default="", description="A sentence for the head of the report.")
    rename: dict[ColumnName, ColumnName] = Field(
        default={}, description="Column -> its name in results; a unit at the end (_mm3) is read."
    )
    outcomes: dict[ColumnName, Literal["higher", "lower", "neither"]] = Field(
        default={}, description="Column -> which way it is good; these are compared between groups."
    )
    predictions: list[PredictedColumn] = Field(
        default=[],
        description="Predictions of a model, from anywhere, whose errors are compared between "
        "groups: equalised odds, calibration within groups, other thresholds.",
    )


class TableConfig(Section):
    """The config of `popscan audit`: a table of people and outcomes, no pipeline."""

    study: Study = Study(name="table")
    table: AuditedTable = AuditedTable()
    cohort: Cohort = Cohort()
    associate: Associate = Associate()
    fairness: Fairness = Fairness()
    report: Report = Report()
    share: Share = Share()


def json_schema() -> dict[str, Any]:
    """JSON schema of the config, for Snakemake's ``validate`` and for editors."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def parse_section(name: str, data: Any) -> Any:
    """Read one section of a config.

    Raises
    ------
    PopscanError
        If there is no such section.
    pydantic.ValidationError
        If `data` does not fit it.
    """
    field = Config.model_fields.get(name)
    if field is None or not isinstance(field.annotation, type):
        raise PopscanError(f"no config section {name!r}; there are {sorted(Config.model_fields)}")
    return field.annotation.model_validate(data)
