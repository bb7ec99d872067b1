"""Options of stages that have no section of their own in the config: ``stages: {NAME: {...}}``."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from popscan.config import Section
from popscan.names import did_you_mean
from popscan.protocol import load
from popscan.stages import STAGES, foreign_problems
from popscan.yamlfile import problem_text


def stage_problems(given: Mapping[str, Mapping[str, object]], *, where: str) -> list[str]:
    """Return what is wrong with the options that a config gives to such stages.

    Parameters
    ----------
    given
        Stage -> its options.
    where
        Name of the file, for messages.
    """
    sections = {name: stage.options for name, stage in STAGES.items() if stage.options}
    problems = []
    for name, options in given.items():
        if name in foreign_problems():
            problems.append(f"{where}: stages.{name}: {foreign_problems()[name]}")
            continue
        if name not in sections:
            expected = ", ".join(sections) or "none: all stages have sections of their own"
            hint = did_you_mean(name, sections)
            problems.append(f"{where}: stages.{name}: no such stage{hint}; expected: {expected}")
            continue
        problems += _of_stage(name, load(sections[name]), options, where)
    return problems


def _of_stage(
    name: str, section: type[Section], options: Mapping[str, object], where: str
) -> list[str]:
    try:
        section.model_validate(options)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_context=False):
            place = ("stages", name, *item["loc"])
            if item["type"] == "extra_forbidden":
                key, known = str(item["loc"][-1]), sorted(section.model_fields)
                problems.append(
                    f"{where}: {'.'.join(map(str, place))}: unknown key{did_you_mean(key, known)}; "
                    f"expected one of: {', '.join(known)}"
                )
            else:
                problems.append(problem_text({**item, "loc": place}, where=where))
        return problems
    return []
