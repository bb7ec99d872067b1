"""The config of a study, and that of `popscan audit`, as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, WithJsonSchema, field_validator, model_validator

from popscan.config.analyses import (
    Associate,
    Atlas,
    Fairness,
    Harmonise,
    Rca,
    Report,
    Share,
    Visibility,
)
from popscan.config.experiments import Experiment
from popscan.config.named import Study
from popscan.config.predictions import PredictedColumn
from popscan.config.reconstruct import Reconstruct
from popscan.config.section import ColumnName, Section
from popscan.config.segment import Segment
from popscan.config.stages import Biomarkers, Qc
from popscan.config.study import (
    Cohort,
    Plan,
    Simulate,
    Source,
    Storage,
)
from popscan.names import name_list
from popscan.nested import mapping_at
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError

#: What a config file may say; `popscan.config.several` makes one config of each of a list.
_ONE_OR_SEVERAL = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
    ]
}


class Config(Section):
    """A study's config."""

    protocol: Annotated[str, WithJsonSchema(_ONE_OR_SEVERAL)] = Field(
        default=DEFAULT,
        description="Which organ and modality: a folder of popscan/protocols, or what another "
        "package offers (docs/protocols.md). `popscan check` lists those that exist. A list runs "
        "each protocol over the same subjects, with its results in a folder of its own.",
    )
    protocols: dict[str, dict[str, Any]] = Field(
        default={},
        description="With a list of protocols: protocol -> section -> keys that differ for it "
        "(another source.root, another segment.model).",
    )
    study: Study = Study()
    source: Source = Source()
    simulate: Simulate = Simulate()
    cohort: Cohort = Cohort()
    plan: Plan = Plan()
    storage: Storage = Storage()
    reconstruct: Reconstruct = Reconstruct()
    segment: Segment = Segment()
    qc: Qc = Qc()
    biomarkers: Biomarkers = Biomarkers()
    atlas: Atlas = Atlas()
    harmonise: Harmonise = Harmonise()
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
    stages: dict[str, dict[str, Any]] = Field(
        default={},
        description="Stage -> its options, of stages that have no section of their own here; "
        "`popscan check` names those that there are.",
    )
    allow_replace: bool = Field(
        default=False,
        description="Let another source or cohort replace the results that the study's folder "
        "holds; given on the command line, once: --config allow_replace=true.",
    )

    @field_validator("protocol", mode="before")
    @classmethod
    def _protocol_exists(cls, name: Any) -> Any:
        if isinstance(name, list):
            raise ValueError(
                "one protocol is expected here; a list is for studies (snakemake, popscan run, "
                "popscan check)"
            )
        if isinstance(name, str):
            try:
                get_protocol(name)
            except PopscanError as error:
                raise ValueError(str(error)) from error
        return name

    @field_validator("subjects")
    @classmethod
    def _subjects_name_somebody(cls, subjects: Any) -> Any:
        """Refuse what a list that came out empty leaves behind: it would mean all of them."""
        if subjects not in ("", []) and (subjects == 0 or not name_list(subjects)):
            raise ValueError("names nobody; '' or [] stand for all subjects")
        return subjects

    @field_validator("protocols")
    @classmethod
    def _parts_are_made_before(cls, given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if given:
            raise ValueError("used with a list of protocols only: protocol: [a, b]")
        return given

    @model_validator(mode="after")
    def _protocol_decides(self) -> Config:
        """Fill in what the config does not give and the protocol decides."""
        for name, keys in get_protocol(self.protocol).defaults(segment=self.segment.method).items():
            section = getattr(self, name)
            given = section.model_fields_set
            filled = section.model_copy(update={k: v for k, v in keys.items() if k not in given})
            # What the config gives is distinguished from defaults by this set.
            object.__setattr__(filled, "__pydantic_fields_set__", set(given))
            object.__setattr__(self, name, filled)
        return self


def protocol_problems(config: Config) -> list[str]:
    """Return what a config says that its protocol does not have: source, views, structures."""
    protocol, source = get_protocol(config.protocol), config.source
    problems = []
    if source.kind not in protocol.sources:
        problems.append(
            f"source.kind: {source.kind!r}: protocol {protocol.name} reads "
            f"{', '.join(sorted(protocol.sources))}"
        )
    if not source.views:
        problems.append(f"source.views: none; expected some of: {', '.join(protocol.views)}")
    if (
        source.views
        and protocol.view not in source.views
        and set(source.views) <= {*protocol.views}
    ):
        problems.append(f"source.views: {protocol.view} is missing, and it is what is measured")
    problems += [
        f"source.views: {view!r}; expected some of: {', '.join(protocol.views)}"
        for view in source.views
        if view not in protocol.views
    ]
    names = [*protocol.labels.codes, "background"]
    problems += [
        f"source.label_codes.{code}: {name!r}; expected one of: {', '.join(names)}"
        for code, name in source.label_codes.items()
        if name not in names
    ]
    declared = {"atlas": protocol.atlas, "rca": protocol.crops, "visibility": protocol.crops}
    problems += [
        f"{section}.enabled: protocol {protocol.name} declares no frame for it"
        for section, frame in declared.items()
        if frame is None and getattr(config, section).enabled
    ]
    problems += [
        f"rca.phases: {phase!r}; expected one of: {', '.join(protocol.phase_names) or 'none'}"
        for phase in config.rca.phases
        if phase not in protocol.phase_names
    ]
    if config.rca.enabled and config.rca.references == "simulated" and not protocol.simulation:
        problems.append(f"rca.references: protocol {protocol.name} has no digital population")
    visibility = config.visibility
    if visibility.enabled and "latent" in visibility.sources and not protocol.segmentation.in_plane:
        problems.append(
            f"visibility.sources: latent: the networks of protocol {protocol.name} do not see "
            "slices one by one; leave it out"
        )
    return problems


def fill_in(config: dict[str, Any], given: Mapping[str, object]) -> None:
    """Fill in what the protocol decides, in a config whose other defaults were filled in already.

    Parameters
    ----------
    config
        Section -> its keys; changed in place.
    given
        The config before defaults were filled in.
    """
    method = str(mapping_at(given, "segment").get("method") or "")
    filled = get_protocol(str(config["protocol"])).defaults(segment=method)
    for section, keys in filled.items():
        for key, value in keys.items():
            if key not in mapping_at(given, section):
                config.setdefault(section, {})[key] = value


class AuditedTable(Section):
    """The table that `popscan audit` reads: one row per subject (or visit)."""

    description: str = Field(default="", description="A sentence for the head of the report.")
    rename: dict[ColumnName, ColumnName] = Field(
        default={}, description="Column -> its name in results; a unit at the end (_mm3) is read."
    )
    outcomes: dict[ColumnName, Literal["higher", "lower", "neither"]] = Field(
        default={},
        description="Column -> whether higher or lower is better; compared between groups.",
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
    for definition in (schema, *schema["$defs"].values()):
        for field in definition.get("properties", {}).values():
            # Null first: Snakemake would fill the defaults of a section into None.
            field.get("anyOf", []).sort(key=lambda one: one.get("type") != "null")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
