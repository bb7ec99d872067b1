"""Read a study's config file as a person wrote it; every problem is reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from popscan.commands.stage_options import stage_problems
from popscan.config import Config, TableConfig
from popscan.config.several import is_several, part_configs
from popscan.names import did_you_mean
from popscan.records import PopscanError
from popscan.yamlfile import parse_yaml, problem_text, read_yaml, shorten, shown

Model = TypeVar("Model", Config, TableConfig)
#: Most problems that are listed; the rest is counted.
MAX_PROBLEMS = 20
#: Rounds in which values that do not fit are left out; one is enough, unless they hide others.
_ROUNDS = 5


class ConfigError(PopscanError):
    """A config that cannot be used; `problems` has one sentence per problem."""

    exit_status = 2

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


def load_table_config(path: Path, overrides: Sequence[str] = ()) -> TableConfig:
    """Read the config of ``popscan audit``; as `load_config`."""
    return _load(path, overrides, TableConfig)


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file.

    Parameters
    ----------
    path
        YAML file.
    overrides
        ``key=value`` as given to ``snakemake --config``; values are YAML.

    Raises
    ------
    ConfigError
        With every problem: file, key, what was found, what was expected.
    """
    return _load(path, overrides, Config)


def loaded_problems(config: Mapping[str, object], files: Sequence[str | Path]) -> list[str]:
    """Return what is wrong with a config that Snakemake has loaded, as `load_config` would say it.

    Snakemake reads config files with limits on nothing, so they are read again here first.

    Parameters
    ----------
    config
        What Snakemake made of the files and of ``--config``.
    files
        The files.
    """
    try:
        for path in map(Path, files):
            if path.suffix != ".json":
                _read_mapping(path)
        where = " + ".join(map(str, files)) or "config"
        if not is_several(config):
            return _study_problems(config, where)
        parts = part_configs(config)
        return listed_once({name: _study_problems(part, where) for name, part in parts.items()})
    except ConfigError as error:
        return error.problems
    except PopscanError as error:
        return [str(error)]


def _study_problems(config: Mapping[str, object], where: str) -> list[str]:
    try:
        return stage_problems(validated(config, Config, where=where).stages, where=where)
    except ConfigError as error:
        return error.problems


def listed_once(lines: Mapping[str, Sequence[str]]) -> list[str]:
    """Return sentences on the parts of a study: those that hold for all parts are there once.

    Parameters
    ----------
    lines
        Protocol -> sentences on its part; those that do not hold for all get its name.
    """
    merged: dict[str, None] = {}
    for name, sentences in lines.items():
        for sentence in sentences:
            common = all(sentence in other for other in lines.values())
            merged[sentence if common else f"protocol {name}: {sentence}"] = None
    return list(merged)


def read_studies(path: Path, overrides: Sequence[str] = ()) -> dict[str, dict[str, object]]:
    """Read a config file: protocol -> config of its part; one entry without name for one protocol.

    Raises
    ------
    ConfigError
        If the file cannot be read at all, or what it says of several protocols cannot be used.
    """
    data = _read_config(path, overrides)
    if not is_several(data):
        return {"": data}
    try:
        return part_configs(data)
    except PopscanError as error:
        raise ConfigError([f"{path}: {error}"]) from error


def load_what_fits(data: dict[str, object], *, where: str) -> tuple[Config, list[str], list[str]]:
    """Check a config without the values that do not fit, so that the rest can be checked.

    Parameters
    ----------
    data
        The config as `read_studies` read it; what does not fit is removed from it.
    where
        Name of the file, for messages.

    Returns
    -------
    config : Config
        With defaults for what does not fit.
    problems : list of str
        What does not fit, as `load_config` says it.
    left_out : list of str
        Keys of it (``fairness.alpha``).

    Raises
    ------
    ConfigError
        If it cannot be read at all.
    """
    problems: dict[str, None] = {}
    left_out: list[str] = []
    for _ in range(_ROUNDS):
        try:
            return validated(data, Config, where=where), list(problems), left_out
        except ConfigError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            problems |= dict.fromkeys(error.problems)
            places = [_place(data, item["loc"]) for item in error.__cause__.errors()]
        for place in places:
            _leave_out(data, place)
            left_out.append(".".join(map(str, place)))
    raise ConfigError(list(problems))


