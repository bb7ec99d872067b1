"""Read a study's config file as a person wrote it; every problem is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from popscan.config import Config, TableConfig
from popscan.records import PopscanError

Model = TypeVar("Model", Config, TableConfig)


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


def _load(path: Path, overrides: Sequence[str], model: type[Model]) -> Model:
    """Read and check a config of some kind."""
    try:
        data = _read_yaml(path)
        _apply_overrides(data, overrides)
    except PopscanError as error:
        raise ConfigError([str(error)]) from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError([_say(path, item, model) for item in error.errors()]) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PopscanError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise PopscanError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise PopscanError(f"{path}: a mapping of sections is expected, not {type(data).__name__}")
    return data


def _apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> None:
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise PopscanError(f"--config {text!r}: KEY=VALUE is expected")
        try:
            data[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            told = " ".join(str(error).split())
            raise PopscanError(f"--config {text!r}: not valid YAML: {told}") from error


def _say(path: Path, item: Any, model: Any) -> str:
    """One pydantic error as: file, key, what was found, what is expected."""
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
    if item["type"] == "extra_forbidden":
        section: Any = model
        for part in item["loc"][:-1]:
            field = getattr(section, "model_fields", {}).get(part)
            section = field.annotation if field else None
        known = ", ".join(sorted(getattr(section, "model_fields", {})))
        return f"{path}: {key}: unknown key; expected one of: {known}"
    return f"{path}: {key}: {item['msg'][0].lower()}{item['msg'][1:]}; found {item['input']!r}"
