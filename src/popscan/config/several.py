"""A study of several protocols: the config of each part, made from the one that a lab writes.

``protocol: [one, another]`` makes one part per protocol. A part is a whole study with one
protocol, below the folder of the study (``results/STUDY/PROTOCOL``); all sections are shared, but
for what ``protocols: {PROTOCOL: {SECTION: {...}}}`` says of one of them. Everything behind this
module knows configs of one protocol only. The Snakefile imports it: nothing heavy here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from popscan.records import PopscanError

#: Folders of a study of several protocols that hold no part: a protocol cannot have such a name.
TAKEN = ("logs", "params", "report", "share", "tables")
#: Sections that all parts share: who the subjects are, and where results go.
_SHARED = ("protocol", "protocols", "study", "cohort", "subjects", "experiment", "allow_replace")


def is_several(config: Mapping[str, Any]) -> bool:
    """Whether a config names a list of protocols."""
    return isinstance(config.get("protocol"), (list, tuple))


def part_configs(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
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
    names = config["protocol"]
    if problems := _problems(config, names):
        raise PopscanError("; ".join(problems))
    return {name: _part(config, name) for name in names}


def study_folder(config: Mapping[str, Any]) -> str:
    """Return ``results/STUDY``, defaults counted."""
    study = config.get("study")
    study = study if isinstance(study, Mapping) else {}
    return f"{study.get('results', 'results')}/{study.get('name', 'demo')}"


def _part(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = copy.deepcopy({key: value for key, value in config.items() if key != "protocols"})
    study = dict(part.get("study") or {})
    whole = study.get("name", "demo")
    part["study"] = study | {"name": name, "results": study_folder(config), "part_of": whole}
    part["protocol"] = name
    own = (config.get("protocols") or {}).get(name) or {}
    for section, keys in copy.deepcopy(own).items():
        shared = part.get(section)
        both = isinstance(shared, Mapping) and isinstance(keys, Mapping)
        part[section] = {**(shared or {}), **keys} if both else keys
    return part


def _is_section(value: Any) -> bool:
    """Whether a section is a mapping, or was left empty."""
    return value is None or isinstance(value, Mapping)


def _problems(config: Mapping[str, Any], names: Any) -> list[str]:
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
    if (config.get("experiment") or {}).get("attribute"):
        problems.append("experiment.attribute: an experiment has one protocol, not a list")
    own = config.get("protocols") or {}
    if not isinstance(own, Mapping):
        return [*problems, f"protocols: {own!r}; sections by protocol are expected"]
    for name, sections in own.items():
        if name not in names:
            problems.append(f"protocols.{name}: not in protocol: {', '.join(names)}")
        elif not isinstance(sections, Mapping):
            problems.append(f"protocols.{name}: {sections!r}; a mapping of sections is expected")
        else:
            problems += [
                f"protocols.{name}.{section}: all protocols of a study share this"
                for section in sections
                if section in _SHARED
            ]
    return problems
