"""The stages of a study, in order; one folder each. Imports nothing heavy.

A new stage is a folder with a `STAGE` (`popscan.stages.description`) and one line in `_LISTED`. All
else follows from its description: rules, order, versions, tables, `rerun`, costs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Generic, TypeVar

from popscan.nested import mapping_at
from popscan.stages.description import EVERY_SUBJECT_STAGE, Stage, Table, Where
from popscan.stages.foreign import foreign_stages

#: Versions of code that several stages call; one that was never raised is 1 and says nothing.
TOOLKITS = {"arrays": 1, "register": 1, "stats": 1}

#: Name of every stage -> its description, in the order of a study; per-subject ones are columns of
#: the ledger in this order. A job loads the descriptions of its own stage and of those above.
_LISTED: Mapping[str, Where] = {
    "plan": "popscan.stages.plan:STAGE",
    "simulate": "popscan.stages.simulate:STAGE",
    "ingest": "popscan.stages.ingest:STAGE",
    "reconstruct": "popscan.stages.reconstruct:STAGE",
    "segment": "popscan.stages.segment:STAGE",
    "score": "popscan.stages.score:STAGE",
    "qc": "popscan.stages.qc:STAGE",
    "biomarkers": "popscan.stages.biomarkers:STAGE",
    "rca_references": "popscan.stages.rca:REFERENCES",
    "rca": "popscan.stages.rca:STAGE",
    "motion": "popscan.stages.motion:STAGE",
    "variants": "popscan.stages.variants:STAGE",
    "stopping": "popscan.stages.stopping:STAGE",
    "collect": "popscan.stages.collect:STAGE",
    "atlas_prepare": "popscan.stages.atlas:PREPARE",
    "atlas_subjects": "popscan.stages.atlas:SUBJECTS",
    "atlas_map": "popscan.stages.atlas:MAP",
    "atlas_reduce": "popscan.stages.atlas:REDUCE",
    "atlas": "popscan.stages.atlas:STAGE",
    "associate": "popscan.stages.associate:STAGE",
    "rca_validity": "popscan.stages.rca:VALIDITY",
    "visibility_features": "popscan.stages.visibility:FEATURES",
    "visibility": "popscan.stages.visibility:STAGE",
    "visibility_maps": "popscan.stages.visibility:MAPS",
    "fairness": "popscan.stages.fairness:STAGE",
    "report": "popscan.stages.report:STAGE",
}

T = TypeVar("T")


@cache
def _own(name: str) -> Stage:
    module, _, variable = _LISTED[name].partition(":")
    stage: Stage = getattr(import_module(module), variable)
    return stage


@cache
def _foreign() -> tuple[tuple[Stage, ...], dict[str, str]]:
    return foreign_stages(_LISTED, toolkits=TOOLKITS)


@cache
def _every() -> Mapping[str, Stage]:
    """Return all stages, those of other packages before `collect`: looked for once."""
    foreign = {stage.name: stage for stage in _foreign()[0]}
    stages: dict[str, Stage] = {}
    for name in _LISTED:
        if name == "collect":
            stages |= foreign
        stages[name] = _own(name)
    return stages


def foreign_problems() -> Mapping[str, str]:
    """Return why some stages of other packages cannot be used, by name."""
    return _foreign()[1]


class ByName(Mapping[str, T], Generic[T]):
    """Something of each stage (or of some stages), by its name, in order.

    A stage of popscan itself is found at once. Other packages are searched for theirs where another
    name is asked for, or all names: a job of one stage does neither, and has no time for it.

    Parameters
    ----------
    of
        Stage -> what is returned for it.
    among
        Stage -> whether it is one of these.
    """

    def __init__(self, of: Callable[[Stage], T], among: Callable[[Stage], bool]) -> None:
        self._of, self._among = of, among

    def __getitem__(self, name: str) -> T:
        stage = _own(name) if name in _LISTED else _every()[name]
        if not self._among(stage):
            raise KeyError(name)
        return self._of(stage)

    def __iter__(self) -> Iterator[str]:
        return (name for name, stage in _every().items() if self._among(stage))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


def _itself(stage: Stage) -> Stage:
    return stage


#: Name -> stage, in order.
STAGES: Mapping[str, Stage] = ByName(_itself, lambda stage: True)

#: Stages done per subject, in order; `simulate` only exists for the source kind ``simulated``.
SUBJECT_STAGES: Mapping[str, Stage] = ByName(_itself, lambda stage: stage.per == "subject")

#: Stages done once per shard or study.
STUDY_STAGES: Mapping[str, Stage] = ByName(_itself, lambda stage: stage.per != "subject")

#: The per-subject stage that ends the analysis of a subject; side stages decide nothing.
FINAL_STAGE = "biomarkers"

#: Per-subject stages that run only where the config enables them.
OPTIONAL_STAGES: Mapping[str, Stage] = ByName(
    _itself, lambda stage: stage.per == "subject" and stage.optional
)

#: Per-subject stage -> function that makes its task from the shard's context.
TASKS: Mapping[str, str] = ByName(lambda stage: stage.task, lambda stage: stage.per == "subject")


def tables() -> dict[str, Table]:
    """Return the tables of all stages by name."""
    return {name: table for stage in STAGES.values() for name, table in stage.tables.items()}


def version_of(name: str) -> str:
    """Return the version that counts: a stage's own, and those of the code that it uses.

    It is part of every fingerprint and of the rule's params.
    """
    stage = STAGES[name]
    used = [f"{other}-{STAGES[other].version}" for other in stage.uses if other not in TOOLKITS]
    raised = [f"{kit}-{TOOLKITS[kit]}" for kit in stage.uses if TOOLKITS.get(kit, 1) > 1]
    return "+".join([stage.version, *used, *raised])


def reads(name: str) -> tuple[str, ...]:
    """Return the stages that a stage reads by itself."""
    named = STAGES[name].reads
    every = tuple(SUBJECT_STAGES) if EVERY_SUBJECT_STAGE in named else ()
    return (*(one for one in named if one != EVERY_SUBJECT_STAGE), *every)


def built_on(name: str) -> list[str]:
    """Return all stages that a stage builds on, itself left out, in order; none if unknown."""
    known: set[str] = set()
    waiting = list(reads(name)) if name in STAGES else []
    while waiting:
        if (one := waiting.pop()) not in known:
            known.add(one)
            waiting += reads(one)
    order: Mapping[str, object] = _LISTED if known <= _LISTED.keys() else STAGES
    return [stage for stage in order if stage in known]


def below(name: str) -> list[str]:
    """Return a per-subject stage and all per-subject stages that build on it, in order."""
    return [stage for stage in SUBJECT_STAGES if stage == name or name in built_on(stage)]


def upstream_of(name: str) -> tuple[str, ...]:
    """Return the per-subject stages right above: those read, less what these read themselves.

    A subject that has nothing there is skipped here; the rule's inputs are their manifests.
    """
    read = [stage for stage in reads(name) if stage in SUBJECT_STAGES]
    further = {stage for one in read for stage in built_on(one)}
    return tuple(stage for stage in read if stage not in further)


def stages_of(source_kind: str, *, optional: Collection[str] = ()) -> list[str]:
    """Return the per-subject stages of a study with this kind of source, in order.

    Parameters
    ----------
    source_kind
        Kind of the source.
    optional
        Which of `OPTIONAL_STAGES` run: see `optional_stages`.
    """
    left_out = set(OPTIONAL_STAGES) - set(optional)
    if source_kind != "simulated":
        left_out.add("simulate")
    return [name for name in SUBJECT_STAGES if name not in left_out]


def optional_stages(config: Mapping[str, object]) -> list[str]:
    """Return those optional stages that a config (or the sections that a stage is given) enables.

    Parameters
    ----------
    config
        Section -> its keys; sections may be absent.
    """
    return [name for name in OPTIONAL_STAGES if _switch(STAGES[name], config).get("enabled")]


def _switch(stage: Stage, config: Mapping[str, object]) -> Mapping[str, object]:
    """Return the part of a config that enables a stage: a section's, or the stage's own options."""
    own = mapping_at(config, "stages") if stage.options else config
    return mapping_at(own, stage.switch or stage.name)
