"""A study of several protocols: the config of each part, made from the one that a lab writes.

``protocol: [one, another]`` makes one part per protocol. A part is a whole study with one
protocol, below the folder of the study (``results/STUDY/PROTOCOL``); all sections are shared, but
for what ``protocols: {PROTOCOL: {SECTION: {...}}}`` says of one of them. Everything behind this
module knows configs of one protocol only. The Snakefile imports it: nothing heavy here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from popscan.nested import mapping_at
from popscan.records import PopscanError

#: Folders of a study of several protocols that hold no part: a protocol cannot have such a name.
TAKEN = ("logs", "params", "report", "share", "tables")
#: Sections that all parts share: who the subjects are, and where results go.
_SHARED = ("protocol", "protocols", "study", "cohort", "subjects", "experiment", "allow_replace")


def is_several(config: Mapping[str, object]) -> bool:
    """Whether a config names a list of protocols."""
    return isinstance(config.get("protocol"), (list, tuple))


def part_configs(config: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return the config of every part of a study of several protocols.

    Parameters
    ----------
    config
        As YAML gave it, before defaults are filled in.

    Returns
    -------
    dict
        Protocol -> config, in the order of the list; the first keys are those that were given.

    Raises
    ------
    PopscanError
        If the list, or what ``protocols`` says of one of them, cannot be used.
    """
    names = protocol_names(config)
    if problems := _problems(config, names):
        raise PopscanError("; ".join(problems))
    return {str(name): _part(config, str(name)) for name in names}


def protocol_names(config: Mapping[str, object]) -> list[object]:
    """Return what stands in a config's list of protocols; empty where it names one."""
    names = config.get("protocol")
    return list(names) if isinstance(names, (list, tuple)) else []


def study_folder(config: Mapping[str, object]) -> str:
    """Return ``results/STUDY``, defaults counted."""
    study = mapping_at(config, "study")
    return f"{study.get('results', 'results')}/{study.get('name', 'demo')}"


def _part(config: Mapping[str, object], name: str) -> dict[str, object]:
    part = copy.deepcopy({key: value for key, value in config.items() if key != "protocols"})
    study = dict(mapping_at(config, "study"))
    whole = study.get("name", "demo")
    part["study"] = study | {"name": name, "results": study_folder(config), "part_of": whole}
    part["protocol"] = name
    return _merged(part, mapping_at(config, "protocols", name))


def _merged(shared: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Put one protocol's keys into the shared ones; mappings within mappings are merged, too."""
    merged = dict(shared)
    for key, value in own.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _is_section(value: object) -> bool:
    """Whether a section is a mapping, or was left empty."""
    return value is None or isinstance(value, Mapping)


def _problems(config: Mapping[str, object], names: Sequence[object]) -> list[str]:
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong or not names:
        return [f"protocol: {names!r}; a list of names of protocols is expected"]
    if odd := [key for key in ("study", "experiment") if not _is_section(config.get(key))]:
        return [f"{key}: {config[key]!r}; a section with keys is expected" for key in odd]
    problems = [
        f"protocol: {name!r} is there twice"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    problems += [
        f"protocol: {name!r} is the name of a folder of the study; in a list of protocols it "
        "cannot be used"
        for name in names
        if name in TAKEN
    ]
    if mapping_at(config, "experiment").get("attribute"):
        problems.append("experiment.attribute: an experiment has one protocol, not a list")
    own = config.get("protocols") or {}
    if not isinstance(own, Mapping):
        return [*problems, f"protocols: {own!r}; sections by protocol are expected"]
    for name, sections in own.items():
        if name not in names:
            problems.append(f"protocols.{name}: not in protocol: {', '.join(map(str, names))}")
        elif not isinstance(sections, Mapping):
            problems.append(f"protocols.{name}: {sections!r}; a mapping of sections is expected")
        else:
            problems += [
                f"protocols.{name}.{section}: all protocols of a study share this"
                for section in sections
                if section in _SHARED
            ]
    return problems