def _place(data: dict[str, object], loc: Sequence[int | str]) -> list[int | str]:
    """Keys of the innermost mapping entry on the way to a place."""
    inside: Any = data
    keys: list[int | str] = []
    for part in loc:
        if not isinstance(inside, dict) or part not in inside:
            break
        keys.append(part)
        inside = inside[part]
    return keys


def _leave_out(data: dict[str, object], keys: Sequence[int | str]) -> None:
    """Remove an entry, if it is still there."""
    inside: Any = data
    for key in keys[:-1]:
        inside = inside.get(key, {})
    if keys:
        inside.pop(keys[-1], None)


def _load(path: Path, overrides: Sequence[str], model: type[Model]) -> Model:
    """Read and check a config of some kind."""
    return validated(_read_config(path, overrides), model, where=str(path))


def _read_config(path: Path, overrides: Sequence[str]) -> dict[str, object]:
    try:
        data = _read_mapping(path)
        _apply_overrides(data, overrides)
    except PopscanError as error:
        raise ConfigError([str(error)]) from error
    return data


def validated(data: Mapping[str, object], model: type[Model], *, where: str) -> Model:
    """Return checked settings.

    Parameters
    ----------
    data
        Sections as a YAML file has them.
    model
        What is expected.
    where
        Name of the file, for messages.

    Raises
    ------
    ConfigError
        With every problem, up to `MAX_PROBLEMS`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_problems(error, model, where)) from error
    except RecursionError as error:
        raise ConfigError([f"{where}: nested too deeply"]) from error


def _problems(error: ValidationError, model: type[Model], where: str) -> list[str]:
    """One sentence per problem; of a value that fits none of several types, one for all."""
    problems: dict[str, None] = {}
    for item in error.errors(include_url=False, include_context=False):
        problems[_say(where, item, model)] = None
    found = list(problems)
    if len(found) > MAX_PROBLEMS:
        found[MAX_PROBLEMS:] = [f"{where}: {len(found) - MAX_PROBLEMS} more problems"]
    return found


def _read_mapping(path: Path) -> dict[str, object]:
    data = read_yaml(path)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise PopscanError(f"{path}: a mapping of sections is expected, not {type(data).__name__}")
    return data


def _apply_overrides(data: dict[str, object], overrides: Sequence[str]) -> None:
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise PopscanError(f"--config {shown(text)}: KEY=VALUE is expected")
        data[key] = parse_yaml(value, where=f"--config {shown(text)}")


def _say(where: str, item: ErrorDetails, model: type[BaseModel]) -> str:
    """One pydantic error as: file, key, what was found, what is expected."""
    if item["type"] == "extra_forbidden":
        section: Any = model
        for part in item["loc"][:-1]:
            field = getattr(section, "model_fields", {}).get(part)
            section = field.annotation if field else None
        key = shorten(".".join(str(part) for part in item["loc"]))
        known = sorted(getattr(section, "model_fields", {}))
        hint = _place_of(item["loc"], model) or did_you_mean(str(item["loc"][-1]), known)
        return f"{where}: {key}: unknown key{hint}; expected one of: {', '.join(known)}"
    return problem_text(item, where=where)


def _place_of(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Say where the config has a key of this name, if it stands in the wrong section."""
    top = model.model_fields
    name = str(loc[-1])
    if len(loc) > 1:
        return f" (it belongs beside the sections: {name})" if name in top else ""
    section, dot, rest = name.partition(".")
    if dot and section in top:
        return f" (write {section}: {{{shorten(rest)}: ...}})"
    sections = [
        part for part, field in top.items() if name in getattr(field.annotation, "model_fields", {})
    ]
    return f" (it is a key of {' and '.join(sections)})" if 0 < len(sections) < 3 else ""
