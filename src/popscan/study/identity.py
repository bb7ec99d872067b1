"""Whose results a study's folder holds: another source or cohort does not replace them unasked.

Subjects may come and go, the raw data may move, the config may change. What stops is another kind
of source, a cohort without most of the known subjects, and another place whose subjects have the
same names but other files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from popscan.config import Source, source_kind
from popscan.disk import write_atomic
from popscan.nested import mapping_at
from popscan.plan import Planned, readable_subjects
from popscan.records import PopscanError
from popscan.registry import read_registry

#: A larger share of the known subjects missing, or with other files, is another cohort.
_MOST = 0.5


class OtherCohortError(PopscanError):
    """The folder holds the results of something else."""

    exit_status = 2


def source_facts(options: Mapping[str, object]) -> dict[str, str]:
    """Say where a study's subjects come from, to be kept beside its plan."""
    source = Source.of(options)
    facts = {"kind": str(source.kind), "root": "", "participants": ""}
    if source.kind != "simulated":
        for name, place in (("root", source.root), ("participants", source.participants)):
            facts[name] = str(Path(place).resolve()) if place else ""
    parts = {name: options.get(name) for name in ("source", "simulate", "cohort")}
    text = json.dumps(parts, sort_keys=True, default=str)
    return {**facts, "options": hashlib.sha256(text.encode()).hexdigest()}


def known_source(study_root: Path) -> dict[str, str]:
    """Return what `write_source` wrote; empty for a new study, or one of an older popscan."""
    try:
        data = json.loads(_path(study_root).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else {}


def write_source(study_root: Path, options: Mapping[str, object]) -> None:
    """Note where the study's subjects come from, if that is new."""
    facts = source_facts(options)
    if known_source(study_root) != facts:
        text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
        write_atomic(_path(study_root), text.encode())


def _path(study_root: Path) -> Path:
    return study_root / "plan" / "source.json"


def check_before_run(study_root: Path, config: Mapping[str, object]) -> None:
    """Stop before anything of the study is touched, if the config names another cohort.

    Cheap where the config describes the cohort as at the last plan.

    Raises
    ------
    OtherCohortError
        With both, and how to go on.
    """
    before = known_source(study_root)
    is_experiment = bool(mapping_at(config, "experiment").get("attribute"))
    if not before or config.get("allow_replace") or is_experiment:
        return
    if before == source_facts(config):
        return
    _check_kind(study_root, config, before)
    from popscan.study.listing import find_cohort

    planned = find_cohort(config).planned
    left = {p.subject.unit for p in planned if p.problem.get("status") == "excluded"}
    staying = [p for p in planned if p.subject.unit not in left]
    check_same_cohort(study_root, config, staying, left=left)


def check_same_cohort(
    study_root: Path,
    options: Mapping[str, object],
    staying: Sequence[Planned],
    *,
    left: Collection[str],
) -> None:
    """Stop if these subjects are not those whose results the folder holds.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    options
        Config sections source, simulate, cohort.
    staying
        Subjects of the cohort now.
    left
        Visits that were withdrawn by name: they are no sign of another cohort.

    Raises
    ------
    OtherCohortError
        With both, and how to go on.
    """
    before = known_source(study_root)
    _check_kind(study_root, options, before)
    known = set(read_registry(study_root / "plan" / "registry.tsv")) - set(left)
    now = {planned.subject.unit: planned for planned in staying}
    lost = len(known - set(now))
    if lost > _MOST * len(known):
        detail = f"which lacks {lost} of the {len(known)} subjects whose results are there"
        raise _other(study_root, options, before, detail)
    facts = source_facts(options)
    moved = before and any(before.get(k) != facts[k] for k in ("root", "participants"))
    if moved and facts["kind"] != "simulated":
        common = known & set(now)
        other = sum(_size(now[unit]) != size for unit, size in _sizes(study_root, common).items())
        if other > _MOST * max(len(common), 1):
            detail = f"where {other} of {len(common)} subjects have the same names but other files"
            raise _other(study_root, options, before, detail)


def _check_kind(study_root: Path, options: Mapping[str, object], before: Mapping[str, str]) -> None:
    if before and before.get("kind") != source_kind(options):
        raise _other(study_root, options, before, "another kind of source")


def _other(
    study_root: Path, options: Mapping[str, object], before: Mapping[str, str], detail: str
) -> OtherCohortError:
    old = _said(before) if before else "another cohort"
    return OtherCohortError(
        f"{study_root} holds the results of {old}; this config names "
        f"{_said(source_facts(options))}, {detail}. Nothing was changed. Is it another study? "
        "Give it a name of its own (study.name). To replace what is there, and remove what belongs "
        "to subjects that are not in the new cohort: --config allow_replace=true"
    )


def _said(facts: Mapping[str, str]) -> str:
    if facts.get("kind") == "simulated":
        return "a simulated population (source.kind simulated)"
    table = f", table {facts['participants']}" if facts.get("participants") else ""
    return f"{facts.get('root')} (source.kind {facts.get('kind')}{table})"


def _sizes(study_root: Path, units: Collection[str]) -> dict[str, int]:
    """Bytes of the raw data of known subjects, as the last plan found them."""
    return {
        planned.subject.unit: _size(planned)
        for planned in readable_subjects(study_root)
        if planned.subject.unit in units
    }


def _size(planned: Planned) -> int:
    return sum(size for size, _ in planned.stat.values())
